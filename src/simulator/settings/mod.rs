//! Pure: what can be set of the local Dataverse (`SIM.toml`); every setting has a default.

mod http;
mod latency;
mod protection;
mod users;

pub use http::HttpSettings;
pub use latency::{Cost, DriftStep, LatencySettings};
pub use protection::{CodeFormat, ProtectionScope, ProtectionSettings};
pub use users::UserSettings;

use super::assemble::EnvironmentOptions;
use super::faults::FaultRule;
use core::net::SocketAddr;
use serde::Deserialize;
use std::collections::HashSet;
use thiserror::Error;

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Seed of noise, chance and scripted faults.
    pub seed: u64,
    /// Simulated seconds per real second: windows, service times and token lives shrink by it.
    pub speed: f64,
    /// Paths of definition files of tables beside the ready set.
    pub tables_files: Vec<String>,
    /// What is behind the Web API.
    pub environment: EnvironmentOptions,
    /// Tenant id of the token endpoint.
    pub tenant: String,
    /// Life of a token, simulated seconds.
    pub token_secs: u64,
    /// Further resources tokens are issued for and accepted by the data endpoint. The address
    /// the simulator is reached under always is one.
    pub audiences: Vec<String>,
    /// Resources tokens are issued for, but which the data endpoint refuses.
    pub foreign_audiences: Vec<String>,
    /// Name of the user the managed-identity endpoint hands out; the first user when absent.
    pub managed_identity: Option<String>,
    /// Application users.
    pub users: Vec<UserSettings>,
    /// Transport limits.
    pub http: HttpSettings,
    /// Service protection.
    pub protection: ProtectionSettings,
    /// Service time.
    pub latency: LatencySettings,
    /// Fault script; the first rule that fires wins.
    pub faults: Vec<FaultRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            speed: 1.0,
            tables_files: Vec::new(),
            environment: EnvironmentOptions::default(),
            tenant: "11111111-2222-3333-4444-555555555555".to_owned(),
            token_secs: 3599,
            audiences: Vec::new(),
            foreign_audiences: Vec::new(),
            managed_identity: None,
            users: vec![UserSettings::numbered(1), UserSettings::numbered(2)],
            http: HttpSettings::default(),
            protection: ProtectionSettings::default(),
            latency: LatencySettings::default(),
            faults: Vec::new(),
        }
    }
}

/// A settings file that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsRefused {
    /// Not TOML, an unknown key or a wrong type; the text shows line and column.
    #[error("{0}")]
    Syntax(String),
    /// A value breaks a rule.
    #[error("{key} = {value}: {rule}")]
    Rule {
        /// Key, with its table.
        key: String,
        /// Value as given.
        value: String,
        /// What is asked for.
        rule: &'static str,
    },
}

impl Settings {
    /// Reads and checks a settings file.
    ///
    /// # Errors
    /// The text is not valid TOML, has an unknown key, or a value breaks a rule.
    pub fn parse(text: &str) -> Result<Self, SettingsRefused> {
        let settings: Self =
            toml::from_str(text).map_err(|e| SettingsRefused::Syntax(e.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks the rules the types do not hold.
    ///
    /// # Errors
    /// Names the first value that breaks a rule.
    pub fn check(&self) -> Result<(), SettingsRefused> {
        self.environment.check().map_err(|(key, value, rule)| SettingsRefused::Rule {
            key: format!("environment.{key}"),
            value,
            rule,
        })?;
        let p = &self.protection;
        let l = &self.latency;
        number("speed", self.speed, self.speed > 0.0, "a number above 0")?;
        for (key, value) in [
            ("protection.execution_secs_max", p.execution_secs_max),
            ("protection.penalty_secs", p.penalty_secs),
            ("protection.concurrency_retry_secs[0]", p.concurrency_retry_secs[0]),
            ("latency.scale", l.scale),
            ("latency.noise_sigma", l.noise_sigma),
            ("latency.contention_sigma", l.contention_sigma),
            ("latency.contention_kappa", l.contention_kappa),
            ("latency.rows_in_flight", l.rows_in_flight),
            ("latency.timeout_secs", l.timeout_secs),
        ] {
            number(key, value, value >= 0.0, "0 or a number above")?;
        }
        for (key, value) in [
            ("protection.window_secs", p.window_secs),
            ("protection.retry_after_secs_max", p.retry_after_secs_max),
        ] {
            number(key, value, value > 0.0, "a number above 0")?;
        }
        let [low, high] = p.concurrency_retry_secs;
        number("protection.concurrency_retry_secs[1]", high, high >= low, "not below the first")?;
        let share = l.timeout_fails;
        number("latency.timeout_fails", share, (0.0..=1.0).contains(&share), "between 0 and 1")?;
        for (key, cost) in [
            ("latency.simple", l.simple),
            ("latency.moderate", l.moderate),
            ("latency.out_of_the_box", l.out_of_the_box),
            ("latency.complex", l.complex),
            ("latency.elastic", l.elastic),
            ("latency.read", l.read),
        ] {
            let least = cost.a.min(cost.b).min(cost.d);
            number(key, least, least >= 0.0, "a, b and d not below 0")?;
        }
        for step in &l.drift {
            number("latency.drift.factor", step.factor, step.factor > 0.0, "a number above 0")?;
        }
        for (key, value) in [
            ("protection.servers", p.servers as usize),
            ("http.connections_max", self.http.connections_max),
            ("http.batch_operations_max", self.http.batch_operations_max),
        ] {
            if value == 0 {
                return Err(refused(key, "0", "at least 1"));
            }
        }
        if self.tenant.is_empty() || self.tenant.contains('/') {
            return Err(refused("tenant", &self.tenant, "a name without /"));
        }
        self.check_users()?;
        for (n, rule) in self.faults.iter().enumerate() {
            rule.check().map_err(|why| refused(&format!("faults[{n}]"), rule.label(), why))?;
        }
        Ok(())
    }

    fn check_users(&self) -> Result<(), SettingsRefused> {
        if self.users.is_empty() {
            return Err(refused("users", "[]", "at least one application user"));
        }
        let (mut names, mut clients) = (HashSet::new(), HashSet::new());
        for user in &self.users {
            if !names.insert(&user.name) {
                return Err(refused("users.name", &user.name, "each name once"));
            }
            if !clients.insert(user.client_id) {
                return Err(refused(
                    "users.client_id",
                    &user.client_id.to_string(),
                    "each client id once",
                ));
            }
        }
        match &self.managed_identity {
            Some(name) if !names.contains(name) => {
                Err(refused("managed_identity", name, "the name of one of the users"))
            }
            _ => Ok(()),
        }
    }
}

fn refused(key: &str, value: &str, rule: &'static str) -> SettingsRefused {
    SettingsRefused::Rule { key: key.to_owned(), value: value.to_owned(), rule }
}

fn number(
    key: &'static str,
    value: f64,
    holds: bool,
    rule: &'static str,
) -> Result<(), SettingsRefused> {
    if holds && value.is_finite() { Ok(()) } else { Err(refused(key, &value.to_string(), rule)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Settings::parse(text).expect_err("must be refused").to_string()
    }

    #[test]
    fn an_empty_file_gives_the_documented_limits() {
        let s = Settings::parse("").expect("defaults");
        assert_eq!(s.protection.requests_max, 6000);
        assert_eq!(s.protection.execution_secs_max, 1200.0);
        assert_eq!(s.protection.concurrent_max, 52);
        assert_eq!(s.users.len(), 2);
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let text = refusal("seed = 2\n[protection]\nserver = 3\n");
        assert!(text.contains("line 3") && text.contains("server"), "{text}");
    }

    #[test]
    fn values_out_of_range_name_key_and_rule() {
        assert_eq!(refusal("speed = 0.0"), "speed = 0: a number above 0");
        assert_eq!(refusal("[protection]\nservers = 0"), "protection.servers = 0: at least 1");
        assert!(refusal("managed_identity = 'x'").contains("one of the users"));
    }

    #[test]
    fn two_users_with_one_client_id_are_refused() {
        let user = "[[users]]\nname='a'\nclient_id='a0000000-0000-4000-8000-000000000007'\nsystem_user_id='5e000000-0000-4000-8000-000000000001'\n";
        let text = refusal(&format!("{user}{}", user.replace("'a'", "'b'")));
        assert!(text.contains("users.client_id = a0000000-0000-4000-8000-000000000007"), "{text}");
    }

    #[test]
    fn a_fault_rule_reads_with_its_action() {
        let s = Settings::parse(
            "[[faults]]\nname='storm'\nmatch={ operation='CreateMultiple', first=3 }\n\
             action={ kind='status', status=429, code='0x80072321', retry_after='7' }\n",
        )
        .expect("valid");
        assert_eq!(s.faults.len(), 1);
        assert!(refusal("[[faults]]\naction={ kind='hang', status=1 }").contains("status"));
    }
}
