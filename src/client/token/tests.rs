//! Cells against a token endpoint on loopback.

use super::*;
use crate::client::test_server::{Act, TestServer, answer, token_answer};
use crate::client::transport::{Proxies, http_client, origin};
use crate::config::job::OrganizationLock;
use crate::config::secret::SecretSource;
use std::os::unix::fs::PermissionsExt as _;

pub(crate) fn environment(url: &str, authority: &str) -> Environment {
    Environment {
        url: url.to_owned(),
        organization: OrganizationLock::UniqueName("org".to_owned()),
        authority: authority.to_owned(),
        ca_file: None,
        request_timeout: Duration::from_secs(5),
    }
}

pub(crate) fn secret_identity() -> (Identity, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cr&t\n").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let auth = Auth::ClientSecret {
        tenant: "ten/ant".to_owned(),
        client_id: "app".to_owned(),
        secret: SecretSource::File(file.path().to_owned()),
    };
    (Identity { name: "app-1".to_owned(), auth, requests_per_second: None }, file)
}

fn cell(server: &TestServer) -> (TokenCell, tempfile::NamedTempFile) {
    let (identity, file) = secret_identity();
    let environment = environment("https://c.test", &server.url());
    let client = http_client(&origin(&server.url()).unwrap(), None, 1, Proxies::OfProcess).unwrap();
    (TokenCell::new(&environment, &identity, client, None).unwrap(), file)
}

fn numbered(seconds: u32) -> impl Fn(&str, usize) -> Act + Send + Sync + 'static {
    move |_, number| Act::Send(token_answer(&format!("T{number}"), seconds))
}

#[tokio::test]
async fn many_askers_share_one_fetch_and_the_token_is_kept() {
    let server = TestServer::start(numbered(3600)).await;
    let (cell, _file) = cell(&server);
    let asked: Vec<_> = (0..20).map(|_| cell.bearer()).collect();
    for header in futures_util::future::join_all(asked).await {
        let header = header.unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer T0");
        assert!(header.is_sensitive());
    }
    cell.bearer().await.unwrap();
    assert_eq!(server.count(), 1);
    let seen = server.seen.lock()[0].clone();
    assert!(seen.starts_with("POST /ten%2Fant/oauth2/v2.0/token HTTP/1.1\r\n"), "{seen}");
    let form = seen.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        form,
        "grant_type=client_credentials&client_id=app&scope=https%3A%2F%2Fc.test%2F.default\
         &client_secret=s3cr%26t"
    );
    assert_eq!(format!("{cell:?}"), "TokenCell { name: \"app-1\", .. }");
}

#[tokio::test]
async fn a_refusal_is_shared_and_names_the_identity() {
    let refusal = r#"{"error":"invalid_client","error_codes":[7000215]}"#;
    let server =
        TestServer::start(move |_, _| Act::Send(answer("401 Unauthorized", "", refusal))).await;
    let (cell, _file) = cell(&server);
    let asked: Vec<_> = (0..20).map(|_| cell.bearer()).collect();
    for refused in futures_util::future::join_all(asked).await {
        let TokenFailure::Refused(text) = refused.unwrap_err() else { panic!("cannot be helped") };
        assert!(text.starts_with("identity \"app-1\": AADSTS7000215"), "{text}");
    }
    assert_eq!(server.count(), 1, "a wrong secret must not be tried by every request");
    assert!(cell.bearer().await.is_err());
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn an_aging_token_is_renewed_by_one_and_used_by_the_others() {
    let server = TestServer::start(numbered(3600)).await;
    let (cell, _file) = cell(&server);
    cell.bearer().await.unwrap();
    if let Some(held) = &mut cell.state.lock().held {
        held.renew_at = MonoTime::ZERO;
    }
    let asked: Vec<_> = (0..10).map(|_| cell.bearer()).collect();
    let got: Vec<String> = futures_util::future::join_all(asked)
        .await
        .into_iter()
        .map(|h| h.unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(got.iter().filter(|h| *h == "Bearer T1").count(), 1);
    assert_eq!(got.iter().filter(|h| *h == "Bearer T0").count(), 9);
    assert_eq!(server.count(), 2);
    assert_eq!(cell.bearer().await.unwrap().to_str().unwrap(), "Bearer T1");
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_old_token_in_use() {
    let server = TestServer::start(|_, number| {
        Act::Send(if number == 0 { token_answer("T", 3600) } else { answer("503 X", "", "") })
    })
    .await;
    let (cell, _file) = cell(&server);
    cell.bearer().await.unwrap();
    if let Some(held) = &mut cell.state.lock().held {
        held.renew_at = MonoTime::ZERO;
    }
    assert!(cell.bearer().await.is_ok());
    assert!(cell.bearer().await.is_ok());
    assert_eq!(server.count(), 2, "the next renewal waits");
    if let Some(held) = &mut cell.state.lock().held {
        held.renew_at = MonoTime::ZERO;
        held.usable_until = MonoTime::ZERO;
    }
    assert!(matches!(cell.bearer().await, Err(TokenFailure::Unreachable(_))));
}

#[tokio::test]
async fn times_follow_the_lifetime() {
    let server = TestServer::start(numbered(3600)).await;
    let (cell, _file) = cell(&server);
    for (life, renew, usable) in [(3600, 3300, 3590), (1000, 800, 990), (10, 8, 9)] {
        let granted =
            Granted { token: SecretString::from("T"), lifetime: Duration::from_secs(life) };
        let started = MonoTime::from_origin(Duration::from_secs(100_000));
        cell.keep(started, Ok(granted)).unwrap();
        let state = cell.state.lock();
        let held = state.held.as_ref().unwrap();
        assert_eq!(held.renew_at, started + Duration::from_secs(renew));
        assert_eq!(held.usable_until, started + Duration::from_secs(usable));
    }
}

#[tokio::test]
async fn forgetting_spares_a_token_that_was_just_had() {
    let server = TestServer::start(numbered(3600)).await;
    let (cell, _file) = cell(&server);
    cell.bearer().await.unwrap();
    cell.forget();
    cell.bearer().await.unwrap();
    assert_eq!(server.count(), 1, "a late 401 of the token before must not cost the new one");
    tokio::time::sleep(FORGET_GRACE).await;
    cell.forget();
    assert_eq!(cell.bearer().await.unwrap().to_str().unwrap(), "Bearer T1");
}
