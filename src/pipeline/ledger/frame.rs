//! Pure: how records stand in a segment, and where a segment's good part ends.
//!
//! A frame is `len u32 | crc32c u32 | group u64 | epoch u32 | kind u8 | version u8 | body`,
//! little-endian; `len` counts the whole frame, the check sum covers `len` and all behind the
//! check sum. A group is what one sync made durable: its frames carry one number, one greater
//! than the group before, and the last one has the top bit of `kind` set. A group without that
//! frame was promised to nobody.

use crate::limits::LEDGER_FRAME_BYTES_MAX;
use crate::pipeline::ledger::codec;
use crate::pipeline::ledger::record::LedgerRecord;

/// Bytes before a frame's body.
pub const FRAME_HEADER_BYTES: usize = 22;
const ENDS_GROUP: u8 = 0x80;
const KIND: u8 = 0x3f;
/// How much greater a group number may be than expected and still be believed; random bytes
/// behind a torn group pass all other looks before the check sum is computed too often.
const GROUPS_AHEAD_MAX: u64 = 1 << 40;

/// One frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Number of its group.
    pub group: u64,
    /// Number of the start that wrote it.
    pub epoch: u32,
    /// Kind of record.
    pub kind: u8,
    /// Format of the body.
    pub version: u8,
    /// Whether its group ends here.
    pub ends_group: bool,
    /// The record.
    pub body: &'a [u8],
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// A frame, and the length it takes.
    Frame(Frame<'a>, usize),
    /// Nothing was written.
    Empty,
    /// Something that is no frame.
    Bad(&'static str),
}

/// A record larger than a frame may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a record of {0} bytes is more than a frame may hold ({LEDGER_FRAME_BYTES_MAX})")]
pub struct RecordTooLarge(usize);

/// Adds `record` as a frame that still lacks group, epoch and check sum.
///
/// # Errors
/// When it is too large; nothing is added then.
pub fn write(record: &LedgerRecord, out: &mut Vec<u8>) -> Result<(), RecordTooLarge> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    codec::encode(record, out);
    let body = out.len() - start - FRAME_HEADER_BYTES;
    match u32::try_from(out.len() - start) {
        Ok(length) if body <= LEDGER_FRAME_BYTES_MAX => {
            out[start..start + 4].copy_from_slice(&length.to_le_bytes());
            out[start + 20] = codec::kind(record);
            out[start + 21] = codec::BODY_VERSION;
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(RecordTooLarge(body))
        }
    }
}

/// Gives the frames of one group, as [`write()`] left them one behind the other, their group,
/// epoch and check sums.
pub fn seal(mut frames: &mut [u8], group: u64, epoch: u32) {
    while let Some(length) = length_at(frames) {
        let Some((frame, rest)) = frames.split_at_mut_checked(length) else { return };
        frame[8..16].copy_from_slice(&group.to_le_bytes());
        frame[16..20].copy_from_slice(&epoch.to_le_bytes());
        if rest.is_empty() {
            frame[20] |= ENDS_GROUP;
        }
        let sum = check_sum(frame);
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
        frames = rest;
    }
}

/// Reads what stands at the beginning of `bytes`.
#[must_use]
pub fn read(bytes: &[u8]) -> Place<'_> {
    if bytes.iter().take(4).all(|b| *b == 0) {
        return Place::Empty;
    }
    let Some(length) = length_at(bytes) else { return Place::Bad("a length out of range") };
    let Some(frame) = bytes.get(..length) else { return Place::Bad("a frame cut short") };
    if frame[4..8] != check_sum(frame).to_le_bytes() {
        return Place::Bad("a wrong check sum");
    }
    let read = Frame {
        group: group_of(frame),
        epoch: u32::from_le_bytes([frame[16], frame[17], frame[18], frame[19]]),
        kind: frame[20] & KIND,
        version: frame[21],
        ends_group: frame[20] & ENDS_GROUP != 0,
        body: &frame[FRAME_HEADER_BYTES..],
    };
    Place::Frame(read, length)
}

/// Where in `bytes` the first whole frame of a group greater than `group` stands. Since a group
/// is written only after the one before it was synced, such a frame behind a bad place means
/// that something durable was damaged.
#[must_use]
pub fn find_later_group(bytes: &[u8], group: u64) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut at = 0;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        if bytes.get(at..at + ZEROS.len()) == Some(&ZEROS[..]) {
            // A frame may begin among the last zeros: its length's low bytes are never all zero,
            // so it cannot begin more than three bytes before the first byte set.
            at += ZEROS.len() - 3;
            continue;
        }
        let rest = &bytes[at..];
        let plausible = length_at(rest).is_some_and(|length| length <= rest.len())
            && rest[21] == codec::BODY_VERSION
            && (group.saturating_add(1)..group.saturating_add(GROUPS_AHEAD_MAX))
                .contains(&group_of(rest));
        if plausible && matches!(read(rest), Place::Frame(..)) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn length_at(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    (FRAME_HEADER_BYTES..=FRAME_HEADER_BYTES + LEDGER_FRAME_BYTES_MAX)
        .contains(&length)
        .then_some(length)
}

fn group_of(frame: &[u8]) -> u64 {
    let mut group = [0; 8];
    group.copy_from_slice(&frame[8..16]);
    u64::from_le_bytes(group)
}

fn check_sum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::{BatchId, TableId};
    use proptest::prelude::*;

    fn group(number: u64, records: u64) -> Vec<u8> {
        let mut frames = Vec::new();
        for i in 0..records {
            let split = LedgerRecord::Split { batch: BatchId(i), children: vec![BatchId(i + 1)] };
            write(&split, &mut frames).unwrap();
        }
        seal(&mut frames, number, 3);
        frames
    }

    #[test]
    fn frames_of_a_group_are_read_one_by_one() {
        let bytes = group(7, 2);
        let Place::Frame(first, length) = read(&bytes) else { panic!("no frame") };
        assert_eq!((first.group, first.epoch, first.ends_group), (7, 3, false));
        let Place::Frame(second, rest) = read(&bytes[length..]) else { panic!("no frame") };
        assert!(second.ends_group);
        assert_eq!(length + rest, bytes.len());
        assert_eq!(read(&[]), Place::Empty);
        assert_eq!(read(&[0; 100]), Place::Empty);
        let record = codec::decode(second.kind, second.version, second.body).unwrap();
        assert_eq!(record, LedgerRecord::Split { batch: BatchId(1), children: vec![BatchId(2)] });
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let bytes = group(7, 1);
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(matches!(read(&bad), Place::Bad(_)), "bit {at}");
        }
    }

    #[test]
    fn later_groups_are_found_behind_anything() {
        for gap in [0, 1, 2, 3, 4093, 4094, 4095, 4096, 4097, 20_000] {
            for fill in [0, 0x15] {
                let mut bytes = vec![fill; gap];
                bytes.extend(group(9, 1));
                assert_eq!(find_later_group(&bytes, 8), Some(gap));
                assert_eq!(find_later_group(&bytes, 9), None);
            }
        }
    }

    #[test]
    fn large_records_are_refused() {
        let reason = "x".repeat(LEDGER_FRAME_BYTES_MAX);
        let mut out = vec![1];
        assert!(write(&LedgerRecord::Pause { table: Some(TableId(1)), reason }, &mut out).is_err());
        assert_eq!(out, [1]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            prop_assert_eq!(find_later_group(&bytes, 0), None);
        }
    }
}
