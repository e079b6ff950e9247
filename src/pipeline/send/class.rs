//! Pure: how heavy a table is, by its metadata: the job file sets bounds by class. How many rows and
//! requests are best is measured, not taken from the class.
//!
//! Source: Microsoft, "Suggested workflow for a complex data migration" (2025-08), section "Load
//! data into Dataverse": out-of-the-box tables 200–300 rows and up to 30 threads; simple tables at
//! most 10 rows and up to 50 threads; moderate custom tables at most 100 rows and up to 30
//! threads; complex tables (over 100 columns, over 20 lookups) 10–20 rows and 10–20 threads.
//! Elastic: 100 rows a request, sent in parallel (`dataverse-web-api.md` §2.8).

use crate::catalog::model::{ColumnKind, Table, TableKind};
use crate::config::job::TableClass;

/// Columns above which a table counts as complex.
const COMPLEX_COLUMNS: usize = 100;
/// Lookups above which a table counts as complex.
const COMPLEX_LOOKUPS: usize = 20;

/// The class of a table as its metadata shows it: elastic by storage, complex by writable columns
/// and lookups, out-of-the-box when Microsoft made it, else by whether it has lookups at all.
#[must_use]
pub fn class_of(table: &Table) -> TableClass {
    if table.kind == TableKind::Elastic {
        return TableClass::Elastic;
    }
    let writable = || table.columns.values().filter(|c| c.valid_for_create || c.valid_for_update);
    // Owner and currency stand on nearly every table and say nothing about weight.
    let own_lookups = writable()
        .filter(|c| matches!(c.kind, ColumnKind::Lookup(_)))
        .filter(|c| c.logical_name != "ownerid" && c.logical_name != "transactioncurrencyid")
        .count();
    if !table.is_custom {
        TableClass::OutOfTheBox
    } else if writable().count() > COMPLEX_COLUMNS || own_lookups > COMPLEX_LOOKUPS {
        TableClass::Complex
    } else if own_lookups > 0 {
        TableClass::Moderate
    } else {
        TableClass::Simple
    }
}
