//! Pure: groups and aggregates over rows.

use super::World;
use super::predicate::Reach;
use super::scalar::{exact, fold, inexact, order_values};
use crate::simulator::call::Refusal;
use crate::simulator::schema::ColumnDef;
use crate::simulator::store::Row;
use crate::simulator::value::Value;
use std::collections::{BTreeMap, HashSet};

/// Most rows an aggregate reads.
///
/// Source: `dataverse-web-api.md` §7.4.
const ROWS_MAX: usize = 50_000;

/// Aggregate function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// Rows.
    Count,
    /// Rows with a value.
    CountColumn,
    /// Different values.
    CountDistinct,
    /// Sum.
    Sum,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Mean.
    Average,
}

/// Part of a date to group by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatePart {
    /// Day of the month.
    Day,
    /// Week of the year.
    Week,
    /// Month of the year.
    Month,
    /// Quarter of the year.
    Quarter,
    /// Year.
    Year,
}

/// One column to group by.
#[derive(Debug)]
pub struct Group<'s> {
    /// Name in the answer.
    pub alias: String,
    /// Column.
    pub reach: Reach,
    /// Its definition.
    pub column: &'s ColumnDef,
    /// Part of a date.
    pub part: Option<DatePart>,
}

/// One aggregate.
#[derive(Debug)]
pub struct Measure {
    /// Name in the answer.
    pub alias: String,
    /// Function.
    pub function: Function,
    /// Column; `None` counts rows.
    pub reach: Option<Reach>,
}

/// One result row: the groups' values, then the measures'.
pub type Outcome = Vec<Value>;

#[derive(Default)]
struct Sum {
    count: i64,
    exact: i128,
    inexact: f64,
    is_inexact: bool,
    sample: Option<Value>,
    extreme: Option<Value>,
    distinct: HashSet<String>,
}

impl Sum {
    fn add(&mut self, function: Function, value: &Value) {
        if function == Function::Count {
            self.count += 1;
            return;
        }
        if *value == Value::Null {
            return;
        }
        self.count += 1;
        match function {
            Function::CountDistinct => {
                self.distinct.insert(fold(&super::render::bare(value)));
            }
            Function::Sum | Function::Average => {
                match exact(value) {
                    Some(number) => self.exact += number,
                    None => self.is_inexact = true,
                }
                self.inexact += inexact(value).unwrap_or(0.0);
                self.sample.get_or_insert_with(|| value.clone());
            }
            Function::Min | Function::Max => {
                let better = match &self.extreme {
                    None => true,
                    Some(held) => {
                        let order = order_values(value, held);
                        if function == Function::Min { order.is_lt() } else { order.is_gt() }
                    }
                };
                if better {
                    self.extreme = Some(value.clone());
                }
            }
            Function::Count | Function::CountColumn => {}
        }
    }

    fn result(self, function: Function) -> Value {
        match function {
            Function::Count | Function::CountColumn => Value::Int(self.count),
            Function::CountDistinct => {
                Value::Int(i64::try_from(self.distinct.len()).unwrap_or(i64::MAX))
            }
            Function::Min | Function::Max => self.extreme.unwrap_or(Value::Null),
            Function::Sum | Function::Average if self.count == 0 => Value::Null,
            Function::Sum | Function::Average => {
                let by = if function == Function::Average { self.count } else { 1 };
                if self.is_inexact {
                    return Value::Double(self.inexact / by as f64);
                }
                let total = self.exact / i128::from(by);
                match self.sample {
                    Some(Value::Int(_)) => {
                        Value::Int(i64::try_from(total / 10_000_000_000).unwrap_or(i64::MAX))
                    }
                    Some(Value::Money(_)) => Value::Money(total / 1_000_000),
                    _ => Value::Decimal(total),
                }
            }
        }
    }
}

/// Groups and aggregates joined rows; results come in the order of the groups' values.
///
/// # Errors
/// 400 `0x8004E023` for too many rows.
///
/// Source: `dataverse-web-api.md` §7.4.
pub fn aggregate<'a>(
    world: &World<'a>,
    rows: impl Iterator<Item = Vec<Option<&'a Row>>>,
    groups: &[Group],
    measures: &[Measure],
) -> Result<Vec<Outcome>, Refusal> {
    let mut found: BTreeMap<Vec<String>, (Vec<Value>, Vec<Sum>)> = BTreeMap::new();
    let fresh = || measures.iter().map(|_| Sum::default()).collect::<Vec<_>>();
    for (at, row) in rows.enumerate() {
        if at >= ROWS_MAX {
            return Err(Refusal::new(
                400,
                0x8004_E023,
                "AggregateQueryRecordLimit exceeded. Cannot perform this operation.",
            ));
        }
        let values: Vec<Value> = groups
            .iter()
            .map(|group| {
                let value = group.reach.value(world, &row).into_owned();
                group.part.map_or(value.clone(), |part| part_of(&value, part))
            })
            .collect();
        let key = values.iter().map(sort_text).collect();
        let (_, sums) = found.entry(key).or_insert_with(|| (values, fresh()));
        for (measure, sum) in measures.iter().zip(sums) {
            match &measure.reach {
                None => sum.add(Function::Count, &Value::Null),
                Some(reach) => sum.add(measure.function, &reach.value(world, &row)),
            }
        }
    }
    if found.is_empty() && groups.is_empty() {
        found.insert(Vec::new(), (Vec::new(), fresh()));
    }
    Ok(found
        .into_values()
        .map(|(mut values, sums)| {
            values.extend(measures.iter().zip(sums).map(|(m, sum)| sum.result(m.function)));
            values
        })
        .collect())
}

/// A text that keeps equal values together.
fn sort_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => format!("v{}", fold(&super::render::bare(other))),
    }
}

fn part_of(value: &Value, part: DatePart) -> Value {
    let second = match value {
        Value::Time(ms) => ms.div_euclid(1_000),
        Value::Day(day) => i64::from(*day) * 86_400,
        _ => return Value::Null,
    };
    let Ok(at) = jiff::Timestamp::from_second(second) else { return Value::Null };
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    Value::Int(match part {
        DatePart::Day => i64::from(date.day()),
        DatePart::Week => (i64::from(date.day_of_year()) - 1) / 7 + 1,
        DatePart::Month => i64::from(date.month()),
        DatePart::Quarter => (i64::from(date.month()) - 1) / 3 + 1,
        DatePart::Year => i64::from(date.year()),
    })
}
