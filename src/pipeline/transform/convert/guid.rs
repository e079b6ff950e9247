//! Pure: GUIDs, with or without braces, in any case.

use crate::pipeline::transform::refusal::{Read, Refusal, shown};

/// The GUID as 36 lower-case ASCII bytes.
#[must_use]
#[inline]
pub fn parse(text: &[u8]) -> Option<[u8; 36]> {
    let bare = match text {
        [b'{', inner @ .., b'}'] => inner,
        other => other,
    };
    let mut out: [u8; 36] = bare.try_into().ok()?;
    // Without branches, so that it is done on whole vectors.
    let mut bad = 0;
    for (byte, dash) in out.iter_mut().zip(&DASHES) {
        let digit = byte.wrapping_sub(b'0') < 10;
        let letter = (*byte | 0x20).wrapping_sub(b'a') < 6;
        let expected = if *dash == b'-' { *byte == b'-' } else { digit | letter };
        bad |= u8::from(!expected);
        *byte |= u8::from(letter) << 5;
    }
    (bad == 0).then_some(out)
}

const DASHES: [u8; 36] = *b"00000000-0000-0000-0000-000000000000";

/// Whether `text` is a GUID as [`parse`] gives it.
#[must_use]
#[inline]
pub fn is_lower(text: &[u8]) -> bool {
    // Two overlapping pieces, each some whole vectors.
    let (Some(head), Some(tail)) = (text.first_chunk::<32>(), text.last_chunk::<16>()) else {
        return false;
    };
    let mut bad = 0;
    for (byte, dash) in head.iter().zip(&DASHES[..32]) {
        bad |= misplaced(*byte, *dash);
    }
    for (byte, dash) in tail.iter().zip(&DASHES[20..]) {
        bad |= misplaced(*byte, *dash);
    }
    (text.len() == 36) & (bad == 0)
}

#[inline]
fn misplaced(byte: u8, pattern: u8) -> u8 {
    let hex = (byte.wrapping_sub(b'0') < 10) | (byte.wrapping_sub(b'a') < 6);
    u8::from(if pattern == b'-' { byte != b'-' } else { !hex })
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
            assert!(!is_lower(bad.as_bytes()), "{bad}");
        }
        assert!(is_lower(&lower));
        for at in 0..36 {
            for byte in [b'F', b'-', b'0', b'g', b'/', b':'] {
                let mut text = lower;
                text[at] = byte;
                assert_eq!(is_lower(&text), parse(&text) == Some(text), "{at} {byte}");
            }
        }
        assert!(read(b"x").unwrap_err().text.contains("\"x\" is not a GUID"));
    }
}
