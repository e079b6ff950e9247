//! From a job file to a checked connection: identities that get tokens, the organization the job
//! names, its metadata, and the columns of the sources. Shared by `load` and `check`; nothing here
//! writes to the environment.

use crate::catalog::check::{self, Finding, Severity};
use crate::catalog::fetch::{self, FetchRefused, WhoAmI};
use crate::catalog::model::{Catalog, Table};
use crate::cli::exit;
use crate::client::attempt::IdentityId;
use crate::client::transport::HttpTransport;
use crate::config::job::{Job, LookupBy, OrganizationLock, SourceFormat, TableClass, TableLoad};
use crate::pipeline::run::plan::{FileStyle, LoadPlan};
use crate::pipeline::send::class;
use crate::pipeline::source::open;
use crate::record::chunk::RecordFormat;
use crate::record::key::{PartitionId, TableId};
use crate::record::pinned::PinnedIds;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// A checked connection.
pub(super) struct Connected {
    /// The wire.
    pub(super) transport: Arc<HttpTransport>,
    /// Who each identity is, in job order.
    pub(super) identities: Vec<WhoAmI>,
    /// The organization.
    pub(super) organization: Uuid,
    /// Its unique name, where it could be read.
    pub(super) organization_name: Option<String>,
    /// Its metadata.
    pub(super) catalog: Arc<Catalog>,
}

/// Why there is no connection; carries its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct NotConnected {
    /// `DV…`.
    pub(super) code: &'static str,
    /// What, where, and the way out.
    pub(super) message: String,
    /// Exit code.
    pub(super) exit: u8,
}

/// Connects, compares the organization, reads the metadata.
pub(super) async fn connect(job: &Job) -> Result<Connected, NotConnected> {
    let parallel: usize =
        job.tables.iter().map(|t| t.parallel.max as usize).sum::<usize>().min(512);
    let transport =
        HttpTransport::new(&job.environment, &job.identities, parallel.max(16)).map_err(
            |error| NotConnected { code: "DV0509", message: error.to_string(), exit: exit::USAGE },
        )?;
    let transport = Arc::new(transport);
    let timeout = job.environment.request_timeout;
    let mut identities = Vec::new();
    for (index, identity) in job.identities.iter().enumerate() {
        let number = IdentityId(u16::try_from(index).unwrap_or(u16::MAX));
        let who = fetch::who_am_i(&*transport, number, timeout)
            .await
            .map_err(|error| not_connected(&identity.name, &job.environment.url, &error))?;
        identities.push(who);
    }
    let Some(first) = identities.first() else {
        return Err(NotConnected {
            code: "DV0502",
            message: "the job names no identity".to_owned(),
            exit: exit::USAGE,
        });
    };
    let organization = first.organization;
    let organization_name = first.unique_name.clone();
    compare(job, &identities, organization_name.as_deref())?;
    let wanted = wanted(job);
    let catalog = fetch::fetch(&*transport, IdentityId(0), &wanted, timeout)
        .await
        .map_err(|error| not_connected(&job.identities[0].name, &job.environment.url, &error))?;
    Ok(Connected {
        transport,
        identities,
        organization,
        organization_name,
        catalog: Arc::new(catalog),
    })
}

/// Tables whose columns and keys are needed: those loaded, and those addressed by alternate key.
fn wanted(job: &Job) -> BTreeSet<String> {
    let lookups = job.tables.iter().flat_map(|t| &t.columns).filter_map(|c| c.lookup.as_ref());
    let by_key = lookups
        .flat_map(|lookup| &lookup.targets)
        .filter(|via| matches!(via.by, LookupBy::Key(_)))
        .map(|via| via.table.clone());
    job.tables.iter().map(|t| t.table.clone()).chain(by_key).collect()
}

fn not_connected(identity: &str, url: &str, error: &FetchRefused) -> NotConnected {
    let (code, exit) = match error {
        FetchRefused::UnknownTable { .. } | FetchRefused::NotLoadable(_) => ("DV0101", exit::USAGE),
        FetchRefused::Token { .. }
        | FetchRefused::Unauthorized { .. }
        | FetchRefused::Refused { .. } => ("DV0502", exit::AUTH),
        FetchRefused::Unreachable { .. }
        | FetchRefused::Busy { .. }
        | FetchRefused::Unreadable { .. } => ("DV0509", exit::AUTH),
    };
    NotConnected { code, message: format!("identity {identity} at {url}: {error}"), exit }
}

/// Writing to the wrong environment is the worst accident of this trade: the organization behind
/// the URL must be the one the job names, and all identities must be in it.
fn compare(job: &Job, identities: &[WhoAmI], name: Option<&str>) -> Result<(), NotConnected> {
    let found = identities[0].organization;
    let wrong = |message: String| NotConnected { code: "DV0501", message, exit: exit::AUTH };
    let url = &job.environment.url;
    match &job.environment.organization {
        OrganizationLock::Id(wanted) if *wanted != found => {
            return Err(wrong(format!(
                "{url} is organization {found} ({}), and the job is for {wanted}; nothing was written. Correct url or organization in {}",
                name.unwrap_or("name not readable"),
                job.file.display()
            )));
        }
        OrganizationLock::UniqueName(wanted) => match name {
            Some(name) if name.eq_ignore_ascii_case(wanted) => {}
            Some(name) => {
                return Err(wrong(format!(
                    "{url} is organization {name:?} ({found}), and the job is for {wanted:?}; nothing was written. Correct url or organization in {}",
                    job.file.display()
                )));
            }
            None => {
                return Err(wrong(format!(
                    "the unique name of the organization at {url} cannot be read, so it cannot be compared with {wanted:?}; name it by id instead: organization = \"{found}\""
                )));
            }
        },
        OrganizationLock::Id(_) => {}
    }
    for (who, identity) in identities.iter().zip(&job.identities) {
        if who.organization != found {
            return Err(wrong(format!(
                "identity {} is in organization {}, the first one in {found}",
                identity.name, who.organization
            )));
        }
    }
    Ok(())
}

/// Columns of each load's first file, `None` where they are not known before reading, and what is
/// wrong with the files.
pub(super) fn headers(job: &Job, watch: bool) -> (Vec<Option<Vec<String>>>, Vec<String>) {
    let mut wrong = Vec::new();
    let headers = job
        .tables
        .iter()
        .map(|load| match header(load) {
            Ok(header) => header,
            Err(_) if watch && open::matching(&load.source.path).is_err() => None,
            Err(error) => {
                wrong.push(format!("load {}: {error}", load.name));
                None
            }
        })
        .collect();
    (headers, wrong)
}

fn header(load: &TableLoad) -> Result<Option<Vec<String>>, crate::pipeline::source::SourceError> {
    let files = open::matching(&load.source.path)?;
    let Some(first) = files.first() else { return Ok(None) };
    if load.source.format == SourceFormat::Jsonl {
        return Ok(None);
    }
    let source = open::open_source(first, &load.source.format, PartitionId(0))?;
    Ok(match &**source.format() {
        RecordFormat::Delimited { header, .. } => Some(header.to_vec()),
        RecordFormat::Json => None,
    })
}

/// Runs the preflight checks.
pub(super) fn preflight(
    job: &Job,
    catalog: &Catalog,
    headers: &[Option<Vec<String>>],
) -> Vec<Finding> {
    check::check(job, catalog, headers)
}

/// Whether a finding forbids the load.
pub(super) fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// The plans of all loads.
pub(super) fn plans(job: &Job, organization: Uuid, catalog: &Catalog) -> Vec<Arc<LoadPlan>> {
    job.tables
        .iter()
        .enumerate()
        .filter_map(|(index, load)| {
            let table = TableId(u16::try_from(index).ok()?);
            let target = Arc::clone(catalog.table(&load.table)?);
            let pinned = PinnedIds::new(organization, &job.name, &load.name);
            let files = FileStyle::new(job.sink_format, &load.source.format, job.excel_safe);
            let parents = parents(job, load);
            let load = &job.tuning.settled(load, class_of(load, &target));
            Some(Arc::new(LoadPlan::new(table, load, target, pinned, parents, files)))
        })
        .collect()
}

/// Class of a load's table: what the job file says, else what its metadata shows.
pub(super) fn class_of(load: &TableLoad, target: &Table) -> TableClass {
    match load.class {
        TableClass::Auto => class::class_of(target),
        said => said,
    }
}

/// Loads whose rows `load` refers to by staged key, each once, in the order of its columns; the
/// conversion asks them by this index.
fn parents(job: &Job, load: &TableLoad) -> Vec<TableId> {
    let mut parents = Vec::new();
    let names = load.columns.iter().filter_map(|c| c.lookup.as_ref()).flat_map(|l| &l.targets);
    for via in names {
        let LookupBy::Staged(name) = &via.by else { continue };
        let Some(index) = job.tables.iter().position(|t| t.name == *name) else { continue };
        let id = TableId(u16::try_from(index).unwrap_or(u16::MAX));
        if !parents.contains(&id) {
            parents.push(id);
        }
    }
    parents
}
