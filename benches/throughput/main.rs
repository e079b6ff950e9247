//! How much of what an environment can give the governor gets out of it, beside others, in virtual
//! time. `cargo bench --bench throughput` prints the table; `-- --write docs` writes it.

mod bound;
mod drive;
mod profiles;
mod real;
mod server;

use std::env;

fn main() {
    let args: Vec<String> = env::args().collect();
    let get =
        |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let seeds: u64 = get("--seeds").map_or(3, |s| s.parse().expect("number"));
    let only = get("--only");
    let until: f64 = get("--secs").map_or(3600.0, |s| s.parse().expect("number"));
    let watch = get("--watch").map(|s| s.parse().expect("number"));
    if args.iter().any(|a| a == "--jobs") {
        for (world, rows) in profiles::jobs() {
            if only.as_ref().is_some_and(|o| !world.name.contains(o.as_str())) {
                continue;
            }
            let mut secs = Vec::new();
            let mut throttled = 0;
            for seed in 0..5 {
                let run = drive::run(&world, &mut real::Real::new(&world), seed, 7200.0, watch);
                secs.push(run.ended);
                throttled += run.throttles;
            }
            secs.sort_by(f64::total_cmp);
            println!("{:20} {rows:8} {:7.1} [{:.1}] 429 {throttled}", world.name, secs[2], secs[4]);
        }
        return;
    }
    let mut logs = 0.0;
    let mut count = 0.0;
    for profile in profiles::all() {
        let world = &profile.world;
        if only.as_ref().is_some_and(|o| !world.name.contains(o.as_str())) {
            continue;
        }
        let mut scores = Vec::new();
        let mut throttles = 0.0;
        let mut late = 0.0;
        let bound: Vec<f64> =
            (0..world.tables.len()).map(|t| bound::rows(world, t, 0.0, until)).collect();
        let best = bound::rate(world, 0, 1.0);
        let mut first = 0.0;
        let mut share = String::new();
        for seed in 0..seeds {
            let run = drive::run(world, &mut real::Real::new(world), seed, until, watch);
            scores.push(run.rows.iter().zip(&bound).map(|(r, b)| *r as f64 / b).sum::<f64>());
            throttles += 1000.0 * run.throttles as f64 / run.requests.max(1) as f64;
            late += 1000.0 * run.throttles_late as f64 / run.requests_late.max(1) as f64;
            let five: u64 = run.pace.iter().map(|p| p.iter().take(30).sum::<u64>()).sum();
            first += five as f64 / bound::rows(world, 0, 0.0, 300.0) / seeds as f64;
            if world.tables.len() > 1 || world.users.len() > 2 {
                share = format!(
                    "busy {:.2?} users {:.2?}",
                    run.busy.iter().map(|b| b / run.busy.iter().sum::<f64>()).collect::<Vec<_>>(),
                    run.busy_user
                        .iter()
                        .map(|b| b / run.busy_user.iter().sum::<f64>())
                        .collect::<Vec<_>>()
                );
            }
            if run.timeouts > 0 {
                share += &format!(" timeouts {}", run.timeouts);
            }
        }
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
        logs += mean.ln();
        count += 1.0;
        println!(
            "{:36} {mean:.3} [{worst:.3}] 429 {:.2} late {:.2} first5 {first:.2} best n {:.0} C {:.0} {share}",
            world.name,
            throttles / seeds as f64,
            late / seeds as f64,
            best.1,
            best.2
        );
    }
    println!("geometric mean {:.4}", f64::exp(logs / count));
}
