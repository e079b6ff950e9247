//! From the command line to an exit code: data on standard output, all else on standard error.

use crate::cli::args::{
    Cli, Command, LoadArgs, LogFormat as LogFormatArg, OutputArgs, TuningArgs, TuningCommand,
};
use crate::cli::load::NotBegun;
use crate::cli::{check, exit, explain, load, rehearse, simulate, steer, summary, top, tuning};
use crate::config::diagnose::ConfigRefused;
use crate::telemetry::log::{self, LogFormat};
use crate::telemetry::progress::Display;
use clap::Parser;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let asked = !error.use_stderr();
            drop(error.print());
            return ExitCode::from(if asked { exit::DONE } else { exit::USAGE });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::anyhow!("no runtime: {error}"), &cli.output),
    };
    let output = cli.output.clone();
    let code = match runtime.block_on(dispatch(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error, &output),
    };
    // Attempts still on the wire after a hard stop must not hold the exit.
    runtime.shutdown_background();
    code
}

async fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let display = Display::choose(cli.output.plain);
    let format = match cli.output.log_format {
        LogFormatArg::Human => LogFormat::Human,
        LogFormatArg::Json => LogFormat::Json,
    };
    log::install(format, Some(&cli.output.log_level), display.clone())?;
    match cli.command {
        Command::Load(args) => run_load(&args, &display).await,
        Command::Status(args) => steer::status(&args).await,
        Command::Top(args) => top::run(&args).await,
        Command::Set(args) => steer::set(&args).await,
        Command::Pause(args) => steer::pause(&args, true).await,
        Command::Resume(args) => steer::pause(&args, false).await,
        Command::Drain(args) => steer::steer(&args.job, "/drain").await,
        Command::Tuning(TuningArgs { command: TuningCommand::Show(args) }) => tuning::show(&args),
        Command::Tuning(TuningArgs { command: TuningCommand::Reset(args) }) => {
            tuning::reset(&args).await
        }
        Command::Explain(args) => {
            let page = explain::explain(args.code.as_deref())?;
            print(&page)?;
            Ok(exit::DONE)
        }
        Command::Check(args) => check::run(&args).await,
        Command::Demo(args) => rehearse::run(&args, &display).await,
        Command::Simulate(args) => simulate::run(&args).await,
    }
}

async fn run_load(args: &LoadArgs, display: &Display) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    let outcome = load::load(&job, args, display).await?;
    let summary = summary::summarize(&job, &outcome);
    if let Some(path) = &args.summary {
        let mut text = serde_json::to_string_pretty(&summary.json())?;
        text.push('\n');
        std::fs::write(path, text)
            .map_err(|error| anyhow::anyhow!("summary file {}: {error}", path.display()))?;
    }
    print(&summary.human())?;
    Ok(summary.exit_code())
}

/// Writes to standard output; a reader that went away is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Tells what failed and picks the exit code.
fn fail(error: &anyhow::Error, output: &OutputArgs) -> ExitCode {
    let colour = !output.plain && io::stderr().is_terminal();
    let (text, code) = if let Some(refused) = error.downcast_ref::<ConfigRefused>() {
        (refused.render(colour), exit::USAGE)
    } else if let Some(refused) = error.downcast_ref::<NotBegun>() {
        (format!("error: {refused}"), refused.exit())
    } else {
        (format!("error: {error:#}"), exit::USAGE)
    };
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
    ExitCode::from(code)
}
