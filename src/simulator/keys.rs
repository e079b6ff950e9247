//! Pure: alternate keys: how values compare, and the index of them.

use super::schema::{KeyDef, TableDef};
use super::store::RowValues;
use super::value::Value;
use std::fmt::Write as _;

/// Between the values of a composite key.
const BETWEEN: char = '\u{1f}';

/// Whether the service enforces the key.
///
/// Source: `dataverse-web-api.md` §4.4: only `Active` is usable.
#[must_use]
pub fn enforced(key: &KeyDef) -> bool {
    key.status == "Active"
}

/// Folded text of a key's values, or none if one is empty: then uniqueness is not enforced.
///
/// Source: `dataverse-web-api.md` §4.4, §13.
#[must_use]
pub fn key_text<'v>(key: &KeyDef, value: impl Fn(usize) -> &'v Value) -> Option<Box<str>> {
    let mut out = String::new();
    for (at, &column) in key.columns.iter().enumerate() {
        if at > 0 {
            out.push(BETWEEN);
        }
        push_value(&mut out, value(column))?;
    }
    Some(out.into())
}

fn push_value(out: &mut String, value: &Value) -> Option<()> {
    let written = match value {
        Value::Null => return None,
        Value::Text(text) => {
            fold(out, text);
            Ok(())
        }
        Value::Int(number) => {
            out.push_str(itoa::Buffer::new().format(*number));
            Ok(())
        }
        Value::Decimal(units) | Value::Money(units) => write!(out, "{units}"),
        Value::Double(number) => write!(out, "{number}"),
        Value::Bool(flag) => write!(out, "{flag}"),
        Value::Guid(id) | Value::Reference(_, id) => write!(out, "{id}"),
        Value::Options(options) => write!(out, "{options:?}"),
        Value::Time(ms) => write!(out, "{ms}"),
        Value::Day(day) => write!(out, "{day}"),
    };
    written.ok()
}

/// Appends `text` as the database compares it: no case, no accents, no trailing blanks.
pub fn fold(out: &mut String, text: &str) {
    let text = text.trim_end_matches(' ');
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
        return;
    }
    for c in text.chars().flat_map(char::to_lowercase) {
        match bare(c) {
            Some(plain) => out.push_str(plain),
            None if ('\u{300}'..='\u{36f}').contains(&c) => {}
            None => out.push(c),
        }
    }
}

/// A lower-case Latin letter without its accents, where Latin 1 and Extended-A have them.
fn bare(c: char) -> Option<&'static str> {
    Some(match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        _ => return None,
    })
}

/// The values of a key as a client would write them, for messages.
#[must_use]
pub fn shown(table: &TableDef, key: &KeyDef, values: &RowValues) -> Vec<String> {
    key.columns
        .iter()
        .map(|&c| match &values[c] {
            Value::Text(text) => text.to_string(),
            other => {
                let mut out = String::new();
                let written = push_value(&mut out, other);
                debug_assert!(written.is_some(), "{} has a value", table.columns[c].name);
                out
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_compares_as_the_database_does() {
        let folded = |text: &str| {
            let mut out = String::new();
            fold(&mut out, text);
            out
        };
        for (one, other) in [
            ("ABC", "abc"),
            ("Müller  ", "MULLER"),
            ("Straße", "STRASSE"),
            ("e\u{301}", "É"),
            ("Łódź", "lodz"),
            ("a b", "A B "),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for (one, other) in [("a b", "ab"), (" a", "a"), ("a", "b"), ("日", "本")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }
}
