//! Pure: starting values per table class, until a tuner knows better.
//!
//! Source: Microsoft, "Suggested workflow for a complex data migration" (2025-08), section "Load
//! data into Dataverse": out-of-the-box tables 200–300 rows and up to 30 threads; simple tables at
//! most 10 rows and up to 50 threads; moderate custom tables at most 100 rows and up to 30
//! threads; complex tables (over 100 columns, over 20 lookups) 10–20 rows and 10–20 threads.
//! Elastic: 100 rows a request, sent in parallel (`dataverse-web-api.md` §2.8).

use crate::catalog::model::{ColumnKind, Table, TableKind};
use crate::config::job::{Bounds, TableClass};

/// Columns above which a table counts as complex.
const COMPLEX_COLUMNS: usize = 100;
/// Lookups above which a table counts as complex.
const COMPLEX_LOOKUPS: usize = 20;

/// Rows a request and requests at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Rows a request.
    pub batch_rows: u32,
    /// Requests at once.
    pub parallel: u32,
}

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

/// The guidance for a class.
///
/// # Panics
/// On `Auto`, which [`class_of`] resolves first.
#[must_use]
pub fn guidance(class: TableClass) -> Shape {
    let (batch_rows, parallel) = match class {
        TableClass::OutOfTheBox => (200, 30),
        TableClass::Simple => (10, 50),
        TableClass::Moderate => (100, 30),
        TableClass::Complex => (15, 15),
        TableClass::Elastic => (100, 30),
        TableClass::Auto => panic!("auto is resolved from metadata before guidance is asked for"),
    };
    Shape { batch_rows, parallel }
}

/// Starting values of one load: what the job says, else the guidance, within the job's bounds.
#[must_use]
pub fn starting_shape(class: TableClass, batch: Bounds, parallel: Bounds) -> Shape {
    let guide = guidance(class);
    let pick = |bounds: Bounds, guide: u32| {
        bounds.start.unwrap_or(guide).clamp(bounds.min.max(1), bounds.max.max(bounds.min).max(1))
    };
    Shape { batch_rows: pick(batch, guide.batch_rows), parallel: pick(parallel, guide.parallel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_file_wins_over_the_guidance_and_bounds_over_both() {
        let free = Bounds { start: None, min: 1, max: 1000 };
        let shape = starting_shape(TableClass::OutOfTheBox, free, free);
        assert_eq!(shape, Shape { batch_rows: 200, parallel: 30 });
        let fixed = Bounds { start: Some(7), min: 7, max: 7 };
        let narrow = Bounds { start: None, min: 1, max: 4 };
        let shape = starting_shape(TableClass::Simple, fixed, narrow);
        assert_eq!(shape, Shape { batch_rows: 7, parallel: 4 });
    }
}
