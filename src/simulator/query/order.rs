//! Pure: `$orderby`.

use super::World;
use super::compile::resolve;
use super::predicate::Reach;
use super::refuse::bad_query;
use super::url::Options;
use crate::simulator::call::Refusal;

/// Columns to sort by, the most significant first; `true` is descending.
pub type Order = Vec<(Reach, bool)>;

/// Reads `$orderby`; a property may be given through a parameter alias.
///
/// # Errors
/// 400 for an unknown property, alias or direction.
pub fn parse(world: &World, table: usize, options: &Options) -> Result<Order, Refusal> {
    let Some(text) = &options.orderby else { return Ok(Vec::new()) };
    text.split(',')
        .map(|part| {
            let mut words = part.split_whitespace();
            let path = words.next().ok_or_else(|| bad_query("Empty $orderby item."))?;
            let path = match path.strip_prefix('@') {
                None => path,
                Some(alias) => options.aliases.get(alias).map(|p| p.trim()).ok_or_else(|| {
                    bad_query(format!(
                        "The parameter alias '@{alias}' was not found in the request."
                    ))
                })?,
            };
            let descending = match (words.next(), words.next()) {
                (None | Some("asc"), None) => false,
                (Some("desc"), None) => true,
                _ => return Err(bad_query(format!("Syntax error in $orderby at '{part}'."))),
            };
            Ok((resolve(world, table, path)?.0, descending))
        })
        .collect()
}
