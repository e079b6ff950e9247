//! Pure: seconds of a request by its rows, `a + b·n + d·n²`, fitted with forgetting.

/// Samples remembered.
const MEMORY: f64 = 600.0;

/// Fixed seconds, seconds a row, seconds a row squared; none negative.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Cost {
    pub(super) a: f64,
    pub(super) b: f64,
    pub(super) d: f64,
}

impl Cost {
    pub(super) fn secs(&self, rows: f64) -> f64 {
        self.d.mul_add(rows * rows, self.b.mul_add(rows, self.a))
    }
}

/// Weighted least squares over what was measured, old samples fading.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// Sums of weight · xi · xj over (1, n, n²).
    xx: [[f64; 3]; 3],
    xy: [f64; 3],
    pub(super) weight: f64,
}

impl Fit {
    pub(super) fn new() -> Self {
        Self { xx: [[0.0; 3]; 3], xy: [0.0; 3], weight: 0.0 }
    }

    /// A request of `rows` took `secs`; `expected` sets its weight, so that long requests do not
    /// drown short ones.
    pub(super) fn add(&mut self, rows: f64, secs: f64, expected: f64, weight: f64) {
        let keep = 1.0 - weight.min(1.0) / MEMORY;
        let w = weight / (expected * expected).max(1e-9);
        let x = [1.0, rows, rows * rows];
        for i in 0..3 {
            for j in 0..3 {
                self.xx[i][j] = keep * self.xx[i][j] + w * x[i] * x[j];
            }
            self.xy[i] = keep * self.xy[i] + w * x[i] * secs;
        }
        self.weight = keep * self.weight + weight;
    }

    /// The best cost without negative parts: all seven choices of parts are tried.
    pub(super) fn solve(&self) -> Option<Cost> {
        if self.weight < 3.0 {
            return None;
        }
        let mut xx = self.xx;
        // Presume no growth beyond linear until samples say so.
        xx[2][2] += 2.0 * self.xx[2][2] / self.weight.max(1.0) + 1e-12;
        let mut best: Option<(f64, [f64; 3])> = None;
        for support in 1_u8..8 {
            let parts: Vec<usize> = (0..3).filter(|i| support & (1 << i) != 0).collect();
            let Some(solved) = solve_parts(&xx, &self.xy, &parts) else { continue };
            if solved.iter().any(|v| *v < 0.0) {
                continue;
            }
            // Residual up to a constant.
            let mut rest = 0.0;
            for i in 0..3 {
                rest -= 2.0 * solved[i] * self.xy[i];
                for j in 0..3 {
                    rest += solved[i] * solved[j] * xx[i][j];
                }
            }
            if best.is_none_or(|(least, _)| rest < least) {
                best = Some((rest, solved));
            }
        }
        let (_, [a, b, d]) = best?;
        (a + b + d > 0.0).then_some(Cost { a, b, d })
    }
}

/// Solves the normal equations restricted to `parts` by elimination with pivoting.
fn solve_parts(xx: &[[f64; 3]; 3], xy: &[f64; 3], parts: &[usize]) -> Option<[f64; 3]> {
    let k = parts.len();
    let mut m = [[0.0_f64; 4]; 3];
    for (r, i) in parts.iter().enumerate() {
        for (c, j) in parts.iter().enumerate() {
            // Scaled, as 1 and n² lie far apart.
            m[r][c] = xx[*i][*j] / (xx[*i][*i] * xx[*j][*j]).sqrt().max(1e-300);
        }
        m[r][3] = xy[*i] / xx[*i][*i].sqrt().max(1e-150);
    }
    for col in 0..k {
        let pivot = (col..k).max_by(|x, y| m[*x][col].abs().total_cmp(&m[*y][col].abs()))?;
        if m[pivot][col].abs() < 1e-7 {
            return None;
        }
        m.swap(col, pivot);
        let top = m[col];
        for (row, line) in m.iter_mut().enumerate().take(k) {
            if row != col {
                let f = line[col] / top[col];
                for (cell, above) in line.iter_mut().zip(top) {
                    *cell -= f * above;
                }
            }
        }
    }
    let mut out = [0.0; 3];
    for (r, i) in parts.iter().enumerate() {
        out[*i] = m[r][3] / m[r][r] / xx[*i][*i].sqrt().max(1e-150);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_parts_it_was_shown() {
        let truth = Cost { a: 0.3, b: 0.06, d: 2e-5 };
        let mut fit = Fit::new();
        for i in 0..900 {
            let rows = [5.0, 20.0, 80.0, 200.0][i % 4];
            let noise = [1.1, 0.9, 1.0][i % 3];
            fit.add(rows, truth.secs(rows) * noise, truth.secs(rows), 1.0);
        }
        let found = fit.solve().expect("enough");
        for rows in [5.0, 50.0, 200.0] {
            let ratio = found.secs(rows) / truth.secs(rows);
            assert!((0.95..1.05).contains(&ratio), "{rows}: {ratio} {found:?}");
        }
    }

    #[test]
    fn no_part_is_negative_whatever_is_shown() {
        let mut fit = Fit::new();
        for i in 0..50 {
            let rows = f64::from(i % 7 + 1);
            fit.add(rows, 5.0 / rows, 1.0, 1.0);
        }
        let found = fit.solve().expect("something");
        assert!(found.a >= 0.0 && found.b >= 0.0 && found.d >= 0.0, "{found:?}");
    }
}
