//! Starting and stopping a local Dataverse on the running tokio runtime.

use super::backend::Backend;
use super::define::DefineError;
use super::environment;
use super::face::Face;
use super::faults::FaultRule;
use super::http;
use super::model::Model;
use super::setup::{Setup, SetupRefused};
use super::stats::{LoggedRequest, Stats};
use super::token::{CertificateRefused, TokenService};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Connections get this long to finish an answer when the simulator stops.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A simulator that did not start.
#[derive(Debug, Error)]
pub enum StartRefused {
    /// A setting breaks a rule.
    #[error(transparent)]
    Setup(#[from] SetupRefused),
    /// A certificate file cannot be read.
    #[error("users.certificate_file {path}: {source}")]
    CertificateFile {
        /// Path as given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of table definitions cannot be read.
    #[error("tables_files {path}: {source}")]
    TablesFile {
        /// Path as given.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A table definition is not valid.
    #[error(transparent)]
    Tables(#[from] DefineError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateRefused),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running local Dataverse. Dropping it stops it.
pub struct Simulator<B: Backend = Model> {
    face: Arc<Face<B>>,
    addr: SocketAddr,
    tasks: TaskTracker,
}

impl Simulator {
    /// Starts a local Dataverse as `setup` describes it at `addr` (port 0: a free one), on the
    /// current runtime.
    ///
    /// # Errors
    /// A setting, table definition or certificate cannot be used, or the address is taken.
    pub async fn start(setup: Setup, addr: SocketAddr) -> Result<Self, StartRefused> {
        let mut tables = Vec::new();
        for path in &setup.tables_files {
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|source| StartRefused::TablesFile { path: path.clone(), source })?;
            tables.push((path.clone(), text));
        }
        let model = environment::model(&setup, &tables)?;
        Self::start_over(setup, addr, model).await
    }
}

impl<B: Backend> Simulator<B> {
    /// Starts over `backend` at `addr` (port 0: a free one), on the current runtime.
    ///
    /// # Errors
    /// A setting or certificate cannot be used, or the address is taken.
    pub async fn start_over(
        setup: Setup,
        addr: SocketAddr,
        backend: B,
    ) -> Result<Self, StartRefused> {
        setup.check()?;
        let mut certificates = HashMap::new();
        for user in &setup.users {
            if let Some(path) = &user.certificate_file {
                let pem = tokio::fs::read_to_string(path).await.map_err(|source| {
                    StartRefused::CertificateFile { path: path.clone(), source }
                })?;
                certificates.insert(user.name.clone(), pem);
            }
        }
        let tokens = TokenService::new(&setup, &certificates)?;
        let refused = |source| StartRefused::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let face = Arc::new(Face::new(setup, tokens, backend));
        let tasks = TaskTracker::new();
        tasks.spawn(listen(Arc::clone(&face), listener, tasks.clone()));
        Ok(Self { face, addr, tasks })
    }

    /// Address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Origin of the environment, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.url(), self.face.setup.tenant)
    }

    /// Setup it runs with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.face.setup
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.face.stats()
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.face.counters.lock().log().cloned().collect()
    }

    /// Replaces the fault script; counters start anew.
    ///
    /// # Errors
    /// A rule breaks a rule of the script.
    pub fn replace_faults(&self, rules: Vec<FaultRule>) -> Result<(), SetupRefused> {
        for rule in &rules {
            rule.check().map_err(|why| SetupRefused::Rule {
                key: "faults".to_owned(),
                value: rule.label().to_owned(),
                rule: why,
            })?;
        }
        self.face.replace_faults(rules);
        Ok(())
    }

    /// Looks into the model, or changes it; no request runs meanwhile.
    pub fn with_model<T>(&self, look: impl FnOnce(&mut B) -> T) -> T {
        look(&mut self.face.backend())
    }

    /// Waits until it was told to stop through `/_sim/shutdown`.
    pub async fn stopped(&self) {
        self.face.stopped.cancelled().await;
    }

    /// Stops: no new connections; what is not yet done never is.
    pub async fn stop(self) {
        self.face.stopped.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<B: Backend> fmt::Debug for Simulator<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl<B: Backend> Drop for Simulator<B> {
    fn drop(&mut self) {
        self.face.stopped.cancel();
    }
}

async fn listen<B: Backend>(face: Arc<Face<B>>, listener: TcpListener, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(face.setup.http.connections_max));
    loop {
        let accepted = tokio::select! {
            () = face.stopped.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            } => accepted,
        };
        match accepted {
            None => return,
            Some((place, Ok((stream, peer)))) => {
                let face = Arc::clone(&face);
                tasks.spawn(async move {
                    connection(face, stream, peer).await;
                    drop(place);
                });
            }
            Some((_, Err(why))) => {
                tracing::warn!(%why, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection<B: Backend>(face: Arc<Face<B>>, stream: TcpStream, peer: SocketAddr) {
    face.counters.lock().connection(true);
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "no TCP_NODELAY");
    }
    let local = peer.ip().to_canonical().is_loopback();
    let service = {
        let face = Arc::clone(&face);
        service_fn(move |request| http::answer(Arc::clone(&face), local, request))
    };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(face.setup.http.idle_secs));
    let mut conn = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = conn.as_mut() => Some(ended),
        () = face.stopped.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            conn.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_WORDS, conn).await.unwrap_or(Ok(()))
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%why, "a connection ended early");
    }
    face.counters.lock().connection(false);
}
