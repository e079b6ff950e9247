//! Change tracking.

use super::kit::{Kit, code, id, kit, text};
use crate::simulator::call::{Answer, Verb};
use serde_json::Value as Tree;

const TRACK: (&str, &str) = ("Prefer", "odata.track-changes");

fn get(kit: &mut Kit, url: &str, prefer: &[(&str, &str)]) -> (Answer, Tree) {
    let path = url.strip_prefix("http://h/api/data/v9.2/").unwrap_or(url);
    let answer = kit.call(Verb::Get, path, prefer, "").unwrap_or_else(|e| panic!("{url}: {e:?}"));
    let body = serde_json::from_str(text(&answer.body)).expect("JSON");
    (answer, body)
}

fn link(body: &Tree) -> String {
    body["@odata.deltaLink"].as_str().expect("a link").to_owned()
}

fn account(kit: &mut Kit, n: u32) {
    kit.make("accounts", &format!(r#"{{"accountid":"{}","name":"n{n}"}}"#, id(n)));
}

#[test]
fn changes_since_a_token_are_told_in_their_order() {
    let mut kit = kit();
    (1..=3).for_each(|n| account(&mut kit, n));
    let (answer, first) = get(&mut kit, "accounts?$select=name", &[TRACK]);
    let applied = answer.headers.iter().find(|(n, _)| *n == "Preference-Applied");
    assert_eq!(applied.map(|(_, v)| v.as_str()), Some("odata.track-changes"));
    assert_eq!(first["@odata.context"], "http://h/api/data/v9.2/$metadata#accounts(name)/$delta");
    assert_eq!(first["value"].as_array().map(Vec::len), Some(3));
    let start = link(&first);
    assert_eq!(get(&mut kit, &start, &[TRACK]).1["value"], serde_json::json!([]));
    kit.call(Verb::Delete, &format!("accounts({})", id(2)), &[], "").expect("deleted");
    kit.call(Verb::Patch, &format!("accounts({})", id(1)), &[], r#"{"name":"new"}"#)
        .expect("changed");
    account(&mut kit, 4);
    let refused = kit.post("accounts", &format!(r#"{{"accountid":"{}"}}"#, id(4)));
    assert_eq!(code(refused), (412, 0x8004_0237));
    let (_, changes) = get(&mut kit, &start, &[]);
    let rows = changes["value"].as_array().expect("rows");
    assert_eq!(
        rows[0],
        serde_json::json!({
            "@odata.context": "http://h/api/data/v9.2/$metadata#accounts/$deletedEntity",
            "id": id(2).to_string(), "reason": "deleted",
        })
    );
    assert_eq!((rows[1]["name"].as_str(), rows[2]["name"].as_str()), (Some("new"), Some("n4")));
    assert_eq!(rows.len(), 3);
    let next = link(&changes);
    assert_eq!(get(&mut kit, &next, &[]).1["value"], serde_json::json!([]));
}

#[test]
fn rows_that_change_between_the_pages_of_the_first_read_are_told() {
    let mut kit = kit();
    (1..=3).for_each(|n| account(&mut kit, n));
    let prefer = [("Prefer", "odata.track-changes,odata.maxpagesize=2")];
    let (_, first) = get(&mut kit, "accounts?$select=name", &prefer);
    assert!(first["@odata.deltaLink"].is_null());
    kit.call(Verb::Patch, &format!("accounts({})", id(1)), &[], r#"{"name":"new"}"#)
        .expect("changed");
    let next = first["@odata.nextLink"].as_str().expect("a next page").to_owned();
    let (_, second) = get(&mut kit, &next, &prefer);
    assert_eq!(second["value"].as_array().map(Vec::len), Some(1));
    let (_, changes) = get(&mut kit, &link(&second), &prefer);
    assert_eq!(changes["value"][0]["name"], "new");
}

#[test]
fn changes_come_in_pages() {
    let mut kit = kit();
    let (_, first) = get(&mut kit, "accounts?$select=name", &[TRACK]);
    (1..=5).for_each(|n| account(&mut kit, n));
    let prefer = [("Prefer", "odata.track-changes,odata.maxpagesize=2")];
    let (mut url, mut seen) = (link(&first), Vec::new());
    for _ in 0..3 {
        let (_, page) = get(&mut kit, &url, &prefer);
        let names = page["value"].as_array().expect("rows").iter();
        seen.extend(names.map(|row| row["name"].as_str().expect("a name").to_owned()));
        url = page["@odata.nextLink"].as_str().map_or_else(|| link(&page), str::to_owned);
    }
    assert_eq!(seen, ["n1", "n2", "n3", "n4", "n5"]);
    assert!(url.contains("$deltatoken="));
}

#[test]
fn a_deletion_that_was_taken_back_is_not_told() {
    let mut kit = kit();
    account(&mut kit, 1);
    let (_, first) = get(&mut kit, "accounts?$select=name", &[TRACK]);
    kit.model.begin();
    kit.call(Verb::Delete, &format!("accounts({})", id(1)), &[], "").expect("deleted");
    kit.model.rollback();
    assert_eq!(get(&mut kit, &link(&first), &[]).1["value"], serde_json::json!([]));
}

#[test]
fn reads_that_cannot_be_tracked_are_refused() {
    let mut kit = kit();
    let mut refused = |path: &str| code(kit.call(Verb::Get, path, &[TRACK], ""));
    assert_eq!(refused("systemusers?$select=fullname"), (400, 0x8007_2491));
    for option in ["$filter=name eq 'x'", "$orderby=name", "$top=1", "$expand=primarycontactid"] {
        assert_eq!(refused(&format!("accounts?{option}")), (400, 0x8006_0888), "{option}");
    }
    assert_eq!(refused("accounts?$deltatoken=x"), (400, 0x8006_0888));
    let (_, first) = get(&mut kit, "accounts?$select=name", &[TRACK]);
    kit.ctx.now_ms += 8 * 86_400_000;
    let url = link(&first);
    let path = url.strip_prefix("http://h/api/data/v9.2/").expect("own address");
    assert_eq!(code(kit.call(Verb::Get, path, &[], "")), (400, 0x8004_4352));
}
