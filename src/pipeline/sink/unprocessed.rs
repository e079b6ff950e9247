//! Rows that were never sent, in the columns of the input, for a run that ended early.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file of rows that were never sent. It appears under its name only once it is whole.
#[derive(Debug)]
pub struct UnprocessedFile {
    draft: PathBuf,
    path: PathBuf,
    out: BufWriter<File>,
    rows: u64,
}

impl UnprocessedFile {
    /// Begins `<name>.unprocessed.<extension>` in `folder`; `header` is its first line with line
    /// feed, or empty.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(folder: &Path, name: &str, extension: &str, header: &[u8]) -> io::Result<Self> {
        let path = folder.join(format!("{name}.unprocessed.{extension}"));
        let draft = folder.join(format!("{name}.unprocessed.{extension}.tmp"));
        let mut out = BufWriter::with_capacity(256 << 10, private().truncate(true).open(&draft)?);
        out.write_all(header)?;
        Ok(Self { draft, path, out, rows: 0 })
    }

    /// Adds one record as it stood in the source, without line end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, record: &[u8]) -> io::Result<()> {
        self.rows += 1;
        self.out.write_all(record)?;
        self.out.write_all(b"\n")
    }

    /// Makes the file durable under its name, replacing one of an earlier run; without rows there
    /// is no file afterwards. Returns its path and how many rows it holds.
    ///
    /// # Errors
    /// When that is not certain.
    pub fn finish(self) -> io::Result<(PathBuf, u64)> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        if self.rows > 0 {
            fs::rename(&self.draft, &self.path)?;
        } else {
            fs::remove_file(&self.draft)?;
            match fs::remove_file(&self.path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok((self.path, self.rows))
    }
}

/// Options of a file that only its owner may read, made when missing.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_appears_whole_and_goes_when_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = UnprocessedFile::begin(folder.path(), "t", "csv", b"a,b\n").unwrap();
        file.record(b"1,2").unwrap();
        assert!(!folder.path().join("t.unprocessed.csv").exists());
        let (path, rows) = file.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), rows), (b"a,b\n1,2\n".to_vec(), 1));
        let file = UnprocessedFile::begin(folder.path(), "t", "csv", b"a,b\n").unwrap();
        assert_eq!(file.finish().unwrap().1, 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
