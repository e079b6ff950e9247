//! Pure: unbound functions.

use super::filter::{Argument, arguments};
use super::refuse::{bad_query, unknown_table};
use super::url::{Options, Segment};
use super::{World, answer_json};
use crate::simulator::call::{Answer, Refusal};
use crate::simulator::value::Value;
use serde_json::json;

/// Calls the function a path names; `None` when there is none of that name.
///
/// # Errors
/// 400 for parameters that do not fit.
///
/// Source: `dataverse-web-api.md` §7.3.
pub fn call(
    world: &World,
    segments: &[Segment],
    options: &Options,
) -> Result<Option<Answer>, Refusal> {
    let [step] = segments else { return Ok(None) };
    let args = step.args.as_deref().unwrap_or("");
    let context = |kind: &str| format!("{}/$metadata#Microsoft.Dynamics.CRM.{kind}", world.base());
    let body = match step.name.as_str() {
        "WhoAmI" => json!({
            "@odata.context": context("WhoAmIResponse"),
            "BusinessUnitId": business_unit(world),
            "UserId": world.ctx.effective_user,
            "OrganizationId": world.settings.organization_id,
        }),
        "RetrieveVersion" => json!({
            "@odata.context": context("RetrieveVersionResponse"),
            "Version": world.settings.version,
        }),
        "RetrieveTotalRecordCount" => {
            let names = match arguments(args, &options.aliases)?.as_slice() {
                [(name, Argument::Many(names))] if name == "EntityNames" => names.clone(),
                _ => {
                    return Err(bad_query("RetrieveTotalRecordCount needs the list EntityNames."));
                }
            };
            let mut counts = Vec::new();
            for name in &names {
                let table = world.schema.by_name.get(name).ok_or_else(|| unknown_table(name))?;
                counts.push(world.store.tables[*table].iter().count());
            }
            json!({
                "@odata.context": context("RetrieveTotalRecordCountResponse"),
                "EntityRecordCountCollection": {
                    "Count": names.len(),
                    "IsReadOnly": false,
                    "Keys": names,
                    "Values": counts,
                },
            })
        }
        "RetrieveCurrentOrganization" => {
            let o = world.settings;
            json!({
                "@odata.context": context("RetrieveCurrentOrganizationResponse"),
                "Detail": {
                    "OrganizationId": o.organization_id,
                    "FriendlyName": o.friendly_name,
                    "OrganizationVersion": o.version,
                    "EnvironmentId": o.organization_id,
                    "Geo": "EMEA",
                    "TenantId": o.organization_id,
                    "UrlName": o.organization_name,
                    "UniqueName": o.organization_name,
                    "State": "Enabled",
                    "SchemaType": "Full",
                    "OrganizationType": "Customer",
                    "Endpoints": {
                        "Count": 3,
                        "IsReadOnly": false,
                        "Keys": ["WebApplication", "OrganizationService", "OrganizationDataService"],
                        "Values": [
                            format!("{}/", world.ctx.origin),
                            format!("{}/XRMServices/2011/Organization.svc", world.ctx.origin),
                            format!("{}/XRMServices/2011/OrganizationData.svc", world.ctx.origin),
                        ],
                    },
                },
            })
        }
        "RetrieveMetadataChanges" => {
            return crate::simulator::metadata::changes(world, args, options).map(Some);
        }
        _ => return Ok(None),
    };
    Ok(Some(answer_json(&body)))
}

/// The caller's business unit, from its own row when there is one.
fn business_unit(world: &World) -> uuid::Uuid {
    let own = || {
        let table = *world.schema.by_name.get("systemuser")?;
        let column = world.schema.tables[table].column("businessunitid")?;
        match world.store.row(table, world.ctx.effective_user)?.values.get(column)? {
            Value::Reference(_, id) => Some(*id),
            _ => None,
        }
    };
    own().unwrap_or(world.settings.business_unit)
}
