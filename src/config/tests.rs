//! Bad and good job files as a user writes them.

use crate::config::diagnose::ConfigRefused;
use crate::config::job::{
    Auth, Bounds, IdRule, Job, LookupBy, OnExisting, OrganizationLock, SourceFormat, ValueSource,
    WhenEmpty,
};
use crate::config::parse::parse;
use crate::config::secret::SecretSource;
use crate::config::{effective, read};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod tuning;

const HEAD: &str = r#"[environment]
url = "https://contoso.crm4.dynamics.com"
organization = "contoso"
[[identity]]
tenant_id = "t"
client_id = "c"
client_secret = { env = "DV_SECRET" }
"#;

const TABLE: &str = r#"[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"
columns = { name = "Name" }
"#;

fn read_text(text: &str) -> Result<Job, ConfigRefused> {
    parse(text, Path::new("jobs/job.toml"), &|zone| zone == "UTC" || zone == "Europe/Berlin")
}

fn job(text: &str) -> Job {
    match read_text(text) {
        Ok(job) => job,
        Err(refused) => panic!("{refused}"),
    }
}

fn refusal(text: &str) -> String {
    match read_text(text) {
        Ok(_) => panic!("taken for good: {text}"),
        Err(refused) => refused.render(false),
    }
}

fn codes(text: &str) -> Vec<&'static str> {
    match read_text(text) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.codes(),
    }
}

fn with_load(load: &str) -> String {
    format!("{HEAD}{load}")
}

#[test]
fn every_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A simulator file is no job.
        if path.extension().is_none_or(|e| e != "toml") || path.ends_with("simulate.toml") {
            continue;
        }
        let job = read::load(&path).unwrap_or_else(|e| panic!("{e}"));
        assert!(!effective::describe(&job).is_empty());
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn defaults() {
    let job = job(&with_load(TABLE));
    assert_eq!(job.name, "job");
    assert_eq!(job.memory_budget_bytes, 512 << 20);
    assert_eq!(job.sink_folder, PathBuf::from("jobs/job.out"));
    assert_eq!(job.ledger_folder, PathBuf::from("jobs/job.ledger"));
    assert!(job.listen.unwrap().ip().is_loopback());
    assert_eq!(job.environment.organization, OrganizationLock::UniqueName("contoso".into()));
    assert_eq!(job.identities[0].name, "app-1");
    let load = &job.tables[0];
    assert_eq!((load.name.as_str(), load.ids.clone()), ("account", IdRule::Pinned));
    assert_eq!(load.on_existing, OnExisting::Fail);
    assert_eq!(load.batch, Bounds { start: None, min: 1, max: 1000 });
    assert_eq!(load.source.path, "jobs/account.csv");
    assert_eq!(load.source.format, SourceFormat::Csv { delimiter: b',', quote: b'"' });
}

#[test]
fn the_full_example_means_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/create.toml");
    let job = read::load(&path).unwrap();
    let proofs: Vec<_> = job.identities.iter().map(|i| (i.name.as_str(), &i.auth)).collect();
    assert!(matches!(proofs[0].1, Auth::ClientSecret { secret: SecretSource::Env(_), .. }));
    assert!(matches!(proofs[1].1,
        Auth::ClientSecret { secret: SecretSource::File(p), .. } if p.is_absolute()));
    assert!(matches!(proofs[2].1, Auth::Certificate { .. }));
    assert!(matches!(proofs[3], ("vm", Auth::ManagedIdentity { client_id: None })));
    assert!(matches!(proofs[4].1, Auth::Command { argv } if argv[0] == "az"));
    let account = &job.tables[0];
    assert_eq!(account.batch, Bounds { start: Some(100), min: 10, max: 500 });
    // Columns keep the order of the file.
    let targets: Vec<_> = account.columns.iter().map(|c| c.target.as_str()).collect();
    assert_eq!(&targets[..4], ["name", "accountnumber", "revenue", "description"]);
    let column = |name: &str| account.columns.iter().find(|c| c.target == name).unwrap();
    assert_eq!(column("websiteurl").empty, WhenEmpty::Null);
    assert_eq!(column("revenue").default.as_deref(), Some("0"));
    assert_eq!(column("donotphone").from, ValueSource::Constant("true".into()));
    let owner = column("ownerid").lookup.as_ref().unwrap();
    assert_eq!(
        (owner.targets[0].table.as_str(), &owner.targets[0].by),
        ("systemuser", &LookupBy::Id)
    );
    assert_eq!(job.tables[1].source.format, SourceFormat::Jsonl);
    let customer = job.tables[2].columns[3].lookup.as_ref().unwrap();
    assert_eq!(customer.type_column.as_deref(), Some("CustomerType"));
    assert_eq!(customer.targets[1].by, LookupBy::Staged("contact".into()));
    assert_eq!(job.breakers.retry_deadline, Duration::from_secs(86_400));
    assert_eq!(job.breakers.failed_rows_max, Some(1000));
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let text = r#"[job]
memory_budgett = "512 MiB"
[environment]
url = "http://contoso.crm4.dynamics.com"
organization = "contoso"
[[identity]]
tenant_id = "t"
client_id = "c"
client_secret = "Xy7~very-secret"
[[table]]
table = "Account"
source = { path = "account.csv", delimiter = "||" }
key = "No"
operation = "insert"
batch = { min = 500, max = 100 }
[table.columns]
name = 5
revenue = { from = "Revenue", constant = "1" }
"#;
    let shown = refusal(text);
    assert!(!shown.contains("very-secret"));
    insta::assert_snapshot!(shown, @r#"
    error[DV0003]: [job] does not know the key `memory_budgett`
     --> jobs/job.toml:2:1
      |
    2 | memory_budgett = "512 MiB"
      | ^^^^^^^^^^^^^^ unknown key
      |
      = hint: did you mean `memory_budget`?

    error[DV0008]: plain http would show tokens and records to the network
     --> jobs/job.toml:4:7
      |
    4 | url = "http://contoso.crm4.dynamics.com"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = hint: use https; http is for loopback addresses only (the simulator)

    error[DV0007]: a secret must not stand in the job file
     --> jobs/job.toml:9:17
      |
    9 | client_secret = *****************
      |                 ^^^^^^^^^^^^^^^^^ not shown
      |
      = hint: keep it outside: client_secret = { env = "DV_SECRET" } or { file = "secret.txt" } (only you may read that file); if it stood here, change the secret

    error[DV0006]: "Account" is no logical name of a table
      --> jobs/job.toml:11:9
       |
    11 | table = "Account"
       |         ^^^^^^^^^
       |
       = hint: logical names are lower case: did you mean "account"?

    error[DV0006]: `delimiter` must be one ASCII character, not "||"
      --> jobs/job.toml:12:46
       |
    12 | source = { path = "account.csv", delimiter = "||" }
       |                                              ^^^^
       |
       = hint: e.g. "," or ";" or "|", and "\t" for a tab

    error[DV0006]: `operation` does not know "insert"
      --> jobs/job.toml:14:13
       |
    14 | operation = "insert"
       |             ^^^^^^^^ unknown word
       |
       = hint: did you mean "upsert"? allowed: create, update, upsert, delete

    error[DV0014]: `batch` needs min ≤ start ≤ max; here 500 ≤ unset ≤ 100
      --> jobs/job.toml:15:9
       |
    15 | batch = { min = 500, max = 100 }
       |         ^^^^^^^^^^^^^^^^^^^^^^^^

    error[DV0005]: `name` must be the name of a source column in quotes, or a table such as { from = "…" } or { constant = "…" }
      --> jobs/job.toml:17:8
       |
    17 | name = 5
       |        ^ this is a whole number

    error[DV0015]: column `revenue` needs either `from` or `constant`
      --> jobs/job.toml:18:11
       |
    18 | revenue = { from = "Revenue", constant = "1" }
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: from = "Source column" or constant = "value", not both

    jobs/job.toml: 9 errors; `dvbulk explain DV0003` tells more
    "#);
}

#[test]
fn syntax_errors_keep_secrets() {
    let shown = refusal("[[identity]]\nclient_secret = Xy7~very-secret\n");
    assert!(!shown.contains("very-secret"), "{shown}");
    insta::assert_snapshot!(shown, @r#"
    error[DV0002]: not TOML: string values must be quoted, expected literal string
     --> jobs/job.toml:2:17
      |
    2 | client_secret =****************
      |                 ^^^^^^^^^^^^^^^

    jobs/job.toml: 1 error; `dvbulk explain DV0002` tells more
    "#);
}

#[test]
fn secrets_in_odd_places_are_not_shown() {
    for secret in [
        r#"client_secret = { value = "Xy7~very-secret" }"#,
        r#"client_secret = { env = "Xy7~very-secret" }"#,
        r#"client_secret = """Xy7~very-secret""""#,
    ] {
        let text = with_load(TABLE).replace(r#"client_secret = { env = "DV_SECRET" }"#, secret);
        let shown = refusal(&text);
        assert!(!shown.contains("very-secret"), "{shown}");
    }
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(refusal(""), @r#"
    error[DV0004]: the job file needs `environment`
     --> jobs/job.toml:1:1
      |
    1 |
      | ^ no `environment`
      |
      = hint: [environment] with `url` and `organization` says where the rows go

    error[DV0004]: the job file needs `identity`
     --> jobs/job.toml:1:1
      |
    1 |
      | ^ no `identity`
      |
      = hint: [[identity]] names the application user that writes the rows

    error[DV0004]: the job file needs `table`
     --> jobs/job.toml:1:1
      |
    1 |
      | ^ no `table`
      |
      = hint: [[table]] names a table, its source and its columns

    jobs/job.toml: 3 errors; `dvbulk explain DV0004` tells more
    "#);
}

#[test]
fn identities_prove_themselves_in_one_way() {
    let text = format!(
        "{TABLE}[environment]\nurl = \"https://a.example\"\norganization = \"o\"\n{}",
        r#"[[identity]]
name = "both"
tenant_id = "t"
client_id = "c"
client_secret = { env = "S" }
certificate = { pem = "a.pem" }
[[identity]]
name = "none"
[[identity]]
name = "none"
managed_identity = true
client_id = "c"
[[identity]]
client_secret = { file = "s" }
"#
    );
    insta::assert_snapshot!(refusal(&text), @r#"
    error[DV0009]: this identity has several ways to prove itself: client_secret, certificate
      --> jobs/job.toml:10:1
       |
    10 | [[identity]]
       | ^^^^^^^^^^^^
       |
       = hint: exactly one of client_secret, certificate, managed_identity and token_command

    error[DV0009]: this identity has no way to prove itself
      --> jobs/job.toml:16:1
       |
    16 | [[identity]]
       | ^^^^^^^^^^^^
       |
       = hint: exactly one of client_secret, certificate, managed_identity and token_command

    error[DV0010]: two identities are called `none`
      --> jobs/job.toml:19:8
       |
    19 | name = "none"
       |        ^^^^^^ the second one

    error[DV0009]: `client_id` means nothing with managed_identity
      --> jobs/job.toml:21:13
       |
    21 | client_id = "c"
       |             ^^^
       |
       = hint: a user-assigned identity is chosen by managed_identity = { client_id = "…" }

    error[DV0004]: [[identity]] with client_secret needs `tenant_id`
      --> jobs/job.toml:22:1
       |
    22 | [[identity]]
       | ^^^^^^^^^^^^ no `tenant_id`
       |
       = hint: both stand on the app registration's overview page in Entra

    error[DV0004]: [[identity]] with client_secret needs `client_id`
      --> jobs/job.toml:22:1
       |
    22 | [[identity]]
       | ^^^^^^^^^^^^ no `client_id`
       |
       = hint: both stand on the app registration's overview page in Entra

    jobs/job.toml: 6 errors; `dvbulk explain DV0009` tells more
    "#);
}

#[test]
fn loads_that_wait_for_each_other() {
    let load = |name: &str, column: &str, staged: &str| {
        format!(
            "[[table]]\ntable = \"{name}\"\nsource = \"{name}.csv\"\nkey = \"No\"\n\
             operation = \"create\"\n[table.columns]\n\
             {column} = {{ from = \"P\", lookup = {{ staged = \"{staged}\" }} }}\n"
        )
    };
    let ring = with_load(
        &[
            load("account", "primarycontactid", "contact"),
            load("contact", "parentcustomerid", "account"),
        ]
        .concat(),
    );
    insta::assert_snapshot!(refusal(&ring), @r#"
    error[DV0012]: these loads wait for each other: account → contact → account; not in this version
      --> jobs/job.toml:21:54
       |
    21 | parentcustomerid = { from = "P", lookup = { staged = "account" } }
       |                                                      ^^^^^^^^^ closes the ring
       |
       = hint: load one of them without the lookup, then fill it by a second job with operation = "update"

    jobs/job.toml: 1 error; `dvbulk explain DV0012` tells more
    "#);
    let itself = with_load(&load("account", "parentaccountid", "account"));
    insta::assert_snapshot!(refusal(&itself), @r#"
    error[DV0012]: rows of `account` refer to rows of the same load: not in this version
      --> jobs/job.toml:14:53
       |
    14 | parentaccountid = { from = "P", lookup = { staged = "account" } }
       |                                                     ^^^^^^^^^ itself
       |
       = hint: load the table twice: first without this column, then a second job with operation = "update" that fills it

    jobs/job.toml: 1 error; `dvbulk explain DV0012` tells more
    "#);
    let unknown = with_load(&[TABLE, &load("contact", "parentcustomerid", "acount")].concat());
    insta::assert_snapshot!(refusal(&unknown), @r#"
    error[DV0011]: no load of this job is called `acount`
      --> jobs/job.toml:20:54
       |
    20 | parentcustomerid = { from = "P", lookup = { staged = "acount" } }
       |                                                      ^^^^^^^^
       |
       = hint: did you mean "account"?

    jobs/job.toml: 1 error; `dvbulk explain DV0011` tells more
    "#);
    // A diamond is no ring.
    let diamond = with_load(
        &[
            TABLE.to_owned(),
            load("contact", "parentcustomerid", "account"),
            load("lead", "parentaccountid", "account"),
            load("opportunity", "parentcontactid", "contact"),
        ]
        .concat(),
    );
    assert_eq!(codes(&diamond), Vec::<&str>::new());
}

#[test]
fn ids_fit_the_operation() {
    let check = |operation: &str, ids: &str| {
        let text = format!(
            "[[table]]\ntable = \"account\"\nsource = \"a.csv\"\nkey = \"No\"\n\
             operation = \"{operation}\"\n{ids}\n{}",
            if operation == "delete" { "" } else { "columns = { name = \"Name\" }" }
        );
        codes(&with_load(&text))
    };
    let (column, key) = (r#"ids = { column = "Id" }"#, r#"ids = { alternate_key = "k" }"#);
    let (pinned, dataverse) = (r#"ids = "pinned""#, r#"ids = "dataverse""#);
    for (operation, ids) in [
        ("create", ""),
        ("create", pinned),
        ("create", dataverse),
        ("create", column),
        ("upsert", pinned),
        ("upsert", column),
        ("upsert", key),
        ("update", column),
        ("update", key),
        ("delete", column),
    ] {
        assert_eq!(check(operation, ids), Vec::<&str>::new(), "{operation} {ids}");
    }
    for (operation, ids) in [
        ("create", key),
        ("upsert", ""),
        ("upsert", dataverse),
        ("update", ""),
        ("update", pinned),
        ("update", dataverse),
        ("delete", ""),
        ("delete", pinned),
    ] {
        assert_eq!(check(operation, ids), ["DV0013"], "{operation} {ids}");
    }
    // The key's columns must come from somewhere.
    assert_eq!(check("delete", key), ["DV0004"]);
}

#[test]
fn single_rules() {
    let replace = |from: &str, to: &str| {
        let good = with_load(TABLE);
        assert!(good.contains(from));
        codes(&good.replace(from, to))
    };
    assert_eq!(replace("columns = { name = \"Name\" }", ""), ["DV0004"]);
    assert_eq!(replace("\"account.csv\"", "\"account.dat\""), ["DV0004"]);
    assert_eq!(replace("name = \"Name\"", "Name = \"Name\""), ["DV0006"]);
    assert_eq!(replace("key = \"No\"", "key = \"No\"\nbatch = 0"), ["DV0014"]);
    assert_eq!(replace("key = \"No\"", "key = \"No\"\nbatch = { start = 5, min = 9 }"), ["DV0014"]);
    assert_eq!(replace("key = \"No\"", "key = \"No\"\nname = \"../up\""), ["DV0010"]);
    assert_eq!(
        replace("name = \"Name\"", "name = { from = \"N\", time_zone = \"Mars/Base\" }"),
        ["DV0006"]
    );
    let end = |more: &str| codes(&with_load(&[TABLE, more].concat()));
    assert_eq!(end("[serve]\nlisten = \"0.0.0.0:80\"\n"), ["DV0017"]);
    assert_eq!(end("[serve]\nlisten = \"0.0.0.0:80\"\nallow_remote = true\n"), [""; 0]);
    assert_eq!(end("[serve]\nlisten = \"off\"\n"), [""; 0]);
    assert_eq!(end("[job]\nmemory_budget = \"16 MiB\"\n"), ["DV0014"]);
    assert_eq!(end("[job]\nshutdown_deadline = 60\n"), ["DV0006"]);
    assert_eq!(end("[breakers]\nfailed_share_max = 5\n"), ["DV0006"]);
    assert_eq!(end("[sinks]\nfolder = \"x\"\n[ledger]\nfolder = \"./y/../x\"\n"), ["DV0016"]);
    assert_eq!(end("[sinks]\nfolder = \".\"\n"), ["DV0016"]);
    assert_eq!(end(TABLE), ["DV0010"]);
}

#[test]
fn polymorphic_lookups_need_a_type_column() {
    let text = with_load(
        r#"[[table]]
table = "contact"
source = "c.csv"
key = "No"
operation = "create"
[table.columns]
parentcustomerid = { from = "P", lookup = { targets = [
  { table = "account", id = true },
  { table = "contact", key = "k", id = true },
] } }
"#,
    );
    insta::assert_snapshot!(refusal(&text), @r#"
    error[DV0015]: a lookup with several targets needs `type_column`
      --> jobs/job.toml:14:43
       |
    14 | parentcustomerid = { from = "P", lookup = { targets = [
       |                                           ^^^^^^^^^^^^^
       |
       = hint: type_column = "ParentType" names the source column that holds each row's target table, e.g. "account"

    error[DV0015]: a lookup needs exactly one of `staged`, `id = true` and `key`
      --> jobs/job.toml:16:3
       |
    16 |   { table = "contact", key = "k", id = true },
       |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: { staged = "load" }, { table = "account", id = true } or { table = "account", key = "new_numberkey" }

    jobs/job.toml: 2 errors; `dvbulk explain DV0015` tells more
    "#);
}

#[test]
fn effective_configuration() {
    insta::assert_snapshot!(effective::describe(&job(&with_load(TABLE))), @r#"
    job                      job
    environment              https://contoso.crm4.dynamics.com
    organization             contoso
    authority                https://login.microsoftonline.com
    request timeout          4m
    identity                 app-1: application c, secret from environment variable DV_SECRET
    success and error files  jobs/job.out
    ledger                   jobs/job.ledger
    memory budget            512 MiB
    listen                   127.0.0.1:0
    pause when failed        5.0 % of a load
    retry for                1day
    load                     account: create account from jobs/account.csv, key No, pinned ids, 1 columns, batch 1–1000, parallel 1–512, weight 1
    schedule                 none: all that Dataverse allows, at any time
    entitlement              not counted
    memory of settings       jobs/tuning
    "#);
}
