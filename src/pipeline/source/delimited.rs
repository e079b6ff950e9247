//! Separated values with a header line.

use super::open::OpenedFile;
use super::records::{Quoting, RecordReader, Sizes};
use super::{Source, SourceError, SourceFingerprint, SourcePosition};
use crate::limits::COLUMNS_MAX;
use crate::record::chunk::{RawChunk, RecordFormat};
use crate::record::fields::FieldSplitter;
use crate::record::key::PartitionId;
use std::collections::HashSet;
use std::sync::Arc;

/// A file of separated values.
pub struct DelimitedSource {
    records: RecordReader,
    format: Arc<RecordFormat>,
    fingerprint: SourceFingerprint,
}

impl DelimitedSource {
    pub(crate) fn new(
        file: OpenedFile,
        partition: PartitionId,
        delimiter: u8,
        quote: u8,
        sizes: Sizes,
    ) -> Result<Self, SourceError> {
        let usable = |b: u8| b.is_ascii() && !matches!(b, b'\r' | b'\n' | 0);
        if delimiter == quote || !usable(delimiter) || !usable(quote) {
            return Err(SourceError::Dialect {
                delimiter: char::from(delimiter),
                quote: char::from(quote),
            });
        }
        let fingerprint = file.fingerprint;
        let quoting = Quoting { delimiter, quote, one_column: false };
        let mut records = RecordReader::new(file, partition, Some(quoting), sizes);
        let name = records.file().to_string();
        let raw = Arc::new(RecordFormat::Delimited { delimiter, quote, header: Arc::new([]) });
        let Some(line) = records.take_header(&raw)? else {
            return Err(SourceError::NoHeader { file: name });
        };
        let refused = |reason| SourceError::Header { file: name.clone(), reason };
        let line = line.map_err(|fault| refused(fault.message))?;
        let header = header(&line, delimiter, quote).map_err(refused)?;
        records.quoting = Some(Quoting { one_column: header.len() == 1, ..quoting });
        let format = Arc::new(RecordFormat::Delimited { delimiter, quote, header: header.into() });
        Ok(Self { records, format, fingerprint })
    }

    /// Column names, in file order.
    #[must_use]
    pub fn header(&self) -> &[String] {
        match &*self.format {
            RecordFormat::Delimited { header, .. } => header,
            RecordFormat::Json => &[],
        }
    }
}

fn header(line: &[u8], delimiter: u8, quote: u8) -> Result<Vec<String>, String> {
    let mut splitter = FieldSplitter::new(delimiter, quote);
    splitter.split(line);
    if splitter.len() > COLUMNS_MAX {
        return Err(format!("{} columns, at most {COLUMNS_MAX} allowed", splitter.len()));
    }
    let mut names = Vec::with_capacity(splitter.len());
    for index in 0..splitter.len() {
        let mut name = Vec::new();
        splitter.unquote(index, line, &mut name);
        let name = String::from_utf8(name).map_err(|_| {
            format!("name of column {} is not UTF-8; convert the file to UTF-8", index + 1)
        })?;
        if name.contains('\0') {
            return Err(format!("name of column {} holds a NUL character", index + 1));
        }
        if name.contains('\r') {
            return Err("lines end with a bare carriage return; convert them to line feeds".into());
        }
        names.push(name);
    }
    let mut seen = HashSet::new();
    // Spreadsheets leave nameless columns behind; they cannot be mapped, so they may repeat.
    for name in names.iter().filter(|n| !n.is_empty()) {
        if !seen.insert(name) {
            return Err(format!("column {name:?} stands there twice; rename or remove one"));
        }
    }
    Ok(names)
}

impl Source for DelimitedSource {
    fn format(&self) -> &Arc<RecordFormat> {
        &self.format
    }

    fn fingerprint(&self) -> SourceFingerprint {
        self.fingerprint
    }

    fn position(&self) -> SourcePosition {
        self.records.position()
    }

    fn skip_to(&mut self, index: u64) -> Result<(), SourceError> {
        self.records.skip_to(index)
    }

    fn next_chunk(&mut self) -> Result<Option<RawChunk>, SourceError> {
        self.records.next_chunk(&self.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn source(text: &[u8], sizes: Sizes) -> Result<DelimitedSource, SourceError> {
        let file = OpenedFile {
            path: "a.csv".into(),
            fingerprint: SourceFingerprint { bytes: 0, hash: 0 },
            input: Box::new(Cursor::new(text.to_vec())),
            mark_bytes: 0,
        };
        DelimitedSource::new(file, PartitionId(0), b',', b'"', sizes)
    }

    /// (line, offset, code or fields joined by `|`) of each record, read in tiny blocks.
    fn read(text: &[u8], sizes: Sizes) -> Vec<(u64, u64, String)> {
        let mut source = source(text, sizes).unwrap();
        let mut out = Vec::new();
        let mut index = 0;
        while let Some(chunk) = source.next_chunk().unwrap() {
            assert_eq!(chunk.first_index, index);
            assert!(!chunk.records.is_empty());
            index += chunk.records.len() as u64;
            for (i, record) in chunk.records.iter().enumerate() {
                let what = match &record.fault {
                    Some(fault) => fault.code.clone(),
                    None => chunk
                        .fields_of(i)
                        .iter()
                        .map(|f| String::from_utf8_lossy(f).into_owned())
                        .collect::<Vec<_>>()
                        .join("|"),
                };
                out.push((record.line, record.offset, what));
            }
        }
        assert_eq!(source.position().index, index);
        out
    }

    const TINY: Sizes = Sizes { chunk_bytes: 16, chunk_records: 2, record_bytes: 64 };

    fn check(text: &str, expect: &[(u64, u64, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(l, o, s)| (*l, *o, (*s).to_owned())).collect();
        assert_eq!(read(text.as_bytes(), TINY), expect, "{text:?}");
        assert_eq!(read(text.as_bytes(), Sizes { chunk_bytes: 1 << 16, ..TINY }), expect);
    }

    #[test]
    fn finds_records_with_line_and_offset() {
        check("a,b\n1,2\r\n\n3,\"x\ny\"\n4,5", &[(2, 4, "1|2"), (4, 10, "3|x\ny"), (6, 18, "4|5")]);
        check("a\n", &[]);
        check("a,b\n1,5\" pipe\n2,\"\"\"q\"\"\"\n", &[(2, 4, "1|5\" pipe"), (3, 14, "2|\"q\"")]);
    }

    #[test]
    fn an_open_quote_takes_one_line_only() {
        check("a,b\n1,\"open\n2,x\n3,y\n", &[(2, 4, "DV0209"), (3, 12, "2|x"), (4, 16, "3|y")]);
        let long = "0123456789012345678901234567890\n".repeat(4);
        let text = format!("a,b\n1,\"open\n{long}3,y\n");
        let read = read(text.as_bytes(), TINY);
        assert_eq!(read[0], (2, 4, "DV0203".to_owned()));
        assert_eq!(read.len(), 6);
        assert_eq!(read[5].2, "3|y");
        // One column: what follows could be anything.
        check("a\n1\n\"open\n2\n", &[(2, 2, "1"), (3, 4, "DV0209")]);
    }

    #[test]
    fn a_huge_line_is_passed_over_in_bounded_memory() {
        let text = format!("a,b\n{}\n1,2\n", "x".repeat(100_000));
        check(&text, &[(2, 4, "DV0203"), (3, 100_005, "1|2")]);
        let text = format!("a,b\n1,\"{}\n1,2\n", "x".repeat(100_000));
        check(&text, &[(2, 4, "DV0203"), (3, 100_008, "1|2")]);
        let text = format!("a,b\n1,2\n{}", "x".repeat(100_000));
        check(&text, &[(2, 4, "1|2"), (3, 8, "DV0203")]);
    }

    #[test]
    fn refuses_headers_that_cannot_be_used() {
        for (text, part) in [
            ("", "is empty"),
            ("a,b,a\n", "column \"a\" stands there twice"),
            ("a,\"b\n", "quote not closed"),
            ("a\rb\r", "bare carriage return"),
        ] {
            let error = source(text.as_bytes(), Sizes::default()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        let wide = vec!["x"; 4097].join(",");
        let error = source(wide.as_bytes(), Sizes::default()).err().unwrap().to_string();
        assert!(error.contains("4097 columns, at most 4096"), "{error}");
    }

    fn reference(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
        csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(text)
            .into_byte_records()
            .map(|r| r.unwrap().iter().map(<[u8]>::to_vec).collect())
            .collect()
    }

    fn ours(text: &[u8], chunk_bytes: usize, from: u64) -> Vec<Vec<Vec<u8>>> {
        let sizes = Sizes { chunk_bytes, chunk_records: 3, record_bytes: 1 << 16 };
        let mut source = source(text, sizes).unwrap();
        source.skip_to(from).unwrap();
        let mut out = Vec::new();
        while let Some(chunk) = source.next_chunk().unwrap() {
            assert_eq!(chunk.first_index, from + out.len() as u64);
            for i in 0..chunk.records.len() {
                assert!(chunk.records[i].fault.is_none());
                out.push(chunk.fields_of(i).into_iter().map(|f| f.into_owned()).collect());
            }
        }
        out
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate_on_tables(
            rows in proptest::collection::vec(
                proptest::collection::vec("[a-z,\"\n é\r]{0,12}", 3), 0..12),
            chunk_bytes in 8usize..200,
            from in 0u64..8,
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["a", "b", "c"]).unwrap();
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let expect: Vec<_> = reference(&text).into_iter().skip(from as usize).collect();
            let from = from.min(rows.len() as u64);
            prop_assert_eq!(ours(&text, chunk_bytes, from), expect);
        }

        // Without bare carriage returns (a line end to the csv crate alone), with all quotes
        // closed, and without line ends the csv crate counts as part of an empty record.
        #[test]
        fn agrees_with_the_csv_crate_on_noise(noise in "[a,\" \n]{0,80}", chunk_bytes in 8usize..64) {
            let text = format!("h,i\n{noise}").into_bytes();
            let mut quoted = false;
            let mut start = true;
            let mut bytes = noise.bytes().peekable();
            while let Some(b) = bytes.next() {
                if b == b'"' && quoted {
                    if bytes.peek() == Some(&b'"') { bytes.next(); } else { quoted = false; }
                    start = false;
                } else if b == b'"' && start {
                    quoted = true;
                } else {
                    start = !quoted && (b == b',' || b == b'\n');
                }
            }
            prop_assume!(!quoted);
            prop_assert_eq!(ours(&text, chunk_bytes, 0), reference(&text));
        }
    }
}
