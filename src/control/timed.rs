//! What changes the orders while time passes: the schedule, and the 24-hour entitlement.

use crate::control::steering::{ScheduleNow, Steering, Who};
use crate::runtime::clock;
use crate::tuning::entitlement::{Entitlement, EntitlementState, Policy};
use crate::tuning::schedule::Schedule;
use std::time::Duration;

/// How often time is looked at; the wall clock may be set meanwhile, so no longer sleep is exact.
const TICK: Duration = Duration::from_secs(1);
/// Share below which a warning may be given again.
const CALM_SHARE: f64 = 0.75;

/// What people were told of an identity's entitlement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Told {
    Nothing,
    Warned,
    UsedUp,
}

/// Applies schedule and entitlement to the orders of a run.
#[derive(Debug)]
pub struct Timed {
    steering: Steering,
    schedule: Option<Schedule>,
    /// Name of the entry in force.
    entry: Option<String>,
    told: Vec<Told>,
}

impl Timed {
    /// For a run.
    #[must_use]
    pub fn new(steering: Steering, schedule: Option<Schedule>) -> Self {
        let told = vec![Told::Nothing; steering.names().identities.len()];
        Self { steering, schedule, entry: None, told }
    }

    /// Brings the orders up to `wall_ms`, milliseconds since 1970.
    pub fn step(&mut self, wall_ms: i64) {
        self.follow_schedule(wall_ms);
        let Some(entitlement) = self.steering.entitlement() else { return };
        for index in 0..self.told.len() {
            let mut counted = entitlement.lock();
            let stops = counted.stops(index, wall_ms);
            let state = counted.state(index, wall_ms);
            let account = Account::of(&counted, index, wall_ms);
            drop(counted);
            let name = &self.steering.names().identities[index];
            let told = &mut self.told[index];
            account.tell(name, state, told);
            self.steering.change(Who::Entitlement, wall_ms, |orders| {
                let used_up = &mut orders.identities.get_mut(index)?.entitlement_used_up;
                if *used_up == stops {
                    return None;
                }
                *used_up = stops;
                Some(match state {
                    EntitlementState::UsedUp { until_ms } if stops => format!(
                        "identity {name}: stopped, entitlement used up until {}",
                        moment(until_ms)
                    ),
                    _ => format!("identity {name}: goes on, its entitlement has room again"),
                })
            });
        }
    }

    fn follow_schedule(&mut self, wall_ms: i64) {
        let Some(schedule) = &self.schedule else { return };
        let (share, name) = schedule.share_at(wall_ms);
        if self.entry.as_deref() == Some(name) {
            return;
        }
        self.entry = Some(name.to_owned());
        let until_ms = schedule.next_change(wall_ms);
        self.steering.tell_schedule(ScheduleNow { name: name.to_owned(), until_ms });
        self.steering.change(Who::Schedule, wall_ms, |orders| {
            let old = std::mem::replace(&mut orders.max_share, share);
            (old != share)
                .then(|| format!("`{name}` begins: share of the limits {old:.2} → {share:.2}"))
        });
    }

    /// Follows the wall clock until it is dropped.
    pub async fn follow(mut self) {
        loop {
            self.step(clock::wall_ms());
            tokio::time::sleep(TICK).await;
        }
    }
}

/// Where an identity stands, for people.
struct Account {
    used: u64,
    limit: u64,
    policy: Policy,
    forecast_ms: Option<i64>,
}

impl Account {
    fn of(counted: &Entitlement, index: usize, wall_ms: i64) -> Self {
        let rate = counted.rate(index, wall_ms);
        Self {
            used: counted.used(index, wall_ms),
            limit: counted.rule().per_identity,
            policy: counted.rule().policy,
            forecast_ms: counted.forecast(index, wall_ms, rate),
        }
    }

    /// Warns once when a threshold is passed.
    fn tell(&self, identity: &str, state: EntitlementState, told: &mut Told) {
        let (used, limit) = (self.used, self.limit);
        match state {
            EntitlementState::UsedUp { until_ms } if *told < Told::UsedUp => {
                *told = Told::UsedUp;
                let until = moment(until_ms);
                match self.policy {
                    Policy::Stop => tracing::warn!(
                        identity,
                        used,
                        limit,
                        "DV0511: 24-hour entitlement used up; nothing is sent through this identity until {until}"
                    ),
                    Policy::Warn => tracing::warn!(
                        identity,
                        used,
                        limit,
                        "DV0511: 24-hour entitlement used up; going on, as the job file says"
                    ),
                }
            }
            EntitlementState::Warn { share } if *told < Told::Warned => {
                *told = Told::Warned;
                let percent = share * 100.0;
                let forecast = self.forecast_ms.map_or_else(
                    || "at this rate it is enough".to_owned(),
                    |at| format!("at this rate it is used up at {}", moment(at)),
                );
                tracing::warn!(
                    identity,
                    used,
                    limit,
                    "DV0511: {percent:.0} % of the 24-hour entitlement used; {forecast}"
                );
            }
            EntitlementState::Ok if (used as f64) < limit as f64 * CALM_SHARE => {
                *told = Told::Nothing;
            }
            _ => {}
        }
    }
}

/// A moment for people, UTC.
fn moment(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(
        |_| "an unknown time".to_owned(),
        |t| t.strftime("%Y-%m-%d %H:%MZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::change::Names;
    use crate::tuning::entitlement::{BUCKET_MS, EntitlementRule, WINDOW_MS};
    use crate::tuning::orders::{IdentityOrders, Orders};
    use crate::tuning::schedule::{Entry, minute_of_day};
    use jiff::tz::TimeZone;

    /// Monday 13 July 2026, 00:00 UTC.
    const MONDAY: i64 = 1_783_900_800_000;
    const HOUR: i64 = 3600 * 1000;

    fn steering(rule: Option<EntitlementRule>) -> Steering {
        let identities = vec!["app-1".to_owned(), "app-2".to_owned()];
        let order =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        let orders = Orders { tables: Vec::new(), identities: vec![order; 2], max_share: 1.0 };
        let counted = rule.map(|rule| Entitlement::new(rule, &identities));
        Steering::new(Names { loads: Vec::new(), identities }, orders, counted)
    }

    #[test]
    fn the_share_follows_the_hours() {
        let hours = Some((minute_of_day("08:00").unwrap(), minute_of_day("18:00").unwrap()));
        let business = Entry { name: "business".into(), days: None, hours, max_share: 0.4 };
        let night = Entry { name: "night".into(), days: None, hours: None, max_share: 1.0 };
        let schedule = Schedule::new("UTC", TimeZone::UTC, vec![business, night]).unwrap();
        let steering = steering(None);
        let mut timed = Timed::new(steering.clone(), Some(schedule));
        let share = || steering.orders().borrow().max_share;
        timed.step(MONDAY);
        assert_eq!((share(), steering.changes(Who::Schedule)), (1.0, 0), "as the orders began");
        let until_ms = Some(MONDAY + 8 * HOUR);
        assert_eq!(steering.schedule(), Some(ScheduleNow { name: "night".into(), until_ms }));
        timed.step(MONDAY + 8 * HOUR - 1);
        assert_eq!(share(), 1.0);
        for second in 0..5 {
            timed.step(MONDAY + 8 * HOUR + second * 1000);
        }
        assert_eq!((share(), steering.changes(Who::Schedule)), (0.4, 1));
        assert_eq!(steering.recent()[0].text, "`business` begins: share of the limits 1.00 → 0.40");
        // A machine that slept through the evening.
        timed.step(MONDAY + 25 * HOUR);
        assert_eq!((share(), steering.changes(Who::Schedule)), (1.0, 2));
    }

    #[test]
    fn a_used_up_identity_is_stopped_alone_and_goes_on_a_day_later() {
        let rule = EntitlementRule { per_identity: 1000, policy: Policy::Stop };
        let steering = steering(Some(rule));
        let mut timed = Timed::new(steering.clone(), None);
        let stopped = || {
            let orders = steering.orders();
            let orders = orders.borrow();
            orders.identities.iter().map(|i| i.entitlement_used_up).collect::<Vec<_>>()
        };
        steering.note_operations(0, 850, MONDAY);
        timed.step(MONDAY);
        assert_eq!((stopped(), timed.told[0]), (vec![false, false], Told::Warned));
        steering.note_operations(0, 150, MONDAY + HOUR);
        timed.step(MONDAY + HOUR);
        timed.step(MONDAY + 2 * HOUR);
        assert_eq!((stopped(), timed.told[0]), (vec![true, false], Told::UsedUp));
        assert_eq!(steering.changes(Who::Entitlement), 1, "told once");
        timed.step(MONDAY + WINDOW_MS);
        assert_eq!(stopped(), [true, false]);
        timed.step(MONDAY + WINDOW_MS + BUCKET_MS);
        assert_eq!((stopped(), timed.told[0]), (vec![false, false], Told::Nothing));
        assert_eq!(steering.changes(Who::Entitlement), 2);
        let texts: Vec<_> = steering.recent().into_iter().map(|c| c.text).collect();
        insta::assert_snapshot!(texts.join("\n"), @r#"
    identity app-1: stopped, entitlement used up until 2026-07-14 00:05Z
    identity app-1: goes on, its entitlement has room again
    "#);
    }

    #[test]
    fn the_policy_warn_stops_nobody() {
        let rule = EntitlementRule { per_identity: 10, policy: Policy::Warn };
        let steering = steering(Some(rule));
        let mut timed = Timed::new(steering.clone(), None);
        steering.note_operations(1, 50, MONDAY);
        timed.step(MONDAY);
        assert_eq!(timed.told, [Told::Nothing, Told::UsedUp]);
        assert!(!steering.orders().borrow().identities[1].entitlement_used_up);
    }
}
