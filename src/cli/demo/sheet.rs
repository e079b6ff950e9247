//! Writes staged files: separated values or JSON Lines, plain, gzip or zstd by file name.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// One file being written.
pub(super) struct Sheet {
    out: Packed,
    header: Vec<String>,
    /// `None` writes JSON Lines.
    delimiter: Option<u8>,
    line: Vec<u8>,
}

enum Packed {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<File>>>),
}

impl Packed {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.write_all(bytes),
            Self::Gzip(w) => w.write_all(bytes),
            Self::Zstd(w) => w.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut w) => w.flush(),
            Self::Gzip(w) => w.finish()?.flush(),
            Self::Zstd(w) => w.finish()?.flush(),
        }
    }
}

impl Sheet {
    /// Begins the file at `path`. Its name tells how it is packed and whether it is JSON.
    pub(super) fn create(path: &Path, header: &[String], delimiter: u8) -> io::Result<Self> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        let out = if name.ends_with(".gz") {
            Packed::Gzip(Box::new(GzEncoder::new(file, Compression::fast())))
        } else if name.ends_with(".zst") {
            Packed::Zstd(Box::new(zstd::Encoder::new(file, 1)?))
        } else {
            Packed::Plain(file)
        };
        let is_json = name.contains(".jsonl");
        let mut sheet = Self {
            out,
            header: header.to_vec(),
            delimiter: (!is_json).then_some(delimiter),
            line: Vec::new(),
        };
        if !is_json {
            sheet.row(header)?;
        }
        Ok(sheet)
    }

    /// Adds a row; values in the header's order. JSON leaves empty ones out.
    pub(super) fn row(&mut self, values: &[String]) -> io::Result<()> {
        self.line.clear();
        match self.delimiter {
            Some(delimiter) => separated(values, delimiter, &mut self.line),
            None => self.json(values)?,
        }
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn json(&mut self, values: &[String]) -> io::Result<()> {
        self.line.push(b'{');
        for (name, value) in self.header.iter().zip(values).filter(|(_, v)| !v.is_empty()) {
            if self.line.len() > 1 {
                self.line.push(b',');
            }
            serde_json::to_writer(&mut self.line, name)?;
            self.line.push(b':');
            serde_json::to_writer(&mut self.line, value)?;
        }
        self.line.push(b'}');
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(self) -> io::Result<()> {
        self.out.finish()
    }
}

fn separated(values: &[String], delimiter: u8, out: &mut Vec<u8>) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        let bytes = value.as_bytes();
        let plain = !bytes.iter().any(|b| *b == delimiter || b"\"\r\n".contains(b));
        if plain {
            out.extend_from_slice(bytes);
            continue;
        }
        out.push(b'"');
        for byte in bytes {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }
}
