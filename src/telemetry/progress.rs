//! Progress on standard error: a small live table on a terminal, plain lines elsewhere.

use crate::runtime::clock;
use crate::telemetry::metrics::{LoadMeters, Meters};
use crate::telemetry::waiting::Waiting;
use crate::units::MonoTime;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// How often the terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(500);
/// How often plain lines are written.
const PLAIN: Duration = Duration::from_secs(5);
/// Span over which the rate is taken.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// Rows a second below which no time left is told.
pub const RATE_MIN: f64 = 0.5;

/// Where progress goes. Clones share the terminal, so that log lines and bars do not mix.
#[derive(Clone, Debug)]
pub enum Display {
    /// A terminal.
    Live(MultiProgress),
    /// Lines.
    Plain,
    /// Nothing.
    Silent,
}

impl Display {
    /// A live display if standard error is a terminal and `plain` was not asked for.
    #[must_use]
    pub fn choose(plain: bool) -> Self {
        let terminal = console_is_terminal();
        if terminal && !plain {
            Self::Live(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        } else {
            Self::Plain
        }
    }
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal;
    io::stderr().is_terminal()
}

/// Writes log lines above the live table.
impl<'a> MakeWriter<'a> for Display {
    type Writer = LineWriter;
    fn make_writer(&'a self) -> LineWriter {
        LineWriter(self.clone())
    }
}

/// One log line on its way to standard error.
#[derive(Debug)]
pub struct LineWriter(Display);

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Display::Live(bars) => bars.suspend(|| io::stderr().write_all(line))?,
            Display::Plain | Display::Silent => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows settled over the last seconds.
#[derive(Debug, Default)]
pub struct Rate {
    seen: VecDeque<(MonoTime, u64)>,
}

impl Rate {
    /// Notes the count at `now` and returns rows a second over the last ten seconds.
    pub fn note(&mut self, now: MonoTime, settled: u64) -> f64 {
        self.seen.push_back((now, settled));
        while self.seen.len() > 2 && now.saturating_since(self.seen[1].0) >= RATE_SPAN {
            self.seen.pop_front();
        }
        let (since, first) = self.seen[0];
        let secs = now.saturating_since(since).as_secs_f64();
        if secs > 0.0 { settled.saturating_sub(first) as f64 / secs } else { 0.0 }
    }
}

/// Shows progress until the task is dropped or aborted.
pub async fn show(meters: Arc<Meters>, display: Display) {
    let mut rates: Vec<Rate> = meters.loads().iter().map(|_| Rate::default()).collect();
    let bars: Vec<ProgressBar> = match &display {
        Display::Live(bars) => meters.loads().iter().map(|_| bars.add(bar())).collect(),
        Display::Plain | Display::Silent => Vec::new(),
    };
    let interval = if bars.is_empty() { PLAIN } else { REDRAW };
    let mut said: Vec<String> = vec![String::new(); meters.loads().len()];
    loop {
        tokio::time::sleep(interval).await;
        let now = clock::now();
        for (index, load) in meters.loads().iter().enumerate() {
            let rate = rates[index].note(now, load.settled_all());
            let line = line(load, rate, now);
            match (&display, bars.get(index)) {
                (Display::Live(_), Some(bar)) => {
                    let bytes = *load.source_bytes.lock();
                    bar.set_length(bytes.total.max(1));
                    bar.set_position(bytes.read.min(bytes.total));
                    bar.set_message(line);
                }
                (Display::Plain, _) => {
                    let quiet = matches!(
                        *load.waiting.lock(),
                        Waiting::Done | Waiting::Parents(_) | Waiting::Starting | Waiting::Idle
                    );
                    if said[index] != line && !(quiet && rate == 0.0 && !said[index].is_empty()) {
                        if writeln!(io::stderr(), "{line}").is_err() {
                            return;
                        }
                        said[index] = line;
                    }
                }
                (Display::Live(_) | Display::Silent, _) => {}
            }
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// One load in one line.
#[must_use]
pub fn line(load: &LoadMeters, rate: f64, now: MonoTime) -> String {
    use crate::record::outcome::RowState;
    let bad = load.settled(RowState::Failed)
        + load.settled(RowState::Rejected)
        + load.settled(RowState::DuplicateInput);
    let waiting = load.waiting.lock().clone();
    let bytes = *load.source_bytes.lock();
    let share = if waiting == Waiting::Done {
        // Sizes of packed files are guessed before they are read.
        "100 %".to_owned()
    } else if bytes.total > 0 {
        format!("{:>3.0} %", (bytes.read as f64 / bytes.total as f64).min(1.0) * 100.0)
    } else {
        "  ? %".to_owned()
    };
    let eta = eta(load, &waiting, rate);
    format!(
        "{:<18} {share}  {:>9} settled  {bad:>6} refused  {rate:>7.0} rows/s  eta {eta:>7}  {}x{} in flight {}  {}",
        load.name,
        load.settled_all(),
        load.parallel_limit.get(),
        load.batch_size.lock(),
        load.in_flight.get(),
        waiting.sentence(now)
    )
}

/// Time left at the present rate.
fn eta(load: &LoadMeters, waiting: &Waiting, rate: f64) -> String {
    if *waiting == Waiting::Done {
        return "-".to_owned();
    }
    match rows_left(load) {
        Some(left) if rate >= RATE_MIN => {
            let secs = (left / rate).ceil() as u64;
            humantime::format_duration(Duration::from_secs(secs)).to_string().replace(' ', "")
        }
        _ => "?".to_owned(),
    }
}

/// Rows a load has still to settle, from the share of its source that is read; `None` before
/// anything tells.
#[must_use]
pub fn rows_left(load: &LoadMeters) -> Option<f64> {
    if *load.waiting.lock() == Waiting::Done {
        return Some(0.0);
    }
    let bytes = *load.source_bytes.lock();
    let rows_read = load.read.get();
    if bytes.read == 0 || rows_read == 0 {
        return None;
    }
    let rows_total = rows_read as f64 * bytes.total as f64 / bytes.read as f64;
    Some((rows_total - load.settled_all() as f64).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_forgets_what_lies_further_back_than_its_span() {
        let mut rate = Rate::default();
        let at = |secs| MonoTime::from_origin(Duration::from_secs(secs));
        assert_eq!(rate.note(at(0), 0), 0.0);
        assert_eq!(rate.note(at(5), 500), 100.0);
        assert_eq!(rate.note(at(10), 1000), 100.0);
        for secs in 11..40 {
            rate.note(at(secs), 1000);
        }
        assert_eq!(rate.note(at(40), 1000), 0.0);
    }
}
