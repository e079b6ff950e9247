//! Pure: words of the filter language.

use super::refuse::bad_query;
use crate::simulator::call::Refusal;
use uuid::Uuid;

/// One token.
#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `=` between a parameter and its value.
    Equals,
    /// Name, path, operator, number, GUID, date.
    Word(String),
    /// `'text'`, unescaped.
    Text(String),
    /// `Namespace.Type'Member'`.
    Enum(String, String),
    /// `["a","b"]`.
    List(Vec<String>),
    /// `@name`.
    Alias(String),
}

/// A constant.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// `'text'`.
    Text(String),
    /// Any number, as written.
    Number(String),
    /// GUID.
    Guid(Uuid),
    /// `2025-03-01`, as written.
    Date(String),
    /// `2025-03-01T09:30:00Z`, as written.
    DateTime(String),
    /// Member of an enumeration: type, member.
    Enum(String, String),
}

/// Splits a filter into tokens.
///
/// # Errors
/// 400 for an unclosed text or list.
pub fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        match c {
            c if c.is_whitespace() => at += 1,
            '(' => push(&mut out, Token::Open, &mut at),
            ')' => push(&mut out, Token::Close, &mut at),
            ',' => push(&mut out, Token::Comma, &mut at),
            '=' => push(&mut out, Token::Equals, &mut at),
            '\'' => out.push(Token::Text(quoted(&chars, &mut at, text)?)),
            '[' => out.push(Token::List(list(&chars, &mut at, text)?)),
            _ => {
                let start = at;
                while chars.get(at).is_some_and(|c| !c.is_whitespace() && !"(),='[]\"".contains(*c))
                {
                    at += 1;
                }
                if at == start {
                    return Err(syntax(text, at));
                }
                let word: String = chars[start..at].iter().collect();
                if chars.get(at) == Some(&'\'') && word.contains('.') {
                    let member = quoted(&chars, &mut at, text)?;
                    out.push(Token::Enum(word, member));
                } else if let Some(alias) = word.strip_prefix('@') {
                    out.push(Token::Alias(alias.to_owned()));
                } else {
                    out.push(Token::Word(word));
                }
            }
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<Token>, token: Token, at: &mut usize) {
    out.push(token);
    *at += 1;
}

/// The refusal of a filter that cannot be read.
pub fn syntax(text: &str, at: usize) -> Refusal {
    bad_query(format!("Syntax error at position {at} in '{text}'."))
}

fn quoted(chars: &[char], at: &mut usize, text: &str) -> Result<String, Refusal> {
    let start = *at;
    *at += 1;
    let mut out = String::new();
    loop {
        match (chars.get(*at), chars.get(*at + 1)) {
            (Some('\''), Some('\'')) => {
                out.push('\'');
                *at += 2;
            }
            (Some('\''), _) => {
                *at += 1;
                return Ok(out);
            }
            (Some(&c), _) => {
                out.push(c);
                *at += 1;
            }
            (None, _) => {
                return Err(bad_query(format!(
                    "There is an unterminated string literal at position {start} in '{text}'."
                )));
            }
        }
    }
}

/// Items must be quoted: they are a collection of strings, whatever the column's type.
fn list(chars: &[char], at: &mut usize, text: &str) -> Result<Vec<String>, Refusal> {
    *at += 1;
    let mut out = Vec::new();
    let mut expect_item = true;
    loop {
        match chars.get(*at) {
            Some(c) if c.is_whitespace() => *at += 1,
            Some(']') => {
                *at += 1;
                return Ok(out);
            }
            Some(',') if !expect_item => {
                expect_item = true;
                *at += 1;
            }
            Some('\'') if expect_item => {
                out.push(quoted(chars, at, text)?);
                expect_item = false;
            }
            Some('"') if expect_item => {
                let start = *at;
                *at += 1;
                while chars.get(*at).is_some_and(|c| *c != '"') {
                    *at += if chars[*at] == '\\' { 2 } else { 1 };
                }
                let Some(raw) = chars.get(start..=*at) else {
                    return Err(syntax(text, start));
                };
                let raw: String = raw.iter().collect();
                out.push(serde_json::from_str(&raw).map_err(|_| syntax(text, start))?);
                *at += 1;
                expect_item = false;
            }
            _ => return Err(syntax(text, *at)),
        }
    }
}

/// Reads a bare word as a constant; `None` when it is a name.
#[must_use]
pub fn literal(word: &str) -> Option<Literal> {
    match word {
        "null" => return Some(Literal::Null),
        "true" => return Some(Literal::Bool(true)),
        "false" => return Some(Literal::Bool(false)),
        _ => {}
    }
    if word.len() == 36
        && let Ok(id) = Uuid::try_parse(word)
    {
        return Some(Literal::Guid(id));
    }
    let bytes = word.as_bytes();
    let digits =
        |r: std::ops::Range<usize>| bytes.get(r).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
    if digits(0..4) && bytes.get(4) == Some(&b'-') && digits(5..7) && bytes.get(7) == Some(&b'-') {
        return match (digits(8..10), bytes.get(10)) {
            (true, None) => Some(Literal::Date(word.to_owned())),
            (true, Some(b'T' | b't')) => Some(Literal::DateTime(word.to_owned())),
            _ => None,
        };
    }
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    if unsigned.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && unsigned.parse::<f64>().is_ok()
    {
        return Some(Literal::Number(word.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let word = |t: &str| Token::Word(t.to_owned());
        assert_eq!(
            tokens("a eq 'O''Brien' and(b  ge-1)").unwrap(),
            vec![
                word("a"),
                word("eq"),
                Token::Text("O'Brien".into()),
                word("and"),
                Token::Open,
                word("b"),
                word("ge-1"),
                Token::Close
            ]
        );
        assert_eq!(
            tokens(r#"x=["a\"b", 'c',"d]"]"#).unwrap(),
            vec![
                word("x"),
                Token::Equals,
                Token::List(vec!["a\"b".into(), "c".into(), "d]".into()])
            ]
        );
        for bad in ["'open", "[\"a\"", "[a]", "[1,2]", "a ]", "\"x\"", "[\"a\\", "[,]"] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn constants_are_recognised() {
        let cases = [
            ("null", Some(Literal::Null)),
            ("2025-03-01", Some(Literal::Date("2025-03-01".into()))),
            ("2025-03-01T10:00:00Z", Some(Literal::DateTime("2025-03-01T10:00:00Z".into()))),
            ("-1.5e3", Some(Literal::Number("-1.5e3".into()))),
            ("name", None),
            ("_x_value", None),
            ("1name", None),
            ("00000000-0000-0000-0000-00000000000A", Some(Literal::Guid(Uuid::from_u128(10)))),
        ];
        for (text, want) in cases {
            assert_eq!(literal(text), want, "{text}");
        }
    }
}
