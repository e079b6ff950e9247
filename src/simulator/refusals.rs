//! Pure: the documented refusals, and how they look on the wire.
//!
//! Source: `dataverse-web-api.md` §10.

use super::call::{Refusal, RefusalCode};
use super::json::write_text;
use super::schema::{ColumnDef, TableDef};
use std::fmt::Display;
use uuid::Uuid;

/// `DuplicateRecord`: the primary key is taken.
pub const DUPLICATE: u32 = 0x8004_0237;
/// `DuplicateRecordEntityKey`: an alternate key is taken.
pub const DUPLICATE_KEY: u32 = 0x8006_0892;
/// `ObjectDoesNotExist`.
pub const NOT_FOUND: u32 = 0x8004_0217;
/// `RecordNotFoundByEntityKey`.
pub const NOT_FOUND_BY_KEY: u32 = 0x8006_0891;
/// Payload errors.
pub const PAYLOAD: u32 = 0x8004_8d19;
/// Bad URLs.
pub const BAD_URL: u32 = 0x8006_0888;
/// `UnExpected`.
pub const UNEXPECTED: u32 = 0x8004_0216;
/// `InvalidArgument`.
pub const INVALID_ARGUMENT: u32 = 0x8004_0203;
/// Not implemented.
pub const NOT_IMPLEMENTED: u32 = 0x8004_0219;
/// `InvalidStateCodeStatusCode`.
pub const STATE_STATUS: u32 = 0x8004_8408;

/// A body that does not fit the table.
#[must_use]
pub fn payload(set: &str, inner: impl Display) -> Refusal {
    Refusal::new(
        400,
        PAYLOAD,
        format!(
            "Error identified in Payload provided by the user for Entity :'{set}', For more \
             information on this error please follow this help link \
             https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : \
             Microsoft.OData.ODataException: {inner}"
        ),
    )
}

/// A name that is neither column nor navigation property (case counts).
#[must_use]
pub fn undeclared(set: &str, table: &str, name: &str) -> Refusal {
    let inner = match name.split_once('@') {
        Some((base, _)) => format!(
            "An undeclared property '{base}' which only has property annotations in the payload \
             but no property value was found in the payload. In OData, only declared navigation \
             properties and declared named streams can be represented as properties without values."
        ),
        None => format!(
            "The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table}'. Make \
             sure to only use property names that are defined by the type."
        ),
    };
    payload(set, inner)
}

/// A value of the wrong JSON type or form.
#[must_use]
pub fn cannot_convert(set: &str, literal: impl Display, edm: &str) -> Refusal {
    payload(set, format!("Cannot convert the literal '{literal}' to the expected type '{edm}'."))
}

/// A row addressed by id that is not there.
#[must_use]
pub fn row_missing(status: u16, table: &str, id: Uuid) -> Refusal {
    Refusal::new(status, NOT_FOUND, format!("{table} With Id = {id} Does Not Exist"))
}

/// A row addressed by alternate key that is not there.
#[must_use]
pub fn key_missing(status: u16, table: &str) -> Refusal {
    Refusal::new(
        status,
        NOT_FOUND_BY_KEY,
        format!("A record with the specified key values does not exist in {table} entity"),
    )
}

/// The primary key is taken.
#[must_use]
pub fn duplicate_id() -> Refusal {
    Refusal::new(412, DUPLICATE, "Cannot insert duplicate key.")
}

/// An alternate key is taken by `holder`.
#[must_use]
pub fn duplicate_key(columns: &[&ColumnDef], key: &str, given: &[String], holder: Uuid) -> Refusal {
    let names: Vec<&str> = columns.iter().map(|c| c.display_name.as_str()).collect();
    let mut attributes = String::from("<DuplicateAttributes>");
    for (column, value) in columns.iter().zip(given) {
        let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        attributes.push_str(&format!("<{0}>{value}</{0}>", column.name));
    }
    attributes.push_str("</DuplicateAttributes>");
    Refusal::new(
        412,
        DUPLICATE_KEY,
        format!(
            "A record that has the attribute values {} already exists. The entity key {key} \
             requires that this set of attributes contains unique values. Select unique values \
             and try again.",
            names.join(", ")
        ),
    )
    .with("ErrorDetails.DuplicateAttributes", attributes)
    .with("ErrorDetails.DuplicateEntity", holder.to_string())
}

/// Text beyond `MaxLength`.
#[must_use]
pub fn too_long(table: &TableDef, column: &ColumnDef, max: usize) -> Refusal {
    Refusal::new(
        400,
        0x8004_4331,
        format!(
            "A validation error occurred.  The length of the '{}' attribute of the '{}' entity \
             exceeded the maximum allowed length of '{max}'.",
            column.name, table.name
        ),
    )
}

/// A number outside its column's bounds, or an unknown option.
#[must_use]
pub fn out_of_range(
    code: u32,
    table: &TableDef,
    column: &ColumnDef,
    value: impl Display,
    accepted: &str,
) -> Refusal {
    Refusal::new(
        400,
        code,
        format!(
            "A validation error occurred. The value {value} of '{}' on record of type '{}' is \
             outside the valid range. Accepted Values: {accepted}",
            column.name, table.name
        ),
    )
}

/// A column the service keeps for itself.
#[must_use]
pub fn not_writable(column: &ColumnDef, creating: bool) -> Refusal {
    let (code, verb) = if creating { (0x8004_1a01, "create") } else { (0x8004_1a02, "update") };
    Refusal::new(400, code, format!("The attribute '{}' is not valid for {verb}.", column.name))
}

/// A column the API insists on.
#[must_use]
pub fn required(table: &TableDef, column: &ColumnDef) -> Refusal {
    Refusal::new(
        400,
        0x8004_0200,
        format!("Required field '{}' is missing on entity '{}'.", column.name, table.name),
    )
}

/// Something this simulator, like the service, does not do.
#[must_use]
pub fn not_implemented(what: impl Display) -> Refusal {
    Refusal::new(501, NOT_IMPLEMENTED, format!("{what} has not yet been implemented."))
}

/// A URL that leads nowhere.
#[must_use]
pub fn no_such_resource(segment: &str) -> Refusal {
    Refusal::new(404, 0x8006_088a, format!("Resource not found for the segment '{segment}'."))
}

/// A URL of the wrong form.
#[must_use]
pub fn bad_url(message: impl Into<String>) -> Refusal {
    Refusal::new(400, BAD_URL, message)
}

/// A method the resource does not offer.
#[must_use]
pub fn method_not_allowed(verb: &str) -> Refusal {
    Refusal {
        status: 405,
        code: RefusalCode::Text(String::new()),
        message: format!("The requested resource does not support http method '{verb}'."),
        annotations: Vec::new(),
    }
}

/// The JSON of a refusal.
///
/// Source: `dataverse-web-api.md` §10.1.
#[must_use]
pub fn refusal_body(refusal: &Refusal, annotations_wanted: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"error\":{\"code\":");
    match &refusal.code {
        RefusalCode::Hex(code) => write_text(&mut out, &format!("0x{code:08x}")),
        RefusalCode::Text(code) => write_text(&mut out, code),
    }
    out.extend_from_slice(b",\"message\":");
    write_text(&mut out, &refusal.message);
    if annotations_wanted {
        let category = if refusal.status >= 500 { "SystemFailure" } else { "ClientError" };
        let status = refusal.status.to_string();
        let standing = [
            ("ErrorDetails.ApiExceptionHttpStatusCode", status.as_str()),
            ("ErrorDetails.ApiExceptionCategory", category),
            ("ErrorDetails.ApiExceptionSourceKey", "Plugin/Microsoft.Crm.Common.ObjectModel"),
            ("InnerError.Message", refusal.message.as_str()),
        ];
        let own = refusal.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in standing.into_iter().chain(own) {
            out.extend_from_slice(b",\"@Microsoft.PowerApps.CDS.");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            write_text(&mut out, value);
        }
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_appear_only_when_asked_for() {
        let refusal = duplicate_id().with("ErrorDetails.X", "a\"b");
        let plain = String::from_utf8(refusal_body(&refusal, false)).expect("text");
        assert_eq!(
            plain,
            r#"{"error":{"code":"0x80040237","message":"Cannot insert duplicate key."}}"#
        );
        let full: serde_json::Value =
            serde_json::from_slice(&refusal_body(&refusal, true)).expect("JSON");
        assert_eq!(full["error"]["@Microsoft.PowerApps.CDS.ErrorDetails.X"], "a\"b");
        assert_eq!(
            full["error"]["@Microsoft.PowerApps.CDS.ErrorDetails.ApiExceptionHttpStatusCode"],
            "412"
        );
    }
}
