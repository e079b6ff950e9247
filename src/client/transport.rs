//! The real wire: one connection pool, one attempt a call.
//!
//! Redirects, cookies and the HTTP library's own retries are off: every attempt is counted by the
//! caller, and the affinity cookie would pin all requests to one web server
//! (`dataverse-web-api.md` §1.3). HTTP/1.1, because the parallelism decided by the sender is to be
//! the only cap (`codebases-to-learn-from.md` §4.10).
//!
//! Proxies: `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the process's environment are honoured
//! for `https` addresses, which is how operators of a machine without a direct way out configure
//! one. Loopback addresses and the managed-identity address are never asked for through a proxy.

use crate::client::attempt::{
    ApiReply, ApiRequest, IdentityId, Method, TokenFailure, Transport, TransportFailure,
};
use crate::client::fault::printable;
use crate::client::headers::{affinity, reply_headers};
use crate::client::request::SERVICE_PATH;
use crate::client::token::TokenCell;
use crate::config::job::{Environment, Identity};
use crate::limits::REPLY_BYTES_MAX;
use crate::runtime::clock;
use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Response, Url};
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Below the load balancer's cut.
///
/// Source: `dataverse-web-api.md` §1.5: 230–240 s.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// Why the wire cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransportRefused {
    /// Not an origin.
    #[error("{url:?} is no address of an environment: {detail}; write https://host without a path")]
    BadUrl {
        /// The text.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// Tokens and data would cross the network in the clear.
    #[error("{0:?} is plain http to another machine; write https (http is for 127.0.0.1 only)")]
    PlainHttp(String),
    /// The extra root certificates cannot be used.
    #[error("root certificates {}: {detail}; ca_file must be a PEM file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The HTTP library refuses.
    #[error(
        "cannot set up TLS: {0}; install the system's root certificates (Debian: ca-certificates) \
         or name a ca_file"
    )]
    Client(String),
}

/// [`Transport`] over HTTP with the tokens of all identities.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    root: String,
    tokens: Vec<TokenCell>,
}

impl HttpTransport {
    /// Sets up the wire to `environment` for `identities`; `parallelism` is the most requests
    /// that will be in flight at once.
    ///
    /// # Errors
    /// [`TransportRefused`]. No request is made here.
    pub fn new(
        environment: &Environment,
        identities: &[Identity],
        parallelism: usize,
    ) -> Result<Self, TransportRefused> {
        let url = origin(&environment.url)?;
        let authority = origin(&environment.authority)?;
        let ca_file = environment.ca_file.as_deref();
        let client = http_client(&url, ca_file, parallelism, Proxies::OfProcess)?;
        let to_authority = http_client(&authority, ca_file, 2, Proxies::OfProcess)?;
        let imds = std::env::var(crate::client::token::TEST_IMDS_VARIABLE).ok();
        let tokens = identities
            .iter()
            .map(|identity| {
                TokenCell::new(environment, identity, to_authority.clone(), imds.as_deref())
            })
            .collect::<Result<_, _>>()?;
        let root = format!("{}{SERVICE_PATH}", environment.url.trim_end_matches('/'));
        Ok(Self { client, root, tokens })
    }

    fn token_cell(&self, identity: IdentityId) -> Option<&TokenCell> {
        self.tokens.get(usize::from(identity.0))
    }
}

impl Transport for HttpTransport {
    async fn attempt(
        &self,
        identity: IdentityId,
        request: ApiRequest,
        timeout: Duration,
    ) -> Result<ApiReply, TransportFailure> {
        let cell = self.token_cell(identity).ok_or_else(|| {
            let text = format!("identity number {} is not in the job", identity.0);
            TransportFailure::Token(TokenFailure::Refused(text))
        })?;
        let bearer = cell.bearer().await.map_err(TransportFailure::Token)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self
            .client
            .request(method, format!("{}{}", self.root, request.path))
            .timeout(timeout)
            .header(AUTHORIZATION, bearer);
        if request.method == Method::Get {
            // Tells caches on the way to keep out.
            builder = builder.header("If-None-Match", "null");
        }
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some((content_type, body)) = request.body {
            builder = builder.header(CONTENT_TYPE, content_type).body(body);
        }
        let response = builder.send().await.map_err(|e| failure(e, timeout))?;
        read_reply(response).await
    }

    fn forget_token(&self, identity: IdentityId) {
        if let Some(cell) = self.token_cell(identity) {
            cell.forget();
        }
    }
}

async fn read_reply(mut response: Response) -> Result<ApiReply, TransportFailure> {
    let status = response.status().as_u16();
    let mut headers = reply_headers(
        |name| response.headers().get(name).and_then(|v| v.to_str().ok()),
        clock::wall_ms(),
    );
    let cookies = response.headers().get_all(reqwest::header::SET_COOKIE);
    headers.affinity = affinity(cookies.iter().filter_map(|v| v.to_str().ok()));
    let body = read_body(&mut response)
        .await
        .map_err(|detail| TransportFailure::BodyCut { status, detail })?;
    Ok(ApiReply { status, headers, body })
}

/// The whole body, unpacked, or why it is not whole.
pub(crate) async fn read_body(response: &mut Response) -> Result<Bytes, String> {
    read_body_within(response, REPLY_BYTES_MAX).await
}

/// [`read_body`] with another bound, bytes after unpacking.
pub(crate) async fn read_body_within(
    response: &mut Response,
    bytes_max: usize,
) -> Result<Bytes, String> {
    let too_large = || format!("larger than {bytes_max} bytes");
    if response.content_length().is_some_and(|n| n > bytes_max as u64) {
        return Err(too_large());
    }
    // Most answers come in one piece and need no copy.
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(error_text)? {
        if chunk.len() + first.len() + all.len() > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = chunk;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Sorts the HTTP library's errors: only failures to connect or to build the request mean that
/// nothing left this machine.
///
/// Source: `dependencies.md` "HTTP client settings".
fn failure(error: reqwest::Error, timeout: Duration) -> TransportFailure {
    if error.is_connect() {
        TransportFailure::Connect(error_text(error))
    } else if error.is_builder() {
        TransportFailure::Connect(format!("the request cannot be built: {}", error_text(error)))
    } else if error.is_timeout() {
        TransportFailure::Timeout(timeout)
    } else {
        TransportFailure::Broken(error_text(error))
    }
}

/// The chain of causes in one line, without the URL, which may hold data.
pub(crate) fn error_text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    printable(&text)
}

/// Whether the process's proxy settings apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proxies {
    OfProcess,
    Never,
}

/// A client for requests to `target`.
pub(crate) fn http_client(
    target: &Url,
    ca_file: Option<&Path>,
    idle_connections: usize,
    proxies: Proxies,
) -> Result<Client, TransportRefused> {
    let mut standing = HeaderMap::new();
    standing.insert(ACCEPT, HeaderValue::from_static("application/json"));
    standing.insert("OData-MaxVersion", HeaderValue::from_static("4.0"));
    standing.insert("OData-Version", HeaderValue::from_static("4.0"));
    let mut builder = Client::builder()
        .user_agent(concat!("dvbulk/", env!("CARGO_PKG_VERSION")))
        .default_headers(standing)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .gzip(true)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(idle_connections)
        .pool_idle_timeout(POOL_IDLE)
        .tls_backend_rustls()
        .tls_version_min(reqwest::tls::Version::TLS_1_2);
    if is_loopback(target) || proxies == Proxies::Never {
        builder = builder.no_proxy();
    }
    let roots = ca_file.map(read_roots).transpose()?;
    builder = if target.scheme() == "http" {
        // No TLS is spoken, so a machine without a certificate store will do.
        builder.tls_certs_only([])
    } else {
        builder.tls_certs_merge(roots.unwrap_or_default())
    };
    builder.build().map_err(|e| TransportRefused::Client(error_text(e)))
}

fn read_roots(path: &Path) -> Result<Vec<Certificate>, TransportRefused> {
    let refused = |detail: String| TransportRefused::CaFile { path: path.to_owned(), detail };
    let pem = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
    let roots = Certificate::from_pem_bundle(&pem).map_err(|e| refused(error_text(e)))?;
    if roots.is_empty() { Err(refused("no certificate in it".to_owned())) } else { Ok(roots) }
}

/// Reads an origin and insists on https, save to this machine.
pub(crate) fn origin(text: &str) -> Result<Url, TransportRefused> {
    let bad =
        |detail: &str| TransportRefused::BadUrl { url: text.to_owned(), detail: detail.to_owned() };
    let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user name"));
    }
    if url.host().is_none() || url.path() != "/" || url.query().is_some() {
        return Err(bad("it is more or less than scheme and host"));
    }
    if url.fragment().is_some() {
        return Err(bad("it holds a fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(TransportRefused::PlainHttp(text.to_owned())),
        _ => Err(bad("its scheme is not https")),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
