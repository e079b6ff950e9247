//! The promise of the product: killed at any moment, the same command finishes the job; no row is
//! lost and none is written twice.
//!
//! A child is killed when its ledger has grown by a chance number of bytes, so that kills fall
//! where the work is and not into the start of the program. Meanwhile the server cuts connections
//! before and after it commits, commits long after the cut, answers 503 and half bodies.

use crate::rig::{Rig, Row, faulty, success_is_store};
use dvbulk::simulator::settings::LatencySettings;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Kills of each test; there are three of them. The variable `DVBULK_KILLS` asks for more.
const KILLS: u32 = 10;
/// Most kills of one job, so that several jobs are finished.
const KILLS_A_JOB: u32 = 4;
const CONTACTS: u32 = 900;
const OPPORTUNITIES: u32 = 700;
/// Requests the rules below match fail so often.
const FAULTS: &str = r#"
[[faults]]
name = "cut before"
match = { method = "POST", probability = 0.02 }
action = { kind = "cut-before" }
[[faults]]
name = "cut after"
match = { method = "POST", probability = 0.02 }
action = { kind = "cut-after" }
[[faults]]
name = "commit later"
match = { method = "POST", probability = 0.02 }
action = { kind = "commit-later", delay_ms_min = 0, delay_ms_max = 400 }
[[faults]]
name = "busy"
match = { method = "POST", probability = 0.01 }
action = { kind = "status", status = 503 }
[[faults]]
name = "half an answer"
match = { method = "POST", probability = 0.02 }
action = { kind = "half-body" }
[[faults]]
name = "who knows"
match = { operation = "query", table = "contacts", probability = 0.1 }
action = { kind = "cut-before" }
[[faults]]
name = "plug-in"
match = { body = "POISON" }
action = { kind = "poison", message = "The plug-in refused this row." }
"#;

const TABLES: &str = r#"
[breakers]
failed_share_max = 1.0

[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 25
parallel = 4

[table.columns]
externaluseridentifier = "No"
lastname = "Last"
numberofchildren = "Children"

[[table]]
table = "opportunity"
source = "opportunity.csv"
key = "No"
operation = "create"
batch = 20
parallel = 4

[table.columns]
name = "No"
customerid = { from = "Contact", lookup = { table = "contact", staged = "contact" } }
"#;

/// What must become of the staged rows.
struct Expected {
    contacts: BTreeSet<String>,
    bad_contacts: BTreeSet<String>,
    opportunities: BTreeSet<String>,
    orphans: BTreeSet<String>,
}

/// Writes the staged files: contacts of which the plug-in refuses some and the conversion some,
/// and opportunities of which those of such contacts cannot be.
fn stage(rig: &Rig, chance: &mut SmallRng) -> Expected {
    let mut all = [(); 4].map(|()| BTreeSet::new());
    let [contacts, bad_contacts, opportunities, orphans] = &mut all;
    let mut text = "No,Last,Children\n".to_owned();
    for n in 0..CONTACTS {
        let key = format!("C-{n:04}");
        let (last, children) = match chance.random_range(0..200) {
            0 => ("POISON", "1"),
            1 => ("Unfit", "some"),
            _ => ("Fit", "2"),
        };
        writeln!(text, "{key},{last},{children}").unwrap();
        if last == "Fit" {
            contacts.insert(key)
        } else {
            bad_contacts.insert(key)
        };
    }
    rig.write("contact.csv", text);
    let mut text = "No,Contact\n".to_owned();
    for n in 0..OPPORTUNITIES {
        let key = format!("O-{n:04}");
        let contact = format!("C-{:04}", chance.random_range(0..CONTACTS));
        writeln!(text, "{key},{contact}").unwrap();
        if contacts.contains(&contact) {
            opportunities.insert(key)
        } else {
            orphans.insert(key)
        };
    }
    rig.write("opportunity.csv", text);
    let [contacts, bad_contacts, opportunities, orphans] = all;
    Expected { contacts, bad_contacts, opportunities, orphans }
}

/// How far a ledger has grown. Its room is filled with zeros ahead, so the size of the file says
/// nothing; the last byte that is not zero does.
struct Growth {
    segment: PathBuf,
    used: u64,
}

impl Growth {
    fn of(ledger: &Path) -> Self {
        let mut growth = Self { segment: ledger.join("00000001.seg"), used: 0 };
        growth.look();
        growth
    }

    fn look(&mut self) -> u64 {
        let Ok(file) = File::open(&self.segment) else { return self.used };
        let mut block = vec![0; 64 << 10];
        loop {
            let read = file.read_at(&mut block, self.used).expect("the ledger can be read");
            match block[..read].iter().rposition(|byte| *byte != 0) {
                Some(last) => self.used += last as u64 + 1,
                None => return self.used,
            }
        }
    }
}

fn keys(rows: &[Row], column: &str) -> BTreeSet<String> {
    let keys: BTreeSet<String> = rows.iter().map(|row| row[column].clone()).collect();
    assert_eq!(keys.len(), rows.len(), "a key stands twice");
    keys
}

fn check(rig: &Rig, expected: &Expected) {
    let key = "externaluseridentifier";
    let done = success_is_store(&rig.rows("job", "contact", "success"), &rig.store("contact"), key);
    assert_eq!(done.into_keys().collect::<BTreeSet<_>>(), expected.contacts);
    let refused = rig.rows("job", "contact", "errors");
    assert_eq!(keys(&refused, "No"), expected.bad_contacts);
    let opportunities = rig.store("opportunity");
    let done = success_is_store(&rig.rows("job", "opportunity", "success"), &opportunities, "name");
    assert_eq!(done.into_keys().collect::<BTreeSet<_>>(), expected.opportunities);
    assert_eq!(keys(&rig.rows("job", "opportunity", "errors"), "No"), expected.orphans);
}

#[derive(Default)]
struct Tally {
    jobs: u32,
    kills: u32,
    in_flight: u32,
    requests: u64,
    faults: u64,
}

/// Kills one job at most `kills` times, lets it end, and checks it.
fn one_job(seed: u64, kills: u32, tally: &mut Tally) {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut settings = faulty(seed, FAULTS);
    settings.speed = 40.0;
    settings.latency = LatencySettings { scale: 1.0, ..LatencySettings::default() };
    let rig = Rig::start(settings);
    let expected = stage(&rig, &mut chance);
    rig.job("job", TABLES);
    let ledger = rig.path("job.ledger");
    let mut killed = 0;
    while killed < kills {
        let mut growth = Growth::of(&ledger);
        let goal = growth.used + chance.random_range(200..6000);
        let mut child = rig.spawn(&["load", "job.toml", "--no-wait"]);
        let ended = rig.block_on(async {
            loop {
                if let Some(status) = child.child.try_wait().expect("the child can be asked") {
                    break Some(status);
                }
                if growth.look() >= goal {
                    break None;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(2), "seed {seed}: {}", child.stderr());
            break;
        }
        tally.in_flight += u32::from(rig.sim.stats().in_flight > 0);
        rig.block_on(async { child.child.kill().await }).expect("the child is killed");
        killed += 1;
    }
    tally.kills += killed;
    tally.jobs += 1;

    let last = rig.load("job").expect(2);
    last.balanced();
    assert_eq!(last.summary["complete"], true, "seed {seed}");
    assert_eq!(last.rows("contact", "created"), expected.contacts.len() as u64, "seed {seed}");
    check(&rig, &expected);

    let files = ["contact.success", "contact.errors", "opportunity.success", "opportunity.errors"];
    let read = |file: &str| std::fs::read(rig.path(&format!("job.out/{file}.csv"))).unwrap();
    let before: Vec<Vec<u8>> = files.iter().map(|file| read(file)).collect();
    let writes = rig.writes();
    rig.load("job").expect(2).balanced();
    assert_eq!(rig.writes(), writes, "seed {seed}: a finished job writes again");
    assert_eq!(files.map(read).to_vec(), before, "seed {seed}");
    // Late commits have come by now.
    check(&rig, &expected);
    let stats = rig.sim.stats();
    tally.requests += stats.operations["CreateMultiple"].requests;
    tally.faults +=
        stats.faults.iter().filter(|f| f.name != "plug-in").map(|f| f.fired).sum::<u64>();
}

#[expect(clippy::print_stderr, reason = "the figures are part of what the test is for")]
fn many_kills(first_seed: u64) {
    let wanted = std::env::var("DVBULK_KILLS").map_or(KILLS, |n| n.parse().expect("a number"));
    let mut tally = Tally::default();
    let mut seed = first_seed;
    while tally.kills < wanted {
        one_job(seed, KILLS_A_JOB.min(wanted - tally.kills), &mut tally);
        seed += 1;
    }
    eprintln!(
        "{} jobs, {} kills, {} with requests in flight; {} CreateMultiple requests, {} faults",
        tally.jobs, tally.kills, tally.in_flight, tally.requests, tally.faults
    );
    assert!(tally.in_flight * 4 > tally.kills, "kills must hit where the work is");
    assert!(tally.faults * 20 > tally.requests, "the server must misbehave");
}

#[test]
fn killed_again_and_again_nothing_is_lost_or_doubled_1() {
    many_kills(10_000);
}

#[test]
fn killed_again_and_again_nothing_is_lost_or_doubled_2() {
    many_kills(20_000);
}

#[test]
fn killed_again_and_again_nothing_is_lost_or_doubled_3() {
    many_kills(30_000);
}
