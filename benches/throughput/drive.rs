//! A loader's main loop in virtual time: asks its decider, sends, hears, saves the good rows of
//! refused batches. The decider is the real governor or a rival.

use crate::server::{Answer, Cargo, End, Limit, Server, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{HashMap, VecDeque};

/// A batch that has been cut, with its bad rows.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub rows: u32,
    pub bad: u32,
    pub cargo: Cargo,
}

/// What a decider says.
pub enum Word {
    /// Send through this user, to this server, under this tag.
    Go { user: usize, server: Option<u32>, tag: u64 },
    /// Ask again at the time, or when something came back.
    Wait(f64),
}

/// How a refused batch is saved.
pub enum Save {
    Apart,
    Split(u32),
}

pub trait Decider {
    /// Gets to know the environment; may ping.
    fn begin(&mut self, server: &mut Server);
    /// Rows of the next fresh batch.
    fn rows(&mut self, table: usize, now: f64) -> u32;
    fn admit(&mut self, table: usize, rows: u32, cargo: Cargo, now: f64) -> Word;
    fn landed(&mut self, answer: &Answer, now: f64);
    fn settled(&mut self, table: usize, good: u64, bad: u64);
    fn save(&mut self, table: usize, rows: u32) -> Save;
    fn left(&mut self, table: usize, rows: Option<u64>);
    fn wants(&mut self, table: usize, wants: bool);
    /// A search for servers, if it is time: the user to ping through.
    fn search(&mut self, now: f64) -> Option<usize> {
        let _ = now;
        None
    }
    fn found(&mut self, server: Option<u32>, now: f64) {
        let _ = (server, now);
    }
    /// One line about its state, for looking on.
    fn state(&mut self, now: f64) -> String {
        let _ = now;
        String::new()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Rows settled by table.
    pub rows: Vec<u64>,
    /// Rows settled in each 10 s.
    pub pace: Vec<Vec<u64>>,
    pub throttles: u64,
    pub throttles_late: u64,
    pub requests: u64,
    pub requests_late: u64,
    pub timeouts: u64,
    pub busy: Vec<f64>,
    pub busy_user: Vec<f64>,
    pub ended: f64,
    pub decisions: u64,
    /// Hash of every send and answer in order.
    pub log: u64,
}

pub fn run(
    world: &World,
    decider: &mut dyn Decider,
    seed: u64,
    until: f64,
    watch: Option<f64>,
) -> Run {
    let mut server = Server::new(world.clone(), seed);
    let mut rng = SmallRng::seed_from_u64(seed ^ 0xDEAD);
    let tables = world.tables.len();
    decider.begin(&mut server);
    let start = server.now;
    let mut left: Vec<Option<u64>> = world.tables.iter().map(|t| t.rows).collect();
    let mut again: Vec<VecDeque<Piece>> = vec![VecDeque::new(); tables];
    let mut fresh: Vec<Option<Piece>> = vec![None; tables];
    let mut flying: HashMap<u64, (usize, Piece)> = HashMap::new();
    let mut run = Run { rows: vec![0; tables], pace: vec![Vec::new(); tables], ..Run::default() };
    let mut search_tag = u64::MAX;
    let mut searching = None;
    let mut watch_at = 0.0;
    let mut wake = server.now;
    let mut late = (0, 0);
    loop {
        let now = server.now;
        if now - start >= until {
            break;
        }
        if late == (0, 0) && now - start > until / 2.0 {
            late = (server.throttles, server.requests);
        }
        if let Some(every) = watch
            && now >= watch_at
        {
            println!(
                "{:7.1} flying {:3} rows {:?} {}",
                now,
                flying.len(),
                run.rows,
                decider.state(now)
            );
            watch_at = now + every;
        }
        if let Some(user) = decider.search(now) {
            search_tag -= 1;
            searching = Some(search_tag);
            server.send(search_tag, user, None, 0, 0, false, Cargo::Ping);
        }
        // Everybody who may, sends.
        wake = f64::INFINITY;
        loop {
            let mut sent = false;
            for table in 0..tables {
                let wants = !again[table].is_empty()
                    || fresh[table].is_some()
                    || left[table].is_none_or(|l| l > 0);
                decider.wants(table, wants);
                if !wants {
                    continue;
                }
                decider.left(
                    table,
                    left[table]
                        .map(|l| l + again[table].iter().map(|p| u64::from(p.rows)).sum::<u64>()),
                );
                let piece = match again[table].front() {
                    Some(piece) => *piece,
                    None => *fresh[table].get_or_insert_with(|| {
                        let most = left[table].map_or(u32::MAX, |l| l.min(1 << 30) as u32);
                        let rows = decider.rows(table, now).clamp(1, most);
                        if let Some(l) = &mut left[table] {
                            *l -= u64::from(rows);
                        }
                        let q = world.tables[table].bad;
                        let bad = if q > 0.0 {
                            (0..rows).filter(|_| rng.random::<f64>() < q).count() as u32
                        } else {
                            0
                        };
                        Piece { rows, bad, cargo: Cargo::Bulk }
                    }),
                };
                run.decisions += 1;
                match decider.admit(table, piece.rows, piece.cargo, now) {
                    Word::Go { user, server: to, tag } => {
                        if again[table].pop_front().is_none() {
                            fresh[table] = None;
                        }
                        server.send(tag, user, to, table, piece.rows, piece.bad > 0, piece.cargo);
                        run.log = mix(run.log, tag, now.to_bits() ^ u64::from(piece.rows));
                        flying.insert(tag, (table, piece));
                        sent = true;
                    }
                    Word::Wait(until) => wake = wake.min(until),
                }
            }
            if !sent {
                break;
            }
        }
        let done = flying.is_empty()
            && left.iter().all(|l| *l == Some(0))
            && again.iter().all(VecDeque::is_empty)
            && fresh.iter().all(Option::is_none);
        if done {
            break;
        }
        let Some(answer) = server.next(wake.min(now + 1.0).min(start + until).max(now + 1e-4))
        else {
            continue;
        };
        let now = server.now;
        if searching == Some(answer.tag) {
            searching = None;
            decider.found(answer.server.filter(|_| answer.end == End::Done), now);
            continue;
        }
        let Some((table, piece)) = flying.remove(&answer.tag) else { continue };
        run.log = mix(run.log, answer.tag, now.to_bits());
        decider.landed(&answer, now);
        match answer.end {
            End::Done => {
                let bad = u64::from(piece.bad);
                let good = u64::from(piece.rows) - bad;
                decider.settled(table, good, bad);
                run.rows[table] += good + bad;
                let slot = ((now - start) / 10.0) as usize;
                if run.pace[table].len() <= slot {
                    run.pace[table].resize(slot + 1, 0);
                }
                run.pace[table][slot] += good + bad;
            }
            End::Refused => match decider.save(table, piece.rows) {
                Save::Apart => again[table].push_front(Piece { cargo: Cargo::Apart, ..piece }),
                Save::Split(parts) => split(piece, parts, &mut again[table], &mut rng),
            },
            End::Passing | End::TimedOut | End::Throttled(..) => again[table].push_front(piece),
        }
    }
    let _ = wake;
    run.throttles = server.throttles;
    run.requests = server.requests;
    run.throttles_late = server.throttles - late.0;
    run.requests_late = server.requests - late.1;
    run.timeouts = server.timeouts;
    run.busy = server.busy.clone();
    run.busy_user = server.busy_user.clone();
    run.ended = server.now - start;
    run
}

fn mix(log: u64, a: u64, b: u64) -> u64 {
    (log ^ a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.rotate_left(17))
        .wrapping_mul(0xD6E8_FEB8_6659_FD93)
        .rotate_left(23)
}

/// Cuts a piece; its bad rows fall where they fall.
fn split(piece: Piece, parts: u32, queue: &mut VecDeque<Piece>, rng: &mut SmallRng) {
    let mut rows = piece.rows;
    let mut bad = piece.bad;
    let mut pieces = Vec::new();
    for part in 0..parts.min(piece.rows) {
        let size = rows / (parts.min(piece.rows) - part);
        let mut mine = 0;
        for i in 0..size {
            if rng.random_range(0..rows - i) < bad {
                bad -= 1;
                mine += 1;
            }
        }
        rows -= size;
        pieces.push(Piece { rows: size, bad: mine, cargo: Cargo::Bulk });
    }
    for piece in pieces.into_iter().rev() {
        queue.push_front(piece);
    }
}

/// The kind of limit, for deciders that tell.
pub fn limit_of(end: End) -> Option<(Limit, f64)> {
    match end {
        End::Throttled(limit, wait) => Some((limit, wait)),
        _ => None,
    }
}
