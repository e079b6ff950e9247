//! Reads over a small world: two accounts, three contacts, an elastic row.

use super::*;
use crate::simulator::call::{RefusalCode, Verb};
use crate::simulator::keys as keys_of_rows;
use crate::simulator::value::Value;
use uuid::Uuid;

/// A small environment.
pub(crate) struct Small {
    pub(crate) model: Model,
    pub(crate) ctx: CallContext,
}

pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

impl Small {
    pub(crate) fn new() -> Self {
        let model = Model::new(EnvironmentSettings::default());
        let user_id = model.settings.application_users[0].id;
        let mut small = Self {
            model,
            ctx: CallContext {
                caller: user_id,
                effective_user: user_id,
                now_ms: 1_709_208_000_000,
                origin: "http://127.0.0.1:4711".into(),
            },
        };
        let user = small.model.schema.by_name["systemuser"];
        let contact = small.model.schema.by_name["contact"];
        let account = small.model.schema.by_name["account"];
        let text = |t: &str| Value::Text(t.into());
        for (n, name, revenue, number) in
            [(1, "Ärger & Söhne", 12_500_000, "A-1"), (2, "beta", 0, "A-2")]
        {
            small.insert(
                "account",
                n,
                &[
                    ("name", text(name)),
                    ("revenue", Value::Money(revenue)),
                    ("accountnumber", text(number)),
                    ("primarycontactid", Value::Reference(contact, id(11))),
                    ("ownerid", Value::Reference(user, user_id)),
                    ("statecode", Value::Int(0)),
                    ("createdon", Value::Time(1_700_000_000_000 + 86_400_000 * n as i64)),
                ],
            );
        }
        for (n, name, parent) in [(11, "O'Neil", 1), (12, "Ünal", 1), (13, "zed", 2)] {
            small.insert(
                "contact",
                n,
                &[
                    ("lastname", text(name)),
                    ("fullname", text(name)),
                    ("parentcustomerid", Value::Reference(account, id(parent))),
                    ("donotemail", Value::Bool(n == 12)),
                ],
            );
        }
        small
    }

    pub(crate) fn insert(&mut self, table: &str, n: u128, values: &[(&str, Value)]) {
        let t = self.model.schema.by_name[table];
        let def = &self.model.schema.tables[t];
        let mut row = Row {
            id: id(n),
            version: 100 + n as u64,
            values: vec![Value::Null; def.columns.len()].into(),
        };
        row.values[0] = Value::Guid(id(n));
        for (name, value) in values {
            row.values[def.by_column[*name]] = value.clone();
        }
        let rows = &mut self.model.store.tables[t];
        let place = rows.rows.len();
        match def.standing.partition {
            None => {
                rows.by_id.insert(row.id, place);
            }
            Some(partition) => {
                let key = match &row.values[partition] {
                    Value::Text(text) => text.clone(),
                    _ => row.id.to_string().into(),
                };
                rows.by_partition.insert((row.id, key), place);
            }
        }
        for (key, index) in def.keys.iter().zip(&mut rows.by_key) {
            if let Some(text) = keys_of_rows::key_text(key, |c| &row.values[c]) {
                index.insert(text, place);
            }
        }
        rows.rows.push(Some(row));
        rows.live += 1;
    }

    pub(crate) fn try_get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Refusal> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let call = Call { verb: Verb::Get, path, query, headers: &headers, body: b"" };
        read(&self.model, &self.ctx, &call)
    }

    pub(crate) fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> serde_json::Value {
        let answer = self.try_get(url, headers).unwrap_or_else(|r| panic!("{url}: {r:?}"));
        assert_eq!(answer.status, 200, "{url}");
        serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{url}: {e}"))
    }

    pub(crate) fn get(&self, url: &str) -> serde_json::Value {
        self.get_with(url, &[])
    }

    /// Values of one property of every row of a collection.
    pub(crate) fn column(&self, url: &str, property: &str) -> Vec<String> {
        let body = self.get(url);
        let rows = body["value"].as_array().unwrap_or_else(|| panic!("{url}: {body}"));
        rows.iter()
            .map(|row| match &row[property] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    pub(crate) fn refused(&self, url: &str) -> (u16, u32) {
        let refusal = match self.try_get(url, &[]) {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{url}: {}", String::from_utf8_lossy(&answer.body)),
        };
        match refusal.code {
            RefusalCode::Hex(code) => (refusal.status, code),
            RefusalCode::Text(text) => panic!("{url}: {text}"),
        }
    }
}

#[test]
fn filters_select_rows() {
    let small = Small::new();
    let one = "00000000-0000-0000-0000-000000000001";
    let eleven = "00000000-0000-0000-0000-00000000000B";
    let cases: &[(&str, &[&str])] = &[
        ("name eq 'BETA'", &["beta"]),
        ("name eq 'arger %26 sohne'", &["Ärger & Söhne"]),
        ("contains(name,'S%C3%B6hne')", &["Ärger & Söhne"]),
        ("not(contains(name,'hne'))", &["beta"]),
        ("not  (name eq 'beta')", &["Ärger & Söhne"]),
        ("startswith(name,'b') or endswith(name,'e')", &["Ärger & Söhne", "beta"]),
        ("revenue gt 1249.99 and revenue le 1250", &["Ärger & Söhne"]),
        ("1250 eq revenue", &["Ärger & Söhne"]),
        ("revenue eq 0 or name eq 'x' and name eq 'beta'", &["beta"]),
        ("(revenue eq 0 or name eq 'x') and name eq 'beta'", &["beta"]),
        ("telephone1 eq null", &["Ärger & Söhne", "beta"]),
        ("telephone1 ne 'x'", &["Ärger & Söhne", "beta"]),
        ("null ne telephone1", &[]),
        (&format!("accountid eq {one}"), &["Ärger & Söhne"]),
        (&format!("_primarycontactid_value eq {eleven}"), &["Ärger & Söhne", "beta"]),
        ("primarycontactid/fullname eq 'o''neil'", &["Ärger & Söhne", "beta"]),
        ("createdon ge 2023-11-16T00:00:00Z", &["beta"]),
        ("createdon lt 2023-11-16", &["Ärger & Söhne"]),
        ("name eq accountnumber", &[]),
        ("contact_customer_accounts/any(c:c/fullname eq 'zed')", &["beta"]),
        ("contact_customer_accounts/any(c: c/donotemail eq true)", &["Ärger & Söhne"]),
        ("contact_customer_accounts/all(c:c/donotemail eq false)", &["beta"]),
        (
            &format!(
                "Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=[\"{one}\"])"
            ),
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)&@p1='accountnumber'\
             &@p2=[\"a-2\",\"x\"]",
            &["beta"],
        ),
        (
            "Microsoft.Dynamics.CRM.NotIn(PropertyName='accountnumber',PropertyValues=['A-2'])",
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.Between(PropertyName='revenue',PropertyValues=['1','2000'])",
            &["Ärger & Söhne"],
        ),
        (
            "Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='2023-11-15')",
            &["Ärger & Söhne"],
        ),
        ("Microsoft.Dynamics.CRM.LastXMonths(PropertyName='createdon',PropertyValue=1)", &[]),
        ("Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid')", &["Ärger & Söhne", "beta"]),
    ];
    for (filter, names) in cases {
        for url in [
            format!("accounts?$select=name&$filter={filter}"),
            format!("accounts?%24filter={}", filter.replace(' ', "+")),
        ] {
            assert_eq!(&small.column(&url, "name"), names, "{url}");
        }
    }
}

#[test]
fn bad_queries_are_refused() {
    let small = Small::new();
    const BAD: u32 = 0x8006_0888;
    let cases = [
        ("nothings", 404, 0x8006_088a),
        ("Accounts", 404, 0x8006_088a),
        ("accounts(00000000-0000-0000-0000-00000000ffff)", 404, 0x8004_0217),
        ("accounts(accountnumber='nope')", 404, 0x8006_0891),
        ("accounts(name='beta')", 400, BAD),
        ("accounts(17)", 400, BAD),
        ("accounts(00000000-0000-0000-0000-000000000001)/nothing", 404, 0x8006_088a),
        ("accounts?$skip=1", 400, BAD),
        ("accounts?$format=json", 400, BAD),
        ("accounts?$search=x", 400, BAD),
        ("accounts?$select=nothing", 400, BAD),
        ("accounts?$select=ownerid_x", 400, BAD),
        ("accounts?$orderby=nothing", 400, BAD),
        ("accounts?$orderby=name up", 400, BAD),
        ("accounts?$expand=nothing", 400, BAD),
        ("accounts?$filter=name in ('a','b')", 400, BAD),
        ("accounts?$filter=name eq 5", 400, BAD),
        ("accounts?$filter=revenue eq '5'", 400, BAD),
        ("accounts?$filter=accountid eq 'x'", 400, BAD),
        ("accounts?$filter=name eq", 400, BAD),
        ("accounts?$filter=name eq 'a' or", 400, BAD),
        ("accounts?$filter=(name eq 'a'", 400, BAD),
        ("accounts?$filter=not name eq 'a'", 400, BAD),
        ("accounts?$filter=tolower(name) eq 'a'", 400, BAD),
        ("accounts?$filter=name eq @p1", 400, BAD),
        ("accounts?$filter=contains(revenue,'1')", 400, BAD),
        (
            "accounts?$filter=Microsoft.Dynamics.CRM.In(PropertyName='no',PropertyValues=['a'])",
            400,
            0x8004_1103,
        ),
        ("accounts?$filter=Microsoft.Dynamics.CRM.Nonsense(PropertyName='name')", 400, BAD),
    ];
    for (url, status, code) in cases {
        assert_eq!(small.refused(url), (status, code), "{url}");
    }
    let deep = format!("accounts?$filter={}name eq 'a'{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(small.refused(&deep), (400, BAD));
}

#[test]
fn rows_are_found_by_every_kind_of_key() {
    let small = Small::new();
    let cases = [
        ("accounts(00000000-0000-0000-0000-000000000001)", "Ärger & Söhne"),
        ("accounts(accountid=00000000-0000-0000-0000-000000000001)", "Ärger & Söhne"),
        ("accounts(accountnumber='a-2')", "beta"),
        ("accounts%28accountnumber=%27A-2%27%29", "beta"),
        ("accounts(accountnumber = 'A-2 ')", "beta"),
        ("/accounts(00000000-0000-0000-0000-000000000001)/", "Ärger & Söhne"),
        ("contacts(00000000-0000-0000-0000-00000000000d)/parentcustomerid_account", "beta"),
        (
            "accounts(00000000-0000-0000-0000-000000000001)/contact_customer_accounts\
             (00000000-0000-0000-0000-00000000000B)/parentcustomerid_account",
            "Ärger & Söhne",
        ),
    ];
    for (url, name) in cases {
        let row = small.get(url);
        assert_eq!(row["name"], name, "{url}");
        assert!(row["@odata.etag"].as_str().unwrap().starts_with("W/\"1"), "{url}");
        assert!(row["@odata.context"].as_str().unwrap().ends_with("#accounts/$entity"), "{url}");
        // Every property is there, with or without a value.
        assert!(row.as_object().unwrap().contains_key("telephone1"), "{url}");
    }
    let user = small.ctx.caller;
    assert!(small.get(&format!("systemusers({user})"))["fullname"].is_string());
    assert!(small.get(&format!("systemusers(ownerid={user})"))["fullname"].is_string());
    assert_eq!(small.refused(&format!("systemusers(systemuserid={user})")).0, 400);
    for value in ["a/b", "a%2Fb", "a:b", "a%2Bb", "a%26b"] {
        let url = format!("accounts(accountnumber='{value}')");
        assert_eq!(small.refused(&url).0, small.model.settings.key_characters_status, "{url}");
    }
}

#[test]
fn lookups_are_keys_by_their_value_and_pending_keys_are_none() {
    let mut small = Small::new();
    let site = small.model.schema.by_name["new_site"];
    small.insert("new_site", 0x51, &[("new_name", Value::Text("S".into()))]);
    small.insert(
        "new_meter",
        0x61,
        &[
            ("new_name", Value::Text("M".into())),
            ("new_site", Value::Reference(site, id(0x51))),
            ("new_interval", Value::Int(15)),
        ],
    );
    let by_lookup =
        format!("new_meters(_new_site_value={},new_interval=15)?$select=new_name", id(0x51));
    assert_eq!(small.get(&by_lookup)["new_name"], "M");
    let filtered = format!(
        "new_meters?$filter=new_interval eq 15 and _new_site_value eq {} and new_name eq 'm'",
        id(0x51)
    );
    assert_eq!(small.column(&filtered, "new_name"), ["M"]);
    for url in [
        format!("new_meters(new_site={},new_interval=15)", id(0x51)),
        format!("new_meters(_new_site_value='{}',new_interval=15)", id(0x51)),
        format!("new_meters(_new_site_value=({}),new_interval=15)", id(0x51)),
        "new_sites(new_name='S',new_city='X')".to_owned(),
    ] {
        assert_eq!(small.refused(&url).0, 400, "{url}");
    }
}

#[test]
fn elastic_rows_are_found_with_their_partition_only() {
    let mut small = Small::new();
    small.insert("new_event", 1, &[("new_name", Value::Text("own".into()))]);
    small.insert(
        "new_event",
        2,
        &[("new_name", Value::Text("p".into())), ("partitionid", Value::Text("P".into()))],
    );
    let set = small.model.schema.table("new_event").unwrap().set.clone();
    assert_eq!(small.get(&format!("{set}({})", id(1)))["new_name"], "own");
    assert_eq!(small.refused(&format!("{set}({})", id(2))), (404, 0x8004_0217));
    let by_option = small.get(&format!("{set}({})?partitionId=P", id(2)));
    assert_eq!(by_option["new_name"], "p");
    assert!(!by_option["@odata.etag"].as_str().unwrap().starts_with("W/"));
    let by_key = format!("{set}(new_eventid={},partitionid='P')", id(2));
    assert_eq!(small.get(&by_key)["new_name"], "p");
    assert_eq!(small.column(&set, "new_name"), ["own", "p"]);
}

#[test]
fn related_rows_and_properties_are_read() {
    let small = Small::new();
    let one = "accounts(00000000-0000-0000-0000-000000000001)";
    assert_eq!(
        small.column(&format!("{one}/contact_customer_accounts?$orderby=fullname"), "fullname"),
        ["O'Neil", "Ünal"]
    );
    assert_eq!(small.get(&format!("{one}/name"))["value"], "Ärger & Söhne");
    assert_eq!(
        small.get(&format!("{one}/primarycontactid?$select=fullname"))["fullname"],
        "O'Neil"
    );
    let link = small.get(&format!("{one}/primarycontactid/$ref"));
    assert_eq!(
        link["@odata.id"],
        format!("http://127.0.0.1:4711/api/data/v9.2/contacts({})", id(11))
    );
    let links = small.get(&format!("{one}/contact_customer_accounts/$ref"));
    assert_eq!(links["value"].as_array().unwrap().len(), 2);
    let plain = |url: &str| {
        let answer = small.try_get(url, &[]).unwrap();
        assert_eq!(answer.content_type, Some("text/plain"), "{url}");
        String::from_utf8(answer.body).unwrap()
    };
    assert_eq!(plain(&format!("{one}/name/$value")), "Ärger & Söhne");
    assert_eq!(plain("contacts/$count"), "3");
    assert_eq!(plain("contacts/$count?$filter=donotemail eq true"), "1");
    assert_eq!(plain(&format!("{one}/contact_customer_accounts/$count")), "2");
    for nothing in ["telephone1", "parentaccountid", "telephone1/$value"] {
        let answer = small.try_get(&format!("{one}/{nothing}"), &[]).unwrap();
        assert_eq!(answer.status, 204, "{nothing}");
    }
    let same = small.get(one);
    let tag = same["@odata.etag"].as_str().unwrap();
    assert_eq!(small.try_get(one, &[("If-None-Match", tag)]).unwrap().status, 304);
    assert_eq!(small.try_get(one, &[("If-None-Match", "null")]).unwrap().status, 200);
}

#[test]
fn many_to_many_collections_are_read() {
    let mut small = Small::new();
    let link = &small.model.schema.many_to_many[0];
    let (intersect, tables) = (link.intersect, link.tables);
    let columns = link.columns.clone();
    let navigation = link.navigation[0].clone();
    let names =
        [tables[0], tables[1], intersect].map(|t| small.model.schema.tables[t].name.clone());
    let set = small.model.schema.tables[tables[0]].set.clone();
    small.insert(&names[0], 0x71, &[]);
    small.insert(&names[1], 0x72, &[]);
    small.insert(
        &names[2],
        0x73,
        &[(&columns[0], Value::Guid(id(0x71))), (&columns[1], Value::Guid(id(0x72)))],
    );
    let other_id = small.model.schema.tables[tables[1]].columns[0].name.clone();
    let found = small.column(&format!("{set}({})/{navigation}", id(0x71)), &other_id);
    assert_eq!(found, [id(0x72).to_string()]);
    let expanded = small.get(&format!("{set}({})?$expand={navigation}", id(0x71)));
    assert_eq!(expanded[&navigation][0][&other_id], id(0x72).to_string());
}

#[test]
fn expansion_follows_lookups_and_collections() {
    let small = Small::new();
    let body = small.get(
        "accounts?$select=name&$filter=name eq 'beta'&$expand=primarycontactid($select=fullname;\
         $expand=parentcustomerid_account($select=name)),contact_customer_accounts($select=fullname;\
         $filter=contains(fullname,'z');$orderby=fullname desc;$top=5),parentaccountid",
    );
    let row = &body["value"][0];
    assert_eq!(row["primarycontactid"]["fullname"], "O'Neil");
    assert_eq!(row["primarycontactid"]["contactid"], id(11).to_string());
    assert_eq!(row["primarycontactid"]["parentcustomerid_account"]["name"], "Ärger & Söhne");
    assert_eq!(row["contact_customer_accounts"][0]["fullname"], "zed");
    assert!(row["parentaccountid"].is_null());
    assert!(row.as_object().unwrap().contains_key("parentaccountid"));
    let wrong = small.get("contacts?$expand=parentcustomerid_contact($select=fullname)&$top=1");
    assert!(wrong["value"][0]["parentcustomerid_contact"].is_null());
}

#[test]
fn annotations_appear_when_asked_for() {
    let small = Small::new();
    let url = "accounts?$select=name,revenue,statecode,_primarycontactid_value,createdon\
               &$filter=name eq 'arger %26 sohne'";
    let bare = small.get(url);
    let row = bare["value"][0].as_object().unwrap();
    assert!(row.keys().all(|k| k == "@odata.etag" || !k.contains('@')), "{row:?}");
    let all = small.get_with(url, &[("Prefer", "odata.include-annotations=\"*\"")]);
    let row = &all["value"][0];
    let formatted = |name: &str| {
        row[format!("{name}@OData.Community.Display.V1.FormattedValue")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(formatted("revenue"), "$1,250.00");
    assert_eq!(formatted("statecode"), "Active");
    assert_eq!(formatted("_primarycontactid_value"), "O'Neil");
    assert_eq!(formatted("createdon"), "11/15/2023 10:13 PM");
    assert_eq!(row["_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "contact");
    assert_eq!(
        row["_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"],
        "primarycontactid"
    );
    assert_eq!(all["@Microsoft.Dynamics.CRM.totalrecordcount"], -1);
    assert_eq!(all["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"], false);
    let polymorphic = small.get_with(
        "contacts?$select=_parentcustomerid_value&$top=1",
        &[("prefer", "odata.include-annotations=Microsoft.Dynamics.CRM.*")],
    );
    assert_eq!(
        polymorphic["value"][0]["_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"],
        "parentcustomerid_account"
    );
}

#[test]
fn pages_hold_every_row_once() {
    let mut small = Small::new();
    for n in 0..25 {
        small.insert(
            "new_site",
            0x1000 + n,
            &[("new_name", Value::Text(format!("s{n:02}").into()))],
        );
    }
    for query in [
        "new_sites?$select=new_name",
        "new_sites?$select=new_name&$orderby=new_name desc",
        "new_sites?%24select=new_name&$count=true&$filter=new_name ne 's07'",
    ] {
        let prefer: &[(&str, &str)] = &[("Prefer", "odata.maxpagesize=10")];
        let mut url = query.to_owned();
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let body = small.get_with(&url, prefer);
            let rows = body["value"].as_array().unwrap();
            assert!(rows.len() <= 10);
            seen.extend(rows.iter().map(|r| r["new_name"].as_str().unwrap().to_owned()));
            pages += 1;
            if query.contains("$count") {
                assert_eq!(body["@odata.count"], 24);
            }
            match body["@odata.nextLink"].as_str() {
                None => break,
                Some(next) => {
                    let root = "http://127.0.0.1:4711/api/data/v9.2/";
                    url = next.strip_prefix(root).unwrap_or_else(|| panic!("{next}")).to_owned();
                }
            }
        }
        let want = if query.contains("filter") { 24 } else { 25 };
        assert_eq!((pages, seen.len()), (3, want), "{query}");
        let sorted = seen.is_sorted_by(|a, b| if query.contains("desc") { a > b } else { a < b });
        assert!(sorted, "{query}: {seen:?}");
    }
    let top = small.get_with("new_sites?$top=12", &[("Prefer", "odata.maxpagesize=5")]);
    assert_eq!(top["value"].as_array().unwrap().len(), 12);
    assert!(top["@odata.nextLink"].is_null());
    let applied = small.try_get("new_sites", &[("Prefer", "odata.maxpagesize=5")]).unwrap();
    assert!(applied.headers.contains(&("Preference-Applied", "odata.maxpagesize=5".to_owned())));
    assert_eq!(small.refused("new_sites?$skiptoken=nonsense").0, 400);
}

#[test]
fn functions_answer() {
    let small = Small::new();
    for url in ["WhoAmI", "WhoAmI()", "/WhoAmI()"] {
        let who = small.get(url);
        assert_eq!(who["UserId"], small.ctx.caller.to_string(), "{url}");
        assert_eq!(who["OrganizationId"], small.model.settings.organization_id.to_string());
        assert_eq!(who["BusinessUnitId"], small.model.settings.business_unit.to_string());
    }
    assert!(small.get("RetrieveVersion()")["Version"].as_str().unwrap().starts_with("9.2."));
    for url in [
        "RetrieveTotalRecordCount(EntityNames=@p1)?@p1=[\"account\",\"contact\"]",
        "RetrieveTotalRecordCount(EntityNames=['account','contact'])",
        "RetrieveTotalRecordCount(EntityNames=@a)?@a=%5B%22account%22%2C%22contact%22%5D",
    ] {
        let counts = &small.get(url)["EntityRecordCountCollection"];
        assert_eq!(counts["Keys"][1], "contact", "{url}");
        assert_eq!(counts["Values"], serde_json::json!([2, 3]), "{url}");
        assert_eq!(counts["Count"], 2);
    }
    assert_eq!(small.refused("RetrieveTotalRecordCount(EntityNames=['x'])").1, 0x8004_1102);
    let organization = small.get(
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=\
         Microsoft.Dynamics.CRM.EndpointAccessType'Default'",
    );
    assert_eq!(organization["Detail"]["UniqueName"], small.model.settings.organization_name);
}

#[test]
fn representations_hold_the_selected_columns() {
    let small = Small::new();
    let def = small.model.schema.table("account").unwrap();
    let row = small.model.store.row(small.model.schema.by_name["account"], id(1)).unwrap();
    let read = |select, annotations| -> serde_json::Value {
        let body = represent(&small.model, &small.ctx, def, row, select, annotations);
        serde_json::from_slice(&body).unwrap()
    };
    let one = read(Some("name, nothing"), false);
    assert_eq!(one.as_object().unwrap().len(), 4, "{one}");
    assert_eq!(one["accountid"], id(1).to_string());
    let all = read(None, true);
    assert_eq!(all["statecode@OData.Community.Display.V1.FormattedValue"], "Active");
    assert!(all["_ownerid_value"].is_string());
}

#[test]
fn aggregates_group_and_count() {
    let small = Small::new();
    let body = small.get("accounts?$apply=aggregate(revenue with sum as total,$count as n)");
    assert_eq!(body["value"], serde_json::json!([{ "total": 1250, "n": 2 }]));
    let body = small.get(
        "contacts?$apply=filter(fullname ne 'zed')/groupby((donotemail),aggregate($count as n))\
         &$orderby=donotemail",
    );
    assert_eq!(
        body["value"],
        serde_json::json!([{ "donotemail": false, "n": 1 }, { "donotemail": true, "n": 1 }])
    );
    for bad in ["topcount(1,revenue)", "aggregate(revenue)", "groupby(name)", "filter(name eq 'a')"]
    {
        assert_eq!(small.refused(&format!("accounts?$apply={bad}")).0, 400, "{bad}");
    }
}

#[test]
fn lookups_of_hundreds_of_keys_touch_only_their_rows() {
    let mut small = Small::new();
    for n in 0..2_000_u128 {
        let code = Value::Text(format!("c{n}").into());
        small.insert("new_site", 0x1_0000 + n, &[("new_code", code)]);
    }
    let ids: Vec<String> =
        (0..300_u128).map(|n| format!("\"{}\"", id(0x1_0000 + n * 3)).to_uppercase()).collect();
    let codes: Vec<String> = (0..300).map(|n| format!("'C{}'", n * 3)).collect();
    let table = small.model.schema.by_name["new_site"];
    let world = World::of(&small.model, &small.ctx);
    for (property, values) in [("new_siteid", ids), ("new_code", codes)] {
        let text = format!(
            "Microsoft.Dynamics.CRM.In(PropertyName='{property}',PropertyValues=[{}])",
            values.join(",")
        );
        let expr = filter::parse(&text, &Default::default()).unwrap();
        let test = compile::compile(&world, table, &expr).unwrap();
        let planned = plan::candidates(&world, table, &test).unwrap();
        assert_eq!(planned.len(), 300, "{property}");
        let url = format!("new_sites?$select=new_code&$filter={text}");
        assert_eq!(small.column(&url, "new_code").len(), 300, "{property}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_of_a_client_brings_the_reader_down(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "name", "eq", "ne", "and", "or", "not", "(", ")", "'", "''", "'x'", "[", "]", ",",
                "=", "@p", "null", "1", "-", ".", "/", "any(", "x:", "x/name", "contains(", "in",
                "Microsoft.Dynamics.CRM.In(", "PropertyName", "PropertyValues", "\"", "\\",
                "contact_customer_accounts/any(", "2024-01-01", "%27", "%", "é", "<", ">", "$",
                "accounts", "(name='", "$filter=", "$select=", "$expand=", "$orderby=", "&", "?",
                "$apply=", "aggregate(", "with", "as", "sum", "$skiptoken=",
                "<cookie page=\"18446744073709551615\"><position last=\"18446744073709551615\" \
                 next=\"1\" /></cookie>", "fetchXml=", "<fetch>", "<entity name='account'/>",
                "</fetch>", "@p=", "$count=true", "EntityDefinitions", "Attributes", ";", " ",
            ]),
            0..14,
        ),
        blanks in proptest::bool::ANY,
    ) {
        let small = SMALL.with(std::rc::Rc::clone);
        let text = words.join(if blanks { " " } else { "" });
        for url in [
            text.clone(),
            format!("accounts?{text}"),
            format!("accounts?$filter={text}"),
            format!("accounts?$expand={text}"),
            format!("accounts({text})"),
            format!("EntityDefinitions?$filter={text}"),
        ] {
            let status = small.try_get(&url, &[]).map_or_else(|r| r.status, |a| a.status);
            proptest::prop_assert!([200, 204, 400, 404, 501].contains(&status), "{url}: {status}");
        }
    }
}

thread_local! {
    /// One world for the many runs of a property.
    static SMALL: std::rc::Rc<Small> = std::rc::Rc::new(Small::new());
}
