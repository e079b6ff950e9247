//! A real browser without a window, asked over the DevTools protocol: JSON between zero bytes on
//! two pipes, so that there is no port to find and no library to keep.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use dvbulk::runtime::clock;

/// Longest wait for anything of the browser; the first start is slow on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that wait to be looked at.
const QUEUE: usize = 4096;

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    heard: Receiver<Value>,
    /// Events nobody has asked for yet.
    events: Vec<Value>,
    calls: u64,
    session: Option<String>,
    _profile: tempfile::TempDir,
}

/// Where a Chromium is.
fn program() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

impl Browser {
    /// Starts it; `None`, said aloud, where there is none. In continuous integration there must be
    /// one.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            let required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(
                !required,
                "the page must be looked at with Chromium: apt-get install chromium"
            );
            // Past the capture of the test runner, so that it shows.
            drop(writeln!(std::io::stderr(), "page: skipped: no chromium is installed"));
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        // The protocol is spoken on descriptors 3 and 4; a shell puts the pipes there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        let (sender, heard) = sync_channel(QUEUE);
        std::thread::spawn(move || read(BufReader::new(output), &sender));
        let mut browser = Self {
            child,
            input,
            heard,
            events: Vec::new(),
            calls: 0,
            session: None,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method and waits for what it gives back.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser reads");
        loop {
            let mut answer = self.next(&format!("{method} {params}"));
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// The next message; events are kept too.
    #[track_caller]
    fn next(&mut self, wanted: &str) -> Value {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(message) => {
                if message.get("method").is_some() {
                    self.events.push(message.clone());
                }
                message
            }
            Err(error) => panic!("{wanted}: the browser does not answer: {error}"),
        }
    }

    /// Waits for an event, also one that came already.
    #[track_caller]
    pub(crate) fn event(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(at)["params"].take();
            }
            self.next(method);
        }
    }

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        let gone = self.call("Page.navigate", json!({"url": url}));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        self.event("Page.loadEventFired");
    }

    /// The value of an expression on the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let mut answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "userGesture": true}),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression on the page is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let patience = clock::now() + PATIENCE;
        while self.value(expression) != true {
            if clock::now() > patience {
                let page = self.value("document.body.innerText");
                panic!("waited in vain for {expression} on\n{}", page.as_str().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the page complained about since the last call: exceptions, errors on the console,
    /// what its policy refused, requests that failed.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Whatever was sent before this answer is heard with it.
        self.value("0");
        let mut complaints = Vec::new();
        for event in std::mem::take(&mut self.events) {
            let params = &event["params"];
            let is_complaint = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => params["type"] == "error",
                "Log.entryAdded" => params["entry"]["level"] == "error",
                _ => false,
            };
            if is_complaint {
                complaints.push(params.to_string());
            }
        }
        complaints
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(mut output: impl BufRead, sender: &SyncSender<Value>) {
    let mut bytes = Vec::new();
    while output.read_until(0, &mut bytes).is_ok_and(|count| count > 0) {
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        let Ok(message) = serde_json::from_slice(&bytes) else { return };
        if sender.send(message).is_err() {
            return;
        }
        bytes.clear();
    }
}
