//! Pure: lookups. A value becomes `"nav@odata.bind":"/set(…)"` by GUID, alternate key, or the
//! key of a row loaded earlier in the same job.
//!
//! Source: `dataverse-web-api.md` §4.4, §4.5.

use super::buffer::{Fixed, RowBuffer};
use super::cell::Cell;
use super::convert::{Converter, guid};
use super::literal::write_text_literal;
use super::refusal::{Read, Refusal, shown};
use crate::catalog::model::{Catalog, Column, ColumnKind, LookupTarget, Table};
use crate::config::job::{ColumnMapping, LookupBy, LookupRule, LookupVia, TableLoad};
use crate::record::key::TableId;
use crate::record::prepared::key_hash;
use crate::record::staged::{Found, StagedRows};

/// Writes one value of an alternate key into a URL.
#[derive(Clone, Debug)]
pub struct KeyValue {
    converter: Converter,
}

impl KeyValue {
    /// For key column `column`, read like `mapping`.
    ///
    /// # Errors
    /// If the column's type cannot be part of a key.
    pub fn new(column: &Column, mapping: &ColumnMapping) -> Result<Self, String> {
        match column.kind {
            ColumnKind::Text { .. }
            | ColumnKind::Integer { .. }
            | ColumnKind::BigInt
            | ColumnKind::Decimal { .. }
            | ColumnKind::DateTime(_)
            | ColumnKind::Choice(_)
            | ColumnKind::Guid => Ok(Self { converter: Converter::new(&column.kind, mapping)? }),
            _ => Err(format!(
                "column {} has a type that cannot address a row by key",
                column.logical_name
            )),
        }
    }

    /// Appends the literal: texts quoted, everything else bare.
    pub(super) fn write(&self, cell: Cell<'_>, out: &mut RowBuffer) -> Read {
        let start = out.len();
        if let Converter::Text(rule) = &self.converter {
            let text = cell.scalar()?;
            if text.len() > rule.max_length as usize {
                // Lets the rule count, and say what is too long.
                self.converter.write(cell, out)?;
                out.truncate(start);
            }
            return write_text_literal(text, out);
        }
        self.converter.write(cell, out)?;
        if out.as_slice()[start] == b'"' {
            out.remove(start);
            out.truncate(out.len() - 1);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum By {
    Id,
    Staged(TableId, String),
    Key { prefix: String, value: KeyValue },
}

#[derive(Clone, Debug)]
struct Target {
    table: String,
    by: By,
    /// `,"nav@odata.bind":"/set(`.
    prefix: Fixed,
}

/// Finds the rows one lookup column refers to.
#[derive(Clone, Debug)]
pub struct LookupOp {
    targets: Vec<Target>,
    /// `,"nav@odata.bind":null`.
    pub(super) null: String,
}

/// What one way of finding a row came to.
enum Way {
    Written,
    Refused(String),
    Unknown(String),
}

impl LookupOp {
    /// For a lookup column leading to `allowed`, found by `rule` (by GUID without one).
    ///
    /// # Errors
    /// Says which target or key cannot be used.
    pub fn new(
        allowed: &[LookupTarget],
        mapping: &ColumnMapping,
        loads: &[TableLoad],
        catalog: &Catalog,
    ) -> Result<Self, String> {
        let names = || allowed.iter().map(|t| t.table.as_str()).collect::<Vec<_>>().join(", ");
        let by_id;
        let rule = match (&mapping.lookup, allowed) {
            (Some(rule), _) => rule,
            (None, [only]) => {
                let via = LookupVia { table: only.table.clone(), by: LookupBy::Id };
                by_id = LookupRule { targets: vec![via], type_column: None };
                &by_id
            }
            (None, _) => return Err(format!("say which of {} it leads to, and how", names())),
        };
        let mut targets = Vec::new();
        for via in &rule.targets {
            let target = allowed.iter().find(|t| t.table == via.table).ok_or_else(|| {
                format!("does not lead to table {}; it leads to {}", via.table, names())
            })?;
            targets.push(Target {
                table: via.table.clone(),
                by: By::new(via, mapping, loads, catalog)?,
                prefix: Fixed::new(
                    format!(
                        ",\"{}@odata.bind\":\"/{}(",
                        target.navigation_property, target.entity_set
                    )
                    .as_bytes(),
                ),
            });
        }
        let Some(first) = rule.targets.first() else {
            return Err("names no target table".into());
        };
        let nav = allowed
            .iter()
            .find(|t| t.table == first.table)
            .map_or("", |t| t.navigation_property.as_str());
        Ok(Self { targets, null: format!(",\"{nav}@odata.bind\":null") })
    }

    /// Whether a staged row may be asked for.
    #[must_use]
    pub fn needs_staged(&self) -> bool {
        self.targets.iter().any(|t| matches!(t.by, By::Staged(..)))
    }

    /// Whether the id is always known, as an address needs it.
    #[must_use]
    pub fn gives_ids(&self) -> bool {
        !self.targets.iter().any(|t| matches!(t.by, By::Key { .. }))
    }

    /// Appends the whole member when `text` is a lower-case GUID, all the only target asks for;
    /// else does nothing.
    #[inline]
    pub(super) fn write_by_id(&self, text: &[u8], out: &mut RowBuffer) -> bool {
        let [Target { by: By::Id, prefix, .. }] = self.targets.as_slice() else { return false };
        if !guid::is_lower(text) {
            return false;
        }
        out.extend_fixed(prefix);
        out.extend_from_slice(text);
        out.extend_from_slice(b")\"");
        true
    }

    /// Appends the whole member. `table` is the value of the type column, if there is one.
    pub(super) fn write(
        &self,
        text: &[u8],
        table: Option<&[u8]>,
        staged: &dyn StagedRows,
        out: &mut RowBuffer,
    ) -> Read {
        self.find(text, table, staged, out, true)
    }

    /// Appends the bare id.
    pub(super) fn write_id(
        &self,
        text: &[u8],
        table: Option<&[u8]>,
        staged: &dyn StagedRows,
        out: &mut RowBuffer,
    ) -> Read {
        self.find(text, table, staged, out, false)
    }

    fn find(
        &self,
        text: &[u8],
        table: Option<&[u8]>,
        staged: &dyn StagedRows,
        out: &mut RowBuffer,
        member: bool,
    ) -> Read {
        let mut refused = None;
        let mut unknown = Vec::new();
        let mut tried = false;
        for target in &self.targets {
            if table.is_some_and(|t| !t.eq_ignore_ascii_case(target.table.as_bytes())) {
                continue;
            }
            tried = true;
            let start = out.len();
            if member {
                out.extend_fixed(&target.prefix);
            }
            match target.by.write(text, staged, out)? {
                Way::Written => {
                    if member {
                        out.extend_from_slice(b")\"");
                    }
                    return Ok(());
                }
                Way::Refused(load) => {
                    refused.get_or_insert(load);
                }
                Way::Unknown(load) => unknown.push(load),
            }
            out.truncate(start);
        }
        if !tried {
            let names: Vec<&str> = self.targets.iter().map(|t| t.table.as_str()).collect();
            return Err(Refusal::reference(
                "DV0313",
                format!(
                    "{} is not a table this lookup is mapped to; mapped are {}",
                    shown(table.unwrap_or_default()),
                    names.join(", ")
                ),
            ));
        }
        Err(match refused {
            Some(load) => Refusal::reference(
                "DV0309",
                format!(
                    "the row {} of {load} it refers to was refused; mend that one first",
                    shown(text)
                ),
            ),
            None => Refusal::reference(
                "DV0308",
                format!(
                    "no row with key {} was read for {}; check the key, or load that row first",
                    shown(text),
                    unknown.join(" or ")
                ),
            ),
        })
    }
}

impl By {
    fn new(
        via: &LookupVia,
        mapping: &ColumnMapping,
        loads: &[TableLoad],
        catalog: &Catalog,
    ) -> Result<Self, String> {
        match &via.by {
            LookupBy::Id => Ok(Self::Id),
            LookupBy::Staged(name) => {
                let index = loads
                    .iter()
                    .position(|l| l.name == *name)
                    .ok_or_else(|| format!("no load of this job is called {name:?}"))?;
                if loads[index].table != via.table {
                    return Err(format!(
                        "load {name:?} fills table {}, not {}",
                        loads[index].table, via.table
                    ));
                }
                let id = u16::try_from(index).map_err(|_| "too many loads".to_owned())?;
                Ok(Self::Staged(TableId(id), name.clone()))
            }
            LookupBy::Key(name) => {
                let table = catalog
                    .table(&via.table)
                    .ok_or_else(|| format!("table {} is not in the environment", via.table))?;
                let column = key_column(table, name)?;
                let plain = ColumnMapping {
                    truncate: false,
                    date_format: None,
                    time_zone: None,
                    ..mapping.clone()
                };
                Ok(Self::Key {
                    prefix: format!("{}=", column.logical_name),
                    value: KeyValue::new(column, &plain)?,
                })
            }
        }
    }

    fn write(&self, text: &[u8], staged: &dyn StagedRows, out: &mut RowBuffer) -> Read<Way> {
        match self {
            Self::Id => out.extend_from_slice(&guid::read(text)?),
            Self::Key { prefix, value } => {
                out.extend_from_slice(prefix.as_bytes());
                value.write(Cell::text(text), out)?;
            }
            Self::Staged(load, name) => match staged.find(*load, key_hash(text), text) {
                Found::Id(id) => {
                    let mut buffer = [0; 36];
                    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
                }
                Found::Refused => return Ok(Way::Refused(name.clone())),
                Found::Unknown => return Ok(Way::Unknown(name.clone())),
            },
        }
        Ok(Way::Written)
    }
}

/// The one column of the key called `name`, or of the key made of column `name`.
fn key_column<'t>(table: &'t Table, name: &str) -> Result<&'t Column, String> {
    let key = table
        .key(name)
        .or_else(|| table.keys.iter().find(|k| k.columns == [name]))
        .ok_or_else(|| format!("table {} has no alternate key {name:?}", table.logical_name))?;
    if !key.is_active {
        return Err(format!(
            "alternate key {} of {} is not active yet; wait for its index or repair it",
            key.name, table.logical_name
        ));
    }
    let [column] = key.columns.as_slice() else {
        return Err(format!(
            "alternate key {} of {} has {} columns; lookups can use keys of one column",
            key.name,
            table.logical_name,
            key.columns.len()
        ));
    };
    table
        .column(column)
        .ok_or_else(|| format!("table {} has no column {column:?}", table.logical_name))
}
