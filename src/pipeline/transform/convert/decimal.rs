//! Pure: exact decimal numbers as text; no binary floating point touches them.

use crate::pipeline::transform::buffer::RowBuffer;
use crate::pipeline::transform::refusal::{Read, Refusal, shown};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Largest exponent that is written out; anything beyond is out of every range or precision.
const EXPONENT_MAX: i64 = 400;

/// A number as digits: `int` without leading zeros, `fraction` as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Digits<'a> {
    negative: bool,
    int: Cow<'a, [u8]>,
    fraction: Cow<'a, [u8]>,
}

impl<'a> Digits<'a> {
    /// Reads `[+-]digits[.digits][e[+-]digits]`, digits on one side of the point at least.
    /// `None` if it is no number (or its exponent is absurd).
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let int_end = digits_at(rest, 0);
        let (int, mut end) = (&rest[..int_end], int_end);
        let mut fraction: &[u8] = &[];
        if rest.get(end) == Some(&b'.') {
            let fraction_end = digits_at(rest, end + 1);
            fraction = &rest[end + 1..fraction_end];
            end = fraction_end;
        }
        if int.is_empty() && fraction.is_empty() {
            return None;
        }
        let plain = Self {
            negative,
            int: Cow::Borrowed(strip_zeros(int)),
            fraction: Cow::Borrowed(fraction),
        };
        match &rest[end..] {
            [] => Some(plain),
            [b'e' | b'E', exponent @ ..] => plain.scaled(exponent),
            _ => None,
        }
    }

    /// Moves the point by the exponent, exactly.
    fn scaled(self, exponent: &[u8]) -> Option<Self> {
        let exponent: i64 = std::str::from_utf8(exponent).ok()?.parse().ok()?;
        if exponent.abs() > EXPONENT_MAX {
            return None;
        }
        let mut all = self.int.into_owned();
        #[expect(clippy::cast_possible_wrap, reason = "a record is at most 16 MiB")]
        let point = all.len() as i64 + exponent;
        all.extend_from_slice(&self.fraction);
        let point = if let Ok(point) = usize::try_from(point) {
            point
        } else {
            let zeros = usize::try_from(-point).ok()?;
            all.splice(0..0, std::iter::repeat_n(b'0', zeros));
            0
        };
        if all.len() < point {
            all.resize(point, b'0');
        }
        let mut fraction = all.split_off(point);
        // Zeros at the end were not written by anyone.
        fraction.truncate(significant(&fraction));
        let int = strip_zeros(&all).to_vec();
        Some(Self { negative: self.negative, int: Cow::Owned(int), fraction: Cow::Owned(fraction) })
    }

    fn into_owned(self) -> Digits<'static> {
        Digits {
            negative: self.negative,
            int: Cow::Owned(self.int.into_owned()),
            fraction: Cow::Owned(self.fraction.into_owned()),
        }
    }

    fn is_zero(&self) -> bool {
        self.int.is_empty() && significant(&self.fraction) == 0
    }

    /// Whether nothing but zeros stands after the point.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        significant(&self.fraction) == 0
    }

    /// The whole number, if it is one of 64 bits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        if !self.is_whole() || self.int.len() > 19 {
            return None;
        }
        let magnitude = self.int.iter().fold(0i128, |n, d| n * 10 + i128::from(d - b'0'));
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// Order by value.
    #[must_use]
    pub fn compare(&self, other: &Digits<'_>) -> Ordering {
        let magnitude = || {
            let ours = &self.fraction[..significant(&self.fraction)];
            let theirs = &other.fraction[..significant(&other.fraction)];
            (self.int.len(), &*self.int, ours).cmp(&(other.int.len(), &*other.int, theirs))
        };
        match (self.negative && !self.is_zero(), other.negative && !other.is_zero()) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }

    /// Appends it as a JSON number with at most `fraction_max` digits after the point; the rest
    /// must be zeros.
    fn write(&self, fraction_max: usize, out: &mut RowBuffer) {
        if self.negative && !self.is_zero() {
            out.push(b'-');
        }
        out.extend_from_slice(if self.int.is_empty() { b"0" } else { &self.int });
        let fraction = &self.fraction[..self.fraction.len().min(fraction_max)];
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    }
}

#[inline]
fn digits_at(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|b| !b.is_ascii_digit()).map_or(text.len(), |i| from + i)
}

/// Digits of a number that JSON writes the same way, without exponent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plain {
    pub(super) negative: bool,
    /// Digits before the point.
    pub(super) int: usize,
    /// Digits after it.
    pub(super) fraction: usize,
}

/// Whether `text` is such a number (a negative one below 1 is left to slower readers, since it
/// may be zero).
#[inline]
pub(super) fn plain(text: &[u8]) -> Option<Plain> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let int = digits_at(digits, 0);
    if int == 0 || (digits[0] == b'0' && (int > 1 || negative)) {
        return None;
    }
    let fraction = match digits.len() - int {
        0 => 0,
        1 => return None,
        rest if digits[int] == b'.' && digits_at(digits, int + 1) == digits.len() => rest - 1,
        _ => return None,
    };
    Some(Plain { negative, int, fraction })
}

fn strip_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros..]
}

/// Digits up to the last that is not zero.
fn significant(digits: &[u8]) -> usize {
    digits.iter().rposition(|d| *d != b'0').map_or(0, |i| i + 1)
}

/// Reads values of one decimal or money column.
#[derive(Clone, Debug)]
pub struct DecimalRule {
    min: Digits<'static>,
    max: Digits<'static>,
    /// For messages.
    range: String,
    precision: usize,
    /// Fewer digits before the point than these are in range without comparing; by sign.
    short: [usize; 2],
}

impl DecimalRule {
    /// With bounds as metadata writes them.
    ///
    /// # Errors
    /// Names the bound that is no number.
    pub fn new(min: &str, max: &str, precision: u8) -> Result<Self, String> {
        let bound = |text: &str| {
            Digits::parse(text.as_bytes())
                .map(Digits::into_owned)
                .ok_or_else(|| format!("bound {text:?} in the metadata is not a number"))
        };
        let range = format!("{min} to {max}");
        let (min, max) = (bound(min)?, bound(max)?);
        let below_zero = min.negative && !min.is_zero();
        let above_zero = !max.negative && !max.is_zero();
        let short = [
            if above_zero && (below_zero || min.is_zero()) { max.int.len() } else { 0 },
            if below_zero && (above_zero || max.is_zero()) { min.int.len() } else { 0 },
        ];
        Ok(Self { min, max, range, precision: usize::from(precision), short })
    }

    /// Whether `text` is sent as it stands.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        plain(text).is_some_and(|p| {
            p.int < self.short[usize::from(p.negative)] && p.fraction <= self.precision
        })
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
        let Some(number) = Digits::parse(text) else {
            return Err(Refusal::value(
                "DV0301",
                format!(
                    "{} is not a decimal number; write it like -1234.56, without thousands \
                     separators or currency",
                    shown(text)
                ),
            ));
        };
        if number.fraction.len() > self.precision && significant(&number.fraction) > self.precision
        {
            return Err(Refusal::value(
                "DV0304",
                format!(
                    "{} has {} digits after the point, at most {} allowed; round it first",
                    shown(text),
                    significant(&number.fraction),
                    self.precision
                ),
            ));
        }
        if number.int.len() >= self.short[usize::from(number.negative)]
            && (number.compare(&self.min).is_lt() || number.compare(&self.max).is_gt())
        {
            return Err(out_of_range(text, &self.range));
        }
        number.write(self.precision, out);
        Ok(())
    }
}

/// `DV0303`.
pub(super) fn out_of_range(text: &[u8], range: &str) -> Box<Refusal> {
    Refusal::value("DV0303", format!("{} is out of range, allowed are {range}", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use std::str::FromStr;

    fn write(text: &str, min: &str, max: &str, precision: u8) -> Result<String, String> {
        let mut out = RowBuffer::default();
        DecimalRule::new(min, max, precision)?
            .write(text.as_bytes(), &mut out)
            .map_err(|r| r.code.to_owned())?;
        Ok(String::from_utf8(out.as_slice().to_vec()).unwrap())
    }

    #[test]
    fn reads_all_forms_exactly() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let got = write(text, "-1000", "1000", 2);
            assert_eq!(got.as_deref().map_err(String::as_str), expect, "{text}");
        };
        check("1.50", Ok("1.50"));
        check("1.5000", Ok("1.50"));
        check("-0", Ok("0"));
        check("+007.1", Ok("7.1"));
        check(".5", Ok("0.5"));
        check("5.", Ok("5"));
        check("1.255", Err("DV0304"));
        check("1e3", Ok("1000"));
        check("1.25e1", Ok("12.5"));
        check("125E-2", Ok("1.25"));
        check("1e-3", Err("DV0304"));
        check("0e-300", Ok("0"));
        check("1000.00", Ok("1000.00"));
        check("1000.01", Err("DV0303"));
        check("-1000.01", Err("DV0303"));
        check("1e400", Err("DV0303"));
        for bad in ["", "-", ".", "1,000", "1.2.3", "e5", "1e", "0x1", "NaN", "1 000", "1e999"] {
            check(bad, Err("DV0301"));
        }
        assert_eq!(write("-0.5", "0", "10", 2), Err("DV0303".into()));
        assert_eq!(write("4", "5", "10", 2), Err("DV0303".into()));
        assert_eq!(write("-3", "-10", "-5", 2), Err("DV0303".into()));
        assert_eq!(write("-7.25", "-10", "-5", 2), Ok("-7.25".into()));
        assert_eq!(
            write("922337203685477.5807", "-922337203685477.5808", "922337203685477.5807", 4),
            Ok("922337203685477.5807".into())
        );
        assert_eq!(Digits::parse(b"-9223372036854775808").unwrap().to_i64(), Some(i64::MIN));
        assert_eq!(Digits::parse(b"9223372036854775808").unwrap().to_i64(), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_decimal_library(
            value in -2_000_000i64..2_000_000, scale in 0u32..8,
            min in -20_000i64..20_000, span in 0i64..30_000, precision in 0u8..6,
        ) {
            let value = Decimal::new(value, scale);
            let (min, max) = (Decimal::new(min, 1), Decimal::new(min + span, 1));
            let got = write(&value.to_string(), &min.to_string(), &max.to_string(), precision);
            let fits = value.normalize().scale() <= u32::from(precision);
            let within = value >= min && value <= max;
            match got {
                Ok(text) => {
                    prop_assert!(fits && within);
                    prop_assert_eq!(Decimal::from_str(&text).unwrap(), value);
                }
                Err(code) => prop_assert_eq!(code, if fits { "DV0303" } else { "DV0304" }),
            }
        }
    }
}
