//! A Dataverse as far as its speed goes, in virtual time: requests share a processor and slow each
//! other, windows fill, limits refuse. Source of every law: `adaptive-control.md` §2, §6.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, VecDeque};

pub const WINDOW: f64 = 300.0;
const HARD_LIMIT: f64 = 120.0;

/// Uncontended seconds of a request, and how requests of one table slow each other.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub a: f64,
    pub b: f64,
    pub d: f64,
    pub sigma: f64,
    pub kappa: f64,
}

impl Class {
    pub fn secs(&self, n: f64) -> f64 {
        self.a + self.b * n + self.d * n * n
    }
}

pub const SIMPLE: Class = Class { a: 0.10, b: 0.006, d: 1e-6, sigma: 0.0, kappa: 0.0 };
pub const MODERATE: Class = Class { a: 0.15, b: 0.020, d: 4e-6, sigma: 0.0, kappa: 0.0 };
pub const OOB: Class = Class { a: 0.30, b: 0.060, d: 2e-5, sigma: 0.0, kappa: 0.0 };
pub const COMPLEX: Class = Class { a: 0.40, b: 0.25, d: 1e-3, sigma: 0.0, kappa: 0.0 };

/// One table to load.
#[derive(Clone, Debug)]
pub struct TableSpec {
    pub class: Class,
    /// Rows; `None` never ends.
    pub rows: Option<u64>,
    pub bad: f64,
    pub hazard: f64,
    pub weight: f64,
    /// (from second, factor) on durations of this table.
    pub drift: Vec<(f64, f64)>,
    /// Cost of a row in `$batch` over a bulk row.
    pub batch_ratio: f64,
    /// Guidance of seed 004: batch × threads.
    pub guidance: (u32, u32),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Headers {
    None,
    Fresh,
    /// Shown as they were at the last refresh, this many seconds apart.
    Stale(f64),
}

/// One environment and what happens to it.
#[derive(Clone, Debug)]
pub struct World {
    pub name: &'static str,
    pub tables: Vec<TableSpec>,
    pub servers: Vec<(f64, u32)>,
    /// Execution-seconds limit of each user.
    pub users: Vec<f64>,
    pub requests_limit: f64,
    pub concurrent: usize,
    /// One counter a user over all servers.
    pub shared: bool,
    pub tokens: bool,
    pub headers: Headers,
    pub enforcement_lag: f64,
    pub lenient: bool,
    pub latency: f64,
    pub noise: f64,
    pub sigma: f64,
    /// (from second, κ).
    pub kappa: Vec<(f64, f64)>,
    /// Slow-down per row in flight.
    pub lock: f64,
    /// Share of every limit that somebody else spends, from, until.
    pub foreign: Option<(f64, f64, f64)>,
    /// Hint of the environment, as the service would give it.
    pub hint: u32,
}

pub fn at(steps: &[(f64, f64)], now: f64) -> f64 {
    steps.iter().rev().find(|(from, _)| *from <= now).map_or(1.0, |(_, v)| *v)
}

impl World {
    pub fn servers_at(&self, now: f64) -> u32 {
        self.servers.iter().rev().find(|(from, _)| *from <= now).map_or(1, |(_, v)| *v)
    }
    pub fn f(&self, now: f64, c: f64) -> f64 {
        1.0 + self.sigma * (c - 1.0) + at(&self.kappa, now) * c * (c - 1.0)
    }
}

/// What a request is made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cargo {
    Bulk,
    Apart,
    Ping,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Limit {
    Time,
    Requests,
    Concurrency,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum End {
    Done,
    Refused,
    Passing,
    TimedOut,
    Throttled(Limit, f64),
}

/// An answer as it reaches the client.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub tag: u64,
    pub end: End,
    pub server: Option<u32>,
    pub time_left: Option<f64>,
    pub requests_left: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    tag: u64,
    user: usize,
    server: u32,
    table: usize,
    rows: f64,
    began: f64,
    end: End,
}

#[derive(Default, Debug)]
struct Sum {
    entries: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Sum {
    fn add(&mut self, now: f64, amount: f64) {
        self.entries.push_back((now, amount));
        self.sum += amount;
    }
    fn at(&mut self, now: f64) -> f64 {
        while self.entries.front().is_some_and(|(at, _)| now - at >= WINDOW) {
            let (_, amount) = self.entries.pop_front().expect("looked");
            self.sum -= amount;
        }
        self.sum
    }
    /// The sum as known `lag` seconds late.
    fn lagged(&mut self, now: f64, lag: f64) -> f64 {
        let mut sum = self.at(now);
        for (at, amount) in self.entries.iter().rev() {
            if now - at >= lag {
                break;
            }
            sum -= amount;
        }
        sum
    }
    fn falls_below(&self, target: f64) -> f64 {
        let mut sum = self.sum;
        for (at, amount) in &self.entries {
            sum -= amount;
            if sum < target {
                return at + WINDOW;
            }
        }
        self.entries.back().map_or(0.0, |(at, _)| at + WINDOW)
    }
}

#[derive(Default, Debug)]
struct Counter {
    time: Sum,
    requests: Sum,
    in_flight: usize,
    locked: Option<(f64, Limit)>,
    offences: f64,
    last_offence: f64,
    shown: Option<(f64, f64, f64)>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives {
        tag: u64,
        user: usize,
        server: Option<u32>,
        table: usize,
        rows: f64,
        bad: bool,
        cargo: Cargo,
    },
    HardLimit {
        tag: u64,
    },
    Answers(Answer),
    Foreign,
}

#[derive(Debug)]
struct Due {
    at: f64,
    order: u64,
    event: Event,
}
impl PartialEq for Due {
    fn eq(&self, o: &Self) -> bool {
        self.cmp(o) == Ordering::Equal
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Due {
    fn cmp(&self, o: &Self) -> Ordering {
        o.at.total_cmp(&self.at).then(o.order.cmp(&self.order))
    }
}

/// Finishing point on a table's own clock.
#[derive(Debug, PartialEq)]
struct Finish(f64, u64);
impl Eq for Finish {}
impl PartialOrd for Finish {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Finish {
    fn cmp(&self, o: &Self) -> Ordering {
        o.0.total_cmp(&self.0).then(o.1.cmp(&self.1))
    }
}

/// The service.
pub struct Server {
    pub world: World,
    pub now: f64,
    rng: SmallRng,
    due: BinaryHeap<Due>,
    order: u64,
    running: HashMap<u64, Running>,
    /// Per table: its clock, requests running, finishing points.
    clocks: Vec<(f64, f64, BinaryHeap<Finish>)>,
    rows_running: f64,
    counters: HashMap<(usize, u32), Counter>,
    pub throttles: u64,
    pub requests: u64,
    pub timeouts: u64,
    /// Execution seconds by table and by user.
    pub busy: Vec<f64>,
    pub busy_user: Vec<f64>,
    last_servers: u32,
    /// First number of the servers that are up: a change brings new ones.
    base: u32,
}

impl Server {
    pub fn new(world: World, seed: u64) -> Self {
        let mut server = Self {
            now: 0.0,
            rng: SmallRng::seed_from_u64(seed),
            due: BinaryHeap::new(),
            order: 0,
            running: HashMap::new(),
            clocks: world.tables.iter().map(|_| (0.0, 0.0, BinaryHeap::new())).collect(),
            rows_running: 0.0,
            counters: HashMap::new(),
            throttles: 0,
            requests: 0,
            timeouts: 0,
            busy: vec![0.0; world.tables.len()],
            busy_user: vec![0.0; world.users.len()],
            last_servers: world.servers_at(0.0),
            base: 0,
            world,
        };
        if server.world.foreign.is_some() {
            server.push(0.0, Event::Foreign);
        }
        server
    }

    pub fn chance(&mut self) -> f64 {
        self.rng.random()
    }

    fn push(&mut self, at: f64, event: Event) {
        self.order += 1;
        self.due.push(Due { at, order: self.order, event });
    }

    /// A request leaves the client.
    pub fn send(
        &mut self,
        tag: u64,
        user: usize,
        server: Option<u32>,
        table: usize,
        rows: u32,
        bad: bool,
        cargo: Cargo,
    ) {
        let at = self.now + self.world.latency;
        let rows = f64::from(rows);
        self.push(at, Event::Arrives { tag, user, server, table, rows, bad, cargo });
    }

    fn slow(&self, table: usize) -> f64 {
        let c: f64 = self.clocks.iter().map(|(_, n, _)| n).sum();
        let class = &self.world.tables[table].class;
        let ct = self.clocks[table].1.max(1.0);
        let own = 1.0 + class.sigma * (ct - 1.0) + class.kappa * ct * (ct - 1.0);
        let rows = 1.0 + self.world.lock * self.rows_running;
        self.world.f(self.now, c.max(1.0)) * own * rows
    }

    /// Runs to the next answer, at most to `until`.
    pub fn next(&mut self, until: f64) -> Option<Answer> {
        loop {
            let mut finish: Option<(f64, usize)> = None;
            for table in 0..self.clocks.len() {
                let slow = self.slow(table);
                let (clock, _, heap) = &self.clocks[table];
                if let Some(first) = heap.peek() {
                    let at = self.now + ((first.0 - clock) * slow).max(0.0);
                    if finish.is_none_or(|(least, _)| at < least) {
                        finish = Some((at, table));
                    }
                }
            }
            let due = self.due.peek().map_or(f64::INFINITY, |d| d.at);
            let done = finish.map_or(f64::INFINITY, |(at, _)| at);
            if due.min(done) > until {
                self.pass(until);
                return None;
            }
            if done <= due {
                let (at, table) = finish.expect("finite");
                self.pass(at);
                let Some(Finish(_, tag)) = self.clocks[table].2.pop() else { continue };
                if self.running.contains_key(&tag) {
                    self.finish(tag, None);
                }
                continue;
            }
            let event = self.due.pop().expect("peeked");
            self.pass(event.at);
            match event.event {
                Event::Answers(answer) => return Some(answer),
                Event::HardLimit { tag } => {
                    if self.running.contains_key(&tag) {
                        self.timeouts += 1;
                        self.finish(tag, Some(End::TimedOut));
                    }
                }
                Event::Foreign => self.foreign(),
                Event::Arrives { tag, user, server, table, rows, bad, cargo } => {
                    self.arrive(tag, user, server, table, rows, bad, cargo);
                }
            }
        }
    }

    fn pass(&mut self, to: f64) {
        let passed = (to - self.now).max(0.0);
        for table in 0..self.clocks.len() {
            let slow = self.slow(table);
            self.clocks[table].0 += passed / slow;
        }
        self.now = self.now.max(to);
        let servers = self.world.servers_at(self.now);
        if servers != self.last_servers {
            if servers < self.last_servers {
                // The first ones stay.
            } else if self.last_servers < servers {
                // Those that come are new ones, with empty windows.
                let (base, last) = (self.base, self.last_servers);
                self.counters.retain(|(_, s), _| self.world.shared || *s < base + last);
            }
            self.last_servers = servers;
        }
    }

    fn counter_key(&self, user: usize, server: u32) -> (usize, u32) {
        (user, if self.world.shared { 0 } else { server })
    }

    fn arrive(
        &mut self,
        tag: u64,
        user: usize,
        server: Option<u32>,
        table: usize,
        rows: f64,
        bad: bool,
        cargo: Cargo,
    ) {
        let alive = self.last_servers;
        let server =
            server.filter(|s| *s < alive).unwrap_or_else(|| self.rng.random_range(0..alive));
        let now = self.now;
        self.requests += 1;
        if let Some(refusal) = self.limits(user, server) {
            self.throttles += 1;
            self.answer(tag, user, server, End::Throttled(refusal.0, refusal.1));
            return;
        }
        let key = self.counter_key(user, server);
        let counter = self.counters.entry(key).or_default();
        counter.requests.add(now, 1.0);
        if cargo == Cargo::Ping {
            counter.time.add(now, 0.002);
            self.answer(tag, user, server, End::Done);
            return;
        }
        counter.in_flight += 1;
        let spec = self.world.tables[table].clone();
        let c: f64 = self.clocks.iter().map(|(_, n, _)| n).sum::<f64>() + 1.0;
        let mut work = match cargo {
            Cargo::Apart => spec.class.a + spec.batch_ratio * spec.class.b * rows,
            _ => spec.class.secs(rows),
        };
        work *= at(&spec.drift, now) * self.noise();
        let mut end = End::Done;
        if bad && cargo == Cargo::Bulk {
            end = End::Refused;
            work *= 0.7;
        }
        let hazard = spec.hazard * (rows / 100.0).powf(1.5) * (c / 20.0).max(0.2);
        if hazard > 0.0 && cargo == Cargo::Bulk && self.rng.random::<f64>() < 1.0 - (-hazard).exp()
        {
            end = End::Passing;
            work *= 0.3 + 0.7 * self.rng.random::<f64>();
        }
        self.running.insert(tag, Running { tag, user, server, table, rows, began: now, end });
        self.clocks[table].1 += 1.0;
        self.rows_running += rows;
        let point = self.clocks[table].0 + work;
        self.clocks[table].2.push(Finish(point, tag));
        self.push(now + HARD_LIMIT, Event::HardLimit { tag });
    }

    fn noise(&mut self) -> f64 {
        let s = self.world.noise;
        if s == 0.0 {
            return 1.0;
        }
        let (u, v): (f64, f64) = (self.rng.random(), self.rng.random());
        let normal = (-2.0 * (1.0 - u).max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        (s * normal - s * s / 2.0).exp()
    }

    /// Refuses, or not.
    fn limits(&mut self, user: usize, server: u32) -> Option<(Limit, f64)> {
        let key = self.counter_key(user, server);
        let (now, lag) = (self.now, self.world.enforcement_lag);
        let time_limit = self.world.users[user];
        let (requests_limit, lenient) = (self.world.requests_limit, self.world.lenient);
        let concurrent = self.world.concurrent;
        let spread: f64 = self.rng.random();
        let counter = self.counters.entry(key).or_default();
        if let Some((until, limit)) = counter.locked {
            if now < until {
                return Some((limit, until - now));
            }
            counter.locked = None;
        }
        if counter.in_flight >= concurrent {
            return Some((Limit::Concurrency, 1.0 + 9.0 * spread));
        }
        let checks = [(Limit::Time, time_limit), (Limit::Requests, requests_limit)];
        for (limit, most) in checks {
            let sum = if limit == Limit::Time { &mut counter.time } else { &mut counter.requests };
            let value = sum.lagged(now, lag);
            if value < most {
                continue;
            }
            let over = sum.at(now) - most;
            let target = if lenient { most } else { most - over.min(0.5 * most) };
            let mut until = sum.falls_below(target);
            if now - counter.last_offence > WINDOW {
                counter.offences = 0.0;
            }
            if !lenient {
                until += 5.0 * counter.offences;
            }
            counter.offences += 1.0;
            counter.last_offence = now;
            let wait = (until - now).clamp(1.0, WINDOW);
            counter.locked = Some((now + wait, limit));
            return Some((limit, wait));
        }
        None
    }

    fn finish(&mut self, tag: u64, forced: Option<End>) {
        let Some(run) = self.running.remove(&tag) else { return };
        let now = self.now;
        let busy = now - run.began;
        self.clocks[run.table].1 -= 1.0;
        self.rows_running -= run.rows;
        if self.running.is_empty() {
            self.rows_running = 0.0;
        }
        self.busy[run.table] += busy;
        self.busy_user[run.user] += busy;
        let key = self.counter_key(run.user, run.server);
        let counter = self.counters.entry(key).or_default();
        counter.in_flight = counter.in_flight.saturating_sub(1);
        counter.time.add(now, busy);
        self.answer(run.tag, run.user, run.server, forced.unwrap_or(run.end));
    }

    fn answer(&mut self, tag: u64, user: usize, server: u32, end: End) {
        let key = self.counter_key(user, server);
        let (now, headers) = (self.now, self.world.headers);
        let (limit, most) = (self.world.users[user], self.world.requests_limit);
        let counter = self.counters.entry(key).or_default();
        let shown = match headers {
            Headers::None => None,
            Headers::Fresh => Some((limit - counter.time.at(now), most - counter.requests.at(now))),
            Headers::Stale(lag) => {
                if counter.shown.is_none_or(|(at, ..)| now - at >= lag) {
                    let time = limit - counter.time.at(now);
                    let requests = most - counter.requests.at(now);
                    counter.shown = Some((now, time, requests));
                }
                counter.shown.map(|(_, time, requests)| (time, requests))
            }
        };
        let shown = shown.filter(|_| !matches!(end, End::Throttled(..)));
        let answer = Answer {
            tag,
            end,
            server: self.world.tokens.then_some(server + self.base),
            time_left: shown.map(|(t, _)| t.max(0.0)),
            requests_left: shown.map(|(_, r)| r.max(0.0)),
        };
        self.push(now + self.world.latency, Event::Answers(answer));
    }

    fn foreign(&mut self) {
        let Some((share, from, until)) = self.world.foreign else { return };
        let now = self.now;
        if now >= from && now < until {
            for user in 0..self.world.users.len() {
                let servers = if self.world.shared { 1 } else { self.last_servers };
                for server in 0..servers {
                    let limit = self.world.users[user];
                    let counter = self.counters.entry((user, server)).or_default();
                    counter.time.add(now, share * limit / WINDOW);
                    counter.requests.add(now, 1.0);
                }
            }
        }
        self.push(now + 1.0, Event::Foreign);
    }
}
