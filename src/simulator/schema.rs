//! Pure: tables the simulated environment has; read from a data file.

use std::collections::HashMap;
use uuid::Uuid;

/// Hash map with a fast, fixed hash: runs are repeatable.
pub type FastMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

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
    /// What a name in a request body means (case-sensitive).
    pub by_property: FastMap<String, Property>,
    /// Collection-valued navigation properties (case-sensitive).
    pub collections: HashMap<String, CollectionDef>,
    /// Lookups that lead here: table and column.
    pub referenced_by: Vec<(usize, usize)>,
    /// Columns the service maintains.
    pub standing: Standing,
    /// Columns a client must give, apart from the primary id, owner and state.
    pub must_have: Vec<usize>,
    /// Lookups counted in `Store::references`: those to tables other than the administrative.
    pub counted: Vec<usize>,
    /// Money columns.
    pub money: Vec<usize>,
    /// Columns the service numbers.
    pub auto_numbered: Vec<usize>,
}

impl TableDef {
    /// Index of a column by logical name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.by_column.get(name).copied()
    }

    /// The primary id column.
    #[must_use]
    pub fn primary_id(&self) -> &ColumnDef {
        &self.columns[0]
    }

    /// The primary name column.
    #[must_use]
    pub fn primary_name_column(&self) -> Option<&ColumnDef> {
        self.primary_name.map(|c| &self.columns[c])
    }
}

impl Schema {
    /// A table by logical name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableDef> {
        self.by_name.get(name).map(|&t| &self.tables[t])
    }
}

/// What a name in a request body means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property {
    /// A column's own value.
    Column(usize),
    /// `…@odata.bind` of a single-valued navigation property: column, first target table.
    Bind(usize, usize),
    /// A single-valued navigation property: null clears, an object is a deep insert.
    Navigation(usize, usize),
    /// `_…_value`, read-only.
    LookupValue(usize),
    /// A collection-valued navigation property: a list is a deep insert.
    Collection(CollectionDef),
    /// `…@odata.bind` of a collection-valued navigation property.
    CollectionBind,
}

/// A collection-valued navigation property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CollectionDef {
    /// 1:N: referencing table and its lookup column.
    OneToMany {
        /// Referencing table.
        table: usize,
        /// Lookup column there.
        column: usize,
    },
    /// N:N: index into `Schema::many_to_many`, and which side this table is (0 or 1).
    ManyToMany {
        /// Relationship.
        relationship: usize,
        /// Side of the table that has the property.
        side: usize,
    },
}

/// Indices of the columns the service maintains.
#[derive(Clone, Copy, Default, Debug)]
pub struct Standing {
    /// `createdon`.
    pub created_on: Option<usize>,
    /// `createdby`.
    pub created_by: Option<usize>,
    /// `createdonbehalfby`.
    pub created_on_behalf_by: Option<usize>,
    /// `modifiedon`.
    pub modified_on: Option<usize>,
    /// `modifiedby`.
    pub modified_by: Option<usize>,
    /// `modifiedonbehalfby`.
    pub modified_on_behalf_by: Option<usize>,
    /// `overriddencreatedon`.
    pub overridden_created_on: Option<usize>,
    /// `versionnumber`.
    pub version: Option<usize>,
    /// `ownerid`.
    pub owner: Option<usize>,
    /// `owninguser`.
    pub owning_user: Option<usize>,
    /// `owningteam`.
    pub owning_team: Option<usize>,
    /// `owningbusinessunit`.
    pub owning_unit: Option<usize>,
    /// `fullname` made of `firstname` and `lastname`.
    pub full_name: Option<[usize; 3]>,
    /// `statecode`.
    pub state: Option<usize>,
    /// `statuscode`.
    pub status: Option<usize>,
    /// `transactioncurrencyid`.
    pub currency: Option<usize>,
    /// `exchangerate`.
    pub exchange_rate: Option<usize>,
    /// `partitionid` of elastic tables.
    pub partition: Option<usize>,
    /// `ttlinseconds` of elastic tables.
    pub time_to_live: Option<usize>,
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
    /// Column that holds a money value in the organization's currency (`…_base`).
    pub money_base: Option<usize>,
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
    /// Index of the target table.
    pub table_index: usize,
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
