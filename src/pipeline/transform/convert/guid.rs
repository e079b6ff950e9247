//! Pure: GUIDs, with or without braces, in any case.

use crate::pipeline::transform::refusal::{Read, Refusal, shown};

/// The GUID as 36 lower-case ASCII bytes.
#[must_use]
pub fn parse(text: &[u8]) -> Option<[u8; 36]> {
    let bare = match text {
        [b'{', inner @ .., b'}'] => inner,
        other => other,
    };
    let mut out: [u8; 36] = bare.try_into().ok()?;
    for (i, byte) in out.iter_mut().enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' if !matches!(i, 8 | 13 | 18 | 23) => {}
            b'A'..=b'F' if !matches!(i, 8 | 13 | 18 | 23) => *byte |= 0x20,
            b'-' if matches!(i, 8 | 13 | 18 | 23) => {}
            _ => return None,
        }
    }
    Some(out)
}

/// The same, or `DV0307`.
///
/// # Errors
/// If it is not a GUID.
pub fn read(text: &[u8]) -> Read<[u8; 36]> {
    parse(text).ok_or_else(|| {
        Refusal::value(
            "DV0307",
            format!(
                "{} is not a GUID; write it as 00000000-0000-0000-0000-000000000000",
                shown(text)
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_braces_and_any_case() {
        let lower = *b"2d2f0000-abcd-4e60-8a0b-0a3a3a8c2b11";
        assert_eq!(parse(b"2d2f0000-abcd-4e60-8a0b-0a3a3a8c2b11"), Some(lower));
        assert_eq!(parse(b"{2D2F0000-ABCD-4E60-8A0B-0A3A3A8C2B11}"), Some(lower));
        for bad in [
            "",
            "{2D2F0000-ABCD-4E60-8A0B-0A3A3A8C2B11",
            "2d2f0000abcd4e608a0b0a3a3a8c2b11",
            "2d2f0000-abcd-4e60-8a0b-0a3a3a8c2b1g",
            "2d2f-0000abcd-4e60-8a0b-0a3a3a8c2b11",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert!(read(b"x").unwrap_err().text.contains("\"x\" is not a GUID"));
    }
}
