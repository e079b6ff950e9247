//! Pure: why a value is refused, in words a person can act on.

use crate::record::outcome::{FaultCategory, RowFault};

/// Longest piece of a value shown in a message, characters.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a value cannot be sent; the column's name is added by [`Refusal::into_fault`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// `DV…`.
    pub code: &'static str,
    /// What kind of trouble it is.
    pub category: FaultCategory,
    /// Value and rule.
    pub text: String,
}

/// Outcome of reading a value.
pub type Read<T = ()> = Result<T, Box<Refusal>>;

impl Refusal {
    /// A value that does not fit its column.
    #[must_use]
    pub fn value(code: &'static str, text: String) -> Box<Self> {
        Box::new(Self { code, category: FaultCategory::Value, text })
    }

    /// A reference that leads nowhere.
    #[must_use]
    pub fn reference(code: &'static str, text: String) -> Box<Self> {
        Box::new(Self { code, category: FaultCategory::Reference, text })
    }

    /// The fault of the row whose column `target` it is.
    #[must_use]
    pub fn into_fault(self, target: &str) -> RowFault {
        RowFault {
            code: self.code.to_owned(),
            category: self.category,
            message: format!("{target}: {}", self.text),
            retryable: false,
        }
    }
}

/// A value as messages show it: quoted, shortened, control characters made visible.
#[must_use]
pub fn shown(value: &[u8]) -> String {
    // Enough bytes for the characters shown; a character cut here is beyond what is shown.
    let head = &value[..value.len().min(SHOWN_CHARS_MAX * 4 + 4)];
    let text = String::from_utf8_lossy(head);
    let mut out = String::from("\"");
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS_MAX {
            out.push('…');
            break;
        }
        match c {
            '"' => out.push('"'),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_values_shortened_and_printable() {
        assert_eq!(shown("a\tb\u{7f}ä".as_bytes()), "\"a\\tb\\u{7f}ä\"");
        assert_eq!(shown("€".repeat(100).as_bytes()), format!("\"{}…\"", "€".repeat(60)));
        assert_eq!(shown(&[0xff]), "\"\u{fffd}\"");
    }
}
