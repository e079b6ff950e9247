//! Pure: options by number or label, and yes/no.

use super::number::parse_short;
use crate::catalog::model::Choice;
use crate::config::job::ChoiceRule;
use crate::pipeline::transform::buffer::RowBuffer;
use crate::pipeline::transform::cell::{Cell, trim};
use crate::pipeline::transform::refusal::{Read, Refusal, shown};
use hashbrown::HashMap;

/// Options named in a message.
const LISTED_MAX: usize = 8;

/// Options of one column.
#[derive(Clone, Debug)]
pub struct ChoiceSet {
    rule: ChoiceRule,
    numbers: Vec<i32>,
    /// Least and greatest number, when none between them is missing.
    dense: Option<(i32, i32)>,
    /// Labels as written and in lower case; `None` when two options share one.
    labels: HashMap<Box<[u8]>, Option<i32>>,
    /// For messages.
    listed: String,
}

impl ChoiceSet {
    /// Of `options`, read by `rule`.
    pub fn new<'a>(options: impl IntoIterator<Item = &'a Choice>, rule: ChoiceRule) -> Self {
        let mut numbers = Vec::new();
        let mut labels: HashMap<Box<[u8]>, Option<i32>> = HashMap::new();
        let mut listed = Vec::new();
        for option in options {
            numbers.push(option.value);
            listed.push(match option.labels.first() {
                Some(label) => format!("{} ({label})", option.value),
                None => option.value.to_string(),
            });
            for label in &option.labels {
                for form in [label.trim().to_owned(), label.trim().to_lowercase()] {
                    labels
                        .entry(form.into_bytes().into())
                        .and_modify(|known| {
                            if *known != Some(option.value) {
                                *known = None;
                            }
                        })
                        .or_insert(Some(option.value));
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if listed.len() > LISTED_MAX {
            listed.truncate(LISTED_MAX);
            listed.push("…".into());
        }
        let dense = match (numbers.first(), numbers.last()) {
            (Some(first), Some(last))
                if i64::from(*last) - i64::from(*first) == numbers.len() as i64 - 1 =>
            {
                Some((*first, *last))
            }
            _ => None,
        };
        Self { rule, numbers, dense, labels, listed: listed.join(", ") }
    }

    /// The number of the option `text` names.
    ///
    /// # Errors
    /// `DV0305` if there is none, or more than one.
    pub fn number(&self, text: &[u8]) -> Read<i32> {
        if self.rule != ChoiceRule::Label
            && let Some(number) = parse_short(text).and_then(|n| i32::try_from(n).ok())
            && match self.dense {
                Some((first, last)) => first <= number && number <= last,
                None => self.numbers.binary_search(&number).is_ok(),
            }
        {
            return Ok(number);
        }
        if self.rule != ChoiceRule::Number {
            let known = self.labels.get(text).copied().or_else(|| {
                let lower = std::str::from_utf8(text).ok()?.to_lowercase();
                self.labels.get(lower.as_bytes()).copied()
            });
            match known {
                Some(Some(number)) => return Ok(number),
                Some(None) => {
                    return Err(Refusal::value(
                        "DV0305",
                        format!("several options are labelled {}; use the number", shown(text)),
                    ));
                }
                None => {}
            }
        }
        let by = match self.rule {
            ChoiceRule::Auto => "an option",
            ChoiceRule::Label => "the label of an option",
            ChoiceRule::Number => "the number of an option",
        };
        Err(Refusal::value(
            "DV0305",
            format!("{} is not {by}; options are {}", shown(text), self.listed),
        ))
    }

    /// Whether `text` is sent as it stands.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        // The plain digits of an option.
        self.rule != ChoiceRule::Label
            && text.first().is_some_and(|b| (b'1'..=b'9').contains(b))
            && self.dense.is_some_and(|(first, last)| {
                parse_short(text).is_some_and(|n| (i64::from(first)..=i64::from(last)).contains(&n))
            })
    }

    pub(super) fn write_one(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        if self.stands(text) {
            out.extend_from_slice(text);
            return Ok(());
        }
        self.write_named(text, out)
    }

    #[inline(never)]
    fn write_named(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        let number = self.number(text)?;
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        Ok(())
    }

    /// `"1,2"`. Texts are separated by `;` or `,`; a JSON array of numbers or labels does too.
    pub(super) fn write_many(&self, cell: Cell<'_>, out: &mut RowBuffer) -> Read {
        let mut numbers: Vec<i32> = Vec::new();
        let mut add = |text: &[u8]| -> Read {
            let number = self.number(text)?;
            if !numbers.contains(&number) {
                numbers.push(number);
            }
            Ok(())
        };
        if let Cell::Composite(json) = cell {
            let items: Vec<serde_json::Value> =
                serde_json::from_slice(json).or_else(|_| cell.scalar().map(|_| Vec::new()))?;
            for item in &items {
                match item {
                    serde_json::Value::String(text) => add(trim(text.as_bytes()))?,
                    other => add(other.to_string().as_bytes())?,
                }
            }
        } else {
            let text = cell.scalar()?;
            // A label may itself hold a separator.
            if self.rule != ChoiceRule::Number && self.labels.contains_key(text) {
                add(text)?;
            } else {
                for part in text.split(|b| matches!(b, b';' | b',')) {
                    if !trim(part).is_empty() {
                        add(trim(part))?;
                    }
                }
            }
        }
        out.push(b'"');
        for (i, number) in numbers.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        out.push(b'"');
        Ok(())
    }
}

/// Labels of a yes/no column, lower case.
#[derive(Clone, Debug)]
pub struct BooleanRule {
    true_label: String,
    false_label: String,
}

impl BooleanRule {
    /// With the labels metadata gives.
    #[must_use]
    pub fn new(true_label: &str, false_label: &str) -> Self {
        Self {
            true_label: true_label.trim().to_lowercase(),
            false_label: false_label.trim().to_lowercase(),
        }
    }

    /// Whether `text` is sent as it stands.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        matches!(text, b"true" | b"false")
    }

    pub(super) fn write(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        if self.stands(text) {
            out.extend_from_slice(text);
            return Ok(());
        }
        self.write_named(text, out)
    }

    #[inline(never)]
    fn write_named(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        let value = self.read(text).ok_or_else(|| {
            Refusal::value(
                "DV0301",
                format!(
                    "{} is neither yes nor no; use true/false, 1/0, yes/no or the labels {:?}/{:?}",
                    shown(text),
                    self.true_label,
                    self.false_label
                ),
            )
        })?;
        out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn read(&self, text: &[u8]) -> Option<bool> {
        match text {
            b"true" | b"1" => return Some(true),
            b"false" | b"0" => return Some(false),
            _ => {}
        }
        let lower = std::str::from_utf8(text).ok()?.to_lowercase();
        // The column's own labels come first: they may be crossed, as in "No"/"Yes".
        if self.true_label != self.false_label {
            if lower == self.true_label {
                return Some(true);
            }
            if lower == self.false_label {
                return Some(false);
            }
        }
        match lower.as_str() {
            "true" | "yes" | "y" => Some(true),
            "false" | "no" | "n" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Vec<Choice> {
        let option = |value, labels: &[&str]| Choice {
            value,
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
        };
        vec![
            option(1, &["Red", "Rot"]),
            option(2, &["Blue, dark"]),
            option(100_000_000, &["ÄRA"]),
            option(7, &["Twin"]),
            option(8, &["twin"]),
        ]
    }

    fn one(rule: ChoiceRule, text: &str) -> Result<i32, String> {
        ChoiceSet::new(&options(), rule).number(text.as_bytes()).map_err(|r| r.text)
    }

    #[test]
    fn reads_options_by_number_and_label() {
        assert_eq!(one(ChoiceRule::Auto, "1"), Ok(1));
        assert_eq!(one(ChoiceRule::Auto, "rot"), Ok(1));
        assert_eq!(one(ChoiceRule::Auto, "ära"), Ok(100_000_000));
        assert!(one(ChoiceRule::Auto, "twin").unwrap_err().contains("several options"));
        assert!(one(ChoiceRule::Number, "Red").unwrap_err().contains("number of an option"));
        assert!(one(ChoiceRule::Label, "1").unwrap_err().contains("label of an option"));
        let unknown = one(ChoiceRule::Auto, "3").unwrap_err();
        assert!(unknown.starts_with("\"3\" is not an option; options are 1 (Red), 2"), "{unknown}");
    }

    #[test]
    fn joins_several_options() {
        let set = ChoiceSet::new(&options(), ChoiceRule::Auto);
        let many = |cell| {
            let mut out = RowBuffer::default();
            set.write_many(cell, &mut out)
                .map(|()| String::from_utf8(out.as_slice().to_vec()).unwrap())
                .map_err(|r| r.code)
        };
        assert_eq!(many(Cell::text(b"1; Rot ,100000000;")), Ok("\"1,100000000\"".into()));
        assert_eq!(many(Cell::text(b"Blue, dark")), Ok("\"2\"".into()));
        let array = Cell::Composite("[1,\"ära\"]".as_bytes());
        assert_eq!(many(array), Ok("\"1,100000000\"".into()));
        assert_eq!(many(Cell::Composite(b"{}")), Err("DV0301"));
        assert_eq!(many(Cell::text(b"1;9")), Err("DV0305"));
    }

    #[test]
    fn reads_yes_and_no() {
        let rule = BooleanRule::new("Allow", "Do Not Allow");
        let read = |t: &str| rule.read(t.as_bytes());
        for yes in ["true", "TRUE", "1", "Yes", "y", "allow"] {
            assert_eq!(read(yes), Some(true), "{yes}");
        }
        for no in ["false", "0", "NO", "n", "do not allow"] {
            assert_eq!(read(no), Some(false), "{no}");
        }
        assert_eq!(read("2"), None);
        // "Do not send": yes means no.
        assert_eq!(BooleanRule::new("No", "Yes").read(b"yes"), Some(false));
    }
}
