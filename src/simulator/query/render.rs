//! Pure: rows as JSON.

use super::World;
use super::annotations::{Annotations, FORMATTED, LOOKUP_TABLE, NAVIGATION};
use super::expand::{Expansion, expansions, write_expansion};
use super::formatted::formatted;
use super::predicate::value_of;
use super::refuse::unknown_property;
use super::scalar::options_text;
use super::url::Options;
use crate::simulator::call::Refusal;
use crate::simulator::json::write_text;
use crate::simulator::model::etag;
use crate::simulator::schema::{ColumnDef, ColumnType, Property, TableDef};
use crate::simulator::store::Row;
use crate::simulator::value::Value;

/// JSON written piece by piece.
pub trait JsonText {
    /// A text, quoted and escaped.
    fn json_text(&mut self, text: &str);
    /// `"name":"text"`.
    fn json_field(&mut self, name: &str, text: &str);
}

impl JsonText for Vec<u8> {
    fn json_text(&mut self, text: &str) {
        write_text(self, text);
    }

    fn json_field(&mut self, name: &str, text: &str) {
        self.json_text(name);
        self.push(b':');
        self.json_text(text);
    }
}

/// What of a row is written.
#[derive(Debug)]
pub struct Shape {
    /// Columns.
    pub columns: Vec<usize>,
    /// `$select` as sent.
    selected: Option<String>,
    /// `$expand`.
    pub expansions: Vec<Expansion>,
}

impl Shape {
    /// The `(…)` of a context URL.
    #[must_use]
    pub fn context(&self) -> String {
        let mut parts: Vec<String> =
            self.selected.iter().flat_map(|s| s.split(',')).map(|s| s.trim().to_owned()).collect();
        for expansion in &self.expansions {
            let inner = expansion.shape.context();
            let inner = if inner.is_empty() { "()" } else { inner.as_str() };
            parts.push(format!("{}{inner}", expansion.name));
        }
        if parts.is_empty() { String::new() } else { format!("({})", parts.join(",")) }
    }
}

/// Name of a column as a property.
#[must_use]
pub fn property_name(column: &ColumnDef) -> String {
    match column.kind {
        ColumnType::Lookup { .. } => format!("_{}_value", column.name),
        _ => column.name.clone(),
    }
}

/// Whether a column is a property of its rows.
#[must_use]
pub fn is_property(def: &TableDef, column: &ColumnDef) -> bool {
    column.for_read && def.by_property.contains_key(&property_name(column))
}

/// Reads `$select` and `$expand`. The primary key is always written.
///
/// # Errors
/// 400 for an unknown property.
pub fn shape(world: &World, table: usize, options: &Options) -> Result<Shape, Refusal> {
    let def = &world.schema.tables[table];
    let every = || -> Vec<usize> {
        (0..def.columns.len()).filter(|&c| is_property(def, &def.columns[c])).collect()
    };
    let mut columns = Vec::new();
    match &options.select {
        None => columns = every(),
        Some(select) => {
            // Microsoft's own samples end a list with a comma.
            let select = select.trim_end();
            for name in select.strip_suffix(',').unwrap_or(select).split(',').map(str::trim) {
                if name == "*" {
                    columns = every();
                    continue;
                }
                let column = match def.by_property.get(name) {
                    Some(
                        Property::Column(c) | Property::LookupValue(c) | Property::Navigation(c, _),
                    ) if def.columns[*c].for_read => *c,
                    _ => return Err(unknown_property(name, &def.name)),
                };
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
            if !columns.contains(&0) {
                columns.push(0);
            }
        }
    }
    let expansions = expansions(world, table, options)?;
    Ok(Shape { columns, selected: options.select.clone(), expansions })
}

/// Writes one row as an object; `context` adds `@odata.context`.
pub fn write_row(
    world: &World,
    out: &mut Vec<u8>,
    table: usize,
    row: &Row,
    shape: &Shape,
    annotations: &Annotations,
    context: Option<&str>,
) {
    let def = &world.schema.tables[table];
    out.push(b'{');
    if let Some(context) = context {
        out.json_field("@odata.context", context);
        out.push(b',');
    }
    out.json_field("@odata.etag", &etag(def, row));
    for &index in &shape.columns {
        let column = &def.columns[index];
        let value = value_of(world, table, row, index);
        let name = property_name(column);
        out.push(b',');
        write_notes(world, out, &name, column, &value, annotations);
        out.json_text(&name);
        out.push(b':');
        write_value(out, &value);
    }
    for expansion in &shape.expansions {
        out.push(b',');
        write_expansion(world, out, row, expansion, annotations);
    }
    out.push(b'}');
}

/// Writes the annotations of a value, each with a comma behind.
pub fn write_notes(
    world: &World,
    out: &mut Vec<u8>,
    name: &str,
    column: &ColumnDef,
    value: &Value,
    annotations: &Annotations,
) {
    let mut note = |annotation: &str, text: &str| {
        out.json_field(&format!("{name}@{annotation}"), text);
        out.push(b',');
    };
    if annotations.wants(FORMATTED)
        && let Some(text) = formatted(world, column, value)
    {
        note(FORMATTED, &text);
    }
    let (Value::Reference(to, _), ColumnType::Lookup { targets, .. }) = (value, &column.kind)
    else {
        return;
    };
    if annotations.wants(NAVIGATION)
        && let Some(target) = targets.iter().find(|t| t.table_index == *to)
    {
        note(NAVIGATION, &target.navigation);
    }
    if annotations.wants(LOOKUP_TABLE) {
        note(LOOKUP_TABLE, &world.schema.tables[*to].name);
    }
}

/// Writes a value as the Web API does.
///
/// Source: `dataverse-web-api.md` §4.7.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Bool(b) => out.extend_from_slice(b.to_string().as_bytes()),
        Value::Decimal(d) => out.extend_from_slice(decimal(*d, 10).as_bytes()),
        Value::Money(m) => out.extend_from_slice(decimal(*m, 4).as_bytes()),
        Value::Double(d) => {
            let number = serde_json::Number::from_f64(*d);
            let text = number.map_or_else(|| "null".to_owned(), |n| n.to_string());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Text(_)
        | Value::Guid(_)
        | Value::Reference(..)
        | Value::Options(_)
        | Value::Time(_)
        | Value::Day(_) => out.json_text(&bare(value)),
    }
}

/// A value as text without quotes, for `$value` and for texts in JSON.
#[must_use]
pub fn bare(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Decimal(d) => decimal(*d, 10),
        Value::Money(m) => decimal(*m, 4),
        Value::Double(d) => d.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Guid(id) | Value::Reference(_, id) => id.to_string(),
        Value::Options(options) => options_text(options),
        Value::Time(ms) => jiff::Timestamp::from_second(ms.div_euclid(1_000))
            .map_or_else(|_| String::new(), |t| t.to_string()),
        Value::Day(days) => day_text(*days),
    }
}

/// `2025-03-01`.
#[must_use]
pub fn day_text(days: i32) -> String {
    let second = i64::from(days) * 86_400;
    jiff::Timestamp::from_second(second)
        .map_or_else(|_| String::new(), |t| t.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

/// A scaled number, without trailing zeros.
#[must_use]
pub fn decimal(scaled: i128, digits: usize) -> String {
    let unit = 10_u128.pow(u32::try_from(digits).unwrap_or(0));
    let size = scaled.unsigned_abs();
    let sign = if scaled < 0 { "-" } else { "" };
    let fraction = format!("{:0digits$}", size % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", size / unit)
}

/// A row as a body of its own; see [`super::represent`].
#[must_use]
pub fn represent(
    world: &World,
    table: usize,
    row: &Row,
    select: Option<&str>,
    annotations: bool,
) -> Vec<u8> {
    let def = &world.schema.tables[table];
    let known = |name: &&str| {
        *name == "*"
            || def
                .by_property
                .get(*name)
                .is_some_and(|p| !matches!(p, Property::Collection(_) | Property::CollectionBind))
    };
    let select = select.map(|s| s.split(',').map(str::trim).filter(known).collect::<Vec<_>>());
    let options = Options {
        select: select.filter(|names| !names.is_empty()).map(|names| names.join(",")),
        ..Options::default()
    };
    let Ok(shape) = shape(world, table, &options) else { return Vec::new() };
    let context = format!("{}/$metadata#{}{}/$entity", world.base(), def.set, shape.context());
    let annotations = if annotations { Annotations::all() } else { Annotations::default() };
    let mut out = Vec::with_capacity(512);
    write_row(world, &mut out, table, row, &shape, &annotations, Some(&context));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        let cases = [
            (15_000_000_000, 10, "1.5"),
            (-1, 10, "-0.0000000001"),
            (20_000, 4, "2"),
            (0, 4, "0"),
            (-12_345, 4, "-1.2345"),
        ];
        for (scaled, digits, want) in cases {
            assert_eq!(decimal(scaled, digits), want);
        }
    }
}
