//! A simulator in this process, before a small model, and a client.

use dvbulk::simulator::backend::Backend;
use dvbulk::simulator::call::{Answer, Call, CallContext, Refusal, Verb};
use dvbulk::simulator::schema::Schema;
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::Settings;
use reqwest::{Client, Method, Response};

/// Keeps bodies; refuses those that say `bad`.
#[derive(Default)]
pub(crate) struct Notes {
    schema: Schema,
    pub(crate) rows: Vec<(String, String)>,
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

/// A simulator and a client with a token.
pub(crate) struct Rig<B: Backend = Notes> {
    pub(crate) sim: Simulator<B>,
    pub(crate) http: Client,
    pub(crate) token: String,
}

impl Rig {
    pub(crate) async fn new(settings: &str) -> Self {
        let settings = Settings::parse(settings).expect("settings");
        let addr = "127.0.0.1:0".parse().expect("address");
        let sim = Simulator::start_over(settings, addr, Notes::default()).await.expect("starts");
        Self::over(sim).await
    }

    pub(crate) fn rows(&self) -> usize {
        self.sim.with_model(|m| m.rows.len())
    }
}

impl<B: Backend> Rig<B> {
    pub(crate) async fn over(sim: Simulator<B>) -> Self {
        let http = Client::builder().no_proxy().build().expect("client");
        let mut rig = Self { sim, http, token: String::new() };
        rig.token = rig.token_for(1).await;
        rig
    }

    pub(crate) async fn token_for(&self, n: u32) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=a0000000-0000-4000-8000-{n:012}\
         &client_secret=pretended-secret-{n}&scope={}/.default",
            self.sim.url()
        );
        let answer = self.http.post(self.sim.token_url()).body(form).send().await.expect("token");
        let text = answer.text().await.expect("body");
        let body: serde_json::Value = serde_json::from_str(&text).expect("json");
        body["access_token"].as_str().expect("token").to_owned()
    }

    pub(crate) async fn try_send(
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

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response {
        self.try_send(Method::POST, path, &[], body).await.expect("answer")
    }

    pub(crate) async fn batch(&self, prefer: &str, parts: &[&str]) -> Response {
        let mut body = String::new();
        for part in parts {
            body += &format!("--b\r\n{part}\r\n");
        }
        body += "--b--\r\n";
        let headers = [("Content-Type", "multipart/mixed; boundary=b"), ("Prefer", prefer)];
        self.try_send(Method::POST, "$batch", &headers, &body).await.expect("answer")
    }
}

pub(crate) fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

pub(crate) fn create(table: &str, body: &str) -> String {
    format!(
        "Content-Type: application/http\r\n\r\nPOST {table} HTTP/1.1\r\n\
     Content-Type: application/json\r\n\r\n{body}"
    )
}

pub(crate) fn change_set(parts: &[&str]) -> String {
    change_set_from(1, parts)
}

pub(crate) fn change_set_from(first: usize, parts: &[&str]) -> String {
    let mut out = "Content-Type: multipart/mixed; boundary=c\r\n\r\n".to_owned();
    for (n, part) in parts.iter().enumerate() {
        out += &format!("--c\r\nContent-ID: {}\r\n{part}\r\n", n + first);
    }
    out + "--c--"
}
