//! Pure: how fast. Decides how many rows a request carries, how many requests are under way,
//! through which identity and server the next one leaves, and when it has to wait. Time and
//! randomness are arguments; nothing here waits or talks.
//!
//! `orders` is what people and the job file want, `view` what people see of it, `learned` what is
//! kept between runs and `keeping` how. `schedule` and `entitlement` are what changes the orders
//! while time passes.

pub mod entitlement;
pub mod keeping;
pub mod learned;
pub mod orders;
pub mod schedule;
pub mod view;
