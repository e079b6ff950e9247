//! Pure: formatted values, as an English user sees them.

use super::World;
use super::predicate::{target, value_of};
use super::render::decimal;
use crate::simulator::schema::{ColumnDef, ColumnType, OptionDef};
use crate::simulator::value::Value;

/// The `FormattedValue` of a value, where it has one.
///
/// Source: `dataverse-web-api.md` §7.1.
#[must_use]
pub fn formatted(world: &World, column: &ColumnDef, value: &Value) -> Option<String> {
    let label = |options: &[OptionDef], value: i64| {
        options.iter().find(|o| i64::from(o.value) == value).map(|o| o.label.clone())
    };
    match (value, &column.kind) {
        (Value::Int(value), ColumnType::Choice { options, .. }) => label(options, *value),
        (Value::Int(value), ColumnType::State(states)) => states
            .iter()
            .find(|s| i64::from(s.option.value) == *value)
            .map(|s| s.option.label.clone()),
        (Value::Int(value), ColumnType::Status(reasons)) => reasons
            .iter()
            .find(|s| i64::from(s.option.value) == *value)
            .map(|s| s.option.label.clone()),
        (Value::Options(own), ColumnType::Choices { options, .. }) => {
            let labels: Vec<_> =
                own.iter().filter_map(|value| label(options, i64::from(*value))).collect();
            Some(labels.join("; "))
        }
        (Value::Bool(b), ColumnType::Boolean { yes, no }) => {
            Some(if *b { yes.clone() } else { no.clone() })
        }
        (Value::Int(value), _) => Some(grouped(&value.to_string())),
        (Value::Decimal(d), ColumnType::Decimal { precision, .. }) => {
            Some(grouped(&fixed(&decimal(*d, 10), *precision)))
        }
        (Value::Money(m), ColumnType::Money { precision, .. }) => {
            let text = grouped(&fixed(&decimal(*m, 4), *precision));
            Some(match text.strip_prefix('-') {
                Some(rest) => format!("-${rest}"),
                None => format!("${text}"),
            })
        }
        (Value::Double(d), ColumnType::Double { precision, .. }) => {
            Some(grouped(&format!("{d:.*}", usize::from(*precision))))
        }
        (Value::Reference(..), _) => {
            let (table, row) = target(world, value)?;
            let name = world.schema.tables[table].primary_name?;
            match &*value_of(world, table, row, name) {
                Value::Text(text) => Some(text.to_string()),
                _ => None,
            }
        }
        (Value::Time(ms), _) => {
            let at = jiff::Timestamp::from_millisecond(*ms).ok()?;
            let at = at.to_zoned(jiff::tz::TimeZone::UTC);
            let hour = match at.hour() % 12 {
                0 => 12,
                h => h,
            };
            let half = if at.hour() < 12 { "AM" } else { "PM" };
            Some(format!(
                "{}/{}/{} {hour}:{:02} {half}",
                at.month(),
                at.day(),
                at.year(),
                at.minute()
            ))
        }
        (Value::Day(days), _) => {
            let at = jiff::Timestamp::from_second(i64::from(*days) * 86_400).ok()?;
            let at = at.to_zoned(jiff::tz::TimeZone::UTC);
            Some(format!("{}/{}/{}", at.month(), at.day(), at.year()))
        }
        _ => None,
    }
}

/// A plain decimal with `precision` digits after the point; further digits are dropped.
fn fixed(text: &str, precision: u8) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if precision == 0 {
        return whole.to_owned();
    }
    let zeros = std::iter::repeat('0');
    let fraction: String = fraction.chars().chain(zeros).take(usize::from(precision)).collect();
    format!("{whole}.{fraction}")
}

/// Thousands separated by commas.
fn grouped(text: &str) -> String {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (text, String::new()),
    };
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped("1234567.5"), "1,234,567.5");
        assert_eq!(grouped("-123"), "-123");
        assert_eq!(fixed("1.239", 2), "1.23");
        assert_eq!(fixed("1", 2), "1.00");
        assert_eq!(fixed("1.5", 0), "1");
    }
}
