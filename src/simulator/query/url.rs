//! Pure: request paths and query options, taken apart.

use super::refuse::{bad_query, unsupported_option};
use crate::simulator::call::Refusal;
use std::collections::HashMap;

/// One step of a path: `accounts(…)` is the name `accounts` with arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Name, decoded.
    pub name: String,
    /// Text between the parentheses, decoded; `None` without parentheses.
    pub args: Option<String>,
}

/// Query options of a request or of a nested expansion, decoded.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// `$select`.
    pub select: Option<String>,
    /// `$filter`.
    pub filter: Option<String>,
    /// `$orderby`.
    pub orderby: Option<String>,
    /// `$expand`.
    pub expand: Option<String>,
    /// `$apply`.
    pub apply: Option<String>,
    /// `$top`.
    pub top: Option<usize>,
    /// `$count`.
    pub count: bool,
    /// `$skiptoken`.
    pub skiptoken: Option<String>,
    /// `$deltatoken`.
    pub deltatoken: Option<String>,
    /// `fetchXml`.
    pub fetch_xml: Option<String>,
    /// `partitionId`.
    pub partition: Option<String>,
    /// Parameter aliases without `@`.
    pub aliases: HashMap<String, String>,
}

/// Decodes `%xx`, and `+` as a blank when `plus` is set.
///
/// # Errors
/// 400 for a broken escape or text that is not UTF-8.
pub fn decode(text: &str, plus: bool) -> Result<String, Refusal> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
                let byte = digits
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|d| u8::from_str_radix(d, 16).ok());
                let Some(byte) = byte else {
                    return Err(bad_query(format!("Malformed escape in '{text}'.")));
                };
                out.push(byte);
                at += 3;
            }
            b'+' if plus => {
                out.push(b' ');
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| bad_query(format!("'{text}' is not valid UTF-8.")))
}

/// Encodes everything but unreserved characters, as `encodeURIComponent` does.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
    }
    out
}

/// Splits at `separator` outside quotes, parentheses and brackets.
#[must_use]
pub fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    let mut quote: Option<char> = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, _) if c == separator && depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Takes a path apart; empty steps (leading, doubled and trailing slashes) are left out.
///
/// # Errors
/// 400 for broken escapes or unbalanced parentheses.
pub fn segments(path: &str) -> Result<Vec<Segment>, Refusal> {
    // Quotes may be sent as %27; a slash inside them counts only when it is sent raw.
    let visible = path.replace("%27", "'").replace("%28", "(").replace("%29", ")");
    split_outside(&visible, '/').into_iter().filter(|s| !s.is_empty()).map(segment).collect()
}

fn segment(text: &str) -> Result<Segment, Refusal> {
    let text = decode(text, false)?;
    let Some(open) = text.find('(') else {
        return Ok(Segment { name: text.trim().to_owned(), args: None });
    };
    let Some(rest) = text.trim_end().strip_suffix(')').filter(|r| r.len() > open) else {
        return Err(bad_query(format!("Bad Request - Error in query syntax: '{text}'.")));
    };
    Ok(Segment {
        name: text[..open].trim().to_owned(),
        args: Some(rest[open + 1..].trim().to_owned()),
    })
}

/// Reads the query text of a request.
///
/// # Errors
/// 400 `0x80060888` for unknown, unsupported or repeated options.
///
/// Source: `dataverse-web-api.md` §7.1.
pub fn options(query: &str) -> Result<Options, Refusal> {
    let mut out = Options::default();
    for part in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        out.set(&decode(name, true)?, decode(value, true)?)?;
    }
    Ok(out)
}

/// Reads the options of an expansion, `$select=a;$filter=b`, already decoded.
///
/// # Errors
/// As [`options`].
pub fn nested_options(text: &str, aliases: &HashMap<String, String>) -> Result<Options, Refusal> {
    let mut out = Options { aliases: aliases.clone(), ..Options::default() };
    for part in split_outside(text, ';') {
        if part.trim().is_empty() {
            continue;
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        out.set(name.trim(), value.trim().to_owned())?;
    }
    Ok(out)
}

impl Options {
    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        if let Some(alias) = name.strip_prefix('@') {
            self.aliases.insert(alias.to_owned(), value);
            return Ok(());
        }
        let slot = match name {
            "$select" => &mut self.select,
            "$filter" => &mut self.filter,
            "$orderby" => &mut self.orderby,
            "$expand" => &mut self.expand,
            "$apply" => &mut self.apply,
            "$skiptoken" => &mut self.skiptoken,
            "$deltatoken" => &mut self.deltatoken,
            "$top" => {
                let top = value.trim().parse().map_err(|_| {
                    bad_query(format!(
                        "Invalid value '{value}' for $top query option found. The $top query \
                         option requires a non-negative integer value."
                    ))
                })?;
                return once(&mut self.top, name, top);
            }
            "$count" => {
                self.count = match value.trim() {
                    "true" => true,
                    "false" => false,
                    _ => {
                        return Err(bad_query(format!(
                            "Invalid value '{value}' for $count query option found. Valid values \
                             are 'true' and 'false'."
                        )));
                    }
                };
                return Ok(());
            }
            _ if name.eq_ignore_ascii_case("fetchxml") => &mut self.fetch_xml,
            _ if name.eq_ignore_ascii_case("partitionid") => &mut self.partition,
            // Known to the service and without effect on what is read here.
            "tag" | "annotations" | "LabelLanguages" | "size" => return Ok(()),
            _ => return Err(unsupported_option(name)),
        };
        once(slot, name, value)
    }
}

fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), Refusal> {
    if slot.replace(value).is_some() {
        return Err(bad_query(format!("Query option '{name}' was specified more than once.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &str) -> Vec<(String, Option<String>)> {
        segments(path).unwrap().into_iter().map(|s| (s.name, s.args)).collect()
    }

    #[test]
    fn paths_come_apart_outside_quotes() {
        let some = |t: &str| Some(t.to_owned());
        let cases = [
            ("accounts", vec![("accounts", None)]),
            ("/accounts/", vec![("accounts", None)]),
            ("WhoAmI()", vec![("WhoAmI", some(""))]),
            ("accounts(a='x''(/y')/b", vec![("accounts", some("a='x''(/y'")), ("b", None)]),
            ("accounts%28a=%27x%27%29/$ref", vec![("accounts", some("a='x'")), ("$ref", None)]),
            ("accounts(a=%27x%2Fy%27)", vec![("accounts", some("a='x/y'"))]),
            ("accounts(a='x+y')", vec![("accounts", some("a='x+y'"))]),
        ];
        for (path, want) in cases {
            let want: Vec<_> = want.into_iter().map(|(n, a)| (n.to_owned(), a)).collect();
            assert_eq!(steps(path), want, "{path}");
        }
        assert!(segments("accounts(a").is_err());
        assert!(segments("accounts%2").is_err());
    }

    #[test]
    fn options_are_decoded_and_unknown_ones_refused() {
        let got = options("%24select=a%2Cb&$filter=a+eq+%27x%20y%2B%27&@p1='z'&$top=3&$count=true")
            .unwrap();
        assert_eq!(got.select.as_deref(), Some("a,b"));
        assert_eq!(got.filter.as_deref(), Some("a eq 'x y+'"));
        assert_eq!(got.aliases["p1"], "'z'");
        assert_eq!(got.top, Some(3));
        assert!(got.count);
        for bad in ["$skip=1", "$search=x", "$format=json", "$foo", "foo=1", "$top=-1", "$count=1"]
        {
            let refusal = options(bad).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code),
                (400, crate::simulator::call::RefusalCode::Hex(0x8006_0888)),
                "{bad}"
            );
        }
        assert!(options("$top=1&$top=2").is_err());
    }

    #[test]
    fn nested_options_keep_semicolons_of_texts() {
        let got =
            nested_options("$select=a,b;$filter=c eq 'x;y'; $top=2", &HashMap::new()).unwrap();
        assert_eq!(got.select.as_deref(), Some("a,b"));
        assert_eq!(got.filter.as_deref(), Some("c eq 'x;y'"));
        assert_eq!(got.top, Some(2));
    }

    proptest::proptest! {
        #[test]
        fn decoding_undoes_encoding(text in ".*") {
            proptest::prop_assert_eq!(decode(&encode(&text), true).unwrap(), text);
        }
    }
}
