//! Pure: how much work a request is for the simulated server, and how it may fail.
//!
//! How long the work takes beside other requests: `sharing.rs`.
//!
//! Source: `adaptive-control.md` §2.2, §6.

use super::schema::Weight;
use super::settings::{Cost, DriftStep, LatencySettings};
use super::sharing::Share;
use std::time::Duration;

/// Others a deadlock hazard is told for.
const HAZARD_OTHERS: f64 = 10.0;
/// Rows a deadlock hazard is told for.
const HAZARD_ROWS: f64 = 100.0;
/// Least share of its work a request has done when a deadlock ends it: with a uniform draw the
/// mean is 0.65.
///
/// Source: `adaptive-control.md` §4.6.
const DEADLOCK_EARLIEST: f64 = 0.3;

/// One operation, as far as its cost depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// Table written to, by index, with its class; `None` for reads and requests without a table.
    pub table: Option<(usize, Weight)>,
    /// Rows written.
    pub rows: u32,
}

/// Draws from `0..1`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chances {
    /// For the noise.
    pub noise: [f64; 2],
    /// Who is rolled back at the server's own time limit.
    pub timeout: f64,
    /// Who ends in a deadlock.
    pub deadlock: f64,
    /// When.
    pub moment: f64,
}

/// What the server is to do for a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Course {
    /// Its share of the database.
    pub share: Share,
    /// Whether it ends in a deadlock when its work is done, and is rolled back.
    pub deadlock: bool,
}

/// The course of a request of `works`, its operations; `batch` when it is a `$batch`. `others` run
/// when it begins, `since_start` after the start of the server.
#[must_use]
pub fn course(
    settings: &LatencySettings,
    works: &[Work],
    batch: bool,
    others: u32,
    since_start: Duration,
    chances: Chances,
) -> Course {
    let plain: f64 = works
        .iter()
        .map(|w| uncontended(cost(settings, w.table.map(|(_, weight)| weight)), w.rows))
        .sum();
    let drift = drift_step(settings, since_start).map_or(1.0, |step| step.factor);
    let rows = works.iter().map(|w| u64::from(w.rows)).sum();
    let elastic = |w: &Work| matches!(w.table, Some((_, Weight::Elastic)) | None);
    let hazard =
        if batch || works.iter().all(elastic) { 0.0 } else { hazard(settings, rows, others) };
    // 1 − e^(−hazard) of them.
    let deadlock = hazard > 0.0 && chances.deadlock < -(-hazard).exp_m1();
    let part = if deadlock {
        (1.0 - DEADLOCK_EARLIEST).mul_add(chances.moment, DEADLOCK_EARLIEST)
    } else {
        1.0
    };
    let secs = plain * drift * noise(settings.noise_sigma, chances.noise) * settings.scale * part;
    let limit = Duration::try_from_secs_f64(settings.timeout_secs).unwrap_or(Duration::MAX);
    let limited = !limit.is_zero() && chances.timeout < settings.timeout_fails;
    Course {
        share: Share {
            work: Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX),
            table: works
                .iter()
                .filter(|w| w.table.is_some())
                .max_by_key(|w| w.rows)
                .and_then(|w| w.table),
            rows,
            // Source: `dataverse-web-api.md` §12 row 24.
            limit: limited.then_some(limit),
        },
        deadlock,
    }
}

/// Expected deadlocks of a request of `rows` rows beside `others`.
fn hazard(settings: &LatencySettings, rows: u64, others: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "rows of a request stay far below 2^52")]
    let size = (rows as f64 / HAZARD_ROWS).powf(1.5);
    settings.deadlock_hazard * size * f64::from(others) / HAZARD_OTHERS
}

/// The step of the changes over time that holds `since_start`: the latest.
#[must_use]
pub fn drift_step(settings: &LatencySettings, since_start: Duration) -> Option<&DriftStep> {
    let now = since_start.as_secs_f64();
    settings
        .drift
        .iter()
        .filter(|s| s.after_secs <= now)
        .max_by(|a, b| a.after_secs.total_cmp(&b.after_secs))
}

fn cost(settings: &LatencySettings, weight: Option<Weight>) -> Cost {
    match weight {
        None => settings.read,
        Some(Weight::Simple) => settings.simple,
        Some(Weight::Moderate) => settings.moderate,
        Some(Weight::OutOfTheBox) => settings.out_of_the_box,
        Some(Weight::Complex) => settings.complex,
        Some(Weight::Elastic) => settings.elastic,
    }
}

fn uncontended(cost: Cost, rows: u32) -> f64 {
    let n = f64::from(rows);
    cost.d.mul_add(n * n, cost.b.mul_add(n, cost.a))
}

/// Log-normal with mean 1.
fn noise(sigma: f64, [u, v]: [f64; 2]) -> f64 {
    if sigma == 0.0 {
        return 1.0;
    }
    let radius = (-2.0 * (1.0 - u).max(f64::MIN_POSITIVE).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * v).cos();
    sigma.mul_add(normal, -sigma * sigma / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> LatencySettings {
        LatencySettings { scale: 1.0, noise_sigma: 0.0, ..LatencySettings::default() }
    }

    const DRAWN: Chances =
        Chances { noise: [0.5, 0.5], timeout: 0.999, deadlock: 0.5, moment: 0.5 };

    fn one(weight: Weight, rows: u32) -> [Work; 1] {
        [Work { table: Some((3, weight)), rows }]
    }

    fn secs(settings: &LatencySettings, works: &[Work], since: u64) -> f64 {
        let course = course(settings, works, false, 0, Duration::from_secs(since), DRAWN);
        course.share.work.as_secs_f64()
    }

    #[test]
    fn costs_follow_the_published_classes() {
        let check = |weight, rows, want: f64| {
            assert!((secs(&quiet(), &one(weight, rows), 0) - want).abs() < 1e-9);
        };
        check(Weight::Simple, 100, 0.10 + 0.6 + 0.01);
        check(Weight::Moderate, 100, 0.15 + 2.0 + 0.04);
        check(Weight::OutOfTheBox, 100, 0.30 + 6.0 + 0.2);
        check(Weight::Complex, 20, 0.40 + 5.0 + 0.4);
    }

    #[test]
    fn operations_of_one_request_add_up() {
        let work = one(Weight::Simple, 1)[0];
        let alone = secs(&quiet(), &[work], 0);
        assert!((secs(&quiet(), &[work; 10], 0) - 10.0 * alone).abs() < 1e-9);
    }

    #[test]
    fn a_request_belongs_to_the_table_most_of_its_rows_go_to() {
        let works = [
            Work { table: None, rows: 0 },
            Work { table: Some((1, Weight::Simple)), rows: 1 },
            Work { table: Some((2, Weight::Complex)), rows: 5 },
        ];
        let share = course(&quiet(), &works, true, 0, Duration::ZERO, DRAWN).share;
        assert_eq!((share.table, share.rows), (Some((2, Weight::Complex)), 6));
    }

    #[test]
    fn noise_has_mean_one() {
        let n = 200;
        let sum: f64 = (0..n * n)
            .map(|i| noise(0.3, [f64::from(i / n) / f64::from(n), f64::from(i % n) / f64::from(n)]))
            .sum();
        assert!((sum / f64::from(n * n) - 1.0).abs() < 0.01);
    }

    #[test]
    fn the_latest_drift_step_holds() {
        let mut settings = quiet();
        settings.drift = [(10.0, 2.0), (20.0, 3.0)]
            .map(|(after_secs, factor)| DriftStep { after_secs, factor, kappa_factor: 1.0 })
            .to_vec();
        let at = |s| secs(&settings, &one(Weight::Simple, 1), s);
        assert!((at(15) / at(0) - 2.0).abs() < 1e-9);
        assert!((at(25) / at(0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn half_of_the_requests_have_a_limit_they_are_rolled_back_at() {
        let limit = |timeout| {
            let chances = Chances { timeout, ..DRAWN };
            course(&quiet(), &one(Weight::Simple, 1), false, 0, Duration::ZERO, chances).share.limit
        };
        assert_eq!(limit(0.4), Some(Duration::from_secs(120)));
        assert_eq!(limit(0.6), None);
    }

    /// Share of requests that end in a deadlock.
    fn deadlocks(works: &[Work], batch: bool, others: u32) -> f64 {
        let settings = LatencySettings { deadlock_hazard: 0.1, ..quiet() };
        let struck = (0..10_000).filter(|n| {
            let chances = Chances { deadlock: f64::from(*n) / 1e4, ..DRAWN };
            course(&settings, works, batch, others, Duration::ZERO, chances).deadlock
        });
        struck.count() as f64 / 1e4
    }

    #[test]
    fn deadlocks_grow_with_rows_and_with_the_others() {
        let share = |rows, others| deadlocks(&one(Weight::Moderate, rows), false, others);
        let near = |got: f64, hazard: f64| (got - (1.0 - (-hazard).exp())).abs() < 2e-4;
        assert!(near(share(100, 10), 0.1));
        assert!(near(share(400, 10), 0.8), "rows^1.5");
        assert!(near(share(100, 30), 0.3));
        assert_eq!(share(400, 0), 0.0, "nobody to lock against");
        assert_eq!(deadlocks(&one(Weight::Moderate, 100), true, 10), 0.0);
        assert_eq!(deadlocks(&one(Weight::Elastic, 100), false, 10), 0.0);
    }

    #[test]
    fn a_deadlock_strikes_before_the_work_is_done() {
        let settings = LatencySettings { deadlock_hazard: 1.0, ..quiet() };
        let works = one(Weight::Moderate, 100);
        let whole = secs(&settings, &works, 0);
        for (moment, part) in [(0.0, 0.3), (0.5, 0.65), (1.0, 1.0)] {
            let chances = Chances { deadlock: 0.0, moment, ..DRAWN };
            let course = course(&settings, &works, false, 10, Duration::ZERO, chances);
            let got = course.share.work.as_secs_f64() / whole;
            assert!(course.deadlock && (got - part).abs() < 1e-6, "{got}");
        }
    }
}
