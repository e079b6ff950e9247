//! Pure: converted rows to request bodies, by joining bytes. Sizes are known before a byte is
//! written, so that a planner can cut by bytes.
//!
//! Source: `dataverse-web-api.md` §2.1–2.5, §4.1, §4.2.

use uuid::Uuid;

/// Length of a GUID as text.
const GUID_BYTES: usize = 36;
/// `{"Targets":[` and `]}`.
const OPEN: &[u8] = b"{\"Targets\":[";
const CLOSE: &[u8] = b"]}";

/// What of a row goes into a body.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// Its id: pinned, or given by the source. `None` when Dataverse makes it or an alternate
    /// key addresses the row.
    pub id: Option<Uuid>,
    /// `name='x',other=1`, percent-encoded; empty when there is none.
    pub address: &'a [u8],
    /// `"name":"x","revenue":1.50`; may be empty.
    pub members: &'a [u8],
}

/// Writes the bodies of one table.
#[derive(Clone, Debug)]
pub struct BodyWriter {
    /// `{"@odata.type":"Microsoft.Dynamics.CRM.account"`.
    item: Vec<u8>,
    /// `"accountid":"`.
    id: Vec<u8>,
    /// `"@odata.id":"accounts(`.
    address: Vec<u8>,
}

impl BodyWriter {
    /// For the table with this logical name, primary key column and entity set.
    #[must_use]
    pub fn new(logical_name: &str, primary_id: &str, entity_set: &str) -> Self {
        Self {
            item: format!("{{\"@odata.type\":\"Microsoft.Dynamics.CRM.{logical_name}\"")
                .into_bytes(),
            id: format!("\"{primary_id}\":\"").into_bytes(),
            address: format!("\"@odata.id\":\"{entity_set}(").into_bytes(),
        }
    }

    /// Exact size of `row` as an item of `Targets`, bytes.
    #[must_use]
    pub fn item_bytes(&self, row: &RowRef<'_>) -> usize {
        let mut bytes = self.item.len() + 1;
        if row.id.is_some() {
            bytes += 1 + self.id.len() + GUID_BYTES + 1;
        }
        if !row.address.is_empty() {
            bytes += 1 + self.address.len() + row.address.len() + 2;
        }
        if !row.members.is_empty() {
            bytes += 1 + row.members.len();
        }
        bytes
    }

    /// Exact size of a bulk body of `rows` items that are `items_bytes` large together.
    #[must_use]
    pub const fn bulk_bytes(rows: usize, items_bytes: usize) -> usize {
        OPEN.len() + items_bytes + rows.saturating_sub(1) + CLOSE.len()
    }

    /// Body of `CreateMultiple`, `UpdateMultiple`, `UpsertMultiple` or `DeleteMultiple`.
    #[must_use]
    pub fn bulk<'a>(&self, rows: impl Iterator<Item = RowRef<'a>> + Clone) -> Vec<u8> {
        let (count, items) =
            rows.clone().fold((0, 0), |(n, bytes), row| (n + 1, bytes + self.item_bytes(&row)));
        let mut out = Vec::with_capacity(Self::bulk_bytes(count, items));
        out.extend_from_slice(OPEN);
        for (i, row) in rows.enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.item);
            if let Some(id) = row.id {
                out.push(b',');
                self.write_id(id, &mut out);
            }
            if !row.address.is_empty() {
                out.push(b',');
                out.extend_from_slice(&self.address);
                out.extend_from_slice(row.address);
                out.extend_from_slice(b")\"");
            }
            if !row.members.is_empty() {
                out.push(b',');
                out.extend_from_slice(row.members);
            }
            out.push(b'}');
        }
        out.extend_from_slice(CLOSE);
        out
    }

    /// Body of a single `POST` (with the id, when the row has one).
    #[must_use]
    pub fn create(&self, row: &RowRef<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(row.members.len() + self.id.len() + GUID_BYTES + 4);
        out.push(b'{');
        if let Some(id) = row.id {
            self.write_id(id, &mut out);
            if !row.members.is_empty() {
                out.push(b',');
            }
        }
        out.extend_from_slice(row.members);
        out.push(b'}');
        out
    }

    /// Body of a single `PATCH`, whose URL names the row.
    #[must_use]
    pub fn patch(row: &RowRef<'_>) -> Vec<u8> {
        [b"{", row.members, b"}"].concat()
    }

    fn write_id(&self, id: Uuid, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        let mut buffer = [0; GUID_BYTES];
        out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn writer() -> BodyWriter {
        BodyWriter::new("account", "accountid", "accounts")
    }

    #[derive(Clone, Debug)]
    struct Row {
        id: Option<u128>,
        address: Option<String>,
        values: Map<String, Value>,
    }

    impl Row {
        fn members(&self) -> Vec<u8> {
            let text = Value::Object(self.values.clone()).to_string();
            text.as_bytes()[1..text.len() - 1].to_vec()
        }

        fn item(&self) -> Value {
            let mut item = self.values.clone();
            item.insert("@odata.type".into(), "Microsoft.Dynamics.CRM.account".into());
            if let Some(id) = self.id {
                item.insert("accountid".into(), Uuid::from_u128(id).to_string().into());
            }
            if let Some(address) = &self.address {
                item.insert("@odata.id".into(), format!("accounts({address})").into());
            }
            Value::Object(item)
        }
    }

    fn row() -> impl Strategy<Value = Row> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,10}".prop_map(Value::from),
        ];
        (
            proptest::option::of(any::<u128>()),
            proptest::option::of("[a-z]{1,5}='[a-zA-Z0-9%]{0,8}'"),
            proptest::collection::btree_map("new_[a-z]{1,6}", value, 0..5),
        )
            .prop_map(|(id, address, values)| Row {
                id,
                address,
                values: values.into_iter().collect(),
            })
    }

    proptest! {
        #[test]
        fn is_what_a_tree_of_values_gives(rows in proptest::collection::vec(row(), 0..6)) {
            let members: Vec<Vec<u8>> = rows.iter().map(Row::members).collect();
            let refs: Vec<RowRef<'_>> = rows
                .iter()
                .zip(&members)
                .map(|(row, members)| RowRef {
                    id: row.id.map(Uuid::from_u128),
                    address: row.address.as_deref().unwrap_or_default().as_bytes(),
                    members,
                })
                .collect();
            let body = writer().bulk(refs.iter().copied());
            let items: usize = refs.iter().map(|r| writer().item_bytes(r)).sum();
            prop_assert_eq!(body.len(), BodyWriter::bulk_bytes(rows.len(), items));
            prop_assert_eq!(body.capacity(), body.len());
            let slow = json!({ "Targets": rows.iter().map(Row::item).collect::<Vec<_>>() });
            prop_assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), slow);
            for (row, reference) in rows.iter().zip(&refs) {
                let patch: Value = serde_json::from_slice(&BodyWriter::patch(reference)).unwrap();
                prop_assert_eq!(patch, Value::Object(row.values.clone()));
                let create: Value = serde_json::from_slice(&writer().create(reference)).unwrap();
                let mut expect = row.values.clone();
                if let Some(id) = row.id {
                    expect.insert("accountid".into(), Uuid::from_u128(id).to_string().into());
                }
                prop_assert_eq!(create, Value::Object(expect));
            }
        }
    }
}
