//! `dvbulk top` on a terminal of its own, which `script` makes.

use crate::rig::{Rig, quick};
use dvbulk::simulator::settings::{Cost, LatencySettings, Settings};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const TABLE: &str = r#"
[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 10
parallel = 2

[table.columns]
externaluseridentifier = "No"
lastname = "No"
"#;

/// Enters and leaves the second screen of a terminal.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

fn slow() -> Settings {
    let latency = LatencySettings {
        scale: 1.0,
        out_of_the_box: Cost { a: 0.1, b: 0.0, d: 0.0 },
        read: Cost { a: 0.0, b: 0.0, d: 0.0 },
        noise_sigma: 0.0,
        ..LatencySettings::default()
    };
    Settings { latency, ..quick() }
}

fn rows(rig: &Rig, count: u32) {
    let mut text = "No\n".to_owned();
    for n in 0..count {
        writeln!(text, "C-{n:05}").unwrap();
    }
    rig.write("contact.csv", text);
    rig.job("job", TABLE);
}

/// `dvbulk top` on a terminal of 100 by 30, and `stty` there after it.
struct Screen {
    child: Child,
    seen: PathBuf,
}

impl Screen {
    fn open(rig: &Rig) -> Self {
        let seen = rig.path("seen");
        let program = env!("CARGO_BIN_EXE_dvbulk");
        let shown = format!(
            "stty cols 100 rows 30; {program} top job.toml; echo \"top said $?\"; stty -a; echo over"
        );
        let child = Command::new("script")
            .args(["--quiet", "--flush", "--command", &shown])
            .arg(&seen)
            .current_dir(rig.path("."))
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("script is part of every Debian");
        Self { child, seen }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.seen).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn until(&self, rig: &Rig, text: &str) {
        let found = rig.until_some(|| self.seen().contains(text).then_some(()));
        assert!(found, "waited in vain for {text}\n{}", self.seen());
    }

    fn press(&mut self, keys: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(keys.as_bytes()).expect("the terminal reads");
        input.flush().expect("the terminal reads");
    }

    /// What was seen after it left, once the shell behind it is through.
    #[track_caller]
    fn after(&self, rig: &Rig) -> String {
        self.until(rig, "over\r\n");
        let seen = self.seen();
        assert!(seen.contains(ENTER), "{seen}");
        let (_, after) = seen.rsplit_once(LEAVE).expect("the screen is given back");
        assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
        after.to_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn state(rig: &Rig) -> String {
    let told = rig.run(&["status", "job.toml"]).expect(0).stdout;
    let (_, rest) = told.split_once(": ").expect("name and state");
    rest.split(' ').next().expect("a state").to_owned()
}

#[test]
fn a_load_is_watched_and_steered_by_keys_and_the_terminal_is_given_back() {
    let rig = Rig::start(slow());
    rows(&rig, 40_000);
    let mut child = rig.spawn(&["load", "job.toml", "--plain"]);
    rig.listens(&mut child);
    let mut screen = Screen::open(&rig);
    screen.until(&rig, "q quit");
    screen.press("p");
    screen.until(&rig, "asked to pause");
    assert!(rig.until_some(|| (state(&rig) == "paused").then_some(())), "{}", screen.seen());
    screen.press("r");
    assert!(rig.until_some(|| (state(&rig) == "running").then_some(())), "{}", screen.seen());
    screen.press("d");
    screen.until(&rig, "then end the load?");
    screen.press("n");
    screen.press("q");
    let after = screen.after(&rig);
    assert!(after.contains("top said 0"), "{after}");
    assert_eq!(state(&rig), "running", "the load goes on");

    let screen = Screen::open(&rig);
    screen.until(&rig, "q quit");
    child.terminate();
    rig.wait(child).expect(143);
    let after = screen.after(&rig);
    assert!(after.contains("has ended; when last seen it was"), "{after}");
    assert!(after.contains("top said 0"), "{after}");
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let rig = Rig::start(slow());
    rows(&rig, 40_000);
    let mut child = rig.spawn(&["load", "job.toml", "--plain"]);
    rig.listens(&mut child);
    let screen = Screen::open(&rig);
    screen.until(&rig, "q quit");
    let children = |parent: u32| {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>()
    };
    // script, its shell, the program.
    let shell = children(screen.child.id())[0];
    let program = children(shell)[0];
    let sent = Command::new("kill").args(["-TERM", &program.to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let after = screen.after(&rig);
    assert!(after.contains("top said 143"), "{after}");
    child.terminate();
    rig.wait(child).expect(143);
}

#[test]
fn without_a_terminal_or_a_load_it_says_what_to_do() {
    let rig = Rig::start(quick());
    rows(&rig, 1);
    let run = rig.run(&["top", "job.toml"]).expect(4);
    assert!(run.stderr.contains("needs a terminal"), "{}", run.stderr);
    assert!(run.stderr.contains("dvbulk status job.toml --json"), "{}", run.stderr);
    let screen = Screen::open(&rig);
    screen.until(&rig, "over\r\n");
    let seen = screen.seen();
    assert!(seen.contains("no load of this job is running here"), "{seen}");
    assert!(seen.contains("top said 4") && !seen.contains(ENTER), "{seen}");
}
