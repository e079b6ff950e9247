//! Storage that forgets, fails and fills up when told to.

use super::{Storage, StoredFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const SECTOR: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) fail_syncs: bool,
    /// No file can grow.
    pub(crate) full: bool,
}

#[derive(Clone, Default)]
struct Node {
    durable: Vec<u8>,
    now: Vec<u8>,
}

type Shared<T> = Arc<Mutex<T>>;

#[derive(Default)]
struct Disk {
    names: BTreeMap<String, Shared<Node>>,
    durable_names: BTreeMap<String, Shared<Node>>,
    faults: Faults,
    syncs: u64,
}

/// A folder in memory that knows which of its contents were synced. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct MemoryStorage(Shared<Disk>);

impl MemoryStorage {
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    pub(crate) fn contents(&self, name: &str) -> Vec<u8> {
        self.0.lock().names[name].lock().now.clone()
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let node = Node { durable: bytes.clone(), now: bytes };
        self.0.lock().names.insert(name.into(), Arc::new(Mutex::new(node)));
    }

    pub(crate) fn deep_copy(&self) -> Self {
        let disk = self.0.lock();
        let copy = |names: &BTreeMap<String, Shared<Node>>| {
            names
                .iter()
                .map(|(name, node)| (name.clone(), Arc::new(Mutex::new(node.lock().clone()))))
                .collect()
        };
        let names = copy(&disk.names);
        Self(Arc::new(Mutex::new(Disk { names, ..Disk::default() })))
    }

    /// What a power loss leaves: names that were synced, of unsynced sectors those that `keeps`,
    /// in any order, and the length before or after.
    pub(crate) fn after_power_loss(&self, keeps: &mut dyn FnMut(usize) -> bool) -> Self {
        let disk = self.0.lock();
        let mut names = BTreeMap::new();
        for (name, node) in &disk.durable_names {
            let node = node.lock();
            let length = if keeps(0) { node.now.len() } else { node.durable.len() };
            let mut bytes = node.durable.clone();
            bytes.resize(length, 0);
            for from in (0..length).step_by(SECTOR) {
                let to = (from + SECTOR).min(length);
                let old = bytes[from..to].to_vec();
                let new = node.now.get(from..to.min(node.now.len())).unwrap_or_default();
                if *new != old[..new.len()] && keeps(from) {
                    bytes[from..from + new.len()].copy_from_slice(new);
                }
            }
            let node = Node { durable: bytes.clone(), now: bytes };
            names.insert(name.clone(), Arc::new(Mutex::new(node)));
        }
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(Disk { names, durable_names, ..Disk::default() })))
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Storage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let node = Shared::default();
        self.0.lock().names.insert(name.into(), Arc::clone(&node));
        Ok(Box::new(MemoryFile { node, disk: Arc::clone(&self.0) }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let node = Arc::clone(self.0.lock().names.get(name).ok_or_else(missing)?);
        Ok(Box::new(MemoryFile { node, disk: Arc::clone(&self.0) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let names = &mut self.0.lock().names;
        let node = names.remove(from).ok_or_else(missing)?;
        names.insert(to.into(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().names.remove(name).map(drop).ok_or_else(missing)
    }

    fn sync_names(&self) -> io::Result<()> {
        let disk = &mut *self.0.lock();
        disk.durable_names.clone_from(&disk.names);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

struct MemoryFile {
    node: Shared<Node>,
    disk: Shared<Disk>,
}

impl StoredFile for MemoryFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.node.lock().now.clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let full = self.disk.lock().faults.full;
        let now = &mut self.node.lock().now;
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        if full && to > now.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if now.len() < to {
            now.resize(to, 0);
        }
        now[from..to].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.node.lock().now.resize(bytes as usize, 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.syncs += 1;
        if disk.faults.fail_syncs {
            return Err(io::Error::other("injected sync failure"));
        }
        let node = &mut *self.node.lock();
        node.durable.clone_from(&node.now);
        Ok(())
    }
}
