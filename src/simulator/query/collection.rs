//! Pure: reading a collection of rows.

use super::annotations::{Preferences, TOTAL, TOTAL_EXCEEDED};
use super::order::{self, Order};
use super::page::Position;
use super::predicate::Test;
use super::refuse::bad_query;
use super::render::{JsonText, Shape, shape, write_row};
use super::scalar::order_values;
use super::url::{Options, encode};
use super::{World, changes, compile, filter, json_bytes, plain, plan};
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::schema::Storage;
use crate::simulator::store::Row;

/// Rows of a page of a standard table, and the end of counting.
///
/// Source: `dataverse-web-api.md` §1.5, §7.2.
pub const PAGE_MAX: usize = 5_000;
/// Rows of a page of an elastic table.
const PAGE_MAX_ELASTIC: usize = 500;

/// A collection: a table, or some of its rows.
pub struct Source {
    /// Table.
    pub table: usize,
    /// Places, ascending; `None` for the whole table.
    pub places: Option<Vec<usize>>,
    /// Text after `$metadata#`.
    pub context: String,
}

/// The request's own text, for links.
pub struct Asked<'a> {
    /// Path, still encoded.
    pub path: &'a str,
    /// Query, still encoded.
    pub query: &'a str,
}

/// Rows of one page.
pub struct Found<'a> {
    /// Rows.
    pub rows: Vec<&'a Row>,
    /// Start of the next page, if there is one.
    pub next: Option<Position>,
    /// All rows that pass, when counted.
    pub total: usize,
}

/// What to find.
pub struct Wanted<'t> {
    /// Test.
    pub test: &'t Test,
    /// Order.
    pub order: Order,
    /// Most rows.
    pub limit: usize,
    /// Start.
    pub from: Position,
    /// Whether to count all rows that pass.
    pub count: bool,
}

/// Largest page of a table.
#[must_use]
pub fn page_max(world: &World, table: usize) -> usize {
    match world.schema.tables[table].storage {
        Storage::Standard => PAGE_MAX,
        Storage::Elastic => PAGE_MAX_ELASTIC,
    }
}

/// The `$filter` of a request as a test.
///
/// # Errors
/// As [`filter::parse`] and [`compile::compile`].
pub fn test_of(world: &World, table: usize, options: &Options) -> Result<Test, Refusal> {
    match &options.filter {
        None => Ok(Test::Constant(true)),
        Some(text) => compile::compile(world, table, &filter::parse(text, &options.aliases)?),
    }
}

/// Finds the rows of one page.
#[must_use]
pub fn find<'a>(world: &World<'a>, source: &Source, wanted: &Wanted) -> Found<'a> {
    let rows = &world.store.tables[source.table];
    let planned = match &source.places {
        Some(places) => Some(places.clone()),
        None => plan::candidates(world, source.table, wanted.test),
    };
    let last = rows.rows.len();
    let places: Box<dyn Iterator<Item = usize>> = match planned {
        Some(places) => Box::new(places.into_iter()),
        None => Box::new(0..last),
    };
    let sorted = !wanted.order.is_empty();
    let skip_to = if sorted || wanted.count { 0 } else { wanted.from.place };
    let passing = places.filter(|p| *p >= skip_to).filter_map(|place| {
        let row = rows.row(place)?;
        wanted.test.holds(world, &[Some(row)]).then_some((place, row))
    });
    let (page, since) = (wanted.from.page.saturating_add(1), wanted.from.since);
    if sorted {
        let mut all: Vec<_> = passing
            .map(|(_, row)| {
                let keys: Vec<_> = wanted
                    .order
                    .iter()
                    .map(|(reach, _)| reach.value(world, &[Some(row)]))
                    .collect();
                (keys, row)
            })
            .collect();
        all.sort_by(|a, b| {
            let each = a.0.iter().zip(&b.0).zip(&wanted.order);
            each.map(|((a, b), (_, descending))| {
                let order = order_values(a, b);
                if *descending { order.reverse() } else { order }
            })
            .find(|o| o.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
        });
        let total = all.len();
        let given = wanted.from.given;
        let rows: Vec<_> =
            all.into_iter().skip(given).take(wanted.limit).map(|(_, row)| row).collect();
        let given = given.saturating_add(rows.len());
        let next = (given < total).then_some(Position { page, given, place: 0, since });
        return Found { rows, next, total };
    }
    let mut found = Found { rows: Vec::new(), next: None, total: 0 };
    for (place, row) in passing {
        found.total += 1;
        if place < wanted.from.place {
            continue;
        }
        if found.rows.len() < wanted.limit {
            found.rows.push(row);
        } else if found.next.is_none() {
            let given = wanted.from.given.saturating_add(found.rows.len());
            found.next = Some(Position { page, given, place, since });
        }
        if found.next.is_some() && (!wanted.count || found.total > PAGE_MAX) {
            break;
        }
    }
    found
}

/// Answers a collection read.
///
/// # Errors
/// 400 for options that do not fit.
///
/// Source: `dataverse-web-api.md` §7.1, §7.2.
pub fn read(
    world: &World,
    source: &Source,
    options: &Options,
    preferences: &Preferences,
    asked: &Asked,
) -> Result<Answer, Refusal> {
    let shape = shape(world, source.table, options)?;
    let test = test_of(world, source.table, options)?;
    let order = order::parse(world, source.table, options)?;
    let mut from = match &options.skiptoken {
        None => Position::default(),
        Some(token) => Position::of(token).ok_or_else(|| bad_query("Malformed $skiptoken."))?,
    };
    if preferences.track_changes {
        from.since = from.since.or(Some(world.version));
    }
    let most = page_max(world, source.table);
    let limit = match (options.top, preferences.page_size) {
        (Some(top), _) => top.min(most),
        (None, Some(size)) => size.min(most),
        (None, None) => most,
    };
    let found =
        find(world, source, &Wanted { test: &test, order, limit, from, count: options.count });
    let next = found.next.filter(|_| options.top.is_none());
    let mut out = Vec::with_capacity(64 + found.rows.len() * 256);
    out.push(b'{');
    out.json_field(
        "@odata.context",
        &format!(
            "{}/$metadata#{}{}{}",
            world.base(),
            source.context,
            shape.context(),
            if preferences.track_changes { "/$delta" } else { "" }
        ),
    );
    let counted = found.total.min(PAGE_MAX);
    if options.count {
        out.extend_from_slice(format!(",\"@odata.count\":{counted}").as_bytes());
    }
    if preferences.annotations.wants(TOTAL) {
        let total = if options.count { counted.to_string() } else { "-1".to_owned() };
        out.extend_from_slice(format!(",\"@{TOTAL}\":{total}").as_bytes());
    }
    if preferences.annotations.wants(TOTAL_EXCEEDED) {
        let exceeded = options.count && found.total > PAGE_MAX;
        out.extend_from_slice(format!(",\"@{TOTAL_EXCEEDED}\":{exceeded}").as_bytes());
    }
    out.extend_from_slice(b",\"value\":[");
    write_rows(world, &mut out, source.table, &found.rows, &shape, preferences);
    out.push(b']');
    if let Some(next) = next {
        out.push(b',');
        out.json_field("@odata.nextLink", &next_link(world, asked, next));
    } else if let Some(since) = from.since.filter(|_| preferences.track_changes) {
        out.push(b',');
        out.json_field("@odata.deltaLink", &changes::link(world, asked, since));
    }
    out.push(b'}');
    let mut answer = json_bytes(out);
    answer.table = Some(source.table);
    answer.rows = u32::try_from(found.rows.len()).unwrap_or(u32::MAX);
    apply_preferences(&mut answer, preferences);
    Ok(answer)
}

/// Names the preferences that were honoured.
pub fn apply_preferences(answer: &mut Answer, preferences: &Preferences) {
    if !preferences.applied.is_empty() {
        answer.headers.push(("Preference-Applied", preferences.applied.join(",")));
    }
}

fn write_rows(
    world: &World,
    out: &mut Vec<u8>,
    table: usize,
    rows: &[&Row],
    shape: &Shape,
    preferences: &Preferences,
) {
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_row(world, out, table, row, shape, &preferences.annotations, None);
    }
}

/// The request's own text with another token, on the host the client used.
fn next_link(world: &World, asked: &Asked, next: Position) -> String {
    asked.with_token(world, "$skiptoken", &next.token())
}

impl Asked<'_> {
    /// The request's own address with another `$skiptoken` or `$deltatoken`.
    #[must_use]
    pub fn with_token(&self, world: &World, name: &str, token: &str) -> String {
        let asked = self;
        let kept: Vec<&str> = asked
            .query
            .split('&')
            .filter(|part| {
                let name = part.split('=').next().unwrap_or_default().replace("%24", "$");
                let token =
                    ["$skiptoken", "$deltatoken"].iter().any(|t| name.eq_ignore_ascii_case(t));
                !part.is_empty() && !token
            })
            .collect();
        let token = format!("{name}={}", encode(token));
        let query = kept.into_iter().chain([token.as_str()]).collect::<Vec<_>>().join("&");
        format!("{}/{}?{query}", world.base(), asked.path.trim_start_matches('/'))
    }
}

/// Answers `…/$count`.
///
/// # Errors
/// 400 for options that do not fit.
///
/// Source: `dataverse-web-api.md` §7.2.
pub fn count(world: &World, source: &Source, options: &Options) -> Result<Answer, Refusal> {
    let test = test_of(world, source.table, options)?;
    let wanted =
        Wanted { test: &test, order: Vec::new(), limit: 0, from: Position::default(), count: true };
    let total = find(world, source, &wanted).total.min(PAGE_MAX);
    let mut answer = plain(total.to_string());
    answer.table = Some(source.table);
    Ok(answer)
}
