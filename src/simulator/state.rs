//! Pure: lifecycle states: which pairs are valid, what closes cases and opportunities, and what
//! closed rows refuse.
//!
//! Source: `dataverse-web-api.md` §4.9, §10.3.

use super::call::Refusal;
use super::create::state_lists;
use super::refusals::STATE_STATUS;
use super::schema::{StateRules, Storage, TableDef};
use super::store::RowValues;
use super::value::Value;
use uuid::Uuid;

fn invalid_pair(def: &TableDef, id: Uuid, state: i64, status: i64) -> Refusal {
    let invariant = state_lists(def)
        .and_then(|(_, states, ..)| states.iter().find(|s| i64::from(s.option.value) == state))
        .map_or_else(|| state.to_string(), |s| s.invariant.clone());
    Refusal::new(
        400,
        STATE_STATUS,
        format!(
            "{status} is not a valid status code for state code {invariant} on {} with Id {id}.",
            def.name
        ),
    )
}

/// New rows are active, with a status reason of that state.
pub(super) fn on_create(def: &TableDef, id: Uuid, values: &mut [Value]) -> Result<(), Refusal> {
    let Some((state, states, status, reasons)) = state_lists(def) else { return Ok(()) };
    let given = values[state] != Value::Null || values[status] != Value::Null;
    if given && def.storage == Storage::Elastic {
        return Err(Refusal::new(
            400,
            STATE_STATUS,
            format!("State and status cannot be set when a row of '{}' is created.", def.name),
        ));
    }
    let initial = &states[0];
    match values[state] {
        Value::Int(wanted) if wanted != i64::from(initial.option.value) => {
            let status = match values[status] {
                Value::Int(status) => status,
                _ => states
                    .iter()
                    .find(|s| i64::from(s.option.value) == wanted)
                    .map_or(0, |s| i64::from(s.default_status)),
            };
            return Err(invalid_pair(def, id, i64::from(initial.option.value), status));
        }
        _ => values[state] = Value::Int(i64::from(initial.option.value)),
    }
    match values[status] {
        Value::Int(wanted) => {
            let fits = reasons
                .iter()
                .any(|r| i64::from(r.option.value) == wanted && r.state == initial.option.value);
            if !fits {
                return Err(invalid_pair(def, id, i64::from(initial.option.value), wanted));
            }
        }
        _ => values[status] = Value::Int(i64::from(initial.default_status)),
    }
    Ok(())
}

/// Completes and checks a change of state; `changes` hold each column once.
pub(super) fn on_update(
    def: &TableDef,
    id: Uuid,
    old: &RowValues,
    changes: &mut Vec<(usize, Value)>,
) -> Result<(), Refusal> {
    let Some((state, states, status, reasons)) = state_lists(def) else { return Ok(()) };
    let given =
        |column: usize| changes.iter().find(|(c, _)| *c == column).map(|(_, value)| value.clone());
    let (new_state, new_status) = (given(state), given(status));
    let current = match old[state] {
        Value::Int(current) => current,
        _ => i64::from(states[0].option.value),
    };
    let only_state = changes.iter().all(|(c, _)| *c == state || *c == status);
    let closed = current != i64::from(states[0].option.value);
    if closed && def.state_rules != StateRules::Plain {
        let reopens = new_state == Some(Value::Int(i64::from(states[0].option.value)));
        if !(only_state && reopens) {
            return Err(Refusal::new(
                400,
                0x8004_0230,
                format!("{} with Id = {id} is inactive and cannot be updated.", def.name),
            ));
        }
    }
    if new_state.is_none() && new_status.is_none() {
        return Ok(());
    }
    let wanted = match new_state {
        Some(Value::Int(wanted)) => wanted,
        Some(_) => {
            return Err(Refusal::new(400, 0x8004_0233, "The state of a row cannot be null."));
        }
        None => current,
    };
    let by_message = match def.state_rules {
        StateRules::Plain => None,
        StateRules::Case if wanted == 1 => Some("CloseIncident"),
        StateRules::Opportunity if wanted == 1 => Some("WinOpportunity"),
        StateRules::Opportunity if wanted == 2 => Some("LoseOpportunity"),
        StateRules::Case | StateRules::Opportunity => None,
    };
    if let Some(message) = by_message.filter(|_| wanted != current) {
        return Err(Refusal::new(
            400,
            0x8004_0233,
            format!(
                "This message can not be used to set the state of {} to {wanted}. Use the \
                 {message} message instead.",
                def.name
            ),
        ));
    }
    match new_status {
        Some(Value::Int(reason)) => {
            let fits = reasons
                .iter()
                .any(|r| i64::from(r.option.value) == reason && i64::from(r.state) == wanted);
            if !fits {
                return Err(invalid_pair(def, id, wanted, reason));
            }
        }
        _ => {
            let default = states
                .iter()
                .find(|s| i64::from(s.option.value) == wanted)
                .map_or(0, |s| i64::from(s.default_status));
            changes.retain(|(c, _)| *c != status);
            changes.push((status, Value::Int(default)));
        }
    }
    Ok(())
}
