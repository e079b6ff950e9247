//! The worst accident of this trade is a load into the wrong environment: nothing is written before
//! the organization was compared and every identity let in.

use crate::rig::{Rig, Run, quick};
use dvbulk::simulator::settings::Settings;

const TABLE: &str = r#"
[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"

[table.columns]
accountnumber = "No"
"#;

/// Loads one row with a changed job head; asserts that it ends with `code` and nothing was sent
/// that could write.
fn refused(settings: Settings, change: impl Fn(&Rig, String) -> String, code: i32) -> Run {
    let rig = Rig::start(settings);
    rig.write("account.csv", "No\nA-1\n");
    let job = change(&rig, format!("{}{TABLE}", rig.head("job")));
    rig.write("job.toml", job);
    let run = rig.load("job").expect(code);
    assert_eq!(rig.writes(), 0, "{:?}", rig.sim.stats().operations);
    assert!(rig.store("account").is_empty());
    assert!(!rig.path("job.out").exists(), "a sink folder was made");
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    run
}

fn organization(rig: &Rig, job: &str, instead: &str) -> String {
    let id = rig.sim.settings().environment.organization_id.to_string();
    assert!(job.contains(&id));
    job.replace(&id, instead)
}

#[test]
fn another_organization_is_refused_by_id_and_by_unique_name() {
    let other = "00000000-1111-4222-8333-444444444444";
    let run = refused(quick(), |rig, job| organization(rig, &job, other), 6);
    assert!(run.stderr.contains("DV0501") && run.stderr.contains(other), "{}", run.stderr);
    assert!(run.stderr.contains("nothing was written"), "{}", run.stderr);

    let run = refused(quick(), |rig, job| organization(rig, &job, "unq9999fabrikam"), 6);
    assert!(run.stderr.contains("DV0501"), "{}", run.stderr);
    assert!(run.stderr.contains("unq9999fabrikam"), "{}", run.stderr);
    assert!(run.stderr.contains("unq0000contoso"), "{}", run.stderr);
}

#[test]
fn the_right_unique_name_lets_the_load_begin() {
    let rig = Rig::start(quick());
    rig.write("account.csv", "No\nA-1\n");
    let job = format!("{}{TABLE}", rig.head("job"));
    rig.write("job.toml", organization(&rig, &job, "UNQ0000Contoso"));
    rig.load("job").expect(0).balanced();
    assert_eq!(rig.store("account").len(), 1);
}

#[test]
fn identities_that_are_not_let_in_end_the_load_before_it_begins() {
    let second = |change: fn(&mut Settings)| {
        let mut settings = quick();
        change(&mut settings);
        refused(settings, |_, job| job, 6).stderr
    };
    for (said, stderr) in [
        ("AADSTS7000222", second(|s| s.users[1].secret_expired = true)),
        ("disabled", second(|s| s.users[1].disabled = true)),
        ("not a member", second(|s| s.users[1].member = false)),
    ] {
        assert!(stderr.contains("identity app-2"), "{stderr}");
        assert!(stderr.contains("DV0502"), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(!stderr.contains("pretended-secret"), "a secret was told: {stderr}");
    }
}

#[test]
fn a_wrong_secret_is_told_without_telling_it() {
    let wrong = |rig: &Rig, job: String| {
        rig.write_secret("secrets/app-1.txt", "not-the-secret-of-app-1");
        job
    };
    let run = refused(quick(), wrong, 6);
    assert!(run.stderr.contains("DV0502"), "{}", run.stderr);
    assert!(run.stderr.contains("AADSTS7000215"), "{}", run.stderr);
    assert!(!run.stderr.contains("not-the-secret-of-app-1"), "{}", run.stderr);
}

#[test]
fn a_host_that_does_not_answer_is_named() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    drop(listener);
    let dead = format!("http://127.0.0.1:{port}");
    let settings = Settings { audiences: vec![dead.clone()], ..quick() };
    let elsewhere = |rig: &Rig, job: String| job.replacen(&rig.sim.url(), &dead, 1);
    let run = refused(settings, elsewhere, 6);
    assert!(run.stderr.contains("DV0509"), "{}", run.stderr);
    assert!(run.stderr.contains(&port.to_string()), "{}", run.stderr);

    let nobody = |rig: &Rig, job: String| {
        let authority = format!("authority = \"{}\"", rig.sim.url());
        assert!(job.contains(&authority));
        job.replace(&authority, &format!("authority = \"{dead}\""))
    };
    let run = refused(quick(), nobody, 6);
    assert!(run.stderr.contains("DV0509") || run.stderr.contains("DV0502"), "{}", run.stderr);
    assert!(run.stderr.contains(&port.to_string()), "{}", run.stderr);
}
