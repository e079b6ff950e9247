//! A model under test and short ways to call it.

use crate::simulator::call::{Answer, Call, CallContext, Refusal, RefusalCode, Verb};
use crate::simulator::model::Model;
use crate::simulator::settings::Settings;
use crate::simulator::value::Value;
use uuid::Uuid;

pub(super) struct Kit {
    pub(super) model: Model,
    pub(super) ctx: CallContext,
}

pub(super) fn kit() -> Kit {
    kit_with(Settings::default())
}

pub(super) fn kit_with(settings: Settings) -> Kit {
    let user = settings.application_users[0].id;
    let ctx = CallContext {
        caller: user,
        effective_user: user,
        now_ms: 1_750_000_000_999,
        origin: "http://h".to_owned(),
    };
    Kit { model: Model::new(settings), ctx }
}

/// The n-th id of a test.
pub(super) fn id(n: u32) -> Uuid {
    Uuid::from_u128(0x1111_0000_0000_4000_8000_0000_0000_0000 | u128::from(n))
}

impl Kit {
    pub(super) fn call(
        &mut self,
        verb: Verb,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Refusal> {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = Call { verb, path, query, headers: &headers, body: body.as_bytes() };
        self.model.execute(&self.ctx, &call)
    }

    pub(super) fn post(&mut self, path: &str, body: &str) -> Result<Answer, Refusal> {
        self.call(Verb::Post, path, &[], body)
    }

    /// Posts what must be accepted.
    pub(super) fn make(&mut self, path: &str, body: &str) -> Answer {
        self.post(path, body).unwrap_or_else(|e| panic!("{path} {body}: {e:?}"))
    }

    pub(super) fn value(&self, table: &str, id: Uuid, column: &str) -> Value {
        let t = self.model.schema.by_name[table];
        let row = self.model.store.row(t, id).unwrap_or_else(|| panic!("{table} {id} exists"));
        row.values[self.model.schema.tables[t].by_column[column]].clone()
    }

    pub(super) fn count(&self, table: &str) -> usize {
        let t = self.model.schema.by_name[table];
        let rows = &self.model.store.tables[t];
        assert_eq!(rows.live, rows.iter().count());
        rows.live
    }
}

/// Status and code of a refusal.
pub(super) fn code(result: Result<Answer, Refusal>) -> (u16, u32) {
    match result {
        Err(Refusal { status, code: RefusalCode::Hex(code), .. }) => (status, code),
        other => panic!("a refusal with a hexadecimal code is expected, not {other:?}"),
    }
}

pub(super) fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("answers are UTF-8")
}
