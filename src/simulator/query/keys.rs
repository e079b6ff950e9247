//! Pure: rows named by a key in parentheses.

use super::World;
use super::lex::{Literal, Token, literal, tokens};
use super::refuse::{bad_key, bad_query, missing_key, missing_row};
use super::scalar::{Constant, as_value, bind};
use super::url::split_outside;
use crate::simulator::call::Refusal;
use crate::simulator::keys::{enforced, key_text};
use crate::simulator::schema::{ColumnType, Storage, TableDef};
use crate::simulator::store::Row;
use crate::simulator::value::Value;
use uuid::Uuid;

/// One part of a key.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyValue {
    /// Name as sent; `None` for a bare value.
    pub name: Option<String>,
    /// Value.
    pub literal: Literal,
}

/// Reads the text between the parentheses, decoded.
///
/// # Errors
/// 400 when it is no list of values.
///
/// Source: `dataverse-web-api.md` §4.4.
pub fn key_values(args: &str) -> Result<Vec<KeyValue>, Refusal> {
    let bad = || bad_query(format!("Bad Request - Error in query syntax: '({args})'."));
    let mut out = Vec::new();
    for part in split_outside(args, ',') {
        let mut words = tokens(part)?;
        let value = match words.pop() {
            Some(Token::Text(text)) => Literal::Text(text),
            Some(Token::Word(word)) => literal(&word).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        let name = match words.as_slice() {
            [] => None,
            [Token::Word(name), Token::Equals] => Some(name.clone()),
            _ => return Err(bad()),
        };
        out.push(KeyValue { name, literal: value });
    }
    Ok(out)
}

/// What a key names.
#[derive(Clone, PartialEq, Debug)]
enum Named {
    Id(Uuid),
    Partitioned(Uuid, String),
    Alternate(usize),
}

/// The row a key names; `partition` is the `partitionId` option.
///
/// # Errors
/// 400 for columns that are no usable key or values that do not fit, 404 `0x80040217` or
/// `0x80060891` when no row has the key.
///
/// Source: `dataverse-web-api.md` §4.4, §6, §12 rows 28, 31, 32, 36, 41.
pub fn locate<'a>(
    world: &World<'a>,
    table: usize,
    args: &str,
    partition: Option<&str>,
) -> Result<&'a Row, Refusal> {
    let def = &world.schema.tables[table];
    let values = key_values(args)?;
    match named(def, &values)? {
        Named::Id(id) => by_id(world, table, id, partition),
        Named::Partitioned(id, partition) => by_id(world, table, id, Some(&partition)),
        Named::Alternate(key) => {
            let mut wanted = Vec::new();
            for &column in &def.keys[key].columns {
                let sent = values.iter().find(|v| {
                    v.name.as_deref().is_some_and(|n| key_column(def, n) == Some(column))
                });
                let literal = &sent.ok_or_else(|| bad_key(&def.name))?.literal;
                if let Literal::Text(text) = literal
                    && text.contains(['/', '<', '>', '*', '%', '&', ':', '\\', '?', '+'])
                {
                    return Err(Refusal {
                        status: world.settings.key_characters_status,
                        ..bad_query(
                            "A potentially dangerous Request.Path value was detected from the \
                             client.",
                        )
                    });
                }
                let constant = bind(&def.columns[column], literal).ok_or_else(|| {
                    bad_query(format!(
                        "The value of key column '{}' does not fit its type.",
                        def.columns[column].name
                    ))
                })?;
                wanted.push((column, constant));
            }
            by_key(world, table, key, &wanted).ok_or_else(|| missing_key(&def.name))
        }
    }
}

/// Place of the row with these values of an active alternate key, from its index.
#[must_use]
pub fn place_by_key(
    world: &World,
    table: usize,
    key: usize,
    wanted: &[(usize, Constant)],
) -> Option<usize> {
    let def = &world.schema.tables[table];
    let mut values = Vec::with_capacity(wanted.len());
    for (column, constant) in wanted {
        values.push((*column, as_value(&def.columns[*column], constant)?));
    }
    let text = key_text(&def.keys[key], |column| {
        values.iter().find(|(c, _)| *c == column).map_or(&Value::Null, |(_, value)| value)
    })?;
    world.store.tables[table].by_key.get(key)?.get(&text).copied()
}

fn by_key<'a>(
    world: &World<'a>,
    table: usize,
    key: usize,
    wanted: &[(usize, Constant)],
) -> Option<&'a Row> {
    let place = place_by_key(world, table, key, wanted)?;
    world.store.tables[table].row(place)
}

/// The row with a primary key.
///
/// # Errors
/// 404 `0x80040217`.
pub fn by_id<'a>(
    world: &World<'a>,
    table: usize,
    id: Uuid,
    partition: Option<&str>,
) -> Result<&'a Row, Refusal> {
    let def = &world.schema.tables[table];
    let row = if def.storage == Storage::Elastic {
        world
            .store
            .place_in_partition(table, id, partition)
            .and_then(|place| world.store.tables[table].row(place))
    } else {
        world.store.row(table, id)
    };
    row.ok_or_else(|| missing_row(&def.name, id))
}

/// The column a name in a key means; lookups go by `_x_value`.
fn key_column(def: &TableDef, name: &str) -> Option<usize> {
    if let Some(column) = name.strip_prefix('_').and_then(|n| n.strip_suffix("_value")) {
        let column = def.column(column)?;
        return matches!(def.columns[column].kind, ColumnType::Lookup { .. }).then_some(column);
    }
    let column = def.column(name)?;
    (!matches!(def.columns[column].kind, ColumnType::Lookup { .. })).then_some(column)
}

fn named(def: &TableDef, values: &[KeyValue]) -> Result<Named, Refusal> {
    let bad = || bad_key(&def.name);
    // Users and teams share the abstract key `ownerid`.
    let own = match def.name.as_str() {
        "systemuser" | "team" => "ownerid",
        _ => def.primary_id().name.as_str(),
    };
    if let [KeyValue { name, literal }] = values
        && name.as_deref().is_none_or(|n| n == own)
    {
        return match literal {
            Literal::Guid(id) => Ok(Named::Id(*id)),
            _ => Err(bad_query(format!(
                "Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx): \
                 key of '{}'.",
                def.name
            ))),
        };
    }
    if def.storage == Storage::Elastic {
        let find = |n: &str| values.iter().find(|v| v.name.as_deref() == Some(n));
        return match (values.len(), find(own), find("partitionid")) {
            (
                2,
                Some(KeyValue { literal: Literal::Guid(id), .. }),
                Some(KeyValue { literal: Literal::Text(partition), .. }),
            ) => Ok(Named::Partitioned(*id, partition.clone())),
            _ => Err(bad()),
        };
    }
    let mut columns = Vec::new();
    for value in values {
        let name = value.name.as_deref().ok_or_else(bad)?;
        columns.push(key_column(def, name).ok_or_else(bad)?);
    }
    columns.sort_unstable();
    def.keys
        .iter()
        .position(|key| {
            let mut own = key.columns.clone();
            own.sort_unstable();
            enforced(key) && own == columns
        })
        .map(Named::Alternate)
        .ok_or_else(bad)
}
