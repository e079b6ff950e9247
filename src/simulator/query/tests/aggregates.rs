//! `$apply`.

use super::Small;

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
fn aggregates_are_formatted_when_asked_for() {
    let small = Small::new();
    let body = small.get_with(
        "accounts?$apply=groupby((name),aggregate(revenue with sum as total))&$orderby=name",
        &[("Prefer", "odata.include-annotations=\"*\"")],
    );
    let row = &body["value"][1];
    assert_eq!(row["name"], "beta");
    let formatted = row["total@OData.Community.Display.V1.FormattedValue"].as_str();
    assert!(formatted.is_some_and(|text| text.contains("0.00")), "{row}");
    let plain = small.get("accounts?$apply=aggregate(revenue with sum as total)");
    assert_eq!(plain["value"][0].as_object().unwrap().len(), 1);
}
