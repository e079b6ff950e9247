//! Pure: rows as JSON lines, for whoever checks what a client has done.

use super::json::write_text;
use super::schema::{Schema, TableDef};
use super::store::Row;
use super::value::Value;

/// Appends one row: `{"table":…,"id":…,"version":…,"values":{…}}`. Empty columns are left out;
/// decimals and money are texts, so that no digit is lost; references are `table(id)`; times are
/// milliseconds since 1970 and days are days since 1970-01-01.
pub fn row(schema: &Schema, table: &TableDef, row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"table\":");
    write_text(out, &table.name);
    out.extend_from_slice(format!(",\"id\":\"{}\",\"version\":{}", row.id, row.version).as_bytes());
    out.extend_from_slice(b",\"values\":{");
    let mut first = true;
    for (column, value) in table.columns.iter().zip(&row.values) {
        if *value == Value::Null {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_text(out, &column.name);
        out.push(b':');
        put(schema, value, out);
    }
    out.extend_from_slice(b"}}\n");
}

fn put(schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Text(text) => write_text(out, text),
        Value::Int(n) | Value::Time(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Day(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Decimal(n) => write_text(out, &fixed(*n, 10)),
        Value::Money(n) => write_text(out, &fixed(*n, 4)),
        Value::Double(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Bool(yes) => out.extend_from_slice(yes.to_string().as_bytes()),
        Value::Guid(id) => write_text(out, &id.to_string()),
        Value::Reference(table, id) => {
            let name = schema.tables.get(*table).map_or("", |t| t.name.as_str());
            write_text(out, &format!("{name}({id})"));
        }
        Value::Options(list) => {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            out.extend_from_slice(format!("[{}]", list.join(",")).as_bytes());
        }
    }
}

/// A number in units of `10^-digits`, without zeros at the end.
fn fixed(units: i128, digits: u32) -> String {
    let scale = 10_u128.pow(digits);
    let magnitude = units.unsigned_abs();
    let sign = if units < 0 { "-" } else { "" };
    let (whole, part) = (magnitude / scale, magnitude % scale);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let part = format!("{part:0width$}", width = digits as usize);
    format!("{sign}{whole}.{}", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::define::ready_set;
    use uuid::Uuid;

    #[test]
    fn fixed_point_numbers_keep_every_digit() {
        assert_eq!(fixed(12_500, 4), "1.25");
        assert_eq!(fixed(-1, 10), "-0.0000000001");
        assert_eq!(fixed(30_000, 4), "3");
    }

    #[test]
    fn a_row_is_one_line_of_json() {
        let schema = ready_set();
        let table = schema.table("account").expect("account");
        let mut values = vec![Value::Null; table.columns.len()];
        let name = table.column("name").expect("name");
        values[0] = Value::Guid(Uuid::nil());
        values[name] = Value::Text("a\"\n".into());
        let mut out = Vec::new();
        row(&schema, table, &Row { id: Uuid::nil(), version: 7, values }, &mut out);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&out).expect("json");
        assert_eq!(line["table"], "account");
        assert_eq!(line["values"]["name"], "a\"\n");
        assert_eq!(line["values"].as_object().expect("object").len(), 2);
    }
}
