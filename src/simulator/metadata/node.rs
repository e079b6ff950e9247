//! Pure: any definition, its properties and its neighbours.

use super::json_filter::{holds, keep_selected};
use super::relationships::{self, Link, link_id};
use super::{attributes, options, tables};
use crate::simulator::call::Refusal;
use crate::simulator::query::filter;
use crate::simulator::query::refuse::{bad_query, unknown_property};
use crate::simulator::query::url::{Options, nested_options, split_outside};
use crate::simulator::schema::{
    ColumnDef, ColumnType, KeyDef, ManyToMany, OptionDef, Schema, TableDef,
};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One definition.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// Table.
    Table(&'a TableDef),
    /// Column of a table.
    Column(&'a TableDef, &'a ColumnDef),
    /// Alternate key of a table.
    Key(&'a TableDef, &'a KeyDef),
    /// 1:N relationship.
    Reference(Link<'a>),
    /// N:N relationship.
    Pair(&'a ManyToMany),
    /// Option set of a column.
    Options(&'a TableDef, &'a ColumnDef),
    /// Global option set.
    Global(&'a str, &'a [OptionDef]),
}

/// What a navigation property leads to.
pub enum Near<'a> {
    /// Single-valued.
    One(Option<Node<'a>>),
    /// Collection-valued.
    Many(Vec<Node<'a>>),
}

/// Whether a type can stand in a cast. `EnumAttributeMetadata` is abstract.
///
/// Source: `dataverse-web-api.md` §8.2.
#[must_use]
pub fn is_castable(kind: &str) -> bool {
    const OTHERS: [&str; 5] = [
        "OneToManyRelationshipMetadata",
        "ManyToManyRelationshipMetadata",
        "OptionSetMetadata",
        "BooleanOptionSetMetadata",
        "AttributeMetadata",
    ];
    const COLUMNS: [&str; 18] = [
        "String",
        "Memo",
        "Integer",
        "BigInt",
        "Decimal",
        "Double",
        "Money",
        "DateTime",
        "Boolean",
        "Picklist",
        "MultiSelectPicklist",
        "State",
        "Status",
        "Lookup",
        "File",
        "Image",
        "UniqueIdentifier",
        "EntityName",
    ];
    OTHERS.contains(&kind)
        || kind.strip_suffix("AttributeMetadata").is_some_and(|k| COLUMNS.contains(&k))
}

impl<'a> Node<'a> {
    /// Type name without namespace.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "EntityMetadata",
            Self::Column(_, c) => attributes::kind(c),
            Self::Key(..) => "EntityKeyMetadata",
            Self::Reference(_) => "OneToManyRelationshipMetadata",
            Self::Pair(_) => "ManyToManyRelationshipMetadata",
            Self::Options(_, c) if matches!(c.kind, ColumnType::Boolean { .. }) => {
                "BooleanOptionSetMetadata"
            }
            Self::Options(..) | Self::Global(..) => "OptionSetMetadata",
        }
    }

    /// Whether the definition survives a cast to `kind`.
    #[must_use]
    pub fn is_a(&self, kind: &str) -> bool {
        self.kind() == kind || (kind == "AttributeMetadata" && matches!(self, Self::Column(..)))
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Table(t) => t.metadata_id,
            Self::Column(_, c) => c.metadata_id,
            Self::Key(_, k) => k.metadata_id,
            Self::Reference(l) => link_id(l),
            Self::Pair(m) => m.metadata_id,
            Self::Options(t, c) => options::set_id(&format!("{}_{}", t.name, c.name)),
            Self::Global(name, _) => options::set_id(name),
        }
    }

    /// Whether a key `name=wanted` names this definition; names compare without case.
    #[must_use]
    pub fn answers_to(&self, name: &str, wanted: &str) -> bool {
        if name == "MetadataId" {
            return Uuid::try_parse(wanted).is_ok_and(|id| id == self.id());
        }
        let own = match (self, name) {
            (Self::Table(t), "LogicalName") => t.name.clone(),
            (Self::Column(_, c), "LogicalName") => c.name.clone(),
            (Self::Key(_, k), "LogicalName") => k.name.clone(),
            (Self::Reference(l), "SchemaName") => l.name(),
            (Self::Pair(m), "SchemaName") => m.schema_name.clone(),
            (Self::Global(own, _), "Name") => (*own).to_owned(),
            _ => return false,
        };
        own.eq_ignore_ascii_case(wanted)
    }

    /// All properties, those of the concrete type included.
    #[must_use]
    pub fn full(&self, schema: &Schema) -> Map<String, Value> {
        match self {
            Self::Table(t) => tables::table(t),
            Self::Column(t, c) => {
                let mut out = attributes::base(t, c);
                out.extend(attributes::specific(c));
                out
            }
            Self::Key(t, k) => tables::key(t, k),
            Self::Reference(l) => relationships::link(schema, l),
            Self::Pair(m) => relationships::pair(schema, m),
            Self::Options(t, c) => options::of_column(t, c).unwrap_or_default(),
            Self::Global(name, list) => options::global(name, list),
        }
    }

    /// Follows a navigation property.
    #[must_use]
    pub fn navigate(&self, schema: &'a Schema, name: &str) -> Option<Near<'a>> {
        Some(match (*self, name) {
            (Self::Table(t), "Attributes") => {
                Near::Many(t.columns.iter().map(|c| Self::Column(t, c)).collect())
            }
            (Self::Table(t), "Keys") => {
                Near::Many(t.keys.iter().map(|k| Self::Key(t, k)).collect())
            }
            (Self::Table(t), "ManyToOneRelationships") => {
                Near::Many(relationships::many_to_one(t).into_iter().map(Self::Reference).collect())
            }
            (Self::Table(t), "OneToManyRelationships") => Near::Many(
                relationships::one_to_many(schema, &t.name)
                    .into_iter()
                    .map(Self::Reference)
                    .collect(),
            ),
            (Self::Table(t), "ManyToManyRelationships") => Near::Many(
                relationships::many_to_many(schema, &t.name).into_iter().map(Self::Pair).collect(),
            ),
            (Self::Column(t, c), "OptionSet") if options::of_column(t, c).is_some() => {
                Near::One(Some(Self::Options(t, c)))
            }
            (Self::Column(_, c), "GlobalOptionSet") => match &c.kind {
                ColumnType::Choice { global, .. } | ColumnType::Choices { global, .. } => {
                    Near::One(global.as_ref().and_then(|g| {
                        schema.global_options.get_key_value(g).map(|(n, o)| Self::Global(n, o))
                    }))
                }
                ColumnType::State(_) | ColumnType::Status(_) | ColumnType::Boolean { .. } => {
                    Near::One(None)
                }
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// Renders the definitions of a collection that pass `$filter`; `abstract_type` when the
/// collection was not cast.
///
/// # Errors
/// 400 for unknown properties, 501 for text functions.
pub fn rows(
    schema: &Schema,
    nodes: &[Node<'_>],
    abstract_type: bool,
    options: &Options,
) -> Result<Vec<Value>, Refusal> {
    if let Some(name) =
        [("$orderby", options.orderby.is_some()), ("$apply", options.apply.is_some())]
            .iter()
            .find_map(|(name, given)| given.then_some(*name))
    {
        return Err(bad_query(format!("The query parameter {name} is not supported")));
    }
    let test = match &options.filter {
        Some(text) => Some(filter::parse(text, &options.aliases)?),
        None => None,
    };
    let mut out = Vec::new();
    for node in nodes {
        if let Some(test) = &test
            && !holds(test, &Value::Object(node.full(schema)), node.kind(), false)?
        {
            continue;
        }
        out.push(project(schema, *node, abstract_type, options)?);
    }
    if let Some(top) = options.top {
        out.truncate(top);
    }
    Ok(out)
}

/// Renders one definition by `$select` and `$expand`.
///
/// # Errors
/// 400 for unknown properties. Without a cast, properties of the concrete type cannot be
/// selected.
pub fn project(
    schema: &Schema,
    node: Node<'_>,
    abstract_type: bool,
    options: &Options,
) -> Result<Value, Refusal> {
    let full = node.full(schema);
    let mut out = match &options.select {
        None => full,
        Some(select) => {
            if let (Node::Column(t, c), true) = (node, abstract_type) {
                keep_selected(attributes::base(t, c), select, "AttributeMetadata", "MetadataId")?
            } else {
                keep_selected(full, select, node.kind(), "MetadataId")?
            }
        }
    };
    if abstract_type && matches!(node, Node::Column(..)) {
        out.insert("@odata.type".into(), format!("#Microsoft.Dynamics.CRM.{}", node.kind()).into());
    }
    for part in options.expand.iter().flat_map(|e| split_outside(e, ',')) {
        let part = part.trim();
        let (name, inner) = match part.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')')),
            None => (part, Some("")),
        };
        let inner = inner.ok_or_else(|| bad_query(format!("Bad $expand: '{part}'.")))?;
        let inner = nested_options(inner, &options.aliases)?;
        let visible = !(abstract_type && matches!(node, Node::Column(..)));
        let near = node.navigate(schema, name).filter(|_| visible);
        let value = match near {
            None => {
                let kind = if visible { node.kind() } else { "AttributeMetadata" };
                return Err(unknown_property(name, kind));
            }
            Some(Near::One(None)) => Value::Null,
            Some(Near::One(Some(next))) => project(schema, next, false, &inner)?,
            Some(Near::Many(nodes)) => Value::Array(rows(schema, &nodes, true, &inner)?),
        };
        out.insert(name.to_owned(), value);
    }
    Ok(Value::Object(out))
}
