"""Microsoft's Python SDK for Dataverse, as published, against the local Dataverse."""

import json
import time
import urllib.parse
import urllib.request
import uuid

import requests
from azure.core.credentials import AccessToken, TokenCredential
from checks import Checks, equal, refused, simulator
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models import UpsertItem
from PowerPlatform.Dataverse.models.filters import col

SIM = simulator()
USER = SIM["users"][0]
check = Checks()

# The SDK insists on https; the local Dataverse speaks plain HTTP on the loopback interface.
_send = requests.Session.request


def _plain(self, method, url, **options):
    return _send(self, method, url.replace("https://127.0.0.1", "http://127.0.0.1"), **options)


requests.Session.request = _plain


class Secret(TokenCredential):
    """The client-credentials flow without a detour through the cloud's discovery documents."""

    def get_token(self, *scopes, **_):
        form = {
            "grant_type": "client_credentials",
            "client_id": USER["client_id"],
            "client_secret": USER["client_secret"],
            "scope": scopes[0].replace("https://", "http://"),
        }
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(SIM["token_url"], data) as answer:
            body = json.load(answer)
        return AccessToken(body["access_token"], int(time.time()) + body["expires_in"])


client = DataverseClient(SIM["url"].replace("http://", "https://"), Secret())


def status(code, service_code=None):
    def fits(error):
        return (
            isinstance(error, HttpError)
            and error.status_code == code
            and service_code in (None, error.details.get("service_error_code"))
        )

    return fits


ids = {}


@check
def one_row_is_created_and_read():
    ids["one"] = client.records.create(
        "account", {"name": "Northwind", "numberofemployees": 5, "industrycode": "Brokers"}
    )
    row = client.records.retrieve(
        "account",
        ids["one"],
        select=["name", "numberofemployees", "industrycode"],
        include_annotations="*",
    )
    equal(row["name"], "Northwind")
    equal(row["numberofemployees"], 5)
    equal(row["industrycode"], 4)
    equal(row["industrycode@OData.Community.Display.V1.FormattedValue"], "Brokers")


@check
def schema_names_address_columns():
    row = client.records.create("new_Simple", {"new_Name": "S", "new_Code": "sdk-1", "new_Grade": "High"})
    got = client.records.retrieve("new_Simple", row, select=["new_Name", "new_Code"])
    equal((got["new_name"], got["new_code"]), ("S", "sdk-1"))


@check
def a_missing_row_reads_as_none():
    equal(client.records.retrieve("account", str(uuid.uuid4())), None)


@check
def many_rows_are_created_updated_and_deleted():
    made = client.records.create("account", [{"name": f"Many {n:04}"} for n in range(250)])
    equal(len(set(made)), 250)
    client.records.update("account", made, {"description": "all"})
    client.records.update("account", made[:2], [{"telephone1": "1"}, {"telephone1": "2"}])
    got = client.records.retrieve("account", made[1], select=["description", "telephone1"])
    equal((got["description"], got["telephone1"]), ("all", "2"))
    ids["many"] = made


@check
def all_pages_are_read():
    pages = list(
        client.records.list_pages(
            "account",
            filter="startswith(name,'Many ')",
            select=["name"],
            orderby=["name"],
            page_size=100,
        )
    )
    equal([len(page.records) for page in pages], [100, 100, 50])
    names = [row["name"] for page in pages for row in page.records]
    equal(names, sorted(names))
    equal(len(set(names)), 250)


@check
def queries_are_built():
    rows = (
        client.query.builder("account")
        .select("name", "telephone1")
        .where((col("telephone1") == "2") | (col("name") == "Many 0000"))
        .order_by("name")
        .execute()
    )
    equal([row["name"] for row in rows], ["Many 0000", "Many 0001"])
    rows = (
        client.query.builder("account")
        .select("name")
        .where(col("name").contains("y 000"))
        .where(col("description").is_not_null())
        .order_by("name", descending=True)
        .top(3)
        .count()
        .execute()
    )
    equal([row["name"] for row in rows], ["Many 0009", "Many 0008", "Many 0007"])
    rows = (
        client.query.builder("account")
        .select("name")
        .where(col("name").in_(["Many 0002", "Many 0003"]) & ~(col("name") == "Many 0003"))
        .execute()
    )
    equal([row["name"] for row in rows], ["Many 0002"])


@check
def fetchxml_is_paged_by_cookie():
    xml = (
        '<fetch count="90"><entity name="account"><attribute name="name"/>'
        '<filter><condition attribute="name" operator="like" value="Many %"/></filter>'
        '<order attribute="name"/></entity></fetch>'
    )
    pages = list(client.query.fetchxml(xml).execute_pages())
    equal([len(page.records) for page in pages], [90, 90, 70])
    equal(len({row["name"] for page in pages for row in page.records}), 250)


@check
def sql_is_refused():
    refused(lambda: client.query.sql("SELECT TOP 3 name FROM account"), status(400))


@check
def keys_upsert_one_row():
    item = UpsertItem(alternate_key={"accountnumber": "SDK-1"}, record={"name": "first"})
    client.records.upsert("account", [item])
    client.records.upsert("account", [UpsertItem(item.alternate_key, {"name": "second"})])
    rows = client.records.list("account", filter="accountnumber eq 'SDK-1'", select=["name"])
    equal([row["name"] for row in rows.records], ["second"])


@check
def keys_upsert_many_rows():
    for turn in ("made", "changed"):
        items = [
            UpsertItem(alternate_key={"accountnumber": f"SDK-M{n}"}, record={"name": f"{turn} {n}"})
            for n in range(30)
        ]
        client.records.upsert("account", items)
    rows = client.records.list(
        "account", filter="startswith(accountnumber,'SDK-M')", select=["name"], count=True
    )
    equal(len(rows.records), 30)
    equal({row["name"].split()[0] for row in rows.records}, {"changed"})


@check
def lookups_are_bound_and_expanded():
    contact = client.records.create(
        "contact", {"lastname": "Ng", "parentcustomerid_account@odata.bind": f"/accounts({ids['one']})"}
    )
    client.records.update(
        "account", ids["one"], {"primarycontactid@odata.bind": f"/contacts({contact})"}
    )
    row = client.records.retrieve(
        "account", ids["one"], select=["name"], expand=["primarycontactid"], include_annotations="*"
    )
    equal(row["primarycontactid"]["lastname"], "Ng")
    row = client.records.retrieve("contact", contact, include_annotations="*")
    equal(row["_parentcustomerid_value"], ids["one"])
    equal(row["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "account")
    equal(row["_parentcustomerid_value@OData.Community.Display.V1.FormattedValue"], "Northwind")
    ids["contact"] = contact


@check
def a_nested_expand_is_read():
    from PowerPlatform.Dataverse.models.query_builder import ExpandOption

    rows = (
        client.query.builder("account")
        .select("name")
        .where(col("accountid") == uuid.UUID(ids["one"]))
        .expand(ExpandOption("contact_customer_accounts").select("lastname").top(5))
        .execute()
    )
    equal([c["lastname"] for c in list(rows)[0]["contact_customer_accounts"]], ["Ng"])
    quoted = client.query.builder("account").select("name").where(col("accountid") == ids["one"])
    refused(quoted.execute, status(400))


@check
def binds_are_found_through_metadata():
    pairs = client.query.odata_expands("contact")
    wanted = {(p["nav_property"], p["target_table"]) for p in pairs}
    assert ("parentcustomerid_account", "account") in wanted, wanted
    bind = client.query.odata_bind("contact", "account", ids["one"])
    assert isinstance(bind, dict) and bind, bind
    names = client.query.odata_select("account")
    assert "name" in names and "accountid" in names
    columns = {c["name"]: c for c in client.query.sql_columns("account")}
    assert columns["name"]["is_name"] and columns["accountid"]["is_pk"], columns["name"]


@check
def a_batch_runs_part_by_part():
    batch = client.batch.new()
    batch.records.create("account", {"name": "batch one"})
    batch.records.create("account", [{"name": "batch two"}, {"name": "batch three"}])
    batch.records.update("account", ids["one"], {"telephone1": "9"})
    batch.records.retrieve("account", ids["one"], select=["telephone1"])
    batch.records.list("account", filter="startswith(name,'batch ')", select=["name"], top=9)
    batch.records.upsert("account", [UpsertItem({"accountnumber": "SDK-B"}, {"name": "b"})])
    batch.tables.get("account")
    batch.tables.list(filter="SchemaName eq 'Account'", select=["LogicalName"])
    result = batch.execute()
    equal([r.status_code for r in result.responses], [204, 200, 204, 200, 200, 204, 200, 200])
    equal(result.responses[3].data["telephone1"], "9")
    equal(len(result.responses[4].data["value"]), 3)
    equal(len(result.responses[1].data["Ids"]), 2)
    assert result.responses[0].entity_id
    equal(result.responses[7].data["value"][0]["LogicalName"], "account")


@check
def a_batch_stops_at_its_first_error():
    batch = client.batch.new()
    batch.records.create("account", {"name": "before"})
    batch.records.create("account", {"name": "x" * 161})
    batch.records.create("account", {"name": "after"})
    result = batch.execute()
    equal([r.status_code for r in result.responses], [204, 400])
    equal(result.responses[1].error_code, "0x80044331")
    batch = client.batch.new()
    batch.records.create("account", {"name": "x" * 161})
    batch.records.create("account", {"name": "after"})
    result = batch.execute(continue_on_error=True)
    equal([r.status_code for r in result.responses], [400, 204])


@check
def a_change_set_refers_to_its_own_rows():
    batch = client.batch.new()
    with batch.changeset() as changes:
        account = changes.records.create("account", {"name": "set"})
        contact = changes.records.create(
            "contact", {"lastname": "Set", "parentcustomerid_account@odata.bind": account}
        )
        changes.records.update("account", account, {"primarycontactid@odata.bind": contact})
    with batch.changeset() as changes:
        row = changes.records.create("account", {"name": "gone"})
        changes.records.delete("account", row)
    result = batch.execute()
    equal([r.status_code for r in result.responses], [204, 204, 204, 204, 204])
    equal([r.content_id for r in result.responses], ["1", "2", "3", "4", "5"])
    made = result.responses[0].entity_id
    row = client.records.retrieve("account", made, expand=["primarycontactid"])
    equal(row["primarycontactid"]["lastname"], "Set")


@check
def a_failed_change_set_leaves_nothing():
    batch = client.batch.new()
    with batch.changeset() as changes:
        changes.records.create("account", {"name": "never"})
        changes.records.create("account", {"name": "x" * 161})
    batch.records.create("account", {"name": "later"})
    result = batch.execute(continue_on_error=True)
    equal([r.status_code for r in result.responses], [400, 204])
    equal(client.records.list("account", filter="name eq 'never'", select=["name"]).records, [])


@check
def tables_columns_keys_and_relationships_are_described():
    equal(client.tables.get("account").entity_set_name, "accounts")
    equal(client.tables.get("nowhere"), None)
    names = {t["LogicalName"] for t in client.tables.list(select=["LogicalName"])}
    assert {"account", "contact", "new_simple"} <= names
    columns = client.tables.list_columns("account", select=["LogicalName", "AttributeType"])
    types = {c["LogicalName"]: c["AttributeType"] for c in columns}
    equal((types["name"], types["revenue"], types["industrycode"]), ("String", "Money", "Picklist"))
    strings = client.tables.list_columns("account", filter="AttributeType eq 'String'")
    assert strings and all(c["AttributeType"] == "String" for c in strings)
    typed = {c["LogicalName"]: c for c in client.tables.list_columns("account", typed=True)}
    equal(typed["name"]["MaxLength"], 160)
    equal(typed["numberofemployees"]["MaxValue"], 1000000000)
    equal(client.tables.get_column("account", "name", typed=True)["MaxLength"], 160)
    equal(client.tables.get_column("account", "name")["SchemaName"], "Name")
    equal(client.tables.get_column("account", "nowhere"), None)
    keys = client.tables.get_alternate_keys("account")
    equal([list(k.key_attributes) for k in keys], [["accountnumber"]])
    equal(keys[0].status, "Active")
    relations = client.tables.list_table_relationships("account")
    assert any(r["SchemaName"] == "contact_customer_accounts" for r in relations)
    filtered = client.tables.list_relationships(
        filter="RelationshipType eq "
        "Microsoft.Dynamics.CRM.RelationshipType'ManyToManyRelationship'"
    )
    assert any(r["SchemaName"] == "new_meter_contact" for r in filtered), filtered
    one = client.tables.get_relationship("contact_customer_accounts")
    equal((one.referenced_entity, one.referencing_entity), ("account", "contact"))


@check
def errors_carry_codes():
    refused(
        lambda: client.records.create("account", {"name": "x" * 161}), status(400, "0x80044331")
    )
    refused(
        lambda: client.records.create("account", {"nowhere": 1}), status(400, "0x80048d19")
    )
    refused(
        lambda: client.records.update("account", str(uuid.uuid4()), {"name": "n"}),
        status(404, "0x80040217"),
    )
    taken = [{"accountnumber": "SDK-1", "name": "again"}]
    refused(lambda: client.records.create("account", taken), status(412, "0x80060892"))
    unknown = {"Primarycontactid@odata.bind": f"/contacts({ids['contact']})"}
    refused(lambda: client.records.create("account", unknown), status(400, "0x80048d19"))


@check
def data_frames_go_there_and_back():
    import pandas as pd

    frame = pd.DataFrame([{"name": f"Frame {n}", "numberofemployees": n} for n in range(5)])
    made = client.dataframe.create("account", frame)
    equal(len(made), 5)
    frame["accountid"] = made
    frame["numberofemployees"] = frame["numberofemployees"] + 1
    client.dataframe.update("account", frame[["accountid", "numberofemployees"]], id_column="accountid")
    rows = client.records.list(
        "account", filter="startswith(name,'Frame ')", orderby=["name"], select=["numberofemployees"]
    )
    equal([r["numberofemployees"] for r in rows.records], [1, 2, 3, 4, 5])


@check
def rows_are_deleted():
    client.records.delete("account", ids["one"])
    equal(client.records.retrieve("account", ids["one"], select=["name"]), None)
    refused(lambda: client.records.delete("account", ids["one"]), status(404, "0x80040217"))
    client.records.delete("account", ids["many"][:3], use_bulk_delete=False)
    job = client.records.delete("account", ids["many"][3:])
    assert job, "no job id"
    for _ in range(100):
        left = client.records.list("account", filter="startswith(name,'Many ')", select=["name"])
        if not left.records:
            return
        time.sleep(0.05)
    raise AssertionError(f"{len(left.records)} rows are left")


check.done()
