//! Pure: the form of the data files.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileData {
    #[serde(default)]
    pub(super) options: BTreeMap<String, Vec<(i32, String)>>,
    #[serde(default)]
    pub(super) table: Vec<TableData>,
    #[serde(default)]
    pub(super) many_to_many: Vec<ManyToManyData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableData {
    pub(super) name: String,
    pub(super) set: String,
    pub(super) display: Option<String>,
    pub(super) code: i32,
    pub(super) id: Option<String>,
    pub(super) primary_name: Option<String>,
    #[serde(default)]
    pub(super) elastic: bool,
    #[serde(default)]
    pub(super) ownership: OwnershipData,
    #[serde(default)]
    pub(super) rules: RulesData,
    pub(super) weight: WeightData,
    #[serde(default)]
    pub(super) activity: bool,
    #[serde(default = "yes")]
    pub(super) tracking: bool,
    #[serde(default = "bulk_messages")]
    pub(super) messages: Vec<String>,
    #[serde(default = "plain_states")]
    pub(super) states: Vec<StateData>,
    #[serde(default)]
    pub(super) names: bool,
    pub(super) columns: Vec<ColumnData>,
    #[serde(default)]
    pub(super) keys: Vec<KeyData>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum OwnershipData {
    None,
    Organization,
    #[default]
    User,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum RulesData {
    #[default]
    Plain,
    Case,
    Opportunity,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum WeightData {
    Simple,
    Moderate,
    OutOfTheBox,
    Complex,
    Elastic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateData {
    pub(super) value: i32,
    pub(super) label: String,
    pub(super) default: i32,
    pub(super) reasons: Vec<(i32, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyData {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    #[serde(default = "active")]
    pub(super) status: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManyToManyData {
    pub(super) name: String,
    pub(super) set: String,
    pub(super) code: i32,
    pub(super) tables: [String; 2],
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnData {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: KindData,
    pub(super) display: Option<String>,
    pub(super) max: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) precision: Option<u8>,
    pub(super) format: Option<String>,
    pub(super) options: Option<Vec<(i32, String)>>,
    pub(super) global: Option<String>,
    #[serde(default)]
    pub(super) required: RequiredData,
    #[serde(default = "yes")]
    pub(super) create: bool,
    #[serde(default = "yes")]
    pub(super) update: bool,
    #[serde(default)]
    pub(super) to: Vec<String>,
    #[serde(default)]
    pub(super) nav: Vec<String>,
    #[serde(default)]
    pub(super) rel: Vec<String>,
    #[serde(default)]
    pub(super) flavour: FlavourData,
    #[serde(default)]
    pub(super) restrict: bool,
    #[serde(default)]
    pub(super) behaviour: BehaviourData,
    pub(super) auto_number: Option<String>,
    pub(super) repeat: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindData {
    Text,
    Memo,
    Integer,
    Bigint,
    Decimal,
    Money,
    Double,
    Boolean,
    Choice,
    Choices,
    Date,
    Lookup,
    Guid,
    File,
    Image,
    EntityName,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequiredData {
    #[default]
    None,
    Recommended,
    Application,
    System,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum FlavourData {
    #[default]
    Lookup,
    Customer,
    Owner,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(super) enum BehaviourData {
    #[default]
    UserLocal,
    DateOnly,
    TimeZoneIndependent,
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn active() -> String {
    "Active".to_owned()
}

pub(super) fn bulk_messages() -> Vec<String> {
    ["CreateMultiple", "UpdateMultiple", "UpsertMultiple"].map(str::to_owned).to_vec()
}

pub(super) fn plain_states() -> Vec<StateData> {
    [(0, "Active", 1), (1, "Inactive", 2)]
        .map(|(value, label, default)| StateData {
            value,
            label: label.to_owned(),
            default,
            reasons: vec![(default, label.to_owned())],
        })
        .into()
}
