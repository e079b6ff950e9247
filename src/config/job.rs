//! Pure: the meaning of a job file after all its rules were checked. Paths are absolute or
//! relative to the job file's folder and already joined with it.

use crate::config::secret::SecretSource;
use crate::record::outcome::Operation;
use crate::tuning::entitlement::EntitlementRule;
use crate::tuning::schedule::Schedule;
use core::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole job.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file it was read from.
    pub file: PathBuf,
    /// Chosen by the user (default: the file's stem); part of every pinned id, so it must not
    /// change while a job is open.
    pub name: String,
    /// Where the rows go.
    pub environment: Environment,
    /// Application users; at least one.
    pub identities: Vec<Identity>,
    /// Table loads in file order; at least one.
    pub tables: Vec<TableLoad>,
    /// Folder of success and error files.
    pub sink_folder: PathBuf,
    /// Format of success and error files.
    pub sink_format: SinkFormat,
    /// Prefix values starting with `= + - @` with an apostrophe in CSV sinks.
    pub excel_safe: bool,
    /// Folder of the ledger, its lock and the control socket.
    pub ledger_folder: PathBuf,
    /// Bytes of records held at once.
    pub memory_budget_bytes: u64,
    /// Where `/metrics` and `/status` are served; loopback unless the user says otherwise.
    pub listen: Option<SocketAddr>,
    /// When to stop by ourselves.
    pub breakers: Breakers,
    /// Longest wait for requests in flight when asked to stop.
    pub shutdown_deadline: Duration,
    /// How often watch mode looks for new files.
    pub watch_interval: Duration,
    /// How fast it may go, and when.
    pub tuning: Tuning,
}

/// What `[tuning]` says.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Numbers of whole classes of tables, each class at most once and never `Auto`.
    pub classes: Vec<(TableClass, TuningBounds)>,
    /// Shares of the service's limits by day and hour; `None` = all of them at any time.
    pub schedule: Option<Schedule>,
    /// Operations in 24 hours; `None` = not counted.
    pub entitlement: Option<EntitlementRule>,
    /// Whether what is learnt is kept for the next run.
    pub remember: bool,
    /// Folder of what is kept, shared by the jobs of an environment.
    pub folder: PathBuf,
}

/// Numbers of a table or of a class, as far as the job file gives them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct TuningBounds {
    /// Rows a request.
    pub batch: Option<Bounds>,
    /// Requests at once.
    pub parallel: Option<Bounds>,
    /// Share of the execution seconds relative to other loads.
    pub weight: Option<f64>,
}

/// The target.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Origin without trailing slash, e.g. `https://contoso.crm4.dynamics.com`.
    pub url: String,
    /// What `WhoAmI` must answer before the first write.
    pub organization: OrganizationLock,
    /// Where tokens are asked for, e.g. `https://login.microsoftonline.com`.
    pub authority: String,
    /// Extra root certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// Limit of one request's duration.
    pub request_timeout: Duration,
}

/// The environment the user means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrganizationLock {
    /// By organization id.
    Id(uuid::Uuid),
    /// By unique name.
    UniqueName(String),
}

/// One application user.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Alias used in logs, metrics and commands.
    pub name: String,
    /// How it proves itself.
    pub auth: Auth,
    /// Most requests a second through it.
    pub requests_per_second: Option<std::num::NonZeroU32>,
}

/// How an identity gets tokens.
#[derive(Clone, Debug)]
pub enum Auth {
    /// App registration with a secret.
    ClientSecret {
        /// Tenant id or domain.
        tenant: String,
        /// Application id.
        client_id: String,
        /// Where the secret is.
        secret: SecretSource,
    },
    /// App registration with a certificate.
    Certificate {
        /// Tenant id or domain.
        tenant: String,
        /// Application id.
        client_id: String,
        /// PEM file with the certificate and its private key, 0600.
        pem: PathBuf,
    },
    /// The VM's managed identity.
    ManagedIdentity {
        /// Application id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// A program that prints a token (plain, or JSON with `access_token`/`accessToken`).
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// One `[[table]]` entry.
#[derive(Clone, Debug)]
pub struct TableLoad {
    /// Name of this load, unique in the job (default: the table's logical name).
    pub name: String,
    /// Logical name of the target table.
    pub table: String,
    /// Where its rows come from.
    pub source: SourceSpec,
    /// Source column holding the row's business key, unique within the load.
    pub key: String,
    /// What happens to its rows.
    pub operation: Operation,
    /// How the target row's id is found.
    pub ids: IdRule,
    /// What to do when a row to create is there already and this job did not write it.
    pub on_existing: OnExisting,
    /// What to do with the second record of one key.
    pub on_duplicate_key: OnDuplicateKey,
    /// Target columns in file order.
    pub columns: Vec<ColumnMapping>,
    /// How heavy the table is.
    pub class: TableClass,
    /// What the table itself says of the three numbers below; the rest comes from its class.
    pub said: TuningBounds,
    /// Rows a request; settled for its class by [`Tuning::settled`].
    pub batch: Bounds,
    /// Requests at once; settled for its class by [`Tuning::settled`].
    pub parallel: Bounds,
    /// Share of the execution seconds relative to the other loads, greater than 0; settled for its
    /// class by [`Tuning::settled`].
    pub weight: f64,
    /// Headers and parameters of every request.
    pub request: RequestOptions,
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// File or glob pattern.
    pub path: String,
    /// How records are written.
    pub format: SourceFormat,
}

/// How records are written in a file; `.gz` and `.zst` are unpacked by file name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceFormat {
    /// Separated values with a header line.
    Csv {
        /// Separator.
        delimiter: u8,
        /// Quote.
        quote: u8,
    },
    /// One JSON object a line.
    Jsonl,
}

/// How the target row's id is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IdRule {
    /// Derived from environment, job, load and position (default for create).
    Pinned,
    /// Dataverse generates it (create only).
    Dataverse,
    /// A source column holds it.
    Column(String),
    /// The alternate key of this name addresses the row (upsert); its columns are mapped.
    AlternateKey(String),
}

/// Policy for rows that exist though this job did not write them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExisting {
    /// Error file.
    Fail,
    /// Success file with action `existing`.
    Skip,
}

/// Policy for the second record of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDuplicateKey {
    /// Error file.
    Error,
    /// Counted as filtered, the first one stands.
    First,
}

/// One target column.
#[derive(Clone, Debug)]
pub struct ColumnMapping {
    /// Logical name of the target column.
    pub target: String,
    /// Where the value comes from.
    pub from: ValueSource,
    /// Used when the source value is empty or absent.
    pub default: Option<String>,
    /// What an empty value without default means.
    pub empty: WhenEmpty,
    /// How a lookup is found; `None` for other columns.
    pub lookup: Option<LookupRule>,
    /// How a choice is read.
    pub choice: ChoiceRule,
    /// `strftime`-like format of dates that are not ISO 8601.
    pub date_format: Option<String>,
    /// IANA zone of wall-clock times bound for UserLocal columns (default UTC must be said).
    pub time_zone: Option<String>,
    /// Cut text that is too long instead of refusing the row.
    pub truncate: bool,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValueSource {
    /// A source column.
    Column(String),
    /// The same for every row.
    Constant(String),
}

/// What an empty value without default means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenEmpty {
    /// Send nothing: on create the column's own default applies, on update it stays.
    Absent,
    /// Send `null`: clears the column.
    Null,
}

/// How a lookup is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupRule {
    /// Target tables tried, with how to find a row there. For a polymorphic lookup with several
    /// entries `type_column` says which.
    pub targets: Vec<LookupVia>,
    /// Source column holding the target table's logical name, for polymorphic lookups.
    pub type_column: Option<String>,
}

/// How a row of one target table is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupVia {
    /// Logical name of the target table.
    pub table: String,
    /// By what.
    pub by: LookupBy,
}

/// By what a lookup's value names its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LookupBy {
    /// The value is the GUID.
    Id,
    /// The value is the key of a row another load of this job (its name) has loaded.
    Staged(String),
    /// The value is an alternate key (one text, number or GUID column).
    Key(String),
}

/// How a choice is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChoiceRule {
    /// A number, or else a label.
    Auto,
    /// Labels only.
    Label,
    /// Numbers only.
    Number,
}

/// How heavy a table is.
///
/// Source: seed document "Suggested workflow for a complex data migration".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TableClass {
    /// Decide from metadata.
    Auto,
    /// Microsoft's own tables with built-in plug-ins.
    OutOfTheBox,
    /// Few or no lookups.
    Simple,
    /// Some lookups.
    Moderate,
    /// More than 100 columns or more than 20 lookups.
    Complex,
    /// Cosmos DB.
    Elastic,
}

impl TableClass {
    /// Word of the job file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::OutOfTheBox => "out-of-the-box",
            Self::Simple => "simple",
            Self::Moderate => "moderate",
            Self::Complex => "complex",
            Self::Elastic => "elastic",
        }
    }
}

/// Starting value and bounds of a tuned number; `start` is `None` when the class decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Where to begin, within the bounds.
    pub start: Option<u32>,
    /// Never less; at least 1.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

/// Headers and parameters of every request of a load.
///
/// Source: `dataverse-web-api.md` §5.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RequestOptions {
    /// `MSCRM.BypassBusinessLogicExecution`: skip custom synchronous logic.
    pub bypass_sync: bool,
    /// `MSCRM.BypassBusinessLogicExecution`: skip custom asynchronous logic.
    pub bypass_async: bool,
    /// `MSCRM.BypassBusinessLogicExecutionStepIds`.
    pub bypass_steps: Vec<uuid::Uuid>,
    /// `MSCRM.SuppressCallbackRegistrationExpanderJob`: do not trigger flows.
    pub bypass_flows: bool,
    /// `MSCRM.SuppressDuplicateDetection: false`.
    pub detect_duplicates: bool,
    /// `?tag=`.
    pub tag: Option<String>,
    /// `CallerObjectId`: Entra object id to act for.
    pub act_for_object: Option<uuid::Uuid>,
    /// `MSCRMCallerID`: system user id to act for.
    pub act_for_user: Option<uuid::Uuid>,
}

/// Format of success and error files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkFormat {
    /// Comma separated.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// When to stop by ourselves.
#[derive(Clone, PartialEq, Debug)]
pub struct Breakers {
    /// Failed rows of one table load that pause it; `None` = no limit.
    pub failed_rows_max: Option<u64>,
    /// Share of failed rows (0–1) that pauses a load once 1,000 rows are settled.
    pub failed_share_max: f64,
    /// How long throttled and unreachable batches are tried.
    pub retry_deadline: Duration,
}
