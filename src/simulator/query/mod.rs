//! Pure: everything that only reads: rows, metadata, functions.

pub mod aggregate;
pub mod annotations;
pub mod apply;
pub mod changes;
pub mod collection;
pub mod compile;
pub mod expand;
pub mod fetch;
pub mod filter;
pub mod formatted;
pub mod functions;
pub mod keys;
pub mod lex;
pub mod operators;
pub mod order;
pub mod page;
pub mod plan;
pub mod predicate;
pub mod refuse;
pub mod render;
pub mod scalar;
pub mod single;
pub mod span;
pub mod url;

use super::call::{Answer, Call, CallContext, Refusal};
use super::environment::EnvironmentSettings;
use super::metadata;
use super::model::Model;
use super::schema::{Schema, TableDef};
use super::store::{Row, Store};
use annotations::Preferences;
use refuse::unknown_resource;

/// What a read sees.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Tables.
    pub schema: &'a Schema,
    /// Rows.
    pub store: &'a Store,
    /// Organization.
    pub settings: &'a EnvironmentSettings,
    /// Caller and time.
    pub ctx: &'a CallContext,
    /// Version of the latest change.
    pub version: u64,
}

impl<'a> World<'a> {
    /// The world of a model.
    #[must_use]
    pub fn of(model: &'a Model, ctx: &'a CallContext) -> Self {
        Self {
            schema: &model.schema,
            store: &model.store,
            settings: &model.settings,
            ctx,
            version: model.version,
        }
    }

    /// Service root without trailing slash, with the host the client used.
    #[must_use]
    pub fn base(&self) -> String {
        format!("{}/api/data/v9.2", self.ctx.origin)
    }
}

/// Answers a GET.
///
/// # Errors
/// A refusal as the service would give it.
///
/// Source: `dataverse-web-api.md` §7, §8.
pub fn read(model: &Model, ctx: &CallContext, call: &Call) -> Result<Answer, Refusal> {
    let world = &World::of(model, ctx);
    let segments = url::segments(call.path)?;
    let options = url::options(call.query)?;
    let Some(first) = segments.first() else { return Ok(metadata::service_document(world)) };
    if first.name == "$metadata" {
        return Ok(metadata::document(world));
    }
    if metadata::owns(&first.name) {
        return metadata::read(world, &segments, &options);
    }
    let preferences = Preferences::of(call);
    if let Some(&table) = world.schema.by_set.get(&first.name) {
        return single::read(world, table, &segments, &options, &preferences, call);
    }
    if metadata::messages::owns(&first.name) {
        return metadata::messages::read(world, &segments, &options);
    }
    match functions::call(world, &segments, &options)? {
        Some(answer) => Ok(answer),
        None => Err(unknown_resource(&first.name)),
    }
}

/// A row as the body of an answer to `return=representation`; `select` is the decoded `$select`.
/// Names a table does not have are left out: the row is written already.
///
/// Source: `dataverse-web-api.md` §4.1.
#[must_use]
pub fn represent(
    model: &Model,
    ctx: &CallContext,
    table: &TableDef,
    row: &Row,
    select: Option<&str>,
    annotations: bool,
) -> Vec<u8> {
    let world = World::of(model, ctx);
    match model.schema.by_name.get(&table.name) {
        Some(&table) => render::represent(&world, table, row, select, annotations),
        None => Vec::new(),
    }
}

/// An answer of status 200 with a JSON body.
#[must_use]
pub fn answer_json(body: &serde_json::Value) -> Answer {
    json_bytes(body.to_string().into_bytes())
}

/// An answer of status 200 with a finished JSON body.
#[must_use]
pub fn json_bytes(body: Vec<u8>) -> Answer {
    Answer {
        status: 200,
        content_type: Some("application/json; odata.metadata=minimal"),
        body,
        ..Answer::default()
    }
}

/// An answer of status 200 with plain text.
#[must_use]
pub fn plain(text: impl Into<String>) -> Answer {
    Answer {
        status: 200,
        content_type: Some("text/plain"),
        body: text.into().into_bytes(),
        ..Answer::default()
    }
}

#[cfg(test)]
pub(crate) mod tests;
