//! Pure: values inside URLs. The one encoder of OData key literals.
//!
//! Source: `dataverse-web-api.md` §4.4.

use super::buffer::RowBuffer;
use super::refusal::{Read, Refusal, shown};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text` as a quoted key literal, percent-encoded: `'O''Brien%20%26%20Co'`. The result
/// is plain ASCII without anything JSON must escape.
///
/// # Errors
/// `DV0312` if it holds a character Dataverse cannot take in a key.
pub fn write_text_literal(text: &[u8], out: &mut RowBuffer) -> Read {
    if let Some(bad) = text.iter().find(|b| b"/<>*%&:\\?+".contains(b) || **b < b' ') {
        let bad = if *bad < b' ' {
            "a control character".to_owned()
        } else {
            format!("the character {}", char::from(*bad))
        };
        return Err(Refusal::value(
            "DV0312",
            format!(
                "{} holds {bad}, which Dataverse cannot take in an alternate key \
                 (none of / < > * % & : \\ ? +); use the row's id instead",
                shown(text)
            ),
        ));
    }
    out.push(b'\'');
    for byte in text {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(*byte);
            }
            other => out.extend_from_slice(&[
                b'%',
                HEX[usize::from(other >> 4)],
                HEX[usize::from(other & 15)],
            ]),
        }
    }
    out.push(b'\'');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(text: &str) -> Option<String> {
        let mut out = RowBuffer::default();
        write_text_literal(text.as_bytes(), &mut out).ok()?;
        Some(String::from_utf8(out.as_slice().to_vec()).unwrap())
    }

    #[test]
    fn writes_literals() {
        assert_eq!(literal("x@y.test").unwrap(), "'x@y.test'");
        assert_eq!(literal("O'Brien \"ä\"").unwrap(), "'O''Brien%20%22%C3%A4%22'");
        for bad in ["a/b", "1+1", "50%", "a:b", "a\nb", "?"] {
            assert_eq!(literal(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn can_be_read_back(text in "[^/<>*%&:\\\\?+\\x00-\\x1f]{0,20}") {
            let literal = literal(&text).unwrap();
            let inner = &literal[1..literal.len() - 1];
            let mut bytes = Vec::new();
            let mut rest = inner.as_bytes();
            while let Some((first, after)) = rest.split_first() {
                if *first == b'%' {
                    let hex = std::str::from_utf8(&after[..2]).unwrap();
                    bytes.push(u8::from_str_radix(hex, 16).unwrap());
                    rest = &after[2..];
                } else {
                    bytes.push(*first);
                    rest = after;
                }
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap().replace("''", "'"), text);
        }
    }
}
