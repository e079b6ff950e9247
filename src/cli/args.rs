//! What was typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    everything done, no row failed; or the command did what it says
  2    complete, with failed rows or a difference in the accounts; `check` found errors
  3    paused by a breaker and told not to wait
  4    wrong usage or job file
  5    ledger, lock or a broken invariant
  6    authentication failed, or the environment is not the one the job names
  130  interrupted (Ctrl-C), 143 ended (SIGTERM): run the same command again to go on";

const ABOUT: &str = "\
Loads staged files into Microsoft Dataverse (Dynamics 365) and accounts for every row.

A job file says where the rows go, who writes them, and which source column fills which target \
column. Every row read ends in exactly one state; success and error files list them all, and an \
error file can be loaded again as it is. A load that was stopped, even by power loss, goes on \
where it was when the same command is run again: nothing is lost, nothing is written twice.

Start with `dvbulk demo`, which needs no Dataverse.";

const LOAD: &str = "Loads the staged files of a job.\n\n\
        First compares the organization behind the URL with the one the job names, reads the \
        metadata of all tables, and checks the mapping; nothing is written before that. Then \
        sends rows in batches, takes batches apart down to the rows Dataverse refuses, waits \
        exactly as long as Dataverse asks when it throttles, and writes per load\n  \
        <load>.success.csv  key, id, action, batch, time of every row that is in Dataverse\n  \
        <load>.errors.csv   the input columns of every refused row, with code, category, \
        message and attempts\n\n\
        Progress goes to standard error, the summary to standard output. Stopping (Ctrl-C, \
        SIGTERM, even kill -9) is safe at any time: the same command goes on.";

const CHECK: &str = "Looks at everything a job needs, without writing a row.\n\n\
        The job file, the credentials, the organization behind the URL, the source files and \
        their headers, every mapped column against the table's metadata (there, writable, type, \
        length, options, required, lookup targets, alternate keys), which messages the tables \
        accept, and a sample of records, converted as they would be sent. Prints findings with \
        severity and way out.";

const SET: &str = "Changes how fast a running load may go, at once and until it ends.\n\n\
        batch (rows a request) and parallel (requests at once) take a number, which fixes them, a \
        range within which the best is looked for, or auto for the bounds of the job file. weight \
        is the share of what Dataverse allows, relative to the other tables. The change is logged \
        and stands in `dvbulk status --json`.";

const DEMO: &str = "Rehearses the whole way on this machine, with made-up data.\n\n\
        Makes staged files (accounts, people, contacts whose parent is an account or a person, \
        opportunities, a simple and a wide custom table) with a known set of bad rows, starts \
        the local Dataverse on a free loopback port, and loads the files over HTTP as `dvbulk \
        load` would. Ends well only if every bad row, and no other, is in the error files.";

const SIMULATE: &str = "Runs a local Dataverse for rehearsals and for other people's clients.\n\n\
        It answers the Web API, hands out tokens, validates rows as the documentation says, \
        throttles per application user, and can be told to misbehave. Prints its address and \
        the application users it knows.";

const TOP: &str = "Watches a running load on the whole terminal.\n\n\
        Loads with their rates and what holds them, identities with what is used of their limits, \
        rows a second over time, the rows refused last. Asked once a second through the socket in \
        the ledger's folder.\n\n\
        Keys: q quit (the load goes on), p pause, r resume, d drain (asks first), arrows choose a \
        load, space pauses the chosen load or lets it go on.";

/// The command line.
#[derive(Parser, Debug)]
#[command(
    name = "dvbulk",
    version,
    about = "Bulk loader for Microsoft Dataverse: every row accounted for",
    long_about = ABOUT,
    after_help = "Each error has a code such as DV0301; `dvbulk explain DV0301` tells cause and \
                  way out.",
    after_long_help = EXIT_CODES,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to talk meanwhile.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How to talk meanwhile.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Plain lines: no colour, no moving progress bar (the default when not on a terminal).
    #[arg(long, global = true, help_heading = "Output")]
    pub plain: bool,
    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human, help_heading = "Output")]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or a filter such as
    /// `warn,dvbulk::client=debug`.
    #[arg(
        long,
        global = true,
        default_value = "warn",
        env = "DVBULK_LOG",
        value_name = "LEVEL",
        help_heading = "Output"
    )]
    pub log_level: String,
}

/// How log lines are written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One readable line an event.
    Human,
    /// One JSON object an event.
    Json,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Load the staged files of a job
    #[command(long_about = LOAD)]
    Load(LoadArgs),
    /// Look at everything a job needs, without writing a row
    #[command(long_about = CHECK)]
    Check(CheckArgs),
    /// Rehearse the whole way on this machine, with made-up data
    #[command(long_about = DEMO)]
    Demo(DemoArgs),
    /// Run a local Dataverse for rehearsals
    #[command(long_about = SIMULATE)]
    Simulate(SimulateArgs),
    /// What a running load is doing
    Status(StatusArgs),
    /// Watch a running load on the whole terminal, and steer it by keys
    #[command(long_about = TOP)]
    Top(JobArgs),
    /// Change how fast a running load may go
    #[command(long_about = SET)]
    Set(SetArgs),
    /// Let a running load hold its requests back, as a whole, of one table or of one identity
    Pause(PauseArgs),
    /// Let what was paused go on
    Resume(PauseArgs),
    /// Let a running load finish what it has begun, and end
    Drain(JobArgs),
    /// What was learnt about an environment: look at it, or forget it
    Tuning(TuningArgs),
    /// The page of an error code
    Explain(ExplainArgs),
}

/// `dvbulk load`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
        dvbulk check crm.toml && dvbulk load crm.toml\n  \
        dvbulk load crm.toml --summary out/summary.json --no-wait\n  \
        dvbulk load inbox.toml --watch --log-format json --log-level info\n\n\
        Files for --watch must appear complete: write them elsewhere, then move them in.")]
pub struct LoadArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Stay up and take new files that match the job's source patterns, until told to drain
    #[arg(long)]
    pub watch: bool,
    /// End with exit code 3 when a breaker pauses the load, instead of waiting for `resume`
    #[arg(long)]
    pub no_wait: bool,
    /// Also write the summary as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// How many times as fast as the clock the service's time runs: the `speed` of a simulator
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, hide_short_help = true)]
    pub service_speed: f64,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=10_000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.01 to 10000".to_owned()),
    }
}

/// `dvbulk check`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Exit code 0: no errors (warnings and notes may stand); 2: errors; 4: the \
        job file is wrong; 6: no token, or the wrong organization.\n\n\
        Examples:\n  dvbulk check crm.toml\n  dvbulk check crm.toml --sample 10000 --json \
        > findings.json"
)]
pub struct CheckArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Records converted per load; 0 converts none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub sample: u64,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `dvbulk demo`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  dvbulk demo\n  dvbulk demo --rows 20000 --seed 7 --folder \
        /tmp/demo --keep"
)]
pub struct DemoArgs {
    /// Rows over all tables
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    pub rows: u64,
    /// The same seed makes the same files
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of rows with an error Dataverse would refuse
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = share)]
    pub bad_share: f64,
    /// Where files go; default: a new folder under the system's temporary folder
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Keep the folder afterwards (a folder given by --folder always stays)
    #[arg(long)]
    pub keep: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err("a share between 0 and 0.5; 0.5 % is 0.005".to_owned()),
    }
}

/// `dvbulk simulate`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  dvbulk simulate\n  dvbulk simulate config/simulate.toml")]
pub struct SimulateArgs {
    /// Settings; without: a quick server with ready tables on a free loopback port
    #[arg(value_name = "SIM.toml")]
    pub settings: Option<PathBuf>,
}

/// A command to a running load.
#[derive(Args, Debug)]
pub struct JobArgs {
    /// The job file of the running load
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
}

/// `dvbulk set`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
        dvbulk set crm.toml contact batch=50..200\n  \
        dvbulk set crm.toml contact parallel=8 weight=2\n  \
        dvbulk set crm.toml contact batch=auto parallel=auto weight=auto")]
pub struct SetArgs {
    /// The job file of the running load
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// The table, by the name of its load
    pub table: String,
    /// batch=…, parallel=… (N, MIN..MAX or auto) and weight=… (a number or auto)
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub settings: Vec<String>,
}

/// `dvbulk pause` and `dvbulk resume`.
#[derive(Args, Debug)]
pub struct PauseArgs {
    /// The job file of the running load
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Only this table, by the name of its load
    #[arg(long, value_name = "TABLE", conflicts_with = "identity")]
    pub table: Option<String>,
    /// Only this identity, by its alias
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<String>,
}

/// `dvbulk tuning`.
#[derive(Args, Debug)]
pub struct TuningArgs {
    /// What to do
    #[command(subcommand)]
    pub command: TuningCommand,
}

/// `dvbulk tuning …`.
#[derive(Subcommand, Debug)]
pub enum TuningCommand {
    /// Show what was learnt about the job's environment
    Show(TuningShowArgs),
    /// Forget it, so that the next load learns anew
    Reset(TuningResetArgs),
}

/// `dvbulk tuning show`.
#[derive(Args, Debug)]
pub struct TuningShowArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `dvbulk tuning reset`.
#[derive(Args, Debug)]
pub struct TuningResetArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Only this table, by its logical name
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
}

/// `dvbulk status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The job file of the running load
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Print the whole state as JSON
    #[arg(long)]
    pub json: bool,
}

/// `dvbulk explain`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  dvbulk explain              list all codes\n  dvbulk explain \
        DV0301\n  dvbulk explain 0x80040237\n  dvbulk explain -- -2147220937",
    allow_negative_numbers = true
)]
pub struct ExplainArgs {
    /// A code of dvbulk (DV0301) or of Dataverse (0x80040237, or decimal -2147220937)
    pub code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_are_understood() {
        let cli = Cli::try_parse_from(["dvbulk", "load", "a.toml", "--watch", "--plain"]).unwrap();
        assert!(cli.output.plain);
        assert!(matches!(cli.command, Command::Load(LoadArgs { watch: true, no_wait: false, .. })));
        let cli = Cli::try_parse_from(["dvbulk", "explain", "-2147220937"]).unwrap();
        assert!(matches!(cli.command,
            Command::Explain(ExplainArgs { code: Some(c) }) if c == "-2147220937"));
        assert!(Cli::try_parse_from(["dvbulk", "demo", "--bad-share", "5"]).is_err());
        assert!(Cli::try_parse_from(["dvbulk", "demo", "--rows", "0"]).is_err());
        assert!(Cli::try_parse_from(["dvbulk", "load"]).is_err());
        let set = ["dvbulk", "set", "a.toml", "contact", "batch=5..9", "weight=2"];
        let cli = Cli::try_parse_from(set).unwrap();
        assert!(matches!(cli.command,
            Command::Set(SetArgs { table, settings, .. }) if table == "contact" && settings.len() == 2));
        assert!(Cli::try_parse_from(&set[..4]).is_err(), "nothing to set");
        let pause = ["dvbulk", "pause", "a.toml", "--table", "t", "--identity", "i"];
        assert!(Cli::try_parse_from(&pause[..5]).is_ok());
        assert!(Cli::try_parse_from(pause).is_err(), "one at a time");
        assert!(Cli::try_parse_from(["dvbulk", "tuning", "show", "a.toml", "--json"]).is_ok());
    }

    #[test]
    fn each_command_explains_itself() {
        let mut cli = Cli::command();
        for (name, word) in [
            ("load", "goes on"),
            ("check", "without writing a row"),
            ("demo", "with made-up data"),
            ("simulate", "throttles"),
            ("set", "range"),
            ("top", "Keys: q quit"),
        ] {
            let command = cli.find_subcommand_mut(name).expect(name);
            assert!(command.render_long_help().to_string().contains(word), "{name}");
        }
    }

    #[test]
    fn long_help_tells_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for code in ["0 ", "2 ", "3 ", "4 ", "5 ", "6 ", "130"] {
            assert!(help.contains(&format!("  {code}")), "{code}");
        }
    }
}
