//! Pure: changes of a running load that people may ask for, as text and as orders.

use crate::config::similar::closest;
use crate::limits::{BATCH_ROWS_MAX, PARALLEL_REQUESTS_MAX, WEIGHT_MAX, WEIGHT_MIN};
use crate::tuning::orders::{Orders, Range};
use std::fmt::Write as _;

/// A number people set, or the job file's again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Aim<T> {
    /// `auto`: what the job file says.
    Job,
    /// This.
    Set(T),
}

/// What people may ask.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Other numbers for a load.
    Set {
        /// Its name.
        load: String,
        /// Rows a request.
        batch: Option<Aim<Range>>,
        /// Requests at once.
        parallel: Option<Aim<Range>>,
        /// Share of the execution seconds relative to the other loads.
        weight: Option<Aim<f64>>,
    },
    /// A load sends nothing new, or goes on.
    PauseLoad {
        /// Its name.
        load: String,
        /// Which of the two.
        paused: bool,
    },
    /// Nothing new leaves through an identity, or it goes on.
    PauseIdentity {
        /// Its alias.
        identity: String,
        /// Which of the two.
        paused: bool,
    },
}

/// Why nothing was changed; each says the rule and the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeRefused {
    /// No load has that name.
    #[error("DV0512: this job has no load `{name}`; {hint}")]
    NoLoad {
        /// As it was asked for.
        name: String,
        /// The nearest, or all.
        hint: String,
    },
    /// No identity has that name.
    #[error("DV0512: this job has no identity `{name}`; {hint}")]
    NoIdentity {
        /// As it was asked for.
        name: String,
        /// The nearest, or all.
        hint: String,
    },
    /// Not a number, or beyond the bounds of the program.
    #[error("DV0512: {key}={value}: {rule}")]
    Number {
        /// `batch`, `parallel` or `weight`.
        key: &'static str,
        /// As it was asked for.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// The request itself is not one of those there are.
    #[error("DV0512: {0}")]
    Unclear(String),
    /// The run is ending.
    #[error("DV0512: the run is stopping; nothing can be changed any more")]
    TooLate,
}

const KEYS: [&str; 3] = ["batch", "parallel", "weight"];

/// Names of what orders are about, in job order.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Loads.
    pub loads: Vec<String>,
    /// Identities.
    pub identities: Vec<String>,
}

impl Names {
    /// Number of a load.
    ///
    /// # Errors
    /// When there is none of that name; names the nearest.
    pub fn load(&self, name: &str) -> Result<usize, ChangeRefused> {
        self.loads.iter().position(|n| n == name).ok_or_else(|| ChangeRefused::NoLoad {
            name: name.to_owned(),
            hint: near(name, &self.loads, "loads"),
        })
    }

    /// Number of an identity.
    ///
    /// # Errors
    /// When there is none of that name; names the nearest.
    pub fn identity(&self, name: &str) -> Result<usize, ChangeRefused> {
        self.identities.iter().position(|n| n == name).ok_or_else(|| ChangeRefused::NoIdentity {
            name: name.to_owned(),
            hint: near(name, &self.identities, "identities"),
        })
    }
}

fn near(name: &str, names: &[String], what: &str) -> String {
    match closest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what}: {}", names.join(", ")),
    }
}

impl Change {
    /// `dvbulk set`: a load and words such as `batch=50..200`, `parallel=8`, `weight=auto`.
    ///
    /// # Errors
    /// A word is none of these, or its number breaks a rule.
    pub fn set<'w>(
        load: &str,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<Self, ChangeRefused> {
        let (mut batch, mut parallel, mut weight) = (None, None, None);
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| {
                let example = "e.g. batch=50..200 parallel=8 weight=2";
                ChangeRefused::Unclear(format!("`{word}` is not KEY=VALUE; {example}"))
            })?;
            let twice = match key {
                "batch" => batch.replace(range("batch", value, BATCH_ROWS_MAX)?).is_some(),
                "parallel" => {
                    parallel.replace(range("parallel", value, PARALLEL_REQUESTS_MAX)?).is_some()
                }
                "weight" => weight.replace(self::weight(value)?).is_some(),
                _ => {
                    let hint = match closest(key, KEYS) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}", KEYS.join(", ")),
                    };
                    return Err(ChangeRefused::Unclear(format!("`{key}` cannot be set; {hint}")));
                }
            };
            if twice {
                return Err(ChangeRefused::Unclear(format!("`{key}` is given twice")));
            }
        }
        if (batch, parallel, weight) == (None, None, None) {
            let message = format!("nothing to set; there are {}", KEYS.join(", "));
            return Err(ChangeRefused::Unclear(message));
        }
        Ok(Self::Set { load: load.to_owned(), batch, parallel, weight })
    }

    /// A request of the control API: `/set?table=…&batch=…`, `/pause?table=…`,
    /// `/pause?identity=…`, `/resume?…`.
    ///
    /// # Errors
    /// It is none of these, or a number breaks a rule.
    pub fn from_query(path: &str, query: &str) -> Result<Self, ChangeRefused> {
        let mut load = None;
        let mut identity = None;
        let mut words = Vec::new();
        for part in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = decode(value)
                .ok_or_else(|| ChangeRefused::Unclear(format!("`{part}` is not readable")))?;
            let twice = match key {
                "table" => load.replace(value).is_some(),
                "identity" => identity.replace(value).is_some(),
                _ => {
                    words.push(format!("{key}={value}"));
                    false
                }
            };
            if twice {
                return Err(ChangeRefused::Unclear(format!("`{key}` is given twice")));
            }
        }
        match (path, load, identity) {
            ("/set", Some(load), None) => Self::set(&load, words.iter().map(String::as_str)),
            ("/pause" | "/resume", Some(load), None) if words.is_empty() => {
                Ok(Self::PauseLoad { load, paused: path == "/pause" })
            }
            ("/pause" | "/resume", None, Some(identity)) if words.is_empty() => {
                Ok(Self::PauseIdentity { identity, paused: path == "/pause" })
            }
            _ => {
                let forms = "there are /set?table=…&batch=…&parallel=…&weight=…, \
                             /pause?table=… and /pause?identity=…, and the same with /resume";
                Err(ChangeRefused::Unclear(forms.to_owned()))
            }
        }
    }

    /// The request of the control API, as [`Self::from_query`] reads it.
    #[must_use]
    pub fn request(&self) -> String {
        let verb = |paused: bool| if paused { "pause" } else { "resume" };
        match self {
            Self::Set { load, batch, parallel, weight } => {
                let mut text = format!("/set?table={}", encode(load));
                for (key, aim) in [("batch", batch), ("parallel", parallel)] {
                    let value = match aim {
                        Some(Aim::Set(range)) => format!("{}..{}", range.min, range.max),
                        Some(Aim::Job) => "auto".to_owned(),
                        None => continue,
                    };
                    push(&mut text, format_args!("&{key}={value}"));
                }
                match weight {
                    Some(Aim::Set(weight)) => push(&mut text, format_args!("&weight={weight}")),
                    Some(Aim::Job) => push(&mut text, format_args!("&weight=auto")),
                    None => {}
                }
                text
            }
            Self::PauseLoad { load, paused } => {
                format!("/{}?table={}", verb(*paused), encode(load))
            }
            Self::PauseIdentity { identity, paused } => {
                format!("/{}?identity={}", verb(*paused), encode(identity))
            }
        }
    }

    /// Changes `orders`; `job` is what the job file wants. Gives old and new in words, `None` when
    /// it was so already.
    ///
    /// # Errors
    /// When a name is unknown; then nothing is changed.
    pub fn apply(
        &self,
        names: &Names,
        job: &Orders,
        orders: &mut Orders,
    ) -> Result<Option<String>, ChangeRefused> {
        let pause = |what: &str, name: &str, now: &mut bool, paused: bool| {
            let changed = std::mem::replace(now, paused) != paused;
            changed.then(|| format!("{what} {name}: {}", if paused { "paused" } else { "resumed" }))
        };
        match self {
            Self::Set { load, batch, parallel, weight } => {
                let index = names.load(load)?;
                let (now, job) = (&mut orders.tables[index], &job.tables[index]);
                let mut told: Vec<String> = Vec::new();
                for (key, aim, now, job) in [
                    ("batch", batch, &mut now.batch, job.batch),
                    ("parallel", parallel, &mut now.parallel, job.parallel),
                ] {
                    let new = aim.map_or(*now, |aim| aim.or_job(job));
                    if new != *now {
                        told.push(format!("{key} {} → {}", words(*now), words(new)));
                        *now = new;
                    }
                }
                let new = weight.map_or(now.weight, |aim| aim.or_job(job.weight));
                if new != now.weight {
                    told.push(format!("weight {} → {new}", now.weight));
                    now.weight = new;
                }
                Ok((!told.is_empty()).then(|| format!("load {load}: {}", told.join(", "))))
            }
            Self::PauseLoad { load, paused } => {
                let index = names.load(load)?;
                Ok(pause("load", load, &mut orders.tables[index].paused, *paused))
            }
            Self::PauseIdentity { identity, paused } => {
                let index = names.identity(identity)?;
                Ok(pause("identity", identity, &mut orders.identities[index].paused, *paused))
            }
        }
    }
}

impl<T: Copy> Aim<T> {
    fn or_job(self, job: T) -> T {
        match self {
            Self::Job => job,
            Self::Set(value) => value,
        }
    }
}

/// A range in words: `50–200`, or `8` when it is fixed.
#[must_use]
pub fn words(range: Range) -> String {
    if range.min == range.max {
        range.min.to_string()
    } else {
        format!("{}–{}", range.min, range.max)
    }
}

/// `N`, `MIN..MAX` or `auto`.
fn range(key: &'static str, value: &str, most: u32) -> Result<Aim<Range>, ChangeRefused> {
    let refused = |rule: String| ChangeRefused::Number { key, value: value.to_owned(), rule };
    if value == "auto" {
        return Ok(Aim::Job);
    }
    let (min, max) = value.split_once("..").unwrap_or((value, value));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            let forms = format!("a number such as {key}=8, a range such as {key}=4..32, or auto");
            return Err(refused(forms));
        }
        let fits = text.parse::<u32>().ok().filter(|n| (1..=most).contains(n));
        fits.ok_or_else(|| refused(format!("must lie between 1 and {most}")))
    };
    let (min, max) = (number(min)?, number(max)?);
    if min > max {
        return Err(refused(format!("the least, {min}, is more than the most, {max}")));
    }
    Ok(Aim::Set(Range { min, max }))
}

fn weight(value: &str) -> Result<Aim<f64>, ChangeRefused> {
    if value == "auto" {
        return Ok(Aim::Job);
    }
    let weight = value.parse::<f64>().ok().filter(|w| (WEIGHT_MIN..=WEIGHT_MAX).contains(w));
    weight.map(Aim::Set).ok_or_else(|| ChangeRefused::Number {
        key: "weight",
        value: value.to_owned(),
        rule: format!(
            "must be a number between {WEIGHT_MIN} and {WEIGHT_MAX}; to send nothing, pause it"
        ),
    })
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(part);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            push(&mut encoded, format_args!("%{byte:02X}"));
        }
    }
    encoded
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        bytes.push(match first {
            b'%' => {
                let (hex, more) = rest.split_at_checked(2)?;
                rest = more;
                let hex = std::str::from_utf8(hex).ok().filter(|h| !h.starts_with('+'))?;
                u8::from_str_radix(hex, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::orders::{IdentityOrders, TableOrders};
    use proptest::prelude::*;

    fn names() -> Names {
        Names {
            loads: vec!["account".into(), "contact".into()],
            identities: vec!["app-1".into(), "app-2".into()],
        }
    }

    fn orders() -> Orders {
        let table = TableOrders {
            batch: Range { min: 1, max: 1000 },
            parallel: Range { min: 1, max: 512 },
            weight: 1.0,
            paused: false,
        };
        let identity =
            IdentityOrders { paused: false, requests_per_second: None, entitlement_used_up: false };
        Orders { tables: vec![table; 2], identities: vec![identity; 2], max_share: 1.0 }
    }

    fn apply(orders: &mut Orders, path: &str, query: &str) -> String {
        let change = Change::from_query(path, query);
        match change.and_then(|c| c.apply(&names(), &self::orders(), orders)) {
            Ok(told) => told.unwrap_or_else(|| "as it was".into()),
            Err(refused) => refused.to_string(),
        }
    }

    #[test]
    fn numbers_change_and_come_back_to_the_job_file() {
        let mut now = orders();
        let told = apply(&mut now, "/set", "table=account&batch=50..200&parallel=8&weight=2");
        assert_eq!(told, "load account: batch 1–1000 → 50–200, parallel 1–512 → 8, weight 1 → 2");
        assert_eq!(now.tables[0].batch, Range { min: 50, max: 200 });
        assert_eq!(now.tables[0].parallel, Range { min: 8, max: 8 });
        assert_eq!(now.tables[0].weight, 2.0);
        assert_eq!(now.tables[1], orders().tables[1], "the other one is not touched");
        let again = apply(&mut now, "/set", "table=account&weight=2.0");
        assert_eq!(again, "as it was");
        let told = apply(&mut now, "/set", "table=account&batch=auto&weight=auto");
        assert_eq!(told, "load account: batch 50–200 → 1–1000, weight 2 → 1");
        apply(&mut now, "/set", "table=account&parallel=auto");
        assert_eq!(now, orders());
    }

    #[test]
    fn loads_and_identities_are_paused_alone() {
        let mut now = orders();
        assert_eq!(apply(&mut now, "/pause", "table=contact"), "load contact: paused");
        assert_eq!(apply(&mut now, "/pause", "identity=app-2"), "identity app-2: paused");
        assert!(now.tables[1].paused && !now.tables[0].paused);
        assert!(now.identities[1].paused && !now.identities[0].paused);
        assert_eq!(apply(&mut now, "/pause", "table=contact"), "as it was");
        assert_eq!(apply(&mut now, "/resume", "table=contact"), "load contact: resumed");
        assert_eq!(apply(&mut now, "/resume", "identity=app-2"), "identity app-2: resumed");
        assert_eq!(now, orders());
    }

    #[test]
    fn what_breaks_a_rule_changes_nothing_and_names_the_way_out() {
        let mut now = orders();
        for (path, query, told) in [
            ("/set", "table=acount&batch=5", "no load `acount`; did you mean `account`?"),
            ("/set", "table=lead&batch=5", "no load `lead`; loads: account, contact"),
            ("/pause", "identity=ap-1", "no identity `ap-1`; did you mean `app-1`?"),
            ("/set", "table=account&batch=0", "batch=0: must lie between 1 and 1000"),
            ("/set", "table=account&batch=1..1001", "must lie between 1 and 1000"),
            ("/set", "table=account&parallel=513", "must lie between 1 and 512"),
            ("/set", "table=account&parallel=99999999999", "must lie between 1 and 512"),
            ("/set", "table=account&batch=200..50", "the least, 200, is more than the most, 50"),
            ("/set", "table=account&batch=-5", "batch=-5: a number such as batch=8"),
            ("/set", "table=account&batch=5..", "a range such as batch=4..32"),
            ("/set", "table=account&batch=", "or auto"),
            ("/set", "table=account&weight=0", "weight=0: must be a number between 0.001"),
            ("/set", "table=account&weight=-1", "to send nothing, pause it"),
            ("/set", "table=account&weight=NaN", "must be a number"),
            ("/set", "table=account&weight=inf", "must be a number"),
            ("/set", "table=account&batc=5", "`batc` cannot be set; did you mean `batch`?"),
            ("/set", "table=account&batch=5&batch=6", "`batch` is given twice"),
            ("/set", "table=account&table=contact&batch=5", "`table` is given twice"),
            ("/set", "table=account", "nothing to set; there are batch, parallel, weight"),
            ("/set", "batch=5", "there are /set?table="),
            ("/pause", "table=account&identity=app-1", "there are /set?table="),
            ("/pause", "table=account&batch=5", "there are /set?table="),
            ("/pause", "", "there are /set?table="),
            ("/set", "table=%zz&batch=5", "is not readable"),
            ("/set", "table=%+1&batch=5", "is not readable"),
            // One wrong number, and the right one beside it is not taken either.
            ("/set", "table=account&parallel=8&weight=0", "weight=0"),
        ] {
            let answer = apply(&mut now, path, query);
            assert!(answer.starts_with("DV0512: ") && answer.contains(told), "{query}: {answer}");
            assert_eq!(now, orders(), "{query}");
        }
    }

    fn aim<T: std::fmt::Debug + Clone>(
        values: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<Aim<T>>> {
        prop_oneof![
            Just(None),
            Just(Some(Aim::Job)),
            values.prop_map(|value| Some(Aim::Set(value))),
        ]
    }

    fn ranges(most: u32) -> impl Strategy<Value = Range> {
        (1..=most, 1..=most).prop_map(|(a, b)| Range { min: a.min(b), max: a.max(b) })
    }

    proptest! {
        /// What is asked over the socket is what was typed.
        #[test]
        fn requests_are_read_as_they_were_written(
            load in "\\PC{1,20}",
            batch in aim(ranges(1000)),
            parallel in aim(ranges(512)),
            weight in aim(0.001f64..1000.0),
        ) {
            let change = Change::Set { load, batch, parallel, weight };
            let request = change.request();
            let (path, query) = request.split_once('?').unwrap();
            if (batch, parallel, weight) != (None, None, None) {
                prop_assert_eq!(Change::from_query(path, query), Ok(change));
            }
        }

        /// Whatever comes through the socket: an answer, never a panic.
        #[test]
        fn any_query_is_answered(query in "[a-z=&%0-9.é]{0,60}") {
            let _ = Change::from_query("/set", &query);
            let _ = Change::from_query("/pause", &query);
        }
    }
}
