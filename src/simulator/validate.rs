//! Pure: JSON values checked against their column's type and limits.
//!
//! Source: `dataverse-web-api.md` §4.7, §10.3, §13.

use super::call::Refusal;
use super::json::Json;
use super::refusals::{cannot_convert, out_of_range, payload, too_long};
use super::schema::{ColumnDef, ColumnType, DateBehaviour, OptionDef, TableDef};
use super::settings::{ExcessDigits, Settings};
use super::value::Value;
use uuid::Uuid;

/// Most selections of a multi-choice.
pub const SELECTIONS_MAX: usize = 150;
/// Largest image, bytes.
///
/// Source: `dataverse-web-api.md` §4.8.
pub const IMAGE_BYTES_MAX: usize = 30 << 20;
const DAY_MS: i64 = 86_400_000;
/// 1753-01-01 in days since 1970.
const FIRST_DAY: i64 = -79_258;

/// The stored form of `json` for a column that is not a lookup. Empty text becomes null.
///
/// # Errors
/// If type, form, length or range do not fit.
pub fn convert(
    table: &TableDef,
    column: &ColumnDef,
    json: &Json<'_>,
    settings: &Settings,
) -> Result<Value, Refusal> {
    if matches!(json, Json::Null) {
        return Ok(Value::Null);
    }
    let mismatch = || cannot_convert(&table.set, shown(json), edm_type(&column.kind));
    match &column.kind {
        ColumnType::Text { max, .. } | ColumnType::Memo { max } => match json {
            Json::Text(text) => check_text(table, column, text, *max),
            _ => Err(mismatch()),
        },
        ColumnType::Integer { min, max } => {
            let number = whole(json).ok_or_else(mismatch)?;
            if number < i64::from(*min) || number > i64::from(*max) {
                let accepted = format!("{min} to {max}");
                return Err(out_of_range(0x8004_432f, table, column, number, &accepted));
            }
            Ok(Value::Int(number))
        }
        ColumnType::BigInt => match json {
            Json::Number(text) => text.parse().map(Value::Int).map_err(|_| mismatch()),
            _ => Err(mismatch()),
        },
        ColumnType::Decimal { min, max, precision } => exact(
            table,
            column,
            json,
            Exact { scale: 10, precision: *precision, min, max },
            settings,
        )
        .map(Value::Decimal),
        ColumnType::Money { min, max, precision } => exact(
            table,
            column,
            json,
            Exact { scale: 4, precision: *precision, min, max },
            settings,
        )
        .map(Value::Money),
        ColumnType::Double { min, max, .. } => {
            let Json::Number(text) = json else { return Err(mismatch()) };
            let number: f64 = text.parse().map_err(|_| mismatch())?;
            if !(*min..=*max).contains(&number) {
                let accepted = format!("{min} to {max}");
                return Err(out_of_range(0x8004_4330, table, column, text, &accepted));
            }
            Ok(Value::Double(number))
        }
        ColumnType::Boolean { .. } => match json {
            Json::Bool(flag) => Ok(Value::Bool(*flag)),
            _ => Err(mismatch()),
        },
        ColumnType::Choice { options, .. } => {
            let number = whole(json).ok_or_else(mismatch)?;
            option(table, column, number, options.iter().map(|o| o.value))
        }
        ColumnType::State(states) => {
            let number = whole(json).ok_or_else(mismatch)?;
            option(table, column, number, states.iter().map(|s| s.option.value))
        }
        ColumnType::Status(reasons) => {
            let number = whole(json).ok_or_else(mismatch)?;
            option(table, column, number, reasons.iter().map(|s| s.option.value))
        }
        ColumnType::Choices { options, .. } => match json {
            Json::Text(text) => choices(table, column, text, options),
            _ => Err(mismatch()),
        },
        ColumnType::DateTime(behaviour) => {
            let Json::Text(text) = json else { return Err(mismatch()) };
            date(table, column, *behaviour, text)
        }
        ColumnType::Guid => {
            let text = json.text().ok_or_else(mismatch)?;
            guid(text).map(Value::Guid).ok_or_else(mismatch)
        }
        ColumnType::Image => {
            let text = json.text().ok_or_else(mismatch)?;
            image(text)
        }
        ColumnType::EntityName => match json {
            Json::Text(text) => check_text(table, column, text, 128),
            _ => Err(mismatch()),
        },
        ColumnType::File | ColumnType::Virtual | ColumnType::Lookup { .. } => Err(mismatch()),
    }
}

/// OData type of a column, for messages.
#[must_use]
pub fn edm_type(kind: &ColumnType) -> &'static str {
    match kind {
        ColumnType::Guid | ColumnType::Lookup { .. } => "Edm.Guid",
        ColumnType::Integer { .. }
        | ColumnType::Choice { .. }
        | ColumnType::State(_)
        | ColumnType::Status(_) => "Edm.Int32",
        ColumnType::BigInt => "Edm.Int64",
        ColumnType::Decimal { .. } | ColumnType::Money { .. } => "Edm.Decimal",
        ColumnType::Double { .. } => "Edm.Double",
        ColumnType::Boolean { .. } => "Edm.Boolean",
        ColumnType::DateTime(DateBehaviour::DateOnly) => "Edm.Date",
        ColumnType::DateTime(_) => "Edm.DateTimeOffset",
        ColumnType::Image => "Edm.Binary",
        _ => "Edm.String",
    }
}

fn shown(json: &Json<'_>) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(text) => (*text).to_owned(),
        Json::Text(text) => text.chars().take(100).collect(),
        Json::Array(_) => "[…]".to_owned(),
        Json::Object(_) => "{…}".to_owned(),
    }
}

/// A GUID in its hyphenated form, any case.
#[must_use]
pub fn guid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// Whole numbers pass as JSON numbers and as text.
///
/// Source: `dataverse-web-api.md` §13.
fn whole(json: &Json<'_>) -> Option<i64> {
    match json {
        Json::Number(text) => text.parse::<i32>().ok().map(i64::from),
        Json::Text(text) => text.parse::<i32>().ok().map(i64::from),
        _ => None,
    }
}

/// Text of at most `max` UTF-16 units without control characters; empty text is null.
///
/// # Errors
/// If it is too long or has characters the database refuses.
pub fn check_text(
    table: &TableDef,
    column: &ColumnDef,
    text: &str,
    max: usize,
) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    // UTF-16 never needs more units than UTF-8 bytes.
    if text.len() > max && text.encode_utf16().count() > max {
        return Err(too_long(table, column, max));
    }
    let refused = |c: char| {
        (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let clean = if text.is_ascii() {
        text.bytes().all(|b| b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r'))
    } else {
        !text.chars().any(refused)
    };
    if !clean {
        return Err(Refusal::new(
            400,
            0x8004_0278,
            format!(
                "Invalid characters in field '{}' of the '{}' entity: control characters are not \
                 allowed.",
                column.name, table.name
            ),
        ));
    }
    Ok(Value::Text(text.into()))
}

fn option(
    table: &TableDef,
    column: &ColumnDef,
    number: i64,
    mut known: impl Iterator<Item = i32> + Clone,
) -> Result<Value, Refusal> {
    let all = known.clone();
    if known.any(|value| i64::from(value) == number) {
        return Ok(Value::Int(number));
    }
    let accepted: Vec<String> = all.map(|value| value.to_string()).collect();
    Err(out_of_range(0x8004_431a, table, column, number, &accepted.join(",")))
}

fn choices(
    table: &TableDef,
    column: &ColumnDef,
    text: &str,
    options: &[OptionDef],
) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let mut picked = Vec::new();
    for part in text.split(',') {
        let value = part.trim().parse::<i32>().ok();
        let Some(value) = value.filter(|v| options.iter().any(|o| o.value == *v)) else {
            let accepted: Vec<String> = options.iter().map(|o| o.value.to_string()).collect();
            return Err(out_of_range(0x8006_1005, table, column, part, &accepted.join(",")));
        };
        picked.push(value);
    }
    picked.sort_unstable();
    picked.dedup();
    if picked.len() > SELECTIONS_MAX {
        return Err(Refusal::new(
            400,
            0x8005_0222,
            format!("The number of selections of '{}' exceeds {SELECTIONS_MAX}.", column.name),
        ));
    }
    Ok(Value::Options(picked.into()))
}

struct Exact<'a> {
    scale: u32,
    precision: u8,
    min: &'a i128,
    max: &'a i128,
}

fn exact(
    table: &TableDef,
    column: &ColumnDef,
    json: &Json<'_>,
    rule: Exact<'_>,
    settings: &Settings,
) -> Result<i128, Refusal> {
    let Json::Number(text) = json else {
        return Err(cannot_convert(&table.set, shown(json), "Edm.Decimal"));
    };
    let beyond = || {
        let unit = 10f64.powi(rule.scale.cast_signed());
        let accepted = format!("{} to {}", *rule.min as f64 / unit, *rule.max as f64 / unit);
        out_of_range(0x8004_4330, table, column, text, &accepted)
    };
    let (units, lost) = decimal_units(text, rule.scale).ok_or_else(beyond)?;
    let step = 10i128.pow(rule.scale.saturating_sub(u32::from(rule.precision)));
    let excess = lost || units % step != 0;
    if excess && settings.excess_digits == ExcessDigits::Refuse {
        return Err(Refusal::new(
            400,
            0x8004_022c,
            format!(
                "The value {text} of '{}' has more than {} digits after the decimal point.",
                column.name, rule.precision
            ),
        ));
    }
    let units = if excess { round_half_even(units, step) } else { units };
    if units < *rule.min || units > *rule.max { Err(beyond()) } else { Ok(units) }
}

/// `units` as a multiple of `step`, halves to the even one.
#[must_use]
pub fn round_half_even(units: i128, step: i128) -> i128 {
    let (whole, rest) = (units.div_euclid(step), units.rem_euclid(step));
    let up = rest * 2 > step || (rest * 2 == step && whole % 2 != 0);
    (whole + i128::from(up)) * step
}

/// A JSON number in units of 10^-`scale`, and whether digits beyond were cut; none if it cannot
/// be held.
#[must_use]
pub fn decimal_units(text: &str, scale: u32) -> Option<(i128, bool)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let mut units: i128 = 0;
    let mut after_point: i32 = 0;
    let mut seen_point = false;
    let mut lost = false;
    for byte in digits.bytes() {
        if byte == b'.' {
            seen_point = true;
        } else if units >= 10i128.pow(34) {
            // Digits no column can hold: behind the point they are excess, before it too much.
            if !seen_point {
                return None;
            }
            lost |= byte != b'0';
        } else {
            units = units * 10 + i128::from(byte - b'0');
            after_point += i32::from(seen_point);
        }
    }
    let shift = i32::try_from(scale).ok()?.checked_add(exponent)?.checked_sub(after_point)?;
    if units == 0 {
        return Some((0, lost));
    }
    if shift >= 0 {
        let factor = 10i128.checked_pow(shift.unsigned_abs())?;
        units = units.checked_mul(factor)?;
    } else {
        match 10i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => {
                lost |= units % divisor != 0;
                units /= divisor;
            }
            None => {
                lost = true;
                units = 0;
            }
        }
    }
    Some((if negative { -units } else { units }, lost))
}

fn date(
    table: &TableDef,
    column: &ColumnDef,
    behaviour: DateBehaviour,
    text: &str,
) -> Result<Value, Refusal> {
    let mismatch = || cannot_convert(&table.set, text, edm_type(&column.kind));
    let too_early = || {
        Refusal::new(
            400,
            0x8004_0239,
            format!(
                "DateTime is less than minimum value supported by CrmDateTime. Actual value: \
                 {text}, minimum value supported: 01/01/1753 00:00:00, attribute '{}'.",
                column.name
            ),
        )
    };
    if behaviour == DateBehaviour::DateOnly {
        let day = parse_day(text).ok_or_else(mismatch)?;
        if day < FIRST_DAY {
            return Err(too_early());
        }
        return i32::try_from(day).map(Value::Day).map_err(|_| mismatch());
    }
    let (wall, offset) = parse_time(text).ok_or_else(mismatch)?;
    let ms = match (behaviour, offset) {
        (DateBehaviour::UserLocal, Some(minutes)) => wall - i64::from(minutes) * 60_000,
        (DateBehaviour::TimeZoneIndependent, None | Some(0)) => wall,
        _ => return Err(mismatch()),
    };
    if ms < FIRST_DAY * DAY_MS { Err(too_early()) } else { Ok(Value::Time(ms)) }
}

fn two(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

/// Days since 1970 of `yyyy-MM-dd`.
#[must_use]
pub fn parse_day(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = two(&bytes[0..2])? * 100 + two(&bytes[2..4])?;
    let (month, day) = (two(&bytes[5..7])?, two(&bytes[8..10])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Wall-clock milliseconds (whole seconds: finer parts are dropped as the database does) and the
/// zone offset in minutes, if given.
#[must_use]
pub fn parse_time(text: &str) -> Option<(i64, Option<i32>)> {
    let bytes = text.as_bytes();
    let day = parse_day(text.get(..10)?)?;
    if bytes.len() < 16 || bytes[10] != b'T' || bytes[13] != b':' {
        return None;
    }
    let (hour, minute) = (two(&bytes[11..13])?, two(&bytes[14..16])?);
    let mut at = 16;
    let mut second = 0;
    if bytes.get(at) == Some(&b':') {
        second = two(bytes.get(17..19)?)?;
        at = 19;
        if bytes.get(at) == Some(&b'.') {
            let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 || digits > 12 {
                return None;
            }
            at += 1 + digits;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match &bytes[at..] {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(&[*h1, *h2])?, two(&[*m1, *m2])?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            let total = i32::try_from(hours * 60 + minutes).ok()?;
            Some(if *sign == b'-' { -total } else { total })
        }
        _ => return None,
    };
    Some((day * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000, offset))
}

fn image(text: &str) -> Result<Value, Refusal> {
    use base64::Engine as _;
    let bad = || Refusal::new(400, 0x8007_2553, "The image data is not valid.");
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if text.len() / 4 * 3 > IMAGE_BYTES_MAX {
        return Err(Refusal::new(400, 0x8004_4a02, "The image is larger than 30 MB."));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| bad())?;
    if bytes.is_empty() { Err(bad()) } else { Ok(Value::Text(text.into())) }
}

/// A body that is not an object of columns.
#[must_use]
pub fn not_json(table: &TableDef, error: impl std::fmt::Display) -> Refusal {
    payload(&table.set, format!("The body is not valid JSON: {error}."))
}
