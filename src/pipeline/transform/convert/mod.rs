//! Pure: values of every column type, from text to JSON.
//!
//! Source: `dataverse-web-api.md` §4.7.

pub mod choice;
pub mod date;
pub mod decimal;
pub mod guid;
pub mod number;
pub mod text;

use super::buffer::RowBuffer;
use super::cell::{Cell, trim};
use super::refusal::{Read, Refusal, shown};
use crate::catalog::model::ColumnKind;
use crate::config::job::ColumnMapping;
use choice::{BooleanRule, ChoiceSet};
use date::DateRule;
use decimal::DecimalRule;
use number::{DoubleRule, IntegerRule};
use text::TextRule;

/// Whether a text can be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// As it stands.
    Bare,
    /// As it stands, in quotes.
    Quoted,
    /// It has to be read first.
    No,
}

/// Reads the values of one column that is no lookup.
#[derive(Clone, Debug)]
pub enum Converter {
    /// Text and memo.
    Text(TextRule),
    /// 32 and 64 bit.
    Integer(IntegerRule),
    /// Decimal and money.
    Decimal(DecimalRule),
    /// Floating point.
    Double(DoubleRule),
    /// Yes or no.
    Boolean(BooleanRule),
    /// One option.
    Choice(ChoiceSet),
    /// Several options.
    Choices(ChoiceSet),
    /// Date or time.
    Date(DateRule),
    /// GUID.
    Guid,
    /// Base64.
    Image,
    /// Logical name of a table.
    TableName,
}

impl Converter {
    /// For a column of `kind` mapped by `mapping`.
    ///
    /// # Errors
    /// Says what of either cannot be used.
    pub fn new(kind: &ColumnKind, mapping: &ColumnMapping) -> Result<Self, String> {
        let is_text = matches!(kind, ColumnKind::Text { .. } | ColumnKind::Memo { .. });
        if mapping.truncate && !is_text {
            return Err("`truncate` has a meaning for text columns only; remove it".into());
        }
        let is_date = matches!(kind, ColumnKind::DateTime(_));
        if !is_date && (mapping.date_format.is_some() || mapping.time_zone.is_some()) {
            return Err("`date_format` and `time_zone` have a meaning for dates only".into());
        }
        Ok(match kind {
            ColumnKind::Text { max_length } | ColumnKind::Memo { max_length } => {
                Self::Text(TextRule { max_length: *max_length, truncate: mapping.truncate })
            }
            ColumnKind::Integer { min, max } => Self::Integer(IntegerRule { min: *min, max: *max }),
            ColumnKind::BigInt => Self::Integer(IntegerRule { min: i64::MIN, max: i64::MAX }),
            ColumnKind::Decimal { min, max, precision }
            | ColumnKind::Money { min, max, precision } => {
                Self::Decimal(DecimalRule::new(min, max, *precision)?)
            }
            ColumnKind::Double { min, max } => Self::Double(DoubleRule::new(*min, *max)),
            ColumnKind::Boolean { true_label, false_label } => {
                Self::Boolean(BooleanRule::new(true_label, false_label))
            }
            ColumnKind::Choice(options) | ColumnKind::State(options) => {
                Self::Choice(ChoiceSet::new(options, mapping.choice))
            }
            ColumnKind::Status(options) => {
                Self::Choice(ChoiceSet::new(options.iter().map(|o| &o.choice), mapping.choice))
            }
            ColumnKind::Choices(options) => Self::Choices(ChoiceSet::new(options, mapping.choice)),
            ColumnKind::DateTime(behavior) => Self::Date(DateRule::new(
                *behavior,
                mapping.date_format.as_deref(),
                mapping.time_zone.as_deref(),
            )?),
            ColumnKind::Guid => Self::Guid,
            ColumnKind::Image => Self::Image,
            ColumnKind::TableName => Self::TableName,
            ColumnKind::Lookup(_) => return Err("a lookup needs a lookup rule".into()),
            ColumnKind::File => {
                return Err(
                    "file columns cannot be set when a row is written; upload after it".into()
                );
            }
            ColumnKind::PartyList => return Err("activity parties cannot be loaded yet".into()),
            ColumnKind::Other(name) => {
                return Err(format!("columns of type {name} cannot be written"));
            }
        })
    }

    /// Whether `cell` counts as empty: nothing, `null`, or a text without characters; blanks
    /// count as characters in text columns only.
    #[must_use]
    pub fn is_empty(&self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Absent | Cell::Null => true,
            Cell::Text { bytes, .. } => {
                bytes.is_empty() || (!matches!(self, Self::Text(_)) && trim(bytes).is_empty())
            }
            Cell::Number(_) | Cell::Bool(_) | Cell::Composite(_) => false,
        }
    }

    /// Appends the JSON value of `cell`, which is not empty. What was appended before a refusal
    /// is to be taken off by the caller.
    ///
    /// # Errors
    /// Why the value does not fit.
    #[inline]
    pub fn write(&self, cell: Cell<'_>, out: &mut RowBuffer) -> Read {
        match self {
            Self::Text(rule) => rule.write(cell, out),
            Self::Choices(set) => set.write_many(cell, out),
            _ => self.write_scalar(cell.scalar()?, out),
        }
    }

    /// Whether the JSON value of `text` is `text` itself. A quick look: "no" may be wrong.
    #[must_use]
    #[inline]
    pub fn standing(&self, text: &[u8]) -> Standing {
        let bare = match self {
            Self::Integer(rule) => rule.stands(text),
            Self::Decimal(rule) => rule.stands(text),
            Self::Double(rule) => rule.stands(text),
            Self::Boolean(rule) => rule.stands(text),
            Self::Choice(set) => set.stands(text),
            Self::Date(rule) if rule.stands(text) => return Standing::Quoted,
            _ => false,
        };
        if bare { Standing::Bare } else { Standing::No }
    }

    /// The same of a text that is not empty and has no blanks around it.
    ///
    /// # Errors
    /// Why the value does not fit.
    #[inline(never)]
    pub fn write_scalar(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        match self {
            Self::Integer(rule) => rule.write(text, out),
            Self::Decimal(rule) => rule.write(text, out),
            Self::Double(rule) => rule.write(text, out),
            Self::Boolean(rule) => rule.write(text, out),
            Self::Choice(set) => set.write_one(text, out),
            Self::Date(rule) => rule.write(text, out),
            Self::Guid => {
                let guid = guid::read(text)?;
                write_plain(&guid, out);
                Ok(())
            }
            Self::Text(rule) => rule.write(Cell::text(text), out),
            Self::Choices(set) => set.write_many(Cell::text(text), out),
            Self::Image => {
                let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
                if !text.len().is_multiple_of(4) || !text.iter().all(plain) {
                    let message = format!("{} is not base64", shown(text));
                    return Err(Refusal::value("DV0301", message));
                }
                write_plain(text, out);
                Ok(())
            }
            Self::TableName => {
                if !text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                    let message = format!("{} is not the logical name of a table", shown(text));
                    return Err(Refusal::value("DV0301", message));
                }
                write_plain(text, out);
                Ok(())
            }
        }
    }
}

/// A JSON string of bytes that need no escapes.
fn write_plain(text: &[u8], out: &mut RowBuffer) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}
