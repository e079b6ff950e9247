//! Pure: dates and times in their three meanings.
//!
//! Source: `dataverse-web-api.md` §4.7, §13: UserLocal values are sent in UTC, values
//! independent of zones as they are, days as days; nothing lies before 1753-01-01.

use crate::catalog::model::DateBehavior;
use crate::pipeline::transform::buffer::RowBuffer;
use crate::pipeline::transform::refusal::{Read, Refusal, shown};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

/// Reads values of one date column.
#[derive(Clone, Debug)]
pub struct DateRule {
    behavior: DateBehavior,
    /// `strptime` format; ISO 8601 without it.
    format: Option<String>,
    /// Of wall-clock times in UserLocal columns.
    zone: Option<TimeZone>,
}

/// A point in the calendar as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// Ten-millionths of a second.
    fraction: u32,
    /// Seconds east of UTC, if it says so.
    offset: Option<i32>,
}

impl DateRule {
    /// With the format and zone of the job file.
    ///
    /// # Errors
    /// If either is unknown or does not belong to the column's meaning.
    pub fn new(
        behavior: DateBehavior,
        format: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Self, String> {
        if let Some(format) = format {
            let sample = jiff::civil::date(2024, 2, 29)
                .at(13, 14, 15, 0)
                .to_zoned(TimeZone::UTC)
                .map_err(|e| e.to_string())?;
            jiff::fmt::strtime::format(format, &sample)
                .map_err(|e| format!("date format {format:?} cannot be used: {e}"))?;
        }
        if zone.is_some() && behavior != DateBehavior::UserLocal {
            return Err("a time zone has a meaning for UserLocal columns only; remove it".into());
        }
        let zone = zone
            .map(|name| {
                TimeZone::get(name).map_err(|_| {
                    format!("time zone {name:?} is unknown; use an IANA name like Europe/Berlin")
                })
            })
            .transpose()?;
        Ok(Self { behavior, format: format.map(str::to_owned), zone })
    }

    #[inline]
    pub(super) fn write(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        if self.stands(text) {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
            return Ok(());
        }
        self.write_any(text, out)
    }

    /// Whether `text` is sent as it stands, in quotes.
    #[inline]
    pub(super) fn stands(&self, text: &[u8]) -> bool {
        if self.format.is_some() {
            return false;
        }
        match self.behavior {
            DateBehavior::UserLocal => {
                <&[u8; 20]>::try_from(text).is_ok_and(|t| t[19] == b'Z' && is_date(t) && is_time(t))
            }
            DateBehavior::TimeZoneIndependent => {
                <&[u8; 19]>::try_from(text).is_ok_and(|t| is_date(t) && is_time(t))
            }
            DateBehavior::DateOnly => <&[u8; 10]>::try_from(text).is_ok_and(is_date),
        }
    }

    #[inline(never)]
    fn write_any(&self, text: &[u8], out: &mut RowBuffer) -> Read {
        let stamp = self.read(text)?;
        let stamp = match self.behavior {
            DateBehavior::UserLocal => self.to_utc(text, stamp)?,
            DateBehavior::TimeZoneIndependent => match stamp.offset {
                None | Some(0) => stamp,
                Some(_) => {
                    return Err(bad(
                        text,
                        "carries a time zone, but the column has none; remove the offset",
                    ));
                }
            },
            DateBehavior::DateOnly => {
                if (stamp.hour, stamp.minute, stamp.second, stamp.fraction) != (0, 0, 0, 0) {
                    return Err(bad(
                        text,
                        "carries a time of day, but the column holds days only; remove the time",
                    ));
                }
                stamp
            }
        };
        if stamp.year < 1753 {
            return Err(Refusal::value(
                "DV0315",
                format!("{} lies before 1753-01-01, the first day allowed", shown(text)),
            ));
        }
        stamp.write(self.behavior, out);
        Ok(())
    }

    fn read(&self, text: &[u8]) -> Read<Stamp> {
        match &self.format {
            None => Stamp::parse_iso(text).ok_or_else(|| {
                bad(text, "is not a date; write it like 2025-03-01 or 2025-03-01T09:30:00Z")
            }),
            Some(format) => {
                let parsed = BrokenDownTime::parse(format, text).and_then(|broken| {
                    Ok((broken.to_datetime()?, broken.offset().map(Offset::seconds)))
                });
                parsed
                    .ok()
                    .and_then(|(civil, offset)| Stamp::from_civil(civil, offset))
                    .ok_or_else(|| bad(text, &format!("is not a date of the form {format:?}")))
            }
        }
    }

    fn to_utc(&self, text: &[u8], stamp: Stamp) -> Read<Stamp> {
        if stamp.offset == Some(0) {
            return Ok(stamp);
        }
        let beyond = || bad(text, "lies outside the calendar");
        let civil = stamp.to_civil().ok_or_else(beyond)?;
        let instant = match (stamp.offset, &self.zone) {
            (Some(seconds), _) => {
                Offset::from_seconds(seconds).and_then(|offset| offset.to_timestamp(civil))
            }
            // Wall-clock times that occur twice are the first, those that never occur move on.
            (None, Some(zone)) => zone.to_timestamp(civil),
            (None, None) => {
                return Err(bad(
                    text,
                    "says no time zone; append Z or an offset, or set `time_zone` for the column",
                ));
            }
        };
        instant
            .ok()
            .and_then(|i| Stamp::from_civil(Offset::UTC.to_datetime(i), Some(0)))
            .ok_or_else(beyond)
    }
}

fn bad(text: &[u8], what: &str) -> Box<Refusal> {
    Refusal::value("DV0306", format!("{} {what}", shown(text)))
}

const fn days_of(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Two digits, or a number above 99.
#[inline]
fn pair(tens: u8, ones: u8) -> u8 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if (tens > 9) | (ones > 9) { u8::MAX } else { tens * 10 + ones }
}

/// `YYYY-MM-DD` of the years 1800 to 2999; days after the 28th are left to the slower reader.
#[inline]
fn is_date<const N: usize>(t: &[u8; N]) -> bool {
    let (century, year) = (pair(t[0], t[1]), pair(t[2], t[3]));
    let (month, day) = (pair(t[5], t[6]), pair(t[8], t[9]));
    (century.wrapping_sub(18) < 12)
        & (year < 100)
        & (month.wrapping_sub(1) < 12)
        & (day.wrapping_sub(1) < 28)
        & (t[4] == b'-')
        & (t[7] == b'-')
}

/// `Thh:mm:ss` behind the date.
#[inline]
fn is_time<const N: usize>(t: &[u8; N]) -> bool {
    (t[10] == b'T')
        & (pair(t[11], t[12]) < 24)
        & (t[13] == b':')
        & (pair(t[14], t[15]) < 60)
        & (t[16] == b':')
        & (pair(t[17], t[18]) < 60)
}

fn two(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
        _ => None,
    }
}

impl Stamp {
    /// `YYYY-MM-DD`, optionally with `T` or blank, `hh:mm`, `:ss`, a fraction, and `Z` or an
    /// offset `±hh:mm`, `±hhmm` or `±hh`.
    fn parse_iso(text: &[u8]) -> Option<Self> {
        let (century, year, month, day) =
            (two(text, 0)?, two(text, 2)?, two(text, 5)?, two(text, 8)?);
        let year = u16::from(century) * 100 + u16::from(year);
        if text[4] != b'-' || text[7] != b'-' || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        if day > 28 && day > days_of(year, month) {
            return None;
        }
        let mut stamp =
            Self { year, month, day, hour: 0, minute: 0, second: 0, fraction: 0, offset: None };
        let mut rest = &text[10..];
        let [b'T' | b't' | b' ', time @ ..] = rest else {
            return rest.is_empty().then_some(stamp);
        };
        stamp.hour = two(time, 0)?;
        stamp.minute = two(time, 3)?;
        if time[2] != b':' {
            return None;
        }
        rest = &time[5..];
        if let [b':', seconds @ ..] = rest {
            stamp.second = two(seconds, 0)?;
            rest = &seconds[2..];
            if let [b'.' | b',', fraction @ ..] = rest {
                let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
                if digits == 0 {
                    return None;
                }
                let padded = fraction[..digits].iter().chain(std::iter::repeat(&b'0'));
                for digit in padded.take(7) {
                    stamp.fraction = stamp.fraction * 10 + u32::from(digit - b'0');
                }
                rest = &fraction[digits..];
            }
        }
        if stamp.hour > 23 || stamp.minute > 59 || stamp.second > 59 {
            return None;
        }
        stamp.offset = match rest {
            [] => return Some(stamp),
            b"Z" | b"z" => Some(0),
            [sign @ (b'+' | b'-'), zone @ ..] => {
                let hours = two(zone, 0)?;
                let minutes = match &zone[2..] {
                    [] => 0,
                    [b':', minutes @ ..] | minutes if minutes.len() == 2 => two(minutes, 0)?,
                    _ => return None,
                };
                if hours > 14 || minutes > 59 {
                    return None;
                }
                let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
                Some(if *sign == b'-' { -seconds } else { seconds })
            }
            _ => return None,
        };
        Some(stamp)
    }

    fn from_civil(civil: DateTime, offset: Option<i32>) -> Option<Self> {
        Some(Self {
            year: u16::try_from(civil.year()).ok()?,
            month: civil.month().unsigned_abs(),
            day: civil.day().unsigned_abs(),
            hour: civil.hour().unsigned_abs(),
            minute: civil.minute().unsigned_abs(),
            second: civil.second().unsigned_abs(),
            fraction: civil.subsec_nanosecond().unsigned_abs() / 100,
            offset,
        })
    }

    fn to_civil(self) -> Option<DateTime> {
        let small = |n: u8| i8::try_from(n).ok();
        DateTime::new(
            i16::try_from(self.year).ok()?,
            small(self.month)?,
            small(self.day)?,
            small(self.hour)?,
            small(self.minute)?,
            small(self.second)?,
            i32::try_from(self.fraction * 100).ok()?,
        )
        .ok()
    }

    fn write(&self, behavior: DateBehavior, out: &mut RowBuffer) {
        const TEMPLATE: [u8; 21] = *b"\"0000-00-00T00:00:00Z";
        let mut text = TEMPLATE;
        let mut put = |at: usize, n: u8| {
            text[at] = b'0' + n / 10;
            text[at + 1] = b'0' + n % 10;
        };
        #[expect(clippy::cast_possible_truncation, reason = "years have four digits")]
        {
            put(1, (self.year / 100) as u8);
            put(3, (self.year % 100) as u8);
        }
        put(6, self.month);
        put(9, self.day);
        if behavior != DateBehavior::DateOnly {
            put(12, self.hour);
            put(15, self.minute);
            put(18, self.second);
        }
        match behavior {
            DateBehavior::DateOnly => out.extend_from_slice(&text[..11]),
            _ if self.fraction != 0 => {
                out.extend_from_slice(&text[..20]);
                let fraction = format!(".{:07}", self.fraction);
                out.extend_from_slice(fraction.trim_end_matches('0').as_bytes());
                if behavior == DateBehavior::UserLocal {
                    out.push(b'Z');
                }
            }
            DateBehavior::UserLocal => out.extend_from_slice(&text),
            DateBehavior::TimeZoneIndependent => out.extend_from_slice(&text[..20]),
        }
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DateBehavior::{DateOnly, TimeZoneIndependent, UserLocal};
    use proptest::prelude::*;

    fn write(rule: &DateRule, text: &str) -> Result<String, String> {
        let mut out = RowBuffer::default();
        rule.write(text.as_bytes(), &mut out).map_err(|r| format!("{} {}", r.code, r.text))?;
        Ok(serde_json::from_slice(out.as_slice()).unwrap())
    }

    fn check(rule: &DateRule, text: &str, expect: Result<&str, &str>) {
        let got = write(rule, text);
        match expect {
            Ok(expect) => assert_eq!(got.as_deref(), Ok(expect), "{text}"),
            Err(part) => {
                let error = got.unwrap_err();
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn sends_instants_in_utc() {
        let rule = DateRule::new(UserLocal, None, None).unwrap();
        check(&rule, "2025-03-01T09:30:00Z", Ok("2025-03-01T09:30:00Z"));
        check(&rule, "2025-03-01 09:30z", Ok("2025-03-01T09:30:00Z"));
        check(&rule, "2025-03-01T00:30:00+02:00", Ok("2025-02-28T22:30:00Z"));
        check(&rule, "2025-03-01T00:30:00-0530", Ok("2025-03-01T06:00:00Z"));
        check(&rule, "2025-03-01T00:30:00+01", Ok("2025-02-28T23:30:00Z"));
        check(&rule, "2025-03-01T09:30:00.1230000Z", Ok("2025-03-01T09:30:00.123Z"));
        check(&rule, "2025-03-01T09:30:00.000Z", Ok("2025-03-01T09:30:00Z"));
        check(
            &rule,
            "2025-03-01T09:30:00",
            Err("DV0306 \"2025-03-01T09:30:00\" says no time zone"),
        );
        check(&rule, "1752-12-31T23:59:59Z", Err("DV0315"));
        check(&rule, "1753-01-01T00:00:00Z", Ok("1753-01-01T00:00:00Z"));
        for bad in [
            "",
            "2025",
            "2025-13-01",
            "2025-02-29",
            "2025-04-31",
            "2025-00-10",
            "2025-01-00",
            "2025-01-01T",
            "2025-01-01T24:00Z",
            "2025-01-01T10:60Z",
            "2025-01-01T10:00:00.Z",
            "2025-01-01T10:00:00+15:00",
            "2025-01-01T10:00:00+1",
            "01.02.2025",
            "2025-01-01x",
            "2025-01-01T10:00:00Zx",
            "2025-01-01T1000Z",
            "2025/01/01",
        ] {
            check(&rule, bad, Err("DV0306"));
        }
    }

    #[test]
    fn reads_wall_clock_times_in_a_zone() {
        let rule = DateRule::new(UserLocal, None, Some("Europe/Berlin")).unwrap();
        check(&rule, "2025-03-01T09:30:00", Ok("2025-03-01T08:30:00Z"));
        check(&rule, "2025-07-01", Ok("2025-06-30T22:00:00Z"));
        check(&rule, "2025-07-01T00:00:00Z", Ok("2025-07-01T00:00:00Z"));
        let unknown = DateRule::new(UserLocal, None, Some("Mars/Base")).unwrap_err();
        assert!(unknown.contains("\"Mars/Base\" is unknown"), "{unknown}");
        assert!(DateRule::new(DateOnly, None, Some("Europe/Berlin")).is_err());
    }

    #[test]
    fn keeps_days_and_zoneless_times() {
        let rule = DateRule::new(DateOnly, None, None).unwrap();
        check(&rule, "2024-02-29", Ok("2024-02-29"));
        check(&rule, "2024-02-29T00:00:00.000Z", Ok("2024-02-29"));
        check(&rule, "2024-02-29T10:00:00", Err("carries a time of day"));
        let rule = DateRule::new(TimeZoneIndependent, None, None).unwrap();
        check(&rule, "2025-03-01T09:30:00", Ok("2025-03-01T09:30:00"));
        check(&rule, "2025-03-01T09:30:00Z", Ok("2025-03-01T09:30:00"));
        check(&rule, "2025-03-01T09:30:00+02:00", Err("carries a time zone"));
    }

    #[test]
    fn reads_other_formats() {
        let rule = DateRule::new(DateOnly, Some("%d.%m.%Y"), None).unwrap();
        check(&rule, "01.02.2025", Ok("2025-02-01"));
        check(&rule, "2025-02-01", Err("is not a date of the form \"%d.%m.%Y\""));
        check(&rule, "31.02.2025", Err("DV0306"));
        let rule = DateRule::new(UserLocal, Some("%m/%d/%Y %I:%M %p"), Some("America/New_York"));
        check(&rule.unwrap(), "12/31/2024 11:15 PM", Ok("2025-01-01T04:15:00Z"));
        let rule = DateRule::new(UserLocal, Some("%Y%m%d %H%M%S %z"), None).unwrap();
        check(&rule, "20250301 093000 +0200", Ok("2025-03-01T07:30:00Z"));
        let refused = DateRule::new(DateOnly, Some("%E5"), None).unwrap_err();
        assert!(refused.contains("\"%E5\" cannot be used"), "{refused}");
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(seconds in -6_000_000_000i64..200_000_000_000, east in -14i32..=14) {
            let instant = jiff::Timestamp::from_second(seconds).unwrap();
            let local = instant.to_zoned(TimeZone::fixed(Offset::from_hours(east as i8).unwrap()));
            let text = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            prop_assume!(text.len() == 25);
            let rule = DateRule::new(UserLocal, None, None).unwrap();
            prop_assert_eq!(write(&rule, &text).unwrap(), instant.to_string());
        }
    }
}
