//! Pure: the rules of `[[table]]` sections, alone and among each other.

use crate::config::file::{
    BoundsPart, ColumnPart, FormatWord, IdsPart, LookupPart, RequestPart, SourcePart, TablePart,
    Text, ViaPart,
};
use crate::config::job::{
    Bounds, ChoiceRule, ColumnMapping, IdRule, LookupBy, LookupRule, LookupVia, OnDuplicateKey,
    OnExisting, RequestOptions, SourceFormat, SourceSpec, TableClass, TableLoad, ValueSource,
    WhenEmpty,
};
use crate::config::similar::closest;
use crate::config::tree::{Findings, guid_of};
use crate::config::tuning;
use crate::config::values::{is_logical_name, is_plain_name};
use crate::limits::{BATCH_ROWS_MAX, PARALLEL_REQUESTS_MAX};
use crate::record::outcome::Operation;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// What the rules need to know beyond the file.
pub(super) struct Surroundings<'a> {
    /// Folder relative paths start from.
    pub(super) folder: &'a Path,
    /// Whether an IANA time zone is known.
    pub(super) zone_known: &'a dyn Fn(&str) -> bool,
}

/// What other loads need to know of a load.
struct Peer {
    name: String,
    table: String,
    operation: Option<Operation>,
    by_key: bool,
}

/// Turns all parts into loads; what is wrong is noted and left at a default.
pub(super) fn loads(
    parts: Vec<TablePart>,
    around: &Surroundings<'_>,
    out: &mut Findings,
) -> Vec<TableLoad> {
    let peers = peers(&parts, out);
    let mut edges: Vec<Vec<(usize, Range<usize>)>> = vec![Vec::new(); parts.len()];
    let mut loads = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        loads.push(load(part, index, &peers, &mut edges[index], around, out));
    }
    refuse_cycles(&peers, &edges, out);
    loads
}

fn peers(parts: &[TablePart], out: &mut Findings) -> Vec<Peer> {
    let mut seen: HashMap<String, ()> = HashMap::new();
    let mut peers = Vec::with_capacity(parts.len());
    for part in parts {
        let table = part.table.as_ref().map(|t| t.get_ref().clone()).unwrap_or_default();
        let (name, span) = match &part.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (
                table.clone(),
                part.table.as_ref().map_or_else(|| part.span.clone(), Spanned::span),
            ),
        };
        if !name.is_empty() && seen.insert(name.to_ascii_lowercase(), ()).is_some() {
            let hint = "give each load of one table its own `name`, e.g. name = \"contact-people\"";
            let message = format!("two loads are called `{name}`");
            out.add("DV0010", span.clone(), message, "the second one", hint.to_owned());
        }
        if part.name.is_some() && !is_plain_name(&name) {
            let message = format!("`{name}` cannot name a load");
            let hint = "letters, digits, `-`, `_` and `.`, at most 64: it becomes a file name";
            out.add("DV0010", span, message, "", hint.to_owned());
        }
        if let Some(table) = &part.table {
            logical_name(table, "table", out);
        }
        let by_key =
            matches!(part.ids.as_ref().map(Spanned::get_ref), Some(IdsPart::AlternateKey(_)));
        let operation = part.operation.as_ref().map(|o| *o.get_ref());
        peers.push(Peer { name, table, operation, by_key });
    }
    peers
}

fn logical_name(text: &Text, what: &str, out: &mut Findings) {
    if is_logical_name(text.get_ref()) {
        return;
    }
    let lower = text.get_ref().to_ascii_lowercase();
    let hint = if is_logical_name(&lower) {
        format!("logical names are lower case: did you mean \"{lower}\"?")
    } else {
        "a logical name has lower-case letters, digits and `_`, e.g. \"new_meter\"".to_owned()
    };
    let message = format!("\"{}\" is no logical name of a {what}", text.get_ref());
    out.add("DV0006", text.span(), message, "", hint);
}

fn load(
    part: TablePart,
    index: usize,
    peers: &[Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    around: &Surroundings<'_>,
    out: &mut Findings,
) -> TableLoad {
    let operation = part.operation.as_ref().map(|o| *o.get_ref());
    let ids = ids(&part, operation, out);
    if let (Some(on_existing), Some(op)) = (&part.on_existing, operation)
        && op != Operation::Create
    {
        let message = format!("`on_existing` means nothing for {}", op.word());
        let hint = "only `create` asks whether a row is there already; leave it out";
        out.add("DV0013", on_existing.span(), message, "", hint.to_owned());
    }
    let columns = columns(&part, &ids, operation, index, peers, edges, around, out);
    let said = tuning::numbers(part.tuned, out);
    TableLoad {
        name: peers[index].name.clone(),
        table: peers[index].table.clone(),
        source: part.source.map_or_else(no_source, |s| source(s, around, out)),
        key: part.key.map(Spanned::into_inner).unwrap_or_default(),
        operation: operation.unwrap_or(Operation::Create),
        ids,
        on_existing: part.on_existing.map_or(OnExisting::Fail, Spanned::into_inner),
        on_duplicate_key: part.on_duplicate_key.map_or(OnDuplicateKey::Error, Spanned::into_inner),
        columns,
        class: part.class.map_or(TableClass::Auto, Spanned::into_inner),
        batch: said.batch.unwrap_or(Bounds { start: None, min: 1, max: BATCH_ROWS_MAX }),
        parallel: said.parallel.unwrap_or(Bounds {
            start: None,
            min: 1,
            max: PARALLEL_REQUESTS_MAX,
        }),
        weight: said.weight.unwrap_or(1.0),
        said,
        request: request(part.request, out),
    }
}

fn ids(part: &TablePart, operation: Option<Operation>, out: &mut Findings) -> IdRule {
    let Some(op) = operation else { return IdRule::Pinned };
    let Some(given) = &part.ids else {
        if op != Operation::Create {
            let message =
                format!("{} needs `ids`: how is the row to {} found?", op.word(), op.word());
            let hint = "ids = { column = \"Guid\" } when a source column holds the row's GUID, or \
                        ids = { alternate_key = \"new_serialkey\" }";
            out.add("DV0013", part.span.clone(), message, "no `ids`", hint.to_owned());
        }
        return IdRule::Pinned;
    };
    let (rule, why) = match (given.get_ref().clone(), op) {
        (IdsPart::Unknown, _) => (IdRule::Pinned, None),
        (IdsPart::Pinned, Operation::Create | Operation::Upsert) => (IdRule::Pinned, None),
        (IdsPart::Pinned, _) => (
            IdRule::Pinned,
            Some("pinned ids belong to rows this very job makes; nothing else has them"),
        ),
        (IdsPart::Dataverse, Operation::Create) => (IdRule::Dataverse, None),
        (IdsPart::Dataverse, _) => {
            (IdRule::Dataverse, Some("Dataverse gives ids to new rows only"))
        }
        (IdsPart::Column(column), _) => (IdRule::Column(column), None),
        (IdsPart::AlternateKey(key), Operation::Create) => (
            IdRule::AlternateKey(key),
            Some("a new row is not found by a key; operation = \"upsert\" looks it up first"),
        ),
        (IdsPart::AlternateKey(key), _) => (IdRule::AlternateKey(key), None),
    };
    if let Some(why) = why {
        let message = format!("this `ids` does not fit operation {}", op.word());
        out.add("DV0013", given.span(), message, "", why.to_owned());
    }
    rule
}

#[expect(clippy::too_many_arguments, reason = "one section against all that surrounds it")]
fn columns(
    part: &TablePart,
    ids: &IdRule,
    operation: Option<Operation>,
    index: usize,
    peers: &[Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    around: &Surroundings<'_>,
    out: &mut Findings,
) -> Vec<ColumnMapping> {
    let empty = Vec::new();
    let given = part.columns.as_ref().map_or(&empty, Spanned::get_ref);
    let by_key = matches!(ids, IdRule::AlternateKey(_));
    match operation {
        Some(Operation::Delete) if !by_key => {
            if let Some(extra) = given.iter().find(|c| c.target.get_ref() != "partitionid") {
                let message = "delete sends no columns";
                let hint = "leave [table.columns] out; only an alternate key's columns and \
                            `partitionid` of elastic tables are needed to find a row";
                out.add("DV0015", extra.target.span(), message, "", hint.to_owned());
            }
        }
        Some(op) if given.is_empty() => {
            let message = format!("{} needs [table.columns]", op.word());
            let hint = "map at least one column: [table.columns] then e.g. name = \"Name\"";
            let span = part.columns.as_ref().map_or_else(|| part.span.clone(), Spanned::span);
            out.add("DV0004", span, message, "no columns", hint.to_owned());
        }
        _ => {}
    }
    given.iter().map(|c| column(c, index, peers, edges, around, out)).collect()
}

fn column(
    part: &ColumnPart,
    index: usize,
    peers: &[Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    around: &Surroundings<'_>,
    out: &mut Findings,
) -> ColumnMapping {
    logical_name(&part.target, "column", out);
    let name = part.target.get_ref();
    let mut contradiction = |span: Range<usize>, message: String, hint: &str| {
        out.add("DV0015", span, message, "", hint.to_owned());
    };
    let from = match (&part.from, &part.constant) {
        (Some(column), None) => ValueSource::Column(column.get_ref().clone()),
        (None, Some(constant)) => ValueSource::Constant(constant.get_ref().clone()),
        _ => {
            let hint = "from = \"Source column\" or constant = \"value\", not both";
            let message = format!("column `{name}` needs either `from` or `constant`");
            contradiction(part.span.clone(), message, hint);
            ValueSource::Constant(String::new())
        }
    };
    if part.constant.is_some() {
        if let Some(default) = &part.default {
            contradiction(
                default.span(),
                format!("column `{name}` has a constant, so its default is never used"),
                "leave `default` out, or take the value `from` a source column",
            );
        }
        if let Some(empty) = &part.empty {
            contradiction(
                empty.span(),
                format!("column `{name}` has a constant, so it is never empty"),
                "leave `empty` out",
            );
        }
    } else if let (Some(_), Some(empty)) = (&part.default, &part.empty) {
        contradiction(
            empty.span(),
            format!("column `{name}` has a default, so `empty` is never used"),
            "leave `default` or `empty` out",
        );
    }
    if part.lookup.is_some() {
        let others = [
            ("choice", part.choice.as_ref().map(Spanned::span)),
            ("date_format", part.date_format.as_ref().map(Spanned::span)),
            ("time_zone", part.time_zone.as_ref().map(Spanned::span)),
            ("truncate", part.truncate.as_ref().map(Spanned::span)),
        ];
        for (key, span) in others {
            if let Some(span) = span {
                let message = format!("column `{name}` is a lookup; `{key}` means nothing there");
                contradiction(span, message, "leave it out");
            }
        }
    }
    if let Some(zone) = &part.time_zone
        && !(around.zone_known)(zone.get_ref())
    {
        let message = format!("`{}` is no known time zone", zone.get_ref());
        let hint = "use an IANA name such as \"Europe/Berlin\" or \"UTC\"";
        out.add("DV0006", zone.span(), message, "", hint.to_owned());
    }
    let text = |t: &Option<Text>| t.as_ref().map(|t| t.get_ref().clone());
    ColumnMapping {
        target: name.clone(),
        from,
        default: text(&part.default),
        empty: part.empty.as_ref().map_or(WhenEmpty::Absent, |e| *e.get_ref()),
        lookup: part.lookup.as_ref().map(|l| lookup(l, index, peers, edges, out)),
        choice: part.choice.as_ref().map_or(ChoiceRule::Auto, |c| *c.get_ref()),
        date_format: text(&part.date_format),
        time_zone: text(&part.time_zone),
        truncate: part.truncate.as_ref().is_some_and(|t| *t.get_ref()),
    }
}

fn lookup(
    part: &LookupPart,
    index: usize,
    peers: &[Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    out: &mut Findings,
) -> LookupRule {
    let mut targets: Vec<LookupVia> = Vec::with_capacity(part.targets.len());
    for target in &part.targets {
        let Some(via) = via(target, index, peers, edges, out) else { continue };
        if targets.iter().any(|t| t.table == via.table) {
            let message = format!("two targets of this lookup are table `{}`", via.table);
            let hint = "the type column could not tell them apart; load their rows in one load";
            out.add("DV0015", target.span.clone(), message, "the second one", hint.to_owned());
        }
        targets.push(via);
    }
    if part.targets.is_empty() {
        out.add("DV0015", part.span.clone(), "this lookup has no targets", "", None);
    }
    if part.targets.len() > 1 && part.type_column.is_none() {
        let hint = "type_column = \"ParentType\" names the source column that holds each row's \
                    target table, e.g. \"account\"";
        let message = "a lookup with several targets needs `type_column`";
        out.add("DV0015", part.span.clone(), message, "", hint.to_owned());
    }
    LookupRule { targets, type_column: part.type_column.as_ref().map(|t| t.get_ref().clone()) }
}

fn via(
    part: &ViaPart,
    index: usize,
    peers: &[Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    out: &mut Findings,
) -> Option<LookupVia> {
    let by_id = part.id.as_ref().is_some_and(|id| *id.get_ref());
    if let Some(table) = &part.table {
        logical_name(table, "table", out);
    }
    let table = part.table.as_ref().map(|t| t.get_ref().clone());
    let forms = "{ staged = \"load\" }, { table = \"account\", id = true } or { table = \
                 \"account\", key = \"new_numberkey\" }";
    let (table, by) = match (by_id, &part.staged, &part.key) {
        (true, None, None) => (table, LookupBy::Id),
        (false, None, Some(key)) => (table, LookupBy::Key(key.get_ref().clone())),
        (false, Some(staged), None) => {
            let peer = staged_peer(staged, index, peers, edges, out)?;
            if let Some(given) = &part.table
                && *given.get_ref() != peer.table
            {
                let message = format!(
                    "load `{}` fills table `{}`, not `{}`",
                    peer.name,
                    peer.table,
                    given.get_ref()
                );
                out.add("DV0015", given.span(), message, "", "leave `table` out".to_owned());
            }
            (Some(peer.table.clone()), LookupBy::Staged(peer.name.clone()))
        }
        _ => {
            let message = "a lookup needs exactly one of `staged`, `id = true` and `key`";
            out.add("DV0015", part.span.clone(), message, "", forms.to_owned());
            return None;
        }
    };
    let Some(table) = table else {
        let message = "this lookup needs `table`";
        out.add("DV0004", part.span.clone(), message, "which table?", forms.to_owned());
        return None;
    };
    Some(LookupVia { table, by })
}

fn staged_peer<'p>(
    staged: &Text,
    index: usize,
    peers: &'p [Peer],
    edges: &mut Vec<(usize, Range<usize>)>,
    out: &mut Findings,
) -> Option<&'p Peer> {
    let name = staged.get_ref();
    let Some(found) = peers.iter().position(|p| p.name == *name) else {
        let names: Vec<&str> = peers.iter().map(|p| p.name.as_str()).collect();
        let hint = match closest(name, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("loads of this job: {}", names.join(", ")),
        };
        let message = format!("no load of this job is called `{name}`");
        out.add("DV0011", staged.span(), message, "", hint);
        return None;
    };
    let peer = &peers[found];
    if found == index {
        let message =
            format!("rows of `{name}` refer to rows of the same load: not in this version");
        let hint = "load the table twice: first without this column, then a second job with \
                    operation = \"update\" that fills it";
        out.add("DV0012", staged.span(), message, "itself", hint.to_owned());
    } else {
        edges.push((found, staged.span()));
    }
    if peer.operation == Some(Operation::Delete) {
        let message = format!("load `{name}` deletes its rows; nothing can refer to them");
        out.add("DV0011", staged.span(), message, "", None);
    } else if peer.by_key {
        let message = format!(
            "load `{name}` addresses its rows by alternate key, so their GUIDs are not known"
        );
        let hint = format!(
            "refer to them by that key: lookup = {{ table = \"{}\", key = \"…\" }}",
            peer.table
        );
        out.add("DV0011", staged.span(), message, "", hint);
    }
    Some(peer)
}

/// Notes each ring of loads once, at the reference that closes it.
fn refuse_cycles(peers: &[Peer], edges: &[Vec<(usize, Range<usize>)>], out: &mut Findings) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Closed,
    }
    let mut marks = vec![Mark::New; peers.len()];
    for root in 0..peers.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut path: Vec<(usize, usize)> = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some((target, span)) = edges[*node].get(*next) else {
                marks[*node] = Mark::Closed;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[*target] {
                Mark::New => {
                    marks[*target] = Mark::Open;
                    path.push((*target, 0));
                }
                Mark::Closed => {}
                Mark::Open => {
                    let from = path.iter().position(|(n, _)| n == target).unwrap_or(0);
                    let mut ring: Vec<&str> =
                        path[from..].iter().map(|(n, _)| peers[*n].name.as_str()).collect();
                    ring.push(&peers[*target].name);
                    let message = format!(
                        "these loads wait for each other: {}; not in this version",
                        ring.join(" → ")
                    );
                    let hint = "load one of them without the lookup, then fill it by a second \
                                job with operation = \"update\"";
                    out.add("DV0012", span.clone(), message, "closes the ring", hint.to_owned());
                }
            }
        }
    }
}

fn no_source() -> SourceSpec {
    SourceSpec { path: String::new(), format: SourceFormat::Jsonl }
}

fn source(part: SourcePart, around: &Surroundings<'_>, out: &mut Findings) -> SourceSpec {
    let Some(path) = part.path else { return no_source() };
    let lower = path.get_ref().to_ascii_lowercase();
    let bare = lower.strip_suffix(".gz").or_else(|| lower.strip_suffix(".zst")).unwrap_or(&lower);
    let by_name = match bare.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv" | "txt") => Some((FormatWord::Csv, b',')),
        Some("tsv" | "tab") => Some((FormatWord::Csv, b'\t')),
        Some("jsonl" | "ndjson") => Some((FormatWord::Jsonl, b',')),
        _ => None,
    };
    let word = part.format.as_ref().map(|f| *f.get_ref()).or(by_name.map(|(word, _)| word));
    let Some(word) = word else {
        let message = format!("the name \"{}\" does not tell its format", path.get_ref());
        let hint = "source = { path = \"…\", format = \"csv\" } (or \"jsonl\")".to_owned();
        out.add("DV0004", path.span(), message, "csv? jsonl?", hint);
        return no_source();
    };
    let format = match word {
        FormatWord::Jsonl => {
            for (key, given) in [("delimiter", &part.delimiter), ("quote", &part.quote)] {
                if let Some(given) = given {
                    let message = format!("jsonl has no `{key}`");
                    out.add("DV0015", given.span(), message, "", "leave it out".to_owned());
                }
            }
            SourceFormat::Jsonl
        }
        FormatWord::Csv => {
            let usual = by_name.map_or(b',', |(_, delimiter)| delimiter);
            let delimiter = one_byte(part.delimiter.as_ref(), "delimiter", usual, out);
            let quote = one_byte(part.quote.as_ref(), "quote", b'"', out);
            if delimiter == quote {
                let span = part.delimiter.as_ref().or(part.quote.as_ref()).unwrap_or(&path).span();
                out.add("DV0015", span, "delimiter and quote must differ", "", None);
            }
            SourceFormat::Csv { delimiter, quote }
        }
    };
    let path = around.folder.join(path.get_ref()).to_string_lossy().into_owned();
    SourceSpec { path, format }
}

fn one_byte(given: Option<&Text>, key: &str, usual: u8, out: &mut Findings) -> u8 {
    let Some(text) = given else { return usual };
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii() && !b"\r\n\0".contains(byte) => *byte,
        _ => {
            let message = format!("`{key}` must be one ASCII character, not {:?}", text.get_ref());
            let hint = "e.g. \",\" or \";\" or \"|\", and \"\\t\" for a tab".to_owned();
            out.add("DV0006", text.span(), message, "", hint);
            usual
        }
    }
}

/// The bounds of a number that may be at most `most`; what is wrong is noted.
pub(super) fn bounds(part: BoundsPart, key: &str, most: u32, out: &mut Findings) -> Bounds {
    let span = part.span.clone();
    let mut one = |value: &Option<Spanned<u64>>, which: &str| {
        let value = value.as_ref()?;
        let fits = u32::try_from(*value.get_ref()).ok().filter(|n| (1..=most).contains(n));
        if fits.is_none() {
            let message = format!("`{key}` {which} must lie between 1 and {most}");
            let hint = "there is no \"unlimited\": leave it out for the default".to_owned();
            out.add("DV0014", value.span(), message, "", hint);
        }
        Some(fits)
    };
    let (start, min, max) =
        (one(&part.start, "start"), one(&part.min, "min"), one(&part.max, "max"));
    if [start, min, max].contains(&Some(None)) {
        return Bounds { start: None, min: 1, max: most };
    }
    let start = start.flatten();
    let min = min.flatten().unwrap_or(1);
    let max = max.flatten().unwrap_or(most);
    if min > max || start.is_some_and(|s| s < min || s > max) {
        let start = start.map_or_else(|| "unset".to_owned(), |s| s.to_string());
        let message = format!("`{key}` needs min ≤ start ≤ max; here {min} ≤ {start} ≤ {max}");
        out.add("DV0014", span, message, "", None);
    }
    Bounds { start, min, max }
}

fn request(part: RequestPart, out: &mut Findings) -> RequestOptions {
    if let (Some(_), Some(user)) = (&part.act_for_object, &part.act_for_user) {
        let message = "`act_for_object` and `act_for_user` exclude each other";
        let hint = "keep `act_for_object` (Entra object id), which Microsoft prefers";
        out.add("DV0015", user.span(), message, "", hint.to_owned());
    }
    RequestOptions {
        bypass_sync: part.bypass_sync,
        bypass_async: part.bypass_async,
        bypass_steps: part
            .bypass_steps
            .iter()
            .filter_map(|step| guid_of(step, "bypass_steps", out))
            .collect(),
        bypass_flows: part.bypass_flows,
        detect_duplicates: part.detect_duplicates,
        tag: part.tag.map(Spanned::into_inner),
        act_for_object: part.act_for_object.map(Spanned::into_inner),
        act_for_user: part.act_for_user.map(Spanned::into_inner),
    }
}
