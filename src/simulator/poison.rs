//! Pure: a plug-in that refuses rows. A standard table loses the whole request by it; of a bulk
//! message on an elastic table only the items that hold the text fail.
//!
//! Source: `dataverse-web-api.md` §2.7.

use super::backend::Backend;
use super::call::{Answer, Call, CallContext, Refusal};
use super::elastic;
use super::operation::subject;
use super::schema::{Storage, TableDef};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "Targets")]
    targets: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "RequestIndex")]
    index: usize,
    #[serde(rename = "Id")]
    id: Uuid,
    #[serde(rename = "StatusCode")]
    status: u16,
}

/// Refuses the call, or those items of it that hold `text`.
///
/// # Errors
/// Always: at least one row is refused.
pub(super) fn refuse(
    backend: &mut impl Backend,
    ctx: &CallContext,
    call: &Call<'_>,
    message: &str,
    text: &str,
) -> Result<Answer, Refusal> {
    let what = subject(call.verb, call.path);
    let schema = backend.schema();
    let table = schema.by_set.get(what.table).and_then(|&t| schema.tables.get(t));
    let elastic = table.filter(|t| t.storage == Storage::Elastic);
    let body = serde_json::from_slice::<Body<'_>>(call.body);
    let (Some(def), true, Ok(body)) = (elastic, what.operation.ends_with("Multiple"), body) else {
        return Err(Refusal::new(400, 0x8004_0265, message)
            .with("ErrorDetails.ApiExceptionSourceKey", "Plugin/Simulator.Poison")
            .with("TraceText", "poison text found in the request"));
    };
    let (mut kept, mut failed, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in body.targets.iter().enumerate() {
        if item.get().contains(text) {
            failed.push((400, message.to_owned()));
            states.push((index, id_of(def, item), 400));
        } else {
            kept.push(index);
        }
    }
    if !kept.is_empty() {
        let items: Vec<&str> = kept.iter().map(|&index| body.targets[index].get()).collect();
        let rest = format!("{{\"Targets\":[{}]}}", items.join(","));
        if let Err(refusal) = backend.execute(ctx, &Call { body: rest.as_bytes(), ..call.clone() })
        {
            let details =
                refusal.annotations.iter().find(|(n, _)| n.ends_with("BulkApiErrorDetails"));
            let Some((_, details)) = details else { return Err(refusal) };
            let details: Vec<Detail> = serde_json::from_str(details).unwrap_or_default();
            for detail in details {
                let index = kept.get(detail.index).copied().unwrap_or(detail.index);
                states.push((index, detail.id, detail.status));
                if detail.status >= 400 {
                    failed.push((detail.status, refusal.message.clone()));
                }
            }
        }
    }
    states.sort_by_key(|(index, ..)| *index);
    Err(elastic::partial_failure(&failed, &states))
}

fn id_of(def: &TableDef, item: &RawValue) -> Uuid {
    let item: serde_json::Value = serde_json::from_str(item.get()).unwrap_or_default();
    let id = def.columns.first().and_then(|key| item.get(&key.name)?.as_str()?.parse().ok());
    id.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::call::{RefusalCode, Verb};
    use crate::simulator::environment::EnvironmentSettings;
    use crate::simulator::model::Model;

    fn poison(path: &str, body: &str) -> (Model, Refusal) {
        let mut model = Model::new(EnvironmentSettings::default());
        let user = model.settings.application_users[0].id;
        let ctx = CallContext {
            caller: user,
            effective_user: user,
            now_ms: 1_750_000_000_000,
            origin: String::new(),
        };
        let call = Call { verb: Verb::Post, path, query: "", headers: &[], body: body.as_bytes() };
        let refusal = refuse(&mut model, &ctx, &call, "no", "K-13").expect_err("refused");
        (model, refusal)
    }

    #[test]
    fn only_the_poisoned_items_of_an_elastic_table_fail() {
        let kind = "\"@odata.type\":\"Microsoft.Dynamics.CRM.new_event\"";
        let body = format!(
            "{{\"Targets\":[{{{kind},\"new_name\":\"a\"}},{{{kind},\"new_name\":\"K-13\"}},\
             {{{kind},\"new_name\":\"b\"}},{{{kind},\"new_name\":\"{}\"}}]}}",
            "x".repeat(101)
        );
        let path = "new_events/Microsoft.Dynamics.CRM.CreateMultiple";
        let (model, refusal) = poison(path, &body);
        let details: Vec<Detail> = serde_json::from_str(&refusal.annotations[0].1).expect("a list");
        let failed: Vec<_> = details.iter().map(|d| (d.index, d.status)).collect();
        assert_eq!(failed, [(1, 400), (3, 400)]);
        assert_eq!(model.store.tables[model.schema.by_name["new_event"]].live, 2);
    }

    #[test]
    fn a_standard_table_refuses_the_whole_request() {
        let path = "accounts/Microsoft.Dynamics.CRM.CreateMultiple";
        let (_, refusal) = poison(path, "{\"Targets\":[{\"name\":\"K-13\"}]}");
        assert_eq!((refusal.status, refusal.code), (400, RefusalCode::Hex(0x8004_0265)));
    }
}
