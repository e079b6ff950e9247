//! Pure: which rows a test can be true for at all, from the indexes.

use super::World;
use super::filter::Comparison;
use super::keys::place_by_key;
use super::predicate::{Reach, Set, Test};
use super::scalar::Constant;
use crate::simulator::keys::enforced;
use crate::simulator::schema::Storage;

/// Places of the rows that can pass, ascending; `None` when every row has to be looked at.
#[must_use]
pub fn candidates(world: &World, table: usize, test: &Test) -> Option<Vec<usize>> {
    if world.schema.tables[table].storage == Storage::Elastic {
        return None;
    }
    let mut places = match test {
        Test::Constant(false) => Vec::new(),
        Test::Is(reach, Comparison::Eq, constant) if is_own(reach) => {
            by_column(world, table, reach.column, std::slice::from_ref(constant))?
        }
        Test::In(reach, set) if is_own(reach) => {
            by_column(world, table, reach.column, &constants(set))?
        }
        Test::And(parts) => {
            return by_composite_key(world, table, parts)
                .or_else(|| parts.iter().find_map(|t| candidates(world, table, t)));
        }
        Test::Or(parts) => {
            let lists: Option<Vec<_>> = parts.iter().map(|t| candidates(world, table, t)).collect();
            lists?.concat()
        }
        _ => return None,
    };
    places.sort_unstable();
    places.dedup();
    Some(places)
}

fn is_own(reach: &Reach) -> bool {
    reach.slot == 0 && reach.steps.is_empty()
}

fn constants(set: &Set) -> Vec<Constant> {
    let guids = set.guids.iter().map(|id| Constant::Guid(*id));
    let texts = set.texts.iter().map(|text| Constant::Text(text.clone()));
    let numbers = set.numbers.iter().map(|number| Constant::Number(*number));
    guids.chain(texts).chain(numbers).chain(set.others.iter().cloned()).collect()
}

/// Rows by the primary key or by an alternate key of one column.
fn by_column(
    world: &World,
    table: usize,
    column: usize,
    constants: &[Constant],
) -> Option<Vec<usize>> {
    if column == 0 {
        let place = |constant: &Constant| match constant {
            Constant::Guid(id) => world.store.place(table, *id),
            _ => None,
        };
        return Some(constants.iter().filter_map(place).collect());
    }
    let keys = &world.schema.tables[table].keys;
    let key = keys.iter().position(|key| enforced(key) && key.columns == [column])?;
    let place =
        |constant: &Constant| place_by_key(world, table, key, &[(column, constant.clone())]);
    Some(constants.iter().filter_map(place).collect())
}

/// Rows by an alternate key of several columns, all of which are compared with `eq`.
fn by_composite_key(world: &World, table: usize, parts: &[Test]) -> Option<Vec<usize>> {
    let equal: Vec<(usize, Constant)> = parts
        .iter()
        .filter_map(|part| match part {
            Test::Is(reach, Comparison::Eq, constant) if is_own(reach) => {
                Some((reach.column, constant.clone()))
            }
            _ => None,
        })
        .collect();
    let keys = &world.schema.tables[table].keys;
    let key = keys.iter().position(|key| {
        enforced(key) && key.columns.iter().all(|c| equal.iter().any(|(own, _)| own == c))
    })?;
    Some(place_by_key(world, table, key, &equal).into_iter().collect())
}
