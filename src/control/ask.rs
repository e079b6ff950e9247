//! The other end of the steering socket: what `dvbulk status|pause|resume|drain|set` send.

use crate::control::server::SOCKET_NAME;
use crate::control::status::RunStatus;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest answer read, bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running load could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskFailed {
    /// Nobody listens.
    #[error("no load of this job is running here ({path}: {cause})")]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It listens and does not answer properly.
    #[error("the running load did not answer: {0}")]
    NoAnswer(String),
    /// It refused.
    #[error("the running load refused: {0}")]
    Refused(String),
}

/// Sends one request to the run whose ledger is in `ledger_folder`.
///
/// # Errors
/// See [`AskFailed`].
pub async fn ask(ledger_folder: &Path, verb: Method, path: &str) -> Result<RunStatus, AskFailed> {
    let socket = ledger_folder.join(SOCKET_NAME);
    let stream = UnixStream::connect(&socket)
        .await
        .map_err(|cause| AskFailed::NotRunning { path: socket, cause })?;
    timeout(ANSWER_TIMEOUT, exchange(stream, verb, path))
        .await
        .map_err(|_| AskFailed::NoAnswer(format!("nothing within {ANSWER_TIMEOUT:?}")))?
}

async fn exchange(stream: UnixStream, verb: Method, path: &str) -> Result<RunStatus, AskFailed> {
    let no_answer = |error: hyper::Error| AskFailed::NoAnswer(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(verb)
        .uri(path)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| AskFailed::NoAnswer(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(no_answer)?;
    let good = response.status().is_success();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| AskFailed::NoAnswer(error.to_string()))?
        .to_bytes();
    driver.abort();
    if !good {
        return Err(AskFailed::Refused(String::from_utf8_lossy(&body).trim().to_owned()));
    }
    serde_json::from_slice(&body).map_err(|error| AskFailed::NoAnswer(error.to_string()))
}
