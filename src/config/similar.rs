//! Pure: "did you mean": the word closest to a misspelt one.

/// The candidate a person most likely meant by `word`: at most a third of its letters may differ. Case is ignored.
#[must_use]
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    let most = wanted.len() / 3;
    candidates
        .into_iter()
        .map(|c| (distance(&wanted, &c.to_lowercase().chars().collect::<Vec<_>>()), c))
        .filter(|(d, _)| *d <= most)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Edits (insert, remove, replace, swap of neighbours) that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut grid = vec![0usize; (a.len() + 1) * width];
    for (j, cell) in grid.iter_mut().take(width).enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        grid[i * width] = i;
        for j in 1..width {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (grid[(i - 1) * width + j] + 1)
                .min(grid[i * width + j - 1] + 1)
                .min(grid[(i - 1) * width + j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(grid[(i - 2) * width + j - 2] + 1);
            }
            grid[i * width + j] = best;
        }
    }
    grid[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn finds_the_word_meant_and_nothing_far_off() {
        let keys = ["name", "operation", "on_existing", "source"];
        assert_eq!(closest("opperation", keys), Some("operation"));
        assert_eq!(closest("soruce", keys), Some("source"));
        assert_eq!(closest("NAME", keys), Some("name"));
        assert_eq!(closest("on_exsiting", keys), Some("on_existing"));
        assert_eq!(closest("delimiter", keys), None);
    }
}
