//! What the local Dataverse costs a row of `CreateMultiple`: 100 rows of 20 mixed columns, on the
//! model alone and over HTTP without service time. The model must take at most 3 µs a row, so
//! that a loader, not its counterpart, is what a rehearsal measures.
#![expect(clippy::print_stdout, reason = "a benchmark")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

use criterion::{Criterion, Throughput, criterion_group};
use dvbulk::simulator::call::{Call, CallContext, Verb};
use dvbulk::simulator::environment::EnvironmentSettings;
use dvbulk::simulator::model::Model;
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::Settings;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 100;
const PATH: &str = "new_wides/Microsoft.Dynamics.CRM.CreateMultiple";
/// A model takes this many requests before a fresh one takes over: memory stays bounded.
const REQUESTS: u32 = 500;

fn body(account: Uuid, start: usize) -> Vec<u8> {
    let mut out = String::from("{\"Targets\":[");
    for n in start..start + ROWS {
        if n > start {
            out.push(',');
        }
        let _ = write!(
            out,
            "{{\"@odata.type\":\"Microsoft.Dynamics.CRM.new_wide\",\
             \"new_name\":\"Row number {n}\",\"new_code\":\"C-{n}\",\
             \"new_text01\":\"Somewhere {n}\",\"new_text02\":\"Straße 12\",\
             \"new_text03\":\"+49 30 1234567\",\"new_text04\":\"a@b.test\",\
             \"new_memo01\":\"A longer text that says a little more about the row.\",\
             \"new_int01\":{n},\"new_int02\":-5,\"new_int03\":123456,\"new_dec01\":12.5,\
             \"new_dec02\":{n}.25,\"new_money01\":99.95,\"new_float01\":1.5,\"new_flag01\":true,\
             \"new_pick01\":100000001,\"new_time01\":\"2024-02-03T04:05:06Z\",\
             \"new_day01\":\"2024-02-03\",\"new_multi01\":\"100000000,100000002\",\
             \"new_Account01@odata.bind\":\"/accounts({account})\"}}"
        );
    }
    out.push_str("]}");
    out.into_bytes()
}

struct Local {
    model: Model,
    ctx: CallContext,
}

impl Local {
    fn new(account: Uuid) -> Self {
        let model = Model::new(EnvironmentSettings::default());
        let user = model.settings.application_users[0].id;
        let ctx = CallContext {
            caller: user,
            effective_user: user,
            now_ms: 1_750_000_000_000,
            origin: "http://127.0.0.1:4711".to_owned(),
        };
        let mut out = Self { model, ctx };
        out.post("accounts", format!("{{\"accountid\":\"{account}\",\"name\":\"A\"}}").as_bytes());
        out
    }

    fn post(&mut self, path: &str, body: &[u8]) {
        let call = Call { verb: Verb::Post, path, query: "", headers: &[], body };
        let answer = self.model.execute(&self.ctx, &call);
        assert!(answer.is_ok(), "{answer:?}");
    }
}

fn model_time(account: Uuid, bodies: &[Vec<u8>], requests: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = requests;
    while left > 0 {
        let mut local = Local::new(account);
        let now = left.min(bodies.len() as u64);
        let start = Instant::now();
        for body in bodies.iter().take(usize::try_from(now).unwrap_or(0)) {
            local.post(PATH, body);
        }
        spent += start.elapsed();
        left -= now;
    }
    spent
}

async fn token(simulator: &Simulator, http: &reqwest::Client) -> String {
    let user = &simulator.settings().users[0];
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={}/.default",
        user.client_id,
        user.secret.as_deref().unwrap_or_default(),
        simulator.url()
    );
    let answer = http.post(simulator.token_url()).body(form).send().await.expect("a token");
    let body = answer.bytes().await.expect("read");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    body["access_token"].as_str().expect("a token").to_owned()
}

async fn http_time(account: Uuid, bodies: &[Vec<u8>], requests: u64) -> Duration {
    let settings = "[protection]\nrequests_max=0\nexecution_secs_max=0\nconcurrent_max=0\n\
                    [latency]\nscale=0";
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut spent = Duration::ZERO;
    let mut left = requests;
    while left > 0 {
        let settings = Settings::parse(settings).expect("settings");
        let listen = settings.listen;
        let simulator = Simulator::start(settings, listen).await.expect("starts");
        let token = token(&simulator, &http).await;
        let send = async |path: &str, body: Vec<u8>| {
            let url = format!("{}/api/data/v9.2/{path}", simulator.url());
            let request = http.post(url).bearer_auth(&token);
            let request = request.header("Content-Type", "application/json").body(body);
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("read");
        };
        let row = format!("{{\"accountid\":\"{account}\",\"name\":\"A\"}}");
        send("accounts", row.into_bytes()).await;
        let now = left.min(bodies.len() as u64);
        let start = Instant::now();
        for body in bodies.iter().take(usize::try_from(now).unwrap_or(0)) {
            send(PATH, body.clone()).await;
        }
        spent += start.elapsed();
        left -= now;
        simulator.stop().await;
    }
    spent
}

fn bench(criterion: &mut Criterion) {
    let account = Uuid::from_u128(7);
    let bodies: Vec<_> = (0..REQUESTS as usize).map(|n| body(account, n * ROWS)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("create_multiple_100x20");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sample_size(20);
    group.bench_function("model", |b| b.iter_custom(|n| model_time(account, &bodies, n)));
    group.bench_function("http", |b| {
        b.iter_custom(|n| runtime.block_on(http_time(account, &bodies, n)));
    });
    group.finish();
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let best = (0..5).map(|_| model_time(account, &bodies, u64::from(REQUESTS))).min();
    let rows = f64::from(REQUESTS) * ROWS as f64;
    println!("model: {:.2} µs/row", best.unwrap_or_default().as_secs_f64() * 1e6 / rows);
}

criterion_group!(benches, bench);

fn main() {
    benches();
}
