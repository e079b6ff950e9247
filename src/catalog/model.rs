//! Pure: tables and columns of one environment as the loader needs them; immutable once read.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything read from one environment's metadata for one job.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Tables by logical name: those the job loads and those their lookups lead to.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// Hash over everything above; part of what a ledger belongs to.
    pub fingerprint: u64,
}

/// How a table is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableKind {
    /// SQL: bulk messages are all-or-nothing.
    Standard,
    /// Cosmos DB: partial success, identity is (id, `partitionid`).
    Elastic,
    /// Rows live elsewhere.
    Virtual,
}

/// Which bulk messages a table accepts.
///
/// Source: `dataverse-web-api.md` §2.6 (`sdkmessagefilters`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts of the target")]
pub struct BulkMessages {
    /// `CreateMultiple`.
    pub create: bool,
    /// `UpdateMultiple`.
    pub update: bool,
    /// `UpsertMultiple`: its own filter, or both of the above.
    pub upsert: bool,
    /// `DeleteMultiple`: elastic tables only.
    pub delete: bool,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Logical name, e.g. `account`.
    pub logical_name: String,
    /// Path segment of the collection, e.g. `accounts`.
    pub entity_set: String,
    /// Column holding the GUID, e.g. `accountid`.
    pub primary_id: String,
    /// Column shown as the row's name.
    pub primary_name: Option<String>,
    /// How it is stored.
    pub kind: TableKind,
    /// Whether rows are activities (`activitypointer` family).
    pub is_activity: bool,
    /// Whether it is the hidden table of an N:N relationship.
    pub is_intersect: bool,
    /// Made by a customer or partner, not by Microsoft.
    pub is_custom: bool,
    /// Columns by logical name.
    pub columns: BTreeMap<String, Column>,
    /// Alternate keys.
    pub keys: Vec<AlternateKey>,
    /// Bulk messages it accepts.
    pub messages: BulkMessages,
}

/// How strongly a value is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Required {
    /// Not at all.
    None,
    /// By people only.
    Recommended,
    /// By forms, not by the API.
    Application,
    /// By the API.
    System,
}

/// One column.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of the target")]
pub struct Column {
    /// Logical name, e.g. `new_colour`.
    pub logical_name: String,
    /// Schema name, e.g. `new_Colour`.
    pub schema_name: String,
    /// Type with its limits.
    pub kind: ColumnKind,
    /// Whether a value is asked for.
    pub required: Required,
    /// May be set when a row is made.
    pub valid_for_create: bool,
    /// May be set when a row is changed.
    pub valid_for_update: bool,
    /// May be read.
    pub valid_for_read: bool,
    /// Field security applies.
    pub is_secured: bool,
    /// Numbered by the server.
    pub is_auto_number: bool,
}

/// Column types with the limits the loader checks.
///
/// Source: `dataverse-web-api.md` §4.7, §8.2.
#[derive(Clone, Debug)]
pub enum ColumnKind {
    /// One line of text; length in UTF-16 units.
    Text {
        /// Longest value, UTF-16 units.
        max_length: u32,
    },
    /// Text of many lines; length in UTF-16 units.
    Memo {
        /// Longest value, UTF-16 units.
        max_length: u32,
    },
    /// 32-bit whole number.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// 64-bit whole number.
    BigInt,
    /// Exact decimal; bounds kept as text so that no float touches them.
    Decimal {
        /// Least value.
        min: String,
        /// Greatest value.
        max: String,
        /// Digits after the point.
        precision: u8,
    },
    /// Amount in the row's currency; bounds kept as text.
    Money {
        /// Least value.
        min: String,
        /// Greatest value.
        max: String,
        /// Digits after the point.
        precision: u8,
    },
    /// Binary floating point.
    Double {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// Two options.
    Boolean {
        /// Label of true.
        true_label: String,
        /// Label of false.
        false_label: String,
    },
    /// One of a list.
    Choice(Vec<Choice>),
    /// Several of a list.
    Choices(Vec<Choice>),
    /// Lifecycle state.
    State(Vec<Choice>),
    /// Reason within a state.
    Status(Vec<StatusChoice>),
    /// Date, or date with time.
    DateTime(DateBehavior),
    /// A GUID that is no lookup.
    Guid,
    /// Reference to a row of one of several tables (customer and owner included).
    Lookup(Vec<LookupTarget>),
    /// File content.
    File,
    /// Image content, base64.
    Image,
    /// Logical name of a table.
    TableName,
    /// Parties of an activity.
    PartyList,
    /// A type the loader cannot write.
    Other(String),
}

/// One option of a choice column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Number stored.
    pub value: i32,
    /// Labels in all languages, the user's first.
    pub labels: Vec<String>,
}

/// One option of a status column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusChoice {
    /// Number and labels.
    pub choice: Choice,
    /// The state it belongs to.
    pub state: i32,
}

/// What a date-time means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateBehavior {
    /// An instant; shown in each user's zone.
    UserLocal,
    /// A day.
    DateOnly,
    /// A wall-clock time without zone.
    TimeZoneIndependent,
}

/// One table a lookup may lead to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupTarget {
    /// Logical name of the table.
    pub table: String,
    /// Its entity set.
    pub entity_set: String,
    /// Name used before `@odata.bind`; case-sensitive.
    pub navigation_property: String,
}

/// One alternate key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlternateKey {
    /// Logical name of the key.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Whether its index is usable (`EntityKeyIndexStatus` is `Active`).
    pub is_active: bool,
}

impl Catalog {
    /// The table called `logical_name`.
    #[must_use]
    pub fn table(&self, logical_name: &str) -> Option<&Arc<Table>> {
        self.tables.get(logical_name)
    }
}

impl Table {
    /// The column called `logical_name`.
    #[must_use]
    pub fn column(&self, logical_name: &str) -> Option<&Column> {
        self.columns.get(logical_name)
    }

    /// The alternate key called `name`.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&AlternateKey> {
        self.keys.iter().find(|k| k.name == name)
    }
}
