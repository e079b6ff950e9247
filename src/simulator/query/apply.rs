//! Pure: `$apply`: `filter(…)`, `groupby((…),aggregate(…))`, `aggregate(…)`.

use super::aggregate::{Function, Group, Measure, aggregate};
use super::annotations::{FORMATTED, Preferences};
use super::collection::{Source, apply_preferences, test_of};
use super::compile::{compile, resolve};
use super::formatted::formatted;
use super::predicate::Test;
use super::refuse::{bad_query, unknown_property};
use super::render::{JsonText, write_notes, write_value};
use super::scalar::order_values;
use super::url::{Options, split_outside};
use super::{World, filter, json_bytes, plan};
use crate::simulator::call::{Answer, Refusal};

/// Answers a collection read with `$apply`.
///
/// # Errors
/// 400 for unknown properties and transformations.
///
/// Source: `dataverse-web-api.md` §7.1.
pub fn read(
    world: &World,
    source: &Source,
    options: &Options,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    if options.select.is_some() || options.expand.is_some() {
        return Err(bad_query("$apply goes with neither $select nor $expand."));
    }
    let table = source.table;
    let mut tests = vec![test_of(world, table, options)?];
    let mut groups = Vec::new();
    let mut measures = Vec::new();
    let steps = split_outside(options.apply.as_deref().unwrap_or_default(), '/');
    for (at, step) in steps.iter().enumerate() {
        let step = step.trim();
        let (name, inner) = step
            .split_once('(')
            .and_then(|(name, rest)| Some((name.trim(), rest.strip_suffix(')')?)))
            .ok_or_else(|| bad_query(format!("Syntax error in $apply at '{step}'.")))?;
        match name {
            "filter" if measures.is_empty() && groups.is_empty() => {
                let expr = filter::parse(inner, &options.aliases)?;
                tests.push(compile(world, table, &expr)?);
            }
            "aggregate" if at + 1 == steps.len() && groups.is_empty() => {
                measures = parse_measures(world, table, inner)?;
            }
            "groupby" if at + 1 == steps.len() => {
                (groups, measures) = parse_groupby(world, table, inner)?;
            }
            _ => {
                return Err(bad_query(format!(
                    "The $apply transformation '{step}' is not supported."
                )));
            }
        }
    }
    if groups.is_empty() && measures.is_empty() {
        return Err(bad_query("$apply needs groupby or aggregate."));
    }
    let test = Test::And(tests);
    let rows = &world.store.tables[table];
    let places = source
        .places
        .clone()
        .or_else(|| plan::candidates(world, table, &test))
        .unwrap_or_else(|| (0..rows.rows.len()).collect());
    let passing = places.into_iter().filter_map(|place| {
        let row = vec![Some(rows.row(place)?)];
        test.holds(world, &row).then_some(row)
    });
    let mut results = aggregate(world, passing, &groups, &measures)?;
    let names: Vec<&str> = groups
        .iter()
        .map(|g| g.alias.as_str())
        .chain(measures.iter().map(|m| m.alias.as_str()))
        .collect();
    sort(&mut results, &names, options.orderby.as_deref())?;
    if let Some(top) = options.top {
        results.truncate(top);
    }
    let mut out = vec![b'{'];
    let context = format!("{}/$metadata#{}", world.base(), source.context);
    out.json_field("@odata.context", &context);
    out.extend_from_slice(b",\"value\":[");
    for (at, result) in results.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        for (at, (name, value)) in names.iter().zip(result).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let annotations = &preferences.annotations;
            if let Some(group) = groups.get(at) {
                write_notes(world, &mut out, name, group.column, value, annotations);
            } else if let (true, Some(reach)) = (
                annotations.wants(FORMATTED),
                at.checked_sub(groups.len()).and_then(|m| measures[m].reach.as_ref()),
            ) {
                let column = &world.schema.tables[reach.table].columns[reach.column];
                if let Some(text) = formatted(world, column, value) {
                    out.json_field(&format!("{name}@{FORMATTED}"), &text);
                    out.push(b',');
                }
            }
            out.json_text(name);
            out.push(b':');
            write_value(&mut out, value);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let mut answer = json_bytes(out);
    answer.table = Some(table);
    apply_preferences(&mut answer, preferences);
    Ok(answer)
}

fn sort(
    results: &mut [Vec<crate::simulator::value::Value>],
    names: &[&str],
    orderby: Option<&str>,
) -> Result<(), Refusal> {
    let Some(orderby) = orderby else { return Ok(()) };
    // Last item first: each sort is stable.
    for part in orderby.rsplit(',') {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let descending = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => return Err(bad_query(format!("Syntax error in $orderby at '{part}'."))),
        };
        let at = names
            .iter()
            .position(|n| *n == name)
            .ok_or_else(|| unknown_property(name, "expando"))?;
        results.sort_by(|a, b| {
            let order = order_values(&a[at], &b[at]);
            if descending { order.reverse() } else { order }
        });
    }
    Ok(())
}

fn parse_groupby<'a>(
    world: &World<'a>,
    table: usize,
    text: &str,
) -> Result<(Vec<Group<'a>>, Vec<Measure>), Refusal> {
    let bad = || bad_query(format!("Syntax error in $apply at '{text}'."));
    let parts = split_outside(text, ',');
    let (list, rest) = parts.split_first().ok_or_else(bad)?;
    let list = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')')).ok_or_else(bad)?;
    let mut groups = Vec::new();
    for name in list.split(',').map(str::trim) {
        let (reach, column) = resolve(world, table, name)?;
        let alias = name.replace('/', "_");
        groups.push(Group { alias, reach, column, part: None });
    }
    let measures = match rest {
        [] => Vec::new(),
        [one] => {
            let inner = one
                .trim()
                .strip_prefix("aggregate(")
                .and_then(|t| t.strip_suffix(')'))
                .ok_or_else(bad)?;
            parse_measures(world, table, inner)?
        }
        _ => return Err(bad()),
    };
    Ok((groups, measures))
}

fn parse_measures(world: &World, table: usize, text: &str) -> Result<Vec<Measure>, Refusal> {
    let bad = |part: &str| bad_query(format!("Syntax error in aggregate at '{part}'."));
    text.split(',')
        .map(|part| match part.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["$count", "as", alias] => {
                Ok(Measure { alias: (*alias).to_owned(), function: Function::Count, reach: None })
            }
            [path, "with", function, "as", alias] => {
                let function = match *function {
                    "sum" => Function::Sum,
                    "min" => Function::Min,
                    "max" => Function::Max,
                    "average" => Function::Average,
                    "countdistinct" => Function::CountDistinct,
                    _ => return Err(bad(part)),
                };
                let reach = Some(resolve(world, table, path)?.0);
                Ok(Measure { alias: (*alias).to_owned(), function, reach })
            }
            _ => Err(bad(part)),
        })
        .collect()
}
