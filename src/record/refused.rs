//! Pure: the refused rows people see at once, without opening the error file.

use crate::limits::{LAST_REFUSED_MAX, REFUSED_KEY_BYTES_MAX, REFUSED_MESSAGE_BYTES_MAX};
use crate::record::key::TableId;
use crate::record::outcome::{FaultCategory, RowFault};
use std::collections::VecDeque;

/// A row that was refused, cut to what fits a screen; the error file has all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The load.
    pub table: TableId,
    /// Its key, at most [`REFUSED_KEY_BYTES_MAX`] bytes.
    pub key: String,
    /// As in [`RowFault`].
    pub code: String,
    /// As in [`RowFault`].
    pub category: FaultCategory,
    /// As in [`RowFault`], at most [`REFUSED_MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

impl Refused {
    /// Keeps of a refusal what is shown.
    #[must_use]
    pub fn of(table: TableId, key: &[u8], fault: &RowFault) -> Self {
        let key = &key[..key.len().min(REFUSED_KEY_BYTES_MAX)];
        Self {
            table,
            key: String::from_utf8_lossy(key).into_owned(),
            code: fault.code.clone(),
            category: fault.category,
            message: cut(&fault.message, REFUSED_MESSAGE_BYTES_MAX),
        }
    }
}

/// At most `bytes` of a text, at the border of a character.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The latest [`LAST_REFUSED_MAX`] refused rows, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LatestRefused(VecDeque<Refused>);

impl LatestRefused {
    /// Adds a row, letting go of the oldest when there are too many.
    pub fn push(&mut self, row: Refused) {
        if self.0.len() == LAST_REFUSED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(row);
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Refused> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> RowFault {
        RowFault {
            code: "DV0301".into(),
            category: FaultCategory::Value,
            message: message.into(),
            retryable: false,
        }
    }

    #[test]
    fn only_the_latest_are_kept_and_cut_between_characters() {
        let mut latest = LatestRefused::default();
        for n in 0..LAST_REFUSED_MAX + 3 {
            latest.push(Refused::of(TableId(0), n.to_string().as_bytes(), &fault("x")));
        }
        let keys: Vec<&str> = latest.iter().map(|r| r.key.as_str()).collect();
        assert_eq!(keys.len(), LAST_REFUSED_MAX);
        assert_eq!((keys[0], keys[LAST_REFUSED_MAX - 1]), ("3", "22"));
        let long = format!("a{}", "ä".repeat(REFUSED_MESSAGE_BYTES_MAX));
        let shown = Refused::of(TableId(0), &[0xff; 4 * REFUSED_KEY_BYTES_MAX], &fault(&long));
        assert!(shown.message.len() <= REFUSED_MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(shown.message.ends_with("ä…"));
        assert!(shown.key.chars().all(|c| c == char::REPLACEMENT_CHARACTER));
        assert_eq!(shown.key.chars().count(), REFUSED_KEY_BYTES_MAX);
    }
}
