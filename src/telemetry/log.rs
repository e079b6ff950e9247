//! The log: human lines or JSON on standard error, levels by `--log-level` or `DVBULK_LOG`.
//!
//! INFO is an operator's action or a stage that finished, WARN something we recover from, ERROR
//! something a person must act on. Rows never stand in the log; they stand in the error file.

use std::str::FromStr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// A log level that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "log level {0:?} is none of error, warn, info, debug, trace, nor a filter like dvbulk=debug"
)]
pub struct BadLevel(String);

/// Installs the subscriber. `level` is a level or a filter; it wins over `DVBULK_LOG`.
///
/// # Errors
/// When the level cannot be read. A second installation in one process is ignored.
pub fn install<W>(format: LogFormat, level: Option<&str>, writer: W) -> Result<(), BadLevel>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = level.map(str::to_owned).or_else(|| std::env::var("DVBULK_LOG").ok());
    let text = asked.unwrap_or_else(|| "warn,dvbulk=info".to_owned());
    // Libraries stay at warnings unless the filter names them: their debug lines hold headers.
    let filter = match text.as_str() {
        "error" | "warn" | "info" | "debug" | "trace" => format!("warn,dvbulk={text}"),
        _ => text.clone(),
    };
    let filter = EnvFilter::from_str(&filter).map_err(|_| BadLevel(text))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let installed = match format {
        LogFormat::Human => builder.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a log subscriber stands already");
    }
    Ok(())
}
