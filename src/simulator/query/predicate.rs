//! Pure: tests of rows, typed and bound to columns.

use super::World;
use super::filter::{Comparison, TextTest};
use super::scalar::{Constant, exact, fold, order, order_values};
use crate::simulator::schema::{CollectionDef, Storage};
use crate::simulator::store::Row;
use crate::simulator::value::Value;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Way to a column: from the row in a slot over lookups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Index of the row among the joined rows; 0 without joins.
    pub slot: usize,
    /// Lookups to follow: column, table it must lead to.
    pub steps: Vec<(usize, usize)>,
    /// Table of the column.
    pub table: usize,
    /// Column.
    pub column: usize,
}

/// Constants of an `In`.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Set {
    /// GUIDs.
    pub guids: HashSet<Uuid>,
    /// Folded texts.
    pub texts: HashSet<String>,
    /// Exact numbers.
    pub numbers: HashSet<i128>,
    /// Anything else.
    pub others: Vec<Constant>,
}

impl Set {
    /// Adds a constant.
    pub fn insert(&mut self, constant: Constant) {
        match constant {
            Constant::Guid(id) => {
                self.guids.insert(id);
            }
            Constant::Text(text) => {
                self.texts.insert(text);
            }
            Constant::Number(number) => {
                self.numbers.insert(number);
            }
            other => self.others.push(other),
        }
    }

    fn contains(&self, value: &Value) -> bool {
        let found = match value {
            Value::Null => return false,
            Value::Guid(id) | Value::Reference(_, id) => self.guids.contains(id),
            Value::Text(text) => self.texts.contains(&fold(text)),
            other => exact(other).is_some_and(|n| self.numbers.contains(&n)),
        };
        found || self.others.iter().any(|c| order(value, c).is_some_and(|o| o.is_eq()))
    }
}

/// A test.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// Always or never.
    Constant(bool),
    /// All.
    And(Vec<Self>),
    /// Any.
    Or(Vec<Self>),
    /// Not.
    Not(Box<Self>),
    /// No value.
    Null(Reach),
    /// Comparison with a constant.
    Is(Reach, Comparison, Constant),
    /// Text test; the text is folded.
    Text(Reach, TextTest, String),
    /// SQL pattern with `%`, `_`, `[…]`; folded.
    Like(Reach, Vec<char>),
    /// One of many.
    In(Reach, Set),
    /// Comparison of two columns.
    Columns(Reach, Comparison, Reach),
    /// Several-options column: holds any (or all and no other) of these.
    Options {
        /// Column.
        reach: Reach,
        /// Options, ascending.
        options: Vec<i32>,
        /// Exactly these instead of any of these.
        exactly: bool,
    },
    /// Related rows.
    Related {
        /// Collection.
        collection: CollectionDef,
        /// All of them instead of any.
        all: bool,
        /// Test of a related row.
        test: Box<Self>,
        /// Related rows.
        index: RelatedIndex,
    },
}

/// A row's value; the row version stands in its own field.
#[must_use]
pub fn value_of<'r>(world: &World, table: usize, row: &'r Row, column: usize) -> Cow<'r, Value> {
    if world.schema.tables[table].standing.version == Some(column) {
        return Cow::Owned(Value::Int(i64::try_from(row.version).unwrap_or(i64::MAX)));
    }
    row.values.get(column).map_or(Cow::Owned(Value::Null), Cow::Borrowed)
}

/// The row a lookup leads to.
#[must_use]
pub fn target<'a>(world: &World<'a>, value: &Value) -> Option<(usize, &'a Row)> {
    let Value::Reference(table, id) = value else { return None };
    let row = if world.schema.tables[*table].storage == Storage::Elastic {
        let place = world.store.place_in_partition(*table, *id, None)?;
        world.store.tables[*table].row(place)
    } else {
        world.store.row(*table, *id)
    };
    row.map(|row| (*table, row))
}

/// Places of related rows by the id of the row that has the collection; made once per request.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RelatedIndex(OnceCell<HashMap<Uuid, Vec<usize>>>);

impl RelatedIndex {
    /// Places of the rows of a collection-valued navigation property.
    pub fn places(&self, world: &World, collection: CollectionDef, id: Uuid) -> &[usize] {
        let index = self.0.get_or_init(|| {
            let mut out: HashMap<Uuid, Vec<usize>> = HashMap::new();
            for (from, place) in pairs(world, collection) {
                out.entry(from).or_default().push(place);
            }
            out
        });
        index.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Table of the rows of a collection-valued navigation property.
#[must_use]
pub fn collection_table(world: &World, collection: CollectionDef) -> usize {
    match collection {
        CollectionDef::OneToMany { table, .. } => table,
        CollectionDef::ManyToMany { relationship, side } => {
            world.schema.many_to_many[relationship].tables[1 - side]
        }
    }
}

/// Places of the rows of a collection-valued navigation property of one row, ascending.
#[must_use]
pub fn related(world: &World, collection: CollectionDef, id: Uuid) -> Vec<usize> {
    let mut places: Vec<usize> = pairs(world, collection)
        .into_iter()
        .filter(|(from, _)| *from == id)
        .map(|(_, place)| place)
        .collect();
    places.sort_unstable();
    places
}

/// Every pair of a relationship: id of the row that has the collection, place of the related row.
fn pairs(world: &World, collection: CollectionDef) -> Vec<(Uuid, usize)> {
    let id_in = |row: &Row, column: usize| match row.values.get(column) {
        Some(Value::Guid(id) | Value::Reference(_, id)) => Some(*id),
        _ => None,
    };
    match collection {
        CollectionDef::OneToMany { table, column } => {
            let rows = world.store.tables[table].rows.iter().enumerate();
            rows.filter_map(|(place, row)| Some((id_in(row.as_ref()?, column)?, place))).collect()
        }
        CollectionDef::ManyToMany { relationship, side } => {
            let link = &world.schema.many_to_many[relationship];
            let other = link.tables[1 - side];
            let intersect = &world.schema.tables[link.intersect];
            let [Some(here), Some(there)] =
                [side, 1 - side].map(|s| intersect.column(&link.columns[s]))
            else {
                return Vec::new();
            };
            world.store.tables[link.intersect]
                .iter()
                .filter_map(|row| {
                    let place = world.store.place(other, id_in(row, there)?)?;
                    Some((id_in(row, here)?, place))
                })
                .collect()
        }
    }
}

impl Reach {
    /// A column of the row itself.
    #[must_use]
    pub fn own(table: usize, column: usize) -> Self {
        Self { slot: 0, steps: Vec::new(), table, column }
    }

    /// The value reached; null when a lookup on the way is empty.
    #[must_use]
    pub fn value<'a>(&self, world: &World<'a>, rows: &[Option<&'a Row>]) -> Cow<'a, Value> {
        let Some(Some(mut row)) = rows.get(self.slot).copied() else {
            return Cow::Owned(Value::Null);
        };
        for (column, table) in &self.steps {
            match row.values.get(*column).and_then(|value| target(world, value)) {
                Some((found, next)) if found == *table => row = next,
                _ => return Cow::Owned(Value::Null),
            }
        }
        value_of(world, self.table, row, self.column)
    }
}

impl Test {
    /// Whether the joined rows pass.
    ///
    /// As in the service, `ne` and its like hold for a row without a value.
    #[must_use]
    pub fn holds<'a>(&self, world: &World<'a>, rows: &[Option<&'a Row>]) -> bool {
        match self {
            Self::Constant(b) => *b,
            Self::And(parts) => parts.iter().all(|t| t.holds(world, rows)),
            Self::Or(parts) => parts.iter().any(|t| t.holds(world, rows)),
            Self::Not(inner) => !inner.holds(world, rows),
            Self::Null(reach) => *reach.value(world, rows) == Value::Null,
            Self::Is(reach, comparison, constant) => {
                match order(&reach.value(world, rows), constant) {
                    Some(order) => comparison.holds(order),
                    None => *comparison == Comparison::Ne,
                }
            }
            Self::Text(reach, test, text) => match &*reach.value(world, rows) {
                Value::Text(own) => {
                    let own = fold(own);
                    match test {
                        TextTest::Contains => own.contains(text.as_str()),
                        TextTest::StartsWith => own.starts_with(text.as_str()),
                        TextTest::EndsWith => own.ends_with(text.as_str()),
                    }
                }
                _ => false,
            },
            Self::Like(reach, pattern) => match &*reach.value(world, rows) {
                Value::Text(own) => like(&fold(own).chars().collect::<Vec<_>>(), pattern),
                _ => false,
            },
            Self::In(reach, set) => set.contains(&reach.value(world, rows)),
            Self::Columns(left, comparison, right) => {
                let (left, right) = (left.value(world, rows), right.value(world, rows));
                if *left == Value::Null || *right == Value::Null {
                    return *comparison == Comparison::Ne && *left != *right;
                }
                comparison.holds(order_values(&left, &right))
            }
            Self::Options { reach, options, exactly } => match &*reach.value(world, rows) {
                Value::Options(own) if *exactly => **own == **options,
                Value::Options(own) => own.iter().any(|o| options.contains(o)),
                _ => false,
            },
            Self::Related { collection, all, test, index } => {
                let Some(Some(row)) = rows.first() else { return *all };
                let related = &world.store.tables[collection_table(world, *collection)];
                let places = index.places(world, *collection, row.id);
                let mut found = places.iter().filter_map(|p| related.row(*p));
                if *all {
                    found.all(|row| test.holds(world, &[Some(row)]))
                } else {
                    found.any(|row| test.holds(world, &[Some(row)]))
                }
            }
        }
    }
}

/// SQL `LIKE` over folded text.
fn like(text: &[char], pattern: &[char]) -> bool {
    // Greedy with one point to fall back to: linear in practice.
    let (mut t, mut p) = (0, 0);
    let mut fallback: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some('%') => {
                fallback = Some((p, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some('[') => {
                let close = pattern[p..].iter().position(|c| *c == ']').map(|c| p + c);
                close.zip(text.get(t)).and_then(|(close, c)| {
                    in_class(*c, &pattern[p + 1..close]).then_some(close + 1)
                })
            }
            Some('_') => text.get(t).map(|_| p + 1),
            Some(c) => text.get(t).filter(|own| *own == c).map(|_| p + 1),
        };
        match (step, fallback) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((from, at))) if at < text.len() => {
                fallback = Some((from, at + 1));
                p = from + 1;
                t = at + 1;
            }
            (None, _) => return false,
        }
    }
}

fn in_class(c: char, class: &[char]) -> bool {
    let (negated, class) = match class {
        ['^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut at = 0;
    let mut found = false;
    while at < class.len() {
        if class.get(at + 1) == Some(&'-') && at + 2 < class.len() {
            found |= (class[at]..=class[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= class[at] == c;
            at += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn patterns_match_as_in_sql() {
        let cases = [
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("abc", "[a-c]b[^d]", true),
            ("abc", "[^a]bc", false),
            ("a%c", "a[%]c", true),
            ("abc", "a[%]c", false),
            ("", "%", true),
            ("", "_", false),
            ("aab", "%ab", true),
            ("abab", "%ab", true),
            ("abc", "abc%%", true),
        ];
        for (text, pattern, want) in cases {
            let chars = |t: &str| t.chars().collect::<Vec<_>>();
            assert_eq!(like(&chars(text), &chars(pattern)), want, "{text} like {pattern}");
        }
    }
}
