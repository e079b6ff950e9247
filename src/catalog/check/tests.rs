//! A small environment, and jobs that do not fit it.

use super::{CHECKS, Finding, Severity, check};
use crate::catalog::model::{
    AlternateKey, BulkMessages, Catalog, Choice, Column, ColumnKind, DateBehavior, LookupTarget,
    Required, StatusChoice, Table, TableKind,
};
use crate::config::job::Job;
use crate::config::parse::parse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        logical_name: name.to_ascii_lowercase(),
        schema_name: name.to_owned(),
        kind,
        required: Required::None,
        valid_for_create: true,
        valid_for_update: true,
        valid_for_read: true,
        is_secured: false,
        is_auto_number: false,
    }
}

fn lookup(targets: &[&str]) -> ColumnKind {
    ColumnKind::Lookup(
        targets
            .iter()
            .map(|t| LookupTarget {
                table: (*t).to_owned(),
                entity_set: format!("{t}s"),
                navigation_property: format!("nav_{t}"),
            })
            .collect(),
    )
}

fn table(name: &str, columns: Vec<Column>, keys: Vec<AlternateKey>) -> Table {
    let mut all = vec![column(&format!("{name}id"), ColumnKind::Guid)];
    all.extend(columns);
    Table {
        logical_name: name.to_owned(),
        entity_set: format!("{name}s"),
        primary_id: format!("{name}id"),
        primary_name: Some("name".to_owned()),
        kind: TableKind::Standard,
        is_activity: false,
        is_intersect: false,
        is_custom: false,
        columns: all.into_iter().map(|c| (c.logical_name.clone(), c)).collect(),
        keys,
        messages: BulkMessages { create: true, update: true, upsert: true, delete: false },
    }
}

fn key(name: &str, columns: &[&str], is_active: bool) -> AlternateKey {
    AlternateKey {
        name: name.to_owned(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        is_active,
    }
}

fn environment() -> Catalog {
    let choice = |value, label: &str| Choice { value, labels: vec![label.to_owned()] };
    let text = |max_length| ColumnKind::Text { max_length };
    let money = ColumnKind::Money { min: "-5".into(), max: "1000.50".into(), precision: 2 };
    let account = table(
        "account",
        vec![
            Column { required: Required::Application, ..column("Name", text(10)) },
            column("AccountNumber", text(20)),
            column("Revenue", money.clone()),
            column("Employees", ColumnKind::Integer { min: 0, max: 100 }),
            column(
                "IndustryCode",
                ColumnKind::Choice(vec![choice(1, "Water"), choice(2, "Power")]),
            ),
            column("ParentAccountId", lookup(&["account"])),
            column("PrimaryContactId", lookup(&["contact"])),
            column("OwnerId", lookup(&["systemuser", "team"])),
            column(
                "StateCode",
                ColumnKind::State(vec![choice(0, "Active"), choice(1, "Inactive")]),
            ),
            column(
                "StatusCode",
                ColumnKind::Status(vec![StatusChoice { choice: choice(1, "Active"), state: 0 }]),
            ),
            column("Founded", ColumnKind::DateTime(DateBehavior::DateOnly)),
            column("Logo", ColumnKind::File),
            column("OverriddenCreatedOn", ColumnKind::DateTime(DateBehavior::UserLocal)),
            Column {
                valid_for_create: false,
                valid_for_update: false,
                ..column("CreatedOn", ColumnKind::DateTime(DateBehavior::UserLocal))
            },
            Column { valid_for_update: false, ..column("Origin", text(5)) },
            Column { valid_for_create: false, ..column("Ended", text(5)) },
            Column { required: Required::System, ..column("Region", text(5)) },
            Column { is_secured: true, ..column("TaxNumber", text(20)) },
        ],
        vec![
            key("numberkey", &["accountnumber"], true),
            key("pairkey", &["accountnumber", "region"], true),
            key("moneykey", &["revenue"], true),
            key("slowkey", &["name"], false),
        ],
    );
    let contact = table(
        "contact",
        vec![
            column("LastName", text(50)),
            column("ParentCustomerId", lookup(&["account", "contact"])),
        ],
        vec![],
    );
    let event = Table {
        kind: TableKind::Elastic,
        messages: BulkMessages { create: true, update: true, upsert: true, delete: true },
        ..table(
            "event",
            vec![column("Name", text(10)), column("PartitionId", text(50)), column("Price", money)],
            vec![],
        )
    };
    let link = Table {
        is_intersect: true,
        messages: BulkMessages::default(),
        ..table("link", vec![], vec![])
    };
    let far =
        Table { kind: TableKind::Virtual, ..table("far", vec![column("Name", text(10))], vec![]) };
    let tables: BTreeMap<_, _> = [account, contact, event, link, far]
        .into_iter()
        .map(|t| (t.logical_name.clone(), Arc::new(t)))
        .collect();
    Catalog { tables, fingerprint: 0 }
}

fn job(loads: &str) -> Job {
    let text = format!(
        "[environment]\nurl = \"https://a.example\"\norganization = \"o\"\n[[identity]]\n\
         managed_identity = true\n{loads}"
    );
    parse(&text, Path::new("job.toml"), &|_| true).unwrap_or_else(|e| panic!("{e}"))
}

/// Findings of a load of `table` with `rest` after the head, for columns in `columns`.
fn findings(table: &str, operation: &str, rest: &str, columns: &str) -> Vec<Finding> {
    let text = format!(
        "[[table]]\ntable = \"{table}\"\nsource = \"x.csv\"\nkey = \"No\"\n\
         operation = \"{operation}\"\n{rest}\n[table.columns]\n{columns}\n"
    );
    check(&job(&text), &environment(), &[None])
}

/// Errors and warnings as `code column`.
fn trouble(table: &str, operation: &str, rest: &str, columns: &str) -> Vec<String> {
    findings(table, operation, rest, columns)
        .iter()
        .filter(|f| f.severity != Severity::Note)
        .map(|f| format!("{} {}", f.code, f.column.as_deref().unwrap_or("-")))
        .collect()
}

/// A creating load of `account` whose required column is mapped.
fn of_account(columns: &str) -> Vec<String> {
    trouble("account", "create", "", &format!("region = \"R\"\n{columns}"))
}

#[test]
fn a_good_load_has_only_notes() {
    let good = "name = \"N\"\nrevenue = { from = \"R\", default = \"12.50\" }\n\
        industrycode = { constant = \"water\" }\nemployees = { from = \"E\", default = 100 }\n\
        parentaccountid = { from = \"P\", lookup = { table = \"account\", key = \"numberkey\" } }\n\
        ownerid = { from = \"O\", lookup = { table = \"systemuser\", id = true } }\n\
        founded = { constant = 2020-02-29 }";
    assert_eq!(of_account(good), Vec::<String>::new());
}

#[test]
fn tables() {
    assert_eq!(trouble("acount", "create", "", "name = \"N\""), ["DV0101 -"]);
    assert_eq!(trouble("far", "create", "", "name = \"N\""), ["DV0102 -"]);
    assert_eq!(trouble("link", "delete", "ids = { column = \"Id\" }", ""), ["DV0102 -"]);
}

#[test]
fn columns() {
    assert_eq!(of_account("nmae = \"N\""), ["DV0103 nmae"]);
    assert_eq!(of_account("logo = \"N\""), ["DV0105 logo"]);
    assert_eq!(of_account("createdon = \"N\""), ["DV0105 createdon"]);
    assert_eq!(of_account("ended = \"N\""), ["DV0104 ended"]);
    assert_eq!(trouble("account", "create", "", "name = \"N\""), ["DV0108 region"]);
    let ids = "ids = { column = \"Id\" }";
    assert_eq!(trouble("account", "update", ids, "origin = \"N\""), ["DV0104 origin"]);
    assert_eq!(
        trouble("account", "upsert", ids, "region = \"R\"\norigin = \"N\""),
        ["DV0104 origin"]
    );
    assert_eq!(of_account("accountid = \"Id\""), ["DV0117 accountid"]);
    assert_eq!(of_account("statecode = \"S\""), ["DV0120 statecode"]);
    assert_eq!(trouble("account", "update", ids, "statecode = \"S\""), Vec::<String>::new());
    assert_eq!(
        trouble("account", "update", ids, "overriddencreatedon = \"S\""),
        ["DV0121 overriddencreatedon"]
    );
    assert_eq!(of_account("employees = { from = \"E\", truncate = true }"), ["DV0124 employees"]);
    assert_eq!(
        of_account("founded = { from = \"F\", time_zone = \"Europe/Berlin\" }"),
        ["DV0124 founded"]
    );
}

#[test]
fn constants() {
    for (columns, expected) in [
        ("name = { constant = \"longer than ten\" }", "DV0107 name"),
        ("name = { from = \"N\", default = \"😀😀😀😀😀!\" }", "DV0107 name"),
        ("revenue = { constant = \"1000.51\" }", "DV0107 revenue"),
        ("revenue = { constant = \"-5.01\" }", "DV0107 revenue"),
        ("revenue = { constant = \"1.005\" }", "DV0107 revenue"),
        ("employees = { constant = 101 }", "DV0107 employees"),
        ("industrycode = { constant = \"Gas\" }", "DV0106 industrycode"),
        ("industrycode = { constant = \"1\", choice = \"label\" }", "DV0106 industrycode"),
        ("founded = { constant = \"1700-01-01\" }", "DV0107 founded"),
        ("founded = { constant = \"2020-02-30\" }", "DV0107 founded"),
        (
            "ownerid = { constant = \"me\", lookup = { table = \"team\", id = true } }",
            "DV0107 ownerid",
        ),
    ] {
        assert_eq!(of_account(columns), [expected], "{columns}");
    }
}

#[test]
fn lookups() {
    let parent = |lookup: &str| {
        of_account(&format!("parentaccountid = {{ from = \"P\", lookup = {{ {lookup} }} }}"))
    };
    assert_eq!(parent("table = \"contact\", id = true"), ["DV0110 parentaccountid"]);
    assert_eq!(parent("table = \"account\", key = \"accountnumber\""), ["DV0112 parentaccountid"]);
    assert_eq!(parent("table = \"account\", key = \"slowkey\""), ["DV0112 parentaccountid"]);
    assert_eq!(parent("table = \"account\", key = \"pairkey\""), ["DV0114 parentaccountid"]);
    assert_eq!(parent("table = \"account\", key = \"moneykey\""), ["DV0114 parentaccountid"]);
    assert_eq!(of_account("parentaccountid = \"P\""), Vec::<String>::new());
    assert_eq!(of_account("ownerid = \"O\""), ["DV0109 ownerid"]);
    assert_eq!(
        of_account("name = { from = \"P\", lookup = { table = \"account\", id = true } }"),
        ["DV0109 name"]
    );
}

#[test]
fn alternate_keys() {
    let with = |key: &str, columns: &str| {
        trouble("account", "update", &format!("ids = {{ alternate_key = \"{key}\" }}"), columns)
    };
    assert_eq!(with("numberkey", "accountnumber = \"A\"\nname = \"N\""), Vec::<String>::new());
    assert_eq!(with("numberkey", "accountnumber = \"A\""), ["DV0113 -"]);
    assert_eq!(with("pairkey", "accountnumber = \"A\"\nname = \"N\""), ["DV0113 region"]);
    assert_eq!(with("nokey", "name = \"N\""), ["DV0112 -"]);
    let near =
        findings("account", "update", "ids = { alternate_key = \"numberky\" }", "name = \"N\"");
    assert_eq!(near[0].way_out, "did you mean `numberkey`?");
}

#[test]
fn elastic_tables() {
    assert_eq!(trouble("event", "create", "", "name = \"N\"\nprice = \"P\""), ["DV0118 price"]);
    assert_eq!(
        trouble("event", "upsert", "ids = { column = \"Id\" }", "name = \"N\""),
        ["DV0118 partitionid", "DV0118 -"]
    );
}

#[test]
fn headers() {
    let text = "[[table]]\ntable = \"contact\"\nsource = \"x.csv\"\nkey = \"No\"\n\
        operation = \"create\"\n[table.columns]\nlastname = \"LastNme\"\n\
        parentcustomerid = { from = \"P\", lookup = { type_column = \"PT\", targets = [{ table = \
        \"account\", id = true }, { table = \"contact\", id = true }] } }\n";
    let header = ["No", "LastName", "P", "P", "Extra", "__code"].map(str::to_owned).to_vec();
    let found = check(&job(text), &environment(), &[Some(header)]);
    let shown: Vec<String> = found
        .iter()
        .filter(|f| f.check == "source-columns")
        .map(|f| format!("{} {}: {} ({})", f.severity.word(), f.code, f.message, f.way_out))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    error DV0115: the source has no column `LastNme`, which lastname needs (did you mean `LastName`?)
    error DV0115: the header names `P` 2 times; parentcustomerid needs it (give each source column its own name)
    error DV0115: the source has no column `PT`, which parentcustomerid needs (the header has: No, LastName, P, P, Extra, __code)
    note DV0116: source columns without a target: LastName, Extra (map them, or leave it at that)
    "#);
}

#[test]
fn notes_tell_what_will_happen() {
    let found = findings(
        "account",
        "create",
        "request = { bypass_sync = true, act_for_object = \"3f2504e0-4f89-11d3-9a0c-0305e82c3301\" }",
        "region = \"R\"\nrevenue = \"V\"\ntaxnumber = \"T\"\noverriddencreatedon = \"C\"",
    );
    let shown: Vec<String> =
        found.iter().map(|f| format!("{} {} {}", f.severity.word(), f.code, f.message)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    note DV0121 needs privilege prvOverrideCreatedOnCreatedBy
    note DV0123 no `transactioncurrencyid` is mapped: revenue will be in the application user's or the organization's own currency
    note DV0119 rows go by CreateMultiple
    note DV0122 leaving out custom logic needs privilege prvBypassCustomBusinessLogic
    note DV0122 writing for another user needs privilege prvActOnBehalfOfAnotherUser, and only what both users may do is done
    note DV0122 field security guards taxnumber
    "#);
}

#[test]
fn check_names_are_unique() {
    let names: std::collections::HashSet<_> = CHECKS.iter().map(|c| c.name).collect();
    assert_eq!(names.len(), CHECKS.len());
}
