//! Pure: definitions of tables and keys.

use super::labels::{label, managed};
use crate::simulator::schema::{ColumnType, KeyDef, Ownership, Storage, TableDef};
use serde_json::{Map, Value, json};

/// Provider of elastic tables.
///
/// Source: `dataverse-web-api.md` §6.
const ELASTIC_PROVIDER: &str = "1d9bde74-9ebd-4da9-8ff5-aa74945b9f74";

/// All properties of a table.
///
/// Source: `dataverse-web-api.md` §8.1.
#[must_use]
pub fn table(t: &TableDef) -> Map<String, Value> {
    let ownership = match t.ownership {
        Ownership::None => "None",
        Ownership::Organization => "OrganizationOwned",
        Ownership::User => "UserOwned",
    };
    let image = t.columns.iter().find(|c| matches!(c.kind, ColumnType::Image));
    let elastic = t.storage == Storage::Elastic;
    let mut out = object(json!({
        "LogicalName": t.name,
        "SchemaName": t.schema_name,
        "EntitySetName": t.set,
        "LogicalCollectionName": t.set,
        "CollectionSchemaName": t.schema_name.clone() + "s",
        "PrimaryIdAttribute": t.columns.first().map(|c| &c.name),
        "PrimaryNameAttribute": t.primary_name.map(|c| &t.columns[c].name),
        "PrimaryImageAttribute": image.map(|c| &c.name),
        "ObjectTypeCode": t.type_code,
        "OwnershipType": ownership,
        "TableType": if elastic { "Elastic" } else { "Standard" },
        "DataProviderId": elastic.then_some(ELASTIC_PROVIDER),
        "DataSourceId": null,
        "MetadataId": t.metadata_id,
        "DisplayName": label(Some(&t.display_name)),
        "DisplayCollectionName": label(Some(&format!("{}s", t.display_name))),
        "Description": label(None),
        "IntroducedVersion": "1.0.0.0",
        "CreatedOn": "2020-01-01T00:00:00Z",
        "ModifiedOn": "2020-01-01T00:00:00Z",
        "Privileges": [],
    }));
    for (name, value) in [
        ("ChangeTrackingEnabled", t.change_tracking),
        ("CanTriggerWorkflow", true),
        ("EnforceStateTransitions", false),
        ("EntityHelpUrlEnabled", false),
        ("HasActivities", false),
        ("HasEmailAddresses", false),
        ("HasFeedback", false),
        ("HasNotes", true),
        ("IsAIRUpdated", false),
        ("IsActivity", t.is_activity),
        ("IsActivityParty", false),
        ("IsArchivalEnabled", false),
        ("IsAvailableOffline", false),
        ("IsBPFEntity", false),
        ("IsBusinessProcessEnabled", false),
        ("IsChildEntity", false),
        ("IsCustomEntity", t.is_custom),
        ("IsDocumentManagementEnabled", false),
        ("IsEnabledForCharts", true),
        ("IsEnabledForExternalChannels", false),
        ("IsEnabledForTrace", false),
        ("IsImportable", true),
        ("IsIntersect", t.is_intersect),
        ("IsKnowledgeManagementEnabled", false),
        ("IsLogicalEntity", false),
        ("IsManaged", !t.is_custom),
        ("IsOneNoteIntegrationEnabled", false),
        ("IsOptimisticConcurrencyEnabled", true),
        ("IsPrivate", false),
        ("IsQuickCreateEnabled", false),
        ("IsReadingPaneEnabled", true),
        ("IsSLAEnabled", false),
        ("IsSolutionAware", false),
        ("IsStateModelAware", t.columns.iter().any(|c| matches!(c.kind, ColumnType::State(_)))),
        ("IsValidForAdvancedFind", !t.is_intersect),
        ("SyncToExternalSearchIndex", false),
        ("UsesBusinessDataLabelTable", false),
    ] {
        out.insert(name.into(), value.into());
    }
    for (name, value, logical) in [
        ("CanBeInManyToMany", true, "canbeinmanytomany"),
        ("CanBePrimaryEntityInRelationship", true, "canbeprimaryentityinrelationship"),
        ("CanBeRelatedEntityInRelationship", true, "canberelatedentityinrelationship"),
        ("CanChangeHierarchicalRelationship", true, "canchangehierarchicalrelationship"),
        ("CanChangeTrackingBeEnabled", true, "canchangetrackingbeenabled"),
        ("CanCreateAttributes", true, "cancreateattributes"),
        ("CanCreateCharts", true, "cancreatecharts"),
        ("CanCreateForms", true, "cancreateforms"),
        ("CanCreateViews", true, "cancreateviews"),
        ("CanModifyAdditionalSettings", true, "canmodifyadditionalsettings"),
        ("IsAuditEnabled", false, "canmodifyauditsettings"),
        ("IsConnectionsEnabled", true, "canmodifyconnectionsettings"),
        ("IsCustomizable", true, "iscustomizable"),
        ("IsDuplicateDetectionEnabled", false, "canmodifyduplicatedetectionsettings"),
        ("IsMailMergeEnabled", true, "canmodifymailmergesettings"),
        ("IsMappable", true, "ismappable"),
        ("IsOfflineInMobileClient", false, "canmodifymobileclientoffline"),
        ("IsReadOnlyInMobileClient", false, "canmodifymobileclientreadonly"),
        ("IsRenameable", true, "isrenameable"),
        ("IsValidForQueue", true, "canmodifyqueuesettings"),
        ("IsVisibleInMobile", false, "canmodifymobilevisibility"),
        ("IsVisibleInMobileClient", true, "canmodifymobileclientvisibility"),
    ] {
        out.insert(name.into(), managed(value, logical));
    }
    for name in [
        "ActivityTypeMask",
        "AutoCreateAccessTeams",
        "AutoRouteToOwnerQueue",
        "DaysSinceRecordLastModified",
        "EntityColor",
        "EntityHelpUrl",
        "ExternalCollectionName",
        "ExternalName",
        "HasChanged",
        "IconLargeName",
        "IconMediumName",
        "IconSmallName",
        "IconVectorName",
        "MobileOfflineFilters",
        "OwnerId",
        "OwnerIdType",
        "OwningBusinessUnit",
        "RecurrenceBaseEntityLogicalName",
        "ReportViewName",
        "SettingOf",
    ] {
        out.insert(name.into(), Value::Null);
    }
    out
}

/// All properties of an alternate key.
///
/// Source: `dataverse-web-api.md` §8.3.
#[must_use]
pub fn key(t: &TableDef, k: &KeyDef) -> Map<String, Value> {
    let columns: Vec<_> = k.columns.iter().map(|&c| t.columns[c].name.as_str()).collect();
    object(json!({
        "LogicalName": k.name,
        "SchemaName": k.schema_name,
        "EntityLogicalName": t.name,
        "KeyAttributes": columns,
        "EntityKeyIndexStatus": k.status,
        "MetadataId": k.metadata_id,
        "DisplayName": label(Some(&k.schema_name)),
        "IsCustomizable": managed(true, "iscustomizable"),
        "IsManaged": false,
        "IsExportKey": false,
        "IsSynchronous": false,
        "IsSecondaryKey": false,
        "IntroducedVersion": "1.0.0.0",
        "AsyncJob": null,
        "HasChanged": null,
    }))
}

/// The map of an object literal.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
