//! Pure: the schema as clients read it.
//!
//! Every definition is a [`node::Node`]: it renders itself and knows its neighbours, so that
//! paths, casts, `$select`, `$filter` and `$expand` are handled once for all kinds.

pub mod attributes;
pub mod changes;
pub mod csdl;
pub mod json_filter;
pub mod labels;
pub mod messages;
pub mod node;
pub mod options;
pub mod relationships;
pub mod tables;

pub use changes::changes;
pub use csdl::{document, service_document};
pub use json_filter::text_of;

use crate::simulator::call::{Answer, Refusal};
use crate::simulator::query::keys::{KeyValue, key_values};
use crate::simulator::query::refuse::{
    bad_query, missing_metadata, unknown_resource, unsupported_option,
};
use crate::simulator::query::url::{Options, Segment};
use crate::simulator::query::{World, answer_json};
use node::{Near, Node};
use serde_json::{Map, Value, json};

/// Sets of definitions.
const ROOTS: [&str; 3] =
    ["EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"];

/// Whether a path that starts with `name` is answered here.
#[must_use]
pub fn owns(name: &str) -> bool {
    ROOTS.contains(&name)
}

/// Answers a read of definitions.
///
/// # Errors
/// 404 for what is not there, 400 for casts and options that do not fit, 501 for text functions
/// in `$filter`.
///
/// Source: `dataverse-web-api.md` §8.
pub fn read(world: &World, segments: &[Segment], options: &Options) -> Result<Answer, Refusal> {
    let (first, rest) = segments.split_first().ok_or_else(|| unknown_resource(""))?;
    if first.name == "GlobalOptionSetDefinitions" && options.filter.is_some() {
        return Err(unsupported_option("$filter"));
    }
    let mut here = Near::Many(roots(world, &first.name));
    if let Some(args) = &first.args {
        here = Near::One(Some(pick(&here, args)?));
    }
    let mut context = first.name.clone();
    let mut cast: Option<&str> = None;
    for (at, step) in rest.iter().enumerate() {
        if let Some(kind) = step.name.strip_prefix("Microsoft.Dynamics.CRM.") {
            here = narrow(here, kind)?;
            cast = Some(kind);
            context = format!("{context}/{}", step.name);
        } else if step.name == "$count" {
            let Near::Many(nodes) = &here else { return Err(unknown_resource("$count")) };
            return Ok(plain(nodes.len().to_string()));
        } else {
            let node = match &here {
                Near::One(Some(node)) => *node,
                Near::One(None) => return Err(missing_metadata(&context)),
                Near::Many(_) => return Err(unknown_resource(&step.name)),
            };
            match node.navigate(world.schema, &step.name) {
                Some(next) => {
                    here = next;
                    cast = None;
                    context = format!("{context}/{}", step.name);
                }
                None => return property(world, node, &rest[at..], &context),
            }
        }
        if let Some(args) = &step.args {
            here = Near::One(Some(pick(&here, args)?));
        }
    }
    let fields = options.select.as_deref().map_or(String::new(), |s| format!("({s})"));
    let body = match here {
        Near::Many(nodes) => {
            let rows = node::rows(world.schema, &nodes, cast.is_none(), options)?;
            let mut body = Map::new();
            body.insert(
                "@odata.context".into(),
                format!("{}/$metadata#{context}{fields}", world.base()).into(),
            );
            if options.count {
                body.insert("@odata.count".into(), rows.len().into());
            }
            body.insert("value".into(), Value::Array(rows));
            Value::Object(body)
        }
        Near::One(Some(node)) => {
            if options.filter.is_some() {
                return Err(bad_query("$filter needs a collection."));
            }
            let mut row = node::project(world.schema, node, cast.is_none(), options)?;
            if let Value::Object(map) = &mut row {
                map.insert(
                    "@odata.context".into(),
                    format!("{}/$metadata#{context}{fields}/$entity", world.base()).into(),
                );
            }
            row
        }
        Near::One(None) => {
            return Ok(Answer { status: 204, ..Answer::default() });
        }
    };
    Ok(answer_json(&body))
}

fn roots<'a>(world: &World<'a>, name: &str) -> Vec<Node<'a>> {
    let schema = world.schema;
    match name {
        "EntityDefinitions" => schema.tables.iter().map(Node::Table).collect(),
        "RelationshipDefinitions" => relationships::all(schema),
        _ => {
            let mut names: Vec<_> = schema.global_options.iter().collect();
            names.sort_by(|a, b| a.0.cmp(b.0));
            names.into_iter().map(|(name, options)| Node::Global(name, options)).collect()
        }
    }
}

/// The definition a key in parentheses names.
fn pick<'a>(here: &Near<'a>, args: &str) -> Result<Node<'a>, Refusal> {
    let Near::Many(nodes) = here else {
        return Err(bad_query(format!("'{args}' is a key of something that is no collection.")));
    };
    let values = key_values(args)?;
    let [KeyValue { name, literal }] = values.as_slice() else {
        return Err(bad_query(format!("'{args}' is not a key of this resource.")));
    };
    let wanted = json_filter::text_of(literal);
    nodes
        .iter()
        .find(|node| node.answers_to(name.as_deref().unwrap_or("MetadataId"), &wanted))
        .copied()
        .ok_or_else(|| missing_metadata(&format!("a definition with {}", args.replace('\'', "\""))))
}

/// Applies a cast.
///
/// Source: `dataverse-web-api.md` §8.2.
fn narrow<'a>(here: Near<'a>, kind: &str) -> Result<Near<'a>, Refusal> {
    if !node::is_castable(kind) {
        return Err(bad_query(format!(
            "The type 'Microsoft.Dynamics.CRM.{kind}' cannot be cast to."
        )));
    }
    match here {
        Near::Many(nodes) => Ok(Near::Many(nodes.into_iter().filter(|n| n.is_a(kind)).collect())),
        Near::One(Some(node)) if node.is_a(kind) => Ok(Near::One(Some(node))),
        Near::One(_) => Err(missing_metadata(&format!("a definition of type {kind}"))),
    }
}

/// One property of a definition, `EntityDefinitions(…)/LogicalName`, `…/$value`.
fn property(
    world: &World,
    node: Node<'_>,
    steps: &[Segment],
    context: &str,
) -> Result<Answer, Refusal> {
    let mut value = Value::Object(node.full(world.schema));
    for step in steps {
        if step.name == "$value" {
            return Ok(plain(match value {
                Value::String(text) => text,
                other => other.to_string(),
            }));
        }
        value = match value {
            Value::Object(mut map) => map.remove(&step.name),
            _ => None,
        }
        .ok_or_else(|| unknown_resource(&step.name))?;
    }
    let path: Vec<_> = steps.iter().map(|s| s.name.as_str()).collect();
    let context = format!("{}/$metadata#{context}/{}", world.base(), path.join("/"));
    Ok(answer_json(&match value {
        Value::Object(mut map) => {
            map.insert("@odata.context".into(), context.into());
            Value::Object(map)
        }
        other => json!({ "@odata.context": context, "value": other }),
    }))
}

fn plain(text: String) -> Answer {
    Answer {
        status: 200,
        content_type: Some("text/plain"),
        body: text.into_bytes(),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests;
