//! A Dataverse as far as its speed goes, in virtual time: requests share a processor and slow each
//! other, windows fill, limits refuse. Source of every law: `adaptive-control.md` §2, §6.

use crate::counter::Counter;
use crate::world::{Answer, Cargo, End, Headers, WINDOW, World, at};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Longest a request may run, seconds.
const HARD_LIMIT: f64 = 120.0;

/// A request as it leaves the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Number the answer will carry.
    pub(crate) tag: u64,
    /// User it goes through.
    pub(crate) user: usize,
    /// Server its cookie names.
    pub(crate) server: Option<u32>,
    /// Table, its rows, and whether one of them is bad.
    pub(crate) table: usize,
    pub(crate) rows: u32,
    pub(crate) bad: bool,
    /// What it carries.
    pub(crate) cargo: Cargo,
}

impl Request {
    /// An empty one.
    pub(crate) fn ping(tag: u64, user: usize) -> Self {
        Self { tag, user, server: None, table: 0, rows: 0, bad: false, cargo: Cargo::Ping }
    }
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

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrives(Request),
    HardLimit { tag: u64 },
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
pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) now: f64,
    rng: SmallRng,
    due: BinaryHeap<Due>,
    order: u64,
    running: HashMap<u64, Running>,
    /// Per table: its clock, requests running, finishing points.
    clocks: Vec<(f64, f64, BinaryHeap<Finish>)>,
    rows_running: f64,
    counters: HashMap<(usize, u32), Counter>,
    pub(crate) throttles: u64,
    pub(crate) requests: u64,
    pub(crate) timeouts: u64,
    /// Execution seconds by table and by user.
    pub(crate) busy: Vec<f64>,
    pub(crate) busy_user: Vec<f64>,
    last_servers: u32,
}

impl Server {
    pub(crate) fn new(world: World, seed: u64) -> Self {
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
            world,
        };
        if server.world.foreign.is_some() {
            server.push(0.0, Event::Foreign);
        }
        server
    }

    fn push(&mut self, at: f64, event: Event) {
        self.order += 1;
        self.due.push(Due { at, order: self.order, event });
    }

    /// A request leaves the client.
    pub(crate) fn send(&mut self, request: Request) {
        self.push(self.now + self.world.latency, Event::Arrives(request));
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
    pub(crate) fn next(&mut self, until: f64) -> Option<Answer> {
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
                Event::Arrives(request) => self.arrive(request),
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
        if servers > self.last_servers {
            // Those that come are new ones, with empty windows.
            let (last, shared) = (self.last_servers, self.world.shared);
            self.counters.retain(|(_, server), _| shared || *server < last);
        }
        self.last_servers = servers;
    }

    fn counter_key(&self, user: usize, server: u32) -> (usize, u32) {
        (user, if self.world.shared { 0 } else { server })
    }

    fn arrive(&mut self, request: Request) {
        let Request { tag, user, table, bad, cargo, .. } = request;
        let rows = f64::from(request.rows);
        let alive = self.last_servers;
        let server = request
            .server
            .filter(|s| *s < alive)
            .unwrap_or_else(|| self.rng.random_range(0..alive));
        let now = self.now;
        self.requests += 1;
        let spread: f64 = self.rng.random();
        let key = self.counter_key(user, server);
        let counter = self.counters.entry(key).or_default();
        if let Some((limit, wait)) = counter.refuses(&self.world, user, now, spread) {
            self.throttles += 1;
            self.answer(tag, user, server, End::Throttled(limit, wait));
            return;
        }
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
            server: self.world.tokens.then_some(server),
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
