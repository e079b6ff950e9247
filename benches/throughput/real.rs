//! The real governor behind the bench's loop.

use crate::drive::{Decider, Save, Word};
use crate::server::{Request, Server};
use crate::world::{Answer, Cargo, End, Limit, World};
use dvbulk::record::throttle::Throttle;
use dvbulk::tuning::admission::{self, Admission, Landing, Outcome, Permit};
use dvbulk::tuning::discovery::{Discovery, PINGS_AT_ONCE, Ping};
use dvbulk::tuning::governor::{Beginning, Governor};
use dvbulk::tuning::learned::{Learned, RequestKind};
use dvbulk::tuning::orders::{IdentityOrders, Orders, Range, TableOrders};
use dvbulk::tuning::resolve::Rescue;
use dvbulk::units::MonoTime;
use std::collections::HashMap;
use std::time::Duration;

/// A change of what people want.
pub(crate) type Change = fn(&mut Orders);

/// The governor and what a run knows around it.
pub(crate) struct Real {
    governor: Option<Governor>,
    orders: Orders,
    /// Changes to come, the latest first.
    changes: Vec<(f64, Change)>,
    warm: Option<Learned>,
    permits: HashMap<u64, Permit>,
    tokens: HashMap<u32, u32>,
}

pub(crate) fn point(secs: f64) -> MonoTime {
    MonoTime::from_origin(Duration::from_secs_f64(secs.max(0.0)))
}

impl Real {
    pub(crate) fn new(world: &World) -> Self {
        let tables = world
            .tables
            .iter()
            .map(|t| TableOrders {
                batch: Range { min: 1, max: 1000 },
                parallel: Range { min: 1, max: 512 },
                weight: t.weight,
                paused: false,
            })
            .collect();
        let identity =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        let identities = vec![identity; world.users.len()];
        Self {
            governor: None,
            orders: Orders { tables, identities, max_share: 1.0 },
            changes: Vec::new(),
            warm: None,
            permits: HashMap::new(),
            tokens: HashMap::new(),
        }
    }

    /// Changes what people want, at a second of the run.
    pub(crate) fn change(mut self, at: f64, change: Change) -> Self {
        self.changes.push((at, change));
        self.changes.sort_by(|a, b| b.0.total_cmp(&a.0));
        self
    }

    /// Begins from what an earlier run learnt.
    pub(crate) fn warm(mut self, learned: Learned) -> Self {
        self.warm = Some(learned);
        self
    }

    /// What the next run may begin from.
    pub(crate) fn learned(&self) -> Option<Learned> {
        let governor = self.governor.as_ref()?;
        Some(governor.learned("unq0000contoso", "https://contoso.example", &self.kinds(), 0))
    }

    fn kinds(&self) -> Vec<RequestKind> {
        let kind = |table| RequestKind {
            table: format!("table{table}"),
            operation: "create".to_owned(),
            columns: String::new(),
            bypass: String::new(),
        };
        (0..self.orders.tables.len()).map(kind).collect()
    }

    fn number(&mut self, token: Option<u32>) -> Option<u32> {
        let next = self.tokens.len() as u32;
        token.map(|t| *self.tokens.entry(t).or_insert(next))
    }

    fn token(&self, number: Option<u32>) -> Option<u32> {
        let number = number?;
        self.tokens.iter().find(|(_, n)| **n == number).map(|(t, _)| *t)
    }

    fn it(&mut self) -> &mut Governor {
        self.governor.as_mut().expect("begun")
    }
}

impl Decider for Real {
    fn begin(&mut self, server: &mut Server) {
        let mut discovery = Discovery::default();
        let mut tag = 1 << 60;
        while discovery.wants_more() {
            let sent = server.now;
            for _ in 0..PINGS_AT_ONCE {
                tag += 1;
                server.send(Request::ping(tag, 0));
            }
            for _ in 0..PINGS_AT_ONCE {
                let Some(answer) = server.next(sent + 10.0) else { break };
                let ping = Ping {
                    server: self.number(answer.server),
                    requests_remaining: answer.requests_left,
                    round_trip_secs: server.now - sent,
                };
                discovery.note(ping);
            }
        }
        let beginning = Beginning {
            atomic: vec![true; self.orders.tables.len()],
            start_rows: vec![None; self.orders.tables.len()],
            orders: self.orders.clone(),
            found: discovery.found(),
        };
        let mut governor = Governor::new(beginning, point(server.now));
        if let Some(learned) = &self.warm {
            governor.recall(learned, &self.kinds(), 0);
        }
        self.governor = Some(governor);
        self.turn(0.0);
    }

    fn turn(&mut self, now: f64) {
        while self.changes.last().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, change)) = self.changes.pop() {
                change(&mut self.orders);
                let orders = self.orders.clone();
                self.it().order(orders);
            }
        }
    }

    fn rows(&mut self, table: usize, _: f64) -> u32 {
        self.it().batch_rows(table)
    }

    fn admit(&mut self, table: usize, rows: u32, cargo: Cargo, now: f64) -> Word {
        let cargo = match cargo {
            Cargo::Bulk => admission::Cargo::Bulk,
            Cargo::Apart => admission::Cargo::Apart,
            Cargo::Ping => admission::Cargo::Question,
        };
        match self.it().admit(table, rows, cargo, point(now)) {
            Admission::Go(permit) => {
                self.permits.insert(permit.id, permit);
                Word::Go {
                    user: usize::from(permit.identity),
                    server: self.token(permit.server),
                    tag: permit.id,
                }
            }
            Admission::Wait(until, _) => {
                Word::Wait(until.map_or(f64::INFINITY, |t| t.since_origin().as_secs_f64()))
            }
        }
    }

    fn landed(&mut self, answer: &Answer, now: f64) {
        let Some(permit) = self.permits.remove(&answer.tag) else { return };
        let outcome = match answer.end {
            End::Done => Outcome::Done,
            End::Refused => Outcome::Refused,
            End::Passing => Outcome::Passing,
            End::TimedOut => Outcome::TimedOut,
            End::Throttled(limit, wait) => Outcome::Throttled {
                kind: match limit {
                    Limit::Time => Throttle::Time,
                    Limit::Requests => Throttle::Requests,
                    Limit::Concurrency => Throttle::Concurrency,
                },
                retry_after: Some(Duration::from_secs_f64(wait)),
            },
        };
        let landing = Landing {
            outcome,
            time_remaining_secs: answer.time_left,
            requests_remaining: answer.requests_left,
            server: self.number(answer.server),
        };
        self.it().landed(permit, landing, point(now));
    }

    fn settled(&mut self, table: usize, good: u64, bad: u64) {
        self.it().settled(table, good, bad);
    }

    fn save(&mut self, table: usize, rows: u32) -> Save {
        match self.it().rescue(table, rows) {
            Rescue::Apart => Save::Apart,
            Rescue::Split(parts) => Save::Split(parts),
        }
    }

    fn left(&mut self, table: usize, rows: Option<u64>) {
        self.it().left(table, rows);
    }

    fn wants(&mut self, table: usize, wants: bool) {
        let _changed = self.it().wants(table, wants);
    }

    fn search(&mut self, now: f64) -> Option<usize> {
        self.it().search(point(now)).map(usize::from)
    }

    fn found(&mut self, server: Option<u32>, now: f64) {
        let server = self.number(server);
        self.it().found(server, point(now));
    }

    fn state(&mut self, now: f64) -> String {
        format!("{:?}", self.it().view(point(now)))
    }
}
