//! Pure: how what was learnt is kept: which file is taken for this environment, how the figures of
//! two jobs come together, and what is forgotten.

use crate::limits::LEARNED_KINDS_MAX;
use crate::tuning::learned::{Learned, LearnedEnvironment, LearnedTable, RequestKind, VERSION};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What was not seen for so long is forgotten, milliseconds.
pub const FORGET_MS: i64 = 180 * 24 * 3600 * 1000;
/// What is dated further ahead belongs to a clock that was wrong; it would stay the youngest.
const AHEAD_MS: i64 = 3600 * 1000;
/// No duration of a request is longer, seconds; above it a figure is damage.
const SECONDS_MAX: f64 = 86_400.0;

/// Why what a file holds is not used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotUsed {
    /// The text is not what this program writes.
    #[error("it is not readable: {0}")]
    Unreadable(String),
    /// Another version of the program wrote it.
    #[error("it has version {found}, and this program reads version {VERSION}")]
    OtherVersion {
        /// Version found.
        found: u64,
    },
    /// It belongs to another organization.
    #[error("it belongs to organization {found}")]
    OtherOrganization {
        /// Organization found.
        found: String,
    },
    /// The organization answers at another URL now, so it may be on other servers.
    #[error("it was learnt at {found}")]
    OtherUrl {
        /// URL found.
        found: String,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

/// Reads a file's text for the environment it must belong to. Entries with impossible figures are
/// left out.
///
/// # Errors
/// Why the whole of it is not used.
pub fn read(text: &[u8], organization: &str, url: &str) -> Result<Learned, NotUsed> {
    let unreadable = |error: serde_json::Error| NotUsed::Unreadable(error.to_string());
    let head: Head = serde_json::from_slice(text).map_err(unreadable)?;
    if head.version != u64::from(VERSION) {
        return Err(NotUsed::OtherVersion { found: head.version });
    }
    let mut learned: Learned = serde_json::from_slice(text).map_err(unreadable)?;
    if !learned.organization.eq_ignore_ascii_case(organization) {
        return Err(NotUsed::OtherOrganization { found: learned.organization });
    }
    if !learned.url.eq_ignore_ascii_case(url) {
        return Err(NotUsed::OtherUrl { found: learned.url });
    }
    learned.environment = learned.environment.filter(environment_is_sound);
    learned.tables.retain(table_is_sound);
    Ok(learned)
}

/// The file's entries and a run's, the younger one of each kind; without what was not seen for
/// [`FORGET_MS`] and, beyond [`LEARNED_KINDS_MAX`] kinds, without the oldest.
#[must_use]
pub fn merge(kept: Option<Learned>, new: Learned, wall_ms: i64) -> Learned {
    let mut tables: BTreeMap<RequestKind, LearnedTable> = BTreeMap::new();
    let mut environment = new.environment.filter(environment_is_sound);
    let mut learned: Vec<LearnedTable> = Vec::new();
    if let Some(kept) = kept {
        // A run that learnt nothing of the environment does not make it unknown.
        environment = environment.or(kept.environment);
        learned = kept.tables;
        learned.retain(|t| t.saved_ms <= wall_ms.saturating_add(AHEAD_MS));
    }
    learned.extend(new.tables.into_iter().filter(table_is_sound));
    for table in learned {
        match tables.get(&table.kind) {
            Some(known) if known.saved_ms > table.saved_ms => {}
            _ => {
                tables.insert(table.kind.clone(), table);
            }
        }
    }
    let mut tables: Vec<LearnedTable> =
        tables.into_values().filter(|t| wall_ms.saturating_sub(t.saved_ms) <= FORGET_MS).collect();
    if tables.len() > LEARNED_KINDS_MAX {
        tables.sort_by_key(|t| std::cmp::Reverse(t.saved_ms));
        tables.truncate(LEARNED_KINDS_MAX);
        tables.sort_by(|a, b| a.kind.cmp(&b.kind));
    }
    Learned { environment, tables, saved_ms: wall_ms, ..new_head(&new.organization, &new.url) }
}

fn new_head(organization: &str, url: &str) -> Learned {
    Learned {
        version: VERSION,
        organization: organization.to_owned(),
        url: url.to_owned(),
        saved_ms: 0,
        environment: None,
        tables: Vec::new(),
    }
}

fn table_is_sound(table: &LearnedTable) -> bool {
    let within = |value: f64, most: f64| (0.0..=most).contains(&value);
    (1.0..=1e6).contains(&table.batch_rows)
        && table.cost.iter().all(|part| within(*part, SECONDS_MAX))
        && table.cost.iter().any(|part| *part > 0.0)
        && within(table.variance, 100.0)
        && within(table.hazard, 1.0)
        && within(table.bad_row_rate, 1.0)
        && within(table.batch_ratio, 1000.0)
        && table.samples > 0
}

fn environment_is_sound(environment: &LearnedEnvironment) -> bool {
    let within = |value: f64, most: f64| (0.0..=most).contains(&value);
    let positive = |value: f64, most: f64| value > 0.0 && within(value, most);
    positive(environment.time_limit_secs, 1e9)
        && positive(environment.requests_limit, 1e9)
        && positive(environment.parallel_limit, 1e6)
        && within(environment.parallel, 1e6)
        && (-10.0..=10.0).contains(&environment.elasticity_parallel)
        && (-10.0..=10.0).contains(&environment.elasticity_rows)
        && within(environment.latency_secs, SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORG: &str = "0b3cb4f6-0000-4000-8000-000000000001";
    const URL: &str = "https://contoso.crm4.dynamics.com";
    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn table(name: &str, operation: &str, saved_ms: i64) -> LearnedTable {
        LearnedTable {
            kind: RequestKind {
                table: name.into(),
                operation: operation.into(),
                columns: "00ff".into(),
                bypass: String::new(),
            },
            batch_rows: 120.0,
            cost: [0.05, 0.002, 0.000_001],
            variance: 0.04,
            hazard: 0.001,
            bad_row_rate: 0.0,
            batch_ratio: 1.2,
            samples: 400,
            saved_ms,
        }
    }

    fn learned(tables: Vec<LearnedTable>) -> Learned {
        Learned { tables, ..new_head(ORG, URL) }
    }

    fn environment() -> LearnedEnvironment {
        LearnedEnvironment {
            scope: "server".into(),
            servers: 3,
            time_limit_secs: 1200.0,
            requests_limit: 6000.0,
            parallel_limit: 52.0,
            identities: 2,
            parallel: 40.0,
            elasticity_parallel: 0.4,
            elasticity_rows: 0.2,
            latency_secs: 0.02,
        }
    }

    #[test]
    fn another_environment_or_version_is_not_used() {
        let good = serde_json::to_vec(&learned(vec![table("account", "create", 1)])).unwrap();
        assert_eq!(read(&good, ORG, URL).unwrap().tables.len(), 1);
        assert!(read(&good, &ORG.to_uppercase(), URL).is_ok());
        let why = |text: &[u8], org, url| read(text, org, url).unwrap_err().to_string();
        assert_eq!(why(&good, "other", URL), format!("it belongs to organization {ORG}"));
        assert_eq!(why(&good, ORG, "https://b.example"), format!("it was learnt at {URL}"));
        let newer = br#"{"version": 9, "something": "new"}"#;
        assert_eq!(why(newer, ORG, URL), "it has version 9, and this program reads version 1");
        for bad in [&b""[..], b"{", b"[]", b"{\"version\":1}", &[0xff, 0xfe]] {
            assert!(matches!(read(bad, ORG, URL), Err(NotUsed::Unreadable(_))));
        }
    }

    #[test]
    fn impossible_figures_are_left_out_one_by_one() {
        let mut bad = table("lead", "create", 1);
        bad.batch_rows = 0.0;
        let mut endless = table("contact", "create", 1);
        endless.cost[0] = f64::INFINITY;
        let mut wrong = environment();
        wrong.time_limit_secs = -1.0;
        let mut all = learned(vec![table("account", "create", 1), bad, endless.clone()]);
        all.environment = Some(wrong);
        // JSON has no infinity, so this one is refused when writing already.
        let merged = merge(None, all.clone(), 2);
        assert_eq!(merged.tables.len(), 1);
        assert_eq!(merged.environment, None);
        all.tables.retain(|t| t.kind != endless.kind);
        let text = serde_json::to_vec(&all).unwrap();
        let read = read(&text, ORG, URL).unwrap();
        assert_eq!((read.tables.len(), read.environment), (1, None));
    }

    #[test]
    fn two_jobs_do_not_erase_each_others_entries() {
        let mut kept =
            learned(vec![table("account", "create", 50), table("contact", "update", 10)]);
        kept.environment = Some(environment());
        let mut mine = table("contact", "update", 60);
        mine.batch_rows = 30.0;
        let mut late = table("account", "create", 40);
        late.batch_rows = 1.0;
        let merged = merge(Some(kept), learned(vec![mine, late, table("lead", "create", 60)]), 70);
        let seen: Vec<_> =
            merged.tables.iter().map(|t| (t.kind.table.as_str(), t.batch_rows)).collect();
        assert_eq!(seen, [("account", 120.0), ("contact", 30.0), ("lead", 120.0)]);
        assert_eq!(merged.environment, Some(environment()), "still known");
        assert_eq!(merged.saved_ms, 70);
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_win_forever() {
        let now = 400 * DAY_MS;
        let kept = learned(vec![table("account", "create", now + 30 * DAY_MS)]);
        let mut mine = table("account", "create", now);
        mine.batch_rows = 30.0;
        assert_eq!(merge(Some(kept), learned(vec![mine]), now).tables[0].batch_rows, 30.0);
    }

    #[test]
    fn the_old_is_forgotten_and_the_number_is_bounded() {
        let now = 400 * DAY_MS;
        let old = learned(vec![
            table("account", "create", now - FORGET_MS - 1),
            table("contact", "create", now - FORGET_MS),
        ]);
        assert_eq!(merge(None, old, now).tables.len(), 1);
        let many = (0..LEARNED_KINDS_MAX + 5)
            .map(|n| table(&format!("t{n}"), "create", now - n as i64))
            .collect();
        let merged = merge(None, learned(many), now);
        assert_eq!(merged.tables.len(), LEARNED_KINDS_MAX);
        assert!(merged.tables.iter().any(|t| t.kind.table == "t0"), "the youngest stay");
    }

    proptest! {
        /// Whatever stands in a file: an answer, never a panic, and what is used is sound.
        #[test]
        fn any_text_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&text, ORG, URL);
        }

        /// What is written is read again as it was, but for the last digit of a fraction.
        #[test]
        fn written_is_read(rows in 1.0f64..1000.0, cost in 0.0f64..10.0, saved in 0i64..1 << 50) {
            let mut one = table("account", "create", saved);
            (one.batch_rows, one.cost[1]) = (rows, cost);
            let merged = merge(None, learned(vec![one]), saved);
            let text = serde_json::to_vec(&merged).unwrap();
            let mut back = read(&text, ORG, URL).expect("written by this program");
            for (read, written) in back.tables.iter_mut().zip(&merged.tables) {
                prop_assert!((read.batch_rows - written.batch_rows).abs() < 1e-9);
                prop_assert!((read.cost[1] - written.cost[1]).abs() < 1e-9);
                (read.batch_rows, read.cost) = (written.batch_rows, written.cost);
            }
            prop_assert_eq!(back, merged);
        }
    }
}
