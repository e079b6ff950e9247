//! The page of a running load in a real browser, and its token over plain HTTP.

use crate::browser::Browser;
use crate::rig::{Child, PATIENCE, Rig, faulty};
use dvbulk::control::server::{ControlServer, Controlled};
use dvbulk::control::status::RunFacts;
use dvbulk::control::steering::Steering;
use dvbulk::record::key::TableId;
use dvbulk::record::outcome::{FaultCategory, RowFault, RowState};
use dvbulk::record::refused::{LatestRefused, Refused};
use dvbulk::record::throttle::Throttle;
use dvbulk::runtime::clock;
use dvbulk::simulator::settings::{Cost, LatencySettings, Settings};
use dvbulk::telemetry::metrics::Meters;
use dvbulk::telemetry::waiting::Waiting;
use dvbulk::tuning::view::{Bound, LaneView, Scope, TableView, View};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// A name or value that would be code on a page that does not escape it.
const HOSTILE: &str = "<img src=x onerror=window.hit=1>&'";

/// The server refuses these rows with words of its own.
const PLUG_IN: &str = r#"
[[faults]]
name = "plug-in"
match = { body = "POISON" }
action = { kind = "poison", message = "<script>window.hit=2</script> refused" }
"#;

const TABLE: &str = r#"
[ledger]
folder = "job.ledger"

[sinks]
folder = "job.out"

[breakers]
failed_share_max = 1.0

[[table]]
table = "contact"
source = "contact.csv"
key = "No"
operation = "create"
batch = 10
parallel = 2

[table.columns]
externaluseridentifier = "Number"
lastname = "Last"
"#;

/// Each request takes a tenth of a second.
fn slow() -> Settings {
    let latency = LatencySettings {
        scale: 1.0,
        out_of_the_box: Cost { a: 0.1, b: 0.0, d: 0.0 },
        read: Cost { a: 0.0, b: 0.0, d: 0.0 },
        noise_sigma: 0.0,
        ..LatencySettings::default()
    };
    Settings { latency, ..faulty(1, PLUG_IN) }
}

/// A load of many rows, of which the first and the seventh are bad, once both are refused.
fn started(rig: &Rig) -> (Child, String) {
    let mut text = "No,Number,Last\n".to_owned();
    for n in 0..40_000 {
        let last = if n == 7 { "POISON" } else { "Last" };
        // The key of row 7 is code.
        let key = if n == 7 { format!("{HOSTILE} {n}") } else { format!("C-{n:05}") };
        let last = if n == 1 { "x".repeat(300) } else { format!("{last} {n}") };
        writeln!(text, "{key},N-{n:05},{last}").unwrap();
    }
    rig.write("contact.csv", text);
    rig.write("job.toml", format!("{}{TABLE}", rig.head(HOSTILE)));
    let mut child = rig.spawn(&["load", "job.toml", "--plain"]);
    let address = rig.listens(&mut child);
    let refused = rig.until(&mut child, || {
        let (_, body) = http(&address, "GET", "/status", &[]);
        let status: Value = serde_json::from_str(&body).expect("JSON");
        let errors = status["last_errors"].as_array().map_or(0, Vec::len);
        (errors == 2).then_some(())
    });
    refused.unwrap_or_else(|| panic!("ended early\n{}", child.stderr()));
    (child, address)
}

/// One request over plain HTTP: head and body of the answer.
fn http(address: &str, verb: &str, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut request = format!("{verb} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        write!(request, "Host: {address}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_owned(), body.to_owned())
}

fn state(address: &str) -> String {
    let status: Value =
        serde_json::from_str(&http(address, "GET", "/status", &[]).1).expect("JSON");
    status["state"].as_str().expect("a state").to_owned()
}

fn token(rig: &Rig) -> String {
    fs::read_to_string(rig.path("job.ledger/control.token")).expect("a token").trim().to_owned()
}

/// The whole status, as the owner of the token sees it.
fn status(rig: &Rig, address: &str) -> Value {
    let bearer = format!("Bearer {}", token(rig));
    let (_, body) = http(address, "GET", "/status", &[("Authorization", &bearer)]);
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn whoever_has_the_token_steers_over_http_and_nobody_else() {
    let rig = Rig::start(slow());
    let (child, address) = started(&rig);
    let file = rig.path("job.ledger/control.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bearer = format!("Bearer {}", token(&rig));
    let good = ("Authorization", bearer.as_str());
    let own = format!("http://{address}");
    let asked = |verb: &str, path: &str, headers: &[(&str, &str)]| {
        let (head, body) = http(&address, verb, path, headers);
        (head[9..12].to_owned(), body)
    };
    let code = |verb: &str, path: &str, headers: &[(&str, &str)]| asked(verb, path, headers).0;

    assert_eq!(code("POST", "/pause", &[]), "401");
    assert_eq!(code("POST", "/pause", &[("Cookie", &format!("token={}", &bearer[7..]))]), "401");
    assert_eq!(code("GET", "/pause", &[good]), "405", "nothing changes by GET");
    assert_eq!(code("POST", "/pause", &[good, ("Host", "evil.example")]), "403");
    assert_eq!(code("POST", "/pause", &[good, ("Origin", "http://evil.example")]), "403");
    assert_eq!(code("POST", "/pause", &[good, ("Origin", "null")]), "403");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(code("POST", "/pause", &[good, form]), "415");
    assert_eq!(code("OPTIONS", "/pause", &[("Origin", "http://evil.example")]), "405");
    assert_eq!(state(&address), "running", "none of that changed the run");

    assert_eq!(code("POST", "/pause", &[good, ("Origin", &own)]), "200");
    assert_eq!(state(&address), "paused");
    assert_eq!(code("POST", "/resume", &[good]), "200");
    assert_eq!(state(&address), "running");

    // Without the token nobody reads what the error file is locked for.
    let (_, strangers) = http(&address, "GET", "/status", &[]);
    assert!(strangers.contains("\"duplicate\"") || strangers.contains("\"value\""), "{strangers}");
    assert!(!strangers.contains("window.hit=2") && !strangers.contains("C-00001"), "{strangers}");
    assert!(!http(&address, "GET", "/", &[]).1.contains("window.hit=2"));
    let (_, owners) = http(&address, "GET", "/status", &[good]);
    assert!(owners.contains("window.hit=2") && owners.contains("C-00001"), "{owners}");
    let (head, page) = http(&address, "GET", "/", &[good]);
    assert!(page.contains("&lt;script&gt;window.hit=2"), "{page}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"));
    assert!(!head.contains("access-control"), "{head}");

    let told = rig.run(&["status", "job.toml"]).expect(0).stdout;
    assert!(told.contains(&format!("page http://{address}/")), "{told}");
    assert!(told.contains("job.ledger/control.token"), "{told}");
    assert!(!told.contains(&bearer[7..]), "it tells where the token is, not what it is");
    assert!(!child.stderr().contains(&bearer[7..]));

    let wrong = ("Authorization", "Bearer 0123456789");
    let guesses: Vec<String> = (0..8).map(|_| code("POST", "/drain", &[wrong])).collect();
    assert_eq!(guesses[..5], ["401"; 5]);
    assert!(guesses[5..].contains(&"429".to_owned()), "{guesses:?}");
    assert!(asked("GET", "/status", &[]).1.contains("\"running\""), "who looks is not held up");
    let last = rig.until_some(|| (code("POST", "/drain", &[good]) == "200").then_some(()));
    assert!(last, "a second later the right one is heard again");
    assert_eq!(state(&address), "draining");
    child.terminate();
    rig.wait(child).expect(143);
    assert!(!file.exists(), "the token ends with the run");
}

/// Every figure of the page that names its place in the status, beside what stands there.
fn differences(page: &Value, status: &Value) -> (usize, Vec<String>) {
    let mut differ = Vec::new();
    let figures = page.as_array().expect("pairs");
    for pair in figures {
        let (path, shown) = (pair[0].as_str().expect("a path"), pair[1].as_str().expect("text"));
        let pointer = format!("/{}", path.replace('.', "/"));
        let is_same = match status.pointer(&pointer) {
            Some(Value::String(text)) => text == shown,
            Some(Value::Number(number)) => number.to_string() == shown.replace(',', ""),
            _ => false,
        };
        if !is_same {
            differ.push(format!("{path}: {shown:?} and {:?}", status.pointer(&pointer)));
        }
    }
    (figures.len(), differ)
}

const FIGURES: &str =
    "[...document.querySelectorAll('[data-path]')].map((e) => [e.dataset.path, e.textContent])";
const SETTLED: &str =
    "Number(document.querySelector('[data-total=settled]').textContent.replaceAll(',', ''))";
const STATE: &str = "document.querySelector('[data-path=state]').textContent";

fn click(browser: &mut Browser, wish: &str) {
    browser.value(&format!("document.querySelector('[data-wish={wish}]').click()"));
}

fn use_token(browser: &mut Browser, token: &str) {
    browser.value(&format!(
        "document.getElementById('token').value = {}; document.querySelector('#key-form button').click()",
        json!(token)
    ));
}

/// Brightness of a CSS colour `rgb(r, g, b)`, 0–255.
fn brightness(colour: &Value) -> f64 {
    let text = colour.as_str().expect("a colour").trim_start_matches("rgb(").trim_end_matches(')');
    let parts: Vec<f64> = text.split(',').map(|p| p.trim().parse().expect("a number")).collect();
    parts.iter().sum::<f64>() / parts.len() as f64
}

/// Asserts that nobody has to scroll sideways, on a phone, a tablet or a desk.
#[track_caller]
fn fits(browser: &mut Browser) {
    for width in [360, 700, 965, 1280] {
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 800}),
        );
        // A phone would widen the page to what does not fit.
        assert_eq!(browser.value("innerWidth"), width);
        let root = "document.documentElement";
        let sideways = browser.value(&format!("{root}.scrollWidth - {root}.clientWidth"));
        assert_eq!(sideways, 0, "scrolling sideways at {width}");
    }
}

/// A run that goes well and has much to tell.
fn told() -> Arc<Controlled> {
    let long = |name: &str| format!("{name}{}", "x".repeat(64 - name.len()));
    let names: Vec<String> = (0..6).map(|n| long(&format!("load-{n}-"))).collect();
    let meters = Meters::new(&names, &[long("app-1-"), "app-2".into()]).expect("registers");
    let lane = |identity, server, closed_secs| LaneView {
        identity,
        server: Some(server),
        time_used_secs: 1199.4,
        time_limit_secs: 1200.0,
        requests_used: 5900.0,
        requests_limit: 6000.0,
        in_flight: 49,
        parallel_limit: 52.0,
        tokens_secs: 0.4,
        closed_secs,
        closed_by: Some(Throttle::Time),
        paused: false,
    };
    let table = TableView {
        batch_rows: 1000,
        batch_optimum: 1000,
        batch_range: (1, 1000),
        parallel_max: 512,
        in_flight: 49,
        weight: 2.5,
        share: 0.5,
        cost: Some([0.1, 0.01, 0.0]),
        predicted_over_actual: 1.0,
        rows_per_execution_second: 50.0,
        bad_row_rate: 0.01,
        hazard: 0.0,
        samples: 99,
        paused: true,
    };
    meters.show(View {
        scope: Scope::Server,
        servers: 3,
        parallel_target: 51.5,
        parallel_bound: Bound::Budget,
        sprint: true,
        max_share: 0.4,
        lanes: vec![lane(0, 0, 0.0), lane(0, 1, 287.5), lane(1, 0, 12.0), lane(1, 1, 3.0)],
        tables: vec![table; 6],
        ..View::default()
    });
    for load in meters.loads() {
        for state in RowState::ALL {
            load.settle(state, 1_234_567);
        }
        *load.batch_size.lock() = 1000;
        *load.waiting.lock() = Waiting::Window {
            identity: long("app-1-"),
            limit: "execution time",
            used: 1199,
            of: 1200,
        };
    }
    let mut refused = LatestRefused::default();
    for n in 0..20u8 {
        let fault = RowFault {
            code: "0x80040265".into(),
            category: FaultCategory::BusinessRule,
            message: "y".repeat(2000),
            retryable: false,
        };
        refused.push(Refused::of(TableId(0), &[b'k' + n % 2; 300], &fault));
    }
    meters.refuse(&refused);
    let facts = RunFacts {
        job: "z".repeat(200),
        environment: format!("https://{}.example", "o".repeat(100)),
        started: clock::now(),
        settled_before: vec![0; 6],
        memory_budget_bytes: 512 << 20,
    };
    Arc::new(Controlled::new(Arc::new(meters), facts, Steering::default()))
}

#[test]
fn much_to_tell_fits_on_a_phone_too() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listen = Some(([127, 0, 0, 1], 0).into());
    let server =
        runtime.block_on(ControlServer::start(told(), listen, folder.path())).expect("it listens");
    let token = fs::read_to_string(folder.path().join("control.token")).expect("a token");
    let address = server.address.expect("an address");
    browser.open(&format!("http://{address}/#token={}", token.trim()));
    browser.until("document.body.innerText.includes('yyyy')");
    fits(&mut browser);
    let text = browser.value("document.body.innerText");
    let text = text.as_str().expect("text");
    for words in [
        "time 1,199 of 1,200 s",
        "requests 5,900 of 6,000",
        "at once 49 of 52",
        "closed 4m 48s by execution time",
        "aiming at 51.5 requests at once (budget)",
        "best 1000 (1–1000), weight 2.5, paused",
        "duplicate input 1,234,567",
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    let bars = "[...document.querySelectorAll('progress')].every((p) => p.position > 0.9)";
    assert_eq!(browser.value(bars), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_page_shows_the_run_in_a_browser_and_its_buttons_steer_it() {
    let Some(mut browser) = Browser::start() else { return };
    let rig = Rig::start(slow());
    let (child, address) = started(&rig);
    browser.open(&format!("http://{address}/"));

    // It lives without being loaded again.
    browser.value("window.mark = 1");
    let before = browser.value(SETTLED).as_u64().expect("a number");
    browser.until(&format!("{SETTLED} > {before}"));
    browser.until("document.querySelector('svg.curve polyline') !== null");
    assert_eq!(browser.value("window.mark"), 1);
    // What others wrote is text, and what belongs to the error file is not shown.
    assert_eq!(browser.value("document.querySelector('h1').textContent.split(': ')[0]"), HOSTILE);
    assert_eq!(browser.value("document.title"), format!("{HOSTILE}: running"));
    assert_eq!(browser.value("document.querySelectorAll('img').length"), 0);
    let refused =
        "[...document.querySelectorAll('[data-refused]')].map((r) => r.innerText).join('|')";
    assert_eq!(browser.value("document.querySelectorAll('[data-refused]').length"), 2);
    assert!(!browser.value(refused).as_str().expect("text").contains("refused"), "no message");
    assert_eq!(browser.complaints(), [""; 0]);

    // Without a token, and with a wrong one, nothing is steered.
    let note = "document.getElementById('note').textContent";
    click(&mut browser, "pause");
    browser.until(&format!("{note}.includes('Give the token first')"));
    assert_eq!(browser.complaints(), [""; 0]);
    use_token(&mut browser, "0123456789");
    browser.until(&format!("{note}.includes('wrong token')"));
    assert_eq!(browser.value("document.getElementById('key-form').hidden"), false, "it asks again");
    assert_eq!(browser.value("sessionStorage.length"), 0, "and forgets the wrong one");
    assert_eq!(state(&address), "running");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|c| c.contains("401")), "{complaints:?}");

    // With the token the button pauses.
    use_token(&mut browser, &token(&rig));
    browser.until(&format!("{refused}.includes('<script>window.hit=2</script> refused')"));
    assert!(browser.value(refused).as_str().expect("text").contains(HOSTILE), "the key");
    assert_eq!(browser.value("document.getElementById('token').checkVisibility()"), false);
    click(&mut browser, "pause");
    browser.until(&format!("{STATE} === 'paused'"));
    assert_eq!(state(&address), "paused");
    assert_eq!(browser.value("document.querySelector('[data-wish=pause]').disabled"), true);

    // Nothing moves any more: what is shown is what `/status` says.
    let quiet =
        rig.until_some(|| (status(&rig, &address)["loads"][0]["in_flight"] == 0).then_some(()));
    assert!(quiet, "answers come in");
    browser
        .until("document.querySelector('[data-path=\"loads.0.in_flight\"]').textContent === '0'");
    let told = status(&rig, &address);
    let same = rig.until_some(|| {
        let shown = browser.value(FIGURES);
        differences(&shown, &told).1.is_empty().then_some(())
    });
    let shown = browser.value(FIGURES);
    let (figures, differ) = differences(&shown, &told);
    assert!(same, "{differ:#?}");
    assert!(figures >= 14, "{shown:#}");
    let settled: u64 = told["loads"][0]["rows"]
        .as_object()
        .expect("rows")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(browser.value(SETTLED), settled);
    let stored = rig.store("contact").len() as u64;
    assert_eq!(told["loads"][0]["rows"]["created"], stored, "and what is in the target");

    // A phone, and the night.
    fits(&mut browser);
    let colours =
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]";
    for (scheme, is_dark) in [("dark", true), ("light", false)] {
        browser.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        let seen = browser.value(colours);
        let (paper, ink) = (brightness(&seen[0]), brightness(&seen[1]));
        assert_eq!(paper < ink, is_dark, "{scheme}: {seen}");
        assert!((paper - ink).abs() > 150.0, "{scheme}: {seen}");
    }

    click(&mut browser, "resume");
    browser.until(&format!("{STATE} === 'running'"));
    browser.until(&format!("{SETTLED} > {settled}"));
    assert_eq!(browser.value("window.mark"), 1, "it was never loaded again");
    assert_eq!(browser.value("window.hit ?? null"), Value::Null, "nothing of the data ran");
    assert_eq!(browser.complaints(), [""; 0]);

    // The token may come with the address; it does not stay there.
    browser.value("sessionStorage.clear()");
    browser.open("about:blank");
    browser.open(&format!("http://{address}/#token={}", token(&rig)));
    browser.until(&format!("{refused}.includes('<script>')"));
    assert_eq!(browser.value("location.href"), format!("http://{address}/"));
    assert_eq!(browser.value("document.cookie"), "");

    // Without script it shows the same and loads itself again.
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&format!("http://{address}/"));
    let (figures, _) = differences(&browser.value(FIGURES), &status(&rig, &address));
    assert!(figures >= 14);
    assert_eq!(browser.value("document.querySelector('meta[http-equiv=refresh]').content"), "5");
    assert_eq!(
        browser.value("getComputedStyle(document.getElementById('steer')).display"),
        "none",
        "buttons that would do nothing are not there"
    );
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": false}));

    // The last button asks; then the run ends, and the page says so.
    browser.open(&format!("http://{address}/"));
    assert_eq!(browser.complaints(), [""; 0]);
    browser.value("setTimeout(() => document.querySelector('[data-wish=drain]').click(), 0); 0");
    browser.event("Page.javascriptDialogOpening");
    browser.call("Page.handleJavaScriptDialog", json!({"accept": true}));
    browser.until(&format!("{STATE} === 'draining'"));
    child.terminate();
    rig.wait(child).expect(143);
    browser.until(&format!("{note}.includes('has ended')"));
}
