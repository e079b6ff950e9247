//! Pure: the rows of a fresh environment: business unit, currencies, users, teams.

use super::call::Refusal;
use super::model::{Actor, Model};
use super::payload::Incoming;
use super::value::Value;
use uuid::Uuid;

/// An id that is the same in every environment.
fn fixed(kind: u16, number: u16) -> Uuid {
    Uuid::from_u128(
        (u128::from(kind) << 112) | 0x0000_4000_8000_0000_0000_0000 | u128::from(number),
    )
}

pub(super) fn plant(model: &mut Model) {
    let first = model.settings.application_users.first().map(|u| u.id);
    let actor = Actor {
        user: first.unwrap_or_default(),
        behalf: None,
        unit: model.settings.business_unit,
        now: 1_704_067_200_000,
        origin: String::new(),
    };
    let planted = plant_all(model, &actor);
    debug_assert!(planted.is_ok(), "the seed rows fit their tables: {planted:?}");
}

fn plant_all(model: &mut Model, actor: &Actor) -> Result<(), Refusal> {
    let text = |text: &str| Value::Text(text.into());
    let units = model.table_index("businessunit");
    let unit = model.settings.business_unit;
    let name = model.settings.friendly_name.clone();
    put(model, actor, "businessunit", unit, [("name", text(&name))])?;
    for (number, (name, iso, symbol, rate)) in
        [("Euro", "EUR", "€", 10_000_000_000), ("US Dollar", "USD", "$", 10_857_142_857)]
            .into_iter()
            .enumerate()
    {
        let id = fixed(0xc0de, u16::try_from(number).unwrap_or(0) + 1);
        let values = [
            ("currencyname", text(name)),
            ("isocurrencycode", text(iso)),
            ("currencysymbol", text(symbol)),
            ("currencyprecision", Value::Int(2)),
            ("exchangerate", Value::Decimal(rate)),
        ];
        put(model, actor, "transactioncurrency", id, values)?;
    }
    for user in model.settings.application_users.clone() {
        let values = [
            ("fullname", text(&user.name)),
            ("lastname", text(&user.name)),
            ("applicationid", Value::Guid(user.application_id)),
            ("azureactivedirectoryobjectid", Value::Guid(user.object_id)),
            ("businessunitid", Value::Reference(units, unit)),
            ("accessmode", Value::Int(4)),
            ("isdisabled", Value::Bool(user.disabled)),
        ];
        put(model, actor, "systemuser", user.id, values)?;
    }
    for (number, first, last, disabled) in
        [(1, "Ada", "Moser", false), (2, "Jonas", "Weber", false), (3, "Eva", "Gone", true)]
    {
        let mail = format!("{}@contoso.test", first.to_lowercase());
        let values = [
            ("firstname", text(first)),
            ("lastname", text(last)),
            ("domainname", text(&mail)),
            ("internalemailaddress", text(&mail)),
            ("azureactivedirectoryobjectid", Value::Guid(fixed(0xaad0, number))),
            ("businessunitid", Value::Reference(units, unit)),
            ("accessmode", Value::Int(0)),
            ("isdisabled", Value::Bool(disabled)),
        ];
        put(model, actor, "systemuser", fixed(0x05e5, number), values)?;
    }
    for (number, name, kind, default) in
        [(1, "Contoso", 0, true), (2, "Sales", 0, false), (3, "Field Access", 1, false)]
    {
        let values = [
            ("name", text(name)),
            ("teamtype", Value::Int(kind)),
            ("isdefault", Value::Bool(default)),
            ("businessunitid", Value::Reference(units, unit)),
        ];
        put(model, actor, "team", fixed(0x7ea3, number), values)?;
    }
    Ok(())
}

fn put<const N: usize>(
    model: &mut Model,
    actor: &Actor,
    table: &str,
    id: Uuid,
    values: [(&str, Value); N],
) -> Result<(), Refusal> {
    let table = model.table_index(table);
    let def = &model.schema.tables[table];
    let (mut given, mut kept) = (Vec::new(), Vec::new());
    for (name, value) in values {
        let Some(column) = def.column(name) else { continue };
        if def.columns[column].for_create {
            given.push((column, value))
        } else {
            kept.push((column, value))
        }
    }
    let incoming = Incoming { id: Some(id), changes: given, ..Incoming::default() };
    let place = model.create(actor, table, incoming)?;
    model.change(table, place, kept)
}
