//! Pure: constants and defaults fit their columns, seen before any record is read.

use super::{Case, Report};
use crate::catalog::model::{Choice, ColumnKind, DateBehavior};
use crate::config::job::{ChoiceRule, ColumnMapping, LookupBy, ValueSource};
use std::cmp::Ordering;

/// Every constant and default fits its column.
pub(super) fn constants_and_defaults(case: &Case<'_>, out: &mut Report<'_>) {
    for (mapping, column) in super::columns::known(case) {
        let given = match (&mapping.from, &mapping.default) {
            (ValueSource::Constant(text), _) => Some(("constant", text)),
            (_, Some(text)) => Some(("default", text)),
            _ => None,
        };
        let Some((what, text)) = given else { continue };
        if text.is_empty() {
            continue;
        }
        let unknown_choice = matches!(
            column.kind,
            ColumnKind::Choice(_)
                | ColumnKind::Choices(_)
                | ColumnKind::State(_)
                | ColumnKind::Status(_)
        );
        let code = if unknown_choice { "DV0106" } else { "DV0107" };
        if let Err(why) = fits(&column.kind, text, mapping) {
            let message = format!("the {what} \"{}\" does not fit: {why}", shortened(text));
            out.error(code, Some(&mapping.target), message, format!("change the {what}"));
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn fits(kind: &ColumnKind, text: &str, mapping: &ColumnMapping) -> Result<(), String> {
    match kind {
        ColumnKind::Text { max_length } | ColumnKind::Memo { max_length } => {
            let units = text.encode_utf16().count();
            if units > *max_length as usize && !mapping.truncate {
                return Err(format!("{units} characters, at most {max_length} are allowed"));
            }
            Ok(())
        }
        ColumnKind::Integer { min, max } => match text.trim().parse::<i64>() {
            Ok(n) if (*min..=*max).contains(&n) => Ok(()),
            Ok(_) => Err(format!("it must lie between {min} and {max}")),
            Err(_) => Err("not a whole number".to_owned()),
        },
        ColumnKind::BigInt => {
            text.trim().parse::<i64>().map(|_| ()).map_err(|_| "not a whole number".to_owned())
        }
        ColumnKind::Decimal { min, max, precision } | ColumnKind::Money { min, max, precision } => {
            let number = Decimal::parse(text.trim()).ok_or("not a decimal number")?;
            if number.digits_after_point() > usize::from(*precision) {
                return Err(format!("at most {precision} digits after the point"));
            }
            let below = Decimal::parse(min).is_some_and(|m| number.cmp(&m) == Ordering::Less);
            let above = Decimal::parse(max).is_some_and(|m| number.cmp(&m) == Ordering::Greater);
            if below || above {
                return Err(format!("it must lie between {min} and {max}"));
            }
            Ok(())
        }
        ColumnKind::Double { min, max } => match text.trim().parse::<f64>() {
            Ok(n) if n.is_finite() && n >= *min && n <= *max => Ok(()),
            Ok(_) => Err(format!("it must lie between {min} and {max}")),
            Err(_) => Err("not a number".to_owned()),
        },
        ColumnKind::Boolean { true_label, false_label } => {
            let words = ["true", "false", "yes", "no", "y", "n", "1", "0", true_label, false_label];
            if words.iter().any(|w| w.eq_ignore_ascii_case(text.trim())) {
                return Ok(());
            }
            Err(format!("true, false, \"{true_label}\" or \"{false_label}\" are understood"))
        }
        ColumnKind::Choice(choices) | ColumnKind::State(choices) => {
            choice(choices.iter(), text, mapping.choice)
        }
        ColumnKind::Status(choices) => {
            choice(choices.iter().map(|s| &s.choice), text, mapping.choice)
        }
        ColumnKind::Choices(choices) => text
            .split([';', ','])
            .filter(|part| !part.trim().is_empty())
            .try_for_each(|part| choice(choices.iter(), part, mapping.choice)),
        ColumnKind::Guid => guid(text),
        ColumnKind::Lookup(_) => match mapping.lookup.as_ref().map(|l| l.targets.as_slice()) {
            Some([via]) if via.by == LookupBy::Id => guid(text),
            _ => Ok(()),
        },
        ColumnKind::DateTime(behavior) if mapping.date_format.is_none() => date(text, *behavior),
        _ => Ok(()),
    }
}

fn guid(text: &str) -> Result<(), String> {
    uuid::Uuid::try_parse(text.trim()).map(|_| ()).map_err(|_| "not a GUID".to_owned())
}

fn date(text: &str, behavior: DateBehavior) -> Result<(), String> {
    let day = text.get(..10).unwrap_or(text);
    let time_follows = text.len() > 10;
    if day.parse::<jiff::civil::Date>().is_err() {
        return Err("not a date such as 2025-03-01".to_owned());
    }
    if day < "1753-01-01" {
        return Err("Dataverse knows no date before 1753-01-01".to_owned());
    }
    if time_follows && behavior == DateBehavior::DateOnly {
        return Err("the column holds a day, without time".to_owned());
    }
    Ok(())
}

fn choice<'c>(
    choices: impl Iterator<Item = &'c Choice> + Clone,
    text: &str,
    rule: ChoiceRule,
) -> Result<(), String> {
    let text = text.trim();
    let number = text.parse::<i32>().ok();
    let known = choices.clone().any(|c| {
        let by_number = rule != ChoiceRule::Label && number == Some(c.value);
        let by_label = rule != ChoiceRule::Number
            && c.labels.iter().any(|l| l.to_lowercase() == text.to_lowercase());
        by_number || by_label
    });
    if known {
        return Ok(());
    }
    let options: Vec<String> = choices
        .take(10)
        .map(|c| match c.labels.first() {
            Some(label) => format!("{} = {label}", c.value),
            None => c.value.to_string(),
        })
        .collect();
    Err(format!("\"{}\" is no option; options are {}", shortened(text), options.join(", ")))
}

/// A decimal number as its digits: exact at any size.
struct Decimal<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !is_zero, whole, fraction })
    }

    fn digits_after_point(&self) -> usize {
        self.fraction.len()
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| {
            (a.whole.len(), a.whole, a.fraction).cmp(&(b.whole.len(), b.whole, b.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_compare_like_numbers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let text = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}.{:03}", n.abs() / 1000, n.abs() % 1000)
            };
            let (x, y) = (text(a), text(b));
            prop_assert_eq!(
                Decimal::parse(&x).unwrap().cmp(&Decimal::parse(&y).unwrap()),
                a.cmp(&b)
            );
        }
    }

    #[test]
    fn what_is_no_decimal() {
        for bad in ["", "-", ".", "1e3", "1,5", "+1", "١"] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Decimal::parse("-0.00").map(|d| d.negative), Some(false));
    }
}
