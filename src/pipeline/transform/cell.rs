//! Pure: one source value, whatever it was written in.

use super::refusal::{Read, Refusal, shown};

/// One source value. Texts are UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cell<'a> {
    /// The JSON object has no such member.
    Absent,
    /// JSON `null`.
    Null,
    /// A field of separated values, or a JSON string, unescaped.
    Text {
        /// The text.
        bytes: &'a [u8],
        /// Known to hold nothing JSON text must escape.
        clean: bool,
    },
    /// A JSON number as it is written.
    Number(&'a [u8]),
    /// A JSON `true` or `false`.
    Bool(bool),
    /// A JSON object or array as it is written.
    Composite(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// A text of which nothing is known.
    #[must_use]
    pub const fn text(bytes: &'a [u8]) -> Self {
        Self::Text { bytes, clean: false }
    }

    /// The value as text, blanks around it taken off.
    ///
    /// # Errors
    /// If it is an object or array.
    #[inline]
    pub fn scalar(self) -> Read<&'a [u8]> {
        match self {
            Self::Text { bytes, .. } => Ok(trim(bytes)),
            Self::Number(text) => Ok(text),
            Self::Bool(true) => Ok(b"true"),
            Self::Bool(false) => Ok(b"false"),
            Self::Absent | Self::Null => Ok(b""),
            Self::Composite(text) => Err(Refusal::value(
                "DV0301",
                format!("{} is not a single value; use a text, number or boolean", shown(text)),
            )),
        }
    }
}

/// `bytes` without blanks around; looks at the ends first, since there are rarely any.
#[must_use]
#[inline]
pub fn trim(bytes: &[u8]) -> &[u8] {
    match bytes {
        [first, .., last] if *first > b' ' && *last > b' ' => bytes,
        _ => bytes.trim_ascii(),
    }
}
