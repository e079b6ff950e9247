//! Pure: lookups find their tables, navigation properties both ends.

use super::DefineError;
use crate::simulator::dump::ADMINISTRATIVE;
use crate::simulator::schema::{
    CollectionDef, ColumnType, LookupTargetDef, Property, RequiredLevel, Schema, Storage,
};

/// Second pass: lookups find their tables, navigation properties both ends.
pub(super) fn resolve(schema: &mut Schema) -> Result<(), DefineError> {
    let mut links = Vec::new();
    for (t, table) in schema.tables.iter_mut().enumerate() {
        for (c, column) in table.columns.iter_mut().enumerate() {
            let ColumnType::Lookup { targets, .. } = &mut column.kind else { continue };
            for target in targets {
                let to =
                    *schema.by_name.get(&target.table).ok_or_else(|| DefineError::Unknown {
                        table: table.name.clone(),
                        what: "table",
                        name: target.table.clone(),
                    })?;
                target.table_index = to;
                table.by_navigation.entry(target.navigation.clone()).or_insert((c, to));
                links.push((t, c, to, target.collection.clone()));
            }
        }
    }
    for (table, column, to, collection) in links {
        let target = &mut schema.tables[to];
        target.referenced_by.push((table, column));
        target.collections.insert(collection, CollectionDef::OneToMany { table, column });
    }
    for (relationship, link) in schema.many_to_many.iter().enumerate() {
        for side in 0..2 {
            let def = CollectionDef::ManyToMany { relationship, side };
            let table = &mut schema.tables[link.tables[side]];
            table.collections.insert(link.navigation[side].clone(), def);
        }
    }
    for table in &mut schema.tables {
        for (c, column) in table.columns.iter().enumerate() {
            let kept_by_service =
                Some(c) == table.standing.owner || Some(c) == table.standing.state;
            if c > 0 && column.required == RequiredLevel::System && !kept_by_service {
                table.must_have.push(c);
            }
            if column.auto_number.is_some() {
                table.auto_numbered.push(c);
            }
            if matches!(column.kind, ColumnType::Money { .. }) && column.money_base.is_some() {
                table.money.push(c);
            }
            if let ColumnType::Lookup { targets, .. } = &column.kind {
                let counts = |t: &LookupTargetDef| !ADMINISTRATIVE.contains(&t.table.as_str());
                if table.storage == Storage::Standard && targets.iter().any(counts) {
                    table.counted.push(c);
                }
            }
            match column.kind {
                ColumnType::Lookup { .. } => {
                    let name = format!("_{}_value", column.name);
                    table.by_property.insert(name, Property::LookupValue(c));
                }
                ColumnType::Virtual => {}
                _ => {
                    table.by_property.insert(column.name.clone(), Property::Column(c));
                }
            }
        }
        for (navigation, &(c, to)) in &table.by_navigation {
            let bind = format!("{navigation}@odata.bind");
            table.by_property.insert(bind, Property::Bind(c, to));
            table.by_property.insert(navigation.clone(), Property::Navigation(c, to));
        }
        for (name, &collection) in &table.collections {
            let bind = format!("{name}@odata.bind");
            table.by_property.insert(bind, Property::CollectionBind);
            table.by_property.insert(name.clone(), Property::Collection(collection));
        }
    }
    Ok(())
}
