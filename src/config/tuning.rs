//! Pure: shape and rules of `[tuning]`: bounds by class, schedule, entitlement, memory.

use crate::config::file::{BoundsPart, CLASSES, Text, bounds};
use crate::config::job::{TableClass, Tuning, TuningBounds};
use crate::config::loads;
use crate::config::similar::closest;
use crate::config::tree::{Findings, Section};
use crate::limits::{BATCH_ROWS_MAX, PARALLEL_REQUESTS_MAX, WEIGHT_MAX, WEIGHT_MIN};
use crate::tuning::entitlement::{EntitlementRule, Policy};
use crate::tuning::schedule::{Days, Entry, Schedule, ScheduleRefused, minute_of_day};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::DeValue;

/// Name of the default folder, beside the ledger's: jobs of one folder learn together.
const FOLDER: &str = "tuning";

#[derive(Default)]
pub(super) struct TuningPart {
    remember: Option<Spanned<bool>>,
    pub(super) folder: Option<Text>,
    classes: Vec<(TableClass, TunedPart)>,
    schedule: Option<SchedulePart>,
    entitlement: Option<EntitlementPart>,
}

/// Numbers of a table or of a class.
#[derive(Default)]
pub(super) struct TunedPart {
    pub(super) batch: Option<BoundsPart>,
    pub(super) parallel: Option<BoundsPart>,
    pub(super) weight: Option<Spanned<f64>>,
}

struct SchedulePart {
    span: Range<usize>,
    time_zone: Option<Text>,
    entries: Vec<EntryPart>,
}

struct EntryPart {
    name: Text,
    days: Option<Text>,
    from: Option<Text>,
    to: Option<Text>,
    max_share: Option<Spanned<f64>>,
}

struct EntitlementPart {
    per_identity: Option<Spanned<u64>>,
    policy: Option<Spanned<Policy>>,
}

/// Reads the section.
pub(super) fn read(mut s: Section<'_>, out: &mut Findings) -> TuningPart {
    let part = TuningPart {
        remember: s.flag("remember", out),
        folder: s.text("folder", out),
        classes: s.section("class", "[tuning.class]", out).map_or_else(Vec::new, |mut classes| {
            let mut parts = Vec::new();
            // `auto` is no class, it finds one.
            for (word, class) in CLASSES.into_iter().filter(|(_, c)| *c != TableClass::Auto) {
                let title = format!("[tuning.class.{word}]");
                if let Some(mut one) = classes.section(word, title, out) {
                    parts.push((class, tuned(&mut one, out)));
                    one.finish(out);
                }
            }
            classes.finish(out);
            parts
        }),
        schedule: s.section("schedule", "[tuning.schedule]", out).map(|s| schedule(s, out)),
        entitlement: s.section("entitlement", "[tuning.entitlement]", out).map(|mut s| {
            let hint = "operations in 24 hours, e.g. per_identity = 500_000; see the licences of \
                        the tenant";
            if s.get("per_identity").is_none() {
                s.missing("per_identity", hint, out);
            }
            let part = EntitlementPart {
                per_identity: s.number("per_identity", out),
                policy: s.word("policy", &[("warn", Policy::Warn), ("stop", Policy::Stop)], out),
            };
            s.finish(out);
            part
        }),
    };
    s.finish(out);
    part
}

/// The numbers a table and a class may have alike.
pub(super) fn tuned(s: &mut Section<'_>, out: &mut Findings) -> TunedPart {
    TunedPart {
        batch: s.get("batch").map(|node| bounds(node, "batch", out)),
        parallel: s.get("parallel").map(|node| bounds(node, "parallel", out)),
        weight: s.real("weight", out),
    }
}

fn schedule(mut s: Section<'_>, out: &mut Findings) -> SchedulePart {
    let time_zone = s.text("time_zone", out);
    if s.get("time_zone").is_none() {
        let hint = "whose wall clock? an IANA name, e.g. time_zone = \"Europe/Berlin\"";
        s.missing("time_zone", hint, out);
    }
    let mut entries = Vec::new();
    for (key, span, node) in s.entries() {
        if key == "time_zone" {
            continue;
        }
        if !matches!(node.get_ref(), DeValue::Table(_)) {
            let message = format!("[tuning.schedule] does not know the key `{key}`");
            let hint = match closest(key, ["time_zone"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "an entry is a table, e.g. business = { days = \"mon-fri\", from = \
                         \"08:00\", to = \"18:00\", max_share = 0.4 }"
                    .to_owned(),
            };
            out.add("DV0003", span, message, "unknown key", hint);
            continue;
        }
        let Some(mut one) = Section::of(node, format!("schedule entry `{key}`"), out) else {
            continue;
        };
        if one.get("max_share").is_none() {
            let hint = "the share of Dataverse's limits it may use, e.g. max_share = 0.4";
            one.missing("max_share", hint, out);
        }
        entries.push(EntryPart {
            name: Spanned::new(span, key.to_owned()),
            days: one.text("days", out),
            from: one.text("from", out),
            to: one.text("to", out),
            max_share: one.real("max_share", out),
        });
        one.finish(out);
    }
    SchedulePart { span: s.span.clone(), time_zone, entries }
}

/// The meaning of `[tuning]`; what is wrong is noted and left at a default.
pub(super) fn tuning(
    part: TuningPart,
    folder: &Path,
    ledger_folder: &Path,
    zone_known: &dyn Fn(&str) -> bool,
    out: &mut Findings,
) -> Tuning {
    let classes =
        part.classes.into_iter().map(|(class, part)| (class, numbers(part, out))).collect();
    Tuning {
        classes,
        schedule: part.schedule.and_then(|s| week(s, zone_known, out)),
        entitlement: part.entitlement.and_then(|e| entitlement(e, out)),
        remember: part.remember.is_none_or(Spanned::into_inner),
        folder: part.folder.map_or_else(
            || ledger_folder.parent().map_or_else(|| PathBuf::from(FOLDER), |p| p.join(FOLDER)),
            |given| folder.join(given.into_inner()),
        ),
    }
}

/// The numbers of a table or of a class, as far as they are given.
pub(super) fn numbers(part: TunedPart, out: &mut Findings) -> TuningBounds {
    TuningBounds {
        batch: part.batch.map(|b| loads::bounds(b, "batch", BATCH_ROWS_MAX, out)),
        parallel: part.parallel.map(|b| loads::bounds(b, "parallel", PARALLEL_REQUESTS_MAX, out)),
        weight: part.weight.and_then(|weight| {
            let fits = (WEIGHT_MIN..=WEIGHT_MAX).contains(weight.get_ref());
            if !fits {
                let message = format!(
                    "`weight` must lie between {WEIGHT_MIN} and {WEIGHT_MAX}, not {}",
                    weight.get_ref()
                );
                let hint = "a load of weight 2 gets twice the share of one of weight 1 (default)";
                out.add("DV0014", weight.span(), message, "", hint.to_owned());
            }
            fits.then(|| weight.into_inner())
        }),
    }
}

fn week(
    part: SchedulePart,
    zone_known: &dyn Fn(&str) -> bool,
    out: &mut Findings,
) -> Option<Schedule> {
    if part.entries.is_empty() {
        let message = "this schedule has no entries";
        let hint = "e.g. business = { days = \"mon-fri\", from = \"08:00\", to = \"18:00\", \
                    max_share = 0.4 }";
        out.add("DV0018", part.span, message, "nothing here", hint.to_owned());
        return None;
    }
    let places: Vec<Range<usize>> = part.entries.iter().map(|e| e.name.span()).collect();
    let before = out.list.len();
    let entries: Vec<Entry> = part.entries.into_iter().map(|e| entry(e, out)).collect();
    let zone = part.time_zone.and_then(|zone| {
        let found = zone_known(zone.get_ref())
            .then(|| jiff::tz::TimeZone::get(zone.get_ref()).ok())
            .flatten();
        if found.is_none() {
            let message = format!("`{}` is no known time zone", zone.get_ref());
            let hint = "use an IANA name such as \"Europe/Berlin\" or \"UTC\"";
            out.add("DV0006", zone.span(), message, "", hint.to_owned());
        }
        found.map(|found| (zone.into_inner(), found))
    });
    if out.list.len() > before {
        return None;
    }
    let (name, zone) = zone?;
    let refused = match Schedule::new(name, zone, entries) {
        Ok(schedule) => return Some(schedule),
        Err(refused) => refused,
    };
    let (at, label, hint) = match &refused {
        ScheduleRefused::Overlap { entry, .. } => (
            places.get(*entry),
            "the second one",
            "give them different days or hours; a night (from 22:00 to 06:00) belongs to the day \
             on which it begins",
        ),
        ScheduleRefused::TwoRests { entry, .. } => {
            (places.get(*entry), "the second one", "give one of them `days`, or `from` and `to`")
        }
        ScheduleRefused::NeverOpens => {
            (None, "", "a load would wait forever; give some hours a max_share above 0")
        }
        ScheduleRefused::TooMany => (None, "", "put days together, e.g. days = \"mon-fri\""),
    };
    let span = at.cloned().unwrap_or(part.span);
    out.add("DV0018", span, refused.to_string(), label, hint.to_owned());
    None
}

fn entry(part: EntryPart, out: &mut Findings) -> Entry {
    let days = part.days.and_then(|text| {
        let days = Days::parse(text.get_ref());
        if days.is_none() {
            let message = format!("\"{}\" are no days", text.get_ref());
            let hint = "mon, tue, wed, thu, fri, sat, sun; e.g. \"mon-fri\" or \"sat,sun\"";
            out.add("DV0018", text.span(), message, "", hint.to_owned());
        }
        days
    });
    let mut time = |text: &Text| {
        let minute = minute_of_day(text.get_ref());
        if minute.is_none() {
            let message = format!("\"{}\" is no time of day", text.get_ref());
            let hint = "hours and minutes from \"00:00\" to \"24:00\", e.g. \"08:00\"";
            out.add("DV0018", text.span(), message, "", hint.to_owned());
        }
        minute
    };
    let hours = match (&part.from, &part.to) {
        (Some(from), Some(to)) => time(from).zip(time(to)),
        (Some(one), None) | (None, Some(one)) => {
            let message = format!("`{}` needs `from` and `to`, or neither", part.name.get_ref());
            let hint = "without them it holds the whole day; a day ends at \"24:00\"";
            out.add("DV0018", one.span(), message, "", hint.to_owned());
            None
        }
        (None, None) => None,
    };
    if let (Some((from, to)), Some(text)) = (hours, &part.to) {
        if from == to {
            let message = format!("`{}` ends when it begins", part.name.get_ref());
            let hint = "for a whole day leave `from` and `to` out";
            out.add("DV0018", text.span(), message, "the same time", hint.to_owned());
        } else if from == 24 * 60 {
            let message = format!("`{}` begins at the end of the day", part.name.get_ref());
            let hint = "from = \"00:00\" of the day after".to_owned();
            out.add("DV0018", text.span(), message, "", hint);
        }
    }
    let max_share = part.max_share.map_or(1.0, |share| {
        if !(0.0..=1.0).contains(share.get_ref()) {
            let message = format!("`max_share` must lie between 0 and 1, not {}", share.get_ref());
            let hint = "1.0 is all that Dataverse allows, 0.4 is 40 % of it, 0 sends nothing";
            out.add("DV0018", share.span(), message, "", hint.to_owned());
        }
        share.into_inner()
    });
    Entry { name: part.name.into_inner(), days, hours, max_share }
}

fn entitlement(part: EntitlementPart, out: &mut Findings) -> Option<EntitlementRule> {
    let per_identity = part.per_identity?;
    if *per_identity.get_ref() == 0 {
        let message = "`per_identity` must be at least 1";
        let hint = "operations in 24 hours; without [tuning.entitlement] nothing is counted";
        out.add("DV0014", per_identity.span(), message, "zero", hint.to_owned());
        return None;
    }
    let policy = part.policy.map_or(Policy::Warn, Spanned::into_inner);
    Some(EntitlementRule { per_identity: per_identity.into_inner(), policy })
}
