//! Runs a profile with several seeds and gathers its figures.

use crate::bound::{Bound, perfect};
use crate::drive::{self, Decider};
use crate::profiles::{Kind, Profile, jobs};
use crate::real::Real;
use crate::rivals::{Rival, Rule};
use crate::run::{Run, least, mean, median, most};
use crate::world::World;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Added to every seed: the governor's constants were chosen with seeds below.
pub(crate) const HELD_OUT: u64 = 1000;

/// Who decides.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Governor,
    Rival(Rule),
}

impl Who {
    fn decider(self, world: &World) -> Box<dyn Decider> {
        match self {
            Self::Governor => Box::new(Real::new(world)),
            Self::Rival(rule) => Box::new(Rival::new(rule, world)),
        }
    }

    pub(crate) fn run(self, world: &World, seed: u64, secs: f64) -> Run {
        drive::run(world, self.decider(world).as_mut(), HELD_OUT + seed, secs, None)
    }
}

/// A profile's figures, one of each seed.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether headers told the limits.
    pub(crate) headers: bool,
    pub(crate) scores: Vec<f64>,
    /// 429 per 1,000 requests: all, and of the second half.
    pub(crate) throttled: Vec<(f64, f64)>,
    /// Seconds to 90 % of the bound, as a mean of two minutes.
    pub(crate) reached: Vec<f64>,
    /// Share of the bound in the first two and five minutes.
    pub(crate) first_two: Vec<f64>,
    pub(crate) first_five: Vec<f64>,
    /// Jain's index over identities.
    pub(crate) fair: Vec<f64>,
    /// Deviation from weights, as a part of the share.
    pub(crate) off_weights: Vec<f64>,
    /// Requests that met the time limit, as a share.
    pub(crate) timeouts: Vec<f64>,
}

/// Runs `who` in a profile.
pub(crate) fn measure(profile: &Profile, who: Who, seeds: u64, secs: f64) -> Figures {
    let world = &profile.world;
    let bound = Bound::new(world);
    let mut figures = Figures {
        name: world.name,
        kind: profile.kind,
        headers: world.headers != crate::world::Headers::None && world.tokens,
        scores: Vec::new(),
        throttled: Vec::new(),
        reached: Vec::new(),
        first_two: Vec::new(),
        first_five: Vec::new(),
        fair: Vec::new(),
        off_weights: Vec::new(),
        timeouts: Vec::new(),
    };
    for seed in 0..seeds {
        let run = who.run(world, seed, secs);
        figures.scores.push(run.score(&bound, 0.0, secs));
        figures.throttled.push(run.throttled());
        figures.reached.push(run.reaches(&bound, 0.0, 120.0).unwrap_or(secs));
        figures.first_two.push(run.score(&bound, 0.0, 120.0));
        figures.first_five.push(run.score(&bound, 0.0, 300.0));
        figures.fair.push(run.fair_users(world));
        figures.off_weights.push(run.off_weights(world));
        figures.timeouts.push(run.timeouts as f64 / run.requests.max(1) as f64);
    }
    figures
}

impl Figures {
    pub(crate) fn score(&self) -> f64 {
        mean(&self.scores)
    }
    pub(crate) fn worst(&self) -> f64 {
        least(&self.scores)
    }
    pub(crate) fn throttles(&self) -> f64 {
        mean(&self.throttled.iter().map(|t| t.0).collect::<Vec<_>>())
    }
    pub(crate) fn throttles_late(&self) -> f64 {
        mean(&self.throttled.iter().map(|t| t.1).collect::<Vec<_>>())
    }
    pub(crate) fn reached(&self) -> f64 {
        median(&self.reached)
    }
    pub(crate) fn timed_out(&self) -> f64 {
        most(&self.timeouts)
    }
}

/// A job that ends: seconds of several who.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) rows: u64,
    /// Whether it fits into what the windows give at first.
    pub(crate) fits: bool,
    pub(crate) perfect: f64,
    /// By who: median seconds, 429s of that run's seeds on average.
    pub(crate) secs: Vec<(f64, f64)>,
}

/// Runs the jobs that end.
pub(crate) fn finish(who: &[Who], seeds: u64) -> Vec<Job> {
    each(&jobs(), |(world, rows)| {
        let secs = who
            .iter()
            .map(|who| {
                let runs: Vec<Run> = (0..seeds).map(|s| who.run(world, s, 7200.0)).collect();
                let secs: Vec<f64> = runs.iter().map(|r| r.ended).collect();
                let throttles: Vec<f64> = runs.iter().map(|r| r.throttles as f64).collect();
                (median(&secs), mean(&throttles))
            })
            .collect();
        let (perfect, fits) = perfect(world, *rows as f64);
        Job { name: world.name, rows: *rows, fits, perfect, secs }
    })
}

/// Does the same for each of many, on as many threads as there are processors; in order.
pub(crate) fn each<T: Sync, R: Send>(list: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads.min(list.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = list.get(place) else { break };
                    let result = work(item);
                    done.lock().expect("no panic before").push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic before");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}
