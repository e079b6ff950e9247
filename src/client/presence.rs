//! Pure: asks which of many rows are there, in as few requests as the length of a URL allows.

use crate::client::attempt::ApiRequest;
use crate::client::odata::{percent, text_literal};
use crate::client::request;
use crate::limits::URL_CHARS_MAX;
use std::ops::Range;
use uuid::Uuid;

/// Characters left for origin and service path when a URL's length is reckoned.
const ORIGIN_CHARS: usize = 300;

/// Most values of one query, so that the answer fits one page even of an elastic table.
///
/// Source: `dataverse-web-api.md` §1.5.
const VALUES_MAX: usize = 500;

/// Columns that show who made a row and when, for [`by_ids`].
///
/// Source: `delivery-guarantees.md` §6.3.
pub const MARKERS: [&str; 3] = ["createdon", "_createdby_value", "importsequencenumber"];

/// One query and the values it asks for.
#[derive(Clone, Debug)]
pub struct PresenceQuery {
    /// Indexes of the values within the list given.
    pub values: Range<usize>,
    /// The request.
    pub request: ApiRequest,
}

/// A value too long to be asked for by URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("value {index} takes {chars} characters of a URL; a whole URL has at most {URL_CHARS_MAX}")]
pub struct ValueTooLong {
    /// Its index.
    pub index: usize,
    /// Its length once encoded.
    pub chars: usize,
}

/// Which of `ids` are rows of the table; `also` names further columns to read.
///
/// Source: `dataverse-web-api.md` §7.1, §7.3.
#[must_use]
pub fn by_ids(
    entity_set: &str,
    primary_id: &str,
    ids: &[Uuid],
    also: &[&str],
) -> Vec<PresenceQuery> {
    let select: Vec<&str> = [&[primary_id], also].concat();
    let encoded = ids.iter().map(|id| format!("%22{}%22", id.hyphenated()));
    // A GUID takes 42 characters, so it always fits.
    plan(entity_set, &select, primary_id, encoded).unwrap_or_default()
}

/// Which rows have one of `values` in text column `column`; `select` names the columns to read.
///
/// # Errors
/// [`ValueTooLong`] when a single value does not fit a URL.
///
/// Source: `dataverse-web-api.md` §7.1, §7.3.
pub fn by_texts(
    entity_set: &str,
    select: &[&str],
    column: &str,
    values: &[&str],
) -> Result<Vec<PresenceQuery>, ValueTooLong> {
    let encoded = values.iter().map(|value| {
        // The list is JSON, so a value is a JSON string before it is percent-encoded.
        percent(&serde_json::Value::from(*value).to_string())
    });
    plan(entity_set, select, column, encoded)
}

fn plan(
    entity_set: &str,
    select: &[&str],
    column: &str,
    encoded: impl Iterator<Item = String>,
) -> Result<Vec<PresenceQuery>, ValueTooLong> {
    let select: Vec<String> = select.iter().map(|c| percent(c)).collect();
    let head = format!(
        "{}?$select={}&$filter=Microsoft.Dynamics.CRM.In(PropertyName={},PropertyValues=%5B",
        percent(entity_set),
        select.join(","),
        text_literal(column)
    );
    let tail = "%5D)";
    let room = URL_CHARS_MAX.saturating_sub(ORIGIN_CHARS + head.len() + tail.len());
    let mut queries = Vec::new();
    let mut list = String::new();
    let mut start = 0;
    let mut next = 0;
    let close = |list: &mut String, values: Range<usize>| PresenceQuery {
        values,
        request: request::get(format!("{head}{}{tail}", std::mem::take(list))),
    };
    for (index, value) in encoded.enumerate() {
        if value.len() > room {
            return Err(ValueTooLong { index, chars: value.len() });
        }
        let full = index - start == VALUES_MAX || list.len() + 1 + value.len() > room;
        if full && index > start {
            queries.push(close(&mut list, start..index));
            start = index;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&value);
        next = index + 1;
    }
    if next > start {
        queries.push(close(&mut list, start..next));
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_query_for_few_ids() {
        let got = by_ids("accounts", "accountid", &[Uuid::from_u128(1), Uuid::from_u128(2)], &[]);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].values, 0..2);
        assert_eq!(
            got[0].request.path,
            "accounts?$select=accountid&$filter=Microsoft.Dynamics.CRM.In(PropertyName='accountid',\
             PropertyValues=%5B%2200000000-0000-0000-0000-000000000001%22,\
             %2200000000-0000-0000-0000-000000000002%22%5D)"
        );
        assert!(by_ids("accounts", "accountid", &[], &[]).is_empty());
        let marked = by_ids("accounts", "accountid", &[Uuid::from_u128(1)], &MARKERS);
        assert!(
            marked[0]
                .request
                .path
                .contains("$select=accountid,createdon,_createdby_value,importsequencenumber&")
        );
    }

    #[test]
    fn texts_are_json_within_the_url() {
        let got = by_texts("accounts", &["accountid"], "name", &["a\"b", "x&y=1"]).unwrap();
        let path = &got[0].request.path;
        assert!(path.contains("%5B%22a%5C%22b%22,%22x%26y%3D1%22%5D"), "{path}");
        let long = "x".repeat(40_000);
        let refused = by_texts("accounts", &["accountid"], "name", &["a", &long]).unwrap_err();
        assert_eq!(refused.index, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_value_once_and_no_url_too_long(
            lengths in prop::collection::vec(1_usize..3000, 0..200),
            ids in 0_usize..1700,
        ) {
            let texts: Vec<String> = lengths.iter().map(|n| "ü".repeat(*n)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let by_text = by_texts("sets", &["id"], "name", &texts).unwrap();
            let ids: Vec<Uuid> = (0..ids as u128).map(Uuid::from_u128).collect();
            let by_id = by_ids("sets", "id", &ids, &MARKERS);
            for (queries, count) in [(by_text, texts.len()), (by_id, ids.len())] {
                let mut next = 0;
                for query in queries {
                    prop_assert_eq!(query.values.start, next);
                    prop_assert!(!query.values.is_empty() && query.values.len() <= VALUES_MAX);
                    next = query.values.end;
                    prop_assert!(query.request.path.len() + ORIGIN_CHARS <= URL_CHARS_MAX);
                }
                prop_assert_eq!(next, count);
            }
        }
    }
}
