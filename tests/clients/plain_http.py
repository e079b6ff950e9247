"""Requests of the shapes Microsoft's Web API samples send, with nothing but Python's own library."""

import http.client
import json
import time
import urllib.parse
import uuid

from checks import Checks, equal, simulator

SIM = simulator()
HOST = urllib.parse.urlsplit(SIM["url"]).netloc
ROOT = "/api/data/v9.2/"
check = Checks()
line = http.client.HTTPConnection(HOST, timeout=60)


def token():
    form = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": SIM["users"][0]["client_id"],
            "client_secret": SIM["users"][0]["client_secret"],
            "scope": SIM["scope"],
        }
    )
    path = urllib.parse.urlsplit(SIM["token_url"]).path
    line.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    return json.load(line.getresponse())["access_token"]


TOKEN = token()


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {n.lower(): v for n, v in response.getheaders()}
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def made(self):
        url = self.headers["odata-entityid"]
        return url[url.rindex("(") + 1 : -1]


def send(method, path, body=None, **headers):
    """Sends one request; spaces and quotes are escaped as a URI class would do it."""
    path = path.removeprefix(SIM["url"])
    path = path if path.startswith("/") else ROOT + path
    path = urllib.parse.quote(path, safe="/?&=$@'(),:;*%+-._~!")
    every = {
        "Authorization": f"Bearer {TOKEN}",
        "Accept": "application/json",
        "OData-MaxVersion": "4.0",
        "OData-Version": "4.0",
        "If-None-Match": "null",
    }
    every.update({name.replace("_", "-"): value for name, value in headers.items()})
    if body is not None:
        every.setdefault("Content-Type", "application/json; charset=utf-8")
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body, indent=2)
    line.request(method, path, body, every)
    return Answer(line.getresponse())


ALL = 'odata.include-annotations="*"'
ids = {}


@check
def the_caller_is_known():
    who = send("GET", "WhoAmI")
    equal(who.status, 200)
    equal(who.json["UserId"], SIM["users"][0]["system_user_id"])
    assert int(who.headers["x-ms-dop-hint"]) > 0
    assert int(who.headers["x-ms-ratelimit-burst-remaining-xrm-requests"]) > 0
    equal(send("GET", "WhoAmI()").status, 200)
    equal(send("GET", "RetrieveVersion()").json["Version"].split(".")[:2], ["9", "2"])
    user = send("GET", f"systemusers({who.json['UserId']})?$select=fullname,applicationid")
    equal(user.json["applicationid"], SIM["users"][0]["client_id"])


@check
def basic_operations():
    made = send("POST", "contacts", {"firstname": "Rafel", "lastname": "Shillo"})
    equal((made.status, made.text), (204, ""))
    uri = made.headers["odata-entityid"]
    ids["rafel"] = made.made
    changed = send("PATCH", uri, {"annualincome": 80000, "jobtitle": "Junior"}, If_Match="*")
    equal((changed.status, changed.headers["odata-entityid"]), (204, uri))
    row = send("GET", uri + "?$select=fullname,annualincome,jobtitle,description", Prefer=ALL).json
    equal((row["fullname"], row["description"]), ("Rafel Shillo", None))
    equal(row["annualincome@OData.Community.Display.V1.FormattedValue"], "$80,000.00")
    equal(send("PUT", uri + "/telephone1", {"value": "555-0105"}).status, 204)
    equal(send("GET", uri + "/telephone1").json["value"], "555-0105")
    equal(send("DELETE", uri + "/telephone1").status, 204)
    equal(send("GET", uri + "/telephone1").status, 204)


@check
def rows_are_made_together_with_others():
    made = send(
        "POST",
        "accounts",
        {
            "name": "Fourth Coffee",
            "primarycontactid": {
                "firstname": "Susie",
                "lastname": "Curtis",
                "annualincome": 48000,
                "Contact_Tasks": [
                    {
                        "subject": f"Task {n}",
                        "scheduledstart": f"2023-04-2{n}T03:00:00+07:00",
                        "scheduledend": f"2023-04-2{n}T04:00:00+07:00",
                        "scheduleddurationminutes": 60,
                    }
                    for n in range(3)
                ],
            },
            "contact_customer_accounts": [
                {"firstname": "Ann", "lastname": "(sample)", "annualincome": 52000, "jobtitle": "Senior Buyer"},
                {"firstname": "Bob", "lastname": "(sample)", "annualincome": 58000, "jobtitle": "Manager"},
                {"firstname": "Cal", "lastname": "(sample)", "annualincome": 61000, "jobtitle": "Manager"},
            ],
            "Account_Tasks": [{"subject": "Call", "actualdurationminutes": 10}],
        },
    )
    equal((made.status, made.text), (204, ""))
    ids["coffee"] = made.made
    row = send(
        "GET",
        f"accounts({ids['coffee']})?$select=name,"
        "&$expand=primarycontactid($select=fullname,jobtitle,annualincome),"
        "contact_customer_accounts($select=fullname),Account_Tasks($select=subject,description)",
        Prefer=ALL,
    ).json
    equal(len(row["contact_customer_accounts"]), 3)
    equal([t["subject"] for t in row["Account_Tasks"]], ["Call"])
    susie = row["primarycontactid"]["contactid"]
    tasks = send(
        "GET",
        f"contacts({susie})?$select=fullname&$expand=Contact_Tasks($select=subject,scheduledstart)",
    ).json["Contact_Tasks"]
    equal(sorted(t["scheduledstart"] for t in tasks)[0], "2023-04-19T20:00:00Z")


@check
def rows_are_linked_and_unlinked():
    path = f"accounts({ids['coffee']})/contact_customer_accounts"
    body = {"@odata.id": f"{SIM['url']}{ROOT}contacts({ids['rafel']})"}
    equal(send("POST", path + "/$ref", body).status, 204)
    rows = send("GET", path + "?$select=fullname,jobtitle").json["value"]
    equal(len(rows), 4)
    equal(send("DELETE", f"{path}({ids['rafel']})/$ref").status, 204)
    equal(send("POST", path + "/$ref", body).status, 204)
    absolute = urllib.parse.quote(body["@odata.id"], safe="")
    equal(send("DELETE", f"{path}/$ref?$id={absolute}").status, 204)
    equal(len(send("GET", path + "?$select=contactid").json["value"]), 3)
    refs = send("GET", path + "/$ref")
    equal((refs.status, len(refs.json["value"])), (200, 3))
    single = f"accounts({ids['coffee']})/primarycontactid/$ref"
    equal(send("PUT", single, body).status, 204)
    equal(send("GET", single).json["@odata.id"], body["@odata.id"])
    equal(send("DELETE", single).status, 204)


@check
def conditional_operations():
    options = "?$select=name,revenue,telephone1,description"
    body = {"name": "Contoso", "telephone1": "555-0000", "revenue": 5000000}
    made = send("POST", "accounts" + options, body, Prefer="return=representation")
    equal((made.status, made.headers["preference-applied"]), (201, "return=representation"))
    row = made.json
    tag, path = row["@odata.etag"], f"accounts({row['accountid']})"
    equal(send("GET", path + options, If_None_Match=tag).status, 304)
    equal(send("PUT", path + "/telephone1", {"value": "555-0001"}).status, 204)
    fresh = send("GET", path + options, If_None_Match=tag)
    equal((fresh.status, fresh.json["telephone1"]), (200, "555-0001"))
    refused = send("DELETE", path, If_Match=tag)
    equal((refused.status, refused.code), (412, "0x80060882"))
    refused = send("PATCH", path, {"revenue": 6000000}, If_Match=tag)
    equal((refused.status, refused.code), (412, "0x80060882"))
    equal(send("PATCH", path, {"revenue": 6}, If_Match=fresh.json["@odata.etag"]).status, 204)
    refused = send("PATCH", path, {"revenue": 7}, If_None_Match="*")
    equal(refused.status, 412)
    equal(send("DELETE", path).status, 204)
    equal(send("DELETE", path).status, 404)


@check
def query_functions():
    of = f"_parentcustomerid_value eq {ids['coffee']}"

    def names(query):
        answer = send("GET", "contacts?$select=fullname,jobtitle,annualincome&" + query, Prefer=ALL)
        assert answer.status == 200, answer.text
        return [row["fullname"].split()[0] for row in answer.json["value"]]

    equal(len(names(f"$filter=contains(fullname,'(sample)') and {of}")), 3)
    hours = "Microsoft.Dynamics.CRM.LastXHours(PropertyName=@p1,PropertyValue=@p2)"
    equal(len(names(f"$filter={hours} and {of}&@p1='createdon'&@p2='1'")), 3)
    equal(names(f"$filter=contains(fullname,'(sample)') and annualincome gt 60000  and {of}"), ["Cal"])
    either = "(contains(jobtitle, 'senior') or contains(jobtitle,'manager'))"
    equal(len(names(f"$filter=contains(fullname,'(sample)') and {either} and {of}")), 3)
    ordered = f"$filter=contains(fullname,'(sample)')and {of}&$orderby=jobtitle asc, annualincome desc"
    equal(names(ordered), ["Cal", "Bob", "Ann"])
    aliases = (
        "$filter=contains(@p1,'(sample)') and @p2 eq @p3&$orderby=@p4 asc, @p5 desc"
        f"&@p1=fullname&@p2=_parentcustomerid_value&@p3={ids['coffee']}&@p4=jobtitle&@p5=annualincome"
    )
    equal(names(aliases), ["Cal", "Bob", "Ann"])
    equal(len(names(f"$filter={of}&$top=2")), 2)
    inside = (
        "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)"
        "&@p1='firstname'&@p2=[\"Ann\",\"Cal\"]"
    )
    equal(sorted(names(f"$filter={of} and {inside}")), ["Ann", "Cal"])
    count = send("GET", "contacts/$count")
    equal(count.status, 200)
    assert int(count.text.lstrip("\ufeff")) >= 5
    both = send("GET", f"contacts?$select=fullname&$filter={of}&$count=true").json
    equal(both["@odata.count"], 3)
    quoted = send("GET", f"accounts?$select=name&$filter=accountid eq '{ids['coffee']}'")
    equal(quoted.status, 400)
    equal(send("GET", "accounts?$filter=name in ('a','b')").code, "0x80060888")
    equal(send("GET", "accounts?$skip=5").status, 400)


@check
def pages_and_counts():
    query = "contacts?$select=fullname&$filter=contains(fullname,'(sample)')&$count=true"
    prefer = "odata.maxpagesize=2," + ALL
    first = send("GET", query, Prefer=prefer)
    equal(first.json["@Microsoft.Dynamics.CRM.totalrecordcount"], 3)
    second = send("GET", first.json["@odata.nextLink"], Prefer=prefer)
    equal((len(first.json["value"]), len(second.json["value"])), (2, 1))
    assert "@odata.nextLink" not in second.json
    total = send("GET", "RetrieveTotalRecordCount(EntityNames=@p1)?@p1=[\"contact\"]").json
    equal(total["EntityRecordCountCollection"]["Keys"], ["contact"])


@check
def expanded_and_aggregated():
    row = send(
        "GET", f"contacts({ids['rafel']})?$select=fullname&$expand=account_primary_contact($select=name)"
    ).json
    equal(row["account_primary_contact"], [])
    sums = send(
        "GET",
        f"accounts({ids['coffee']})/contact_customer_accounts?$apply=aggregate(annualincome with "
        "average as average, annualincome with sum as total, annualincome with min as minimum, "
        "annualincome with max as maximum)",
        Prefer=ALL,
    ).json["value"][0]
    equal((sums["average"], sums["total"]), (57000, 171000))
    equal(sums["total@OData.Community.Display.V1.FormattedValue"], "$171,000.00")
    deep = send(
        "GET",
        f"accounts?$select=name,accountid&$filter= accountid eq {ids['coffee']} &"
        "$expand=Account_Tasks($select=subject,description),contact_customer_accounts("
        "$select=fullname;$expand=owninguser($select=fullname,systemuserid))",
        Prefer=ALL,
    )
    equal(deep.status, 200)
    contact = deep.json["value"][0]["contact_customer_accounts"][0]
    equal(contact["owninguser"]["systemuserid"], SIM["users"][0]["system_user_id"])
    tasks = send(
        "GET",
        "tasks?$select=subject&$filter=regardingobjectid_contact_task/lastname eq 'Curtis'"
        "&$expand=regardingobjectid_contact_task($select=fullname;"
        "$expand=parentcustomerid_account($select=name;$expand=createdby($select=fullname)))",
        Prefer=ALL,
    )
    equal((tasks.status, len(tasks.json["value"])), (200, 3))


def multipart(parts, boundary):
    text = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    return text.encode()


def part(method, path, body=None, content_id=None, headers=""):
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
    if content_id:
        head += f"Content-ID: {content_id}\r\n"
    if body is not None:
        headers += "Content-Type: application/json; type=entry\r\n"
    text = "" if body is None else json.dumps(body)
    return f"{head}\r\n{method} {path} HTTP/1.1\r\n{headers}\r\n{text}"


def batch(*parts, **headers):
    kind = 'multipart/mixed; boundary="batch_77"'
    return send("POST", "$batch", multipart(parts, "batch_77"), Content_Type=kind, **headers)


def change_set(*parts, boundary="changeset_1"):
    body = multipart(parts, boundary).decode()
    return f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n{body}'


@check
def fetchxml():
    xml = (
        "<fetch mapping='logical' output-format='xml-platform' version='1.0' distinct='false'{}>"
        "<entity name ='contact'><attribute name ='fullname' /><attribute name ='jobtitle' />"
        "<order descending ='true' attribute='fullname' /><filter type ='and'>"
        "<condition value ='%(sample)%' attribute='fullname' operator='like' />"
        f"<condition value ='{ids['coffee']}' attribute='parentcustomerid' operator='eq' />"
        "</filter></entity></fetch>"
    )

    def query(more):
        return "contacts?fetchXml=" + urllib.parse.quote(xml.format(more), safe="")

    inner = part("GET", f"{ROOT}{query('')}", headers=f"Prefer: {ALL}\r\n")
    answer = batch(inner)
    equal(answer.status, 200)
    assert "Cal (sample)" in answer.text, answer.text
    page = send("GET", query(" count='2' page='2'"), Prefer=ALL).json
    equal([row["fullname"][:3] for row in page["value"]], ["Ann"])
    first = send("GET", query(" count='2' page='1' paging-cookie=''"), Prefer=ALL).json
    equal(first["@Microsoft.Dynamics.CRM.morerecords"], True)
    outer = first["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"]
    cookie = outer.split('pagingcookie="')[1].split('"')[0]
    cookie = urllib.parse.unquote(urllib.parse.unquote(cookie))
    for mark, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&apos;")):
        cookie = cookie.replace(mark, escaped)
    second = send("GET", query(f" count='2' page='2' paging-cookie='{cookie}'"), Prefer=ALL).json
    equal(len(second["value"]), 1)
    assert "@Microsoft.Dynamics.CRM.morerecords" not in second


@check
def batches():
    answer = batch(
        change_set(
            part("POST", ROOT + "accounts", {"name": "Set"}, 1),
            part(
                "POST",
                ROOT + "contacts",
                {"lastname": "Set", "parentcustomerid_account@odata.bind": "$1"},
                2,
            ),
            part("PUT", "$1/telephone1", {"value": "5"}, 3),
            part("PUT", "$1/primarycontactid/$ref", {"@odata.id": "$2"}, 4),
        ),
        part("PATCH", SIM["url"] + ROOT + "accounts(accountnumber='K1')", {"name": "Keyed"}),
        part("GET", ROOT + "accounts?$top=1&$select=name", headers="Accept: application/json\r\n"),
    )
    equal(answer.status, 200)
    assert answer.headers["content-type"].startswith("multipart/mixed; boundary=batchresponse_")
    equal(answer.text.count("HTTP/1.1 204 No Content"), 5)
    equal(answer.text.count("HTTP/1.1 200 OK"), 1)
    failing = part("POST", ROOT + "tasks", {"subject": "x" * 201})
    good = part("POST", ROOT + "tasks", {"subject": "fine"})
    stopped = batch(good, failing, good)
    equal((stopped.status, stopped.text.count("HTTP/1.1 ")), (400, 2))
    whole = batch(good, failing, good, Prefer="odata.continue-on-error")
    equal((whole.status, whole.text.count("HTTP/1.1 204")), (200, 2))
    assert "0x80044331" in whole.text
    unknown = batch(change_set(part("PATCH", "$7", {"name": "x"}, 1)))
    assert "Content-ID Reference: '$7' does not exist in the batch context." in unknown.text
    double = batch(change_set(part("DELETE", "$1", None, 1), part("DELETE", "$1", None, 1)))
    equal((double.status, double.json["ErrorCode"]), (400, "0x0"))
    equal(batch(*[good] * 1001).status, 400)
    equal(send("POST", "$batch", "{}", Content_Type="application/json").status, 415)


@check
def bulk_messages():
    def available(table, message):
        filters = (
            "sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq "
            f"'{message}' and primaryobjecttypecode eq '{table}'"
        )
        return len(send("GET", filters, Consistency="Strong").json["value"]) == 1

    equal([available("new_simple", m + "Multiple") for m in ("Create", "Update")], [True, True])
    equal(available("team", "CreateMultiple"), False)
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.new_simple"}
    path = "new_simples/Microsoft.Dynamics.CRM."
    rows = [{**kind, "new_name": f"Bulk {n}", "new_code": f"http-{n}"} for n in range(20)]
    made = send(
        "POST", path + "CreateMultiple?tag=load", {"Targets": rows},
        **{"MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync"},
    )
    equal(made.status, 200)
    assert made.json["@odata.context"].endswith("#Microsoft.Dynamics.CRM.CreateMultipleResponse")
    made = made.json["Ids"]
    rows = [{**kind, "new_simpleid": i, "new_quantity": 5} for i in made]
    equal(send("POST", path + "UpdateMultiple", {"Targets": rows}).status, 204)
    rows = [
        {**kind, "@odata.id": f"new_simples(new_code='http-{n}')", "new_quantity": 6}
        for n in range(18, 22)
    ]
    equal(send("POST", path + "UpsertMultiple", {"Targets": rows}).status, 204)
    count = send("GET", "new_simples?$select=new_code&$filter=startswith(new_code,'http-')&$count=true")
    equal(count.json["@odata.count"], 22)
    taken = send("POST", path + "CreateMultiple", {"Targets": [{**kind, "new_simpleid": made[0]}]})
    equal((taken.status, taken.code), (412, "0x80040237"))
    missing = {**kind, "new_simpleid": str(uuid.uuid4()), "new_quantity": 1}
    gone = send("POST", path + "UpdateMultiple", {"Targets": [missing]})
    equal((gone.status, gone.code), (404, "0x80040217"))
    job = send(
        "POST",
        "BulkDelete",
        {
            "JobName": "clean",
            "SendEmailNotification": False,
            "ToRecipients": [],
            "CCRecipients": [],
            "RecurrencePattern": "",
            "StartDateTime": "2025-01-01T00:00:00Z",
            "QuerySet": [
                {
                    "@odata.type": "Microsoft.Dynamics.CRM.QueryExpression",
                    "EntityName": "new_simple",
                    "ColumnSet": {},
                    "Criteria": {
                        "FilterOperator": "And",
                        "Conditions": [
                            {
                                "AttributeName": "new_simpleid",
                                "Operator": "In",
                                "Values": [{"Value": i, "Type": "System.Guid"} for i in made],
                            }
                        ],
                    },
                }
            ],
        },
    )
    equal(job.status, 200)
    poll = f"asyncoperations({job.json['JobId']})?$select=statecode,statuscode"
    for _ in range(100):
        state = send("GET", poll).json
        if state["statecode"] == 3:
            break
        time.sleep(0.05)
    equal((state["statecode"], state["statuscode"]), (3, 30))
    left = send("GET", "new_simples?$select=new_code&$filter=startswith(new_code,'http-')")
    equal(sorted(row["new_code"] for row in left.json["value"]), ["http-20", "http-21"])


@check
def elastic_tables():
    row = {"new_name": "E", "partitionid": "P1"}
    made = send("POST", "new_events", row)
    equal(made.status, 204)
    session = made.headers["x-ms-session-token"]
    key = made.headers["odata-entityid"].split("(")[1].split(",")[0].split("=")[-1].rstrip(")")
    read = send("GET", f"new_events({key})?partitionId=P1", **{"MSCRM.SessionToken": session})
    equal(read.json["new_name"], "E")
    equal(send("GET", f"new_events({key})").status, 404)
    path = f"new_events(new_eventid={key},partitionid='P1')"
    equal(send("PATCH", path, {"new_device": "d"}).status, 204)
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.new_event", "partitionid": "P1"}
    bulk = "new_events/Microsoft.Dynamics.CRM."
    targets = [{**kind, "new_name": str(n)} for n in range(3)] + [{**kind, "new_eventid": key}]
    partial = send("POST", bulk + "CreateMultiple", {"Targets": targets}, Prefer=ALL)
    assert 400 <= partial.status < 500
    name = "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"
    details = json.loads(partial.json["error"][name])
    equal([(d["RequestIndex"], d["StatusCode"]) for d in details], [(3, 409)])
    targets = [{**kind, "new_eventid": key}]
    equal(send("POST", bulk + "DeleteMultiple", {"Targets": targets}).status, 204)
    equal(send("GET", path).status, 404)


@check
def change_tracking():
    query = "accounts?$select=name,accountnumber"
    first = send("GET", query, Prefer="odata.track-changes")
    assert "odata.track-changes" in first.headers["preference-applied"]
    link = first.json["@odata.deltaLink"]
    equal(send("GET", link).json["value"], [])
    made = send("POST", "accounts", {"name": "Seen"}).made
    gone = send("POST", "accounts", {"name": "Gone"}).made
    old = first.json["value"][0]["accountid"]
    equal(send("DELETE", f"accounts({old})").status, 204)
    equal(send("DELETE", f"accounts({gone})").status, 204)
    changes = send("GET", link).json
    by_id = {row.get("accountid") or row["id"]: row for row in changes["value"]}
    equal(set(by_id), {made, old, gone})
    equal(by_id[made]["name"], "Seen")
    equal(by_id[gone]["reason"], "deleted")
    equal(by_id[old]["reason"], "deleted")
    assert by_id[old]["@odata.context"].endswith("#accounts/$deletedEntity")
    equal(send("GET", changes["@odata.deltaLink"]).json["value"], [])
    filtered = send("GET", query + "&$filter=name eq 'x'", Prefer="odata.track-changes")
    equal(filtered.status, 400)
    untracked = send("GET", "systemusers?$select=fullname", Prefer="odata.track-changes")
    equal(untracked.code, "0x80072491")


@check
def keys_and_references():
    equal(send("PATCH", "accounts(accountnumber='A 1')", {"name": "One"}).status, 204)
    row = send("GET", "accounts(accountnumber='a 1')?$select=name").json
    equal(row["name"], "One")
    equal(send("GET", f"accounts(accountid={row['accountid']})?$select=name").status, 200)
    bad = send("GET", "accounts(accountnumber='A%2FB')?$select=name")
    assert bad.status in (400, 404)
    equal(send("GET", "accounts(nokey='x')").status, 400)
    equal(send("GET", f"systemusers(systemuserid={SIM['users'][0]['system_user_id']})").status, 400)
    equal(send("GET", f"systemusers(ownerid={SIM['users'][0]['system_user_id']})").status, 200)
    lookup = {"primarycontactid@odata.bind": "/contacts(emailaddress1='no@such.test')"}
    missing = send("POST", "accounts", {"name": "x", **lookup})
    assert missing.status in (400, 404), missing.text
    case = send("POST", "accounts", {"name": "x", "PrimaryContactId@odata.bind": "/contacts(1)"})
    equal((case.status, case.code), (400, "0x80048d19"))


@check
def metadata():
    table = send("GET", "EntityDefinitions(LogicalName='account')?$select=EntitySetName,TableType").json
    equal((table["EntitySetName"], table["TableType"]), ("accounts", "Standard"))
    columns = send(
        "GET",
        "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM."
        "PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options),"
        "GlobalOptionSet($select=Options)",
    ).json["value"]
    assert any(c["LogicalName"] == "industrycode" for c in columns)
    typed = (
        "EntityDefinitions?$select=LogicalName&$filter=OwnershipType eq "
        "Microsoft.Dynamics.CRM.OwnershipTypes'UserOwned' and IsCustomEntity eq true"
    )
    assert send("GET", typed).json["value"]
    equal(send("GET", "EntityDefinitions?$filter=startswith(LogicalName,'a')").status, 501)
    query = {
        "Criteria": {
            "FilterOperator": "And",
            "Conditions": [
                {
                    "ConditionOperator": "Equals",
                    "PropertyName": "LogicalName",
                    "Value": {"Type": "System.String", "Value": "account"},
                }
            ],
        },
        "Properties": {"AllProperties": False, "PropertyNames": ["MetadataId"]},
    }
    text = urllib.parse.quote(json.dumps(query), safe="")
    found = send("GET", f"RetrieveMetadataChanges(Query=@p1)?@p1={text}").json
    equal(len(found["EntityMetadata"]), 1)
    assert found["ServerVersionStamp"]
    key = send("GET", "EntityDefinitions(LogicalName='account')/Keys(LogicalName='accountnumberkey')")
    equal((key.status, key.json["EntityKeyIndexStatus"]), (200, "Active"))
    document = send("GET", "")
    assert any(s["url"] == "accounts" for s in document.json["value"])
    assert "<edmx:Edmx" in send("GET", "$metadata", Accept="application/xml").text


check.done()
