//! The ledger against torn, flipped, full and forgetful storage.

use super::fingerprint::{Belongs, BelongsElsewhere, FileFingerprint, LoadBelongs};
use super::frame::{self, Place};
use super::journal::{Ledger, LedgerHealth, LedgerOptions, OpenRefused};
use super::ranges::{OrdinalRanges, OrdinalRun};
use super::record::{Intent, LedgerRecord, Outcome, PartitionRecord, RowFail};
use super::recover::Recovery;
use super::states::Standing;
use super::storage::Storage;
use super::storage::memory::{Faults, MemoryStorage};
use crate::record::key::{BatchId, Ordinal, PartitionId, TableId};
use crate::record::outcome::{FaultCategory, Operation, RowFault, RowState};
use crate::record::projection::{
    LedgerPosition, Projection, ProjectionQueue, SinkMark, SinkWork, TableLines,
};
use crate::record::refused::LatestRefused;
use crate::telemetry::metrics::Meters;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const TABLE: TableId = TableId(0);
const BATCH_ROWS: u32 = 10;

fn belongs() -> Belongs {
    Belongs {
        job: "job".into(),
        spec_hash: 1,
        organization: uuid::Uuid::from_u128(2),
        loads: vec![LoadBelongs { name: "account".into(), id_prefix: 3 }],
    }
}

fn options() -> LedgerOptions {
    LedgerOptions { segment_bytes: 8192, ..LedgerOptions::default() }
}

fn open(storage: &MemoryStorage) -> Result<(Ledger, Recovery), OpenRefused> {
    open_with(storage, options())
}

fn open_with(
    storage: &MemoryStorage,
    options: LedgerOptions,
) -> Result<(Ledger, Recovery), OpenRefused> {
    Ledger::open_on(Arc::new(storage.clone()), &belongs(), options)
}

fn partition() -> LedgerRecord {
    LedgerRecord::Partition(Box::new(PartitionRecord {
        table: TABLE,
        partition: PartitionId(0),
        path: "accounts.csv".into(),
        fingerprint: FileFingerprint { bytes: 1, modified_ms: 2, head_hash: 3, tail_hash: 4 },
    }))
}

fn rows(batch: u64) -> OrdinalRanges {
    let first = Ordinal::new(PartitionId(0), batch * u64::from(BATCH_ROWS));
    let mut rows = OrdinalRanges::default();
    rows.push(OrdinalRun { first, count: BATCH_ROWS }).unwrap();
    rows
}

fn intent(batch: u64) -> LedgerRecord {
    LedgerRecord::Intent(Intent {
        batch: BatchId(batch),
        parent: None,
        table: TABLE,
        operation: Operation::Create,
        rows: rows(batch),
        payload_hash: batch,
    })
}

fn outcome(batch: u64, states: &[(RowState, u32)]) -> LedgerRecord {
    LedgerRecord::Outcome(Box::new(Outcome {
        batch: BatchId(batch),
        at_ms: 5,
        attempts: 1,
        service_request_id: None,
        duration_ms: 6,
        states: states.to_vec(),
        server_ids: None,
    }))
}

fn created(batch: u64) -> LedgerRecord {
    outcome(batch, &[(RowState::Created, BATCH_ROWS)])
}

fn fault() -> RowFault {
    RowFault {
        code: "0x80040265".into(),
        category: FaultCategory::BusinessRule,
        message: "no".into(),
        retryable: false,
    }
}

fn fail(row: Ordinal, batch: Option<BatchId>, state: RowState) -> LedgerRecord {
    LedgerRecord::RowFail(Box::new(RowFail {
        table: TABLE,
        row,
        state,
        fault: fault(),
        attempts: 3,
        batch,
    }))
}

fn lines() -> Option<Projection> {
    let line = TableLines {
        table: TABLE,
        success: b"x\n".to_vec(),
        errors: vec![],
        counts: vec![],
        refused: LatestRefused::default(),
    };
    Some(Projection { lines: vec![line], hold: None })
}

/// Numbers of the batches that are settled and of those that are not.
fn batches(recovery: &Recovery) -> (Vec<u64>, Vec<u64>) {
    let load = &recovery.loads[0];
    let settled = (1..recovery.next_batch)
        .filter(|b| {
            let row = rows(*b).last().unwrap();
            load.states.get(row) == Standing::Settled(RowState::Created)
        })
        .collect();
    (settled, load.unsettled.iter().map(|b| b.batch.0).collect())
}

/// A ledger with `count` settled batches and one open, over several segments.
fn filled(count: u64) -> MemoryStorage {
    let storage = MemoryStorage::default();
    let (ledger, _) = open(&storage).unwrap();
    ledger.append(&[partition()], None).wait().unwrap();
    for batch in 1..=count {
        ledger.append(&[intent(batch)], None).wait().unwrap();
        ledger.append(&[created(batch)], None).wait().unwrap();
    }
    ledger.append(&[intent(count + 1)], None).wait().unwrap();
    drop(ledger);
    storage
}

#[test]
fn what_was_appended_is_known_after_a_restart() {
    let storage = filled(300);
    let (ledger, recovery) = open(&storage).unwrap();
    assert!(storage.list().unwrap().len() >= 3, "several segments: {:?}", storage.list());
    assert_eq!(batches(&recovery), ((1..=300).collect(), vec![301]));
    assert_eq!((recovery.epoch, recovery.next_batch, recovery.cut_bytes), (2, 302, 0));
    let load = &recovery.loads[0];
    assert_eq!(load.partitions[0].path, "accounts.csv");
    assert_eq!(load.states.count(RowState::Created), 3000);
    assert_eq!(load.states.pending(), 10);
    assert_eq!(load.unprojected.len(), 3000);
    assert_eq!(load.unsettled[0].rows, rows(301));
    ledger.append(&[created(301)], None).wait().unwrap();
    drop(ledger);
    let (_, recovery) = open(&storage).unwrap();
    assert_eq!((recovery.epoch, batches(&recovery).1), (3, vec![]));
}

#[test]
fn splits_failures_skips_pauses_and_marks_are_known_after_a_restart() {
    let storage = MemoryStorage::default();
    let (ledger, _) = open(&storage).unwrap();
    let at = |index| Ordinal::new(PartitionId(0), index);
    let child = |batch: u64, first: u64, count: u32| {
        let mut rows = OrdinalRanges::default();
        rows.push(OrdinalRun { first: at(first), count }).unwrap();
        LedgerRecord::Intent(Intent {
            batch: BatchId(batch),
            parent: Some(BatchId(1)),
            table: TABLE,
            operation: Operation::Create,
            rows,
            payload_hash: 0,
        })
    };
    let wait = |records: &[LedgerRecord]| ledger.append(records, None).wait().unwrap();
    wait(&[partition()]);
    wait(&[fail(at(0), None, RowState::Rejected), intent(1)]);
    let split = LedgerRecord::Split { batch: BatchId(1), children: vec![BatchId(2), BatchId(3)] };
    wait(&[split, child(2, 10, 5), child(3, 15, 5)]);
    let up_to = wait(&[outcome(2, &[(RowState::Created, 5)])]);
    let mark = SinkMark { table: TABLE, success_bytes: 7, error_bytes: 8, up_to };
    wait(&[LedgerRecord::SinkMark(mark)]);
    wait(&[
        fail(at(17), Some(BatchId(3)), RowState::Failed),
        outcome(3, &[(RowState::Created, 2), (RowState::Failed, 1), (RowState::Created, 2)]),
    ]);
    let mut skipped = OrdinalRanges::default();
    skipped.push(OrdinalRun { first: at(1), count: 4 }).unwrap();
    wait(&[LedgerRecord::Skip { table: TABLE, rows: skipped, state: RowState::Filtered }]);
    let end = LedgerRecord::PartitionEnd { table: TABLE, partition: PartitionId(0), records: 99 };
    wait(&[end, LedgerRecord::Pause { table: Some(TABLE), reason: "why".into() }]);
    wait(&[LedgerRecord::Pause { table: None, reason: "all".into() }]);
    wait(&[LedgerRecord::Resume { table: Some(TABLE), reason: String::new() }]);
    drop(ledger);

    let (_, recovery) = open(&storage).unwrap();
    assert_eq!(recovery.paused, [(None, "all".into())]);
    let load = &recovery.loads[0];
    assert!(load.unsettled.is_empty());
    assert_eq!(load.sink, Some(mark));
    assert_eq!(load.partitions[0].records, Some(99));
    let mut unprojected: Vec<_> = load.unprojected.iter().collect();
    unprojected.sort_by_key(|(row, _)| **row);
    let found: Vec<_> = unprojected.iter().map(|(r, u)| (r.index(), u.state, u.attempts)).collect();
    let good = RowState::Created;
    assert_eq!(
        found,
        [(15, good, 1), (16, good, 1), (17, RowState::Failed, 3), (18, good, 1), (19, good, 1)]
    );
    assert_eq!(unprojected[2].1.fault, Some(fault()));
    assert_eq!(load.states.count(RowState::Rejected), 1);
    assert_eq!(load.states.count(RowState::Filtered), 4);
}

#[test]
fn ids_chosen_by_the_server_are_known_after_a_restart() {
    let storage = MemoryStorage::default();
    let (ledger, _) = open(&storage).unwrap();
    ledger.append(&[partition(), intent(2), intent(1)], None).wait().unwrap();
    let mut expect = Vec::new();
    for batch in [2u64, 1] {
        let LedgerRecord::Outcome(mut outcome) = created(batch) else { panic!("no outcome") };
        let ids: Vec<_> =
            rows(batch).iter().map(|r| uuid::Uuid::from_u128(u128::from(r.bits()) + 1)).collect();
        expect.extend(rows(batch).iter().zip(ids.iter().copied()));
        outcome.server_ids = Some(ids);
        ledger.append(&[LedgerRecord::Outcome(outcome)], None).wait().unwrap();
    }
    drop(ledger);
    expect.sort();
    let (_, recovery) = open(&storage).unwrap();
    let ids = &recovery.loads[0].server_ids;
    assert_eq!(ids.iter().collect::<Vec<_>>(), expect);
    assert_eq!(ids.get(Ordinal::new(PartitionId(0), 5)), None);
    assert_eq!(ids.get(expect[13].0), Some(expect[13].1));
    assert_eq!(recovery.loads[0].unprojected[&expect[3].0].id, Some(expect[3].1));
}

fn end_of_first_group(segment: &[u8]) -> usize {
    let mut at = 32;
    loop {
        let Place::Frame(frame, length) = frame::read(&segment[at..]) else {
            panic!("no frame at {at}");
        };
        at += length;
        if frame.ends_group {
            return at;
        }
    }
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let storage = filled(12);
    let whole = storage.contents("00000001.seg");
    let end = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    let (_, full) = open(&storage.deep_copy()).unwrap();
    let first_group = end_of_first_group(&whole);
    let mut lengths = std::collections::BTreeSet::new();
    for cut in 0..=end {
        for tail in [&[][..], &[0; 300], &[0xa5; 300], &whole[32..first_group]] {
            let copy = storage.deep_copy();
            let mut bytes = whole[..cut].to_vec();
            bytes.extend_from_slice(tail);
            copy.put("00000001.seg", bytes);
            match open(&copy) {
                Ok((ledger, recovery)) => {
                    let (settled, unsettled) = batches(&recovery);
                    assert_eq!(settled, (1..=settled.len() as u64).collect::<Vec<_>>());
                    assert!(settled.len() + unsettled.len() <= 13);
                    lengths.insert(settled.len() + unsettled.len());
                    drop(ledger);
                    let (_, again) = open(&copy).unwrap();
                    assert_eq!(batches(&again), (settled, unsettled), "recovery is repeatable");
                    assert_eq!(again.cut_bytes, 0);
                }
                Err(OpenRefused::Damaged { .. } | OpenRefused::Contradiction { .. }) => {
                    assert!(cut < first_group, "only the first group may not be cut: {cut}");
                }
                Err(other) => panic!("cut at {cut}: {other}"),
            }
        }
    }
    assert_eq!(lengths, (0..=13).collect());
    assert_eq!(batches(&full), ((1..=12).collect(), vec![13]));
}

#[test]
fn a_flipped_byte_is_never_believed() {
    let storage = filled(12);
    let whole = storage.contents("00000001.seg");
    let end = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    let last_group = end - 60;
    let mut cut = 0;
    for at in 0..end {
        for flip in [0x01, 0x80, 0xff] {
            let copy = storage.deep_copy();
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            copy.put("00000001.seg", bytes);
            match open(&copy) {
                Err(OpenRefused::Damaged { .. } | OpenRefused::Newer { .. }) => {}
                Err(other) => panic!("byte {at}: {other}"),
                Ok((_, recovery)) => {
                    assert!(at >= last_group, "byte {at} is not of the last group");
                    assert_eq!(batches(&recovery), ((1..=12).collect(), vec![]));
                    cut += 1;
                }
            }
        }
    }
    assert!(cut > 0);
}

#[test]
fn damage_in_an_earlier_segment_is_not_skipped() {
    let storage = filled(300);
    let mut bytes = storage.contents("00000002.seg");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    storage.put("00000002.seg", bytes);
    let refused = open(&storage).map(drop).unwrap_err();
    assert_eq!(refused.code(), "DV0403");
    assert!(refused.to_string().contains("00000002.seg: damaged at byte"), "{refused}");

    let storage = filled(300);
    storage.remove("00000002.seg").unwrap();
    let refused = open(&storage).map(drop).unwrap_err();
    assert!(refused.to_string().contains("segment 2 before it is missing"), "{refused}");
}

#[test]
fn a_ledger_of_something_else_is_refused() {
    let storage = filled(1);
    let other = Belongs { spec_hash: 9, ..belongs() };
    let refused = Ledger::open_on(Arc::new(storage), &other, options());
    let refused = refused.map(drop).unwrap_err();
    assert_eq!(refused.code(), "DV0402");
    assert!(matches!(
        refused,
        OpenRefused::Elsewhere { difference: BelongsElsewhere::Spec { recorded: 1, asked: 9 }, .. }
    ));
}

#[test]
fn a_second_opener_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let (ledger, _) = Ledger::open(&path, &belongs(), options()).unwrap();
    let refused = Ledger::open(&path, &belongs(), options()).map(drop).unwrap_err();
    assert_eq!(refused.code(), "DV0401");
    let text = refused.to_string();
    assert!(text.contains(&format!("process {} on ", std::process::id())), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &std::path::Path| p.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("00000001.seg")), 0o600);
        assert_eq!(mode(&path.join("ledger.lock")), 0o600);
    }
    ledger.append(&[partition(), intent(1)], None).wait().unwrap();
    drop(ledger);
    let (_, recovery) = Ledger::open(&path, &belongs(), options()).unwrap();
    assert_eq!((recovery.epoch, batches(&recovery).1), (2, vec![1]));
}

#[test]
fn what_is_written_and_what_waits_is_counted() {
    let meters = Meters::new(&[], &[]).unwrap().ledger;
    let options = LedgerOptions { meters: Some(meters.clone()), ..options() };
    let (ledger, _) = open_with(&MemoryStorage::default(), options).unwrap();
    let end = ledger.append(&[partition(), intent(1)], None).wait().unwrap();
    assert_eq!(meters.sync_seconds.get_sample_count(), 1);
    let first = meters.written_bytes.get();
    assert!(first > 0);
    let later = ledger.append(&[created(1)], None).wait().unwrap();
    assert_eq!(meters.sync_seconds.get_sample_count(), 2);
    assert_eq!(meters.written_bytes.get() - first, later.0 - end.0);
    drop(ledger);
    assert_eq!(meters.queue_bytes.get(), 0, "nothing waits at the end");
}

#[test]
fn a_failed_sync_ends_the_ledger_and_is_not_repeated() {
    let storage = MemoryStorage::default();
    let queue = ProjectionQueue::new();
    let options = LedgerOptions { projections: queue.clone(), ..options() };
    let (ledger, _) = open_with(&storage, options).unwrap();
    ledger.append(&[partition(), intent(1)], None).wait().unwrap();
    storage.set_faults(Faults { fail_syncs: true, ..Faults::default() });
    let syncs = storage.syncs();
    let refused = ledger.append(&[created(1)], lines()).wait().unwrap_err();
    assert_eq!(refused.to_string(), "the ledger cannot be written: injected sync failure");
    assert_eq!(ledger.health(), LedgerHealth::Failed(refused.clone()));
    storage.set_faults(Faults::default());
    assert_eq!(ledger.append(&[intent(2)], None).wait(), Err(refused));
    assert_eq!(storage.syncs(), syncs + 1);
    assert!(queue.pop(Duration::ZERO).is_none(), "nothing is shown that is not durable");
    drop(ledger);
    let (_, recovery) = open(&storage.after_power_loss(&mut |_| false)).unwrap();
    assert_eq!(batches(&recovery), (vec![], vec![1]));
}

#[test]
fn a_full_disk_stops_intents_and_lets_outcomes_through() {
    let storage = MemoryStorage::default();
    let (ledger, _) = open(&storage).unwrap();
    ledger.append(&[partition(), intent(1)], None).wait().unwrap();
    storage.set_faults(Faults { full: true, ..Faults::default() });
    for batch in 2.. {
        let mut ticket = ledger.append(&[intent(batch)], None);
        // Room that was made ahead takes some intents.
        let is_held = loop {
            if let Some(taken) = futures_util::FutureExt::now_or_never(&mut ticket) {
                taken.unwrap();
                break false;
            }
            if ledger.health() == LedgerHealth::NoSpace {
                break true;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if is_held {
            ledger.append(&[created(1)], lines()).wait().unwrap();
            let later = ledger.append(&[intent(batch + 1)], None);
            storage.set_faults(Faults::default());
            ticket.wait().unwrap();
            later.wait().unwrap();
            break;
        }
    }
    drop(ledger);
    let (_, recovery) = open(&storage).unwrap();
    let (settled, unsettled) = batches(&recovery);
    assert_eq!(settled, [1]);
    assert_eq!(unsettled, (2..recovery.next_batch).collect::<Vec<_>>());
}

#[test]
fn intents_wait_for_sinks_that_are_behind() {
    let queue = ProjectionQueue::new();
    let options = LedgerOptions { projections: queue.clone(), ..options() };
    let (ledger, _) = open_with(&MemoryStorage::default(), options).unwrap();
    ledger.append(&[partition(), intent(1)], None).wait().unwrap();
    let bytes = crate::limits::PROJECTION_QUEUE_BYTES + 1;
    let mut much = lines().unwrap();
    much.lines[0].success = vec![b'x'; bytes];
    ledger.append(&[created(1)], Some(much)).wait().unwrap();
    let mut held = ledger.append(&[intent(2)], None);
    ledger.append(&[partition_end()], None).wait().unwrap();
    assert_eq!(ledger.health(), LedgerHealth::SinksBehind);
    assert!(futures_util::FutureExt::now_or_never(&mut held).is_none());
    assert!(queue.pop(Duration::ZERO).is_some());
    queue.written(bytes);
    held.wait().unwrap();
}

fn partition_end() -> LedgerRecord {
    LedgerRecord::PartitionEnd { table: TABLE, partition: PartitionId(0), records: 1 }
}

#[test]
fn projections_follow_in_ledger_order_with_their_own_positions() {
    let queue = ProjectionQueue::new();
    let options = LedgerOptions { projections: queue.clone(), ..options() };
    let storage = MemoryStorage::default();
    let (ledger, _) = open_with(&storage, options).unwrap();
    let intents: Vec<_> = std::iter::once(partition()).chain((1..=50).map(intent)).collect();
    ledger.append(&intents, None).wait().unwrap();
    let tickets: Vec<_> = (1..=50).map(|b| ledger.append(&[created(b)], lines())).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let mut places = Vec::new();
    while let Some(SinkWork::Durable(place, _)) = queue.pop(Duration::ZERO) {
        places.push(place);
    }
    assert_eq!(places.len(), 50);
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    assert_eq!(places.last(), Some(&ledger.position()));
    // A mark between two outcomes of one group leaves the second unprojected.
    let mark = SinkMark { table: TABLE, success_bytes: 1, error_bytes: 1, up_to: places[19] };
    ledger.append(&[LedgerRecord::SinkMark(mark)], None).wait().unwrap();
    drop(ledger);
    let (_, recovery) = open(&storage).unwrap();
    assert_eq!(recovery.loads[0].unprojected.len(), 300);
}

#[test]
fn a_settled_row_is_not_settled_again() {
    let storage = filled(1);
    let (ledger, _) = open(&storage).unwrap();
    let row = rows(1).last().unwrap();
    ledger.append(&[fail(row, None, RowState::Rejected)], None).wait().unwrap();
    drop(ledger);
    let refused = open(&storage).map(drop).unwrap_err();
    assert_eq!(refused.code(), "DV0403");
    assert!(refused.to_string().contains("row 0/19 cannot go from Settled(Created)"), "{refused}");
}

#[tokio::test]
async fn tickets_can_be_awaited() {
    let (ledger, _) = open(&MemoryStorage::default()).unwrap();
    let first = ledger.append_when_room(&[partition()], None).await.await.unwrap();
    let second = ledger.append(&[intent(1)], None).await.unwrap();
    assert!(LedgerPosition(0) < first && first < second);
    assert_eq!(ledger.position(), second);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Power is lost again and again. Whatever a ticket promised is there, and what is there was
    /// appended.
    #[test]
    fn promises_survive_power_loss(
        steps in prop::collection::vec((1u64..40, any::<bool>(), any::<u64>()), 1..6),
    ) {
        let mut storage = MemoryStorage::default();
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        let mut has_partition = false;
        let mut next = 1;
        for (count, wait_for_all, seed) in steps {
            let (ledger, recovery) = open(&storage).unwrap();
            let (settled, unsettled) = batches(&recovery);
            for batch in &ended {
                prop_assert!(settled.contains(batch), "promised outcome {} is lost", batch);
            }
            for batch in &begun {
                prop_assert!(settled.contains(batch) || unsettled.contains(batch));
            }
            prop_assert_eq!(has_partition, !recovery.loads[0].partitions.is_empty());
            next = next.max(recovery.next_batch);
            if !has_partition {
                ledger.append(&[partition()], None).wait().unwrap();
                has_partition = true;
            }
            for batch in next..next + count {
                ledger.append(&[intent(batch)], None).wait().unwrap();
                begun.push(batch);
                let ticket = ledger.append(&[created(batch)], None);
                if wait_for_all || batch % 3 == 0 {
                    ticket.wait().unwrap();
                    ended.push(batch);
                }
            }
            next += count;
            let mut dice = seed | 1;
            // A picture of the disk at some moment, while the writer may be at work.
            storage = storage.after_power_loss(&mut |_| {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                dice & 1 == 0
            });
            drop(ledger);
        }
        let (_, recovery) = open(&storage).unwrap();
        let (settled, _) = batches(&recovery);
        prop_assert!(ended.iter().all(|batch| settled.contains(batch)));
    }
}
