//! Pure: values as the simulated database holds them.

use uuid::Uuid;

/// One stored value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// Text, memo, image (base64), table name.
    Text(Box<str>),
    /// Whole number, choice, state, status.
    Int(i64),
    /// Decimal in units of 10^-10.
    Decimal(i128),
    /// Money in units of 10^-4.
    Money(i128),
    /// Binary floating point.
    Double(f64),
    /// Two options.
    Bool(bool),
    /// GUID.
    Guid(Uuid),
    /// Reference: table index and id.
    Reference(usize, Uuid),
    /// Several options, ascending.
    Options(Box<[i32]>),
    /// Instant (UserLocal) or wall-clock time (TimeZoneIndependent): milliseconds since 1970.
    Time(i64),
    /// Day: days since 1970-01-01.
    Day(i32),
}
