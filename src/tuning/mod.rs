//! Pure: how fast. Decides how many rows a request carries, how many requests are under way,
//! through which identity and server the next one leaves, and when it has to wait. Time and
//! randomness are arguments; nothing here waits or talks.
//!
//! Read in this order: `orders` (what people and the job file want; `schedule` and `entitlement`
//! change it while time passes), `discovery` (what a few empty requests tell at the start),
//! `admission` (the words), `governor`, `choose` and `landing` (the decisions), `lane`, `limit`,
//! `window` and `blind` (what one counter of the service allows, or several), `parallel` and `slopes` (how much at once), `table`, `cost` and
//! `resolve` (how many rows a request), `sprint`, `scope` and `canary` (what is special at times),
//! `show` and `view` (what people see), `recall`, `learned` and `keeping` (what is kept between runs
//! and how).

pub mod admission;
mod blind;
mod canary;
pub mod ceiling;
mod choose;
mod cost;
pub mod discovery;
pub mod entitlement;
pub mod governor;
pub mod keeping;
mod landing;
mod lane;
pub mod learned;
mod limit;
pub mod orders;
mod parallel;
mod recall;
pub mod resolve;
pub mod schedule;
mod scope;
mod show;
mod slopes;
mod sprint;
mod table;
pub mod view;
mod window;

#[cfg(test)]
mod abuse;
