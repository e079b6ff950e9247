//! Pure: what the simulator has seen, for `/_sim/stats` and for tests that judge a client.

use super::faults::FaultCount;
use super::limits::Facet;
use crate::units::MonoTime;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
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
    /// Requests to the data endpoint with a valid token.
    pub requests: u64,
    /// Rows written or read.
    pub rows: u64,
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
    /// Requests by web server.
    pub servers: Vec<u64>,
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

#[derive(Debug, Default)]
struct Told {
    since: MonoTime,
    until: MonoTime,
    in_flight: u32,
}

/// Keeps the counts.
#[derive(Debug)]
pub struct Counters {
    stats: Stats,
    names: Vec<String>,
    told: Vec<Told>,
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
        let told = users.iter().map(|_| Told::default()).collect();
        Self { stats, names: users, told, log: VecDeque::new(), log_max }
    }

    /// A request of `user` has arrived.
    pub fn arrive(&mut self, now: MonoTime, user: usize, server: u32, cookie: bool) -> Arrival {
        self.stats.requests += 1;
        self.stats.affinity_cookies_returned += u64::from(cookie);
        self.stats.in_flight += 1;
        self.stats.in_flight_max = self.stats.in_flight_max.max(self.stats.in_flight);
        if let Some(count) = self.stats.servers.get_mut(server as usize) {
            *count += 1;
        }
        let told = &mut self.told[user];
        told.in_flight += 1;
        let inside = now < told.until;
        let racing = inside && now.saturating_since(told.since) < RACING;
        let count = self.stats.users.entry(self.names[user].clone()).or_default();
        count.requests += 1;
        count.in_flight_max = count.in_flight_max.max(told.in_flight);
        count.inside_retry_after += u64::from(inside);
        count.inside_retry_after_racing += u64::from(racing);
        self.stats.inside_retry_after += u64::from(inside);
        self.stats.inside_retry_after_racing += u64::from(racing);
        Arrival { at: now, user, inside_retry_after: inside }
    }

    /// The user was answered 429: by a limit, or by the script; told to wait, if at all.
    pub fn throttle(
        &mut self,
        now: MonoTime,
        user: usize,
        facet: Option<Facet>,
        wait: Option<Duration>,
    ) {
        let add = |count: &mut ThrottleCount| match facet {
            Some(Facet::Requests) => count.requests += 1,
            Some(Facet::Execution) => count.execution += 1,
            Some(Facet::Concurrency) => count.concurrency += 1,
            None => count.scripted += 1,
        };
        add(&mut self.stats.throttled);
        add(&mut self.stats.users.entry(self.names[user].clone()).or_default().throttled);
        let told = &mut self.told[user];
        if let Some(wait) = wait {
            if told.until <= now {
                told.since = now;
            }
            told.until = told.until.max(now + wait);
        }
    }

    /// The request is answered (status 0: cut).
    pub fn depart(&mut self, arrival: &Arrival, mut line: LoggedRequest) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        let told = &mut self.told[arrival.user];
        told.in_flight = told.in_flight.saturating_sub(1);
        self.stats.rows += line.rows;
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

    /// All counts so far.
    #[must_use]
    pub fn snapshot(&self, uptime: Duration, faults: Vec<FaultCount>) -> Stats {
        Stats {
            uptime_secs: uptime.as_secs_f64(),
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

    #[test]
    fn requests_inside_a_told_wait_are_counted() {
        let mut c = Counters::new(vec!["a".to_owned(), "b".to_owned()], 1, 0);
        assert!(!c.arrive(at(0), 0, 0, false).inside_retry_after);
        c.throttle(at(0), 0, Some(Facet::Execution), Some(Duration::from_secs(2)));
        assert!(c.arrive(at(10), 0, 0, false).inside_retry_after, "racing");
        assert!(c.arrive(at(1000), 0, 0, false).inside_retry_after);
        assert!(!c.arrive(at(1000), 1, 0, false).inside_retry_after, "another user");
        assert!(!c.arrive(at(2000), 0, 0, false).inside_retry_after, "the wait is over");
        let s = c.snapshot(Duration::ZERO, Vec::new());
        assert_eq!((s.inside_retry_after, s.inside_retry_after_racing), (2, 1));
        assert_eq!(s.users["a"].throttled.execution, 1);
        assert_eq!(s.users["b"].inside_retry_after, 0);
    }

    #[test]
    fn the_log_keeps_the_latest() {
        let mut c = Counters::new(vec!["a".to_owned()], 1, 2);
        for n in 0..3 {
            let arrival = c.arrive(at(n), 0, 0, false);
            let line = LoggedRequest {
                at_ms: n,
                took_ms: 0,
                user: String::new(),
                server: 0,
                method: "GET".to_owned(),
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
        let s = c.snapshot(Duration::ZERO, Vec::new());
        assert_eq!((s.rows, s.in_flight, s.in_flight_max), (15, 0, 1));
        assert_eq!(s.operations["query"].requests, 3);
    }
}
