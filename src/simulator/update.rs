//! Pure: changing rows that exist.
//!
//! Source: `dataverse-web-api.md` §4.2, §4.9.

use super::call::Refusal;
use super::create::set_full_name;
use super::environment::ReadOnlyColumns;
use super::model::{Actor, Model};
use super::refusals;
use super::schema::{Standing, TableDef};
use super::state;
use super::store::RowValues;
use super::value::Value;

/// Who wants the change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A client: all rules hold.
    Client,
    /// A message of the service that closes a row: rules of state have been checked.
    Message,
}

impl Model {
    /// Changes values of a row; `changes` hold each column once.
    pub(super) fn update(
        &mut self,
        actor: &Actor,
        table: usize,
        place: usize,
        mut changes: Vec<(usize, Value)>,
        wish: Wish,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let Some(row) = self.store.tables[table].row(place) else { return Ok(()) };
        if wish == Wish::Client {
            if self.settings.read_only_columns == ReadOnlyColumns::Ignore {
                changes.retain(|(c, _)| def.columns[*c].for_update);
            }
            if let Some((c, _)) = changes.iter().find(|(c, _)| !def.columns[*c].for_update) {
                return Err(refusals::not_writable(&def.columns[*c], false));
            }
            let emptied =
                changes.iter().find(|(c, v)| *v == Value::Null && def.must_have.contains(c));
            if let Some((c, _)) = emptied {
                return Err(refusals::required(def, &def.columns[*c]));
            }
            state::on_update(def, row.id, &row.values, &mut changes)?;
        }
        let owner = changes.iter().find(|(c, _)| Some(*c) == def.standing.owner);
        if let Some((_, owner)) = owner {
            changes.extend(self.owning(actor, table, &owner.clone()));
        }
        self.derive(table, &row.values, &mut changes)?;
        let standing = self.schema.tables[table].standing;
        self.stamp_modified(actor, &standing, &mut changes);
        self.change(table, place, changes)
    }

    /// Columns computed from others follow them.
    fn derive(
        &self,
        table: usize,
        old: &RowValues,
        changes: &mut Vec<(usize, Value)>,
    ) -> Result<(), Refusal> {
        let def = &self.schema.tables[table];
        let touches = |column: &usize| changes.iter().any(|(c, _)| c == column);
        let money =
            def.money.iter().any(touches) || def.standing.currency.as_ref().is_some_and(touches);
        let name = def.standing.full_name.is_some_and(|n| n[1..].iter().any(touches));
        if !money && !name {
            return Ok(());
        }
        let mut new = old.to_dense(def.columns.len());
        for (column, value) in changes.iter() {
            new[*column] = value.clone();
        }
        if money {
            // A row that had no money and no currency gets the default one.
            let first_money = def.money.iter().all(|&c| old[c] == Value::Null)
                && def.standing.currency.is_some_and(|c| !touches(&c));
            self.set_currency(table, &mut new, first_money)?;
        }
        if name {
            set_full_name(def, &mut new);
        }
        for column in derived_columns(def) {
            if new[column] != old[column] && !touches_column(changes, column) {
                changes.push((column, std::mem::replace(&mut new[column], Value::Null)));
            }
        }
        Ok(())
    }

    fn stamp_modified(
        &self,
        actor: &Actor,
        standing: &Standing,
        changes: &mut Vec<(usize, Value)>,
    ) {
        let behalf = actor.behalf.map_or(Value::Null, |real| Value::Reference(self.users, real));
        for (column, value) in [
            (standing.modified_on, Value::Time(actor.now)),
            (standing.modified_by, Value::Reference(self.users, actor.user)),
            (standing.modified_on_behalf_by, behalf),
        ] {
            if let Some(column) = column {
                changes.push((column, value));
            }
        }
    }

    /// What an upsert of an elastic row changes: all that is not given is lost.
    ///
    /// Source: `dataverse-web-api.md` §4.2, §6.
    pub(super) fn replacing(
        &self,
        table: usize,
        mut changes: Vec<(usize, Value)>,
    ) -> Result<Vec<(usize, Value)>, Refusal> {
        let def = &self.schema.tables[table];
        let Standing { owner, state, status, partition, .. } = def.standing;
        for (column, given) in def.columns.iter().enumerate().skip(1) {
            let kept = [owner, state, status, partition].contains(&Some(column));
            if given.for_create && given.for_update && !kept && !touches_column(&changes, column) {
                changes.push((column, Value::Null));
            }
        }
        Ok(changes)
    }
}

fn touches_column(changes: &[(usize, Value)], column: usize) -> bool {
    changes.iter().any(|(c, _)| *c == column)
}

fn derived_columns(def: &TableDef) -> impl Iterator<Item = usize> + '_ {
    let bases = def.money.iter().filter_map(|&c| def.columns[c].money_base);
    let standing = [def.standing.currency, def.standing.exchange_rate];
    bases.chain(standing.into_iter().flatten()).chain(def.standing.full_name.map(|n| n[0]))
}
