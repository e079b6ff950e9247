//! Pure: `FetchXML` reads.

pub mod query;
pub mod run;
pub mod xml;

use super::annotations::{FETCH_COOKIE, MORE, Preferences, TOTAL, TOTAL_EXCEEDED};
use super::collection::{PAGE_MAX, Source, apply_preferences};
use super::formatted::formatted;
use super::page::Position;
use super::refuse::bad_query;
use super::render::{JsonText, write_notes, write_value};
use super::url::Options;
use super::{World, json_bytes};
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::model::etag;
use crate::simulator::value::Value;
use query::Query;
use run::Joined;

/// Rows before which a page needs no cookie.
const COOKIELESS_ROWS_MAX: usize = 50_000;

/// Answers a collection read with `fetchXml`.
///
/// # Errors
/// 400 for a query that does not fit, `0x8004430A` for a high page without cookie, `0x8004E023`
/// for an aggregate over too many rows.
///
/// Source: `dataverse-web-api.md` §7.4.
pub fn read(
    world: &World,
    source: &Source,
    options: &Options,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    let Some(text) = &options.fetch_xml else { return Err(bad_query("fetchXml is missing.")) };
    if source.places.is_some()
        || options.select.is_some()
        || options.filter.is_some()
        || options.orderby.is_some()
        || options.expand.is_some()
    {
        return Err(bad_query("fetchXml does not go together with other query options."));
    }
    let query = query::bind(world, source.table, &xml::parse(text)?)?;
    if query.aggregate {
        return aggregate(world, source, &query, preferences);
    }
    let size = query.top.unwrap_or(query.size).min(PAGE_MAX);
    let before = (query.page - 1).saturating_mul(size);
    // An empty cookie is none: Microsoft's samples send one with the first page.
    let from = match query.cookie.as_deref().filter(|cookie| !cookie.is_empty()) {
        None if before > COOKIELESS_ROWS_MAX => {
            return Err(Refusal::new(
                400,
                0x8004_430A,
                "Paging cookie is required when trying to retrieve a set of records on any high \
                 pages.",
            ));
        }
        None => None,
        Some(cookie) => Some(Position::of(cookie).ok_or_else(|| {
            bad_query("Malformed XML in the paging cookie. Please check the paging cookie.")
        })?),
    };
    let page = run::page(world, &query, before, size, from);
    let next = page.next.filter(|_| query.top.is_none());
    let annotations = &preferences.annotations;
    let mut out = vec![b'{'];
    let fields: Vec<&str> = query.outputs.iter().map(|o| o.name.as_str()).collect();
    let context = format!("{}/$metadata#{}({})", world.base(), source.context, fields.join(","));
    out.json_field("@odata.context", &context);
    if annotations.wants(TOTAL) {
        let total = page.total.map_or_else(|| "-1".to_owned(), |t| t.min(PAGE_MAX).to_string());
        out.extend_from_slice(format!(",\"@{TOTAL}\":{total}").as_bytes());
    }
    if annotations.wants(TOTAL_EXCEEDED) {
        let exceeded = page.total.is_some_and(|t| t > PAGE_MAX);
        out.extend_from_slice(format!(",\"@{TOTAL_EXCEEDED}\":{exceeded}").as_bytes());
    }
    if let Some(next) = next {
        if annotations.wants(FETCH_COOKIE) {
            out.push(b',');
            out.json_field(&format!("@{FETCH_COOKIE}"), &next.token());
        }
        if annotations.wants(MORE) {
            out.extend_from_slice(format!(",\"@{MORE}\":true").as_bytes());
        }
    }
    out.extend_from_slice(b",\"value\":[");
    for (at, rows) in page.rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_joined(world, &mut out, &query, rows, preferences);
    }
    out.extend_from_slice(b"]}");
    let mut answer = json_bytes(out);
    answer.table = Some(source.table);
    answer.rows = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
    apply_preferences(&mut answer, preferences);
    Ok(answer)
}

/// Columns without a value are left out.
fn write_joined<'a>(
    world: &World<'a>,
    out: &mut Vec<u8>,
    query: &Query,
    rows: &Joined<'a>,
    preferences: &Preferences,
) {
    out.push(b'{');
    let mut first = true;
    if let (false, Some(Some(row))) = (query.distinct, rows.first()) {
        out.json_field("@odata.etag", &etag(&world.schema.tables[query.slots[0].table], row));
        first = false;
    }
    for output in &query.outputs {
        let value = output.reach.value(world, rows);
        if *value == Value::Null {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        let annotations = &preferences.annotations;
        write_notes(world, out, &output.name, output.column, &value, annotations);
        out.json_text(&output.name);
        out.push(b':');
        write_value(out, &value);
    }
    out.push(b'}');
}

fn aggregate(
    world: &World,
    source: &Source,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    let mut results =
        super::aggregate::aggregate(world, run::all(world, query), &query.groups, &query.measures)?;
    let groups = query.groups.iter().map(|g| g.alias.as_str());
    let names: Vec<&str> = groups.chain(query.measures.iter().map(|m| m.alias.as_str())).collect();
    for (alias, descending) in query.alias_order.iter().rev() {
        let at = names
            .iter()
            .position(|n| n == alias)
            .ok_or_else(|| xml::invalid(format!("No column has the alias '{alias}'.")))?;
        results.sort_by(|a, b| {
            let order = super::scalar::order_values(&a[at], &b[at]);
            if *descending { order.reverse() } else { order }
        });
    }
    if let Some(top) = query.top {
        results.truncate(top);
    }
    let mut out = vec![b'{'];
    let context = format!("{}/$metadata#{}", world.base(), source.context);
    out.json_field("@odata.context", &context);
    out.extend_from_slice(b",\"value\":[");
    for (at, result) in results.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        let mut first = true;
        for (at, (name, value)) in names.iter().zip(result).enumerate() {
            if *value == Value::Null {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            let group = query.groups.get(at).filter(|g| g.part.is_none());
            if let Some(group) = group {
                let annotations = &preferences.annotations;
                write_notes(world, &mut out, name, group.column, value, annotations);
            } else if let (true, Some(reach)) = (
                preferences.annotations.wants(super::annotations::FORMATTED),
                at.checked_sub(query.groups.len()).and_then(|m| query.measures[m].reach.as_ref()),
            ) {
                let column = &world.schema.tables[reach.table].columns[reach.column];
                if let Some(text) = formatted(world, column, value) {
                    out.json_field(&format!("{name}@{}", super::annotations::FORMATTED), &text);
                    out.push(b',');
                }
            }
            out.json_text(name);
            out.push(b':');
            write_value(&mut out, value);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let mut answer = json_bytes(out);
    answer.table = Some(source.table);
    apply_preferences(&mut answer, preferences);
    Ok(answer)
}

#[cfg(test)]
mod tests;
