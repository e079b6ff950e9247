//! Pure: the rows as JSON Lines, for a checker.

use super::json::write_text;
use super::model::Model;
use super::value::Value;
use std::io::{self, Write};

/// Tables that administer the environment; a dump leaves them out.
pub const ADMINISTRATIVE: [&str; 5] =
    ["systemuser", "team", "businessunit", "transactioncurrency", "asyncoperation"];

impl Model {
    /// Writes all rows of all tables but the administrative ones, one JSON object a line:
    /// `{"table":…,"id":…,"values":{column: value, …}}`. Columns without value are left out;
    /// numbers are exact, times ISO 8601 in UTC, references objects of `table` and `id`.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn dump(&self, out: &mut impl Write) -> io::Result<()> {
        for (table, def) in self.schema.tables.iter().enumerate() {
            if !ADMINISTRATIVE.contains(&def.name.as_str()) {
                self.dump_table(table, out)?;
            }
        }
        Ok(())
    }

    /// Writes the rows of one table, as [`Model::dump`] does.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn dump_table(&self, table: usize, out: &mut impl Write) -> io::Result<()> {
        let def = &self.schema.tables[table];
        let mut line = Vec::new();
        for row in self.store.tables[table].iter() {
            line.clear();
            write!(line, "{{\"table\":\"{}\",\"id\":\"{}\",\"values\":{{", def.name, row.id)?;
            let mut first = true;
            for (column, value) in row.values.iter() {
                if !std::mem::replace(&mut first, false) {
                    line.push(b',');
                }
                write_text(&mut line, &def.columns[column].name);
                line.push(b':');
                self.write_value(&mut line, value)?;
            }
            line.extend_from_slice(b"}}\n");
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn write_value(&self, out: &mut Vec<u8>, value: &Value) -> io::Result<()> {
        match value {
            Value::Null => out.write_all(b"null"),
            Value::Text(text) => {
                write_text(out, text);
                Ok(())
            }
            Value::Int(number) => write!(out, "{number}"),
            Value::Decimal(units) => out.write_all(exact_text(*units, 10).as_bytes()),
            Value::Money(units) => out.write_all(exact_text(*units, 4).as_bytes()),
            Value::Double(number) => write!(out, "{number}"),
            Value::Bool(flag) => write!(out, "{flag}"),
            Value::Guid(id) => write!(out, "\"{id}\""),
            Value::Reference(table, id) => {
                write!(out, "{{\"table\":\"{}\",\"id\":\"{id}\"}}", self.schema.tables[*table].name)
            }
            Value::Options(options) => {
                let options: Vec<String> = options.iter().map(ToString::to_string).collect();
                write!(out, "[{}]", options.join(","))
            }
            Value::Time(ms) => write!(out, "\"{}\"", time_text(*ms)),
            Value::Day(day) => write!(out, "\"{}\"", day_text(i64::from(*day))),
        }
    }
}

/// `units` of 10^-`scale` as a decimal number without needless zeros.
#[must_use]
pub fn exact_text(units: i128, scale: u32) -> String {
    let unit = 10u128.pow(scale);
    let (whole, rest) = (units.unsigned_abs() / unit, units.unsigned_abs() % unit);
    let sign = if units < 0 { "-" } else { "" };
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{rest:0width$}", width = scale as usize);
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// `yyyy-MM-dd` of days since 1970.
#[must_use]
pub fn day_text(day: i64) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `yyyy-MM-ddTHH:mm:ssZ` of milliseconds since 1970.
#[must_use]
pub fn time_text(ms: i64) -> String {
    let second = ms.div_euclid(1000);
    let of_day = second.rem_euclid(86_400);
    let (hour, minute, second_of_minute) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let day = day_text(second.div_euclid(86_400));
    format!("{day}T{hour:02}:{minute:02}:{second_of_minute:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::validate::{decimal_units, parse_day, parse_time};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn days_and_times_read_back(ms in -6_847_804_800_000i64..253_402_300_799_000) {
            let whole = ms.div_euclid(1000) * 1000;
            prop_assert_eq!(parse_time(&time_text(whole)), Some((whole, Some(0))));
            let day = ms.div_euclid(86_400_000);
            prop_assert_eq!(parse_day(&day_text(day)), Some(day));
        }

        #[test]
        fn exact_numbers_read_back(units in -10i128.pow(24)..10i128.pow(24)) {
            prop_assert_eq!(decimal_units(&exact_text(units, 10), 10), Some((units, false)));
        }
    }
}
