//! Pure: a borrowed JSON reader for request bodies. Numbers stay text, text without escapes is
//! not copied, nesting is bounded and a name given twice in one object is refused.

use std::borrow::Cow;

/// Deepest nesting of a request body.
pub const DEPTH_MAX: usize = 64;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// Text.
    Text(Cow<'a, str>),
    /// A list.
    Array(Vec<Json<'a>>),
    /// Members in order.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// A member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text of a text value.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Why a body is not JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{rule} at byte {at}")]
pub struct JsonError {
    /// Where, from the start of the body.
    pub at: usize,
    /// What was expected.
    pub rule: &'static str,
}

/// A reading position.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        // A byte order mark is noise some clients send.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, at: 0, depth: 0 }
    }

    /// Reads a whole text as one value.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn whole(text: &'a str) -> Result<Json<'a>, JsonError> {
        let mut cursor = Self::new(text);
        let value = cursor.value()?;
        cursor.finish()?;
        Ok(value)
    }

    fn fail<T>(&self, rule: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, rule })
    }

    fn blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// Next byte that is not blank.
    pub fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Nothing but blanks may be left.
    ///
    /// # Errors
    /// If something is.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        if self.peek().is_some() { self.fail("nothing may follow the value") } else { Ok(()) }
    }

    /// Enters an object.
    ///
    /// # Errors
    /// If none starts here, or nesting is too deep.
    pub fn open_object(&mut self) -> Result<(), JsonError> {
        if !self.take(b'{') {
            return self.fail("an object is expected");
        }
        self.deeper()
    }

    /// Enters a list.
    ///
    /// # Errors
    /// If none starts here, or nesting is too deep.
    pub fn open_array(&mut self) -> Result<(), JsonError> {
        if !self.take(b'[') {
            return self.fail("an array is expected");
        }
        self.deeper()
    }

    fn deeper(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { self.fail("nesting is limited to 64 levels") } else { Ok(()) }
    }

    /// Name of the next member, or none at the object's end. `first` starts as true.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.continues(b'}', first)? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return self.fail("a member name is expected");
        }
        let key = self.string()?;
        if !self.take(b':') {
            return self.fail("':' is expected");
        }
        Ok(Some(key))
    }

    /// Whether the next member is called `name`; if so it is passed. `first` as in `next_key`.
    pub fn key_is(&mut self, name: &str, first: &mut bool) -> bool {
        let start = self.at;
        if !*first && !self.take(b',') {
            return false;
        }
        self.blanks();
        let bytes = self.text.as_bytes();
        let (open, end) = (self.at, self.at + name.len() + 1);
        let same = bytes.get(open) == Some(&b'"')
            && bytes.get(end) == Some(&b'"')
            && bytes.get(open + 1..end) == Some(name.as_bytes());
        if same {
            self.at = end + 1;
            if self.take(b':') {
                *first = false;
                return true;
            }
        }
        self.at = start;
        false
    }

    /// Whether the list has another item. `first` starts as true.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn next_item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.continues(b']', first)
    }

    fn continues(&mut self, close: u8, first: &mut bool) -> Result<bool, JsonError> {
        if self.take(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if *first {
            *first = false;
        } else if !self.take(b',') {
            return self.fail("',' or the end is expected");
        }
        Ok(true)
    }

    /// The next value, whatever it is.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn value(&mut self) -> Result<Json<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{') => {
                self.open_object()?;
                let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
                let mut first = true;
                while let Some(key) = self.next_key(&mut first)? {
                    if members.iter().any(|(name, _)| *name == key) {
                        return self.fail("a name may occur once in an object");
                    }
                    if members.len() == 4096 {
                        return self.fail("an object is limited to 4,096 members");
                    }
                    let value = self.value()?;
                    members.push((key, value));
                }
                Ok(Json::Object(members))
            }
            Some(b'[') => {
                self.open_array()?;
                let mut items = Vec::new();
                let mut first = true;
                while self.next_item(&mut first)? {
                    items.push(self.value()?);
                }
                Ok(Json::Array(items))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.fail("a value is expected"),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            self.fail("a value is expected")
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.text.as_bytes().get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit is expected") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes[self.at] == b'-' {
            self.at += 1;
        }
        if bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let start = self.at;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0..=0x1f) => return self.fail("control characters in text must be escaped"),
                Some(_) => self.at += 1,
                None => return self.fail("text does not end"),
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<String, JsonError> {
        let bytes = self.text.as_bytes();
        let mut out = String::with_capacity(self.at - start + 16);
        out.push_str(&self.text[start..self.at]);
        loop {
            let plain = self.at;
            while !matches!(bytes.get(self.at), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.at += 1;
            }
            out.push_str(&self.text[plain..self.at]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escape = bytes.get(self.at).copied();
                    self.at += 1;
                    out.push(match escape {
                        Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode()?,
                        _ => return self.fail("unknown escape"),
                    });
                }
                Some(_) => return self.fail("control characters in text must be escaped"),
                None => return self.fail("text does not end"),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            if self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
                return self.fail("half a surrogate pair");
            }
            self.at += 2;
            let low = self.hex()?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.fail("half a surrogate pair");
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.fail("half a surrogate pair"),
        }
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.fail("four hexadecimal digits are expected"),
        }
    }
}

/// Appends `text` as a JSON string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
                out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_of(value: &Json<'_>) -> serde_json::Value {
        match value {
            Json::Null => serde_json::Value::Null,
            Json::Bool(b) => (*b).into(),
            Json::Number(n) => serde_json::from_str(n).expect("a number"),
            Json::Text(t) => t.as_ref().into(),
            Json::Array(items) => items.iter().map(json_of).collect(),
            Json::Object(members) => members
                .iter()
                .map(|(k, v)| (k.to_string(), json_of(v)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            "-",
            "\"\u{1}\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\x\"",
            "tru",
            "1 2",
            "\"a",
            "{a:1}",
            "nul",
            "\"\\u+123\"",
            "[1 2]",
            "'a'",
            "NaN",
        ] {
            assert!(Cursor::whole(text).is_err(), "{text}");
        }
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Cursor::whole(&deep(64)).is_ok());
        assert!(Cursor::whole(&deep(65)).is_err());
    }

    #[test]
    fn numbers_stay_text() {
        assert_eq!(Cursor::whole(" 1.2300e+05 "), Ok(Json::Number("1.2300e+05")));
        assert_eq!(Cursor::whole("\u{feff}[-0]"), Ok(Json::Array(vec![Json::Number("-0")])));
    }

    #[test]
    fn a_guessed_key_is_passed_only_when_it_is_there() {
        let mut cursor = Cursor::new("{ \"a\" : 1 , \"b\":2}");
        cursor.open_object().expect("an object");
        let mut first = true;
        assert!(!cursor.key_is("b", &mut first));
        assert!(cursor.key_is("a", &mut first));
        assert_eq!(cursor.value(), Ok(Json::Number("1")));
        assert!(!cursor.key_is("bb", &mut first));
        assert!(cursor.key_is("b", &mut first));
        assert_eq!(cursor.value(), Ok(Json::Number("2")));
        assert!(!cursor.key_is("c", &mut first));
        assert_eq!(cursor.next_key(&mut first), Ok(None));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_another_writer_wrote(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(json_of(&Cursor::whole(&text).expect("valid")), value);
        }

        #[test]
        fn never_fails_otherwise_than_by_an_error(text in "[\\[\\]{}\",:\\\\u0-9a-f\\.eE+ -]{0,40}") {
            let ours = Cursor::whole(&text).is_ok();
            if ours {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
        }

        #[test]
        fn another_reader_reads_our_text(text in any::<String>()) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("valid"), text);
        }
    }
}
