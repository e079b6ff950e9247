//! Pure: definitions of option sets.

use super::labels::{derived_id, label, managed};
use super::tables::object;
use crate::simulator::schema::{ColumnDef, ColumnType, OptionDef, TableDef};
use serde_json::{Map, Value, json};

/// The option set of a column, or `None` for a column without one.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn of_column(t: &TableDef, c: &ColumnDef) -> Option<Map<String, Value>> {
    let local = format!("{}_{}", t.name, c.name);
    Some(match &c.kind {
        ColumnType::Choice { options, global } | ColumnType::Choices { options, global } => {
            let name = global.as_deref().unwrap_or(&local);
            set(name, &c.display_name, global.is_some(), "Picklist", options.iter().map(plain))
        }
        ColumnType::State(states) => set(
            &local,
            &c.display_name,
            false,
            "State",
            states.iter().map(|s| {
                let mut one = plain(&s.option);
                one["DefaultStatus"] = s.default_status.into();
                one["InvariantName"] = s.invariant.as_str().into();
                one["@odata.type"] = "#Microsoft.Dynamics.CRM.StateOptionMetadata".into();
                one
            }),
        ),
        ColumnType::Status(reasons) => set(
            &local,
            &c.display_name,
            false,
            "Status",
            reasons.iter().map(|s| {
                let mut one = plain(&s.option);
                one["State"] = s.state.into();
                one["TransitionData"] = Value::Null;
                one["@odata.type"] = "#Microsoft.Dynamics.CRM.StatusOptionMetadata".into();
                one
            }),
        ),
        ColumnType::Boolean { yes, no } => {
            let mut out = set(&local, &c.display_name, false, "Boolean", std::iter::empty());
            out.remove("Options");
            let option = |value, label: &str| plain(&OptionDef { value, label: label.to_owned() });
            out.insert("TrueOption".into(), option(1, yes));
            out.insert("FalseOption".into(), option(0, no));
            out
        }
        _ => return None,
    })
}

/// A global option set.
#[must_use]
pub fn global(name: &str, options: &[OptionDef]) -> Map<String, Value> {
    set(name, name, true, "Picklist", options.iter().map(plain))
}

fn set(
    name: &str,
    display: &str,
    is_global: bool,
    kind: &str,
    options: impl Iterator<Item = Value>,
) -> Map<String, Value> {
    object(json!({
        "MetadataId": set_id(name),
        "Name": name,
        "DisplayName": label(Some(display)),
        "Description": label(None),
        "IsGlobal": is_global,
        "IsCustomOptionSet": is_global,
        "IsManaged": true,
        "IsCustomizable": managed(true, "iscustomizable"),
        "OptionSetType": kind,
        "ExternalTypeName": null,
        "IntroducedVersion": null,
        "ParentOptionSetName": null,
        "HasChanged": null,
        "Options": options.collect::<Vec<_>>(),
    }))
}

/// `MetadataId` of an option set.
#[must_use]
pub fn set_id(name: &str) -> uuid::Uuid {
    derived_id("optionset", name)
}

fn plain(option: &OptionDef) -> Value {
    json!({
        "Value": option.value,
        "Label": label(Some(&option.label)),
        "Description": label(None),
        "Color": null,
        "ExternalValue": "",
        "IsManaged": true,
        "IsHidden": false,
        "MetadataId": null,
        "HasChanged": null,
        "ParentValues": [],
        "Tag": null,
    })
}
