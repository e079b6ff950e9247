//! What the local Dataverse costs a row of `CreateMultiple`: 100 rows of 20 mixed columns, on the
//! model alone and over HTTP without service time. The model must take at most 3 µs a row, so
//! that a loader, not its counterpart, is what a rehearsal measures.
//!
//! And how well it keeps compressed time: clients that each send the next request when the last is
//! answered, against the time the server model has on paper. `cargo bench --bench simulator -- time`
//! measures only that.
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

/// Settings of a load of known shape at `speed`: no noise, no limits, some contention.
fn shaped(speed: f64) -> Settings {
    let text = format!(
        "speed = {speed:?}\n[protection]\nrequests_max = 0\nexecution_secs_max = 0\n\
         concurrent_max = 0\n[latency]\nscale = 1.0\nnoise_sigma = 0.0\n\
         contention_sigma = {SIGMA}\ncontention_kappa = {KAPPA}\n\
         moderate = {{ a = 1.0, b = 0.02, d = 0.0 }}\nread = {{ a = 3.0, b = 0.0, d = 0.0 }}"
    );
    Settings::parse(&text).expect("settings")
}

const SIGMA: f64 = 0.004;
const KAPPA: f64 = 0.0004;
/// Simulated seconds of a request without others: a read, or 100 rows of a moderate table.
const ALONE_SECS: f64 = 3.0;

/// Real requests a second and how far the simulated time is from that on paper, as a share.
async fn kept(speed: f64, at_once: u32, bodies: Option<&[Vec<u8>]>) -> (f64, f64) {
    let settings = shaped(speed);
    let listen = settings.listen;
    let simulator = Simulator::start(settings, listen).await.expect("starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let token = token(&simulator, &http).await;
    // About four real seconds.
    let c = f64::from(at_once);
    let slow = (KAPPA * c).mul_add(c - 1.0, SIGMA.mul_add(c - 1.0, 1.0));
    let each = (4.0 * speed / (ALONE_SECS * slow)).ceil();
    let client = async |n: u32| {
        for turn in 0..each as u32 {
            let request = match bodies {
                None => http.get(format!("{}/api/data/v9.2/WhoAmI", simulator.url())),
                Some(bodies) => {
                    let body = &bodies[(turn * at_once + n) as usize % bodies.len()];
                    let request = http.post(format!("{}/api/data/v9.2/{PATH}", simulator.url()));
                    request.header("Content-Type", "application/json").body(body.clone())
                }
            };
            // Rows may be there already or name what is not: refusals take the same time.
            let answer = request.bearer_auth(&token).send().await.expect("an answer");
            answer.bytes().await.expect("read");
        }
    };
    let before = simulator.stats();
    futures_util::future::join_all((0..at_once).map(client)).await;
    let after = simulator.stats();
    let took = after.virtual_secs - before.virtual_secs;
    let real = after.uptime_secs - before.uptime_secs;
    simulator.stop().await;
    (each * c / real, took / (each * ALONE_SECS * slow) - 1.0)
}

fn keeps_time(runtime: &tokio::runtime::Runtime) {
    let account = Uuid::from_u128(7);
    let bodies: Vec<_> = (0..REQUESTS as usize).map(|n| body(account, n * ROWS)).collect();
    println!("compressed time: load, speed, at once, requests/s, off by");
    for (load, bodies) in [("reads", None), ("100 rows", Some(bodies.as_slice()))] {
        for speed in [10.0, 30.0, 60.0, 120.0, 300.0] {
            for at_once in [4, 16, 48] {
                let (rate, off) = runtime.block_on(kept(speed, at_once, bodies));
                println!("{load:8} {speed:5} {at_once:3} {rate:6.0} {:+6.1} %", off * 100.0);
            }
        }
    }
}

criterion_group!(benches, bench);

fn main() {
    let asked = |word: &str| std::env::args().any(|a| a == word);
    if !asked("time") {
        benches();
    }
    if asked("--bench") {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        keeps_time(&runtime);
    }
}
