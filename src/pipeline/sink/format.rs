//! Pure: lines of the success and error files.

use crate::record::key::BatchId;
use crate::record::outcome::{RowFault, RowState};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// Columns the loader adds to an error file.
pub const FAULT_COLUMNS: [&str; 4] = ["__code", "__category", "__message", "__attempts"];
/// Columns of a success file.
const SUCCESS_COLUMNS: [&str; 5] = ["key", "id", "action", "batch", "at"];

/// How separated values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CsvStyle {
    /// Separator.
    pub delimiter: u8,
    /// Quote.
    pub quote: u8,
    /// Put an apostrophe before values that a spreadsheet would take for a formula.
    pub excel_safe: bool,
}

/// A point in time as it stands in the files: `2026-11-24T15:45:00.123Z`; made once a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp([u8; 24]);

/// What a success line says.
#[derive(Clone, Copy, Debug)]
pub struct SuccessLine<'a> {
    /// Source key.
    pub key: &'a [u8],
    /// Id of the target row; absent where it is not known.
    pub id: Option<Uuid>,
    /// What happened.
    pub state: RowState,
    /// The batch; absent for rows that were not sent.
    pub batch: Option<BatchId>,
    /// When the answer came.
    pub at: &'a Stamp,
}

/// Columns of an error file: those of the input without [`FAULT_COLUMNS`], then these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorColumns {
    style: CsvStyle,
    /// Per input column: whether it is carried over.
    keep: Vec<bool>,
    header: Vec<u8>,
}

impl Stamp {
    /// `at_ms` milliseconds since 1970, UTC; years outside 0–9999 are clamped.
    #[must_use]
    pub fn at(at_ms: i64) -> Self {
        const YEAR_0: i64 = -62_167_219_200_000;
        const YEAR_10000: i64 = 253_402_300_800_000;
        let at_ms = at_ms.clamp(YEAR_0, YEAR_10000 - 1);
        let (days, ms) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
        // Days are counted from 0000-03-01, so that the leap day ends a year of this count.
        let day = days + 719_468;
        let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |from: usize, digits: usize, mut value: i64| {
            for at in (from..from + digits).rev() {
                text[at] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, ms / 3_600_000);
        put(14, 2, ms / 60_000 % 60);
        put(17, 2, ms / 1000 % 60);
        put(20, 3, ms % 1000);
        Self(text)
    }

    /// The text.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl CsvStyle {
    /// First line of a success file, with line feed.
    #[must_use]
    pub fn success_header(self) -> Vec<u8> {
        let mut line = Vec::new();
        for column in SUCCESS_COLUMNS {
            self.field(&mut line, column.as_bytes());
        }
        end_line(&mut line);
        line
    }

    /// Adds a success line.
    pub fn success_line(self, out: &mut Vec<u8>, line: &SuccessLine<'_>) {
        out.reserve(line.key.len() + 100);
        self.field(out, line.key);
        if let Some(id) = line.id {
            out.extend_from_slice(
                id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes(),
            );
        }
        out.push(self.delimiter);
        out.extend_from_slice(line.state.word().as_bytes());
        out.push(self.delimiter);
        if let Some(BatchId(batch)) = line.batch {
            out.extend_from_slice(itoa::Buffer::new().format(batch).as_bytes());
        }
        out.push(self.delimiter);
        self.plain(out, line.at.as_bytes());
        out.push(b'\n');
    }

    /// A value and the separator behind it.
    fn field(self, out: &mut Vec<u8>, value: &[u8]) {
        let formula = self.excel_safe && matches!(value.first(), Some(b'=' | b'+' | b'-' | b'@'));
        if !formula {
            self.plain(out, value);
        } else {
            let mut safe = Vec::with_capacity(value.len() + 1);
            safe.push(b'\'');
            safe.extend_from_slice(value);
            self.plain(out, &safe);
        }
        out.push(self.delimiter);
    }

    fn plain(self, out: &mut Vec<u8>, value: &[u8]) {
        let special =
            |b: &u8| *b == self.delimiter || *b == self.quote || *b == b'\n' || *b == b'\r';
        if !value.iter().any(special) {
            out.extend_from_slice(value);
            return;
        }
        out.push(self.quote);
        for part in value.split_inclusive(|b| *b == self.quote) {
            out.extend_from_slice(part);
            if part.last() == Some(&self.quote) {
                out.push(self.quote);
            }
        }
        out.push(self.quote);
    }
}

/// Makes the last separator a line feed.
fn end_line(line: &mut [u8]) {
    if let Some(last) = line.last_mut() {
        *last = b'\n';
    }
}

/// Adds a success line as a JSON object.
pub fn json_success_line(out: &mut Vec<u8>, line: &SuccessLine<'_>) {
    out.reserve(line.key.len() + 140);
    out.extend_from_slice(b"{\"key\":");
    json_text(out, &String::from_utf8_lossy(line.key));
    out.extend_from_slice(b",\"id\":");
    match line.id {
        None => out.extend_from_slice(b"null"),
        Some(id) => {
            out.push(b'"');
            out.extend_from_slice(
                id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes(),
            );
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"action\":\"");
    out.extend_from_slice(line.state.word().as_bytes());
    out.extend_from_slice(b"\",\"batch\":");
    match line.batch {
        None => out.extend_from_slice(b"null"),
        Some(BatchId(batch)) => {
            out.extend_from_slice(itoa::Buffer::new().format(batch).as_bytes());
        }
    }
    out.extend_from_slice(b",\"at\":\"");
    out.extend_from_slice(line.at.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

impl ErrorColumns {
    /// For input with these columns. Those of [`FAULT_COLUMNS`] in the input (an error file
    /// loaded again) are replaced.
    #[must_use]
    pub fn new(style: CsvStyle, columns: &[String]) -> Self {
        let keep: Vec<bool> =
            columns.iter().map(|column| !FAULT_COLUMNS.contains(&column.as_str())).collect();
        let mut header = Vec::new();
        let kept = columns.iter().zip(&keep).filter(|(_, keep)| **keep);
        for column in kept.map(|(column, _)| column.as_str()).chain(FAULT_COLUMNS) {
            style.plain(&mut header, column.as_bytes());
            header.push(style.delimiter);
        }
        end_line(&mut header);
        Self { style, keep, header }
    }

    /// First line, with line feed.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Adds an error line. Missing fields are left empty; surplus ones are kept in the last
    /// column of the input, joined by the delimiter.
    pub fn error_line<'a>(
        &self,
        out: &mut Vec<u8>,
        fields: impl IntoIterator<Item = &'a [u8]>,
        fault: &RowFault,
        attempts: u32,
    ) {
        let mut fields = fields.into_iter();
        let last = self.keep.iter().rposition(|keep| *keep);
        let mut end: Cow<'_, [u8]> = Cow::Borrowed(b"");
        for (column, keep) in self.keep.iter().enumerate() {
            let field = fields.next().unwrap_or_default();
            if Some(column) == last {
                end = Cow::Borrowed(field);
            } else if *keep {
                self.style.field(out, field);
            }
        }
        for surplus in fields {
            let end = end.to_mut();
            end.push(self.style.delimiter);
            end.extend_from_slice(surplus);
        }
        if last.is_some() {
            self.style.field(out, &end);
        }
        self.style.field(out, fault.code.as_bytes());
        self.style.field(out, fault.category.word().as_bytes());
        self.style.field(out, visible(&fault.message).as_bytes());
        out.extend_from_slice(itoa::Buffer::new().format(attempts).as_bytes());
        out.push(b'\n');
    }
}

/// Adds an error line for a JSON record: the object with [`FAULT_COLUMNS`] added (replacing its
/// own of these names), or, when it is no object, an object holding its text as `__record`.
pub fn json_error_line(out: &mut Vec<u8>, record: &[u8], fault: &RowFault, attempts: u32) {
    out.push(b'{');
    match members(record) {
        Some(Members(members)) => {
            for (name, value) in members {
                if !FAULT_COLUMNS.contains(&name.as_ref()) {
                    json_text(out, &name);
                    out.push(b':');
                    // Outside of strings, where JSON allows none, line ends are mere space.
                    let value = value.get().bytes();
                    out.extend(value.map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
                    out.push(b',');
                }
            }
        }
        None => {
            out.extend_from_slice(b"\"__record\":");
            json_text(out, &String::from_utf8_lossy(record));
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"__code\":");
    json_text(out, &fault.code);
    out.extend_from_slice(b",\"__category\":");
    json_text(out, fault.category.word());
    out.extend_from_slice(b",\"__message\":");
    json_text(out, &fault.message);
    out.extend_from_slice(b",\"__attempts\":");
    out.extend_from_slice(itoa::Buffer::new().format(attempts).as_bytes());
    out.extend_from_slice(b"}\n");
}

/// Control characters as backslash sequences, so that a message stays on its line.
fn visible(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let mut text = String::with_capacity(message.len() + 8);
    for c in message.chars() {
        match c {
            c if !c.is_control() => text.push(c),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(text)
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(b >> 4)]);
                out.push(HEX[usize::from(b & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Members of one JSON object in their order, values as they stand.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

fn members(record: &[u8]) -> Option<Members<'_>> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                members.push((member.0.0, member.1));
            }
            Ok(Members(members))
        }
    }
    let mut json = serde_json::Deserializer::from_slice(record);
    let members = json.deserialize_map(Reader).ok()?;
    json.end().ok().map(|()| members)
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::FaultCategory;
    use proptest::prelude::*;

    const STYLE: CsvStyle = CsvStyle { delimiter: b',', quote: b'"', excel_safe: false };

    fn fault(message: &str) -> RowFault {
        RowFault {
            code: "0x80040265".into(),
            category: FaultCategory::Duplicate,
            message: message.into(),
            retryable: false,
        }
    }

    fn success(key: &[u8], id: Option<Uuid>, at: &Stamp) -> Vec<u8> {
        let line =
            SuccessLine { key, id, state: RowState::Created, batch: id.map(|_| BatchId(42)), at };
        let mut out = Vec::new();
        STYLE.success_line(&mut out, &line);
        json_success_line(&mut out, &line);
        out
    }

    #[test]
    fn success_lines_read_as_documented() {
        let at = Stamp::at(1_795_534_500_123);
        let id = Uuid::from_u128(0x1234_5678_9abc_4def_8011_2233_4455_6677);
        assert_eq!(STYLE.success_header(), b"key,id,action,batch,at\n");
        assert_eq!(
            String::from_utf8(success(b"a,\"b", Some(id), &at)).unwrap(),
            "\"a,\"\"b\",12345678-9abc-4def-8011-223344556677,created,42,2026-11-24T15:35:00.123Z\n\
             {\"key\":\"a,\\\"b\",\"id\":\"12345678-9abc-4def-8011-223344556677\",\"action\":\"created\",\"batch\":42,\"at\":\"2026-11-24T15:35:00.123Z\"}\n"
        );
        assert_eq!(
            String::from_utf8(success(b"k", None, &at)).unwrap(),
            "k,,created,,2026-11-24T15:35:00.123Z\n\
             {\"key\":\"k\",\"id\":null,\"action\":\"created\",\"batch\":null,\"at\":\"2026-11-24T15:35:00.123Z\"}\n"
        );
    }

    fn columns(names: &[&str]) -> ErrorColumns {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        ErrorColumns::new(STYLE, &names)
    }

    fn error(columns: &ErrorColumns, fields: &[&str]) -> String {
        let mut out = Vec::new();
        let fault = fault("line 1\nline 2\u{7}");
        columns.error_line(&mut out, fields.iter().map(|f| f.as_bytes()), &fault, 3);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn error_lines_hold_the_input_and_the_reason() {
        let plain = columns(&["name", "city"]);
        assert_eq!(plain.header(), b"name,city,__code,__category,__message,__attempts\n");
        let why = "0x80040265,duplicate,line 1\\nline 2\\u0007,3\n";
        assert_eq!(error(&plain, &["x", "y\nz"]), format!("x,\"y\nz\",{why}"));
        assert_eq!(error(&plain, &["x"]), format!("x,,{why}"));
        assert_eq!(error(&plain, &["x", "y", "z"]), format!("x,\"y,z\",{why}"));
    }

    #[test]
    fn an_error_file_loaded_again_keeps_its_columns() {
        let first = columns(&["name", "city"]);
        let names = ["name", "city", "__code", "__category", "__message", "__attempts"];
        let again = columns(&names);
        assert_eq!(again.header(), first.header());
        let fields = ["x", "y", "DV1", "value", "old", "9"];
        assert_eq!(error(&again, &fields), error(&first, &["x", "y"]));
        let mut wide = fields.to_vec();
        wide.push("z");
        assert_eq!(error(&again, &wide), error(&first, &["x", "y", "z"]));
    }

    #[test]
    fn formulas_are_disarmed_on_request() {
        let style = CsvStyle { excel_safe: true, ..STYLE };
        let columns = ErrorColumns::new(style, &["a".into(), "b".into()]);
        let mut out = Vec::new();
        let fields: [&[u8]; 2] = [b"=1,2", b"a=b"];
        columns.error_line(&mut out, fields, &fault("@x"), 1);
        assert_eq!(String::from_utf8(out).unwrap(), "\"'=1,2\",a=b,0x80040265,duplicate,'@x,1\n");
    }

    fn json_error(record: &str) -> String {
        let mut out = Vec::new();
        json_error_line(&mut out, record.as_bytes(), &fault("no\n"), 2);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_error_lines_hold_the_object_and_the_reason() {
        let why =
            r#""__code":"0x80040265","__category":"duplicate","__message":"no\n","__attempts":2}"#;
        assert_eq!(
            json_error("{ \"b\": 1.50 , \"a\\n\": {\"c\":\r[1e400, \"x\\u0041\"]}}"),
            format!("{{\"b\":1.50,\"a\\n\":{{\"c\": [1e400, \"x\\u0041\"]}},{why}\n")
        );
        assert_eq!(json_error("{}"), format!("{{{why}\n"));
        assert_eq!(
            json_error(r#"{"a":1,"__code":"old","\u005f_message":"old"}"#),
            format!("{{\"a\":1,{why}\n")
        );
        for text in ["{\"a\":1", "[1]", "{\"a\":1} x", ""] {
            let told = serde_json::to_string(text).unwrap();
            assert_eq!(json_error(text), format!("{{\"__record\":{told},{why}\n"));
        }
    }

    #[test]
    fn stamps_are_clamped_to_four_digit_years() {
        assert_eq!(Stamp::at(i64::MIN).as_bytes(), b"0000-01-01T00:00:00.000Z");
        assert_eq!(Stamp::at(i64::MAX).as_bytes(), b"9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn stamps_agree_with_a_calendar(at_ms in -62_000_000_000_000i64..253_000_000_000_000) {
            let expect = jiff::Timestamp::from_millisecond(at_ms).unwrap();
            let stamp = Stamp::at(at_ms);
            let expect = format!("{expect:.3}");
            prop_assert_eq!(stamp.as_bytes(), expect.as_bytes());
        }

        #[test]
        fn csv_lines_are_read_back(
            fields in prop::collection::vec("[a,;\"'\r\n\té=]{0,6}", 1..6),
            key in prop::collection::vec(any::<u8>(), 0..12),
            delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
            message in ".{0,20}",
        ) {
            let style = CsvStyle { delimiter, ..STYLE };
            let names: Vec<String> = (0..fields.len()).map(|i| format!("c,{i}")).collect();
            let columns = ErrorColumns::new(style, &names);
            let mut file = columns.header().to_vec();
            for _ in 0..2 {
                let bytes = fields.iter().map(String::as_bytes);
                columns.error_line(&mut file, bytes, &fault(&message), 7);
            }
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&file[..]);
            let header = reader.byte_headers().unwrap().clone();
            prop_assert_eq!(header.len(), names.len() + 4);
            prop_assert_eq!(&header[0], b"c,0");
            let mut rows = 0;
            for record in reader.byte_records() {
                let record = record.unwrap();
                rows += 1;
                for (i, field) in fields.iter().enumerate() {
                    prop_assert_eq!(&record[i], field.as_bytes());
                }
                let told = visible(&message).into_owned();
                prop_assert_eq!(&record[fields.len() + 2], told.as_bytes());
                prop_assert_eq!(&record[fields.len() + 3], b"7");
            }
            prop_assert_eq!(rows, 2);

            let mut file = style.success_header();
            let at = Stamp::at(0);
            let line = SuccessLine {
                key: &key, id: Some(Uuid::nil()), state: RowState::Existing, batch: None, at: &at,
            };
            style.success_line(&mut file, &line);
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&file[..]);
            let record = reader.byte_records().next().unwrap().unwrap();
            prop_assert_eq!(&record[0], &key[..]);
            prop_assert_eq!(&record[4], at.as_bytes());
        }

        #[test]
        fn json_lines_are_read_back(key in ".{0,20}", members in prop::collection::btree_map(".{0,5}", ".{0,9}", 0..5)) {
            let at = Stamp::at(0);
            let line = SuccessLine {
                key: key.as_bytes(), id: None, state: RowState::Deleted, batch: Some(BatchId(1)), at: &at,
            };
            let mut out = Vec::new();
            json_success_line(&mut out, &line);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&read["key"], &serde_json::Value::String(key));
            let record = serde_json::to_vec(&members).unwrap();
            out.clear();
            json_error_line(&mut out, &record, &fault("m"), 1);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read.as_object().unwrap().len(), members.len() + 4);
            for (name, value) in &members {
                prop_assert_eq!(read[name].as_str(), Some(value.as_str()));
            }
        }
    }
}
