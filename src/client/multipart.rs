//! Pure: `$batch` bodies, out and in.

use crate::client::attempt::{ApiReply, ApiRequest, Method, ReplyHeaders};
use crate::client::headers::reply_headers;
use crate::client::request::SERVICE_PATH;
use crate::limits::{BATCH_OPERATIONS_MAX, BODY_BYTES_MAX};
use bytes::Bytes;
use memchr::{memchr, memmem};

/// Most parts of an answer that are read; more than any batch may have asked for.
///
/// Source: `dataverse-web-api.md` §1.5.
const REPLY_PARTS_MAX: usize = 1_000;

/// Most header lines of one part.
const HEADER_LINES_MAX: usize = 64;

/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;

/// Why requests cannot be put into one batch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WriteBatchError {
    /// Nothing to send.
    #[error("a batch needs at least one operation")]
    Empty,
    /// More than the service takes.
    #[error("{0} operations; a batch has at most {BATCH_OPERATIONS_MAX}")]
    TooManyOperations(usize),
    /// Larger than we send.
    #[error("{0} bytes; a batch has at most {BODY_BYTES_MAX}")]
    TooLarge(usize),
    /// The boundary is empty, too long, or holds other characters than letters, digits, `_`, `-`.
    #[error("boundary {0:?} is not 1 to 60 letters, digits, '_' or '-'")]
    BadBoundary(String),
    /// A path or header value holds a line break.
    #[error("operation {0} has a line break in its path or a header")]
    LineBreak(usize),
}

/// Puts `operations`, independent of each other, into one `$batch` that goes on after errors.
/// `unique` becomes the boundary and must not occur in any body (a fresh GUID will do).
///
/// # Errors
/// [`WriteBatchError`].
///
/// Source: `dataverse-web-api.md` §3.1, §3.3.
pub fn write_batch(operations: &[ApiRequest], unique: &str) -> Result<ApiRequest, WriteBatchError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if unique.is_empty() || unique.len() > 60 || !unique.chars().all(fits) {
        return Err(WriteBatchError::BadBoundary(unique.to_owned()));
    }
    if operations.is_empty() {
        return Err(WriteBatchError::Empty);
    }
    if operations.len() > BATCH_OPERATIONS_MAX {
        return Err(WriteBatchError::TooManyOperations(operations.len()));
    }
    let sizes = operations.iter().map(|o| {
        400 + o.path.len() + 40 * o.headers.len() + o.body.as_ref().map_or(0, |(_, b)| b.len())
    });
    let mut out = Vec::with_capacity(sizes.sum());
    for (index, operation) in operations.iter().enumerate() {
        let line_break = |text: &str| text.contains(['\r', '\n']);
        if line_break(&operation.path) || operation.headers.iter().any(|(_, v)| line_break(v)) {
            return Err(WriteBatchError::LineBreak(index));
        }
        for piece in ["--batch_", unique, "\r\nContent-Type: application/http\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend_from_slice(b"Content-Transfer-Encoding: binary\r\n\r\n");
        let method = method_word(operation.method);
        for piece in [method, " ", SERVICE_PATH, &operation.path, " HTTP/1.1\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend_from_slice(b"Accept: application/json\r\n");
        for (name, value) in &operation.headers {
            for piece in [*name, ": ", value, "\r\n"] {
                out.extend_from_slice(piece.as_bytes());
            }
        }
        if let Some((content_type, body)) = &operation.body {
            for piece in ["Content-Type: ", content_type, "\r\n\r\n"] {
                out.extend_from_slice(piece.as_bytes());
            }
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(b"\r\n\r\n");
        }
    }
    for piece in ["--batch_", unique, "--\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    if out.len() > BODY_BYTES_MAX {
        return Err(WriteBatchError::TooLarge(out.len()));
    }
    Ok(ApiRequest {
        method: Method::Post,
        path: "$batch".to_owned(),
        headers: vec![("Prefer", "odata.continue-on-error".to_owned())],
        body: Some((format!("multipart/mixed; boundary=\"batch_{unique}\""), Bytes::from(out))),
    })
}

const fn method_word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// The answer to one operation of a batch.
#[derive(Clone, PartialEq, Debug)]
pub struct PartReply {
    /// `Content-ID` of the operation, when it had one.
    pub content_id: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// Headers the loader looks at.
    pub headers: ReplyHeaders,
    /// Body; empty when there is none.
    pub body: Bytes,
}

impl From<PartReply> for ApiReply {
    fn from(part: PartReply) -> Self {
        Self { status: part.status, headers: part.headers, body: part.body }
    }
}

/// Why an answer is no whole batch answer.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ReadBatchError {
    /// The content type is not `multipart/mixed` with a boundary: an error of the whole batch.
    #[error("the answer is {0:?}, not multipart/mixed")]
    NotMultipart(String),
    /// It ends before its closing line. The parts before are sound.
    #[error("the answer ends after {} whole parts", .0.len())]
    Truncated(Vec<PartReply>),
    /// A part breaks the format.
    #[error("part {part} of the answer: {detail}")]
    Malformed {
        /// Number of the part, from 1.
        part: usize,
        /// What is wrong.
        detail: &'static str,
    },
}

/// Reads the answer to a `$batch`: one entry per operation answered, in order; a failed change
/// set gives one entry. `wall_ms` as for [`reply_headers`].
///
/// # Errors
/// [`ReadBatchError`].
///
/// Source: `dataverse-web-api.md` §3.3, §13.
pub fn read_batch(
    content_type: &str,
    body: &Bytes,
    wall_ms: i64,
) -> Result<Vec<PartReply>, ReadBatchError> {
    let Some(boundary) = multipart_boundary(content_type) else {
        let shown: String = content_type.chars().take(100).collect();
        return Err(ReadBatchError::NotMultipart(shown));
    };
    let mut parts = Vec::new();
    let closed = read_parts(boundary, body, wall_ms, Depth::Batch, &mut parts)?;
    if closed { Ok(parts) } else { Err(ReadBatchError::Truncated(parts)) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Batch,
    ChangeSet,
}

/// The boundary of a `multipart/mixed` content type, bare or quoted.
fn multipart_boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    })?;
    let bare = boundary.strip_prefix('"').and_then(|b| b.strip_suffix('"')).unwrap_or(boundary);
    ((1..=BOUNDARY_CHARS_MAX).contains(&bare.len()) && !bare.contains('"')).then_some(bare)
}

/// Reads all whole parts; false when the closing line is missing.
fn read_parts(
    boundary: &str,
    body: &Bytes,
    wall_ms: i64,
    depth: Depth,
    parts: &mut Vec<PartReply>,
) -> Result<bool, ReadBatchError> {
    let delimiter = format!("--{boundary}");
    let mut start = None;
    let mut from = 0;
    while let Some(line) = next_delimiter(body, &delimiter, from) {
        if let Some(start) = start {
            let part = body.slice(start..without_line_end(body, start, line.start));
            read_part(&part, wall_ms, depth, parts)?;
        }
        if line.closes {
            return Ok(true);
        }
        start = Some(line.after);
        from = line.after;
    }
    Ok(false)
}

struct DelimiterLine {
    start: usize,
    after: usize,
    closes: bool,
}

/// The next line that is the delimiter, or the closing one.
fn next_delimiter(body: &[u8], delimiter: &str, mut from: usize) -> Option<DelimiterLine> {
    loop {
        let start = from + memmem::find(body.get(from..)?, delimiter.as_bytes())?;
        let mut end = start + delimiter.len();
        let closes = body[end..].starts_with(b"--");
        if closes {
            end += 2;
        }
        while matches!(body.get(end), Some(b' ' | b'\t')) {
            end += 1;
        }
        let line_end = match &body[end..] {
            [b'\r', b'\n', ..] => Some(end + 2),
            [b'\n', ..] => Some(end + 1),
            // A last line without line end counts only when it closes: it may have been cut.
            [] | [b'\r'] if closes => Some(body.len()),
            _ => None,
        };
        match line_end {
            Some(after) if start == 0 || body[start - 1] == b'\n' => {
                return Some(DelimiterLine { start, after, closes });
            }
            _ => from = start + delimiter.len(),
        }
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(body: &[u8], start: usize, end: usize) -> usize {
    let end = if end > start && body[end - 1] == b'\n' { end - 1 } else { end };
    if end > start && body[end - 1] == b'\r' { end - 1 } else { end }
}

fn read_part(
    part: &Bytes,
    wall_ms: i64,
    depth: Depth,
    parts: &mut Vec<PartReply>,
) -> Result<(), ReadBatchError> {
    let number = parts.len() + 1;
    let malformed = |detail| ReadBatchError::Malformed { part: number, detail };
    if number > REPLY_PARTS_MAX {
        return Err(malformed("more parts than a batch can have"));
    }
    let (mime, http_at) = read_headers(part, 0).ok_or(malformed("unreadable part headers"))?;
    let kind = header(&mime, "content-type").unwrap_or("application/http");
    if let Some(boundary) = multipart_boundary(kind) {
        if depth == Depth::ChangeSet {
            return Err(malformed("a change set within a change set"));
        }
        let closed =
            read_parts(boundary, &part.slice(http_at..), wall_ms, Depth::ChangeSet, parts)?;
        return if closed { Ok(()) } else { Err(malformed("the change set is not closed")) };
    }
    let (line, headers_at) = next_line(part, http_at).ok_or(malformed("no status line"))?;
    let status = status_of(line).ok_or(malformed("unreadable status line"))?;
    let (http, body_at) = read_headers(part, headers_at).ok_or(malformed("unreadable headers"))?;
    let body = part.slice(body_at..);
    let blank = body.iter().all(u8::is_ascii_whitespace);
    parts.push(PartReply {
        content_id: header(&mime, "content-id").map(str::to_owned),
        status,
        headers: reply_headers(|name| header(&http, name), wall_ms),
        body: if blank { Bytes::new() } else { body },
    });
    Ok(())
}

type Headers<'a> = Vec<(&'a str, &'a str)>;

fn header<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
}

/// Header lines up to the blank one (or the end), and where the rest begins.
fn read_headers(part: &[u8], mut at: usize) -> Option<(Headers<'_>, usize)> {
    let mut headers = Vec::new();
    loop {
        let Some((line, after)) = next_line(part, at) else { return Some((headers, at)) };
        at = after;
        if line.is_empty() {
            return Some((headers, at));
        }
        if headers.len() == HEADER_LINES_MAX {
            return None;
        }
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        headers.push((name.trim(), value.trim()));
    }
}

/// The line at `at` without its end, and where the next one begins; `None` at the end.
fn next_line(part: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = part.get(at..).filter(|r| !r.is_empty())?;
    let (line, used) = memchr(b'\n', rest).map_or((rest, rest.len()), |n| (&rest[..n], n + 1));
    Some((line.strip_suffix(b"\r").unwrap_or(line), at + used))
}

fn status_of(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    let mut words = text.split(' ').filter(|w| !w.is_empty());
    let (_minor, status) = (words.next()?, words.next()?);
    let well_formed = status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    status.parse().ok().filter(|s| well_formed && (100..600).contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::odata::row_by_id;
    use crate::client::request::{self, Precondition};
    use crate::config::job::RequestOptions;
    use proptest::prelude::*;
    use uuid::Uuid;

    const ANSWER: &str = "--batchresponse_4b\r\n\
        Content-Type: multipart/mixed; boundary=changesetresponse_9a\r\n\r\n\
        --changesetresponse_9a\r\n\
        Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\
        Content-ID: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\
        OData-EntityId: https://c.test/api/data/v9.2/accounts(2f)\r\n\r\n\r\n\
        --changesetresponse_9a--\r\n\
        --batchresponse_4b\r\n\
        Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        HTTP/1.1 400 Bad Request\r\nREQ_ID: 5fe3\r\nRetry-After: 7\r\n\
        Content-Type: application/json; odata.metadata=minimal\r\n\r\n\
        {\"error\":{\"code\":\"0x80044331\",\"message\":\"too long\"}}\r\n\
        --batchresponse_4b--\r\n";
    const KIND: &str = "multipart/mixed; boundary=batchresponse_4b";

    fn read(content_type: &str, body: &str) -> Result<Vec<PartReply>, ReadBatchError> {
        read_batch(content_type, &Bytes::copy_from_slice(body.as_bytes()), 0)
    }

    #[test]
    fn reads_nested_and_plain_parts_in_order() {
        for (kind, body) in [
            (KIND, ANSWER.to_owned()),
            ("Multipart/Mixed;charset=utf-8; Boundary=\"batchresponse_4b\"", ANSWER.to_owned()),
            (KIND, ANSWER.replace("\r\n", "\n")),
            (KIND, format!("preamble\r\n{ANSWER}epilogue")),
        ] {
            let got = read(kind, &body).unwrap();
            assert_eq!(got.len(), 2);
            assert_eq!(got[0].content_id.as_deref(), Some("1"));
            assert_eq!(got[0].status, 204);
            assert!(got[0].body.is_empty());
            assert!(got[0].headers.entity_id.as_deref().unwrap().ends_with("accounts(2f)"));
            assert_eq!(got[1].status, 400);
            assert_eq!(got[1].headers.service_request_id.as_deref(), Some("5fe3"));
            assert_eq!(got[1].headers.retry_after.unwrap().as_secs(), 7);
            assert_eq!(
                got[1].body.as_ref(),
                b"{\"error\":{\"code\":\"0x80044331\",\"message\":\"too long\"}}"
            );
        }
    }

    #[test]
    fn a_cut_anywhere_gives_only_whole_parts() {
        let whole = read(KIND, ANSWER).unwrap();
        for body in [ANSWER.to_owned(), ANSWER.replace("\r\n", "\n")] {
            // The closing line is whole even without its line end.
            let close = body.trim_end().len();
            for cut in 0..close {
                match read(KIND, &body[..cut]) {
                    Err(ReadBatchError::Truncated(parts)) => {
                        assert!(parts.len() <= whole.len());
                        assert_eq!(parts, whole[..parts.len()], "cut at {cut}");
                    }
                    other => panic!("cut at {cut}: {other:?}"),
                }
            }
            for cut in close..=body.len() {
                assert_eq!(read(KIND, &body[..cut]).unwrap().len(), 2);
            }
        }
    }

    #[test]
    fn refuses_what_is_no_batch_answer() {
        for kind in ["application/json", "multipart/mixed", "multipart/mixed; boundary=", ""] {
            assert!(matches!(read(kind, ANSWER), Err(ReadBatchError::NotMultipart(_))), "{kind}");
        }
        for (from, to) in [
            ("HTTP/1.1 400 Bad Request", "HTTP/1.1 4 Bad"),
            ("HTTP/1.1 400 Bad Request", "400 Bad Request"),
            ("REQ_ID: 5fe3", "REQ_ID 5fe3"),
            ("--changesetresponse_9a--", "--changesetresponse_9b--"),
        ] {
            let got = read(KIND, &ANSWER.replace(from, to));
            assert!(matches!(got, Err(ReadBatchError::Malformed { .. })), "{to}: {got:?}");
        }
        let mut deep = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(3);
        deep.push_str("--b--");
        assert!(read("multipart/mixed; boundary=b", &deep).is_err());
        let many = "--b\nContent-Type: application/http\n\nHTTP/1.1 204 x\n\n\n".repeat(1001);
        assert!(matches!(
            read("multipart/mixed; boundary=b", &format!("{many}--b--")),
            Err(ReadBatchError::Malformed { part: 1001, .. })
        ));
    }

    #[test]
    fn writes_what_the_reference_shows() {
        let options = RequestOptions { bypass_flows: true, ..RequestOptions::default() };
        let address = row_by_id("accounts", Uuid::from_u128(1));
        let operations = [
            request::patch(address, Precondition::MustExist, &options, Bytes::from("{\"a\":1}")),
            request::get("accounts?$top=1"),
        ];
        let got = write_batch(&operations, "77").unwrap();
        assert_eq!(got.path, "$batch");
        assert_eq!(got.headers, [("Prefer", "odata.continue-on-error".to_owned())]);
        let (kind, body) = got.body.unwrap();
        assert_eq!(kind, "multipart/mixed; boundary=\"batch_77\"");
        let want = "--batch_77\r\nContent-Type: application/http\r\n\
            Content-Transfer-Encoding: binary\r\n\r\n\
            PATCH /api/data/v9.2/accounts(00000000-0000-0000-0000-000000000001) HTTP/1.1\r\n\
            Accept: application/json\r\n\
            MSCRM.SuppressCallbackRegistrationExpanderJob: true\r\n\
            Prefer: odata.include-annotations=\"*\"\r\nIf-Match: *\r\n\
            Content-Type: application/json; charset=utf-8\r\n\r\n{\"a\":1}\r\n\
            --batch_77\r\nContent-Type: application/http\r\n\
            Content-Transfer-Encoding: binary\r\n\r\n\
            GET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n\
            --batch_77--\r\n";
        assert_eq!(std::str::from_utf8(&body).unwrap(), want);
    }

    #[test]
    fn refuses_batches_the_service_would_refuse() {
        let one = request::get("WhoAmI");
        assert_eq!(write_batch(&[], "a").unwrap_err(), WriteBatchError::Empty);
        let many = vec![one.clone(); BATCH_OPERATIONS_MAX + 1];
        assert_eq!(write_batch(&many, "a").unwrap_err(), WriteBatchError::TooManyOperations(251));
        assert!(write_batch(&many[..BATCH_OPERATIONS_MAX], "a").is_ok());
        for boundary in ["", "a b", "a\r\n", &"x".repeat(61)] {
            let refused = write_batch(std::slice::from_ref(&one), boundary).unwrap_err();
            assert!(matches!(refused, WriteBatchError::BadBoundary(_)));
        }
        let split = request::get("WhoAmI HTTP/1.1\r\nX: y");
        assert_eq!(write_batch(&[split], "a").unwrap_err(), WriteBatchError::LineBreak(0));
        let body = Bytes::from(vec![b' '; BODY_BYTES_MAX]);
        let large = request::create("accounts", &RequestOptions::default(), body);
        assert!(matches!(write_batch(&[large], "a"), Err(WriteBatchError::TooLarge(_))));
    }

    fn answer_of(parts: &[(u16, String)], line_end: &str) -> String {
        let mut out = String::new();
        for (status, body) in parts {
            let lines = [
                "--b_1",
                "Content-Type: application/http",
                "",
                &format!("HTTP/1.1 {status} Some Words"),
                "Content-Type: application/json",
                "",
                body,
                "",
            ];
            out.push_str(&lines.join(line_end));
        }
        out + "--b_1--" + line_end
    }

    proptest! {
        #[test]
        fn never_panics(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_batch("multipart/mixed; boundary=-", &Bytes::from(body), 0);
        }

        #[test]
        fn never_panics_on_mangled_answers(
            at in 0..ANSWER.len(), with in any::<u8>(), drop in 0_usize..40,
        ) {
            let mut body = ANSWER.as_bytes().to_vec();
            body[at] = with;
            body.drain(at..(at + drop).min(ANSWER.len()));
            let _ = read_batch(KIND, &Bytes::from(body), 0);
        }

        #[test]
        fn parts_come_back_as_written(
            parts in prop::collection::vec((200_u16..600, r#"\{"a":"[a-z \-_"]{0,20}"\}"#), 1..8),
            line_end in prop::sample::select(vec!["\r\n", "\n"]),
        ) {
            let text = answer_of(&parts, line_end);
            let got = read("multipart/mixed; boundary=b_1", &text).unwrap();
            let got: Vec<(u16, String)> = got
                .into_iter()
                .map(|p| (p.status, String::from_utf8(p.body.to_vec()).unwrap()))
                .collect();
            prop_assert_eq!(got, parts);
        }
    }
}
