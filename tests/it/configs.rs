//! Job files and staged files that cannot be used: what a person is told, to the letter.

use crate::rig::{Rig, quick};

const TABLE: &str = r#"[[table]]
table = "account"
source = "account.csv"
key = "No"
operation = "create"

[table.columns]
accountnumber = "No"
name = "Name"
"#;

/// Standard error of a run that must end with `code`, without what differs between two runs.
fn told(rig: &Rig, job: &str, code: i32) -> String {
    rig.write("job.toml", job);
    let run = rig.run(&["load", "job.toml", "--no-wait"]).expect(code);
    assert_eq!(rig.writes(), 0, "something was written");
    run.stderr
        .replace(&rig.path("").display().to_string(), "FOLDER/")
        .replace(&rig.sim.url(), "http://SIMULATOR")
        .lines()
        .map(|line| line.trim_end())
        .filter(|line| !line.starts_with("metrics: "))
        .collect::<Vec<_>>()
        .join("\n")
}

fn rig() -> Rig {
    let rig = Rig::start(quick());
    rig.write("account.csv", "No,Name\nA-1,One\n");
    rig
}

/// The change must be one.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in\n{text}");
    text.replacen(from, to, 1)
}

#[test]
fn a_missing_job_file() {
    let rig = rig();
    let run = rig.run(&["load", "nowhere.toml"]).expect(4);
    insta::assert_snapshot!(run.stderr.trim_end(), @r#"error[DV0001]: cannot read the job file nowhere.toml: No such file or directory (os error 2)"#);
}

#[test]
fn an_unknown_key() {
    let rig = rig();
    let job = format!("{}{}", rig.head("job"), changed(TABLE, "key = ", "keey = "));
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"
    error[DV0004]: [[table]] account needs `key`
      --> FOLDER/job.toml:21:1
       |
    21 | [[table]]
       | ^^^^^^^^^ no `key`
       |
       = hint: the source column whose value is unique in this load; outcomes and lookups refer to it

    error[DV0003]: [[table]] account does not know the key `keey`
      --> FOLDER/job.toml:24:1
       |
    24 | keey = "No"
       | ^^^^ unknown key
       |
       = hint: did you mean `key`?

    FOLDER/job.toml: 2 errors; `dvbulk explain DV0004` tells more
    "#);
}

#[test]
fn a_secret_in_the_job_file() {
    let rig = rig();
    let job = format!("{}{TABLE}", rig.head("job"));
    let job = changed(&job, "{ file = \"secrets/app-1.txt\" }", "\"hunter2-hunter2\"");
    let told = told(&rig, &job, 4);
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told, @r#"
    error[DV0007]: a secret must not stand in the job file
      --> FOLDER/job.toml:13:17
       |
    13 | client_secret = *****************
       |                 ^^^^^^^^^^^^^^^^^ not shown
       |
       = hint: keep it outside: client_secret = { env = "DV_SECRET" } or { file = "secret.txt" } (only you may read that file); if it stood here, change the secret

    FOLDER/job.toml: 1 error; `dvbulk explain DV0007` tells more
    "#);
}

#[test]
fn a_secret_file_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = rig();
    let wide = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(rig.path("secrets/app-1.txt"), wide).unwrap();
    let job = format!("{}{TABLE}", rig.head("job"));
    insta::assert_snapshot!(told(&rig, &job, 6), @r#"error: DV0502: identity app-1 at http://SIMULATOR: reading WhoAmI: identity "app-1": secret file FOLDER/secrets/app-1.txt: has mode 0644, so others may read it; say `chmod 600` and change the secret if it was exposed; check the identity in the job file"#);
}

#[test]
fn words_values_and_numbers_that_are_wrong() {
    let rig = rig();
    let table = changed(TABLE, "\"create\"", "\"insert\"");
    let table = changed(&table, "operation", "batch = 0\nclass = \"heavy\"\noperation");
    let job = format!("{}[breakers]\nfailed_share_max = 7\n\n{table}", rig.head("job"));
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"
    error[DV0006]: `failed_share_max` must lie between 0 and 1
      --> FOLDER/job.toml:22:20
       |
    22 | failed_share_max = 7
       |                    ^ a share of rows
       |
       = hint: 5 % is 0.05

    error[DV0014]: `batch` start must lie between 1 and 1000
      --> FOLDER/job.toml:28:9
       |
    28 | batch = 0
       |         ^
       |
       = hint: there is no "unlimited": leave it out for the default

    error[DV0006]: `class` does not know "heavy"
      --> FOLDER/job.toml:29:9
       |
    29 | class = "heavy"
       |         ^^^^^^^ unknown word
       |
       = hint: allowed: auto, out-of-the-box, simple, moderate, complex, elastic

    error[DV0006]: `operation` does not know "insert"
      --> FOLDER/job.toml:30:13
       |
    30 | operation = "insert"
       |             ^^^^^^^^ unknown word
       |
       = hint: did you mean "upsert"? allowed: create, update, upsert, delete

    FOLDER/job.toml: 4 errors; `dvbulk explain DV0006` tells more
    "#);
}

#[test]
fn a_file_that_is_no_toml() {
    let rig = rig();
    insta::assert_snapshot!(told(&rig, "[job\nname = \"x\"\n", 4), @r#"
    error[DV0002]: not TOML: unclosed table, expected `]`
     --> FOLDER/job.toml:1:5
      |
    1 | [job
      |     ^

    FOLDER/job.toml: 1 error; `dvbulk explain DV0002` tells more
    "#);
}

#[test]
fn columns_that_are_not_there() {
    let rig = rig();
    let table = changed(TABLE, "name = \"Name\"", "nmae = \"Name\"\nwebsiteurl = \"Webb\"");
    let job = format!("{}{table}", rig.head("job"));
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"
    error: nothing was written: 2 findings forbid this load; `dvbulk check` shows them all:
      DV0115 load account, column Webb: the source has no column `Webb`, which websiteurl needs; the header has: No, Name
      DV0103 load account, column nmae: `account` has no column `nmae`; did you mean `name`?
    "#);
}

#[test]
fn a_table_that_is_not_there() {
    let rig = rig();
    let job = format!("{}{}", rig.head("job"), changed(TABLE, "\"account\"", "\"acount\""));
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"error: DV0101: identity app-1 at http://SIMULATOR: table "acount" is not in this environment (did you mean "account"?); tables go by their logical name"#);
}

#[test]
fn sources_that_cannot_be_read() {
    let rig = rig();
    let job = format!("{}{TABLE}", rig.head("job"));
    let missing = changed(&job, "account.csv", "acount-*.csv");
    insta::assert_snapshot!(told(&rig, &missing, 4), @r#"
    error: nothing was written: 1 finding forbids this load; `dvbulk check` shows them all:
    load account: no file matches "FOLDER/acount-*.csv"; check the path of the source
    "#);
    rig.write("account.csv", "");
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"
    error: nothing was written: 1 finding forbids this load; `dvbulk check` shows them all:
    load account: FOLDER/account.csv is empty; its first line must name the columns
    "#);
    rig.write("account.csv", "No,No,Name\n1,2,3\n");
    insta::assert_snapshot!(told(&rig, &job, 4), @r#"
    error: nothing was written: 1 finding forbids this load; `dvbulk check` shows them all:
    load account: header line of FOLDER/account.csv: column "No" stands there twice; rename or remove one
    "#);
    rig.write("account.csv.gz", "this is not packed");
    let packed = changed(&job, "account.csv", "account.csv.gz");
    insta::assert_snapshot!(told(&rig, &packed, 4), @r#"
    error: nothing was written: 1 finding forbids this load; `dvbulk check` shows them all:
    load account: cannot read FOLDER/account.csv.gz: invalid gzip header
    "#);
}

#[test]
fn records_that_cannot_be_read_are_refused_one_by_one() {
    let rig = rig();
    rig.write(
        "account.csv",
        b"No,Name\nA-1,One\nA-2\nA-3,Three,more\nA-4,\xff\xfe\nA-5,nul\0\n,nameless\nA-1,again\nA-6,Six\n",
    );
    rig.write(
        "job.toml",
        format!("{}[breakers]\nfailed_share_max = 1.0\n{TABLE}", rig.head("job")),
    );
    let run = rig.load("job").expect(2);
    run.balanced();
    assert_eq!(rig.store("account").len(), 2);
    let text = std::fs::read(rig.path("job.out/account.errors.csv")).unwrap();
    let text = String::from_utf8_lossy(&text).replace('\0', "␀");
    insta::assert_snapshot!(text.trim_end(), @r#"
    No,Name,__code,__category,__message,__attempts
    A-2,,DV0201,source,"line 3, byte 16: 1 fields, but the header names 2 columns; look for a stray or missing separator or quote",0
    A-3,"Three,more",DV0201,source,"line 4, byte 20: 3 fields, but the header names 2 columns; look for a stray or missing separator or quote",0
    A-4,��,DV0202,source,"line 5, byte 39: not valid UTF-8; convert the file to UTF-8",0
    A-5,nul␀,DV0208,source,"line 6, byte 49: NUL character; remove it",0
    ,nameless,DV0206,required,No: the key of the row is empty,0
    A-1,again,DV0207,duplicate,"key ""A-1"" stands in record 1 of file 1 before; keep one of them, or set on_duplicate_key",0
    "#);
}

#[test]
fn lines_of_json_that_cannot_be_read_are_refused_one_by_one() {
    let rig = rig();
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    rig.write(
        "account.jsonl",
        format!(
            "{{\"No\":\"A-1\",\"Name\":\"One\"}}\n{{\"No\":\"A-2\",\n[1]\n\n{{\"No\":\"A-3\",\"No\":\"A-4\"}}\n\
             {{\"No\":\"A-5\",\"Name\":{deep}}}\n{{\"No\":\"A-6\",\"Name\":{{\"a\":1}}}}\n{{\"No\":\"A-7\",\"Name\":\"Seven\"}}"
        ),
    );
    let table = changed(TABLE, "account.csv", "account.jsonl");
    rig.write(
        "job.toml",
        format!("{}[breakers]\nfailed_share_max = 1.0\n{table}", rig.head("job")),
    );
    let run = rig.load("job").expect(2);
    run.balanced();
    assert_eq!(rig.store("account").len(), 2);
    let text = std::fs::read_to_string(rig.path("job.out/account.errors.jsonl")).unwrap();
    let text = text.replace(&deep, "DEEP");
    insta::assert_snapshot!(text.trim_end(), @r#"
    {"__record":"{\"No\":\"A-2\",","__code":"DV0205","__category":"source","__message":"line 2, byte 38: not a usable JSON object: expected a member name in double quotes","__attempts":0}
    {"__record":"[1]","__code":"DV0205","__category":"source","__message":"line 3, byte 39: not a usable JSON object: a line must be one JSON object","__attempts":0}
    {"No":"A-3","No":"A-4","__code":"DV0205","__category":"source","__message":"line 5, byte 44: not a usable JSON object: an object names a member twice; keep one of them","__attempts":0}
    {"No":"A-5","Name":DEEP,"__code":"DV0205","__category":"source","__message":"line 6, byte 150: not a usable JSON object: nested deeper than 64 levels","__attempts":0}
    {"No":"A-6","Name":{"a":1},"__code":"DV0301","__category":"value","__message":"name: \"{\"a\":1}\" is not a single value; use a text, number or boolean","__attempts":0}
    "#);
}
