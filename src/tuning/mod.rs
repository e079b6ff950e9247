//! Pure: how fast. Decides how many rows a request carries, how many requests are under way,
//! through which identity and server the next one leaves, and when it has to wait. Time and
//! randomness are arguments; nothing here waits or talks.
//!
//! `orders` is what people and the job file want, `view` what people see of it, `learned` what is
//! kept between runs.

pub mod learned;
pub mod orders;
pub mod view;
