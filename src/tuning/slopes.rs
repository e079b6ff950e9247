//! Pure: by how much a request gets longer when more requests, or more rows, are under way.
//!
//! Regresses the logarithm of durations on the logarithms of requests at once, of rows in flight
//! a request (both averaged over the request's own life), and of its own rows. Means fade fast and
//! are kept by table, so that drift and the tables' differences drop out; slopes fade slowly.

/// Samples the slopes remember.
const MEMORY: f64 = 600.0;
/// Weight of the presumed slopes.
const RIDGE: f64 = 0.6;
/// Slopes presumed before anything was measured: requests at once, rows elsewhere, own rows.
///
/// Source: `adaptive-control.md` §4.4.
const PRESUMED: [f64; 3] = [0.35, 0.0, 0.9];

/// A slope and how sure it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) error: f64,
}

/// One table's fading means.
#[derive(Clone, Copy, Debug, Default)]
struct Means {
    x: [f64; 3],
    y: f64,
    weight: f64,
}

/// The regression.
#[derive(Debug)]
pub(super) struct Slopes {
    xx: [[f64; 3]; 3],
    xy: [f64; 3],
    yy: f64,
    weight: f64,
    means: Vec<Means>,
    presumed: [f64; 3],
}

impl Slopes {
    pub(super) fn new(tables: usize) -> Self {
        Self {
            xx: [[0.0; 3]; 3],
            xy: [0.0; 3],
            yy: 0.0,
            weight: 0.0,
            means: vec![Means::default(); tables],
            presumed: PRESUMED,
        }
    }

    /// Begins from what an earlier run found.
    pub(super) fn presume(&mut self, parallel: f64, rows: f64) {
        self.presumed[0] = parallel.clamp(0.0, 1.5);
        self.presumed[1] = rows.clamp(0.0, 1.5);
    }

    /// A request of table `table` took `exp(y)` seconds at `x`; `typical` requests are under way.
    pub(super) fn add(&mut self, table: usize, x: [f64; 3], y: f64, typical: f64) {
        let means = &mut self.means[table];
        let memory = (6.0 * typical).max(120.0);
        means.weight = (means.weight + 1.0).min(memory);
        let step = 1.0 / means.weight;
        // Deviation from the mean before this sample moves it.
        let dx: [f64; 3] = std::array::from_fn(|i| x[i] - means.x[i]);
        let dy = y - means.y;
        for (mean, off) in means.x.iter_mut().zip(dx) {
            *mean += step * off;
        }
        means.y += step * dy;
        if means.weight < 12.0 {
            return;
        }
        let keep = 1.0 - 1.0 / MEMORY;
        for i in 0..3 {
            for j in 0..3 {
                self.xx[i][j] = keep * self.xx[i][j] + dx[i] * dx[j];
            }
            self.xy[i] = keep * self.xy[i] + dx[i] * dy;
        }
        self.yy = keep * self.yy + dy * dy;
        self.weight = keep * self.weight + 1.0;
    }

    /// Slopes by requests at once and by rows elsewhere.
    pub(super) fn solve(&self) -> (Slope, Slope) {
        let mut a = self.xx;
        let mut b = self.xy;
        for i in 0..3 {
            a[i][i] += RIDGE;
            b[i] += RIDGE * self.presumed[i];
        }
        let Some(inverse) = invert(a) else {
            let unknown = |value| Slope { value, error: 1.0 };
            return (unknown(self.presumed[0]), unknown(self.presumed[1]));
        };
        let beta: [f64; 3] =
            std::array::from_fn(|i| (0..3).map(|j| inverse[i][j] * b[j]).sum::<f64>());
        let explained: f64 = (0..3).map(|i| beta[i] * self.xy[i]).sum();
        let free = (self.weight - 3.0).max(1.0);
        let variance = ((self.yy - explained) / free).max(1e-4);
        let slope =
            |i: usize| Slope { value: beta[i], error: (variance * inverse[i][i]).max(0.0).sqrt() };
        (slope(0), slope(1))
    }
}

fn invert(m: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let minor = |r: usize, c: usize| {
        let rows = [(r + 1) % 3, (r + 2) % 3];
        let cols = [(c + 1) % 3, (c + 2) % 3];
        m[rows[0]][cols[0]] * m[rows[1]][cols[1]] - m[rows[0]][cols[1]] * m[rows[1]][cols[0]]
    };
    let det: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    if det.abs() < 1e-12 {
        return None;
    }
    Some(std::array::from_fn(|i| std::array::from_fn(|j| minor(j, i) / det)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn tells_concurrency_from_batch_size_under_drift() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut slopes = Slopes::new(2);
        for i in 0..3000 {
            let c: f64 = if i / 40 % 2 == 0 { 22.0 } else { 17.0 };
            let rows: f64 = if i / 90 % 2 == 0 { 120.0 } else { 80.0 };
            let own: f64 = [30.0, 40.0, 55.0][i % 3];
            let table = i % 2;
            let drift = f64::from(u32::try_from(i).expect("small")) / 3000.0;
            let noise = 0.3 * (rng.random::<f64>() - 0.5);
            let y = 0.7 * c.ln()
                + 0.2 * rows.ln()
                + 0.85 * own.ln()
                + drift
                + noise
                + 2.0 * table as f64;
            slopes.add(table, [c.ln(), rows.ln(), own.ln()], y, 20.0);
        }
        let (parallel, elsewhere) = slopes.solve();
        assert!((parallel.value - 0.7).abs() < 0.12, "{parallel:?}");
        assert!((elsewhere.value - 0.2).abs() < 0.12, "{elsewhere:?}");
        assert!(parallel.error < 0.1);
    }

    #[test]
    fn knows_that_it_knows_nothing() {
        let (parallel, _) = Slopes::new(1).solve();
        assert!((parallel.value - PRESUMED[0]).abs() < 1e-9);
    }
}
