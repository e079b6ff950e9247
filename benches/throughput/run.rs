//! What came of one run, and the figures drawn from it.

use crate::bound::Bound;
use crate::world::World;

/// Seconds of a slot.
pub(crate) const SLOT: f64 = 10.0;

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Rows settled by table.
    pub(crate) rows: Vec<u64>,
    /// By table, rows settled in each slot.
    pub(crate) pace: Vec<Vec<u64>>,
    /// Answers with 429, and all requests.
    pub(crate) throttles: u64,
    pub(crate) requests: u64,
    /// The same in the first half.
    pub(crate) early: (u64, u64),
    /// Requests that met the service's time limit.
    pub(crate) timeouts: u64,
    /// At the beginning of each slot: execution seconds so far by table, by user.
    pub(crate) marks: Vec<(Vec<f64>, Vec<f64>)>,
    /// By user, requests sent in each second.
    pub(crate) sends: Vec<Vec<u32>>,
    /// By table, most requests at once, and least and most rows of a fresh batch.
    pub(crate) at_once: Vec<usize>,
    pub(crate) sizes: Vec<(u32, u32)>,
    /// By table, when a batch was cut last.
    pub(crate) cut_at: Vec<f64>,
    /// Seconds it took.
    pub(crate) ended: f64,
    /// Hash of every send and answer in order.
    pub(crate) log: u64,
}

impl Run {
    pub(crate) fn new(tables: usize, users: usize) -> Self {
        Self {
            rows: vec![0; tables],
            pace: vec![Vec::new(); tables],
            throttles: 0,
            requests: 0,
            early: (0, 0),
            timeouts: 0,
            marks: Vec::new(),
            sends: vec![Vec::new(); users],
            at_once: vec![0; tables],
            sizes: vec![(u32::MAX, 0); tables],
            cut_at: vec![0.0; tables],
            ended: 0.0,
            log: 0,
        }
    }

    pub(crate) fn note(&mut self, a: u64, b: u64) {
        self.log = (self.log ^ a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.rotate_left(17))
            .wrapping_mul(0xD6E8_FEB8_6659_FD93)
            .rotate_left(23);
    }

    /// Marks the slots that began until `passed`.
    pub(crate) fn mark(&mut self, passed: f64, busy: &[f64], busy_user: &[f64]) {
        while self.marks.len() as f64 * SLOT <= passed {
            self.marks.push((busy.to_vec(), busy_user.to_vec()));
        }
    }

    pub(crate) fn cut(&mut self, table: usize, rows: u32, passed: f64) {
        let (least, most) = self.sizes[table];
        self.sizes[table] = (least.min(rows), most.max(rows));
        self.cut_at[table] = passed;
    }

    pub(crate) fn sent(&mut self, table: usize, user: usize, at_once: usize, passed: f64) {
        self.at_once[table] = self.at_once[table].max(at_once);
        *slot(&mut self.sends[user], passed) += 1;
    }

    pub(crate) fn settled(&mut self, table: usize, rows: u64, passed: f64) {
        self.rows[table] += rows;
        *slot(&mut self.pace[table], passed / SLOT) += rows;
    }

    /// Rows loaded over what could be, from one second to another: the sum over the tables, each
    /// measured against having everything for itself.
    pub(crate) fn score(&self, bound: &Bound, from: f64, until: f64) -> f64 {
        (0..self.pace.len())
            .map(|table| {
                let rows: u64 = (slots(from)..slots(until))
                    .map(|s| self.pace[table].get(s).copied().unwrap_or(0))
                    .sum();
                rows as f64 / bound.rows(table, from, until).max(1e-9)
            })
            .sum()
    }

    /// End of the first mean over `span` seconds that begins at `from` or later and reaches 90 % of
    /// the bound, as seconds after `from`.
    pub(crate) fn reaches(&self, bound: &Bound, from: f64, span: f64) -> Option<f64> {
        let (mut at, until) = (from + span, self.ended);
        while at <= until {
            if self.score(bound, at - span, at) >= 0.9 {
                return Some(at - from);
            }
            at += SLOT;
        }
        None
    }

    /// 429 per 1,000 requests: all, and those of the second half.
    pub(crate) fn throttled(&self) -> (f64, f64) {
        let (throttles, requests) = self.early;
        let share = |throttles: u64, requests: u64| 1000.0 * throttles as f64 / requests as f64;
        (
            share(self.throttles, self.requests.max(1)),
            share(self.throttles - throttles, (self.requests - requests).max(1)),
        )
    }

    /// Execution seconds by user between two seconds.
    pub(crate) fn busy_users(&self, from: f64, until: f64) -> Vec<f64> {
        let at = |secs: f64| &self.marks[slots(secs).min(self.marks.len() - 1)].1;
        at(until).iter().zip(at(from)).map(|(b, a)| b - a).collect()
    }

    /// Execution seconds by table between two seconds.
    pub(crate) fn busy_tables(&self, from: f64, until: f64) -> Vec<f64> {
        let at = |secs: f64| &self.marks[slots(secs).min(self.marks.len() - 1)].0;
        at(until).iter().zip(at(from)).map(|(b, a)| b - a).collect()
    }

    /// Jain's index over the users' execution seconds relative to their limits: 1 is fair.
    pub(crate) fn fair_users(&self, world: &World) -> f64 {
        let busy = self.busy_users(0.0, self.ended);
        jain(&busy.iter().zip(&world.users).map(|(b, limit)| b / limit).collect::<Vec<_>>())
    }

    /// By how much a table's share of the execution seconds is off its weight at most, as a part
    /// of the share.
    pub(crate) fn off_weights(&self, world: &World) -> f64 {
        let busy = self.busy_tables(0.0, self.ended);
        let all: f64 = busy.iter().sum();
        let weights: f64 = world.tables.iter().map(|t| t.weight).sum();
        let off = |(busy, weight): (&f64, f64)| (busy / all / (weight / weights) - 1.0).abs();
        busy.iter().zip(world.tables.iter().map(|t| t.weight)).map(off).fold(0.0, f64::max)
    }
}

fn slots(secs: f64) -> usize {
    (secs / SLOT).round() as usize
}

fn slot<T: Default + Clone>(list: &mut Vec<T>, place: f64) -> &mut T {
    let place = place as usize;
    if list.len() <= place {
        list.resize(place + 1, T::default());
    }
    &mut list[place]
}

/// Jain's fairness index.
pub(crate) fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|s| s * s).sum();
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Geometric mean.
pub(crate) fn geometric(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.max(1e-9).ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

/// The least.
pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The most.
pub(crate) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
