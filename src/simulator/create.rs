//! Pure: making rows: columns the service fills, and the rules of a complete row.
//!
//! Source: `dataverse-web-api.md` §4.1, §4.9, §4.10.

use super::call::Refusal;
use super::environment::ReadOnlyColumns;
use super::model::{Actor, Model};
use super::payload::Incoming;
use super::refusals;
use super::schema::{ColumnType, StateDef, StatusDef, TableDef};
use super::state;
use super::value::Value;
use uuid::Uuid;

impl Model {
    /// Makes a row, and the rows its body holds, and returns its place.
    pub(super) fn create(
        &mut self,
        actor: &Actor,
        table: usize,
        incoming: Incoming,
    ) -> Result<usize, Refusal> {
        if incoming.nested.is_empty() {
            self.create_alone(actor, table, incoming)
        } else {
            self.create_with_related(actor, table, incoming)
        }
    }

    /// Makes a row whose related rows are there.
    pub(super) fn create_alone(
        &mut self,
        actor: &Actor,
        table: usize,
        incoming: Incoming,
    ) -> Result<usize, Refusal> {
        let id = incoming.id.unwrap_or_else(|| self.new_id());
        let def = &self.schema.tables[table];
        let mut values = vec![Value::Null; def.columns.len()];
        values[0] = Value::Guid(id);
        for (column, value) in incoming.changes {
            if !def.columns[column].for_create {
                match self.settings.read_only_columns {
                    ReadOnlyColumns::Ignore => continue,
                    ReadOnlyColumns::Refuse => {
                        return Err(refusals::not_writable(&def.columns[column], true));
                    }
                }
            }
            values[column] = value;
        }
        for &column in &def.must_have {
            if values[column] == Value::Null {
                return Err(refusals::required(def, &def.columns[column]));
            }
        }
        state::on_create(def, id, &mut values)?;
        self.stamp_created(actor, table, &mut values);
        self.set_owner(actor, table, &mut values);
        self.set_currency(table, &mut values, true)?;
        let def = &self.schema.tables[table];
        set_full_name(def, &mut values);
        if let Some(column) = def.standing.partition {
            check_partition(def, &values[column])?;
            if values[column] == Value::Null {
                values[column] = Value::Text(id.to_string().into());
            }
        }
        self.set_auto_numbers(table, &mut values);
        self.insert(table, values)
    }

    fn stamp_created(&self, actor: &Actor, table: usize, values: &mut [Value]) {
        let standing = &self.schema.tables[table].standing;
        let users = self.users;
        let mut put = |column: Option<usize>, value: Value| {
            if let Some(column) = column {
                values[column] = value;
            }
        };
        put(standing.created_on, Value::Time(actor.now));
        put(standing.modified_on, Value::Time(actor.now));
        put(standing.created_by, Value::Reference(users, actor.user));
        put(standing.modified_by, Value::Reference(users, actor.user));
        if let Some(real) = actor.behalf {
            put(standing.created_on_behalf_by, Value::Reference(users, real));
            put(standing.modified_on_behalf_by, Value::Reference(users, real));
        }
        if let (Some(given), Some(shown)) = (standing.overridden_created_on, standing.created_on)
            && values[given] != Value::Null
        {
            // The column shows when the row really came in; createdon shows the original date.
            let original = std::mem::replace(&mut values[given], Value::Time(actor.now));
            values[shown] = original;
        }
    }

    /// Owner and the columns derived from it.
    pub(super) fn set_owner(&self, actor: &Actor, table: usize, values: &mut [Value]) {
        let standing = &self.schema.tables[table].standing;
        let Some(column) = standing.owner else { return };
        let users = self.users;
        if values[column] == Value::Null {
            values[column] = Value::Reference(users, actor.user);
        }
        for (column, value) in self.owning(actor, table, &values[column]) {
            values[column] = value;
        }
    }

    /// Values of `owninguser`, `owningteam` and `owningbusinessunit` for an owner.
    pub(super) fn owning(
        &self,
        actor: &Actor,
        table: usize,
        owner: &Value,
    ) -> impl Iterator<Item = (usize, Value)> + use<> {
        let standing = self.schema.tables[table].standing;
        let users = self.users;
        let (user, team, unit) = match *owner {
            Value::Reference(t, id) if t == users => {
                let unit = if id == actor.user {
                    actor.unit
                } else {
                    let row = self.store.row(users, id);
                    row.and_then(|r| self.unit_of(users, r)).unwrap_or(actor.unit)
                };
                (Value::Reference(users, id), Value::Null, unit)
            }
            Value::Reference(t, id) => {
                let row = self.store.row(t, id);
                let unit = row.and_then(|r| self.unit_of(t, r)).unwrap_or(actor.unit);
                (Value::Null, Value::Reference(t, id), unit)
            }
            _ => (Value::Null, Value::Null, actor.unit),
        };
        let units = self.units;
        [
            (standing.owning_user, user),
            (standing.owning_team, team),
            (standing.owning_unit, Value::Reference(units, unit)),
        ]
        .into_iter()
        .filter_map(|(column, value)| column.map(|c| (c, value)))
    }

    /// Currency of rows with money, exchange rate and amounts in the organization's currency.
    ///
    /// Source: `dataverse-web-api.md` §4.7, §10.3.
    pub(super) fn set_currency(
        &self,
        table: usize,
        values: &mut [Value],
        creating: bool,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let Some(column) = def.standing.currency else { return Ok(()) };
        let with_money = def.money.iter().any(|&c| values[c] != Value::Null);
        if values[column] == Value::Null {
            if !with_money {
                return Ok(());
            }
            if !creating {
                return Err(Refusal::new(
                    400,
                    0x8004_8cfb,
                    "The currency cannot be null while a money column has a value.",
                ));
            }
            let currencies = self.currencies;
            let Some(base) = self.store.tables[currencies].iter().next() else { return Ok(()) };
            values[column] = Value::Reference(currencies, base.id);
        }
        let Value::Reference(currencies, id) = values[column] else { return Ok(()) };
        let rate = self.store.row(currencies, id).and_then(|row| {
            let column = self.schema.tables[currencies].column("exchangerate")?;
            match row.values[column] {
                Value::Decimal(rate) if rate > 0 => Some(rate),
                _ => None,
            }
        });
        let rate = rate.ok_or_else(|| {
            Refusal::new(400, 0x8004_8cfc, "The currency of the record is not valid.")
        })?;
        if let Some(column) = def.standing.exchange_rate {
            values[column] = Value::Decimal(rate);
        }
        for &column in &def.money {
            if let Some(base) = def.columns[column].money_base {
                values[base] = match values[column] {
                    Value::Money(units) => Value::Money(in_base_currency(units, rate)?),
                    _ => Value::Null,
                };
            }
        }
        Ok(())
    }

    fn set_auto_numbers(&mut self, table: usize, values: &mut [Value]) {
        let def = &self.schema.tables[table];
        for &column in &def.auto_numbered {
            if let (Some(format), Value::Null) = (&def.columns[column].auto_number, &values[column])
            {
                self.numbers += 1;
                values[column] = Value::Text(auto_number(format, self.numbers).into());
            }
        }
    }
}

/// `units` divided by the exchange rate (in units of 10^-10), rounded half to even.
fn in_base_currency(units: i128, rate: i128) -> Result<i128, Refusal> {
    let scaled = units.checked_mul(10_000_000_000).ok_or_else(|| {
        Refusal::new(400, 0x8004_8ceb, "The amount in base currency is out of range.")
    })?;
    Ok(super::validate::round_half_even(scaled, rate) / rate)
}

fn auto_number(format: &str, number: u64) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let (inside, after) = rest[open + 1..].split_once('}').unwrap_or((&rest[open + 1..], ""));
        let (what, width) = inside.split_once(':').unwrap_or((inside, "0"));
        let width: usize = width.parse().unwrap_or(0);
        if what == "SEQNUM" {
            out.push_str(&format!("{number:0width$}"));
        } else {
            let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for _ in 0..width {
                let digit = u32::try_from(mixed % 36).unwrap_or(0);
                out.push(char::from_digit(digit, 36).unwrap_or('0').to_ascii_uppercase());
                mixed /= 36;
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `fullname` of people is made of the parts.
pub(super) fn set_full_name(def: &TableDef, values: &mut [Value]) {
    let Some([full, first, last]) = def.standing.full_name else { return };
    let part = |column: usize| match &values[column] {
        Value::Text(text) => text,
        _ => "",
    };
    let name = format!("{} {}", part(first), part(last));
    let name = name.trim();
    values[full] = if name.is_empty() { Value::Null } else { Value::Text(name.into()) };
}

/// Bounds of `partitionid`.
///
/// Source: `dataverse-web-api.md` §6.
fn check_partition(def: &TableDef, value: &Value) -> Result<(), Refusal> {
    let Value::Text(text) = value else { return Ok(()) };
    if text.len() > 1024 || text.contains(['/', '<', '>', '*', '%', '&', ':', '\\', '?']) {
        return Err(Refusal::new(
            400,
            0x8004_0278,
            format!(
                "'partitionid' of '{}' is limited to 1,024 bytes without / < > * % & : \\ ?",
                def.name
            ),
        ));
    }
    Ok(())
}

/// The lists of a state and a status column.
pub(super) fn state_lists(def: &TableDef) -> Option<(usize, &[StateDef], usize, &[StatusDef])> {
    let (state, status) = (def.standing.state?, def.standing.status?);
    match (&def.columns[state].kind, &def.columns[status].kind) {
        (ColumnType::State(states), ColumnType::Status(reasons)) => {
            Some((state, states, status, reasons))
        }
        _ => None,
    }
}

/// The id of the row at `place`.
pub(super) fn id_at(model: &Model, table: usize, place: usize) -> Uuid {
    model.store.tables[table].row(place).map_or(Uuid::nil(), |row| row.id)
}
