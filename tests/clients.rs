//! Other people's Dataverse clients against `dvbulk simulate`: what they send must be accepted,
//! what Dataverse refuses must be refused. Scripts and pinned versions are in `tests/clients/`.
//!
//! A client that cannot be installed is skipped, with the reason on standard error; with
//! `DVBULK_CLIENTS=required` that fails the test instead.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Installing takes a while on a slow line; the scripts themselves take seconds.
const INSTALL_MAX: Duration = Duration::from_secs(300);
const SCRIPT_MAX: Duration = Duration::from_secs(180);

/// Why a client does not run here.
struct Missing(String);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a command to its end and gives back whether it succeeded and all it said.
fn run(command: &mut Command, limit: Duration) -> Result<(bool, String), Missing> {
    let name = command.get_program().to_string_lossy().into_owned();
    let missing = |why: std::io::Error| Missing(format!("{name}: {why}"));
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let id = child.id().to_string();
    let (done, ended) = mpsc::sync_channel(1);
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output();
        // Nobody listens any more once the limit has passed.
        done.send(()).ok();
        output
    });
    let late = ended.recv_timeout(limit).is_err();
    if late {
        drop(Command::new("kill").arg(&id).status());
    }
    let output = waiter.join().map_err(|_| Missing(format!("{name}: lost")))?.map_err(missing)?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if late {
        said.push_str("\nended: it took too long\n");
    }
    Ok((output.status.success() && !late, said))
}

fn must(command: &mut Command) -> Result<(), Missing> {
    let shown = format!("{command:?}");
    match run(command, INSTALL_MAX)? {
        (true, _) => Ok(()),
        (false, said) => {
            let last: Vec<&str> = said.lines().rev().take(4).collect();
            Err(Missing(format!("{shown} failed: {}", last.join(" | "))))
        }
    }
}

/// A folder in which `install` has been run for these pinned versions; kept between runs.
fn installed(
    name: &str,
    pins: &str,
    install: impl FnOnce(&Path) -> Result<(), Missing>,
) -> Result<PathBuf, Missing> {
    let io = |why: std::io::Error| Missing(why.to_string());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    let mark = folder.join("installed");
    if std::fs::read_to_string(&mark).is_ok_and(|done| done == pins) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(io)?;
    }
    std::fs::create_dir_all(&folder).map_err(io)?;
    install(&folder)?;
    std::fs::write(&mark, pins).map_err(io)?;
    Ok(folder)
}

/// `dvbulk simulate` as a process of its own.
struct Simulate {
    child: Child,
    greeting: String,
}

impl Simulate {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dvbulk"))
            .arg("simulate")
            .arg(scripts().join("simulate.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("its output is read");
        let mut greeting = String::new();
        BufReader::new(out).read_line(&mut greeting).expect("it says where it is");
        Self { child, greeting }
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a script against a fresh simulator; it must pass.
fn passes(command: &mut Command) -> Result<(), Missing> {
    let simulator = Simulate::start();
    let command = command.env("DVBULK_SIMULATOR", &simulator.greeting);
    let (good, said) = run(command, SCRIPT_MAX)?;
    assert!(good, "\n{said}");
    let counted = said.lines().any(|line| line.ends_with(" passed, 0 failed"));
    assert!(counted, "\n{said}");
    Ok(())
}

/// Skips aloud, or fails when clients are required.
fn or_skipped(name: &str, ran: Result<(), Missing>) {
    let Err(Missing(why)) = ran else { return };
    let required = std::env::var_os("DVBULK_CLIENTS").is_some_and(|v| v == "required");
    assert!(!required, "{name} is required and cannot run: {why}");
    // Past the capture of the test runner, so that it shows.
    drop(writeln!(std::io::stderr(), "{name}: skipped: {why}"));
}

fn python(program: impl AsRef<OsStr>, script: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(scripts().join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONWARNINGS", "ignore");
    command
}

#[test]
fn requests_of_the_published_samples_are_answered() {
    or_skipped("plain_http.py", passes(&mut python("python3", "plain_http.py")));
}

#[test]
fn microsofts_python_sdk_works() {
    let pins = include_str!("clients/requirements.txt");
    let ran = installed("python", pins, |folder| {
        must(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let file = scripts().join("requirements.txt");
        must(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(file),
        )
    })
    .and_then(|folder| passes(&mut python(folder.join("bin/python"), "microsoft_sdk.py")));
    or_skipped("microsoft_sdk.py", ran);
}

#[test]
fn dynamics_web_api_works() {
    let pins = include_str!("clients/package.json");
    let files = [
        ("package.json", pins),
        ("checks.mjs", include_str!("clients/checks.mjs")),
        ("dynamics_web_api.mjs", include_str!("clients/dynamics_web_api.mjs")),
    ];
    // Modules are looked up from the script's own folder, so it is copied beside them.
    let copy = |folder: &Path| {
        for (name, text) in files {
            std::fs::write(folder.join(name), text).map_err(|e| Missing(e.to_string()))?;
        }
        Ok(())
    };
    let ran = installed("node", pins, |folder| {
        copy(folder)?;
        let options = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"];
        must(Command::new("npm").args(options).current_dir(folder))
    })
    .and_then(|folder| {
        copy(&folder)?;
        passes(Command::new("node").arg("dynamics_web_api.mjs").current_dir(&folder))
    });
    or_skipped("dynamics_web_api.mjs", ran);
}
