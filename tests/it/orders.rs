//! What is wanted of a running load: changed live, refused when it makes no sense, shown, and kept.

use crate::rig::{Child, Rig, http_get, quick};
use dvbulk::runtime::clock;
use serde_json::Value;

const TABLES: &str = r#"
[watch]
interval = "50ms"

[tuning.class.out-of-the-box]
weight = 3

[tuning.schedule]
time_zone = "Europe/Berlin"
always = { max_share = 0.5 }

[tuning.entitlement]
per_identity = 500_000

[[table]]
table = "contact"
source = "inbox/*.csv"
key = "No"
operation = "create"

[table.columns]
externaluseridentifier = "No"
lastname = "No"

[[table]]
table = "account"
source = "firms/*.csv"
key = "No"
operation = "create"
batch = { min = 20, max = 80 }
weight = 0.5

[table.columns]
name = "No"
"#;

fn running() -> (Rig, Child, String) {
    let rig = Rig::start(quick());
    rig.write("inbox/.keep", "");
    rig.write("firms/.keep", "");
    rig.job("job", TABLES);
    let mut child = rig.spawn(&["load", "job.toml", "--watch"]);
    let address = rig.listens(&mut child);
    (rig, child, address)
}

fn orders(address: &str) -> Value {
    let status: Value = serde_json::from_str(&http_get(address, "/status").1).expect("JSON");
    status["orders"].clone()
}

#[test]
fn numbers_of_a_running_load_are_changed_and_come_back() {
    let (rig, child, address) = running();
    let begun = orders(&address);
    assert_eq!(begun["loads"][0]["batch"], serde_json::json!([1, 1000]), "nothing is fixed");
    assert_eq!(begun["loads"][0]["parallel"], serde_json::json!([1, 512]));
    assert_eq!(begun["loads"][0]["weight"], 3.0, "of its class");
    assert_eq!(begun["loads"][1]["batch"], serde_json::json!([20, 80]));
    assert_eq!(begun["loads"][1]["weight"], 0.5, "its own");
    assert_eq!(begun["max_share"], 0.5);
    assert_eq!(begun["schedule"]["name"], "always");
    assert_eq!(begun["identities"][0]["entitlement"]["limit"], 500_000);

    let set = rig.run(&["set", "job.toml", "account", "batch=50..200", "parallel=8", "weight=2"]);
    assert_eq!(
        set.expect(0).stdout,
        "load account is running: batch 50–200, parallel 8, weight 2\n"
    );
    let now = orders(&address);
    assert_eq!(now["loads"][1]["batch"], serde_json::json!([50, 200]));
    assert_eq!(now["loads"][1]["parallel"], serde_json::json!([8, 8]));
    assert_eq!(now["changes"]["operator"], 1);
    assert_eq!(
        now["recent"][0]["text"],
        "load account: batch 20–80 → 50–200, parallel 1–512 → 8, weight 0.5 → 2"
    );
    assert_eq!(now["recent"][0]["who"], "operator");

    let back = rig.run(&["set", "job.toml", "account", "batch=auto", "parallel=auto"]).expect(0);
    assert_eq!(back.stdout, "load account is running: batch 20–80, parallel 1–512, weight 2\n");

    let pause = rig.run(&["pause", "job.toml", "--table", "contact"]).expect(0);
    assert!(pause.stdout.starts_with("load contact is paused: "), "{}", pause.stdout);
    let alias = begun["identities"][0]["name"].as_str().unwrap();
    let pause = rig.run(&["pause", "job.toml", "--identity", alias]).expect(0);
    assert_eq!(pause.stdout, format!("identity {alias} is paused\n"));
    let now = orders(&address);
    assert_eq!(
        (&now["loads"][0]["paused"], &now["loads"][1]["paused"]),
        (&true.into(), &false.into())
    );
    assert_eq!(now["identities"][0]["paused"], true);
    let told = rig.run(&["status", "job.toml"]).expect(0).stdout;
    assert!(told.contains("job: running"), "the run as a whole goes on: {told}");
    assert!(told.contains("load contact is paused by an operator"), "{told}");
    assert!(told.contains("schedule `always`: 50 % of the limits"), "{told}");
    rig.run(&["resume", "job.toml", "--table", "contact"]).expect(0);
    rig.run(&["resume", "job.toml", "--identity", alias]).expect(0);
    let now = orders(&address);
    assert_eq!(
        (&now["loads"][0]["paused"], &now["identities"][0]["paused"]),
        (&false.into(), &false.into())
    );
    assert_eq!(now["changes"]["operator"], 6);
    rig.run(&["drain", "job.toml"]).expect(0);
    rig.wait(child).expect(0);
}

#[test]
fn a_change_that_makes_no_sense_changes_nothing() {
    let (rig, child, address) = running();
    let before = orders(&address);
    let refused = |arguments: &[&str], told: &str| {
        let run = rig.run(arguments).expect(4);
        assert!(run.stderr.contains("DV0512") && run.stderr.contains(told), "{}", run.stderr);
    };
    refused(&["set", "job.toml", "acount", "batch=5"], "did you mean `account`?");
    refused(&["set", "job.toml", "account", "batch=0"], "must lie between 1 and 1000");
    refused(&["set", "job.toml", "account", "parallel=9999"], "must lie between 1 and 512");
    refused(&["set", "job.toml", "account", "batch=80..20"], "the least, 80, is more");
    refused(&["set", "job.toml", "account", "weight=-1"], "to send nothing, pause it");
    refused(&["set", "job.toml", "account", "speed=9"], "`speed` cannot be set");
    refused(&["pause", "job.toml", "--identity", "nobody"], "no identity `nobody`");
    rig.run(&["set", "job.toml", "account"]).expect(4);
    rig.run(&["pause", "job.toml", "--identity", "a", "--table", "b"]).expect(4);
    assert_eq!(orders(&address), before);
    // A web page cannot change anything.
    let posted = rig.block_on(post(&address, "/set?table=account&batch=5"));
    assert_eq!(posted, 401);
    assert_eq!(orders(&address), before);
    rig.run(&["drain", "job.toml"]).expect(0);
    rig.wait(child).expect(0);
    let nobody = rig.run(&["set", "job.toml", "account", "batch=5"]).expect(4);
    assert!(nobody.stderr.contains("no load of this job is running here"), "{}", nobody.stderr);
}

async fn post(address: &str, path: &str) -> u16 {
    let url = format!("http://{address}{path}");
    reqwest::Client::new().post(url).send().await.expect("an answer").status().as_u16()
}

#[test]
fn check_tells_what_is_in_force() {
    let rig = Rig::start(quick());
    rig.write("inbox/a.csv", "No\n1\n");
    rig.write("firms/a.csv", "No\n1\n");
    rig.job("job", TABLES);
    let told = rig.run(&["check", "job.toml"]).expect(0).stdout;
    for line in [
        "contact                  batch 1–1000, parallel 1–512, weight 3; class out-of-the-box\n",
        "account                  batch 20–80, parallel 1–512, weight 0.5; class out-of-the-box\n",
        "schedule                 always the rest 50 % (Europe/Berlin)\n",
        "entitlement              500000 operations in 24 h an identity, then warn\n",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    let json = rig.run(&["check", "job.toml", "--json"]).expect(0).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["tuning"]["loads"][1]["batch"]["max"], 80);
    assert_eq!(json["tuning"]["entitlement"]["policy"], "warn");
}

#[test]
fn what_was_learnt_is_shown_and_forgotten_without_asking_the_environment() {
    let rig = Rig::start(quick());
    rig.job("job", TABLES);
    let nothing = rig.run(&["tuning", "show", "job.toml"]).expect(0).stdout;
    assert!(nothing.starts_with("nothing learnt yet about http://"), "{nothing}");
    let organization = rig.sim.settings().environment.organization_id.to_string();
    let learned = serde_json::json!({
        "version": 1, "organization": organization, "url": rig.sim.url(), "saved_ms": 0,
        "environment": null,
        "tables": (["account", "contact"].map(|table| serde_json::json!({
            "kind": { "table": table, "operation": "create", "columns": "00", "bypass": "" },
            "batch_rows": 90.0, "cost": [0.05, 0.002, 0.0], "variance": 0.1, "hazard": 0.0,
            "bad_row_rate": 0.0, "batch_ratio": 1.0, "samples": 12, "saved_ms": 0,
        }))),
    });
    let file = format!("tuning/{organization}.json");
    rig.write(&file, learned.to_string());
    let shown = rig.run(&["tuning", "show", "job.toml"]).expect(0).stdout;
    assert!(shown.contains("account ") && shown.contains("contact "), "{shown}");
    let json = rig.run(&["tuning", "show", "job.toml", "--json"]).expect(0).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["learned"]["tables"][1]["batch_rows"], 90.0);

    let unknown = rig.run(&["tuning", "reset", "job.toml", "--table", "lead"]).expect(4);
    assert!(unknown.stderr.contains("there are: account, contact"), "{}", unknown.stderr);
    let one = rig.run(&["tuning", "reset", "job.toml", "--table", "contact"]).expect(0).stdout;
    assert_eq!(one, "forgot 1 kind of requests\n");
    let all = rig.run(&["tuning", "reset", "job.toml"]).expect(0).stdout;
    assert_eq!(all, "forgot 1 kind of requests\n");
    assert!(!rig.path(&file).exists());

    // Learnt at another address: left aside with a notice, shown and loaded alike.
    let elsewhere = learned.to_string().replace(&rig.sim.url(), "https://elsewhere.example");
    rig.write(&file, elsewhere);
    let shown = rig.run(&["tuning", "show", "job.toml"]).expect(0).stdout;
    assert!(shown.contains("DV0510") && shown.contains("elsewhere.example"), "{shown}");
}

#[test]
fn an_entitlement_used_up_by_an_earlier_load_stops_its_identity_from_the_start() {
    let rig = Rig::start(quick());
    rig.write("inbox/.keep", "");
    rig.write("firms/.keep", "");
    rig.job("job", &TABLES.replace("500_000", "1000\npolicy = \"stop\""));
    let settings = rig.sim.settings();
    let organization = settings.environment.organization_id;
    let bucket = clock::wall_ms() / 300_000 - 12;
    let kept = serde_json::json!({
        "version": 1,
        "organization": organization,
        "users": { (settings.users[0].system_user_id.to_string()): { (bucket.to_string()): 1000 } },
    });
    rig.write(&format!("tuning/{organization}.entitlement.json"), kept.to_string());
    let mut child = rig.spawn(&["load", "job.toml", "--watch"]);
    let address = rig.listens(&mut child);
    let now = orders(&address);
    let of = |index: usize| &now["identities"][index]["entitlement"];
    assert_eq!((&of(0)["used"], &of(0)["stopped"]), (&1000.into(), &true.into()));
    assert_eq!((&of(1)["used"], &of(1)["stopped"]), (&0.into(), &false.into()));
    let opens = of(0)["room_at_ms"].as_i64().expect("a time");
    assert_eq!(opens, (bucket + 1) * 300_000 + 24 * 3600 * 1000);
    assert_eq!(now["changes"]["entitlement"], 1);
    let told = rig.run(&["status", "job.toml"]).expect(0).stdout;
    assert!(told.contains("1000 of 1000 operations in 24 h; stopped until "), "{told}");
    rig.run(&["drain", "job.toml"]).expect(0);
    let run = rig.wait(child).expect(0);
    assert!(run.stderr.contains("DV0511: 24-hour entitlement used up"), "{}", run.stderr);
    // Ending keeps what an earlier load counted.
    let file = rig.path(&format!("tuning/{organization}.entitlement.json"));
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let user = settings.users[0].system_user_id.to_string();
    assert_eq!(kept["users"][user][bucket.to_string()], 1000);
}

#[test]
fn a_damaged_file_of_counts_is_told_and_stops_nothing() {
    let rig = Rig::start(quick());
    rig.write("inbox/a.csv", "No\n1\n2\n");
    rig.write("firms/a.csv", "No\n1\n");
    rig.job("job", TABLES);
    let organization = rig.sim.settings().environment.organization_id;
    rig.write(&format!("tuning/{organization}.entitlement.json"), "{ damaged");
    let run = rig.load("job").expect(0);
    run.balanced();
    assert_eq!(run.rows("contact", "created"), 2);
    assert!(
        run.stderr.contains("DV0510") && run.stderr.contains("counting begins anew"),
        "{}",
        run.stderr
    );
}
