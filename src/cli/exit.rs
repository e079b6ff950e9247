//! Pure: exit codes, as documented in README.

/// All rows settled, none failed; or the command did what it says.
pub const DONE: u8 = 0;
/// Complete, with failed rows or a difference in the accounts; `check` found errors.
pub const WITH_FAILURES: u8 = 2;
/// Paused by a breaker and told not to wait.
pub const PAUSED: u8 = 3;
/// Wrong usage or configuration.
pub const USAGE: u8 = 4;
/// Ledger, lock or an invariant.
pub const LEDGER: u8 = 5;
/// Authentication, or the wrong environment.
pub const AUTH: u8 = 6;
/// Interrupted by SIGINT; resumable.
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM; resumable.
pub const TERMINATED: u8 = 143;
