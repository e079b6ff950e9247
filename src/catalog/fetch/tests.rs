//! Catalogs from canned answers in the documented shapes.

use super::*;
use crate::catalog::model::{Choice, DateBehavior, LookupTarget, Required, StatusChoice};
use crate::client::attempt::ReplyHeaders;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;

const ID: IdentityId = IdentityId(0);
const WAIT: Duration = Duration::from_secs(1);

/// Answers from a list of (part of a path, answers in turn; the last one stays).
struct Canned {
    answers: Mutex<Vec<(&'static str, Vec<Canning>)>>,
    asked: Mutex<Vec<String>>,
    forgotten: Mutex<u32>,
}

type Canning = Result<(u16, String), TransportFailure>;

impl Canned {
    fn new(answers: Vec<(&'static str, Vec<Canning>)>) -> Self {
        let (answers, asked) = (Mutex::new(answers), Mutex::default());
        Self { answers, asked, forgotten: Mutex::default() }
    }

    fn count(&self, part: &str) -> usize {
        self.asked.lock().iter().filter(|p| p.contains(part)).count()
    }
}

impl Transport for Canned {
    async fn attempt(
        &self,
        _: IdentityId,
        request: ApiRequest,
        _: Duration,
    ) -> Result<ApiReply, TransportFailure> {
        self.asked.lock().push(request.path.clone());
        let mut answers = self.answers.lock();
        let (_, turns) = answers
            .iter_mut()
            .find(|(part, _)| request.path.contains(part))
            .unwrap_or_else(|| panic!("nobody expects {}", request.path));
        let turn = if turns.len() > 1 { turns.remove(0) } else { turns[0].clone() };
        turn.map(|(status, body)| {
            let headers = ReplyHeaders {
                retry_after: (status == 429 || status == 503).then_some(Duration::ZERO),
                dop_hint: request.path.starts_with("WhoAmI").then_some(8),
                ..ReplyHeaders::default()
            };
            ApiReply { status, headers, body: Bytes::from(body) }
        })
    }

    fn forget_token(&self, _: IdentityId) {
        *self.forgotten.lock() += 1;
    }
}

fn ok(body: serde_json::Value) -> Vec<Canning> {
    vec![Ok((200, body.to_string()))]
}

fn list(rows: serde_json::Value) -> Vec<Canning> {
    ok(json!({"@odata.context": "x", "value": rows}))
}

fn table(name: &str, set: &str, id: &str, kind: &str) -> serde_json::Value {
    json!({"LogicalName": name, "EntitySetName": set, "PrimaryIdAttribute": id,
        "PrimaryNameAttribute": "new_name", "IsActivity": false, "IsIntersect": false,
        "IsCustomEntity": true, "TableType": kind, "MetadataId": "m"})
}

fn column(name: &str, kind: &str) -> serde_json::Value {
    let coarse = match kind {
        "MultiSelectPicklist" | "File" | "Image" => "Virtual",
        other => other,
    };
    json!({"@odata.type": format!("#Microsoft.Dynamics.CRM.{kind}AttributeMetadata"),
        "LogicalName": name, "SchemaName": name.to_uppercase(), "AttributeType": coarse,
        "AttributeTypeName": {"Value": format!("{kind}Type")}, "AttributeOf": null,
        "IsValidForCreate": true, "IsValidForUpdate": true, "IsValidForRead": true,
        "IsSecured": false, "AutoNumberFormat": "",
        "RequiredLevel": {"Value": "None", "CanBeChanged": true}})
}

fn option(value: i32, label: &str) -> serde_json::Value {
    json!({"Value": value, "State": 0, "Label": {
        "LocalizedLabels": [{"Label": format!("{label}-de"), "LanguageCode": 1031},
                            {"Label": label, "LanguageCode": 1033}],
        "UserLocalizedLabel": {"Label": label, "LanguageCode": 1033}}})
}

fn meter() -> Vec<(&'static str, Vec<Canning>)> {
    let mut shadow = column("new_sitename", "String");
    shadow["AttributeOf"] = json!("new_site");
    let mut name = column("new_name", "String");
    name["RequiredLevel"]["Value"] = json!("SystemRequired");
    name["AutoNumberFormat"] = json!("M-{SEQNUM:4}");
    name["IsValidForUpdate"] = json!(false);
    vec![
        (
            "EntityDefinitions?",
            list(json!([
                table("new_meter", "new_meters", "new_meterid", "Standard"),
                table("new_site", "new_sites", "new_siteid", "Elastic"),
                table("systemuser", "systemusers", "systemuserid", "Standard"),
                table("team", "teams", "teamid", "Standard"),
                {"LogicalName": "owner", "EntitySetName": "owners", "PrimaryIdAttribute": "ownerid"},
                {"LogicalName": "hidden", "EntitySetName": null},
            ])),
        ),
        (
            "Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength",
            list(json!([{"LogicalName": "new_name", "MaxLength": 100, "MetadataId": "m"}])),
        ),
        (
            "CRM.MemoAttributeMetadata",
            list(json!([{"LogicalName": "new_note", "MaxLength": 2000}])),
        ),
        (
            "CRM.IntegerAttributeMetadata",
            list(json!([{"LogicalName": "new_count", "MinValue": -5, "MaxValue": 2147483647}])),
        ),
        (
            "CRM.DecimalAttributeMetadata",
            vec![Ok((
                200,
                r#"{"value":[{"LogicalName":"new_rate",
            "MinValue":-1E+11,"MaxValue":100000000000.0000000001,"Precision":10}]}"#
                    .to_owned(),
            ))],
        ),
        (
            "CRM.MoneyAttributeMetadata",
            list(json!([{"LogicalName": "new_fee",
            "MinValue": 0, "MaxValue": 10, "Precision": 2}])),
        ),
        (
            "CRM.DoubleAttributeMetadata",
            list(json!([{"LogicalName": "new_float", "MinValue": -0.5, "MaxValue": 1.0}])),
        ),
        (
            "CRM.DateTimeAttributeMetadata",
            list(json!([{"LogicalName": "new_day",
            "DateTimeBehavior": {"Value": "DateOnly"}}])),
        ),
        (
            "CRM.BooleanAttributeMetadata",
            list(json!([{"LogicalName": "new_flag",
            "OptionSet": {"TrueOption": option(1, "On"), "FalseOption": option(0, "Off")},
            "GlobalOptionSet": null}])),
        ),
        (
            "CRM.PicklistAttributeMetadata",
            list(json!([{"LogicalName": "new_colour",
            "OptionSet": null, "GlobalOptionSet": {"Options": [option(7, "Red")]}}])),
        ),
        (
            "CRM.MultiSelectPicklistAttributeMetadata",
            list(json!([{"LogicalName": "new_tags",
            "OptionSet": {"Options": [option(1, "A"), option(2, "B")]}}])),
        ),
        (
            "CRM.StateAttributeMetadata",
            list(json!([{"LogicalName": "statecode",
            "OptionSet": {"Options": [option(0, "Active")]}}])),
        ),
        (
            "CRM.StatusAttributeMetadata",
            list(json!([{"LogicalName": "statuscode",
            "OptionSet": {"Options": [{"Value": 2, "State": 1, "Label": null}]}}])),
        ),
        (
            "CRM.LookupAttributeMetadata",
            list(json!([
            {"LogicalName": "new_site", "Targets": ["new_site", "gone"]},
            {"LogicalName": "ownerid", "Targets": ["systemuser", "team"]}])),
        ),
        (
            "LogicalName='new_meter')/Attributes?",
            list(json!([
                name,
                shadow,
                column("new_note", "Memo"),
                column("new_count", "Integer"),
                column("new_big", "BigInt"),
                column("new_rate", "Decimal"),
                column("new_fee", "Money"),
                column("new_float", "Double"),
                column("new_day", "DateTime"),
                column("new_flag", "Boolean"),
                column("new_colour", "Picklist"),
                column("new_tags", "MultiSelectPicklist"),
                column("statecode", "State"),
                column("statuscode", "Status"),
                column("new_site", "Lookup"),
                column("ownerid", "Owner"),
                column("new_meterid", "Uniqueidentifier"),
                column("new_scan", "File"),
                column("new_photo", "Image"),
                column("new_kind", "EntityName"),
                column("parties", "PartyList"),
                column("odd", "CalendarRules"),
            ])),
        ),
        (
            "/Keys?",
            list(json!([{"LogicalName": "new_serialkey",
            "KeyAttributes": ["new_name"], "EntityKeyIndexStatus": "Active"},
            {"LogicalName": "a_key", "KeyAttributes": ["new_count"],
             "EntityKeyIndexStatus": "Pending"}])),
        ),
        (
            "/ManyToOneRelationships?",
            list(json!([
            {"ReferencingAttribute": "new_site", "ReferencedEntity": "new_site",
             "ReferencingEntityNavigationPropertyName": "new_Site"},
            {"ReferencingAttribute": "new_site", "ReferencedEntity": "gone",
             "ReferencingEntityNavigationPropertyName": "new_Gone"},
            {"ReferencingAttribute": "ownerid", "ReferencedEntity": "owner",
             "ReferencingEntityNavigationPropertyName": "ownerid"}])),
        ),
        ("@message='CreateMultiple'", list(json!([{"sdkmessagefilterid": "f"}]))),
        ("@message='UpdateMultiple'", list(json!([{"sdkmessagefilterid": "f"}]))),
        ("@message='UpsertMultiple'", list(json!([]))),
        ("@message='DeleteMultiple'", list(json!([{"sdkmessagefilterid": "f"}]))),
    ]
}

fn replace(answers: &mut [(&'static str, Vec<Canning>)], part: &str, with: Vec<Canning>) {
    let place = answers.iter_mut().find(|(p, _)| *p == part).unwrap();
    place.1 = with;
}

async fn fetch_meter(canned: &Canned) -> Result<Catalog, FetchRefused> {
    fetch(canned, ID, &BTreeSet::from(["new_meter".to_owned()]), WAIT).await
}

#[tokio::test]
async fn a_table_with_every_column_type() {
    let canned = Canned::new(meter());
    let catalog = fetch_meter(&canned).await.unwrap();
    let table = catalog.table("new_meter").unwrap();
    assert_eq!(
        (table.entity_set.as_str(), table.primary_id.as_str()),
        ("new_meters", "new_meterid")
    );
    assert_eq!(table.kind, TableKind::Standard);
    assert!(table.is_custom && !table.is_activity && !table.is_intersect);
    assert_eq!(table.columns.len(), 21, "the shadow column is left out");
    let kind = |name: &str| &table.column(name).unwrap().kind;
    assert!(matches!(kind("new_name"), ColumnKind::Text { max_length: 100 }));
    assert!(matches!(kind("new_note"), ColumnKind::Memo { max_length: 2000 }));
    assert!(matches!(kind("new_count"), ColumnKind::Integer { min: -5, max: 2_147_483_647 }));
    assert!(matches!(kind("new_big"), ColumnKind::BigInt));
    let ColumnKind::Decimal { min, max, precision: 10 } = kind("new_rate") else { panic!() };
    assert_eq!((min.as_str(), max.as_str()), ("-100000000000", "100000000000.0000000001"));
    let ColumnKind::Money { min, max, precision: 2 } = kind("new_fee") else { panic!() };
    assert_eq!((min.as_str(), max.as_str()), ("0", "10"));
    let ColumnKind::Double { min, max } = kind("new_float") else { panic!() };
    assert_eq!((min.to_string(), max.to_string()), ("-0.5".to_owned(), "1".to_owned()));
    assert!(matches!(kind("new_day"), ColumnKind::DateTime(DateBehavior::DateOnly)));
    let ColumnKind::Boolean { true_label, false_label } = kind("new_flag") else { panic!() };
    assert_eq!((true_label.as_str(), false_label.as_str()), ("On", "Off"));
    let choice = |value, label: &str| Choice {
        value,
        labels: vec![label.to_owned(), format!("{label}-de")],
    };
    let ColumnKind::Choice(colours) = kind("new_colour") else { panic!() };
    assert_eq!(*colours, [choice(7, "Red")], "the user's label comes first");
    let ColumnKind::Choices(tags) = kind("new_tags") else { panic!() };
    assert_eq!(*tags, [choice(1, "A"), choice(2, "B")]);
    let ColumnKind::State(states) = kind("statecode") else { panic!() };
    assert_eq!(*states, [choice(0, "Active")]);
    let ColumnKind::Status(reasons) = kind("statuscode") else { panic!() };
    let inactive = Choice { value: 2, labels: vec![] };
    assert_eq!(*reasons, [StatusChoice { choice: inactive, state: 1 }]);
    assert!(matches!(kind("new_meterid"), ColumnKind::Guid));
    assert!(matches!(kind("new_scan"), ColumnKind::File));
    assert!(matches!(kind("new_photo"), ColumnKind::Image));
    assert!(matches!(kind("new_kind"), ColumnKind::TableName));
    assert!(matches!(kind("parties"), ColumnKind::PartyList));
    assert!(matches!(kind("odd"), ColumnKind::Other(name) if name == "CalendarRules"));

    let name = table.column("new_name").unwrap();
    assert_eq!((name.schema_name.as_str(), name.required), ("NEW_NAME", Required::System));
    assert!(name.is_auto_number && name.valid_for_create && !name.valid_for_update);
    assert!(!table.column("new_note").unwrap().is_auto_number);
    let keys: Vec<_> = table.keys.iter().map(|k| (k.name.as_str(), k.is_active)).collect();
    assert_eq!(keys, [("a_key", false), ("new_serialkey", true)]);
    assert_eq!(table.key("new_serialkey").unwrap().columns, ["new_name"]);
}

#[tokio::test]
async fn lookups_and_owners_can_be_bound_and_their_tables_are_outlined() {
    let catalog = fetch_meter(&Canned::new(meter())).await.unwrap();
    let table = catalog.table("new_meter").unwrap();
    let targets = |name: &str| match &table.column(name).unwrap().kind {
        ColumnKind::Lookup(targets) => targets.clone(),
        other => panic!("{other:?}"),
    };
    let target = |table: &str, set: &str, bind: &str| LookupTarget {
        table: table.to_owned(),
        entity_set: set.to_owned(),
        navigation_property: bind.to_owned(),
    };
    // A target without entity set cannot be bound.
    assert_eq!(targets("new_site"), [target("new_site", "new_sites", "new_Site")]);
    assert_eq!(
        targets("ownerid"),
        [target("systemuser", "systemusers", "ownerid"), target("team", "teams", "ownerid")]
    );
    let names: Vec<_> = catalog.tables.keys().map(String::as_str).collect();
    assert_eq!(names, ["new_meter", "new_site", "systemuser", "team"]);
    let site = catalog.table("new_site").unwrap();
    assert_eq!((site.primary_id.as_str(), site.kind), ("new_siteid", TableKind::Elastic));
    assert!(site.columns.is_empty());
    // Owners are found even where the cast names the abstract table or nothing.
    for named in [json!(["owner"]), json!([]), json!(null)] {
        let mut answers = meter();
        let rows = json!([{"LogicalName": "ownerid", "Targets": named},
            {"LogicalName": "new_site", "Targets": named}]);
        replace(&mut answers, "CRM.LookupAttributeMetadata", list(rows));
        let catalog = fetch_meter(&Canned::new(answers)).await.unwrap();
        let table = catalog.table("new_meter").unwrap();
        let ColumnKind::Lookup(owners) = &table.column("ownerid").unwrap().kind else { panic!() };
        assert_eq!(owners.len(), 2);
        let ColumnKind::Lookup(sites) = &table.column("new_site").unwrap().kind else { panic!() };
        assert_eq!(sites.len(), 1);
    }
}

#[tokio::test]
async fn bulk_messages_follow_the_filters() {
    for (create, update, upsert, want) in [
        (true, true, false, (true, true, true)),
        (true, false, false, (true, false, false)),
        (false, false, true, (false, false, true)),
        (false, false, false, (false, false, false)),
    ] {
        let rows = |there: bool| list(if there { json!([{"x": 1}]) } else { json!([]) });
        let mut answers = meter();
        replace(&mut answers, "@message='CreateMultiple'", rows(create));
        replace(&mut answers, "@message='UpdateMultiple'", rows(update));
        replace(&mut answers, "@message='UpsertMultiple'", rows(upsert));
        let canned = Canned::new(answers);
        let catalog = fetch_meter(&canned).await.unwrap();
        let got = catalog.table("new_meter").unwrap().messages;
        assert_eq!((got.create, got.update, got.upsert), want);
        assert!(!got.delete);
        assert_eq!(canned.count("DeleteMultiple"), 0, "never on standard tables");
    }
    let mut answers = meter();
    let elastic = table("new_meter", "new_meters", "new_meterid", "Elastic");
    replace(&mut answers, "EntityDefinitions?", list(json!([elastic])));
    let catalog = fetch_meter(&Canned::new(answers)).await.unwrap();
    assert!(catalog.table("new_meter").unwrap().messages.delete);
}

#[tokio::test]
async fn the_fingerprint_follows_the_metadata() {
    let before = fetch_meter(&Canned::new(meter())).await.unwrap().fingerprint;
    assert_eq!(fetch_meter(&Canned::new(meter())).await.unwrap().fingerprint, before);
    for (part, rows) in [
        ("CRM.MemoAttributeMetadata", json!([{"LogicalName": "new_note", "MaxLength": 2001}])),
        ("/Keys?", json!([])),
        ("@message='UpdateMultiple'", json!([])),
        (
            "CRM.PicklistAttributeMetadata",
            json!([{"LogicalName": "new_colour", "OptionSet": {"Options": [option(8, "Red")]}}]),
        ),
    ] {
        let mut answers = meter();
        replace(&mut answers, part, list(rows));
        let after = fetch_meter(&Canned::new(answers)).await.unwrap().fingerprint;
        assert_ne!(after, before, "{part}");
    }
}

#[tokio::test]
async fn reads_are_tried_again_but_not_for_ever() {
    let mut answers = meter();
    let fine = list(json!([{"LogicalName": "k", "KeyAttributes": ["new_name"]}])).remove(0);
    let busy = Ok((429, r#"{"error":{"code":"0x80072322","message":"slow"}}"#.to_owned()));
    let lost = Err(TransportFailure::Broken("reset".to_owned()));
    let late = Ok((401, String::new()));
    replace(&mut answers, "/Keys?", vec![busy.clone(), lost, late, busy.clone(), fine]);
    let canned = Canned::new(answers);
    let catalog = fetch_meter(&canned).await.unwrap();
    assert_eq!(catalog.table("new_meter").unwrap().keys[0].name, "k");
    assert_eq!(canned.count("/Keys?"), 5);
    assert_eq!(*canned.forgotten.lock(), 1);

    let mut answers = meter();
    replace(&mut answers, "/Keys?", vec![busy]);
    let canned = Canned::new(answers);
    let refused = fetch_meter(&canned).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "reading the keys of new_meter: status 429 after 8 tries: slow; try again later"
    );
    assert_eq!(canned.count("/Keys?"), 8);
}

#[tokio::test]
async fn refusals_say_what_was_read_and_the_way_out() {
    let refused = |status, body: &str| vec![Ok((status, body.to_owned()))];
    let token = TransportFailure::Token(TokenFailure::Refused("no secret".to_owned()));
    for (turns, words) in [
        (refused(401, ""), "application user"),
        (refused(403, r#"{"error":{"code":"0x80040220","message":"no"}}"#), "security role"),
        (refused(404, "<html></html>"), "not an answer of the Web API"),
        (refused(200, "<html></html>"), "is the url of the job a Dataverse one?"),
        (refused(200, r#"{"value":[],"@odata.nextLink":"https://x/"}"#), "second page"),
        (vec![Err(token)], "no secret; check the identity"),
    ] {
        let mut answers = meter();
        replace(&mut answers, "EntityDefinitions?", turns);
        let text = fetch_meter(&Canned::new(answers)).await.unwrap_err().to_string();
        assert!(text.starts_with("reading the list of tables: ") && text.contains(words), "{text}");
    }
    for (name, hint) in [
        ("new_meters", " (did you mean \"new_meter\"?)"),
        ("New_Metre", " (did you mean \"new_meter\"?)"),
        ("invoice", ""),
    ] {
        let wanted = BTreeSet::from([name.to_owned()]);
        let refused = fetch(&Canned::new(meter()), ID, &wanted, WAIT).await.unwrap_err();
        let FetchRefused::UnknownTable { table, hint: got } = refused else { panic!("{refused}") };
        assert_eq!((table.as_str(), got.as_str()), (name, hint));
    }
    let wanted = BTreeSet::from(["hidden".to_owned()]);
    let refused = fetch(&Canned::new(meter()), ID, &wanted, WAIT).await.unwrap_err();
    assert_eq!(refused, FetchRefused::NotLoadable("hidden".to_owned()));
}

#[tokio::test]
async fn who_we_are() {
    let guid = |n: u128| Uuid::from_u128(n).to_string();
    let me = json!({"UserId": guid(1), "BusinessUnitId": guid(2), "OrganizationId": guid(3)});
    let answers = |organizations| {
        vec![
            ("WhoAmI", ok(me.clone())),
            ("organizations?$select=name", organizations),
            ("RetrieveVersion()", ok(json!({"Version": "9.2.1"}))),
        ]
    };
    let canned = Canned::new(answers(list(json!([{"name": "org1"}]))));
    let got = who_am_i(&canned, ID, WAIT).await.unwrap();
    let want = WhoAmI {
        user: Uuid::from_u128(1),
        business_unit: Uuid::from_u128(2),
        organization: Uuid::from_u128(3),
        unique_name: Some("org1".to_owned()),
        version: Some("9.2.1".to_owned()),
        dop_hint: Some(8),
    };
    assert_eq!(got, want);
    // Not everybody may read the organization.
    let canned = Canned::new(answers(vec![Ok((403, String::new()))]));
    assert_eq!(who_am_i(&canned, ID, WAIT).await.unwrap().unique_name, None);
}

#[test]
fn fetching_can_be_given_to_a_task() {
    fn needs_send(_: impl Send) {}
    let canned = Canned::new(Vec::new());
    needs_send(fetch(&canned, ID, &BTreeSet::new(), WAIT));
    needs_send(who_am_i(&canned, ID, WAIT));
}
