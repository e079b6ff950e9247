//! Writes the figures down.

use crate::dynamics::{Control, Warm};
use crate::figures::{Figures, Job};
use crate::profiles::Kind;
use crate::rivals::RIVALS;
use crate::run::{geometric, least, mean, median, most};
use std::fmt::Write;

/// Everything that was measured.
pub(crate) struct Measured {
    pub(crate) seeds: u64,
    pub(crate) hour: Vec<Figures>,
    pub(crate) six_hours: Vec<Figures>,
    /// By rival, in the order of [`RIVALS`].
    pub(crate) rivals: Vec<Vec<Figures>>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) warm: Vec<Warm>,
    pub(crate) recoveries: Vec<(&'static str, Vec<f64>)>,
    pub(crate) controls: Vec<Control>,
    /// Best fixed pair of each profile: score, rows, threads.
    pub(crate) fixed: Vec<(f64, u32, u32)>,
    /// Hash of the log of one run, twice with the same seed.
    pub(crate) logs: (u64, u64),
}

/// A target of `adaptive-control.md` §7.
struct Target {
    what: String,
    wanted: String,
    measured: String,
    met: bool,
}

fn at_least(what: &str, wanted: f64, measured: f64) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!("≥ {wanted}"),
        measured: format!("{measured:.3}"),
        met: measured >= wanted,
    }
}

fn at_most(what: &str, wanted: f64, measured: f64) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!("≤ {wanted}"),
        measured: format!("{measured:.2}"),
        met: measured <= wanted,
    }
}

fn figures(list: &[Figures], of: impl Fn(&Figures) -> f64) -> Vec<f64> {
    list.iter().map(of).collect()
}

fn kinds(list: &[Figures], kind: Kind) -> Vec<Figures> {
    list.iter().filter(|f| f.kind == kind).cloned().collect()
}

impl Measured {
    fn targets(&self) -> Vec<Target> {
        let (told, untold) = (kinds(&self.hour, Kind::Told), kinds(&self.hour, Kind::Untold));
        let chance = kinds(&self.hour, Kind::Chance);
        let untold_long = kinds(&self.six_hours, Kind::Untold);
        let (with, without): (Vec<Figures>, Vec<Figures>) =
            self.hour.iter().cloned().partition(|f| f.headers);
        let reached: Vec<f64> = told.iter().flat_map(|f| f.reached.clone()).collect();
        let fair: Vec<f64> = self.hour.iter().flat_map(|f| f.fair.clone()).collect();
        let weights: Vec<f64> = self.hour.iter().flat_map(|f| f.off_weights.clone()).collect();
        let recovered: Vec<f64> = self.recoveries.iter().take(3).map(|(_, s)| mean(s)).collect();
        let small: Vec<f64> =
            self.jobs.iter().filter(|j| j.fits).map(|j| (j.secs[0].0 - 5.0) / j.perfect).collect();
        let bad = self.hour.iter().find(|f| f.name.starts_with("C2")).map_or(0.0, Figures::score);
        let mut list = vec![
            at_least("geometric mean, 1 h", 0.94, geometric(&figures(&self.hour, Figures::score))),
            at_least(
                "geometric mean, 6 h",
                0.95,
                geometric(&figures(&self.six_hours, Figures::score)),
            ),
            at_least("each told profile, 1 h", 0.90, least(&figures(&told, Figures::score))),
            at_least("its worst seed", 0.85, least(&figures(&told, Figures::worst))),
            at_least("each untold profile, 1 h", 0.85, least(&figures(&untold, Figures::score))),
            at_least("the same, 6 h", 0.92, least(&figures(&untold_long, Figures::score))),
            at_least("servers not told apart, 1 h", 0.85, least(&figures(&chance, Figures::score))),
            at_most("429 per 1,000 with headers", 1.0, most(&figures(&with, Figures::throttles))),
            at_most("429 per 1,000 without", 5.0, most(&figures(&without, Figures::throttles))),
            at_most(
                "the same with headers, second half",
                0.1,
                most(&figures(&with, Figures::throttles_late)),
            ),
            at_most("seconds to 90 %, median", 180.0, median(&reached)),
            at_most("the same, slowest profile", 360.0, most(&figures(&told, Figures::reached))),
            at_most(
                "the same from a warm start, median",
                120.0,
                median(&self.warm.iter().map(|w| w.reached).collect::<Vec<_>>()),
            ),
            at_least(
                "first 5 minutes, cold",
                0.85,
                least(&told.iter().map(|f| mean(&f.first_five)).collect::<Vec<_>>()),
            ),
            at_least(
                "first 5 minutes, warm, median",
                0.92,
                median(&self.warm.iter().map(|w| w.five.1).collect::<Vec<_>>()),
            ),
            at_most("recovery, seconds", 180.0, most(&recovered)),
            at_least("1 % bad rows", 0.93, bad),
            at_most("small jobs: (seconds − 5) ÷ perfect", 1.5, most(&small)),
            at_most("off the weights", 0.03, most(&weights)),
            at_least("Jain over identities", 0.98, least(&fair)),
            at_most(
                "requests that met 120 s, %",
                0.1,
                100.0 * most(&figures(&self.hour, Figures::timed_out)),
            ),
        ];
        if !self.fixed.is_empty() {
            let against: Vec<f64> = self
                .hour
                .iter()
                .zip(&self.fixed)
                .filter(|(f, _)| f.kind == Kind::Told)
                .map(|(f, fixed)| f.score() / fixed.0)
                .collect();
            list.push(at_least("against the best fixed pair, each", 0.94, least(&against)));
            list.push(at_least("the same, median", 0.98, median(&against)));
        }
        list
    }

    /// The document.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let written = self.write(&mut text);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# Throughput in virtual time\n\n\
             Written by `cargo bench --bench throughput -- --write`. The real governor against a \
             model of the service (`benches/throughput/server.rs`), beside other ways to send, \
             {} seeds each, none of them used when the governor's constants were chosen (two of \
             them showed mistakes in telling where the service counts, since mended). Score: rows \
             loaded over what somebody who always knew the best batch size and the best number of requests at once could have loaded. Told: limits as \
             documented, or said by headers. Nothing here was measured against Microsoft's \
             service.\n\n## Targets\n\n\
             | figure | wanted | measured | |\n| --- | --- | --- | --- |",
            self.seeds
        )?;
        for Target { what, wanted, measured, met } in self.targets() {
            let met = if met { "met" } else { "**missed**" };
            writeln!(out, "| {what} | {wanted} | {measured} | {met} |")?;
        }
        self.write_hour(out)?;
        self.write_rivals(out)?;
        self.write_jobs(out)?;
        self.write_dynamics(out)?;
        let (first, second) = self.logs;
        let same = if first == second { "identical" } else { "**different**" };
        writeln!(
            out,
            "\n## Determinism\n\nHash of every send and answer of one run, twice with the same \
             seed: `{first:016x}`, `{second:016x}`: {same}."
        )
    }

    fn write_hour(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "\n## One hour from a cold start, and six\n\n\
             429 per 1,000 requests; in parentheses those of the second half. 90 %: median seconds \
             until a mean of two minutes reached 90 % of the bound. Fair: Jain's index over \
             identities' execution seconds relative to their limits; weights: most that a table's \
             share is off its weight. 120 s: share of requests that met the service's time limit.\n\n\
             | profile | score | worst seed | 429 | 90 % | first 2 / 5 min | fair | weights | 120 s | 6 h |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for (f, long) in self.hour.iter().zip(&self.six_hours) {
            writeln!(
                out,
                "| {} | {:.3} | {:.3} | {:.2} ({:.2}) | {:.0} s | {:.2} / {:.2} | {:.3} | {:.1} % | {:.2} % | {:.3} |",
                f.name,
                f.score(),
                f.worst(),
                f.throttles(),
                f.throttles_late(),
                f.reached(),
                mean(&f.first_two),
                mean(&f.first_five),
                least(&f.fair),
                100.0 * most(&f.off_weights),
                100.0 * f.timed_out(),
                long.score(),
            )?;
        }
        writeln!(
            out,
            "| geometric mean | {:.3} | | {:.2} ({:.2}) | | | | | | {:.3} |",
            geometric(&figures(&self.hour, Figures::score)),
            mean(&figures(&self.hour, Figures::throttles)),
            mean(&figures(&self.hour, Figures::throttles_late)),
            geometric(&figures(&self.six_hours, Figures::score)),
        )
    }

    fn write_rivals(&self, out: &mut String) -> std::fmt::Result {
        let names: Vec<&str> = RIVALS.iter().map(|(name, _)| *name).collect();
        let fixed = if self.fixed.is_empty() { "" } else { " best fixed (rows, threads) |" };
        let rule = " --- |".repeat(names.len() + usize::from(!self.fixed.is_empty()));
        writeln!(
            out,
            "\n## Beside others\n\n\
             Score, and in parentheses 429 per 1,000 requests, in the same hour. All save refused \
             batches by `$batch`, send through the identities in turn and obey `Retry-After`: *hint* \
             (5 × identities × counting servers) leaves a throttled identity alone, in the others \
             the throttled thread sleeps.\n\n\
             | profile | governor | {} |{fixed}\n| --- | --- |{rule}",
            names.join(" | ")
        )?;
        for (place, f) in self.hour.iter().enumerate() {
            write!(out, "| {} | **{:.2}** ({:.1}) |", f.name, f.score(), f.throttles())?;
            for rival in &self.rivals {
                let r = &rival[place];
                write!(out, " {:.2} ({:.0}) |", r.score(), r.throttles())?;
            }
            if let Some((score, rows, threads)) = self.fixed.get(place) {
                write!(out, " {score:.2} ({rows}, {threads}) |")?;
            }
            writeln!(out)?;
        }
        let sum = |list: &[Figures]| {
            (geometric(&figures(list, Figures::score)), mean(&figures(list, Figures::throttles)))
        };
        let (score, throttles) = sum(&self.hour);
        write!(out, "| geometric mean | **{score:.3}** ({throttles:.1}) |")?;
        for rival in &self.rivals {
            let (score, throttles) = sum(rival);
            write!(out, " {score:.3} ({throttles:.0}) |")?;
        }
        writeln!(out, "{}", if self.fixed.is_empty() { "" } else { " |" })
    }

    fn write_jobs(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "\n## Jobs that end\n\n\
             Median seconds to completion; in parentheses 429s. Perfect: the best pair of batch \
             size and requests at once on a grid, as if known beforehand. Jobs marked * do not fit \
             into what the windows give at first; for these perfect is the paced bound, without \
             that first credit, so a burst can beat it.\n\n\
             | environment | rows | perfect | governor | class guidance | naive 52 × 100 | one-way ratchet |\n\
             | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for job in &self.jobs {
            let star = if job.fits { "" } else { " *" };
            write!(out, "| {} | {} | {:.0}{star} |", job.name, job.rows, job.perfect)?;
            for (secs, throttles) in &job.secs {
                if *throttles > 0.0 {
                    write!(out, " {secs:.0} ({throttles:.0}) |")?;
                } else {
                    write!(out, " {secs:.0} |")?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_dynamics(&self, out: &mut String) -> std::fmt::Result {
        let warm = |of: fn(&Warm) -> f64| self.warm.iter().map(of).collect::<Vec<_>>();
        let line = |name: &str, values: &[f64]| {
            format!("| {name} | {:.2} | {:.2} |\n", median(values), least(values))
        };
        write!(
            out,
            "\n## Begun warm\n\n\
             Twenty minutes, then again with what was learnt and with fresh windows, over the told \
             profiles.\n\n| share of the bound | median | worst |\n| --- | --- | --- |\n{}{}{}{}",
            line("first 2 minutes, cold", &warm(|w| w.two.0)),
            line("first 2 minutes, warm", &warm(|w| w.two.1)),
            line("first 5 minutes, cold", &warm(|w| w.five.0)),
            line("first 5 minutes, warm", &warm(|w| w.five.1)),
        )?;
        writeln!(
            out,
            "\n429 of all warm starts together: {}.\n\n## Recovery\n\n\
             Seconds until a mean of one minute reached 90 % of the new bound.\n\n\
             | what happened | mean | worst |\n| --- | --- | --- |",
            self.warm.iter().map(|w| w.throttles).sum::<u64>()
        )?;
        for (name, secs) in &self.recoveries {
            writeln!(out, "| {name} | {:.0} | {:.0} |", mean(secs), most(secs))?;
        }
        writeln!(
            out,
            "\n## What people want is obeyed\n\n\
             | wish and measure | wanted | measured | |\n| --- | --- | --- | --- |"
        )?;
        for control in &self.controls {
            let (low, high) = control.wanted;
            let held = if control.holds() { "held" } else { "**broken**" };
            writeln!(
                out,
                "| {} | {low}–{high} | {:.3} | {held} |",
                control.what, control.measured
            )?;
        }
        Ok(())
    }
}
