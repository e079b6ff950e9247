//! Pure: every bound of the program, in one place.

/// Largest record of a source, bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// Largest field of a CSV record, bytes.
pub const FIELD_BYTES_MAX: usize = 2 << 20;
/// Most columns of a CSV file.
pub const COLUMNS_MAX: usize = 4096;
/// Deepest nesting of a JSONL record.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes of raw records a reader hands over at once.
pub const CHUNK_BYTES: usize = 512 << 10;
/// Most records of a chunk.
pub const CHUNK_RECORDS_MAX: usize = 4096;
/// Largest request body we send, bytes.
///
/// Source: `dataverse-web-api.md` §12 row 23: no number is published; ours.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Largest answer we read, bytes.
pub const REPLY_BYTES_MAX: usize = 64 << 20;
/// Longest URL we send, characters.
///
/// Source: `dataverse-web-api.md` §1.5: 32,768 outside batches.
pub const URL_CHARS_MAX: usize = 32_000;
/// Most operations of one `$batch`.
///
/// Source: `dataverse-web-api.md` §1.5, §13: 1,000 documented, one report of 250.
pub const BATCH_OPERATIONS_MAX: usize = 250;
/// Size up to which a refused batch is taken apart by one `$batch` instead of halving.
pub const SPLIT_BATCH_ROWS_MAX: usize = 63;
/// Most rows of one bulk request a job file may ask for.
///
/// Source: `dataverse-web-api.md` §2.8: 100–1,000 is the advice, no maximum is published.
pub const BATCH_ROWS_MAX: u32 = 1000;
/// Most requests of one load in flight a job file may ask for.
pub const PARALLEL_REQUESTS_MAX: u32 = 512;
/// Most rows of one bulk request to an elastic table unless the job file says otherwise.
///
/// Source: `dataverse-web-api.md` §2.8: 100 a request, sent in parallel.
pub const ELASTIC_ROWS_MAX: u32 = 100;
/// Least weight of a load beside the others.
pub const WEIGHT_MIN: f64 = 0.001;
/// Most weight of a load beside the others.
pub const WEIGHT_MAX: f64 = 1000.0;
/// Most entries of a schedule.
pub const SCHEDULE_ENTRIES_MAX: usize = 50;
/// Changes of a running load that are remembered for people.
pub const CHANGES_SHOWN: usize = 50;
/// Largest file of what was learnt about an environment, bytes.
pub const TUNING_FILE_BYTES_MAX: u64 = 4 << 20;
/// Most kinds of requests remembered of an environment.
pub const LEARNED_KINDS_MAX: usize = 2000;
/// Least memory budget, bytes: enough for several of the largest records at once.
pub const MEMORY_BUDGET_BYTES_MIN: u64 = 64 << 20;
/// Largest job file, bytes.
pub const JOB_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest body of a ledger frame, bytes.
pub const LEDGER_FRAME_BYTES_MAX: usize = 16 << 20;
/// Size of a ledger segment, bytes.
pub const LEDGER_SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of records waiting for the ledger's writer above which producers wait.
pub const LEDGER_QUEUE_BYTES: usize = 32 << 20;
/// Most bytes the ledger makes durable with one sync.
pub const LEDGER_GROUP_BYTES: usize = 32 << 20;
/// Bytes of a ledger segment that are filled with zeros ahead of the writer: the room that stays
/// for outcomes when the disk is full.
pub const LEDGER_RESERVE_BYTES: u64 = 8 << 20;
/// Bytes of sink lines waiting for their files above which no new intent is taken.
pub const PROJECTION_QUEUE_BYTES: usize = 64 << 20;
/// Bytes of sink lines after which the files are synced and marked.
pub const SINK_SYNC_BYTES: usize = 4 << 20;
/// Longest message kept of a refusal, bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Refused rows that are shown live; the error files hold them all.
pub const LAST_REFUSED_MAX: usize = 20;
/// Bytes of a key shown live.
pub const REFUSED_KEY_BYTES_MAX: usize = 128;
/// Bytes of a message shown live.
pub const REFUSED_MESSAGE_BYTES_MAX: usize = 512;
/// Seconds of a bucket of the history of rows.
pub const HISTORY_BUCKET_SECS: u64 = 5;
/// Buckets of the history of rows: 30 minutes.
pub const HISTORY_BUCKETS_MAX: usize = 360;

const _: () = assert!(FIELD_BYTES_MAX <= RECORD_BYTES_MAX);
const _: () = assert!((LEDGER_GROUP_BYTES as u64) < LEDGER_SEGMENT_BYTES);
const _: () = assert!(LEDGER_FRAME_BYTES_MAX <= LEDGER_GROUP_BYTES);
const _: () = assert!(CHUNK_BYTES <= RECORD_BYTES_MAX);
const _: () = assert!(MEMORY_BUDGET_BYTES_MIN >= 4 * RECORD_BYTES_MAX as u64);
const _: () = assert!(SPLIT_BATCH_ROWS_MAX <= BATCH_OPERATIONS_MAX);
