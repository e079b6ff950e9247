//! Starting and stopping a local Dataverse on the running tokio runtime.

use super::assemble;
use super::backend::Backend;
use super::define::DefineError;
use super::face::Face;
use super::faults::FaultRule;
use super::http;
use super::model::Model;
use super::settings::{Settings, SettingsRefused};
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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections get this long to finish an answer when the simulator stops.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A simulator that did not start.
#[derive(Debug, Error)]
pub enum StartRefused {
    /// A setting breaks a rule.
    #[error(transparent)]
    Settings(#[from] SettingsRefused),
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
    /// The thread that keeps the time of the simulated database cannot be had.
    #[error("no thread for the simulated database: {0}")]
    Thread(std::io::Error),
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
    /// Cancelled when the port closes; a child of the face's own token.
    port: CancellationToken,
}

impl Simulator {
    /// Starts a local Dataverse as `settings` describes it at `addr` (port 0: a free one), on the
    /// current runtime.
    ///
    /// # Errors
    /// A setting, table definition or certificate cannot be used, or the address is taken.
    pub async fn start(settings: Settings, addr: SocketAddr) -> Result<Self, StartRefused> {
        let mut tables = Vec::new();
        for path in &settings.tables_files {
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|source| StartRefused::TablesFile { path: path.clone(), source })?;
            tables.push((path.clone(), text));
        }
        let model = assemble::model(&settings, &tables)?;
        Self::start_over(settings, addr, model).await
    }
}

impl<B: Backend> Simulator<B> {
    /// Starts over `backend` at `addr` (port 0: a free one), on the current runtime.
    ///
    /// # Errors
    /// A setting or certificate cannot be used, or the address is taken.
    pub async fn start_over(
        settings: Settings,
        addr: SocketAddr,
        backend: B,
    ) -> Result<Self, StartRefused> {
        settings.check()?;
        let mut certificates = HashMap::new();
        for user in &settings.users {
            if let Some(path) = &user.certificate_file {
                let pem = tokio::fs::read_to_string(path).await.map_err(|source| {
                    StartRefused::CertificateFile { path: path.clone(), source }
                })?;
                certificates.insert(user.name.clone(), pem);
            }
        }
        let tokens = TokenService::new(&settings, &certificates)?;
        let refused = |source| StartRefused::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let face = Face::start(settings, tokens, backend).map_err(StartRefused::Thread)?;
        let face = Arc::new(face);
        let tasks = TaskTracker::new();
        let port = face.stopped.child_token();
        tasks.spawn(listen(Arc::clone(&face), listener, tasks.clone(), port.clone()));
        Ok(Self { face, addr, tasks, port })
    }

    /// Closes the port: connections are cut, new ones refused, until [`Simulator::open_port`].
    /// Rows stay, and so does work that goes on without its client.
    pub async fn close_port(&mut self) {
        self.port.cancel();
        let tasks = std::mem::take(&mut self.tasks);
        tasks.close();
        tasks.wait().await;
    }

    /// Listens again at the same address.
    ///
    /// # Errors
    /// The address is taken by now.
    pub async fn open_port(&mut self) -> Result<(), StartRefused> {
        let addr = self.addr;
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|source| StartRefused::Listen { addr, source })?;
        self.port = self.face.stopped.child_token();
        let (face, tasks) = (Arc::clone(&self.face), self.tasks.clone());
        self.tasks.spawn(listen(face, listener, tasks, self.port.clone()));
        Ok(())
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
        format!("{}/{}/oauth2/v2.0/token", self.url(), self.face.settings.tenant)
    }

    /// Settings it runs with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.face.settings
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
    pub fn replace_faults(&self, rules: Vec<FaultRule>) -> Result<(), SettingsRefused> {
        for rule in &rules {
            rule.check().map_err(|why| SettingsRefused::Rule {
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
        self.face.contention.stop();
    }
}

async fn listen<B: Backend>(
    face: Arc<Face<B>>,
    listener: TcpListener,
    tasks: TaskTracker,
    port: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(face.settings.http.connections_max));
    loop {
        let accepted = tokio::select! {
            () = port.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            } => accepted,
        };
        match accepted {
            None => return,
            Some((place, Ok((stream, peer)))) => {
                let (face, port) = (Arc::clone(&face), port.clone());
                tasks.spawn(async move {
                    connection(face, stream, peer, port).await;
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

async fn connection<B: Backend>(
    face: Arc<Face<B>>,
    stream: TcpStream,
    peer: SocketAddr,
    port: CancellationToken,
) {
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
        .header_read_timeout(Duration::from_secs(face.settings.http.idle_secs));
    let mut conn = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = conn.as_mut() => Some(ended),
        () = port.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None if !face.stopped.is_cancelled() => Ok(()),
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
