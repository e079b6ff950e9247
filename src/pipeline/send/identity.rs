//! Pure: the pool of application users. Each has its own gate: while it is closed after a
//! throttle, no request leaves through it; the others go on.

use crate::pipeline::send::retry::{RETRY_AFTER_ABSENT, RETRY_AFTER_MAX};
use crate::record::key::IdentityId;
use crate::record::throttle::Throttle;
use crate::tuning::ceiling::Ceiling;
use crate::units::MonoTime;
use std::num::NonZeroU32;
use std::time::Duration;

/// Requests at once through one identity before the environment's hint is known.
///
/// Source: `dataverse-web-api.md` §1.3: 5 is the default of Microsoft's client.
pub const PARALLEL_UNKNOWN: u32 = 5;
/// Most requests at once through one identity, whatever the hint says.
///
/// Source: `dataverse-web-api.md` §1.1: 52 concurrent requests a user; two are kept for probes.
pub const PARALLEL_MAX: u32 = 50;
/// Added to each `Retry-After`, so that a clock that runs a little fast or a short cut on the
/// wire cannot bring a request into the closed window.
const GUARD: Duration = Duration::from_millis(100);

/// Answer to "may a request go now?".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Through this identity; its slot is taken until [`IdentityPool::release`].
    Go(IdentityId),
    /// All open identities are full; a release will change that.
    Full,
    /// Open identities are at the job's ceiling; the first may send again at this time.
    PacedUntil(MonoTime, IdentityId),
    /// All identities are closed; the first opens at this time.
    ClosedUntil(MonoTime, IdentityId, Throttle),
}

/// What is known of an identity at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemberSettings {
    /// `x-ms-dop-hint`, if one was given.
    pub hint: Option<u32>,
    /// The job's ceiling, if there is one.
    pub requests_per_second: Option<NonZeroU32>,
}

#[derive(Debug)]
struct Member {
    ceiling: Option<Ceiling>,
    limit: u32,
    in_flight: u32,
    closed_until: MonoTime,
    closed_by: Throttle,
}

/// The pool. One for the whole run, shared by all lanes.
#[derive(Debug)]
pub struct IdentityPool {
    members: Vec<Member>,
}

impl IdentityPool {
    /// A pool with one member per entry: the environment's hint and the job's ceiling.
    ///
    /// Source: `dataverse-web-api.md` §1.3: going above `x-ms-dop-hint` makes a load slower.
    #[must_use]
    pub fn new(members: &[MemberSettings]) -> Self {
        let members = members
            .iter()
            .map(|settings| Member {
                ceiling: settings.requests_per_second.map(Ceiling::new),
                limit: settings.hint.unwrap_or(PARALLEL_UNKNOWN).clamp(1, PARALLEL_MAX),
                in_flight: 0,
                closed_until: MonoTime::ZERO,
                closed_by: Throttle::Other,
            })
            .collect();
        Self { members }
    }

    /// Takes a slot of the open identity with the largest free share.
    pub fn admit(&mut self, now: MonoTime) -> Admission {
        let free_share = |m: &Member| f64::from(m.limit - m.in_flight) / f64::from(m.limit);
        let is_open = |m: &Member| m.closed_until <= now;
        let mut open: Vec<usize> = (0..self.members.len())
            .filter(|index| {
                let member = &self.members[*index];
                is_open(member) && member.in_flight < member.limit
            })
            .collect();
        open.sort_by(|a, b| {
            free_share(&self.members[*b]).total_cmp(&free_share(&self.members[*a]))
        });
        let mut paced: Option<(MonoTime, IdentityId)> = None;
        for index in open {
            match self.members[index].ceiling.as_ref().map_or(Ok(()), |c| c.take(now)) {
                Ok(()) => {
                    self.members[index].in_flight += 1;
                    return Admission::Go(id(index));
                }
                Err(at) if paced.is_none_or(|(first, _)| at < first) => {
                    paced = Some((at, id(index)));
                }
                Err(_) => {}
            }
        }
        if let Some((at, identity)) = paced {
            return Admission::PacedUntil(at, identity);
        }
        if self.members.iter().any(is_open) {
            return Admission::Full;
        }
        self.members
            .iter()
            .enumerate()
            .min_by_key(|(_, m)| m.closed_until)
            .map_or(Admission::Full, |(index, m)| {
                Admission::ClosedUntil(m.closed_until, id(index), m.closed_by)
            })
    }

    /// Gives a slot back.
    pub fn release(&mut self, identity: IdentityId) {
        let member = &mut self.members[usize::from(identity.0)];
        assert!(member.in_flight > 0, "a slot is released once");
        member.in_flight -= 1;
    }

    /// Closes an identity's gate after a throttle heard at `now`; returns when it opens.
    ///
    /// A later answer never opens a gate earlier: answers of requests sent before the first
    /// throttle arrive in any order.
    pub fn throttled(
        &mut self,
        identity: IdentityId,
        kind: Throttle,
        retry_after: Option<Duration>,
        now: MonoTime,
    ) -> MonoTime {
        let member = &mut self.members[usize::from(identity.0)];
        let wait = retry_after.unwrap_or(RETRY_AFTER_ABSENT).min(RETRY_AFTER_MAX) + GUARD;
        let until = now + wait;
        if until > member.closed_until {
            member.closed_until = until;
            member.closed_by = kind;
        }
        if kind == Throttle::Concurrency {
            // The limit is below what was in flight: the throttled one and its peers.
            member.limit = member.limit.min(member.in_flight.saturating_sub(1).max(1));
        }
        member.closed_until
    }

    /// Requests in flight through an identity, and its limit.
    #[must_use]
    pub fn load(&self, identity: IdentityId) -> (u32, u32) {
        let member = &self.members[usize::from(identity.0)];
        (member.in_flight, member.limit)
    }

    /// When an identity's gate opens, if it is closed at `now`.
    #[must_use]
    pub fn closed(&self, identity: IdentityId, now: MonoTime) -> Option<(MonoTime, Throttle)> {
        let member = &self.members[usize::from(identity.0)];
        (member.closed_until > now).then_some((member.closed_until, member.closed_by))
    }
}

fn id(index: usize) -> IdentityId {
    IdentityId(u16::try_from(index).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(secs))
    }

    fn pool(hints: &[u32]) -> IdentityPool {
        let member = |hint: &u32| MemberSettings { hint: Some(*hint), requests_per_second: None };
        IdentityPool::new(&hints.iter().map(member).collect::<Vec<_>>())
    }

    #[test]
    fn a_ceiling_passes_the_request_on_to_another_identity_or_names_the_time() {
        let slow = MemberSettings { hint: Some(9), requests_per_second: NonZeroU32::new(1) };
        let mut pool = IdentityPool::new(&[slow, slow]);
        assert!(matches!(pool.admit(at(1)), Admission::Go(_)));
        assert!(matches!(pool.admit(at(1)), Admission::Go(_)));
        match pool.admit(at(1)) {
            Admission::PacedUntil(until, _) => assert_eq!(until, at(2)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(pool.admit(at(2)), Admission::Go(_)));
    }

    #[test]
    fn requests_spread_over_identities_by_free_share() {
        let mut pool = pool(&[2, 2]);
        let mut taken = Vec::new();
        for _ in 0..4 {
            match pool.admit(at(0)) {
                Admission::Go(identity) => taken.push(identity.0),
                other => panic!("{other:?}"),
            }
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 0, 1, 1]);
        assert_eq!(pool.admit(at(0)), Admission::Full);
        pool.release(IdentityId(1));
        assert_eq!(pool.admit(at(0)), Admission::Go(IdentityId(1)));
    }

    #[test]
    fn a_closed_gate_lets_nothing_through_until_the_time_named() {
        let mut pool = pool(&[4]);
        assert_eq!(pool.admit(at(0)), Admission::Go(IdentityId(0)));
        pool.throttled(IdentityId(0), Throttle::Time, Some(Duration::from_secs(41)), at(10));
        assert!(
            matches!(pool.admit(at(11)), Admission::ClosedUntil(t, _, Throttle::Time) if t > at(51))
        );
        assert!(matches!(pool.admit(at(51)), Admission::ClosedUntil(..)));
        assert_eq!(pool.admit(at(52)), Admission::Go(IdentityId(0)));
    }

    #[test]
    fn a_shorter_time_heard_later_does_not_open_the_gate_earlier() {
        let mut pool = pool(&[4]);
        pool.throttled(IdentityId(0), Throttle::Time, Some(Duration::from_secs(60)), at(0));
        pool.throttled(IdentityId(0), Throttle::Requests, Some(Duration::from_secs(5)), at(1));
        assert!(matches!(pool.admit(at(30)), Admission::ClosedUntil(_, _, Throttle::Time)));
    }

    #[test]
    fn one_closed_identity_does_not_stop_the_others() {
        let mut pool = pool(&[1, 1]);
        pool.throttled(IdentityId(0), Throttle::Requests, None, at(0));
        assert_eq!(pool.admit(at(1)), Admission::Go(IdentityId(1)));
        assert_eq!(pool.admit(at(1)), Admission::Full, "the open one is full, not closed");
    }

    #[test]
    fn a_concurrency_throttle_lowers_the_limit_but_never_below_one() {
        let mut pool = pool(&[8]);
        for _ in 0..6 {
            pool.admit(at(0));
        }
        pool.throttled(IdentityId(0), Throttle::Concurrency, Some(Duration::from_secs(1)), at(0));
        assert_eq!(pool.load(IdentityId(0)).1, 5);
        for _ in 0..6 {
            pool.release(IdentityId(0));
        }
        pool.throttled(IdentityId(0), Throttle::Concurrency, None, at(5));
        assert_eq!(pool.load(IdentityId(0)).1, 1);
    }
}
