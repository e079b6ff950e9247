//! Pure: the one home of metric names. `dashboards/METRICS.md` tells what each is good for.
//!
//! A name is `dvbulk_<noun>_<base unit>[_total]`; shares and ratios are 0–1 and end in `_ratio`.

/// Rows read from the source.
pub const ROWS_READ: &str = "dvbulk_rows_read_total";
/// Rows that reached a final state.
pub const ROWS_SETTLED: &str = "dvbulk_rows_settled_total";
/// Rows read and not settled.
pub const ROWS_OPEN: &str = "dvbulk_rows_open";
/// Rows not settled, those not read yet included.
pub const ROWS_LEFT: &str = "dvbulk_rows_left";
/// Share of the source that was read.
pub const SOURCE_READ: &str = "dvbulk_source_read_ratio";
/// Requests by how they ended.
pub const REQUESTS: &str = "dvbulk_requests_total";
/// Requests that repeat an earlier one.
pub const RETRIES: &str = "dvbulk_retries_total";
/// Duration of requests that were answered with success, seconds.
pub const REQUEST_SECONDS: &str = "dvbulk_request_duration_seconds";
/// Rows in a request.
pub const BATCH_ROWS: &str = "dvbulk_batch_rows";
/// Request bodies sent, bytes.
pub const BODY_BYTES: &str = "dvbulk_body_bytes_total";
/// Requests in flight.
pub const IN_FLIGHT: &str = "dvbulk_requests_in_flight";
/// Requests at once a load may have.
pub const PARALLEL_LIMIT: &str = "dvbulk_parallel_limit";
/// Rows counted against the 24-hour entitlement.
pub const ENTITLEMENT: &str = "dvbulk_entitlement_operations_total";
/// 1 for the reason a load does not send more.
pub const WAITING: &str = "dvbulk_waiting";
/// Batches that were split or taken apart.
pub const SPLITS: &str = "dvbulk_batches_split_total";

/// 429 answers.
pub const THROTTLES: &str = "dvbulk_throttles_total";
/// Seconds identities spent closed.
pub const CLOSED_SECONDS: &str = "dvbulk_identity_closed_seconds_total";
/// Operations of an identity within 24 hours.
pub const ENTITLEMENT_USED: &str = "dvbulk_identity_entitlement_used_operations";
/// Most operations of an identity within 24 hours.
pub const ENTITLEMENT_LIMIT: &str = "dvbulk_identity_entitlement_limit_operations";
/// When these meet at the present rate.
pub const ENTITLEMENT_LEFT: &str = "dvbulk_identity_entitlement_used_up_in_seconds";
/// Execution seconds in the window.
pub const WINDOW_TIME_USED: &str = "dvbulk_identity_window_used_seconds";
/// Most of them.
pub const WINDOW_TIME_LIMIT: &str = "dvbulk_identity_window_limit_seconds";
/// Requests in the window.
pub const WINDOW_REQUESTS_USED: &str = "dvbulk_identity_window_used_requests";
/// Most of them.
pub const WINDOW_REQUESTS_LIMIT: &str = "dvbulk_identity_window_limit_requests";
/// Requests of an identity in flight.
pub const IDENTITY_IN_FLIGHT: &str = "dvbulk_identity_requests_in_flight";
/// Most of them.
pub const IDENTITY_PARALLEL_LIMIT: &str = "dvbulk_identity_parallel_limit";
/// Execution seconds that may be spent at once.
pub const IDENTITY_TOKENS: &str = "dvbulk_identity_tokens_seconds";
/// Seconds until an identity opens.
pub const IDENTITY_OPENS_IN: &str = "dvbulk_identity_opens_in_seconds";
/// 1 while a person holds an identity back.
pub const IDENTITY_PAUSED: &str = "dvbulk_identity_paused";

/// Rows a request at present.
pub const TUNING_BATCH: &str = "dvbulk_tuning_batch_rows";
/// Rows a request that would be best.
pub const TUNING_BATCH_OPTIMUM: &str = "dvbulk_tuning_batch_optimum_rows";
/// Least rows a request allowed.
pub const TUNING_BATCH_MIN: &str = "dvbulk_tuning_batch_min_rows";
/// Most rows a request allowed.
pub const TUNING_BATCH_MAX: &str = "dvbulk_tuning_batch_max_rows";
/// Most requests at once allowed.
pub const TUNING_PARALLEL_MAX: &str = "dvbulk_tuning_parallel_max";
/// Weight of a load.
pub const TUNING_WEIGHT: &str = "dvbulk_tuning_weight";
/// Share of the execution seconds a load has.
pub const TUNING_SHARE: &str = "dvbulk_tuning_share_ratio";
/// Predicted over measured duration.
pub const TUNING_PREDICTED: &str = "dvbulk_tuning_predicted_over_actual_ratio";
/// Rows an execution second.
pub const TUNING_ROWS_PER_SECOND: &str = "dvbulk_tuning_rows_per_execution_second";
/// Share of rows refused.
pub const TUNING_BAD_ROWS: &str = "dvbulk_tuning_bad_row_ratio";
/// Passing failures per 100-row request.
pub const TUNING_HAZARD: &str = "dvbulk_tuning_hazard_ratio";
/// Requests it was learnt from.
pub const TUNING_SAMPLES: &str = "dvbulk_tuning_samples";
/// Fitted duration of a request.
pub const TUNING_COST: &str = "dvbulk_tuning_cost_seconds";
/// 1 while a person holds a load back.
pub const TUNING_PAUSED: &str = "dvbulk_tuning_paused";
/// Requests at once aimed at.
pub const TUNING_PARALLEL_TARGET: &str = "dvbulk_tuning_parallel_target";
/// 1 for what bounds them.
pub const TUNING_PARALLEL_BOUND: &str = "dvbulk_tuning_parallel_bound";
/// Elasticity of the duration by requests at once.
pub const TUNING_ELASTICITY_PARALLEL: &str = "dvbulk_tuning_parallel_elasticity_ratio";
/// Elasticity of the duration by rows in flight.
pub const TUNING_ELASTICITY_ROWS: &str = "dvbulk_tuning_rows_elasticity_ratio";
/// 1 while limits are spent, not paced.
pub const TUNING_SPRINT: &str = "dvbulk_tuning_sprint";
/// Share of the limits that may be used.
pub const TUNING_MAX_SHARE: &str = "dvbulk_tuning_max_share_ratio";
/// 1 for where the service counts.
pub const TUNING_SCOPE: &str = "dvbulk_tuning_scope";
/// Web servers that count separately.
pub const TUNING_SERVERS: &str = "dvbulk_tuning_servers";
/// Changes of what is wanted.
pub const ORDER_CHANGES: &str = "dvbulk_order_changes_total";

/// Bytes of records held.
pub const MEMORY_TAKEN: &str = "dvbulk_memory_taken_bytes";
/// Most of them.
pub const MEMORY_BUDGET: &str = "dvbulk_memory_budget_bytes";
/// Bytes that wait for the ledger's writer.
pub const LEDGER_QUEUE: &str = "dvbulk_ledger_queue_bytes";
/// Bytes written to the ledger.
pub const LEDGER_WRITTEN: &str = "dvbulk_ledger_written_bytes_total";
/// Duration of a write and its sync, seconds.
pub const LEDGER_SYNC: &str = "dvbulk_ledger_sync_duration_seconds";
/// Room on the ledger's disk.
pub const LEDGER_DISK_FREE: &str = "dvbulk_ledger_disk_free_bytes";
/// Version.
pub const BUILD_INFO: &str = "dvbulk_build_info";
