//! Pure: what can be set of the local Dataverse (`SIM.toml`); every setting has a default.

mod http;
mod latency;
mod protection;
mod users;

pub use http::HttpSettings;
pub use latency::{Contention, Cost, DriftStep, LatencySettings, TableContention};
pub use protection::{
    CodeFormat, ForeignLoad, Lock, ProtectionScope, ProtectionSettings, Routing, ServersChange,
};
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
    /// How the number of web servers changes.
    pub servers_change: Vec<ServersChange>,
    /// What others spend of the users' limits.
    pub foreign: Vec<ForeignLoad>,
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
            servers_change: Vec::new(),
            foreign: Vec::new(),
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
        number("speed", self.speed, self.speed > 0.0, "a number above 0")?;
        self.protection.check()?;
        self.latency.check()?;
        for change in &self.servers_change {
            change.check()?;
        }
        for (key, value) in [
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
        let names = self.users.iter().map(|u| &u.name).collect();
        for foreign in &self.foreign {
            foreign.check(&names)?;
        }
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

fn nonnegative(key: &'static str, value: f64) -> Result<(), SettingsRefused> {
    number(key, value, value >= 0.0, "0 or a number above")
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
        assert_eq!(
            refusal("[protection]\nservers = 0"),
            "protection.servers = 0: at least 1 and at most 1000"
        );
        assert!(refusal("managed_identity = 'x'").contains("one of the users"));
    }

    #[test]
    fn the_server_model_names_what_it_cannot_use() {
        for (text, want) in [
            ("[protection]\nheaders_lag_secs = 301", "protection.headers_lag_secs = 301: from 0"),
            ("[protection]\nenforcement_lag_secs = -1", "enforcement_lag_secs = -1: from 0"),
            ("[protection]\nheaders_factor = -1", "protection.headers_factor = -1: 0 or"),
            ("[protection]\nrepeat_secs = nan", "protection.repeat_secs = NaN: 0 or"),
            ("[protection]\nlock = 'strict'", "unknown variant `strict`"),
            ("[protection]\nrouting = 'any'", "unknown variant `any`"),
            ("[[servers_change]]\nafter_secs = 1\nservers = 0", "servers_change.servers = 0: at"),
            ("[[servers_change]]\nafter_secs = -1\nservers = 2", "servers_change.after_secs = -1"),
            ("[[foreign]]\nuser = 'x'\nshare = 0.1", "foreign.user = x: the name of one"),
            ("[[foreign]]\nuser = 'app-1'\nshare = 1.5", "foreign.share = 1.5: between 0 and 1"),
            (
                "[[foreign]]\nuser = 'app-1'\nshare = 0.1\nrequest_secs = 0",
                "foreign.request_secs = 0: at least",
            ),
            (
                "[[foreign]]\nuser = 'app-1'\nshare = 0.1\nafter_secs = 9\nuntil_secs = 9",
                "foreign.until_secs = 9: above after_secs",
            ),
            ("[latency]\ndeadlock_hazard = -1", "latency.deadlock_hazard = -1: 0 or"),
            (
                "[latency.table_contention]\ncomplex = { sigma = 0.0, kappa = inf }",
                "latency.table_contention.complex = inf: sigma and kappa",
            ),
            (
                "[latency]\ndrift = [{ after_secs = 1, kappa_factor = -1 }]",
                "latency.drift.kappa_factor = -1: 0 or",
            ),
        ] {
            let said = refusal(text);
            assert!(said.contains(want), "{text}: {said}");
        }
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
