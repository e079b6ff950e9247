//! Pure: constants of queries and how they compare with stored values.

use super::lex::Literal;
use crate::simulator::keys;
use crate::simulator::schema::{ColumnDef, ColumnType, DateBehaviour};
use crate::simulator::value::Value;
use std::cmp::Ordering;
use uuid::Uuid;

/// Units of a scaled number: 10^-10.
const UNIT: i128 = 10_000_000_000;

/// A constant in the form a column is compared with.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// Folded text.
    Text(String),
    /// Exact number in units of 10^-10.
    Number(i128),
    /// Inexact number.
    Double(f64),
    /// Two options.
    Bool(bool),
    /// GUID or reference.
    Guid(Uuid),
    /// Milliseconds since 1970.
    Time(i64),
    /// Days since 1970-01-01.
    Day(i32),
}

/// Text as the database compares it: without case and accents, trailing blanks dropped.
///
/// Source: `dataverse-web-api.md` §7.1, §13.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    keys::fold(&mut out, text);
    out
}

/// A decimal text in units of 10^-10; digits beyond are dropped.
#[must_use]
pub fn scaled(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 25 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction: String = fraction.chars().chain("0000000000".chars()).take(10).collect();
    let value = whole.parse::<i128>().ok()? * UNIT + fraction.parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

/// An instant with offset, or a day (its first instant), in milliseconds.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    day(text).map(|d| i64::from(d) * 86_400_000)
}

/// A day, in days since 1970.
#[must_use]
pub fn day(text: &str) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    Some(date.since(epoch).ok()?.get_days())
}

/// A literal of a filter as a constant of the column's type; `None` when the types do not fit.
#[must_use]
pub fn bind(column: &ColumnDef, literal: &Literal) -> Option<Constant> {
    match (&column.kind, literal) {
        (
            ColumnType::Text { .. }
            | ColumnType::Memo { .. }
            | ColumnType::EntityName
            | ColumnType::Image
            | ColumnType::Choices { .. }
            | ColumnType::Virtual,
            Literal::Text(text),
        ) => Some(Constant::Text(fold(text))),
        (
            ColumnType::Integer { .. }
            | ColumnType::BigInt
            | ColumnType::Decimal { .. }
            | ColumnType::Money { .. }
            | ColumnType::Double { .. }
            | ColumnType::Choice { .. }
            | ColumnType::State(_)
            | ColumnType::Status(_),
            Literal::Number(text),
        ) => number(column, text),
        (ColumnType::Boolean { .. }, Literal::Bool(b)) => Some(Constant::Bool(*b)),
        (ColumnType::Guid | ColumnType::Lookup { .. } | ColumnType::File, Literal::Guid(id)) => {
            Some(Constant::Guid(*id))
        }
        (ColumnType::DateTime(DateBehaviour::DateOnly), Literal::Date(t)) => {
            day(t).map(Constant::Day)
        }
        (
            ColumnType::DateTime(DateBehaviour::UserLocal | DateBehaviour::TimeZoneIndependent),
            Literal::Date(t) | Literal::DateTime(t),
        ) => instant(t).map(Constant::Time),
        _ => None,
    }
}

fn number(column: &ColumnDef, text: &str) -> Option<Constant> {
    if !matches!(column.kind, ColumnType::Double { .. })
        && let Some(number) = scaled(text)
    {
        return Some(Constant::Number(number));
    }
    text.parse().ok().map(Constant::Double)
}

/// A text (item of `In`, value of a `FetchXML` condition) as a constant of the column's type.
#[must_use]
pub fn read(column: &ColumnDef, text: &str) -> Option<Constant> {
    let trimmed = text.trim();
    match &column.kind {
        ColumnType::Text { .. }
        | ColumnType::Memo { .. }
        | ColumnType::EntityName
        | ColumnType::Image
        | ColumnType::Choices { .. }
        | ColumnType::Virtual => Some(Constant::Text(fold(text))),
        ColumnType::Integer { .. }
        | ColumnType::BigInt
        | ColumnType::Decimal { .. }
        | ColumnType::Money { .. }
        | ColumnType::Double { .. }
        | ColumnType::Choice { .. }
        | ColumnType::State(_)
        | ColumnType::Status(_) => number(column, trimmed),
        ColumnType::Boolean { .. } => match trimmed {
            "1" => Some(Constant::Bool(true)),
            "0" => Some(Constant::Bool(false)),
            _ if trimmed.eq_ignore_ascii_case("true") => Some(Constant::Bool(true)),
            _ if trimmed.eq_ignore_ascii_case("false") => Some(Constant::Bool(false)),
            _ => None,
        },
        ColumnType::Guid | ColumnType::Lookup { .. } | ColumnType::File => {
            Uuid::try_parse(trimmed).ok().map(Constant::Guid)
        }
        ColumnType::DateTime(DateBehaviour::DateOnly) => {
            day(trimmed.get(..10).unwrap_or(trimmed)).map(Constant::Day)
        }
        ColumnType::DateTime(_) => instant(trimmed)
            .or_else(|| {
                let local: jiff::civil::DateTime = trimmed.replacen(' ', "T", 1).parse().ok()?;
                Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
            })
            .map(Constant::Time),
    }
}

/// The constant as a stored value of the column's type, for the key index; `None` when the column
/// cannot hold it.
#[must_use]
pub fn as_value(column: &ColumnDef, constant: &Constant) -> Option<Value> {
    Some(match (constant, &column.kind) {
        (Constant::Text(text), _) => Value::Text(text.as_str().into()),
        (Constant::Number(n), ColumnType::Decimal { .. }) => Value::Decimal(*n),
        (Constant::Number(n), ColumnType::Money { .. }) => Value::Money(n / 1_000_000),
        (Constant::Number(n), _) if n % UNIT == 0 => Value::Int(i64::try_from(n / UNIT).ok()?),
        (Constant::Number(_), _) => return None,
        (Constant::Double(d), _) => Value::Double(*d),
        (Constant::Bool(b), _) => Value::Bool(*b),
        (Constant::Guid(id), _) => Value::Guid(*id),
        (Constant::Time(ms), _) => Value::Time(*ms),
        (Constant::Day(day), _) => Value::Day(*day),
    })
}

/// How a stored value compares with a constant; `None` for no value and for types that differ.
#[must_use]
pub fn order(value: &Value, constant: &Constant) -> Option<Ordering> {
    match (value, constant) {
        (Value::Null, _) => None,
        (Value::Text(own), Constant::Text(text)) => Some(fold(own).cmp(text)),
        (Value::Options(own), Constant::Text(text)) => Some(options_text(own).cmp(text)),
        (Value::Bool(own), Constant::Bool(b)) => Some(own.cmp(b)),
        (Value::Guid(own) | Value::Reference(_, own), Constant::Guid(id)) => Some(own.cmp(id)),
        (Value::Time(own), Constant::Time(at)) => Some(own.cmp(at)),
        (Value::Day(own), Constant::Day(day)) => Some(own.cmp(day)),
        (value, Constant::Number(number)) => match exact(value) {
            Some(own) => Some(own.cmp(number)),
            None => inexact(value)?.partial_cmp(&(*number as f64 / UNIT as f64)),
        },
        (value, Constant::Double(number)) => inexact(value)?.partial_cmp(number),
        _ => None,
    }
}

/// How two stored values of one column compare; no value comes first.
#[must_use]
pub fn order_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Text(a), Value::Text(b)) => fold(a).cmp(&fold(b)),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Guid(a) | Value::Reference(_, a), Value::Guid(b) | Value::Reference(_, b)) => {
            a.cmp(b)
        }
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Day(a), Value::Day(b)) => a.cmp(b),
        (Value::Options(a), Value::Options(b)) => a.cmp(b),
        _ => match (exact(a), exact(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => inexact(a)
                .zip(inexact(b))
                .and_then(|(a, b)| a.partial_cmp(&b))
                .unwrap_or(Ordering::Equal),
        },
    }
}

/// A number in units of 10^-10.
#[must_use]
pub fn exact(value: &Value) -> Option<i128> {
    match value {
        Value::Int(i) => Some(i128::from(*i) * UNIT),
        Value::Decimal(d) => Some(*d),
        Value::Money(m) => Some(*m * 1_000_000),
        _ => None,
    }
}

/// Any number.
#[must_use]
pub fn inexact(value: &Value) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        other => exact(other).map(|n| n as f64 / UNIT as f64),
    }
}

/// Several options as the Web API writes them.
#[must_use]
pub fn options_text(options: &[i32]) -> String {
    options.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_are_exact() {
        assert_eq!(scaled("1.5"), Some(15_000_000_000));
        assert_eq!(scaled("-0.00000000019"), Some(-1));
        assert_eq!(scaled("1e3"), None);
        assert_eq!(scaled(""), None);
        assert_eq!(day("1970-01-02"), Some(1));
        assert_eq!(day("1753-01-01"), Some(-79_257));
        assert_eq!(instant("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(instant("1970-01-01T01:00:00"), None);
        assert_eq!(instant("1970-01-02"), Some(86_400_000));
    }
}
