//! Pure: filters bound to the columns of a table.

use super::World;
use super::filter::{Argument, Comparison, Expr, Operand};
use super::lex::Literal;
use super::operators::{self, Operands};
use super::predicate::{Reach, RelatedIndex, Test, collection_table};
use super::refuse::{bad_query, unknown_column, unknown_property};
use super::scalar::{bind, fold};
use crate::simulator::call::Refusal;
use crate::simulator::schema::{ColumnDef, ColumnType, Property};

/// Binds a filter to a table.
///
/// # Errors
/// 400 for unknown properties, types that do not fit and unknown functions.
pub fn compile(world: &World, table: usize, expr: &Expr) -> Result<Test, Refusal> {
    let all = |parts: &[Expr]| -> Result<Vec<Test>, Refusal> {
        parts.iter().map(|e| compile(world, table, e)).collect()
    };
    Ok(match expr {
        Expr::Constant(b) => Test::Constant(*b),
        Expr::And(parts) => Test::And(all(parts)?),
        Expr::Or(parts) => Test::Or(all(parts)?),
        Expr::Not(inner) => Test::Not(Box::new(compile(world, table, inner)?)),
        Expr::Flag(path) => {
            let (reach, column) = resolve(world, table, path)?;
            let truth = bind(column, &Literal::Bool(true)).ok_or_else(|| {
                bad_query(format!("'{path}' is not a Boolean and cannot stand alone in a filter."))
            })?;
            Test::Is(reach, Comparison::Eq, truth)
        }
        Expr::Compare(op, Operand::Path(path), Operand::Literal(literal)) => {
            compare(world, table, *op, path, literal)?
        }
        Expr::Compare(op, Operand::Literal(literal), Operand::Path(path)) => {
            compare(world, table, op.swapped(), path, literal)?
        }
        Expr::Compare(op, Operand::Path(left), Operand::Path(right)) => {
            let (left, a) = resolve(world, table, left)?;
            let (right, b) = resolve(world, table, right)?;
            if std::mem::discriminant(&a.kind) != std::mem::discriminant(&b.kind) {
                return Err(mismatch(a, &b.name));
            }
            Test::Columns(left, *op, right)
        }
        Expr::Compare(op, Operand::Literal(left), Operand::Literal(right)) => match op {
            Comparison::Eq => Test::Constant(left == right),
            Comparison::Ne => Test::Constant(left != right),
            _ => return Err(bad_query("Two constants can only be compared by eq and ne.")),
        },
        Expr::Text(test, path, text) => {
            let (reach, column) = resolve(world, table, path)?;
            if !is_text(column) {
                return Err(mismatch(column, text));
            }
            Test::Text(reach, *test, fold(text))
        }
        Expr::Query(name, arguments) => function(world, table, name, arguments)?,
        Expr::Lambda { path, all, body } => {
            let def = &world.schema.tables[table];
            let collection =
                *def.collections.get(path).ok_or_else(|| unknown_property(path, &def.name))?;
            let other = collection_table(world, collection);
            let test = match body {
                Some(body) => compile(world, other, body)?,
                None => Test::Constant(true),
            };
            Test::Related {
                collection,
                all: *all,
                test: Box::new(test),
                index: RelatedIndex::default(),
            }
        }
    })
}

fn is_text(column: &ColumnDef) -> bool {
    matches!(
        column.kind,
        ColumnType::Text { .. } | ColumnType::Memo { .. } | ColumnType::EntityName
    )
}

fn mismatch(column: &ColumnDef, other: &str) -> Refusal {
    bad_query(format!(
        "A binary operator with incompatible types was detected: '{}' does not compare with \
         '{other}'.",
        column.name
    ))
}

fn compare(
    world: &World,
    table: usize,
    op: Comparison,
    path: &str,
    literal: &Literal,
) -> Result<Test, Refusal> {
    let (reach, column) = resolve(world, table, path)?;
    if *literal == Literal::Null {
        return Ok(match op {
            Comparison::Eq => Test::Null(reach),
            Comparison::Ne => Test::Not(Box::new(Test::Null(reach))),
            _ => Test::Constant(false),
        });
    }
    let constant = bind(column, literal)
        .ok_or_else(|| mismatch(column, &crate::simulator::metadata::text_of(literal)))?;
    Ok(Test::Is(reach, op, constant))
}

/// The way a property path means: `name`, `_x_value`, `primarycontactid/fullname`.
///
/// # Errors
/// 400 for an unknown property.
pub fn resolve<'a>(
    world: &World<'a>,
    table: usize,
    path: &str,
) -> Result<(Reach, &'a ColumnDef), Refusal> {
    let mut reach = Reach { slot: 0, steps: Vec::new(), table, column: 0 };
    let mut rest = path;
    while let Some((step, tail)) = rest.split_once('/') {
        let def = &world.schema.tables[reach.table];
        let &(column, to) =
            def.by_navigation.get(step).ok_or_else(|| unknown_property(step, &def.name))?;
        reach.steps.push((column, to));
        reach.table = to;
        rest = tail;
    }
    let def = &world.schema.tables[reach.table];
    reach.column = match def.by_property.get(rest) {
        Some(Property::Column(column) | Property::LookupValue(column)) => *column,
        _ => return Err(unknown_property(rest, &def.name)),
    };
    let column = &def.columns[reach.column];
    if column.for_read { Ok((reach, column)) } else { Err(unknown_property(rest, &def.name)) }
}

/// `Microsoft.Dynamics.CRM.…` functions: the conditions of `FetchXML` under other names.
fn function(
    world: &World,
    table: usize,
    name: &str,
    arguments: &[(String, Argument)],
) -> Result<Test, Refusal> {
    let def = &world.schema.tables[table];
    let mut property = None;
    let mut values = Vec::new();
    for (parameter, argument) in arguments {
        match (parameter.as_str(), argument) {
            ("PropertyName", Argument::One(Literal::Text(text))) => property = Some(text.as_str()),
            ("PropertyValue", Argument::One(literal)) => {
                values.push(crate::simulator::metadata::text_of(literal));
            }
            ("PropertyValues", Argument::Many(items)) => values.extend(items.iter().cloned()),
            ("PropertyValue1" | "PropertyValue2", Argument::One(literal)) => {
                values.push(crate::simulator::metadata::text_of(literal));
            }
            _ => {
                return Err(bad_query(format!(
                    "The parameter '{parameter}' does not fit the function '{name}'."
                )));
            }
        }
    }
    let property =
        property.ok_or_else(|| bad_query(format!("The function '{name}' needs PropertyName.")))?;
    let (reach, column) = if property.contains('/') || property.starts_with('_') {
        resolve(world, table, property)?
    } else {
        let index = def.column(property).ok_or_else(|| unknown_column(property, &def.name))?;
        (Reach::own(table, index), &def.columns[index])
    };
    let operator = operators::of_function(name);
    if matches!(operator.as_str(), "in" | "not-in") && values.is_empty() {
        return Err(bad_query(format!("The function '{name}' needs PropertyValues.")));
    }
    operators::test(world, &operator, &Operands { reach, column, values: &values })
}
