//! Pure: `$metadata` and the service document.

use crate::simulator::call::Answer;
use crate::simulator::query::{World, answer_json};
use crate::simulator::schema::{
    CollectionDef, ColumnDef, ColumnType, DateBehaviour, LookupFlavour, Schema, TableDef,
};
use serde_json::json;
use std::fmt::Write as _;

/// Sets of definitions, with their types.
const METADATA_SETS: [(&str, &str); 3] = [
    ("EntityDefinitions", "EntityMetadata"),
    ("RelationshipDefinitions", "RelationshipMetadataBase"),
    ("GlobalOptionSetDefinitions", "OptionSetMetadataBase"),
];

/// Answers `GET /`.
///
/// Source: `dataverse-web-api.md` §8.5.
#[must_use]
pub fn service_document(world: &World) -> Answer {
    let names = world.schema.tables.iter().map(|t| t.set.as_str());
    let sets: Vec<_> = names
        .chain(METADATA_SETS.iter().map(|s| s.0))
        .map(|name| json!({ "name": name, "kind": "EntitySet", "url": name }))
        .collect();
    answer_json(&json!({
        "@odata.context": format!("{}/$metadata", world.base()),
        "value": sets,
    }))
}

/// Answers `GET /$metadata`.
///
/// Source: `dataverse-web-api.md` §8.5.
#[must_use]
pub fn document(world: &World) -> Answer {
    Answer {
        status: 200,
        content_type: Some("application/xml"),
        body: text(world.schema).into_bytes(),
        ..Answer::default()
    }
}

fn text(schema: &Schema) -> String {
    let mut out = String::with_capacity(1 << 18);
    out.push_str(concat!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        "<edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\">",
        "<edmx:DataServices>",
        "<Schema Namespace=\"Microsoft.Dynamics.CRM\" Alias=\"mscrm\" ",
        "xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">",
        "<EntityType Name=\"crmbaseentity\" Abstract=\"true\" />",
        "<EntityType Name=\"expando\" BaseType=\"mscrm.crmbaseentity\" OpenType=\"true\" />",
        "<EntityType Name=\"MetadataBase\" Abstract=\"true\">",
        "<Key><PropertyRef Name=\"MetadataId\" /></Key>",
        "<Property Name=\"MetadataId\" Type=\"Edm.Guid\" /></EntityType>",
        "<EntityType Name=\"EntityMetadata\" BaseType=\"mscrm.MetadataBase\" OpenType=\"true\" />",
        "<EntityType Name=\"RelationshipMetadataBase\" BaseType=\"mscrm.MetadataBase\" ",
        "OpenType=\"true\" />",
        "<EntityType Name=\"OptionSetMetadataBase\" BaseType=\"mscrm.MetadataBase\" ",
        "OpenType=\"true\" />",
        "<EntityType Name=\"principal\" BaseType=\"mscrm.crmbaseentity\">",
        "<Key><PropertyRef Name=\"ownerid\" /></Key>",
        "<Property Name=\"ownerid\" Type=\"Edm.Guid\" /></EntityType>",
    ));
    for table in &schema.tables {
        entity_type(&mut out, schema, table);
    }
    operations(&mut out, schema);
    out.push_str("<EntityContainer Name=\"System\">");
    for table in &schema.tables {
        entity_set(&mut out, schema, table);
    }
    for (name, kind) in METADATA_SETS {
        let _ = write!(out, "<EntitySet Name=\"{name}\" EntityType=\"mscrm.{kind}\" />");
    }
    for name in FUNCTIONS.iter().map(|f| f.0) {
        let _ = write!(out, "<FunctionImport Name=\"{name}\" Function=\"mscrm.{name}\" />");
    }
    for (name, _) in ACTIONS {
        let _ = write!(out, "<ActionImport Name=\"{name}\" Action=\"mscrm.{name}\" />");
    }
    out.push_str("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>");
    out
}

/// Type a column's values have in the Web API.
fn edm_type(column: &ColumnDef) -> &'static str {
    match &column.kind {
        ColumnType::Guid | ColumnType::Lookup { .. } | ColumnType::File => "Edm.Guid",
        ColumnType::Text { .. }
        | ColumnType::Memo { .. }
        | ColumnType::Choices { .. }
        | ColumnType::EntityName
        | ColumnType::Virtual => "Edm.String",
        ColumnType::Integer { .. }
        | ColumnType::Choice { .. }
        | ColumnType::State(_)
        | ColumnType::Status(_) => "Edm.Int32",
        ColumnType::BigInt => "Edm.Int64",
        ColumnType::Decimal { .. } | ColumnType::Money { .. } => "Edm.Decimal",
        ColumnType::Double { .. } => "Edm.Double",
        ColumnType::Boolean { .. } => "Edm.Boolean",
        ColumnType::DateTime(DateBehaviour::DateOnly) => "Edm.Date",
        ColumnType::DateTime(_) => "Edm.DateTimeOffset",
        ColumnType::Image => "Edm.Binary",
    }
}

/// Users and teams have the abstract key `ownerid`.
fn is_principal(table: &TableDef) -> bool {
    matches!(table.name.as_str(), "systemuser" | "team")
}

fn entity_type(out: &mut String, schema: &Schema, table: &TableDef) {
    let base = if is_principal(table) { "principal" } else { "crmbaseentity" };
    let _ = write!(out, "<EntityType Name=\"{}\" BaseType=\"mscrm.{base}\">", table.name);
    if !is_principal(table) {
        let id = &table.primary_id().name;
        let _ = write!(out, "<Key><PropertyRef Name=\"{id}\" /></Key>");
    }
    let readable = |c: &&ColumnDef| c.for_read && !matches!(c.kind, ColumnType::Virtual);
    for column in table.columns.iter().filter(readable) {
        let kind = edm_type(column);
        let scale = if kind == "Edm.Decimal" { " Scale=\"Variable\"" } else { "" };
        let unicode = if kind == "Edm.String" { " Unicode=\"false\"" } else { "" };
        let name = match &column.kind {
            ColumnType::Lookup { .. } => format!("_{}_value", column.name),
            _ => column.name.clone(),
        };
        let _ = write!(out, "<Property Name=\"{name}\" Type=\"{kind}\"{scale}{unicode} />");
    }
    for column in &table.columns {
        let ColumnType::Lookup { targets, flavour } = &column.kind else { continue };
        let mut seen: Vec<&str> = Vec::new();
        for target in targets {
            if seen.contains(&target.navigation.as_str()) {
                continue;
            }
            seen.push(&target.navigation);
            let shared = *flavour == LookupFlavour::Owner;
            let kind = if shared { "principal" } else { target.table.as_str() };
            let _ = write!(
                out,
                "<NavigationProperty Name=\"{}\" Type=\"mscrm.{kind}\" Nullable=\"false\"",
                target.navigation
            );
            let _ = write!(
                out,
                "><ReferentialConstraint Property=\"_{}_value\" ReferencedProperty=\"{}\" />\
                 </NavigationProperty>",
                column.name,
                if shared || matches!(target.table.as_str(), "systemuser" | "team") {
                    "ownerid"
                } else {
                    &schema.tables[target.table_index].primary_id().name
                }
            );
        }
    }
    for (name, collection) in sorted(table) {
        let kind = collection_type(schema, *collection);
        let _ =
            write!(out, "<NavigationProperty Name=\"{name}\" Type=\"Collection(mscrm.{kind})\" />");
    }
    for key in &table.keys {
        let _ = write!(
            out,
            "<Annotation Term=\"OData.Community.Keys.V1.AlternateKeys\"><Collection><Record \
             Type=\"OData.Community.Keys.V1.AlternateKey\"><PropertyValue Property=\"Key\">\
             <Collection>"
        );
        for &column in &key.columns {
            let column = &table.columns[column];
            let property = match &column.kind {
                ColumnType::Lookup { .. } => format!("_{}_value", column.name),
                _ => column.name.clone(),
            };
            let _ = write!(
                out,
                "<Record Type=\"OData.Community.Keys.V1.PropertyRef\"><PropertyValue \
                 Property=\"Alias\" String=\"{property}\" /><PropertyValue Property=\"Name\" \
                 PropertyPath=\"{property}\" /></Record>"
            );
        }
        out.push_str("</Collection></PropertyValue></Record></Collection></Annotation>");
    }
    out.push_str("</EntityType>");
}

fn sorted(table: &TableDef) -> Vec<(&String, &CollectionDef)> {
    let mut all: Vec<_> = table.collections.iter().collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    all
}

fn collection_type(schema: &Schema, collection: CollectionDef) -> &str {
    let table = match collection {
        CollectionDef::OneToMany { table, .. } => table,
        CollectionDef::ManyToMany { relationship, side } => {
            schema.many_to_many[relationship].tables[1 - side]
        }
    };
    &schema.tables[table].name
}

fn entity_set(out: &mut String, schema: &Schema, table: &TableDef) {
    let _ = write!(out, "<EntitySet Name=\"{}\" EntityType=\"mscrm.{}\">", table.set, table.name);
    let mut seen: Vec<&str> = Vec::new();
    for column in &table.columns {
        let ColumnType::Lookup { targets, flavour } = &column.kind else { continue };
        for target in targets {
            if *flavour == LookupFlavour::Owner || seen.contains(&target.navigation.as_str()) {
                continue;
            }
            seen.push(&target.navigation);
            let set = &schema.tables[target.table_index].set;
            let _ = write!(
                out,
                "<NavigationPropertyBinding Path=\"{}\" Target=\"{set}\" />",
                target.navigation
            );
        }
    }
    for (name, collection) in sorted(table) {
        let kind = collection_type(schema, *collection);
        if let Some(other) = schema.table(kind) {
            let _ = write!(
                out,
                "<NavigationPropertyBinding Path=\"{name}\" Target=\"{}\" />",
                other.set
            );
        }
    }
    out.push_str("</EntitySet>");
}

/// Unbound functions: name, result properties.
const FUNCTIONS: [(&str, &[(&str, &str)]); 2] = [
    (
        "WhoAmI",
        &[("BusinessUnitId", "Edm.Guid"), ("UserId", "Edm.Guid"), ("OrganizationId", "Edm.Guid")],
    ),
    ("RetrieveVersion", &[("Version", "Edm.String")]),
];

/// Unbound actions: name, parameters.
const ACTIONS: [(&str, &[(&str, &str)]); 3] = [
    ("CloseIncident", &[("IncidentResolution", "mscrm.crmbaseentity"), ("Status", "Edm.Int32")]),
    ("WinOpportunity", &[("OpportunityClose", "mscrm.crmbaseentity"), ("Status", "Edm.Int32")]),
    ("LoseOpportunity", &[("OpportunityClose", "mscrm.crmbaseentity"), ("Status", "Edm.Int32")]),
];

fn operations(out: &mut String, schema: &Schema) {
    for (name, results) in FUNCTIONS {
        let _ = write!(out, "<ComplexType Name=\"{name}Response\">");
        for (property, kind) in results {
            let _ = write!(out, "<Property Name=\"{property}\" Type=\"{kind}\" />");
        }
        let _ = write!(
            out,
            "</ComplexType><Function Name=\"{name}\"><ReturnType Type=\"mscrm.{name}Response\" \
             Nullable=\"false\" /></Function>"
        );
    }
    for (name, parameters) in ACTIONS {
        let _ = write!(out, "<Action Name=\"{name}\">");
        for (parameter, kind) in parameters {
            let _ = write!(out, "<Parameter Name=\"{parameter}\" Type=\"{kind}\" />");
        }
        out.push_str("</Action>");
    }
    out.push_str(
        "<ComplexType Name=\"CreateMultipleResponse\"><Property Name=\"Ids\" \
         Type=\"Collection(Edm.Guid)\" /></ComplexType>",
    );
    for table in &schema.tables {
        for message in &table.messages {
            let _ = write!(
                out,
                "<Action Name=\"{message}\" IsBound=\"true\"><Parameter Name=\"entityset\" \
                 Type=\"Collection(mscrm.{0})\" Nullable=\"false\" /><Parameter Name=\"Targets\" \
                 Type=\"Collection(mscrm.{0})\" Nullable=\"false\" />",
                table.name
            );
            if message == "CreateMultiple" {
                out.push_str("<ReturnType Type=\"mscrm.CreateMultipleResponse\" />");
            }
            out.push_str("</Action>");
        }
    }
}
