//! Finding and opening files: patterns, packing by file name, byte order marks, fingerprints.

use super::delimited::DelimitedSource;
use super::jsonl::JsonlSource;
use super::records::Sizes;
use super::{Source, SourceError, SourceFingerprint};
use crate::config::job::SourceFormat;
use crate::record::key::PartitionId;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Bytes hashed at either end of a file for its fingerprint.
const ENDS_BYTES: u64 = 64 << 10;
/// Samples hashed between the ends, and their size.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 4 << 10;

/// An open file: its bytes unpacked, byte order mark taken off, cut at the size it had when it
/// was opened.
pub(crate) struct OpenedFile {
    pub(crate) path: String,
    pub(crate) fingerprint: SourceFingerprint,
    pub(crate) input: Box<dyn Read + Send>,
    /// Bytes of the byte order mark taken off.
    pub(crate) mark_bytes: u64,
}

/// Files a path or pattern names, sorted by path. A path that exists is taken literally.
///
/// # Errors
/// If the pattern is malformed, a folder cannot be listed, or nothing matches.
pub fn matching(pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    if Path::new(pattern).is_file() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    // Hidden files are files still being written, or an editor's.
    let rules = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let paths = glob::glob_with(pattern, rules)
        .map_err(|e| SourceError::Pattern { pattern: pattern.to_owned(), reason: e.to_string() })?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|e| SourceError::Io {
            file: e.path().display().to_string(),
            error: e.into(),
        })?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(SourceError::NothingMatches(pattern.to_owned()));
    }
    found.sort();
    Ok(found)
}

/// Opens one file as partition `partition`.
///
/// # Errors
/// If it cannot be opened, is not UTF-8, or (separated values) has no usable header line.
pub fn open_source(
    path: &Path,
    format: &SourceFormat,
    partition: PartitionId,
) -> Result<Box<dyn Source>, SourceError> {
    let file = open(path)?;
    Ok(match *format {
        SourceFormat::Csv { delimiter, quote } => {
            Box::new(DelimitedSource::new(file, partition, delimiter, quote, Sizes::default())?)
        }
        SourceFormat::Jsonl => Box::new(JsonlSource::new(file, partition)),
    })
}

fn open(path: &Path) -> Result<OpenedFile, SourceError> {
    let name = path.display().to_string();
    let refused = |error| SourceError::Io { file: name.clone(), error };
    let mut file = File::open(path).map_err(refused)?;
    let bytes = file.metadata().map_err(refused)?.len();
    let fingerprint = fingerprint(&mut file, bytes).map_err(refused)?;
    let sized = SizedFile { file, left: bytes };
    let mut input: Box<dyn Read + Send> = match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(
            256 << 10,
            sized,
        ))),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(sized).map_err(refused)?),
        _ => Box::new(sized),
    };
    // Byte order mark: look at the first three bytes, put back what is none.
    let mut head = Vec::with_capacity(3);
    input.by_ref().take(3).read_to_end(&mut head).map_err(refused)?;
    let encoding = match head.as_slice() {
        [0xFF, 0xFE, ..] => Some("UTF-16 (little endian)"),
        [0xFE, 0xFF, ..] => Some("UTF-16 (big endian)"),
        _ => None,
    };
    if let Some(encoding) = encoding {
        return Err(SourceError::Encoding { file: name, encoding });
    }
    let marked = head == [0xEF, 0xBB, 0xBF];
    if !marked {
        input = Box::new(io::Cursor::new(head).chain(input));
    }
    Ok(OpenedFile { path: name, fingerprint, input, mark_bytes: if marked { 3 } else { 0 } })
}

/// Leaves the file at its start.
fn fingerprint(file: &mut File, bytes: u64) -> io::Result<SourceFingerprint> {
    let mut hasher = Xxh3::new();
    hasher.update(&bytes.to_le_bytes());
    let mut piece = Vec::new();
    let mut hash_at = |start: u64, length: u64| -> io::Result<()> {
        file.seek(SeekFrom::Start(start))?;
        piece.clear();
        file.by_ref().take(length).read_to_end(&mut piece)?;
        hasher.update(&piece);
        Ok(())
    };
    hash_at(0, ENDS_BYTES.min(bytes))?;
    if bytes > ENDS_BYTES {
        for sample in 1..=SAMPLES {
            let start = (bytes / (SAMPLES + 1)) * sample;
            hash_at(start, SAMPLE_BYTES.min(bytes - start))?;
        }
        let start = bytes - ENDS_BYTES;
        hash_at(start, ENDS_BYTES)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(SourceFingerprint { bytes, hash: hasher.digest() })
}

/// A file up to the size it had: what is appended later belongs to a later run, and a file that
/// shrinks meanwhile is an error, not an end.
struct SizedFile {
    file: File,
    left: u64,
}

impl Read for SizedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if room == 0 {
            return Ok(0);
        }
        let read = self.file.read(&mut buf[..room])?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file became {} bytes shorter while it was read", self.left),
            ));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(path: &Path) -> Vec<u8> {
        let mut out = Vec::new();
        open(path).unwrap().input.read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn unpacks_by_name_and_takes_the_mark_off() {
        let dir = tempfile::tempdir().unwrap();
        let text = "\u{feff}a,b\n1,ä\n".as_bytes();
        let plain = dir.path().join("a.csv");
        std::fs::write(&plain, text).unwrap();
        let packed = dir.path().join("a.csv.gz");
        let mut gz = flate2::write::GzEncoder::new(
            File::create(&packed).unwrap(),
            flate2::Compression::fast(),
        );
        gz.write_all(&text[..5]).unwrap();
        let mut file = gz.finish().unwrap();
        // A second member follows, as `cat a.gz b.gz` makes it.
        let mut gz = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
        gz.write_all(&text[5..]).unwrap();
        gz.finish().unwrap();
        let zst = dir.path().join("a.csv.zst");
        std::fs::write(&zst, zstd::encode_all(text, 1).unwrap()).unwrap();
        for path in [&plain, &packed, &zst] {
            assert_eq!(all(path), &text[3..], "{}", path.display());
        }
        let short = dir.path().join("b.csv");
        std::fs::write(&short, "x").unwrap();
        assert_eq!(all(&short), b"x");
        let found = matching(&format!("{}/*.csv*", dir.path().display())).unwrap();
        assert_eq!(found, [plain, packed, zst, short]);
        assert!(matches!(
            matching(&format!("{}/*.json", dir.path().display())),
            Err(SourceError::NothingMatches(_))
        ));
    }

    #[test]
    fn refuses_utf_16_and_reads_no_further_than_the_size_at_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, b"\xff\xfea\0").unwrap();
        let refused = open(&path).err().unwrap().to_string();
        assert!(refused.contains("UTF-16 (little endian); convert it to UTF-8"), "{refused}");

        std::fs::write(&path, b"first\n").unwrap();
        let mut opened = open(&path).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"later\n").unwrap();
        let mut out = Vec::new();
        opened.input.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"first\n");
        assert_ne!(open(&path).unwrap().fingerprint, opened.fingerprint);

        let mut opened = open(&path).unwrap();
        std::fs::write(&path, b"fir").unwrap();
        let error = opened.input.read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("9 bytes shorter"), "{error}");
    }
}
