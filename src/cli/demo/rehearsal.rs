//! The made-up rows, converted as a load converts them and created in the model of the
//! environment: bad rows are refused by whom and with the code that is told, all others stand.

use super::tests::{made, target, text_of};
use super::verify::next_record;
use super::{BadKind, DemoLoad};
use crate::catalog::check::{Severity, check};
use crate::catalog::model::{
    AlternateKey, BulkMessages, Catalog, Choice, Column, ColumnKind, DateBehavior, LookupTarget,
    Required, StatusChoice, Table, TableKind,
};
use crate::config::job::SourceFormat;
use crate::config::read;
use crate::pipeline::transform::mapping::RowProgram;
use crate::pipeline::transform::run::convert_chunk;
use crate::record::chunk::{RawChunk, RecordFormat, RecordSpan};
use crate::record::key::{PartitionId, TableId};
use crate::record::staged::{Found, StagedRows};
use crate::simulator::call::{Call, CallContext, RefusalCode, Verb};
use crate::simulator::define;
use crate::simulator::environment::EnvironmentSettings;
use crate::simulator::model::Model;
use crate::simulator::schema::{
    ColumnType, DateBehaviour, OptionDef, RequiredLevel, Schema, Storage,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

fn options(options: &[OptionDef]) -> Vec<Choice> {
    options.iter().map(option).collect()
}

fn option(option: &OptionDef) -> Choice {
    Choice { value: option.value, labels: vec![option.label.clone()] }
}

/// Whole units; the ready tables have no other bounds.
fn scaled(units: i128, digits: u32) -> String {
    (units / 10i128.pow(digits)).to_string()
}

fn kind(schema: &Schema, kind: &ColumnType) -> ColumnKind {
    match kind {
        ColumnType::Guid => ColumnKind::Guid,
        ColumnType::Text { max, .. } => ColumnKind::Text { max_length: *max as u32 },
        ColumnType::Memo { max } => ColumnKind::Memo { max_length: *max as u32 },
        ColumnType::Integer { min, max } => {
            ColumnKind::Integer { min: i64::from(*min), max: i64::from(*max) }
        }
        ColumnType::BigInt => ColumnKind::BigInt,
        ColumnType::Decimal { min, max, precision } => ColumnKind::Decimal {
            min: scaled(*min, 10),
            max: scaled(*max, 10),
            precision: *precision,
        },
        ColumnType::Money { min, max, precision } => {
            ColumnKind::Money { min: scaled(*min, 4), max: scaled(*max, 4), precision: *precision }
        }
        ColumnType::Double { min, max, .. } => ColumnKind::Double { min: *min, max: *max },
        ColumnType::Boolean { yes, no } => {
            ColumnKind::Boolean { true_label: yes.clone(), false_label: no.clone() }
        }
        ColumnType::Choice { options: o, .. } => ColumnKind::Choice(options(o)),
        ColumnType::Choices { options: o, .. } => ColumnKind::Choices(options(o)),
        ColumnType::State(s) => ColumnKind::State(s.iter().map(|s| option(&s.option)).collect()),
        ColumnType::Status(s) => ColumnKind::Status(
            s.iter().map(|s| StatusChoice { choice: option(&s.option), state: s.state }).collect(),
        ),
        ColumnType::DateTime(DateBehaviour::UserLocal) => {
            ColumnKind::DateTime(DateBehavior::UserLocal)
        }
        ColumnType::DateTime(DateBehaviour::DateOnly) => {
            ColumnKind::DateTime(DateBehavior::DateOnly)
        }
        ColumnType::DateTime(DateBehaviour::TimeZoneIndependent) => {
            ColumnKind::DateTime(DateBehavior::TimeZoneIndependent)
        }
        ColumnType::Lookup { targets, .. } => ColumnKind::Lookup(
            targets
                .iter()
                .map(|t| LookupTarget {
                    table: t.table.clone(),
                    entity_set: schema.tables[schema.by_name[&t.table]].set.clone(),
                    navigation_property: t.navigation.clone(),
                })
                .collect(),
        ),
        ColumnType::File => ColumnKind::File,
        ColumnType::Image => ColumnKind::Image,
        ColumnType::EntityName => ColumnKind::TableName,
        ColumnType::Virtual => ColumnKind::Other("Virtual".to_owned()),
    }
}

/// The catalog a client would read from the environment.
fn catalog(schema: &Schema) -> Catalog {
    let mut catalog = Catalog::default();
    for table in &schema.tables {
        let columns: Vec<Column> = table
            .columns
            .iter()
            .map(|c| Column {
                logical_name: c.name.clone(),
                schema_name: c.schema_name.clone(),
                kind: kind(schema, &c.kind),
                required: match c.required {
                    RequiredLevel::None => Required::None,
                    RequiredLevel::Recommended => Required::Recommended,
                    RequiredLevel::Application => Required::Application,
                    RequiredLevel::System => Required::System,
                },
                valid_for_create: c.for_create,
                valid_for_update: c.for_update,
                valid_for_read: c.for_read,
                is_secured: false,
                is_auto_number: c.auto_number.is_some(),
            })
            .collect();
        let table = Table {
            logical_name: table.name.clone(),
            entity_set: table.set.clone(),
            primary_id: table.columns[0].name.clone(),
            primary_name: None,
            kind: match table.storage {
                Storage::Standard => TableKind::Standard,
                Storage::Elastic => TableKind::Elastic,
            },
            is_activity: table.is_activity,
            is_intersect: table.is_intersect,
            is_custom: table.is_custom,
            keys: table
                .keys
                .iter()
                .map(|k| AlternateKey {
                    name: k.name.clone(),
                    columns: k.columns.iter().map(|c| table.columns[*c].name.clone()).collect(),
                    is_active: k.status == "Active",
                })
                .collect(),
            messages: BulkMessages::default(),
            columns: columns.into_iter().map(|c| (c.logical_name.clone(), c)).collect(),
        };
        catalog.tables.insert(table.logical_name.clone(), Arc::new(table));
    }
    catalog
}

#[derive(Default)]
struct Staged(HashMap<(u16, Vec<u8>), Option<Uuid>>);

impl StagedRows for Staged {
    fn find(&self, load: TableId, _key_hash: u128, key: &[u8]) -> Found {
        match self.0.get(&(load.0, key.to_vec())) {
            Some(Some(id)) => Found::Id(*id),
            Some(None) => Found::Refused,
            None => Found::Unknown,
        }
    }
}

fn chunk(load: &DemoLoad, format: &SourceFormat) -> RawChunk {
    let bytes = text_of(&load.source).into_bytes();
    let mut rest = bytes.as_slice();
    let mut record = Vec::new();
    let is_json = *format == SourceFormat::Jsonl;
    let mut header = Vec::new();
    let mut records = Vec::new();
    let mut start = 0;
    loop {
        // JSON keeps its quotes even, too: line breaks are escaped, and so is every inner quote.
        let more = if is_json {
            record.clear();
            std::io::BufRead::read_until(&mut rest, b'\n', &mut record).unwrap() > 0
        } else {
            next_record(&mut rest, &mut record).unwrap()
        };
        if !more {
            break;
        }
        let end = start + record.len();
        if !is_json && header.is_empty() {
            let SourceFormat::Csv { delimiter, .. } = format else { unreachable!() };
            let text = String::from_utf8(record.clone()).unwrap();
            header = text.trim_end().split(char::from(*delimiter)).map(str::to_owned).collect();
        } else {
            let (line, offset) = (records.len() as u64 + 2, start as u64);
            let range = start as u32..end as u32 - 1;
            records.push(RecordSpan { range, line, offset, fault: None });
        }
        start = end;
    }
    let format = match format {
        SourceFormat::Jsonl => RecordFormat::Json,
        SourceFormat::Csv { delimiter, quote } => {
            RecordFormat::Delimited { delimiter: *delimiter, quote: *quote, header: header.into() }
        }
    };
    RawChunk {
        partition: PartitionId(0),
        file: load.name.into(),
        format: Arc::new(format),
        first_index: 0,
        bytes,
        records,
    }
}

#[test]
fn bad_rows_are_refused_as_told_and_all_others_are_taken() {
    let (_folder, set) = made(6_000, 4, 0.05);
    let job = read::load(&set.write_job(&target()).unwrap()).unwrap();
    let settings = EnvironmentSettings::default();
    let user = settings.application_users[0].id;
    let mut model = Model::with_schema(define::ready_set(), settings);
    let catalog = catalog(&model.schema);
    let findings = check(&job, &catalog, &[]);
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let context = CallContext {
        caller: user,
        effective_user: user,
        now_ms: 1_750_000_000_000,
        origin: "http://127.0.0.1:1".to_owned(),
    };
    let mut staged = Staged::default();
    for (index, (made, load)) in set.loads.iter().zip(&job.tables).enumerate() {
        let raw = Arc::new(chunk(made, &load.source.format));
        let program = RowProgram::compile(load, &job.tables, &catalog, &raw.format).unwrap();
        let prepared = convert_chunk(&program, raw, &staged);
        assert_eq!(prepared.rows.len() as u64, made.rows);
        let mut expected: HashMap<&str, BadKind> =
            made.bad.iter().map(|b| (b.key.as_str(), b.kind)).collect();
        let set_name = &catalog.tables[&load.table].entity_set;
        let mut seen = HashSet::new();
        for row in &prepared.rows {
            let span = |r: &std::ops::Range<u32>| r.start as usize..r.end as usize;
            let key = String::from_utf8(prepared.text[span(&row.key)].to_vec()).unwrap();
            let is_new = seen.insert(key.clone());
            let members = std::str::from_utf8(&prepared.members[span(&row.members)]).unwrap();
            let outcome = match (&row.fault, is_new) {
                (Some(fault), _) => Err((fault.code.clone(), fault.message.clone())),
                (None, false) => Err(("DV0207".to_owned(), String::new())),
                (None, true) => {
                    let body = format!("{{{members}}}");
                    let call = Call {
                        verb: Verb::Post,
                        path: set_name,
                        query: "",
                        headers: &[],
                        body: body.as_bytes(),
                    };
                    model.execute(&context, &call).map_err(|r| match r.code {
                        RefusalCode::Hex(code) => (format!("0x{code:08x}"), r.message),
                        RefusalCode::Text(code) => (code, r.message),
                    })
                }
            };
            let duplicate = expected.get(key.as_str()) == Some(&BadKind::DuplicateKey);
            let kind = if duplicate && is_new { None } else { expected.remove(key.as_str()) };
            match (outcome, kind) {
                (Ok(answer), None) => {
                    let url = answer
                        .headers
                        .iter()
                        .find(|(n, _)| n.eq_ignore_ascii_case("odata-entityid"))
                        .unwrap();
                    let id = url.1.rsplit('(').next().unwrap().trim_end_matches(')');
                    staged.0.insert((index as u16, key.into_bytes()), Some(id.parse().unwrap()));
                }
                (Err((code, message)), Some(kind)) => {
                    assert_eq!(code, kind.code(), "{} {key} {kind:?}: {message}", made.name);
                    if kind != BadKind::DuplicateKey {
                        staged.0.insert((index as u16, key.into_bytes()), None);
                    }
                }
                (Ok(_), Some(kind)) => panic!("{} {key}: {kind:?} was taken", made.name),
                (Err((code, message)), None) => {
                    panic!("{} {key} is good and was refused: {code} {message}", made.name)
                }
            }
        }
        assert!(expected.is_empty(), "{expected:?}");
    }
}
