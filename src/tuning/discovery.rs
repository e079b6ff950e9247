//! Pure: what a handful of empty requests tells at the start: how many web servers answer, whether
//! they count apart, how far away they are.
//!
//! Source: `adaptive-control.md` §4.2.

use crate::tuning::view::Scope;

/// Most pings of one discovery.
const PINGS_MAX: usize = 48;
/// Pings after which a service without any signal is left alone.
const PINGS_BLIND: usize = 8;
/// Pings under way at once: few, since somebody else may work with the same identity.
pub const PINGS_AT_ONCE: usize = 4;

/// What one ping brought back.
#[derive(Clone, PartialEq, Debug)]
pub struct Ping {
    /// Web server that answered, numbered by the caller in the order of appearance.
    pub server: Option<u32>,
    /// Requests left by the headers.
    pub requests_remaining: Option<f64>,
    /// Round trip, seconds.
    pub round_trip_secs: f64,
}

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// Where the service counts; unknown when counters stood still or nothing tells.
    pub scope: Scope,
    /// Servers that can be told apart.
    pub servers: u32,
    /// Least round trip, seconds.
    pub latency_secs: f64,
    /// Whether answers carry counters.
    pub headers: bool,
}

/// A discovery under way: pings through one identity, without cookies.
#[derive(Debug, Default)]
pub struct Discovery {
    pings: Vec<Ping>,
    servers: u32,
    since_new: usize,
    failed: usize,
}

impl Discovery {
    /// Whether another ping would tell more.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        let made = self.pings.len() + self.failed;
        if made >= PINGS_MAX || self.failed >= PINGS_BLIND {
            return false;
        }
        if self.servers == 0 {
            return made < PINGS_BLIND;
        }
        self.since_new < 6 * self.servers as usize + 6
    }

    /// One ping is back.
    pub fn note(&mut self, ping: Ping) {
        match ping.server {
            Some(server) if server >= self.servers => {
                self.servers = server + 1;
                self.since_new = 0;
            }
            _ => self.since_new += 1,
        }
        self.pings.push(ping);
    }

    /// One ping did not come back.
    pub fn failed(&mut self) {
        self.failed += 1;
    }

    /// Per server: pings it took, how far its counter fell meanwhile, and values it showed.
    fn by_server(&self) -> Vec<(f64, f64, f64)> {
        (0..self.servers)
            .filter_map(|server| {
                let mine = self.pings.iter().filter(|p| p.server == Some(server));
                let mut seen: Vec<f64> = mine.filter_map(|p| p.requests_remaining).collect();
                let pings = seen.len() as f64;
                seen.sort_by(f64::total_cmp);
                let fell = seen.last()? - seen.first()? + 1.0;
                seen.dedup();
                Some((pings, fell, seen.len() as f64))
            })
            .collect()
    }

    fn scope(&self) -> Scope {
        let servers = self.by_server();
        let sum = |part: fn(&(f64, f64, f64)) -> f64| servers.iter().map(part).sum::<f64>();
        let pings = sum(|s| s.0);
        if self.servers == 1 {
            // One server counts as one counter, whatever it counts by.
            return Scope::Identity;
        }
        if self.servers == 0 || pings < 6.0 {
            return Scope::Unknown;
        }
        if sum(|s| s.2) < 0.7 * pings {
            // Not every ping shows: counters are shown late, and the load itself will tell.
            return Scope::Unknown;
        }
        // A counter of its own falls by the pings of its server, a shared one by those of all.
        let fell = sum(|s| s.1) / pings;
        if fell > f64::from(self.servers).sqrt().min(2.0) { Scope::Identity } else { Scope::Server }
    }

    /// The verdict.
    #[must_use]
    pub fn found(&self) -> Found {
        let latency = self.pings.iter().map(|p| p.round_trip_secs).fold(f64::INFINITY, f64::min);
        Found {
            scope: self.scope(),
            servers: self.servers,
            latency_secs: if latency.is_finite() { latency } else { 0.0 },
            headers: self.pings.iter().any(|p| p.requests_remaining.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discover(servers: u32, counter: impl Fn(usize, u32) -> Option<f64>) -> Found {
        let mut discovery = Discovery::default();
        let mut turn = 0;
        while discovery.wants_more() {
            let server = (turn as u32 * 7 + 3) % servers.max(1);
            // Numbered in the order of appearance.
            let number = (0..turn as u32).map(|t| (t * 7 + 3) % servers.max(1)).fold(
                Vec::new(),
                |mut seen: Vec<u32>, s| {
                    if !seen.contains(&s) {
                        seen.push(s);
                    }
                    seen
                },
            );
            let known = number.iter().position(|s| *s == server).unwrap_or(number.len());
            discovery.note(Ping {
                server: (servers > 0).then_some(known as u32),
                requests_remaining: counter(turn, server),
                round_trip_secs: 0.03,
            });
            turn += 1;
            assert!(turn <= 48);
        }
        discovery.found()
    }

    #[test]
    fn counters_that_fall_with_every_ping_are_one() {
        let found = discover(8, |turn, _| Some(6000.0 - turn as f64));
        assert_eq!((found.scope, found.servers), (Scope::Identity, 8));
    }

    #[test]
    fn counters_that_fall_by_server_are_many() {
        let found = discover(4, |turn, _| Some(6000.0 - (turn / 4) as f64));
        assert_eq!((found.scope, found.servers), (Scope::Server, 4));
    }

    #[test]
    fn counters_that_stand_still_prove_nothing() {
        let found = discover(4, |_, _| Some(6000.0));
        assert_eq!(found.scope, Scope::Unknown);
    }

    #[test]
    fn a_counter_that_jumps_now_and_then_proves_nothing() {
        // One counter, shown late: 48 pings, three values.
        let found = discover(8, |turn, _| Some(6000.0 - (turn / 16 * 16) as f64));
        assert_eq!(found.scope, Scope::Unknown);
    }

    #[test]
    fn a_service_without_signals_is_not_pinged_for_long() {
        let found = discover(0, |_, _| None);
        assert_eq!((found.scope, found.servers, found.headers), (Scope::Unknown, 0, false));
        assert!(found.latency_secs > 0.0);
    }
}
