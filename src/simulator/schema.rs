//! Pure: tables the simulated environment has; read from a data file.

use std::collections::HashMap;
use uuid::Uuid;

/// All tables of the environment.
#[derive(Debug, Default)]
pub struct Schema {
    /// Tables; other structures refer to them by index.
    pub tables: Vec<TableDef>,
    /// Index by logical name.
    pub by_name: HashMap<String, usize>,
    /// Index by entity set name (case-sensitive).
    pub by_set: HashMap<String, usize>,
    /// N:N relationships.
    pub many_to_many: Vec<ManyToMany>,
    /// Global option sets by name: indices into nothing, the options themselves.
    pub global_options: HashMap<String, Vec<OptionDef>>,
}

/// How rows are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storage {
    /// SQL.
    Standard,
    /// Cosmos DB.
    Elastic,
}

/// Who can own rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// Nobody (`None`).
    None,
    /// The organization (`OrganizationOwned`).
    Organization,
    /// A user or team (`UserOwned`).
    User,
}

/// Special rules of lifecycle states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateRules {
    /// Active and inactive, both freely set after creation.
    Plain,
    /// Case: closed by `CloseIncident` only; closed cases refuse updates.
    Case,
    /// Opportunity: closed by `WinOpportunity`/`LoseOpportunity` only; closed ones refuse updates.
    Opportunity,
}

/// Service-time class: names of `latency` parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// Few or no lookups.
    Simple,
    /// Some lookups.
    Moderate,
    /// Microsoft's own tables with plug-ins.
    OutOfTheBox,
    /// More than 100 columns or 20 lookups.
    Complex,
    /// Cosmos DB.
    Elastic,
}

/// One table.
#[derive(Debug)]
pub struct TableDef {
    /// Logical name.
    pub name: String,
    /// Schema name.
    pub schema_name: String,
    /// Entity set name.
    pub set: String,
    /// Display name, English.
    pub display_name: String,
    /// `MetadataId`.
    pub metadata_id: Uuid,
    /// `ObjectTypeCode`.
    pub type_code: i32,
    /// How rows are stored.
    pub storage: Storage,
    /// Who can own rows.
    pub ownership: Ownership,
    /// Lifecycle rules.
    pub state_rules: StateRules,
    /// Service-time class.
    pub weight: Weight,
    /// `IsActivity`.
    pub is_activity: bool,
    /// `IsIntersect`.
    pub is_intersect: bool,
    /// `IsCustomEntity`.
    pub is_custom: bool,
    /// `ChangeTrackingEnabled`.
    pub change_tracking: bool,
    /// Bulk messages offered, e.g. `CreateMultiple`.
    pub messages: Vec<String>,
    /// Columns; rows hold their values in this order. Index 0 is the primary id.
    pub columns: Vec<ColumnDef>,
    /// Column index by logical name.
    pub by_column: HashMap<String, usize>,
    /// Column index and target table index by navigation property (case-sensitive).
    pub by_navigation: HashMap<String, (usize, usize)>,
    /// Index of the primary name column.
    pub primary_name: Option<usize>,
    /// Alternate keys.
    pub keys: Vec<KeyDef>,
}

/// One column.
#[derive(Debug)]
pub struct ColumnDef {
    /// Logical name.
    pub name: String,
    /// Schema name.
    pub schema_name: String,
    /// Display name, English.
    pub display_name: String,
    /// `MetadataId`.
    pub metadata_id: Uuid,
    /// Type with limits.
    pub kind: ColumnType,
    /// `RequiredLevel`.
    pub required: RequiredLevel,
    /// `IsValidForCreate`.
    pub for_create: bool,
    /// `IsValidForUpdate`.
    pub for_update: bool,
    /// `IsValidForRead`.
    pub for_read: bool,
    /// `IsCustomAttribute`.
    pub is_custom: bool,
    /// `AttributeOf`: the column this one is derived from (names of lookups and choices).
    pub attribute_of: Option<String>,
    /// `AutoNumberFormat`.
    pub auto_number: Option<String>,
}

/// `RequiredLevel`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequiredLevel {
    /// `None`.
    None,
    /// `Recommended`.
    Recommended,
    /// `ApplicationRequired`: forms only.
    Application,
    /// `SystemRequired`: the API refuses rows without it.
    System,
}

/// Types with limits.
#[derive(Debug)]
pub enum ColumnType {
    /// Primary key or another GUID.
    Guid,
    /// Text; length in UTF-16 units.
    Text {
        /// `MaxLength`.
        max: usize,
        /// `FormatName`, e.g. `Text`, `Email`, `Json`.
        format: String,
    },
    /// Long text.
    Memo {
        /// `MaxLength`.
        max: usize,
    },
    /// 32-bit whole number.
    Integer {
        /// `MinValue`.
        min: i32,
        /// `MaxValue`.
        max: i32,
    },
    /// 64-bit whole number.
    BigInt,
    /// Exact decimal, 10 digits after the point at most.
    Decimal {
        /// `MinValue` in units of 10^-10.
        min: i128,
        /// `MaxValue` in units of 10^-10.
        max: i128,
        /// `Precision`.
        precision: u8,
    },
    /// Money, 4 digits after the point at most.
    Money {
        /// `MinValue` in units of 10^-4.
        min: i128,
        /// `MaxValue` in units of 10^-4.
        max: i128,
        /// `Precision`.
        precision: u8,
    },
    /// Binary floating point.
    Double {
        /// `MinValue`.
        min: f64,
        /// `MaxValue`.
        max: f64,
        /// `Precision`.
        precision: u8,
    },
    /// Two options.
    Boolean {
        /// Label of true.
        yes: String,
        /// Label of false.
        no: String,
    },
    /// One of a list.
    Choice {
        /// Options.
        options: Vec<OptionDef>,
        /// Name of the global option set, if shared.
        global: Option<String>,
    },
    /// Several of a list.
    Choices {
        /// Options.
        options: Vec<OptionDef>,
        /// Name of the global option set, if shared.
        global: Option<String>,
    },
    /// Lifecycle state.
    State(Vec<StateDef>),
    /// Reason within a state.
    Status(Vec<StatusDef>),
    /// Date or date-time.
    DateTime(DateBehaviour),
    /// Reference; target table and its navigation property.
    Lookup {
        /// Targets.
        targets: Vec<LookupTargetDef>,
        /// `AttributeType`: `Lookup`, `Customer` or `Owner`.
        flavour: LookupFlavour,
    },
    /// File.
    File,
    /// Image.
    Image,
    /// Logical name of a table.
    EntityName,
    /// Text derived from another column, read-only (names of lookups and choices).
    Virtual,
}

/// `AttributeType` of a reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupFlavour {
    /// `Lookup`.
    Lookup,
    /// `Customer`.
    Customer,
    /// `Owner`.
    Owner,
}

/// Meaning of a date column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateBehaviour {
    /// An instant.
    UserLocal,
    /// A day.
    DateOnly,
    /// A wall-clock time.
    TimeZoneIndependent,
}

/// One target of a reference.
#[derive(Debug)]
pub struct LookupTargetDef {
    /// Logical name of the target table.
    pub table: String,
    /// `ReferencingEntityNavigationPropertyName`; case-sensitive.
    pub navigation: String,
    /// `SchemaName` of the relationship.
    pub relationship: String,
    /// Collection-valued navigation property on the target side.
    pub collection: String,
    /// Whether deleting the target is refused while referenced.
    pub restrict_delete: bool,
}

/// One option.
#[derive(Clone, Debug)]
pub struct OptionDef {
    /// Number.
    pub value: i32,
    /// English label.
    pub label: String,
}

/// One lifecycle state.
#[derive(Clone, Debug)]
pub struct StateDef {
    /// Number and label.
    pub option: OptionDef,
    /// `DefaultStatus`.
    pub default_status: i32,
    /// `InvariantName`.
    pub invariant: String,
}

/// One status reason.
#[derive(Clone, Debug)]
pub struct StatusDef {
    /// Number and label.
    pub option: OptionDef,
    /// State it belongs to.
    pub state: i32,
}

/// One alternate key.
#[derive(Debug)]
pub struct KeyDef {
    /// Logical name.
    pub name: String,
    /// Schema name.
    pub schema_name: String,
    /// `MetadataId`.
    pub metadata_id: Uuid,
    /// Column indices.
    pub columns: Vec<usize>,
    /// `EntityKeyIndexStatus`: `Active`, `Pending`, …
    pub status: String,
}

/// One N:N relationship.
#[derive(Debug)]
pub struct ManyToMany {
    /// `SchemaName`.
    pub schema_name: String,
    /// `MetadataId`.
    pub metadata_id: Uuid,
    /// Intersect table (index).
    pub intersect: usize,
    /// First and second table (indices).
    pub tables: [usize; 2],
    /// Columns of the intersect table holding the ids.
    pub columns: [String; 2],
    /// Navigation properties on the first and the second table.
    pub navigation: [String; 2],
}
