//! The Web API wire: one call is one attempt. No policy, no hidden retries.

pub mod attempt;
pub mod fault;
pub mod headers;
mod lenient;
pub mod multipart;
pub mod odata;
pub mod presence;
pub mod request;
pub mod response;
#[cfg(test)]
mod test_server;
pub mod token;
pub mod transport;
