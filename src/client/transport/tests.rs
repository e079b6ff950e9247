//! The wire against servers that cut, stall, pack and encrypt.

use super::*;
use crate::client::request;
use crate::client::test_server::{Act, TestServer, answer, token_answer};
use crate::client::token::tests::{environment, secret_identity};
use crate::config::job::RequestOptions;
use std::io::Write as _;

const ID: IdentityId = IdentityId(0);
const WAIT: Duration = Duration::from_secs(5);

/// A transport to `server`, which also grants tokens.
fn transport(url: &str, authority: &str) -> HttpTransport {
    let (identity, file) = secret_identity();
    let environment = environment(url, authority);
    let transport = HttpTransport::new(&environment, &[identity], 4).unwrap();
    // Read anew for each token; kept until the process ends.
    file.keep().unwrap();
    transport
}

async fn serving(act: impl Fn(&str, usize) -> Act + Send + Sync + 'static) -> TestServer {
    TestServer::start(move |request, number| {
        if request.contains("/oauth2/") {
            Act::Send(token_answer("T", 3600))
        } else {
            act(request, number)
        }
    })
    .await
}

async fn attempt(server: &TestServer, request: ApiRequest) -> Result<ApiReply, TransportFailure> {
    transport(&server.url(), &server.url()).attempt(ID, request, WAIT).await
}

fn write() -> ApiRequest {
    request::create("accounts", &RequestOptions::default(), Bytes::from("{\"name\":\"x\"}"))
}

#[tokio::test]
async fn sends_the_standing_headers_and_reads_the_answer() {
    let server = serving(|request, _| {
        Act::Send(if request.starts_with("GET") {
            answer("200 OK", "x-ms-dop-hint: 8\r\nSet-Cookie: ARRAffinity=1\r\n", "{}")
        } else {
            answer("204 No Content", "OData-EntityId: e\r\nx-ms-service-request-id: s\r\n", "")
        })
    })
    .await;
    let transport = transport(&server.url(), &server.url());
    let made = transport.attempt(ID, write(), WAIT).await.unwrap();
    assert_eq!((made.status, made.body.len()), (204, 0));
    assert_eq!(made.headers.entity_id.as_deref(), Some("e"));
    assert_eq!(made.headers.service_request_id.as_deref(), Some("s"));
    let read = transport.attempt(ID, request::who_am_i(), WAIT).await.unwrap();
    assert_eq!((read.headers.dop_hint, read.body.as_ref()), (Some(8), b"{}".as_slice()));
    transport.attempt(ID, request::who_am_i(), WAIT).await.unwrap();
    let seen = server.seen.lock();
    let (post, get) = (seen[1].to_ascii_lowercase(), seen[3].to_ascii_lowercase());
    assert!(seen[1].starts_with("POST /api/data/v9.2/accounts HTTP/1.1\r\n"));
    for header in [
        "authorization: bearer t",
        "accept: application/json",
        "odata-version: 4.0",
        "odata-maxversion: 4.0",
        "content-type: application/json; charset=utf-8",
        "prefer: odata.include-annotations=\"*\"",
    ] {
        assert!(post.contains(&format!("\r\n{header}\r\n")), "{header} in {post}");
    }
    assert!(!post.contains("if-none-match") && !post.contains("expect"));
    assert!(get.contains("\r\nif-none-match: null\r\n"), "{get}");
    assert!(!get.contains("cookie") && !get.contains("referer"), "{get}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = serving(|_, _| Act::Send(answer("302 Found", "Location: /x\r\n", ""))).await;
    assert_eq!(attempt(&server, write()).await.unwrap().status, 302);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn refused_connections_surely_sent_nothing() {
    let server = serving(|_, _| Act::Stall).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transport = transport(&format!("http://{closed}"), &server.url());
    let failure = transport.attempt(ID, write(), WAIT).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::Connect(_)), "{failure:?}");
    assert!(failure.surely_not_sent());
    let broken = ApiRequest { headers: vec![("Prefer", "a\nb".to_owned())], ..write() };
    let failure = transport.attempt(ID, broken, WAIT).await.unwrap_err();
    assert!(failure.surely_not_sent(), "{failure:?}");
}

#[tokio::test]
async fn what_breaks_after_sending_is_unknown_and_not_sent_again() {
    let server = serving(|_, _| Act::SendAndClose(Vec::new())).await;
    let failure = attempt(&server, write()).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::Broken(_)), "{failure:?}");
    assert!(!failure.surely_not_sent());
    assert_eq!(server.count(), 2, "one token, one attempt");

    let silent = serving(|_, _| Act::Stall).await;
    let brief = Duration::from_millis(80);
    let failure =
        transport(&silent.url(), &silent.url()).attempt(ID, write(), brief).await.unwrap_err();
    assert_eq!(failure, TransportFailure::Timeout(brief));
}

#[tokio::test]
async fn a_connection_that_dies_idle_is_not_replayed() {
    // The first answer keeps the connection; the second request on it is read and dropped.
    let server = serving(|_, number| {
        if number == 1 {
            Act::Send(answer("204 No Content", "", ""))
        } else {
            Act::SendAndClose(Vec::new())
        }
    })
    .await;
    let transport = transport(&server.url(), &server.url());
    transport.attempt(ID, write(), WAIT).await.unwrap();
    let failure = transport.attempt(ID, write(), WAIT).await.unwrap_err();
    assert!(!failure.surely_not_sent(), "{failure:?}");
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_cut_body_keeps_its_status() {
    let server = serving(|_, _| {
        Act::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Ids\":[".to_vec())
    })
    .await;
    let failure = attempt(&server, write()).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::BodyCut { status: 200, .. }), "{failure:?}");
    let large = serving(|_, _| {
        Act::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec())
    })
    .await;
    let failure = attempt(&large, write()).await.unwrap_err();
    let TransportFailure::BodyCut { status: 200, detail } = failure else { panic!("{failure:?}") };
    assert!(detail.contains("larger than 67108864 bytes"), "{detail}");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    let packed = packer.finish().unwrap();
    let mut out = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    out.extend_from_slice(&packed);
    out
}

#[tokio::test]
async fn packed_answers_are_unpacked_within_the_bound() {
    let server = serving(|_, _| Act::Send(gzip(&b"ab".repeat(100_000)))).await;
    let got = attempt(&server, request::who_am_i()).await.unwrap();
    assert_eq!(got.body, b"ab".repeat(100_000));
    let seen = server.seen.lock()[1].to_ascii_lowercase();
    assert!(seen.contains("accept-encoding: gzip"), "{seen}");

    let bomb = gzip(&vec![0; 2 << 20]);
    assert!(bomb.len() < 64 << 10);
    let server = serving(move |_, _| Act::Send(bomb.clone())).await;
    let client = &transport(&server.url(), &server.url()).client;
    let mut response = client.get(server.url()).send().await.unwrap();
    let refused = read_body_within(&mut response, 1 << 20).await.unwrap_err();
    assert_eq!(refused, "larger than 1048576 bytes");
}

#[tokio::test]
async fn a_missing_token_sends_nothing() {
    let server = TestServer::start(|_, _| Act::Send(answer("400 Bad", "", "{}"))).await;
    let failure = attempt(&server, write()).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::Token(TokenFailure::Refused(_))), "{failure:?}");
    assert_eq!(server.count(), 1);
    let transport = transport(&server.url(), &server.url());
    let failure = transport.attempt(IdentityId(7), write(), WAIT).await.unwrap_err();
    assert!(failure.surely_not_sent());
    transport.forget_token(IdentityId(7));
}

#[test]
fn only_https_leaves_this_machine() {
    for good in [
        "https://c.test",
        "https://c.test/",
        "http://127.0.0.1:81",
        "http://[::1]:1",
        "http://localhost:9",
    ] {
        assert!(origin(good).is_ok(), "{good}");
    }
    for bad in ["http://c.test", "http://127.0.0.1.evil.test", "http://10.0.0.1"] {
        assert_eq!(origin(bad).unwrap_err(), TransportRefused::PlainHttp(bad.to_owned()));
    }
    for bad in
        ["c.test", "ftp://c.test", "https://c.test/x", "https://u:p@c.test", "https://c.test?x", ""]
    {
        assert!(matches!(origin(bad), Err(TransportRefused::BadUrl { .. })), "{bad}");
    }
}

#[test]
fn a_bad_ca_file_is_named() {
    let (identity, _secret) = secret_identity();
    let mut environment = environment("https://c.test", "https://a.test");
    let file = tempfile::NamedTempFile::new().unwrap();
    for (path, word) in [(file.path(), "no certificate"), (Path::new("/no/such.pem"), "No such")] {
        environment.ca_file = Some(path.to_owned());
        let refused =
            HttpTransport::new(&environment, std::slice::from_ref(&identity), 1).unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

/// A TLS server with a certificate of its own that answers `count` requests, one a connection.
fn tls_server(count: usize) -> (std::net::SocketAddr, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..count {
            let Ok((tcp, _)) = listener.accept() else { return };
            let session = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, tcp);
            let mut buffer = [0; 4096];
            // A client that does not trust us leaves during the handshake.
            if std::io::Read::read(&mut stream, &mut buffer).is_ok() {
                let close = "Connection: close\r\n";
                let _ = stream.write_all(&answer("200 OK", close, "{}"));
            }
        }
    });
    (address, ca)
}

#[tokio::test]
async fn tls_trusts_the_named_roots_and_no_others() {
    let (address, ca) = tls_server(2);
    let tokens = serving(|_, _| Act::Stall).await;
    let (identity, _secret) = secret_identity();
    let mut environment =
        environment(&format!("https://localhost:{}", address.port()), &tokens.url());
    environment.ca_file = Some(ca.path().to_owned());
    let trusting = HttpTransport::new(&environment, std::slice::from_ref(&identity), 1).unwrap();
    let got = trusting.attempt(ID, request::who_am_i(), WAIT).await.unwrap();
    assert_eq!(got.status, 200);
    // Another authority vouches for nothing here.
    let (_, other) = tls_server(0);
    environment.ca_file = Some(other.path().to_owned());
    let wary = HttpTransport::new(&environment, &[identity], 1).unwrap();
    let failure = wary.attempt(ID, request::who_am_i(), WAIT).await.unwrap_err();
    assert!(
        matches!(&failure, TransportFailure::Connect(t) if t.contains("certificate")),
        "{failure}"
    );
    assert!(failure.surely_not_sent());
}
