//! Pure: what an unsuccessful answer says, whatever its shape.

use crate::client::attempt::ApiReply;
use crate::client::lenient::Lenient;
use crate::limits::MESSAGE_BYTES_MAX;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::fmt::Write as _;
use uuid::Uuid;

/// A Dataverse error code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultCode(pub u32);

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl fmt::Debug for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultCode({self})")
    }
}

/// How the body was written, which tells who wrote it.
///
/// Source: `dataverse-web-api.md` §10.1, §13.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultShape {
    /// `{"error":{"code","message"}}`: the Web API.
    OData,
    /// `{"Message","ExceptionMessage","ErrorCode",…}`: the host of the Web API.
    Exception,
    /// Anything else, HTML of a gateway for instance.
    Foreign,
    /// No body.
    Empty,
}

/// What became of one row of an elastic bulk message.
///
/// Source: `dataverse-web-api.md` §2.7.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemFault {
    /// Index in `Targets`, from 0.
    pub index: u32,
    /// Id of the row, when given.
    pub id: Option<Uuid>,
    /// HTTP-like status; 2xx means the row was written.
    pub status: u16,
}

/// An unsuccessful answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Code; `None` when empty, zero, or an HTTP status (see `http_code`).
    pub code: Option<FaultCode>,
    /// Code that is an HTTP status, as elastic tables give it.
    ///
    /// Source: `dataverse-web-api.md` §2.7.
    pub http_code: Option<u16>,
    /// Message, at most `limits::MESSAGE_BYTES_MAX`, control characters escaped.
    pub message: String,
    /// Message of the inner error, bounded and escaped likewise.
    pub inner_message: Option<String>,
    /// How the body was written.
    pub shape: FaultShape,
    /// Per row, for elastic bulk messages; rows not listed were written.
    pub elastic_items: Option<Vec<ItemFault>>,
}

impl Fault {
    /// Reads an unsuccessful answer; never fails.
    #[must_use]
    pub fn read(reply: &ApiReply) -> Self {
        let mut fault = Self {
            status: reply.status,
            code: None,
            http_code: None,
            message: String::new(),
            inner_message: None,
            shape: FaultShape::Empty,
            elastic_items: None,
        };
        if reply.body.iter().all(u8::is_ascii_whitespace) {
            fault.message = format!("HTTP status {} without a body", reply.status);
            return fault;
        }
        match serde_json::from_slice::<Body>(&reply.body) {
            Ok(Body { error: Some(error), .. }) => {
                fault.shape = FaultShape::OData;
                (fault.code, fault.http_code) = read_code(&error.code);
                fault.message = printable(&error.message);
                fault.inner_message =
                    Some(printable(&error.inner_message)).filter(|m| !m.is_empty());
                fault.elastic_items = error.items.as_deref().and_then(read_items);
            }
            Ok(Body { code, message: Some(message), exception_message, .. }) => {
                fault.shape = FaultShape::Exception;
                (fault.code, fault.http_code) = read_code(&code);
                fault.message = printable(&exception_message.unwrap_or(message));
            }
            Ok(_) | Err(_) => {
                fault.shape = FaultShape::Foreign;
                fault.message = foreign_message(&reply.body);
            }
        }
        if fault.message.is_empty() {
            fault.message = format!("HTTP status {} without a message", reply.status);
        }
        fault
    }
}

/// Reads a code: hexadecimal in any case, signed or unsigned decimal.
///
/// Source: `dataverse-web-api.md` §1.7, §10.1, §12 row 9, §13.
#[must_use]
pub fn parse_code(text: &str) -> Option<FaultCode> {
    let text = text.trim();
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let bits = match hex {
        Some(digits) if digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()?
        }
        Some(_) => return None,
        None => {
            let number: i64 = text.parse().ok()?;
            match i32::try_from(number) {
                Ok(signed) => signed.cast_unsigned(),
                Err(_) => u32::try_from(number).ok()?,
            }
        }
    };
    (bits != 0).then_some(FaultCode(bits))
}

fn read_code(text: &str) -> (Option<FaultCode>, Option<u16>) {
    match parse_code(text) {
        Some(FaultCode(status @ 100..=599)) => (None, u16::try_from(status).ok()),
        code => (code, None),
    }
}

/// `text` cut to `limits::MESSAGE_BYTES_MAX`, with control, line and direction characters
/// escaped so that it can stand in a terminal, a log line or a CSV field.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MESSAGE_BYTES_MAX));
    for c in text.trim().chars() {
        let at = out.len();
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
        if out.len() > MESSAGE_BYTES_MAX - '…'.len_utf8() {
            out.truncate(at);
            out.push('…');
            break;
        }
    }
    out
}

/// The title of an HTML page, else the beginning of the text.
fn foreign_message(body: &[u8]) -> String {
    let head = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)]);
    let lower = head.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let start = at + "<title>".len();
        lower[start..].find("</title>").map(|len| &head[start..start + len])
    });
    let shown: String = title.unwrap_or(&head).chars().take(300).collect();
    format!("not an answer of the Web API: {}", printable(&shown))
}

fn read_items(text: &str) -> Option<Vec<ItemFault>> {
    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "RequestIndex")]
        index: u32,
        #[serde(rename = "Id", default)]
        id: Option<String>,
        #[serde(rename = "StatusCode")]
        status: u16,
    }
    let items: Vec<Item> = serde_json::from_str(text).ok()?;
    let read = |item: Item| ItemFault {
        index: item.index,
        id: item.id.as_deref().and_then(crate::client::response::guid),
        status: item.status,
    };
    Some(items.into_iter().map(read).collect())
}

/// Either shape; members of other types than expected count as absent.
#[derive(Default)]
struct Body {
    error: Option<ErrorObject>,
    code: String,
    message: Option<String>,
    exception_message: Option<String>,
}

#[derive(Default)]
struct ErrorObject {
    code: String,
    message: String,
    inner_message: String,
    items: Option<String>,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = Body;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut body = Body::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "error" => body.error = map.next_value()?,
                        "ErrorCode" => body.code = map.next_value::<Lenient>()?.0,
                        "Message" => body.message = Some(map.next_value::<Lenient>()?.0),
                        "ExceptionMessage" => {
                            body.exception_message =
                                Some(map.next_value::<Lenient>()?.0).filter(|m| !m.is_empty());
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(body)
            }
        }
        deserializer.deserialize_map(BodyVisitor)
    }
}

impl<'de> Deserialize<'de> for ErrorObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ErrorVisitor;
        impl<'de> Visitor<'de> for ErrorVisitor {
            type Value = ErrorObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with code and message")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ErrorObject, A::Error> {
                let mut error = ErrorObject::default();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value::<Lenient>()?.0;
                    match key.as_str() {
                        "code" => error.code = value,
                        "message" => error.message = value,
                        _ if key.ends_with("InnerError.Message") => error.inner_message = value,
                        // The full name was never seen in a captured answer (§2.7).
                        _ if key.ends_with("BulkApiErrorDetails") => error.items = Some(value),
                        _ => {}
                    }
                }
                Ok(error)
            }
        }
        deserializer.deserialize_map(ErrorVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::attempt::ReplyHeaders;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn read(status: u16, body: &str) -> Fault {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Fault::read(&ApiReply { status, headers: ReplyHeaders::default(), body })
    }

    #[test]
    fn codes_of_every_spelling() {
        for (text, want) in [
            ("0x80072321", Some(0x8007_2321)),
            ("0x8004A001", Some(0x8004_a001)),
            ("0X80048d19", Some(0x8004_8d19)),
            ("-2147015903", Some(0x8007_2321)),
            ("2147951393", Some(0x8007_2321)),
            ("409", Some(409)),
            ("", None),
            ("0x0", None),
            ("0", None),
            ("0x", None),
            ("0x800723210", None),
            ("0x-1", None),
            ("x", None),
            ("99999999999", None),
        ] {
            assert_eq!(parse_code(text), want.map(FaultCode), "{text:?}");
        }
        assert_eq!(FaultCode(0x8004_a001).to_string(), "0x8004a001");
    }

    #[test]
    fn odata_shape_with_annotations() {
        let got = read(
            400,
            r#"{"error":{"code":"0x80040265","message":"No.\nReally",
              "@Microsoft.PowerApps.CDS.ErrorDetails.ApiExceptionHttpStatusCode":"400",
              "@Microsoft.PowerApps.CDS.InnerError.Message":"because",
              "details":[1,{"a":null}],"innererror":{"message":"x"}}}"#,
        );
        assert_eq!(got.code, Some(FaultCode(0x8004_0265)));
        assert_eq!(got.message, "No.\\nReally");
        assert_eq!(got.inner_message.as_deref(), Some("because"));
        assert_eq!(got.shape, FaultShape::OData);
        assert_eq!(got.elastic_items, None);
        let numeric = read(400, r#"{"error":{"code":-2147220937,"message":null}}"#);
        assert_eq!(numeric.code, Some(FaultCode(0x8004_0237)));
        assert_eq!(numeric.message, "HTTP status 400 without a message");
    }

    #[test]
    fn exception_shape() {
        let got = read(
            400,
            r#"{"Message":"An error has occurred.","ExceptionMessage":"duplicate Content-ID",
                "ExceptionType":"X","StackTrace":"at …","ErrorCode":"0x0"}"#,
        );
        assert_eq!((got.code, got.shape), (None, FaultShape::Exception));
        assert_eq!(got.message, "duplicate Content-ID");
    }

    #[test]
    fn foreign_and_empty_bodies() {
        let html = read(502, "<html><head><TITLE>Bad\tGateway</TITLE></head></html>");
        assert_eq!(html.shape, FaultShape::Foreign);
        assert_eq!(html.message, "not an answer of the Web API: Bad\\tGateway");
        assert_eq!(read(502, "[1]").shape, FaultShape::Foreign);
        assert_eq!(read(502, r#"{"error":null}"#).shape, FaultShape::Foreign);
        assert_eq!(read(502, r#"{"a":1}"#).shape, FaultShape::Foreign);
        assert_eq!(read(503, " \r\n").shape, FaultShape::Empty);
        let invalid = ApiReply {
            status: 500,
            headers: ReplyHeaders::default(),
            body: Bytes::from_static(b"\xff\xfe\x00\x1b[31m"),
        };
        let got = Fault::read(&invalid);
        assert_eq!(got.shape, FaultShape::Foreign);
        assert!(!got.message.contains(char::is_control));
    }

    #[test]
    fn elastic_items() {
        let id = "b0aa0000-0000-0000-0000-000000000001";
        let body = serde_json::json!({"error": {"code": "409", "message": "m",
            "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails":
            format!(r#"[{{"RequestIndex":1,"Id":"{id}","StatusCode":409}},
                       {{"RequestIndex":4,"StatusCode":201,"New":[]}}]"#)}})
        .to_string();
        let got = read(400, &body);
        assert_eq!((got.code, got.http_code), (None, Some(409)));
        let items = got.elastic_items.unwrap();
        assert_eq!(items[0].index, 1);
        assert_eq!(items[0].id, guid_of(id));
        assert_eq!((items[1].index, items[1].id, items[1].status), (4, None, 201));
        let garbage = body.replace("RequestIndex", "Other");
        assert_eq!(read(400, &garbage).elastic_items, None);
    }

    fn guid_of(text: &str) -> Option<Uuid> {
        Some(text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn messages_are_bounded_and_printable(text in any::<String>(), times in 1_usize..400) {
            let got = printable(&text.repeat(times));
            prop_assert!(got.len() <= MESSAGE_BYTES_MAX);
            prop_assert!(!got.contains(char::is_control));
        }

        #[test]
        fn never_panics(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
            let headers = ReplyHeaders::default();
            let _ = Fault::read(&ApiReply { status, headers, body: Bytes::from(body) });
        }

        #[test]
        fn hex_and_decimal_agree(bits in 1_u32..) {
            let code = Some(FaultCode(bits));
            prop_assert_eq!(parse_code(&format!("0x{bits:X}")), code);
            prop_assert_eq!(parse_code(&bits.cast_signed().to_string()), code);
        }
    }
}
