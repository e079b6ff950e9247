//! The files that outlive a load: what was learnt about an environment, and the operations counted
//! for its entitlements. Several loads share them, so each write reads, adds and replaces under a
//! lock. Nothing here may stop a load: what cannot be used or kept is a notice.

use crate::config::job::{Job, OrganizationLock};
use crate::limits::TUNING_FILE_BYTES_MAX;
use crate::tuning::entitlement::{self, Buckets, KeptCounts};
use crate::tuning::keeping::{self, NotUsed};
use crate::tuning::learned::Learned;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for another process that is writing, in steps of [`LOCK_STEP`].
const LOCK_STEPS: u32 = 100;
const LOCK_STEP: Duration = Duration::from_millis(20);
const LOCK_FILE: &str = "tuning.lock";
/// Files looked at to find the one of an environment whose organization id is not known.
const FILES_SEEN_MAX: usize = 1000;

/// Why something was not used or not kept; the load goes on.
#[derive(Debug, thiserror::Error)]
pub enum Notice {
    /// The file is for something else, or damaged.
    #[error("DV0510: {path} is not used: {why}")]
    NotUsed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: NotUsed,
    },
    /// The file cannot be read.
    #[error("DV0510: {path} is not used: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file cannot be written.
    #[error("DV0510: {path} cannot be written, so nothing is kept for the next load: {cause}")]
    NotKept {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// What `reset --table` was asked for is not in the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nothing was learnt about table `{table}`; there are: {known}")]
pub struct NothingLearnt {
    /// As it was asked for.
    pub table: String,
    /// Tables there are.
    pub known: String,
}

/// The files of one environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TuningStore {
    folder: PathBuf,
    organization: String,
    url: String,
}

impl TuningStore {
    /// The files of an organization at `url`, in `folder`.
    #[must_use]
    pub fn new(folder: &Path, organization: Uuid, url: &str) -> Self {
        Self {
            folder: folder.to_path_buf(),
            organization: organization.to_string(),
            url: url.to_owned(),
        }
    }

    /// The files of a job's environment without asking it: by the organization id where the job
    /// file has one, else the youngest file learnt at its URL.
    #[must_use]
    pub fn of_job(job: &Job) -> Option<Self> {
        let (folder, url) = (&job.tuning.folder, &job.environment.url);
        if let OrganizationLock::Id(id) = job.environment.organization {
            return Some(Self::new(folder, id, url));
        }
        let entries = fs::read_dir(folder).ok()?;
        let stores = entries.take(FILES_SEEN_MAX).filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let id = Uuid::try_parse(name.to_str()?.strip_suffix(".json")?).ok()?;
            let store = Self::new(folder, id, url);
            let saved_ms = store.load().ok()??.saved_ms;
            Some((saved_ms, store))
        });
        stores.max_by_key(|(saved_ms, _)| *saved_ms).map(|(_, store)| store)
    }

    /// The file of what was learnt.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.organization))
    }

    /// The file of operations counted.
    #[must_use]
    pub fn counts_path(&self) -> PathBuf {
        self.folder.join(format!("{}.entitlement.json", self.organization))
    }

    /// What was learnt; `None` when nothing was yet.
    ///
    /// # Errors
    /// Why a file that is there is not used.
    pub fn load(&self) -> Result<Option<Learned>, Notice> {
        let path = self.path();
        let Some(text) = read(&path)? else { return Ok(None) };
        match keeping::read(&text, &self.organization, &self.url) {
            Ok(learned) => Ok(Some(learned)),
            Err(why) => Err(Notice::NotUsed { path, why }),
        }
    }

    /// As [`Self::load`], for a load that goes on anyhow: a notice is logged.
    #[must_use]
    pub fn remembered(&self) -> Option<Learned> {
        self.load().unwrap_or_else(|notice| {
            tracing::warn!("{notice}; this load learns anew");
            None
        })
    }

    /// Adds what a run has learnt at `wall_ms` to what is kept.
    ///
    /// # Errors
    /// When it cannot be written; the file is then as it was.
    pub fn save(&self, learned: Learned, wall_ms: i64) -> Result<(), Notice> {
        let path = self.path();
        let _lock = self.lock(&path)?;
        // What cannot be used is replaced; it was told when it was read first.
        let kept = self.load().unwrap_or_default();
        write(&path, &keeping::merge(kept, learned, wall_ms))
    }

    /// Forgets what was learnt, of all or of one table; tells how many kinds of requests.
    ///
    /// # Errors
    /// A table of which nothing was learnt, or a file that cannot be written.
    pub fn forget(&self, table: Option<&str>) -> anyhow::Result<usize> {
        let path = self.path();
        if !path.exists() {
            return Ok(0);
        }
        let _lock = self.lock(&path)?;
        let Some(table) = table else {
            let kinds = self.load().ok().flatten().map_or(0, |learned| learned.tables.len());
            fs::remove_file(&path).map_err(|cause| Notice::NotKept { path, cause })?;
            return Ok(kinds);
        };
        let Some(mut learned) = self.load()? else { return Ok(0) };
        let before = learned.tables.len();
        let mut known: Vec<&str> = learned.tables.iter().map(|t| t.kind.table.as_str()).collect();
        known.dedup();
        if !known.contains(&table) {
            let known = known.join(", ");
            return Err(NothingLearnt { table: table.to_owned(), known }.into());
        }
        learned.tables.retain(|t| t.kind.table != table);
        let forgotten = before - learned.tables.len();
        write(&path, &learned)?;
        Ok(forgotten)
    }

    /// Operations counted by earlier runs and other jobs; nothing when there is no file.
    ///
    /// # Errors
    /// Why a file that is there is not used.
    pub fn counts(&self) -> Result<KeptCounts, Notice> {
        let path = self.counts_path();
        let Some(text) = read(&path)? else { return Ok(KeptCounts::empty(&self.organization)) };
        let unreadable = |error: serde_json::Error| NotUsed::Unreadable(error.to_string());
        let kept = serde_json::from_slice::<KeptCounts>(&text).map_err(unreadable);
        let why = match kept {
            Ok(kept) if kept.version != entitlement::VERSION => {
                NotUsed::OtherVersion { found: kept.version.into() }
            }
            Ok(kept) if !kept.organization.eq_ignore_ascii_case(&self.organization) => {
                NotUsed::OtherOrganization { found: kept.organization }
            }
            Ok(kept) => return Ok(kept),
            Err(why) => why,
        };
        Err(Notice::NotUsed { path, why })
    }

    /// Adds what a run has counted, and gives what is counted by all.
    ///
    /// # Errors
    /// When it cannot be written; the file is then as it was.
    pub fn add_counts(
        &self,
        fresh: &BTreeMap<String, Buckets>,
        wall_ms: i64,
    ) -> Result<KeptCounts, Notice> {
        let path = self.counts_path();
        let _lock = self.lock(&path)?;
        let mut kept = self.counts().unwrap_or_else(|_| KeptCounts::empty(&self.organization));
        kept.add(fresh, wall_ms);
        write(&path, &kept)?;
        Ok(kept)
    }

    /// One process at a time. The kernel gives the lock back however its holder ends, and nobody
    /// waits long for one that hangs.
    fn lock(&self, path: &Path) -> Result<File, Notice> {
        let not_kept = |cause| Notice::NotKept { path: path.to_path_buf(), cause };
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder).map_err(not_kept)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.folder.join(LOCK_FILE)).map_err(not_kept)?;
        for _ in 0..LOCK_STEPS {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_STEP),
                Err(fs::TryLockError::Error(cause)) => return Err(not_kept(cause)),
            }
        }
        Err(not_kept(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock")))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Notice> {
    let unreadable = |cause| Notice::Unreadable { path: path.to_path_buf(), cause };
    // Opening anything but a file, such as a pipe, may never return.
    if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unreadable(cause)),
    };
    let mut text = Vec::new();
    file.take(TUNING_FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > TUNING_FILE_BYTES_MAX {
        let why = format!("larger than {} MiB", TUNING_FILE_BYTES_MAX >> 20);
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    Ok(Some(text))
}

/// Replaces a file as a whole: a crash leaves the old one or the new one.
fn write(path: &Path, content: &impl Serialize) -> Result<(), Notice> {
    replace(path, content).map_err(|cause| Notice::NotKept { path: path.to_path_buf(), cause })
}

fn replace(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    if text.len() as u64 > TUNING_FILE_BYTES_MAX {
        let why = format!("it would be larger than {} MiB", TUNING_FILE_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    // The lock is held, so nobody else writes this one.
    let beside = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::learned::{LearnedTable, RequestKind, VERSION};
    use std::os::unix::fs::PermissionsExt;

    const URL: &str = "https://contoso.crm4.dynamics.com";
    const NOW: i64 = 1_784_000_000_000;

    fn store(folder: &Path) -> TuningStore {
        TuningStore::new(&folder.join("deep/tuning"), Uuid::from_u128(7), URL)
    }

    fn learned(store: &TuningStore, tables: &[&str]) -> Learned {
        let table = |name: &&str| LearnedTable {
            kind: RequestKind {
                table: (*name).into(),
                operation: "create".into(),
                columns: "00ff".into(),
                bypass: String::new(),
            },
            batch_rows: 120.0,
            cost: [0.05, 0.002, 0.0],
            variance: 0.04,
            hazard: 0.0,
            bad_row_rate: 0.0,
            batch_ratio: 1.2,
            samples: 400,
            saved_ms: NOW,
        };
        Learned {
            version: VERSION,
            organization: store.organization.clone(),
            url: URL.into(),
            saved_ms: NOW,
            environment: None,
            tables: tables.iter().map(table).collect(),
        }
    }

    fn tables(store: &TuningStore) -> Vec<String> {
        let learned = store.load().unwrap().unwrap();
        learned.tables.into_iter().map(|t| t.kind.table).collect()
    }

    #[test]
    fn what_two_loads_learn_comes_together_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(store.load().unwrap(), None);
        store.save(learned(&store, &["account"]), NOW).unwrap();
        store.save(learned(&store, &["contact"]), NOW).unwrap();
        assert_eq!(tables(&store), ["account", "contact"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.path()), mode(&store.folder)), (0o600, 0o700));
        assert!(!store.path().with_extension("tmp").exists());
    }

    #[test]
    fn many_writers_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let names: Vec<String> = (0..8).map(|n| format!("table{n}")).collect();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| {
                    store.save(learned(&store, &[name]), NOW).unwrap();
                    let one =
                        BTreeMap::from([("u".to_owned(), Buckets::from([(NOW / 300_000, 5)]))]);
                    store.add_counts(&one, NOW).unwrap();
                });
            }
        });
        assert_eq!(tables(&store), names);
        assert_eq!(store.counts().unwrap().users["u"].values().sum::<u64>(), 40);
    }

    #[test]
    fn what_cannot_be_used_is_a_notice_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.save(learned(&store, &["account"]), NOW).unwrap();
        let elsewhere = TuningStore { url: "https://b.example".into(), ..store.clone() };
        let notice = elsewhere.load().unwrap_err().to_string();
        assert!(notice.starts_with("DV0510: ") && notice.contains(URL), "{notice}");
        assert!(notice.contains(&store.path().display().to_string()), "{notice}");
        assert_eq!(elsewhere.remembered(), None);
        for text in ["", "{\"version\": 9}", "no json", &"x".repeat((4 << 20) + 10)] {
            fs::write(store.path(), text).unwrap();
            assert!(store.load().is_err());
        }
        store.save(learned(&store, &["contact"]), NOW).unwrap();
        assert_eq!(tables(&store), ["contact"]);
        fs::write(store.counts_path(), "[1]").unwrap();
        assert!(store.counts().is_err());
        assert!(store.add_counts(&BTreeMap::new(), NOW).unwrap().users.is_empty());
        // A file where the folder should be: told, not fatal.
        fs::write(folder.path().join("file"), "").unwrap();
        let nowhere = TuningStore { folder: folder.path().join("file"), ..store.clone() };
        let notice = nowhere.save(learned(&store, &["contact"]), NOW).unwrap_err();
        assert!(notice.to_string().contains("cannot be written"), "{notice}");
    }

    #[test]
    fn one_table_or_all_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert_eq!(store.forget(None).unwrap(), 0, "nothing there");
        store.save(learned(&store, &["account", "contact", "lead"]), NOW).unwrap();
        let unknown = store.forget(Some("acount")).unwrap_err().to_string();
        assert_eq!(
            unknown,
            "nothing was learnt about table `acount`; there are: account, contact, lead"
        );
        assert_eq!(store.forget(Some("contact")).unwrap(), 1);
        assert_eq!(tables(&store), ["account", "lead"]);
        assert_eq!(store.forget(None).unwrap(), 2);
        assert_eq!(store.load().unwrap(), None);
        fs::write(store.path(), "damaged").unwrap();
        assert_eq!(store.forget(None).unwrap(), 0);
        assert!(!store.path().exists(), "what nobody can read goes too");
    }
}
