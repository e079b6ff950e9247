//! Definitions as the loader and other clients read them.

use crate::simulator::query::tests::Small;
use serde_json::{Value, json};

fn names(body: &Value, property: &str) -> Vec<String> {
    let rows = body["value"].as_array().unwrap_or_else(|| panic!("{body}"));
    rows.iter().map(|r| r[property].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn tables_are_selected_filtered_and_expanded() {
    let small = Small::new();
    let one = small.get(
        "EntityDefinitions(LogicalName='account')?$select=LogicalName,EntitySetName,\
         PrimaryIdAttribute,TableType",
    );
    assert_eq!(one["EntitySetName"], "accounts");
    assert_eq!(one["PrimaryIdAttribute"], "accountid");
    assert!(one["MetadataId"].is_string());
    assert_eq!(one.as_object().unwrap().len(), 6, "{one}");
    let id = one["MetadataId"].as_str().unwrap().to_uppercase();
    assert_eq!(small.get(&format!("EntityDefinitions({id})"))["LogicalName"], "account");
    let list = small.get(
        "EntityDefinitions?$select=LogicalName&$filter=IsCustomEntity eq true and \
         OwnershipType eq Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned'",
    );
    let list = names(&list, "LogicalName");
    assert!(list.contains(&"new_meter".to_owned()) && !list.contains(&"account".to_owned()));
    let either = small.get(
        "EntityDefinitions?$select=LogicalName&$filter=LogicalName eq 'account' or \
         (LogicalName eq 'contact')",
    );
    assert_eq!(names(&either, "LogicalName").len(), 2);
    let all = small.get(
        "EntityDefinitions(LogicalName='new_meter')?$select=LogicalName&$expand=Attributes(\
         $select=LogicalName;$filter=LogicalName eq 'new_serial'),Keys($select=KeyAttributes,\
         EntityKeyIndexStatus),ManyToOneRelationships($select=ReferencingAttribute)",
    );
    assert_eq!(all["Attributes"].as_array().unwrap().len(), 1);
    assert_eq!(all["Attributes"][0]["LogicalName"], "new_serial");
    assert_eq!(all["Keys"][0]["KeyAttributes"], json!(["new_serial"]));
    assert_eq!(
        small.get("EntityDefinitions(LogicalName='account')/LogicalName")["value"],
        "account"
    );
}

#[test]
fn columns_are_cast_and_their_options_expanded() {
    let small = Small::new();
    let base = "EntityDefinitions(LogicalName='contact')/Attributes";
    let list = small.get(&format!(
        "{base}?$select=LogicalName,AttributeType,AttributeTypeName,RequiredLevel,IsPrimaryId,\
         AttributeOf,IsValidForCreate&$filter=AttributeType eq \
         Microsoft.Dynamics.CRM.AttributeTypeCode'Uniqueidentifier'"
    ));
    let id = &list["value"][0];
    assert_eq!(id["LogicalName"], "contactid");
    assert_eq!(id["IsPrimaryId"], true);
    assert_eq!(id["AttributeTypeName"]["Value"], "UniqueidentifierType");
    assert_eq!(id["RequiredLevel"]["Value"], "SystemRequired");
    let texts = small.get(&format!(
        "{base}/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength,\
         FormatName"
    ));
    let first = texts["value"].as_array().unwrap();
    let last = first.iter().find(|c| c["LogicalName"] == "lastname").unwrap();
    assert!(last["MaxLength"].is_number() && last["FormatName"]["Value"].is_string());
    assert!(last["MetadataId"].is_string());
    for url in [
        format!(
            "{base}/Microsoft.Dynamics.CRM.StatusAttributeMetadata?$select=LogicalName\
             &$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
        ),
        format!(
            "{base}(LogicalName='statuscode')/Microsoft.Dynamics.CRM.StatusAttributeMetadata\
             ?$select=LogicalName&$expand=OptionSet($select=Options)"
        ),
    ] {
        let body = small.get(&url);
        let row = if body["value"].is_array() { &body["value"][0] } else { &body };
        let option = &row["OptionSet"]["Options"][0];
        assert_eq!(option["Label"]["UserLocalizedLabel"]["Label"], "Active", "{url}");
        assert_eq!((&option["Value"], &option["State"]), (&json!(1), &json!(0)), "{url}");
    }
    let state = small
        .get(&format!("{base}/Microsoft.Dynamics.CRM.StateAttributeMetadata?$expand=OptionSet"));
    let option = &state["value"][0]["OptionSet"]["Options"][1];
    assert_eq!(option["DefaultStatus"], 2);
    assert_eq!(option["InvariantName"], "Inactive");
    let flags = small.get(&format!(
        "{base}/Microsoft.Dynamics.CRM.BooleanAttributeMetadata?$select=LogicalName\
         &$expand=OptionSet($select=TrueOption,FalseOption)"
    ));
    assert!(flags["value"][0]["OptionSet"]["TrueOption"]["Label"].is_object());
    let lookups = small.get(&format!(
        "{base}/Microsoft.Dynamics.CRM.LookupAttributeMetadata?$select=LogicalName,Targets"
    ));
    let parent = lookups["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["LogicalName"] == "parentcustomerid")
        .unwrap();
    assert_eq!(parent["Targets"], json!(["account", "contact"]));
    let shared = small.get(
        "EntityDefinitions(LogicalName='new_simple')/Attributes(LogicalName='new_grade')/\
         Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$expand=GlobalOptionSet($select=Options)",
    );
    let options = &shared["GlobalOptionSet"]["Options"];
    assert!(!options.as_array().unwrap().is_empty());
    assert_eq!(&small.get("GlobalOptionSetDefinitions(Name='new_grade')")["Options"], options);
    let dates = small.get(
        "EntityDefinitions(LogicalName='new_simple')/Attributes(LogicalName='new_day')/\
         Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=DateTimeBehavior,Format",
    );
    assert_eq!(dates["DateTimeBehavior"]["Value"], "DateOnly");
}

#[test]
fn keys_and_relationships_are_listed() {
    let small = Small::new();
    let keys = small.get("EntityDefinitions(LogicalName='new_meter')/Keys?$select=LogicalName");
    assert!(names(&keys, "LogicalName").contains(&"new_serialkey".to_owned()));
    let links = small.get(
        "EntityDefinitions(LogicalName='contact')/ManyToOneRelationships?$select=SchemaName,\
         ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName",
    );
    let links = links["value"].as_array().unwrap();
    let find = |column: &str| -> Vec<(&str, &str)> {
        links
            .iter()
            .filter(|l| l["ReferencingAttribute"] == column)
            .map(|l| {
                (
                    l["ReferencedEntity"].as_str().unwrap(),
                    l["ReferencingEntityNavigationPropertyName"].as_str().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(find("ownerid"), [("owner", "ownerid")]);
    assert_eq!(
        find("parentcustomerid"),
        [("account", "parentcustomerid_account"), ("contact", "parentcustomerid_contact")]
    );
    let back = small.get(
        "EntityDefinitions(LogicalName='account')/OneToManyRelationships?$select=ReferencingEntity,\
         ReferencedEntityNavigationPropertyName",
    );
    assert!(
        names(&back, "ReferencedEntityNavigationPropertyName")
            .contains(&"contact_customer_accounts".to_owned())
    );
    let pairs =
        small.get("RelationshipDefinitions/Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata");
    let first = &pairs["value"][0];
    assert!(first["IntersectEntityName"].is_string());
    let by_name = small.get(&format!(
        "RelationshipDefinitions(SchemaName='{}')",
        first["SchemaName"].as_str().unwrap()
    ));
    assert_eq!(by_name["MetadataId"], first["MetadataId"]);
}

#[test]
fn bad_metadata_reads_are_refused() {
    let small = Small::new();
    let account = "EntityDefinitions(LogicalName='account')";
    let cases = [
        ("EntityDefinitions(LogicalName='nope')".to_owned(), 404),
        ("EntityDefinitions(17)".to_owned(), 404),
        (format!("{account}/Attributes(LogicalName='nope')"), 404),
        (format!("{account}/Nothing"), 404),
        (format!("{account}?$select=Nothing"), 400),
        (format!("{account}?$expand=Nothing"), 400),
        (format!("{account}/Attributes?$select=MaxLength"), 400),
        (format!("{account}/Attributes?$expand=OptionSet"), 400),
        (format!("{account}/Attributes/Microsoft.Dynamics.CRM.EnumAttributeMetadata"), 400),
        (
            format!(
                "{account}/Attributes(LogicalName='name')/\
                 Microsoft.Dynamics.CRM.MemoAttributeMetadata"
            ),
            404,
        ),
        ("EntityDefinitions?$filter=startswith(LogicalName,'a')".to_owned(), 501),
        ("EntityDefinitions?$filter=contains(LogicalName,'a')".to_owned(), 501),
        ("EntityDefinitions?$filter=OwnershipType eq 'UserOwned'".to_owned(), 400),
        ("EntityDefinitions?$filter=Nothing eq 'a'".to_owned(), 400),
        ("GlobalOptionSetDefinitions?$filter=Name eq 'new_grade'".to_owned(), 400),
        ("EntityDefinitions?$filter=IsActivity eq 'true'".to_owned(), 400),
    ];
    for (url, status) in cases {
        assert_eq!(small.refused(&url).0, status, "{url}");
    }
}

#[test]
fn bulk_messages_are_found_by_their_filters() {
    let small = Small::new();
    let ask = |message: &str, table: &str| {
        [
            format!(
                "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq \
                 @message and primaryobjecttypecode eq @table&@message='{message}'&@table='{table}'"
            ),
            format!(
                "sdkmessagefilters?%24select=sdkmessagefilterid&%24filter=sdkmessageid/name+eq+\
                 %27{message}%27+and+primaryobjecttypecode+eq+%27{table}%27"
            ),
        ]
        .map(|url| small.get(&url)["value"].as_array().unwrap().len())
    };
    assert_eq!(ask("CreateMultiple", "new_meter"), [1, 1]);
    assert_eq!(ask("createmultiple", "new_meter"), [1, 1]);
    assert_eq!(ask("CreateMultiple", "systemuser"), [0, 0]);
    assert_eq!(ask("UpsertMultiple", "new_meter"), [0, 0]);
    assert_eq!(ask("UpsertMultiple", "new_event"), [1, 1]);
    let message = small.get("sdkmessages?$select=name&$filter=name eq 'CreateMultiple'");
    assert_eq!(names(&message, "name"), ["CreateMultiple"]);
    let joined = small.get(
        "sdkmessagefilters?$filter=primaryobjecttypecode eq 'account'\
         &$expand=sdkmessageid($select=name)&$top=1",
    );
    assert!(joined["value"][0]["sdkmessageid"]["name"].is_string());
    let organization = small.get("organizations?$select=name");
    assert_eq!(names(&organization, "name"), ["unq0000contoso"]);
}

#[test]
fn changes_answer_whole_schemas_and_nothing_new() {
    let small = Small::new();
    let query = json!({
        "Criteria": { "FilterOperator": "And", "Conditions": [{
            "PropertyName": "LogicalName", "ConditionOperator": "In",
            "Value": { "Type": "System.String[]", "Value": "['account','new_meter']" },
        }]},
        "Properties": { "AllProperties": false, "PropertyNames": ["LogicalName", "Attributes"] },
        "AttributeQuery": { "Properties": { "PropertyNames": ["LogicalName", "MaxLength"] } },
    });
    let url = format!(
        "RetrieveMetadataChanges(Query=@p1)?@p1={}",
        crate::simulator::query::url::encode(&query.to_string())
    );
    let body = small.get(&url);
    let tables = body["EntityMetadata"].as_array().unwrap();
    assert_eq!(tables.len(), 2);
    let columns = tables[0]["Attributes"].as_array().unwrap();
    assert!(columns.iter().any(|c| c["LogicalName"] == "name" && c["MaxLength"].is_number()));
    let stamp = body["ServerVersionStamp"].as_str().unwrap();
    let again = small.get(&format!(
        "{}&@p3='{}'",
        url.replace("@p1)", "@p1,ClientVersionStamp=@p3)"),
        crate::simulator::query::url::encode(stamp)
    ));
    assert_eq!(again["EntityMetadata"], json!([]));
    assert_eq!(
        small.refused("RetrieveMetadataChanges(Query=@p1,ClientVersionStamp='old')?@p1={}").1,
        0x8004_4352
    );
}

#[test]
fn the_whole_schema_is_readable_xml() {
    let small = Small::new();
    let answer = small.try_get("$metadata", &[]).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let root = crate::simulator::query::fetch::xml::parse(
        text.split_once("?>").map_or(text.as_str(), |(_, rest)| rest),
    )
    .unwrap();
    let schema = &root.children[0].children[0];
    let account = schema
        .all("EntityType")
        .find(|e| e.attribute("Name") == Some("account"))
        .expect("account is there");
    let has = |kind: &str, name: &str| account.all(kind).any(|e| e.attribute("Name") == Some(name));
    assert!(has("Property", "_primarycontactid_value"));
    assert!(has("NavigationProperty", "primarycontactid"));
    assert!(has("NavigationProperty", "contact_customer_accounts"));
    // Every type that is named exists.
    let types: Vec<_> = schema.all("EntityType").filter_map(|e| e.attribute("Name")).collect();
    for entity in schema.all("EntityType") {
        let mut own: Vec<_> = entity
            .children
            .iter()
            .filter(|e| e.name.ends_with("Property"))
            .filter_map(|e| e.attribute("Name"))
            .collect();
        let before = own.len();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), before, "{:?} has a property twice", entity.attribute("Name"));
        for property in entity.all("NavigationProperty") {
            let kind = property.attribute("Type").unwrap();
            let bare = kind.trim_start_matches("Collection(").trim_end_matches(')');
            let bare = bare.trim_start_matches("mscrm.");
            assert!(types.contains(&bare), "{kind}");
        }
    }
    let root = small.get("");
    assert!(root["value"].as_array().unwrap().iter().any(|s| s["url"] == "accounts"));
}

#[test]
fn every_table_is_readable_the_way_a_loader_reads_it() {
    let small = Small::new();
    let tables = small.get(
        "EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,\
         PrimaryNameAttribute,IsActivity,IsIntersect,IsCustomEntity,TableType",
    );
    let tables = names(&tables, "LogicalName");
    assert_eq!(tables.len(), small.model.schema.tables.len());
    let casts = [
        ("String", "MaxLength,FormatName"),
        ("Memo", "MaxLength"),
        ("Integer", "MinValue,MaxValue"),
        ("BigInt", "MinValue,MaxValue"),
        ("Decimal", "MinValue,MaxValue,Precision"),
        ("Double", "MinValue,MaxValue,Precision"),
        ("Money", "MinValue,MaxValue,Precision,PrecisionSource,CalculationOf"),
        ("DateTime", "DateTimeBehavior,Format"),
        ("Boolean", "DefaultValue"),
        ("Picklist", "DefaultFormValue"),
        ("MultiSelectPicklist", "DefaultFormValue"),
        ("State", "LogicalName"),
        ("Status", "LogicalName"),
        ("Lookup", "Targets"),
        ("File", "MaxSizeInKB"),
        ("Image", "MaxSizeInKB,IsPrimaryImage,CanStoreFullImage"),
        ("UniqueIdentifier", "LogicalName"),
        ("EntityName", "LogicalName"),
    ];
    for table in &tables {
        let base = format!("EntityDefinitions(LogicalName='{table}')");
        let columns = small.get(&format!(
            "{base}/Attributes?$select=LogicalName,SchemaName,AttributeType,AttributeTypeName,\
             AttributeOf,IsPrimaryId,IsPrimaryName,IsLogical,IsValidForCreate,IsValidForUpdate,\
             IsValidForRead,IsSecured,RequiredLevel,SourceType,AutoNumberFormat"
        ));
        let mut seen = 0;
        for (cast, fields) in casts {
            let expand = match cast {
                "Boolean" => {
                    "&$expand=OptionSet($select=TrueOption,FalseOption),\
                     GlobalOptionSet($select=TrueOption,FalseOption)"
                }
                "Picklist" | "MultiSelectPicklist" | "State" | "Status" => {
                    "&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
                }
                _ => "",
            };
            let list = small.get(&format!(
                "{base}/Attributes/Microsoft.Dynamics.CRM.{cast}AttributeMetadata?\
                 $select=LogicalName,{fields}{expand}"
            ));
            let rows = list["value"].as_array().unwrap();
            seen += rows.len();
            assert!(rows.iter().all(|r| r["MetadataId"].is_string()), "{table} {cast}");
            if !expand.is_empty() && cast != "Boolean" {
                assert!(rows.iter().all(|r| r["OptionSet"]["Options"].is_array()), "{table}");
            }
        }
        let untyped = columns["value"].as_array().unwrap().iter();
        let untyped = untyped.filter(|c| c["AttributeTypeName"]["Value"] == "VirtualType").count();
        assert_eq!(seen + untyped, columns["value"].as_array().unwrap().len(), "{table}");
        small.get(&format!("{base}/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus"));
        small.get(&format!(
            "{base}/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,\
             ReferencingEntityNavigationPropertyName"
        ));
    }
}

#[test]
fn the_type_of_a_column_may_be_written_as_text() {
    let small = Small::new();
    let path = "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName&$filter=";
    let money = ["'Money'", "Microsoft.Dynamics.CRM.AttributeTypeCode'Money'"]
        .map(|kind| small.column(&format!("{path}AttributeType eq {kind}"), "LogicalName"));
    assert_eq!(money[0], money[1]);
    assert!(money[0].contains(&"revenue".to_owned()));
    let others = small.column(&format!("{path}AttributeType ne 'Money'"), "LogicalName");
    assert!(!others.contains(&"revenue".to_owned()) && others.contains(&"name".to_owned()));
}
