//! How the ledger touches files: the real way here, faulty and forgetful ways in tests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One flat folder of files.
pub trait Storage: Send + Sync + 'static {
    /// Names of all files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file, replacing one of that name.
    ///
    /// # Errors
    /// When that is not possible.
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>>;

    /// Opens a file.
    ///
    /// # Errors
    /// When that is not possible.
    fn open(&self, name: &str) -> io::Result<Box<dyn StoredFile>>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// When that is not possible.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When that is not possible.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable.
    ///
    /// # Errors
    /// When that is not possible.
    fn sync_names(&self) -> io::Result<()>;

    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// One open file.
pub trait StoredFile: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When fewer could be written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it or lengthens it with zeros.
    ///
    /// # Errors
    /// When that is not possible.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes contents and length durable.
    ///
    /// # Errors
    /// When that is not certain. Not to be called again then: the kernel may have dropped what
    /// it could not write, and the second call would claim success.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made for its owner alone if there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn at(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(path)?;
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(Self(path.to_owned()))
    }
}

/// Options of a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

impl Storage for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        let file = private().create(true).truncate(true).open(self.0.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(RealFile(private().open(self.0.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.0)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

struct RealFile(File);

impl StoredFile for RealFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
#[path = "storage_memory.rs"]
pub(super) mod memory;
