//! Pure: the shape of a job file. Reads sections into parts that keep the place of every value
//! whose rules need more than the value itself; those rules are in `parse` and `rules`.

use crate::config::job::{
    ChoiceRule, OnDuplicateKey, OnExisting, SinkFormat, TableClass, WhenEmpty,
};
use crate::config::secret::SecretSource;
use crate::config::tree::{Findings, Node, Section, number_of, text_of, wrong_kind};
use crate::config::tuning::{self, TunedPart, TuningPart};
use crate::record::outcome::Operation;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A text with its place.
pub(super) type Text = Spanned<String>;

/// A whole job file.
pub(super) struct FilePart {
    pub(super) job: JobPart,
    pub(super) environment: Option<EnvironmentPart>,
    pub(super) identities: Vec<IdentityPart>,
    pub(super) tables: Vec<TablePart>,
    pub(super) sinks: SinksPart,
    pub(super) ledger_folder: Option<Text>,
    pub(super) serve: ServePart,
    pub(super) breakers: BreakersPart,
    pub(super) watch_interval: Option<Duration>,
    pub(super) tuning: TuningPart,
}

#[derive(Default)]
pub(super) struct JobPart {
    pub(super) name: Option<Text>,
    pub(super) memory_budget: Option<Spanned<u64>>,
    pub(super) shutdown_deadline: Option<Duration>,
}

pub(super) struct EnvironmentPart {
    pub(super) url: Option<Text>,
    pub(super) organization: Option<Text>,
    pub(super) authority: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) request_timeout: Option<Duration>,
}

pub(super) struct IdentityPart {
    pub(super) span: Range<usize>,
    pub(super) name: Option<Text>,
    pub(super) tenant_id: Option<Text>,
    pub(super) client_id: Option<Text>,
    pub(super) client_secret: Option<Spanned<Option<SecretSource>>>,
    pub(super) certificate: Option<Spanned<Option<Text>>>,
    pub(super) managed_identity: Option<Spanned<Option<String>>>,
    pub(super) token_command: Option<Spanned<Vec<String>>>,
    pub(super) requests_per_second: Option<Spanned<u64>>,
}

pub(super) struct TablePart {
    pub(super) span: Range<usize>,
    pub(super) table: Option<Text>,
    pub(super) name: Option<Text>,
    pub(super) source: Option<SourcePart>,
    pub(super) key: Option<Text>,
    pub(super) operation: Option<Spanned<Operation>>,
    pub(super) ids: Option<Spanned<IdsPart>>,
    pub(super) on_existing: Option<Spanned<OnExisting>>,
    pub(super) on_duplicate_key: Option<Spanned<OnDuplicateKey>>,
    pub(super) columns: Option<Spanned<Vec<ColumnPart>>>,
    pub(super) class: Option<Spanned<TableClass>>,
    pub(super) tuned: TunedPart,
    pub(super) request: RequestPart,
}

pub(super) struct SourcePart {
    pub(super) path: Option<Text>,
    pub(super) format: Option<Spanned<FormatWord>>,
    pub(super) delimiter: Option<Text>,
    pub(super) quote: Option<Text>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FormatWord {
    Csv,
    Jsonl,
}

#[derive(Clone)]
pub(super) enum IdsPart {
    Pinned,
    Dataverse,
    Column(String),
    AlternateKey(String),
    /// Something was wrong and has been noted.
    Unknown,
}

pub(super) struct ColumnPart {
    pub(super) target: Text,
    pub(super) span: Range<usize>,
    pub(super) from: Option<Text>,
    pub(super) constant: Option<Text>,
    pub(super) default: Option<Text>,
    pub(super) empty: Option<Spanned<WhenEmpty>>,
    pub(super) lookup: Option<LookupPart>,
    pub(super) choice: Option<Spanned<ChoiceRule>>,
    pub(super) date_format: Option<Text>,
    pub(super) time_zone: Option<Text>,
    pub(super) truncate: Option<Spanned<bool>>,
}

pub(super) struct LookupPart {
    pub(super) span: Range<usize>,
    pub(super) targets: Vec<ViaPart>,
    pub(super) type_column: Option<Text>,
}

pub(super) struct ViaPart {
    pub(super) span: Range<usize>,
    pub(super) table: Option<Text>,
    pub(super) id: Option<Spanned<bool>>,
    pub(super) staged: Option<Text>,
    pub(super) key: Option<Text>,
}

pub(super) struct BoundsPart {
    pub(super) span: Range<usize>,
    pub(super) start: Option<Spanned<u64>>,
    pub(super) min: Option<Spanned<u64>>,
    pub(super) max: Option<Spanned<u64>>,
}

#[derive(Default)]
pub(super) struct RequestPart {
    pub(super) bypass_sync: bool,
    pub(super) bypass_async: bool,
    pub(super) bypass_steps: Vec<Text>,
    pub(super) bypass_flows: bool,
    pub(super) detect_duplicates: bool,
    pub(super) tag: Option<Text>,
    pub(super) act_for_object: Option<Spanned<uuid::Uuid>>,
    pub(super) act_for_user: Option<Spanned<uuid::Uuid>>,
}

#[derive(Default)]
pub(super) struct SinksPart {
    pub(super) folder: Option<Text>,
    pub(super) format: Option<Spanned<SinkFormat>>,
    pub(super) excel_safe: bool,
}

#[derive(Default)]
pub(super) struct ServePart {
    pub(super) listen: Option<Text>,
    pub(super) allow_remote: bool,
}

#[derive(Default)]
pub(super) struct BreakersPart {
    pub(super) failed_rows_max: Option<u64>,
    pub(super) failed_share_max: Option<f64>,
    pub(super) retry_deadline: Option<Duration>,
}

/// Reads the whole document.
pub(super) fn read(mut root: Section<'_>, out: &mut Findings) -> FilePart {
    let job = root.section("job", "[job]", out).map(|s| job(s, out)).unwrap_or_default();
    let environment = root.section("environment", "[environment]", out);
    if environment.is_none() && root.get("environment").is_none() {
        let hint = "[environment] with `url` and `organization` says where the rows go";
        root.missing("environment", hint, out);
    }
    let environment = environment.map(|s| self::environment(s, out));
    let identities = root.sections("identity", out);
    if identities.is_empty() && root.get("identity").is_none() {
        let hint = "[[identity]] names the application user that writes the rows";
        root.missing("identity", hint, out);
    }
    let identities = identities.into_iter().map(|s| identity(s, out)).collect();
    let tables = root.sections("table", out);
    if tables.is_empty() && root.get("table").is_none() {
        root.missing("table", "[[table]] names a table, its source and its columns", out);
    }
    let tables = tables.into_iter().map(|s| table(s, out)).collect();
    let sinks = root.section("sinks", "[sinks]", out).map(|s| sinks(s, out)).unwrap_or_default();
    let ledger_folder = root.section("ledger", "[ledger]", out).and_then(|mut s| {
        let folder = s.text("folder", out);
        s.finish(out);
        folder
    });
    let serve = root.section("serve", "[serve]", out).map(|s| serve(s, out)).unwrap_or_default();
    let breakers =
        root.section("breakers", "[breakers]", out).map(|s| breakers(s, out)).unwrap_or_default();
    let watch_interval = root.section("watch", "[watch]", out).and_then(|mut s| {
        let interval = s.duration("interval", out);
        s.finish(out);
        interval
    });
    let tuning =
        root.section("tuning", "[tuning]", out).map(|s| tuning::read(s, out)).unwrap_or_default();
    root.finish(out);
    FilePart {
        job,
        environment,
        identities,
        tables,
        sinks,
        ledger_folder,
        serve,
        breakers,
        watch_interval,
        tuning,
    }
}

fn job(mut s: Section<'_>, out: &mut Findings) -> JobPart {
    let part = JobPart {
        name: s.text("name", out),
        memory_budget: s.size("memory_budget", out),
        shutdown_deadline: s.duration("shutdown_deadline", out),
    };
    s.finish(out);
    part
}

fn environment(mut s: Section<'_>, out: &mut Findings) -> EnvironmentPart {
    let lock = "the organization id or unique name the URL must turn out to be (power platform \
                admin center, or `WhoAmI`); it is compared before the first write";
    let part = EnvironmentPart {
        url: s.required_text("url", "e.g. url = \"https://contoso.crm4.dynamics.com\"", out),
        organization: s.required_text("organization", lock, out),
        authority: s.text("authority", out),
        ca_file: s.text("ca_file", out),
        request_timeout: s.duration("request_timeout", out),
    };
    s.finish(out);
    part
}

fn identity(mut s: Section<'_>, out: &mut Findings) -> IdentityPart {
    let part = IdentityPart {
        span: s.span.clone(),
        name: s.text("name", out),
        tenant_id: s.text("tenant_id", out),
        client_id: s.text("client_id", out),
        client_secret: s
            .get("client_secret")
            .map(|node| Spanned::new(node.span(), client_secret(node, out))),
        certificate: s.get("certificate").map(|node| {
            let pem = Section::of(node, "`certificate`", out).and_then(|mut inner| {
                let pem = inner.required_text("pem", "e.g. { pem = \"app.pem\" }", out);
                inner.finish(out);
                pem
            });
            Spanned::new(node.span(), pem)
        }),
        managed_identity: s.get("managed_identity").and_then(|node| managed_identity(node, out)),
        token_command: s.get("token_command").map(|node| {
            let argv = match node.get_ref() {
                DeValue::Array(items) if !items.is_empty() => {
                    items.iter().filter_map(|i| text_of(i, "token_command", out)).collect()
                }
                other => {
                    let wanted = "a list: the program and its arguments";
                    wrong_kind(out, node.span(), "token_command", wanted, other);
                    Vec::new()
                }
            };
            Spanned::new(node.span(), argv.into_iter().map(Spanned::into_inner).collect())
        }),
        requests_per_second: s.number("requests_per_second", out),
    };
    s.finish(out);
    part
}

const SECRET_HINT: &str = "keep it outside: client_secret = { env = \"DV_SECRET\" } or { file = \
                           \"secret.txt\" } (only you may read that file); if it stood here, \
                           change the secret";

fn client_secret(node: Node<'_>, out: &mut Findings) -> Option<SecretSource> {
    if let DeValue::String(_) = node.get_ref() {
        out.secrets.push(node.span());
        out.add(
            "DV0007",
            node.span(),
            "a secret must not stand in the job file",
            "not shown",
            SECRET_HINT.to_owned(),
        );
        return None;
    }
    let mut s = Section::of(node, "`client_secret`", out)?;
    let env = s.text("env", out);
    let file = s.text("file", out);
    for (key, _, value) in s.entries() {
        if !["env", "file"].contains(&key) {
            out.secrets.push(value.span());
        }
    }
    s.finish(out);
    match (env, file) {
        (Some(env), None) => {
            let name = env.get_ref();
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            if is_name {
                return Some(SecretSource::Env(env.into_inner()));
            }
            out.secrets.push(env.span());
            let message = "`env` must be the name of an environment variable, not the secret";
            out.add("DV0007", env.span(), message, "not shown", SECRET_HINT.to_owned());
            None
        }
        (None, Some(file)) => Some(SecretSource::File(file.into_inner().into())),
        _ => {
            let message = "`client_secret` needs either `env` or `file`";
            out.add("DV0009", node.span(), message, "", SECRET_HINT.to_owned());
            None
        }
    }
}

fn managed_identity(node: Node<'_>, out: &mut Findings) -> Option<Spanned<Option<String>>> {
    match node.get_ref() {
        DeValue::Boolean(true) => Some(Spanned::new(node.span(), None)),
        DeValue::Boolean(false) => None,
        DeValue::Table(_) => {
            let mut s = Section::of(node, "`managed_identity`", out)?;
            let hint = "the application id of the user-assigned identity";
            let client_id = s.required_text("client_id", hint, out).map(Spanned::into_inner);
            s.finish(out);
            Some(Spanned::new(node.span(), client_id))
        }
        other => {
            let wanted = "true, or { client_id = \"…\" } for a user-assigned identity";
            wrong_kind(out, node.span(), "managed_identity", wanted, other);
            None
        }
    }
}

const OPERATIONS: [(&str, Operation); 4] = [
    ("create", Operation::Create),
    ("update", Operation::Update),
    ("upsert", Operation::Upsert),
    ("delete", Operation::Delete),
];
/// Words for the classes of tables.
pub(super) const CLASSES: [(&str, TableClass); 6] = [
    ("auto", TableClass::Auto),
    ("out-of-the-box", TableClass::OutOfTheBox),
    ("simple", TableClass::Simple),
    ("moderate", TableClass::Moderate),
    ("complex", TableClass::Complex),
    ("elastic", TableClass::Elastic),
];

fn table(mut s: Section<'_>, out: &mut Findings) -> TablePart {
    let table = s.required_text("table", "the logical name, e.g. table = \"account\"", out);
    if let Some(table) = &table {
        s.title = format!("[[table]] {}", table.get_ref());
    }
    let source = match s.get("source") {
        Some(node) => source(node, out),
        None => {
            s.missing("source", "the file with the records, e.g. source = \"account.csv\"", out);
            None
        }
    };
    let key_hint = "the source column whose value is unique in this load; outcomes and lookups \
                    refer to it";
    let operation = s.word("operation", &OPERATIONS, out);
    if operation.is_none() && s.get("operation").is_none() {
        s.missing("operation", "create, update, upsert or delete", out);
    }
    let part = TablePart {
        span: s.span.clone(),
        name: s.text("name", out),
        key: s.required_text("key", key_hint, out),
        operation,
        ids: s.get("ids").map(|node| Spanned::new(node.span(), ids(node, out))),
        on_existing: s.word(
            "on_existing",
            &[("fail", OnExisting::Fail), ("skip", OnExisting::Skip)],
            out,
        ),
        on_duplicate_key: s.word(
            "on_duplicate_key",
            &[("error", OnDuplicateKey::Error), ("first", OnDuplicateKey::First)],
            out,
        ),
        columns: s.get("columns").map(|node| Spanned::new(node.span(), columns(node, out))),
        class: s.word("class", &CLASSES, out),
        tuned: tuning::tuned(&mut s, out),
        request: s
            .section("request", "`request`", out)
            .map(|r| request(r, out))
            .unwrap_or_default(),
        table,
        source,
    };
    s.finish(out);
    part
}

fn source(node: Node<'_>, out: &mut Findings) -> Option<SourcePart> {
    if let DeValue::String(_) = node.get_ref() {
        let path = text_of(node, "source", out);
        return Some(SourcePart { path, format: None, delimiter: None, quote: None });
    }
    let mut s = Section::of(node, "`source`", out)?;
    let part = SourcePart {
        path: s.required_text("path", "a file or a pattern such as \"in/account-*.csv\"", out),
        format: s.word("format", &[("csv", FormatWord::Csv), ("jsonl", FormatWord::Jsonl)], out),
        delimiter: s.text("delimiter", out),
        quote: s.text("quote", out),
    };
    s.finish(out);
    Some(part)
}

fn ids(node: Node<'_>, out: &mut Findings) -> IdsPart {
    let hint = "\"pinned\", \"dataverse\", { column = \"Guid\" } or { alternate_key = \
                \"new_serialkey\" }";
    match node.get_ref() {
        DeValue::String(word) => match word.as_ref() {
            "pinned" => IdsPart::Pinned,
            "dataverse" => IdsPart::Dataverse,
            other => {
                let message = format!("`ids` does not know \"{other}\"");
                out.add("DV0006", node.span(), message, "unknown word", hint.to_owned());
                IdsPart::Unknown
            }
        },
        DeValue::Table(_) => {
            let Some(mut s) = Section::of(node, "`ids`", out) else { return IdsPart::Unknown };
            let column = s.text("column", out);
            let key = s.text("alternate_key", out);
            s.finish(out);
            match (column, key) {
                (Some(column), None) => IdsPart::Column(column.into_inner()),
                (None, Some(key)) => IdsPart::AlternateKey(key.into_inner()),
                _ => {
                    let message = "`ids` needs either `column` or `alternate_key`";
                    out.add("DV0013", node.span(), message, "", hint.to_owned());
                    IdsPart::Unknown
                }
            }
        }
        other => {
            wrong_kind(out, node.span(), "ids", hint, other);
            IdsPart::Unknown
        }
    }
}

fn columns(node: Node<'_>, out: &mut Findings) -> Vec<ColumnPart> {
    let Some(s) = Section::of(node, "[table.columns]", out) else { return Vec::new() };
    s.entries()
        .into_iter()
        .filter_map(|(key, span, value)| column(Spanned::new(span, key.to_owned()), value, out))
        .collect()
}

const CHOICES: [(&str, ChoiceRule); 3] =
    [("auto", ChoiceRule::Auto), ("label", ChoiceRule::Label), ("number", ChoiceRule::Number)];

fn column(target: Text, node: Node<'_>, out: &mut Findings) -> Option<ColumnPart> {
    let mut part = ColumnPart {
        span: node.span(),
        from: None,
        constant: None,
        default: None,
        empty: None,
        lookup: None,
        choice: None,
        date_format: None,
        time_zone: None,
        truncate: None,
        target,
    };
    if let DeValue::String(_) = node.get_ref() {
        part.from = text_of(node, part.target.get_ref(), out);
        return part.from.is_some().then_some(part);
    }
    if !matches!(node.get_ref(), DeValue::Table(_)) {
        let wanted = "the name of a source column in quotes, or a table such as { from = \"…\" } \
                      or { constant = \"…\" }";
        wrong_kind(out, node.span(), part.target.get_ref(), wanted, node.get_ref());
        return None;
    }
    let mut s = Section::of(node, format!("column `{}`", part.target.get_ref()), out)?;
    part.from = s.text("from", out);
    part.constant = s.get("constant").and_then(|v| scalar(v, "constant", out));
    part.default = s.get("default").and_then(|v| scalar(v, "default", out));
    part.empty = s.word("empty", &[("absent", WhenEmpty::Absent), ("null", WhenEmpty::Null)], out);
    part.lookup = s.get("lookup").and_then(|v| lookup(v, out));
    part.choice = s.word("choice", &CHOICES, out);
    part.date_format = s.text("date_format", out);
    part.time_zone = s.text("time_zone", out);
    part.truncate = s.flag("truncate", out);
    s.finish(out);
    Some(part)
}

/// A value for a column: text, or a number or boolean as it is written.
fn scalar(node: Node<'_>, key: &str, out: &mut Findings) -> Option<Text> {
    let text = match node.get_ref() {
        DeValue::String(s) => s.to_string(),
        DeValue::Integer(i) if i.radix() == 10 => i.as_str().to_owned(),
        DeValue::Float(f) => f.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        other => {
            wrong_kind(out, node.span(), key, "a text, number, boolean or date", other);
            return None;
        }
    };
    Some(Spanned::new(node.span(), text))
}

fn lookup(node: Node<'_>, out: &mut Findings) -> Option<LookupPart> {
    let mut s = Section::of(node, "`lookup`", out)?;
    let type_column = s.text("type_column", out);
    let listed = s.get("targets").is_some();
    let targets = if listed {
        s.sections("targets", out).into_iter().map(|t| via(t, out)).collect()
    } else {
        let one = via_keys(&mut s, out);
        vec![one]
    };
    s.finish(out);
    Some(LookupPart { span: node.span(), targets, type_column })
}

fn via(mut s: Section<'_>, out: &mut Findings) -> ViaPart {
    s.title = "a lookup target".to_owned();
    let part = via_keys(&mut s, out);
    s.finish(out);
    part
}

fn via_keys(s: &mut Section<'_>, out: &mut Findings) -> ViaPart {
    ViaPart {
        span: s.span.clone(),
        table: s.text("table", out),
        id: s.flag("id", out),
        staged: s.text("staged", out),
        key: s.text("key", out),
    }
}

/// A fixed number, or a table of bounds.
pub(super) fn bounds(node: Node<'_>, key: &'static str, out: &mut Findings) -> BoundsPart {
    let nothing = BoundsPart { span: node.span(), start: None, min: None, max: None };
    if let DeValue::Table(_) = node.get_ref() {
        let Some(mut s) = Section::of(node, format!("`{key}`"), out) else { return nothing };
        let part = BoundsPart {
            span: node.span(),
            start: s.number("start", out),
            min: s.number("min", out),
            max: s.number("max", out),
        };
        s.finish(out);
        return part;
    }
    let fixed = number_of(node, key, out);
    BoundsPart { span: node.span(), start: fixed.clone(), min: fixed.clone(), max: fixed }
}

fn request(mut s: Section<'_>, out: &mut Findings) -> RequestPart {
    let mut flag = |s: &mut Section<'_>, key| s.flag(key, out).is_some_and(Spanned::into_inner);
    let mut part = RequestPart {
        bypass_sync: flag(&mut s, "bypass_sync"),
        bypass_async: flag(&mut s, "bypass_async"),
        bypass_flows: flag(&mut s, "bypass_flows"),
        detect_duplicates: flag(&mut s, "detect_duplicates"),
        ..RequestPart::default()
    };
    part.bypass_steps = s.texts("bypass_steps", out).unwrap_or_default();
    part.tag = s.text("tag", out);
    part.act_for_object = s.guid("act_for_object", out);
    part.act_for_user = s.guid("act_for_user", out);
    s.finish(out);
    part
}

fn sinks(mut s: Section<'_>, out: &mut Findings) -> SinksPart {
    let part = SinksPart {
        folder: s.text("folder", out),
        format: s.word("format", &[("csv", SinkFormat::Csv), ("jsonl", SinkFormat::Jsonl)], out),
        excel_safe: s.flag("excel_safe", out).is_some_and(Spanned::into_inner),
    };
    s.finish(out);
    part
}

fn serve(mut s: Section<'_>, out: &mut Findings) -> ServePart {
    let part = ServePart {
        listen: s.text("listen", out),
        allow_remote: s.flag("allow_remote", out).is_some_and(Spanned::into_inner),
    };
    s.finish(out);
    part
}

fn breakers(mut s: Section<'_>, out: &mut Findings) -> BreakersPart {
    let part = BreakersPart {
        failed_rows_max: s.number("failed_rows_max", out).map(Spanned::into_inner),
        failed_share_max: s.share("failed_share_max", out),
        retry_deadline: s.duration("retry_deadline", out),
    };
    s.finish(out);
    part
}
