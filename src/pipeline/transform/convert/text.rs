//! Pure: text columns. Lengths count UTF-16 units.
//!
//! Source: `dataverse-web-api.md` §4.7, §13.

use crate::pipeline::transform::buffer::RowBuffer;
use crate::pipeline::transform::cell::Cell;
use crate::pipeline::transform::refusal::{Read, Refusal};
use crate::record::fields::json_special;

/// Reads values of one text column.
#[derive(Clone, Copy, Debug)]
pub struct TextRule {
    /// Longest value, UTF-16 units.
    pub max_length: u32,
    /// Cut what is longer.
    pub truncate: bool,
}

impl TextRule {
    pub(super) fn write(&self, cell: Cell<'_>, out: &mut RowBuffer) -> Read {
        out.push(b'"');
        self.write_inner(cell, out)
    }

    /// The same behind an opening quote.
    #[inline]
    pub(in crate::pipeline::transform) fn write_inner(
        &self,
        cell: Cell<'_>,
        out: &mut RowBuffer,
    ) -> Read {
        let (bytes, clean) = match cell {
            Cell::Text { bytes, clean } => (bytes, clean),
            other => (other.scalar()?, true),
        };
        let max = self.max_length as usize;
        let bytes = if bytes.len() <= max { bytes } else { self.fit(bytes, max)? };
        if clean {
            out.extend_from_slice(bytes);
        } else {
            write_escaped(bytes, out)?;
        }
        out.push(b'"');
        Ok(())
    }

    fn fit<'a>(&self, bytes: &'a [u8], max: usize) -> Read<&'a [u8]> {
        let units = utf16_units(bytes);
        if units <= max {
            return Ok(bytes);
        }
        if !self.truncate {
            return Err(Refusal::value(
                "DV0302",
                format!(
                    "{units} characters, at most {max} allowed; shorten it, or cut it with \
                     `truncate`"
                ),
            ));
        }
        let mut units = 0;
        let mut end = 0;
        while end < bytes.len() {
            let (length, width) = match bytes[end] {
                0..=0x7f => (1, 1),
                0x80..=0xdf => (2, 1),
                0xe0..=0xef => (3, 1),
                _ => (4, 2),
            };
            if units + width > max {
                break;
            }
            units += width;
            end += length;
        }
        Ok(&bytes[..end])
    }
}

/// Length of UTF-8 `bytes` in UTF-16 units: one per character, two per four-byte character.
fn utf16_units(bytes: &[u8]) -> usize {
    bytes.iter().map(|b| usize::from(*b & 0xC0 != 0x80) + usize::from(*b >= 0xF0)).sum()
}

/// Appends UTF-8 `text` as the inside of a JSON string.
///
/// # Errors
/// `DV0311` if it holds a control character other than tab, line feed and carriage return.
fn write_escaped(text: &[u8], out: &mut RowBuffer) -> Read {
    let mut rest = text;
    while let Some(special) = json_special(rest) {
        out.extend_from_slice(&rest[..special]);
        out.extend_from_slice(match rest[special] {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            control => {
                return Err(Refusal::value(
                    "DV0311",
                    format!(
                        "control character U+{control:04X} at byte {} of the value; remove it",
                        text.len() - rest.len() + special
                    ),
                ));
            }
        });
        rest = &rest[special + 1..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(text: &str, max_length: u32, truncate: bool) -> Result<String, String> {
        let mut out = RowBuffer::default();
        TextRule { max_length, truncate }
            .write(Cell::text(text.as_bytes()), &mut out)
            .map_err(|r| format!("{} {}", r.code, r.text))?;
        Ok(String::from_utf8(out.as_slice().to_vec()).unwrap())
    }

    #[test]
    fn counts_utf16_units_and_cuts_between_characters() {
        assert_eq!(write("äöü", 3, false).unwrap(), "\"äöü\"");
        let long = write("😀😀", 3, false).unwrap_err();
        assert!(long.starts_with("DV0302 4 characters, at most 3 allowed"), "{long}");
        assert_eq!(write("😀😀", 3, true).unwrap(), "\"😀\"");
        assert_eq!(write("€ab", 2, true).unwrap(), "\"€a\"");
        let control = write("ab\u{1}", 9, false).unwrap_err();
        assert!(control.starts_with("DV0311 control character U+0001 at byte 2"), "{control}");
    }

    proptest! {
        #[test]
        fn is_what_serde_json_writes(text in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]{0,40}") {
            prop_assert_eq!(write(&text, 100, false).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn cuts_to_the_longest_that_fits(text in "[a€😀ä]{0,20}", max in 0u32..20) {
            let cut: String = serde_json::from_str(&write(&text, max, true).unwrap()).unwrap();
            prop_assert!(text.starts_with(&cut));
            let units = cut.encode_utf16().count();
            prop_assert!(units <= max as usize);
            if cut != text {
                let next = text[cut.len()..].chars().next().unwrap();
                prop_assert!(units + next.len_utf16() > max as usize);
            }
        }
    }
}
