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

/// Where a field is.
#[derive(Clone, Copy, Default, Debug)]
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
    /// Fields of the last record are the first `count`.
    spans: Vec<FieldSpan>,
    count: usize,
}

impl FieldSplitter {
    /// For fields between `delimiter`s, quoted by `quote`; both ASCII and different.
    #[must_use]
    pub fn new(delimiter: u8, quote: u8) -> Self {
        let filler = (b'0'..=b'9').find(|b| *b != delimiter && *b != quote).unwrap_or(b'x');
        Self { delimiter, quote, filler, spans: Vec::new(), count: 0 }
    }

    /// Takes `record` apart (no line end) and tells whether no byte of its fields is special to
    /// JSON (`"`, `\`, below 0x20), so that fields can be copied into JSON text as they are. A
    /// record is at most 4 GiB long.
    pub fn split(&mut self, record: &[u8]) -> bool {
        self.count = 0;
        let (mut start, mut at) = (0, 0);
        let (blocks, rest) = record.as_chunks::<BLOCK>();
        for block in blocks {
            if self.split_block(block, at, &mut start) {
                self.split_quoted(record);
                return false;
            }
            at += BLOCK as u32;
        }
        let mut last = [self.filler; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        if self.split_block(&last, at, &mut start) {
            self.split_quoted(record);
            return false;
        }
        self.push(start as usize, record.len(), false);
        true
    }

    /// Closes the fields that end in `block`, which begins at `at`; true when something special
    /// is in it and fields may not end at every delimiter. Written so that compilers do the first
    /// loop on whole vectors, and so that the loop over fields is left once a block, not once a
    /// word: each time costs a mispredicted branch.
    #[inline]
    fn split_block(&mut self, block: &[u8; BLOCK], at: u32, start: &mut u32) -> bool {
        let (delimiter, quote) = (self.delimiter, self.quote);
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
        // Room for whatever ends here, so that storing a field is one store.
        if self.spans.len() < self.count + BLOCK {
            self.spans.resize(2 * self.count + 2 * BLOCK, FieldSpan::default());
        }
        let mut from = *start;
        let fields = ends.count_ones() as usize;
        for span in &mut self.spans[self.count..self.count + fields] {
            let end = at + ends.trailing_zeros();
            ends &= ends.wrapping_sub(1);
            *span = FieldSpan { start: from, end, mixed: false };
            from = end + 1;
        }
        *start = from;
        self.count += fields;
        special != 0
    }

    fn split_quoted(&mut self, record: &[u8]) {
        self.count = 0;
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
        match self.spans.get_mut(self.count) {
            Some(place) => *place = span,
            None => self.spans.push(span),
        }
        self.count += 1;
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
        let span = self.spans[index];
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
        let span = self.spans[index];
        (!span.mixed).then_some(span.start as usize..span.end as usize)
    }

    /// Appends field `index` of `record`, unquoted.
    ///
    /// # Panics
    /// If there is no such field or `record` is not the last one split.
    pub fn unquote(&self, index: usize, record: &[u8], out: &mut Vec<u8>) {
        let span = self.spans[index];
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
        fn finds_the_first_special_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let slow = bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
            prop_assert_eq!(json_special(&bytes), slow);
        }
    }
}
