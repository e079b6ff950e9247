//! Pure: what a job means, defaults included, as lines for a person. Secrets are not in a
//! [`Job`], only the places where they are kept, so nothing here can leak one.

use crate::config::job::{Auth, Bounds, IdRule, Job, OrganizationLock, TableLoad};
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
        line("load", load_line(load));
    }
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
        "{}: {} {} from {}, key {}, {ids}, {} columns, batch {}, parallel {}",
        load.name,
        load.operation.word(),
        load.table,
        load.source.path,
        load.key,
        load.columns.len(),
        range(load.batch),
        range(load.parallel)
    )
}

fn range(bounds: Bounds) -> String {
    match bounds.start {
        Some(start) if bounds.min == bounds.max => start.to_string(),
        Some(start) => format!("{start} ({}–{})", bounds.min, bounds.max),
        None => format!("by class ({}–{})", bounds.min, bounds.max),
    }
}
