//! Pure: `RetrieveMetadataChanges`.

use super::json_filter::keep_selected;
use super::node::{Near, Node};
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::query::refuse::bad_query;
use crate::simulator::query::url::{Options, split_outside};
use crate::simulator::query::{World, answer_json};
use serde_json::{Map, Value, json};

/// What this environment's definitions are at; they do not change while it runs.
const STAMP: &str = "1000001!01/01/2024 00:00:00";

/// Collections of a table's definition and the sub-query that shapes each.
const COLLECTIONS: [(&str, &str); 5] = [
    ("Attributes", "AttributeQuery"),
    ("Keys", "KeyQuery"),
    ("ManyToOneRelationships", "RelationshipQuery"),
    ("OneToManyRelationships", "RelationshipQuery"),
    ("ManyToManyRelationships", "RelationshipQuery"),
];

/// Answers the function; `args` is the text between its parentheses.
///
/// # Errors
/// 400 for a query that does not fit, `0x80044352` for a stamp from elsewhere.
///
/// Source: `dataverse-web-api.md` §8.5.
pub fn changes(world: &World, args: &str, options: &Options) -> Result<Answer, Refusal> {
    let mut query = Value::Null;
    let mut stamp = String::new();
    for part in split_outside(args, ',') {
        let Some((name, text)) = part.trim().split_once('=') else {
            return Err(bad_query("RetrieveMetadataChanges needs the parameter Query."));
        };
        let text = match text.trim().strip_prefix('@') {
            Some(alias) => options.aliases.get(alias).map(String::as_str).ok_or_else(|| {
                bad_query(format!("The parameter alias '@{alias}' was not found in the request."))
            })?,
            None => text.trim(),
        };
        match name.trim() {
            "Query" => {
                query = serde_json::from_str(text)
                    .map_err(|e| bad_query(format!("The parameter Query is not valid: {e}.")))?;
            }
            "ClientVersionStamp" if text != "null" => {
                text.trim_matches('\'').clone_into(&mut stamp);
            }
            "ClientVersionStamp"
            | "DeletedMetadataFilters"
            | "AppModuleId"
            | "RetrieveAllSettings" => {}
            other => {
                return Err(bad_query(format!(
                    "RetrieveMetadataChanges has no parameter '{other}'."
                )));
            }
        }
    }
    let tables = match stamp.as_str() {
        "" => changed(world, &query)?,
        STAMP => Vec::new(),
        _ => {
            return Err(Refusal::new(
                400,
                0x8004_4352,
                "Version stamp associated with the client has expired. Please perform a full sync.",
            ));
        }
    };
    Ok(answer_json(&json!({
        "@odata.context": format!(
            "{}/$metadata#Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse",
            world.base()
        ),
        "ServerVersionStamp": STAMP,
        "EntityMetadata": tables,
        "DeletedMetadata": { "Count": 0, "IsReadOnly": false, "Keys": [], "Values": [] },
    })))
}

fn changed(world: &World, query: &Value) -> Result<Vec<Value>, Refusal> {
    let mut out = Vec::new();
    for table in &world.schema.tables {
        let node = Node::Table(table);
        let full = node.full(world.schema);
        if !passes(&full, &query["Criteria"])? {
            continue;
        }
        let (all, names) = properties(&query["Properties"]);
        let mut row = shaped(full, all, &names, node.kind())?;
        for (collection, sub) in COLLECTIONS {
            let asked = all
                || names.contains(&collection)
                || !query[sub].is_null() && sub != "RelationshipQuery";
            if !asked {
                continue;
            }
            let Some(Near::Many(nodes)) = node.navigate(world.schema, collection) else { continue };
            let (all, names) = match &query[sub] {
                Value::Null => (true, Vec::new()),
                sub => properties(&sub["Properties"]),
            };
            let mut items = Vec::new();
            for node in nodes {
                let mut full = node.full(world.schema);
                if !passes(&full, &query[sub]["Criteria"])? {
                    continue;
                }
                for name in ["OptionSet", "GlobalOptionSet"] {
                    if let Some(Near::One(Some(set))) = node.navigate(world.schema, name) {
                        full.insert(name.into(), Value::Object(set.full(world.schema)));
                    }
                }
                let mut item = shaped(full, all, &names, node.kind())?;
                let kind = format!("#Microsoft.Dynamics.CRM.{}", node.kind());
                item.insert("@odata.type".into(), kind.into());
                items.push(Value::Object(item));
            }
            row.insert(collection.into(), Value::Array(items));
        }
        out.push(Value::Object(row));
    }
    Ok(out)
}

fn properties(value: &Value) -> (bool, Vec<&str>) {
    let all = value["AllProperties"].as_bool().unwrap_or(false);
    let names = value["PropertyNames"].as_array();
    (all, names.into_iter().flatten().filter_map(Value::as_str).collect())
}

/// The named properties that this type has; a query names those of all column types at once.
fn shaped(
    full: Map<String, Value>,
    all: bool,
    names: &[&str],
    kind: &str,
) -> Result<Map<String, Value>, Refusal> {
    if all {
        return Ok(full);
    }
    let own: Vec<&str> = names.iter().copied().filter(|n| full.contains_key(*n)).collect();
    keep_selected(full, &own.join(","), kind, "MetadataId")
}

/// Whether a definition passes a `MetadataFilterExpression`.
fn passes(full: &Map<String, Value>, criteria: &Value) -> Result<bool, Refusal> {
    if criteria.is_null() {
        return Ok(true);
    }
    let mut results = Vec::new();
    for condition in criteria["Conditions"].as_array().into_iter().flatten() {
        results.push(condition_holds(full, condition)?);
    }
    for filter in criteria["Filters"].as_array().into_iter().flatten() {
        results.push(passes(full, filter)?);
    }
    let any = criteria["FilterOperator"].as_str().is_some_and(|o| o.eq_ignore_ascii_case("or"));
    Ok(if any { results.is_empty() || results.contains(&true) } else { !results.contains(&false) })
}

fn condition_holds(full: &Map<String, Value>, condition: &Value) -> Result<bool, Refusal> {
    let name = condition["PropertyName"].as_str().unwrap_or_default();
    let own = full
        .get(name)
        .ok_or_else(|| bad_query(format!("The metadata property '{name}' is not known.")))?;
    let text = |value: &Value| match value {
        Value::String(text) => text.to_lowercase(),
        other => other.to_string().to_lowercase(),
    };
    let value = match &condition["Value"] {
        Value::Object(typed) => typed.get("Value").unwrap_or(&Value::Null),
        plain => plain,
    };
    let wanted: Vec<String> = match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::String(list) if list.starts_with('[') => {
            let json = list.replace('\'', "\"");
            let items: Vec<Value> = serde_json::from_str(&json)
                .map_err(|_| bad_query(format!("'{list}' is not a list.")))?;
            items.iter().map(text).collect()
        }
        one => vec![text(one)],
    };
    let found = wanted.contains(&text(own));
    match condition["ConditionOperator"].as_str().unwrap_or_default() {
        "Equals" | "In" => Ok(found),
        "NotEquals" | "NotIn" => Ok(!found),
        other => Err(bad_query(format!("The condition operator '{other}' is not supported."))),
    }
}
