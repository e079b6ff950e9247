//! Pure: preflight: a job held against the environment's metadata and the sources' headers, as a
//! list of named checks, each runnable alone.
//!
//! It does not look at records: their values are checked when they are converted.

mod columns;
mod keys;
mod target;
mod values;

use crate::catalog::model::{Catalog, Table};
use crate::config::job::{Job, TableLoad};

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Rows would be refused, or the wrong thing be written.
    Error,
    /// Probably not what is meant.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Name of the check.
    pub check: &'static str,
    /// `DV01xx`; `dvbulk explain` has its page.
    pub code: &'static str,
    /// Name of the load.
    pub load: String,
    /// Target column (or source column, for checks of the header).
    pub column: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do; empty for plain notes.
    pub way_out: String,
}

/// One load and what surrounds it.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The whole job.
    pub job: &'a Job,
    /// The environment.
    pub catalog: &'a Catalog,
    /// The load looked at.
    pub load: &'a TableLoad,
    /// Its table, when the environment has it.
    pub table: Option<&'a Table>,
    /// Columns of its source, when they are known before reading (CSV).
    pub header: Option<&'a [String]>,
}

/// Where a check puts what it finds.
pub struct Report<'a> {
    check: &'static str,
    load: &'a str,
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        column: Option<&str>,
        message: String,
        way_out: impl Into<String>,
    ) {
        self.findings.push(Finding {
            severity,
            check: self.check,
            code,
            load: self.load.to_owned(),
            column: column.map(str::to_owned),
            message,
            way_out: way_out.into(),
        });
    }

    fn error(
        &mut self,
        code: &'static str,
        column: Option<&str>,
        message: String,
        way_out: impl Into<String>,
    ) {
        self.add(Severity::Error, code, column, message, way_out);
    }

    fn warning(
        &mut self,
        code: &'static str,
        column: Option<&str>,
        message: String,
        way_out: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, column, message, way_out);
    }

    fn note(
        &mut self,
        code: &'static str,
        column: Option<&str>,
        message: String,
        way_out: impl Into<String>,
    ) {
        self.add(Severity::Note, code, column, message, way_out);
    }
}

/// A named check of one load.
pub struct Check {
    /// Shown with each finding.
    pub name: &'static str,
    /// Adds what it finds.
    pub run: fn(&Case<'_>, &mut Report<'_>),
}

/// All checks, in the order they are reported.
pub const CHECKS: &[Check] = &[
    Check { name: "table", run: target::table },
    Check { name: "source-columns", run: target::source_columns },
    Check { name: "columns", run: columns::exist_and_writable },
    Check { name: "rules", run: columns::rules_fit },
    Check { name: "constants", run: values::constants_and_defaults },
    Check { name: "required", run: columns::required },
    Check { name: "lookups", run: keys::lookups },
    Check { name: "alternate-key", run: keys::alternate_key },
    Check { name: "primary-id", run: columns::primary_id },
    Check { name: "state", run: columns::state },
    Check { name: "migration-columns", run: columns::migration_columns },
    Check { name: "currency", run: columns::currency },
    Check { name: "elastic", run: target::elastic },
    Check { name: "messages", run: target::messages },
    Check { name: "privileges", run: target::privileges },
];

/// Runs all checks over all loads. `headers` holds one entry per load, in job order; `None` where
/// the columns are not known before reading (JSONL). Findings come load by load, errors first.
#[must_use]
pub fn check(job: &Job, catalog: &Catalog, headers: &[Option<Vec<String>>]) -> Vec<Finding> {
    let mut all = Vec::new();
    for (index, load) in job.tables.iter().enumerate() {
        let case = Case {
            job,
            catalog,
            load,
            table: catalog.table(&load.table).map(AsRef::as_ref),
            header: headers.get(index).and_then(Option::as_deref),
        };
        let mut findings = Vec::new();
        for check in CHECKS {
            let mut report = Report { check: check.name, load: &load.name, findings: Vec::new() };
            (check.run)(&case, &mut report);
            findings.append(&mut report.findings);
        }
        findings.sort_by_key(|f: &Finding| f.severity);
        all.append(&mut findings);
    }
    all
}

#[cfg(test)]
mod tests;
