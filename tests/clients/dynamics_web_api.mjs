// DynamicsWebApi, the most used JavaScript client of Dataverse, against the local Dataverse.

import { randomUUID } from "node:crypto";
import { DynamicsWebApi } from "dynamics-web-api";
import { check, done, equal, refused, simulator } from "./checks.mjs";

async function token(user) {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: user.client_id,
    client_secret: user.client_secret,
    scope: simulator.scope,
  });
  const answer = await fetch(simulator.token_url, { method: "POST", body: form });
  return (await answer.json()).access_token;
}

const tokens = await Promise.all(simulator.users.map(token));
const api = new DynamicsWebApi({
  serverUrl: simulator.url,
  dataApi: { version: "9.2" },
  onTokenRefresh: async () => tokens[0],
});
const ids = {};

await check("functions answer", async () => {
  const who = await api.callFunction("WhoAmI");
  equal(who.UserId, simulator.users[0].system_user_id);
  equal(who.OrganizationId, simulator.organization_id);
  const version = await api.callFunction("RetrieveVersion");
  equal(version.Version.startsWith("9.2."), true);
});

await check("a row is created and read back", async () => {
  ids.account = await api.create({ collection: "accounts", data: { name: "Fabrikam" } });
  equal(/^[0-9a-f-]{36}$/.test(ids.account), true);
  const row = await api.retrieve({
    collection: "accounts",
    key: ids.account,
    select: ["name", "_ownerid_value", "statecode"],
    includeAnnotations: "*",
  });
  equal(row.name, "Fabrikam");
  equal(row["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "systemuser");
  equal(row["statecode@OData.Community.Display.V1.FormattedValue"], "Active");
});

await check("a representation is returned", async () => {
  const row = await api.create({
    collection: "accounts",
    data: { name: "Shown", accountnumber: "DWA-1" },
    select: ["name"],
    returnRepresentation: true,
  });
  equal([row.name, row.accountnumber, typeof row.accountid], ["Shown", undefined, "string"]);
  const changed = await api.update({
    collection: "accounts",
    key: row.accountid,
    data: { name: "Shown again" },
    select: ["name"],
    returnRepresentation: true,
  });
  equal(changed.name, "Shown again");
  ids.shown = row.accountid;
});

await check("entity tags guard updates and deletes", async () => {
  const row = await api.retrieve({ collection: "accounts", key: ids.account, select: ["name"] });
  const etag = row["@odata.etag"];
  const fresh = await api.update({
    collection: "accounts", key: ids.account, ifmatch: etag, data: { name: "Fabrikam 2" },
    returnRepresentation: true, select: ["name"],
  });
  equal(fresh.name, "Fabrikam 2");
  // The client answers false when the service answers 412.
  const stale = await api.update({
    collection: "accounts", key: ids.account, ifmatch: etag, data: { name: "Fabrikam 3" },
  });
  equal(stale, false);
  equal(await api.deleteRecord({ collection: "accounts", key: ids.account, ifmatch: etag }), false);
  // Answered 304, which the client turns into nothing.
  equal(await api.retrieve({
    collection: "accounts", key: ids.account, select: ["name"],
    ifnonematch: fresh["@odata.etag"],
  }), undefined);
});

await check("upserts make, change, or hold back", async () => {
  const key = randomUUID();
  const upsert = (data, more) => api.upsert({ collection: "contacts", key, data, ...more });
  equal(await upsert({ lastname: "One" }, { ifmatch: "*" }), null);
  equal(await upsert({ lastname: "One" }), key);
  equal(await upsert({ lastname: "Two" }, { ifnonematch: "*" }), null);
  const row = await upsert({ lastname: "Three" }, { returnRepresentation: true, select: ["lastname"] });
  equal(row.lastname, "Three");
  ids.contact = key;
});

await check("alternate keys address rows", async () => {
  const key = "accountnumber='DWA-K'";
  await api.upsert({ collection: "accounts", key, data: { name: "By key" } });
  await api.upsert({ collection: "accounts", key, data: { name: "By key 2" } });
  const row = await api.retrieve({ collection: "accounts", key, select: ["name", "accountnumber"] });
  equal([row.name, row.accountnumber], ["By key 2", "DWA-K"]);
  await api.deleteRecord({ collection: "accounts", key });
  await refused(
    () => api.retrieve({ collection: "accounts", key, select: ["name"] }), 404, "0x80060891");
  await refused(
    () => api.retrieve({ collection: "accounts", key: "name='x'", select: ["name"] }),
    400, "0x80060888");
});

await check("single properties are set, read and cleared", async () => {
  await api.updateSingleProperty({
    collection: "accounts", key: ids.account, fieldValuePair: { telephone1: "555" },
  });
  const read = () => api.retrieve({
    collection: "accounts", key: ids.account, navigationProperty: "telephone1",
  }).catch((error) => error);
  equal((await read()).value, "555");
  await api.deleteRecord({ collection: "accounts", key: ids.account, fieldName: "telephone1" });
  const row = await api.retrieve({ collection: "accounts", key: ids.account, select: ["telephone1"] });
  equal(row.telephone1, null);
});

await check("bulk messages are called as bound actions", async () => {
  const call = (actionName, Targets) =>
    api.callAction({ collection: "accounts", actionName, action: { Targets } });
  const type = "Microsoft.Dynamics.CRM.account";
  const rows = Array.from({ length: 120 }, (_, n) => ({ "@odata.type": type, name: `Bulk ${n}` }));
  const { Ids } = await call("Microsoft.Dynamics.CRM.CreateMultiple", rows);
  equal(Ids.length, 120);
  await call("Microsoft.Dynamics.CRM.UpdateMultiple",
    Ids.map((accountid) => ({ "@odata.type": type, accountid, description: "bulk" })));
  await call("Microsoft.Dynamics.CRM.UpsertMultiple",
    Ids.slice(0, 3).map((accountid) => ({ "@odata.type": type, accountid, telephone1: "7" })));
  equal(await api.count({ collection: "accounts", filter: "telephone1 eq '7'" }), 3);
  await refused(() => call("Microsoft.Dynamics.CRM.DeleteMultiple",
    [{ "@odata.type": type, accountid: Ids[0] }]), 501, "0x80040219");
  await refused(() => call("Microsoft.Dynamics.CRM.CreateMultiple",
    [{ "@odata.type": type, name: "x" }, { name: "no type" }]), 400, "0x80048d19");
});

await check("pages are followed", async () => {
  const request = {
    collection: "accounts", select: ["name"], filter: "description eq 'bulk'",
    orderBy: ["name desc"], maxPageSize: 50, count: true,
  };
  const first = await api.retrieveMultiple(request);
  equal([first.value.length, first.oDataCount], [50, 120]);
  const second = await api.retrieveMultiple(request, first.oDataNextLink);
  equal(second.value.length, 50);
  const all = await api.retrieveAll({ ...request, count: false });
  equal(new Set(all.value.map((row) => row.accountid)).size, 120);
  equal(await api.countAll({ collection: "accounts", filter: "description eq 'bulk'" }), 120);
});

await check("queries fold and expand", async () => {
  const groups = await api.retrieveMultiple({
    collection: "accounts",
    apply: "filter(description eq 'bulk')/groupby((telephone1),aggregate($count as n))",
  });
  equal(groups.value.map((g) => [g.telephone1 ?? null, g.n]).sort(), [["7", 3], [null, 117]].sort());
  await api.update({
    collection: "contacts", key: ids.contact,
    data: { "parentcustomerid_account@odata.bind": `/accounts(${ids.account})`, firstname: "A" },
  });
  const row = await api.retrieve({
    collection: "accounts", key: ids.account, select: ["name"],
    expand: [
      { property: "contact_customer_accounts", select: ["lastname"], filter: "lastname eq 'Three'",
        orderBy: ["lastname"], top: 3 },
      { property: "owninguser", select: ["systemuserid"] },
    ],
  });
  equal(row.contact_customer_accounts.map((c) => c.lastname), ["Three"]);
  equal(row.owninguser.systemuserid, simulator.users[0].system_user_id);
});

await check("FetchXML is paged by cookie", async () => {
  const fetchXml = `<fetch><entity name="account"><attribute name="name"/>
    <attribute name="accountid"/><order attribute="name"/>
    <filter><condition attribute="description" operator="eq" value="bulk"/></filter>
    </entity></fetch>`.replace("<fetch>", '<fetch count="50">');
  const first = await api.fetch({ collection: "accounts", fetchXml, includeAnnotations: "*" });
  equal([first.value.length, first.PagingInfo.nextPage], [50, 2]);
  const second = await api.fetch({
    collection: "accounts", fetchXml, includeAnnotations: "*",
    pageNumber: first.PagingInfo.nextPage, pagingCookie: first.PagingInfo.cookie,
  });
  equal(second.value.length, 50);
  const all = await api.fetchAll({ collection: "accounts", fetchXml, includeAnnotations: "*" });
  equal(new Set(all.value.map((row) => row.accountid)).size, 120);
  const sum = await api.fetch({
    collection: "accounts",
    fetchXml: `<fetch aggregate="true"><entity name="account">
      <attribute name="accountid" alias="n" aggregate="count"/>
      <filter><condition attribute="description" operator="eq" value="bulk"/></filter>
      </entity></fetch>`,
  });
  equal(sum.value[0].n, 120);
});

await check("rows are associated and disassociated", async () => {
  const meter = await api.create({ collection: "new_meters", data: { new_name: "M" } });
  const pair = {
    collection: "new_meters", primaryKey: meter, relationshipName: "new_meter_contact",
    relatedKey: ids.contact,
  };
  await api.associate({ ...pair, relatedCollection: "contacts" });
  await refused(() => api.associate({ ...pair, relatedCollection: "contacts" }), 412, "0x80040237");
  const linked = () => api.retrieve({
    collection: "new_meters", key: meter, select: ["new_name"],
    expand: [{ property: "new_meter_contact", select: ["lastname"] }],
  });
  equal((await linked()).new_meter_contact.map((c) => c.lastname), ["Three"]);
  await api.disassociate(pair);
  equal((await linked()).new_meter_contact, []);
  const single = { collection: "accounts", primaryKey: ids.account, navigationProperty: "primarycontactid" };
  await api.associateSingleValued({ ...single, relatedCollection: "contacts", relatedKey: ids.contact });
  const read = () => api.retrieve({
    collection: "accounts", key: ids.account, select: ["_primarycontactid_value"],
  });
  equal((await read())._primarycontactid_value, ids.contact);
  await api.disassociateSingleValued(single);
  equal((await read())._primarycontactid_value, null);
});

await check("a batch with a change set refers to its rows", async () => {
  api.startBatch();
  api.create({ collection: "accounts", data: { name: "In batch" }, contentId: "1" });
  api.create({
    collection: "contacts", contentId: "2",
    data: { lastname: "In batch", "parentcustomerid_account@odata.bind": "$1" },
  });
  api.update({ collection: "$1", data: { telephone1: "12" }, contentId: "3" });
  const results = await api.executeBatch();
  equal(results.length, 3);
  const row = await api.retrieve({
    collection: "accounts", key: results[0], select: ["telephone1"],
    expand: [{ property: "contact_customer_accounts", select: ["lastname"] }],
  });
  equal([row.telephone1, row.contact_customer_accounts.length], ["12", 1]);
});

await check("a batch reads and goes on after errors", async () => {
  api.startBatch();
  api.retrieveMultiple({ collection: "accounts", select: ["name"], filter: "telephone1 eq '7'" });
  api.create({ collection: "accounts", data: { name: "x".repeat(161) }, inChangeSet: false });
  api.create({ collection: "accounts", data: { name: "after" }, inChangeSet: false });
  const results = await api.executeBatch({ continueOnError: true }).catch((error) => error);
  equal(results[0].value.length, 3);
  equal([results[1].status, results[1].error.code], [400, "0x80044331"]);
  equal(typeof results[2], "string");
  api.startBatch();
  api.create({ collection: "accounts", data: { name: "never" } });
  api.create({ collection: "accounts", data: { name: "x".repeat(161) } });
  await refused(() => api.executeBatch(), 400, "0x80044331");
  equal(await api.count({ collection: "accounts", filter: "name eq 'never'" }), 0);
});

await check("a call acts for another user", async () => {
  const [, other] = simulator.users;
  for (const as of [{ impersonate: other.system_user_id }, { impersonateAAD: other.system_user_id }]) {
    const id = await api.create({ collection: "accounts", data: { name: "For other" }, ...as });
    const row = await api.retrieve({
      collection: "accounts", key: id, select: ["_createdby_value", "_createdonbehalfby_value"],
    });
    equal(row._createdby_value, other.system_user_id);
    equal(row._createdonbehalfby_value, simulator.users[0].system_user_id);
  }
  await refused(
    () => api.create({ collection: "accounts", data: { name: "x" }, impersonate: randomUUID() }),
    403, "0x8004a110");
});

await check("options go as headers", async () => {
  await api.create({
    collection: "accounts", data: { name: "Options" },
    bypassCustomPluginExecution: true, duplicateDetection: true, tag: "load", noCache: true,
  });
});

await check("tables, columns and choices are described", async () => {
  const table = await api.retrieveEntity({
    key: "LogicalName='account'", select: ["EntitySetName", "PrimaryIdAttribute", "TableType"],
    expand: [
      { property: "Attributes", select: ["LogicalName"], filter: "LogicalName eq 'name'" },
      { property: "Keys", select: ["LogicalName", "KeyAttributes", "EntityKeyIndexStatus"] },
    ],
  });
  equal([table.EntitySetName, table.PrimaryIdAttribute], ["accounts", "accountid"]);
  equal(table.Attributes.map((a) => a.LogicalName), ["name"]);
  equal(table.Keys.map((k) => k.KeyAttributes), [["accountnumber"]]);
  const custom = await api.retrieveEntities({
    select: ["LogicalName"], filter: "IsCustomEntity eq true",
  });
  equal(custom.value.some((t) => t.LogicalName === "new_simple"), true);
  const entityKey = table.MetadataId;
  const castType = "Microsoft.Dynamics.CRM.PicklistAttributeMetadata";
  const picks = await api.retrieveAttributes({
    entityKey, castType, select: ["LogicalName"],
    expand: [
      { property: "OptionSet", select: ["Options"] },
      { property: "GlobalOptionSet", select: ["Options"] },
    ],
  });
  const industry = picks.value.find((p) => p.LogicalName === "industrycode");
  equal(industry.OptionSet.Options.length, 12);
  const one = await api.retrieveAttribute({
    entityKey, attributeKey: "LogicalName='name'", select: ["MaxLength"],
    castType: "Microsoft.Dynamics.CRM.StringAttributeMetadata",
  });
  equal(one.MaxLength, 160);
  const sets = await api.retrieveGlobalOptionSets({ select: ["Name"] });
  equal(sets.value.some((s) => s.Name === "new_grade"), true);
  const set = await api.retrieveGlobalOptionSet({
    key: "Name='new_grade'", castType: "Microsoft.Dynamics.CRM.OptionSetMetadata",
    select: ["Options"],
  });
  equal(set.Options.length, 4);
  const many = await api.retrieveRelationships({
    castType: "Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata",
    select: ["SchemaName", "IntersectEntityName"],
  });
  equal(many.value.some((r) => r.SchemaName === "new_meter_contact"), true);
  const csdl = await api.retrieveCsdlMetadata({ addAnnotations: true });
  equal(csdl.includes("edmx:Edmx"), true);
});

await check("counts are told", async () => {
  const answer = await api.callFunction({
    name: "RetrieveTotalRecordCount", parameters: { EntityNames: ["account", "contact"] },
  });
  equal(answer.EntityRecordCountCollection.Keys, ["account", "contact"]);
});

await check("changes are tracked", async () => {
  const request = { collection: "accounts", select: ["name"], trackChanges: true };
  const first = await api.retrieveMultiple(request);
  const link = first["@odata.deltaLink"] ?? first.oDataDeltaLink;
  equal(typeof link, "string");
  await api.update({ collection: "accounts", key: ids.account, data: { name: "Tracked" } });
  await api.deleteRecord({ collection: "accounts", key: ids.shown });
  const url = new URL(link);
  const changes = await api.retrieveMultiple({
    ...request, queryParams: [`$deltatoken=${url.searchParams.get("$deltatoken")}`],
  });
  equal(changes.value.map((row) => row.name ?? row.reason).sort(), ["Tracked", "deleted"]);
  equal(changes.value.find((row) => row.reason).id, ids.shown);
});

await check("errors carry codes", async () => {
  await refused(() => api.create({ collection: "accounts", data: { nowhere: 1 } }), 400, "0x80048d19");
  await refused(() => api.create({ collection: "nowheres", data: {} }), 404, "0x8006088a");
  await refused(
    () => api.retrieve({ collection: "accounts", key: randomUUID(), select: ["name"] }),
    404, "0x80040217");
  await refused(
    () => api.update({ collection: "accounts", key: randomUUID(), data: { name: "x" } }),
    404, "0x80040217");
});

done();
