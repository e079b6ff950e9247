//! The two listeners of a run: TCP to look, a Unix socket to steer.

use crate::control::change::Change;
use crate::control::history::History;
use crate::control::orders_status;
use crate::control::page;
use crate::control::snapshot::snapshot;
use crate::control::status::{RunFacts, RunStatus};
use crate::control::steering::{Steering, Wish};
use crate::control::token::{self, Claim, ControlToken, TOKEN_NAME};
use crate::runtime::clock;
use crate::telemetry::metrics::{LoadMeters, Meters};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Longest time for a request's headers to arrive.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often rows are counted for the history.
const SAMPLE: Duration = Duration::from_secs(1);
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
    history: Mutex<History>,
    page: OnceLock<String>,
}

impl Controlled {
    /// Of a run that may be written to.
    #[must_use]
    pub fn new(meters: Arc<Meters>, facts: RunFacts, steering: Steering) -> Self {
        let history = Mutex::new(History::new(clock::now(), &settled(&meters)));
        let ready = AtomicBool::new(true);
        Self { meters, facts, steering, ready, history, page: OnceLock::new() }
    }

    /// The run at this moment.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        let state = self.steering.now().word();
        let status = snapshot(&self.meters, &self.facts, &self.history.lock(), state, clock::now());
        let orders = orders_status::snapshot(&self.steering, clock::wall_ms());
        RunStatus { page: self.page.get().cloned(), orders, ..status }
    }
}

fn settled(meters: &Meters) -> Vec<u64> {
    meters.loads().iter().map(LoadMeters::settled_all).collect()
}

/// Counts rows for the history until the task is dropped or aborted.
async fn sample(controlled: Arc<Controlled>) {
    loop {
        tokio::time::sleep(SAMPLE).await;
        let settled = settled(&controlled.meters);
        controlled.history.lock().note(clock::now(), &settled);
    }
}

/// The running listeners; they end when this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    /// Where `/metrics` is, if asked for.
    pub address: Option<SocketAddr>,
    socket: PathBuf,
    folder: PathBuf,
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
    /// The token cannot be written.
    #[error("cannot write the control token into {folder}: {cause}")]
    Token {
        /// The ledger's folder.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Which way a request came in.
#[derive(Clone)]
enum Door {
    /// With the token that opens it.
    Tcp(Arc<ControlToken>),
    /// Its file mode is the login.
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
        let no_token = |cause| ListenRefused::Token { folder: ledger_folder.to_owned(), cause };
        token::forget(ledger_folder).map_err(no_token)?;
        if let Some(address) = listen {
            let refused = |cause| ListenRefused::Tcp { address, cause };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            bound = Some(address);
            let token = ControlToken::make(ledger_folder).map_err(no_token)?;
            let controlled = Arc::clone(&controlled);
            controlled.page.get_or_init(|| format!("http://{address}/"));
            tasks.spawn(accept(listener, controlled, Door::Tcp(Arc::new(token))));
        }
        tasks.spawn(sample(Arc::clone(&controlled)));
        let socket = ledger_folder.join(SOCKET_NAME);
        let refused = |cause| ListenRefused::Socket { path: socket.clone(), cause };
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&socket).map_err(refused)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        tasks.spawn(accept(listener, controlled, Door::Socket));
        Ok(Self { address: bound, socket, folder: ledger_folder.to_owned(), tasks })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.tasks.abort_all();
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "control socket was gone already");
        }
        if let Err(error) = token::forget(&self.folder) {
            tracing::debug!(%error, "the control token stays behind");
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
                let door = door.clone();
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
        let answer = answer(&controlled, &request, &door);
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
    door: &Door,
) -> Response<Full<Bytes>> {
    if matches!(door, Door::Tcp(_)) && !token::host_is_ours(request.headers()) {
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
        "/" if get => look(controlled, claim(request, door), html),
        "/status" if get => look(controlled, claim(request, door), json),
        path @ ("/set" | "/pause" | "/resume") if post && (query.is_some() || path == "/set") => {
            change(controlled, request, door, path, query.unwrap_or_default())
        }
        "/pause" if post => steer(controlled, request, door, Wish::Pause),
        "/resume" if post => steer(controlled, request, door, Wish::Run),
        "/drain" if post => steer(controlled, request, door, Wish::Drain),
        "/" | "/metrics" | "/healthz" | "/readyz" | "/status" | "/pause" | "/resume" | "/drain"
        | "/set" => text(StatusCode::METHOD_NOT_ALLOWED, "reading is GET, steering is POST\n"),
        _ => text(StatusCode::NOT_FOUND, "there are / /metrics /healthz /readyz /status\n"),
    }
}

/// Who looks or steers.
fn claim(request: &Request<Incoming>, door: &Door) -> Claim {
    match door {
        Door::Tcp(token) => token.claim(request.headers(), clock::now()),
        Door::Socket => Claim::Owner,
    }
}

/// The answer to those who claim a token that is not this run's.
fn refusal(who: Claim) -> Option<Response<Full<Bytes>>> {
    match who {
        Claim::Stranger | Claim::Owner => None,
        Claim::Wrong => {
            tracing::warn!("a wrong control token came over TCP");
            Some(unauthorized("wrong token; that of this run stands in"))
        }
        Claim::TooMany => Some(text(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens: one a second is looked at\n",
        )),
    }
}

fn unauthorized(why: &str) -> Response<Full<Bytes>> {
    let text = text(StatusCode::UNAUTHORIZED, format!("{why} {TOKEN_NAME} in the ledger folder\n"));
    with(text, &[(WWW_AUTHENTICATE, "Bearer")])
}

/// Why whoever asks may not steer.
fn may_not_steer(request: &Request<Incoming>, door: &Door) -> Option<Response<Full<Bytes>>> {
    if matches!(door, Door::Tcp(_)) {
        if !token::origin_is_ours(request.headers()) {
            return Some(text(StatusCode::FORBIDDEN, "a page of another origin may not steer\n"));
        }
        if !token::body_is_plain(request.headers()) {
            return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON or plain text, if any\n"));
        }
    }
    let who = claim(request, door);
    let stranger = "steering needs `Authorization: Bearer TOKEN` with the token of";
    refusal(who).or_else(|| (who != Claim::Owner).then(|| unauthorized(stranger)))
}

/// Says what the run should do, if whoever asks may.
fn steer(
    controlled: &Controlled,
    request: &Request<Incoming>,
    door: &Door,
    wish: Wish,
) -> Response<Full<Bytes>> {
    if let Some(refusal) = may_not_steer(request, door) {
        return refusal;
    }
    match controlled.steering.wish(wish) {
        Ok(()) => {
            tracing::info!(wish = wish.word(), "asked by an operator");
            json(controlled, Claim::Owner)
        }
        Err(late) => text(StatusCode::CONFLICT, format!("{late}\n")),
    }
}

/// Changes what is wanted of one load or one identity.
fn change(
    controlled: &Controlled,
    request: &Request<Incoming>,
    door: &Door,
    path: &str,
    query: &str,
) -> Response<Full<Bytes>> {
    if let Some(refusal) = may_not_steer(request, door) {
        return refusal;
    }
    let asked = Change::from_query(path, query);
    match asked.and_then(|change| controlled.steering.ask(&change, clock::wall_ms())) {
        Ok(()) => json(controlled, Claim::Owner),
        Err(refused) => text(StatusCode::BAD_REQUEST, format!("{refused}\n")),
    }
}

/// Shows the run as far as whoever asks may see it.
fn look(
    controlled: &Controlled,
    who: Claim,
    show: fn(&Controlled, Claim) -> Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    refusal(who).unwrap_or_else(|| show(controlled, who))
}

fn status_for(controlled: &Controlled, who: Claim) -> RunStatus {
    let status = controlled.status();
    if who == Claim::Owner { status } else { status.for_strangers() }
}

fn json(controlled: &Controlled, who: Claim) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(&status_for(controlled, who)) {
        Ok(mut body) => {
            body.push(b'\n');
            let response = Response::new(Full::new(Bytes::from(body)));
            with(response, &[(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")])
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn html(controlled: &Controlled, who: Claim) -> Response<Full<Bytes>> {
    let page = page::page(&status_for(controlled, who));
    let response = Response::new(Full::new(Bytes::from(page)));
    with(
        response,
        &[
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, &page::policy()),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ],
    )
}

fn with(
    mut response: Response<Full<Bytes>>,
    headers: &[(HeaderName, &str)],
) -> Response<Full<Bytes>> {
    for (name, value) in headers {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(response.headers_mut().insert(name.clone(), value)),
            Err(error) => tracing::error!(%name, %error, "a header of ours is not one"),
        }
    }
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
