//! The main way: staged files of related tables into the store, every row accounted for.

use crate::rig::{Rig, Row, quick, read_rows, success_is_store};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

const ACCOUNTS: u32 = 300;
const CONTACTS: u32 = 500;
const PEOPLE: u32 = 120;

/// Accounts that are refused before sending, as their number of employees is no number.
const UNFIT: [u32; 3] = [6, 99, 297];

fn tables(account: &str, contact: &str, people: &str) -> String {
    format!(
        r#"
[breakers]
failed_share_max = 1.0

[[table]]
table = "account"
source = "{account}"
key = "AccountNo"
operation = "create"

[table.columns]
accountnumber = "AccountNo"
name = "Name"
numberofemployees = "Employees"
revenue = "Revenue"
description = "Notes"

[[table]]
name = "people"
table = "contact"
source = "{people}"
key = "id"
operation = "create"

[table.columns]
externaluseridentifier = "id"
lastname = "last"
birthdate = "birthday"

[[table]]
table = "contact"
source = "{contact}"
key = "ContactNo"
operation = "create"
batch = 40

[table.columns]
externaluseridentifier = "ContactNo"
lastname = "Last"
parentcustomerid = {{ from = "Parent", lookup = {{ type_column = "Kind", targets = [
  {{ table = "account", staged = "account" }},
  {{ table = "contact", staged = "people" }},
] }} }}
"#
    )
}

fn stage(rig: &Rig) {
    let mut accounts = "AccountNo,Name,Employees,Revenue,Notes\n".to_owned();
    for n in 0..ACCOUNTS {
        let employees =
            if UNFIT.contains(&n) { "about a dozen".to_owned() } else { (n * 3).to_string() };
        writeln!(
            accounts,
            "A-{n:04},\"Müller & \"\"Söhne\"\" {n}\",{employees},{n}.25,\"first line\nsecond line, {n}\"",
        )
        .unwrap();
    }
    rig.write("in/account.csv", accounts);

    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    for n in 0..PEOPLE {
        writeln!(
            packed,
            "{{\"id\":\"P-{n:04}\",\"last\":\"O’Neil {n}\",\"birthday\":\"1980-02-{:02}\"}}",
            n % 28 + 1
        )
        .unwrap();
    }
    rig.write("in/people.jsonl.gz", packed.finish().unwrap());

    let mut contacts = "ContactNo,Last,Kind,Parent\n".to_owned();
    for n in 0..CONTACTS {
        let (kind, parent) = match n % 3 {
            0 => ("account", format!("A-{:04}", n % ACCOUNTS)),
            1 => ("contact", format!("P-{:04}", n % PEOPLE)),
            _ => ("", String::new()),
        };
        writeln!(contacts, "C-{n:04},Last {n},{kind},{parent}").unwrap();
    }
    rig.write("in/contact.csv", contacts);
}

/// Contacts whose parent is one of the unfit accounts.
fn orphans() -> BTreeSet<String> {
    (0..CONTACTS)
        .filter(|n| n % 3 == 0 && UNFIT.contains(&(n % ACCOUNTS)))
        .map(|n| format!("C-{n:04}"))
        .collect()
}

fn keys(rows: &[Row], column: &str) -> BTreeSet<String> {
    let keys: BTreeSet<String> = rows.iter().map(|row| row[column].clone()).collect();
    assert_eq!(keys.len(), rows.len(), "a key stands twice");
    keys
}

/// Rows of the store that carry a source key with this letter.
fn of_letter(
    store: &BTreeMap<String, Value>,
    column: &str,
    letter: char,
) -> BTreeMap<String, Value> {
    store
        .iter()
        .filter(|(_, row)| row[column].as_str().is_some_and(|key| key.starts_with(letter)))
        .map(|(id, row)| (id.clone(), row.clone()))
        .collect()
}

#[test]
fn related_tables_arrive_and_every_row_is_accounted_for() {
    let rig = Rig::start(quick());
    stage(&rig);
    rig.job("first", &tables("in/account.csv", "in/contact.csv", "in/people.jsonl.gz"));
    let run = rig.load("first").expect(2);
    run.balanced();
    let orphans = orphans();
    assert!(orphans.len() >= 3, "the test is about several orphans");
    assert_eq!(run.rows("account", "created"), u64::from(ACCOUNTS) - UNFIT.len() as u64);
    assert_eq!(run.rows("account", "rejected"), UNFIT.len() as u64);
    assert_eq!(run.rows("people", "created"), u64::from(PEOPLE));
    assert_eq!(run.rows("contact", "created"), u64::from(CONTACTS) - orphans.len() as u64);
    assert_eq!(run.summary["exit_code"], 2);
    assert_eq!(run.summary["complete"], true);

    let accounts = rig.store("account");
    let account_ids =
        success_is_store(&rig.rows("first", "account", "success"), &accounts, "accountnumber");
    let all = rig.store("contact");
    let contacts = of_letter(&all, "externaluseridentifier", 'C');
    let people = of_letter(&all, "externaluseridentifier", 'P');
    assert_eq!(contacts.len() + people.len(), all.len());
    let column = "externaluseridentifier";
    let people_ids = success_is_store(&rig.rows("first", "people", "success"), &people, column);
    let contact_ids = success_is_store(&rig.rows("first", "contact", "success"), &contacts, column);

    let one = &accounts[&account_ids["A-0005"]];
    assert_eq!(one["name"], "Müller & \"Söhne\" 5");
    assert_eq!(one["description"], "first line\nsecond line, 5");
    assert_eq!(one["numberofemployees"], 15);
    assert_eq!(one["revenue"].to_string(), "5.25");
    for n in 0..CONTACTS {
        let Some(id) = contact_ids.get(&format!("C-{n:04}")) else { continue };
        let parent = &contacts[id]["parentcustomerid"];
        let (table, id) = match n % 3 {
            0 => ("account", &account_ids[&format!("A-{:04}", n % ACCOUNTS)]),
            1 => ("contact", &people_ids[&format!("P-{:04}", n % PEOPLE)]),
            _ => {
                assert!(parent.is_null(), "C-{n:04} has no parent");
                continue;
            }
        };
        assert_eq!((&parent["table"], &parent["id"]), (&table.into(), &id.as_str().into()));
    }

    let refused = rig.rows("first", "account", "errors");
    let wanted: BTreeSet<String> = UNFIT.iter().map(|n| format!("A-{n:04}")).collect();
    assert_eq!(keys(&refused, "AccountNo"), wanted);
    for row in &refused {
        assert!(row["__code"].starts_with("DV"), "{row:?}");
        assert!(row["__message"].contains("about a dozen"), "{row:?}");
        assert_eq!(row["__attempts"], "0", "{row:?}");
        assert!(row["Notes"].starts_with("first line\nsecond line, "), "{row:?}");
    }
    assert_eq!(keys(&rig.rows("first", "contact", "errors"), "ContactNo"), orphans);
    assert!(rig.rows("first", "people", "success").len() == PEOPLE as usize);

    the_error_files_load_once_mended(&rig, &wanted, &orphans);

    // Nothing is left to do, and nothing is done: the same files, no request that writes.
    let files = ["account.success", "contact.success", "contact.errors", "account.errors"];
    let read = |file: &str| std::fs::read(rig.path(&format!("first.out/{file}.csv"))).unwrap();
    let before: Vec<Vec<u8>> = files.iter().map(|file| read(file)).collect();
    let writes = rig.writes();
    let again = rig.load("first").expect(2);
    again.balanced();
    assert_eq!(rig.writes(), writes, "a finished job writes again");
    assert_eq!(files.map(read).to_vec(), before);
    assert_eq!(again.rows("contact", "created"), run.rows("contact", "created"));
}

/// The error file of the accounts with the bad value corrected, that of the contacts as it is:
/// nothing was wrong with them but their parents.
fn the_error_files_load_once_mended(
    rig: &Rig,
    accounts: &BTreeSet<String>,
    contacts: &BTreeSet<String>,
) {
    let errors = rig.path("first.out/account.errors.csv");
    let text = std::fs::read_to_string(&errors).unwrap();
    let wrong = text.matches(",about a dozen,").count();
    assert_eq!(wrong, accounts.len());
    rig.write("again/account.csv", text.replace(",about a dozen,", ",12,"));
    std::fs::copy(rig.path("first.out/contact.errors.csv"), rig.path("again/contact.csv")).unwrap();
    rig.write("again/people.jsonl", "");
    rig.job("again", &tables("again/account.csv", "again/contact.csv", "again/people.jsonl"));
    let run = rig.load("again").expect(0);
    run.balanced();
    assert_eq!(run.summary["exit_code"], 0);
    assert_eq!(run.rows("account", "created"), accounts.len() as u64);
    assert_eq!(run.rows("contact", "created"), contacts.len() as u64);
    let done = read_rows(&rig.path("again.out/contact.success.csv"));
    assert_eq!(keys(&done, "key"), *contacts);
    assert_eq!(rig.store("account").len(), ACCOUNTS as usize);
    assert_eq!(rig.store("contact").len(), (CONTACTS + PEOPLE) as usize);
}

#[test]
fn files_may_be_lines_of_json() {
    let rig = Rig::start(quick());
    rig.write("in.csv", "No,Name,Employees\nA-1,One,1\nA-2,Two,two\n");
    rig.job(
        "lines",
        r#"
[breakers]
failed_share_max = 1.0

[sinks]
format = "jsonl"

[[table]]
table = "account"
source = "in.csv"
key = "No"
operation = "create"

[table.columns]
accountnumber = "No"
name = "Name"
numberofemployees = "Employees"
"#,
    );
    rig.load("lines").expect(2).balanced();
    let text = std::fs::read_to_string(rig.path("lines.out/account.success.jsonl")).unwrap();
    let line: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["key"], "A-1");
    assert_eq!(line["action"], "created");
    assert!(rig.store("account").contains_key(line["id"].as_str().unwrap()));
    // An error file is written as its source was, so that it can be loaded again.
    let errors = rig.rows("lines", "account", "errors");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["Employees"], "two");
}
