//! Pure: `$select` and `$filter` over rows that exist as JSON only.

use crate::simulator::call::Refusal;
use crate::simulator::query::filter::{self, Argument, Comparison, Expr, Operand, TextTest};
use crate::simulator::query::lex::Literal;
use crate::simulator::query::refuse::{bad_query, unknown_property};
use crate::simulator::query::url::Options;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Properties whose values are members of enumerations.
const ENUMS: [&str; 7] = [
    "OwnershipType",
    "AttributeType",
    "RelationshipType",
    "EntityKeyIndexStatus",
    "OptionSetType",
    "RequiredLevel/Value",
    "SecurityTypes",
];

/// A constant as text, for keys.
#[must_use]
pub fn text_of(literal: &Literal) -> String {
    match literal {
        Literal::Null => String::new(),
        Literal::Bool(b) => b.to_string(),
        Literal::Guid(id) => id.to_string(),
        Literal::Text(t)
        | Literal::Number(t)
        | Literal::Date(t)
        | Literal::DateTime(t)
        | Literal::Enum(_, t) => t.clone(),
    }
}

/// Keeps the selected properties and `always`.
///
/// # Errors
/// 400 for an unknown property.
pub fn keep_selected(
    mut full: Map<String, Value>,
    select: &str,
    kind: &str,
    always: &str,
) -> Result<Map<String, Value>, Refusal> {
    let mut out = Map::new();
    for name in select.split(',').map(str::trim).chain([always]) {
        if name == "*" {
            return Ok(full);
        }
        match full.remove_entry(name) {
            Some((name, value)) => {
                out.insert(name, value);
            }
            None if out.contains_key(name) || name.is_empty() => {}
            None => return Err(unknown_property(name, kind)),
        }
    }
    Ok(out)
}

/// Whether `row` passes `test`. With `rows_of_data`, texts compare without case and the text
/// functions work, as on tables; without, as on definitions.
///
/// # Errors
/// 400 for unknown properties and types that do not fit, 501 for text functions on definitions.
///
/// Source: `dataverse-web-api.md` §8.1, §13.
pub fn holds(test: &Expr, row: &Value, kind: &str, rows_of_data: bool) -> Result<bool, Refusal> {
    let again = |e: &Expr| holds(e, row, kind, rows_of_data);
    Ok(match test {
        Expr::Constant(b) => *b,
        // Both sides are looked at, so that a bad name is refused whatever the row holds.
        Expr::And(parts) => {
            parts.iter().try_fold(true, |all, e| Ok::<_, Refusal>(again(e)? && all))?
        }
        Expr::Or(parts) => {
            parts.iter().try_fold(false, |any, e| Ok::<_, Refusal>(again(e)? || any))?
        }
        Expr::Not(inner) => !again(inner)?,
        Expr::Flag(path) => match get(row, path, kind)? {
            Value::Bool(b) => *b,
            _ => return Err(bad_query(format!("'{path}' is not a Boolean."))),
        },
        Expr::Compare(op, Operand::Path(path), Operand::Literal(literal)) => {
            compare(*op, path, get(row, path, kind)?, literal, rows_of_data)?
        }
        Expr::Compare(op, Operand::Literal(literal), Operand::Path(path)) => {
            compare(op.swapped(), path, get(row, path, kind)?, literal, rows_of_data)?
        }
        Expr::Text(op, path, text) if rows_of_data => {
            let own = get(row, path, kind)?.as_str().unwrap_or_default().to_lowercase();
            let text = text.to_lowercase();
            match op {
                TextTest::Contains => own.contains(&text),
                TextTest::StartsWith => own.starts_with(&text),
                TextTest::EndsWith => own.ends_with(&text),
            }
        }
        Expr::Query(name, arguments) if rows_of_data && name == "In" => {
            let find = |n: &str| arguments.iter().find(|(name, _)| name == n).map(|(_, v)| v);
            let (Some(Argument::One(Literal::Text(property))), Some(Argument::Many(values))) =
                (find("PropertyName"), find("PropertyValues"))
            else {
                return Err(bad_query("In needs PropertyName and PropertyValues."));
            };
            let own = match get(row, property, kind)? {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            values.iter().any(|v| v.eq_ignore_ascii_case(&own))
        }
        Expr::Text(..) => {
            return Err(Refusal::new(
                501,
                0x8006_0888,
                "The function is not implemented for metadata queries.",
            ));
        }
        _ => return Err(bad_query("The expression is not supported in this query.")),
    })
}

fn get<'a>(row: &'a Value, path: &str, kind: &str) -> Result<&'a Value, Refusal> {
    let mut value = row;
    for step in path.split('/') {
        if value.is_null() {
            return Ok(value);
        }
        value = value.get(step).ok_or_else(|| unknown_property(path, kind))?;
    }
    Ok(value)
}

fn compare(
    op: Comparison,
    path: &str,
    own: &Value,
    literal: &Literal,
    fold: bool,
) -> Result<bool, Refusal> {
    let mismatch = || {
        bad_query(format!(
            "A binary operator with incompatible types was detected for '{path}' and '{}'.",
            text_of(literal)
        ))
    };
    if *literal == Literal::Null {
        return Ok(op.holds(if own.is_null() { Ordering::Equal } else { Ordering::Greater }));
    }
    // Microsoft's Python SDK writes the type of a column as plain text.
    let fits = match literal {
        Literal::Enum(..) => ENUMS.contains(&path),
        Literal::Text(_) if path == "AttributeType" => true,
        _ => !ENUMS.contains(&path),
    };
    if !fits {
        return Err(mismatch());
    }
    let order = match (own, literal) {
        (Value::Null, _) => return Ok(op == Comparison::Ne),
        (Value::Bool(own), Literal::Bool(b)) => own.cmp(b),
        (Value::Number(own), Literal::Number(text)) => {
            let (Some(own), Ok(wanted)) = (own.as_f64(), text.parse::<f64>()) else {
                return Err(mismatch());
            };
            own.partial_cmp(&wanted).unwrap_or(Ordering::Less)
        }
        (Value::String(own), Literal::Guid(id)) => own.to_ascii_lowercase().cmp(&id.to_string()),
        (Value::String(own), Literal::Text(text)) if fold => {
            own.to_lowercase().cmp(&text.to_lowercase())
        }
        (Value::String(own), Literal::Text(text) | Literal::Enum(_, text)) => own.cmp(text),
        (Value::String(own), Literal::DateTime(text) | Literal::Date(text)) => own.cmp(text),
        _ => return Err(mismatch()),
    };
    Ok(op.holds(order))
}

/// Applies `$filter`, `$top` and `$select` to rows of data that exist as JSON only; `id` is the
/// primary key.
///
/// # Errors
/// As [`holds`].
pub fn collection(
    rows: impl Iterator<Item = Value>,
    kind: &str,
    id: &str,
    options: &Options,
) -> Result<Vec<Value>, Refusal> {
    let test = match &options.filter {
        Some(text) => Some(filter::parse(text, &options.aliases)?),
        None => None,
    };
    let mut out = Vec::new();
    for row in rows {
        if let Some(test) = &test
            && !holds(test, &row, kind, true)?
        {
            continue;
        }
        if options.top.is_some_and(|top| out.len() >= top) {
            break;
        }
        out.push(project_row(row, kind, id, options)?);
    }
    Ok(out)
}

/// Applies `$select` and `$expand` to one such row. Objects in a row are its lookups.
///
/// # Errors
/// 400 for unknown properties.
pub fn project_row(row: Value, kind: &str, id: &str, options: &Options) -> Result<Value, Refusal> {
    let Value::Object(mut full) = row else { return Ok(row) };
    let lookups: Vec<String> =
        full.iter().filter(|(_, v)| v.is_object()).map(|(k, _)| k.clone()).collect();
    let lookups: Vec<_> = lookups.into_iter().filter_map(|k| full.remove_entry(&k)).collect();
    let mut out = match &options.select {
        Some(select) => keep_selected(full, select, kind, id)?,
        None => full,
    };
    for part in options.expand.iter().flat_map(|e| super::super::query::url::split_outside(e, ','))
    {
        let (name, inner) = part.trim().split_once('(').unwrap_or((part.trim(), ")"));
        let Some((name, Value::Object(target))) = lookups.iter().find(|(n, _)| n == name) else {
            return Err(unknown_property(name, kind));
        };
        let inner = super::super::query::url::nested_options(
            inner.trim_end().strip_suffix(')').unwrap_or(inner),
            &options.aliases,
        )?;
        let target_id = format!("{name}id").replace("idid", "id");
        let value = match &inner.select {
            Some(select) => keep_selected(target.clone(), select, name, &target_id)?,
            None => target.clone(),
        };
        out.insert(name.clone(), Value::Object(value));
    }
    Ok(Value::Object(out))
}
