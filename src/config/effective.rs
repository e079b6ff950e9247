//! Pure: what a job means, defaults included, as lines for a person. Secrets are not in a
//! [`Job`], only the places where they are kept, so nothing here can leak one.

use crate::config::job::{
    Auth, Bounds, IdRule, Job, OrganizationLock, TableClass, TableLoad, Tuning,
};
use crate::config::secret::SecretSource;
use std::fmt::Write;

/// The effective configuration, one fact a line.
#[must_use]
pub fn describe(job: &Job) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<24} {value}");
    };
    line("job", job.name.clone());
    line("environment", job.environment.url.clone());
    line(
        "organization",
        match &job.environment.organization {
            OrganizationLock::Id(id) => id.to_string(),
            OrganizationLock::UniqueName(name) => name.clone(),
        },
    );
    line("authority", job.environment.authority.clone());
    line(
        "request timeout",
        humantime::format_duration(job.environment.request_timeout).to_string(),
    );
    for identity in &job.identities {
        line("identity", format!("{}: {}", identity.name, proof(&identity.auth)));
    }
    line("success and error files", job.sink_folder.display().to_string());
    line("ledger", job.ledger_folder.display().to_string());
    line("memory budget", format!("{} MiB", job.memory_budget_bytes >> 20));
    line("listen", job.listen.map_or_else(|| "off".to_owned(), |a| a.to_string()));
    let share = format!("{:.1} % of a load", job.breakers.failed_share_max * 100.0);
    line(
        "pause when failed",
        match job.breakers.failed_rows_max {
            Some(rows) => format!("{rows} rows, or {share}"),
            None => share,
        },
    );
    line("retry for", humantime::format_duration(job.breakers.retry_deadline).to_string());
    for load in &job.tables {
        line("load", load_line(&job.tuning.settled(load, load.class)));
    }
    text.push_str(&describe_rules(&job.tuning));
    text
}

/// How fast the loads may go, one fact a line; `classes` are those of the tables, in job order.
#[must_use]
pub fn describe_tuning(job: &Job, classes: &[TableClass]) -> String {
    let mut text = String::new();
    for (load, class) in job.tables.iter().zip(classes) {
        let load = job.tuning.settled(load, *class);
        let _ = writeln!(text, "{:<24} {}; class {}", load.name, numbers(&load), class.word());
    }
    text.push_str(&describe_rules(&job.tuning));
    text
}

fn describe_rules(tuning: &Tuning) -> String {
    let mut text = String::new();
    let schedule = tuning.schedule.as_ref().map_or_else(
        || "none: all that Dataverse allows, at any time".to_owned(),
        |schedule| {
            let entries: Vec<_> = schedule.entries().iter().map(ToString::to_string).collect();
            format!("{} ({})", entries.join("; "), schedule.zone_name())
        },
    );
    let _ = writeln!(text, "{:<24} {schedule}", "schedule");
    let entitlement = tuning.entitlement.map_or_else(
        || "not counted".to_owned(),
        |rule| {
            let then = rule.policy.word();
            format!("{} operations in 24 h an identity, then {then}", rule.per_identity)
        },
    );
    let _ = writeln!(text, "{:<24} {entitlement}", "entitlement");
    let memory = if tuning.remember {
        tuning.folder.display().to_string()
    } else {
        "off: every run learns anew".to_owned()
    };
    let _ = writeln!(text, "{:<24} {memory}", "memory of settings");
    text
}

fn proof(auth: &Auth) -> String {
    match auth {
        Auth::ClientSecret { client_id, secret: SecretSource::Env(name), .. } => {
            format!("application {client_id}, secret from environment variable {name}")
        }
        Auth::ClientSecret { client_id, secret: SecretSource::File(path), .. } => {
            format!("application {client_id}, secret from file {}", path.display())
        }
        Auth::Certificate { client_id, pem, .. } => {
            format!("application {client_id}, certificate {}", pem.display())
        }
        Auth::ManagedIdentity { client_id: None } => "managed identity".to_owned(),
        Auth::ManagedIdentity { client_id: Some(id) } => format!("managed identity {id}"),
        // Arguments may carry what the user regards as secret.
        Auth::Command { argv } => {
            format!("token command {}", argv.first().map_or("", String::as_str))
        }
    }
}

fn load_line(load: &TableLoad) -> String {
    let ids = match &load.ids {
        IdRule::Pinned => "pinned ids".to_owned(),
        IdRule::Dataverse => "ids by Dataverse".to_owned(),
        IdRule::Column(column) => format!("ids from column {column}"),
        IdRule::AlternateKey(key) => format!("rows found by key {key}"),
    };
    format!(
        "{}: {} {} from {}, key {}, {ids}, {} columns, {}",
        load.name,
        load.operation.word(),
        load.table,
        load.source.path,
        load.key,
        load.columns.len(),
        numbers(load)
    )
}

fn numbers(load: &TableLoad) -> String {
    let (batch, parallel) = (range(load.batch), range(load.parallel));
    format!("batch {batch}, parallel {parallel}, weight {}", load.weight)
}

fn range(bounds: Bounds) -> String {
    match bounds.start {
        _ if bounds.min == bounds.max => bounds.min.to_string(),
        Some(start) => format!("{}–{} from {start}", bounds.min, bounds.max),
        None => format!("{}–{}", bounds.min, bounds.max),
    }
}
