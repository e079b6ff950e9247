//! The Web API wire: one call is one attempt. No policy, no hidden retries. Read in this order:
//! `attempt` (the seam between pipeline and wire), `request` and `odata` (what is asked), `response`,
//! `fault` and `multipart` (what is answered), `token`, `transport` (how it travels).

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
