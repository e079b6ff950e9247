//! Pure: `FetchXML` queries run over the store.

use super::query::{Join, Query, Slot};
use crate::simulator::query::page::Position;
use crate::simulator::query::predicate::{Test, value_of};
use crate::simulator::query::render::bare;
use crate::simulator::query::scalar::{fold, order_values};
use crate::simulator::query::{World, plan};
use crate::simulator::schema::Storage;
use crate::simulator::store::Row;
use crate::simulator::value::Value;
use std::collections::{HashMap, HashSet};

/// One row per slot; `None` where an outer join found no partner.
pub type Joined<'a> = Vec<Option<&'a Row>>;

/// Rows of one page.
pub struct Page<'a> {
    /// Rows.
    pub rows: Vec<Joined<'a>>,
    /// Start of the next page, if there is one.
    pub next: Option<Position>,
    /// All rows, when asked for.
    pub total: Option<usize>,
}

/// Rows of a joined table by the folded text of the joining column.
type Index<'a> = HashMap<String, Vec<&'a Row>>;

/// One page: `before` rows are skipped unless the cookie knows where to start.
#[must_use]
pub fn page<'a>(
    world: &World<'a>,
    query: &Query,
    before: usize,
    size: usize,
    from: Option<Position>,
) -> Page<'a> {
    let number = query.page;
    let plain = query.order.is_empty() && query.slots.len() == 1 && !query.distinct && !query.total;
    if let (true, Some(from)) = (plain, from) {
        let mut rows = Vec::new();
        for (place, joined) in main_rows(world, query, from.place) {
            if rows.len() == size {
                let next = Position {
                    page: number,
                    given: from.given.saturating_add(size),
                    place,
                    since: None,
                };
                return Page { rows, next: Some(next), total: None };
            }
            rows.push(joined);
        }
        return Page { rows, next: None, total: None };
    }
    if plain {
        let mut rows = Vec::new();
        for (place, joined) in main_rows(world, query, 0).skip(before) {
            if rows.len() == size {
                let next = Position {
                    page: number,
                    given: before.saturating_add(size),
                    place,
                    since: None,
                };
                return Page { rows, next: Some(next), total: None };
            }
            rows.push(joined);
        }
        return Page { rows, next: None, total: None };
    }
    let mut rows: Vec<Joined> = all(world, query).collect();
    if !query.order.is_empty() {
        rows.sort_by(|a, b| {
            query
                .order
                .iter()
                .map(|(reach, descending)| {
                    let order = order_values(&reach.value(world, a), &reach.value(world, b));
                    if *descending { order.reverse() } else { order }
                })
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    if query.distinct {
        let mut seen = HashSet::new();
        rows.retain(|row| {
            let texts = query.outputs.iter().map(|o| fold(&bare(&o.reach.value(world, row))));
            seen.insert(texts.collect::<Vec<_>>().join("\u{1f}"))
        });
    }
    let total = query.total.then_some(rows.len());
    let more = rows.len() > before.saturating_add(size);
    let next = more.then_some(Position {
        page: number,
        given: before.saturating_add(size),
        place: 0,
        since: None,
    });
    Page { rows: rows.into_iter().skip(before).take(size).collect(), next, total }
}

/// Main rows that pass, from a place on, with their places; for queries without joins.
fn main_rows<'a, 'q>(
    world: &'q World<'a>,
    query: &'q Query,
    from: usize,
) -> impl Iterator<Item = (usize, Joined<'a>)> + 'q {
    let table = query.slots[0].table;
    let rows = &world.store.tables[table];
    let places: Box<dyn Iterator<Item = usize>> = match plan::candidates(world, table, &query.test)
    {
        Some(places) => Box::new(places.into_iter()),
        None => Box::new(0..rows.rows.len()),
    };
    places.filter(move |place| *place >= from).filter_map(move |place| {
        let joined = vec![Some(rows.row(place)?)];
        query.test.holds(world, &joined).then_some((place, joined))
    })
}

/// All joined rows that pass, in the order of the main table.
pub fn all<'a, 'q>(
    world: &'q World<'a>,
    query: &'q Query,
) -> impl Iterator<Item = Joined<'a>> + 'q {
    let table = query.slots[0].table;
    let rows = &world.store.tables[table];
    let indexes: Vec<Option<Index<'a>>> =
        query.slots.iter().map(|slot| index(world, slot)).collect();
    // A test over the main row alone can use the indexes of the store.
    let places: Vec<usize> = plan::candidates(world, table, &query.test)
        .unwrap_or_else(|| (0..rows.rows.len()).collect());
    places
        .into_iter()
        .filter_map(move |place| rows.row(place))
        .flat_map(move |row| {
            let mut joined = vec![vec![Some(row)]];
            for (slot, index) in query.slots.iter().zip(&indexes).skip(1) {
                joined = join(world, query, slot, index.as_ref(), joined);
            }
            joined
        })
        .filter(move |row| query.test.holds(world, row))
}

fn index<'a>(world: &World<'a>, slot: &Slot) -> Option<Index<'a>> {
    let join = slot.join.as_ref()?;
    let standard = world.schema.tables[slot.table].storage == Storage::Standard;
    if join.from == 0 && standard {
        return None;
    }
    let mut out = Index::new();
    for row in world.store.tables[slot.table].iter() {
        if let Some(key) = join_key(&value_of(world, slot.table, row, join.from)) {
            out.entry(key).or_default().push(row);
        }
    }
    Some(out)
}

fn join_key(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        other => Some(fold(&bare(other))),
    }
}

fn join<'a>(
    world: &World<'a>,
    query: &Query,
    slot: &Slot,
    index: Option<&Index<'a>>,
    rows: Vec<Joined<'a>>,
) -> Vec<Joined<'a>> {
    let Some(Join { parent, to, outer, test, .. }) = &slot.join else { return rows };
    let mut out = Vec::new();
    for row in rows {
        let value = row[*parent]
            .map(|from| value_of(world, query.slots[*parent].table, from, *to).into_owned())
            .unwrap_or(Value::Null);
        let partners: Vec<&'a Row> = match (index, &value) {
            (None, Value::Guid(id) | Value::Reference(_, id)) => {
                world.store.row(slot.table, *id).into_iter().collect()
            }
            (Some(index), value) => {
                join_key(value).and_then(|key| index.get(&key)).cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let before = out.len();
        for partner in partners {
            let mut joined = row.clone();
            joined.push(Some(partner));
            if *test == Test::And(Vec::new()) || test.holds(world, &joined) {
                out.push(joined);
            }
        }
        if *outer && out.len() == before {
            let mut joined = row;
            joined.push(None);
            out.push(joined);
        }
    }
    out
}
