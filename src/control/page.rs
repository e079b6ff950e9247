//! Pure: the page for people: a run at one moment as HTML.
//!
//! The script on it asks for the whole page again and moves what changed into place, so that there
//! is one renderer, and the page without script shows the same. Names come out of job files and
//! messages from the server: everything is escaped where it is written.

use crate::control::figures::{grouped, per_cent, rate, span};
use crate::control::status::{IdentityStatus, LaneStatus, LoadStatus, RunStatus};
use crate::control::token::TOKEN_NAME;
use crate::limits::HISTORY_BUCKETS_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// A drop, so that browsers do not ask for an icon.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='%230b62b8'/%3E%3C/svg%3E";
/// How often a browser without script loads the page again, seconds.
const REFRESH_SECS: &str = "5";

/// The `Content-Security-Policy` of the page: its own script and style and nothing else, no frame
/// around it, no form that goes anywhere.
#[must_use]
pub fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// The whole page.
#[must_use]
pub fn page(status: &RunStatus) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (status.job) ": " (status.state) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                link rel="icon" href=(ICON);
                noscript { meta http-equiv="refresh" content=(REFRESH_SECS); }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main id="run" { (run(status)) }
                p id="note" role="status" {}
                section id="key" aria-label="Token" {
                    form id="key-form" {
                        label {
                            "Token, to steer and to see which rows were refused"
                            input id="token" type="password" autocomplete="off" spellcheck="false";
                        }
                        button { "Use" }
                    }
                    p id="key-kept" hidden {
                        "The token is kept until this tab is closed. "
                        button id="forget" type="button" { "Forget it" }
                    }
                    p.soft { "The token of this run stands in " code { (TOKEN_NAME) } " in the ledger folder of the job." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn run(status: &RunStatus) -> Markup {
    html! {
        h1 { (status.job) ": " span class={ "state " (status.state) } data-path="state" { (status.state) } }
        p.soft { (status.environment) ", process " (status.pid) ", for " (span(Some(status.elapsed_secs))) }
        div id="steer" {
            button type="button" data-wish="pause" disabled[status.state != "running"] { "Pause" } " "
            button type="button" data-wish="resume" disabled[is_ending(status)] { "Resume" } " "
            button type="button" data-wish="drain" disabled[is_ending(status)] { "Drain" }
        }
        (totals(status))
        (curve(&status.history.rows, status.history.bucket_secs))
        h2 { "Loads" }
        (loads(status))
        h2 { "Identities" }
        (tuning(status))
        (identities(status))
        h2 { "Last refused rows" }
        (errors(status))
    }
}

fn is_ending(status: &RunStatus) -> bool {
    matches!(status.state.as_str(), "draining" | "stopping")
}

fn totals(status: &RunStatus) -> Markup {
    let sum = |of: fn(&LoadStatus) -> u64| grouped(status.loads.iter().map(of).sum());
    let refused = status.loads.iter().map(LoadStatus::refused).sum::<u64>();
    let memory = |bytes: u64| grouped(bytes >> 20);
    html! {
        dl {
            div { dt { "settled" } dd data-total="settled" { (sum(LoadStatus::settled)) } }
            div { dt { "read" } dd data-total="read" { (sum(|l| l.read)) } }
            div { dt { "open" } dd data-total="open" { (sum(|l| l.open)) } }
            div { dt { "refused" } dd.bad[refused > 0] data-total="refused" { (grouped(refused)) } }
            div { dt { "rows/s" } dd { (rate(status.rows_per_second_now)) } }
            div { dt { "time left" } dd { (span(status.eta_secs)) } }
            div {
                dt { "memory, MiB" }
                dd { (memory(status.memory_taken_bytes)) " of " (memory(status.memory_budget_bytes)) }
            }
        }
    }
}

fn loads(status: &RunStatus) -> Markup {
    html! {
        table {
            thead { tr { th { "load" } th { "rows" } th { "rows/s" } th { "left" } th { "sending" } th { "held by" } } }
            tbody {
                @for (index, load) in status.loads.iter().enumerate() {
                    tr data-load=(index) { (load_cells(index, load, status.history.bucket_secs)) }
                }
            }
        }
    }
}

fn load_cells(index: usize, load: &LoadStatus, bucket_secs: u64) -> Markup {
    let path = |field: &str| format!("loads.{index}.{field}");
    let bad = ["failed", "rejected", "duplicate_input", "ambiguous"];
    html! {
        td data-head="load" {
            div {
                strong data-path=(path("name")) { (load.name) }
                @if let Some(share) = load.source_share {
                    div.part {
                        progress max="1" value=(share) aria-label="share of the source read" {} " "
                        (per_cent(share))
                    }
                }
            }
        }
        td.number data-head="rows" {
            div {
                span.part { "read " span data-path=(path("read")) { (grouped(load.read)) } }
                span.part { "open " span data-path=(path("open")) { (grouped(load.open)) } }
                @for (state, rows) in &load.rows {
                    span.part.bad[bad.contains(&state.as_str())] {
                        (state.replace('_', " ")) " "
                        span data-path=(path(&format!("rows.{state}"))) { (grouped(*rows)) }
                    }
                }
            }
        }
        td.number data-head="rows/s" {
            div { (rate(load.rows_per_second_now)) (curve(&load.history, bucket_secs)) }
        }
        td.number data-head="left" { (span(load.eta_secs)) }
        td.number data-head="sending" { (sending(load, &path)) }
        td data-head="held by" data-path=(path("reason")) { (load.reason) }
    }
}

fn sending(load: &LoadStatus, path: &dyn Fn(&str) -> String) -> Markup {
    html! {
        div {
            span data-path=(path("in_flight")) { (load.in_flight) }
            " of "
            span data-path=(path("parallel")) { (load.parallel) }
            " × "
            span data-path=(path("batch_rows")) { (load.batch_rows) }
            " rows"
            @if let Some(tuning) = &load.tuning {
                br;
                small {
                    "best " (tuning.batch_optimum) " (" (tuning.batch_range[0]) "–" (tuning.batch_range[1])
                    "), weight " (tuning.weight)
                    @if tuning.paused { ", paused" }
                }
            }
        }
    }
}

/// What holds for all identities.
fn tuning(status: &RunStatus) -> Markup {
    html! {
        @if let Some(tuning) = &status.tuning {
            p.soft {
                (format!("aiming at {:.1} requests at once", tuning.parallel_target))
                " (" (tuning.parallel_bound) "), limits counted by " (tuning.scope)
                @if let Some(servers) = tuning.servers { ", " (servers) " web servers" }
                @if tuning.sprint { ", sprint" }
                @if tuning.max_share < 1.0 { ", using at most " (per_cent(tuning.max_share)) }
            }
        }
    }
}

fn identities(status: &RunStatus) -> Markup {
    html! {
        table {
            thead { tr { th { "identity" } th { "window" } th { "429s" } } }
            tbody {
                @for (index, identity) in status.identities.iter().enumerate() {
                    tr { (identity_cells(index, identity)) }
                }
            }
        }
    }
}

fn identity_cells(index: usize, identity: &IdentityStatus) -> Markup {
    let path = |field: &str| format!("identities.{index}.{field}");
    html! {
        td data-head="identity" {
            div {
                strong data-path=(path("name")) { (identity.name) }
                @if identity.paused == Some(true) { span.warn { " paused" } }
                @if identity.closed == Some(true) { span.warn { " closed" } }
            }
        }
        td.number data-head="window" {
            div {
                @if identity.lanes.is_empty() { span.soft { "–" } }
                @for lane in &identity.lanes { (lane_line(lane)) }
            }
        }
        td.number data-head="429s" {
            div {
                @for (kind, count) in &identity.throttles {
                    span.part {
                        (kind.replace('_', " ")) " "
                        span data-path=(path(&format!("throttles.{kind}"))) { (grouped(*count)) }
                    }
                }
            }
        }
    }
}

fn lane_line(lane: &LaneStatus) -> Markup {
    html! {
        div {
            @if let Some(server) = lane.server { span.part { "server " (server) } }
            (gauge("time", lane.time_used_secs, lane.time_limit_secs, " s"))
            (gauge("requests", lane.requests_used, lane.requests_limit, ""))
            (gauge("at once", f64::from(lane.in_flight), lane.parallel_limit, ""))
            @if lane.closed_secs > 0.0 {
                span.part.warn {
                    "closed " (span(Some(lane.closed_secs)))
                    @if let Some(kind) = &lane.closed_by { " by " (kind.replace('_', " ")) }
                }
            }
        }
    }
}

/// Used of a limit; a limit that is not known has no bar.
fn gauge(what: &str, used: f64, limit: f64, unit: &str) -> Markup {
    html! {
        span.part {
            (what) " " (grouped(used.max(0.0).round() as u64))
            @if limit > 0.0 {
                " of " (grouped(limit.round() as u64)) (unit) " "
                progress.full[used >= 0.95 * limit] max=(limit) value=(used.clamp(0.0, limit)) aria-label=(what) {}
            } @else { (unit) }
        }
    }
}

fn errors(status: &RunStatus) -> Markup {
    html! {
        @if status.last_errors.is_empty() {
            p.soft { "None." }
        } @else {
            @if status.last_errors.iter().any(|row| row.key.is_none()) {
                p.soft { "Keys and messages are shown to who gives the token." }
            }
            table {
                thead { tr { th { "load" } th { "key" } th { "code" } th { "message" } } }
                tbody {
                    @for row in &status.last_errors {
                        tr data-refused {
                            td data-head="load" { (row.load) }
                            td data-head="key" { (row.key.as_deref().unwrap_or("–")) }
                            td data-head="code" { (row.code) }
                            td data-head="message" { (row.message.as_deref().unwrap_or(&row.category)) }
                        }
                    }
                }
            }
        }
    }
}

/// Rows a second over time; nothing before there are two points.
fn curve(rows: &[u64], bucket_secs: u64) -> Markup {
    let highest = rows.iter().copied().max().unwrap_or(0);
    let mut points = String::new();
    for (x, rows) in rows.iter().take(HISTORY_BUCKETS_MAX).enumerate() {
        let y = 38.0 - 36.0 * *rows as f64 / highest.max(1) as f64;
        let written = write!(points, "{x},{y:.1} ");
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    let secs = bucket_secs.max(1);
    let label = format!(
        "rows a second over the last {}, at most {}",
        span(Some((rows.len() as u64 * secs) as f64)),
        rate(Some(highest as f64 / secs as f64))
    );
    html! {
        @if rows.len() > 1 {
            svg.curve viewBox=(format!("0 0 {} 40", rows.len() - 1)) preserveAspectRatio="none" role="img" aria-label=(label) {
                polyline points=(points.trim_end()) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status::{HistoryStatus, RefusedStatus, TuningStatus};
    use std::collections::BTreeMap;

    const HOSTILE: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>";

    fn status() -> RunStatus {
        let load = LoadStatus {
            name: HOSTILE.into(),
            read: 12_345,
            open: 45,
            rows: BTreeMap::from([("created".to_owned(), 12_000), ("failed".to_owned(), 300)]),
            rows_per_second: 100.0,
            rows_per_second_now: Some(120.4),
            eta_secs: Some(61.0),
            requests: BTreeMap::new(),
            in_flight: 3,
            parallel: 8,
            batch_rows: 100,
            source_share: Some(0.5),
            waiting: "knee".into(),
            reason: HOSTILE.into(),
            tuning: None,
            history: vec![],
        };
        let lane = LaneStatus {
            server: Some(1),
            time_used_secs: 1190.0,
            time_limit_secs: 1200.0,
            requests_used: 100.0,
            requests_limit: 0.0,
            in_flight: 2,
            parallel_limit: 52.0,
            tokens_secs: 1.0,
            closed_secs: 12.4,
            closed_by: Some("execution_time".into()),
        };
        RunStatus {
            orders: crate::control::orders_status::OrdersStatus::default(),
            job: HOSTILE.into(),
            environment: HOSTILE.into(),
            state: "running".into(),
            pid: 1,
            elapsed_secs: 61.0,
            memory_taken_bytes: 3 << 20,
            memory_budget_bytes: 512 << 20,
            page: None,
            rows_per_second_now: Some(120.4),
            eta_secs: None,
            tuning: Some(TuningStatus {
                scope: "server".into(),
                servers: Some(2),
                parallel_target: 20.5,
                parallel_bound: "budget".into(),
                elasticity_parallel: None,
                elasticity_rows: None,
                sprint: true,
                max_share: 0.4,
            }),
            loads: vec![load],
            identities: vec![IdentityStatus {
                name: HOSTILE.into(),
                throttles: BTreeMap::from([("execution_time".to_owned(), 2)]),
                paused: Some(true),
                closed: Some(true),
                lanes: vec![lane],
            }],
            last_errors: vec![RefusedStatus {
                load: HOSTILE.into(),
                code: HOSTILE.into(),
                category: "value".into(),
                key: Some(HOSTILE.into()),
                message: Some(HOSTILE.into()),
            }],
            history: HistoryStatus { bucket_secs: 5, rows: vec![10, 20, 0] },
        }
    }

    #[test]
    fn what_others_wrote_is_text() {
        let page = page(&status());
        assert_eq!(page.matches("<script>").count(), 1, "the page's own");
        assert!(!page.contains("<img"), "{page}");
        assert!(page.matches("&lt;img src=x onerror=alert(2)&gt;").count() >= 9, "{page}");
    }

    #[test]
    fn figures_of_the_status_stand_on_the_page() {
        let page = page(&status());
        for text in [
            r#"<span data-path="loads.0.read">12,345</span>"#,
            r#"<span data-path="loads.0.rows.failed">300</span>"#,
            r#"<dd data-total="settled">12,300</dd>"#,
            r#"<dd class="bad" data-total="refused">300</dd>"#,
            "time 1,190 of 1,200 s ",
            r#"<progress class="full" max="1200" value="1190""#,
            "requests 100<",
            "closed 13s by execution time",
            "aiming at 20.5 requests at once (budget), limits counted by server, 2 web servers, sprint, using at most 40 %",
            "<code>control.token</code> in the ledger folder",
            r#"points="0,20.0 1,2.0 2,38.0""#,
            r#"<meta http-equiv="refresh" content="5">"#,
        ] {
            assert!(page.contains(text), "{text} is missing in\n{page}");
        }
    }

    #[test]
    fn a_run_that_ends_cannot_be_steered_back() {
        let of = |state: &str| page(&RunStatus { state: state.into(), ..status() });
        let enabled = |page: &str, wish: &str| {
            let button = page.split("<button").find(|b| b.contains(&format!("\"{wish}\"")));
            !button.expect("the button").split('>').next().expect("its tag").contains("disabled")
        };
        let seen = |state| ["pause", "resume", "drain"].map(|wish| enabled(&of(state), wish));
        assert_eq!(seen("running"), [true, true, true], "resume lifts the pause of a breaker");
        assert_eq!(seen("paused"), [false, true, true]);
        assert_eq!(seen("draining"), [false, false, false]);
    }

    #[test]
    fn strangers_are_told_what_to_do() {
        let page = page(&status().for_strangers());
        assert!(page.contains("Keys and messages are shown to who gives the token."));
        assert!(page.contains(r#"<td data-head="message">value</td>"#), "{page}");
    }

    #[test]
    fn nothing_of_the_page_needs_an_exception_from_its_policy() {
        let page = page(&status());
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
        for forbidden in
            [" style=", " onclick=", " onload=", "javascript:", "src=\"http", "@import", "url("]
        {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval("));
    }
}
