//! Pure: definitions of columns.

use super::labels::{label, managed};
use super::tables::object;
use crate::simulator::schema::{
    ColumnDef, ColumnType, DateBehaviour, LookupFlavour, RequiredLevel, TableDef,
};
use serde_json::{Map, Value, json};

/// Type name of a column's definition, without namespace.
#[must_use]
pub fn kind(c: &ColumnDef) -> &'static str {
    match &c.kind {
        ColumnType::Guid => "UniqueIdentifierAttributeMetadata",
        ColumnType::Text { .. } => "StringAttributeMetadata",
        ColumnType::Memo { .. } => "MemoAttributeMetadata",
        ColumnType::Integer { .. } => "IntegerAttributeMetadata",
        ColumnType::BigInt => "BigIntAttributeMetadata",
        ColumnType::Decimal { .. } => "DecimalAttributeMetadata",
        ColumnType::Money { .. } => "MoneyAttributeMetadata",
        ColumnType::Double { .. } => "DoubleAttributeMetadata",
        ColumnType::Boolean { .. } => "BooleanAttributeMetadata",
        ColumnType::Choice { .. } => "PicklistAttributeMetadata",
        ColumnType::Choices { .. } => "MultiSelectPicklistAttributeMetadata",
        ColumnType::State(_) => "StateAttributeMetadata",
        ColumnType::Status(_) => "StatusAttributeMetadata",
        ColumnType::DateTime(_) => "DateTimeAttributeMetadata",
        ColumnType::Lookup { .. } => "LookupAttributeMetadata",
        ColumnType::File => "FileAttributeMetadata",
        ColumnType::Image => "ImageAttributeMetadata",
        ColumnType::EntityName => "EntityNameAttributeMetadata",
        ColumnType::Virtual => "AttributeMetadata",
    }
}

/// `AttributeType` and `AttributeTypeName`.
fn type_names(c: &ColumnDef) -> (&'static str, &'static str) {
    match &c.kind {
        ColumnType::Guid => ("Uniqueidentifier", "UniqueidentifierType"),
        ColumnType::Text { .. } => ("String", "StringType"),
        ColumnType::Memo { .. } => ("Memo", "MemoType"),
        ColumnType::Integer { .. } => ("Integer", "IntegerType"),
        ColumnType::BigInt => ("BigInt", "BigIntType"),
        ColumnType::Decimal { .. } => ("Decimal", "DecimalType"),
        ColumnType::Money { .. } => ("Money", "MoneyType"),
        ColumnType::Double { .. } => ("Double", "DoubleType"),
        ColumnType::Boolean { .. } => ("Boolean", "BooleanType"),
        ColumnType::Choice { .. } => ("Picklist", "PicklistType"),
        ColumnType::Choices { .. } => ("Virtual", "MultiSelectPicklistType"),
        ColumnType::State(_) => ("State", "StateType"),
        ColumnType::Status(_) => ("Status", "StatusType"),
        ColumnType::DateTime(_) => ("DateTime", "DateTimeType"),
        ColumnType::Lookup { flavour, .. } => match flavour {
            LookupFlavour::Lookup => ("Lookup", "LookupType"),
            LookupFlavour::Customer => ("Customer", "CustomerType"),
            LookupFlavour::Owner => ("Owner", "OwnerType"),
        },
        ColumnType::File => ("Virtual", "FileType"),
        ColumnType::Image => ("Virtual", "ImageType"),
        ColumnType::EntityName => ("EntityName", "EntityNameType"),
        ColumnType::Virtual => ("Virtual", "VirtualType"),
    }
}

/// The properties every column has.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn base(t: &TableDef, c: &ColumnDef) -> Map<String, Value> {
    let (attribute_type, type_name) = type_names(c);
    let required = match c.required {
        RequiredLevel::None => "None",
        RequiredLevel::Recommended => "Recommended",
        RequiredLevel::Application => "ApplicationRequired",
        RequiredLevel::System => "SystemRequired",
    };
    let position = t.columns.iter().position(|other| std::ptr::eq(other, c));
    let mut out = object(json!({
        "LogicalName": c.name,
        "SchemaName": c.schema_name,
        "EntityLogicalName": t.name,
        "AttributeType": attribute_type,
        "AttributeTypeName": { "Value": type_name },
        "AttributeOf": c.attribute_of,
        "AutoNumberFormat": c.auto_number,
        "ColumnNumber": position.map_or(0, |p| p + 1),
        "MetadataId": c.metadata_id,
        "DisplayName": label(if c.attribute_of.is_some() { None } else { Some(&c.display_name) }),
        "Description": label(None),
        "RequiredLevel": managed(required, "canmodifyrequirementlevelsettings"),
        "SourceType": if matches!(c.kind, ColumnType::Virtual) { Value::Null } else { 0.into() },
        "IntroducedVersion": "1.0.0.0",
        "CreatedOn": "2020-01-01T00:00:00Z",
        "ModifiedOn": "2020-01-01T00:00:00Z",
    }));
    for (name, value) in [
        ("IsPrimaryId", position == Some(0)),
        ("IsPrimaryName", position.is_some() && position == t.primary_name),
        ("IsLogical", c.attribute_of.is_some()),
        ("IsValidForCreate", c.for_create),
        ("IsValidForUpdate", c.for_update),
        ("IsValidForRead", c.for_read),
        ("IsValidODataAttribute", c.attribute_of.is_none()),
        ("IsValidForForm", c.attribute_of.is_none()),
        ("IsValidForGrid", c.attribute_of.is_none()),
        ("IsCustomAttribute", c.is_custom),
        ("IsManaged", !c.is_custom),
        ("IsSecured", false),
        ("IsFilterable", false),
        ("IsSearchable", false),
        ("IsRetrievable", true),
        ("IsRequiredForForm", false),
        ("IsDataSourceSecret", false),
        ("CanBeSecuredForCreate", false),
        ("CanBeSecuredForRead", false),
        ("CanBeSecuredForUpdate", false),
    ] {
        out.insert(name.into(), value.into());
    }
    for (name, value, logical) in [
        ("CanModifyAdditionalSettings", true, "canmodifyadditionalsettings"),
        ("IsAuditEnabled", true, "canmodifyauditsettings"),
        ("IsCustomizable", true, "iscustomizable"),
        ("IsGlobalFilterEnabled", false, "canmodifyglobalfiltersettings"),
        ("IsRenameable", true, "isrenameable"),
        ("IsSortableEnabled", false, "canmodifyissortablesettings"),
        ("IsValidForAdvancedFind", true, "canmodifysearchsettings"),
    ] {
        out.insert(name.into(), managed(value, logical));
    }
    for name in
        ["DeprecatedVersion", "ExternalName", "HasChanged", "InheritsFrom", "LinkedAttributeId"]
    {
        out.insert(name.into(), Value::Null);
    }
    out
}

/// The properties of a column's own type.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn specific(c: &ColumnDef) -> Map<String, Value> {
    object(match &c.kind {
        ColumnType::Guid | ColumnType::Virtual => json!({}),
        ColumnType::Text { max, format } => json!({
            "MaxLength": max,
            "DatabaseLength": max * 2,
            "Format": if ["Email", "Phone", "Url", "TextArea", "TickerSymbol"]
                .contains(&format.as_str()) { format.as_str() } else { "Text" },
            "FormatName": { "Value": format },
            "ImeMode": "Auto",
            "IsLocalizable": false,
            "YomiOf": null,
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::Memo { max } => json!({
            "MaxLength": max,
            "Format": "TextArea",
            "FormatName": { "Value": "TextArea" },
            "ImeMode": "Auto",
            "IsLocalizable": false,
        }),
        ColumnType::Integer { min, max } => json!({
            "MinValue": min,
            "MaxValue": max,
            "Format": "None",
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::BigInt => json!({ "MinValue": i64::MIN, "MaxValue": i64::MAX }),
        ColumnType::Decimal { min, max, precision } => json!({
            "MinValue": number(*min, 10),
            "MaxValue": number(*max, 10),
            "Precision": precision,
            "ImeMode": "Disabled",
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::Money { min, max, precision } => json!({
            "MinValue": number(*min, 4),
            "MaxValue": number(*max, 4),
            "Precision": precision,
            "PrecisionSource": 0,
            "IsBaseCurrency": false,
            "CalculationOf": null,
            "ImeMode": "Disabled",
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::Double { min, max, precision } => json!({
            "MinValue": min,
            "MaxValue": max,
            "Precision": precision,
            "ImeMode": "Disabled",
        }),
        ColumnType::Boolean { .. } => json!({
            "DefaultValue": false,
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::Choice { .. } => json!({
            "DefaultFormValue": -1,
            "ParentPicklistLogicalName": null,
            "ChildPicklistLogicalNames": [],
            "FormulaDefinition": "",
            "SourceTypeMask": 0,
        }),
        ColumnType::Choices { .. } => json!({
            "DefaultFormValue": -1,
            "ParentPicklistLogicalName": null,
            "ChildPicklistLogicalNames": [],
        }),
        ColumnType::State(_) | ColumnType::Status(_) => json!({ "DefaultFormValue": null }),
        ColumnType::DateTime(behaviour) => {
            let name = match behaviour {
                DateBehaviour::UserLocal => "UserLocal",
                DateBehaviour::DateOnly => "DateOnly",
                DateBehaviour::TimeZoneIndependent => "TimeZoneIndependent",
            };
            json!({
                "Format": if *behaviour == DateBehaviour::DateOnly { "DateOnly" }
                    else { "DateAndTime" },
                "DateTimeBehavior": { "Value": name },
                "CanChangeDateTimeBehavior":
                    managed(*behaviour == DateBehaviour::UserLocal, "canchangedatetimebehavior"),
                "ImeMode": "Auto",
                "FormulaDefinition": "",
                "SourceTypeMask": 0,
            })
        }
        ColumnType::Lookup { targets, .. } => {
            let names: Vec<_> = targets.iter().map(|t| t.table.as_str()).collect();
            json!({ "Targets": names, "Format": "None" })
        }
        ColumnType::File => json!({ "MaxSizeInKB": 32_768 }),
        ColumnType::Image => json!({
            "MaxSizeInKB": 10_240,
            "MaxHeight": 144,
            "MaxWidth": 144,
            "IsPrimaryImage": c.name == "entityimage",
            "CanStoreFullImage": false,
        }),
        ColumnType::EntityName => json!({ "IsEntityReferenceStored": false }),
    })
}

/// A scaled number as JSON; limits are few digits long, so nothing is lost.
fn number(scaled: i128, digits: i32) -> Value {
    let unit = 10_i128.pow(digits.unsigned_abs());
    match i64::try_from(scaled / unit) {
        Ok(whole) if scaled % unit == 0 => whole.into(),
        _ => json!(scaled as f64 / 10_f64.powi(digits)),
    }
}
