//! Pure: change tracking: what was made, changed or deleted since a token.
//!
//! Source: `dataverse-web-api.md` §7.5.

use super::annotations::Preferences;
use super::collection::{Asked, Source, apply_preferences, page_max};
use super::refuse::bad_query;
use super::render::{JsonText, shape, write_row};
use super::url::Options;
use super::{World, json_bytes};
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::store::Row;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use uuid::Uuid;

/// Days a token lives (`ExpireChangeTrackingInDays`).
const TOKEN_DAYS: i64 = 7;
const TOKEN_TIME: &str = "%m/%d/%Y %H:%M:%S";

/// A row that was made or changed, or the id of one that was deleted.
enum Change<'a> {
    Row(&'a Row),
    Deleted(Uuid),
}

/// Whether changes of `source` may be read with these options.
///
/// # Errors
/// `0x80072491` for a table without change tracking, 400 for options that do not go with it.
pub fn check(world: &World, source: &Source, options: &Options) -> Result<(), Refusal> {
    let def = &world.schema.tables[source.table];
    if !def.change_tracking || source.places.is_some() {
        return Err(Refusal::new(
            400,
            0x8007_2491,
            format!("Change tracking is not enabled for the entity '{}'.", def.name),
        ));
    }
    for (name, given) in [
        ("$filter", options.filter.is_some()),
        ("$orderby", options.orderby.is_some()),
        ("$expand", options.expand.is_some()),
        ("$top", options.top.is_some()),
    ] {
        if given {
            return Err(bad_query(format!(
                "The query option {name} cannot be used with change tracking."
            )));
        }
    }
    Ok(())
}

/// Address under which the changes after `version` are found.
#[must_use]
pub fn link(world: &World, asked: &Asked, version: u64) -> String {
    let now = Timestamp::from_millisecond(world.ctx.now_ms).unwrap_or_default();
    let now = now.to_zoned(TimeZone::UTC).strftime(TOKEN_TIME);
    asked.with_token(world, "$deltatoken", &format!("{version}!{now}"))
}

/// The version in a token.
fn version(world: &World, source: &Source, token: &str) -> Result<u64, Refusal> {
    let bad = || bad_query("Malformed $deltatoken.");
    let (version, time) = token.split_once(['!', ' ']).ok_or_else(bad)?;
    let version = version.parse().map_err(|_| bad())?;
    let made = DateTime::strptime(TOKEN_TIME, time)
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map_err(|_| bad())?;
    let age = world.ctx.now_ms.saturating_sub(made.timestamp().as_millisecond());
    let forgotten = world.store.tables[source.table].deleted.forgotten;
    if age > TOKEN_DAYS * 86_400_000 || version < forgotten {
        return Err(Refusal::new(
            400,
            0x8004_4352,
            "The version stamp is older than the change tracking keeps; read all rows again.",
        ));
    }
    Ok(version)
}

/// Answers a read with `$deltatoken`: a page of changes in the order they happened.
///
/// # Errors
/// 400 for a token that cannot be read, `0x80044352` for one that is too old.
pub fn read(
    world: &World,
    source: &Source,
    token: &str,
    options: &Options,
    preferences: &Preferences,
    asked: &Asked,
) -> Result<Answer, Refusal> {
    let after = version(world, source, token)?;
    let shape = shape(world, source.table, options)?;
    let rows = &world.store.tables[source.table];
    let changed =
        rows.iter().filter(|r| r.version > after).map(|row| (row.version, Change::Row(row)));
    let deleted = rows.deleted.after(after).map(|(at, id)| (at, Change::Deleted(id)));
    let mut changes: Vec<_> = changed.chain(deleted).collect();
    changes.sort_by_key(|(version, _)| *version);
    let most = page_max(world, source.table);
    let limit = preferences.page_size.map_or(most, |size| size.min(most));
    let more = changes.len() > limit;
    changes.truncate(limit);
    let mut out = vec![b'{'];
    let base = world.base();
    let context = format!("{base}/$metadata#{}{}/$delta", source.context, shape.context());
    out.json_field("@odata.context", &context);
    out.extend_from_slice(b",\"value\":[");
    for (at, (_, change)) in changes.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match change {
            Change::Row(row) => {
                let annotations = &preferences.annotations;
                write_row(world, &mut out, source.table, row, &shape, annotations, None);
            }
            Change::Deleted(id) => {
                out.push(b'{');
                let context = format!("{base}/$metadata#{}/$deletedEntity", source.context);
                out.json_field("@odata.context", &context);
                out.extend_from_slice(
                    format!(",\"id\":\"{id}\",\"reason\":\"deleted\"}}").as_bytes(),
                );
            }
        }
    }
    out.extend_from_slice(b"],");
    match changes.last() {
        Some((version, _)) if more => {
            out.json_field("@odata.nextLink", &link(world, asked, *version));
        }
        _ => out.json_field("@odata.deltaLink", &link(world, asked, world.version)),
    }
    out.push(b'}');
    let mut answer = json_bytes(out);
    answer.table = Some(source.table);
    answer.rows = u32::try_from(changes.len()).unwrap_or(u32::MAX);
    apply_preferences(&mut answer, preferences);
    Ok(answer)
}
