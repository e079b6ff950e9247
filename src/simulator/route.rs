//! Pure: paths below the service root, taken apart and looked up.
//!
//! Source: `dataverse-web-api.md` §4.4, §4.6, §6.

use super::call::Refusal;
use super::json::Json;
use super::keys::{enforced, key_text};
use super::model::Model;
use super::refusals::{self, bad_url, no_such_resource};
use super::schema::{ColumnDef, ColumnType, Storage};
use super::validate;
use super::value::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// One part of a path: `accounts(accountnumber='A1')`, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Name before the parenthesis.
    pub name: String,
    /// Text between the parentheses, if any.
    pub key: Option<String>,
}

/// Which row of a table.
#[derive(Clone, PartialEq, Debug)]
pub enum Address {
    /// By primary key.
    Id(Uuid),
    /// Elastic: by primary key and partition.
    Partition(Uuid, String),
    /// By alternate key: index of the key, values by column.
    Key(usize, Vec<(usize, Value)>),
}

/// Decodes `%41`; text that is not an escape stays.
///
/// # Errors
/// If the decoded bytes are not UTF-8.
pub fn percent_decoded(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| bad_url("The URL is not valid UTF-8."))
}

/// Takes a path apart. Slashes within quotes do not separate.
///
/// # Errors
/// If parentheses or quotes do not match.
pub fn segments(path: &str) -> Result<Vec<Segment>, Refusal> {
    let bad = || bad_url(format!("The URL path '{path}' is not valid."));
    let mut out = Vec::new();
    let (mut start, mut quoted, mut depth) = (0, false, 0usize);
    let path = path.trim_matches('/');
    let mut push = |part: &str| -> Result<(), Refusal> {
        let part = percent_decoded(part)?;
        if part.is_empty() {
            return Err(bad());
        }
        out.push(match part.find('(') {
            None => Segment { name: part.into_owned(), key: None },
            Some(open) => {
                let inner = part[open + 1..].strip_suffix(')').ok_or_else(bad)?;
                Segment { name: part[..open].to_owned(), key: Some(inner.to_owned()) }
            }
        });
        Ok(())
    };
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.checked_sub(1).ok_or_else(bad)?,
            b'/' if !quoted && depth == 0 => {
                push(&path[start..at])?;
                start = at + 1;
            }
            _ => {}
        }
    }
    // A quote written as %27 hides from this count; the key's own reader judges those.
    if quoted && !path.contains('%') {
        return Err(bad());
    }
    push(&path[start..])?;
    Ok(out)
}

/// Strips origin and service root from an entity reference: absolute, host-relative,
/// service-relative or relative.
#[must_use]
pub fn service_path(url: &str) -> &str {
    let mut rest = url.trim();
    for scheme in ["https://", "http://"] {
        if let Some(after) = rest.strip_prefix(scheme) {
            rest = after.find('/').map_or("", |slash| &after[slash..]);
        }
    }
    let bare = rest.trim_start_matches('/');
    match bare.strip_prefix("api/data/v") {
        Some(after) => after.find('/').map_or("", |slash| &after[slash + 1..]),
        None => bare,
    }
}

/// Value of `name` in a query text, decoded; `$` may be written `%24`.
///
/// # Errors
/// If it is not UTF-8.
pub fn query_value(query: &str, name: &str) -> Result<Option<String>, Refusal> {
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_decoded(key)? == name {
            return Ok(Some(percent_decoded(&value.replace('+', " "))?.into_owned()));
        }
    }
    Ok(None)
}

impl Model {
    /// Table of an entity set.
    pub(super) fn table_of_set(&self, set: &str) -> Result<usize, Refusal> {
        self.schema.by_set.get(set).copied().ok_or_else(|| no_such_resource(set))
    }

    /// The address in a key: `guid`, `pk=guid`, `pk=guid,partitionid='P'`, `a='x',b=2`.
    ///
    /// # Errors
    /// If it is not a key of the table.
    pub fn address(&self, table: usize, key: &str) -> Result<Address, Refusal> {
        let def = &self.schema.tables[table];
        if let Some(id) = validate::guid(key.trim()) {
            return Ok(Address::Id(id));
        }
        let not_a_key = || {
            bad_url(format!(
                "The key in the request URI is not valid for resource \
                 'Microsoft.Dynamics.CRM.{0}'. Ensure that the names and number of key properties \
                 match the declared or alternate key properties for the resource \
                 'Microsoft.Dynamics.CRM.{0}'.",
                def.name
            ))
        };
        let mut id = None;
        let mut partition = None;
        let mut values: Vec<(usize, Value)> = Vec::new();
        // `systemusers` and `teams` are of type `principal`, whose key is `ownerid`.
        let principal = matches!(def.name.as_str(), "systemuser" | "team");
        let id_name = if principal { "ownerid" } else { def.columns[0].name.as_str() };
        for (name, literal) in key_pairs(key).ok_or_else(not_a_key)? {
            if name == id_name {
                id = Some(validate::guid(&literal.text).ok_or_else(not_a_key)?);
                continue;
            }
            if def.standing.partition.is_some() && name == "partitionid" && literal.quoted {
                partition = Some(literal.text);
                continue;
            }
            let column = key_column(&def.columns, &def.by_column, &name).ok_or_else(not_a_key)?;
            if values.iter().any(|(c, _)| *c == column) {
                return Err(not_a_key());
            }
            values.push((column, self.key_value(table, column, &literal, not_a_key)?));
        }
        match (id, partition, values.is_empty()) {
            (Some(id), None, true) => return Ok(Address::Id(id)),
            (Some(id), Some(partition), true) => return Ok(Address::Partition(id, partition)),
            (None, None, false) => {}
            _ => return Err(not_a_key()),
        }
        let fits = |columns: &[usize]| {
            columns.len() == values.len()
                && columns.iter().all(|c| values.iter().any(|(at, _)| at == c))
        };
        let key = def.keys.iter().position(|key| enforced(key) && fits(&key.columns));
        Ok(Address::Key(key.ok_or_else(not_a_key)?, values))
    }

    fn key_value(
        &self,
        table: usize,
        column: usize,
        literal: &Literal,
        not_a_key: impl Fn() -> Refusal,
    ) -> Result<Value, Refusal> {
        let def = &self.schema.tables[table];
        let column = &def.columns[column];
        let text = literal.text.as_str();
        if literal.quoted
            != matches!(column.kind, ColumnType::Text { .. } | ColumnType::Memo { .. })
        {
            return Err(not_a_key());
        }
        if literal.quoted {
            if text.contains(['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+']) {
                let mut refusal = bad_url(format!(
                    "A potentially dangerous Request.Path value was detected from the client: the \
                     key value '{text}' has a character that keys in URLs cannot carry."
                ));
                refusal.status = self.settings.key_characters_status;
                return Err(refusal);
            }
            return validate::convert(def, column, &Json::Text(text.into()), &self.settings);
        }
        let json = match &column.kind {
            ColumnType::Lookup { targets, .. } => {
                let id = validate::guid(text).ok_or_else(not_a_key)?;
                return Ok(Value::Reference(targets[0].table_index, id));
            }
            ColumnType::DateTime(_) | ColumnType::Guid => Json::Text(text.into()),
            _ => Json::Number(text),
        };
        match &json {
            Json::Number(text) if text.parse::<f64>().is_err() => Err(not_a_key()),
            _ => validate::convert(def, column, &json, &self.settings),
        }
    }

    /// Where the addressed row is, if it exists.
    #[must_use]
    pub fn locate(&self, table: usize, address: &Address) -> Option<usize> {
        let def = &self.schema.tables[table];
        let elastic = def.storage == Storage::Elastic;
        match address {
            Address::Id(id) if elastic => self.store.place_in_partition(table, *id, None),
            Address::Id(id) => self.store.place(table, *id),
            Address::Partition(id, partition) => {
                self.store.place_in_partition(table, *id, Some(partition))
            }
            Address::Key(key, values) => {
                let null = &Value::Null;
                let value = |c: usize| {
                    values.iter().find(|(at, _)| *at == c).map_or(null, |(_, value)| value)
                };
                let text = key_text(&def.keys[*key], value)?;
                self.store.tables[table].by_key[*key].get(&text).copied()
            }
        }
    }

    /// A missing row, by the way it was addressed.
    pub(super) fn missing(&self, table: usize, address: &Address, by_key_status: u16) -> Refusal {
        let name = &self.schema.tables[table].name;
        match address {
            Address::Id(id) | Address::Partition(id, _) => refusals::row_missing(404, name, *id),
            Address::Key(..) => refusals::key_missing(by_key_status, name),
        }
    }

    /// Table and address of an entity reference in a body.
    pub(super) fn reference(&self, url: &str) -> Result<(usize, Address), Refusal> {
        let parts = segments(service_path(url))?;
        match parts.as_slice() {
            [Segment { name, key: Some(key) }] => {
                let table = self.table_of_set(name)?;
                Ok((table, self.address(table, key)?))
            }
            _ => Err(bad_url(format!("Resource not found for the segment '{url}'."))),
        }
    }
}

struct Literal {
    text: String,
    quoted: bool,
}

fn key_column(
    columns: &[ColumnDef],
    by_column: &std::collections::HashMap<String, usize>,
    name: &str,
) -> Option<usize> {
    let is_lookup = |c: usize| matches!(columns[c].kind, ColumnType::Lookup { .. });
    match name.strip_prefix('_').and_then(|n| n.strip_suffix("_value")) {
        Some(lookup) => by_column.get(lookup).copied().filter(|&c| is_lookup(c)),
        None => by_column.get(name).copied().filter(|&c| !is_lookup(c)),
    }
}

/// `a='it''s',b=2` as pairs.
fn key_pairs(key: &str) -> Option<Vec<(String, Literal)>> {
    let mut out = Vec::new();
    let mut rest = key.trim();
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        let after = after.trim_start();
        let (literal, tail) = match after.strip_prefix('\'') {
            Some(mut quoted) => {
                let mut text = String::new();
                loop {
                    let end = quoted.find('\'')?;
                    text.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('\'') {
                        Some(more) => {
                            text.push('\'');
                            quoted = more;
                        }
                        None => break,
                    }
                }
                (Literal { text, quoted: true }, quoted)
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let text = after[..end].trim().to_owned();
                if text.is_empty() {
                    return None;
                }
                (Literal { text, quoted: false }, &after[end..])
            }
        };
        out.push((name.to_owned(), literal));
        let tail = tail.trim_start();
        if tail.is_empty() {
            return Some(out);
        }
        rest = tail.strip_prefix(',')?.trim_start();
    }
}
