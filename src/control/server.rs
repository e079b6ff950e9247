//! The two listeners of a run: TCP to look, a Unix socket to steer.

use crate::control::change::Change;
use crate::control::orders_status;
use crate::control::status::{self, RunFacts};
use crate::control::steering::{Steering, Wish};
use crate::runtime::clock;
use crate::telemetry::metrics::Meters;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Longest time for a request's headers to arrive.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the steering socket in the ledger's folder.
pub const SOCKET_NAME: &str = "control.sock";

/// What the listeners show and steer.
#[derive(Debug)]
pub struct Controlled {
    /// Meters of the run.
    pub meters: Arc<Meters>,
    /// Facts of the run.
    pub facts: RunFacts,
    /// Where wishes go.
    pub steering: Steering,
    /// Whether the checks before the first write have passed.
    pub ready: AtomicBool,
}

/// The running listeners; they end when this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    /// Where `/metrics` is, if asked for.
    pub address: Option<SocketAddr>,
    socket: PathBuf,
    tasks: JoinSet<()>,
}

/// Why the listeners cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenRefused {
    /// The TCP address is taken or not ours.
    #[error("cannot listen on {address}: {cause}; choose another [serve] listen, or port 0")]
    Tcp {
        /// Address asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the control socket {path}: {cause}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Tcp,
    Socket,
}

impl ControlServer {
    /// Opens both listeners. The ledger's lock is held already, so a socket file found in the
    /// folder is a dead run's and is replaced.
    ///
    /// # Errors
    /// See [`ListenRefused`].
    pub async fn start(
        controlled: Arc<Controlled>,
        listen: Option<SocketAddr>,
        ledger_folder: &Path,
    ) -> Result<Self, ListenRefused> {
        let mut tasks = JoinSet::new();
        let mut bound = None;
        if let Some(address) = listen {
            let refused = |cause| ListenRefused::Tcp { address, cause };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            bound = Some(listener.local_addr().map_err(refused)?);
            let controlled = Arc::clone(&controlled);
            tasks.spawn(accept(listener, controlled, Door::Tcp));
        }
        let socket = ledger_folder.join(SOCKET_NAME);
        let refused = |cause| ListenRefused::Socket { path: socket.clone(), cause };
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&socket).map_err(refused)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        tasks.spawn(accept(listener, controlled, Door::Socket));
        Ok(Self { address: bound, socket, tasks })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.tasks.abort_all();
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "control socket was gone already");
        }
    }
}

/// A listener of either kind.
trait Listens: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listens for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listens for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

async fn accept(listener: impl Listens, controlled: Arc<Controlled>, door: Door) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.next().await {
            Ok(stream) => {
                let controlled = Arc::clone(&controlled);
                tokio::spawn(async move {
                    serve(TokioIo::new(stream), controlled, door).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: do not spin.
                tracing::warn!(%error, "a control connection was not accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve<I>(io: I, controlled: Arc<Controlled>, door: Door)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&controlled, &request, door);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a control connection ended early");
    }
}

fn answer(
    controlled: &Controlled,
    request: &Request<Incoming>,
    door: Door,
) -> Response<Full<Bytes>> {
    if door == Door::Tcp && !host_is_ours(request.headers().get(HOST)) {
        return text(StatusCode::FORBIDDEN, "Host must be an address or localhost\n");
    }
    let get = request.method() == Method::GET;
    let post = request.method() == Method::POST;
    let query = request.uri().query();
    match request.uri().path() {
        "/metrics" if get => {
            let mut page = Response::new(Full::new(Bytes::from(controlled.meters.page())));
            page.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            );
            page
        }
        "/healthz" if get => text(StatusCode::OK, "ok\n"),
        "/readyz" if get => {
            if controlled.ready.load(Ordering::Acquire) {
                text(StatusCode::OK, "ready\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, "starting\n")
            }
        }
        "/status" if get => status_page(controlled),
        path @ ("/set" | "/pause" | "/resume") if post && (query.is_some() || path == "/set") => {
            change(controlled, door, path, query.unwrap_or_default())
        }
        "/pause" if post => steer(controlled, door, Wish::Pause),
        "/resume" if post => steer(controlled, door, Wish::Run),
        "/drain" if post => steer(controlled, door, Wish::Drain),
        "/metrics" | "/healthz" | "/readyz" | "/status" | "/pause" | "/resume" | "/drain"
        | "/set" => text(StatusCode::METHOD_NOT_ALLOWED, "reading is GET, steering is POST\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics /healthz /readyz /status\n"),
    }
}

fn steer(controlled: &Controlled, door: Door, wish: Wish) -> Response<Full<Bytes>> {
    if door == Door::Tcp {
        return text(
            StatusCode::FORBIDDEN,
            "steering goes through the socket in the ledger folder: use `dvbulk pause|resume|drain JOB.toml`\n",
        );
    }
    match controlled.steering.wish(wish) {
        Ok(()) => {
            tracing::info!(wish = wish.word(), "asked by an operator");
            status_page(controlled)
        }
        Err(late) => text(StatusCode::CONFLICT, format!("{late}\n")),
    }
}

/// Changes what is wanted of one load or one identity.
fn change(controlled: &Controlled, door: Door, path: &str, query: &str) -> Response<Full<Bytes>> {
    if door == Door::Tcp {
        return text(
            StatusCode::FORBIDDEN,
            "steering goes through the socket in the ledger folder: use `dvbulk set|pause|resume JOB.toml`\n",
        );
    }
    let asked = Change::from_query(path, query);
    match asked.and_then(|change| controlled.steering.ask(&change, clock::wall_ms())) {
        Ok(()) => status_page(controlled),
        Err(refused) => text(StatusCode::BAD_REQUEST, format!("{refused}\n")),
    }
}

fn status_page(controlled: &Controlled) -> Response<Full<Bytes>> {
    let state = controlled.steering.now().word();
    let mut status = status::snapshot(&controlled.meters, &controlled.facts, state, clock::now());
    status.orders = orders_status::snapshot(&controlled.steering, clock::wall_ms());
    match serde_json::to_vec_pretty(&status) {
        Ok(mut body) => {
            body.push(b'\n');
            let mut page = Response::new(Full::new(Bytes::from(body)));
            page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            page
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// A web page that made a name of its own point to this machine must not read the status: only
/// addresses and `localhost` are answered.
fn host_is_ours(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|h| h.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_other_than_localhost_are_strangers() {
        let ours = |h: &str| host_is_ours(HeaderValue::from_str(h).ok().as_ref());
        assert!(
            ours("127.0.0.1:9470") && ours("localhost") && ours("[::1]:80") && ours("10.0.0.4")
        );
        assert!(!ours("evil.example:9470") && !ours("") && !host_is_ours(None));
    }
}
