//! The ledger's files: numbered segments, each complete before the next begins.
//!
//! A segment appears under its name only with its header (and the very first one with its first
//! group) on disk. It is filled with zeros some way ahead of the writer: that keeps room for
//! outcomes when the disk fills up, and a sync within that room changes no metadata. The price is
//! that the ledger's bytes are written twice. Only a system call this program does not make could
//! reserve room without writing.

use crate::limits::LEDGER_RESERVE_BYTES;
use crate::pipeline::ledger::codec::{self, NoRecord};
use crate::pipeline::ledger::frame::{self, Place};
use crate::pipeline::ledger::journal::OpenRefused;
use crate::pipeline::ledger::record::LedgerRecord;
use crate::pipeline::ledger::recover::Replay;
use crate::pipeline::ledger::storage::{Storage, StoredFile};
use crate::record::projection::LedgerPosition;
use std::io;
use std::sync::Arc;

/// Format of segments and records. A ledger with a greater one is refused.
pub const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"dvbulklg";
const HEADER_BYTES: usize = 32;
const SUFFIX: &str = ".seg";
/// A segment that is being made; means nothing when found.
const DRAFT: &str = "next.tmp";

/// The end of the ledger, where groups are added.
pub struct Segments {
    storage: Arc<dyn Storage>,
    file: Box<dyn StoredFile>,
    number: u64,
    /// Position of the segment's first frame.
    base: u64,
    /// Bytes used, header included.
    used: u64,
    /// Bytes filled with zeros or used; the file's length.
    filled: u64,
    /// The next segment, filled with zeros, while the current one nears its end.
    draft: Option<Box<dyn StoredFile>>,
    segment_bytes: u64,
    group: u64,
    epoch: u32,
}

/// What was found on disk.
pub struct ReadBack {
    /// All complete groups.
    pub replay: Replay,
    /// Bytes cut off.
    pub cut_bytes: u64,
    end: Option<End>,
}

struct End {
    number: u64,
    base: u64,
    used: u64,
    group: u64,
}

impl Segments {
    /// Reads everything, cuts off a group that was not finished, and leaves nothing else changed.
    ///
    /// # Errors
    /// See [`OpenRefused`].
    pub fn read_back(storage: &Arc<dyn Storage>) -> Result<ReadBack, OpenRefused> {
        let files = &**storage;
        let failed = |name: &str, action| {
            let path = files.path(name);
            move |cause| OpenRefused::Storage { path, action, cause }
        };
        let names = files.list().map_err(failed("", "list"))?;
        if names.iter().any(|name| name == DRAFT) {
            files.remove(DRAFT).map_err(failed(DRAFT, "remove"))?;
        }
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let mut back = ReadBack { replay: Replay::new(), cut_bytes: 0, end: None };
        for (index, &number) in numbers.iter().enumerate() {
            let name = name_of(number);
            let damaged = |offset: usize, detail: String| OpenRefused::Damaged {
                file: files.path(&name),
                offset: offset as u64,
                detail,
            };
            if number != index as u64 + 1 {
                return Err(damaged(0, format!("segment {} before it is missing", index + 1)));
            }
            let mut file = files.open(&name).map_err(failed(&name, "open"))?;
            let bytes = file.read().map_err(failed(&name, "read"))?;
            let base = back.end.as_ref().map_or(0, |e| e.base + e.used - HEADER_BYTES as u64);
            let group = back.end.as_ref().map_or(0, |e| e.group);
            check_header(&bytes, number, base, &damaged, || files.path(&name))?;
            let mut end = End { number, base, used: HEADER_BYTES as u64, group };
            let stopped = back.read_segment(&bytes, &mut end, || files.path(&name))?;
            let used = end.used as usize;
            if number == 1 && end.group == 0 {
                // The first segment appears with its first group on disk.
                return Err(damaged(used, format!("{} where the first record was", stopped.what)));
            }
            if index + 1 < numbers.len() {
                // The next segment was begun after this one was cut to its length and synced.
                if used != bytes.len() {
                    return Err(damaged(stopped.at, format!("{} in the midst", stopped.what)));
                }
            } else if used != bytes.len() || stopped.at != used {
                if let Some(later) = frame::find_later_group(&bytes[stopped.at..], end.group + 1) {
                    let later = stopped.at + later;
                    let detail = format!("{}, and good records at byte {later}", stopped.what);
                    return Err(damaged(stopped.at, detail));
                }
                let tail = &bytes[used..];
                if let Some(last) = tail.iter().rposition(|b| *b != 0) {
                    back.cut_bytes = last as u64 + 1;
                    file.set_len(end.used).map_err(failed(&name, "cut"))?;
                    file.sync().map_err(failed(&name, "sync"))?;
                }
            }
            back.end = Some(end);
        }
        Ok(back)
    }

    /// Goes on behind what was read, as start `epoch`.
    ///
    /// # Errors
    /// When the last segment cannot be written to.
    pub fn go_on(
        storage: Arc<dyn Storage>,
        back: &ReadBack,
        epoch: u32,
        segment_bytes: u64,
    ) -> io::Result<Option<Self>> {
        let Some(end) = &back.end else { return Ok(None) };
        let file = storage.open(&name_of(end.number))?;
        Ok(Some(Self {
            storage,
            file,
            number: end.number,
            base: end.base,
            used: end.used,
            filled: end.used,
            draft: None,
            segment_bytes,
            group: end.group,
            epoch,
        }))
    }

    /// Begins a ledger with its first group.
    ///
    /// # Errors
    /// When files cannot be made; nothing is there then, or a draft that means nothing.
    pub fn begin(
        storage: Arc<dyn Storage>,
        mut frames: Vec<u8>,
        epoch: u32,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        frame::seal(&mut frames, 1, epoch);
        let mut file = storage.create(DRAFT)?;
        let mut bytes = header(1, 0).to_vec();
        bytes.extend_from_slice(&frames);
        file.write_at(0, &bytes)?;
        file.sync()?;
        storage.rename(DRAFT, &name_of(1))?;
        storage.sync_names()?;
        let used = bytes.len() as u64;
        Ok(Self {
            storage,
            file,
            number: 1,
            base: 0,
            used,
            filled: used,
            draft: None,
            segment_bytes,
            group: 1,
            epoch,
        })
    }

    /// End of the last group.
    #[must_use]
    pub const fn position(&self) -> LedgerPosition {
        LedgerPosition(self.base + self.used - HEADER_BYTES as u64)
    }

    /// Makes room for a group of `bytes`, and the room ahead of it that stays for outcomes.
    /// Nothing that was written before depends on it, so it may be tried again.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] and its like when there is no room; `can_write` tells whether
    /// the group itself has some.
    pub fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        let reserve = LEDGER_RESERVE_BYTES.min(self.segment_bytes / 4);
        let end = self.used + bytes;
        if end + reserve / 2 > self.filled && end <= self.segment_bytes {
            self.fill_to((end + reserve).min(self.segment_bytes))?;
        }
        if end + reserve > self.segment_bytes && self.draft.is_none() {
            let mut draft = self.storage.create(DRAFT)?;
            zero_fill(&mut *draft, 0, HEADER_BYTES as u64 + reserve)?;
            draft.sync()?;
            self.draft = Some(draft);
        }
        Ok(())
    }

    /// Whether a group of `bytes` has its room.
    #[must_use]
    pub fn can_write(&self, bytes: u64) -> bool {
        self.used + bytes <= self.filled.min(self.segment_bytes)
            || (self.used + bytes > self.segment_bytes && self.draft.is_some())
    }

    /// Writes and syncs one group. `frames` are as [`frame::write()`] left them.
    ///
    /// # Errors
    /// When a write or sync failed; the ledger must not be written to any more.
    pub fn write_group(&mut self, frames: &mut [u8]) -> io::Result<LedgerPosition> {
        if self.used + frames.len() as u64 > self.segment_bytes && self.used > HEADER_BYTES as u64 {
            self.next_segment()?;
        }
        frame::seal(frames, self.group + 1, self.epoch);
        self.file.write_at(self.used, frames)?;
        self.file.sync()?;
        self.group += 1;
        self.used += frames.len() as u64;
        self.filled = self.filled.max(self.used);
        Ok(self.position())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.file.set_len(self.used)?;
        self.file.sync()?;
        let (number, base) = (self.number + 1, self.position().0);
        let (mut file, filled) = match self.draft.take() {
            Some(draft) => {
                let reserve = LEDGER_RESERVE_BYTES.min(self.segment_bytes / 4);
                (draft, HEADER_BYTES as u64 + reserve)
            }
            None => (self.storage.create(DRAFT)?, HEADER_BYTES as u64),
        };
        file.write_at(0, &header(number, base))?;
        file.sync()?;
        self.storage.rename(DRAFT, &name_of(number))?;
        self.storage.sync_names()?;
        self.file = file;
        self.number = number;
        self.base = base;
        self.used = HEADER_BYTES as u64;
        self.filled = filled;
        Ok(())
    }

    fn fill_to(&mut self, to: u64) -> io::Result<()> {
        if to > self.filled {
            zero_fill(&mut *self.file, self.filled, to)?;
            self.filled = to;
        }
        Ok(())
    }
}

struct Stopped {
    at: usize,
    what: &'static str,
}

impl ReadBack {
    /// Takes all complete groups of one segment; `end` follows. Returns where and why reading
    /// stopped, which is in or behind the group after.
    fn read_segment(
        &mut self,
        bytes: &[u8],
        end: &mut End,
        path: impl Fn() -> std::path::PathBuf,
    ) -> Result<Stopped, OpenRefused> {
        let mut at = end.used as usize;
        let mut group: Vec<(usize, LedgerRecord)> = Vec::new();
        let mut epoch = self.replay.epoch();
        loop {
            let (found, length) = match frame::read(&bytes[at..]) {
                Place::Frame(found, length) => (found, length),
                Place::Empty => return Ok(Stopped { at, what: "nothing" }),
                Place::Bad(what) => return Ok(Stopped { at, what }),
            };
            if found.group != end.group + 1 || found.epoch < epoch {
                return Ok(Stopped { at, what: "a record out of order" });
            }
            let record = codec::decode(found.kind, found.version, found.body);
            let record = record.map_err(|why| match why {
                NoRecord::Kind(newer) | NoRecord::Version(newer) => {
                    OpenRefused::Newer { file: path(), found: u32::from(newer), known: FORMAT }
                }
                _ => OpenRefused::Damaged {
                    file: path(),
                    offset: at as u64,
                    detail: why.to_string(),
                },
            })?;
            epoch = found.epoch;
            at += length;
            group.push((at, record));
            if found.ends_group {
                for (offset, record) in group.drain(..) {
                    let place = end.base + (offset - HEADER_BYTES) as u64;
                    self.replay.apply(LedgerPosition(place), record).map_err(|contradiction| {
                        OpenRefused::Contradiction {
                            file: path(),
                            offset: offset as u64,
                            contradiction,
                        }
                    })?;
                }
                end.group += 1;
                end.used = at as u64;
            }
        }
    }
}

fn zero_fill(file: &mut dyn StoredFile, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZEROS.len() as u64);
        file.write_at(at, &ZEROS[..count as usize])?;
        at += count;
    }
    Ok(())
}

fn name_of(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn header(number: u64, base: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..20].copy_from_slice(&number.to_le_bytes());
    header[20..28].copy_from_slice(&base.to_le_bytes());
    let sum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn check_header(
    bytes: &[u8],
    number: u64,
    base: u64,
    damaged: &impl Fn(usize, String) -> OpenRefused,
    path: impl Fn() -> std::path::PathBuf,
) -> Result<(), OpenRefused> {
    let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(damaged(bytes.len(), "the segment's header is cut short".into()));
    };
    let sum = crc32c::crc32c(&found[..28]);
    if found[..8] != *MAGIC || found[28..] != sum.to_le_bytes() {
        return Err(damaged(0, "the segment's header is not what was written".into()));
    }
    let format = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    if format > FORMAT {
        return Err(OpenRefused::Newer { file: path(), found: format, known: FORMAT });
    }
    if *found != header(number, base) {
        return Err(damaged(0, format!("the segment does not follow on position {base}")));
    }
    Ok(())
}
