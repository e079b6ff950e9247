//! Pure: a run as a screen of the terminal. What does not fit is left out from the bottom up and
//! from the right: a narrow terminal shows less, never nonsense.

use crate::cli::top::keys::View;
use crate::control::figures::{grouped, per_cent, rate, span};
use crate::control::status::{IdentityStatus, LaneStatus, LoadStatus, RunStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table, TableState};

/// Least size that shows something.
const LEAST: (u16, u16) = (30, 6);
/// Height from which there is room for the curve.
const CURVE_FROM: u16 = 18;
/// Cells of the bar of a limit.
const BAR_CELLS: usize = 8;
/// Characters of the figures beside it, so that the bars stand below each other.
const FIGURES: usize = 9;
/// Where the keys are explained.
const HELP: &str = "q quit  p pause  r resume  d drain  ↑↓ load  space pause load";

const SOFT: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const BAD: Style = Style::new().fg(Color::Red);
const WARN: Style = Style::new().fg(Color::Yellow);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget(Paragraph::new("terminal too small"), area);
        return;
    }
    let heights = heights(&view.status, area);
    let [head, curve, loads, held, identities, errors, foot] =
        Layout::vertical(heights.map(Constraint::Length)).areas(area);
    draw_head(frame, head, &view.status);
    draw_curve(frame, curve, &view.status);
    draw_loads(frame, loads, view);
    draw_held(frame, held, view);
    draw_identities(frame, identities, &view.status);
    draw_errors(frame, errors, &view.status);
    draw_foot(frame, foot, view);
}

/// Lines of head, curve, loads, sentence of the selected load, identities, errors, foot.
fn heights(status: &RunStatus, area: Rect) -> [u16; 7] {
    let count = |lines: usize| u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(1);
    let lanes = status.identities.iter().map(|i| i.lanes.len().max(1)).sum();
    let mut left = area.height;
    let mut take = |wanted: u16| {
        let given = wanted.min(left);
        left -= given;
        given
    };
    let foot = take(1);
    let head = take(2);
    let curve = if area.height >= CURVE_FROM { take(4) } else { 0 };
    let held = take(1);
    let rest = area.height - foot - head - curve - held;
    let loads = take(count(status.loads.len()).min((rest / 2).max(2)));
    let identities = take(count(lanes).min(((rest - loads) / 2).max(2)));
    let errors = take(u16::MAX);
    [head, curve, loads, held, identities, errors, foot]
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, status: &RunStatus) {
    let state = if status.state == "running" { STRONG } else { WARN };
    let first = Line::from(vec![
        Span::styled(format!("{}: ", status.job), STRONG),
        Span::styled(status.state.clone(), state),
        Span::raw(format!("  {}", span(Some(status.elapsed_secs)))),
        Span::styled(format!("  {}", status.environment), SOFT),
    ]);
    let sum = |of: fn(&LoadStatus) -> u64| status.loads.iter().map(of).sum::<u64>();
    let refused = sum(LoadStatus::refused);
    let second = Line::from(vec![
        Span::raw(format!(
            "settled {} of {}",
            grouped(sum(LoadStatus::settled)),
            grouped(sum(|l| l.read))
        )),
        Span::styled(
            format!("  refused {}", grouped(refused)),
            if refused > 0 { BAD } else { Style::new() },
        ),
        Span::raw(format!(
            "  {} rows/s  left {}  memory {}/{} MiB",
            rate(status.rows_per_second_now),
            span(status.eta_secs),
            status.memory_taken_bytes >> 20,
            status.memory_budget_bytes >> 20
        )),
    ]);
    frame.render_widget(Paragraph::new(vec![first, second]), area);
}

/// The last buckets, as many as there are cells.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, status: &RunStatus) {
    if area.height < 2 {
        return;
    }
    let [title, curve] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let rows = &status.history.rows;
    let shown = &rows[rows.len().saturating_sub(usize::from(curve.width))..];
    let secs = status.history.bucket_secs.max(1);
    let highest = shown.iter().copied().max().unwrap_or(0) as f64 / secs as f64;
    let text = format!(
        "rows/s, last {}, at most {}",
        span(Some((shown.len() as u64 * secs) as f64)),
        rate(Some(highest))
    );
    frame.render_widget(Paragraph::new(Span::styled(text, SOFT)), title);
    frame.render_widget(Sparkline::default().data(shown), curve);
}

/// A column of the loads: heading, width, and from which width of the terminal it is shown.
struct Column {
    head: &'static str,
    width: Constraint,
    from: u16,
    cell: fn(&LoadStatus) -> String,
}

const COLUMNS: [Column; 8] = [
    Column { head: "load", width: Constraint::Fill(2), from: 0, cell: |l| l.name.clone() },
    Column {
        head: "done",
        width: Constraint::Length(5),
        from: 64,
        cell: |l| l.source_share.map_or_else(|| "–".to_owned(), per_cent),
    },
    Column {
        head: "settled",
        width: Constraint::Length(11),
        from: 0,
        cell: |l| grouped(l.settled()),
    },
    Column { head: "open", width: Constraint::Length(7), from: 100, cell: |l| grouped(l.open) },
    Column {
        head: "refused",
        width: Constraint::Length(8),
        from: 48,
        cell: |l| grouped(l.refused()),
    },
    Column {
        head: "rows/s",
        width: Constraint::Length(7),
        from: 0,
        cell: |l| rate(l.rows_per_second_now),
    },
    Column { head: "left", width: Constraint::Length(7), from: 56, cell: |l| span(l.eta_secs) },
    Column { head: "sending", width: Constraint::Length(13), from: 72, cell: sending },
];

impl Column {
    /// Figures stand below each other by their last digit.
    fn line(&self, text: String) -> Line<'static> {
        let line = Line::raw(text);
        if self.head == COLUMNS[0].head { line } else { line.right_aligned() }
    }
}

fn sending(load: &LoadStatus) -> String {
    format!("{}/{} × {}", load.in_flight, load.parallel, load.batch_rows)
}

fn draw_loads(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let shown: Vec<&Column> = COLUMNS.iter().filter(|c| area.width >= c.from).collect();
    let is_wide = area.width >= 100;
    let mut widths: Vec<Constraint> = shown.iter().map(|c| c.width).collect();
    let mut heads: Vec<Line<'_>> = shown.iter().map(|c| c.line(c.head.to_owned())).collect();
    if is_wide {
        widths.push(Constraint::Fill(4));
        heads.push(Line::raw("held by"));
    }
    let rows = view.status.loads.iter().map(|load| {
        let mut cells: Vec<Line<'_>> = shown.iter().map(|c| c.line((c.cell)(load))).collect();
        if is_wide {
            cells.push(Line::raw(load.reason.as_str()));
        }
        let style = match load.waiting.as_str() {
            "done" => SOFT,
            "breaker" | "operator" | "throttled" => WARN,
            _ => Style::new(),
        };
        Row::new(cells).style(style)
    });
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(SOFT))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(Some(view.selected));
    frame.render_stateful_widget(table, area, &mut state);
}

/// What holds the selected load, in full.
fn draw_held(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let Some(load) = view.status.loads.get(view.selected) else { return };
    let mut text = format!("{}: {}", load.name, load.reason);
    if let Some(tuning) = &load.tuning {
        let range = tuning.batch_range;
        text.push_str(&format!(
            "; best {} rows ({}–{}), weight {}{}",
            tuning.batch_optimum,
            range[0],
            range[1],
            tuning.weight,
            if tuning.paused { ", paused" } else { "" }
        ));
    }
    frame.render_widget(Paragraph::new(Span::styled(text, STRONG)), area);
}

fn draw_identities(frame: &mut Frame<'_>, area: Rect, status: &RunStatus) {
    let mut lines = vec![Line::styled(tuning(status), SOFT)];
    for identity in &status.identities {
        if identity.lanes.is_empty() {
            lines.push(Line::from(identity_head(identity, None)));
        }
        for lane in &identity.lanes {
            let mut spans = identity_head(identity, Some(lane));
            spans.push(limit("time, s", lane.time_used_secs, lane.time_limit_secs));
            spans.push(limit("requests", lane.requests_used, lane.requests_limit));
            if area.width >= 100 {
                let in_flight = f64::from(lane.in_flight);
                spans.push(limit("at once", in_flight, lane.parallel_limit));
            }
            lines.push(Line::from(spans));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn tuning(status: &RunStatus) -> String {
    let Some(tuning) = &status.tuning else { return "identities".to_owned() };
    let mut text = format!(
        "identities: aiming at {:.1} at once ({}), counted by {}",
        tuning.parallel_target, tuning.parallel_bound, tuning.scope
    );
    if let Some(servers) = tuning.servers {
        text.push_str(&format!(", {servers} servers"));
    }
    if tuning.sprint {
        text.push_str(", sprint");
    }
    if tuning.max_share < 1.0 {
        text.push_str(&format!(", at most {}", per_cent(tuning.max_share)));
    }
    text
}

/// Name, state and 429s: the same width on every line, so that the bars stand below each other.
fn identity_head(identity: &IdentityStatus, lane: Option<&LaneStatus>) -> Vec<Span<'static>> {
    let server = lane.and_then(|lane| lane.server).map(|s| format!(" s{s}")).unwrap_or_default();
    let throttles: u64 = identity.throttles.values().sum();
    let closed = lane.map_or(0.0, |lane| lane.closed_secs);
    let (state, style) = if closed > 0.0 {
        (format!("closed {}", span(Some(closed))), WARN)
    } else if identity.paused == Some(true) {
        ("paused".to_owned(), WARN)
    } else {
        (format!("429s {}", grouped(throttles)), if throttles > 0 { WARN } else { SOFT })
    };
    vec![
        Span::raw(format!("{:<14} ", shortened(&format!("{}{server}", identity.name), 14))),
        Span::styled(format!("{state:<12} "), style),
    ]
}

/// At most `chars` characters.
fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

/// Used of a limit with a bar; a limit that is not known has none.
fn limit(what: &str, used: f64, limit: f64) -> Span<'static> {
    if limit <= 0.0 {
        return Span::raw(format!("{what} {:>FIGURES$}  ", format!("{used:.0}")));
    }
    let share = (used / limit).clamp(0.0, 1.0);
    let cells = (share * BAR_CELLS as f64).round() as usize;
    let bar = format!("{}{}", "█".repeat(cells), "░".repeat(BAR_CELLS - cells));
    let style = if share >= 0.95 { WARN } else { Style::new() };
    let figures = format!("{used:.0}/{limit:.0}");
    Span::styled(format!("{what} {bar} {figures:<FIGURES$}  "), style)
}

fn draw_errors(frame: &mut Frame<'_>, area: Rect, status: &RunStatus) {
    if area.height < 2 {
        return;
    }
    let mut lines = vec![Line::styled("last refused rows", SOFT)];
    if status.last_errors.is_empty() {
        lines.push(Line::raw("none"));
    }
    for row in &status.last_errors {
        lines.push(Line::from(vec![
            Span::raw(format!("{} ", row.load)),
            Span::styled(format!("{} ", row.key.as_deref().unwrap_or("–")), STRONG),
            Span::styled(format!("{} ", row.code), BAD),
            // Controls would be dropped, and words run together.
            Span::raw(row.message.as_ref().unwrap_or(&row.category).replace(char::is_control, " ")),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let line = if view.asks_to_drain {
        Line::styled("finish what was begun, then end the load? y yes, any other key no", WARN)
    } else if view.note.is_empty() {
        Line::styled(HELP, SOFT)
    } else {
        Line::styled(view.note.clone(), WARN)
    };
    frame.render_widget(Paragraph::new(line), area);
}

#[cfg(test)]
pub(super) mod tests;
