//! Pure: taking one record of separated values apart. The dialect is that of the `csv` crate: a
//! quote opens a quoted field only at the field's start, `""` inside is one quote, text after the
//! closing quote is taken as it stands, and a quote inside an unquoted field is a character.

use memchr::memchr;
use std::ops::Range;

const ONES: u64 = 0x0101_0101_0101_0101;
/// Bytes looked at together.
const BLOCK: usize = 64;
/// Each byte's bit within its word.
const BITS: [u8; BLOCK] = {
    let mut bits = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        bits[i] = 1 << (i % 8);
        i += 1;
    }
    bits
};
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Non-zero when any byte of `word` is zero.
const fn any_zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Non-zero when any byte of `word` is below 0x20.
const fn any_control(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word & HIGHS
}

/// Index of the first byte JSON text must escape: `"`, `\` or below 0x20.
#[must_use]
pub fn json_special(bytes: &[u8]) -> Option<usize> {
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().unwrap_or([0; 8]));
        let found = any_control(word)
            | any_zero(word ^ (ONES * b'"' as u64))
            | any_zero(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            break;
        }
        at += 8;
    }
    bytes[at..].iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').map(|i| at + i)
}

/// Whether something special is in `block`, and which of its bytes are delimiters. Written so
/// that compilers do the loop on whole vectors. The fields of a block are then gone through in
/// one loop: leaving it once a word instead would cost a mispredicted branch each time.
#[inline]
fn look(block: &[u8; BLOCK], delimiter: u8, quote: u8) -> (bool, u64) {
    let mut special = 0;
    let mut bits = [0u8; BLOCK];
    for i in 0..BLOCK {
        let byte = block[i];
        let ends = byte == delimiter;
        let odd = (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == quote);
        special |= u8::from(odd & !ends);
        bits[i] = if ends { BITS[i] } else { 0 };
    }
    let mut ends = 0;
    for (i, word) in bits.as_chunks::<8>().0.iter().enumerate() {
        // The bytes of a word hold different bits, so their sum is all of them.
        ends |= (u64::from_le_bytes(*word).wrapping_mul(ONES) >> 56) << (8 * i);
    }
    (special != 0, ends)
}

/// Where a field is.
#[derive(Clone, Copy, Debug)]
struct FieldSpan {
    start: u32,
    end: u32,
    /// Holds doubled quotes or text after the closing quote: must be copied to be read.
    mixed: bool,
}

/// Takes records apart, reusing its memory from record to record.
#[derive(Clone, Debug)]
pub struct FieldSplitter {
    delimiter: u8,
    quote: u8,
    /// Pads the last block: neither delimiter nor quote, nor special to JSON.
    filler: u8,
    /// Whether the last record is described by `ends` instead of `spans`.
    plain: bool,
    /// Where fields end, behind a first entry that makes field 0 begin at 0.
    ends: Vec<u32>,
    /// Fields of a record with anything special in it.
    spans: Vec<FieldSpan>,
    /// Fields of the last record.
    count: usize,
}

impl FieldSplitter {
    /// For fields between `delimiter`s, quoted by `quote`; both ASCII and different.
    #[must_use]
    pub fn new(delimiter: u8, quote: u8) -> Self {
        let filler = (b'0'..=b'9').find(|b| *b != delimiter && *b != quote).unwrap_or(b'x');
        Self {
            delimiter,
            quote,
            filler,
            plain: false,
            ends: Vec::new(),
            spans: Vec::new(),
            count: 0,
        }
    }

    /// Takes `record` apart (no line end) and tells whether no byte of its fields is special to
    /// JSON (`"`, `\`, below 0x20), so that fields can be copied into JSON text as they are. A
    /// record is at most 4 GiB long.
    pub fn split(&mut self, record: &[u8]) -> bool {
        self.plain = true;
        let (mut count, mut done) = (1, 0);
        let mut padded;
        while done < record.len() {
            // The last block overlaps the one before: its first `seen` bytes were looked at.
            let (block, at, seen) = match (record[done..].first_chunk(), record.last_chunk()) {
                (Some(block), _) => (block, done, 0),
                (None, Some(block)) => (block, record.len() - BLOCK, BLOCK - (record.len() - done)),
                (None, None) => {
                    padded = [self.filler; BLOCK];
                    padded[..record.len()].copy_from_slice(record);
                    (&padded, 0, 0)
                }
            };
            done = at + BLOCK;
            let (special, ends) = look(block, self.delimiter, self.quote);
            if special {
                self.plain = false;
                self.split_quoted(record);
                return false;
            }
            let mut ends = ends & (u64::MAX << seen);
            let fields = ends.count_ones() as usize;
            if self.ends.len() < count + BLOCK {
                self.ends.resize(2 * (count + BLOCK), 0);
            }
            #[expect(clippy::cast_possible_truncation, reason = "records are below 4 GiB")]
            let at = at as u32;
            for end in &mut self.ends[count..count + fields] {
                *end = at + ends.trailing_zeros();
                ends &= ends.wrapping_sub(1);
            }
            count += fields;
        }
        if self.ends.len() <= count {
            self.ends.resize(count + BLOCK, 0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "records are below 4 GiB")]
        let end = record.len() as u32;
        self.ends[count] = end;
        self.ends[0] = u32::MAX;
        self.count = count;
        true
    }

    fn span(&self, index: usize) -> FieldSpan {
        debug_assert!(index < self.count);
        if self.plain {
            let start = self.ends[index].wrapping_add(1);
            FieldSpan { start, end: self.ends[index + 1], mixed: false }
        } else {
            self.spans[index]
        }
    }

    fn split_quoted(&mut self, record: &[u8]) {
        self.spans.clear();
        let mut start = 0;
        loop {
            if record.get(start) == Some(&self.quote) {
                match self.quoted(record, start) {
                    Some(next) => start = next,
                    None => return,
                }
            } else if let Some(found) = memchr(self.delimiter, &record[start..]) {
                self.push(start, start + found, false);
                start += found + 1;
            } else {
                self.push(start, record.len(), false);
                return;
            }
        }
    }

    /// Reads the quoted field that begins at `open`; the start of the next field, or `None` at
    /// the end of the record.
    fn quoted(&mut self, record: &[u8], open: usize) -> Option<usize> {
        let mut mixed = false;
        let mut at = open + 1;
        loop {
            let Some(found) = memchr(self.quote, &record[at..]) else {
                // Never closed: everything that is left. `unquote` wants to see the opening quote.
                self.push(if mixed { open } else { open + 1 }, record.len(), mixed);
                return None;
            };
            let close = at + found;
            match record.get(close + 1) {
                Some(b) if *b == self.quote => {
                    mixed = true;
                    at = close + 2;
                }
                after => {
                    let end = if after.is_none_or(|b| *b == self.delimiter) {
                        close + 1
                    } else {
                        mixed = true;
                        memchr(self.delimiter, &record[close..]).map_or(record.len(), |i| close + i)
                    };
                    if mixed {
                        self.push(open, end, true);
                    } else {
                        self.push(open + 1, close, false);
                    }
                    return (end < record.len()).then_some(end + 1).or_else(|| {
                        debug_assert_eq!(end, record.len());
                        None
                    });
                }
            }
        }
    }

    fn push(&mut self, start: usize, end: usize, mixed: bool) {
        #[expect(clippy::cast_possible_truncation, reason = "records are below 4 GiB")]
        let span = FieldSpan { start: start as u32, end: end as u32, mixed };
        self.spans.push(span);
        self.count = self.spans.len();
    }

    /// Fields of the last record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no record was taken apart yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of field `index` as it stands in the record, bytes.
    ///
    /// # Panics
    /// If there is no such field.
    #[must_use]
    pub fn raw_len(&self, index: usize) -> usize {
        let span = self.span(index);
        (span.end - span.start) as usize
    }

    /// Where field `index` of the last record stands in it when its bytes stand there as they
    /// are; else see [`Self::unquote`].
    ///
    /// # Panics
    /// If there is no such field.
    #[must_use]
    #[inline]
    pub fn place(&self, index: usize) -> Option<Range<usize>> {
        debug_assert!(index < self.count);
        let span = self.span(index);
        (!span.mixed).then_some(span.start as usize..span.end as usize)
    }

    /// Appends field `index` of `record`, unquoted.
    ///
    /// # Panics
    /// If there is no such field or `record` is not the last one split.
    pub fn unquote(&self, index: usize, record: &[u8], out: &mut Vec<u8>) {
        let span = self.span(index);
        let raw = &record[span.start as usize..span.end as usize];
        if !span.mixed {
            out.extend_from_slice(raw);
            return;
        }
        // `raw` begins with the opening quote.
        let mut rest = &raw[1..];
        loop {
            let Some(found) = memchr(self.quote, rest) else {
                out.extend_from_slice(rest);
                return;
            };
            out.extend_from_slice(&rest[..found]);
            rest = &rest[found + 1..];
            if rest.first() == Some(&self.quote) {
                out.push(self.quote);
                rest = &rest[1..];
            } else {
                out.extend_from_slice(rest);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(record: &[u8]) -> Vec<Vec<u8>> {
        let mut splitter = FieldSplitter::new(b',', b'"');
        splitter.split(record);
        (0..splitter.len())
            .map(|i| {
                let mut out = Vec::new();
                splitter.unquote(i, record, &mut out);
                out
            })
            .collect()
    }

    fn check(record: &str, expect: &[&str]) {
        let expect: Vec<Vec<u8>> = expect.iter().map(|f| f.as_bytes().to_vec()).collect();
        assert_eq!(fields(record.as_bytes()), expect, "{record}");
    }

    #[test]
    fn takes_records_apart() {
        check("a,b,c", &["a", "b", "c"]);
        check(",", &["", ""]);
        check(r#""a,b",c"#, &["a,b", "c"]);
        check(r#""a""b","",x"#, &[r#"a"b"#, "", "x"]);
        check(r#"5" pipe,a"b"#, &[r#"5" pipe"#, r#"a"b"#]);
        check(r#""a"bc"d,e"#, &[r#"abc"d"#, "e"]);
        check(r#""a","#, &["a", ""]);
        check(r#""open,b"#, &["open,b"]);
        check(r#""op""en"#, &[r#"op"en"#]);
        check("12345678,12345678,1234567", &["12345678", "12345678", "1234567"]);
    }

    #[test]
    fn tells_records_that_need_no_escapes() {
        let mut splitter = FieldSplitter::new(b',', b'"');
        assert!(splitter.split("plain,ä€,12345678901234567".as_bytes()));
        assert!(FieldSplitter::new(b'\t', b'"').split(b"tabs\tbetween"));
        for special in ["a,\tb", "a\\b,c,d,e,f", "\"a\",b", "a,b\"c", "12345678,\u{1}"] {
            assert!(!splitter.split(special.as_bytes()), "{special}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate(record in "[a,\"\\\\é]{1,40}") {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false).flexible(true).from_reader(record.as_bytes());
            let mut theirs = csv::ByteRecord::new();
            prop_assert!(reader.read_byte_record(&mut theirs).unwrap());
            let theirs: Vec<Vec<u8>> = theirs.iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(fields(record.as_bytes()), theirs);
        }

        #[test]
        fn cuts_plain_records_at_delimiters(record in "[a-c,]{0,200}|[a-zé€,]{0,90}") {
            let expect: Vec<Vec<u8>> = record.split(',').map(|f| f.as_bytes().to_vec()).collect();
            prop_assert_eq!(fields(record.as_bytes()), expect);
        }

        #[test]
        fn finds_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let slow = bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
            prop_assert_eq!(json_special(&bytes), slow);
        }
    }
}
