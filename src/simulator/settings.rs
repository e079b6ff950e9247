//! Pure: what can be set of the local Dataverse (`SIM.toml`); every setting has a default.

use super::assemble::EnvironmentOptions;
use super::faults::FaultRule;
use core::net::SocketAddr;
use serde::Deserialize;
use std::collections::HashSet;
use thiserror::Error;
use uuid::Uuid;

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

/// One application user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// Name used in statistics.
    pub name: String,
    /// Application (client) id.
    pub client_id: Uuid,
    /// Client secret; a pretended one, never a real one.
    #[serde(default)]
    pub secret: Option<String>,
    /// Whether the secret counts as expired.
    #[serde(default)]
    pub secret_expired: bool,
    /// Certificate or public key (PEM file) that signs the client's assertions.
    #[serde(default)]
    pub certificate_file: Option<String>,
    /// Thumbprint the assertion's header must carry, base64url; checked when given.
    #[serde(default)]
    pub certificate_thumbprint: Option<String>,
    /// `systemuserid`.
    pub system_user_id: Uuid,
    /// Entra object id, for `CallerObjectId`; the system user id when absent.
    #[serde(default)]
    pub object_id: Option<Uuid>,
    /// Whether the system user is disabled.
    #[serde(default)]
    pub disabled: bool,
    /// Whether the organization has this user.
    #[serde(default = "yes")]
    pub member: bool,
    /// Whether it may act for other users.
    #[serde(default = "yes")]
    pub may_impersonate: bool,
}

const fn yes() -> bool {
    true
}

/// A number whose hexadecimal digits read as `n` does in decimal.
fn hex_digits(n: u32) -> u128 {
    u128::from_str_radix(&n.to_string(), 16).unwrap_or(0)
}

impl UserSettings {
    /// Entra object id.
    #[must_use]
    pub fn object_id(&self) -> Uuid {
        self.object_id.unwrap_or(self.system_user_id)
    }

    /// The ready application user number `n`.
    #[must_use]
    pub fn numbered(n: u32) -> Self {
        Self {
            name: format!("app-{n}"),
            client_id: Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + hex_digits(n)),
            secret: Some(format!("pretended-secret-{n}")),
            secret_expired: false,
            certificate_file: None,
            certificate_thumbprint: None,
            system_user_id: Uuid::from_u128(
                0x5e00_0000_0000_4000_8000_0000_0000_0000 + hex_digits(n),
            ),
            object_id: None,
            disabled: false,
            member: true,
            may_impersonate: true,
        }
    }
}

/// Transport limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Largest body, bytes; more is answered 413.
    ///
    /// Source: `dataverse-web-api.md` §12 row 23: no number is published.
    pub body_bytes_max: usize,
    /// Longest URL, characters; more is answered 414.
    ///
    /// Source: `dataverse-web-api.md` §1.5.
    pub url_chars_max: usize,
    /// Longest URL inside a batch, characters.
    ///
    /// Source: `dataverse-web-api.md` §12 row 22.
    pub batch_url_chars_max: usize,
    /// Most operations of one `$batch`.
    ///
    /// Source: `dataverse-web-api.md` §1.5.
    pub batch_operations_max: usize,
    /// Most connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Idle connections are closed after this time, real seconds.
    ///
    /// Source: `dataverse-web-api.md` §1.5: the load balancer cuts at about 230-240 s.
    pub idle_secs: u64,
    /// Requests kept in the log of `/_sim/requests`.
    pub request_log_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 128 << 20,
            url_chars_max: 32_768,
            batch_url_chars_max: 65_536,
            batch_operations_max: 1000,
            connections_max: 4096,
            idle_secs: 235,
            request_log_max: 10_000,
        }
    }
}

/// What the windows of service protection count by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectionScope {
    /// Each web server counts by itself, as documented.
    Server,
    /// One counter per user over all servers, as seen on one environment.
    ///
    /// Source: `adaptive-control.md` §2.1.
    User,
}

/// How codes of throttling answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeFormat {
    /// `0x80072321`.
    Hex,
    /// `-2147015903`.
    Decimal,
}

/// Service protection.
///
/// Source: `dataverse-web-api.md` §1.1, §12 rows 1-9.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtectionSettings {
    /// Web servers behind the address.
    pub servers: u32,
    /// What the windows count by.
    pub scope: ProtectionScope,
    /// Sliding window, simulated seconds.
    pub window_secs: f64,
    /// Requests per window; 0 switches this limit off.
    pub requests_max: u32,
    /// Execution time per window, simulated seconds; 0 switches this limit off.
    pub execution_secs_max: f64,
    /// Requests at once; 0 switches this limit off.
    pub concurrent_max: u32,
    /// Added to the wait by each request sent while throttled, simulated seconds.
    pub penalty_secs: f64,
    /// Longest `Retry-After`, simulated seconds.
    pub retry_after_secs_max: f64,
    /// Shortest and longest `Retry-After` of the concurrency limit, simulated seconds.
    pub concurrency_retry_secs: [f64; 2],
    /// Whether `Retry-After` carries a fraction, as once seen (`34.226`).
    pub fractional_retry_after: bool,
    /// How codes are written.
    pub code_format: CodeFormat,
    /// Whether the answers carry the remaining requests and time.
    pub rate_headers: bool,
    /// `x-ms-dop-hint`; 0 leaves it out.
    pub dop_hint: u32,
    /// Whether each operation of a batch counts as a request and can be refused by itself.
    pub count_batch_parts: bool,
}

impl Default for ProtectionSettings {
    fn default() -> Self {
        Self {
            servers: 1,
            scope: ProtectionScope::Server,
            window_secs: 300.0,
            requests_max: 6000,
            execution_secs_max: 1200.0,
            concurrent_max: 52,
            penalty_secs: 2.0,
            retry_after_secs_max: 300.0,
            concurrency_retry_secs: [1.0, 5.0],
            fractional_retry_after: false,
            code_format: CodeFormat::Hex,
            rate_headers: true,
            dop_hint: 5,
            count_batch_parts: false,
        }
    }
}

impl ProtectionSettings {
    /// No limit at all.
    #[must_use]
    pub fn off() -> Self {
        Self { requests_max: 0, execution_secs_max: 0.0, concurrent_max: 0, ..Self::default() }
    }
}

/// Uncontended seconds of one request with `n` rows: `a + b·n + d·n²`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Per request, seconds.
    pub a: f64,
    /// Per row, seconds.
    pub b: f64,
    /// Per row squared, seconds.
    pub d: f64,
}

/// From `after_secs` on, service times are `factor` times as long.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftStep {
    /// Simulated seconds since the start.
    pub after_secs: f64,
    /// Factor.
    pub factor: f64,
}

/// Service time.
///
/// Source: `adaptive-control.md` §2.2, §6.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// All service times are multiplied by this; 0 answers at once.
    pub scale: f64,
    /// Tables with few or no lookups.
    pub simple: Cost,
    /// Tables with some lookups.
    pub moderate: Cost,
    /// Microsoft's own tables with plug-ins.
    pub out_of_the_box: Cost,
    /// Tables with more than 100 columns or 20 lookups.
    pub complex: Cost,
    /// Elastic tables.
    pub elastic: Cost,
    /// Requests that touch no table's rows, and reads.
    pub read: Cost,
    /// Contention `1 + σ(C−1) + κC(C−1)` with C requests at once: σ.
    pub contention_sigma: f64,
    /// Contention: κ.
    pub contention_kappa: f64,
    /// Slow-down per row in flight of all other requests.
    pub rows_in_flight: f64,
    /// Sigma of the log-normal noise.
    pub noise_sigma: f64,
    /// Changes over time.
    pub drift: Vec<DriftStep>,
    /// A request that takes longer, simulated seconds, fails or goes on without its client.
    ///
    /// Source: `dataverse-web-api.md` §12 row 24.
    pub timeout_secs: f64,
    /// Share of these that fails with a SQL timeout and is rolled back; the rest completes.
    pub timeout_fails: f64,
}

impl Default for LatencySettings {
    fn default() -> Self {
        let cost = |a, b, d| Cost { a, b, d };
        Self {
            scale: 0.0,
            simple: cost(0.10, 0.006, 1e-6),
            moderate: cost(0.15, 0.020, 4e-6),
            out_of_the_box: cost(0.30, 0.060, 2e-5),
            complex: cost(0.40, 0.25, 1e-3),
            elastic: cost(0.10, 0.005, 0.0),
            read: cost(0.05, 0.0, 0.0),
            contention_sigma: 0.004,
            contention_kappa: 0.0004,
            rows_in_flight: 0.0,
            noise_sigma: 0.3,
            drift: Vec::new(),
            timeout_secs: 120.0,
            timeout_fails: 0.5,
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
