//! Pure: reads successful answers. Ids are read strictly and without a JSON tree; fields the
//! loader does not know are passed over.

use crate::client::request::SERVICE_PATH;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::fmt;
use uuid::Uuid;

/// Why a successful answer cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadReplyError {
    /// No JSON of the expected shape.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// A link leads away from the configured environment.
    #[error("link {link:?} does not lead to {origin}{SERVICE_PATH}")]
    ForeignLink {
        /// The link, cut to 200 characters.
        link: String,
        /// The configured origin.
        origin: String,
    },
}

/// Whether `status` says that the request was carried out. Services answer 200 and 204 to the
/// same message, so nobody asks for one of them.
///
/// Source: `dataverse-web-api.md` §12 row 12.
#[must_use]
pub const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// The ids of a `CreateMultiple` answer, in the order of its targets.
///
/// # Errors
/// [`ReadReplyError::Unreadable`] when `Ids` is missing or holds anything but GUIDs.
///
/// Source: `dataverse-web-api.md` §2.2.
pub fn created_ids(body: &[u8]) -> Result<Vec<Uuid>, ReadReplyError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Ids")]
        ids: Vec<Guid>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(answer.ids.into_iter().map(|Guid(id)| id).collect())
}

/// A row found by a presence query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresentRow {
    /// Its id.
    pub id: Uuid,
    /// `createdon` as answered.
    pub created_on: Option<String>,
    /// `_createdby_value`.
    pub created_by: Option<Uuid>,
    /// `importsequencenumber`.
    pub import_sequence: Option<i64>,
}

/// One page of a presence answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresencePage {
    /// Rows of the page.
    pub rows: Vec<PresentRow>,
    /// Path of the next page, relative to the service, ready for a request.
    pub next: Option<String>,
}

/// Reads an answer to a presence query of a table whose id column is `primary_id`; `origin` is
/// the environment's.
///
/// # Errors
/// [`ReadReplyError`], also when a row lacks its id.
///
/// Source: `dataverse-web-api.md` §7.2.
pub fn presence(
    body: &[u8],
    primary_id: &str,
    origin: &str,
) -> Result<PresencePage, ReadReplyError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let (rows, link) = PageSeed { primary_id }.deserialize(&mut json).map_err(unreadable)?;
    json.end().map_err(unreadable)?;
    let next = link.map(|l| service_path(&l, origin).map(str::to_owned)).transpose()?;
    Ok(PresencePage { rows, next })
}

/// Ids by the text of `column`, from an answer to a query that selected both.
///
/// # Errors
/// [`ReadReplyError`], also when a row lacks its id.
pub fn ids_by_text(
    body: &[u8],
    primary_id: &str,
    column: &str,
) -> Result<Vec<(String, Uuid)>, ReadReplyError> {
    #[derive(serde::Deserialize)]
    struct Page {
        value: Vec<serde_json::Map<String, serde_json::Value>>,
    }
    let page: Page = serde_json::from_slice(body).map_err(unreadable)?;
    page.value
        .iter()
        .map(|row| {
            let text = |name: &str| row.get(name).and_then(serde_json::Value::as_str);
            let id = text(primary_id).and_then(guid);
            let id = id.ok_or_else(|| {
                use serde::de::Error;
                unreadable(serde_json::Error::custom(format!("a row without {primary_id}")))
            })?;
            Ok((text(column).unwrap_or_default().to_owned(), id))
        })
        .collect()
}

/// The part of `link` after the service root of `origin`.
///
/// # Errors
/// [`ReadReplyError::ForeignLink`] when it leads anywhere else.
///
/// Source: `delivery-guarantees.md` §14.
pub fn service_path<'a>(link: &'a str, origin: &str) -> Result<&'a str, ReadReplyError> {
    let origin = origin.trim_end_matches('/');
    link.get(..origin.len())
        .filter(|start| start.eq_ignore_ascii_case(origin))
        .and_then(|_| link[origin.len()..].strip_prefix(SERVICE_PATH))
        .filter(|path| !path.contains(|c: char| c.is_control()))
        .ok_or_else(|| ReadReplyError::ForeignLink {
            link: link.chars().take(200).collect(),
            origin: origin.to_owned(),
        })
}

/// The GUID an `OData-EntityId` ends with; `None` when it names the row by alternate key.
///
/// # Errors
/// [`ReadReplyError::ForeignLink`].
///
/// Source: `dataverse-web-api.md` §4.1, §4.2.
pub fn entity_id(link: &str, origin: &str) -> Result<Option<Uuid>, ReadReplyError> {
    let path = service_path(link, origin)?;
    Ok(path.strip_suffix(')').and_then(|p| p.rsplit_once('(')).and_then(|(_, id)| guid(id)))
}

/// A GUID in its usual form of 36 characters, any case.
#[must_use]
pub fn guid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

fn unreadable(error: serde_json::Error) -> ReadReplyError {
    ReadReplyError::Unreadable(error.to_string())
}

struct Guid(Uuid);

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GuidVisitor;
        impl Visitor<'_> for GuidVisitor {
            type Value = Guid;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a GUID")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Guid, E> {
                guid(text).map(Guid).ok_or_else(|| E::custom("expected a GUID"))
            }
        }
        deserializer.deserialize_str(GuidVisitor)
    }
}

struct PageSeed<'k> {
    primary_id: &'k str,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = (Vec<PresentRow>, Option<String>);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = (Vec<PresentRow>, Option<String>);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `value`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut rows, mut link) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "value" => rows = Some(map.next_value_seed(RowsSeed(self.primary_id))?),
                "@odata.nextLink" => link = map.next_value::<Option<String>>()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((rows.ok_or_else(|| A::Error::missing_field("value"))?, link))
    }
}

struct RowsSeed<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = Vec<PresentRow>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = Vec<PresentRow>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element_seed(RowSeed(self.0))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

struct RowSeed<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = PresentRow;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = PresentRow;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row with `{}`", self.0)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut created_on, mut created_by, mut import_sequence) =
            (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                id = Some(map.next_value::<Guid>()?.0);
                continue;
            }
            match key.as_str() {
                "createdon" => created_on = map.next_value()?,
                "_createdby_value" => {
                    created_by = map.next_value::<Option<Guid>>()?.map(|Guid(id)| id);
                }
                "importsequencenumber" => import_sequence = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let id = id.ok_or_else(|| A::Error::custom(format_args!("a row lacks `{}`", self.0)))?;
        Ok(PresentRow { id, created_on, created_by, import_sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: &str = "https://contoso.crm4.dynamics.com";

    #[test]
    fn ids_are_read_strictly() {
        let body = br#"{"@odata.context":"https://c/$metadata#x","Ids":[
            "F0C70000-0000-0000-0000-000000000001","6a7e5c1e-0d56-4e60-8a0b-0a3a3a8c2b11"],"X":{}}"#;
        let got = created_ids(body).unwrap();
        assert_eq!(got[0], Uuid::from_u128(0xf0c7_0000_0000_0000_0000_0000_0000_0001));
        assert_eq!(got.len(), 2);
        assert!(created_ids(br#"{"Ids":[]}"#).unwrap().is_empty());
        for bad in [
            r#"{"Ids":["{6a7e5c1e-0d56-4e60-8a0b-0a3a3a8c2b11}"]}"#,
            r#"{"Ids":["6a7e5c1e0d564e608a0b0a3a3a8c2b11"]}"#,
            r#"{"Ids":[null]}"#,
            r#"{"Ids":null}"#,
            r#"{"ids":[]}"#,
            r#"{"Ids":[]} x"#,
            r#"{"Ids":["6a7e5c1e-0d56-4e60-8a0b-0a3a3a8c2b1"#,
            "",
        ] {
            assert!(created_ids(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn presence_pages() {
        let body = r#"{"@odata.context":"x","value":[
            {"@odata.etag":"W/\"1\"","accountid":"00000000-0000-0000-0000-000000000001",
             "createdon":"2025-01-01T00:00:00Z","importsequencenumber":7,
             "_createdby_value":"00000000-0000-0000-0000-000000000009"},
            {"accountid":"00000000-0000-0000-0000-000000000002","importsequencenumber":null}],
            "@odata.nextLink":"https://CONTOSO.crm4.dynamics.com/api/data/v9.2/accounts?$x=%3C"}"#;
        let got = presence(body.as_bytes(), "accountid", ORIGIN).unwrap();
        assert_eq!(got.rows.len(), 2);
        assert_eq!(got.rows[0].import_sequence, Some(7));
        assert_eq!(got.rows[0].created_by, Some(Uuid::from_u128(9)));
        assert_eq!(got.rows[0].created_on.as_deref(), Some("2025-01-01T00:00:00Z"));
        assert_eq!(got.rows[1].id, Uuid::from_u128(2));
        assert_eq!(got.next.as_deref(), Some("accounts?$x=%3C"));
        let foreign = body.replace("CONTOSO.crm4", "evil");
        assert!(matches!(
            presence(foreign.as_bytes(), "accountid", ORIGIN),
            Err(ReadReplyError::ForeignLink { .. })
        ));
        for bad in [r#"{"value":[{"x":1}]}"#, "{}", "[]", r#"{"value":[]}}"#] {
            assert!(presence(bad.as_bytes(), "accountid", ORIGIN).is_err(), "{bad}");
        }
        let empty = presence(br#"{"value":[]}"#, "accountid", ORIGIN).unwrap();
        assert_eq!(empty, PresencePage { rows: vec![], next: None });
    }

    #[test]
    fn links_stay_within_the_environment() {
        let root = format!("{ORIGIN}/api/data/v9.2/");
        assert_eq!(service_path(&format!("{root}a?b"), ORIGIN).unwrap(), "a?b");
        assert_eq!(service_path(&format!("{root}a"), &format!("{ORIGIN}/")).unwrap(), "a");
        for bad in [
            "https://contoso.crm4.dynamics.com.evil.test/api/data/v9.2/a",
            "https://contoso.crm4.dynamics.com@evil.test/api/data/v9.2/a",
            "https://contoso.crm4.dynamics.com/api/data/v9.1/a",
            "/api/data/v9.2/a",
            "http://contoso.crm4.dynamics.com/api/data/v9.2/a",
            "https://contoso.crm4.dynamics.com/api/data/v9.2/a\r\nX: y",
            "ü",
        ] {
            assert!(service_path(bad, ORIGIN).is_err(), "{bad}");
        }
        let id = "00000000-0000-0000-0000-000000000001";
        for (tail, want) in [
            (format!("accounts({id})"), Some(Uuid::from_u128(1))),
            ("accounts(accountnumber='(1)')".to_owned(), None),
            (format!("accounts({id}"), None),
            ("accounts".to_owned(), None),
        ] {
            assert_eq!(entity_id(&format!("{root}{tail}"), ORIGIN).unwrap(), want, "{tail}");
        }
    }

    proptest! {
        #[test]
        fn ids_survive(ids in prop::collection::vec(any::<u128>(), 0..4)) {
            let ids: Vec<Uuid> = ids.into_iter().map(Uuid::from_u128).collect();
            let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let body = serde_json::json!({ "Ids": texts }).to_string();
            prop_assert_eq!(created_ids(body.as_bytes()).unwrap(), ids);
            for cut in 0..body.len() {
                prop_assert!(created_ids(&body.as_bytes()[..cut]).is_err());
            }
        }

        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = created_ids(text.as_bytes());
            let _ = presence(text.as_bytes(), "id", ORIGIN);
            let _ = entity_id(&text, ORIGIN);
        }
    }
}
