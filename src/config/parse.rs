//! Pure: text of a job file → [`Job`], or everything that is wrong with it.

use crate::config::diagnose::{ConfigRefused, Finding, Invalid};
use crate::config::file::{self, EnvironmentPart, FilePart, IdentityPart, ServePart, Text};
use crate::config::job::{
    Auth, Breakers, Environment, Identity, Job, OrganizationLock, SinkFormat,
};
use crate::config::loads::{Surroundings, loads};
use crate::config::tree::{Findings, Section};
use crate::config::tuning;
use crate::config::values::{is_plain_name, origin};
use crate::limits::MEMORY_BUDGET_BYTES_MIN;
use core::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeTable;

/// Where tokens are asked for unless the job file says otherwise (the public cloud).
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Source: `dataverse-web-api.md` §1.5: load balancers cut idle connections at 230–240 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(240);
const MEMORY_BUDGET_BYTES: u64 = 512 << 20;
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(60);
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
const RETRY_DEADLINE: Duration = Duration::from_secs(24 * 3600);
const FAILED_SHARE_MAX: f64 = 0.05;

/// Reads `text`, which stands in `file`; relative paths start from `file`'s folder. `zone_known`
/// answers whether an IANA time zone exists.
///
/// # Errors
/// All findings at once, when there is any.
pub fn parse(
    text: &str,
    file: &Path,
    zone_known: &dyn Fn(&str) -> bool,
) -> Result<Job, ConfigRefused> {
    let mut out = Findings::default();
    let (tree, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let span = error.span().unwrap_or_default();
        out.secrets.extend(secret_in_line(text, &span));
        out.add("DV0002", span, format!("not TOML: {}", error.message()), "", None);
    }
    if !syntax.is_empty() {
        return Err(refused(text, file, out));
    }
    let root = Section::new(tree.get_ref(), 0..0, "the job file");
    let part = file::read(root, &mut out);
    let job = assemble(part, file, zone_known, &mut out);
    if out.list.is_empty() { Ok(job) } else { Err(refused(text, file, out)) }
}

/// The refusal, with every known secret blotted out of the text that will be shown.
fn refused(text: &str, file: &Path, out: Findings) -> ConfigRefused {
    let mut shown = text.to_owned();
    for span in &out.secrets {
        if shown.get(span.clone()).is_some() {
            shown.replace_range(span.clone(), &"*".repeat(span.len()));
        }
    }
    let mut findings: Vec<Finding> = out.list;
    findings.sort_by_key(|f| f.span.start);
    // `batch = 0` breaks the rule as start, min and max: one place, one finding.
    findings.dedup_by(|b, a| {
        a.code == b.code && a.span == b.span && !a.span.is_empty() && a.label == b.label
    });
    ConfigRefused::Invalid(Invalid { file: file.display().to_string(), text: shown, findings })
}

/// The value on the line of `span`, when its key speaks of a secret.
fn secret_in_line(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let at = span.start.min(text.len());
    let start = text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
    let end = text.get(start..)?.find('\n').map_or(text.len(), |n| start + n);
    let line = text.get(start..end)?;
    let (key, _) = line.split_once('=')?;
    let key_lower = key.to_ascii_lowercase();
    let speaks = ["secret", "password", "token"].iter().any(|word| key_lower.contains(word));
    speaks.then_some(start + key.len() + 1..end)
}

fn assemble(
    part: FilePart,
    file: &Path,
    zone_known: &dyn Fn(&str) -> bool,
    out: &mut Findings,
) -> Job {
    let folder = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().map_or_else(|| "job".into(), |s| s.to_string_lossy().into_owned());
    let name = match &part.job.name {
        Some(name) if name.get_ref().chars().count() > 100 => {
            out.add(
                "DV0010",
                name.span(),
                "the job's name is longer than 100 characters",
                "",
                None,
            );
            String::new()
        }
        Some(name) => name.get_ref().clone(),
        None => stem.clone(),
    };
    let memory_budget_bytes = part.job.memory_budget.map_or(MEMORY_BUDGET_BYTES, |budget| {
        if *budget.get_ref() < MEMORY_BUDGET_BYTES_MIN {
            let message = "`memory_budget` must be at least 64 MiB";
            let hint = "one record may take 16 MiB, and several are on their way at once";
            out.add("DV0014", budget.span(), message, "too small", hint.to_owned());
        }
        budget.into_inner()
    });
    let joined = |given: &Option<Text>, usual: &str| match given {
        Some(text) => folder.join(text.get_ref()),
        None => folder.join(format!("{stem}.{usual}")),
    };
    let sink_folder = joined(&part.sinks.folder, "out");
    let ledger_folder = joined(&part.ledger_folder, "ledger");
    let sources: Vec<Text> =
        part.tables.iter().filter_map(|t| t.source.as_ref().and_then(|s| s.path.clone())).collect();
    let folder_span =
        part.ledger_folder.as_ref().or(part.sinks.folder.as_ref()).map_or(0..0, Spanned::span);
    folders(folder, &sink_folder, &ledger_folder, folder_span, &sources, out);
    let tuning_span = part.tuning.folder.as_ref().map_or(0..0, Spanned::span);
    let tuning = tuning::tuning(part.tuning, folder, &ledger_folder, zone_known, out);
    tuning_folder(&tuning.folder, [&sink_folder, &ledger_folder], tuning_span, out);
    Job {
        file: file.to_path_buf(),
        name,
        environment: environment(part.environment, folder, out),
        identities: identities(part.identities, folder, out),
        tables: loads(part.tables, &Surroundings { folder, zone_known }, out),
        sink_folder,
        sink_format: part.sinks.format.map_or(SinkFormat::Csv, Spanned::into_inner),
        excel_safe: part.sinks.excel_safe,
        ledger_folder,
        memory_budget_bytes,
        listen: listen(&part.serve, out),
        breakers: Breakers {
            failed_rows_max: part.breakers.failed_rows_max,
            failed_share_max: part.breakers.failed_share_max.unwrap_or(FAILED_SHARE_MAX),
            retry_deadline: part.breakers.retry_deadline.unwrap_or(RETRY_DEADLINE),
        },
        shutdown_deadline: part.job.shutdown_deadline.unwrap_or(SHUTDOWN_DEADLINE),
        watch_interval: part.watch_interval.unwrap_or(WATCH_INTERVAL),
        tuning,
    }
}

fn environment(part: Option<EnvironmentPart>, folder: &Path, out: &mut Findings) -> Environment {
    let mut environment = Environment {
        url: String::new(),
        organization: OrganizationLock::UniqueName(String::new()),
        authority: AUTHORITY.to_owned(),
        ca_file: None,
        request_timeout: REQUEST_TIMEOUT,
    };
    let Some(part) = part else { return environment };
    let mut checked = |text: &Text| match origin(text.get_ref()) {
        Ok(origin) => origin,
        Err((why, hint)) => {
            out.add("DV0008", text.span(), why, "", hint);
            String::new()
        }
    };
    if let Some(url) = &part.url {
        environment.url = checked(url);
    }
    if let Some(authority) = &part.authority {
        environment.authority = checked(authority);
    }
    if let Some(lock) = &part.organization {
        environment.organization = match uuid::Uuid::try_parse(lock.get_ref()) {
            Ok(id) => OrganizationLock::Id(id),
            Err(_) => OrganizationLock::UniqueName(lock.get_ref().clone()),
        };
    }
    environment.ca_file = part.ca_file.map(|f| folder.join(f.get_ref()));
    if let Some(timeout) = part.request_timeout {
        environment.request_timeout = timeout;
    }
    environment
}

fn identities(parts: Vec<IdentityPart>, folder: &Path, out: &mut Findings) -> Vec<Identity> {
    let mut seen: Vec<String> = Vec::new();
    let mut identities = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let (name, span) = match &part.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (format!("app-{}", index + 1), part.span.clone()),
        };
        if !is_plain_name(&name) {
            let message = format!("`{name}` cannot name an identity");
            let hint = "letters, digits, `-`, `_` and `.`, at most 64".to_owned();
            out.add("DV0010", span.clone(), message, "", hint);
        }
        if seen.contains(&name) {
            let message = format!("two identities are called `{name}`");
            out.add("DV0010", span, message, "the second one", None);
        }
        seen.push(name.clone());
        let requests_per_second = part.requests_per_second.as_ref().and_then(|number| {
            let allowed = u32::try_from(*number.get_ref()).ok().and_then(NonZeroU32::new);
            if allowed.is_none() {
                let hint = "a whole number from 1 on; leave it out for no ceiling".to_owned();
                let message = format!("requests_per_second is {}", number.get_ref());
                out.add("DV0006", number.span(), message, "out of range", hint);
            }
            allowed
        });
        if let Some(auth) = auth(part, folder, out) {
            identities.push(Identity { name, auth, requests_per_second });
        }
    }
    identities
}

fn auth(part: IdentityPart, folder: &Path, out: &mut Findings) -> Option<Auth> {
    let kinds = [
        ("client_secret", part.client_secret.is_some()),
        ("certificate", part.certificate.is_some()),
        ("managed_identity", part.managed_identity.is_some()),
        ("token_command", part.token_command.is_some()),
    ];
    let given: Vec<&str> = kinds.iter().filter(|(_, is)| *is).map(|(kind, _)| *kind).collect();
    if given.len() != 1 {
        let message = match given.as_slice() {
            [] => "this identity has no way to prove itself".to_owned(),
            many => format!("this identity has several ways to prove itself: {}", many.join(", ")),
        };
        let hint = "exactly one of client_secret, certificate, managed_identity and token_command";
        out.add("DV0009", part.span.clone(), message, "", hint.to_owned());
        return None;
    }
    let registered = part.client_secret.is_some() || part.certificate.is_some();
    let mut of_registration = |key: &str, value: &Option<Text>| match (registered, value) {
        (true, Some(value)) => value.get_ref().clone(),
        (true, None) => {
            let message = format!("[[identity]] with {} needs `{key}`", given[0]);
            let hint = "both stand on the app registration's overview page in Entra".to_owned();
            out.add("DV0004", part.span.clone(), message, format!("no `{key}`"), hint);
            String::new()
        }
        (false, Some(value)) => {
            let message = format!("`{key}` means nothing with {}", given[0]);
            let hint = "a user-assigned identity is chosen by managed_identity = { client_id = \
                        \"…\" }";
            out.add("DV0009", value.span(), message, "", hint.to_owned());
            String::new()
        }
        (false, None) => String::new(),
    };
    let tenant = of_registration("tenant_id", &part.tenant_id);
    let client_id = of_registration("client_id", &part.client_id);
    if let Some(secret) = part.client_secret {
        use crate::config::secret::SecretSource;
        let secret = match secret.into_inner()? {
            SecretSource::File(path) => SecretSource::File(folder.join(path)),
            SecretSource::Env(name) => SecretSource::Env(name),
        };
        return Some(Auth::ClientSecret { tenant, client_id, secret });
    }
    if let Some(certificate) = part.certificate {
        let pem = folder.join(certificate.into_inner()?.get_ref());
        return Some(Auth::Certificate { tenant, client_id, pem });
    }
    if let Some(managed) = part.managed_identity {
        return Some(Auth::ManagedIdentity { client_id: managed.into_inner() });
    }
    part.token_command.map(|argv| Auth::Command { argv: argv.into_inner() })
}

fn listen(part: &ServePart, out: &mut Findings) -> Option<SocketAddr> {
    let Some(text) = &part.listen else {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    };
    if text.get_ref() == "off" {
        return None;
    }
    let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
        let message = format!("\"{}\" is no address with port", text.get_ref());
        let hint = "e.g. \"127.0.0.1:9464\" or \"[::1]:9464\"; port 0 takes a free one; \"off\" \
                    serves nothing";
        out.add("DV0017", text.span(), message, "", hint.to_owned());
        return None;
    };
    if !address.ip().is_loopback() && !part.allow_remote {
        let message = format!("{} can be reached from other machines", address.ip());
        let hint = "listen on 127.0.0.1, or say allow_remote = true when a firewall guards it: \
                    there is no login";
        out.add("DV0017", text.span(), message, "not loopback", hint.to_owned());
    }
    Some(address)
}

fn folders(
    base: &Path,
    sinks: &Path,
    ledger: &Path,
    span: Range<usize>,
    sources: &[Text],
    out: &mut Findings,
) {
    let (sinks, ledger) = (tidy(sinks), tidy(ledger));
    if sinks == ledger {
        let message = "ledger and sinks must not share a folder";
        let hint = "sinks are for people, the ledger is the job's memory; e.g. [sinks] folder = \
                    \"out\" and [ledger] folder = \"ledger\"";
        out.add("DV0016", span, message, "", hint.to_owned());
    }
    for source in sources {
        let path = tidy(&base.join(source.get_ref()));
        for (folder, what) in [(&sinks, "sink"), (&ledger, "ledger")] {
            if path.starts_with(folder) {
                let message = format!("this source lies in the job's own {what} folder");
                let hint = "to load an error file again, move it to another folder first";
                out.add("DV0016", source.span(), message, "", hint.to_owned());
            }
        }
    }
}

fn tuning_folder(folder: &Path, others: [&Path; 2], span: Range<usize>, out: &mut Findings) {
    if others.iter().any(|other| tidy(other) == tidy(folder)) {
        let message = "the folder of [tuning] must be its own";
        let hint = "jobs of one environment share it, and it outlives them; e.g. [tuning] folder \
                    = \"tuning\"";
        out.add("DV0016", span, message, "", hint.to_owned());
    }
}

/// A path without `.` and, as far as names go, without `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if tidied.file_name().is_some() => {
                tidied.pop();
            }
            other => tidied.push(other),
        }
    }
    tidied
}
