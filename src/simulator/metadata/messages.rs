//! Pure: `sdkmessages`, `sdkmessagefilters` and `organizations` as read-only tables.

use super::json_filter::{collection, project_row};
use super::labels::derived_id;
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::query::keys::key_values;
use crate::simulator::query::lex::Literal;
use crate::simulator::query::refuse::{bad_key, missing_row, unknown_resource};
use crate::simulator::query::url::{Options, Segment};
use crate::simulator::query::{World, answer_json};
use crate::simulator::schema::Storage;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Messages every table has.
const STANDARD: [&str; 5] = ["Create", "Update", "Delete", "Retrieve", "RetrieveMultiple"];

/// Whether `set` is one of these tables.
#[must_use]
pub fn owns(set: &str) -> bool {
    matches!(set, "sdkmessages" | "sdkmessagefilters" | "organizations")
}

/// Answers a read of these tables.
///
/// # Errors
/// 404 for a missing row, 400 for options that do not fit.
///
/// Source: `dataverse-web-api.md` §2.6.
pub fn read(world: &World, segments: &[Segment], options: &Options) -> Result<Answer, Refusal> {
    let [first, rest @ ..] = segments else { return Err(unknown_resource("")) };
    let set = first.name.as_str();
    let kind = set.trim_end_matches('s');
    let id = format!("{kind}id");
    let rows = match set {
        "sdkmessages" => messages(world),
        "sdkmessagefilters" => filters(world),
        _ => vec![organization(world)],
    };
    let fields = options.select.as_deref().map_or(String::new(), |s| format!("({s})"));
    let context = format!("{}/$metadata#{set}{fields}", world.base());
    if let Some(args) = &first.args {
        let values = key_values(args)?;
        let [key] = values.as_slice() else { return Err(bad_key(kind)) };
        let (true, Literal::Guid(wanted)) =
            (key.name.as_ref().is_none_or(|n| *n == id), &key.literal)
        else {
            return Err(bad_key(kind));
        };
        let row = rows
            .into_iter()
            .find(|r| r[&id] == wanted.to_string())
            .ok_or_else(|| missing_row(kind, *wanted))?;
        if let Some(step) = rest.first() {
            let value = row.get(&step.name).ok_or_else(|| unknown_resource(&step.name))?;
            return Ok(answer_json(&json!({ "@odata.context": context, "value": value })));
        }
        let mut row = project_row(row, kind, &id, options)?;
        row["@odata.context"] = format!("{context}/$entity").into();
        return Ok(answer_json(&row));
    }
    let rows = collection(rows.into_iter(), kind, &id, options)?;
    if rest.first().is_some_and(|s| s.name == "$count") {
        return Ok(Answer {
            status: 200,
            content_type: Some("text/plain"),
            body: rows.len().to_string().into_bytes(),
            ..Answer::default()
        });
    }
    if let Some(step) = rest.first() {
        return Err(unknown_resource(&step.name));
    }
    let mut body = Map::new();
    body.insert("@odata.context".into(), context.into());
    if options.count {
        body.insert("@odata.count".into(), rows.len().into());
    }
    body.insert("value".into(), Value::Array(rows));
    Ok(answer_json(&Value::Object(body)))
}

fn messages(world: &World) -> Vec<Value> {
    let names: BTreeSet<&str> = world
        .schema
        .tables
        .iter()
        .flat_map(|t| t.messages.iter().map(String::as_str))
        .chain(STANDARD)
        .collect();
    names.into_iter().map(message).collect()
}

fn message(name: &str) -> Value {
    json!({
        "sdkmessageid": derived_id("sdkmessage", name),
        "name": name,
        "categoryname": "",
        "isactive": true,
        "isprivate": false,
    })
}

/// Source: `dataverse-web-api.md` §2.6, §12 row 17.
fn filters(world: &World) -> Vec<Value> {
    let mut out = Vec::new();
    for table in &world.schema.tables {
        // Standard tables have no filter for UpsertMultiple, although the message works.
        let listed = |name: &&str| table.storage == Storage::Elastic || *name != "UpsertMultiple";
        let own = table.messages.iter().map(String::as_str).filter(listed);
        for name in own.chain(STANDARD) {
            let place = format!("{}/{name}", table.name);
            out.push(json!({
                "sdkmessagefilterid": derived_id("sdkmessagefilter", &place),
                "primaryobjecttypecode": table.name,
                "secondaryobjecttypecode": "none",
                "_sdkmessageid_value": derived_id("sdkmessage", name),
                "sdkmessageid": message(name),
                "iscustomprocessingstepallowed": true,
                "isvisible": true,
                "availability": 0,
            }));
        }
    }
    out
}

fn organization(world: &World) -> Value {
    let o = world.settings;
    json!({
        "organizationid": o.organization_id,
        "name": o.organization_name,
        "languagecode": 1033,
        "localeid": 1033,
        "schemanameprefix": "dbo",
        "maxuploadfilesize": 131_072_000,
        "blockedattachments": "",
        "pluralcurrencyname": null,
    })
}
