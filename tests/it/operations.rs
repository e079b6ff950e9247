//! Everything but the plain create with pinned ids: update, upsert, delete, ids that Dataverse
//! makes, elastic tables, and tables that offer no bulk message.

use crate::rig::{Rig, Row, quick, success_is_store};
use dvbulk::simulator::settings::Settings;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MISSING: &str = "0f0f0f0f-1111-4222-8333-44444444abcd";

/// One `[[table]]`; batches of 16 rows, so that each test sends several.
fn table(table: &str, source: &str, operation: &str, ids: &str, columns: &str) -> String {
    let key = if ids.contains("column") { "id" } else { "No" };
    let ids = if ids.is_empty() { String::new() } else { format!("ids = {ids}\n") };
    format!(
        "[breakers]\nfailed_share_max = 1.0\n[[table]]\ntable = \"{table}\"\nsource = \"{source}\"\n\
         key = \"{key}\"\noperation = \"{operation}\"\n{ids}batch = 16\nparallel = 3\n\
         [table.columns]\n{columns}\n"
    )
}

fn numbered(rows: u32, more: impl Fn(u32) -> String) -> String {
    let mut text = "No,Name,Quantity\n".to_owned();
    for n in 0..rows {
        writeln!(text, "K-{n:03},{}", more(n)).unwrap();
    }
    text
}

/// Makes 40 rows of new_simple; gives back their ids by key.
fn forty(rig: &Rig) -> BTreeMap<String, String> {
    rig.write("in.csv", numbered(40, |n| format!("Name {n},{n}")));
    let columns = "new_code = \"No\"\nnew_name = \"Name\"\nnew_quantity = \"Quantity\"";
    rig.job("make", &table("new_simple", "in.csv", "create", "\"dataverse\"", columns));
    let run = rig.load("make").expect(0);
    run.balanced();
    assert_eq!(run.rows("new_simple", "created"), 40);
    let success = rig.rows("make", "new_simple", "success");
    success_is_store(&success, &rig.store("new_simple"), "new_code")
}

fn code(rows: &[Row], id: &str) -> String {
    rows.iter().find(|row| row["id"] == id).expect("it is in the file")["__code"].clone()
}

#[test]
fn rows_that_dataverse_numbers_are_updated_and_deleted_by_their_ids() {
    let rig = Rig::start(quick());
    let ids = forty(&rig);

    // An update changes what is mapped and nothing else, clears what says so, makes no row.
    let mut text = format!("id,Quantity,Notes\n{MISSING},1,nobody\n");
    for (n, id) in ids.values().enumerate().take(30) {
        writeln!(text, "{id},{},", n + 1000).unwrap();
    }
    rig.write("update.csv", text);
    let columns = "new_quantity = \"Quantity\"\nnew_notes = { from = \"Notes\", default = \"new\" }\n\
                   new_day = { constant = \"2026-02-03\" }";
    rig.job("change", &table("new_simple", "update.csv", "update", "{ column = \"id\" }", columns));
    let run = rig.load("change").expect(2);
    run.balanced();
    assert_eq!(run.rows("new_simple", "updated"), 30);
    let errors = rig.rows("change", "new_simple", "errors");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        (errors[0]["id"].as_str(), code(&errors, MISSING).as_str()),
        (MISSING, "0x80040217")
    );
    let store = rig.store("new_simple");
    assert_eq!(store.len(), 40);
    for (n, (key, id)) in ids.iter().enumerate() {
        let row = &store[id];
        assert_eq!(
            (&row["new_code"], &row["new_name"]),
            (&(*key).clone().into(), &format!("Name {n}").into())
        );
        assert_eq!(row["new_quantity"], if n < 30 { n + 1000 } else { n }, "{key}");
        assert_eq!(row["new_notes"] == "new", n < 30, "{key}");
        assert_eq!(row["new_day"] == "2026-02-03", n < 30, "{key}");
    }
    let success = rig.rows("change", "new_simple", "success");
    assert!(success.iter().all(|row| row["action"] == "updated" && row["id"] == row["key"]));

    // A delete takes exactly the named rows, in batches of single operations.
    let mut text = format!("id\n{MISSING}\n");
    for id in ids.values().skip(20) {
        writeln!(text, "{id}").unwrap();
    }
    rig.write("delete.csv", text);
    rig.job(
        "drop",
        &table("new_simple", "delete.csv", "delete", "{ column = \"id\" }", "")
            .replace("[table.columns]\n", ""),
    );
    let run = rig.load("drop").expect(2);
    run.balanced();
    assert_eq!(run.rows("new_simple", "deleted"), 20);
    let errors = rig.rows("drop", "new_simple", "errors");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["__category"], "missing", "{errors:?}");
    let left: Vec<&String> = ids.values().take(20).collect();
    let store = rig.store("new_simple");
    assert_eq!(store.len(), 20);
    assert!(left.iter().all(|id| store.contains_key(*id)));
    let stats = rig.sim.stats();
    assert!(!stats.operations.contains_key("delete"), "{:?}", stats.operations);
    assert_eq!(stats.batch_operations["delete"].requests, 21);
}

#[test]
fn upsert_by_id_changes_rows_and_makes_missing_ones() {
    let rig = Rig::start(quick());
    let ids = forty(&rig);
    let mut text = format!("id,Code,Name\n{MISSING},NEW,Made\n");
    for (key, id) in ids.iter().take(25) {
        writeln!(text, "{id},{key},Changed").unwrap();
    }
    rig.write("upsert.csv", text);
    let columns = "new_code = \"Code\"\nnew_name = \"Name\"";
    rig.job("both", &table("new_simple", "upsert.csv", "upsert", "{ column = \"id\" }", columns));
    let run = rig.load("both").expect(0);
    run.balanced();
    assert_eq!(run.rows("new_simple", "upserted"), 26);
    let store = rig.store("new_simple");
    assert_eq!(store.len(), 41);
    assert_eq!(store[MISSING]["new_code"], "NEW");
    let changed = store.values().filter(|row| row["new_name"] == "Changed").count();
    assert_eq!(changed, 25);
    assert_eq!(store[&ids["K-000"]]["new_quantity"], 0, "unmapped columns stay");
    assert!(rig.sim.stats().operations["UpsertMultiple"].requests >= 2);
}

#[test]
fn upsert_by_alternate_key_changes_rows_and_makes_missing_ones() {
    let rig = Rig::start(quick());
    let ids = forty(&rig);
    // 20 that are there and 20 that are not; values with characters that need care in URLs.
    let text = numbered(60, |n| format!("Changed {n},{n}"));
    let text: String = text
        .lines()
        .enumerate()
        .filter(|(n, _)| *n == 0 || *n > 20)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    rig.write("upsert.csv", format!("{text}O'Neil Ü,Quoted,7\n"));
    let columns = "new_code = \"No\"\nnew_name = \"Name\"\nnew_quantity = \"Quantity\"";
    rig.job(
        "both",
        &table(
            "new_simple",
            "upsert.csv",
            "upsert",
            "{ alternate_key = \"new_codekey\" }",
            columns,
        ),
    );
    let run = rig.load("both").expect(0);
    run.balanced();
    assert_eq!(run.rows("new_simple", "upserted"), 41);
    let store = rig.store("new_simple");
    assert_eq!(store.len(), 61);
    let mut codes: Vec<&str> =
        store.values().map(|row| row["new_code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 61);
    assert!(codes.contains(&"O'Neil Ü"));
    for (n, (key, id)) in ids.iter().enumerate() {
        let name = if n < 20 { format!("Name {n}") } else { format!("Changed {n}") };
        assert_eq!(store[id]["new_name"], name, "{key}");
    }
    // The success file tells the ids, though the answer to an upsert does not.
    let success = rig.rows("both", "new_simple", "success");
    assert_eq!(success.len(), 41);
    for row in &success {
        assert_eq!(store[&row["id"]]["new_code"], *row["key"], "{row:?}");
    }
}

#[test]
fn elastic_tables_take_partitions_and_tell_each_row_apart() {
    let rig = Rig::start(quick());
    let mut text = "No,Name,Device,Level\n".to_owned();
    for n in 0..50 {
        let device = format!("device-{}", n % 3);
        writeln!(text, "E-{n:02},Event {n},{device},{}", ["Low", "High"][n % 2]).unwrap();
    }
    rig.write("event.csv", text);
    let columns = "new_name = \"Name\"\nnew_device = \"Device\"\npartitionid = \"Device\"\nnew_level = \"Level\"";
    rig.job("make", &table("new_event", "event.csv", "create", "", columns));
    let run = rig.load("make").expect(0);
    run.balanced();
    assert_eq!(run.rows("new_event", "created"), 50);
    let store = rig.store("new_event");
    assert_eq!(store.len(), 50);
    let success = rig.rows("make", "new_event", "success");
    for row in &success {
        let stored = &store[&row["id"]];
        assert_eq!(stored["partitionid"], stored["new_device"], "{row:?}");
    }
    assert_eq!(success.len(), 50);

    // Upsert by id within a partition; then delete half of them by the bulk message.
    let mut upsert = "id,Name,Device\n".to_owned();
    let mut delete = "id,Device\n".to_owned();
    for (n, row) in success.iter().enumerate() {
        let device = store[&row["id"]]["new_device"].as_str().unwrap();
        writeln!(upsert, "{},Changed {n},{device}", row["id"]).unwrap();
        if n % 2 == 0 {
            writeln!(delete, "{},{device}", row["id"]).unwrap();
        }
    }
    writeln!(delete, "{MISSING},device-1").unwrap();
    rig.write("upsert.csv", upsert);
    rig.write("delete.csv", delete);
    let columns = "new_name = \"Name\"\nnew_device = \"Device\"\npartitionid = \"Device\"";
    rig.job("change", &table("new_event", "upsert.csv", "upsert", "{ column = \"id\" }", columns));
    let run = rig.load("change").expect(0);
    run.balanced();
    assert_eq!(run.rows("new_event", "upserted"), 50);
    let store = rig.store("new_event");
    assert_eq!(store.len(), 50, "an upsert into the right partition makes no second row");
    assert!(store.values().all(|row| row["new_name"].as_str().unwrap().starts_with("Changed")));

    let drop = table(
        "new_event",
        "delete.csv",
        "delete",
        "{ column = \"id\" }",
        "partitionid = \"Device\"",
    );
    rig.job("drop", &drop);
    let run = rig.load("drop").expect(2);
    run.balanced();
    let errors = rig.rows("drop", "new_event", "errors");
    assert_eq!(run.rows("new_event", "deleted"), 25, "{errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["id"], MISSING);
    assert_eq!(rig.store("new_event").len(), 25);
    assert!(rig.sim.stats().operations["DeleteMultiple"].requests >= 2);
}

const PLAIN: &str = r#"
[[table]]
name = "new_Plain"
set = "new_plains"
code = 10900
primary_name = "new_Name"
weight = "simple"
messages = []
columns = [
  { name = "new_Name", type = "text", max = 100, required = "application" },
  { name = "new_Code", type = "text", max = 20 },
]
keys = [{ name = "new_plaincodekey", columns = ["new_Code"] }]
"#;

#[test]
fn a_table_without_bulk_messages_is_loaded_in_batches_of_single_operations() {
    let definitions = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(definitions.path(), PLAIN).unwrap();
    let path = definitions.path().display().to_string();
    let rig = Rig::start(Settings { tables_files: vec![path], ..quick() });
    // Two rows of one alternate key: the second is refused, its neighbours are not.
    rig.write("in.csv", numbered(90, |n| format!("{},{n}", if n == 50 { 49 } else { n })));
    let columns = "new_code = \"Name\"\nnew_name = \"No\"";
    for (job, ids) in [("pinned", "\"pinned\""), ("dataverse", "\"dataverse\"")] {
        rig.job(job, &table("new_plain", "in.csv", "create", ids, columns));
        let run = rig.load(job).expect(2);
        run.balanced();
        let success = rig.rows(job, "new_plain", "success");
        let errors = rig.rows(job, "new_plain", "errors");
        if job == "pinned" {
            assert_eq!((success.len(), errors.len()), (89, 1));
            success_is_store(&success, &rig.store("new_plain"), "new_name");
        } else {
            // All keys are taken by the first job.
            assert_eq!((success.len(), errors.len()), (0, 90));
            assert!(errors.iter().all(|row| row["__category"] == "duplicate"), "{errors:?}");
        }
    }
    assert_eq!(rig.store("new_plain").len(), 89);
    let stats = rig.sim.stats();
    assert!(!stats.operations.contains_key("CreateMultiple"), "{:?}", stats.operations);
    assert!(stats.operations["$batch"].requests >= 12, "{:?}", stats.operations);
}
