//! How others do it, behind the same loop. All of them send through the identities in turn, to
//! whatever server takes it, and save refused batches by `$batch`.
//!
//! Source of each rule: `adaptive-control.md` §3, §6.

use crate::drive::{Decider, Word};
use crate::server::Server;
use crate::world::{Answer, Cargo, End, World};
use std::collections::HashMap;

/// What tells the rivals apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// Batch and threads by table class, from the vendor's guidance; a thread sleeps its wait.
    Guidance,
    /// As many at once as hinted, 100 rows each; an identity that is throttled is left alone.
    Hint,
    /// 52 threads of 100 rows; a thread sleeps its wait.
    Naive,
    /// SQL 4 CDS: one more thread a second up to ten, one less at the first 429 after a success
    /// and never up again; batches sized for ten seconds, at most 100 rows.
    Ratchet,
    /// Any fixed pair of rows and threads, for looking for the best one.
    Fixed(u32, u32),
}

/// Those that run beside the governor, and their names.
pub(crate) const RIVALS: [(&str, Rule); 4] = [
    ("hint × 100", Rule::Hint),
    ("class guidance", Rule::Guidance),
    ("naive 52 × 100", Rule::Naive),
    ("one-way ratchet", Rule::Ratchet),
];

/// Most threads of the ratchet.
const RATCHET_THREADS: usize = 10;
/// Duration the ratchet sizes its batches for, seconds.
const RATCHET_SECS: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
struct Thread {
    free_at: f64,
    busy: bool,
}

/// A rival.
#[derive(Debug)]
pub(crate) struct Rival {
    rule: Rule,
    /// By table.
    threads: Vec<Vec<Thread>>,
    rows: Vec<f64>,
    /// Identities closed until.
    closed: Vec<f64>,
    next_user: usize,
    next_tag: u64,
    flying: HashMap<u64, Flight>,
    /// The ratchet: threads allowed, when the next one starts, whether it may still grow, whether
    /// something went well since the last 429.
    allowed: usize,
    grow_at: f64,
    grows: bool,
    well: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    table: usize,
    thread: usize,
    user: usize,
    rows: u32,
    cargo: Cargo,
    sent: f64,
}

impl Rival {
    pub(crate) fn new(rule: Rule, world: &World) -> Self {
        let tables = world.tables.len();
        let counters = if world.shared { 1 } else { world.servers_at(0.0) as usize };
        let threads = |table: usize| {
            let all = match rule {
                Rule::Guidance => return world.tables[table].guidance.1 as usize,
                Rule::Hint => 5 * world.users.len() * counters,
                Rule::Naive => 52,
                Rule::Ratchet => return RATCHET_THREADS,
                Rule::Fixed(_, threads) => threads as usize,
            };
            (all / tables).max(1)
        };
        let rows = |table: usize| match rule {
            Rule::Guidance => f64::from(world.tables[table].guidance.0),
            Rule::Hint | Rule::Naive => 100.0,
            Rule::Ratchet => 10.0,
            Rule::Fixed(rows, _) => f64::from(rows),
        };
        let idle = Thread { free_at: 0.0, busy: false };
        Self {
            rule,
            threads: (0..tables).map(|t| vec![idle; threads(t)]).collect(),
            rows: (0..tables).map(rows).collect(),
            closed: vec![0.0; world.users.len()],
            next_user: 0,
            next_tag: 0,
            flying: HashMap::new(),
            allowed: 1,
            grow_at: 1.0,
            grows: true,
            well: false,
        }
    }

    /// The next identity that may send, or when there will be one.
    fn user(&mut self, now: f64) -> Result<usize, f64> {
        for _ in 0..self.closed.len() {
            let user = self.next_user;
            self.next_user = (user + 1) % self.closed.len();
            if self.closed[user] <= now {
                return Ok(user);
            }
        }
        Err(self.closed.iter().copied().fold(f64::INFINITY, f64::min))
    }
}

impl Decider for Rival {
    fn begin(&mut self, server: &mut Server) {
        self.grow_at = server.now + 1.0;
    }

    fn turn(&mut self, now: f64) {
        if self.rule == Rule::Ratchet && self.grows && now >= self.grow_at {
            self.allowed = (self.allowed + 1).min(RATCHET_THREADS);
            self.grow_at = now + 1.0;
        }
    }

    fn rows(&mut self, table: usize, _: f64) -> u32 {
        self.rows[table].round() as u32
    }

    fn admit(&mut self, table: usize, rows: u32, cargo: Cargo, now: f64) -> Word {
        let most = if self.rule == Rule::Ratchet { self.allowed } else { usize::MAX };
        let mut first = f64::INFINITY;
        let mut free = None;
        for (place, thread) in self.threads[table].iter().enumerate().take(most) {
            if thread.busy {
                continue;
            }
            if thread.free_at <= now {
                free = Some(place);
                break;
            }
            first = first.min(thread.free_at);
        }
        let Some(thread) = free else { return Word::Wait(first) };
        let user = match self.user(now) {
            Ok(user) => user,
            Err(until) => return Word::Wait(until),
        };
        self.threads[table][thread].busy = true;
        self.next_tag += 1;
        let tag = self.next_tag;
        self.flying.insert(tag, Flight { table, thread, user, rows, cargo, sent: now });
        Word::Go { user, server: None, tag }
    }

    fn landed(&mut self, answer: &Answer, now: f64) {
        let Some(flight) = self.flying.remove(&answer.tag) else { return };
        let thread = &mut self.threads[flight.table][flight.thread];
        thread.busy = false;
        let ratchet = self.rule == Rule::Ratchet;
        if let End::Throttled(_, wait) = answer.end {
            if self.rule == Rule::Hint {
                self.closed[flight.user] = self.closed[flight.user].max(now + wait);
            } else {
                thread.free_at = now + wait;
            }
            if ratchet && self.well {
                self.grows = false;
                self.well = false;
                self.allowed = (self.allowed - 1).max(1);
            }
            return;
        }
        self.well = true;
        if ratchet && answer.end == End::Done && flight.cargo == Cargo::Bulk {
            let factor = RATCHET_SECS / (now - flight.sent).max(1e-3);
            let rows = f64::from(flight.rows) * factor.clamp(0.5, 2.0);
            self.rows[flight.table] = rows.clamp(1.0, 100.0);
        }
    }
}
