//! Pure: `BulkDelete`: rows that queries find are deleted by a job that runs later.
//!
//! Source: `dataverse-web-api.md` §2.5.

use super::call::{Answer, Call, CallContext, Refusal};
use super::create::{id_at, state_lists};
use super::json::{Cursor, Json, JsonError};
use super::model::{Actor, Model};
use super::payload::Incoming;
use super::query::World;
use super::query::operators::{self, Operands};
use super::query::predicate::{Reach, Test};
use super::query::refuse::{unknown_column, unknown_table};
use super::refusals::{INVALID_ARGUMENT, payload};
use super::update::Wish;
use super::value::Value;
use super::write::JSON;
use uuid::Uuid;

/// Most jobs that wait; one more makes the oldest run at once.
const WAITING_MAX: usize = 100;
/// Deepest nesting of filters.
const DEPTH_MAX: usize = 8;
const PARAMETERS: [&str; 9] = [
    "JobName",
    "SendEmailNotification",
    "ToRecipients",
    "CCRecipients",
    "RecurrencePattern",
    "StartDateTime",
    "QuerySet",
    "RunNow",
    "SourceImportId",
];

/// A job that waits.
#[derive(Debug)]
pub(super) struct Job {
    id: Uuid,
    actor: Actor,
    /// When it runs, milliseconds since 1970.
    due: i64,
    queries: Vec<(usize, Test)>,
}

impl Model {
    /// `POST BulkDelete`.
    pub(super) fn bulk_delete(
        &mut self,
        actor: &Actor,
        call: &Call<'_>,
    ) -> Result<Answer, Refusal> {
        let bad = |rule: String| payload("BulkDelete", rule);
        let text = std::str::from_utf8(call.body).map_err(|e| bad(e.to_string()))?;
        let body = Cursor::whole(text).map_err(|e: JsonError| bad(e.to_string()))?;
        let Json::Object(members) = &body else {
            return Err(bad("An object of parameters is expected.".to_owned()));
        };
        if let Some((name, _)) = members.iter().find(|(n, _)| !PARAMETERS.contains(&n.as_ref())) {
            return Err(bad(format!("'{name}' is not a parameter of this message.")));
        }
        for name in &PARAMETERS[..7] {
            if body.get(name).is_none() {
                return Err(invalid(format!("The parameter '{name}' is missing.")));
            }
        }
        let Some(Json::Array(set)) = body.get("QuerySet") else {
            return Err(bad("'QuerySet' is a list of queries.".to_owned()));
        };
        let ctx = context(actor);
        let world = World::of(self, &ctx);
        let queries = set.iter().map(|q| query(&world, q)).collect::<Result<Vec<_>, _>>()?;
        if queries.is_empty() {
            return Err(invalid("'QuerySet' holds no query."));
        }
        let table = self.table_index("asyncoperation");
        let mut incoming = Incoming::default();
        let name = body.get("JobName").and_then(Json::text).unwrap_or_default();
        let def = &self.schema.tables[table];
        for (column, value) in
            [("name", Value::Text(name.into())), ("operationtype", Value::Int(13))]
        {
            incoming.changes.extend(def.column(column).map(|c| (c, value)));
        }
        let place = self.create(actor, table, incoming)?;
        let id = id_at(self, table, place);
        let due = actor.now + i64::from(self.settings.bulk_delete_ms);
        self.jobs.push(Job { id, actor: actor.clone(), due, queries });
        let body = format!(
            "{{\"@odata.context\":\"{}/api/data/v9.2/$metadata#Microsoft.Dynamics.CRM.\
             BulkDeleteResponse\",\"JobId\":\"{id}\"}}",
            actor.origin
        );
        Ok(Answer {
            status: 200,
            content_type: Some(JSON),
            body: body.into_bytes(),
            ..Answer::default()
        })
    }

    /// Runs the jobs whose time has come.
    pub(super) fn run_jobs(&mut self, ctx: &CallContext) {
        while !self.change_set
            && let Some(job) = self.jobs.first()
            && (job.due <= ctx.now_ms || self.jobs.len() > WAITING_MAX)
        {
            let job = self.jobs.remove(0);
            self.run_job(ctx, &job);
        }
    }

    fn run_job(&mut self, ctx: &CallContext, job: &Job) {
        let (mut deleted, mut failed) = (0_u32, 0_u32);
        for (table, test) in &job.queries {
            let world = World::of(self, ctx);
            let rows = self.store.tables[*table].rows.iter().enumerate();
            let places: Vec<usize> = rows
                .filter(|(_, row)| row.as_ref().is_some_and(|r| test.holds(&world, &[Some(r)])))
                .map(|(place, _)| place)
                .collect();
            for place in places {
                let mark = self.journal.len();
                if self.delete_at(*table, place).is_ok() {
                    deleted += 1;
                } else {
                    self.undo_to(mark);
                    failed += 1;
                }
            }
        }
        let table = self.table_index("asyncoperation");
        let def = &self.schema.tables[table];
        let Some((state, _, status, _)) = state_lists(def) else { return };
        let outcome = if failed > 0 && deleted == 0 { 31 } else { 30 };
        let mut changes = vec![(state, Value::Int(3)), (status, Value::Int(outcome))];
        let done = Value::Time(ctx.now_ms.div_euclid(1000) * 1000);
        let text = Value::Text(format!("{deleted} rows deleted, {failed} failed.").into());
        for (name, value) in [("startedon", done.clone()), ("completedon", done), ("message", text)]
        {
            changes.extend(def.column(name).map(|c| (c, value)));
        }
        if let Some(place) = self.store.place(table, job.id) {
            // The job's own row takes every one of these values.
            let told = self.update(&job.actor, table, place, changes, Wish::Message);
            debug_assert!(told.is_ok());
        }
        self.journal.clear();
    }
}

fn context(actor: &Actor) -> CallContext {
    CallContext {
        caller: actor.behalf.unwrap_or(actor.user),
        effective_user: actor.user,
        now_ms: actor.now,
        origin: actor.origin.clone(),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, INVALID_ARGUMENT, message)
}

/// A `QueryExpression` as a test of the rows of its table.
fn query(world: &World, json: &Json<'_>) -> Result<(usize, Test), Refusal> {
    let name = json.get("EntityName").and_then(Json::text);
    let name = name.ok_or_else(|| invalid("A query wants 'EntityName'."))?;
    let &table = world.schema.by_name.get(name).ok_or_else(|| unknown_table(name))?;
    if json.get("LinkEntities").is_some_and(|l| !matches!(l, Json::Array(a) if a.is_empty())) {
        return Err(invalid("'LinkEntities' is not supported in this query."));
    }
    match json.get("Criteria") {
        None | Some(Json::Null) => Ok((table, Test::Constant(true))),
        Some(filter) => Ok((table, criteria(world, table, filter, 0)?)),
    }
}

fn list<'j, 'a>(json: &'j Json<'a>, name: &str) -> Result<&'j [Json<'a>], Refusal> {
    match json.get(name) {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(items)) => Ok(items),
        Some(_) => Err(invalid(format!("'{name}' is a list."))),
    }
}

fn criteria(world: &World, table: usize, filter: &Json<'_>, depth: usize) -> Result<Test, Refusal> {
    if depth > DEPTH_MAX {
        return Err(invalid("The filters are nested too deeply."));
    }
    let mut tests = Vec::new();
    for one in list(filter, "Conditions")? {
        tests.push(condition(world, table, one)?);
    }
    for inner in list(filter, "Filters")? {
        tests.push(criteria(world, table, inner, depth + 1)?);
    }
    match filter.get("FilterOperator").and_then(Json::text) {
        None | Some("And") => Ok(Test::And(tests)),
        Some("Or") if tests.is_empty() => Ok(Test::Constant(true)),
        Some("Or") => Ok(Test::Or(tests)),
        Some(other) => Err(invalid(format!("The filter operator '{other}' is not known."))),
    }
}

fn condition(world: &World, table: usize, json: &Json<'_>) -> Result<Test, Refusal> {
    let def = &world.schema.tables[table];
    let name = json.get("AttributeName").and_then(Json::text);
    let name = name.ok_or_else(|| invalid("A condition wants 'AttributeName'."))?;
    let column = def.column(name).ok_or_else(|| unknown_column(name, &def.name))?;
    let operator = json.get("Operator").and_then(Json::text);
    let operator = operator.ok_or_else(|| invalid("A condition wants 'Operator'."))?;
    let values = list(json, "Values")?.iter().map(|item| {
        let value = item.get("Value").unwrap_or(item);
        match value {
            Json::Text(text) => Ok(text.to_string()),
            Json::Number(text) => Ok((*text).to_owned()),
            Json::Bool(b) => Ok(b.to_string()),
            _ => Err(invalid(format!("A value of the condition on '{name}' is none."))),
        }
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let reach = Reach { slot: 0, steps: Vec::new(), table, column };
    let operands = Operands { reach, column: &def.columns[column], values: &values };
    operators::test(world, &of_expression(operator), &operands)
}

/// `FetchXML` name of a condition operator.
fn of_expression(name: &str) -> String {
    let short = match name {
        "Equal" => "eq",
        "NotEqual" => "ne",
        "GreaterThan" => "gt",
        "LessThan" => "lt",
        "GreaterEqual" => "ge",
        "LessEqual" => "le",
        _ => return operators::of_function(name),
    };
    short.to_owned()
}
