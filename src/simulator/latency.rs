//! Pure: how long a request takes the simulated server.
//!
//! Source: `adaptive-control.md` §2.2, §6.

use super::schema::Weight;
use super::settings::{Cost, LatencySettings};
use std::time::Duration;

/// One operation, as far as its cost depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// Class of the table; `None` for reads and requests without a table.
    pub weight: Option<Weight>,
    /// Rows written.
    pub rows: u32,
}

/// What goes on beside the request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load {
    /// Requests at once, this one included.
    pub concurrent: u32,
    /// Rows in flight of all other requests.
    pub rows_elsewhere: u64,
    /// Virtual time since the start.
    pub since_start: Duration,
    /// Two draws from `0..1` for the noise.
    pub chance: [f64; 2],
}

/// How a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// Runs to its end.
    Completes(Duration),
    /// Runs into the server's own time limit and is rolled back.
    TimesOut(Duration),
}

/// Virtual time the server spends on `works` (the operations of one request).
#[must_use]
pub fn service_time(settings: &LatencySettings, works: &[Work], load: Load) -> Duration {
    if settings.scale <= 0.0 {
        return Duration::ZERO;
    }
    let plain: f64 = works.iter().map(|w| uncontended(cost(settings, w.weight), w.rows)).sum();
    let others = f64::from(load.concurrent.max(1) - 1);
    let contention = settings.contention_kappa.mul_add(
        f64::from(load.concurrent) * others,
        settings.contention_sigma.mul_add(others, 1.0),
    );
    #[expect(clippy::cast_precision_loss, reason = "row counts in flight stay far below 2^52")]
    let rows = settings.rows_in_flight.mul_add(load.rows_elsewhere as f64, 1.0);
    let secs = plain
        * contention
        * rows
        * drift(settings, load.since_start)
        * noise(settings.noise_sigma, load.chance)
        * settings.scale;
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}

/// Applies the server's own time limit; `chance` in `0..1` picks who is rolled back.
///
/// Source: `dataverse-web-api.md` §12 row 24.
#[must_use]
pub fn course(settings: &LatencySettings, time: Duration, chance: f64) -> Course {
    let limit = Duration::from_secs_f64(settings.timeout_secs);
    if !limit.is_zero() && time > limit && chance < settings.timeout_fails {
        Course::TimesOut(limit)
    } else {
        Course::Completes(time)
    }
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

fn drift(settings: &LatencySettings, since_start: Duration) -> f64 {
    let now = since_start.as_secs_f64();
    settings
        .drift
        .iter()
        .filter(|s| s.after_secs <= now)
        .max_by(|a, b| a.after_secs.total_cmp(&b.after_secs))
        .map_or(1.0, |s| s.factor)
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
    use crate::simulator::settings::DriftStep;

    fn quiet() -> LatencySettings {
        LatencySettings { scale: 1.0, noise_sigma: 0.0, ..LatencySettings::default() }
    }

    fn alone() -> Load {
        Load { concurrent: 1, rows_elsewhere: 0, since_start: Duration::ZERO, chance: [0.5, 0.5] }
    }

    fn secs(settings: &LatencySettings, weight: Weight, rows: u32, load: Load) -> f64 {
        service_time(settings, &[Work { weight: Some(weight), rows }], load).as_secs_f64()
    }

    #[test]
    fn costs_follow_the_published_classes() {
        let check = |weight, rows, want: f64| {
            assert!((secs(&quiet(), weight, rows, alone()) - want).abs() < 1e-9);
        };
        check(Weight::Simple, 100, 0.10 + 0.6 + 0.01);
        check(Weight::Moderate, 100, 0.15 + 2.0 + 0.04);
        check(Weight::OutOfTheBox, 100, 0.30 + 6.0 + 0.2);
        check(Weight::Complex, 20, 0.40 + 5.0 + 0.4);
    }

    #[test]
    fn zero_scale_answers_at_once() {
        let off = LatencySettings::default();
        assert_eq!(secs(&off, Weight::Complex, 1000, alone()), 0.0);
    }

    #[test]
    fn operations_of_one_request_add_up() {
        let work = Work { weight: Some(Weight::Simple), rows: 1 };
        let one = service_time(&quiet(), &[work], alone());
        assert_eq!(service_time(&quiet(), &[work; 10], alone()), one * 10);
    }

    #[test]
    fn throughput_peaks_and_then_falls() {
        let rate = |c: u32| {
            let load = Load { concurrent: c, ..alone() };
            f64::from(c) / secs(&quiet(), Weight::Moderate, 100, load)
        };
        assert!(rate(50) > rate(10), "peak lies at about 50");
        assert!(rate(200) < rate(50));
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
        settings.drift = vec![
            DriftStep { after_secs: 10.0, factor: 2.0 },
            DriftStep { after_secs: 20.0, factor: 3.0 },
        ];
        let at = |s| {
            secs(
                &settings,
                Weight::Simple,
                1,
                Load { since_start: Duration::from_secs(s), ..alone() },
            )
        };
        assert!((at(15) / at(0) - 2.0).abs() < 1e-9);
        assert!((at(25) / at(0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn half_of_the_overlong_requests_are_rolled_back() {
        let long = Duration::from_secs(200);
        assert_eq!(course(&quiet(), long, 0.4), Course::TimesOut(Duration::from_secs(120)));
        assert_eq!(course(&quiet(), long, 0.6), Course::Completes(long));
        let short = Duration::from_secs(100);
        assert_eq!(course(&quiet(), short, 0.0), Course::Completes(short));
    }
}
