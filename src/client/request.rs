//! Pure: paths and headers of the requests the loader makes.

use crate::client::attempt::{ApiRequest, Method};
use crate::client::odata::percent;
use crate::config::job::RequestOptions;
use bytes::Bytes;

/// Path of the Web API below the origin, with both slashes.
///
/// Source: `dataverse-web-api.md` §0.3.
pub const SERVICE_PATH: &str = "/api/data/v9.2/";

/// Content type of JSON bodies.
pub const JSON: &str = "application/json; charset=utf-8";

/// Asks for annotations, and so for the details of an error.
///
/// Source: `dataverse-web-api.md` §2.7, §5.
pub const WITH_ANNOTATIONS: &str = "odata.include-annotations=\"*\"";

/// A message that carries many rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BulkMessage {
    /// `CreateMultiple`.
    Create,
    /// `UpdateMultiple`.
    Update,
    /// `UpsertMultiple`.
    Upsert,
    /// `DeleteMultiple` (elastic tables).
    Delete,
}

impl BulkMessage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Upsert, Self::Delete];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "CreateMultiple",
            Self::Update => "UpdateMultiple",
            Self::Upsert => "UpsertMultiple",
            Self::Delete => "DeleteMultiple",
        }
    }
}

/// Whether a single write may make the row, must find it, or must not find it.
///
/// Source: `dataverse-web-api.md` §4.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precondition {
    /// Update or create, as the case may be.
    None,
    /// `If-Match: *`: update only; 404 when missing.
    MustExist,
    /// `If-None-Match: *`: create only; 412 when there.
    MustNotExist,
}

/// Headers that carry a load's options. In a `$batch` they belong on the parts.
///
/// Source: `dataverse-web-api.md` §5, §3.1.
#[must_use]
pub fn option_headers(options: &RequestOptions) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    let bypass = match (options.bypass_sync, options.bypass_async) {
        (true, true) => Some("CustomSync,CustomAsync"),
        (true, false) => Some("CustomSync"),
        (false, true) => Some("CustomAsync"),
        (false, false) => None,
    };
    if let Some(logic) = bypass {
        headers.push(("MSCRM.BypassBusinessLogicExecution", logic.to_owned()));
    }
    if !options.bypass_steps.is_empty() {
        let steps: Vec<String> =
            options.bypass_steps.iter().map(|id| id.hyphenated().to_string()).collect();
        headers.push(("MSCRM.BypassBusinessLogicExecutionStepIds", steps.join(",")));
    }
    if options.bypass_flows {
        headers.push(("MSCRM.SuppressCallbackRegistrationExpanderJob", "true".to_owned()));
    }
    if options.detect_duplicates {
        headers.push(("MSCRM.SuppressDuplicateDetection", "false".to_owned()));
    }
    if let Some(id) = options.act_for_object {
        headers.push(("CallerObjectId", id.hyphenated().to_string()));
    }
    if let Some(id) = options.act_for_user {
        headers.push(("MSCRMCallerID", id.hyphenated().to_string()));
    }
    headers
}

/// `path` with the load's `tag` parameter, which plug-ins can see.
///
/// Source: `dataverse-web-api.md` §5.
#[must_use]
pub fn tagged(path: String, options: &RequestOptions) -> String {
    match &options.tag {
        None => path,
        Some(tag) => {
            let join = if path.contains('?') { '&' } else { '?' };
            format!("{path}{join}tag={}", percent(tag))
        }
    }
}

/// A bulk message with a finished body `{"Targets":[…]}`.
///
/// Source: `dataverse-web-api.md` §2.1.
#[must_use]
pub fn bulk(
    entity_set: &str,
    message: BulkMessage,
    options: &RequestOptions,
    body: Bytes,
) -> ApiRequest {
    let path = format!("{}/Microsoft.Dynamics.CRM.{}", percent(entity_set), message.name());
    write(Method::Post, path, Precondition::None, options, Some(body))
}

/// A single create with a finished JSON body.
///
/// Source: `dataverse-web-api.md` §4.1.
#[must_use]
pub fn create(entity_set: &str, options: &RequestOptions, body: Bytes) -> ApiRequest {
    write(Method::Post, percent(entity_set), Precondition::None, options, Some(body))
}

/// A single update or upsert of the row at `address` (see `client::odata`) with a finished JSON
/// body.
///
/// Source: `dataverse-web-api.md` §4.2.
#[must_use]
pub fn patch(
    address: String,
    precondition: Precondition,
    options: &RequestOptions,
    body: Bytes,
) -> ApiRequest {
    write(Method::Patch, address, precondition, options, Some(body))
}

/// A single delete of the row at `address`.
///
/// Source: `dataverse-web-api.md` §4.3.
#[must_use]
pub fn delete(address: String, options: &RequestOptions) -> ApiRequest {
    write(Method::Delete, address, Precondition::None, options, None)
}

fn write(
    method: Method,
    path: String,
    precondition: Precondition,
    options: &RequestOptions,
    body: Option<Bytes>,
) -> ApiRequest {
    let mut headers = option_headers(options);
    headers.push(("Prefer", WITH_ANNOTATIONS.to_owned()));
    match precondition {
        Precondition::None => {}
        Precondition::MustExist => headers.push(("If-Match", "*".to_owned())),
        Precondition::MustNotExist => headers.push(("If-None-Match", "*".to_owned())),
    }
    ApiRequest {
        method,
        path: tagged(path, options),
        headers,
        body: body.map(|b| (JSON.to_owned(), b)),
    }
}

/// A read of `path` (encoded, with its query).
#[must_use]
pub fn get(path: impl Into<String>) -> ApiRequest {
    ApiRequest { method: Method::Get, path: path.into(), headers: Vec::new(), body: None }
}

/// Who we are there: user, business unit, organization; its headers carry the parallelism hint.
///
/// Source: `dataverse-web-api.md` §7.3.
#[must_use]
pub fn who_am_i() -> ApiRequest {
    get("WhoAmI")
}

/// The server's version.
///
/// Source: `dataverse-web-api.md` §7.3.
#[must_use]
pub fn retrieve_version() -> ApiRequest {
    get("RetrieveVersion()")
}

/// The organization's unique name.
#[must_use]
pub fn organization_name() -> ApiRequest {
    get("organizations?$select=name")
}

/// All tables with what the loader needs of each. Metadata does not page.
///
/// Source: `dataverse-web-api.md` §8.1.
#[must_use]
pub fn tables() -> ApiRequest {
    get("EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,\
         PrimaryNameAttribute,IsActivity,IsIntersect,IsCustomEntity,TableType")
}

/// What is common to all columns of a table.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn columns(table: &str) -> ApiRequest {
    get(format!(
        "{}/Attributes?$select=LogicalName,SchemaName,AttributeType,AttributeTypeName,AttributeOf,\
         IsValidForCreate,IsValidForUpdate,IsValidForRead,IsSecured,RequiredLevel,AutoNumberFormat",
        definition(table)
    ))
}

/// What only columns of type `cast` (e.g. `String`, `Picklist`) have; `query` selects it.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn columns_of_type(table: &str, cast: &str, query: &str) -> ApiRequest {
    get(format!(
        "{}/Attributes/Microsoft.Dynamics.CRM.{cast}AttributeMetadata?{query}",
        definition(table)
    ))
}

/// The alternate keys of a table.
///
/// Source: `dataverse-web-api.md` §8.3.
#[must_use]
pub fn keys(table: &str) -> ApiRequest {
    get(format!(
        "{}/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus",
        definition(table)
    ))
}

/// Where the lookups of a table lead, with the names used before `@odata.bind`.
///
/// Source: `dataverse-web-api.md` §8.4.
#[must_use]
pub fn lookups(table: &str) -> ApiRequest {
    get(format!(
        "{}/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,\
         ReferencingEntityNavigationPropertyName",
        definition(table)
    ))
}

/// Whether `table` accepts `message`: it does when the answer's `value` is not empty.
///
/// Source: `dataverse-web-api.md` §2.6.
#[must_use]
pub fn message_filter(table: &str, message: BulkMessage) -> ApiRequest {
    let mut request = get(format!(
        "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name%20eq%20@message\
         %20and%20primaryobjecttypecode%20eq%20@table&@message='{}'&@table={}",
        message.name(),
        crate::client::odata::text_literal(table)
    ));
    request.headers.push(("Consistency", "Strong".to_owned()));
    request
}

fn definition(table: &str) -> String {
    format!("EntityDefinitions(LogicalName={})", crate::client::odata::text_literal(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn header<'a>(request: &'a ApiRequest, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn options_become_the_documented_headers() {
        assert!(option_headers(&RequestOptions::default()).is_empty());
        let options = RequestOptions {
            bypass_sync: true,
            bypass_async: true,
            bypass_steps: vec![Uuid::from_u128(1), Uuid::from_u128(2)],
            bypass_flows: true,
            detect_duplicates: true,
            tag: Some("a b&c".to_owned()),
            act_for_object: Some(Uuid::from_u128(3)),
            act_for_user: Some(Uuid::from_u128(4)),
        };
        let request = bulk("accounts", BulkMessage::Create, &options, Bytes::new());
        assert_eq!(
            request.path, "accounts/Microsoft.Dynamics.CRM.CreateMultiple?tag=a%20b%26c",
            "the tag must not add parameters"
        );
        for (name, want) in [
            ("MSCRM.BypassBusinessLogicExecution", "CustomSync,CustomAsync"),
            (
                "MSCRM.BypassBusinessLogicExecutionStepIds",
                "00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002",
            ),
            ("MSCRM.SuppressCallbackRegistrationExpanderJob", "true"),
            ("MSCRM.SuppressDuplicateDetection", "false"),
            ("CallerObjectId", "00000000-0000-0000-0000-000000000003"),
            ("MSCRMCallerID", "00000000-0000-0000-0000-000000000004"),
            ("Prefer", "odata.include-annotations=\"*\""),
        ] {
            assert_eq!(header(&request, name), Some(want), "{name}");
        }
        let only_async = RequestOptions { bypass_async: true, ..RequestOptions::default() };
        assert_eq!(
            option_headers(&only_async),
            [("MSCRM.BypassBusinessLogicExecution", "CustomAsync".to_owned())]
        );
    }

    #[test]
    fn single_writes() {
        let options = RequestOptions { tag: Some("t".to_owned()), ..RequestOptions::default() };
        let id = crate::client::odata::row_by_id("accounts", Uuid::from_u128(1));
        let made = patch(id.clone(), Precondition::MustNotExist, &options, Bytes::from("{}"));
        assert_eq!(made.method, Method::Patch);
        assert_eq!(header(&made, "If-None-Match"), Some("*"));
        assert_eq!(header(&made, "If-Match"), None);
        let changed = patch(id.clone(), Precondition::MustExist, &options, Bytes::from("{}"));
        assert_eq!(header(&changed, "If-Match"), Some("*"));
        let gone = delete(id.clone(), &options);
        assert_eq!((gone.method, gone.path), (Method::Delete, format!("{id}?tag=t")));
        assert!(gone.body.is_none());
        let new = create("accounts", &RequestOptions::default(), Bytes::from("{}"));
        assert_eq!((new.method, new.path.as_str()), (Method::Post, "accounts"));
        assert_eq!(new.body.unwrap().0, JSON);
    }

    #[test]
    fn metadata_paths() {
        assert_eq!(
            keys("new_meter").path,
            "EntityDefinitions(LogicalName='new_meter')/Keys?$select=LogicalName,KeyAttributes,\
             EntityKeyIndexStatus"
        );
        assert!(columns("o'x").path.starts_with("EntityDefinitions(LogicalName='o%27%27x')/"));
        let filter = message_filter("new_meter", BulkMessage::Upsert);
        assert!(filter.path.ends_with("&@message='UpsertMultiple'&@table='new_meter'"));
        assert!(!filter.path.contains(' '));
        assert_eq!(header(&filter, "Consistency"), Some("Strong"));
    }
}
