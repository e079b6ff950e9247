//! Pure: spans of time relative to now, in UTC.

use super::refuse::bad_query;
use crate::simulator::call::Refusal;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// From (inclusive) until (exclusive), milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Start, if any.
    pub from: Option<i64>,
    /// End, if any.
    pub until: Option<i64>,
}

/// The span of `today`, `last-x-days`, `this-month` and the like; `None` for another name.
///
/// # Errors
/// 400 when the number of units is missing or out of range.
pub fn named_span(name: &str, now_ms: i64, values: &[String]) -> Result<Option<Span>, Refusal> {
    let bad = || bad_query(format!("The value of the condition '{name}' is out of range."));
    let now =
        Timestamp::from_millisecond(now_ms).map_err(|_| bad())?.to_zoned(TimeZone::UTC).datetime();
    let today = now.date().to_datetime(jiff::civil::Time::midnight());
    let month = today.first_of_month();
    let year = today.first_of_year();
    let week = today
        .checked_sub(i64::from(today.weekday().to_sunday_zero_offset()).days())
        .map_err(|_| bad())?;
    let shift = |at: DateTime, unit: &str, by: i64| -> Result<DateTime, Refusal> {
        let span = match unit {
            "minutes" => by.minutes(),
            "hours" => by.hours(),
            "days" | "day" => by.days(),
            "weeks" | "week" => by.weeks(),
            "months" | "month" => by.months(),
            _ => by.years(),
        };
        at.checked_add(span).map_err(|_| bad())
    };
    let ms = |at: DateTime| -> Result<i64, Refusal> {
        Ok(at.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp().as_millisecond())
    };
    let span = |from: DateTime, until: DateTime| -> Result<Option<Span>, Refusal> {
        Ok(Some(Span { from: Some(ms(from)?), until: Some(ms(until)?) }))
    };
    match name {
        "today" => return span(today, shift(today, "day", 1)?),
        "yesterday" => return span(shift(today, "day", -1)?, today),
        "tomorrow" => return span(shift(today, "day", 1)?, shift(today, "day", 2)?),
        "last-seven-days" => return span(shift(today, "day", -7)?, now),
        "next-seven-days" => return span(now, shift(today, "day", 8)?),
        _ => {}
    }
    for (unit, start) in [("week", week), ("month", month), ("year", year)] {
        let first = match name.strip_suffix(unit) {
            Some("this-") => 0,
            Some("last-") => -1,
            Some("next-") => 1,
            _ => continue,
        };
        return span(shift(start, unit, first)?, shift(start, unit, first + 1)?);
    }
    let Some((kind, unit)) = ["last-x-", "next-x-", "olderthan-x-", "older-than-x-"]
        .iter()
        .find_map(|kind| Some((*kind, name.strip_prefix(kind)?)))
    else {
        return Ok(None);
    };
    if !["minutes", "hours", "days", "weeks", "months", "years"].contains(&unit) {
        return Ok(None);
    }
    let by: i64 = match values {
        [one] => one.trim().parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    match kind {
        "last-x-" => span(shift(now, unit, -by)?, now),
        "next-x-" => span(now, shift(now, unit, by)?),
        _ => Ok(Some(Span { from: None, until: Some(ms(shift(now, unit, -by)?)?) })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_the_calendar() {
        // 2024-02-29T12:00:00Z, a Thursday.
        let now = 1_709_208_000_000;
        let at = |t: &str| t.parse::<Timestamp>().unwrap().as_millisecond();
        let cases = [
            ("today", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("last-month", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("this-week", "2024-02-25T00:00:00Z", "2024-03-03T00:00:00Z"),
            ("next-year", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("last-x-hours", "2024-02-29T09:00:00Z", "2024-02-29T12:00:00Z"),
            ("next-x-months", "2024-02-29T12:00:00Z", "2024-05-29T12:00:00Z"),
        ];
        for (name, from, until) in cases {
            let got = named_span(name, now, &["3".into()]).unwrap().unwrap();
            assert_eq!(got, Span { from: Some(at(from)), until: Some(at(until)) }, "{name}");
        }
        assert_eq!(named_span("last-x-parsecs", now, &["3".into()]), Ok(None));
        assert!(named_span("last-x-days", now, &[]).is_err());
    }
}
