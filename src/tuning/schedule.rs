//! Pure: how much of the service's limits may be used at which hour. Days and hours are those of a
//! wall clock in one time zone: an hour that daylight saving leaves out never comes, one that it
//! repeats comes twice.

use crate::limits::SCHEDULE_ENTRIES_MAX;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::sync::Arc;

const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: usize = 24 * 60;
const WEEK_MINUTES: usize = 7 * DAY_MINUTES;
/// Name of the hours no entry speaks of, when there is no entry for the rest.
pub const REST: &str = "rest";
/// Slot of the hours no entry with days or hours speaks of.
const REST_SLOT: u8 = u8::MAX;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days of the week.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days(u8);

impl Days {
    /// All seven.
    pub const ALL: Self = Self(0b111_1111);

    /// `mon-fri`, `sat,sun`, `fri-mon`, in any mixture; `None` when it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let day = |word: &str| {
            let word = word.trim().to_ascii_lowercase();
            DAYS.iter().position(|known| *known == word)
        };
        let mut days = 0u8;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            for step in 0..=(last + 7 - first) % 7 {
                days |= 1 << ((first + step) % 7);
            }
        }
        Some(Self(days))
    }

    fn has(self, day: usize) -> bool {
        self.0 & (1 << day) != 0
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut day = 0;
        let mut between = "";
        while day < DAYS.len() {
            let run = (day..DAYS.len()).take_while(|d| self.has(*d)).count();
            match run {
                0 => {}
                1 => write!(f, "{between}{}", DAYS[day])?,
                run => write!(f, "{between}{}-{}", DAYS[day], DAYS[day + run - 1])?,
            }
            if run > 0 {
                between = ",";
            }
            day += run.max(1);
        }
        Ok(())
    }
}

/// `08:00` as minutes of the day, up to `24:00`.
#[must_use]
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute).filter(|_| minute.len() == 2)?);
    let all = hour * 60 + minute;
    (minute < 60 && usize::from(all) <= DAY_MINUTES).then_some(all)
}

/// One named part of the week.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// As people call it.
    pub name: String,
    /// On these days; `None` with hours means every day, without hours the rest of the time.
    pub days: Option<Days>,
    /// From and to, minutes of the day; `None` is the whole day. When `to` is not after `from` it
    /// belongs to the day after: a night counts to the day on which it begins.
    pub hours: Option<(u16, u16)>,
    /// Share of the limits, 0–1; 0 sends nothing.
    pub max_share: f64,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name)?;
        match (self.days, self.hours) {
            (None, None) => write!(f, "the rest")?,
            (days, hours) => {
                write!(f, "{}", days.unwrap_or(Days::ALL))?;
                if let Some((from, to)) = hours {
                    let (h, m) = (|t: u16| t / 60, |t: u16| t % 60);
                    write!(f, " {:02}:{:02}–{:02}:{:02}", h(from), m(from), h(to), m(to))?;
                }
            }
        }
        write!(f, " {:.0} %", self.max_share * 100.0)
    }
}

/// Why entries make no schedule; numbers are those of the entries.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleRefused {
    /// Two entries speak of the same time.
    #[error("`{first}` and `{second}` overlap: both hold on {when}")]
    Overlap {
        /// Name of the earlier entry.
        first: String,
        /// Name of the later entry.
        second: String,
        /// Number of the later entry.
        entry: usize,
        /// Day and hour, e.g. `mon 22:00`.
        when: String,
    },
    /// Two entries speak of the rest.
    #[error("`{first}` and `{second}` both have neither days nor hours, so both are the rest")]
    TwoRests {
        /// Name of the earlier entry.
        first: String,
        /// Name of the later entry.
        second: String,
        /// Number of the later entry.
        entry: usize,
    },
    /// No hour of the week sends anything.
    #[error("this schedule never opens: max_share is 0 at every hour of the week")]
    NeverOpens,
    /// More entries than [`SCHEDULE_ENTRIES_MAX`].
    #[error("a schedule has at most {SCHEDULE_ENTRIES_MAX} entries")]
    TooMany,
}

/// A week of shares.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone_name: String,
    zone: TimeZone,
    entries: Vec<Entry>,
    /// Entry of each minute of the week from Monday 00:00, or [`REST_SLOT`].
    week: Arc<[u8]>,
    rest: (f64, String),
}

impl Schedule {
    /// Lays `entries` over a week of `zone`. Hours no entry speaks of have the share of the entry
    /// without days and hours, or 1 when there is none.
    ///
    /// # Errors
    /// See [`ScheduleRefused`].
    pub fn new(
        zone_name: impl Into<String>,
        zone: TimeZone,
        entries: Vec<Entry>,
    ) -> Result<Self, ScheduleRefused> {
        if entries.len() > SCHEDULE_ENTRIES_MAX {
            return Err(ScheduleRefused::TooMany);
        }
        let mut week = vec![REST_SLOT; WEEK_MINUTES];
        let mut rest: Option<&Entry> = None;
        for (index, entry) in entries.iter().enumerate() {
            if entry.days.is_none() && entry.hours.is_none() {
                if let Some(first) = rest {
                    return Err(ScheduleRefused::TwoRests {
                        first: first.name.clone(),
                        second: entry.name.clone(),
                        entry: index,
                    });
                }
                rest = Some(entry);
                continue;
            }
            let slot = u8::try_from(index).map_err(|_| ScheduleRefused::TooMany)?;
            for minute in minutes(entry) {
                if week[minute] != REST_SLOT {
                    return Err(ScheduleRefused::Overlap {
                        first: entries[usize::from(week[minute])].name.clone(),
                        second: entry.name.clone(),
                        entry: index,
                        when: moment(minute),
                    });
                }
                week[minute] = slot;
            }
        }
        let rest = rest.map_or((1.0, REST.to_owned()), |e| (e.max_share, e.name.clone()));
        let share = |slot: u8| match slot {
            REST_SLOT => rest.0,
            slot => entries[usize::from(slot)].max_share,
        };
        if week.iter().all(|slot| share(*slot) <= 0.0) {
            return Err(ScheduleRefused::NeverOpens);
        }
        Ok(Self { zone_name: zone_name.into(), zone, week: week.into(), rest, entries })
    }

    /// Its time zone, as the job file names it.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// Its entries, in the order of the job file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Share of the limits at `wall_ms` (milliseconds since 1970), and the name of the entry.
    #[must_use]
    pub fn share_at(&self, wall_ms: i64) -> (f64, &str) {
        match self.slot(wall_ms) {
            REST_SLOT => (self.rest.0, &self.rest.1),
            slot => {
                let entry = &self.entries[usize::from(slot)];
                (entry.max_share, &entry.name)
            }
        }
    }

    /// When another entry begins after `wall_ms`; `None` when one holds all week.
    #[must_use]
    pub fn next_change(&self, wall_ms: i64) -> Option<i64> {
        let now = self.slot(wall_ms);
        let first = wall_ms.div_euclid(MINUTE_MS).saturating_add(1);
        // A day more than a week: a shift of the clocks may move the only boundary.
        (0..)
            .take(WEEK_MINUTES + DAY_MINUTES)
            .map(|step: i64| (first + step) * MINUTE_MS)
            .find(|at| self.slot(*at) != now)
    }

    fn slot(&self, wall_ms: i64) -> u8 {
        let Ok(at) = Timestamp::from_millisecond(wall_ms) else { return REST_SLOT };
        let clock = self.zone.to_datetime(at);
        let day = usize::try_from(clock.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = i64::from(clock.hour()) * 60 + i64::from(clock.minute());
        let minute = day * DAY_MINUTES + usize::try_from(minute).unwrap_or(0);
        self.week.get(minute).copied().unwrap_or(REST_SLOT)
    }
}

/// Minutes of the week an entry speaks of.
fn minutes(entry: &Entry) -> impl Iterator<Item = usize> + use<> {
    let days = entry.days.unwrap_or(Days::ALL);
    let (from, to) = entry.hours.map_or((0, DAY_MINUTES), |(f, t)| (f.into(), t.into()));
    let length = if to > from { to - from } else { to + DAY_MINUTES - from };
    (0..7).filter(move |day| days.has(*day)).flat_map(move |day| {
        (0..length).map(move |step| (day * DAY_MINUTES + from + step) % WEEK_MINUTES)
    })
}

fn moment(minute: usize) -> String {
    let (day, minute) = (minute / DAY_MINUTES, minute % DAY_MINUTES);
    format!("{} {:02}:{:02}", DAYS[day % 7], minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, days: Option<&str>, hours: Option<(&str, &str)>, share: f64) -> Entry {
        Entry {
            name: name.into(),
            days: days.map(|d| Days::parse(d).unwrap()),
            hours: hours.map(|(f, t)| (minute_of_day(f).unwrap(), minute_of_day(t).unwrap())),
            max_share: share,
        }
    }

    fn berlin(entries: Vec<Entry>) -> Result<Schedule, ScheduleRefused> {
        Schedule::new("Europe/Berlin", TimeZone::get("Europe/Berlin").unwrap(), entries)
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn days_and_hours_are_read() {
        assert_eq!(Days::parse("mon-fri"), Some(Days(0b001_1111)));
        assert_eq!(Days::parse("Sat, sun"), Some(Days(0b110_0000)));
        assert_eq!(Days::parse("fri-mon"), Some(Days(0b111_0001)));
        assert_eq!(Days::parse("mon-wed,sun"), Some(Days(0b100_0111)));
        for bad in ["", "monday-friday", "mon-", "mo", "mon,,tue", "1-5"] {
            assert_eq!(Days::parse(bad), None, "{bad}");
        }
        assert_eq!(minute_of_day("08:05"), Some(485));
        assert_eq!(minute_of_day("8:05"), Some(485));
        assert_eq!(minute_of_day("24:00"), Some(1440));
        for bad in ["", "8", "08:60", "24:01", "8:5", "-1:00", "08:00:00", "+8:00"] {
            assert_eq!(minute_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn entries_are_told_as_they_are_written() {
        let told = |days, hours| entry("e", days, hours, 0.25).to_string();
        assert_eq!(told(Some("mon-fri"), Some(("08:00", "18:30"))), "e mon-fri 08:00–18:30 25 %");
        assert_eq!(told(Some("sun,mon,wed-thu"), None), "e mon,wed-thu,sun 25 %");
        assert_eq!(told(None, Some(("22:00", "06:00"))), "e mon-sun 22:00–06:00 25 %");
        assert_eq!(told(None, None), "e the rest 25 %");
    }

    #[test]
    fn business_hours_and_the_rest() {
        let schedule = berlin(vec![
            entry("business", Some("mon-fri"), Some(("08:00", "18:00")), 0.4),
            entry("night", None, None, 0.9),
        ])
        .unwrap();
        // Monday 13 July 2026; Berlin is two hours ahead in summer.
        let at = |text: &str| schedule.share_at(ms(text));
        assert_eq!(at("2026-07-13T05:59:59Z"), (0.9, "night"));
        assert_eq!(at("2026-07-13T06:00:00Z"), (0.4, "business"));
        assert_eq!(at("2026-07-13T15:59:59Z"), (0.4, "business"));
        assert_eq!(at("2026-07-13T16:00:00Z"), (0.9, "night"));
        assert_eq!(at("2026-07-18T10:00:00Z"), (0.9, "night"), "a Saturday");
        let next = |text: &str| schedule.next_change(ms(text));
        assert_eq!(next("2026-07-13T06:00:00Z"), Some(ms("2026-07-13T16:00:00Z")));
        assert_eq!(next("2026-07-17T16:00:00Z"), Some(ms("2026-07-20T06:00:00Z")), "a weekend");
        assert_eq!(next("2026-07-13T05:59:59.999Z"), Some(ms("2026-07-13T06:00:00Z")));
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on_even_over_the_end_of_the_week() {
        let schedule = berlin(vec![entry("window", Some("sun"), Some(("22:00", "05:00")), 1.0), {
            entry("closed", None, None, 0.0)
        }])
        .unwrap();
        let at = |text: &str| schedule.share_at(ms(text)).1.to_owned();
        // Sunday 19 July 2026, 22:00 in Berlin.
        assert_eq!(at("2026-07-19T19:59:00Z"), "closed");
        assert_eq!(at("2026-07-19T20:00:00Z"), "window");
        assert_eq!(at("2026-07-20T02:59:00Z"), "window", "Monday 04:59");
        assert_eq!(at("2026-07-20T03:00:00Z"), "closed");
        assert_eq!(at("2026-07-20T20:00:00Z"), "closed", "Monday night is another night");
    }

    #[test]
    fn hours_that_daylight_saving_leaves_out_or_repeats() {
        let schedule = berlin(vec![entry("two", None, Some(("02:00", "03:00")), 0.1)]).unwrap();
        let minutes = |from: &str, to: &str| {
            let (from, to) = (ms(from), ms(to));
            (from..to).step_by(60_000).filter(|t| schedule.share_at(*t).1 == "two").count()
        };
        // 29 March 2026: 02:00 to 03:00 does not exist. 25 October 2026: it comes twice.
        assert_eq!(minutes("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 0);
        assert_eq!(minutes("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 120);
        assert_eq!(minutes("2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"), 60);
        assert_eq!(
            schedule.next_change(ms("2026-03-28T12:00:00Z")),
            Some(ms("2026-03-30T00:00:00Z")),
            "the hour of the 29th is passed over"
        );
        // Business hours begin at 08:00 on the wall, whatever the offset.
        let day = berlin(vec![entry("day", None, Some(("08:00", "18:00")), 0.1)]).unwrap();
        assert_eq!(day.next_change(ms("2026-03-28T20:00:00Z")), Some(ms("2026-03-29T06:00:00Z")));
        assert_eq!(day.next_change(ms("2026-10-24T20:00:00Z")), Some(ms("2026-10-25T07:00:00Z")));
    }

    #[test]
    fn what_makes_no_schedule() {
        let business = || entry("business", Some("mon-fri"), Some(("08:00", "18:00")), 0.4);
        let refused = berlin(vec![business(), entry("lunch", None, Some(("12:00", "13:00")), 1.0)]);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "`business` and `lunch` overlap: both hold on mon 12:00"
        );
        let over_midnight = entry("late", Some("sun"), Some(("23:00", "09:00")), 1.0);
        assert!(matches!(
            berlin(vec![business(), over_midnight]),
            Err(ScheduleRefused::Overlap { entry: 1, .. })
        ));
        assert!(matches!(
            berlin(vec![entry("a", None, None, 1.0), entry("b", None, None, 0.5)]),
            Err(ScheduleRefused::TwoRests { entry: 1, .. })
        ));
        assert_eq!(
            berlin(vec![business(), entry("rest", None, None, 0.0)]).map(|_| ()),
            Ok(()),
            "open in business hours"
        );
        let closed = |days, hours| entry("closed", days, hours, 0.0);
        assert_eq!(berlin(vec![closed(None, None)]).unwrap_err(), ScheduleRefused::NeverOpens);
        assert_eq!(
            berlin(vec![closed(Some("mon-sun"), None)]).unwrap_err(),
            ScheduleRefused::NeverOpens
        );
        let many = (0..60).map(|n| entry(&n.to_string(), None, Some(("00:00", "00:01")), 1.0));
        assert_eq!(berlin(many.collect()).unwrap_err(), ScheduleRefused::TooMany);
    }

    #[test]
    fn one_share_all_week_never_changes() {
        let schedule = berlin(vec![entry("always", None, None, 0.5)]).unwrap();
        assert_eq!(schedule.next_change(ms("2026-07-13T05:00:00Z")), None);
        assert_eq!(schedule.share_at(i64::MAX).1, "always", "beyond the calendar nothing panics");
    }

    proptest! {
        /// Between a moment and its next change the same entry holds; at the change another one.
        #[test]
        fn nothing_changes_before_the_next_change(
            at in 1_700_000_000_000i64..1_900_000_000_000,
            from in 0u16..1440,
            length in 1u16..1440,
            days in 1u8..=127,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/St_Johns", "UTC"]),
            probe in 0.0f64..1.0,
        ) {
            let hours = (from, (from + length) % 1440);
            let some = Entry {
                name: "some".into(), days: Some(Days(days)), hours: Some(hours), max_share: 0.5,
            };
            let schedule = Schedule::new(zone, TimeZone::get(zone).unwrap(), vec![some]).unwrap();
            let now = schedule.share_at(at).1.to_owned();
            let Some(next) = schedule.next_change(at) else { return Ok(()) };
            prop_assert!(next > at);
            prop_assert_ne!(schedule.share_at(next).1, &now);
            let between = at + ((next - at) as f64 * probe) as i64;
            prop_assert_eq!(schedule.share_at(between.min(next - 1)).1, &now);
        }
    }
}
