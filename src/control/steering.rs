//! What people, the schedule and the entitlement want of the run, and who listens to it.

use crate::control::change::{Change, ChangeRefused, Names};
use crate::limits::CHANGES_SHOWN;
use crate::tuning::entitlement::Entitlement;
use crate::tuning::orders::Orders;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What the run should do. Later wishes override earlier ones, except that an ending run cannot
/// be resumed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wish {
    /// Go on.
    Run,
    /// Send nothing new; keep everything.
    Pause,
    /// Read nothing new, send what was read, then end.
    Drain,
    /// Send nothing new, wait for what is on the wire, then end; resumable.
    Stop,
}

impl Wish {
    /// Word used in `/status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "running",
            Self::Pause => "paused",
            Self::Drain => "draining",
            Self::Stop => "stopping",
        }
    }
}

/// The wish in force, and how often "go on" was said: a load that a breaker paused goes on when
/// it is said after that, though the run as a whole never stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What the run should do.
    pub wish: Wish,
    /// How often [`Wish::Run`] was said.
    pub resumes: u64,
}

/// Who changed the orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A person, by the control API.
    Operator,
    /// The schedule, because another entry began.
    Schedule,
    /// The 24-hour entitlement of an identity.
    Entitlement,
}

impl Who {
    /// All of them, for metrics.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Schedule, Self::Entitlement];

    /// Word for labels and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Schedule => "schedule",
            Self::Entitlement => "entitlement",
        }
    }
}

/// A change that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeMade {
    /// When, milliseconds since 1970.
    pub wall_ms: i64,
    /// By whom.
    pub who: Who,
    /// What, with old and new value.
    pub text: String,
}

/// The entry of the schedule in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ScheduleNow {
    /// Its name.
    pub name: String,
    /// When another one begins, milliseconds since 1970; `None` when never.
    pub until_ms: Option<i64>,
}

/// The one place wishes go to.
#[derive(Clone, Debug)]
pub struct Steering {
    order: watch::Sender<Order>,
    orders: watch::Sender<Orders>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    names: Names,
    /// What the job file wants, for `auto`.
    job: Orders,
    entitlement: Option<Mutex<Entitlement>>,
    schedule: Mutex<Option<ScheduleNow>>,
    /// Changes made, by [`Who::ALL`].
    counts: [AtomicU64; Who::ALL.len()],
    recent: Mutex<VecDeque<ChangeMade>>,
}

/// A wish that comes too late.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is {}; that cannot be taken back", .0.word())]
pub struct TooLate(pub Wish);

impl Default for Steering {
    /// Of a run without loads.
    fn default() -> Self {
        let nothing = Orders { tables: Vec::new(), identities: Vec::new(), max_share: 1.0 };
        Self::new(Names::default(), nothing, None)
    }
}

impl Steering {
    /// For loads and identities of these names, with the orders of the job file.
    #[must_use]
    pub fn new(names: Names, job: Orders, entitlement: Option<Entitlement>) -> Self {
        debug_assert!(
            names.loads.len() == job.tables.len() && names.identities.len() == job.identities.len(),
            "a name for each order"
        );
        Self {
            order: watch::Sender::new(Order { wish: Wish::Run, resumes: 0 }),
            orders: watch::Sender::new(job.clone()),
            known: Arc::new(Known {
                names,
                job,
                entitlement: entitlement.map(Mutex::new),
                schedule: Mutex::new(None),
                counts: Default::default(),
                recent: Mutex::new(VecDeque::with_capacity(CHANGES_SHOWN)),
            }),
        }
    }

    /// Says what the run should do.
    ///
    /// # Errors
    /// When the run is already ending and the wish would take that back.
    pub fn wish(&self, new: Wish) -> Result<(), TooLate> {
        let mut refused = None;
        self.order.send_if_modified(|order| {
            if order.wish >= Wish::Drain && new < order.wish {
                refused = Some(order.wish);
                return false;
            }
            order.wish = new;
            order.resumes += u64::from(new == Wish::Run);
            true
        });
        refused.map_or(Ok(()), |wish| Err(TooLate(wish)))
    }

    /// The wish in force.
    #[must_use]
    pub fn now(&self) -> Wish {
        self.order.borrow().wish
    }

    /// A listener.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<Order> {
        self.order.subscribe()
    }

    /// The orders in force, and a listener to them.
    #[must_use]
    pub fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// Names of loads and identities, in job order.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.known.names
    }

    /// Does what a person asks for, at once and for this run only.
    ///
    /// # Errors
    /// The change breaks a rule or comes too late; then nothing is changed.
    pub fn ask(&self, change: &Change, wall_ms: i64) -> Result<(), ChangeRefused> {
        if self.now() == Wish::Stop {
            return Err(ChangeRefused::TooLate);
        }
        let mut refused = None;
        self.change(Who::Operator, wall_ms, |orders| {
            match change.apply(&self.known.names, &self.known.job, orders) {
                Ok(told) => told,
                Err(error) => {
                    refused = Some(error);
                    None
                }
            }
        });
        refused.map_or(Ok(()), Err)
    }

    /// Changes the orders. `change` says what it changed, or `None` and leaves them as they are;
    /// listeners hear of it, it is logged, counted and remembered.
    pub fn change(
        &self,
        who: Who,
        wall_ms: i64,
        change: impl FnOnce(&mut Orders) -> Option<String>,
    ) {
        let mut made = None;
        self.orders.send_if_modified(|orders| {
            made = change(orders);
            made.is_some()
        });
        let Some(text) = made else { return };
        tracing::info!(who = who.word(), change = %text, "orders changed");
        self.known.counts[who as usize].fetch_add(1, Ordering::Relaxed);
        let mut recent = self.known.recent.lock();
        while recent.len() >= CHANGES_SHOWN {
            recent.pop_front();
        }
        recent.push_back(ChangeMade { wall_ms, who, text });
    }

    /// Changes made since the start of the run.
    #[must_use]
    pub fn changes(&self, who: Who) -> u64 {
        self.known.counts[who as usize].load(Ordering::Relaxed)
    }

    /// The last changes, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<ChangeMade> {
        self.known.recent.lock().iter().cloned().collect()
    }

    /// The entry of the schedule in force, where there is a schedule.
    #[must_use]
    pub fn schedule(&self) -> Option<ScheduleNow> {
        self.known.schedule.lock().clone()
    }

    /// Says which entry of the schedule is in force.
    pub fn tell_schedule(&self, now: ScheduleNow) {
        *self.known.schedule.lock() = Some(now);
    }

    /// Counts operations (rows sent) of an identity against its 24-hour entitlement.
    pub fn note_operations(&self, identity: usize, operations: u64, wall_ms: i64) {
        if let Some(entitlement) = &self.known.entitlement {
            entitlement.lock().note(identity, operations, wall_ms);
        }
    }

    /// The counters of the entitlement, where the job file has one.
    #[must_use]
    pub fn entitlement(&self) -> Option<&Mutex<Entitlement>> {
        self.known.entitlement.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::orders::{Range, TableOrders};

    #[test]
    fn an_ending_run_cannot_be_resumed_but_can_be_hurried() {
        let steering = Steering::default();
        assert_eq!(steering.wish(Wish::Pause), Ok(()));
        assert_eq!(steering.wish(Wish::Run), Ok(()));
        assert_eq!(steering.wish(Wish::Drain), Ok(()));
        assert_eq!(steering.wish(Wish::Pause), Err(TooLate(Wish::Drain)));
        assert_eq!(steering.now(), Wish::Drain);
        assert_eq!(steering.wish(Wish::Stop), Ok(()));
    }

    fn one_load() -> Steering {
        let table = TableOrders {
            batch: Range { min: 1, max: 1000 },
            parallel: Range { min: 1, max: 512 },
            weight: 1.0,
            paused: false,
        };
        let orders = Orders { tables: vec![table], identities: Vec::new(), max_share: 1.0 };
        let names = Names { loads: vec!["account".into()], identities: Vec::new() };
        Steering::new(names, orders, None)
    }

    #[test]
    fn a_change_is_heard_counted_and_remembered_and_a_refused_one_is_not() {
        let steering = one_load();
        let mut heard = steering.orders();
        let fixed = Change::set("account", ["batch=7"]).unwrap();
        steering.ask(&fixed, 5).unwrap();
        assert!(heard.has_changed().unwrap());
        assert_eq!(heard.borrow_and_update().tables[0].batch, Range { min: 7, max: 7 });
        steering.ask(&fixed, 6).unwrap();
        assert!(!heard.has_changed().unwrap(), "it was so already");
        let unknown = Change::set("acount", ["batch=9"]).unwrap();
        assert!(matches!(steering.ask(&unknown, 7), Err(ChangeRefused::NoLoad { .. })));
        assert!(!heard.has_changed().unwrap());
        assert_eq!((steering.changes(Who::Operator), steering.changes(Who::Schedule)), (1, 0));
        let made = ChangeMade {
            wall_ms: 5,
            who: Who::Operator,
            text: "load account: batch 1–1000 → 7".into(),
        };
        assert_eq!(steering.recent(), [made]);
        steering.wish(Wish::Stop).unwrap();
        assert_eq!(steering.ask(&fixed, 8), Err(ChangeRefused::TooLate));
    }

    #[test]
    fn only_so_many_changes_are_remembered() {
        let steering = one_load();
        for n in 1..=CHANGES_SHOWN as u32 + 10 {
            let change = Change::set("account", [format!("batch={n}").as_str()]).unwrap();
            steering.ask(&change, i64::from(n)).unwrap();
        }
        let recent = steering.recent();
        assert_eq!((recent.len(), recent[0].wall_ms), (CHANGES_SHOWN, 11));
        assert_eq!(steering.changes(Who::Operator), CHANGES_SHOWN as u64 + 10);
    }
}
