//! Pure: bodies of rows, read in one pass into column values.
//!
//! Source: `dataverse-web-api.md` §2.1, §4.5, §4.7.

use super::call::{Refusal, RefusalCode};
use super::json::{Cursor, Json, JsonError};
use super::model::Model;
use super::refusals::{self, payload};
use super::schema::{CollectionDef, ColumnType, LookupFlavour, Property, TableDef};
use super::validate::{self, convert};
use super::value::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// A row as the client sent it.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Primary key given in the body.
    pub(super) id: Option<Uuid>,
    /// `@odata.id`.
    pub(super) address: Option<String>,
    /// Whether `@odata.type` was given; it names the right table.
    pub(super) typed: bool,
    /// The first value that does not fit; the rest of the row has been read all the same.
    pub(super) refusal: Option<Refusal>,
    /// Values by column; a column occurs once.
    pub(super) changes: Vec<(usize, Value)>,
    /// Rows to make together with this one.
    pub(super) nested: Vec<Nested>,
}

/// Rows a body makes together with its own.
///
/// Source: `dataverse-web-api.md` §4.1.
#[derive(Debug)]
pub(super) enum Nested {
    /// The row a lookup leads to: column, its table, the row.
    Target(usize, usize, Incoming),
    /// Rows of a collection.
    Collection(CollectionDef, Vec<Incoming>),
}

impl Incoming {
    /// The row, unless a value did not fit.
    pub(super) fn whole(mut self) -> Result<Self, Refusal> {
        self.refusal.take().map_or(Ok(self), Err)
    }
}

#[derive(Clone, Copy)]
enum Meaning {
    Known(Property),
    Type,
    Address,
    Noise,
}

/// Reads bodies of one table. Items of one request mostly have the same members in the same
/// order, so the meaning of a name is guessed from the item before.
pub(super) struct Reader<'a> {
    table: usize,
    shape: Vec<(Cow<'a, str>, Meaning)>,
    seen: Vec<u32>,
    stamp: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(model: &Model, table: usize) -> Self {
        let seen = vec![0; model.schema.tables[table].columns.len()];
        Self { table, shape: Vec::new(), seen, stamp: 0 }
    }

    /// Reads a whole body as one row.
    pub(super) fn whole(model: &Model, table: usize, body: &'a str) -> Result<Incoming, Refusal> {
        let mut cursor = Cursor::new(body);
        let incoming = Reader::new(model, table).row(model, &mut cursor)?;
        cursor.finish().map_err(|e| validate::not_json(&model.schema.tables[table], e))?;
        incoming.whole()
    }

    /// Reads one object.
    pub(super) fn row(
        &mut self,
        model: &Model,
        cursor: &mut Cursor<'a>,
    ) -> Result<Incoming, Refusal> {
        let def = &model.schema.tables[self.table];
        let bad = |e: JsonError| validate::not_json(def, e);
        let mut incoming =
            Incoming { changes: Vec::with_capacity(self.shape.len()), ..Incoming::default() };
        self.stamp += 1;
        cursor.open_object().map_err(bad)?;
        let mut first = true;
        let mut at = 0;
        loop {
            let meaning = match self.shape.get(at) {
                Some((name, meaning)) if cursor.key_is(name, &mut first) => {
                    at += 1;
                    *meaning
                }
                _ => {
                    let Some(key) = cursor.next_key(&mut first).map_err(bad)? else { break };
                    let meaning = meaning_of(model, def, &key)?;
                    match self.shape[at..].iter().position(|(name, _)| *name == key) {
                        Some(further) => at += further + 1,
                        None if at == self.shape.len() => {
                            self.shape.push((key, meaning));
                            at += 1;
                        }
                        None => {}
                    }
                    meaning
                }
            };
            let json = cursor.value().map_err(bad)?;
            if let Err(refusal) = self.member(model, def, &mut incoming, meaning, &json) {
                if refusal.code == RefusalCode::Hex(refusals::PAYLOAD) {
                    return Err(refusal);
                }
                incoming.refusal.get_or_insert(refusal);
            }
        }
        Ok(incoming)
    }

    /// Reads an object that is part of a larger body.
    pub(super) fn part(model: &Model, table: usize, json: &Json<'a>) -> Result<Incoming, Refusal> {
        let def = &model.schema.tables[table];
        let Json::Object(members) = json else {
            return Err(payload(&def.set, "An object is expected."));
        };
        let mut reader = Self::new(model, table);
        reader.stamp = 1;
        let mut incoming = Incoming::default();
        for (name, value) in members {
            let meaning = meaning_of(model, def, name)?;
            reader.member(model, def, &mut incoming, meaning, value)?;
        }
        Ok(incoming)
    }

    fn member(
        &mut self,
        model: &Model,
        def: &TableDef,
        incoming: &mut Incoming,
        meaning: Meaning,
        json: &Json<'a>,
    ) -> Result<(), Refusal> {
        let property = match meaning {
            Meaning::Noise => return Ok(()),
            Meaning::Type => {
                check_type(def, json)?;
                if std::mem::replace(&mut incoming.typed, true) {
                    return Err(twice(def, "@odata.type"));
                }
                return Ok(());
            }
            Meaning::Address => {
                let text =
                    json.text().ok_or_else(|| payload(&def.set, "'@odata.id' wants text."))?;
                if incoming.address.replace(text.to_owned()).is_some() {
                    return Err(twice(def, "@odata.id"));
                }
                return Ok(());
            }
            Meaning::Known(property) => property,
        };
        let (column, value) = match property {
            Property::Column(column) => {
                (column, convert(def, &def.columns[column], json, &model.settings)?)
            }
            Property::Bind(column, target) => (column, bind(model, def, column, target, json)?),
            Property::Navigation(column, target) => match json {
                Json::Null => (column, Value::Null),
                Json::Object(_) => {
                    if std::mem::replace(&mut self.seen[column], self.stamp) == self.stamp {
                        return Err(twice(def, &def.columns[column].name));
                    }
                    let row = nested_row(model, target, json)?;
                    incoming.nested.push(Nested::Target(column, target, row));
                    return Ok(());
                }
                _ => {
                    let name = &def.columns[column].name;
                    let rule = "a navigation property is set through '@odata.bind'";
                    return Err(payload(&def.set, format!("'{name}': {rule}.")));
                }
            },
            Property::LookupValue(_) => {
                return Err(refusals::bad_url(
                    "CRM do not support direct update of Entity Reference properties, Use \
                     Navigation properties instead.",
                ));
            }
            Property::Collection(collection) => {
                let Json::Array(items) = json else {
                    return Err(payload(&def.set, "A collection of rows wants a list."));
                };
                let table = match collection {
                    CollectionDef::OneToMany { table, .. } => table,
                    CollectionDef::ManyToMany { relationship, side } => {
                        model.schema.many_to_many[relationship].tables[1 - side]
                    }
                };
                let rows = items.iter().map(|item| nested_row(model, table, item));
                let rows = rows.collect::<Result<_, _>>()?;
                incoming.nested.push(Nested::Collection(collection, rows));
                return Ok(());
            }
            Property::CollectionBind => {
                return Err(refusals::not_implemented("Binding a collection in a body"));
            }
        };
        let seen_before = std::mem::replace(&mut self.seen[column], self.stamp) == self.stamp;
        if column == 0 {
            let Value::Guid(id) = value else {
                return Err(payload(&def.set, "The primary key cannot be null."));
            };
            if seen_before {
                return Err(twice(def, &def.columns[0].name));
            }
            incoming.id = Some(id);
            return Ok(());
        }
        if seen_before {
            return repeat(def, incoming, column, value);
        }
        if value == Value::Null
            && matches!(
                &def.columns[column].kind,
                ColumnType::Lookup { flavour: LookupFlavour::Owner, .. }
            )
        {
            return Err(Refusal::new(400, 0x8004_0229, "The owner of a row cannot be cleared."));
        }
        incoming.changes.push((column, value));
        Ok(())
    }
}

/// A row inside the body of another; like every row of a create it has no address yet.
fn nested_row(model: &Model, table: usize, json: &Json<'_>) -> Result<Incoming, Refusal> {
    let row = Reader::part(model, table, json)?;
    if row.address.is_some() {
        let set = &model.schema.tables[table].set;
        return Err(payload(set, "'@odata.id' is not valid for create."));
    }
    super::write::refuse_intersect(&model.schema.tables[table])?;
    Ok(row)
}

/// A lookup of several targets may be cleared under one name and set under another.
fn repeat(
    def: &TableDef,
    incoming: &mut Incoming,
    column: usize,
    value: Value,
) -> Result<(), Refusal> {
    let lookup = matches!(def.columns[column].kind, ColumnType::Lookup { .. });
    let place = incoming.changes.iter().position(|(c, _)| *c == column);
    match place {
        Some(at) if lookup && value == Value::Null && incoming.changes[at].0 == column => Ok(()),
        Some(at) if lookup && incoming.changes[at].1 == Value::Null => {
            incoming.changes[at].1 = value;
            Ok(())
        }
        _ => Err(twice(def, &def.columns[column].name)),
    }
}

fn twice(def: &TableDef, name: &str) -> Refusal {
    payload(&def.set, format!("The property '{name}' is given more than once."))
}

fn meaning_of(model: &Model, def: &TableDef, key: &str) -> Result<Meaning, Refusal> {
    if let Some(property) = def.by_property.get(key) {
        return Ok(Meaning::Known(*property));
    }
    let undeclared = || {
        let mut refusal = refusals::undeclared(&def.set, &def.name, key);
        if model.settings.undeclared_code != RefusalCode::Hex(refusals::PAYLOAD) {
            refusal.code = model.settings.undeclared_code.clone();
        }
        refusal
    };
    match key.split_once('@') {
        Some(("", "odata.type")) => Ok(Meaning::Type),
        Some(("", "odata.id")) => Ok(Meaning::Address),
        Some(("", _)) => Ok(Meaning::Noise),
        Some((base, annotation)) if annotation != "odata.bind" => {
            let known = def.by_property.contains_key(base) || def.by_column.contains_key(base);
            if known { Ok(Meaning::Noise) } else { Err(undeclared()) }
        }
        _ => Err(undeclared()),
    }
}

fn check_type(def: &TableDef, json: &Json<'_>) -> Result<(), Refusal> {
    let given = json.text().unwrap_or_default();
    let name = given.trim_start_matches('#').strip_prefix("Microsoft.Dynamics.CRM.");
    if name == Some(def.name.as_str()) {
        return Ok(());
    }
    Err(payload(
        &def.set,
        format!(
            "A type named '{given}' is not compatible with the expected type \
             'Microsoft.Dynamics.CRM.{}'.",
            def.name
        ),
    ))
}

/// The row a `@odata.bind` names; it must exist.
fn bind(
    model: &Model,
    def: &TableDef,
    column: usize,
    first_target: usize,
    json: &Json<'_>,
) -> Result<Value, Refusal> {
    let text = match json {
        Json::Null => return Ok(Value::Null),
        Json::Text(text) => text,
        _ => return Err(payload(&def.set, "'@odata.bind' wants the URL of a row as text.")),
    };
    let ColumnType::Lookup { targets, flavour } = &def.columns[column].kind else {
        return Ok(Value::Null);
    };
    let plain = text.strip_prefix('/').unwrap_or(text);
    let quick = plain.split_once('(').and_then(|(set, rest)| {
        let id = validate::guid(rest.strip_suffix(')')?)?;
        let owner = *flavour == LookupFlavour::Owner;
        let target = if model.schema.tables[first_target].set == set {
            first_target
        } else if owner {
            targets.iter().map(|t| t.table_index).find(|&t| model.schema.tables[t].set == set)?
        } else {
            return None;
        };
        Some((target, super::route::Address::Id(id)))
    });
    let (target, address) = match quick {
        Some(found) => found,
        None => model.reference(text)?,
    };
    let navigation = targets.iter().find(|t| t.table_index == first_target);
    let fits = targets.iter().any(|t| {
        t.table_index == target && navigation.is_some_and(|n| n.navigation == t.navigation)
    });
    if !fits {
        return Err(payload(
            &def.set,
            format!(
                "The URL '{text}' does not lead to a row the navigation property '{}' can hold.",
                navigation.map_or("", |n| n.navigation.as_str())
            ),
        ));
    }
    let Some(place) = model.locate(target, &address) else {
        let mut refusal = model.missing(target, &address, model.settings.bind_key_missing_status);
        if !matches!(address, super::route::Address::Key(..)) {
            refusal.status = model.settings.bind_missing_status;
        }
        return Err(refusal);
    };
    let id = match (&address, model.store.tables[target].row(place)) {
        (super::route::Address::Id(id), _) => *id,
        (_, Some(row)) => row.id,
        (_, None) => return Ok(Value::Null),
    };
    if *flavour == LookupFlavour::Owner {
        check_owner(model, target, place)?;
    }
    Ok(Value::Reference(target, id))
}

fn check_owner(model: &Model, table: usize, place: usize) -> Result<(), Refusal> {
    let def = &model.schema.tables[table];
    let Some(row) = model.store.tables[table].row(place) else { return Ok(()) };
    if def.name == "systemuser" && model.user_disabled(row) {
        return Err(Refusal::new(
            400,
            0x8004_0225,
            format!("The specified user(Id = {}) is disabled.", row.id),
        ));
    }
    let team_type = def.column("teamtype").map(|c| &row.values[c]);
    if def.name == "team" && team_type == Some(&Value::Int(1)) {
        return Err(Refusal::new(400, 0x8004_0229, "An access team cannot own rows."));
    }
    Ok(())
}
