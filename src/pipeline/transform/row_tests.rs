//! Whole rows through mapping and conversion, from separated values and from JSON.

use super::mapping::RowProgram;
use super::run::convert_chunk;
use crate::catalog::model::{
    AlternateKey, BulkMessages, Catalog, Choice, Column, ColumnKind, DateBehavior, LookupTarget,
    Required, Table, TableKind,
};
use crate::config::job::{
    Bounds, ChoiceRule, ColumnMapping, IdRule, LookupBy, LookupRule, LookupVia, OnDuplicateKey,
    OnExisting, RequestOptions, SourceFormat, SourceSpec, TableClass, TableLoad, TuningBounds,
    ValueSource, WhenEmpty,
};
use crate::record::chunk::{RawChunk, RecordFormat, RecordSpan};
use crate::record::key::{PartitionId, TableId};
use crate::record::outcome::Operation;
use crate::record::prepared::{PreparedChunk, key_hash};
use crate::record::staged::{Found, StagedRows};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const ID: &str = "2d2f0000-abcd-4e60-8a0b-0a3a3a8c2b11";

fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        logical_name: name.into(),
        schema_name: name.into(),
        kind,
        required: Required::None,
        valid_for_create: true,
        valid_for_update: true,
        valid_for_read: true,
        is_secured: false,
        is_auto_number: false,
    }
}

fn table(name: &str, columns: Vec<Column>, keys: Vec<AlternateKey>) -> Arc<Table> {
    Arc::new(Table {
        logical_name: name.into(),
        entity_set: format!("{name}s"),
        primary_id: format!("{name}id"),
        primary_name: None,
        kind: TableKind::Standard,
        is_activity: false,
        is_intersect: false,
        is_custom: false,
        columns: columns.into_iter().map(|c| (c.logical_name.clone(), c)).collect(),
        keys,
        messages: BulkMessages::default(),
    })
}

fn key(name: &str, columns: &[&str], is_active: bool) -> AlternateKey {
    let columns = columns.iter().map(|c| (*c).to_owned()).collect();
    AlternateKey { name: name.into(), columns, is_active }
}

fn catalog() -> Catalog {
    let to = |table: &str, nav: &str| LookupTarget {
        table: table.into(),
        entity_set: format!("{table}s"),
        navigation_property: nav.into(),
    };
    let mut code = column("code", ColumnKind::Text { max_length: 20 });
    code.required = Required::System;
    let mut fixed = column("fixed", ColumnKind::Text { max_length: 5 });
    fixed.valid_for_create = false;
    let contact = table(
        "contact",
        vec![
            code,
            fixed,
            column("contactid", ColumnKind::Guid),
            column("name", ColumnKind::Text { max_length: 10 }),
            column("count", ColumnKind::Integer { min: 0, max: 100 }),
            column(
                "amount",
                ColumnKind::Money { min: "-1000".into(), max: "1000".into(), precision: 2 },
            ),
            column("born", ColumnKind::DateTime(DateBehavior::DateOnly)),
            column("seen", ColumnKind::DateTime(DateBehavior::UserLocal)),
            column(
                "colour",
                ColumnKind::Choice(vec![Choice { value: 7, labels: vec!["Red".into()] }]),
            ),
            column(
                "active",
                ColumnKind::Boolean { true_label: "On".into(), false_label: "Off".into() },
            ),
            column("photo", ColumnKind::File),
            column(
                "parent",
                ColumnKind::Lookup(vec![
                    to("account", "parent_account"),
                    to("contact", "parent_contact"),
                ]),
            ),
            column("owner", ColumnKind::Lookup(vec![to("systemuser", "OwnerId")])),
        ],
        vec![key("by_code", &["code", "count", "owner"], true), key("pending", &["name"], false)],
    );
    let account = table(
        "account",
        vec![
            column("number", ColumnKind::Text { max_length: 20 }),
            column("serial", ColumnKind::Integer { min: 0, max: 1000 }),
        ],
        vec![key("by_number", &["number"], true), key("by_serial", &["serial"], true)],
    );
    let mut catalog = Catalog::default();
    for table in [contact, account] {
        catalog.tables.insert(table.logical_name.clone(), table);
    }
    catalog
}

fn map(target: &str) -> ColumnMapping {
    ColumnMapping {
        target: target.into(),
        from: ValueSource::Column(target.into()),
        default: None,
        empty: WhenEmpty::Absent,
        lookup: None,
        choice: ChoiceRule::Auto,
        date_format: None,
        time_zone: None,
        truncate: false,
    }
}

fn lookup(target: &str, vias: &[(&str, LookupBy)], type_column: Option<&str>) -> ColumnMapping {
    let via = |(table, by): &(&str, LookupBy)| LookupVia { table: (*table).into(), by: by.clone() };
    ColumnMapping {
        lookup: Some(LookupRule {
            targets: vias.iter().map(via).collect(),
            type_column: type_column.map(str::to_owned),
        }),
        ..map(target)
    }
}

fn load(name: &str, table: &str, columns: Vec<ColumnMapping>) -> TableLoad {
    let bounds = Bounds { start: None, min: 1, max: 100 };
    TableLoad {
        name: name.into(),
        table: table.into(),
        source: SourceSpec {
            path: "a.csv".into(),
            format: SourceFormat::Csv { delimiter: b',', quote: b'"' },
        },
        key: "k".into(),
        operation: Operation::Create,
        ids: IdRule::Pinned,
        on_existing: OnExisting::Fail,
        on_duplicate_key: OnDuplicateKey::Error,
        columns,
        class: TableClass::Auto,
        batch: bounds,
        parallel: bounds,
        said: TuningBounds::default(),
        weight: 1.0,
        request: RequestOptions::default(),
    }
}

fn loads(contact: TableLoad) -> Vec<TableLoad> {
    vec![load("firms", "account", vec![]), contact, load("people", "contact", vec![])]
}

struct Staged;

impl StagedRows for Staged {
    fn find(&self, load: TableId, hash: u128, key: &[u8]) -> Found {
        assert_eq!(hash, key_hash(key));
        match (load.0, key) {
            (0, b"A1") => Found::Id(Uuid::from_u128(1)),
            (2, b"P1") => Found::Id(Uuid::from_u128(2)),
            (_, b"bad") => Found::Refused,
            _ => Found::Unknown,
        }
    }
}

fn raw(format: RecordFormat, records: &[&[u8]]) -> Arc<RawChunk> {
    let mut bytes = Vec::new();
    let mut spans = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(record);
        let range = start..bytes.len() as u32;
        let offset = u64::from(start);
        spans.push(RecordSpan { range, line: i as u64 + 2, offset, fault: None });
        bytes.push(b'\n');
    }
    Arc::new(RawChunk {
        partition: PartitionId(1),
        file: "a.csv".into(),
        format: Arc::new(format),
        first_index: 10,
        bytes,
        records: spans,
    })
}

fn delimited(header: &str) -> RecordFormat {
    let header = header.split(',').map(str::to_owned).collect();
    RecordFormat::Delimited { delimiter: b',', quote: b'"', header }
}

fn convert(load: TableLoad, format: RecordFormat, records: &[&[u8]]) -> PreparedChunk {
    let program = RowProgram::compile(&load.clone(), &loads(load), &catalog(), &format);
    let program = program.unwrap_or_else(|f| panic!("{f:?}"));
    convert_chunk(&program, raw(format, records), &Staged)
}

/// The row as an object, or code and message.
fn row(chunk: &PreparedChunk, i: usize) -> Result<Value, String> {
    if let Some(fault) = &chunk.rows[i].fault {
        assert!(chunk.members_of(i).is_empty());
        return Err(format!("{} {}", fault.code, fault.message));
    }
    let object = [b"{", chunk.members_of(i), b"}"].concat();
    Ok(serde_json::from_slice(&object).expect("members are JSON"))
}

fn check(columns: Vec<ColumnMapping>, header: &str, record: &str, expect: Result<Value, &str>) {
    let chunk = convert(load("c", "contact", columns), delimited(header), &[record.as_bytes()]);
    match (row(&chunk, 0), expect) {
        (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{record}"),
        (Err(got), Err(part)) => assert!(got.contains(part), "{record}: {got}"),
        (got, expect) => panic!("{record}: {got:?} instead of {expect:?}"),
    }
}

const ALL: [&str; 7] = ["name", "count", "amount", "born", "seen", "colour", "active"];

#[test]
fn one_row_from_either_format() {
    let columns = || ALL.map(map).to_vec();
    let expect = json!({
        "name": "a \"b\"\n€", "count": 5, "amount": 12.5, "born": "2020-02-29",
        "seen": "2025-01-01T00:00:00Z", "colour": 7, "active": true,
    });
    let csv = "K1,\"a \"\"b\"\"\n€\",5,12.50,2020-02-29,2025-01-01T02:00:00+02:00,red,yes";
    let header = delimited("k,name,count,amount,born,seen,colour,active");
    let from_csv = convert(load("c", "contact", columns()), header, &[csv.as_bytes()]);
    assert_eq!(row(&from_csv, 0), Ok(expect.clone()));
    let members = std::str::from_utf8(from_csv.members_of(0)).unwrap();
    assert!(members.contains("\"amount\":12.50,"), "{members}");
    let jsonl = r#"{"k":"K1","name":"a \"b\"\n\u20ac","count":5.0,"amount":1.25e1,"born":
        "2020-02-29","seen":"2025-01-01T00:00:00Z","colour":7,"active":true,"other":[1]}"#;
    let from_json =
        convert(load("c", "contact", columns()), RecordFormat::Json, &[jsonl.as_bytes()]);
    assert_eq!(row(&from_json, 0), Ok(expect));
    for chunk in [&from_csv, &from_json] {
        assert_eq!(chunk.key_of(0), b"K1");
        assert_eq!(chunk.rows[0].key_hash, key_hash(b"K1"));
        assert_eq!((chunk.rows[0].ordinal.partition().0, chunk.rows[0].ordinal.index()), (1, 10));
    }
}

#[test]
fn a_bad_value_names_column_value_and_rule() {
    for (name, value, part) in [
        ("name", "12345678901", "DV0302 name: 11 characters, at most 10 allowed"),
        ("count", "101", "DV0303 count: \"101\" is out of range, allowed are 0 to 100"),
        ("count", "x", "DV0301 count: \"x\" is not a whole number"),
        ("amount", "1.005", "DV0304 amount: \"1.005\" has 3 digits after the point, at most 2"),
        ("born", "31.12.2020", "DV0306 born: \"31.12.2020\" is not a date"),
        ("colour", "Blue", "DV0305 colour: \"Blue\" is not an option; options are 7 (Red)"),
        ("active", "maybe", "DV0301 active: \"maybe\" is neither yes nor no"),
    ] {
        check(vec![map(name)], &format!("k,{name}"), &format!("K,{value}"), Err(part));
    }
}

#[test]
fn malformed_records_are_told_by_line_and_byte() {
    let columns = vec![map("name"), map("count")];
    let records: [&[u8]; 5] = [b"K1,a,1", b"K2,a", b"K3,\xff\xfe,1", b"K4,a\0b,1", b" ,a,1"];
    let chunk = convert(load("c", "contact", columns.clone()), delimited("k,name,count"), &records);
    assert_eq!(row(&chunk, 0), Ok(json!({"name": "a", "count": 1})));
    for (i, part) in [
        (1, "DV0201 line 3, byte 7: 2 fields, but the header names 3 columns"),
        (2, "DV0202 line 4, byte 15: not valid UTF-8"),
        (3, "DV0208 line 5, byte 24: NUL character"),
        (4, "DV0206 k: the key of the row is empty"),
    ] {
        let got = row(&chunk, i).unwrap_err();
        assert!(got.starts_with(part), "{got}");
    }
    let huge = format!("K,\"{}\",1", "x".repeat((2 << 20) + 1));
    check(columns.clone(), "k,name,count", &huge, Err("DV0204 line 2, byte 0: field 2 is 2097"));
    let lines: [&[u8]; 2] = [br#"{"k":"1","k":"2"}"#, br#"{"k":"1","name":}"#];
    let chunk = convert(load("c", "contact", columns), RecordFormat::Json, &lines);
    let twice = row(&chunk, 0).unwrap_err();
    assert!(twice.starts_with("DV0205 line 2, byte 0: not a usable JSON object"), "{twice}");
    let value = row(&chunk, 1).unwrap_err();
    assert!(value.contains("line 3, byte 34: ") && value.contains("expected a value"), "{value}");
}

#[test]
fn empty_values_are_absent_null_or_the_default() {
    let with = |empty, default: Option<&str>| ColumnMapping {
        empty,
        default: default.map(str::to_owned),
        ..map("count")
    };
    for (mapping, expect) in [
        (with(WhenEmpty::Absent, None), json!({})),
        (with(WhenEmpty::Null, None), json!({"count": null})),
        (with(WhenEmpty::Null, Some("7")), json!({"count": 7})),
    ] {
        check(vec![mapping.clone()], "k,count", "K, ", Ok(expect.clone()));
        check(vec![mapping.clone()], "k,count", "K,3", Ok(json!({"count": 3})));
        let lines: [&[u8]; 2] = [br#"{"k":"K","count":null}"#, br#"{"k":"K"}"#];
        let chunk =
            convert(load("c", "contact", vec![mapping.clone()]), RecordFormat::Json, &lines);
        assert_eq!(row(&chunk, 0), Ok(expect.clone()));
        // Who leaves a member out does not ask to clear it.
        let left_out = if mapping.default.is_some() { expect } else { json!({}) };
        assert_eq!(row(&chunk, 1), Ok(left_out));
    }
    let constant = |text: &str| ColumnMapping {
        from: ValueSource::Constant(text.into()),
        empty: WhenEmpty::Null,
        ..map("colour")
    };
    check(
        vec![constant("Red"), map("name")],
        "k,name",
        "K,x",
        Ok(json!({"colour": 7, "name": "x"})),
    );
    check(vec![constant("")], "k,name", "K,x", Ok(json!({"colour": null})));
    // Blanks are characters to a text column.
    check(vec![map("name")], "k,name", "K, ", Ok(json!({"name": " "})));
}

#[test]
fn required_columns_must_be_filled() {
    let code = |empty| ColumnMapping { empty, ..map("code") };
    check(vec![code(WhenEmpty::Absent)], "k,code", "K,", Err("DV0310 code: required by Dataverse"));
    check(vec![code(WhenEmpty::Null)], "k,code", "K,", Err("DV0310 code: "));
    let mut update = load("c", "contact", vec![code(WhenEmpty::Absent)]);
    update.operation = Operation::Update;
    let chunk = convert(update.clone(), delimited("k,code"), &[b"K,"]);
    assert_eq!(row(&chunk, 0), Ok(json!({})));
    update.columns = vec![code(WhenEmpty::Null)];
    let chunk = convert(update, delimited("k,code"), &[b"K,"]);
    assert!(row(&chunk, 0).unwrap_err().contains("cannot be cleared"));
}

#[test]
fn lookups_by_id_key_and_staged_key() {
    let by_id = [("account", LookupBy::Id)];
    let expect = json!({ "parent_account@odata.bind": format!("/accounts({ID})") });
    let upper = format!("K,{{{}}}", ID.to_uppercase());
    check(vec![lookup("parent", &by_id, None)], "k,parent", &upper, Ok(expect));
    check(vec![lookup("parent", &by_id, None)], "k,parent", "K,x", Err("DV0307 parent: \"x\""));
    // One possible target needs no rule.
    let expect = json!({ "OwnerId@odata.bind": format!("/systemusers({ID})") });
    check(vec![map("owner")], "k,owner", &format!("K,{ID}"), Ok(expect));
    let null = ColumnMapping { empty: WhenEmpty::Null, ..map("owner") };
    check(vec![null], "k,owner", "K,", Ok(json!({"OwnerId@odata.bind": null})));

    let by_number = [("account", LookupBy::Key("by_number".into()))];
    let expect = json!({"parent_account@odata.bind": "/accounts(number='O''B%20%C3%A4')"});
    check(vec![lookup("parent", &by_number, None)], "k,parent", "K,O'B ä", Ok(expect));
    check(vec![lookup("parent", &by_number, None)], "k,parent", "K,a/b", Err("DV0312 parent: "));
    let by_serial = [("account", LookupBy::Key("serial".into()))];
    let expect = json!({"parent_account@odata.bind": "/accounts(serial=42)"});
    check(vec![lookup("parent", &by_serial, None)], "k,parent", "K,042", Ok(expect));

    let staged = |load: &str| LookupBy::Staged(load.into());
    let both = [("account", staged("firms")), ("contact", staged("people"))];
    let bind = |nav: &str, set: &str, id: u128| json!({ format!("{nav}@odata.bind"): format!("/{set}({})", Uuid::from_u128(id)) });
    for type_column in [None, Some("t")] {
        let columns = vec![lookup("parent", &both, type_column)];
        let check = |record, expect| check(columns.clone(), "k,parent,t", record, expect);
        check("K,A1,account", Ok(bind("parent_account", "accounts", 1)));
        check("K,P1,contact", Ok(bind("parent_contact", "contacts", 2)));
        check("K,bad,account", Err("DV0309 parent: the row \"bad\" of firms it refers to"));
        check("K,nope,contact", Err("DV0308 parent: no row with key \"nope\" was read for"));
    }
    let typed = vec![lookup("parent", &both, Some("t"))];
    check(typed.clone(), "k,parent,t", "K,P1,account", Err("DV0308"));
    check(typed, "k,parent,t", "K,P1,lead", Err("DV0313 parent: \"lead\" is not a table"));
}

#[test]
fn ids_and_addresses_come_from_the_source() {
    let mut with_id = load("c", "contact", vec![map("name")]);
    with_id.ids = IdRule::Column("id".into());
    let record = format!("K,x,{}", ID.to_uppercase());
    let chunk = convert(with_id, delimited("k,name,id"), &[record.as_bytes(), b"K,x,"]);
    assert_eq!(chunk.rows[0].id, Some(ID.parse().unwrap()));
    assert!(row(&chunk, 1).unwrap_err().starts_with("DV0307 id: "));

    let columns = vec![map("name"), map("code"), map("count"), map("owner")];
    let mut by_key = load("c", "contact", columns);
    by_key.operation = Operation::Upsert;
    by_key.ids = IdRule::AlternateKey("by_code".into());
    let good = format!("K,x,a b,007,{ID}");
    let records: [&[u8]; 3] = [good.as_bytes(), b"K,x,,7,", b"K,x,a+b,7,"];
    let chunk = convert(by_key.clone(), delimited("k,name,code,count,owner"), &records);
    assert_eq!(row(&chunk, 0), Ok(json!({"name": "x"})));
    let address = std::str::from_utf8(chunk.address_of(0)).unwrap();
    assert_eq!(address, format!("code='a%20b',count=7,_owner_value={ID}"));
    assert!(row(&chunk, 1).unwrap_err().starts_with("DV0206 code: empty"));
    assert!(row(&chunk, 2).unwrap_err().starts_with("DV0312 code: "));
    assert!(chunk.address_of(2).is_empty());

    by_key.columns.pop();
    let format = delimited("k,name,code,count,owner");
    let findings = RowProgram::compile(&by_key, &loads(by_key.clone()), &catalog(), &format);
    let text = findings.unwrap_err()[0].to_string();
    assert!(text.starts_with("column owner: part of the alternate key"), "{text}");
}

#[test]
fn a_mapping_that_cannot_work_is_found_whole() {
    let from = |target: &str, source: &str| ColumnMapping {
        from: ValueSource::Column(source.into()),
        ..map(target)
    };
    let constant = ColumnMapping { from: ValueSource::Constant("many".into()), ..map("count") };
    let columns = vec![
        map("nonsense"),
        map("contactid"),
        map("fixed"),
        map("photo"),
        from("name", "missing"),
        from("name", "k"),
        constant,
        ColumnMapping { default: Some("x".into()), ..from("amount", "k") },
        ColumnMapping { date_format: Some("%d".into()), ..from("colour", "k") },
        ColumnMapping { truncate: true, ..from("active", "k") },
        ColumnMapping { time_zone: Some("Mars/Base".into()), ..from("seen", "k") },
        map("parent"),
        lookup("owner", &[("account", LookupBy::Id)], None),
        lookup("born", &[("account", LookupBy::Id)], None),
    ];
    let load = load("c", "contact", columns);
    let format = delimited("k,nonsense,contactid,fixed,photo,parent,owner,born");
    let findings = RowProgram::compile(&load, &loads(load.clone()), &catalog(), &format);
    let got: Vec<String> = findings.unwrap_err().iter().map(ToString::to_string).collect();
    let expect = [
        "column nonsense: table contact has no such column",
        "column contactid: holds the row's id; set it by `ids`, not by a mapping",
        "column fixed: cannot be set by create; remove it",
        "column photo: file columns cannot be set when a row is written; upload after it",
        "column name: the source has no column \"missing\"; its header names k, nonsense, \
         contactid, fixed, photo, parent, owner, born",
        "column name: mapped twice; remove one",
        "column count: constant: \"many\" is not a whole number",
        "column amount: default: \"x\" is not a decimal number; write it like -1234.56, without \
         thousands separators or currency",
        "column colour: `date_format` and `time_zone` have a meaning for dates only",
        "column active: `truncate` has a meaning for text columns only; remove it",
        "column seen: time zone \"Mars/Base\" is unknown; use an IANA name like Europe/Berlin",
        "column parent: say which of account, contact it leads to, and how",
        "column owner: does not lead to table account; it leads to systemuser",
        "column born: is no lookup; remove its lookup rule",
    ];
    assert_eq!(got, expect);
    let mut pending = load.clone();
    pending.columns.clear();
    pending.ids = IdRule::AlternateKey("pending".into());
    let findings = RowProgram::compile(&pending, &loads(pending.clone()), &catalog(), &format);
    assert!(findings.unwrap_err()[0].message.contains("not active yet"));
}
