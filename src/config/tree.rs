//! Pure: reads sections of a TOML document, noting every mistake with its place instead of
//! stopping at the first, and every key nobody asked for.

use crate::config::diagnose::Finding;
use crate::config::similar::closest;
use crate::config::values;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Everything found wrong so far.
#[derive(Default)]
pub(super) struct Findings {
    /// In the order they were found.
    pub(super) list: Vec<Finding>,
    /// Places of secrets, never to be shown.
    pub(super) secrets: Vec<Range<usize>>,
}

impl Findings {
    /// Notes a mistake.
    pub(super) fn add(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        self.list.push(Finding {
            code,
            span,
            message: message.into(),
            label: label.into(),
            hint: hint.into(),
        });
    }
}

/// One table of the document; remembers which keys it was asked for.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    /// Where it stands: its header, or the whole inline table.
    pub(super) span: Range<usize>,
    /// As messages name it, e.g. `[environment]`.
    pub(super) title: String,
    known: Vec<&'static str>,
}

/// A value of the document with its place.
pub(super) type Node<'t> = &'t Spanned<DeValue<'t>>;

impl<'t> Section<'t> {
    /// The section `table` at `span`.
    pub(super) fn new(
        table: &'t DeTable<'t>,
        span: Range<usize>,
        title: impl Into<String>,
    ) -> Self {
        Self { table, span, title: title.into(), known: Vec::new() }
    }

    /// The inline table or section a value must be.
    pub(super) fn of(node: Node<'t>, title: impl Into<String>, out: &mut Findings) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, node.span(), title)),
            other => {
                let title: String = title.into();
                wrong_kind(out, node.span(), &title, "a table", other);
                None
            }
        }
    }

    /// The value of `key`, which is thereby known.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Node<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.iter().find(|(k, _)| k.get_ref().as_ref() == key).map(|(_, v)| v)
    }

    /// Keys and values in the order of the text, all of them known.
    pub(super) fn entries(&self) -> Vec<(&'t str, Range<usize>, Node<'t>)> {
        let mut all: Vec<_> =
            self.table.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v)).collect();
        all.sort_by_key(|(_, span, _)| span.start);
        all
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &str, hint: &str, out: &mut Findings) {
        let message = format!("{} needs `{key}`", self.title);
        out.add("DV0004", self.span.clone(), message, format!("no `{key}`"), hint.to_owned());
    }

    /// A text.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        out: &mut Findings,
    ) -> Option<Spanned<String>> {
        let node = self.get(key)?;
        text_of(node, key, out)
    }

    /// A text that must be there.
    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        hint: &str,
        out: &mut Findings,
    ) -> Option<Spanned<String>> {
        let Some(node) = self.get(key) else {
            self.missing(key, hint, out);
            return None;
        };
        text_of(node, key, out)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, out: &mut Findings) -> Option<Spanned<bool>> {
        let node = self.get(key)?;
        match node.get_ref() {
            DeValue::Boolean(b) => Some(Spanned::new(node.span(), *b)),
            other => {
                wrong_kind(out, node.span(), key, "true or false", other);
                None
            }
        }
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, key: &'static str, out: &mut Findings) -> Option<Spanned<u64>> {
        let node = self.get(key)?;
        number_of(node, key, out)
    }

    /// A fraction between 0 and 1.
    pub(super) fn share(&mut self, key: &'static str, out: &mut Findings) -> Option<f64> {
        let node = self.get(key)?;
        let value = match node.get_ref() {
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            DeValue::Integer(i) => {
                i64::from_str_radix(i.as_str(), i.radix()).ok().map(|n| n as f64)
            }
            other => {
                wrong_kind(out, node.span(), key, "a fraction such as 0.05", other);
                return None;
            }
        };
        if let Some(value) = value.filter(|v| (0.0..=1.0).contains(v)) {
            return Some(value);
        }
        let message = format!("`{key}` must lie between 0 and 1");
        out.add("DV0006", node.span(), message, "a share of rows", "5 % is 0.05".to_owned());
        None
    }

    /// A number, with or without a fraction.
    pub(super) fn real(&mut self, key: &'static str, out: &mut Findings) -> Option<Spanned<f64>> {
        let node = self.get(key)?;
        let value = match node.get_ref() {
            DeValue::Float(f) => f.as_str().parse::<f64>().ok(),
            DeValue::Integer(i) => {
                i64::from_str_radix(i.as_str(), i.radix()).ok().map(|n| n as f64)
            }
            other => {
                wrong_kind(out, node.span(), key, "a number such as 0.5", other);
                return None;
            }
        };
        if value.is_none() {
            let message = format!("`{key}` is no number this program can hold");
            out.add("DV0006", node.span(), message, "", None);
        }
        value.map(|value| Spanned::new(node.span(), value))
    }

    /// A size such as `"512 MiB"`, or a number of bytes.
    pub(super) fn size(&mut self, key: &'static str, out: &mut Findings) -> Option<Spanned<u64>> {
        let node = self.get(key)?;
        if matches!(node.get_ref(), DeValue::Integer(_)) {
            return number_of(node, key, out);
        }
        let text = text_of(node, key, out)?;
        match values::size(text.get_ref()) {
            Ok(bytes) => Some(Spanned::new(node.span(), bytes)),
            Err(why) => {
                let hint = "write a number with a unit, e.g. \"512 MiB\" or \"2 GiB\"".to_owned();
                out.add("DV0006", node.span(), why, "not a size", hint);
                None
            }
        }
    }

    /// A duration such as `"90s"`; more than nothing.
    pub(super) fn duration(&mut self, key: &'static str, out: &mut Findings) -> Option<Duration> {
        let node = self.get(key)?;
        let hint =
            || "write a number with a unit, e.g. \"90s\", \"2min\" or \"1h 30min\"".to_owned();
        if matches!(node.get_ref(), DeValue::Integer(_)) {
            let message = format!("`{key}` needs a unit");
            out.add("DV0006", node.span(), message, "seconds? minutes?", hint());
            return None;
        }
        let text = text_of(node, key, out)?;
        match values::duration(text.get_ref()) {
            Ok(duration) if duration.is_zero() => {
                let message = format!("`{key}` must be more than nothing");
                out.add("DV0006", node.span(), message, "zero", hint());
                None
            }
            Ok(duration) => Some(duration),
            Err(why) => {
                out.add("DV0006", node.span(), why, "not a duration", hint());
                None
            }
        }
    }

    /// A GUID.
    pub(super) fn guid(
        &mut self,
        key: &'static str,
        out: &mut Findings,
    ) -> Option<Spanned<uuid::Uuid>> {
        let text = self.text(key, out)?;
        guid_of(&text, key, out).map(|id| Spanned::new(text.span(), id))
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        out: &mut Findings,
    ) -> Option<Spanned<T>> {
        let text = self.text(key, out)?;
        if let Some((_, value)) = words.iter().find(|(w, _)| *w == text.get_ref()) {
            return Some(Spanned::new(text.span(), *value));
        }
        let list: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
        let hint = match closest(text.get_ref(), list.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? allowed: {}", list.join(", ")),
            None => format!("allowed: {}", list.join(", ")),
        };
        let message = format!("`{key}` does not know \"{}\"", text.get_ref());
        out.add("DV0006", text.span(), message, "unknown word", hint);
        None
    }

    /// A list of texts.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        out: &mut Findings,
    ) -> Option<Vec<Spanned<String>>> {
        let node = self.get(key)?;
        let DeValue::Array(array) = node.get_ref() else {
            wrong_kind(out, node.span(), key, "a list of texts", node.get_ref());
            return None;
        };
        Some(array.iter().filter_map(|item| text_of(item, key, out)).collect())
    }

    /// The section `key`, when it is there.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        title: impl Into<String>,
        out: &mut Findings,
    ) -> Option<Section<'t>> {
        let node = self.get(key)?;
        Section::of(node, title, out)
    }

    /// All sections of the list `key`.
    pub(super) fn sections(&mut self, key: &'static str, out: &mut Findings) -> Vec<Section<'t>> {
        let Some(node) = self.get(key) else { return Vec::new() };
        match node.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .filter_map(|item| Section::of(item, format!("[[{key}]]"), out))
                .collect(),
            DeValue::Table(_) => {
                let message = format!("`{key}` is a list: there may be several");
                let hint = format!("write [[{key}]] with two brackets");
                out.add("DV0005", node.span(), message, "one bracket", hint);
                Vec::new()
            }
            other => {
                wrong_kind(out, node.span(), key, "a list of tables", other);
                Vec::new()
            }
        }
    }

    /// Notes every key nobody asked for.
    pub(super) fn finish(self, out: &mut Findings) {
        for (key, span, _) in self.entries() {
            if self.known.contains(&key) {
                continue;
            }
            let hint = match closest(key, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} knows: {}", self.title, self.known.join(", ")),
            };
            let message = format!("{} does not know the key `{key}`", self.title);
            out.add("DV0003", span, message, "unknown key", hint);
        }
    }
}

/// The text a value must be; never empty.
pub(super) fn text_of(node: Node<'_>, key: &str, out: &mut Findings) -> Option<Spanned<String>> {
    match node.get_ref() {
        DeValue::String(s) if s.is_empty() => {
            out.add("DV0006", node.span(), format!("`{key}` must not be empty"), "empty", None);
            None
        }
        DeValue::String(s) => Some(Spanned::new(node.span(), s.to_string())),
        other => {
            wrong_kind(out, node.span(), key, "a text in quotes", other);
            None
        }
    }
}

/// The whole number from 0 a value must be.
pub(super) fn number_of(node: Node<'_>, key: &str, out: &mut Findings) -> Option<Spanned<u64>> {
    let DeValue::Integer(i) = node.get_ref() else {
        wrong_kind(out, node.span(), key, "a whole number", node.get_ref());
        return None;
    };
    if let Ok(n) = u64::from_str_radix(i.as_str(), i.radix()) {
        return Some(Spanned::new(node.span(), n));
    }
    let message = format!("`{key}` must be a whole number from 0, not {i}");
    out.add("DV0006", node.span(), message, "out of range", None);
    None
}

/// The GUID a text must be.
pub(super) fn guid_of(text: &Spanned<String>, key: &str, out: &mut Findings) -> Option<uuid::Uuid> {
    let parsed = uuid::Uuid::try_parse(text.get_ref()).ok();
    if parsed.is_none() {
        let message = format!("`{key}` must be a GUID, not \"{}\"", text.get_ref());
        let hint = "a GUID looks like 3f2504e0-4f89-11d3-9a0c-0305e82c3301".to_owned();
        out.add("DV0006", text.span(), message, "not a GUID", hint);
    }
    parsed
}

/// Notes that a value is of the wrong kind.
pub(super) fn wrong_kind(
    out: &mut Findings,
    span: Range<usize>,
    key: &str,
    wanted: &str,
    found: &DeValue<'_>,
) {
    let label = match found {
        DeValue::String(_) => "this is a text",
        DeValue::Integer(_) => "this is a whole number",
        DeValue::Float(_) => "this is a number",
        DeValue::Boolean(_) => "this is true or false",
        DeValue::Datetime(_) => "this is a date",
        DeValue::Array(_) => "this is a list",
        DeValue::Table(_) => "this is a table",
    };
    out.add("DV0005", span, format!("`{key}` must be {wanted}"), label, None);
}
