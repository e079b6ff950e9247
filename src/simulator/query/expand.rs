//! Pure: `$expand`.

use super::World;
use super::annotations::Annotations;
use super::collection::{PAGE_MAX, Source, Wanted, find, test_of};
use super::order::{self, Order};
use super::page::Position;
use super::predicate::{RelatedIndex, Test, collection_table, target};
use super::refuse::{bad_query, unknown_property};
use super::render::{JsonText, Shape, shape, write_row};
use super::url::{Options, nested_options, split_outside};
use crate::simulator::call::Refusal;
use crate::simulator::schema::{CollectionDef, ColumnType};
use crate::simulator::store::Row;

/// Most nested levels and most items of one `$expand`.
const DEPTH_MAX: usize = 4;

/// One expanded navigation property.
#[derive(Debug)]
pub struct Expansion {
    /// Navigation property.
    pub name: String,
    /// Shape of the related rows.
    pub shape: Shape,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Over a lookup to a table; an owner may be of another table too.
    One { column: usize, table: usize, others: Vec<(usize, Shape)> },
    /// To a collection.
    Many(Box<Many>),
}

#[derive(Debug)]
struct Many {
    collection: CollectionDef,
    table: usize,
    test: Test,
    order: Order,
    top: usize,
    index: RelatedIndex,
}

/// Splits an `$expand` item into name and nested options.
///
/// # Errors
/// 400 for bad syntax and unsupported options.
pub fn item<'t>(text: &'t str, options: &Options) -> Result<(&'t str, Options), Refusal> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else {
        return Ok((text, Options { aliases: options.aliases.clone(), ..Options::default() }));
    };
    let inner = rest
        .strip_suffix(')')
        .ok_or_else(|| bad_query(format!("Syntax error in $expand at '{text}'.")))?;
    Ok((name.trim(), nested_options(inner, &options.aliases)?))
}

/// Reads `$expand`.
///
/// # Errors
/// 400 for unknown navigation properties and options that do not fit.
///
/// Source: `dataverse-web-api.md` §7.1.
pub fn expansions(
    world: &World,
    table: usize,
    options: &Options,
) -> Result<Vec<Expansion>, Refusal> {
    let Some(text) = &options.expand else { return Ok(Vec::new()) };
    if text.matches("$expand").count() >= DEPTH_MAX {
        return Err(bad_query("The $expand is nested too deeply."));
    }
    let def = &world.schema.tables[table];
    let mut out: Vec<Expansion> = Vec::new();
    for part in split_outside(text, ',') {
        let (name, inner) = item(part, options)?;
        if out.iter().any(|e| e.name == name) {
            return Err(bad_query(format!("'{name}' is expanded twice.")));
        }
        let (way, to) = if let Some(&(column, to)) = def.by_navigation.get(name) {
            if inner.filter.is_some() || inner.orderby.is_some() || inner.top.is_some() {
                return Err(bad_query(format!(
                    "Only $select and $expand fit the single-valued property '{name}'."
                )));
            }
            let others = other_targets(world, (table, column), (name, to), &inner)?;
            (Way::One { column, table: to, others }, to)
        } else if let Some(&collection) = def.collections.get(name) {
            let to = collection_table(world, collection);
            let test = test_of(world, to, &inner)?;
            let order = order::parse(world, to, &inner)?;
            let top = inner.top.unwrap_or(PAGE_MAX).min(PAGE_MAX);
            let index = RelatedIndex::default();
            (Way::Many(Box::new(Many { collection, table: to, test, order, top, index })), to)
        } else {
            return Err(unknown_property(name, &def.name));
        };
        out.push(Expansion { name: name.to_owned(), shape: shape(world, to, &inner)?, way });
    }
    Ok(out)
}

/// Shapes of the rows of other tables the same navigation property leads to. Names only the
/// first table has are left out there.
fn other_targets(
    world: &World,
    (table, column): (usize, usize),
    (name, first): (&str, usize),
    inner: &Options,
) -> Result<Vec<(usize, Shape)>, Refusal> {
    let ColumnType::Lookup { targets, .. } = &world.schema.tables[table].columns[column].kind
    else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for target in targets {
        let to = target.table_index;
        if to == first || target.navigation != name {
            continue;
        }
        let def = &world.schema.tables[to];
        let select = inner.select.as_ref().map(|select| {
            let known = |n: &&str| *n == "*" || def.by_property.contains_key(*n);
            let names = select.split(',').map(str::trim).filter(known);
            names.chain([def.columns[0].name.as_str()]).collect::<Vec<_>>().join(",")
        });
        let options = Options { select, aliases: inner.aliases.clone(), ..Options::default() };
        out.push((to, shape(world, to, &options)?));
    }
    Ok(out)
}

/// Writes `"name":` and the related row or rows.
pub fn write_expansion(
    world: &World,
    out: &mut Vec<u8>,
    row: &Row,
    expansion: &Expansion,
    annotations: &Annotations,
) {
    out.json_text(&expansion.name);
    out.push(b':');
    match &expansion.way {
        Way::One { column, table, others } => {
            let found = row.values.get(*column).and_then(|value| target(world, value));
            let found = found.and_then(|(to, row)| {
                let other = || others.iter().find(|(t, _)| *t == to).map(|(_, shape)| shape);
                let shape = if to == *table { Some(&expansion.shape) } else { other() };
                Some((to, row, shape?))
            });
            match found {
                Some((to, row, shape)) => {
                    write_row(world, out, to, row, shape, annotations, None);
                }
                None => out.extend_from_slice(b"null"),
            }
        }
        Way::Many(many) => {
            let Many { collection, table, test, order, top, index } = &**many;
            let places = index.places(world, *collection, row.id).to_vec();
            let source = Source { table: *table, places: Some(places), context: String::new() };
            let wanted = Wanted {
                test,
                order: order.clone(),
                limit: *top,
                from: Position::default(),
                count: false,
            };
            out.push(b'[');
            for (at, row) in find(world, &source, &wanted).rows.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_row(world, out, *table, row, &expansion.shape, annotations, None);
            }
            out.push(b']');
        }
    }
}
