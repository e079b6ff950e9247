//! Pure: the members of one JSON object, found without building a tree. Everything is checked
//! (grammar, depth, duplicate names), only mapped members are kept, numbers stay text.

use super::cell::Cell;
use crate::limits::JSON_DEPTH_MAX;
use hashbrown::HashMap;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Why a line is not a usable object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct JsonFault {
    /// Byte of the line at which it shows.
    pub(super) at: usize,
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Absent,
    Null,
    Bool(bool),
    Number(usize, usize),
    /// Between the quotes; whether it holds escapes.
    Text(usize, usize, bool),
    Composite(usize, usize),
}

/// Takes objects apart, reusing its memory from line to line.
pub(super) struct JsonScanner<'n> {
    names: &'n HashMap<Box<[u8]>, usize>,
    members: Vec<Member>,
    /// Hashes of the member names of the objects that are open, innermost last.
    seen: Vec<u64>,
    scratch: Vec<u8>,
}

impl<'n> JsonScanner<'n> {
    /// Members called `names` go to the slots given there, which are below `slots`.
    pub(super) fn new(names: &'n HashMap<Box<[u8]>, usize>, slots: usize) -> Self {
        Self { names, members: vec![Member::Absent; slots], seen: Vec::new(), scratch: Vec::new() }
    }

    /// Takes `line` (UTF-8) apart.
    pub(super) fn scan(&mut self, line: &[u8]) -> Result<(), JsonFault> {
        self.members.fill(Member::Absent);
        self.seen.clear();
        let mut cursor = Cursor { line, at: 0 };
        cursor.blanks();
        if cursor.peek() != Some(b'{') {
            return Err(cursor.fault("a line must be one JSON object"));
        }
        self.object(&mut cursor, 1)?;
        cursor.blanks();
        if cursor.at < line.len() {
            return Err(cursor.fault("something follows the object; put one object on a line"));
        }
        Ok(())
    }

    /// Where the text in `slot` stands in the line scanned last, if it is one without escapes.
    #[inline]
    pub(super) fn plain(&self, slot: usize) -> Option<Range<usize>> {
        match self.members[slot] {
            Member::Text(start, end, false) => Some(start..end),
            _ => None,
        }
    }

    /// The value in `slot` of `line`, the one scanned last; unescaped into `scratch` if needed.
    pub(super) fn cell<'a>(
        &self,
        slot: usize,
        line: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Cell<'a> {
        match self.members[slot] {
            Member::Absent => Cell::Absent,
            Member::Null => Cell::Null,
            Member::Bool(value) => Cell::Bool(value),
            Member::Number(start, end) => Cell::Number(&line[start..end]),
            Member::Text(start, end, false) => Cell::Text { bytes: &line[start..end], clean: true },
            Member::Text(start, end, true) => {
                scratch.clear();
                unescape(&line[start..end], scratch);
                Cell::Text { bytes: scratch, clean: false }
            }
            Member::Composite(start, end) => Cell::Composite(&line[start..end]),
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), JsonFault> {
        let first_name = self.seen.len();
        let opened = cursor.at;
        cursor.at += 1;
        cursor.blanks();
        if cursor.peek() == Some(b'}') {
            cursor.at += 1;
            return Ok(());
        }
        loop {
            cursor.blanks();
            if cursor.peek() != Some(b'"') {
                return Err(cursor.fault("expected a member name in double quotes"));
            }
            let (start, end, escaped) = cursor.string()?;
            let mut scratch = std::mem::take(&mut self.scratch);
            let name = if escaped {
                scratch.clear();
                unescape(&cursor.line[start..end], &mut scratch);
                scratch.as_slice()
            } else {
                &cursor.line[start..end]
            };
            self.seen.push(xxh3_64(name));
            let slot = if depth == 1 { self.names.get(name).copied() } else { None };
            self.scratch = scratch;
            cursor.blanks();
            if cursor.peek() != Some(b':') {
                return Err(cursor.fault("expected a colon"));
            }
            cursor.at += 1;
            let value = self.value(cursor, depth)?;
            if let Some(slot) = slot {
                self.members[slot] = value;
            }
            cursor.blanks();
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b'}') => break,
                _ => return Err(cursor.fault("expected a comma or the end of the object")),
            }
        }
        cursor.at += 1;
        let names = &mut self.seen[first_name..];
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(JsonFault {
                at: opened,
                reason: "an object names a member twice; keep one of them".into(),
            });
        }
        self.seen.truncate(first_name);
        Ok(())
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<Member, JsonFault> {
        cursor.blanks();
        let start = cursor.at;
        match cursor.peek() {
            Some(b'"') => cursor.string().map(|(start, end, esc)| Member::Text(start, end, esc)),
            Some(b'-' | b'0'..=b'9') => {
                cursor.number()?;
                Ok(Member::Number(start, cursor.at))
            }
            Some(b't') => cursor.word(b"true", Member::Bool(true)),
            Some(b'f') => cursor.word(b"false", Member::Bool(false)),
            Some(b'n') => cursor.word(b"null", Member::Null),
            Some(b'{' | b'[') if depth >= JSON_DEPTH_MAX => {
                Err(cursor.fault(&format!("nested deeper than {JSON_DEPTH_MAX} levels")))
            }
            Some(b'{') => {
                self.object(cursor, depth + 1)?;
                Ok(Member::Composite(start, cursor.at))
            }
            Some(b'[') => {
                self.array(cursor, depth + 1)?;
                Ok(Member::Composite(start, cursor.at))
            }
            _ => Err(cursor.fault("expected a value")),
        }
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), JsonFault> {
        cursor.at += 1;
        cursor.blanks();
        if cursor.peek() == Some(b']') {
            cursor.at += 1;
            return Ok(());
        }
        loop {
            self.value(cursor, depth)?;
            cursor.blanks();
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b']') => break,
                _ => return Err(cursor.fault("expected a comma or the end of the array")),
            }
        }
        cursor.at += 1;
        Ok(())
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn fault(&self, reason: &str) -> JsonFault {
        JsonFault { at: self.at, reason: reason.to_owned() }
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8], member: Member) -> Result<Member, JsonFault> {
        if !self.line[self.at..].starts_with(word) {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(member)
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let int = self.digits();
        let mut good = int == 1 || (int > 1 && !zero);
        if self.peek() == Some(b'.') {
            self.at += 1;
            good &= self.digits() > 0;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            good &= self.digits() > 0;
        }
        if good { Ok(()) } else { Err(self.fault("malformed number")) }
    }

    /// From the opening quote on: where the text is, and whether it holds escapes.
    fn string(&mut self) -> Result<(usize, usize, bool), JsonFault> {
        let start = self.at + 1;
        self.at = start;
        let mut escaped = false;
        loop {
            let Some(special) = crate::record::fields::json_special(&self.line[self.at..]) else {
                self.at = start - 1;
                return Err(self.fault("text is not closed"));
            };
            self.at += special;
            match self.line[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok((start, self.at - 1, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.fault("control character in text; escape or remove it")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        match self.line.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match hex4(self.line, self.at + 2) {
                Some(0xDC00..=0xDFFF) | None => return Err(self.fault("malformed \\u escape")),
                Some(0xD800..=0xDBFF) => {
                    let pair = self.line.get(self.at + 6..self.at + 8) == Some(b"\\u")
                        && matches!(hex4(self.line, self.at + 8), Some(0xDC00..=0xDFFF));
                    if !pair {
                        return Err(self.fault("half of a surrogate pair"));
                    }
                    self.at += 12;
                }
                Some(_) => self.at += 6,
            },
            _ => return Err(self.fault("unknown escape")),
        }
        Ok(())
    }
}

fn hex4(line: &[u8], at: usize) -> Option<u32> {
    line.get(at..at + 4)?.iter().try_fold(0, |n, b| Some(n * 16 + char::from(*b).to_digit(16)?))
}

/// Appends `text`, whose escapes were checked, without them.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let mut used = at + 2;
        match rest[at + 1] {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex4(rest, at + 2).unwrap_or(0xFFFD);
                used = at + 6;
                if (0xD800..0xDC00).contains(&code) {
                    let low = hex4(rest, at + 8).unwrap_or(0xDC00);
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    used = at + 12;
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn names() -> HashMap<Box<[u8]>, usize> {
        ["a", "b", "é"].iter().enumerate().map(|(i, n)| (n.as_bytes().into(), i)).collect()
    }

    fn fault(line: &str) -> Option<String> {
        let names = names();
        JsonScanner::new(&names, 3).scan(line.as_bytes()).err().map(|f| f.reason)
    }

    #[test]
    fn keeps_mapped_members() {
        let names = names();
        let mut scanner = JsonScanner::new(&names, 3);
        let line =
            r#" {"a":1.50e3,"x":{"a":[1,{"b":2}]},"\u00e9":"q\"\ud83d\ude00\u0041","b":null}"#;
        scanner.scan(line.as_bytes()).unwrap();
        let mut scratch = Vec::new();
        assert_eq!(scanner.cell(0, line.as_bytes(), &mut scratch), Cell::Number(b"1.50e3"));
        assert_eq!(scanner.cell(1, line.as_bytes(), &mut scratch), Cell::Null);
        let text = scanner.cell(2, line.as_bytes(), &mut scratch);
        assert_eq!(text, Cell::text("q\"😀A".as_bytes()));
        scanner.scan(b"{\"b\":[true]}").unwrap();
        assert_eq!(scanner.cell(0, b"", &mut scratch), Cell::Absent);
        assert_eq!(scanner.cell(1, b"{\"b\":[true]}", &mut scratch), Cell::Composite(b"[true]"));
    }

    #[test]
    fn refuses_what_others_read_differently() {
        let check = |line: &str, part: &str| {
            let reason = fault(line).unwrap_or_default();
            assert!(reason.contains(part), "{line}: {reason}");
        };
        check(r#"{"a":1,"a":2}"#, "names a member twice");
        check(r#"{"a":1,"\u0061":2}"#, "names a member twice");
        check(r#"{"x":{"q":1,"q":2}}"#, "names a member twice");
        check("[1]", "must be one JSON object");
        check("{} {}", "something follows");
        check("{\"a\":\"\u{1}\"}", "control character");
        check(r#"{"a":"\ud800"}"#, "surrogate");
        check(r#"{"a":"x}"#, "not closed");
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(fault(&deep(63)), None);
        check(&deep(64), "deeper than 64");
        check(&deep(1_000_000), "deeper than 64");
        assert_eq!(fault(r#"{"x":{"a":1},"a":1,"y":{"a":1}}"#), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            "[a-z\"\\\\\né😀]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[abé]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn finds_what_serde_json_finds(
            members in proptest::collection::btree_map("[abcé]", json(), 0..5),
        ) {
            let object = Value::Object(members.into_iter().collect());
            let line = object.to_string();
            let object: Value = serde_json::from_str(&line).unwrap();
            let names = names();
            let mut scanner = JsonScanner::new(&names, 3);
            scanner.scan(line.as_bytes()).unwrap();
            for (name, slot) in &names {
                let mut scratch = Vec::new();
                let name = std::str::from_utf8(name).unwrap();
                let got = match scanner.cell(*slot, line.as_bytes(), &mut scratch) {
                    Cell::Absent => None,
                    Cell::Null => Some(Value::Null),
                    Cell::Bool(b) => Some(b.into()),
                    Cell::Text { bytes, .. } => Some(String::from_utf8_lossy(bytes).into()),
                    Cell::Number(t) | Cell::Composite(t) => Some(serde_json::from_slice(t).unwrap()),
                };
                prop_assert_eq!(got.as_ref(), object.get(name));
            }
        }

        #[test]
        fn accepts_no_line_serde_json_refuses(line in r#"\{["a:,1\\\-.e0ntruel\[\]{} ]{0,16}"#) {
            if fault(&line).is_none() {
                prop_assert!(serde_json::from_str::<Value>(&line).is_ok(), "{}", line);
            }
        }
    }
}
