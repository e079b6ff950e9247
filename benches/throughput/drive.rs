//! A loader's main loop in virtual time: asks its decider, sends, hears, saves the good rows of
//! refused batches. The decider is the real governor or a rival.

use crate::run::Run;
use crate::server::{Request, Server};
use crate::world::{Answer, Cargo, End, World};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{HashMap, VecDeque};

/// A batch that has been cut, with its bad rows.
#[derive(Clone, Copy, Debug)]
struct Piece {
    rows: u32,
    bad: u32,
    cargo: Cargo,
}

/// What a decider says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// Send through this user, to this server, under this tag.
    Go { user: usize, server: Option<u32>, tag: u64 },
    /// Ask again at the time, or when something came back.
    Wait(f64),
}

/// How a refused batch is saved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Save {
    /// Single operations in one `$batch`.
    Apart,
    /// This many smaller messages.
    Split(u32),
}

/// What is measured.
pub(crate) trait Decider {
    /// Gets to know the environment; may ping.
    fn begin(&mut self, server: &mut Server);
    /// Time went on; people may want something else now.
    fn turn(&mut self, now: f64) {
        let _ = now;
    }
    /// Rows of the next fresh batch.
    fn rows(&mut self, table: usize, now: f64) -> u32;
    /// May a request go now?
    fn admit(&mut self, table: usize, rows: u32, cargo: Cargo, now: f64) -> Word;
    /// An answer came.
    fn landed(&mut self, answer: &Answer, now: f64);
    /// Rows came to their end.
    fn settled(&mut self, table: usize, good: u64, bad: u64) {
        let _ = (table, good, bad);
    }
    /// How to save the good rows of a refused batch.
    fn save(&mut self, table: usize, rows: u32) -> Save {
        let _ = (table, rows);
        Save::Apart
    }
    /// Rows of a table that are left, when known.
    fn left(&mut self, table: usize, rows: Option<u64>) {
        let _ = (table, rows);
    }
    /// Whether a table has something to send.
    fn wants(&mut self, table: usize, wants: bool) {
        let _ = (table, wants);
    }
    /// A search for servers, if it is time: the user to ping through.
    fn search(&mut self, now: f64) -> Option<usize> {
        let _ = now;
        None
    }
    /// What a search brought.
    fn found(&mut self, server: Option<u32>, now: f64) {
        let _ = (server, now);
    }
    /// One line about its state, for looking on.
    fn state(&mut self, now: f64) -> String {
        let _ = now;
        String::new()
    }
}

/// The loader.
struct Loader<'a> {
    world: &'a World,
    decider: &'a mut dyn Decider,
    server: Server,
    rng: SmallRng,
    left: Vec<Option<u64>>,
    again: Vec<VecDeque<Piece>>,
    fresh: Vec<Option<Piece>>,
    flying: HashMap<u64, (usize, Piece)>,
    at_once: Vec<usize>,
    run: Run,
    start: f64,
}

/// Loads for `until` seconds, or until everything is loaded. `watch`: seconds between lines that
/// show the decider's state.
pub(crate) fn run(
    world: &World,
    decider: &mut dyn Decider,
    seed: u64,
    until: f64,
    watch: Option<f64>,
) -> Run {
    let mut server = Server::new(world.clone(), seed);
    decider.begin(&mut server);
    let tables = world.tables.len();
    let mut loader = Loader {
        start: server.now,
        rng: SmallRng::seed_from_u64(seed ^ 0xDEAD),
        left: world.tables.iter().map(|t| t.rows).collect(),
        again: vec![VecDeque::new(); tables],
        fresh: vec![None; tables],
        flying: HashMap::new(),
        at_once: vec![0; tables],
        run: Run::new(tables, world.users.len()),
        world,
        decider,
        server,
    };
    loader.work(until, watch);
    let Loader { mut run, server, start, .. } = loader;
    run.throttles = server.throttles;
    run.requests = server.requests;
    run.timeouts = server.timeouts;
    run.ended = server.now - start;
    run.mark(run.ended + 10.0, &server.busy, &server.busy_user);
    run
}

impl Loader<'_> {
    fn work(&mut self, until: f64, watch: Option<f64>) {
        let mut search_tag = u64::MAX;
        let mut searching = None;
        let mut watch_at = 0.0;
        let mut late = false;
        loop {
            let now = self.server.now;
            if now - self.start >= until {
                break;
            }
            if !late && now - self.start > until / 2.0 {
                late = true;
                self.run.early = (self.server.throttles, self.server.requests);
            }
            self.run.mark(now - self.start, &self.server.busy, &self.server.busy_user);
            if let Some(every) = watch
                && now >= watch_at
            {
                self.show(now);
                watch_at = now + every;
            }
            self.decider.turn(now);
            if let Some(user) = self.decider.search(now) {
                search_tag -= 1;
                searching = Some(search_tag);
                self.server.send(Request::ping(search_tag, user));
            }
            let wake = self.send_all(now);
            if self.is_done() {
                break;
            }
            let wake = wake.min(now + 1.0).min(self.start + until).max(now + 1e-4);
            let Some(answer) = self.server.next(wake) else { continue };
            if searching == Some(answer.tag) {
                searching = None;
                let found = answer.server.filter(|_| answer.end == End::Done);
                self.decider.found(found, self.server.now);
                continue;
            }
            self.hear(&answer);
        }
    }

    #[expect(clippy::print_stdout, reason = "somebody asked to look on")]
    fn show(&mut self, now: f64) {
        let (flying, rows) = (self.flying.len(), &self.run.rows);
        println!("{now:7.1} flying {flying:3} {rows:?} {}", self.decider.state(now));
    }

    fn is_done(&self) -> bool {
        self.flying.is_empty()
            && self.left.iter().all(|l| *l == Some(0))
            && self.again.iter().all(VecDeque::is_empty)
            && self.fresh.iter().all(Option::is_none)
    }

    /// Everybody who may, sends; returns when to ask again.
    fn send_all(&mut self, now: f64) -> f64 {
        loop {
            let mut wake = f64::INFINITY;
            let mut sent = false;
            for table in 0..self.left.len() {
                let wants = !self.again[table].is_empty()
                    || self.fresh[table].is_some()
                    || self.left[table].is_none_or(|l| l > 0);
                self.decider.wants(table, wants);
                if !wants {
                    continue;
                }
                let again: u64 = self.again[table].iter().map(|p| u64::from(p.rows)).sum();
                self.decider.left(table, self.left[table].map(|l| l + again));
                let piece = match self.again[table].front() {
                    Some(piece) => *piece,
                    None => self.cut(table, now),
                };
                match self.decider.admit(table, piece.rows, piece.cargo, now) {
                    Word::Go { user, server, tag } => {
                        self.send(table, piece, (user, server, tag), now);
                        sent = true;
                    }
                    Word::Wait(until) => wake = wake.min(until),
                }
            }
            if !sent {
                return wake;
            }
        }
    }

    /// The batch that goes next, cut now if there is none yet.
    fn cut(&mut self, table: usize, now: f64) -> Piece {
        if let Some(piece) = self.fresh[table] {
            return piece;
        }
        let most = self.left[table].map_or(u32::MAX, |l| l.min(1 << 30) as u32);
        let rows = self.decider.rows(table, now).clamp(1, most);
        if let Some(left) = &mut self.left[table] {
            *left -= u64::from(rows);
        }
        let q = self.world.tables[table].bad;
        let bad = if q > 0.0 {
            (0..rows).filter(|_| self.rng.random::<f64>() < q).count() as u32
        } else {
            0
        };
        let piece = Piece { rows, bad, cargo: Cargo::Bulk };
        self.fresh[table] = Some(piece);
        piece
    }

    fn send(
        &mut self,
        table: usize,
        piece: Piece,
        (user, server, tag): (usize, Option<u32>, u64),
        now: f64,
    ) {
        if self.again[table].pop_front().is_none() {
            self.fresh[table] = None;
            self.run.cut(table, piece.rows, now - self.start);
        }
        let Piece { rows, bad, cargo } = piece;
        self.server.send(Request { tag, user, server, table, rows, bad: bad > 0, cargo });
        self.run.note(tag, now.to_bits() ^ u64::from(rows) ^ (user as u64) << 56);
        self.flying.insert(tag, (table, piece));
        self.at_once[table] += 1;
        self.run.sent(table, user, self.at_once[table], now - self.start);
    }

    fn hear(&mut self, answer: &Answer) {
        let now = self.server.now;
        let Some((table, piece)) = self.flying.remove(&answer.tag) else { return };
        self.at_once[table] -= 1;
        self.run.note(answer.tag, now.to_bits());
        self.decider.landed(answer, now);
        match answer.end {
            End::Done => {
                let bad = u64::from(piece.bad);
                let good = u64::from(piece.rows) - bad;
                self.decider.settled(table, good, bad);
                self.run.settled(table, good + bad, now - self.start);
            }
            End::Refused => match self.decider.save(table, piece.rows) {
                Save::Apart => self.again[table].push_front(Piece { cargo: Cargo::Apart, ..piece }),
                Save::Split(parts) => self.split(table, piece, parts),
            },
            // Too long for the service: nobody sends it again as it was.
            End::TimedOut if piece.rows > 1 => self.split(table, piece, 2),
            End::Passing | End::TimedOut | End::Throttled(..) => {
                self.again[table].push_front(piece);
            }
        }
    }

    /// Cuts a piece; its bad rows fall where they fall.
    fn split(&mut self, table: usize, piece: Piece, parts: u32) {
        let mut rows = piece.rows;
        let mut bad = piece.bad;
        let parts = parts.min(piece.rows);
        let mut pieces = Vec::new();
        for part in 0..parts {
            let size = rows / (parts - part);
            let mut mine = 0;
            for i in 0..size {
                if self.rng.random_range(0..rows - i) < bad {
                    bad -= 1;
                    mine += 1;
                }
            }
            rows -= size;
            pieces.push(Piece { rows: size, bad: mine, cargo: Cargo::Bulk });
        }
        for piece in pieces.into_iter().rev() {
            self.again[table].push_front(piece);
        }
    }
}
