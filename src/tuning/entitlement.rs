//! Pure: operations of the last 24 hours by application user, against the entitlement of the
//! tenant. Every row of a bulk request and every operation of a `$batch` counts one. Going over it
//! now and then is no hard stop for Dataverse; the administrator is told.
//!
//! Source: `dataverse-web-api.md` §1.4.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The window.
pub const WINDOW_MS: i64 = 24 * 3600 * 1000;
/// Width of a bucket; operations count until their bucket has left the window as a whole.
pub const BUCKET_MS: i64 = 5 * 60 * 1000;
/// Share of the entitlement from which on people are warned.
pub const WARN_SHARE: f64 = 0.8;
/// A stopped identity goes on below this share, so that it does not stop again at once.
const REOPEN_SHARE: f64 = 0.99;
/// Span over which the present rate is taken.
const RATE_BUCKETS: i64 = 3;
/// Buckets further ahead than this belong to a clock that was wrong.
const AHEAD_MS: i64 = 3600 * 1000;
/// Version of what is kept; another version is ignored with a notice.
pub const VERSION: u32 = 1;
/// Most users kept for one environment.
pub const USERS_MAX: usize = 500;

/// What to do when an entitlement is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Say so and go on.
    Warn,
    /// Send nothing through the identity until enough has left the window.
    Stop,
}

impl Policy {
    /// Word of the job file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }
}

/// What the job file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntitlementRule {
    /// Operations in 24 hours, for each identity.
    pub per_identity: u64,
    /// What to do when they are used up.
    pub policy: Policy,
}

/// Where an identity stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum EntitlementState {
    /// Below [`WARN_SHARE`].
    Ok,
    /// From [`WARN_SHARE`] on.
    Warn {
        /// Used share, below 1.
        share: f64,
    },
    /// Nothing is left.
    UsedUp {
        /// When enough has left the window, if nothing more is sent; milliseconds since 1970.
        until_ms: i64,
    },
}

/// Operations by number of the bucket since 1970.
pub type Buckets = BTreeMap<i64, u64>;

/// What is kept between runs, for all jobs of an environment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCounts {
    /// [`VERSION`].
    pub version: u32,
    /// Organization id.
    pub organization: String,
    /// By system user id.
    pub users: BTreeMap<String, Buckets>,
}

impl KeptCounts {
    /// Nothing counted yet.
    #[must_use]
    pub fn empty(organization: &str) -> Self {
        Self { version: VERSION, organization: organization.to_owned(), users: BTreeMap::new() }
    }

    /// Adds what one run counted, and drops what no window reaches any more.
    pub fn add(&mut self, fresh: &BTreeMap<String, Buckets>, wall_ms: i64) {
        for (user, buckets) in fresh {
            let kept = self.users.entry(user.clone()).or_default();
            for (bucket, operations) in buckets {
                let sum = kept.entry(*bucket).or_default();
                *sum = sum.saturating_add(*operations);
            }
        }
        for buckets in self.users.values_mut() {
            prune(buckets, wall_ms);
        }
        self.users.retain(|_, buckets| !buckets.is_empty());
        while self.users.len() > USERS_MAX {
            // Whoever was idle longest is closest to being forgotten anyway.
            let idle = self.users.iter().min_by_key(|(_, b)| b.keys().last().copied());
            let Some(user) = idle.map(|(user, _)| user.clone()) else { break };
            self.users.remove(&user);
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Count {
    user: String,
    /// Kept on disk, of all jobs.
    kept: Buckets,
    /// Of this run, not yet kept.
    fresh: Buckets,
    stopped: bool,
}

/// The counters of a run.
#[derive(Clone, Debug)]
pub struct Entitlement {
    rule: EntitlementRule,
    counts: Vec<Count>,
    /// Counter of each identity: two identities may be one user.
    of: Vec<usize>,
}

impl Entitlement {
    /// Counters for identities in job order, named by their system users.
    #[must_use]
    pub fn new(rule: EntitlementRule, users: &[String]) -> Self {
        let mut counts: Vec<Count> = Vec::new();
        let mut of = Vec::with_capacity(users.len());
        for user in users {
            let known = counts.iter().position(|c| c.user == *user);
            of.push(known.unwrap_or(counts.len()));
            if known.is_none() {
                counts.push(Count { user: user.clone(), ..Count::default() });
            }
        }
        Self { rule, counts, of }
    }

    /// What the job file says.
    #[must_use]
    pub const fn rule(&self) -> EntitlementRule {
        self.rule
    }

    /// Counts operations of an identity.
    pub fn note(&mut self, identity: usize, operations: u64, wall_ms: i64) {
        let Some(index) = self.of.get(identity).copied() else { return };
        let fresh = &mut self.counts[index].fresh;
        let bucket = wall_ms.div_euclid(BUCKET_MS);
        if !fresh.contains_key(&bucket) {
            prune(fresh, wall_ms);
        }
        let sum = fresh.entry(bucket).or_default();
        *sum = sum.saturating_add(operations);
    }

    /// Operations of the window that ends at `wall_ms`.
    #[must_use]
    pub fn used(&self, identity: usize, wall_ms: i64) -> u64 {
        self.count(identity).map_or(0, |count| count.used(wall_ms))
    }

    /// Operations a second over the last minutes, 0 when nothing was sent.
    #[must_use]
    pub fn rate(&self, identity: usize, wall_ms: i64) -> f64 {
        let Some(count) = self.count(identity) else { return 0.0 };
        let now = wall_ms.div_euclid(BUCKET_MS);
        let since = now - RATE_BUCKETS + 1;
        // What was kept a moment ago was sent a moment ago.
        let recent = || [&count.kept, &count.fresh].into_iter().flat_map(|b| b.range(since..=now));
        let Some(first) = recent().map(|(bucket, _)| *bucket).min() else { return 0.0 };
        let operations = recent().map(|(_, n)| *n).fold(0, u64::saturating_add);
        // A bucket just begun would make any rate of its first second.
        let span_ms = (wall_ms - first * BUCKET_MS).max(60_000);
        operations as f64 * 1000.0 / span_ms as f64
    }

    /// When the entitlement is used up at `rate` operations a second, what leaves the window
    /// counted; `None` when it never is.
    #[must_use]
    pub fn forecast(&self, identity: usize, wall_ms: i64, rate: f64) -> Option<i64> {
        let count = self.count(identity)?;
        let limit = self.rule.per_identity as f64;
        if count.used(wall_ms) as f64 >= limit {
            return Some(wall_ms);
        }
        if !(rate > 0.0 && rate.is_finite()) {
            return None;
        }
        // Between two departures the count grows evenly; after a day only this rate is left.
        let mut at = wall_ms;
        let end = wall_ms.saturating_add(WINDOW_MS);
        while at < end {
            let next = ((at.div_euclid(BUCKET_MS) + 1) * BUCKET_MS).min(end);
            let grown = rate * (at - wall_ms) as f64 / 1000.0;
            let used = count.used_of_before(at, wall_ms) as f64 + grown;
            let needed_ms = ((limit - used) / rate * 1000.0).max(0.0);
            if needed_ms <= (next - at) as f64 {
                return Some(at + needed_ms as i64);
            }
            at = next;
        }
        None
    }

    /// Where an identity stands.
    #[must_use]
    pub fn state(&self, identity: usize, wall_ms: i64) -> EntitlementState {
        let Some(count) = self.count(identity) else { return EntitlementState::Ok };
        let limit = self.rule.per_identity;
        let used = count.used(wall_ms);
        if used >= limit || (count.stopped && used as f64 > limit as f64 * REOPEN_SHARE) {
            return EntitlementState::UsedUp { until_ms: count.opens(limit, wall_ms) };
        }
        let share = used as f64 / limit as f64;
        if share >= WARN_SHARE { EntitlementState::Warn { share } } else { EntitlementState::Ok }
    }

    /// Whether the identity may send nothing, by the policy. Remembers it, so that a stopped
    /// identity stays so until there is room for more than a single request.
    pub fn stops(&mut self, identity: usize, wall_ms: i64) -> bool {
        let used_up = matches!(self.state(identity, wall_ms), EntitlementState::UsedUp { .. });
        let stops = used_up && self.rule.policy == Policy::Stop;
        if let Some(index) = self.of.get(identity) {
            self.counts[*index].stopped = stops;
        }
        stops
    }

    /// What this run has counted and not yet kept, by user; empty when there is nothing.
    #[must_use]
    pub fn fresh(&self) -> BTreeMap<String, Buckets> {
        let counted = self.counts.iter().filter(|c| !c.fresh.is_empty());
        counted.map(|c| (c.user.clone(), c.fresh.clone())).collect()
    }

    /// Takes over what is on disk now, in which `saved` (an earlier [`Self::fresh`]) is counted.
    pub fn kept(&mut self, saved: &BTreeMap<String, Buckets>, now: &KeptCounts) {
        for count in &mut self.counts {
            count.kept = now.users.get(&count.user).cloned().unwrap_or_default();
            let Some(saved) = saved.get(&count.user) else { continue };
            for (bucket, operations) in saved {
                if let Some(left) = count.fresh.get_mut(bucket) {
                    *left = left.saturating_sub(*operations);
                }
            }
            count.fresh.retain(|_, operations| *operations > 0);
        }
    }

    fn count(&self, identity: usize) -> Option<&Count> {
        self.of.get(identity).map(|index| &self.counts[*index])
    }
}

impl Count {
    fn used(&self, wall_ms: i64) -> u64 {
        self.used_of_before(wall_ms, wall_ms)
    }

    /// What of the operations known at `known_ms` is still in the window that ends at `at_ms`.
    fn used_of_before(&self, at_ms: i64, known_ms: i64) -> u64 {
        let (first, last) = (oldest(at_ms), newest(known_ms));
        let both = [&self.kept, &self.fresh];
        let parts = both.iter().flat_map(|buckets| buckets.range(first..=last.max(first)));
        parts.map(|(_, operations)| *operations).fold(0, u64::saturating_add)
    }

    /// When no more than [`REOPEN_SHARE`] of `limit` is in the window if nothing is added.
    fn opens(&self, limit: u64, wall_ms: i64) -> i64 {
        let room = limit as f64 * REOPEN_SHARE;
        let mut at = wall_ms;
        // Each step lets one bucket leave; there are so many at most.
        for _ in 0..=WINDOW_MS / BUCKET_MS + AHEAD_MS / BUCKET_MS {
            if self.used_of_before(at, wall_ms) as f64 <= room {
                break;
            }
            at = (oldest(at) + 1) * BUCKET_MS + WINDOW_MS;
        }
        at
    }
}

/// The first bucket that is not wholly before the window that ends at `wall_ms`.
fn oldest(wall_ms: i64) -> i64 {
    wall_ms.saturating_sub(WINDOW_MS).div_euclid(BUCKET_MS)
}

fn newest(wall_ms: i64) -> i64 {
    wall_ms.saturating_add(AHEAD_MS).div_euclid(BUCKET_MS)
}

fn prune(buckets: &mut Buckets, wall_ms: i64) {
    let (first, last) = (oldest(wall_ms), newest(wall_ms));
    buckets.retain(|bucket, _| (first..=last).contains(bucket));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3600 * 1000;
    /// A wall clock on a bucket's border.
    const START: i64 = 1_784_000_100_000;

    fn one(per_identity: u64, policy: Policy) -> Entitlement {
        assert_eq!(START % BUCKET_MS, 0);
        Entitlement::new(EntitlementRule { per_identity, policy }, &["u".into()])
    }

    #[test]
    fn operations_leave_after_a_day_and_not_before() {
        let mut counted = one(1000, Policy::Warn);
        counted.note(0, 300, START);
        counted.note(0, 200, START + HOUR);
        assert_eq!(counted.used(0, START + HOUR), 500);
        assert_eq!(counted.used(0, START + WINDOW_MS), 500, "a whole bucket counts to its end");
        assert_eq!(counted.used(0, START + WINDOW_MS + BUCKET_MS), 200);
        assert_eq!(counted.used(0, START + WINDOW_MS + HOUR + BUCKET_MS), 0);
        assert_eq!(counted.used(7, START), 0, "nobody's counter is empty");
    }

    #[test]
    fn warned_at_eighty_per_cent_and_stopped_until_there_is_room() {
        let mut counted = one(1000, Policy::Stop);
        counted.note(0, 799, START);
        assert_eq!(counted.state(0, START), EntitlementState::Ok);
        counted.note(0, 1, START);
        assert_eq!(counted.state(0, START), EntitlementState::Warn { share: 0.8 });
        assert!(!counted.stops(0, START));
        counted.note(0, 200, START + 2 * HOUR);
        let until_ms = START + WINDOW_MS + BUCKET_MS;
        assert_eq!(counted.state(0, START + 2 * HOUR), EntitlementState::UsedUp { until_ms });
        assert!(counted.stops(0, START + 2 * HOUR));
        assert!(counted.stops(0, until_ms - 1));
        assert!(!counted.stops(0, until_ms), "800 of 1,000 have left");
    }

    #[test]
    fn a_stopped_identity_waits_for_more_than_one_request() {
        let mut counted = one(1000, Policy::Stop);
        counted.note(0, 5, START);
        counted.note(0, 995, START + HOUR);
        assert!(counted.stops(0, START + HOUR));
        let five_left = START + WINDOW_MS + BUCKET_MS;
        assert!(counted.stops(0, five_left), "995 of 1,000 would stop again at once");
        assert!(!counted.stops(0, five_left + HOUR));
        assert!(!one(1000, Policy::Warn).stops(0, START));
    }

    #[test]
    fn the_forecast_counts_what_leaves() {
        let mut counted = one(1000, Policy::Warn);
        assert_eq!(counted.forecast(0, START, 0.0), None);
        assert_eq!(counted.forecast(0, START, f64::NAN), None);
        assert_eq!(counted.forecast(0, START, 1.0), Some(START + 1000 * 1000));
        // 1,000 a day are 0.01157 a second: a little less is never used up.
        assert_eq!(counted.forecast(0, START, 0.0115), None);
        assert!(counted.forecast(0, START, 0.0117).is_some());
        counted.note(0, 900, START - WINDOW_MS + HOUR);
        let soon = counted.forecast(0, START, 100.0 / 7200.0).unwrap();
        // The 900 leave within two hours; without that it would be used up after two.
        assert!((soon - START - 20 * HOUR).abs() < 1000, "{}", soon - START);
        assert_eq!(counted.forecast(0, START, 1.0), Some(START + 100 * 1000));
        counted.note(0, 100, START);
        assert_eq!(counted.forecast(0, START, 1.0), Some(START));
    }

    #[test]
    fn the_rate_is_that_of_the_last_minutes() {
        let mut counted = one(1_000_000, Policy::Warn);
        assert_eq!(counted.rate(0, START), 0.0);
        for second in 0..600 {
            counted.note(0, 50, START + second * 1000);
        }
        let rate = counted.rate(0, START + 600_000);
        assert!((rate - 50.0).abs() < 1.0, "{rate}");
        let (saved, mut disk) = (counted.fresh(), KeptCounts::empty("o"));
        disk.add(&saved, START + 600_000);
        counted.kept(&saved, &disk);
        assert_eq!(counted.rate(0, START + 600_000), rate, "keeping it changes nothing");
        assert_eq!(counted.rate(0, START + HOUR), 0.0);
    }

    #[test]
    fn two_identities_of_one_user_share_a_counter() {
        let rule = EntitlementRule { per_identity: 10, policy: Policy::Stop };
        let mut counted = Entitlement::new(rule, &["u".into(), "v".into(), "u".into()]);
        counted.note(0, 6, START);
        counted.note(2, 4, START);
        assert_eq!((counted.used(0, START), counted.used(1, START)), (10, 0));
        assert!(counted.stops(2, START) && !counted.stops(1, START));
    }

    #[test]
    fn two_jobs_that_keep_their_counts_see_each_other() {
        let (mut a, mut b) = (one(1000, Policy::Warn), one(1000, Policy::Warn));
        a.note(0, 100, START);
        b.note(0, 20, START);
        let mut disk = KeptCounts::empty("o");
        let saved = a.fresh();
        disk.add(&saved, START);
        a.note(0, 3, START);
        a.kept(&saved, &disk);
        let saved = b.fresh();
        disk.add(&saved, START);
        b.kept(&saved, &disk);
        assert_eq!((a.used(0, START), b.used(0, START)), (103, 120));
        let saved = a.fresh();
        disk.add(&saved, START);
        a.kept(&saved, &disk);
        assert_eq!(a.used(0, START), 123);
        assert!(a.fresh().is_empty());
        disk.add(&BTreeMap::new(), START + WINDOW_MS + 2 * BUCKET_MS);
        assert!(disk.users.is_empty());
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_count_forever() {
        let mut disk = KeptCounts::empty("o");
        let future = START + 400 * 24 * HOUR;
        disk.users.insert("u".into(), Buckets::from([(future / BUCKET_MS, 9_999)]));
        let mut counted = one(1000, Policy::Stop);
        counted.kept(&BTreeMap::new(), &disk);
        assert_eq!(counted.used(0, START), 0);
        disk.add(&BTreeMap::new(), START);
        assert!(disk.users.is_empty());
    }

    proptest! {
        /// Against every operation kept for itself: never less than the true window, never more
        /// than one bucket's worth older.
        #[test]
        fn never_less_than_the_true_count(
            mut notes in prop::collection::vec((0i64..2 * WINDOW_MS, 1u64..500), 1..200),
        ) {
            notes.sort_unstable();
            let mut counted = one(u64::MAX, Policy::Warn);
            for (at, operations) in &notes {
                counted.note(0, *operations, START + at);
            }
            let now = START + notes.last().map_or(0, |n| n.0);
            let since = |window: i64| -> u64 {
                notes.iter().filter(|n| START + n.0 > now - window).map(|n| n.1).sum()
            };
            let used = counted.used(0, now);
            prop_assert!(used >= since(WINDOW_MS));
            prop_assert!(used <= since(WINDOW_MS + BUCKET_MS + 1));
        }
    }
}
