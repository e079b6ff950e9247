//! JSON Lines: one object a line.

use super::open::OpenedFile;
use super::records::{RecordReader, Sizes};
use super::{Source, SourceError, SourceFingerprint, SourcePosition};
use crate::record::chunk::{RawChunk, RecordFormat};
use crate::record::key::PartitionId;
use std::sync::Arc;

/// A file of JSON objects, one a line.
pub struct JsonlSource {
    records: RecordReader,
    format: Arc<RecordFormat>,
    fingerprint: SourceFingerprint,
}

impl JsonlSource {
    pub(crate) fn new(file: OpenedFile, partition: PartitionId) -> Self {
        let fingerprint = file.fingerprint;
        Self {
            records: RecordReader::new(file, partition, None, Sizes::default()),
            format: Arc::new(RecordFormat::Json),
            fingerprint,
        }
    }
}

impl Source for JsonlSource {
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
    use crate::config::job::SourceFormat;
    use crate::pipeline::source::SourcePosition;
    use crate::pipeline::source::open::open_source;
    use crate::record::key::PartitionId;

    #[test]
    fn gives_lines_and_passes_over_blank_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "{\"a\":\"\\\"\"}\r\n\n  \n{\"b\":1}").unwrap();
        let mut source = open_source(&path, &SourceFormat::Jsonl, PartitionId(3)).unwrap();
        let chunk = source.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.partition, PartitionId(3));
        assert_eq!(chunk.records.len(), 2);
        assert_eq!(chunk.record_bytes(0), b"{\"a\":\"\\\"\"}");
        assert_eq!(chunk.record_bytes(1), b"{\"b\":1}");
        assert_eq!((chunk.records[1].line, chunk.records[1].offset), (4, 16));
        assert!(source.next_chunk().unwrap().is_none());
        assert_eq!(source.position(), SourcePosition { index: 2, line: 4, offset: 23 });
    }
}
