//! Every type of column, from a CSV file and from lines of JSON: what is stored is what was meant.

use crate::rig::{Rig, quick};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Rows of each file; row `n` takes case `n` of each column, and begins anew when there are fewer.
const ROWS: usize = 4;

/// In a CSV file, in a line of JSON, in the store. Nothing in the store: the column is not set.
type Case = (&'static str, &'static str, &'static str);

const ADA: &str = "05e50000-0000-4000-8000-000000000001";
const SALES: &str = "7ea30000-0000-4000-8000-000000000002";

const COLUMNS: &[(&str, &[Case])] = &[
    (
        "new_name",
        &[
            ("plain", r#""plain""#, r#""plain""#),
            (
                "Grüße; \"quoted\", 😀 and\ntwo lines",
                r#""Grüße; \"quoted\", \ud83d\ude00 and\ntwo lines""#,
                r#""Grüße; \"quoted\", 😀 and\ntwo lines""#,
            ),
            ("=1+1", r#""=1+1""#, r#""=1+1""#),
            (" kept blanks ", r#"" kept blanks ""#, r#"" kept blanks ""#),
        ],
    ),
    ("new_short", &[("äöüäöüäöü€", r#""äöüäöüäöü€""#, r#""äöüäöüäöü€""#), ("", "null", "")]),
    ("new_email", &[("ada@contoso.test", r#""ada@contoso.test""#, r#""ada@contoso.test""#)]),
    (
        "new_url",
        &[(
            "https://contoso.test/a?b=c&d",
            r#""https://contoso.test/a?b=c&d""#,
            r#""https://contoso.test/a?b=c&d""#,
        )],
    ),
    ("new_json", &[(r#"{"a":[1,null]}"#, r#""{\"a\":[1,null]}""#, r#""{\"a\":[1,null]}""#)]),
    (
        "new_memo",
        &[("first\r\nsecond\tline", r#""first\r\nsecond\tline""#, r#""first\r\nsecond\tline""#)],
    ),
    (
        "new_whole",
        &[("-100", "-100", "-100"), ("100", "100", "100"), ("0", "\"0\"", "0"), ("", "null", "")],
    ),
    (
        "new_wholefull",
        &[
            ("-2147483648", "-2147483648", "-2147483648"),
            ("2147483647", "2147483647", "2147483647"),
        ],
    ),
    (
        "new_big",
        &[
            ("9007199254740993", "9007199254740993", "9007199254740993"),
            ("-9223372036854775807", "-9223372036854775807", "-9223372036854775807"),
        ],
    ),
    (
        "new_decimal",
        &[
            ("99999999999.9999999999", "99999999999.9999999999", "99999999999.9999999999"),
            ("-0.0000000001", "-0.0000000001", "-0.0000000001"),
            ("0.1", "0.1", "0.1"),
            ("12e2", "12e2", "1200"),
        ],
    ),
    (
        "new_decimal2",
        &[
            ("0.10", "0.10", "0.1"),
            ("1000", "1000", "1000"),
            ("999.99", "\"999.99\"", "999.99"),
            ("0", "0.0", "0"),
        ],
    ),
    (
        "new_money",
        &[
            ("123456789012.3456", "123456789012.3456", "123456789012.3456"),
            ("-0.0001", "-0.0001", "-0.0001"),
        ],
    ),
    ("new_money2", &[("1000000", "1000000", "1000000"), ("0.01", "0.01", "0.01")]),
    ("new_float", &[("3.14159", "3.14159", "3.14159"), ("-1e3", "-1e3", "-1000"), ("0", "0", "0")]),
    (
        "new_flag",
        &[
            ("true", "true", "true"),
            ("0", "0", "false"),
            ("On", "\"On\"", "true"),
            ("no", "\"no\"", "false"),
        ],
    ),
    ("new_choice", &[("2", "2", "2"), ("Three", "\"Three\"", "3"), ("", "null", "")]),
    (
        "new_globalchoice",
        &[("Überhöht", "\"Überhöht\"", "100000003"), ("100000001", "100000001", "100000001")],
    ),
    (
        "new_choices",
        &[
            ("Red;100000002", r#"["Red", 100000002]"#, "[100000000,100000002]"),
            ("Black", r#"["Black"]"#, "[100000004]"),
            ("", "null", ""),
        ],
    ),
    (
        "new_instant",
        &[
            ("2026-03-01T12:00:00Z", r#""2026-03-01T12:00:00Z""#, r#""2026-03-01T12:00:00Z""#),
            (
                "2026-03-01T12:00:00+02:00",
                r#""2026-03-01T12:00:00+02:00""#,
                r#""2026-03-01T10:00:00Z""#,
            ),
        ],
    ),
    (
        "new_day",
        &[
            ("2024-02-29", r#""2024-02-29""#, r#""2024-02-29""#),
            ("1899-12-31", r#""1899-12-31""#, r#""1899-12-31""#),
        ],
    ),
    (
        "new_wall",
        &[("2026-03-29T02:30:00", r#""2026-03-29T02:30:00""#, r#""2026-03-29T02:30:00Z""#)],
    ),
    (
        "new_guid",
        &[(
            "{0F0F0F0F-1111-4222-8333-44444444ABCD}",
            r#""0f0f0f0f-1111-4222-8333-44444444abcd""#,
            r#""0f0f0f0f-1111-4222-8333-44444444abcd""#,
        )],
    ),
    ("new_image", &[("aGVsbG8=", r#""aGVsbG8=""#, r#""aGVsbG8=""#)]),
    ("new_must", &[("must", r#""must""#, r#""must""#)]),
    ("new_createonly", &[("once", r#""once""#, r#""once""#)]),
];

const LOOKUPS: &str = r#"
new_lookup = { from = "simple", lookup = { table = "new_simple", key = "new_codekey" } }
new_customer = { from = "customer", lookup = { type_column = "customer_type", targets = [
  { table = "account", staged = "account" },
  { table = "contact", staged = "contact" },
] } }
new_any = { from = "any", lookup = { table = "new_simple", staged = "simple" } }
ownerid = { from = "owner", lookup = { type_column = "owner_type", targets = [
  { table = "systemuser", id = true },
  { table = "team", id = true },
] } }
"#;

const PARENTS: &str = r#"
[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"
[table.columns]
accountnumber = "No"

[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
[table.columns]
lastname = "No"

[[table]]
name = "simple"
table = "new_simple"
source = "simple.csv"
key = "No"
operation = "create"
[table.columns]
new_code = "No"
new_name = "No"
"#;

/// What each row has besides [`COLUMNS`]: names and texts.
fn others(prefix: &str, row: usize) -> Vec<(&'static str, String)> {
    let contact = row % 2 == 1;
    let text = |text: &str| text.to_owned();
    vec![
        ("key", format!("{prefix}-{row}")),
        ("simple", text("S-1")),
        ("customer", text(if contact { "C-1" } else { "A-1" })),
        ("customer_type", text(if contact { "contact" } else { "account" })),
        ("any", text("S-2")),
        ("owner", text(if contact { SALES } else { ADA })),
        ("owner_type", text(if contact { "team" } else { "systemuser" })),
    ]
}

fn stage(rig: &Rig) {
    rig.write("account.csv", "No\nA-1\n");
    rig.write("contact.csv", "No\nC-1\n");
    rig.write("simple.csv", "No\nS-1\nS-2\n");
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut lines = String::new();
    let header = others("", 0).into_iter().map(|(name, _)| name);
    csv.write_record(header.chain(COLUMNS.iter().map(|(name, _)| *name))).unwrap();
    for row in 0..ROWS {
        let cases = COLUMNS.iter().map(|(name, cases)| (*name, cases[row % cases.len()]));
        let texts = others("csv", row).into_iter().map(|(_, value)| value);
        csv.write_record(texts.chain(cases.clone().map(|(_, (text, ..))| text.to_owned())))
            .unwrap();
        let texts = others("json", row).into_iter();
        let members: Vec<String> = texts
            .map(|(name, value)| format!("\"{name}\":\"{value}\""))
            .chain(cases.map(|(name, (_, json, _))| format!("\"{name}\":{json}")))
            .collect();
        lines.push_str(&format!("{{{}}}\n", members.join(",")));
    }
    rig.write("all.csv", csv.into_inner().unwrap());
    rig.write("all.jsonl", lines);
}

#[derive(Deserialize)]
struct Dumped<'a> {
    #[serde(borrow)]
    values: BTreeMap<String, &'a RawValue>,
}

#[test]
fn every_type_of_column_arrives_as_it_was_meant_from_csv() {
    round_trip("csv");
}

#[test]
fn every_type_of_column_arrives_as_it_was_meant_from_lines_of_json() {
    round_trip("jsonl");
}

fn round_trip(kind: &str) {
    let rig = Rig::start(quick());
    stage(&rig);
    let mut columns = String::from("[table.columns]\nnew_code = \"key\"\n");
    for (name, _) in COLUMNS {
        columns.push_str(&format!("{name} = \"{name}\"\n"));
    }
    columns.push_str(LOOKUPS);
    let table = format!(
        "\n[[table]]\nname = \"all\"\ntable = \"new_alltypes\"\nsource = \"all.{kind}\"\n\
         key = \"key\"\noperation = \"create\"\n{columns}"
    );
    rig.job("job", &format!("{PARENTS}{table}"));
    let run = rig.load("job");
    let errors = rig.path(&format!("job.out/all.errors.{kind}"));
    let errors = std::fs::read_to_string(errors).unwrap_or_default();
    assert!(errors.lines().count() <= 1, "{errors}");
    run.expect(0).balanced();

    let id_of = |job: &str, key: &str| {
        let rows = rig.rows("job", job, "success");
        rows.iter().find(|row| row["key"] == key).expect("it was loaded")["id"].clone()
    };
    let ids: BTreeMap<&str, String> = [
        ("A-1", id_of("account", "A-1")),
        ("C-1", id_of("contact", "C-1")),
        ("S-1", id_of("simple", "S-1")),
        ("S-2", id_of("simple", "S-2")),
        (ADA, ADA.to_owned()),
        (SALES, SALES.to_owned()),
    ]
    .into();
    let dump = rig.dump("new_alltypes");
    let mut found = 0;
    for line in dump.lines() {
        let row: Dumped<'_> = serde_json::from_str(line).unwrap();
        let key: String = serde_json::from_str(row.values["new_code"].get()).unwrap();
        let number: usize = key.rsplit('-').next().unwrap().parse().unwrap();
        for (name, cases) in COLUMNS {
            let stored = row.values.get(*name).map_or("", |raw| raw.get());
            let stored: &str = &stored.replace("\\u000a", "\\n");
            assert_eq!(stored, cases[number % cases.len()].2, "{key} {name}");
        }
        let wanted: BTreeMap<&str, String> = others("", number).into_iter().collect();
        for (column, table, value) in [
            ("new_lookup", "new_simple", &wanted["simple"]),
            ("new_customer", wanted["customer_type"].as_str(), &wanted["customer"]),
            ("new_any", "new_simple", &wanted["any"]),
            ("ownerid", wanted["owner_type"].as_str(), &wanted["owner"]),
        ] {
            let reference = format!("{{\"table\":\"{table}\",\"id\":\"{}\"}}", ids[value.as_str()]);
            assert_eq!(row.values[column].get(), reference, "{key} {column}");
        }
        assert!(row.values["new_number"].get().starts_with("\"AT-"), "{key}");
        found += 1;
    }
    assert_eq!(found, ROWS);
}
