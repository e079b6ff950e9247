//! Pure: the summary of a run and the findings of a check, for people and as JSON.

use crate::catalog::check::{Finding, Severity};
use crate::cli::exit;
use crate::record::outcome::RowState;
use crate::runtime::usage::Usage;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Rows by their final state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateCounts([u64; RowState::ALL.len()]);

impl StateCounts {
    /// Adds `rows` to `state`.
    pub fn add(&mut self, state: RowState, rows: u64) {
        self.0[Self::slot(state)] += rows;
    }

    /// Rows in `state`.
    #[must_use]
    pub fn get(&self, state: RowState) -> u64 {
        self.0[Self::slot(state)]
    }

    /// Rows in any final state.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Rows in the error file.
    #[must_use]
    pub fn bad(&self) -> u64 {
        RowState::ALL.into_iter().filter(|s| s.is_bad()).map(|s| self.get(s)).sum()
    }

    fn slot(state: RowState) -> usize {
        usize::from(state.code()) - 1
    }
}

/// Throttled answers (HTTP 429) by limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Throttles {
    /// Execution time within five minutes.
    pub execution_time: u64,
    /// Number of requests within five minutes.
    pub requests: u64,
    /// Requests at once.
    pub concurrency: u64,
    /// Anything else that came as 429.
    pub other: u64,
}

impl Throttles {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.execution_time + self.requests + self.concurrency + self.other
    }

    const fn plus(self, more: Self) -> Self {
        Self {
            execution_time: self.execution_time + more.execution_time,
            requests: self.requests + more.requests,
            concurrency: self.concurrency + more.concurrency,
            other: self.other + more.other,
        }
    }
}

/// A file a run has written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSummary {
    /// `success`, `errors`, `unprocessed`.
    pub kind: &'static str,
    /// Where it is.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
}

/// What became of one load.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LoadSummary {
    /// Name of the load.
    pub name: String,
    /// Logical name of its table.
    pub table: String,
    /// Word of its operation.
    pub operation: &'static str,
    /// Rows the source handed over, over all runs of the job.
    pub read: u64,
    /// Final states, over all runs of the job.
    pub states: StateCounts,
    /// Rows read and not sent yet.
    pub queued: u64,
    /// Rows sent whose answer is outstanding.
    pub in_flight: u64,
    /// Rows settled by this run alone, for the rate.
    pub settled_now: u64,
    /// From this run's first row read to the last settled.
    pub elapsed: Duration,
    /// Requests sent by this run, retries included.
    pub requests: u64,
    /// Throttled answers this run got.
    pub throttles: Throttles,
    /// Files written.
    pub files: Vec<FileSummary>,
}

impl LoadSummary {
    /// Rows read less rows accounted for: anything but 0 is a defect of the program.
    #[must_use]
    pub fn difference(&self) -> i128 {
        i128::from(self.read)
            - i128::from(self.states.settled())
            - i128::from(self.queued)
            - i128::from(self.in_flight)
    }

    /// Whether every row has a final state.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let open = self.queued
            + self.in_flight
            + self.states.get(RowState::Cancelled)
            + self.states.get(RowState::Ambiguous);
        open == 0 && self.difference() == 0
    }
}

/// What became of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RunSummary {
    /// Name of the job.
    pub job: String,
    /// Where the rows went.
    pub environment: String,
    /// Organization id that answered.
    pub organization: String,
    /// Loads in job order.
    pub loads: Vec<LoadSummary>,
    /// Duration of this run.
    pub elapsed: Duration,
    /// Time all sending stood still because Dataverse asked to wait.
    pub waited: Duration,
    /// Processor time and memory of this process.
    pub usage: Usage,
    /// Folder of the ledger.
    pub ledger: String,
    /// Why the job is not complete, when it is not: interrupted, paused, lost environment.
    pub incomplete: Option<String>,
    /// Exit code asked for by that reason; `None` lets the accounts decide.
    pub exit: Option<u8>,
}

impl RunSummary {
    /// All loads taken together; files and names are left empty.
    #[must_use]
    pub fn totals(&self) -> LoadSummary {
        let mut sum =
            LoadSummary { name: "total".to_owned(), elapsed: self.elapsed, ..Default::default() };
        for load in &self.loads {
            sum.read += load.read;
            sum.queued += load.queued;
            sum.in_flight += load.in_flight;
            sum.settled_now += load.settled_now;
            sum.requests += load.requests;
            sum.throttles = sum.throttles.plus(load.throttles);
            for state in RowState::ALL {
                sum.states.add(state, load.states.get(state));
            }
        }
        sum
    }

    /// Whether in every load rows read equal rows accounted for.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.loads.iter().all(|l| l.difference() == 0)
    }

    /// Whether every row of every load has a final state and nothing was left out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_none() && self.loads.iter().all(LoadSummary::is_complete)
    }

    /// The exit code of the run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if let Some(code) = self.exit {
            return code;
        }
        if self.is_complete() && self.totals().states.bad() == 0 {
            exit::DONE
        } else {
            exit::WITH_FAILURES
        }
    }

    /// The summary as a person reads it: plain text, no colour.
    #[must_use]
    pub fn human(&self) -> String {
        let totals = self.totals();
        let mut text = String::new();
        let _ =
            writeln!(text, "Job {} into {} ({})\n", self.job, self.environment, self.organization);
        text.push_str(&self.grid(&totals));
        let _ = writeln!(text, "\n{}", accounts(&totals, self.is_balanced()));
        for load in self.loads.iter().filter(|l| l.difference() != 0) {
            let _ = writeln!(
                text,
                "DIFFERENCE in load {}: {} rows read, {} accounted for; keep the ledger and report it",
                load.name,
                grouped(load.read),
                grouped(load.states.settled() + load.queued + load.in_flight)
            );
        }
        let _ = writeln!(
            text,
            "{}, {} rows/s, {} requests, {}",
            seconds(self.elapsed),
            grouped(rate(totals.settled_now, self.elapsed)),
            grouped(totals.requests),
            throttled(totals.throttles, self.waited)
        );
        text.push('\n');
        let files: Vec<&FileSummary> =
            self.loads.iter().flat_map(|l| &l.files).filter(|f| f.rows > 0).collect();
        let width = files.iter().map(|f| grouped(f.rows).len()).max().unwrap_or(0);
        for file in files {
            let rows = grouped(file.rows);
            let _ = writeln!(text, "{:<11}  {rows:>width$}  {}", file.kind, file.path);
        }
        let _ = writeln!(text, "{:<11}  {:>width$}  {}", "ledger", "", self.ledger);
        text.push('\n');
        match &self.incomplete {
            Some(reason) => {
                let _ =
                    writeln!(text, "INCOMPLETE: {reason}. Run the same command again to go on.");
            }
            None if !self.is_complete() => {
                text.push_str("INCOMPLETE: not every row has an outcome.\n")
            }
            None if totals.states.bad() > 0 => {
                let _ = writeln!(
                    text,
                    "COMPLETE, with {} bad rows. Correct the error files and load them again.",
                    grouped(totals.states.bad())
                );
            }
            None => text.push_str("COMPLETE: every row is accounted for, none failed.\n"),
        }
        text
    }

    fn grid(&self, totals: &LoadSummary) -> String {
        let shown: Vec<RowState> =
            RowState::ALL.into_iter().filter(|s| totals.states.get(*s) > 0).collect();
        let open = totals.queued + totals.in_flight > 0;
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut head = vec!["load".to_owned(), "read".to_owned()];
        head.extend(shown.iter().map(|s| s.word().to_owned()));
        if open {
            head.extend(["queued".to_owned(), "in flight".to_owned()]);
        }
        head.push("rows/s".to_owned());
        rows.push(head);
        let many = self.loads.len() > 1;
        for load in self.loads.iter().chain(many.then_some(totals)) {
            let mut row = vec![load.name.clone(), grouped(load.read)];
            row.extend(shown.iter().map(|s| grouped(load.states.get(*s))));
            if open {
                row.extend([grouped(load.queued), grouped(load.in_flight)]);
            }
            row.push(grouped(rate(load.settled_now, load.elapsed)));
            rows.push(row);
        }
        aligned(&rows)
    }

    /// The summary as JSON; keys are stable.
    #[must_use]
    pub fn json(&self) -> Value {
        let totals = self.totals();
        let mut value = json!({
            "format": 1,
            "job": self.job,
            "environment": self.environment,
            "organization": self.organization,
            "complete": self.is_complete(),
            "incomplete_reason": self.incomplete,
            "balanced": self.is_balanced(),
            "exit_code": self.exit_code(),
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "waited_seconds": self.waited.as_secs_f64(),
            "cpu_seconds": self.usage.cpu_secs,
            "resident_bytes_max": self.usage.resident_bytes_max,
            "ledger": self.ledger,
            "loads": self.loads.iter().map(load_json).collect::<Vec<_>>(),
        });
        value["totals"] = load_json(&totals);
        value
    }
}

fn load_json(load: &LoadSummary) -> Value {
    let states: serde_json::Map<String, Value> = RowState::ALL
        .into_iter()
        .map(|s| (s.word().to_owned(), json!(load.states.get(s))))
        .collect();
    json!({
        "name": load.name,
        "table": load.table,
        "operation": load.operation,
        "rows_read": load.read,
        "rows": states,
        "rows_queued": load.queued,
        "rows_in_flight": load.in_flight,
        "difference": i64::try_from(load.difference()).unwrap_or(i64::MAX),
        "rows_per_second": rate(load.settled_now, load.elapsed),
        "elapsed_seconds": load.elapsed.as_secs_f64(),
        "requests": load.requests,
        "throttled": {
            "execution_time": load.throttles.execution_time,
            "requests": load.throttles.requests,
            "concurrency": load.throttles.concurrency,
            "other": load.throttles.other,
        },
        "files": load.files.iter()
            .map(|f| json!({ "kind": f.kind, "path": f.path, "rows": f.rows }))
            .collect::<Vec<_>>(),
    })
}

fn accounts(totals: &LoadSummary, balanced: bool) -> String {
    let mut parts: Vec<String> = RowState::ALL
        .into_iter()
        .filter(|s| totals.states.get(*s) > 0)
        .map(|s| format!("{} {}", grouped(totals.states.get(s)), s.word()))
        .collect();
    for (rows, word) in [(totals.queued, "queued"), (totals.in_flight, "in flight")] {
        if rows > 0 {
            parts.push(format!("{} {word}", grouped(rows)));
        }
    }
    if parts.is_empty() {
        parts.push("0".to_owned());
    }
    let sign = if balanced { "=" } else { "≠" };
    format!("Accounts: {} read {sign} {}", grouped(totals.read), parts.join(" + "))
}

fn throttled(throttles: Throttles, waited: Duration) -> String {
    if throttles.total() == 0 {
        return "never throttled".to_owned();
    }
    let kinds = [
        (throttles.execution_time, "execution time"),
        (throttles.requests, "requests"),
        (throttles.concurrency, "concurrency"),
        (throttles.other, "other"),
    ];
    let told: Vec<String> = kinds
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, kind)| format!("{} {kind}", grouped(*n)))
        .collect();
    let total = grouped(throttles.total());
    format!("throttled {total} times ({}), waited {}", told.join(", "), seconds(waited))
}

fn rate(rows: u64, elapsed: Duration) -> u64 {
    let ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / ms).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> String {
    let total = duration.as_secs();
    match total {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", total / 60, total % 60),
        _ => format!("{} h {:02} min", total / 3600, total / 60 % 60),
    }
}

/// A number with commas between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows of cells as lines: the first column to the left, others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            if line.is_empty() {
                let _ = write!(line, "{cell:<width$}");
            } else {
                let _ = write!(line, "  {cell:>width$}");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Findings of a check as a person reads them, ending with a line that counts them.
#[must_use]
pub fn findings_human(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let column = finding.column.as_deref().map_or_else(String::new, |c| format!(".{c}"));
        let _ = writeln!(
            text,
            "{}[{}] {}{column}: {}",
            finding.severity.word(),
            finding.code,
            finding.load,
            finding.message
        );
        if !finding.way_out.is_empty() {
            let _ = writeln!(text, "  hint: {}", finding.way_out);
        }
    }
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings, notes) =
        (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{errors} error{}, {warnings} warning{}, {notes} note{}",
        s(errors),
        s(warnings),
        s(notes)
    );
    text
}

/// Findings of a check as JSON; keys are stable.
#[must_use]
pub fn findings_json(findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|f| {
            json!({
                "severity": f.severity.word(),
                "check": f.check,
                "code": f.code,
                "load": f.load,
                "column": f.column,
                "message": f.message,
                "way_out": f.way_out,
            })
        })
        .collect();
    json!({ "format": 1, "findings": list })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, read: u64, states: &[(RowState, u64)]) -> LoadSummary {
        let mut load = LoadSummary {
            name: name.to_owned(),
            table: name.to_owned(),
            operation: "create",
            read,
            settled_now: states.iter().map(|(_, n)| n).sum(),
            elapsed: Duration::from_millis(20_000),
            requests: read / 100,
            ..Default::default()
        };
        for (state, rows) in states {
            load.states.add(*state, *rows);
        }
        for (kind, rows) in
            [("success", load.settled_now - load.states.bad()), ("errors", load.states.bad())]
        {
            load.files.push(FileSummary { kind, path: format!("out/{name}.{kind}.csv"), rows });
        }
        load
    }

    fn run(loads: Vec<LoadSummary>) -> RunSummary {
        RunSummary {
            usage: Usage::default(),
            job: "crm".to_owned(),
            environment: "https://contoso.crm4.dynamics.com".to_owned(),
            organization: "8c1b7a52-1c1e-4b1f-9f6e-5a1d3c2b4e6f".to_owned(),
            loads,
            elapsed: Duration::from_secs(83),
            waited: Duration::from_millis(8_100),
            ledger: "crm.ledger".to_owned(),
            incomplete: None,
            exit: None,
        }
    }

    #[test]
    fn complete_with_bad_rows() {
        let mut account = load(
            "account",
            120_000,
            &[(RowState::Created, 119_400), (RowState::Rejected, 500), (RowState::Failed, 100)],
        );
        account.throttles = Throttles { execution_time: 12, requests: 3, ..Throttles::default() };
        let run = run(vec![account, load("contact", 900, &[(RowState::Created, 900)])]);
        assert_eq!(run.exit_code(), exit::WITH_FAILURES);
        insta::assert_snapshot!(run.human(), @r#"
        Job crm into https://contoso.crm4.dynamics.com (8c1b7a52-1c1e-4b1f-9f6e-5a1d3c2b4e6f)

        load        read  created  rejected  failed  rows/s
        account  120,000  119,400       500     100   6,000
        contact      900      900         0       0      45
        total    120,900  120,300       500     100   1,456

        Accounts: 120,900 read = 120,300 created + 500 rejected + 100 failed
        1 min 23 s, 1,456 rows/s, 1,209 requests, throttled 15 times (12 execution time, 3 requests), waited 8.1 s

        success      119,400  out/account.success.csv
        errors           600  out/account.errors.csv
        success          900  out/contact.success.csv
        ledger                crm.ledger

        COMPLETE, with 600 bad rows. Correct the error files and load them again.
        "#);
        insta::assert_snapshot!(serde_json::to_string_pretty(&run.json()["totals"]).unwrap(), @r#"
        {
          "difference": 0,
          "elapsed_seconds": 83.0,
          "files": [],
          "name": "total",
          "operation": "",
          "requests": 1209,
          "rows": {
            "ambiguous": 0,
            "cancelled": 0,
            "created": 120300,
            "deleted": 0,
            "duplicate_input": 0,
            "existing": 0,
            "failed": 100,
            "filtered": 0,
            "rejected": 500,
            "updated": 0,
            "upserted": 0
          },
          "rows_in_flight": 0,
          "rows_per_second": 1456,
          "rows_queued": 0,
          "rows_read": 120900,
          "table": "",
          "throttled": {
            "concurrency": 0,
            "execution_time": 12,
            "other": 0,
            "requests": 3
          }
        }
        "#);
    }

    #[test]
    fn all_good() {
        let run = run(vec![load("account", 5, &[(RowState::Created, 4), (RowState::Existing, 1)])]);
        assert_eq!(run.exit_code(), exit::DONE);
        insta::assert_snapshot!(run.human(), @r#"
        Job crm into https://contoso.crm4.dynamics.com (8c1b7a52-1c1e-4b1f-9f6e-5a1d3c2b4e6f)

        load     read  created  existing  rows/s
        account     5        4         1       0

        Accounts: 5 read = 4 created + 1 existing
        1 min 23 s, 0 rows/s, 0 requests, never throttled

        success      5  out/account.success.csv
        ledger          crm.ledger

        COMPLETE: every row is accounted for, none failed.
        "#);
    }

    #[test]
    fn interrupted() {
        let mut account = load("account", 1000, &[(RowState::Created, 600)]);
        (account.queued, account.in_flight) = (300, 100);
        let mut run = run(vec![account]);
        run.incomplete = Some("interrupted by Ctrl-C".to_owned());
        run.exit = Some(exit::INTERRUPTED);
        assert!(run.is_balanced() && !run.is_complete());
        insta::assert_snapshot!(run.human(), @r#"
        Job crm into https://contoso.crm4.dynamics.com (8c1b7a52-1c1e-4b1f-9f6e-5a1d3c2b4e6f)

        load      read  created  queued  in flight  rows/s
        account  1,000      600     300        100      30

        Accounts: 1,000 read = 600 created + 300 queued + 100 in flight
        1 min 23 s, 7 rows/s, 10 requests, never throttled

        success      600  out/account.success.csv
        ledger            crm.ledger

        INCOMPLETE: interrupted by Ctrl-C. Run the same command again to go on.
        "#);
    }

    #[test]
    fn a_difference_is_never_hidden() {
        let run = run(vec![load("account", 1000, &[(RowState::Created, 999)])]);
        assert!(!run.is_balanced() && !run.is_complete());
        assert_eq!(run.exit_code(), exit::WITH_FAILURES);
        insta::assert_snapshot!(run.human(), @r#"
        Job crm into https://contoso.crm4.dynamics.com (8c1b7a52-1c1e-4b1f-9f6e-5a1d3c2b4e6f)

        load      read  created  rows/s
        account  1,000      999      49

        Accounts: 1,000 read ≠ 999 created
        DIFFERENCE in load account: 1,000 rows read, 999 accounted for; keep the ledger and report it
        1 min 23 s, 12 rows/s, 10 requests, never throttled

        success      999  out/account.success.csv
        ledger            crm.ledger

        INCOMPLETE: not every row has an outcome.
        "#);
        assert_eq!(run.json()["totals"]["difference"], 1);
    }

    #[test]
    fn every_state_has_its_own_slot() {
        let mut counts = StateCounts::default();
        for state in RowState::ALL {
            counts.add(state, u64::from(state.code()));
        }
        assert_eq!(counts.settled(), 66);
        assert!(RowState::ALL.into_iter().all(|s| counts.get(s) == u64::from(s.code())));
    }

    #[test]
    fn findings() {
        let finding = |severity, code, column: Option<&str>, way_out: &str| Finding {
            severity,
            check: "columns",
            code,
            load: "account".to_owned(),
            column: column.map(str::to_owned),
            message: "something".to_owned(),
            way_out: way_out.to_owned(),
        };
        let list = [
            finding(Severity::Error, "DV0103", Some("nmae"), "did you mean `name`?"),
            finding(Severity::Note, "DV0119", None, ""),
        ];
        insta::assert_snapshot!(findings_human(&list), @r#"
        error[DV0103] account.nmae: something
          hint: did you mean `name`?
        note[DV0119] account: something
        1 error, 0 warnings, 1 note
        "#);
        assert_eq!(findings_json(&list)["findings"][0]["column"], "nmae");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(seconds(Duration::from_millis(59_940)), "59.9 s");
        assert_eq!(seconds(Duration::from_secs(3_725)), "1 h 02 min");
        assert_eq!(rate(10, Duration::ZERO), 10_000);
    }
}
