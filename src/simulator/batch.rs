//! Pure: `$batch` bodies in, and their answers out.
//!
//! The reader takes what clients in the field send: CRLF or bare LF, quoted or bare boundaries, a
//! preamble, blanks in URLs, absolute, host-relative and service-relative URLs.
//!
//! Source: `dataverse-web-api.md` §3, §13.

use super::call::Verb;
use std::collections::HashSet;
use thiserror::Error;

/// One operation of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// `Content-ID`.
    pub content_id: Option<String>,
    /// Method.
    pub verb: Verb,
    /// URL as written.
    pub url: String,
    /// Headers of the inner request.
    pub headers: Vec<(String, String)>,
    /// Body of the inner request.
    pub body: Vec<u8>,
}

/// One unit of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// An operation by itself.
    Single(Part),
    /// All or nothing.
    ChangeSet(Vec<Part>),
}

/// A batch refused as a whole; nothing of it has run.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BatchRefused {
    /// The content type names no boundary.
    #[error("the content type of a batch must be multipart/mixed with a boundary")]
    NoBoundary,
    /// Not a multipart body.
    #[error("the batch body is malformed: {0}")]
    Malformed(&'static str),
    /// More operations than allowed.
    #[error("the batch holds {count} operations; {most} are allowed")]
    TooMany {
        /// Operations found until reading stopped.
        count: usize,
        /// Limit.
        most: usize,
    },
    /// A batch inside a batch.
    #[error("a batch cannot hold another batch")]
    Nested,
    /// A read inside a change set.
    #[error("a change set holds a GET request; change sets hold only changes")]
    ReadInChangeSet,
    /// Two parts with one `Content-ID`.
    #[error("the content id '{0}' is used twice in the batch")]
    DuplicateContentId(String),
}

type Headers = Vec<(String, String)>;

/// Reads a batch body.
///
/// # Errors
/// The batch is refused as a whole.
pub fn read(content_type: &str, body: &[u8], most: usize) -> Result<Vec<Item>, BatchRefused> {
    let boundary = boundary_of(content_type).ok_or(BatchRefused::NoBoundary)?;
    let (mut items, mut count) = (Vec::new(), 0);
    let mut ids = HashSet::new();
    let mut admit = |part: &Part| {
        count += 1;
        if count > most {
            return Err(BatchRefused::TooMany { count, most });
        }
        match &part.content_id {
            Some(id) if !ids.insert(id.clone()) => {
                Err(BatchRefused::DuplicateContentId(id.clone()))
            }
            _ => Ok(()),
        }
    };
    for section in sections(body, boundary)? {
        let (headers, rest) = header_block(section)?;
        if let Some(inner) = multipart(&headers) {
            let boundary = boundary_of(inner).ok_or(BatchRefused::NoBoundary)?;
            let mut parts = Vec::new();
            for section in sections(rest, boundary)? {
                let (headers, rest) = header_block(section)?;
                if multipart(&headers).is_some() {
                    return Err(BatchRefused::Malformed("a change set cannot hold another one"));
                }
                let part = operation(&headers, rest)?;
                if part.verb == Verb::Get {
                    return Err(BatchRefused::ReadInChangeSet);
                }
                admit(&part)?;
                parts.push(part);
            }
            items.push(Item::ChangeSet(parts));
        } else {
            let part = operation(&headers, rest)?;
            admit(&part)?;
            items.push(Item::Single(part));
        }
    }
    Ok(items)
}

/// The boundary parameter of a `multipart/mixed` content type.
#[must_use]
pub fn boundary_of(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let at = parameters.to_ascii_lowercase().find("boundary=")?;
    let value = parameters.get(at + "boundary=".len()..)?.trim();
    let boundary = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split(';').next()?.trim(),
    };
    (!boundary.is_empty() && boundary.len() <= 200).then_some(boundary)
}

fn multipart(headers: &[(String, String)]) -> Option<&str> {
    header(headers, "content-type")
        .filter(|t| t.get(..10).is_some_and(|k| k.eq_ignore_ascii_case("multipart/")))
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
}

/// What lies between the delimiter lines, line break before the delimiter taken off.
fn sections<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, BatchRefused> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let (mut out, mut open, mut line) = (Vec::new(), None, 0);
    while line < body.len() {
        let end = memchr::memchr(b'\n', &body[line..]).map_or(body.len(), |n| line + n + 1);
        if let Some(rest) = body[line..end].strip_prefix(delimiter.as_slice()) {
            let rest = rest.trim_ascii();
            if rest.is_empty() || rest == b"--" {
                if let Some(start) = open {
                    out.push(without_break(&body[start..line.max(start)]));
                }
                if rest == b"--" {
                    return Ok(out);
                }
                open = Some(end);
            }
        }
        line = end;
    }
    Err(BatchRefused::Malformed("the closing boundary is missing"))
}

fn without_break(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Takes one line off; `None` at the end.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    match memchr::memchr(b'\n', text) {
        Some(n) => Some((without_break(&text[..=n]), &text[n + 1..])),
        None => Some((text, &[])),
    }
}

/// Headers up to an empty line, and what follows it.
fn header_block(mut text: &[u8]) -> Result<(Headers, &[u8]), BatchRefused> {
    let mut headers = Vec::new();
    while let Some((first, rest)) = line(text) {
        text = rest;
        if first.trim_ascii().is_empty() {
            break;
        }
        let first = std::str::from_utf8(first)
            .map_err(|_| BatchRefused::Malformed("a header is not UTF-8"))?;
        let (name, value) =
            first.split_once(':').ok_or(BatchRefused::Malformed("a header has no colon"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok((headers, text))
}

fn operation(outer: &[(String, String)], mut text: &[u8]) -> Result<Part, BatchRefused> {
    let request = loop {
        let (first, rest) = line(text).ok_or(BatchRefused::Malformed("a part has no request"))?;
        text = rest;
        if !first.trim_ascii().is_empty() {
            break std::str::from_utf8(first.trim_ascii())
                .map_err(|_| BatchRefused::Malformed("a request line is not UTF-8"))?;
        }
    };
    let (verb, rest) =
        request.split_once(' ').ok_or(BatchRefused::Malformed("a request line has no URL"))?;
    let verb = match verb.to_ascii_uppercase().as_str() {
        "GET" => Verb::Get,
        "POST" => Verb::Post,
        "PATCH" => Verb::Patch,
        "PUT" => Verb::Put,
        "DELETE" => Verb::Delete,
        _ => return Err(BatchRefused::Malformed("a request line has an unknown method")),
    };
    let url = match rest.rsplit_once(' ') {
        Some((url, version)) if version.to_ascii_uppercase().starts_with("HTTP/") => url,
        _ => rest,
    };
    let url = url.trim().replace(' ', "%20");
    if is_batch(&url) {
        return Err(BatchRefused::Nested);
    }
    let (headers, body) = header_block(text)?;
    let content_id = header(outer, "content-id").or_else(|| header(&headers, "content-id"));
    let body = trimmed(body).to_vec();
    Ok(Part { content_id: content_id.map(str::to_owned), verb, url, headers, body })
}

fn is_batch(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or("");
    let last = path.rsplit('/').next().unwrap_or("");
    last.eq_ignore_ascii_case("$batch") || last.eq_ignore_ascii_case("%24batch")
}

/// Line breaks at the end belong to the envelope.
fn trimmed(mut body: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = body {
        body = rest;
    }
    body
}

/// Path below the service root and query of an absolute, host-relative or service-relative URL.
/// `None` when it leads elsewhere.
#[must_use]
pub fn below_root(url: &str) -> Option<(&str, &str)> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => url,
    };
    let path = match path.strip_prefix('/') {
        Some(rest) => rest.strip_prefix("api/data/").and_then(after_version)?,
        None => path.strip_prefix("api/data/").and_then(after_version).unwrap_or(path),
    };
    Some(path.split_once('?').unwrap_or((path, "")))
}

/// What follows `v9.0/`, `v9.1/` or `v9.2/`.
#[must_use]
pub fn after_version(path: &str) -> Option<&str> {
    let rest = ["v9.0", "v9.1", "v9.2"].iter().find_map(|v| path.strip_prefix(v))?;
    match rest.strip_prefix('/') {
        Some(below) => Some(below),
        None if rest.is_empty() || rest.starts_with('?') => Some(rest),
        None => None,
    }
}

/// One answer inside a batch answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartReply {
    /// `Content-ID` of the operation.
    pub content_id: Option<String>,
    /// HTTP status.
    pub status: u16,
    /// Headers, content type included.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// One unit of a batch answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ItemReply {
    /// Answer of a single operation.
    Single(PartReply),
    /// Answers of a change set; one only when it failed.
    ChangeSet(Vec<PartReply>),
}

/// Writes a batch answer; `unique` makes the boundaries.
#[must_use]
pub fn write(replies: &[ItemReply], unique: &str) -> (String, Vec<u8>) {
    let boundary = format!("batchresponse_{unique}");
    let mut out = Vec::with_capacity(replies.len() * 400);
    for (number, item) in replies.iter().enumerate() {
        push(&mut out, &["--", &boundary, "\r\n"]);
        match item {
            ItemReply::Single(reply) => write_part(&mut out, reply),
            ItemReply::ChangeSet(replies) => {
                let inner = format!("changesetresponse_{number}_{unique}");
                push(&mut out, &["Content-Type: multipart/mixed; boundary=", &inner, "\r\n\r\n"]);
                for reply in replies {
                    push(&mut out, &["--", &inner, "\r\n"]);
                    write_part(&mut out, reply);
                }
                push(&mut out, &["--", &inner, "--\r\n"]);
            }
        }
    }
    push(&mut out, &["--", &boundary, "--\r\n"]);
    (format!("multipart/mixed; boundary={boundary}"), out)
}

fn push(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

fn write_part(out: &mut Vec<u8>, reply: &PartReply) {
    push(out, &["Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"]);
    if let Some(id) = &reply.content_id {
        push(out, &["Content-ID: ", id, "\r\n"]);
    }
    let status = reply.status.to_string();
    push(out, &["\r\nHTTP/1.1 ", &status, " ", reason(reply.status), "\r\n"]);
    for (name, value) in &reply.headers {
        push(out, &[name, ": ", value, "\r\n"]);
    }
    push(out, &["\r\n"]);
    out.extend_from_slice(&reply.body);
    push(out, &["\r\n"]);
}

/// Reason phrase of a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CT: &str = "multipart/mixed; boundary=\"b_1\"";

    fn sample() -> String {
        [
            "a preamble nobody reads",
            "--b_1",
            "Content-Type: multipart/mixed;boundary=cs",
            "",
            "--cs",
            "Content-Type: application/http",
            "Content-ID: 1",
            "",
            "POST /api/data/v9.2/accounts HTTP/1.1",
            "Content-Type: application/json; type=entry",
            "",
            "{\"name\":\"x\"}",
            "--cs--",
            "--b_1",
            "Content-Type: application/http",
            "",
            "GET accounts?$filter=name eq 'a b' HTTP/1.1",
            "--b_1--",
            "",
        ]
        .join("\r\n")
    }

    fn parsed(text: &str) -> Result<Vec<Item>, BatchRefused> {
        read(CT, text.as_bytes(), 1000)
    }

    #[test]
    fn change_sets_and_single_operations_are_read() {
        let items = parsed(&sample()).expect("valid");
        let [Item::ChangeSet(parts), Item::Single(get)] = items.as_slice() else {
            panic!("two items: {items:?}");
        };
        assert_eq!(parts[0].content_id.as_deref(), Some("1"));
        assert_eq!(parts[0].body, b"{\"name\":\"x\"}");
        assert_eq!(get.verb, Verb::Get);
        assert_eq!(get.url, "accounts?$filter=name%20eq%20'a%20b'");
    }

    #[test]
    fn bare_line_feeds_are_the_same() {
        assert_eq!(parsed(&sample().replace("\r\n", "\n")), parsed(&sample()));
    }

    #[test]
    fn boundaries_are_taken_quoted_and_bare() {
        for (text, want) in [
            ("multipart/mixed; boundary=\"a b\"", Some("a b")),
            ("multipart/mixed;boundary=x", Some("x")),
            ("Multipart/Mixed; charset=utf-8; Boundary=x; y=z", Some("x")),
            ("multipart/mixed", None),
            ("multipart/mixed; boundary=\"\"", None),
            ("application/json; boundary=x", None),
        ] {
            assert_eq!(boundary_of(text), want, "{text}");
        }
    }

    #[test]
    fn whole_batches_are_refused() {
        let check = |text: String, want: BatchRefused| assert_eq!(parsed(&text), Err(want));
        check(sample().replace("POST /", "GET /"), BatchRefused::ReadInChangeSet);
        check(sample().replace("GET accounts", "POST $batch"), BatchRefused::Nested);
        check(
            sample().replace("http\r\n\r\nGET", "http\r\nContent-ID: 1\r\n\r\nGET"),
            BatchRefused::DuplicateContentId("1".to_owned()),
        );
        check(
            sample().replace("--b_1--", ""),
            BatchRefused::Malformed("the closing boundary is missing"),
        );
        assert_eq!(
            read(CT, sample().as_bytes(), 1),
            Err(BatchRefused::TooMany { count: 2, most: 1 })
        );
    }

    #[test]
    fn urls_are_cut_below_the_service_root() {
        for (url, want) in [
            ("https://x.test:8/api/data/v9.2/accounts?$top=1", Some(("accounts", "$top=1"))),
            ("/api/data/v9.0/accounts(1)", Some(("accounts(1)", ""))),
            ("accounts?a=/b?c", Some(("accounts", "a=/b?c"))),
            ("api/data/v9.1/x", Some(("x", ""))),
            ("/other/accounts", None),
            ("/api/data/v9.25/accounts", None),
            ("https://x.test", None),
        ] {
            assert_eq!(below_root(url), want, "{url}");
        }
    }

    fn any_part() -> impl Strategy<Value = Part> {
        let verb = prop::sample::select(vec![Verb::Post, Verb::Patch, Verb::Put, Verb::Delete]);
        let body = "\\{\"name\":\"[a-z \\-ü\\\\]{0,30}\"\\}|";
        (verb, "[a-z]{1,8}\\([0-9a-f-]{1,36}\\)", "[A-Za-z0-9 =\"*/]{0,12}", body).prop_map(
            |(verb, url, value, body)| Part {
                content_id: None,
                verb,
                url,
                headers: vec![("If-Match".to_owned(), value.trim().to_owned())],
                body: body.into_bytes(),
            },
        )
    }

    fn written(items: &[Item], eol: &str) -> Vec<u8> {
        let verb = |v| match v {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Patch => "PATCH",
            Verb::Put => "PUT",
            Verb::Delete => "DELETE",
        };
        let part = |p: &Part| {
            let id = p.content_id.iter().map(|i| format!("Content-ID: {i}{eol}"));
            let headers = p.headers.iter().map(|(n, v)| format!("{n}: {v}{eol}"));
            format!(
                "Content-Type: application/http{eol}{}{eol}{} {} HTTP/1.1{eol}{}{eol}{}{eol}",
                id.collect::<String>(),
                verb(p.verb),
                p.url,
                headers.collect::<String>(),
                String::from_utf8_lossy(&p.body),
            )
        };
        let mut out = String::new();
        for item in items {
            out += &format!("--b_1{eol}");
            match item {
                Item::Single(p) => out += &part(p),
                Item::ChangeSet(parts) => {
                    out += &format!("Content-Type: multipart/mixed; boundary=c{eol}{eol}");
                    for p in parts {
                        out += &format!("--c{eol}{}", part(p));
                    }
                    out += &format!("--c--{eol}");
                }
            }
        }
        out += "--b_1--";
        out.into_bytes()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            items in prop::collection::vec(
                prop_oneof![
                    any_part().prop_map(Item::Single),
                    prop::collection::vec(any_part(), 0..4).prop_map(Item::ChangeSet),
                ],
                0..6,
            ),
            crlf: bool,
        ) {
            let mut items = items;
            let parts = items.iter_mut().flat_map(|item| match item {
                Item::Single(p) => std::slice::from_mut(p).iter_mut(),
                Item::ChangeSet(ps) => ps.iter_mut(),
            });
            for (n, part) in parts.enumerate() {
                part.content_id = Some(n.to_string());
            }
            let body = written(&items, if crlf { "\r\n" } else { "\n" });
            prop_assert_eq!(read(CT, &body, 1000), Ok(items));
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(CT, &body, 5);
        }

        #[test]
        fn any_damage_is_read_or_refused(at in 0_usize..450, byte: u8, cut: bool) {
            let mut body = sample().into_bytes();
            let at = at % body.len();
            if cut { body.truncate(at) } else { body[at] = byte }
            let _ = read(CT, &body, 1000);
        }
    }

    #[test]
    fn answers_are_written_as_documented() {
        let reply = |id: &str| PartReply {
            content_id: Some(id.to_owned()),
            status: 204,
            headers: vec![("OData-Version".to_owned(), "4.0".to_owned())],
            body: Vec::new(),
        };
        let (kind, body) = write(
            &[ItemReply::ChangeSet(vec![reply("1"), reply("2")]), ItemReply::Single(reply("3"))],
            "u",
        );
        let text = String::from_utf8(body).expect("text");
        assert_eq!(kind, "multipart/mixed; boundary=batchresponse_u");
        assert_eq!(text.matches("HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n").count(), 3);
        assert!(text.contains("Content-ID: 2\r\n\r\nHTTP/1.1 204"));
        assert!(text.ends_with("--batchresponse_u--\r\n"));
        assert!(text.contains("--changesetresponse_0_u--\r\n--batchresponse_u\r\n"));
    }
}
