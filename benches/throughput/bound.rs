//! The analytic bound: rows a second with the best batch size and the best concurrency known.

use crate::world::{TableSpec, WINDOW, World, at};

/// Expected seconds to settle `n` rows sent as one message, the best rescue taken.
fn settle(spec: &TableSpec, scale: f64, n: f64, c: f64) -> f64 {
    let t = spec.class.secs(n) * scale;
    let p = 1.0 - (-(spec.hazard * (n / 100.0).powf(1.5) * (c / 20.0).max(0.2))).exp();
    let t = t * (1.0 + 0.65 * p / (1.0 - p).max(0.1));
    let any = any(spec.bad, n);
    if any < 1e-9 {
        return t;
    }
    (1.0 - any) * t + any * (0.7 * t + rescue(spec, scale, n, 3))
}

fn any(bad: f64, n: f64) -> f64 {
    1.0 - (1.0 - bad).powf(n)
}

fn rescue(spec: &TableSpec, scale: f64, n: f64, depth: u32) -> f64 {
    let mut best = (spec.class.a + spec.batch_ratio * spec.class.b * n) * scale;
    if depth == 0 || n < 4.0 {
        return best;
    }
    for k in [2.0, 3.0, 5.0, 8.0] {
        let piece = n / k;
        if piece < 2.0 {
            continue;
        }
        let t = spec.class.secs(piece) * scale;
        let bad = (any(spec.bad, piece) / any(spec.bad, n).max(1e-12)).clamp(1.0 / k, 1.0);
        let secs = k * ((1.0 - bad) * t + bad * (0.7 * t + rescue(spec, scale, piece, depth - 1)));
        best = best.min(secs);
    }
    best
}

/// Rows a second of one table alone at `now`, and the best (n, C).
pub(crate) fn rate(world: &World, table: usize, now: f64) -> (f64, f64, f64) {
    let spec = &world.tables[table];
    let scale = at(&spec.drift, now);
    let counters = if world.shared { 1.0 } else { f64::from(world.servers_at(now)) };
    let taken = world
        .foreign
        .filter(|(_, from, until)| (*from..*until).contains(&now))
        .map_or(0.0, |(share, ..)| share);
    let budget: f64 =
        world.users.iter().map(|limit| counters * limit * (1.0 - taken) / WINDOW).sum();
    let lanes = counters * world.users.len() as f64;
    let most = budget.min(lanes * world.concurrent as f64);
    let request_rate = lanes * world.requests_limit / WINDOW;
    let mut best = (0.0, 1.0, 1.0);
    let mut n: f64 = 1.0;
    while n <= 1000.0 {
        let whole = n.round();
        let mut c = 1.0_f64.min(most);
        loop {
            let class = &spec.class;
            let own = 1.0 + class.sigma * (c - 1.0) + class.kappa * c * (c - 1.0);
            let rows = 1.0 + world.lock * whole * c;
            let slow = world.f(now, c.max(1.0)) * own.max(1.0) * rows;
            let secs = settle(spec, scale, whole, c) * slow;
            let requests = c / (spec.class.secs(whole) * scale * slow);
            let mut rows_a_second = c * whole / secs;
            if requests > request_rate {
                rows_a_second *= request_rate / requests;
            }
            // Nobody can use requests that run into the hard limit.
            if spec.class.secs(whole) * scale * slow < 100.0 && rows_a_second > best.0 {
                best = (rows_a_second, whole, c);
            }
            if c >= most {
                break;
            }
            c = (c * 1.05).min(most);
        }
        n = (n * 1.06).max(n + 1.0);
    }
    best
}

/// What could be loaded, from second 0 on.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// By table, (from second, rows a second).
    pieces: Vec<Vec<(f64, f64)>>,
}

impl Bound {
    /// Knows every change of `world`.
    pub(crate) fn new(world: &World) -> Self {
        let mut marks: Vec<f64> = vec![0.0];
        marks.extend(world.tables.iter().flat_map(|t| &t.drift).map(|(t, _)| *t));
        marks.extend(world.servers.iter().map(|(t, _)| *t));
        marks.extend(world.kappa.iter().map(|(t, _)| *t));
        if let Some((_, from, until)) = world.foreign {
            marks.extend([from, until]);
        }
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let rates = |table| marks.iter().map(|t| (*t, rate(world, table, *t).0)).collect();
        Self { pieces: (0..world.tables.len()).map(rates).collect() }
    }

    /// Rows that `table` alone could load from one second to another.
    pub(crate) fn rows(&self, table: usize, from: f64, until: f64) -> f64 {
        let pieces = &self.pieces[table];
        let ends = pieces.iter().skip(1).map(|(t, _)| *t).chain([f64::INFINITY]);
        pieces
            .iter()
            .zip(ends)
            .map(|((begins, rate), ends)| rate * (ends.min(until) - begins.max(from)).max(0.0))
            .sum()
    }
}

/// Seconds that somebody who knows everything would need for the world's only table, and whether the
/// job fits into what the windows give at first. The best pair (n, C) of a grid: where its execution
/// seconds fit into the windows, contention alone limits it; where they do not it is paced, and what
/// the first window would give at once is left out of account, so that it can be beaten by a little.
pub(crate) fn perfect(world: &World, rows: f64) -> (f64, bool) {
    let spec = &world.tables[0];
    let counters = if world.shared { 1.0 } else { f64::from(world.servers_at(0.0)) };
    let credit: f64 = counters * world.users.iter().sum::<f64>();
    let most = counters * (world.users.len() * world.concurrent) as f64;
    let mut best = f64::INFINITY;
    let mut n: f64 = 1.0;
    while n <= 1000.0 {
        let mut c: f64 = 1.0;
        while c <= most {
            let requests = (rows / n).ceil();
            let at_once = c.min(requests);
            let class = &spec.class;
            let own = class.sigma * (at_once - 1.0) + class.kappa * at_once * (at_once - 1.0);
            let slow = world.f(0.0, at_once) * (1.0 + own) * (1.0 + world.lock * n * at_once);
            let busy = rows / n * settle(spec, 1.0, n, at_once) * slow;
            let one = spec.class.secs(n) * slow + 2.0 * world.latency;
            if busy <= 0.99 * credit && one < 100.0 {
                // Where they do not all start together the last ends half a request late.
                let tail = if at_once < requests { 0.5 * one } else { 0.0 };
                best = best.min((busy / at_once).max(one) + tail);
            }
            c = (c * 1.1).max(c + 1.0);
        }
        n = (n * 1.1).max(n + 1.0).round();
    }
    if best.is_finite() { (best, true) } else { (rows / rate(world, 0, 0.0).0, false) }
}
