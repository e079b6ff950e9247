//! Pure: from a job to what it wants of the governor at the start. A table's own numbers stand
//! before those of its class, and these before the bounds of the program.

use crate::config::job::{Bounds, Job, TableClass, TableLoad, Tuning};
use crate::limits::{BATCH_ROWS_MAX, ELASTIC_ROWS_MAX, PARALLEL_REQUESTS_MAX};
use crate::tuning::learned::RequestKind;
use crate::tuning::orders::{IdentityOrders, Orders, Range, TableOrders};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

impl Tuning {
    /// The load with the bounds and weight in force for a table of `class`.
    #[must_use]
    pub fn settled(&self, load: &TableLoad, class: TableClass) -> TableLoad {
        let of_class = self.classes.iter().find(|(known, _)| *known == class).map(|(_, b)| *b);
        let of_class = of_class.unwrap_or_default();
        let rows = if class == TableClass::Elastic { ELASTIC_ROWS_MAX } else { BATCH_ROWS_MAX };
        let free = |max| Bounds { start: None, min: 1, max };
        let said = &load.said;
        TableLoad {
            batch: said.batch.or(of_class.batch).unwrap_or_else(|| free(rows)),
            parallel: said
                .parallel
                .or(of_class.parallel)
                .unwrap_or_else(|| free(PARALLEL_REQUESTS_MAX)),
            weight: said.weight.or(of_class.weight).unwrap_or(1.0),
            ..load.clone()
        }
    }
}

/// What `job` wants at `wall_ms` (milliseconds since 1970); `classes` are those of its tables, in
/// job order. A load without a class there is taken for what the job file calls it.
#[must_use]
pub fn orders(job: &Job, classes: &[TableClass], wall_ms: i64) -> Orders {
    let tables = job.tables.iter().enumerate().map(|(index, load)| {
        let class = classes.get(index).copied().unwrap_or(load.class);
        let load = job.tuning.settled(load, class);
        TableOrders {
            batch: Range { min: load.batch.min, max: load.batch.max },
            parallel: Range { min: load.parallel.min, max: load.parallel.max },
            weight: load.weight,
            paused: false,
        }
    });
    let identities = job.identities.iter().map(|identity| IdentityOrders {
        paused: false,
        requests_per_second: identity.requests_per_second,
        entitlement_used_up: false,
    });
    Orders {
        tables: tables.collect(),
        identities: identities.collect(),
        max_share: job.tuning.schedule.as_ref().map_or(1.0, |s| s.share_at(wall_ms).0),
    }
}

/// The kind of request a load sends: what changes its cost, and nothing else.
#[must_use]
pub fn request_kind(load: &TableLoad) -> RequestKind {
    let mut columns: Vec<&str> = load.columns.iter().map(|c| c.target.as_str()).collect();
    columns.sort_unstable();
    let options = &load.request;
    let mut words = Vec::new();
    for (on, word) in [
        (options.bypass_sync, "sync"),
        (options.bypass_async, "async"),
        (options.bypass_flows, "flows"),
        (options.detect_duplicates, "duplicates"),
    ] {
        if on {
            words.push(word.to_owned());
        }
    }
    if !options.bypass_steps.is_empty() {
        let mut steps: Vec<_> = options.bypass_steps.clone();
        steps.sort_unstable();
        let steps: Vec<u8> = steps.iter().flat_map(|step| *step.as_bytes()).collect();
        words.push(format!("steps-{:08x}", xxh3_64(&steps) as u32));
    }
    RequestKind {
        table: load.table.clone(),
        operation: load.operation.word().to_owned(),
        columns: format!("{:032x}", xxh3_128(columns.join("\n").as_bytes())),
        bypass: words.join("+"),
    }
}
