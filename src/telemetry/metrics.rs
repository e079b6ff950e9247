//! The meters of a run and the page of `/metrics`. Names stand in `metrics/names.rs`. Handles are
//! resolved once per run; labels come from closed sets: names of loads and identities in the job
//! file, states, results, kinds of limit, numbers of web servers up to a bound.

mod families;
mod identity;
mod ledger;
mod load;
pub mod names;
mod tuning;

pub use identity::{EntitlementUse, IdentityMeters};
pub use ledger::LedgerMeters;
pub use load::{LoadMeters, RequestEnd, SourceBytes};
pub use tuning::SERVER_LABELS_MAX;

use crate::record::key::{IdentityId, TableId};
use crate::record::refused::{LatestRefused, Refused};
use crate::tuning::view::View;
use families::Families;
use identity::IdentityFamilies;
use ledger::LedgerDisk;
use load::LoadFamilies;
use parking_lot::Mutex;
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};
use std::path::Path;
use std::sync::Arc;
use tuning::TuningFamilies;

/// All meters of a run.
#[derive(Debug)]
pub struct Meters {
    registry: Registry,
    loads: Vec<LoadMeters>,
    identities: Vec<IdentityMeters>,
    /// Bytes of records held.
    pub memory_taken: IntGauge,
    /// Most bytes of records that may be held.
    pub memory_budget: IntGauge,
    /// What the ledger's writer counts.
    pub ledger: LedgerMeters,
    /// Changes of what is wanted while the run goes on, by people, schedule or entitlement.
    pub order_changes: IntCounter,
    of_loads: LoadFamilies,
    of_identities: IdentityFamilies,
    of_tuning: TuningFamilies,
    ledger_disk: LedgerDisk,
    view: Mutex<Arc<View>>,
    refused: Mutex<LatestRefused>,
    /// Held while gauges are brought up to date and read: two pages made at once would take each
    /// other's series away.
    page: Mutex<()>,
}

impl Meters {
    /// Registers everything for the named loads and identities.
    ///
    /// # Errors
    /// When a name is registered twice: a fault of this program.
    pub fn new(loads: &[String], identities: &[String]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families(&registry);
        let taken = "Bytes of the record budget in use.";
        let memory_taken = families.add(IntGauge::new(names::MEMORY_TAKEN, taken)?)?;
        let budget = "Bytes of the record budget.";
        let memory_budget = families.add(IntGauge::new(names::MEMORY_BUDGET, budget)?)?;
        let changes = "Changes of orders while the run goes on.";
        let order_changes = families.add(IntCounter::new(names::ORDER_CHANGES, changes)?)?;
        let build = families.gauges(names::BUILD_INFO, "Version of the program.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let of_loads = LoadFamilies::new(&families)?;
        let of_identities = IdentityFamilies::new(&families)?;
        Ok(Self {
            loads: loads.iter().map(|name| of_loads.of(name)).collect(),
            identities: identities.iter().map(|name| of_identities.of(name)).collect(),
            memory_taken,
            memory_budget,
            ledger: LedgerMeters::new(&families)?,
            order_changes,
            of_tuning: TuningFamilies::new(&families)?,
            ledger_disk: LedgerDisk::new(&families)?,
            of_loads,
            of_identities,
            view: Mutex::default(),
            refused: Mutex::default(),
            page: Mutex::default(),
            registry,
        })
    }

    /// Meters of a load.
    #[must_use]
    pub fn load(&self, table: TableId) -> &LoadMeters {
        &self.loads[usize::from(table.0)]
    }

    /// Meters of all loads, in job order.
    #[must_use]
    pub fn loads(&self) -> &[LoadMeters] {
        &self.loads
    }

    /// Meters of an identity.
    #[must_use]
    pub fn identity(&self, identity: IdentityId) -> &IdentityMeters {
        &self.identities[usize::from(identity.0)]
    }

    /// Meters of all identities, in job order.
    #[must_use]
    pub fn identities(&self) -> &[IdentityMeters] {
        &self.identities
    }

    /// Takes refused rows in, oldest first, once they are in the ledger.
    pub fn refuse(&self, rows: &LatestRefused) {
        let mut latest = self.refused.lock();
        for row in rows.iter() {
            latest.push(row.clone());
        }
    }

    /// The refused rows that came last, latest first.
    #[must_use]
    pub fn last_refused(&self) -> Vec<Refused> {
        self.refused.lock().iter().rev().cloned().collect()
    }

    /// Takes what the governor shows at this moment.
    pub fn show(&self, view: View) {
        *self.view.lock() = Arc::new(view);
    }

    /// What the governor showed last.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.lock())
    }

    /// Says where the ledger stands, so that the room on its disk can be shown.
    pub fn ledger_stands_in(&self, folder: &Path) {
        self.ledger_disk.stands_in(folder);
    }

    /// The page of `/metrics`.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        let alone = self.page.lock();
        self.of_loads.refresh(&self.loads);
        self.of_identities.refresh(&self.identities);
        self.of_tuning.refresh(&self.view(), &self.loads, &self.identities);
        self.ledger_disk.refresh();
        let gathered = self.registry.gather();
        drop(alone);
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&gathered, &mut page) {
            tracing::error!(%error, "metrics page cannot be written");
        }
        page
    }
}

#[cfg(test)]
mod tests;
