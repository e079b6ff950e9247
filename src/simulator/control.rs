//! `/_sim/…`: looking into the simulator and steering it, from this machine only.

use super::backend::Backend;
use super::dump::ADMINISTRATIVE;
use super::face::Face;
use super::faults::FaultRule;
use super::http::{self, read_body};
use super::reply::Reply;
use super::token::form::form;
use hyper::Method;
use hyper::body::Incoming;
use serde::Deserialize;
use std::sync::Arc;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    faults: Vec<FaultRule>,
}

pub(super) async fn answer<B: Backend>(
    face: &Arc<Face<B>>,
    local: bool,
    request: hyper::Request<Incoming>,
) -> Reply {
    if !local {
        return text(403, "only from this machine");
    }
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_sim/stats") => json_of(&face.stats()),
        (&Method::GET, "/_sim/requests") => requests(face),
        (&Method::GET, "/_sim/dump") => {
            let wanted = form(head.uri.query().unwrap_or(""));
            let wanted = wanted.iter().find(|(n, _)| n == "table").map(|(_, v)| v.as_str());
            dump(face, wanted)
        }
        (&Method::POST, "/_sim/faults") => {
            let Ok(body) = read_body(body, 1 << 20).await else {
                return text(413, "the script is too large");
            };
            let json = http::text(&head.headers, "content-type")
                .is_some_and(|t| t.starts_with("application/json"));
            faults(face, &body, json)
        }
        (&Method::POST, "/_sim/shutdown") => {
            face.stopped.cancel();
            text(202, "stopping")
        }
        _ => text(404, "GET stats, requests, dump; POST faults, shutdown"),
    }
}

/// Rows of one table, or of all but the administrative ones.
fn dump<B: Backend>(face: &Face<B>, wanted: Option<&str>) -> Reply {
    let mut out = Vec::new();
    let backend = face.backend();
    for (index, table) in backend.schema().tables.iter().enumerate() {
        let dumped = match wanted {
            Some(wanted) => wanted == table.name,
            None => !ADMINISTRATIVE.contains(&table.name.as_str()),
        };
        if dumped {
            backend.dump(index, &mut out);
        }
    }
    Reply::with_body(200, LINES, out)
}

fn requests<B: Backend>(face: &Face<B>) -> Reply {
    let mut out = Vec::new();
    for line in face.counters.lock().log() {
        if serde_json::to_writer(&mut out, line).is_ok() {
            out.push(b'\n');
        }
    }
    Reply::with_body(200, LINES, out)
}

fn faults<B: Backend>(face: &Face<B>, body: &[u8], json: bool) -> Reply {
    let read: Result<Script, String> = if json {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    } else {
        std::str::from_utf8(body)
            .map_err(|e| e.to_string())
            .and_then(|t| toml::from_str(t).map_err(|e| e.to_string()))
    };
    let rules = match read {
        Ok(script) => script.faults,
        Err(why) => return text(400, &why),
    };
    for rule in &rules {
        if let Err(why) = rule.check() {
            return text(400, &format!("faults {}: {why}", rule.label()));
        }
    }
    face.replace_faults(rules);
    json_of(&face.stats().faults)
}

fn json_of<T: serde::Serialize>(value: &T) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => Reply::with_body(200, JSON, body),
        Err(why) => text(500, &why.to_string()),
    }
}

fn text(status: u16, text: &str) -> Reply {
    Reply::with_body(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
}
