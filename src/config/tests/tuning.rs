//! `[tuning]` and the numbers of tables: what they mean, and how their mistakes are told.

use super::{TABLE, codes, job, refusal, with_load};
use crate::config::job::{Bounds, TableClass};
use crate::config::orders::{orders, request_kind};
use crate::config::{effective, parse};
use crate::tuning::entitlement::{EntitlementRule, Policy};
use crate::tuning::orders::Range;
use std::path::{Path, PathBuf};

fn with(more: &str) -> String {
    with_load(&[TABLE, more].concat())
}

/// Findings of a job whose schedule is this.
fn scheduled(entries: &str) -> Vec<&'static str> {
    codes(&with(&format!("[tuning.schedule]\n{entries}")))
}

#[test]
fn with_no_numbers_nothing_is_fixed() {
    let job = job(&with(""));
    let wanted = orders(&job, &[TableClass::Simple], 0);
    assert_eq!(wanted.tables[0].batch, Range { min: 1, max: 1000 });
    assert_eq!(wanted.tables[0].parallel, Range { min: 1, max: 512 });
    assert_eq!(wanted.tables[0].weight, 1.0);
    assert!(!wanted.tables[0].paused && !wanted.identities[0].paused);
    assert_eq!(wanted.max_share, 1.0);
    let elastic = orders(&job, &[TableClass::Elastic], 0);
    assert_eq!(elastic.tables[0].batch, Range { min: 1, max: 100 });
    assert!(job.tuning.remember && job.tuning.entitlement.is_none());
    assert_eq!(job.tuning.folder, PathBuf::from("jobs/tuning"), "beside the ledger's folder");
}

#[test]
fn a_table_stands_before_its_class_and_a_class_before_the_program() {
    let text = with_load(&TABLE.replace("columns", "batch = 40\ncolumns"))
        + "[tuning.class.simple]\nbatch = { min = 5, max = 20 }\nparallel = { max = 8 }\n\
           weight = 3\n[tuning.class.complex]\nparallel = 2\n";
    let job = job(&text);
    let of = |class| orders(&job, &[class], 0).tables.remove(0);
    let simple = of(TableClass::Simple);
    assert_eq!(simple.batch, Range { min: 40, max: 40 }, "the table's own");
    assert_eq!(simple.parallel, Range { min: 1, max: 8 }, "its class's");
    assert_eq!(simple.weight, 3.0);
    let complex = of(TableClass::Complex);
    assert_eq!((complex.parallel, complex.weight), (Range { min: 2, max: 2 }, 1.0));
    let settled = job.tuning.settled(&job.tables[0], TableClass::Elastic);
    assert_eq!(settled.batch, Bounds { start: Some(40), min: 40, max: 40 });
}

#[test]
fn schedules_change_the_share_of_the_first_orders() {
    let job = job(&with(
        "[tuning]\nremember = false\nfolder = \"shared\"\n[tuning.schedule]\n\
         time_zone = \"Europe/Berlin\"\n\
         business = { days = \"mon-fri\", from = \"08:00\", to = \"18:00\", max_share = 0.4 }\n\
         night = { max_share = 1.0 }\n\
         [tuning.entitlement]\nper_identity = 500_000\npolicy = \"stop\"\n",
    ));
    // Monday 13 July 2026, 10:00 and 20:00 in Berlin.
    assert_eq!(orders(&job, &[], 1_783_929_600_000).max_share, 0.4);
    assert_eq!(orders(&job, &[], 1_783_965_600_000).max_share, 1.0);
    let rule = EntitlementRule { per_identity: 500_000, policy: Policy::Stop };
    assert_eq!(job.tuning.entitlement, Some(rule));
    assert!(!job.tuning.remember);
    assert_eq!(job.tuning.folder, PathBuf::from("jobs/shared"));
    insta::assert_snapshot!(effective::describe_tuning(&job, &[TableClass::OutOfTheBox]), @r#"
    account                  batch 1–1000, parallel 1–512, weight 1; class out-of-the-box
    schedule                 business mon-fri 08:00–18:00 40 %; night the rest 100 % (Europe/Berlin)
    entitlement              500000 operations in 24 h an identity, then stop
    memory of settings       off: every run learns anew
    "#);
}

#[test]
fn schedules_that_make_no_sense() {
    let zone = "time_zone = \"UTC\"\n";
    let one = |entry: &str| scheduled(&format!("{zone}e = {{ {entry} }}\n"));
    assert_eq!(one("max_share = 1.0"), [""; 0]);
    assert_eq!(one("max_share = 1.5"), ["DV0018"]);
    assert_eq!(one("max_share = -0.1"), ["DV0018"]);
    assert_eq!(one("max_share = nan"), ["DV0018"]);
    assert_eq!(one("max_share = 0"), ["DV0018"], "never opens");
    assert_eq!(one("days = \"mon\", max_share = 0"), [""; 0], "the rest is open");
    assert_eq!(one("from = \"08:00\", max_share = 1"), ["DV0018"]);
    assert_eq!(one("from = \"08:00\", to = \"8:00\", max_share = 1"), ["DV0018"]);
    assert_eq!(one("from = \"24:00\", to = \"8:00\", max_share = 1"), ["DV0018"]);
    assert_eq!(one("from = \"25:00\", to = \"26:00\", max_share = 1"), ["DV0018", "DV0018"]);
    assert_eq!(one("days = \"workdays\", max_share = 1"), ["DV0018"]);
    assert_eq!(one("day = \"mon\", max_share = 1"), ["DV0003"]);
    assert_eq!(one("days = \"mon\""), ["DV0004"]);
    assert_eq!(scheduled(zone), ["DV0018"]);
    assert_eq!(scheduled("e = { max_share = 1.0 }\n"), ["DV0004"]);
    assert_eq!(scheduled("time_zone = \"Mars/Base\"\ne = { max_share = 1.0 }\n"), ["DV0006"]);
    assert_eq!(
        scheduled(&format!("{zone}tine_zone = \"UTC\"\ne = {{ max_share = 1 }}\n")),
        ["DV0003"]
    );
}

#[test]
fn numbers_that_make_no_sense() {
    let class = |numbers: &str| codes(&with(&format!("[tuning.class.simple]\n{numbers}\n")));
    assert_eq!(class("weight = 2.5"), [""; 0]);
    for bad in ["weight = 0", "weight = -1", "weight = nan", "weight = inf", "weight = 5000"] {
        assert_eq!(class(bad), ["DV0014"], "{bad}");
    }
    assert_eq!(class("batch = 0"), ["DV0014"]);
    assert_eq!(class("batch = 1001"), ["DV0014"]);
    assert_eq!(class("parallel = { min = 9, max = 3 }"), ["DV0014"]);
    assert_eq!(class("weight = \"2\""), ["DV0005"]);
    assert_eq!(class("wait = 2"), ["DV0003"]);
    assert_eq!(codes(&with("[tuning.class.auto]\nbatch = 1\n")), ["DV0003"]);
    assert_eq!(codes(&with("[tuning.class.simpel]\nbatch = 1\n")), ["DV0003"]);
    let entitled = |text: &str| codes(&with(&format!("[tuning.entitlement]\n{text}\n")));
    assert_eq!(entitled("per_identity = 1"), [""; 0]);
    assert_eq!(entitled("per_identity = 0"), ["DV0014"]);
    assert_eq!(entitled(""), ["DV0004"]);
    assert_eq!(entitled("per_identity = 1\npolicy = \"halt\""), ["DV0006"]);
    assert_eq!(codes(&with("[tuning]\nfolder = \"job.out\"\n")), ["DV0016"]);
    assert_eq!(codes(&with("[ledger]\nfolder = \"tuning\"\n")), ["DV0016"]);
}

#[test]
fn mistakes_of_a_schedule_are_shown_with_their_place() {
    let text = with(
        r#"[tuning.schedule]
time_zone = "Europe/Berlin"
business = { days = "mon-fri", from = "08:00", to = "18:00", max_share = 0.4 }
lunch = { from = "12:00", to = "13:00", max_share = 0.8 }
"#,
    );
    insta::assert_snapshot!(refusal(&text), @r#"
    error[DV0018]: `business` and `lunch` overlap: both hold on mon 12:00
      --> jobs/job.toml:17:1
       |
    17 | lunch = { from = "12:00", to = "13:00", max_share = 0.8 }
       | ^^^^^ the second one
       |
       = hint: give them different days or hours; a night (from 22:00 to 06:00) belongs to the day on which it begins

    jobs/job.toml: 1 error; `dvbulk explain DV0018` tells more
    "#);
    let text = with(
        r#"[tuning.schedule]
time_zone = "Europa/Berlin"
night = { from = "22:00", to = "22:00", max_share = 0.9 }
[tuning.schedule.day]
days = "mon-friday"
max_share = 40
[tuning.class.simple]
weight = 0
"#,
    );
    insta::assert_snapshot!(refusal(&text), @r#"
    error[DV0006]: `Europa/Berlin` is no known time zone
      --> jobs/job.toml:15:13
       |
    15 | time_zone = "Europa/Berlin"
       |             ^^^^^^^^^^^^^^^
       |
       = hint: use an IANA name such as "Europe/Berlin" or "UTC"

    error[DV0018]: `night` ends when it begins
      --> jobs/job.toml:16:32
       |
    16 | night = { from = "22:00", to = "22:00", max_share = 0.9 }
       |                                ^^^^^^^ the same time
       |
       = hint: for a whole day leave `from` and `to` out

    error[DV0018]: "mon-friday" are no days
      --> jobs/job.toml:18:8
       |
    18 | days = "mon-friday"
       |        ^^^^^^^^^^^^
       |
       = hint: mon, tue, wed, thu, fri, sat, sun; e.g. "mon-fri" or "sat,sun"

    error[DV0018]: `max_share` must lie between 0 and 1, not 40
      --> jobs/job.toml:19:13
       |
    19 | max_share = 40
       |             ^^
       |
       = hint: 1.0 is all that Dataverse allows, 0.4 is 40 % of it, 0 sends nothing

    error[DV0014]: `weight` must lie between 0.001 and 1000, not 0
      --> jobs/job.toml:21:10
       |
    21 | weight = 0
       |          ^
       |
       = hint: a load of weight 2 gets twice the share of one of weight 1 (default)

    jobs/job.toml: 5 errors; `dvbulk explain DV0006` tells more
    "#);
}

#[test]
fn requests_are_of_one_kind_when_they_cost_alike() {
    let kind = |change: &dyn Fn(String) -> String| {
        let text = change(with_load(
            &TABLE.replace("{ name = \"Name\" }", "{ name = \"Name\", telephone1 = \"Tel\" }"),
        ));
        let job = parse::parse(&text, Path::new("jobs/job.toml"), &|_| true).unwrap();
        request_kind(&job.tables[0])
    };
    let plain = kind(&|text| text);
    assert_eq!(
        (plain.table.as_str(), plain.operation.as_str(), plain.bypass.as_str()),
        ("account", "create", "")
    );
    let renamed =
        |text: String| text.replace("\"Tel\"", "\"Phone\"").replace("key = \"No\"", "key = \"Id\"");
    assert_eq!(kind(&renamed), plain, "names of source columns cost nothing");
    let turned = |text: String| {
        text.replace(
            "name = \"Name\", telephone1 = \"Tel\"",
            "telephone1 = \"Tel\", name = \"Name\"",
        )
    };
    assert_eq!(kind(&turned), plain, "nor does their order");
    let fewer = |text: String| text.replace(", telephone1 = \"Tel\"", "");
    assert_ne!(kind(&fewer).columns, plain.columns);
    let bypassing = |text: String| {
        text + "request = { bypass_sync = true, bypass_flows = true, bypass_steps = \
                [\"3f2504e0-4f89-11d3-9a0c-0305e82c3301\"] }\n"
    };
    let bypassed = kind(&bypassing).bypass;
    assert!(bypassed.starts_with("sync+flows+steps-"), "{bypassed}");
}
