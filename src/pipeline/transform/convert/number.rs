//! Pure: whole numbers and binary floating point.

use super::decimal::{Digits, out_of_range, plain};
use crate::pipeline::transform::buffer::RowBuffer;
use crate::pipeline::transform::refusal::{Read, Refusal, shown};

/// Bounds of a whole-number column.
#[derive(Clone, Copy, Debug)]
pub struct IntegerRule {
    /// Least value.
    pub min: i64,
    /// Greatest value.
    pub max: i64,
}

impl IntegerRule {
    /// Whether `text` is sent as it stands.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        // Plain digits without a leading zero.
        parse_short(text).is_some_and(|value| (self.min..=self.max).contains(&value))
            && !matches!(text, [b'0', _, ..] | [b'-', b'0', ..])
    }

    pub(super) fn write(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        if self.stands(text) {
            out.extend_from_slice(text);
            return Ok(());
        }
        self.write_any(text, out)
    }

    #[inline(never)]
    fn write_any(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        let number = Digits::parse(text).filter(Digits::is_whole).ok_or_else(|| {
            Refusal::value("DV0301", format!("{} is not a whole number", shown(text)))
        })?;
        let value = number.to_i64().ok_or_else(|| self.refuse(text))?;
        if value < self.min || value > self.max {
            return Err(self.refuse(text));
        }
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Ok(())
    }

    fn refuse(&self, text: &[u8]) -> Box<Refusal> {
        out_of_range(text, &format!("{} to {}", self.min, self.max))
    }
}

/// Up to 18 plain digits with an optional minus.
#[inline]
pub(super) fn parse_short(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Bounds of a floating-point column.
#[derive(Clone, Copy, Debug)]
pub struct DoubleRule {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// So many digits before the point are in range without looking closer.
    digits: usize,
}

impl DoubleRule {
    /// With bounds as metadata gives them.
    #[must_use]
    pub fn new(min: f64, max: f64) -> Self {
        let mut digits = 0;
        let mut power = 10.0;
        while digits < 300 && power <= max && -power >= min {
            digits += 1;
            power *= 10.0;
        }
        Self { min, max, digits }
    }

    /// Whether `text` is sent as it stands.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        plain(text).is_some_and(|p| p.int <= self.digits)
    }

    pub(super) fn write(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        if self.stands(text) {
            out.extend_from_slice(text);
            return Ok(());
        }
        self.write_any(text, out)
    }

    #[inline(never)]
    fn write_any(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        let unreadable = || {
            Refusal::value(
                "DV0301",
                format!("{} is not a number; write it like -12.5e3", shown(text)),
            )
        };
        let form = json_number_form(text).ok_or_else(unreadable)?;
        let value: f64 =
            std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or_else(unreadable)?;
        if !value.is_finite() || value < self.min || value > self.max {
            return Err(out_of_range(text, &format!("{} to {}", self.min, self.max)));
        }
        match form {
            NumberForm::Json => out.extend_from_slice(text),
            NumberForm::Other => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NumberForm {
    /// As JSON writes numbers.
    Json,
    /// A number, but with a plus, leading zeros, or digits on one side of the point only.
    Other,
}

/// Whether `text` is a number, and whether JSON would write it so.
fn json_number_form(text: &[u8]) -> Option<NumberForm> {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let digits = |from: usize| unsigned[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let int = digits(0);
    let mut at = int;
    let mut fraction = None;
    if unsigned.get(at) == Some(&b'.') {
        let count = digits(at + 1);
        fraction = Some(count);
        at += 1 + count;
    }
    if int + fraction.unwrap_or(0) == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = unsigned.get(at) {
        at += 1 + usize::from(matches!(unsigned.get(at + 1), Some(b'+' | b'-')));
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    if at != unsigned.len() {
        return None;
    }
    let json =
        text[0] != b'+' && int > 0 && (int == 1 || unsigned[0] != b'0') && fraction != Some(0);
    Some(if json { NumberForm::Json } else { NumberForm::Other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(
        write: impl Fn(&[u8], &mut RowBuffer) -> Read,
        text: &str,
        expect: Result<&str, &str>,
    ) {
        let mut out = RowBuffer::default();
        let got = write(text.as_bytes(), &mut out).map_err(|r| r.code);
        let got = got.map(|()| String::from_utf8(out.as_slice().to_vec()).unwrap());
        assert_eq!(got.as_deref().map_err(|c| *c), expect, "{text}");
    }

    #[test]
    fn reads_whole_numbers() {
        let rule = IntegerRule { min: -5, max: 2_147_483_647 };
        let check = |text, expect| check(|t, o| rule.write(t, o), text, expect);
        check("0042", Ok("42"));
        check("+7", Ok("7"));
        check("-5", Ok("-5"));
        check("12.00", Ok("12"));
        check("1.2e1", Ok("12"));
        check("-6", Err("DV0303"));
        check("2147483648", Err("DV0303"));
        check("99999999999999999999999", Err("DV0303"));
        for bad in ["1.5", "x", "", "1,000", "--1", "0x10"] {
            check(bad, Err("DV0301"));
        }
    }

    #[test]
    fn reads_floating_point() {
        let rule = DoubleRule::new(-1e9, 1e9);
        let check = |text, expect| check(|t, o| rule.write(t, o), text, expect);
        check("0.1", Ok("0.1"));
        check("-12.50e3", Ok("-12.50e3"));
        check("+1.5", Ok("1.5"));
        check(".5", Ok("0.5"));
        check("007", Ok("7.0"));
        check("1e10", Err("DV0303"));
        check("1e999", Err("DV0303"));
        for bad in ["inf", "NaN", "1.2.3", "", "-", "1e", "0x1p3", "1_000"] {
            check(bad, Err("DV0301"));
        }
    }

    proptest! {
        #[test]
        fn number_form_is_that_of_json(text in "[-+]?[0-9.]{0,4}([eE][-+]?[0-9]{0,2})?") {
            let json = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            let form = json_number_form(text.as_bytes());
            // Numbers too large for serde_json's f64 do not occur with two exponent digits.
            prop_assert_eq!(json, form == Some(NumberForm::Json), "{:?}", form);
        }
    }
}
