//! Pure: reads that start at an entity set: collections, rows, properties, related rows.

use super::annotations::Preferences;
use super::changes;
use super::collection::{self, Asked, Source, apply_preferences};
use super::keys::{by_id, key_values, locate};
use super::lex::Literal;
use super::predicate::{collection_table, related, target, value_of};
use super::refuse::{bad_query, unknown_resource};
use super::render::{JsonText, bare, shape, write_notes, write_row, write_value};
use super::url::{Options, Segment};
use super::{World, json_bytes, plain};
use crate::simulator::call::{Answer, Call, Refusal};
use crate::simulator::model::etag;
use crate::simulator::schema::{ColumnType, Property};
use crate::simulator::store::Row;
use crate::simulator::value::Value;

/// A read under way.
struct Read<'r> {
    options: &'r Options,
    preferences: &'r Preferences,
    call: &'r Call<'r>,
}

/// Answers a read whose path starts with an entity set.
///
/// # Errors
/// 404 for rows and segments that are not there, 400 for options that do not fit.
///
/// Source: `dataverse-web-api.md` §4.4, §7.
pub fn read(
    world: &World,
    table: usize,
    segments: &[Segment],
    options: &Options,
    preferences: &Preferences,
    call: &Call,
) -> Result<Answer, Refusal> {
    let (first, rest) = segments.split_first().ok_or_else(|| unknown_resource(""))?;
    let read = Read { options, preferences, call };
    match &first.args {
        None => {
            let source = Source { table, places: None, context: first.name.clone() };
            read.collection(world, &source, rest)
        }
        Some(args) => {
            let row = locate(world, table, args, options.partition.as_deref())?;
            read.row(world, table, row, rest)
        }
    }
}

impl Read<'_> {
    fn collection(
        &self,
        world: &World,
        source: &Source,
        rest: &[Segment],
    ) -> Result<Answer, Refusal> {
        match rest {
            [] if self.options.fetch_xml.is_some() => {
                super::fetch::read(world, source, self.options, self.preferences)
            }
            [] if self.options.apply.is_some() => {
                super::apply::read(world, source, self.options, self.preferences)
            }
            [] => {
                let asked = Asked { path: self.call.path, query: self.call.query };
                if self.preferences.track_changes || self.options.deltatoken.is_some() {
                    changes::check(world, source, self.options)?;
                }
                if let Some(token) = &self.options.deltatoken {
                    let (options, preferences) = (self.options, self.preferences);
                    return changes::read(world, source, token, options, preferences, &asked);
                }
                collection::read(world, source, self.options, self.preferences, &asked)
            }
            [step] if step.name == "$count" => collection::count(world, source, self.options),
            [step] if step.name == "$ref" => references(world, source, self.options),
            [step, ..] => Err(unknown_resource(&step.name)),
        }
    }

    fn row(
        &self,
        world: &World,
        table: usize,
        row: &Row,
        rest: &[Segment],
    ) -> Result<Answer, Refusal> {
        let def = &world.schema.tables[table];
        let Some((step, rest)) = rest.split_first() else { return self.whole(world, table, row) };
        if step.name == "$ref" && rest.is_empty() {
            let body = format!(
                "{{\"@odata.context\":\"{0}/$metadata#$ref\",\"@odata.id\":\"{0}/{1}({2})\"}}",
                world.base(),
                def.set,
                row.id
            );
            return Ok(json_bytes(body.into_bytes()));
        }
        if step.name == format!("Microsoft.Dynamics.CRM.{}", def.name) {
            return self.row(world, table, row, rest);
        }
        if let Some(&collection) = def.collections.get(&step.name) {
            let other = collection_table(world, collection);
            let places = related(world, collection, row.id);
            if let Some(args) = &step.args {
                let values = key_values(args)?;
                let [key] = values.as_slice() else { return Err(unknown_resource(&step.name)) };
                let Literal::Guid(id) = key.literal else {
                    return Err(unknown_resource(&step.name));
                };
                let next = by_id(world, other, id, None)?;
                let inside = places
                    .iter()
                    .any(|p| world.store.tables[other].row(*p).is_some_and(|r| r.id == id));
                if !inside {
                    return Err(super::refuse::missing_row(&world.schema.tables[other].name, id));
                }
                return self.row(world, other, next, rest);
            }
            let context = world.schema.tables[other].set.clone();
            let source = Source { table: other, places: Some(places), context };
            return self.collection(world, &source, rest);
        }
        match def.by_property.get(&step.name) {
            Some(Property::Column(c) | Property::LookupValue(c)) if def.columns[*c].for_read => {
                self.property(world, table, row, *c, &step.name, rest)
            }
            Some(&Property::Navigation(column, _)) => {
                let column_def = &def.columns[column];
                let ColumnType::Lookup { targets, .. } = &column_def.kind else {
                    return Err(unknown_resource(&step.name));
                };
                let found = row.values.get(column).and_then(|value| target(world, value));
                let fits = |to: usize| {
                    targets.iter().any(|t| t.table_index == to && t.navigation == step.name)
                };
                match found.filter(|(to, _)| fits(*to)) {
                    Some((to, next)) => self.row(world, to, next, rest),
                    None => Ok(Answer { status: 204, table: Some(table), ..Answer::default() }),
                }
            }
            _ => Err(unknown_resource(&step.name)),
        }
    }

    fn whole(&self, world: &World, table: usize, row: &Row) -> Result<Answer, Refusal> {
        let def = &world.schema.tables[table];
        let options = self.options;
        if let Some(name) = [
            ("$filter", options.filter.is_some()),
            ("$orderby", options.orderby.is_some()),
            ("$top", options.top.is_some()),
            ("$apply", options.apply.is_some()),
        ]
        .iter()
        .find_map(|(name, given)| given.then_some(*name))
        {
            return Err(bad_query(format!("{name} needs a collection.")));
        }
        let own = etag(def, row);
        // `If-None-Match: null` is what clients send to keep proxies away.
        if self.call.header("If-None-Match").is_some_and(|sent| sent == own) {
            return Ok(Answer { status: 304, table: Some(table), ..Answer::default() });
        }
        let shape = shape(world, table, options)?;
        let context = format!("{}/$metadata#{}{}/$entity", world.base(), def.set, shape.context());
        let mut out = Vec::with_capacity(512);
        let annotations = &self.preferences.annotations;
        write_row(world, &mut out, table, row, &shape, annotations, Some(&context));
        let mut answer = json_bytes(out);
        answer.table = Some(table);
        answer.rows = 1;
        answer.headers.push(("ETag", own));
        apply_preferences(&mut answer, self.preferences);
        Ok(answer)
    }

    fn property(
        &self,
        world: &World,
        table: usize,
        row: &Row,
        column: usize,
        name: &str,
        rest: &[Segment],
    ) -> Result<Answer, Refusal> {
        let def = &world.schema.tables[table];
        let value = value_of(world, table, row, column);
        match rest {
            [] => {}
            [step] if step.name == "$value" => {}
            [step, ..] => return Err(unknown_resource(&step.name)),
        }
        if *value == Value::Null {
            return Ok(Answer { status: 204, table: Some(table), ..Answer::default() });
        }
        let mut answer = if rest.is_empty() {
            let mut out = vec![b'{'];
            let context = format!("{}/$metadata#{}({})/{name}", world.base(), def.set, row.id);
            out.json_field("@odata.context", &context);
            out.push(b',');
            let annotations = &self.preferences.annotations;
            write_notes(world, &mut out, "value", &def.columns[column], &value, annotations);
            out.extend_from_slice(b"\"value\":");
            write_value(&mut out, &value);
            out.push(b'}');
            json_bytes(out)
        } else {
            plain(bare(&value))
        };
        answer.table = Some(table);
        Ok(answer)
    }
}

/// Answers `…/$ref` of a collection: links only.
fn references(world: &World, source: &Source, options: &Options) -> Result<Answer, Refusal> {
    let def = &world.schema.tables[source.table];
    let test = collection::test_of(world, source.table, options)?;
    let wanted = collection::Wanted {
        test: &test,
        order: Vec::new(),
        limit: collection::page_max(world, source.table),
        from: super::page::Position::default(),
        count: false,
    };
    let links: Vec<String> = collection::find(world, source, &wanted)
        .rows
        .iter()
        .map(|row| format!("{{\"@odata.id\":\"{}/{}({})\"}}", world.base(), def.set, row.id))
        .collect();
    let body = format!(
        "{{\"@odata.context\":\"{}/$metadata#Collection($ref)\",\"value\":[{}]}}",
        world.base(),
        links.join(",")
    );
    Ok(json_bytes(body.into_bytes()))
}
