//! Pure: what a run may set about the simulated environment. Where the documents are silent or
//! disagree, a client is tested both ways.
//!
//! Source: `dataverse-web-api.md` §12.

use super::call::RefusalCode;
use super::refusals::{INVALID_ARGUMENT, PAYLOAD};
use uuid::Uuid;

/// A number with more digits after the point than the column's precision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExcessDigits {
    /// Refused, so that no client loses digits unnoticed. The strict choice.
    Refuse,
    /// Rounded, halves to even.
    Round,
}

/// A column the service keeps (`createdon`, `versionnumber`) in a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOnlyColumns {
    /// Refused. The strict choice.
    Refuse,
    /// Left out silently.
    Ignore,
}

/// The same row twice in one `Targets`.
///
/// Source: `dataverse-web-api.md` §12 row 13.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepeatedTarget {
    /// Only the first is applied, silently.
    FirstWins,
    /// Applied in order.
    LastWins,
    /// The request fails, `0x80040216`.
    Refuse,
}

/// An application user.
#[derive(Clone, Debug)]
pub struct ApplicationUser {
    /// `systemuserid`.
    pub id: Uuid,
    /// `fullname`.
    pub name: String,
    /// `applicationid`: the client id of the app registration.
    pub application_id: Uuid,
    /// `azureactivedirectoryobjectid`.
    pub object_id: Uuid,
    /// Whether the user is disabled.
    pub disabled: bool,
}

/// The environment.
#[derive(Clone, Debug)]
pub struct EnvironmentSettings {
    /// Organization id.
    pub organization_id: Uuid,
    /// Unique name.
    pub organization_name: String,
    /// Friendly name.
    pub friendly_name: String,
    /// Answer of `RetrieveVersion`.
    pub version: String,
    /// Id of the root business unit.
    pub business_unit: Uuid,
    /// Application users.
    pub application_users: Vec<ApplicationUser>,
    /// Seed of server-made ids.
    pub seed: u64,
    /// More digits than the column's precision.
    pub excess_digits: ExcessDigits,
    /// Columns a client may not write.
    pub read_only_columns: ReadOnlyColumns,
    /// Repeats in `UpdateMultiple`.
    pub repeated_update: RepeatedTarget,
    /// Repeats in `UpsertMultiple`.
    pub repeated_upsert: RepeatedTarget,
    /// Status of a bind to a missing row by id (§12 row 31).
    pub bind_missing_status: u16,
    /// Status of a bind to a missing row by alternate key (§12 row 32).
    pub bind_key_missing_status: u16,
    /// Code of an undeclared property (§12 row 33).
    pub undeclared_code: RefusalCode,
    /// Code of a bulk message a table does not offer (§12 row 19).
    pub unsupported_message_code: u32,
    /// Status of a key value with `/ < > * % & : \ ? +` in a URL (§12 row 36).
    pub key_characters_status: u16,
    /// Whether the failure of an elastic bulk message lists the successes too (§12 row 16).
    pub elastic_lists_all: bool,
    /// How long after its request a `BulkDelete` job runs, milliseconds.
    pub bulk_delete_ms: u32,
}

impl Default for EnvironmentSettings {
    fn default() -> Self {
        let user = ApplicationUser {
            id: Uuid::from_u128(0x5a1e_0001_0000_4000_8000_0000_0000_0001),
            name: "# dvbulk 1".to_owned(),
            application_id: Uuid::from_u128(0xa991_0001_0000_4000_8000_0000_0000_0001),
            object_id: Uuid::from_u128(0x0b1e_0001_0000_4000_8000_0000_0000_0001),
            disabled: false,
        };
        Self {
            organization_id: Uuid::from_u128(0x0e6a_0001_0000_4000_8000_0000_0000_0001),
            organization_name: "unq0000contoso".to_owned(),
            friendly_name: "Contoso".to_owned(),
            version: "9.2.25062.00168".to_owned(),
            business_unit: Uuid::from_u128(0xb051_0001_0000_4000_8000_0000_0000_0001),
            application_users: vec![user],
            seed: 1,
            excess_digits: ExcessDigits::Refuse,
            read_only_columns: ReadOnlyColumns::Refuse,
            repeated_update: RepeatedTarget::FirstWins,
            repeated_upsert: RepeatedTarget::LastWins,
            bind_missing_status: 400,
            bind_key_missing_status: 404,
            undeclared_code: RefusalCode::Hex(PAYLOAD),
            unsupported_message_code: INVALID_ARGUMENT,
            key_characters_status: 400,
            elastic_lists_all: false,
            bulk_delete_ms: 1000,
        }
    }
}
