//! Pure: names of operations, and what they cost before they run.

use super::batch::{Item, Part, below_root};
use super::call::Verb;
use super::latency::Work;
use super::schema::Schema;

/// Functions and actions known by name; others count as `call`.
const CALLS: [&str; 18] = [
    "CreateMultiple",
    "UpdateMultiple",
    "UpsertMultiple",
    "DeleteMultiple",
    "WhoAmI",
    "RetrieveVersion",
    "RetrieveCurrentOrganization",
    "RetrieveTotalRecordCount",
    "RetrieveMetadataChanges",
    "RetrievePrincipalAccess",
    "BulkDelete",
    "CloseIncident",
    "WinOpportunity",
    "LoseOpportunity",
    "ExecuteCosmosSqlQuery",
    "InitializeFileBlocksUpload",
    "UploadBlock",
    "CommitFileBlocksUpload",
];

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject<'a> {
    /// Name of the operation, from a closed set.
    pub operation: &'static str,
    /// Entity set or first path segment without key.
    pub table: &'a str,
}

/// What a request to `path` (below the service root) is about.
#[must_use]
pub fn subject(verb: Verb, path: &str) -> Subject<'_> {
    let path = path.trim_end_matches('/');
    let table = path.split(['(', '/']).next().unwrap_or("");
    let last = path.rsplit('/').next().unwrap_or("");
    let last = last.split('(').next().unwrap_or("");
    let name = last.rsplit('.').next().unwrap_or("");
    let operation = if path == "$batch" || path == "%24batch" {
        "$batch"
    } else if matches!(table, "" | "$metadata" | "%24metadata") || table.ends_with("Definitions") {
        "metadata"
    } else if let Some(known) = CALLS.iter().find(|c| **c == name) {
        known
    } else if last == "$ref" || path.contains("/$ref") {
        "reference"
    } else {
        let keyed = path.contains('(');
        match verb {
            Verb::Get if keyed => "retrieve",
            Verb::Get => "query",
            Verb::Post if keyed || last.contains('.') => "call",
            Verb::Post => "create",
            Verb::Patch => "update",
            Verb::Put => "set",
            Verb::Delete => "delete",
        }
    };
    Subject { operation, table }
}

/// Rows and table class of one operation, as far as they show before it runs.
#[must_use]
pub fn work(schema: &Schema, verb: Verb, path: &str, body: &[u8]) -> Work {
    let subject = subject(verb, path);
    let writes = verb != Verb::Get;
    let index = schema.by_set.get(subject.table).copied().filter(|_| writes);
    let table = index.and_then(|i| schema.tables.get(i).map(|t| (i, t.weight)));
    let rows = if subject.operation.ends_with("Multiple") {
        let items = memchr::memmem::find_iter(body, b"\"@odata.type\"").count();
        u32::try_from(items).unwrap_or(u32::MAX)
    } else {
        u32::from(writes)
    };
    Work { table, rows }
}

/// The same for all operations of a batch.
#[must_use]
pub fn batch_works(schema: &Schema, items: &[Item]) -> Vec<Work> {
    let of = |part: &Part| {
        let path = below_root(&part.url).map_or("", |(path, _)| path);
        work(schema, part.verb, path, &part.body)
    };
    items
        .iter()
        .flat_map(|item| match item {
            Item::Single(part) => std::slice::from_ref(part).iter(),
            Item::ChangeSet(parts) => parts.iter(),
        })
        .map(of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named() {
        for (verb, path, operation, table) in [
            (Verb::Post, "accounts", "create", "accounts"),
            (Verb::Patch, "accounts(accountnumber='a/b')", "update", "accounts"),
            (Verb::Get, "accounts(1)", "retrieve", "accounts"),
            (Verb::Get, "accounts", "query", "accounts"),
            (Verb::Delete, "accounts(1)", "delete", "accounts"),
            (Verb::Put, "accounts(1)/name", "set", "accounts"),
            (
                Verb::Post,
                "accounts/Microsoft.Dynamics.CRM.CreateMultiple",
                "CreateMultiple",
                "accounts",
            ),
            (Verb::Get, "WhoAmI()", "WhoAmI", "WhoAmI"),
            (Verb::Post, "accounts(1)/contacts/$ref", "reference", "accounts"),
            (Verb::Get, "EntityDefinitions(LogicalName='a')/Keys", "metadata", "EntityDefinitions"),
            (Verb::Get, "$metadata", "metadata", "$metadata"),
            (Verb::Post, "$batch", "$batch", "$batch"),
        ] {
            assert_eq!(subject(verb, path), Subject { operation, table }, "{path}");
        }
    }

    #[test]
    fn rows_of_bulk_messages_are_counted() {
        let body = br#"{"Targets":[{"@odata.type":"x"},{"@odata.type":"x"}]}"#;
        let path = "as/Microsoft.Dynamics.CRM.CreateMultiple";
        assert_eq!(work(&Schema::default(), Verb::Post, path, body).rows, 2);
        assert_eq!(work(&Schema::default(), Verb::Post, "as", b"{}").rows, 1);
        assert_eq!(work(&Schema::default(), Verb::Get, "as", b"").rows, 0);
    }
}
