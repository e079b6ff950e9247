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
        let face = Arc::new(Face::new(settings, tokens, backend));
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

/// The HTTP face over loopback, before a small model.
#[cfg(test)]
mod tests {
    use super::Simulator;
    use crate::simulator::backend::Backend;
    use crate::simulator::call::{Answer, Call, CallContext, Refusal, Verb};
    use crate::simulator::schema::Schema;
    use crate::simulator::settings::Settings;
    use reqwest::{Client, Method, Response, StatusCode};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Keeps bodies; refuses those that say `bad`.
    #[derive(Default)]
    struct Notes {
        schema: Schema,
        rows: Vec<(String, String)>,
        mark: usize,
    }

    impl Backend for Notes {
        fn execute(&mut self, ctx: &CallContext, call: &Call<'_>) -> Result<Answer, Refusal> {
            let body = String::from_utf8_lossy(call.body).into_owned();
            if body.contains("bad") {
                return Err(Refusal::new(400, 0x8004_4331, "too long").with("TraceText", "t"));
            }
            match call.verb {
                Verb::Get => Ok(Answer {
                    status: 200,
                    body: format!(
                        "{{\"UserId\":\"{}\",\"path\":\"{}?{}\"}}",
                        ctx.effective_user, call.path, call.query
                    )
                    .into_bytes(),
                    rows: 1,
                    ..Answer::default()
                }),
                _ => {
                    self.rows.push((call.path.to_owned(), body));
                    let set = call.path.split('(').next().unwrap_or("");
                    let url = format!("{}/api/data/v9.2/{set}({})", ctx.origin, self.rows.len());
                    Ok(Answer {
                        status: 204,
                        headers: vec![("OData-EntityId", url)],
                        rows: 1,
                        ..Answer::default()
                    })
                }
            }
        }

        fn begin(&mut self) {
            self.mark = self.rows.len();
        }

        fn commit(&mut self) {}

        fn rollback(&mut self) {
            self.rows.truncate(self.mark);
        }

        fn schema(&self) -> &Schema {
            &self.schema
        }

        fn dump(&self, _table: usize, _out: &mut Vec<u8>) {}
    }

    struct Rig<B: Backend = Notes> {
        sim: Simulator<B>,
        http: Client,
        token: String,
    }

    impl Rig {
        async fn new(settings: &str) -> Self {
            let settings = Settings::parse(settings).expect("settings");
            let addr = "127.0.0.1:0".parse().expect("address");
            let sim =
                Simulator::start_over(settings, addr, Notes::default()).await.expect("starts");
            Self::over(sim).await
        }

        fn rows(&self) -> usize {
            self.sim.with_model(|m| m.rows.len())
        }
    }

    impl<B: Backend> Rig<B> {
        async fn over(sim: Simulator<B>) -> Self {
            let http = Client::builder().no_proxy().build().expect("client");
            let mut rig = Self { sim, http, token: String::new() };
            rig.token = rig.token_for(1).await;
            rig
        }

        async fn token_for(&self, n: u32) -> String {
            let form = format!(
                "grant_type=client_credentials&client_id=a0000000-0000-4000-8000-{n:012}\
             &client_secret=pretended-secret-{n}&scope={}/.default",
                self.sim.url()
            );
            let answer =
                self.http.post(self.sim.token_url()).body(form).send().await.expect("token");
            let text = answer.text().await.expect("body");
            let body: serde_json::Value = serde_json::from_str(&text).expect("json");
            body["access_token"].as_str().expect("token").to_owned()
        }

        async fn try_send(
            &self,
            method: Method,
            path: &str,
            headers: &[(&str, &str)],
            body: &str,
        ) -> Result<Response, reqwest::Error> {
            let url = format!("{}/api/data/v9.2/{path}", self.sim.url());
            let mut request = self.http.request(method, url).bearer_auth(&self.token);
            if !headers.iter().any(|(n, _)| *n == "Content-Type") {
                request = request.header("Content-Type", "application/json");
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(body.to_owned()).send().await
        }

        async fn post(&self, path: &str, body: &str) -> Response {
            self.try_send(Method::POST, path, &[], body).await.expect("answer")
        }

        async fn batch(&self, prefer: &str, parts: &[&str]) -> Response {
            let mut body = String::new();
            for part in parts {
                body += &format!("--b\r\n{part}\r\n");
            }
            body += "--b--\r\n";
            let headers = [("Content-Type", "multipart/mixed; boundary=b"), ("Prefer", prefer)];
            self.try_send(Method::POST, "$batch", &headers, &body).await.expect("answer")
        }
    }

    fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
        answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    fn create(table: &str, body: &str) -> String {
        format!(
            "Content-Type: application/http\r\n\r\nPOST {table} HTTP/1.1\r\n\
         Content-Type: application/json\r\n\r\n{body}"
        )
    }

    fn change_set(parts: &[&str]) -> String {
        change_set_from(1, parts)
    }

    fn change_set_from(first: usize, parts: &[&str]) -> String {
        let mut out = "Content-Type: multipart/mixed; boundary=c\r\n\r\n".to_owned();
        for (n, part) in parts.iter().enumerate() {
            out += &format!("--c\r\nContent-ID: {}\r\n{part}\r\n", n + first);
        }
        out + "--c--"
    }

    #[tokio::test]
    async fn a_token_opens_the_data_endpoint_and_answers_carry_the_standing_headers() {
        let rig = Rig::new("").await;
        let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "x-ms-dop-hint"), "5");
        assert_eq!(header(&answer, "x-ms-ratelimit-burst-remaining-xrm-requests"), "5999");
        let time = header(&answer, "x-ms-ratelimit-time-remaining-xrm-requests");
        assert!(time == "1,200.00" || time == "1,199.99", "{time}");
        assert_eq!(header(&answer, "odata-version"), "4.0");
        assert!(header(&answer, "set-cookie").starts_with("ARRAffinity=node-0"));
        assert!(
            answer.text().await.expect("body").contains("5e000000-0000-4000-8000-000000000001")
        );
        rig.sim.stop().await;
    }

    #[tokio::test]
    async fn requests_without_a_valid_token_are_challenged() {
        let mut rig = Rig::new("").await;
        rig.token = "nonsense".to_owned();
        let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(header(&answer, "www-authenticate").contains("authorization_uri="));
        assert_eq!(rig.sim.stats().unauthorized, 1);
    }

    #[tokio::test]
    async fn users_the_organization_does_not_take_are_refused() {
        let user = |n: u32, rest: &str| {
            format!(
                "[[users]]\nname='app-{n}'\nclient_id='a0000000-0000-4000-8000-{n:012}'\n\
             secret='pretended-secret-{n}'\nsystem_user_id='5e000000-0000-4000-8000-{n:012}'\n{rest}\n"
            )
        };
        let mut rig =
            Rig::new(&format!("{}{}", user(1, "member=false"), user(2, "disabled=true"))).await;
        for (n, code) in [(1, "0x80072560"), (2, "0x8004a112")] {
            rig.token = rig.token_for(n).await;
            let answer = rig.try_send(Method::GET, "WhoAmI", &[], "").await.expect("answer");
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            assert!(answer.text().await.expect("body").contains(code));
        }
    }

    #[tokio::test]
    async fn the_managed_identity_endpoint_asks_for_its_header() {
        let rig = Rig::new("").await;
        let url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
            rig.sim.url(),
            rig.sim.url()
        );
        let bare = rig.http.get(&url).send().await.expect("answer");
        assert_eq!(bare.status(), StatusCode::BAD_REQUEST);
        let full = rig.http.get(&url).header("Metadata", "true").send().await.expect("answer");
        let body: serde_json::Value =
            serde_json::from_str(&full.text().await.expect("body")).expect("json");
        assert_eq!(body["expires_in"], "3599");
    }

    #[tokio::test]
    async fn impersonation_reaches_the_model() {
        let rig = Rig::new("").await;
        let id = "5e000000-0000-4000-8000-000000000002";
        let answer =
            rig.try_send(Method::GET, "x", &[("MSCRMCallerID", id)], "").await.expect("ok");
        assert!(answer.text().await.expect("body").contains(id));
        let other = [("CallerObjectId", "00000000-0000-4000-8000-000000000009")];
        let answer = rig.try_send(Method::GET, "x", &other, "").await.expect("answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn a_batch_stops_at_the_first_error_or_goes_on_as_asked() {
        let rig = Rig::new("").await;
        let parts = [create("a", "{}"), create("a", "\"bad\""), create("a", "{}")];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let stopped = rig.batch("x", &parts).await;
        assert_eq!(stopped.status(), StatusCode::BAD_REQUEST);
        let text = stopped.text().await.expect("body");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
        assert!(text.contains("Location: http://127.0.0.1"));
        assert!(text.contains("0x80044331"));
        assert_eq!(rig.rows(), 1);
        let went_on = rig.batch("odata.continue-on-error", &parts).await;
        assert_eq!(went_on.status(), StatusCode::OK);
        assert_eq!(went_on.text().await.expect("body").matches("HTTP/1.1 204").count(), 2);
        assert_eq!(rig.rows(), 3);
        assert_eq!(rig.sim.stats().batch_operations["create"].refused, 2);
    }

    #[tokio::test]
    async fn a_change_set_is_all_or_nothing() {
        let rig = Rig::new("").await;
        let good = create("a", "{}");
        let bad = create("a", "\"bad\"");
        let answer = rig.batch("x", &[&change_set(&[&good, &bad, &good])]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let text = answer.text().await.expect("body");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "one answer for the set: {text}");
        assert!(text.contains("Content-ID: 2"));
        assert_eq!(rig.rows(), 0);
    }

    #[tokio::test]
    async fn parts_of_a_change_set_refer_to_earlier_ones() {
        let rig = Rig::new("").await;
        let first = create("accounts", "{}");
        let second = create("contacts", "{\"x@odata.bind\":\"$1\"}");
        let third = "Content-Type: application/http\r\n\r\nPATCH $1 HTTP/1.1\r\n\
                 Content-Type: application/json\r\n\r\n{}";
        let answer = rig.batch("x", &[&change_set(&[&first, &second, third])]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        rig.sim.with_model(|m| {
            assert_eq!(m.rows[1].1, "{\"x@odata.bind\":\"/accounts(1)\"}");
            assert_eq!(m.rows[2].0, "accounts(1)");
        });
        let outside = rig.batch("x", &[&create("contacts", "{\"x@odata.bind\":\"$1\"}")]).await;
        assert!(
            outside.text().await.expect("body").contains("does not exist in the batch context")
        );
    }

    #[tokio::test]
    async fn whole_batches_are_refused_before_any_part_runs() {
        let rig = Rig::new("[http]\nbatch_operations_max = 2").await;
        let one = create("a", "{}");
        let answer = rig.batch("x", &[&one, &one, &one]).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let get = "Content-Type: application/http\r\n\r\nGET a HTTP/1.1\r\n\r\n";
        let answer = rig.batch("x", &[&one, &change_set(&[get])]).await;
        assert!(answer.text().await.expect("body").contains("\"ExceptionType\""));
        let json =
            rig.try_send(Method::POST, "$batch", &[], "{\"requests\":[]}").await.expect("ok");
        assert_eq!(json.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(rig.rows(), 0);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_answered_413() {
        let rig = Rig::new("[http]\nbody_bytes_max = 10").await;
        assert_eq!(rig.post("a", "12345678901").await.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(rig.post("a", "1234567890").await.status(), StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn service_protection_refuses_and_counts_who_does_not_wait() {
        let rig = Rig::new("speed = 100.0\n[protection]\nrequests_max = 2").await;
        rig.post("a", "{}").await;
        rig.post("a", "{}").await;
        let refused = rig.post("a", "{}").await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header(&refused, "retry-after"), "3");
        assert!(refused.text().await.expect("body").contains("0x80072322"));
        tokio::time::sleep(Duration::from_millis(80)).await;
        assert_eq!(rig.post("a", "{}").await.status(), StatusCode::TOO_MANY_REQUESTS);
        let stats = rig.sim.stats();
        assert_eq!(stats.throttled.requests, 2);
        assert_eq!((stats.inside_retry_after, stats.inside_retry_after_racing), (1, 0));
        assert_eq!(rig.rows(), 2);
    }

    #[tokio::test]
    async fn servers_count_apart_and_the_cookie_pins() {
        let rig = Rig::new("[protection]\nservers = 2\nrequests_max = 2").await;
        for _ in 0..4 {
            assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
        }
        let cookie = [("Cookie", "x=y; ARRAffinity=node-1")];
        let pinned = rig.try_send(Method::POST, "a", &cookie, "{}").await.expect("answer");
        assert_eq!(pinned.status(), StatusCode::TOO_MANY_REQUESTS);
        let stats = rig.sim.stats();
        assert_eq!(stats.servers, [2, 3]);
        assert_eq!(stats.affinity_cookies_returned, 1);
    }

    #[tokio::test]
    async fn concurrency_is_limited_while_service_takes_time() {
        let rig = Rig::new(
            "speed = 10.0\n[protection]\nconcurrent_max = 1\n[latency]\nscale = 1.0\n\
         noise_sigma = 0.0\nread = { a = 3.0, b = 0.0, d = 0.0 }",
        )
        .await;
        let (one, two) = tokio::join!(rig.post("a", "{}"), rig.post("a", "{}"));
        let mut statuses = [one.status().as_u16(), two.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 429]);
        assert_eq!(rig.sim.stats().throttled.concurrency, 1);
    }

    #[tokio::test]
    async fn work_goes_on_when_the_client_hangs_up() {
        let rig = Rig::new(
            "[latency]\nscale = 1.0\nnoise_sigma = 0.0\nread = { a = 0.2, b = 0.0, d = 0.0 }",
        )
        .await;
        let post = rig.post("a", "{}");
        assert!(tokio::time::timeout(Duration::from_millis(60), post).await.is_err());
        assert_eq!(rig.rows(), 0);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rig.rows(), 1);
    }

    async fn faulted(action: &str) -> (Rig, Result<Response, reqwest::Error>) {
        let rig =
            Rig::new(&format!("[[faults]]\nmatch = {{ first = 1 }}\naction = {action}")).await;
        let answer = rig.try_send(Method::GET, "a", &[], "").await;
        (rig, answer)
    }

    #[tokio::test]
    async fn cuts_happen_before_and_after_the_work() {
        for (action, rows) in [("{ kind='cut-before' }", 0), ("{ kind='cut-after' }", 1)] {
            let script = format!("[[faults]]\nmatch = {{ first = 1 }}\naction = {action}");
            let rig = Rig::new(&script).await;
            assert!(rig.try_send(Method::POST, "a", &[], "{}").await.is_err(), "{action}");
            assert_eq!(rig.rows(), rows, "{action}");
            assert_eq!(rig.sim.stats().faults[0].fired, 1);
            assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
        }
    }

    #[tokio::test]
    async fn a_cut_request_can_be_done_later() {
        let rig = Rig::new(
            "[[faults]]\naction = { kind='commit-later', delay_ms_min=100, delay_ms_max=150 }",
        )
        .await;
        assert!(rig.try_send(Method::POST, "a", &[], "{}").await.is_err());
        assert_eq!(rig.rows(), 0);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(rig.rows(), 1);
    }

    #[tokio::test]
    async fn half_a_body_arrives_and_then_the_end() {
        let (_rig, answer) = faulted("{ kind='half-body' }").await;
        let mut answer = answer.expect("the head arrives");
        let first = answer.chunk().await.expect("the first half").expect("some bytes");
        assert!(first.starts_with(b"{\"UserId\""));
        assert!(answer.chunk().await.is_err());
    }

    #[tokio::test]
    async fn a_slow_body_arrives_in_the_end() {
        let (_rig, answer) = faulted("{ kind='slow-body', bytes_per_sec=2000 }").await;
        assert!(answer.expect("head").text().await.expect("body").ends_with('}'));
    }

    #[tokio::test]
    async fn scripted_answers_come_as_written() {
        let (_rig, answer) =
            faulted("{ kind='status', status=429, retry_after='soon', code='0x80072321' }").await;
        let answer = answer.expect("answer");
        assert_eq!(header(&answer, "retry-after"), "soon");
        assert!(answer.text().await.expect("body").contains("0x80072321"));
        let (_rig, answer) =
            faulted("{ kind='status', status=502, html=true, retry_after_date_secs=9 }").await;
        let answer = answer.expect("answer");
        assert!(header(&answer, "retry-after").ends_with(" GMT"));
        assert!(answer.text().await.expect("body").contains("<html>"));
    }

    #[tokio::test]
    async fn a_hanging_request_ends_with_the_simulator() {
        let rig = Rig::new("[[faults]]\naction = { kind='hang', apply=true }").await;
        let post = rig.post("a", "{}");
        assert!(tokio::time::timeout(Duration::from_millis(100), post).await.is_err());
        assert_eq!(rig.rows(), 1);
        tokio::time::timeout(Duration::from_secs(2), rig.sim.stop()).await.expect("stops");
    }

    #[tokio::test]
    async fn poison_and_deadlocks_strike_operations_inside_batches() {
        let rig = Rig::new(
            "[[faults]]\nname='poison'\nmatch={ body='K-13' }\naction={ kind='poison' }\n\
         [[faults]]\nname='lock'\nmatch={ body='K-14' }\naction={ kind='sql-error' }",
        )
        .await;
        let parts = ["K-12", "K-13", "K-14"].map(|k| create("a", &format!("\"{k}\"")));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let answer = rig.batch("odata.continue-on-error", &parts).await;
        let text = answer.text().await.expect("body");
        assert!(text.contains("HTTP/1.1 204") && text.contains("0x80040265"), "{text}");
        assert!(text.contains("HTTP/1.1 500") && text.contains("Sql Number: 1205"), "{text}");
        assert_eq!(rig.rows(), 1);
    }

    #[tokio::test]
    async fn operations_of_a_batch_can_count_one_by_one() {
        let rig = Rig::new("[protection]\nrequests_max = 3\ncount_batch_parts = true").await;
        let one = create("a", "{}");
        let answer = rig.batch("odata.continue-on-error", &[&one, &one, &one]).await;
        let text = answer.text().await.expect("body");
        assert_eq!(text.matches("HTTP/1.1 204").count(), 2, "the batch itself was one: {text}");
        assert!(text.contains("HTTP/1.1 429") && text.contains("Retry-After: "), "{text}");
    }

    #[tokio::test]
    async fn overlong_requests_fail_or_complete() {
        for (fails, status, rows, left) in [
            ("1.0", StatusCode::INTERNAL_SERVER_ERROR, 0, "960.00"),
            ("0.0", StatusCode::NO_CONTENT, 1, "940.00"),
        ] {
            let rig = Rig::new(&format!(
                "speed = 2000.0\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\n\
                 timeout_fails = {fails}\nread = {{ a = 130.0, b = 0.0, d = 0.0 }}"
            ))
            .await;
            assert_eq!(rig.post("a", "{}").await.status(), status);
            assert_eq!(rig.rows(), rows);
            let next = rig.try_send(Method::GET, "a", &[], "").await.expect("answer");
            let time = header(&next, "x-ms-ratelimit-time-remaining-xrm-requests");
            assert_eq!(time, left, "both were booked");
        }
    }

    #[tokio::test]
    async fn a_sql_timeout_may_have_been_done() {
        for (applied, rows) in [("1.0", 1), ("0.0", 0)] {
            let action = format!("{{ kind = 'sql-timeout', applied = {applied} }}");
            let rig = Rig::new(&format!("[[faults]]\naction = {action}")).await;
            let answer = rig.post("a", "{}").await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(answer.text().await.expect("body").contains("0x80044151"));
            assert_eq!(rig.rows(), rows);
        }
    }

    #[tokio::test]
    async fn bulk_answers_can_hold_wrong_ids() {
        let settings =
            Settings::parse("[[faults]]\naction = { kind = 'wrong-ids' }").expect("valid");
        let addr = "127.0.0.1:0".parse().expect("address");
        let rig = Rig::over(Simulator::start(settings, addr).await.expect("starts")).await;
        let id = "6a7e5c1e-0d56-4e60-8a0b-0a3a3a8c2b11";
        let targets = format!(
            "{{\"Targets\":[{{\"@odata.type\":\"Microsoft.Dynamics.CRM.account\",\
             \"accountid\":\"{id}\",\"name\":\"x\"}}]}}"
        );
        let done = rig.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", &targets).await;
        let text = done.text().await.expect("body");
        assert!(text.contains("\"Ids\":[\"") && !text.contains(id), "{text}");
    }

    #[tokio::test]
    async fn the_token_endpoint_can_be_down() {
        let rig = Rig::new("").await;
        let sim = rig.sim.url();
        let script =
            "[[faults]]\nmatch={ operation='token' }\naction={ kind='status', status=503 }";
        let set =
            rig.http.post(format!("{sim}/_sim/faults")).body(script).send().await.expect("set");
        assert_eq!(set.status(), StatusCode::OK);
        let down = rig.http.post(rig.sim.token_url()).body("").send().await.expect("answer");
        assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
        let bad =
            rig.http.post(format!("{sim}/_sim/faults")).body("x = 1").send().await.expect("set");
        assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn the_simulator_can_be_looked_into_and_stopped() {
        let rig = Rig::new("").await;
        rig.post("accounts", "{}").await;
        let sim = rig.sim.url();
        let get = |path: &str| rig.http.get(format!("{sim}/_sim/{path}")).send();
        let text = get("stats").await.expect("stats").text().await.expect("body");
        let stats: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(stats["operations"]["create"]["rows"], 1);
        let log = get("requests").await.expect("log").text().await.expect("body");
        assert!(log.contains("\"table\":\"accounts\"") && log.ends_with("}\n"), "{log}");
        rig.http.post(format!("{sim}/_sim/shutdown")).send().await.expect("told");
        tokio::time::timeout(Duration::from_secs(2), rig.sim.stopped()).await.expect("stopped");
    }

    #[tokio::test]
    async fn a_closed_port_refuses_and_an_opened_one_still_has_its_rows() {
        let mut rig = Rig::new("").await;
        rig.post("a", "{}").await;
        rig.sim.close_port().await;
        let refused = rig.try_send(Method::POST, "a", &[], "{}").await.expect_err("closed");
        assert!(refused.is_connect(), "{refused:?}");
        rig.sim.open_port().await.expect("the port is still free");
        assert_eq!(rig.post("a", "{}").await.status(), StatusCode::NO_CONTENT);
        assert_eq!(rig.rows(), 2);
    }

    #[tokio::test]
    async fn the_model_answers_bulk_messages_and_batches() {
        let addr = "127.0.0.1:0".parse().expect("address");
        let sim = Simulator::start(Settings::default(), addr).await.expect("starts");
        let rig = Rig::over(sim).await;
        let who = rig.try_send(Method::GET, "WhoAmI()", &[], "").await.expect("answer");
        assert!(who.text().await.expect("body").contains("\"OrganizationId\""));
        let account = "{\"@odata.type\":\"Microsoft.Dynamics.CRM.account\",\"name\":";
        let targets = format!("{{\"Targets\":[{account}\"one\"}},{account}\"two\"}}]}}");
        let done = rig.post("accounts/Microsoft.Dynamics.CRM.CreateMultiple", &targets).await;
        assert_eq!(done.status(), StatusCode::OK);
        let ids: serde_json::Value =
            serde_json::from_str(&done.text().await.expect("body")).expect("json");
        assert_eq!(ids["Ids"].as_array().expect("ids").len(), 2);
        let first = create("accounts", "{\"name\":\"three\"}");
        let second = create(
            "contacts",
            "{\"lastname\":\"Ng\",\"parentcustomerid_account@odata.bind\":\"$1\"}",
        );
        let unknown = create("accounts", "{\"no_such_column\":1}");
        let answer = rig
            .batch(
                "odata.continue-on-error",
                &[&change_set(&[&first, &second]), &change_set_from(3, &[&first, &unknown])],
            )
            .await;
        let text = answer.text().await.expect("body");
        assert_eq!(text.matches("HTTP/1.1 204").count(), 2, "{text}");
        assert!(text.contains("0x80048d19"), "{text}");
        let dump = rig.http.get(format!("{}/_sim/dump?table=account", rig.sim.url()));
        let rows = dump.send().await.expect("dump").text().await.expect("body");
        assert_eq!(rows.lines().count(), 3, "the failed change set left nothing: {rows}");
        let stats = rig.sim.stats();
        assert_eq!(stats.operations["CreateMultiple"].rows, 2);
    }

    #[tokio::test]
    async fn idle_connections_are_closed() {
        let rig = Rig::new("[http]\nidle_secs = 1").await;
        let mut stream = TcpStream::connect(rig.sim.addr()).await.expect("connects");
        let ask = "GET /api/data/v9.2/x HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.expect("sent");
        let mut got = Vec::new();
        let read = stream.read_to_end(&mut got);
        let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
        ended.expect("closed in time").expect("closed in order");
        assert!(got.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&got));
    }
}
