//! What happens when something changes: a second run that begins warm, servers that go and come,
//! slow-downs, and people who want something else.

use crate::bound::Bound;
use crate::drive;
use crate::figures::{HELD_OUT, Who, each};
use crate::profiles::{Kind, Profile, all, table, world};
use crate::real::Real;
use crate::run::{Run, most};
use crate::world::{MODERATE, OOB, SIMPLE, World};
use std::num::NonZeroU32;

/// A profile begun cold and begun warm.
#[derive(Clone, Debug)]
pub(crate) struct Warm {
    /// Share of the bound in the first two and five minutes, cold and warm.
    pub(crate) two: (f64, f64),
    pub(crate) five: (f64, f64),
    /// Seconds to 90 % of the bound, warm.
    pub(crate) reached: f64,
    /// 429 of the warm start's 20 minutes.
    pub(crate) throttles: u64,
}

/// Runs 20 minutes, then another 20 with what was learnt and with fresh windows.
pub(crate) fn warm(profile: &Profile, seed: u64) -> Option<Warm> {
    let (world, secs) = (&profile.world, 1199.0);
    let mut first = Real::new(world);
    let cold = drive::run(world, &mut first, HELD_OUT + seed, secs, None);
    let mut second = Real::new(world).warm(first.learned()?);
    let warm = drive::run(world, &mut second, HELD_OUT + seed + 100, secs, None);
    let bound = Bound::new(world);
    let two = |run: &Run| run.score(&bound, 0.0, 120.0);
    let five = |run: &Run| run.score(&bound, 0.0, 300.0);
    Some(Warm {
        two: (two(&cold), two(&warm)),
        five: (five(&cold), five(&warm)),
        reached: warm.reaches(&bound, 0.0, 120.0).unwrap_or(secs),
        throttles: warm.throttles,
    })
}

/// Profiles fit for a second run: their limits are told, or as documented.
pub(crate) fn warm_profiles() -> Vec<Profile> {
    all().into_iter().filter(|p| p.kind == Kind::Told || p.world.name.starts_with("E3")).collect()
}

/// (what happened, seconds until a mean of one minute reached 90 % of the bound again, by seed).
pub(crate) fn recoveries(seeds: u64) -> Vec<(&'static str, Vec<f64>)> {
    let named = |name: &str| all().into_iter().map(|p| p.world).find(|w| w.name.starts_with(name));
    let cases: Vec<(&'static str, Option<World>, f64)> = vec![
        ("servers 4 → 2", named("D2"), 1200.0),
        ("servers 2 → 6", named("D2"), 2400.0),
        ("durations × 2.5", named("D1"), 1200.0),
        ("durations ÷ 2.5", named("D1"), 2400.0),
        ("the knee halves", named("D3"), 1800.0),
        ("plug-ins × 4", named("P4"), 1800.0),
        ("foreign load of 40 % begins", named("E4"), 600.0),
        ("foreign load ends", named("E4"), 2400.0),
    ];
    each(&cases, |(name, world, at)| {
        let Some(world) = world else { return (*name, Vec::new()) };
        let bound = Bound::new(world);
        let secs = (0..seeds)
            .map(|seed| {
                let run = Who::Governor.run(world, seed, at + 900.0);
                run.reaches(&bound, *at, 60.0).unwrap_or(900.0)
            })
            .collect();
        (*name, secs)
    })
}

/// One wish of people: what was measured must lie within what is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control {
    pub(crate) what: &'static str,
    pub(crate) measured: f64,
    /// Least and most allowed.
    pub(crate) wanted: (f64, f64),
}

impl Control {
    pub(crate) fn holds(&self) -> bool {
        (self.wanted.0..=self.wanted.1).contains(&self.measured)
    }
}

fn run(world: &World, real: Real, secs: f64) -> Run {
    drive::run(world, &mut { real }, HELD_OUT, secs, None)
}

/// Largest share of what one identity's limits allow that was used in any window.
fn used(run: &Run, world: &World, from: f64, until: f64) -> f64 {
    let windows = ((until - from - 300.0) / 10.0) as usize;
    let counters = f64::from(world.servers_at(0.0));
    let mut shares = Vec::new();
    for step in 0..=windows {
        let at = from + 10.0 * step as f64;
        let busy = run.busy_users(at, at + 300.0);
        shares.extend(busy.iter().zip(&world.users).map(|(b, limit)| b / limit / counters));
    }
    most(&shares)
}

/// What people want, and what came of it.
pub(crate) fn controls() -> Vec<Control> {
    let cases: [fn() -> Vec<Control>; 5] = [schedule, pauses, fixed, ceiling, weights];
    each(&cases, |case| case()).into_iter().flatten().collect()
}

fn schedule() -> Vec<Control> {
    let w = world("schedule", OOB, 2, 2);
    let bound = Bound::new(&w);
    let all = run(&w, Real::new(&w).change(0.0, |o| o.max_share = 0.4), 1800.0);
    let later = Real::new(&w).change(1200.0, |o| o.max_share = 0.4);
    let later = run(&w, later.change(2100.0, |o| o.max_share = 1.0), 3300.0);
    let closed = run(&w, Real::new(&w).change(600.0, |o| o.max_share = 0.0), 900.0);
    vec![
        Control {
            what: "max_share 0.4: largest share of a window used",
            measured: used(&all, &w, 0.0, 1800.0),
            wanted: (0.36, 0.408),
        },
        Control {
            what: "max_share 0.4: score",
            measured: all.score(&bound, 0.0, 1800.0),
            wanted: (0.36, 0.44),
        },
        Control {
            what: "lowered to 0.4 at work: share of a window used, a window later",
            measured: used(&later, &w, 1520.0, 2100.0),
            wanted: (0.30, 0.408),
        },
        Control {
            what: "raised again: score from a window later",
            measured: later.score(&bound, 2400.0, 3300.0),
            wanted: (0.90, 1.05),
        },
        Control {
            what: "a schedule that is closed: seconds until the last batch was cut",
            measured: closed.cut_at[0],
            wanted: (590.0, 601.0),
        },
    ]
}

fn pauses() -> Vec<Control> {
    let w = world("pauses", MODERATE, 2, 2);
    let bound = Bound::new(&w);
    let one = Real::new(&w).change(900.0, |o| o.identities[1].paused = true);
    let one = run(&w, one, 1800.0);
    let mut two_tables = w.clone();
    two_tables.tables.push(table(OOB));
    let other = Real::new(&two_tables).change(900.0, |o| o.tables[0].paused = true);
    let other = run(&two_tables, other, 1800.0);
    let both = Bound::new(&two_tables);
    vec![
        Control {
            what: "an identity paused: its execution seconds a minute later",
            measured: one.busy_users(960.0, 1800.0)[1],
            wanted: (0.0, 0.0),
        },
        Control {
            what: "an identity paused: score of the other one",
            measured: 2.0 * one.score(&bound, 1200.0, 1800.0),
            wanted: (0.90, 1.10),
        },
        Control {
            what: "a table paused: seconds until its last batch was sent",
            measured: other.cut_at[0],
            wanted: (880.0, 901.0),
        },
        Control {
            what: "a table paused: score of the other one, which gets all",
            measured: other.score(&both, 1200.0, 1800.0),
            wanted: (0.90, 1.05),
        },
    ]
}

fn fixed() -> Vec<Control> {
    let w = world("fixed", OOB, 4, 2);
    let real = Real::new(&w).change(0.0, |o| {
        (o.tables[0].batch.min, o.tables[0].batch.max) = (37, 37);
        (o.tables[0].parallel.min, o.tables[0].parallel.max) = (1, 5);
    });
    let run = run(&w, real, 900.0);
    let (least, most) = run.sizes[0];
    vec![
        Control { what: "batch 37: least rows", measured: least.into(), wanted: (37.0, 37.0) },
        Control { what: "batch 37: most rows", measured: most.into(), wanted: (37.0, 37.0) },
        Control {
            what: "parallel 5: most requests at once",
            measured: run.at_once[0] as f64,
            wanted: (5.0, 5.0),
        },
    ]
}

fn ceiling() -> Vec<Control> {
    let w = world("ceiling", SIMPLE, 2, 2);
    let real = Real::new(&w).change(0.0, |o| {
        (o.tables[0].batch.min, o.tables[0].batch.max) = (10, 10);
        o.identities[0].requests_per_second = NonZeroU32::new(3);
    });
    let run = run(&w, real, 600.0);
    let first = &run.sends[0];
    let second = f64::from(run.sends[1].iter().sum::<u32>()) / 600.0;
    vec![
        Control {
            what: "requests_per_second 3: most in a second",
            measured: f64::from(first.iter().copied().max().unwrap_or(0)),
            wanted: (3.0, 4.0),
        },
        Control {
            what: "requests_per_second 3: mean",
            measured: f64::from(first.iter().sum::<u32>()) / 600.0,
            wanted: (2.8, 3.0),
        },
        Control { what: "the identity without one: mean", measured: second, wanted: (15.0, 40.0) },
    ]
}

fn weights() -> Vec<Control> {
    let mut w = world("weights", MODERATE, 4, 2);
    w.tables.push(table(OOB));
    let real = Real::new(&w).change(900.0, |o| o.tables[0].weight = 3.0);
    let run = run(&w, real, 1800.0);
    let share = |from: f64, until: f64| {
        let busy = run.busy_tables(from, until);
        busy[0] / (busy[0] + busy[1])
    };
    vec![
        Control {
            what: "weights 1 : 1: share of the first table",
            measured: share(60.0, 900.0),
            wanted: (0.485, 0.515),
        },
        Control {
            what: "changed to 3 : 1 at work: share of the first table",
            measured: share(960.0, 1800.0),
            wanted: (0.7275, 0.7725),
        },
    ]
}
