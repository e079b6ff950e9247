//! Pure: labels, managed properties and ids of definitions.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// An id that depends on nothing but `name`.
#[must_use]
pub fn derived_id(kind: &str, name: &str) -> Uuid {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A label in English, or one without texts.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn label(text: Option<&str>) -> Value {
    let Some(text) = text else {
        return json!({ "LocalizedLabels": [], "UserLocalizedLabel": null });
    };
    let one = json!({
        "Label": text,
        "LanguageCode": 1033,
        "IsManaged": true,
        "MetadataId": derived_id("label", text),
        "HasChanged": null,
    });
    json!({ "LocalizedLabels": [one.clone()], "UserLocalizedLabel": one })
}

/// A managed property.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn managed(value: impl Into<Value>, name: &str) -> Value {
    json!({ "Value": value.into(), "CanBeChanged": true, "ManagedPropertyLogicalName": name })
}
