//! A local Dataverse, a folder, and the program as a child of the test.

use dvbulk::runtime::clock;
use dvbulk::simulator::backend::Backend;
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::{ProtectionSettings, Settings, UserSettings};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longest life of a child; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A row of a file, by column.
pub(crate) type Row = BTreeMap<String, String>;

/// A local Dataverse and a folder for one job.
pub(crate) struct Rig {
    pub(crate) sim: Simulator,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

/// A simulator that answers at once and never throttles.
pub(crate) fn quick() -> Settings {
    Settings { protection: ProtectionSettings::off(), ..Settings::default() }
}

/// As [`quick`], with a fault script.
pub(crate) fn faulty(seed: u64, script: &str) -> Settings {
    let read = Settings::parse(script).expect("the script is right");
    Settings { seed, faults: read.faults, ..quick() }
}

impl Rig {
    pub(crate) fn start(settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sim = runtime
            .block_on(Simulator::start(settings, ([127, 0, 0, 1], 0).into()))
            .expect("the simulator starts");
        let folder = tempfile::tempdir().expect("a folder");
        let rig = Self { sim, runtime, folder };
        for user in rig.sim.settings().users.clone() {
            if let Some(secret) = &user.secret {
                rig.write_secret(&format!("secrets/{}.txt", user.name), secret);
            }
        }
        rig
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("folders");
        fs::write(&path, content).expect("the file is written");
        path
    }

    pub(crate) fn write_secret(&self, name: &str, secret: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("folders");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .expect("the secret is written");
        file.write_all(secret.as_bytes()).expect("the secret is written");
    }

    /// The sections every job has, for all users of the simulator.
    pub(crate) fn head(&self, name: &str) -> String {
        let settings = self.sim.settings();
        let mut text = format!(
            "[job]\nname = \"{name}\"\n\n[environment]\nurl = \"{url}\"\norganization = \"{org}\"\n\
             authority = \"{url}\"\n\n",
            url = self.sim.url(),
            org = settings.environment.organization_id,
        );
        for user in &settings.users {
            text.push_str(&identity(&settings.tenant, user));
        }
        text
    }

    /// Writes `<name>.toml` with the common head and these sections; success and error files go to
    /// `<name>.out`, the ledger to `<name>.ledger`.
    pub(crate) fn job(&self, name: &str, sections: &str) -> PathBuf {
        self.write(&format!("{name}.toml"), format!("{}{sections}", self.head(name)))
    }

    /// A child that has not been started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dvbulk"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("DVBULK_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts the program; its output goes to files of the rig's folder.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.spawn_as("child", arguments)
    }

    pub(crate) fn spawn_as(&self, tag: &str, arguments: &[&str]) -> Child {
        let stdout = self.path(&format!("{tag}.stdout"));
        let stderr = self.path(&format!("{tag}.stderr"));
        let create = |path: &Path| fs::File::create(path).expect("an output file");
        let mut command = self.command(arguments);
        command.stdout(create(&stdout)).stderr(create(&stderr));
        let child = self.block_on(async { command.spawn() }).expect("the program starts");
        Child { child, stdout, stderr }
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let child = self.spawn_as("run", arguments);
        self.wait(child)
    }

    /// `dvbulk load <job>.toml --no-wait`, with its summary.
    pub(crate) fn load(&self, job: &str) -> Run {
        let summary = self.path("summary.json");
        if summary.exists() {
            fs::remove_file(&summary).expect("the old summary goes");
        }
        let file = format!("{job}.toml");
        let mut run = self.run(&["load", &file, "--no-wait", "--summary", "summary.json"]);
        if let Ok(text) = fs::read_to_string(&summary) {
            run.summary = serde_json::from_str(&text).expect("the summary is JSON");
        }
        run
    }

    /// Looks every few milliseconds until `look` finds something or the child has ended.
    pub(crate) fn until<T>(
        &self,
        child: &mut Child,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let patience = clock::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if child.ended() {
                return None;
            }
            assert!(clock::now() < patience, "waited in vain\n{}", child.stderr());
            self.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    /// Looks every few milliseconds until `look` finds something; whether it did.
    pub(crate) fn until_some<T>(&self, mut look: impl FnMut() -> Option<T>) -> bool {
        let patience = clock::now() + PATIENCE / 4;
        while clock::now() < patience {
            if look().is_some() {
                return true;
            }
            self.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
        }
        false
    }

    /// Address of `/metrics` and the rest, once a running load has told it.
    pub(crate) fn listens(&self, child: &mut Child) -> String {
        let path = child.stderr.clone();
        let address = self.until(child, || {
            let said = text(&path);
            let (_, after) = said.split_once("metrics: http://")?;
            after.split_once("/metrics").map(|(address, _)| address.to_owned())
        });
        address.unwrap_or_else(|| panic!("it never listened\n{}", child.stderr()))
    }

    /// Waits for the end of a child.
    pub(crate) fn wait(&self, mut child: Child) -> Run {
        let ended = self.block_on(async { timeout(PATIENCE, child.child.wait()).await });
        let Ok(status) = ended else {
            let (out, err) = (text(&child.stdout), text(&child.stderr));
            panic!("the program did not end within {PATIENCE:?}\n{out}\n{err}");
        };
        let status = status.expect("the child can be waited for");
        Run {
            code: status.code(),
            status,
            stdout: text(&child.stdout),
            stderr: text(&child.stderr),
            summary: Value::Null,
        }
    }

    /// Rows of a file of the job `job`: `kind` is `success`, `errors` or `unprocessed`.
    pub(crate) fn rows(&self, job: &str, load: &str, kind: &str) -> Vec<Row> {
        read_rows(&self.path(&format!("{job}.out/{load}.{kind}.csv")))
    }

    /// Rows of a table of the simulator, one JSON object a line.
    pub(crate) fn dump(&self, table: &str) -> String {
        let mut out = Vec::new();
        self.sim.with_model(|model| {
            let tables = &model.schema().tables;
            let index = tables.iter().position(|t| t.name == table).expect("the table is known");
            model.dump_table(index, &mut out).expect("a vector takes every byte");
        });
        String::from_utf8(out).expect("a dump is text")
    }

    /// Rows of a table of the simulator: id to column values.
    pub(crate) fn store(&self, table: &str) -> BTreeMap<String, Value> {
        let text = self.dump(table);
        let mut rows = BTreeMap::new();
        for line in text.lines() {
            let mut row: Value = serde_json::from_str(line).expect("a dump is JSON lines");
            let id = row["id"].as_str().expect("a row has an id").to_owned();
            let before = rows.insert(id, row["values"].take());
            assert!(before.is_none(), "an id stands twice in {table}");
        }
        rows
    }

    /// Requests the simulator answered that may have written something.
    pub(crate) fn writes(&self) -> u64 {
        let stats = self.sim.stats();
        let reads = ["query", "retrieve", "WhoAmI", "RetrieveVersion", "metadata", "token"];
        stats
            .operations
            .iter()
            .filter(|(name, _)| !reads.contains(&name.as_str()))
            .map(|(_, count)| count.requests)
            .sum()
    }
}

fn identity(tenant: &str, user: &UserSettings) -> String {
    format!(
        "[[identity]]\nname = \"{name}\"\ntenant_id = \"{tenant}\"\nclient_id = \"{client}\"\n\
         client_secret = {{ file = \"secrets/{name}.txt\" }}\n\n",
        name = user.name,
        client = user.client_id,
    )
}

/// A running child.
pub(crate) struct Child {
    pub(crate) child: tokio::process::Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// What it said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_some()
    }
}

/// A child that ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Of [`Rig::load`]; null if none was written.
    pub(crate) summary: Value,
}

impl Run {
    /// Asserts the exit code, with the whole output when it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n--- stdout\n{}--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The number of rows of `load` in `state`, from the summary.
    #[track_caller]
    pub(crate) fn rows(&self, load: &str, state: &str) -> u64 {
        self.of(load)["rows"][state].as_u64().expect("a known state")
    }

    /// The part of the summary about `load`.
    #[track_caller]
    pub(crate) fn of(&self, load: &str) -> &Value {
        let loads = self.summary["loads"].as_array().expect("the summary has loads");
        loads.iter().find(|l| l["name"] == load).expect("the load is in the summary")
    }

    /// Asserts that in every load rows read equal the sum of their states and open rows.
    #[track_caller]
    pub(crate) fn balanced(&self) -> &Self {
        for load in self.summary["loads"].as_array().expect("the summary has loads") {
            let states: u64 = load["rows"]
                .as_object()
                .expect("rows by state")
                .values()
                .map(|n| n.as_u64().expect("a number"))
                .sum();
            let open = load["rows_queued"].as_u64().expect("a number")
                + load["rows_in_flight"].as_u64().expect("a number");
            assert_eq!(load["rows_read"].as_u64(), Some(states + open), "{load:#}");
            assert_eq!(load["difference"], 0, "{load:#}");
        }
        self
    }
}

/// All records of a file with a header line.
pub(crate) fn read_rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::ReaderBuilder::new()
        .from_path(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = reader.headers().expect("a header line").clone();
    reader
        .records()
        .map(|record| {
            let record = record.expect("a record");
            header.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect()
        })
        .collect()
}

/// Asserts that the rows of a success file are exactly the rows of the store, by id, that each
/// stands once, and that `column` holds their source key. Gives back the keys with their ids.
#[track_caller]
pub(crate) fn success_is_store(
    success: &[Row],
    store: &BTreeMap<String, Value>,
    column: &str,
) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for row in success {
        let stored = store.get(&row["id"]);
        let stored = stored.unwrap_or_else(|| panic!("{row:?} is not in the store"));
        assert_eq!(stored[column], *row["key"], "another row has the id of {row:?}");
        let before = keys.insert(row["key"].clone(), row["id"].clone());
        assert!(before.is_none(), "key {} stands twice in the success file", row["key"]);
    }
    assert_eq!(keys.len(), store.len(), "rows in the success file and in the store");
    keys
}

fn text(path: &Path) -> String {
    let mut text = Vec::new();
    let mut file = fs::File::open(path).expect("an output file");
    file.read_to_end(&mut text).expect("output is read");
    String::from_utf8_lossy(&text).into_owned()
}

/// One GET over plain HTTP: status and body.
pub(crate) fn http_get(address: &str, path: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, body.to_owned())
}
