//! Pure: answers and error bodies before they go on the wire.

use super::batch::BatchRefused;
use super::call::{Answer, Refusal, RefusalCode};
use super::limits::text::message;
use super::limits::{Facet, Throttle};
use super::refusals::refusal_body;
use super::settings::{CodeFormat, ProtectionSettings};
use std::borrow::Cow;

/// Content type of JSON answers.
pub const JSON: &str = "application/json; odata.metadata=minimal";

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beyond the standing ones.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Content type; none without a body.
    pub content_type: Option<Cow<'static, str>>,
    /// Body.
    pub body: Vec<u8>,
    /// Rows written or read.
    pub rows: u64,
}

impl Reply {
    /// An answer with a body.
    #[must_use]
    pub fn with_body(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        let content_type = Some(Cow::Borrowed(content_type));
        Self { status, content_type, body, ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// The answer of the model.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        let headers = answer.headers.into_iter().map(|(n, v)| (Cow::Borrowed(n), v)).collect();
        let content_type = answer
            .content_type
            .or_else(|| (!answer.body.is_empty()).then_some(JSON))
            .map(Cow::Borrowed);
        let rows = u64::from(answer.rows);
        Self { status: answer.status, headers, content_type, body: answer.body, rows }
    }

    /// A refusal.
    #[must_use]
    pub fn refusal(refusal: &Refusal, annotations: bool) -> Self {
        Self::with_body(refusal.status, JSON, refusal_body(refusal, annotations))
    }

    /// A page of a gateway.
    #[must_use]
    pub fn html(status: u16, text: &str) -> Self {
        let title = super::batch::reason(status);
        let page = format!(
            "<!DOCTYPE html>\r\n<html><head><title>{status} {title}</title></head><body>\
             <h2>{title}</h2><p>{text}</p></body></html>\r\n"
        );
        Self::with_body(status, "text/html; charset=us-ascii", page.into_bytes())
    }

    /// A refusal by service protection.
    ///
    /// Source: `dataverse-web-api.md` §1.2, §12 row 9.
    #[must_use]
    pub fn throttled(facet: Facet, retry_after_secs: f64, rules: &ProtectionSettings) -> Self {
        let code = match rules.code_format {
            CodeFormat::Hex => RefusalCode::Hex(facet.code()),
            CodeFormat::Decimal => RefusalCode::Text(facet.code().cast_signed().to_string()),
        };
        let message = message(facet, rules);
        let refusal = Refusal { status: 429, code, message, annotations: Vec::new() };
        let wait = if rules.fractional_retry_after {
            // Rounded up: who waits as told must not come a fraction too early.
            format!("{:.3}", (retry_after_secs * 1000.0).ceil() / 1000.0)
        } else {
            format!("{:.0}", retry_after_secs.ceil().max(1.0))
        };
        Self::refusal(&refusal, false).header("Retry-After", wait)
    }

    /// A whole batch refused: duplicate ids and reads in change sets come in another error shape.
    ///
    /// Source: `dataverse-web-api.md` §13, §3.3.
    #[must_use]
    pub fn batch_refused(why: &BatchRefused) -> Self {
        let text = sentence(&why.to_string());
        match why {
            BatchRefused::DuplicateContentId(_) | BatchRefused::ReadInChangeSet => {
                let body = serde_json::json!({
                    "Message": text, "ExceptionMessage": text,
                    "ExceptionType": "Microsoft.OData.ODataException",
                    "StackTrace": "   at Microsoft.OData.MultipartMixed.ODataMultipartMixedBatchReader.ReadAtStartImplementation()",
                    "ErrorCode": "0x0",
                });
                Self::with_body(400, JSON, body.to_string().into_bytes())
            }
            BatchRefused::NoBoundary
            | BatchRefused::Malformed(_)
            | BatchRefused::TooMany { .. }
            | BatchRefused::Nested => {
                let code = RefusalCode::Text("0x0".to_owned());
                let annotations = Vec::new();
                Self::refusal(&Refusal { status: 400, code, message: text, annotations }, false)
            }
        }
    }
}

/// Seconds to say to a client whose clock runs `speed` times slower than the simulated one.
#[must_use]
pub fn real_wait(throttle: &Throttle, speed: f64) -> f64 {
    throttle.retry_after.as_secs_f64() / speed
}

fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Whether headers ask for error details.
///
/// Source: `dataverse-web-api.md` §5, §2.7.
#[must_use]
pub fn wants_annotations(headers: &[(String, String)]) -> bool {
    headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("prefer")).any(|(_, value)| {
        let value = value.to_ascii_lowercase();
        let Some((_, rest)) = value.split_once("include-annotations=") else {
            return false;
        };
        let list = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or(""),
            None => rest.split([',', ';']).next().unwrap_or(""),
        };
        list.split(',').map(str::trim).any(|p| p == "*" || p.starts_with("microsoft.powerapps.cds"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_reads_as_documented() {
        let reply = Reply::throttled(Facet::Execution, 40.2, &ProtectionSettings::default());
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers, [("Retry-After".into(), "41".to_owned())]);
        let text = String::from_utf8(reply.body).expect("text");
        assert!(text.starts_with("{\"error\":{\"code\":\"0x80072321\",\"message\":\"Combined"));
        let fractional =
            ProtectionSettings { fractional_retry_after: true, ..ProtectionSettings::default() };
        let reply = Reply::throttled(Facet::Execution, 0.0341, &fractional);
        assert_eq!(reply.headers[0].1, "0.035");
        let decimal = ProtectionSettings {
            code_format: CodeFormat::Decimal,
            ..ProtectionSettings::default()
        };
        let reply = Reply::throttled(Facet::Concurrency, 0.2, &decimal);
        assert!(String::from_utf8_lossy(&reply.body).contains("\"-2147015898\""));
        assert_eq!(reply.headers[0].1, "1");
    }

    #[test]
    fn annotations_are_given_when_asked_for() {
        let check = |value: &str, want| {
            let headers = [("Prefer".to_owned(), value.to_owned())];
            assert_eq!(wants_annotations(&headers), want, "{value}");
        };
        check("odata.include-annotations=\"*\"", true);
        check("odata.maxpagesize=5, odata.include-annotations=*", true);
        check("odata.include-annotations=\"a.b,Microsoft.PowerApps.CDS.ErrorDetails.*\"", true);
        check("odata.include-annotations=\"Microsoft.Dynamics.CRM.*\"", false);
        check("return=representation", false);
        let refusal = Refusal::new(400, 0x8004_0265, "no").with("TraceText", "why");
        let text = |a| String::from_utf8(refusal_body(&refusal, a)).expect("text");
        assert_eq!(text(false), "{\"error\":{\"code\":\"0x80040265\",\"message\":\"no\"}}");
        assert!(text(true).contains("\"@Microsoft.PowerApps.CDS.TraceText\":\"why\""));
    }

    #[test]
    fn whole_batches_are_refused_in_two_shapes() {
        let text = |why| String::from_utf8(Reply::batch_refused(&why).body).expect("text");
        assert!(text(BatchRefused::ReadInChangeSet).contains("\"ErrorCode\":\"0x0\""));
        assert!(text(BatchRefused::Nested).starts_with("{\"error\":{\"code\":\"0x0\""));
    }
}
