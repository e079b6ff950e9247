//! Pure: refusals of reads.

use crate::simulator::call::Refusal;
use uuid::Uuid;

/// A URL or query the service does not understand.
///
/// Source: `dataverse-web-api.md` §10.3, §12 row 34.
pub fn bad_query(message: impl Into<String>) -> Refusal {
    Refusal::new(400, 0x8006_0888, message)
}

/// A query option outside the supported set.
///
/// Source: `dataverse-web-api.md` §7.1.
pub fn unsupported_option(name: &str) -> Refusal {
    bad_query(format!("The query parameter {name} is not supported"))
}

/// A property the type does not have; `type_name` without namespace.
pub fn unknown_property(property: &str, type_name: &str) -> Refusal {
    bad_query(format!(
        "Could not find a property named '{property}' on type 'Microsoft.Dynamics.CRM.{type_name}'."
    ))
}

/// A column a `FetchXML` query or query function names and the table does not have.
///
/// Source: `dataverse-web-api.md` §10.3.
pub fn unknown_column(column: &str, table: &str) -> Refusal {
    Refusal::new(
        400,
        0x8004_1103,
        format!(
            "'{table}' entity doesn't contain attribute with Name = '{column}' and NameMapping = \
             'Logical'."
        ),
    )
}

/// A table a `FetchXML` query names and the environment does not have.
///
/// Source: `dataverse-web-api.md` §10.3.
pub fn unknown_table(table: &str) -> Refusal {
    Refusal::new(
        400,
        0x8004_1102,
        format!(
            "The entity with a name = '{table}' with namemapping = 'Logical' was not found in the \
             MetadataCache."
        ),
    )
}

/// No resource under this name.
///
/// Source: `dataverse-web-api.md` §13.
pub fn unknown_resource(segment: &str) -> Refusal {
    Refusal::new(404, 0x8006_088a, format!("Resource not found for the segment '{segment}'."))
}

/// No row with this primary key.
///
/// Source: `dataverse-web-api.md` §4.2, §10.3.
pub fn missing_row(table: &str, id: Uuid) -> Refusal {
    Refusal::new(404, 0x8004_0217, format!("{table} With Id = {id} Does Not Exist"))
}

/// No row with these values of an alternate key.
///
/// Source: `dataverse-web-api.md` §10.3, §12 row 32.
pub fn missing_key(table: &str) -> Refusal {
    Refusal::new(
        404,
        0x8006_0891,
        format!("A record with the specified key values does not exist in {table} entity"),
    )
}

/// Columns that are no usable key.
///
/// Source: `dataverse-web-api.md` §4.4, §12 row 28.
pub fn bad_key(table: &str) -> Refusal {
    bad_query(format!(
        "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.{table}'. \
         Ensure that the names and number of key properties match the declared or alternate key \
         properties for the resource 'Microsoft.Dynamics.CRM.{table}'."
    ))
}

/// Metadata that is asked for and not there.
pub fn missing_metadata(what: &str) -> Refusal {
    Refusal::new(404, 0x8004_0217, format!("Could not find {what}"))
}
