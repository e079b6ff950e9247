//! Dashboards, rules and the page of metrics: each speaks only of what is there, nothing that is
//! there is left out, and a real Prometheus that watches a real load has data for every panel.
//!
//! `prometheus` and `promtool` come from Debian's package; `tests/run` fetches it where it can. What
//! needs them is skipped without, with a line on standard error; with `CI=true` that fails.

mod asked;
mod fit;
mod page;
mod promtool;
mod provisioning;
#[path = "../it/rig.rs"]
#[allow(dead_code, reason = "the rig serves tests/it too; not all of it is needed here")]
mod rig;
mod watched;

use std::fs;
use std::path::{Path, PathBuf};

/// A folder's file, as text.
fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// Says that a check did not run; in continuous integration all must.
fn skip(what: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} cannot run: {why}");
    #[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
    {
        eprintln!("SKIPPED: {what}: {why}; see tests/run");
    }
}
