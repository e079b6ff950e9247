//! Pages, annotations and functions.

use super::super::represent;
use super::{Small, id};
use crate::simulator::value::Value;

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
