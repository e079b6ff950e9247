//! Pure: a small tree of XML elements.

use crate::simulator::call::Refusal;
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting.
const DEPTH_MAX: usize = 32;

/// An element.
#[derive(Debug, Default)]
pub struct Element {
    /// Name.
    pub name: String,
    /// Attributes in document order.
    attributes: Vec<(String, String)>,
    /// Text directly inside.
    pub text: String,
    /// Elements inside.
    pub children: Vec<Self>,
}

impl Element {
    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether an attribute is `true` or `1`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.attribute(name).is_some_and(|v| matches!(v, "true" | "1"))
    }

    /// An attribute that must be there.
    ///
    /// # Errors
    /// 400 when it is not.
    pub fn must(&self, name: &str) -> Result<&str, Refusal> {
        self.attribute(name).ok_or_else(|| {
            invalid(format!("The element '{}' needs the attribute '{name}'.", self.name))
        })
    }

    /// Elements inside of one name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |c| c.name == name)
    }
}

/// The refusal of XML that is no query.
///
/// Source: `dataverse-web-api.md` §10.3 (invalid argument).
pub fn invalid(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(400, 0x8004_0203, format!("Invalid XML. {message}"))
}

/// Reads a document.
///
/// # Errors
/// 400 when it is not well-formed or nested too deeply.
pub fn parse(text: &str) -> Result<Element, Refusal> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(invalid)? {
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    return Err(invalid("The elements are nested too deeply."));
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                let done = element(&start)?;
                top(&mut open)?.children.push(done);
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(|| invalid("An element ends twice."))?;
                top(&mut open)?.children.push(done);
            }
            Event::Text(part) => top(&mut open)?.text.push_str(&part.xml10_content()),
            Event::CData(part) => top(&mut open)?.text.push_str(&part.xml10_content()),
            Event::GeneralRef(part) => {
                let resolved = match part.resolve_char_ref().map_err(invalid)? {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&part.xml10_content())
                        .ok_or_else(|| invalid("Unknown entity."))?
                        .to_owned(),
                };
                top(&mut open)?.text.push_str(&resolved);
            }
            Event::DocType(_) => return Err(invalid("A document type is not allowed.")),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    let mut root = open.pop().unwrap_or_default();
    match (open.is_empty(), root.children.len(), root.children.pop()) {
        (true, 1, Some(only)) => Ok(only),
        _ => Err(invalid("The document has no single root element, or one is not closed.")),
    }
}

fn top(open: &mut [Element]) -> Result<&mut Element, Refusal> {
    open.last_mut().ok_or_else(|| invalid("An element ends twice."))
}

fn element(start: &BytesStart) -> Result<Element, Refusal> {
    let mut out = Element { name: start.name().as_ref().to_owned(), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(invalid)?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(invalid)?;
        out.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_trees() {
        let root =
            parse("<a x='1 &amp; 2'><!-- c --><b/>\n<b>t&lt;u&#65;<![CDATA[<]]></b></a>").unwrap();
        assert_eq!(root.attribute("x"), Some("1 & 2"));
        assert_eq!(root.all("b").map(|b| b.text.as_str()).collect::<Vec<_>>(), ["", "t<uA<"]);
        for bad in ["", "<a>", "<a></b>", "<a/><b/>", "text", "<a x=1/>", "<a>&nope;</a>"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"<a>".repeat(1000)).is_err());
    }
}
