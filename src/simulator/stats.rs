//! Pure: what the simulator has seen, for `/_sim/stats` and for tests that judge a client.

use super::faults::FaultCount;
use super::limits::Facet;
use crate::units::MonoTime;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Requests that reach the server this soon after a refusal left it were on their way already.
const RACING: Duration = Duration::from_millis(50);

/// Counts of one operation.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct OperationCount {
    /// Requests, or operations inside batches.
    pub requests: u64,
    /// Rows written or read.
    pub rows: u64,
    /// Answered with an error.
    pub refused: u64,
}

/// 429 answers by kind.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ThrottleCount {
    /// Number of requests.
    pub requests: u64,
    /// Combined execution time.
    pub execution: u64,
    /// Requests at once.
    pub concurrency: u64,
    /// Scripted.
    pub scripted: u64,
}

/// Counts of one application user.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct UserCount {
    /// Requests.
    pub requests: u64,
    /// Rows written or read.
    pub rows: u64,
    /// 429 answers.
    pub throttled: ThrottleCount,
    /// Requests received inside a wait the user had been told.
    pub inside_retry_after: u64,
    /// Of these, requests that were probably under way when the refusal was sent.
    pub inside_retry_after_racing: u64,
    /// Most requests at once.
    pub in_flight_max: u32,
    /// Tokens handed out.
    pub tokens: u64,
}

/// Counts of one application user at one web server.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct LaneCount {
    /// Application user.
    pub user: String,
    /// Web server.
    pub server: u32,
    /// Requests.
    pub requests: u64,
    /// Execution time booked, simulated seconds.
    pub execution_secs: f64,
    /// 429 answers.
    pub throttled: ThrottleCount,
}

/// Connections.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ConnectionCount {
    /// Accepted since the start.
    pub accepted: u64,
    /// Open now.
    pub open: u64,
    /// Most open at once.
    pub open_max: u64,
}

/// Everything.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct Stats {
    /// Real seconds since the start.
    pub uptime_secs: f64,
    /// Simulated seconds since the start.
    pub virtual_secs: f64,
    /// Requests to the data endpoint with a valid token.
    pub requests: u64,
    /// Rows written or read.
    pub rows: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Execution time booked, simulated seconds.
    pub execution_secs: f64,
    /// Requests by operation.
    pub operations: BTreeMap<String, OperationCount>,
    /// Operations inside batches.
    pub batch_operations: BTreeMap<String, OperationCount>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// 429 answers.
    pub throttled: ThrottleCount,
    /// Requests received inside a wait their user had been told, racing ones included.
    pub inside_retry_after: u64,
    /// Of these, requests that were probably under way when the refusal was sent.
    pub inside_retry_after_racing: u64,
    /// Requests received inside a wait told by the very counter they count in: of their user, and
    /// of their web server where servers count apart. Racing ones included.
    pub inside_counter_retry_after: u64,
    /// Of these, requests that were probably under way when the refusal was sent.
    pub inside_counter_retry_after_racing: u64,
    /// Requests refused because a limit overrun earlier still locked their counter.
    pub while_locked: u64,
    /// Requests that ended in a deadlock of the service-time model.
    pub deadlocks: u64,
    /// Requests that were rolled back at the server's own time limit.
    pub timeouts: u64,
    /// Requests being served now.
    pub in_flight: u32,
    /// Most requests at once.
    pub in_flight_max: u32,
    /// Connections.
    pub connections: ConnectionCount,
    /// Tokens handed out.
    pub tokens: u64,
    /// Token requests refused.
    pub tokens_refused: u64,
    /// Requests without a valid token.
    pub unauthorized: u64,
    /// Requests that returned an affinity cookie.
    pub affinity_cookies_returned: u64,
    /// Requests by web server; a server that goes keeps its place.
    pub servers: Vec<u64>,
    /// By application user and web server.
    pub lanes: Vec<LaneCount>,
    /// By application user.
    pub users: BTreeMap<String, UserCount>,
    /// Scripted faults.
    pub faults: Vec<ScriptedCount>,
}

/// Counters of one rule of the fault script.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct ScriptedCount {
    /// Name of the rule.
    pub name: String,
    /// Requests or operations matched.
    pub matched: u64,
    /// Strikes.
    pub fired: u64,
}

impl From<FaultCount> for ScriptedCount {
    fn from(count: FaultCount) -> Self {
        Self { name: count.name, matched: count.matched, fired: count.fired }
    }
}

/// One line of the request log.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LoggedRequest {
    /// Real milliseconds since the start, at arrival.
    pub at_ms: u64,
    /// Simulated seconds since the start, at arrival.
    pub at_virtual_secs: f64,
    /// Real milliseconds until the answer.
    pub took_ms: u64,
    /// Application user.
    pub user: String,
    /// Web server.
    pub server: u32,
    /// HTTP method.
    pub method: String,
    /// Operation.
    pub operation: String,
    /// Entity set.
    pub table: String,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// HTTP status; 0 when the connection was cut instead.
    pub status: u16,
    /// Rows written or read.
    pub rows: u64,
    /// Whether the user had been told to stay away at that time.
    pub inside_retry_after: bool,
}

/// A request that has arrived and is not yet answered.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub at: MonoTime,
    /// Index of the application user.
    pub user: usize,
    /// Whether the user had been told to stay away.
    pub inside_retry_after: bool,
}

/// Where a request counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the application user.
    pub user: usize,
    /// Web server.
    pub server: u32,
    /// Counter of that user: the server, or one for all.
    pub counter: u32,
}

/// A 429 answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Refused {
    /// Where.
    pub place: Place,
    /// Which limit; `None`: the script.
    pub facet: Option<Facet>,
    /// How long the user was told to wait, if at all, in real time.
    pub wait: Option<Duration>,
    /// Whether an earlier refusal still held.
    pub while_locked: bool,
}

/// A wait somebody was told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    since: MonoTime,
    until: MonoTime,
}

impl Told {
    fn wait(&mut self, now: MonoTime, wait: Duration) {
        if self.until <= now {
            self.since = now;
        }
        self.until = self.until.max(now + wait);
    }

    /// Whether `now` is inside, and whether it is so early that the request was under way.
    fn inside(&self, now: MonoTime) -> (bool, bool) {
        let inside = now < self.until;
        (inside, inside && now.saturating_since(self.since) < RACING)
    }
}

/// Keeps the counts.
#[derive(Debug)]
pub struct Counters {
    stats: Stats,
    names: Vec<String>,
    told: Vec<Told>,
    in_flight: Vec<u32>,
    told_by_counter: HashMap<(usize, u32), Told>,
    lanes: BTreeMap<(usize, u32), LaneCount>,
    log: VecDeque<LoggedRequest>,
    log_max: usize,
}

impl Counters {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(users: Vec<String>, servers: u32, log_max: usize) -> Self {
        let stats = Stats {
            servers: vec![0; servers as usize],
            users: users.iter().map(|n| (n.clone(), UserCount::default())).collect(),
            ..Stats::default()
        };
        Self {
            stats,
            told: vec![Told::default(); users.len()],
            in_flight: vec![0; users.len()],
            told_by_counter: HashMap::new(),
            lanes: BTreeMap::new(),
            names: users,
            log: VecDeque::new(),
            log_max,
        }
    }

    /// A request has arrived; `cookie`: with an affinity cookie.
    pub fn arrive(&mut self, now: MonoTime, place: Place, cookie: bool) -> Arrival {
        let Place { user, server, counter } = place;
        let stats = &mut self.stats;
        stats.requests += 1;
        stats.affinity_cookies_returned += u64::from(cookie);
        stats.in_flight += 1;
        stats.in_flight_max = stats.in_flight_max.max(stats.in_flight);
        let at = server as usize;
        if stats.servers.len() <= at {
            stats.servers.resize(at + 1, 0);
        }
        stats.servers[at] += 1;
        self.in_flight[user] += 1;
        let (inside, racing) = self.told[user].inside(now);
        let count = stats.users.entry(self.names[user].clone()).or_default();
        count.requests += 1;
        count.in_flight_max = count.in_flight_max.max(self.in_flight[user]);
        count.inside_retry_after += u64::from(inside);
        count.inside_retry_after_racing += u64::from(racing);
        stats.inside_retry_after += u64::from(inside);
        stats.inside_retry_after_racing += u64::from(racing);
        if let Some(told) = self.told_by_counter.get(&(user, counter)) {
            let (inside, racing) = told.inside(now);
            stats.inside_counter_retry_after += u64::from(inside);
            stats.inside_counter_retry_after_racing += u64::from(racing);
        }
        self.lane(user, server).requests += 1;
        Arrival { at: now, user, inside_retry_after: inside }
    }

    fn lane(&mut self, user: usize, server: u32) -> &mut LaneCount {
        let name = &self.names[user];
        self.lanes.entry((user, server)).or_insert_with(|| LaneCount {
            user: name.clone(),
            server,
            ..LaneCount::default()
        })
    }

    /// A request was answered 429.
    pub fn throttle(&mut self, now: MonoTime, refused: Refused) {
        let Refused { place: Place { user, server, counter }, facet, wait, while_locked } = refused;
        let add = |count: &mut ThrottleCount| match facet {
            Some(Facet::Requests) => count.requests += 1,
            Some(Facet::Execution) => count.execution += 1,
            Some(Facet::Concurrency) => count.concurrency += 1,
            None => count.scripted += 1,
        };
        add(&mut self.stats.throttled);
        add(&mut self.stats.users.entry(self.names[user].clone()).or_default().throttled);
        add(&mut self.lane(user, server).throttled);
        self.stats.while_locked += u64::from(while_locked);
        if let Some(wait) = wait {
            self.told[user].wait(now, wait);
            self.told_by_counter.entry((user, counter)).or_default().wait(now, wait);
        }
    }

    /// Execution time was booked.
    pub fn book(&mut self, user: usize, server: u32, busy: Duration) {
        self.stats.execution_secs += busy.as_secs_f64();
        self.lane(user, server).execution_secs += busy.as_secs_f64();
    }

    /// A request ended in a deadlock of the service-time model.
    pub fn deadlock(&mut self) {
        self.stats.deadlocks += 1;
    }

    /// A request was rolled back at the server's own time limit.
    pub fn timeout(&mut self) {
        self.stats.timeouts += 1;
    }

    /// The request is answered (status 0: cut).
    pub fn depart(&mut self, arrival: &Arrival, mut line: LoggedRequest) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        let in_flight = &mut self.in_flight[arrival.user];
        *in_flight = in_flight.saturating_sub(1);
        self.stats.rows += line.rows;
        if line.method != "GET" {
            self.stats.rows_written += line.rows;
        }
        self.stats.users.entry(self.names[arrival.user].clone()).or_default().rows += line.rows;
        count(&mut self.stats.operations, &line.operation, line.rows, line.status);
        *self.stats.statuses.entry(line.status).or_default() += 1;
        if self.log_max > 0 {
            if self.log.len() >= self.log_max {
                self.log.pop_front();
            }
            line.user.clone_from(&self.names[arrival.user]);
            line.inside_retry_after = arrival.inside_retry_after;
            self.log.push_back(line);
        }
    }

    /// An operation inside a batch is answered.
    pub fn batch_operation(&mut self, operation: &str, rows: u64, status: u16) {
        count(&mut self.stats.batch_operations, operation, rows, status);
    }

    /// A token request of `user` is answered; `None`: refused.
    pub fn token(&mut self, user: Option<usize>) {
        match user {
            Some(user) => {
                self.stats.tokens += 1;
                self.stats.users.entry(self.names[user].clone()).or_default().tokens += 1;
            }
            None => self.stats.tokens_refused += 1,
        }
    }

    /// A request without a valid token was answered.
    pub fn unauthorized(&mut self) {
        self.stats.unauthorized += 1;
    }

    /// A connection opens or closes.
    pub fn connection(&mut self, opens: bool) {
        let c = &mut self.stats.connections;
        if opens {
            c.accepted += 1;
            c.open += 1;
            c.open_max = c.open_max.max(c.open);
        } else {
            c.open = c.open.saturating_sub(1);
        }
    }

    /// All counts so far, after `uptime` of real time and `since_start` of simulated time.
    #[must_use]
    pub fn snapshot(
        &self,
        uptime: Duration,
        since_start: Duration,
        faults: Vec<FaultCount>,
    ) -> Stats {
        Stats {
            uptime_secs: uptime.as_secs_f64(),
            virtual_secs: since_start.as_secs_f64(),
            lanes: self.lanes.values().cloned().collect(),
            faults: faults.into_iter().map(Into::into).collect(),
            ..self.stats.clone()
        }
    }

    /// The latest requests, oldest first.
    pub fn log(&self) -> impl Iterator<Item = &LoggedRequest> {
        self.log.iter()
    }
}

fn count(map: &mut BTreeMap<String, OperationCount>, operation: &str, rows: u64, status: u16) {
    if !map.contains_key(operation) {
        map.insert(operation.to_owned(), OperationCount::default());
    }
    if let Some(entry) = map.get_mut(operation) {
        entry.requests += 1;
        entry.rows += rows;
        entry.refused += u64::from(status >= 400);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_millis(ms))
    }

    fn place(user: usize, server: u32) -> Place {
        Place { user, server, counter: server }
    }

    fn refused(place: Place, wait_secs: u64) -> Refused {
        let wait = Some(Duration::from_secs(wait_secs));
        Refused { place, facet: Some(Facet::Execution), wait, while_locked: false }
    }

    fn seen(counters: &Counters) -> Stats {
        counters.snapshot(Duration::ZERO, Duration::ZERO, Vec::new())
    }

    #[test]
    fn requests_inside_a_told_wait_are_counted() {
        let mut c = Counters::new(vec!["a".to_owned(), "b".to_owned()], 1, 0);
        let (a, b) = (place(0, 0), place(1, 0));
        assert!(!c.arrive(at(0), a, false).inside_retry_after);
        c.throttle(at(0), refused(a, 2));
        assert!(c.arrive(at(10), a, false).inside_retry_after, "racing");
        assert!(c.arrive(at(1000), a, false).inside_retry_after);
        assert!(!c.arrive(at(1000), b, false).inside_retry_after, "another user");
        assert!(!c.arrive(at(2000), a, false).inside_retry_after, "the wait is over");
        let s = seen(&c);
        assert_eq!((s.inside_retry_after, s.inside_retry_after_racing), (2, 1));
        assert_eq!(s.users["a"].throttled.execution, 1);
        assert_eq!(s.users["b"].inside_retry_after, 0);
    }

    #[test]
    fn waits_are_held_against_the_counter_that_told_them() {
        let mut c = Counters::new(vec!["a".to_owned()], 2, 0);
        c.throttle(at(0), Refused { while_locked: true, ..refused(place(0, 0), 2) });
        c.arrive(at(100), place(0, 1), false);
        c.arrive(at(100), place(0, 0), false);
        // A server that came later.
        c.arrive(at(100), place(0, 5), false);
        let s = seen(&c);
        assert_eq!((s.inside_retry_after, s.inside_counter_retry_after), (3, 1));
        assert_eq!((s.while_locked, s.inside_counter_retry_after_racing), (1, 0));
        assert_eq!(s.servers, [1, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn execution_time_is_known_by_user_and_server() {
        let mut c = Counters::new(vec!["a".to_owned(), "b".to_owned()], 2, 0);
        for (user, server, secs) in [(0, 1, 2), (1, 1, 3), (0, 1, 4)] {
            c.book(user, server, Duration::from_secs(secs));
        }
        let s = seen(&c);
        let lanes: Vec<_> =
            s.lanes.iter().map(|l| (l.user.as_str(), l.server, l.execution_secs)).collect();
        assert_eq!(lanes, [("a", 1, 6.0), ("b", 1, 3.0)]);
        assert_eq!(s.execution_secs, 9.0);
    }

    #[test]
    fn the_log_keeps_the_latest() {
        let mut c = Counters::new(vec!["a".to_owned()], 1, 2);
        for n in 0..3 {
            let arrival = c.arrive(at(n), place(0, 0), false);
            let line = LoggedRequest {
                at_ms: n,
                at_virtual_secs: 0.0,
                took_ms: 0,
                user: String::new(),
                server: 0,
                method: if n == 2 { "POST" } else { "GET" }.to_owned(),
                operation: "query".to_owned(),
                table: String::new(),
                body_bytes: 0,
                status: 200,
                rows: 5,
                inside_retry_after: false,
            };
            c.depart(&arrival, line);
        }
        assert_eq!(c.log().map(|l| l.at_ms).collect::<Vec<_>>(), [1, 2]);
        let s = seen(&c);
        assert_eq!((s.rows, s.in_flight, s.in_flight_max), (15, 0, 1));
        assert_eq!(s.rows_written, 5);
        assert_eq!(s.operations["query"].requests, 3);
    }
}
