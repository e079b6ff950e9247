//! The client against the local Dataverse over HTTP: what one side writes the other one reads.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use bytes::Bytes;
use dvbulk::catalog::fetch::{FetchRefused, fetch, who_am_i};
use dvbulk::catalog::model::{ColumnKind, TableKind};
use dvbulk::client::attempt::{ApiReply, ApiRequest, IdentityId, Transport, TransportFailure};
use dvbulk::client::multipart::{read_batch, write_batch};
use dvbulk::client::odata::{Literal, key_predicate, row_by_id, row_by_key};
use dvbulk::client::presence;
use dvbulk::client::request::{self, BulkMessage, Precondition};
use dvbulk::client::response::{self, created_ids, entity_id};
use dvbulk::client::transport::HttpTransport;
use dvbulk::config::job::{Auth, Environment, Identity, OrganizationLock, RequestOptions};
use dvbulk::config::secret::SecretSource;
use dvbulk::pipeline::outcome::classify::{Effect, Form, Next, Sent, Verdict, classify};
use dvbulk::record::outcome::{FaultCategory, Operation};
use dvbulk::record::throttle::Throttle;
use dvbulk::simulator::serve::Simulator;
use dvbulk::simulator::settings::{LatencySettings, ProtectionSettings, Settings};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use uuid::Uuid;

const ID: IdentityId = IdentityId(0);
const WAIT: Duration = Duration::from_secs(10);

struct Rig {
    simulator: Simulator,
    transport: HttpTransport,
    _secret: tempfile::NamedTempFile,
}

impl Rig {
    async fn start(settings: Settings) -> Self {
        let (user, tenant) = (settings.users[0].clone(), settings.tenant.clone());
        let simulator = Simulator::start(settings, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), user.secret.unwrap()).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(secret.path(), private).unwrap();
        let environment = Environment {
            url: simulator.url(),
            organization: OrganizationLock::UniqueName("unused".to_owned()),
            authority: simulator.url(),
            ca_file: None,
            request_timeout: WAIT,
        };
        let auth = Auth::ClientSecret {
            tenant,
            client_id: user.client_id.to_string(),
            secret: SecretSource::File(secret.path().to_owned()),
        };
        let identity = Identity { name: "app-1".to_owned(), auth, requests_per_second: None };
        let transport = HttpTransport::new(&environment, &[identity], 4).unwrap();
        Self { simulator, transport, _secret: secret }
    }

    async fn send(&self, request: ApiRequest) -> Result<ApiReply, TransportFailure> {
        self.transport.attempt(ID, request, WAIT).await
    }

    async fn verdict(&self, sent: Sent, request: ApiRequest) -> Verdict {
        classify(&sent, self.send(request).await.as_ref())
    }
}

fn settings(faults: Value) -> Settings {
    let latency = LatencySettings { scale: 0.0, ..LatencySettings::default() };
    let faults = serde_json::from_value(faults).unwrap();
    Settings { latency, protection: ProtectionSettings::off(), faults, ..Settings::default() }
}

fn sent(operation: Operation, form: Form) -> Sent {
    Sent { operation, kind: TableKind::Standard, form, ids_known: true }
}

const MAKE: Sent = Sent {
    operation: Operation::Create,
    kind: TableKind::Standard,
    form: Form::Bulk,
    ids_known: true,
};

fn site(id: u128, name: &str) -> Value {
    json!({"@odata.type": "Microsoft.Dynamics.CRM.new_site",
        "new_siteid": Uuid::from_u128(id).to_string(), "new_name": name})
}

fn create(rows: &[Value]) -> ApiRequest {
    let body = Bytes::from(json!({"Targets": rows}).to_string());
    request::bulk("new_sites", BulkMessage::Create, &RequestOptions::default(), body)
}

#[tokio::test]
async fn rows_are_made_once_and_the_second_time_they_exist() {
    let rig = Rig::start(settings(json!([]))).await;
    let me = rig.send(request::who_am_i()).await.unwrap();
    assert_eq!((me.status, me.headers.dop_hint), (200, Some(5)));
    let rows: Vec<Value> = (1..=3).map(|n| site(n, "Süd \"1\"")).collect();
    let reply = rig.send(create(&rows)).await.unwrap();
    assert_eq!(classify(&MAKE, Ok(&reply)).next, Next::Done);
    let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
    assert_eq!(created_ids(&reply.body).unwrap(), ids);
    let again = rig.verdict(MAKE, create(&rows)).await;
    assert_eq!((again.effect, again.next), (Effect::None, Next::Exists));
    // One bad row refuses all of them.
    let bad = [site(10, "good"), site(11, &"x".repeat(101))];
    let refused = rig.verdict(MAKE, create(&bad)).await;
    assert_eq!(refused.effect, Effect::None);
    let category = FaultCategory::Value;
    assert_eq!(refused.next, Next::RowRefused { category, retryable: false });
    assert_eq!(refused.fault.unwrap().code.unwrap().to_string(), "0x80044331");
    assert_eq!(rig.verdict(MAKE, create(&bad[..1])).await.next, Next::Done);
}

#[tokio::test]
async fn a_batch_is_taken_apart_row_by_row() {
    let rig = Rig::start(settings(json!([]))).await;
    let options = RequestOptions { tag: Some("t 1".to_owned()), ..RequestOptions::default() };
    let body = |row: Value| Bytes::from(row.to_string());
    let address = |n| row_by_id("new_sites", Uuid::from_u128(n));
    let operations = [
        request::create(
            "new_sites",
            &options,
            body(json!({"new_siteid": Uuid::from_u128(1), "new_name": "a"})),
        ),
        request::create(
            "new_sites",
            &options,
            body(json!({"new_siteid": Uuid::from_u128(1), "new_name": "a"})),
        ),
        request::create("new_sites", &options, body(json!({"new_name": "x".repeat(101)}))),
        request::patch(
            address(1),
            Precondition::MustExist,
            &options,
            body(json!({"new_code": "A'1"})),
        ),
        request::patch(
            address(9),
            Precondition::MustExist,
            &options,
            body(json!({"new_code": "b"})),
        ),
        request::patch(
            address(7),
            Precondition::MustNotExist,
            &options,
            body(json!({"new_name": "c"})),
        ),
        request::patch(
            row_by_key("new_sites", &key_predicate(&[("new_code", Literal::Text("A'1"))]).unwrap()),
            Precondition::MustExist,
            &options,
            body(json!({"new_city": "Köln"})),
        ),
        request::delete(address(1), &options),
        request::delete(address(1), &options),
    ];
    let reply = rig.send(write_batch(&operations, "7f").unwrap()).await.unwrap();
    assert_eq!(reply.status, 200);
    let kind = reply.headers.content_type.unwrap();
    let parts = read_batch(&kind, &reply.body, 0).unwrap();
    let statuses: Vec<u16> = parts.iter().map(|p| p.status).collect();
    assert_eq!(statuses, [204, 412, 400, 204, 404, 204, 204, 204, 404]);
    let made = parts[0].headers.entity_id.as_deref().unwrap();
    assert_eq!(entity_id(made, &rig.simulator.url()).unwrap(), Some(Uuid::from_u128(1)));
    let verdicts: Vec<Next> = parts
        .into_iter()
        .zip([
            Operation::Create,
            Operation::Create,
            Operation::Create,
            Operation::Update,
            Operation::Update,
            Operation::Create,
            Operation::Update,
            Operation::Delete,
            Operation::Delete,
        ])
        .map(|(part, operation)| classify(&sent(operation, Form::Single), Ok(&part.into())).next)
        .collect();
    assert_eq!(verdicts[1], Next::Exists);
    let value = Next::RowRefused { category: FaultCategory::Value, retryable: false };
    assert_eq!(verdicts[2], value);
    let missing = Next::RowRefused { category: FaultCategory::Missing, retryable: true };
    assert_eq!((&verdicts[4], &verdicts[8]), (&missing, &missing));
    assert!([0, 3, 5, 6, 7].iter().all(|i| verdicts[*i] == Next::Done));
}

#[tokio::test]
async fn lost_answers_are_unknown_and_the_resend_tells() {
    for action in [
        json!({"kind": "cut-after"}),
        json!({"kind": "status", "status": 504, "html": true, "apply": true}),
        json!({"kind": "sql-timeout", "applied": 1.0}),
    ] {
        let rule =
            json!([{"match": {"operation": "CreateMultiple", "first": 1}, "action": action}]);
        let rig = Rig::start(settings(rule)).await;
        let rows = [site(1, "a"), site(2, "b")];
        let lost = rig.verdict(MAKE, create(&rows)).await;
        assert_eq!(lost.effect, Effect::Unknown, "{action}");
        assert!(matches!(lost.next, Next::Unknown { .. }), "{action}");
        assert_eq!(rig.verdict(MAKE, create(&rows)).await.next, Next::Exists, "{action}");
    }
    let half = json!([{"match": {"operation": "CreateMultiple"}, "action": {"kind": "half-body"}}]);
    let rig = Rig::start(settings(half)).await;
    let failure = rig.send(create(&[site(1, "a")])).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::BodyCut { status: 200, .. }), "{failure:?}");
    assert_eq!(classify(&MAKE, Err(&failure)).next, Next::Done);
}

#[tokio::test]
async fn refusals_of_the_service_are_not_applied() {
    let rule = |action: Value| json!([{"match": {"operation": "CreateMultiple", "first": 1}, "action": action}]);
    let rig = Rig::start(settings(rule(json!({"kind": "sql-error"})))).await;
    let deadlock = rig.verdict(MAKE, create(&[site(1, "a")])).await;
    assert_eq!(deadlock.effect, Effect::None);
    assert!(matches!(deadlock.next, Next::Retry { shrink: true, .. }), "{deadlock:?}");
    assert_eq!(rig.verdict(MAKE, create(&[site(1, "a")])).await.next, Next::Done);

    let rig = Rig::start(settings(rule(json!({"kind": "cut-before"})))).await;
    let cut = rig.verdict(MAKE, create(&[site(1, "a")])).await;
    assert_eq!(cut.effect, Effect::Unknown, "the client cannot know that it was cut before");
    assert_eq!(rig.verdict(MAKE, create(&[site(1, "a")])).await.next, Next::Done);

    let limits = ProtectionSettings { requests_max: 2, ..ProtectionSettings::default() };
    let rig = Rig::start(Settings { protection: limits, ..settings(json!([])) }).await;
    let mut throttled = None;
    for n in 1..6 {
        let verdict = rig.verdict(MAKE, create(&[site(n, "a")])).await;
        if let Next::Throttled { limit, retry_after } = verdict.next {
            throttled = Some((verdict.effect, limit, retry_after.is_some()));
        }
    }
    assert_eq!(throttled, Some((Effect::None, Throttle::Requests, true)));
}

#[tokio::test]
async fn an_expired_token_is_renewed_after_401() {
    let rule = json!([{"match": {"operation": "CreateMultiple", "first": 1},
        "action": {"kind": "status", "status": 401}}]);
    let rig = Rig::start(settings(rule)).await;
    let verdict = rig.verdict(MAKE, create(&[site(1, "a")])).await;
    assert_eq!((verdict.effect, verdict.next), (Effect::None, Next::Unauthorized));
    rig.transport.forget_token(ID);
    assert_eq!(rig.verdict(MAKE, create(&[site(1, "a")])).await.next, Next::Done);
}

#[tokio::test]
async fn present_rows_are_found() {
    let rig = Rig::start(settings(json!([]))).await;
    let rows: Vec<Value> = (1..=600).map(|n| site(n, "a")).collect();
    assert_eq!(rig.verdict(MAKE, create(&rows)).await.next, Next::Done);
    let me = who_am_i(&rig.transport, ID, WAIT).await.unwrap();
    let asked: Vec<Uuid> = (301..=1200).map(Uuid::from_u128).collect();
    let mut found = Vec::new();
    for query in presence::by_ids("new_sites", "new_siteid", &asked, &presence::MARKERS) {
        let reply = rig.send(query.request).await.unwrap();
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        let page = response::presence(&reply.body, "new_siteid", &rig.simulator.url()).unwrap();
        assert_eq!(page.next, None);
        assert!(page.rows.iter().all(|r| r.created_by == Some(me.user) && r.created_on.is_some()));
        found.extend(page.rows.into_iter().map(|r| r.id.as_u128()));
    }
    found.sort_unstable();
    assert_eq!(found, (301..=600).collect::<Vec<u128>>());
    let named = ["A'1 \"&", "B"];
    let mut row = site(2001, "x");
    row["new_code"] = json!(named[0]);
    assert_eq!(rig.verdict(MAKE, create(&[row])).await.next, Next::Done);
    let queries = presence::by_texts("new_sites", &["new_siteid"], "new_code", &named).unwrap();
    let reply = rig.send(queries[0].request.clone()).await.unwrap();
    let page = response::presence(&reply.body, "new_siteid", &rig.simulator.url()).unwrap();
    assert_eq!(page.rows.len(), 1);
}

#[tokio::test]
async fn the_catalog_of_the_ready_tables() {
    let rig = Rig::start(settings(json!([]))).await;
    let me = who_am_i(&rig.transport, ID, WAIT).await.unwrap();
    let there = &rig.simulator.settings().environment;
    assert_eq!(me.organization, there.organization_id);
    assert!(me.unique_name.is_some() && me.version.is_some());
    assert_eq!(me.dop_hint, Some(5));
    let names: Vec<String> = rig.simulator.with_model(|m| {
        m.schema.tables.iter().map(|t| t.name.clone()).filter(|n| n != "owner").collect()
    });
    let wanted: BTreeSet<String> = names.into_iter().collect();
    let catalog = fetch(&rig.transport, ID, &wanted, WAIT).await.unwrap();
    assert!(wanted.iter().all(|n| catalog.table(n).is_some_and(|t| !t.columns.is_empty())));
    let again = fetch(&rig.transport, ID, &wanted, WAIT).await.unwrap();
    assert_eq!(again.fingerprint, catalog.fingerprint);

    let account = catalog.table("account").unwrap();
    assert_eq!(
        (account.entity_set.as_str(), account.primary_id.as_str()),
        ("accounts", "accountid")
    );
    assert_eq!(account.primary_name.as_deref(), Some("name"));
    assert!(account.messages.create && account.messages.update && account.messages.upsert);
    assert!(!account.messages.delete && !account.is_custom);
    let kind = |table: &str, column: &str| {
        catalog.table(table).unwrap().column(column).unwrap().kind.clone()
    };
    assert!(matches!(kind("account", "name"), ColumnKind::Text { max_length: 160 }));
    let bind = |table: &str, column: &str| -> Vec<(String, String, String)> {
        let ColumnKind::Lookup(targets) = kind(table, column) else { panic!("no lookup") };
        let tuple = |t: dvbulk::catalog::model::LookupTarget| {
            (t.table, t.entity_set, t.navigation_property)
        };
        targets.into_iter().map(tuple).collect()
    };
    let text =
        |table: &str, set: &str, name: &str| (table.to_owned(), set.to_owned(), name.to_owned());
    assert_eq!(
        bind("account", "ownerid"),
        [text("systemuser", "systemusers", "ownerid"), text("team", "teams", "ownerid")]
    );
    assert_eq!(
        bind("contact", "parentcustomerid"),
        [
            text("account", "accounts", "parentcustomerid_account"),
            text("contact", "contacts", "parentcustomerid_contact")
        ]
    );
    assert_eq!(bind("new_meter", "new_site"), [text("new_site", "new_sites", "new_Site")]);
    let ColumnKind::Decimal { min, max, precision } = kind("new_meter", "new_reading") else {
        panic!("no decimal")
    };
    let bounds = (min.parse::<f64>().unwrap(), max.parse::<f64>().unwrap(), precision);
    assert_eq!(bounds, (0.0, 1e9, 3));
    let ColumnKind::Choice(kinds) = kind("new_meter", "new_kind") else { panic!("no choice") };
    assert_eq!((kinds.len(), kinds[0].value, kinds[0].labels[0].as_str()), (4, 1, "Water"));
    let ColumnKind::Choices(colours) = kind("new_meter", "new_features") else { panic!() };
    assert!(!colours.is_empty(), "a global option set");
    let ColumnKind::Status(reasons) = kind("account", "statuscode") else { panic!() };
    assert!(reasons.iter().any(|r| r.state == 1));
    let site = catalog.table("new_site").unwrap();
    assert!(site.key("new_sitecodekey").unwrap().is_active);
    assert!(!site.key("new_placekey").unwrap().is_active);
    let elastic: Vec<_> =
        catalog.tables.values().filter(|t| t.kind == TableKind::Elastic).collect();
    assert!(!elastic.is_empty() && elastic.iter().all(|t| t.messages.delete));
    // Every column has its details: nothing fell back to "any length" or "no options".
    for table in wanted.iter().map(|n| catalog.table(n).unwrap()) {
        for column in table.columns.values().filter(|c| c.valid_for_create) {
            let place =
                format!("{}.{}: {:?}", table.logical_name, column.logical_name, column.kind);
            match &column.kind {
                ColumnKind::Text { max_length } | ColumnKind::Memo { max_length } => {
                    assert!(*max_length < u32::MAX, "{place}");
                }
                ColumnKind::Choice(options) | ColumnKind::Choices(options) => {
                    assert!(!options.is_empty(), "{place}");
                }
                ColumnKind::Lookup(targets) => assert!(!targets.is_empty(), "{place}"),
                ColumnKind::Other(_) => panic!("{place}"),
                _ => {}
            }
        }
    }

    let missing = BTreeSet::from(["accounts".to_owned()]);
    let refused = fetch(&rig.transport, ID, &missing, WAIT).await.unwrap_err();
    assert!(
        matches!(&refused, FetchRefused::UnknownTable { hint, .. } if hint.contains("\"account\""))
    );
}
