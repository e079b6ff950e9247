//! Pure: the web servers behind the address, how their number changes, and which one a request
//! reaches.
//!
//! Source: `adaptive-control.md` §2.1, §6 (servers come and go); `dataverse-web-api.md` §12 row 6.

use super::settings::{ProtectionSettings, Routing, ServersChange};
use std::collections::BTreeMap;
use std::time::Duration;

/// The servers there are. A number names a server for good: one that goes does not come back, one
/// that comes is new and has a number nobody had.
#[derive(Debug)]
pub struct Nodes {
    routing: Routing,
    cookies_hold: bool,
    /// Changes to come, the latest first.
    changes: Vec<ServersChange>,
    alive: Vec<u32>,
    next: u32,
    turn: u32,
    busy: BTreeMap<u32, u32>,
}

impl Nodes {
    /// The servers of the start.
    #[must_use]
    pub fn new(rules: &ProtectionSettings, changes: &[ServersChange]) -> Self {
        let mut changes = changes.to_vec();
        changes.sort_by(|a, b| b.after_secs.total_cmp(&a.after_secs));
        Self {
            routing: rules.routing,
            cookies_hold: rules.cookies_hold,
            changes,
            alive: (0..rules.servers).collect(),
            next: rules.servers,
            turn: 0,
            busy: BTreeMap::new(),
        }
    }

    /// The servers there are.
    #[must_use]
    pub fn alive(&self) -> &[u32] {
        &self.alive
    }

    /// Lets the changes up to `since_start` happen; says whether any did.
    pub fn advance(&mut self, since_start: Duration) -> bool {
        let mut changed = false;
        let now = since_start.as_secs_f64();
        while let Some(change) = self.changes.pop_if(|change| change.after_secs <= now) {
            let (have, want) = (self.alive.len(), change.servers as usize);
            self.alive.truncate(want);
            for _ in have..want {
                self.alive.push(self.next);
                self.next += 1;
            }
            changed = true;
        }
        changed
    }

    /// The server a request reaches: the one its cookie names, if cookies hold and it is still
    /// there, else as the routing says; `chance` in `0..1` picks among equals.
    pub fn choose(&mut self, cookie: Option<u32>, chance: f64) -> u32 {
        if let Some(server) = cookie.filter(|c| self.cookies_hold && self.alive.contains(c)) {
            return server;
        }
        match self.routing {
            Routing::RoundRobin => {
                self.turn = self.turn.wrapping_add(1);
                let turn = self.turn.wrapping_sub(1) as usize;
                self.alive[turn % self.alive.len()]
            }
            Routing::Random => any(&self.alive, chance),
            Routing::LeastConnections => {
                let busy = |server: &u32| self.busy.get(server).copied().unwrap_or(0);
                let least = self.alive.iter().map(busy).min().unwrap_or(0);
                let idle: Vec<u32> =
                    self.alive.iter().copied().filter(|server| busy(server) == least).collect();
                any(&idle, chance)
            }
        }
    }

    /// A request has reached `server`.
    pub fn begin(&mut self, server: u32) {
        *self.busy.entry(server).or_default() += 1;
    }

    /// A request has left `server`.
    pub fn end(&mut self, server: u32) {
        if let Some(count) = self.busy.get_mut(&server) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.busy.remove(&server);
            }
        }
    }
}

/// One of `servers`, of which there is at least one.
fn any(servers: &[u32], chance: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small number"
    )]
    let index = (servers.len() as f64 * chance) as usize;
    servers[index.min(servers.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(servers: u32, routing: Routing, changes: &[(f64, u32)]) -> Nodes {
        let rules = ProtectionSettings { servers, routing, ..ProtectionSettings::default() };
        let changes: Vec<_> = changes
            .iter()
            .map(|(after_secs, servers)| ServersChange {
                after_secs: *after_secs,
                servers: *servers,
            })
            .collect();
        Nodes::new(&rules, &changes)
    }

    #[test]
    fn servers_go_and_others_come() {
        // The order in the file does not matter.
        let mut nodes = nodes(4, Routing::RoundRobin, &[(20.0, 6), (10.0, 2)]);
        assert!(!nodes.advance(Duration::from_secs(9)));
        assert_eq!(nodes.alive(), [0, 1, 2, 3]);
        assert!(nodes.advance(Duration::from_secs(10)));
        assert_eq!(nodes.alive(), [0, 1]);
        assert!(nodes.advance(Duration::from_secs(21)));
        assert_eq!(nodes.alive(), [0, 1, 4, 5, 6, 7]);
        assert!(!nodes.advance(Duration::from_secs(99)));
    }

    #[test]
    fn a_cookie_holds_as_long_as_its_server() {
        let mut nodes = nodes(4, Routing::RoundRobin, &[(10.0, 2)]);
        assert_eq!([nodes.choose(Some(3), 0.0), nodes.choose(Some(3), 0.0)], [3, 3]);
        nodes.advance(Duration::from_secs(10));
        assert!(nodes.choose(Some(3), 0.0) < 2, "its server is gone");
        assert_eq!(nodes.choose(Some(1), 0.0), 1);
        nodes.cookies_hold = false;
        let reached = [0; 4].map(|_| nodes.choose(Some(1), 0.0));
        assert!(reached.contains(&0) && reached.contains(&1), "{reached:?}");
    }

    #[test]
    fn requests_go_round_or_anywhere_or_to_the_least_busy() {
        let mut round = nodes(3, Routing::RoundRobin, &[]);
        assert_eq!([0; 4].map(|_| round.choose(None, 0.9)), [0, 1, 2, 0]);
        let mut random = nodes(3, Routing::Random, &[]);
        assert_eq!([0.0, 0.34, 0.67, 0.999_999].map(|c| random.choose(None, c)), [0, 1, 2, 2]);
        let mut least = nodes(3, Routing::LeastConnections, &[]);
        for server in [0, 0, 1, 2, 2] {
            least.begin(server);
        }
        assert_eq!(least.choose(None, 0.9), 1);
        least.begin(1);
        assert_eq!(least.choose(None, 0.0), 0, "all have two");
        least.end(2);
        assert_eq!(least.choose(None, 0.0), 2);
    }
}
