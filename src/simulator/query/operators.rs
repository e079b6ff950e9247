//! Pure: condition operators, shared by `FetchXML` and the query functions.

use super::World;
use super::filter::{Comparison, TextTest};
use super::predicate::{Reach, Set, Test};
use super::refuse::bad_query;
use super::scalar::{Constant, fold, read};
use super::span::{Span, named_span};
use crate::simulator::call::Refusal;
use crate::simulator::schema::{ColumnDef, ColumnType, DateBehaviour};

/// What an operator works on.
pub struct Operands<'a> {
    /// Way to the column.
    pub reach: Reach,
    /// The column.
    pub column: &'a ColumnDef,
    /// Values as texts.
    pub values: &'a [String],
}

/// `FetchXML` name of a query function: `OnOrAfter` is `on-or-after`.
#[must_use]
pub fn of_function(name: &str) -> String {
    match name {
        "EqualUserId" => return "eq-userid".into(),
        "NotEqualUserId" => return "ne-userid".into(),
        "EqualBusinessId" => return "eq-businessid".into(),
        "NotEqualBusinessId" => return "ne-businessid".into(),
        "DoesNotContainValues" => return "not-contain-values".into(),
        "Last7Days" => return "last-seven-days".into(),
        "Next7Days" => return "next-seven-days".into(),
        _ => {}
    }
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

impl Operands<'_> {
    fn constant(&self, text: &str) -> Result<Constant, Refusal> {
        read(self.column, text).ok_or_else(|| {
            Refusal::new(
                400,
                0x8004_0203,
                format!(
                    "The value '{text}' of the condition on attribute '{}' does not fit its type.",
                    self.column.name
                ),
            )
        })
    }

    fn one(&self, operator: &str) -> Result<&str, Refusal> {
        match self.values {
            [one] => Ok(one),
            other => Err(count(operator, "1", other.len())),
        }
    }

    fn compare(&self, comparison: Comparison, text: &str) -> Result<Test, Refusal> {
        Ok(Test::Is(self.reach.clone(), comparison, self.constant(text)?))
    }

    fn text(&self, operator: &str, test: TextTest) -> Result<Test, Refusal> {
        Ok(Test::Text(self.reach.clone(), test, fold_inner(self.one(operator)?)))
    }

    fn set(&self) -> Result<Test, Refusal> {
        let mut set = Set::default();
        for value in self.values {
            set.insert(self.constant(value)?);
        }
        Ok(Test::In(self.reach.clone(), set))
    }

    fn options(&self, exactly: bool) -> Result<Test, Refusal> {
        if !matches!(self.column.kind, ColumnType::Choices { .. }) {
            return Err(bad_query(format!(
                "'{}' does not hold several options.",
                self.column.name
            )));
        }
        let mut options = Vec::new();
        for value in self.values {
            options.push(value.trim().parse().map_err(|_| {
                bad_query(format!("'{value}' is not an option of '{}'.", self.column.name))
            })?);
        }
        options.sort_unstable();
        Ok(Test::Options { reach: self.reach.clone(), options, exactly })
    }

    fn is_multiple(&self) -> bool {
        matches!(self.column.kind, ColumnType::Choices { .. })
    }

    fn within(&self, span: Span) -> Result<Test, Refusal> {
        let bound = |ms: i64| match &self.column.kind {
            ColumnType::DateTime(DateBehaviour::DateOnly) => {
                i32::try_from(ms.div_euclid(86_400_000)).ok().map(Constant::Day)
            }
            ColumnType::DateTime(_) => Some(Constant::Time(ms)),
            _ => None,
        };
        let day_column = matches!(self.column.kind, ColumnType::DateTime(DateBehaviour::DateOnly));
        let mut parts = Vec::new();
        for (ms, comparison) in [(span.from, Comparison::Ge), (span.until, Comparison::Lt)] {
            let Some(ms) = ms else { continue };
            // A day that the end falls into counts.
            let ms = if day_column && comparison == Comparison::Lt { ms + 86_399_999 } else { ms };
            let constant = bound(ms).ok_or_else(|| {
                bad_query(format!("The attribute '{}' is not a date.", self.column.name))
            })?;
            parts.push(Test::Is(self.reach.clone(), comparison, constant));
        }
        Ok(Test::And(parts))
    }
}

fn count(operator: &str, wanted: &str, given: usize) -> Refusal {
    Refusal::new(
        400,
        0x8004_0203,
        format!("The condition operator '{operator}' needs {wanted} value(s), {given} given."),
    )
}

/// Folded text whose trailing blanks count, for tests of a part.
fn fold_inner(text: &str) -> String {
    let folded = fold(text);
    let blanks = text.len() - text.trim_end_matches(' ').len();
    folded + &" ".repeat(blanks)
}

fn negate(test: Test) -> Test {
    Test::Not(Box::new(test))
}

/// The test an operator makes.
///
/// # Errors
/// 400 for an unknown operator, a wrong number of values or values that do not fit the column.
///
/// Source: `dataverse-web-api.md` §7.4.
pub fn test(world: &World, operator: &str, on: &Operands) -> Result<Test, Refusal> {
    Ok(match operator {
        "eq" if on.values.is_empty() => return Err(count(operator, "1", 0)),
        "eq" => on.compare(Comparison::Eq, on.one(operator)?)?,
        "ne" | "neq" => on.compare(Comparison::Ne, on.one(operator)?)?,
        "gt" => on.compare(Comparison::Gt, on.one(operator)?)?,
        "ge" => on.compare(Comparison::Ge, on.one(operator)?)?,
        "lt" => on.compare(Comparison::Lt, on.one(operator)?)?,
        "le" => on.compare(Comparison::Le, on.one(operator)?)?,
        "null" => Test::Null(on.reach.clone()),
        "not-null" => negate(Test::Null(on.reach.clone())),
        "like" => pattern(on, on.one(operator)?),
        "not-like" => negate(pattern(on, on.one(operator)?)),
        "begins-with" => on.text(operator, TextTest::StartsWith)?,
        "not-begin-with" => negate(on.text(operator, TextTest::StartsWith)?),
        "ends-with" => on.text(operator, TextTest::EndsWith)?,
        "not-end-with" => negate(on.text(operator, TextTest::EndsWith)?),
        "in" if on.is_multiple() => on.options(true)?,
        "not-in" if on.is_multiple() => negate(on.options(true)?),
        "in" => on.set()?,
        "not-in" => negate(on.set()?),
        "contain-values" => on.options(false)?,
        "not-contain-values" => negate(on.options(false)?),
        "between" | "not-between" => {
            let [low, high] = on.values else {
                return Err(count(operator, "2", on.values.len()));
            };
            let both = Test::And(vec![
                on.compare(Comparison::Ge, low)?,
                on.compare(Comparison::Le, high)?,
            ]);
            if operator == "between" { both } else { negate(both) }
        }
        "eq-userid" | "ne-userid" | "eq-businessid" | "ne-businessid" => {
            let id = if operator.ends_with("userid") {
                world.ctx.effective_user
            } else {
                world.settings.business_unit
            };
            let comparison =
                if operator.starts_with("eq") { Comparison::Eq } else { Comparison::Ne };
            Test::Is(on.reach.clone(), comparison, Constant::Guid(id))
        }
        "on" | "not-on" | "on-or-after" | "on-or-before" => {
            let value = on.one(operator)?;
            let start = match on.constant(value)? {
                Constant::Day(day) => i64::from(day) * 86_400_000,
                Constant::Time(ms) => ms - ms.rem_euclid(86_400_000),
                _ => {
                    return Err(bad_query(format!(
                        "The attribute '{}' is not a date.",
                        on.column.name
                    )));
                }
            };
            let end = start + 86_400_000;
            // `within` widens the end of day columns, so hand it the last day itself.
            let day_column =
                matches!(on.column.kind, ColumnType::DateTime(DateBehaviour::DateOnly));
            let end = if day_column { end - 86_399_999 } else { end };
            match operator {
                "on" => on.within(Span { from: Some(start), until: Some(end) })?,
                "not-on" => negate(on.within(Span { from: Some(start), until: Some(end) })?),
                "on-or-after" => on.within(Span { from: Some(start), until: None })?,
                _ => on.within(Span { from: None, until: Some(end) })?,
            }
        }
        other => match named_span(other, world.ctx.now_ms, on.values)? {
            Some(span) => on.within(span)?,
            None => {
                return Err(bad_query(format!(
                    "The condition operator '{other}' is not supported."
                )));
            }
        },
    })
}

fn pattern(on: &Operands, text: &str) -> Test {
    Test::Like(on.reach.clone(), fold_inner(text).chars().collect())
}
