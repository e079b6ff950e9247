//! Rows by their keys, and what hangs on them.

use super::{Small, id};
use crate::simulator::value::Value;

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
fn an_owner_is_expanded_whether_user_or_team() {
    let mut small = Small::new();
    let team = small.model.schema.by_name["team"];
    small.insert("team", 21, &[("name", Value::Text("crew".into()))]);
    small.insert(
        "account",
        3,
        &[("name", Value::Text("owned".into())), ("ownerid", Value::Reference(team, id(21)))],
    );
    let body = small.get("accounts?$select=name&$expand=ownerid&$filter=name eq 'owned'");
    assert_eq!(body["value"][0]["ownerid"]["teamid"], id(21).to_string());
    assert_eq!(body["value"][0]["ownerid"]["name"], "crew");
    let body = small.get("accounts?$select=name&$expand=ownerid&$filter=name eq 'beta'");
    assert!(body["value"][0]["ownerid"]["systemuserid"].is_string(), "{body}");
}
