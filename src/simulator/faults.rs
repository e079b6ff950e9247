//! Pure: scripted faults, the same for the same seed.
//!
//! Each rule counts the requests it matches; chance is drawn from (seed, rule, count), so what one
//! rule does never depends on the others nor on how requests interleave between rules.
//!
//! Source: `delivery-guarantees.md` §15-§16, `dataverse-web-api.md` §1.6, §12.

use super::call::Refusal;
use serde::Deserialize;
use std::time::Duration;

/// SQL error number of a deadlock.
pub const DEADLOCK: u32 = 1205;

/// One rule of the script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Name in statistics.
    #[serde(default)]
    pub name: String,
    /// Which requests it is about; all fields given must hold.
    #[serde(default, rename = "match")]
    pub when: Match,
    /// What happens to them.
    pub action: Action,
}

/// Which requests a rule is about, and how many of them it strikes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// HTTP method.
    pub method: Option<String>,
    /// Operation as statistics name it: `CreateMultiple`, `create`, `query`, `$batch`, `token`.
    /// Token requests match only rules that say `token`.
    pub operation: Option<String>,
    /// Entity set.
    pub table: Option<String>,
    /// Text the path and query hold.
    pub path: Option<String>,
    /// Text the body holds.
    pub body: Option<String>,
    /// Name of the application user.
    pub user: Option<String>,
    /// Only from this simulated second on.
    pub after_secs: Option<f64>,
    /// Only up to this simulated second.
    pub until_secs: Option<f64>,
    /// Only the matching request with this number, from 1.
    pub nth: Option<u64>,
    /// Every so manyth matching request.
    pub every: Option<u64>,
    /// Only the first so many matching requests.
    pub first: Option<u64>,
    /// Share of the matching requests that is struck.
    pub probability: Option<f64>,
    /// Most strikes.
    pub times: Option<u64>,
}

/// What happens.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The connection is cut; nothing is done.
    CutBefore {},
    /// All is done, then the connection is cut.
    CutAfter {},
    /// The connection is cut; all is done some time later.
    CommitLater {
        /// Shortest delay, real milliseconds.
        #[serde(default)]
        delay_ms_min: u64,
        /// Longest delay, real milliseconds.
        #[serde(default = "three_seconds")]
        delay_ms_max: u64,
    },
    /// All is done; part of the answer's body is sent, then the connection is cut.
    HalfBody {
        /// Share of the body that is sent.
        #[serde(default = "half")]
        share: f64,
    },
    /// No answer ever comes.
    Hang {
        /// Whether the request is done all the same.
        #[serde(default)]
        apply: bool,
    },
    /// The answer's body dribbles.
    SlowBody {
        /// Speed.
        bytes_per_sec: u32,
    },
    /// Another answer.
    Status {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, sent as it is: a number or garbage.
        #[serde(default)]
        retry_after: Option<String>,
        /// `Retry-After` as an HTTP date so many seconds ahead.
        #[serde(default)]
        retry_after_date_secs: Option<u32>,
        /// Error code of a JSON body.
        #[serde(default)]
        code: Option<String>,
        /// Message of the body.
        #[serde(default)]
        message: Option<String>,
        /// Whether the body is a gateway's HTML page.
        #[serde(default)]
        html: bool,
        /// Whether the request is done all the same.
        #[serde(default)]
        apply: bool,
    },
    /// A SQL error: 1205 is the deadlock, 3732, 2766 and 2812 the races on a new table.
    SqlError {
        /// SQL error number.
        #[serde(default = "deadlock")]
        number: u32,
    },
    /// A SQL timeout.
    SqlTimeout {
        /// Share of these requests that is done all the same.
        #[serde(default = "half")]
        applied: f64,
    },
    /// A plug-in refuses; use with `match.body`.
    Poison {
        /// Its words.
        #[serde(default = "poison_text")]
        message: String,
    },
    /// The answer of `CreateMultiple` holds other ids than those of the rows.
    WrongIds {},
    /// The operation takes longer.
    Delay {
        /// By so much, real milliseconds.
        ms: u64,
    },
}

fn three_seconds() -> u64 {
    3000
}
fn half() -> f64 {
    0.5
}
fn deadlock() -> u32 {
    DEADLOCK
}
fn poison_text() -> String {
    "A plug-in refused this row.".to_owned()
}

/// Where in the way of a request a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The request as a whole, before it is admitted.
    Request,
    /// One operation: a plain request or a part of a batch.
    Operation,
}

impl Action {
    /// Where it strikes.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::SqlError { .. }
            | Self::SqlTimeout { .. }
            | Self::Poison { .. }
            | Self::WrongIds {} => Stage::Operation,
            Self::CutBefore {}
            | Self::CutAfter {}
            | Self::CommitLater { .. }
            | Self::HalfBody { .. }
            | Self::Hang { .. }
            | Self::SlowBody { .. }
            | Self::Status { .. }
            | Self::Delay { .. } => Stage::Request,
        }
    }
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// HTTP method, upper case.
    pub method: &'a str,
    /// Operation.
    pub operation: &'a str,
    /// Entity set, or empty.
    pub table: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Body.
    pub body: &'a [u8],
    /// Application user, or empty.
    pub user: &'a str,
    /// Virtual time since the start.
    pub since_start: Duration,
}

/// A rule that struck.
#[derive(Clone, PartialEq, Debug)]
pub struct Strike {
    /// What happens.
    pub action: Action,
    /// A draw from `0..1` for the action's own choices.
    pub chance: f64,
    /// The rule's `match.body`.
    pub text: String,
}

/// How often a rule matched and struck.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultCount {
    /// Name of the rule.
    pub name: String,
    /// Requests or operations matched.
    pub matched: u64,
    /// Strikes.
    pub fired: u64,
}

impl FaultRule {
    /// Name, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// Checks the rules the types do not hold.
    ///
    /// # Errors
    /// Says what is asked for.
    pub fn check(&self) -> Result<(), &'static str> {
        let share = |p: f64| (0.0..=1.0).contains(&p);
        if !self.when.probability.is_none_or(share) {
            return Err("match.probability between 0 and 1");
        }
        if self.when.every == Some(0) || self.when.nth == Some(0) {
            return Err("match.every and match.nth from 1");
        }
        match self.action {
            Action::HalfBody { share: p } | Action::SqlTimeout { applied: p } if !share(p) => {
                Err("a share between 0 and 1")
            }
            Action::CommitLater { delay_ms_min, delay_ms_max } if delay_ms_min > delay_ms_max => {
                Err("delay_ms_min not above delay_ms_max")
            }
            Action::SlowBody { bytes_per_sec: 0 } => Err("bytes_per_sec from 1"),
            Action::Status { status, .. } if !(200..=599).contains(&status) => {
                Err("a status between 200 and 599")
            }
            _ => Ok(()),
        }
    }
}

/// The script with its counters.
#[derive(Debug)]
pub struct FaultScript {
    seed: u64,
    rules: Vec<(FaultRule, FaultCount)>,
}

impl FaultScript {
    /// A script.
    #[must_use]
    pub fn new(seed: u64, rules: Vec<FaultRule>) -> Self {
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(n, rule)| {
                let name =
                    if rule.name.is_empty() { format!("rule-{n}") } else { rule.name.clone() };
                (rule, FaultCount { name, matched: 0, fired: 0 })
            })
            .collect();
        Self { seed, rules }
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first rule of `stage` that strikes.
    pub fn strike(&mut self, stage: Stage, facts: &Facts<'_>) -> Option<Strike> {
        for (index, (rule, count)) in self.rules.iter_mut().enumerate() {
            if rule.action.stage() != stage || !rule.when.holds(facts) {
                continue;
            }
            count.matched += 1;
            let draw = |salt: u64| chance(self.seed, index as u64, count.matched, salt);
            if rule.when.strikes(count.matched, count.fired, draw(0)) {
                count.fired += 1;
                let text = rule.when.body.clone().unwrap_or_default();
                return Some(Strike { action: rule.action.clone(), chance: draw(1), text });
            }
        }
        None
    }

    /// Counters, in the order of the script.
    #[must_use]
    pub fn counts(&self) -> Vec<FaultCount> {
        self.rules.iter().map(|(_, count)| count.clone()).collect()
    }
}

impl Match {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let same = |want: &Option<String>, have: &str| {
            want.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(have))
        };
        let now = facts.since_start.as_secs_f64();
        let token_meant = self.operation.as_deref() == Some("token");
        (facts.operation != "token" || token_meant)
            && same(&self.method, facts.method)
            && same(&self.operation, facts.operation)
            && same(&self.user, facts.user)
            && self.table.as_ref().is_none_or(|t| t == facts.table)
            && self.after_secs.is_none_or(|s| now >= s)
            && self.until_secs.is_none_or(|s| now <= s)
            && self.path.as_ref().is_none_or(|p| facts.path.contains(p.as_str()))
            && self.body.as_ref().is_none_or(|b| holds_bytes(facts.body, b.as_bytes()))
    }

    fn strikes(&self, number: u64, fired: u64, chance: f64) -> bool {
        self.nth.is_none_or(|n| number == n)
            && self.every.is_none_or(|n| number.is_multiple_of(n))
            && self.first.is_none_or(|n| number <= n)
            && self.times.is_none_or(|n| fired < n)
            && self.probability.is_none_or(|p| chance < p)
    }
}

fn holds_bytes(body: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(body, text).is_some()
}

/// A number from `0..1` out of (seed, rule, count, salt).
fn chance(seed: u64, rule: u64, count: u64, salt: u64) -> f64 {
    let mut x = seed;
    for part in [rule, count, salt] {
        x = (x ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let high = (x >> 11) as f64;
    high / (1_u64 << 53) as f64
}

/// The refusal of a SQL error.
///
/// Source: `dataverse-web-api.md` §1.6, §13.
#[must_use]
pub fn sql_error(number: u32) -> Refusal {
    let why = match number {
        DEADLOCK => {
            "Transaction was deadlocked on lock resources with another process and has been \
                 chosen as the deadlock victim. Rerun the transaction."
                .to_owned()
        }
        2812 => "Could not find stored procedure.".to_owned(),
        2766 => "The definition for user-defined data type has changed.".to_owned(),
        3732 => "Cannot drop type because it is being referenced.".to_owned(),
        other => format!("SQL Server error '{other}'."),
    };
    Refusal::new(
        500,
        0x8004_4150,
        format!(
            "Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: {number} {why}"
        ),
    )
}

/// The refusal of a SQL timeout.
///
/// Source: `dataverse-web-api.md` §1.6.
#[must_use]
pub fn sql_timeout() -> Refusal {
    Refusal::new(
        500,
        0x8004_4151,
        "SQL timeout expired. CRM ErrorCode: -2147204783 Sql ErrorCode: -2146232060 Sql Number: -2",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(text: &str) -> FaultRule {
        toml::from_str(text).expect("rule")
    }

    fn facts(body: &[u8]) -> Facts<'_> {
        Facts {
            method: "POST",
            operation: "CreateMultiple",
            table: "contacts",
            path: "contacts/Microsoft.Dynamics.CRM.CreateMultiple",
            body,
            user: "app-1",
            since_start: Duration::from_secs(5),
        }
    }

    fn strikes(text: &str, requests: usize) -> Vec<usize> {
        let mut script = FaultScript::new(7, vec![rule(text)]);
        (1..=requests).filter(|_| script.strike(Stage::Request, &facts(b"")).is_some()).collect()
    }

    #[test]
    fn counts_pick_the_requests() {
        let cut = "action={kind='cut-after'}";
        assert_eq!(strikes(&format!("match={{nth=3}}\n{cut}"), 6), [3]);
        assert_eq!(strikes(&format!("match={{every=2}}\n{cut}"), 6), [2, 4, 6]);
        assert_eq!(strikes(&format!("match={{first=2}}\n{cut}"), 6), [1, 2]);
        assert_eq!(strikes(&format!("match={{every=2, times=1}}\n{cut}"), 6), [2]);
    }

    #[test]
    fn facts_have_to_hold() {
        let cut = "action={kind='cut-before'}";
        for (when, want) in [
            ("table='contacts'", 1),
            ("table='accounts'", 0),
            ("method='post', operation='createmultiple', user='app-1'", 1),
            ("user='app-2'", 0),
            ("path='CRM.Create'", 1),
            ("after_secs=6.0", 0),
            ("until_secs=6.0", 1),
        ] {
            assert_eq!(strikes(&format!("match={{{when}}}\n{cut}"), 1).len(), want, "{when}");
        }
    }

    #[test]
    fn poison_is_found_in_the_body_of_an_operation() {
        let poison = rule("match={body='K-13'}\naction={kind='poison'}");
        let mut script = FaultScript::new(1, vec![poison]);
        assert!(script.strike(Stage::Request, &facts(b"K-13")).is_none());
        assert!(script.strike(Stage::Operation, &facts(b"K-12")).is_none());
        assert!(script.strike(Stage::Operation, &facts(b"x K-13 y")).is_some());
        assert_eq!(script.counts()[0].fired, 1);
    }

    #[test]
    fn token_requests_are_spared_unless_named() {
        let cut = rule("action={kind='cut-before'}");
        let token = rule("match={operation='token'}\naction={kind='status', status=503}");
        let mut script = FaultScript::new(1, vec![cut, token]);
        let asked = Facts { operation: "token", ..facts(b"") };
        let strike = script.strike(Stage::Request, &asked).expect("named");
        assert!(matches!(strike.action, Action::Status { status: 503, .. }));
    }

    #[test]
    fn probability_strikes_about_that_share() {
        let n = strikes("match={probability=0.2}\naction={kind='cut-before'}", 5000).len();
        assert!((900..1100).contains(&n), "{n}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "match={probability=1.5}\naction={kind='cut-before'}",
            "match={nth=0}\naction={kind='cut-before'}",
            "action={kind='commit-later', delay_ms_min=5, delay_ms_max=4}",
            "action={kind='status', status=42}",
            "action={kind='slow-body', bytes_per_sec=0}",
        ] {
            assert!(rule(text).check().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_same_seed_strikes_the_same(seed: u64, p in 0.0_f64..1.0) {
            let text = format!("match={{probability={p:?}}}\naction={{kind='cut-before'}}");
            let run = || {
                let mut script = FaultScript::new(seed, vec![rule(&text)]);
                (0..50).map(|_| script.strike(Stage::Request, &facts(b""))).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(), run());
        }
    }
}
