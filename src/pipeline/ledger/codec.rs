//! Pure: records as bytes. Numbers are variable-length, rows are distances, ids are 16 bytes.

use crate::limits::MESSAGE_BYTES_MAX;
use crate::pipeline::ledger::fingerprint::{Belongs, FileFingerprint, LoadBelongs};
use crate::pipeline::ledger::ranges::{OrdinalRanges, OrdinalRun};
use crate::pipeline::ledger::record::{
    EpochRecord, Intent, LedgerRecord, OpenRecord, Outcome, PartitionRecord, RowFail,
};
use crate::record::key::{BatchId, Ordinal, PartitionId, TableId};
use crate::record::outcome::{FaultCategory, Operation, RowFault, RowState};
use crate::record::projection::{LedgerPosition, SinkMark};
use uuid::Uuid;

/// Format of all record bodies written by this program.
pub const BODY_VERSION: u8 = 1;

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRecord {
    /// A kind this program does not know.
    #[error("records of kind {0} are unknown")]
    Kind(u8),
    /// A body format this program does not know.
    #[error("record format {0} is unknown")]
    Version(u8),
    /// The body ends too early.
    #[error("the record is cut short")]
    Short,
    /// The body goes on behind its end.
    #[error("{0} bytes follow the record's end")]
    Long(usize),
    /// A value outside its range.
    #[error("the record's {0} is out of range")]
    Range(&'static str),
}

const OPEN: u8 = 1;
const EPOCH: u8 = 2;
const PARTITION: u8 = 3;
const PARTITION_END: u8 = 4;
const INTENT: u8 = 5;
const OUTCOME: u8 = 6;
const ROW_FAIL: u8 = 7;
const SPLIT: u8 = 8;
const SKIP: u8 = 9;
const SINK_MARK: u8 = 10;
const PAUSE: u8 = 11;
const RESUME: u8 = 12;
const CLOSE: u8 = 13;

/// The number that names a record's kind in its frame.
#[must_use]
pub const fn kind(record: &LedgerRecord) -> u8 {
    match record {
        LedgerRecord::Open(_) => OPEN,
        LedgerRecord::Epoch(_) => EPOCH,
        LedgerRecord::Partition(_) => PARTITION,
        LedgerRecord::PartitionEnd { .. } => PARTITION_END,
        LedgerRecord::Intent(_) => INTENT,
        LedgerRecord::Outcome(_) => OUTCOME,
        LedgerRecord::RowFail(_) => ROW_FAIL,
        LedgerRecord::Split { .. } => SPLIT,
        LedgerRecord::Skip { .. } => SKIP,
        LedgerRecord::SinkMark(_) => SINK_MARK,
        LedgerRecord::Pause { .. } => PAUSE,
        LedgerRecord::Resume { .. } => RESUME,
        LedgerRecord::Close { .. } => CLOSE,
    }
}

/// Adds the body of `record`. Messages are cut to `limits::MESSAGE_BYTES_MAX`.
pub fn encode(record: &LedgerRecord, out: &mut Vec<u8>) {
    match record {
        LedgerRecord::Open(open) => {
            number(out, u64::from(open.format));
            text(out, &open.belongs.job);
            fixed(out, open.belongs.spec_hash);
            out.extend_from_slice(open.belongs.organization.as_bytes());
            number(out, open.belongs.loads.len() as u64);
            for load in &open.belongs.loads {
                text(out, &load.name);
                fixed(out, load.id_prefix);
            }
            text(out, &open.program);
            signed(out, open.at_ms);
        }
        LedgerRecord::Epoch(start) => {
            number(out, u64::from(start.epoch));
            number(out, u64::from(start.pid));
            text(out, &start.host);
            text(out, &start.boot_id);
            signed(out, start.at_ms);
        }
        LedgerRecord::Partition(file) => {
            number(out, u64::from(file.table.0));
            number(out, u64::from(file.partition.0));
            text(out, &file.path);
            number(out, file.fingerprint.bytes);
            signed(out, file.fingerprint.modified_ms);
            fixed(out, file.fingerprint.head_hash);
            fixed(out, file.fingerprint.tail_hash);
        }
        LedgerRecord::PartitionEnd { table, partition, records } => {
            number(out, u64::from(table.0));
            number(out, u64::from(partition.0));
            number(out, *records);
        }
        LedgerRecord::Intent(intent) => {
            number(out, intent.batch.0);
            optional_batch(out, intent.parent);
            number(out, u64::from(intent.table.0));
            out.push(operation_code(intent.operation));
            ranges(out, &intent.rows);
            fixed(out, intent.payload_hash);
        }
        LedgerRecord::Outcome(outcome) => {
            number(out, outcome.batch.0);
            signed(out, outcome.at_ms);
            number(out, u64::from(outcome.attempts));
            number(out, u64::from(outcome.duration_ms));
            request_id(out, outcome.service_request_id.as_deref());
            number(out, outcome.states.len() as u64);
            for (state, count) in &outcome.states {
                out.push(state.code());
                number(out, u64::from(*count));
            }
            match &outcome.server_ids {
                None => out.push(0),
                Some(ids) => {
                    out.push(1);
                    number(out, ids.len() as u64);
                    ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
                }
            }
        }
        LedgerRecord::RowFail(fail) => {
            number(out, u64::from(fail.table.0));
            number(out, fail.row.bits());
            out.push(fail.state.code());
            number(out, u64::from(fail.attempts));
            optional_batch(out, fail.batch);
            text(out, &fail.fault.code);
            out.push(fail.fault.category as u8);
            let message = &fail.fault.message;
            let most = message.len().min(MESSAGE_BYTES_MAX);
            let end = (0..=most).rfind(|at| message.is_char_boundary(*at)).unwrap_or(0);
            text(out, &message[..end]);
            out.push(u8::from(fail.fault.retryable));
        }
        LedgerRecord::Split { batch, children } => {
            number(out, batch.0);
            number(out, children.len() as u64);
            children.iter().for_each(|child| number(out, child.0));
        }
        LedgerRecord::Skip { table, rows, state } => {
            number(out, u64::from(table.0));
            ranges(out, rows);
            out.push(state.code());
        }
        LedgerRecord::SinkMark(mark) => {
            number(out, u64::from(mark.table.0));
            number(out, mark.success_bytes);
            number(out, mark.error_bytes);
            number(out, mark.up_to.0);
        }
        LedgerRecord::Pause { table, reason } | LedgerRecord::Resume { table, reason } => {
            number(out, table.map_or(0, |t| u64::from(t.0) + 1));
            text(out, reason);
        }
        LedgerRecord::Close { totals } => {
            number(out, totals.len() as u64);
            for load in totals {
                number(out, load.len() as u64);
                for (state, count) in load {
                    out.push(state.code());
                    number(out, *count);
                }
            }
        }
    }
}

/// Reads the body of a record.
///
/// # Errors
/// Why the bytes are no record of that kind; never panics, and never takes more memory than a
/// small multiple of the body.
pub fn decode(kind: u8, version: u8, body: &[u8]) -> Result<LedgerRecord, NoRecord> {
    if version != BODY_VERSION {
        return Err(NoRecord::Version(version));
    }
    let mut r = Reader(body);
    let record = match kind {
        OPEN => LedgerRecord::Open(Box::new(OpenRecord {
            format: r.small("format")?,
            belongs: Belongs {
                job: r.text()?,
                spec_hash: r.fixed()?,
                organization: r.uuid()?,
                loads: r.list(|r| Ok(LoadBelongs { name: r.text()?, id_prefix: r.fixed()? }))?,
            },
            program: r.text()?,
            at_ms: r.signed()?,
        })),
        EPOCH => LedgerRecord::Epoch(Box::new(EpochRecord {
            epoch: r.small("start")?,
            pid: r.small("process id")?,
            host: r.text()?,
            boot_id: r.text()?,
            at_ms: r.signed()?,
        })),
        PARTITION => LedgerRecord::Partition(Box::new(PartitionRecord {
            table: r.table()?,
            partition: r.partition()?,
            path: r.text()?,
            fingerprint: FileFingerprint {
                bytes: r.number()?,
                modified_ms: r.signed()?,
                head_hash: r.fixed()?,
                tail_hash: r.fixed()?,
            },
        })),
        PARTITION_END => LedgerRecord::PartitionEnd {
            table: r.table()?,
            partition: r.partition()?,
            records: r.number()?,
        },
        INTENT => LedgerRecord::Intent(Intent {
            batch: BatchId(r.number()?),
            parent: r.optional_batch()?,
            table: r.table()?,
            operation: operation_from(r.byte()?)?,
            rows: r.ranges()?,
            payload_hash: r.fixed()?,
        }),
        OUTCOME => LedgerRecord::Outcome(Box::new(Outcome {
            batch: BatchId(r.number()?),
            at_ms: r.signed()?,
            attempts: r.small("attempts")?,
            duration_ms: r.small("duration")?,
            service_request_id: r.request_id()?,
            states: r.list(|r| Ok((r.state()?, r.small("row count")?)))?,
            server_ids: if r.flag()? { Some(r.list(Reader::uuid)?) } else { None },
        })),
        ROW_FAIL => LedgerRecord::RowFail(Box::new(RowFail {
            table: r.table()?,
            row: Ordinal::from_bits(r.number()?).ok_or(NoRecord::Range("row"))?,
            state: r.state()?,
            attempts: r.small("attempts")?,
            batch: r.optional_batch()?,
            fault: RowFault {
                code: r.text()?,
                category: FaultCategory::from_code(r.byte()?).ok_or(NoRecord::Range("category"))?,
                message: r.text()?,
                retryable: r.flag()?,
            },
        })),
        SPLIT => LedgerRecord::Split {
            batch: BatchId(r.number()?),
            children: r.list(|r| Ok(BatchId(r.number()?)))?,
        },
        SKIP => LedgerRecord::Skip { table: r.table()?, rows: r.ranges()?, state: r.state()? },
        SINK_MARK => LedgerRecord::SinkMark(SinkMark {
            table: r.table()?,
            success_bytes: r.number()?,
            error_bytes: r.number()?,
            up_to: LedgerPosition(r.number()?),
        }),
        PAUSE => LedgerRecord::Pause { table: r.optional_table()?, reason: r.text()? },
        RESUME => LedgerRecord::Resume { table: r.optional_table()?, reason: r.text()? },
        CLOSE => {
            LedgerRecord::Close { totals: r.list(|r| r.list(|r| Ok((r.state()?, r.number()?))))? }
        }
        other => return Err(NoRecord::Kind(other)),
    };
    if r.0.is_empty() { Ok(record) } else { Err(NoRecord::Long(r.0.len())) }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, (value << 1 ^ value >> 63) as u64);
}

fn fixed(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    number(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

fn optional_batch(out: &mut Vec<u8>, batch: Option<BatchId>) {
    match batch {
        None => out.push(0),
        Some(BatchId(id)) => {
            out.push(1);
            number(out, id);
        }
    }
}

fn ranges(out: &mut Vec<u8>, rows: &OrdinalRanges) {
    number(out, rows.runs().len() as u64);
    let mut end = 0;
    for run in rows.runs() {
        number(out, run.first.bits() - end);
        number(out, u64::from(run.count));
        end = run.first.bits() + u64::from(run.count);
    }
}

/// Dataverse's request ids are GUIDs; those take 16 bytes instead of 36.
fn request_id(out: &mut Vec<u8>, id: Option<&str>) {
    match id {
        None => out.push(0),
        Some(id) => match Uuid::try_parse(id) {
            Ok(guid) if guid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == id => {
                out.push(1);
                out.extend_from_slice(guid.as_bytes());
            }
            _ => {
                out.push(2);
                text(out, id);
            }
        },
    }
}

const fn operation_code(operation: Operation) -> u8 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Upsert => 3,
        Operation::Delete => 4,
    }
}

const fn operation_from(code: u8) -> Result<Operation, NoRecord> {
    Ok(match code {
        1 => Operation::Create,
        2 => Operation::Update,
        3 => Operation::Upsert,
        4 => Operation::Delete,
        _ => return Err(NoRecord::Range("operation")),
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NoRecord> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoRecord::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoRecord> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(NoRecord::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, NoRecord> {
        self.array::<1>().map(|[b]| b)
    }

    fn flag(&mut self) -> Result<bool, NoRecord> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NoRecord::Range("flag")),
        }
    }

    fn number(&mut self) -> Result<u64, NoRecord> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(NoRecord::Range("number"));
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(NoRecord::Range("number"))
    }

    fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, NoRecord> {
        T::try_from(self.number()?).map_err(|_| NoRecord::Range(what))
    }

    fn signed(&mut self) -> Result<i64, NoRecord> {
        let n = self.number()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn fixed(&mut self) -> Result<u64, NoRecord> {
        self.array().map(u64::from_le_bytes)
    }

    fn uuid(&mut self) -> Result<Uuid, NoRecord> {
        self.array().map(Uuid::from_bytes)
    }

    fn text(&mut self) -> Result<String, NoRecord> {
        let length = self.small("text length")?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| NoRecord::Range("text"))
    }

    fn table(&mut self) -> Result<TableId, NoRecord> {
        self.small("table").map(TableId)
    }

    fn partition(&mut self) -> Result<PartitionId, NoRecord> {
        let number = self.small("partition")?;
        if number < Ordinal::PARTITION_COUNT {
            Ok(PartitionId(number))
        } else {
            Err(NoRecord::Range("partition"))
        }
    }

    fn state(&mut self) -> Result<RowState, NoRecord> {
        RowState::from_code(self.byte()?).ok_or(NoRecord::Range("row state"))
    }

    fn optional_batch(&mut self) -> Result<Option<BatchId>, NoRecord> {
        Ok(if self.flag()? { Some(BatchId(self.number()?)) } else { None })
    }

    fn optional_table(&mut self) -> Result<Option<TableId>, NoRecord> {
        match self.number()? {
            0 => Ok(None),
            n => {
                u16::try_from(n - 1).map(|t| Some(TableId(t))).map_err(|_| NoRecord::Range("table"))
            }
        }
    }

    fn request_id(&mut self) -> Result<Option<String>, NoRecord> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.uuid()?.to_string())),
            2 => self.text().map(Some),
            _ => Err(NoRecord::Range("request id")),
        }
    }

    fn ranges(&mut self) -> Result<OrdinalRanges, NoRecord> {
        let mut rows = OrdinalRanges::default();
        let mut end = 0u64;
        for _ in 0..self.number()? {
            let first = end.checked_add(self.number()?).and_then(Ordinal::from_bits);
            let first = first.ok_or(NoRecord::Range("row"))?;
            let count: u32 = self.small("row count")?;
            if count == 0 || first.index() + u64::from(count) > Ordinal::INDEX_COUNT {
                return Err(NoRecord::Range("row count"));
            }
            end = first.bits() + u64::from(count);
            rows.push(OrdinalRun { first, count }).map_err(|_| NoRecord::Range("row"))?;
        }
        Ok(rows)
    }

    /// Every element takes at least one byte, so a count larger than what is left is refused
    /// before memory is taken for it.
    fn list<T>(
        &mut self,
        element: impl Fn(&mut Self) -> Result<T, NoRecord>,
    ) -> Result<Vec<T>, NoRecord> {
        let count: usize = self.small("count")?;
        if count > self.0.len() {
            return Err(NoRecord::Short);
        }
        (0..count).map(|_| element(self)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn rows() -> impl Strategy<Value = OrdinalRanges> {
        prop::collection::vec((0u32..3, 0u64..1 << 36, 1u32..2000), 0..5).prop_map(|mut runs| {
            runs.sort_unstable();
            let mut rows = OrdinalRanges::default();
            for (partition, index, count) in runs {
                let count = u64::from(count).min(Ordinal::INDEX_COUNT - index) as u32;
                let first = Ordinal::new(PartitionId(partition), index);
                // Overlapping ones are left out.
                let _ = rows.push(OrdinalRun { first, count });
            }
            rows
        })
    }

    fn state() -> impl Strategy<Value = RowState> {
        (0usize..11).prop_map(|i| RowState::ALL[i])
    }

    fn record() -> impl Strategy<Value = LedgerRecord> {
        let table = any::<u16>().prop_map(TableId);
        let batch = any::<u64>().prop_map(BatchId);
        let uuid = any::<u128>().prop_map(Uuid::from_u128);
        let operation = (1u8..5).prop_map(|code| operation_from(code).unwrap());
        let request_id = prop_oneof![
            Just(None),
            any::<u128>().prop_map(|n| Some(Uuid::from_u128(n).to_string())),
            "[A-F0-9-]{36}".prop_map(Some),
            ".{0,9}".prop_map(Some),
        ];
        prop_oneof![
            (
                ".{0,9}",
                any::<u64>(),
                uuid.clone(),
                prop::collection::vec((".{0,9}", any::<u64>()), 0..4),
                any::<i64>()
            )
                .prop_map(|(job, spec_hash, organization, loads, at_ms)| {
                    let loads = loads
                        .into_iter()
                        .map(|(name, id_prefix)| LoadBelongs { name, id_prefix })
                        .collect();
                    LedgerRecord::Open(Box::new(OpenRecord {
                        format: 1,
                        belongs: Belongs { job, spec_hash, organization, loads },
                        program: "dvbulk 1".into(),
                        at_ms,
                    }))
                }),
            (any::<u32>(), any::<u32>(), ".{0,9}", any::<i64>()).prop_map(
                |(epoch, pid, host, at_ms)| {
                    LedgerRecord::Epoch(Box::new(EpochRecord {
                        epoch,
                        pid,
                        host,
                        boot_id: "b".into(),
                        at_ms,
                    }))
                }
            ),
            (table.clone(), 0u32..1 << 24, ".{0,20}", any::<(u64, i64, u64, u64)>()).prop_map(
                |(table, partition, path, (bytes, modified_ms, head_hash, tail_hash))| {
                    let fingerprint = FileFingerprint { bytes, modified_ms, head_hash, tail_hash };
                    let partition = PartitionId(partition);
                    LedgerRecord::Partition(Box::new(PartitionRecord {
                        table,
                        partition,
                        path,
                        fingerprint,
                    }))
                }
            ),
            (table.clone(), 0u32..1 << 24, any::<u64>()).prop_map(|(table, partition, records)| {
                LedgerRecord::PartitionEnd { table, partition: PartitionId(partition), records }
            }),
            (
                batch.clone(),
                prop::option::of(batch.clone()),
                table.clone(),
                operation,
                rows(),
                any::<u64>()
            )
                .prop_map(|(batch, parent, table, operation, rows, payload_hash)| {
                    LedgerRecord::Intent(Intent {
                        batch,
                        parent,
                        table,
                        operation,
                        rows,
                        payload_hash,
                    })
                }),
            (
                batch.clone(),
                any::<i64>(),
                any::<(u32, u32)>(),
                request_id,
                prop::collection::vec((state(), any::<u32>()), 0..4),
                prop::option::of(prop::collection::vec(uuid, 0..5)),
            )
                .prop_map(
                    |(
                        batch,
                        at_ms,
                        (attempts, duration_ms),
                        service_request_id,
                        states,
                        server_ids,
                    )| {
                        LedgerRecord::Outcome(Box::new(Outcome {
                            batch,
                            at_ms,
                            attempts,
                            service_request_id,
                            duration_ms,
                            states,
                            server_ids,
                        }))
                    }
                ),
            (
                table.clone(),
                0u64..1 << 60,
                state(),
                any::<u32>(),
                prop::option::of(batch.clone()),
                0usize..11,
                ".{0,40}",
                any::<bool>()
            )
                .prop_map(
                    |(table, row, state, attempts, batch, category, message, retryable)| {
                        let category = FaultCategory::ALL[category];
                        let fault =
                            RowFault { code: "0x80040265".into(), category, message, retryable };
                        let row = Ordinal::from_bits(row).unwrap();
                        LedgerRecord::RowFail(Box::new(RowFail {
                            table,
                            row,
                            state,
                            fault,
                            attempts,
                            batch,
                        }))
                    }
                ),
            (batch.clone(), prop::collection::vec(batch, 0..5))
                .prop_map(|(batch, children)| LedgerRecord::Split { batch, children }),
            (table.clone(), rows(), state()).prop_map(|(table, rows, state)| LedgerRecord::Skip {
                table,
                rows,
                state
            }),
            (table.clone(), any::<(u64, u64, u64)>()).prop_map(
                |(table, (success_bytes, error_bytes, up_to))| {
                    let up_to = LedgerPosition(up_to);
                    LedgerRecord::SinkMark(SinkMark { table, success_bytes, error_bytes, up_to })
                }
            ),
            (prop::option::of(table.clone()), ".{0,20}")
                .prop_map(|(table, reason)| LedgerRecord::Pause { table, reason }),
            (prop::option::of(table), ".{0,20}")
                .prop_map(|(table, reason)| LedgerRecord::Resume { table, reason }),
            prop::collection::vec(prop::collection::vec((state(), any::<u64>()), 0..4), 0..4)
                .prop_map(|totals| LedgerRecord::Close { totals }),
        ]
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(record in record()) {
            let mut body = Vec::new();
            encode(&record, &mut body);
            prop_assert_eq!(decode(kind(&record), BODY_VERSION, &body), Ok(record.clone()));
            for cut in 0..body.len() {
                prop_assert!(decode(kind(&record), BODY_VERSION, &body[..cut]).is_err());
            }
            body.push(0);
            prop_assert_eq!(decode(kind(&record), BODY_VERSION, &body), Err(NoRecord::Long(1)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(kind in 0u8..16, body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(kind, BODY_VERSION, &body);
        }
    }

    #[test]
    fn bytes_of_an_intent_and_its_outcome_never_change() {
        let first = Ordinal::new(PartitionId(1), 300);
        let mut rows = OrdinalRanges::default();
        rows.push(OrdinalRun { first, count: 100 }).unwrap();
        let intent = LedgerRecord::Intent(Intent {
            batch: BatchId(1000),
            parent: None,
            table: TableId(2),
            operation: Operation::Create,
            rows,
            payload_hash: 0x0102_0304_0506_0708,
        });
        let outcome = LedgerRecord::Outcome(Box::new(Outcome {
            batch: BatchId(1000),
            at_ms: 1_790_000_000_000,
            attempts: 2,
            service_request_id: Some("00112233-4455-6677-8899-aabbccddeeff".into()),
            duration_ms: 250,
            states: vec![(RowState::Created, 99), (RowState::Failed, 1)],
            server_ids: None,
        }));
        let hex = |record: &LedgerRecord| {
            let mut body = Vec::new();
            encode(record, &mut body);
            body.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(hex(&intent), "e80700020101ac8280808002640807060504030201");
        assert_eq!(
            hex(&outcome),
            "e80780b083c5986802fa010100112233445566778899aabbccddeeff020163090100"
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let fail = |message: String| {
            LedgerRecord::RowFail(Box::new(RowFail {
                table: TableId(0),
                row: Ordinal::new(PartitionId(0), 0),
                state: RowState::Rejected,
                fault: RowFault {
                    code: "DV1".into(),
                    category: FaultCategory::Value,
                    message,
                    retryable: false,
                },
                attempts: 0,
                batch: None,
            }))
        };
        let mut body = Vec::new();
        encode(&fail(format!("x{}", "é".repeat(MESSAGE_BYTES_MAX))), &mut body);
        let expect = fail(format!("x{}", "é".repeat(MESSAGE_BYTES_MAX / 2 - 1)));
        assert_eq!(decode(ROW_FAIL, BODY_VERSION, &body), Ok(expect));
    }
}
