//! Pure: reads answered until the query and metadata parts are in place.

use super::call::{Answer, Call, CallContext, Refusal};
use super::model::Model;
use super::refusals::no_such_resource;
use super::schema::TableDef;
use super::store::Row;

/// Answers `WhoAmI`.
///
/// # Errors
/// For everything else.
pub fn read(model: &Model, ctx: &CallContext, call: &Call<'_>) -> Result<Answer, Refusal> {
    if !matches!(call.path.trim_matches('/'), "WhoAmI" | "WhoAmI()") {
        return Err(no_such_resource(call.path));
    }
    let body = format!(
        "{{\"@odata.context\":\"{}/api/data/v9.2/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse\",\
         \"BusinessUnitId\":\"{}\",\"UserId\":\"{}\",\"OrganizationId\":\"{}\"}}",
        ctx.origin,
        model.settings.business_unit,
        ctx.effective_user,
        model.settings.organization_id
    );
    Ok(Answer {
        status: 200,
        content_type: Some("application/json; odata.metadata=minimal"),
        body: body.into_bytes(),
        ..Answer::default()
    })
}

/// A row as JSON: its primary key.
#[must_use]
pub fn represent(
    _model: &Model,
    _ctx: &CallContext,
    table: &TableDef,
    row: &Row,
    _select: Option<&str>,
    _annotations: bool,
) -> Vec<u8> {
    format!("{{\"{}\":\"{}\"}}", table.columns[0].name, row.id).into_bytes()
}
