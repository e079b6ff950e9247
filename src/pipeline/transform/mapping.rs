//! Pure: from the mapping of a job file and the target's metadata to the program that converts
//! rows. Everything that can be decided once is decided here: names, prefixes, constants,
//! defaults, and whether the mapping can work at all.

use super::buffer::{Fixed, RowBuffer};
use super::cell::Cell;
use super::convert::Converter;
use super::convert::text::TextRule;
use super::lookup::{KeyValue, LookupOp};
use super::refusal::Read;
use crate::catalog::model::{Catalog, Column, ColumnKind, Required, Table};
use crate::config::job::{ColumnMapping, IdRule, TableLoad, ValueSource, WhenEmpty};
use crate::record::chunk::RecordFormat;
use crate::record::outcome::Operation;
use crate::record::staged::{NothingStaged, StagedRows};
use hashbrown::HashMap;
use std::fmt;

/// Something about a mapping that cannot work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappingFinding {
    /// Target column, when it is about one.
    pub target: Option<String>,
    /// What is wrong, and the way out.
    pub message: String,
}

impl fmt::Display for MappingFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "column {target}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// How records become rows of one load.
#[derive(Clone, Debug)]
pub struct RowProgram {
    pub(super) shape: Shape,
    /// Slot of the source key.
    pub(super) key: usize,
    pub(super) key_name: String,
    /// Slot of the row id, and its source column.
    pub(super) id: Option<(usize, String)>,
    /// Members equal in all rows, each behind a comma.
    pub(super) constants: Vec<u8>,
    pub(super) columns: Vec<ColumnOp>,
    pub(super) address: Vec<AddressOp>,
}

/// How records are taken apart.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Delimited { delimiter: u8, quote: u8, columns: usize },
    Json { names: HashMap<Box<[u8]>, usize>, slots: usize },
}

/// Where a value is.
#[derive(Clone, Debug)]
pub(super) enum From {
    Slot(usize),
    Constant(Box<[u8]>),
}

/// Writes one member.
#[derive(Clone, Debug)]
pub(super) struct ColumnOp {
    pub(super) target: String,
    pub(super) from: From,
    pub(super) value: ValueOp,
    pub(super) default: Option<Default>,
    /// Written for an empty value; `None` sends nothing.
    pub(super) null: Option<Vec<u8>>,
    /// Refuse the row when nothing would be sent.
    pub(super) refuse_absent: bool,
    /// Refuse the row when `null` would be sent.
    pub(super) refuse_null: bool,
}

#[derive(Clone, Debug)]
pub(super) enum ValueOp {
    /// `,"name":"`, the text, and a quote: most columns of most tables.
    Text { prefix: Fixed, rule: TextRule },
    /// `,"name":` and the value.
    Plain { prefix: Fixed, converter: Converter },
    /// The whole member; slot of the type column.
    Lookup { op: LookupOp, table: Option<usize> },
}

/// Stands in for an empty value.
#[derive(Clone, Debug)]
pub(super) enum Default {
    /// The whole member.
    Member(Vec<u8>),
    /// Must be looked up for each row.
    Text(Box<[u8]>),
}

/// Writes one column of the alternate key that addresses the row.
#[derive(Clone, Debug)]
pub(super) struct AddressOp {
    pub(super) target: String,
    pub(super) from: From,
    /// `name=`.
    pub(super) prefix: String,
    pub(super) value: AddressValue,
    pub(super) default: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum AddressValue {
    Key(KeyValue),
    Lookup { op: LookupOp, table: Option<usize> },
}

/// Gives source columns their slots.
struct Slots<'h> {
    header: Option<&'h [String]>,
    names: Vec<String>,
}

impl Slots<'_> {
    fn slot(&mut self, name: &str) -> Result<usize, String> {
        if let Some(header) = self.header {
            return header.iter().position(|h| h == name).ok_or_else(|| {
                format!("the source has no column {name:?}; its header names {}", list(header))
            });
        }
        Ok(self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }))
    }

    fn from(&mut self, source: &ValueSource) -> Result<From, String> {
        Ok(match source {
            ValueSource::Column(name) => From::Slot(self.slot(name)?),
            ValueSource::Constant(text) => From::Constant(text.as_bytes().into()),
        })
    }

    fn table_slot(&mut self, mapping: &ColumnMapping) -> Result<Option<usize>, String> {
        mapping
            .lookup
            .as_ref()
            .and_then(|l| l.type_column.as_ref())
            .map(|c| self.slot(c))
            .transpose()
    }
}

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 12 {
        text.push_str(", …");
    }
    text
}

impl RowProgram {
    /// The program of `load`, one of the job's `loads`, for records written in `format` (each
    /// file of a glob has its own header, and so its own program).
    ///
    /// # Errors
    /// Everything about the mapping that cannot work, not just the first thing.
    pub fn compile(
        load: &TableLoad,
        loads: &[TableLoad],
        catalog: &Catalog,
        format: &RecordFormat,
    ) -> Result<Self, Vec<MappingFinding>> {
        let Some(table) = catalog.table(&load.table) else {
            return Err(vec![MappingFinding {
                target: None,
                message: format!("the environment has no table {:?}", load.table),
            }]);
        };
        let mut compiler = Compiler {
            load,
            loads,
            catalog,
            table,
            slots: Slots {
                header: match format {
                    RecordFormat::Delimited { header, .. } => Some(header),
                    RecordFormat::Json => None,
                },
                names: Vec::new(),
            },
            key_columns: Vec::new(),
            findings: Vec::new(),
        };
        let program = compiler.run(format);
        match program {
            Some(program) if compiler.findings.is_empty() => Ok(program),
            _ => Err(compiler.findings),
        }
    }
}

impl RowProgram {
    /// Bytes of members a row has besides its values; an estimate that is rarely too low.
    pub(super) fn fixed_bytes(&self) -> usize {
        self.constants.len() + self.columns.iter().map(|c| c.value.fixed_bytes()).sum::<usize>()
    }
}

struct Compiler<'a> {
    load: &'a TableLoad,
    loads: &'a [TableLoad],
    catalog: &'a Catalog,
    table: &'a Table,
    slots: Slots<'a>,
    /// Columns of the alternate key that addresses rows.
    key_columns: Vec<String>,
    findings: Vec<MappingFinding>,
}

impl Compiler<'_> {
    fn note<T>(&mut self, target: Option<&str>, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|message| {
                self.findings.push(MappingFinding { target: target.map(str::to_owned), message });
            })
            .ok()
    }

    fn run(&mut self, format: &RecordFormat) -> Option<RowProgram> {
        let key = self.slots.slot(&self.load.key);
        let key = self.note(None, key.map_err(|e| format!("key: {e}")));
        let id = match &self.load.ids {
            IdRule::Column(name) => {
                let slot = self.slots.slot(name).map_err(|e| format!("ids: {e}"));
                self.note(None, slot).map(|slot| (slot, name.clone()))
            }
            IdRule::AlternateKey(name) => {
                let columns = self.key_of_rows(name);
                self.key_columns = self.note(None, columns).unwrap_or_default();
                None
            }
            IdRule::Pinned | IdRule::Dataverse => None,
        };
        let (mut constants, mut columns, mut address) = (Vec::new(), Vec::new(), Vec::new());
        for (i, mapping) in self.load.columns.iter().enumerate() {
            let target = mapping.target.as_str();
            if self.load.columns[..i].iter().any(|m| m.target == target) {
                self.note::<()>(Some(target), Err("mapped twice; remove one".into()));
                continue;
            }
            let result = if self.key_columns.iter().any(|k| k == target) {
                self.address(mapping).map(|op| address.push(op))
            } else {
                self.column(mapping).and_then(|op| match op.constant() {
                    Some(member) => {
                        constants.extend_from_slice(&member?);
                        Ok(())
                    }
                    None => {
                        columns.push(op);
                        Ok(())
                    }
                })
            };
            self.note(Some(target), result);
        }
        for key_column in std::mem::take(&mut self.key_columns) {
            if !self.load.columns.iter().any(|m| m.target == key_column) {
                let message = "part of the alternate key that addresses the rows, but not mapped";
                self.note::<()>(Some(&key_column), Err(message.into()));
            }
        }
        let shape = match format {
            RecordFormat::Delimited { delimiter, quote, header } => {
                Shape::Delimited { delimiter: *delimiter, quote: *quote, columns: header.len() }
            }
            RecordFormat::Json => {
                let names = &self.slots.names;
                Shape::Json {
                    slots: names.len(),
                    names: names
                        .iter()
                        .enumerate()
                        .map(|(i, n)| (n.as_bytes().into(), i))
                        .collect(),
                }
            }
        };
        let key_name = self.load.key.clone();
        Some(RowProgram { shape, key: key?, key_name, id, constants, columns, address })
    }

    fn key_of_rows(&self, name: &str) -> Result<Vec<String>, String> {
        let key = self
            .table
            .key(name)
            .ok_or_else(|| format!("table {} has no alternate key {name:?}", self.load.table))?;
        if !key.is_active {
            return Err(format!(
                "alternate key {name:?} is not active yet; wait for its index or repair it"
            ));
        }
        Ok(key.columns.clone())
    }

    /// The column a mapping names, if this load may write it.
    fn writable(&self, mapping: &ColumnMapping) -> Result<&Column, String> {
        let table = self.table;
        let column = table
            .column(&mapping.target)
            .ok_or_else(|| format!("table {} has no such column", table.logical_name))?;
        if mapping.target == table.primary_id {
            return Err("holds the row's id; set it by `ids`, not by a mapping".into());
        }
        let valid = match self.load.operation {
            Operation::Create => column.valid_for_create,
            Operation::Update => column.valid_for_update,
            Operation::Upsert => column.valid_for_create || column.valid_for_update,
            // Part of an elastic row's identity.
            Operation::Delete => mapping.target == "partitionid",
        };
        if !valid {
            return Err(format!("cannot be set by {}; remove it", self.load.operation.word()));
        }
        if mapping.lookup.is_some() && !matches!(column.kind, ColumnKind::Lookup(_)) {
            return Err("is no lookup; remove its lookup rule".into());
        }
        Ok(column)
    }

    fn lookup(&self, mapping: &ColumnMapping, column: &Column) -> Option<Result<LookupOp, String>> {
        match &column.kind {
            ColumnKind::Lookup(allowed) => {
                Some(LookupOp::new(allowed, mapping, self.loads, self.catalog))
            }
            _ => None,
        }
    }

    fn column(&mut self, mapping: &ColumnMapping) -> Result<ColumnOp, String> {
        let column = self.writable(mapping)?.clone();
        let (value, null) = match self.lookup(mapping, &column) {
            Some(op) => {
                let op = op?;
                let null = op.null.clone().into_bytes();
                (ValueOp::Lookup { op, table: self.slots.table_slot(mapping)? }, null)
            }
            None => {
                let prefix = format!(",\"{}\":", mapping.target).into_bytes();
                let null = [&prefix[..], b"null"].concat();
                let value = match Converter::new(&column.kind, mapping)? {
                    Converter::Text(rule) => {
                        ValueOp::Text { prefix: Fixed::new(&[&prefix[..], b"\""].concat()), rule }
                    }
                    converter => ValueOp::Plain { prefix: Fixed::new(&prefix), converter },
                };
                (value, null)
            }
        };
        let default = mapping
            .default
            .as_ref()
            .filter(|d| !d.is_empty())
            .map(|text| {
                if value.needs_staged() {
                    return Ok(Default::Text(text.as_bytes().into()));
                }
                let mut member = RowBuffer::default();
                value
                    .write(Cell::text(text.as_bytes()), None, &NothingStaged, &mut member)
                    .map_err(|r| format!("default: {}", r.text))?;
                Ok::<_, String>(Default::Member(member.as_slice().to_vec()))
            })
            .transpose()?;
        let required = column.required == Required::System && !has_server_default(&column);
        Ok(ColumnOp {
            target: mapping.target.clone(),
            from: self.slots.from(&mapping.from)?,
            value,
            default,
            null: (mapping.empty == WhenEmpty::Null).then_some(null),
            refuse_absent: required && self.load.operation == Operation::Create,
            refuse_null: required,
        })
    }

    fn address(&mut self, mapping: &ColumnMapping) -> Result<AddressOp, String> {
        let column = self.writable(mapping)?.clone();
        let (prefix, value) = match self.lookup(mapping, &column) {
            Some(op) => {
                let op = op?;
                if !op.gives_ids() {
                    return Err("part of the row's key: look it up by id or staged key".into());
                }
                let table = self.slots.table_slot(mapping)?;
                (format!("_{}_value=", mapping.target), AddressValue::Lookup { op, table })
            }
            None => (
                format!("{}=", mapping.target),
                AddressValue::Key(KeyValue::new(&column, mapping)?),
            ),
        };
        Ok(AddressOp {
            target: mapping.target.clone(),
            from: self.slots.from(&mapping.from)?,
            prefix,
            value,
            default: mapping.default.clone(),
        })
    }
}

/// System-required columns the server fills in by itself when they are left out.
fn has_server_default(column: &Column) -> bool {
    column.is_auto_number
        || column.logical_name == "ownerid"
        || matches!(
            column.kind,
            ColumnKind::State(_) | ColumnKind::Status(_) | ColumnKind::Boolean { .. }
        )
}

impl ValueOp {
    fn needs_staged(&self) -> bool {
        matches!(self, Self::Lookup { op, .. } if op.needs_staged())
    }

    pub(super) fn is_empty(&self, cell: Cell<'_>) -> bool {
        match self {
            Self::Text { .. } => match cell {
                Cell::Absent | Cell::Null => true,
                Cell::Text { bytes, .. } => bytes.is_empty(),
                Cell::Number(_) | Cell::Bool(_) | Cell::Composite(_) => false,
            },
            Self::Plain { converter, .. } => converter.is_empty(cell),
            Self::Lookup { .. } => match cell {
                Cell::Absent | Cell::Null => true,
                Cell::Text { bytes, .. } => bytes.trim_ascii().is_empty(),
                Cell::Number(_) | Cell::Bool(_) | Cell::Composite(_) => false,
            },
        }
    }

    /// Bytes it adds to each row besides the value.
    pub(super) fn fixed_bytes(&self) -> usize {
        match self {
            Self::Text { prefix, .. } | Self::Plain { prefix, .. } => prefix.as_slice().len() + 2,
            Self::Lookup { op, .. } => op.null.len() + 32,
        }
    }

    /// Appends a comma and the member. `cell` is not empty; `table` is the type column's value.
    #[inline]
    pub(super) fn write(
        &self,
        cell: Cell<'_>,
        table: Option<&[u8]>,
        staged: &dyn StagedRows,
        out: &mut RowBuffer,
    ) -> Read {
        match self {
            Self::Text { prefix, rule } => {
                out.extend_fixed(prefix);
                rule.write_inner(cell, out)
            }
            Self::Plain { prefix, converter } => {
                out.extend_fixed(prefix);
                converter.write(cell, out)
            }
            Self::Lookup { op, .. } => op.write(cell.scalar()?, table, staged, out),
        }
    }
}

impl ColumnOp {
    /// The member when it is the same for all rows, empty when none is sent.
    fn constant(&self) -> Option<Result<Vec<u8>, String>> {
        let From::Constant(text) = &self.from else { return None };
        let by_row = matches!(self.value, ValueOp::Lookup { table: Some(_), .. });
        if self.value.needs_staged() || by_row {
            return None;
        }
        let cell = Cell::text(text);
        if self.value.is_empty(cell) {
            return Some(Ok(match (&self.default, &self.null) {
                (Some(Default::Member(member)), _) => member.clone(),
                (_, Some(null)) => null.clone(),
                (_, None) => Vec::new(),
            }));
        }
        let mut member = RowBuffer::default();
        Some(match self.value.write(cell, None, &NothingStaged, &mut member) {
            Ok(()) => Ok(member.as_slice().to_vec()),
            Err(refusal) => Err(format!("constant: {}", refusal.text)),
        })
    }
}
