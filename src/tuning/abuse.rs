//! Pure: the governor under whatever may happen to it, in any order: properties that hold always.

use crate::record::throttle::Throttle;
use crate::tuning::admission::{Admission, Cargo, Landing, Outcome, Permit, Why};
use crate::tuning::discovery::Found;
use crate::tuning::governor::{Beginning, Governor};
use crate::tuning::orders::{IdentityOrders, Orders, Range, TableOrders};
use crate::tuning::view::{Scope, View};
use crate::units::MonoTime;
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::time::Duration;

const TABLES: usize = 3;
const IDENTITIES: usize = 3;

#[derive(Clone, Debug)]
enum Event {
    /// Time passes, milliseconds.
    Pass(u32),
    /// A load asks for as many requests as it gets, at most so many.
    Ask { table: usize, most: usize, cargo: Cargo },
    /// A request under way ends.
    Land { which: usize, landing: Landing },
    /// A request did not leave.
    Cancel { which: usize },
    /// People want something else.
    Order(Orders),
    /// A search is due; what it brings.
    Search(Option<u32>),
    /// A load has something, or not, and so much is left.
    Wants { table: usize, wants: bool, left: Option<u64> },
    /// Rows ended.
    Settled { table: usize, good: u64, bad: u64 },
    /// One operation was refused by a limit.
    Within { which: usize, kind: Throttle },
}

fn kind() -> impl Strategy<Value = Throttle> {
    proptest::sample::select(Throttle::ALL.to_vec())
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Done),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Passing),
        1 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Lost),
        2 => (kind(), proptest::option::of(0_u64..400)).prop_map(|(kind, secs)| {
            Outcome::Throttled { kind, retry_after: secs.map(Duration::from_secs) }
        }),
    ]
}

fn landing() -> impl Strategy<Value = Landing> {
    let number = || proptest::option::of(prop_oneof![0.0..7000.0, Just(0.0)]);
    (outcome(), number(), number(), proptest::option::of(0_u32..6)).prop_map(
        |(outcome, time_remaining_secs, requests_remaining, server)| Landing {
            outcome,
            time_remaining_secs,
            requests_remaining,
            server,
        },
    )
}

fn orders() -> impl Strategy<Value = Orders> {
    let range = (1_u32..300, 0_u32..300).prop_map(|(min, more)| Range { min, max: min + more });
    let few = (1_u32..6, 0_u32..40).prop_map(|(min, more)| Range { min, max: min + more });
    let table = (range, few, 0.1..8.0, proptest::bool::weighted(0.2)).prop_map(
        |(batch, parallel, weight, paused)| TableOrders { batch, parallel, weight, paused },
    );
    let identity = (
        proptest::bool::weighted(0.3),
        proptest::option::of(1_u32..50),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(paused, rate, entitlement_used_up)| IdentityOrders {
            paused,
            requests_per_second: rate.and_then(NonZeroU32::new),
            entitlement_used_up,
        });
    let share = prop_oneof![3 => Just(1.0), 2 => 0.01..1.0, 1 => Just(0.0)];
    (
        proptest::collection::vec(table, TABLES),
        proptest::collection::vec(identity, IDENTITIES),
        share,
    )
        .prop_map(|(tables, identities, max_share)| Orders { tables, identities, max_share })
}

fn event() -> impl Strategy<Value = Event> {
    let cargo = proptest::sample::select(vec![
        Cargo::Bulk,
        Cargo::Bulk,
        Cargo::Bulk,
        Cargo::Apart,
        Cargo::Question,
    ]);
    let table = || 0..TABLES;
    prop_oneof![
        4 => prop_oneof![0_u32..50, 0_u32..2000, 0_u32..400_000].prop_map(Event::Pass),
        6 => (table(), 1_usize..30, cargo)
            .prop_map(|(table, most, cargo)| Event::Ask { table, most, cargo }),
        8 => (0_usize..64, landing()).prop_map(|(which, landing)| Event::Land { which, landing }),
        1 => (0_usize..64).prop_map(|which| Event::Cancel { which }),
        1 => orders().prop_map(Event::Order),
        1 => proptest::option::of(0_u32..6).prop_map(Event::Search),
        1 => (table(), any::<bool>(), proptest::option::of(0_u64..100_000))
            .prop_map(|(table, wants, left)| Event::Wants { table, wants, left }),
        1 => (table(), 0_u64..2000, 0_u64..50)
            .prop_map(|(table, good, bad)| Event::Settled { table, good, bad }),
        1 => (0_usize..64, kind()).prop_map(|(which, kind)| Event::Within { which, kind }),
    ]
}

fn found() -> impl Strategy<Value = Found> {
    let scope = proptest::sample::select(vec![Scope::Unknown, Scope::Identity, Scope::Server]);
    (scope, 0_u32..6, 0.0..0.5, any::<bool>()).prop_map(
        |(scope, servers, latency_secs, headers)| {
            // As discovery has it: servers that count apart were seen.
            let servers = if scope == Scope::Server { servers.max(1) } else { servers };
            Found { scope, servers, latency_secs, headers }
        },
    )
}

/// The governor and what the world knows of it.
struct World {
    governor: Governor,
    orders: Orders,
    now: Duration,
    flying: Vec<(usize, Permit)>,
}

impl World {
    fn at(&self) -> MonoTime {
        MonoTime::from_origin(self.now)
    }

    fn has_operator_reason(&self, table: usize) -> bool {
        let stopped = |i: &IdentityOrders| i.paused || i.entitlement_used_up;
        self.orders.tables[table].paused
            || self.orders.max_share <= 0.0
            || self.orders.identities.iter().all(stopped)
    }

    fn ask(&mut self, table: usize, most: usize, cargo: Cargo) -> Result<(), TestCaseError> {
        for _ in 0..most {
            let rows = self.governor.batch_rows(table);
            let range = self.orders.tables[table].batch;
            prop_assert!(rows >= 1 && rows <= range.max, "{rows} rows of {range:?}");
            match self.governor.admit(table, rows, cargo, self.at()) {
                Admission::Go(permit) => {
                    self.flying.push((table, permit));
                    let identity = usize::from(permit.identity);
                    prop_assert!(!self.has_operator_reason(table), "sent against the orders");
                    prop_assert!(!self.orders.identities[identity].paused);
                    prop_assert!(!self.orders.identities[identity].entitlement_used_up);
                    let mine = self.flying.iter().filter(|(t, _)| *t == table).count();
                    let most = self.orders.tables[table].parallel.max as usize;
                    prop_assert!(mine <= most, "{mine} at once, {most} allowed");
                }
                Admission::Wait(until, why) => {
                    let reason = self.has_operator_reason(table);
                    prop_assert!(
                        until.is_some() || !self.flying.is_empty() || reason,
                        "nobody would ask again: {why:?}"
                    );
                    prop_assert!(until.is_none_or(|u| u > self.at()), "{until:?} is no wait");
                    let operator =
                        matches!(why, Why::Paused | Why::Schedule | Why::Entitlement { .. });
                    prop_assert!(!operator || reason, "{why:?} without a reason");
                    break;
                }
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let at = self.at();
        let pick = |flying: &Vec<(usize, Permit)>, which: usize| {
            (!flying.is_empty()).then(|| which % flying.len())
        };
        match event {
            Event::Pass(millis) => self.now += Duration::from_millis((*millis).into()),
            Event::Ask { table, most, cargo } => self.ask(*table, *most, *cargo)?,
            Event::Land { which, landing } => {
                if let Some(place) = pick(&self.flying, *which) {
                    let (_, permit) = self.flying.swap_remove(place);
                    self.governor.landed(permit, *landing, at);
                }
            }
            Event::Cancel { which } => {
                if let Some(place) = pick(&self.flying, *which) {
                    let (_, permit) = self.flying.swap_remove(place);
                    self.governor.cancel(permit, at);
                }
            }
            Event::Order(orders) => {
                self.orders = orders.clone();
                self.governor.order(orders.clone());
            }
            Event::Search(server) => {
                if self.governor.search(at).is_some() {
                    self.governor.found(*server, at);
                }
            }
            Event::Wants { table, wants, left } => {
                self.governor.wants(*table, *wants);
                self.governor.left(*table, *left);
            }
            Event::Settled { table, good, bad } => self.governor.settled(*table, *good, *bad),
            Event::Within { which, kind } => {
                if let Some(place) = pick(&self.flying, *which) {
                    let permit = self.flying[place].1;
                    self.governor.refused_within(permit, *kind, None, at);
                }
            }
        }
        prop_assert_eq!(self.governor.in_flight(), self.flying.len());
        Ok(())
    }
}

fn is_sane(view: &View) -> Result<(), TestCaseError> {
    let mut numbers = vec![view.parallel_target, view.max_share];
    numbers.extend(view.elasticity_parallel);
    numbers.extend(view.elasticity_rows);
    for lane in &view.lanes {
        numbers.extend([lane.time_used_secs, lane.time_limit_secs, lane.requests_used]);
        numbers.extend([lane.requests_limit, lane.parallel_limit, lane.tokens_secs]);
        numbers.push(lane.closed_secs);
        prop_assert!(lane.time_used_secs >= -1e-6 && lane.time_limit_secs >= 0.0, "{lane:?}");
    }
    for table in &view.tables {
        numbers.extend([table.share, table.predicted_over_actual, table.bad_row_rate]);
        numbers.extend([table.rows_per_execution_second, table.hazard, table.weight]);
        numbers.extend(table.cost.into_iter().flatten());
        prop_assert!(table.share <= 1.0 + 1e-6 && table.bad_row_rate <= 1.0, "{table:?}");
    }
    prop_assert!(numbers.iter().all(|n| n.is_finite()), "{view:?}");
    prop_assert!(view.lanes.len() <= 512);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_flights_come_back_and_nobody_is_stuck(
        found in found(),
        begin in orders(),
        atomic in proptest::collection::vec(any::<bool>(), TABLES),
        events in proptest::collection::vec(event(), 1..250),
    ) {
        let beginning = Beginning {
            atomic,
            start_rows: vec![None; TABLES],
            orders: begin.clone(),
            found,
        };
        let governor = Governor::new(beginning, MonoTime::ZERO);
        let mut world = World { governor, orders: begin, now: Duration::ZERO, flying: Vec::new() };
        for table in 0..TABLES {
            world.governor.wants(table, true);
        }
        for event in &events {
            world.happen(event)?;
        }
        let at = world.at();
        is_sane(&world.governor.view(at))?;
        let end = Landing {
            outcome: Outcome::Done,
            time_remaining_secs: None,
            requests_remaining: None,
            server: None,
        };
        for (_, permit) in std::mem::take(&mut world.flying) {
            world.governor.landed(permit, end, at);
        }
        prop_assert_eq!(world.governor.in_flight(), 0);
        let view = world.governor.view(at);
        is_sane(&view)?;
        prop_assert!(view.lanes.iter().all(|l| l.in_flight == 0), "a lane leaks: {view:?}");
        prop_assert!(view.tables.iter().all(|t| t.in_flight == 0), "a load leaks: {view:?}");
    }

    #[test]
    fn with_nothing_under_way_everybody_gets_to_send_in_the_end(
        found in found(),
        events in proptest::collection::vec(event(), 1..150),
        table in 0..TABLES,
    ) {
        let table_orders = TableOrders {
            batch: Range { min: 1, max: 1000 },
            parallel: Range { min: 1, max: 64 },
            weight: 1.0,
            paused: false,
        };
        let identity =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        let open = Orders {
            tables: vec![table_orders; TABLES],
            identities: vec![identity; IDENTITIES],
            max_share: 1.0,
        };
        let beginning = Beginning {
            atomic: vec![true; TABLES],
            start_rows: vec![None; TABLES],
            orders: open.clone(),
            found,
        };
        let governor = Governor::new(beginning, MonoTime::ZERO);
        let mut world =
            World { governor, orders: open.clone(), now: Duration::ZERO, flying: Vec::new() };
        for event in &events {
            world.happen(event)?;
        }
        world.happen(&Event::Order(open))?;
        while !world.flying.is_empty() {
            world.happen(&Event::Cancel { which: 0 })?;
        }
        for other in 0..TABLES {
            world.governor.wants(other, true);
        }
        // Every wait is obeyed; 4,000 of them are more than any window takes.
        let mut asked = 0;
        loop {
            let rows = world.governor.batch_rows(table);
            match world.governor.admit(table, rows, Cargo::Bulk, world.at()) {
                Admission::Go(_) => break,
                Admission::Wait(until, why) => {
                    prop_assert!(until.is_some(), "stuck: {why:?}");
                    world.now = until.map_or(world.now, MonoTime::since_origin);
                    asked += 1;
                    prop_assert!(asked < 4000, "never: {why:?} at {:?}", world.now);
                }
            }
        }
    }
}
