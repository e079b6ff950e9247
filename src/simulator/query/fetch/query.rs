//! Pure: `FetchXML` bound to tables and columns.

use super::xml::{Element, invalid};
use crate::simulator::call::Refusal;
use crate::simulator::query::World;
use crate::simulator::query::aggregate::{DatePart, Function, Group, Measure};
use crate::simulator::query::collection::PAGE_MAX;
use crate::simulator::query::operators::{self, Operands};
use crate::simulator::query::predicate::{Reach, Test};
use crate::simulator::query::refuse::{unknown_column, unknown_table};
use crate::simulator::query::render::property_name;
use crate::simulator::schema::{ColumnDef, Storage};

/// Most joined tables.
const LINKS_MAX: usize = 15;

/// A joined table; slot 0 is the main one.
#[derive(Debug)]
pub struct Slot {
    /// Table.
    pub table: usize,
    /// Alias, empty for the main table.
    pub alias: String,
    /// How it is joined; `None` for the main table.
    pub join: Option<Join>,
}

/// How a table is joined.
#[derive(Debug)]
pub struct Join {
    /// Slot joined to.
    pub parent: usize,
    /// Column there.
    pub to: usize,
    /// Column of the joined table.
    pub from: usize,
    /// Whether rows without partner stay.
    pub outer: bool,
    /// Test of the joined row.
    pub test: Test,
}

/// A column of the answer.
#[derive(Debug)]
pub struct Output<'s> {
    /// Name in the answer.
    pub name: String,
    /// Column.
    pub reach: Reach,
    /// Its definition.
    pub column: &'s ColumnDef,
}

/// A query.
#[derive(Debug)]
pub struct Query<'s> {
    /// Tables.
    pub slots: Vec<Slot>,
    /// Columns of the answer, unless it aggregates.
    pub outputs: Vec<Output<'s>>,
    /// Groups of an aggregate.
    pub groups: Vec<Group<'s>>,
    /// Measures of an aggregate.
    pub measures: Vec<Measure>,
    /// Test of the joined rows.
    pub test: Test,
    /// Columns to sort by; `true` is descending.
    pub order: Vec<(Reach, bool)>,
    /// Aliases to sort an aggregate by.
    pub alias_order: Vec<(String, bool)>,
    /// `aggregate`.
    pub aggregate: bool,
    /// `distinct`.
    pub distinct: bool,
    /// `returntotalrecordcount`.
    pub total: bool,
    /// `top`.
    pub top: Option<usize>,
    /// `count`.
    pub size: usize,
    /// `page`, from 1.
    pub page: usize,
    /// `paging-cookie`.
    pub cookie: Option<String>,
}

/// Binds a `fetch` element; `table` is the one of the entity set.
///
/// # Errors
/// 400 for unknown tables, columns, operators and combinations.
///
/// Source: `dataverse-web-api.md` §7.4.
pub fn bind<'s>(world: &World<'s>, table: usize, fetch: &Element) -> Result<Query<'s>, Refusal> {
    if fetch.name != "fetch" {
        return Err(invalid("The root element must be 'fetch'."));
    }
    let mut entities = fetch.all("entity");
    let entity = match (entities.next(), entities.next()) {
        (Some(entity), None) => entity,
        _ => return Err(invalid("The element 'fetch' needs one element 'entity'.")),
    };
    let name = entity.must("name")?;
    let def = &world.schema.tables[table];
    if world.schema.by_name.get(name) != Some(&table) {
        if world.schema.by_name.contains_key(name) {
            return Err(invalid(format!(
                "The entity '{name}' does not fit the entity set '{}'.",
                def.set
            )));
        }
        return Err(unknown_table(name));
    }
    let number = |name: &str| -> Result<Option<usize>, Refusal> {
        fetch
            .attribute(name)
            .map(|t| t.trim().parse().map_err(|_| invalid(format!("'{name}' is no number."))))
            .transpose()
    };
    let mut query = Query {
        slots: vec![Slot { table, alias: String::new(), join: None }],
        outputs: Vec::new(),
        groups: Vec::new(),
        measures: Vec::new(),
        test: Test::Constant(true),
        order: Vec::new(),
        alias_order: Vec::new(),
        aggregate: fetch.is("aggregate"),
        distinct: fetch.is("distinct"),
        total: fetch.is("returntotalrecordcount"),
        top: number("top")?,
        size: number("count")?.filter(|n| *n > 0).unwrap_or(PAGE_MAX).min(PAGE_MAX),
        page: number("page")?.unwrap_or(1).max(1),
        cookie: fetch.attribute("paging-cookie").map(str::to_owned),
    };
    if query.top.is_some() && (fetch.attribute("page").is_some()) {
        return Err(invalid("'top' and 'page' exclude each other."));
    }
    links(world, &mut query, 0, entity)?;
    if query.slots.len() > 1 && def.storage == Storage::Elastic {
        return Err(Refusal::new(
            400,
            0x8004_8d0b,
            format!("Link entities are not supported on the table '{name}'."),
        ));
    }
    columns(world, &mut query, 0, entity)?;
    let mut tests = Vec::new();
    for filter in entity.all("filter") {
        tests.push(filter_test(world, &query.slots, 0, filter)?);
    }
    query.test = Test::And(tests);
    Ok(query)
}

/// Reads the `link-entity` elements below a table, their columns and tests.
fn links<'s>(
    world: &World<'s>,
    query: &mut Query<'s>,
    parent: usize,
    element: &Element,
) -> Result<(), Refusal> {
    for link in element.all("link-entity") {
        if query.slots.len() > LINKS_MAX {
            return Err(invalid("Too many link entities."));
        }
        let name = link.must("name")?;
        let &table = world.schema.by_name.get(name).ok_or_else(|| unknown_table(name))?;
        let outer = match link.attribute("link-type") {
            None | Some("inner") => false,
            Some("outer") => true,
            Some(other) => {
                return Err(invalid(format!("The link type '{other}' is not supported.")));
            }
        };
        let from = column(world, table, link.must("from")?)?.0;
        let to = column(world, query.slots[parent].table, link.must("to")?)?.0;
        let slot = query.slots.len();
        let alias = link.attribute("alias").map_or_else(|| format!("{name}{slot}"), str::to_owned);
        if query.slots.iter().any(|s| s.alias == alias) {
            return Err(invalid(format!("The alias '{alias}' is used twice.")));
        }
        let join = Join { parent, to, from, outer, test: Test::Constant(true) };
        query.slots.push(Slot { table, alias, join: Some(join) });
        links(world, query, slot, link)?;
        columns(world, query, slot, link)?;
        let mut tests = Vec::new();
        for filter in link.all("filter") {
            tests.push(filter_test(world, &query.slots, slot, filter)?);
        }
        if let Some(join) = &mut query.slots[slot].join {
            join.test = Test::And(tests);
        }
    }
    Ok(())
}

fn column<'s>(
    world: &World<'s>,
    table: usize,
    name: &str,
) -> Result<(usize, &'s ColumnDef), Refusal> {
    let def = &world.schema.tables[table];
    let index = def.column(name).ok_or_else(|| unknown_column(name, &def.name))?;
    Ok((index, &def.columns[index]))
}

fn columns<'s>(
    world: &World<'s>,
    query: &mut Query<'s>,
    slot: usize,
    element: &Element,
) -> Result<(), Refusal> {
    let table = query.slots[slot].table;
    let def = &world.schema.tables[table];
    let reach = |column: usize| Reach { slot, steps: Vec::new(), table, column };
    let prefix = match query.slots[slot].alias.as_str() {
        "" => String::new(),
        alias => format!("{alias}."),
    };
    let own_name = |column: &ColumnDef| match slot {
        0 => property_name(column),
        _ => format!("{prefix}{}", column.name),
    };
    if element.all("all-attributes").next().is_some() {
        for (index, column) in def.columns.iter().enumerate() {
            if super::super::render::is_property(def, column) {
                let name = own_name(column);
                query.outputs.push(Output { name, reach: reach(index), column });
            }
        }
    }
    for attribute in element.all("attribute") {
        let (index, column) = column(world, table, attribute.must("name")?)?;
        if query.aggregate {
            let alias = attribute.must("alias")?.to_owned();
            aggregate_column(query, attribute, alias, reach(index), column)?;
            continue;
        }
        if attribute.attribute("aggregate").is_some() || attribute.is("groupby") {
            return Err(invalid("'aggregate' and 'groupby' need aggregate='true' on 'fetch'."));
        }
        let name = attribute.attribute("alias").map_or_else(|| own_name(column), str::to_owned);
        query.outputs.push(Output { name, reach: reach(index), column });
    }
    if slot == 0 && !query.aggregate && !query.distinct {
        let id = &def.columns[0];
        if !query.outputs.iter().any(|o| o.reach == reach(0)) {
            query.outputs.push(Output { name: id.name.clone(), reach: reach(0), column: id });
        }
    }
    for order in element.all("order") {
        let descending = order.is("descending");
        match (order.attribute("alias"), order.attribute("attribute")) {
            (Some(alias), None) if query.aggregate => {
                query.alias_order.push((alias.to_owned(), descending));
            }
            (None, Some(name)) => {
                let (on, table) = slot_of(&query.slots, slot, order.attribute("entityname"))?;
                let (column, _) = column(world, table, name)?;
                let reach = Reach { slot: on, steps: Vec::new(), table, column };
                query.order.push((reach, descending));
            }
            _ => {
                return Err(invalid(
                    "The element 'order' needs 'attribute', or 'alias' when \
                                    aggregating.",
                ));
            }
        }
    }
    Ok(())
}

fn aggregate_column<'s>(
    query: &mut Query<'s>,
    attribute: &Element,
    alias: String,
    reach: Reach,
    column: &'s ColumnDef,
) -> Result<(), Refusal> {
    if attribute.is("groupby") {
        let part = match attribute.attribute("dategrouping") {
            None => None,
            Some("day") => Some(DatePart::Day),
            Some("week") => Some(DatePart::Week),
            Some("month") => Some(DatePart::Month),
            Some("quarter") => Some(DatePart::Quarter),
            Some("year") => Some(DatePart::Year),
            Some(other) => {
                return Err(invalid(format!("The date grouping '{other}' is not supported.")));
            }
        };
        query.groups.push(Group { alias, reach, column, part });
        return Ok(());
    }
    let function = match attribute.must("aggregate")? {
        "count" => Function::Count,
        "countcolumn" if attribute.is("distinct") => Function::CountDistinct,
        "countcolumn" => Function::CountColumn,
        "sum" => Function::Sum,
        "min" => Function::Min,
        "max" => Function::Max,
        "avg" => Function::Average,
        other => return Err(invalid(format!("The aggregate '{other}' is not supported."))),
    };
    query.measures.push(Measure { alias, function, reach: Some(reach) });
    Ok(())
}

/// The slot an `entityname` means: an alias, or a joined table's name.
fn slot_of(slots: &[Slot], here: usize, entity: Option<&str>) -> Result<(usize, usize), Refusal> {
    let slot = match entity {
        None => here,
        Some(name) => slots
            .iter()
            .position(|s| s.alias == name)
            .ok_or_else(|| invalid(format!("No link entity has the alias '{name}'.")))?,
    };
    Ok((slot, slots[slot].table))
}

fn filter_test(
    world: &World,
    slots: &[Slot],
    here: usize,
    filter: &Element,
) -> Result<Test, Refusal> {
    let mut tests = Vec::new();
    for child in &filter.children {
        match child.name.as_str() {
            "filter" => tests.push(filter_test(world, slots, here, child)?),
            "condition" => tests.push(condition(world, slots, here, child)?),
            other => return Err(invalid(format!("'{other}' does not belong into 'filter'."))),
        }
    }
    match filter.attribute("type") {
        None | Some("and") => Ok(Test::And(tests)),
        Some("or") if tests.is_empty() => Ok(Test::Constant(true)),
        Some("or") => Ok(Test::Or(tests)),
        Some(other) => Err(invalid(format!("The filter type '{other}' is not known."))),
    }
}

fn condition(
    world: &World,
    slots: &[Slot],
    here: usize,
    condition: &Element,
) -> Result<Test, Refusal> {
    let (slot, table) = slot_of(slots, here, condition.attribute("entityname"))?;
    let (index, column_def) = column(world, table, condition.must("attribute")?)?;
    let mut values: Vec<String> = condition.all("value").map(|v| v.text.clone()).collect();
    if let Some(value) = condition.attribute("value") {
        values.insert(0, value.to_owned());
    }
    let operator = condition.must("operator")?;
    let reach = Reach { slot, steps: Vec::new(), table, column: index };
    if let Some(other) = condition.attribute("valueof") {
        use crate::simulator::query::filter::Comparison;
        let comparison = match operator {
            "eq" => Comparison::Eq,
            "ne" | "neq" => Comparison::Ne,
            "gt" => Comparison::Gt,
            "ge" => Comparison::Ge,
            "lt" => Comparison::Lt,
            "le" => Comparison::Le,
            other => {
                return Err(invalid(format!("'{other}' does not compare two columns.")));
            }
        };
        let (other_slot, name) = match other.split_once('.') {
            Some((alias, name)) => (slot_of(slots, here, Some(alias))?, name),
            None => ((slot, table), other),
        };
        let (other, _) = column(world, other_slot.1, name)?;
        let right =
            Reach { slot: other_slot.0, steps: Vec::new(), table: other_slot.1, column: other };
        return Ok(Test::Columns(reach, comparison, right));
    }
    operators::test(world, operator, &Operands { reach, column: column_def, values: &values })
}
