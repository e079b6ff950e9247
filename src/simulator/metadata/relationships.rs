//! Pure: definitions of relationships.

use super::labels::{derived_id, label, managed};
use super::node::Node;
use super::tables::object;
use crate::simulator::schema::{
    ColumnDef, ColumnType, LookupFlavour, LookupTargetDef, ManyToMany, Schema, TableDef,
};
use serde_json::{Map, Value, json};

/// One 1:N relationship, seen from the referencing side.
#[derive(Clone, Copy)]
pub struct Link<'a> {
    /// Referencing table.
    pub table: &'a TableDef,
    /// Referencing column.
    pub column: &'a ColumnDef,
    /// Target, or `None` for the abstract table `owner`.
    pub target: Option<&'a LookupTargetDef>,
}

impl<'a> Link<'a> {
    /// `SchemaName`.
    #[must_use]
    pub fn name(&self) -> String {
        self.target.map_or_else(|| format!("owner_{}", self.table.set), |t| t.relationship.clone())
    }

    /// Logical name of the referenced table.
    #[must_use]
    pub fn referenced(&self) -> &'a str {
        self.target.map_or("owner", |t| t.table.as_str())
    }
}

/// Relationships that start at a table. Owner columns lead to the abstract table `owner` once.
///
/// Source: `dataverse-web-api.md` §8.4, §13.
#[must_use]
pub fn many_to_one(table: &TableDef) -> Vec<Link<'_>> {
    let mut out = Vec::new();
    for column in &table.columns {
        let ColumnType::Lookup { targets, flavour } = &column.kind else { continue };
        if *flavour == LookupFlavour::Owner {
            out.push(Link { table, column, target: None });
        } else {
            out.extend(targets.iter().map(|t| Link { table, column, target: Some(t) }));
        }
    }
    out
}

/// Relationships that lead to a table.
#[must_use]
pub fn one_to_many<'a>(schema: &'a Schema, name: &str) -> Vec<Link<'a>> {
    schema.tables.iter().flat_map(many_to_one).filter(|l| l.referenced() == name).collect()
}

/// N:N relationships of a table.
#[must_use]
pub fn many_to_many<'a>(schema: &'a Schema, name: &str) -> Vec<&'a ManyToMany> {
    let of = |m: &&ManyToMany| m.tables.iter().any(|&t| schema.tables[t].name == name);
    schema.many_to_many.iter().filter(of).collect()
}

/// Every relationship of the environment.
#[must_use]
pub fn all(schema: &Schema) -> Vec<Node<'_>> {
    let links = schema.tables.iter().flat_map(many_to_one).map(Node::Reference);
    links.chain(schema.many_to_many.iter().map(Node::Pair)).collect()
}

/// `MetadataId` of a 1:N relationship.
#[must_use]
pub fn link_id(link: &Link<'_>) -> uuid::Uuid {
    derived_id("relationship", &link.name())
}

/// All properties of a 1:N relationship.
///
/// Source: `dataverse-web-api.md` §8.4.
#[must_use]
pub fn link(schema: &Schema, l: &Link<'_>) -> Map<String, Value> {
    let referenced_id = match l.target {
        None => "ownerid",
        Some(target) => schema
            .by_name
            .get(&target.table)
            .and_then(|&t| schema.tables[t].columns.first())
            .map_or("", |c| c.name.as_str()),
    };
    let name = l.name();
    let restrict = l.target.is_some_and(|t| t.restrict_delete);
    object(json!({
        "@odata.type": "#Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
        "MetadataId": link_id(l),
        "SchemaName": name,
        "RelationshipType": "OneToManyRelationship",
        "ReferencingEntity": l.table.name,
        "ReferencingAttribute": l.column.name,
        "ReferencingEntityNavigationPropertyName":
            l.target.map_or(l.column.name.as_str(), |t| t.navigation.as_str()),
        "ReferencedEntity": l.referenced(),
        "ReferencedAttribute": referenced_id,
        "ReferencedEntityNavigationPropertyName":
            l.target.map_or(name.as_str(), |t| t.collection.as_str()),
        "RelationshipBehavior": 0,
        "EntityKey": null,
        "IsHierarchical": false,
        "IsRelationshipAttributeDenormalized": false,
        "IsCustomRelationship": l.column.is_custom,
        "IsManaged": !l.column.is_custom,
        "IsValidForAdvancedFind": true,
        "SecurityTypes": "Append",
        "IntroducedVersion": "1.0.0.0",
        "HasChanged": null,
        "DenormalizedAttributeName": null,
        "RelationshipAttributes": [],
        "IsCustomizable": managed(true, "iscustomizable"),
        "AssociatedMenuConfiguration": menu(),
        "CascadeConfiguration": {
            "Assign": "NoCascade",
            "Delete": if restrict { "Restrict" } else { "RemoveLink" },
            "Archive": if restrict { "Restrict" } else { "RemoveLink" },
            "Merge": "NoCascade",
            "Reparent": "NoCascade",
            "Share": "NoCascade",
            "Unshare": "NoCascade",
            "RollupView": "NoCascade",
        },
    }))
}

/// All properties of an N:N relationship.
///
/// Source: `dataverse-web-api.md` §8.4.
#[must_use]
pub fn pair(schema: &Schema, m: &ManyToMany) -> Map<String, Value> {
    let [first, second] = m.tables.map(|t| &schema.tables[t]);
    object(json!({
        "@odata.type": "#Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata",
        "MetadataId": m.metadata_id,
        "SchemaName": m.schema_name,
        "RelationshipType": "ManyToManyRelationship",
        "IntersectEntityName": schema.tables[m.intersect].name,
        "Entity1LogicalName": first.name,
        "Entity1IntersectAttribute": m.columns[0],
        "Entity1NavigationPropertyName": m.navigation[0],
        "Entity2LogicalName": second.name,
        "Entity2IntersectAttribute": m.columns[1],
        "Entity2NavigationPropertyName": m.navigation[1],
        "IsCustomRelationship": schema.tables[m.intersect].is_custom,
        "IsManaged": false,
        "IsValidForAdvancedFind": true,
        "SecurityTypes": "None",
        "IntroducedVersion": "1.0.0.0",
        "HasChanged": null,
        "IsCustomizable": managed(true, "iscustomizable"),
        "Entity1AssociatedMenuConfiguration": menu(),
        "Entity2AssociatedMenuConfiguration": menu(),
    }))
}

fn menu() -> Value {
    json!({
        "Behavior": "UseCollectionName",
        "Group": "Details",
        "Order": null,
        "IsCustomizable": true,
        "Icon": null,
        "ViewId": "00000000-0000-0000-0000-000000000000",
        "AvailableOffline": true,
        "MenuId": null,
        "QueryApi": null,
        "Label": label(None),
    })
}
