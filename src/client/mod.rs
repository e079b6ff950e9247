//! The Web API wire: one call is one attempt. No policy, no hidden retries.

pub mod attempt;
