//! Pure: settings of the model behind the Web API, as a settings file gives them.
//!
//! Source: `dataverse-web-api.md` §12.

use super::call::RefusalCode;
use super::define::{self, DefineError, READY_FILES};
use super::environment::{
    ApplicationUser, EnvironmentSettings, ExcessDigits, ReadOnlyColumns, RepeatedTarget,
};
use super::model::Model;
use super::settings::Settings;
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(remote = "ExcessDigits", rename_all = "kebab-case")]
enum ExcessDigitsText {
    Refuse,
    Round,
}

#[derive(Deserialize)]
#[serde(remote = "ReadOnlyColumns", rename_all = "kebab-case")]
enum ReadOnlyColumnsText {
    Refuse,
    Ignore,
}

#[derive(Deserialize)]
#[serde(remote = "RepeatedTarget", rename_all = "kebab-case")]
enum RepeatedTargetText {
    FirstWins,
    LastWins,
    Refuse,
}

/// What is behind the Web API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvironmentOptions {
    /// Organization id, as `WhoAmI` tells it.
    pub organization_id: Uuid,
    /// Unique name of the organization.
    pub organization_name: String,
    /// Friendly name of the organization.
    pub friendly_name: String,
    /// Answer of `RetrieveVersion`.
    pub version: String,
    /// A number with more digits after the point than its column: `refuse` or `round`.
    #[serde(with = "ExcessDigitsText")]
    pub excess_digits: ExcessDigits,
    /// A column the service keeps in a body: `refuse` or `ignore`.
    #[serde(with = "ReadOnlyColumnsText")]
    pub read_only_columns: ReadOnlyColumns,
    /// A row twice in one `UpdateMultiple`: `first-wins`, `last-wins` or `refuse` (row 13).
    #[serde(with = "RepeatedTargetText")]
    pub repeated_update: RepeatedTarget,
    /// A row twice in one `UpsertMultiple` (row 13).
    #[serde(with = "RepeatedTargetText")]
    pub repeated_upsert: RepeatedTarget,
    /// Status of a bind to a missing row by id: 400 or 404 (row 31).
    pub bind_missing_status: u16,
    /// Status of a bind to a missing row by alternate key: 400 or 404 (row 32).
    pub bind_key_missing_status: u16,
    /// Code of an undeclared property, as it is written in the answer (row 33).
    pub undeclared_code: Option<String>,
    /// Code of a bulk message a table does not offer, a number (row 19).
    pub unsupported_message_code: u32,
    /// Status of a key value with characters that do not work: 400 or 404 (row 36).
    pub key_characters_status: u16,
    /// Whether the failure of an elastic bulk message lists the successes too (row 16).
    pub elastic_lists_all: bool,
    /// How long after its request a `BulkDelete` job runs, milliseconds.
    pub bulk_delete_ms: u32,
}

impl Default for EnvironmentOptions {
    fn default() -> Self {
        let model = EnvironmentSettings::default();
        Self {
            organization_id: model.organization_id,
            organization_name: model.organization_name,
            friendly_name: model.friendly_name,
            version: model.version,
            excess_digits: model.excess_digits,
            read_only_columns: model.read_only_columns,
            repeated_update: model.repeated_update,
            repeated_upsert: model.repeated_upsert,
            bind_missing_status: model.bind_missing_status,
            bind_key_missing_status: model.bind_key_missing_status,
            undeclared_code: None,
            unsupported_message_code: model.unsupported_message_code,
            key_characters_status: model.key_characters_status,
            elastic_lists_all: model.elastic_lists_all,
            bulk_delete_ms: model.bulk_delete_ms,
        }
    }
}

impl EnvironmentOptions {
    /// Checks the rules the types do not hold.
    ///
    /// # Errors
    /// Key, value and rule that is broken.
    pub fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        for (key, status) in [
            ("bind_missing_status", self.bind_missing_status),
            ("bind_key_missing_status", self.bind_key_missing_status),
            ("key_characters_status", self.key_characters_status),
        ] {
            if !matches!(status, 400 | 404) {
                return Err((key, status.to_string(), "400 or 404"));
            }
        }
        Ok(())
    }
}

/// EnvironmentSettings of the model.
#[must_use]
pub fn environment(settings: &Settings) -> EnvironmentSettings {
    let e = &settings.environment;
    let defaults = EnvironmentSettings::default();
    let application_users = settings
        .users
        .iter()
        .filter(|u| u.member)
        .map(|u| ApplicationUser {
            id: u.system_user_id,
            name: format!("# {}", u.name),
            application_id: u.client_id,
            object_id: u.object_id(),
            disabled: u.disabled,
        })
        .collect();
    EnvironmentSettings {
        organization_id: e.organization_id,
        organization_name: e.organization_name.clone(),
        friendly_name: e.friendly_name.clone(),
        version: e.version.clone(),
        application_users,
        seed: settings.seed,
        excess_digits: e.excess_digits,
        read_only_columns: e.read_only_columns,
        repeated_update: e.repeated_update,
        repeated_upsert: e.repeated_upsert,
        bind_missing_status: e.bind_missing_status,
        bind_key_missing_status: e.bind_key_missing_status,
        undeclared_code: e
            .undeclared_code
            .clone()
            .map_or(defaults.undeclared_code.clone(), RefusalCode::Text),
        unsupported_message_code: e.unsupported_message_code,
        key_characters_status: e.key_characters_status,
        elastic_lists_all: e.elastic_lists_all,
        bulk_delete_ms: e.bulk_delete_ms,
        ..defaults
    }
}

/// The model a settings describes; `tables` holds name and text of each file of its own tables.
///
/// # Errors
/// A table definition is not valid.
pub fn model(settings: &Settings, tables: &[(String, String)]) -> Result<Model, DefineError> {
    let environment = environment(settings);
    if tables.is_empty() {
        return Ok(Model::new(environment));
    }
    let own = tables.iter().map(|(file, text)| (file.as_str(), text.as_str()));
    let files: Vec<(&str, &str)> = READY_FILES.into_iter().chain(own).collect();
    Ok(Model::with_schema(define::parse(&files)?, environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_file_reaches_the_model() {
        let settings = Settings::parse(
            "seed = 9\n[environment]\norganization_id = '0e6a0000-0000-4000-8000-00000000000f'\n\
             repeated_upsert = 'refuse'\nundeclared_code = '0x0'\nexcess_digits = 'round'\n\
             unsupported_message_code = 0x80040315\nbulk_delete_ms = 5",
        )
        .expect("valid");
        let model = model(&settings, &[]).expect("the ready set");
        let s = &model.settings;
        assert_eq!(s.seed, 9);
        assert_eq!(s.organization_id.to_string(), "0e6a0000-0000-4000-8000-00000000000f");
        assert_eq!(s.repeated_upsert, RepeatedTarget::Refuse);
        assert_eq!(s.excess_digits, ExcessDigits::Round);
        assert_eq!(s.undeclared_code, RefusalCode::Text("0x0".to_owned()));
        assert_eq!((s.unsupported_message_code, s.bulk_delete_ms), (0x8004_0315, 5));
        assert_eq!(s.application_users.len(), 2);
    }

    #[test]
    fn tables_of_ones_own_come_beside_the_ready_ones() {
        let own = ("my.toml".to_owned(), "not valid".to_owned());
        let refusal = model(&Settings::default(), &[own]).expect_err("not TOML").to_string();
        assert!(refusal.contains("my.toml"), "{refusal}");
    }

    #[test]
    fn statuses_are_checked() {
        let text =
            Settings::parse("[environment]\nbind_missing_status = 500").expect_err("refused");
        assert_eq!(text.to_string(), "environment.bind_missing_status = 500: 400 or 404");
    }
}
