//! What one request costs the governor in processor time: the size of its batch, leave to go (and
//! the times it was told to wait), and its landing, with three loads, in virtual time. At most
//! 10 µs are wanted.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dvbulk::tuning::admission::{Admission, Cargo, Landing, Outcome, Permit};
use dvbulk::tuning::discovery::Found;
use dvbulk::tuning::governor::{Beginning, Governor};
use dvbulk::tuning::orders::{IdentityOrders, Orders, Range, TableOrders};
use dvbulk::tuning::view::Scope;
use dvbulk::units::MonoTime;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

const TABLES: usize = 3;
/// Requests before measuring: the ramp is over and windows are full.
const WARM: u64 = 60_000;
/// Requests measured at a time.
const REQUESTS: u64 = 5_000;

/// A loader that always has rows, and a service that answers after a while that follows from the
/// number of the request.
struct Loop {
    governor: Governor,
    now: u64,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    flying: Vec<(u64, Permit)>,
    batches: [Option<u32>; TABLES],
}

impl Loop {
    fn new(identities: u32, servers: u32) -> Self {
        let table = TableOrders {
            batch: Range { min: 1, max: 1000 },
            parallel: Range { min: 1, max: 4096 },
            weight: 1.0,
            paused: false,
        };
        let identity =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        let beginning = Beginning {
            atomic: vec![true; TABLES],
            start_rows: vec![None; TABLES],
            orders: Orders {
                tables: vec![table; TABLES],
                identities: vec![identity; identities as usize],
                max_share: 1.0,
            },
            found: Found { scope: Scope::Server, servers, latency_secs: 0.02, headers: true },
        };
        Self {
            governor: Governor::new(beginning, MonoTime::ZERO),
            now: 0,
            due: BinaryHeap::new(),
            flying: Vec::new(),
            batches: [None; TABLES],
        }
    }

    fn at(&self) -> MonoTime {
        MonoTime::from_origin(Duration::from_micros(self.now))
    }

    /// Until `requests` landed.
    fn run(&mut self, requests: u64) {
        let mut landed = 0;
        while landed < requests {
            let mut wake = self.now + 1_000_000;
            for table in 0..TABLES {
                self.governor.wants(table, true);
                loop {
                    let governor = &mut self.governor;
                    let rows =
                        *self.batches[table].get_or_insert_with(|| governor.batch_rows(table));
                    match self.governor.admit(table, rows, Cargo::Bulk, self.at()) {
                        Admission::Go(permit) => {
                            self.batches[table] = None;
                            // 0.1 s and 10 ms a row, give or take a third.
                            let spread = 70 + permit.id.wrapping_mul(2_654_435_761) % 61;
                            let micros = (100_000 + 10_000 * u64::from(rows)) * spread / 100;
                            self.due.push(Reverse((self.now + micros, permit.id)));
                            self.flying.push((permit.id, permit));
                        }
                        Admission::Wait(until, why) => {
                            black_box(why);
                            if let Some(until) = until {
                                let micros = until.since_origin().as_micros() as u64;
                                wake = wake.min(micros.max(self.now + 1));
                            }
                            break;
                        }
                    }
                }
            }
            let first = self.due.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            self.now = wake.min(first).max(self.now);
            if first > self.now {
                continue;
            }
            let Some(Reverse((_, id))) = self.due.pop() else { continue };
            let Some(place) = self.flying.iter().position(|(i, _)| *i == id) else { continue };
            let (_, permit) = self.flying.swap_remove(place);
            let landing = Landing {
                outcome: Outcome::Done,
                time_remaining_secs: None,
                requests_remaining: None,
                server: permit.server,
            };
            let at = self.at();
            self.governor.landed(permit, landing, at);
            landed += 1;
        }
    }
}

fn decide(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(REQUESTS));
    group.sample_size(20);
    for (identities, servers) in [(2, 2), (10, 4), (20, 8)] {
        let mut work = Loop::new(identities, servers);
        work.run(WARM);
        let lanes = identities * servers;
        group.bench_function(BenchmarkId::new("lanes", lanes), |b| {
            b.iter(|| work.run(REQUESTS));
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
