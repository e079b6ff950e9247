//! How much of what an environment can give the governor gets out of it, beside others, in virtual
//! time. `cargo bench --bench throughput` prints the tables, `-- --write` writes them to
//! `benches/throughput.md`. For looking closer: `--only NAME` (profiles whose name holds it, the
//! governor alone), `--watch SECS` (its state as it goes), `--seeds N`, `--secs N`, `--fixed` (adds
//! the best fixed pair of each profile; takes minutes).
#![expect(clippy::print_stdout, reason = "a benchmark")]

mod bound;
mod counter;
mod drive;
mod dynamics;
mod figures;
mod profiles;
mod real;
mod report;
mod rivals;
mod run;
mod server;
mod world;

use crate::figures::{Who, each, finish, measure};
use crate::profiles::{Profile, all};
use crate::rivals::{RIVALS, Rule};
use std::path::Path;
use std::{env, fs};

fn main() {
    let args: Vec<String> = env::args().collect();
    let has = |name: &str| args.iter().any(|a| a == name);
    let get = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let number = |name: &str| get(name).map(|s| s.parse::<f64>().expect("a number"));
    let seeds = number("--seeds").map_or(5, |n| n as u64);
    let secs = number("--secs").unwrap_or(3600.0);
    if has("--jobs") {
        if let Some(every) = number("--watch") {
            for (world, _) in profiles::jobs().iter().filter(|(w, rows)| {
                get("--only").is_some_and(|o| *o == format!("{} {rows}", w.name))
            }) {
                for seed in 0..seeds {
                    let run =
                        drive::run(world, &mut real::Real::new(world), seed, 7200.0, Some(every));
                    println!("seed {seed}: {:.1} s, {} × 429", run.ended, run.throttles);
                }
            }
            return;
        }
        for job in finish(&[Who::Governor], seeds) {
            println!("{:16} {:7} {:6.1} {:?}", job.name, job.rows, job.perfect, job.secs[0]);
        }
        return;
    }
    if let Some(only) = get("--only") {
        look(only, seeds, secs, number("--watch"));
        return;
    }
    let measured = everything(seeds, secs, has("--fixed"));
    let text = measured.text();
    println!("{text}");
    if has("--write") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/throughput.md");
        fs::write(&path, text).expect("the table can be written");
    }
}

/// Looks at some profiles.
fn look(only: &str, seeds: u64, secs: f64, watch: Option<f64>) {
    let profiles: Vec<Profile> =
        all().into_iter().filter(|p| p.world.name.contains(only)).collect();
    if watch.is_some() {
        for profile in &profiles {
            let world = &profile.world;
            drive::run(world, &mut real::Real::new(world), 0, secs, watch);
        }
    }
    for f in each(&profiles, |p| measure(p, Who::Governor, seeds, secs)) {
        println!(
            "{:36} {:.3} [{:.3}] 429 {:.2} late {:.2} first five {:.2} reached {:.0} fair {:.3} timeouts {:.4}",
            f.name,
            f.score(),
            f.worst(),
            f.throttles(),
            f.throttles_late(),
            run::mean(&f.first_five),
            f.reached(),
            run::least(&f.fair),
            f.timed_out(),
        );
    }
}

fn everything(seeds: u64, secs: f64, fixed: bool) -> report::Measured {
    let profiles = all();
    let few = seeds.min(2);
    let hour = each(&profiles, |p| measure(p, Who::Governor, seeds, secs));
    let six_hours = each(&profiles, |p| measure(p, Who::Governor, few, 6.0 * secs));
    let rivals = RIVALS
        .iter()
        .map(|(_, rule)| each(&profiles, |p| measure(p, Who::Rival(*rule), seeds, secs)))
        .collect();
    let who = [
        Who::Governor,
        Who::Rival(Rule::Guidance),
        Who::Rival(Rule::Naive),
        Who::Rival(Rule::Ratchet),
    ];
    let log = || Who::Governor.run(&profiles[0].world, 1, secs).log;
    report::Measured {
        seeds,
        hour,
        six_hours,
        rivals,
        jobs: finish(&who, seeds),
        warm: each(&dynamics::warm_profiles(), |p| dynamics::warm(p, 0))
            .into_iter()
            .flatten()
            .collect(),
        recoveries: dynamics::recoveries(seeds),
        controls: dynamics::controls(),
        fixed: if fixed { each(&profiles, best_fixed) } else { Vec::new() },
        logs: (log(), log()),
    }
}

/// The best pair of rows and threads for a profile: score, rows, threads.
fn best_fixed(profile: &Profile) -> (f64, u32, u32) {
    let mut best = (0.0, 0, 0);
    for rows in [10, 20, 30, 45, 65, 100, 140, 200, 300, 450] {
        for threads in [4, 8, 11, 16, 20, 26, 32, 40, 50, 64] {
            let who = Who::Rival(Rule::Fixed(rows, threads));
            let score = measure(profile, who, 1, 3600.0).score();
            if score > best.0 {
                best = (score, rows, threads);
            }
        }
    }
    best
}
