//! The job file of the rehearsal.

use crate::cli::demo::wide;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the rehearsal loads into.
#[derive(Clone, Debug)]
pub struct DemoTarget {
    /// Origin of the Web API, e.g. `http://127.0.0.1:40123`.
    pub url: String,
    /// Organization id or unique name it answers with.
    pub organization: String,
    /// Origin of the token endpoint.
    pub authority: String,
    /// Tenant in the token endpoint's path.
    pub tenant: String,
    /// Application users: client id and secret.
    pub clients: Vec<(String, String)>,
}

/// Writes secrets and job file into `folder`, and tells where the job file is.
pub(super) fn write(folder: &Path, target: &DemoTarget) -> io::Result<PathBuf> {
    let secrets = folder.join("secrets");
    fs::create_dir_all(&secrets)?;
    let mut identities = String::new();
    for (index, (client, secret)) in target.clients.iter().enumerate() {
        let name = format!("app-{}", index + 1);
        let path = secrets.join(format!("{name}.txt"));
        // Made anew, so that no older, wider mode survives.
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(secret.as_bytes())?;
        identities.push_str(&format!(
            "[[identity]]\nname = \"{name}\"\ntenant_id = {}\nclient_id = {}\nclient_secret = {{ \
             file = \"secrets/{name}.txt\" }}\n\n",
            quoted(&target.tenant),
            quoted(client)
        ));
    }
    let text = JOB
        .replace("@url@", &quoted(&target.url))
        .replace("@organization@", &quoted(&target.organization))
        .replace("@authority@", &quoted(&target.authority))
        .replace("@identities@", &identities)
        .replace("@wide@", &wide::columns());
    let path = folder.join("demo.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// A TOML text; whatever could end it is escaped.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

const JOB: &str = r#"# Made by `dvbulk demo`. It loads like any other job:
#   dvbulk load demo.toml

[job]
name = "demo"

[environment]
url = @url@
organization = @organization@
authority = @authority@

@identities@
# Bad rows are wanted here.
[breakers]
failed_share_max = 1.0

[sinks]
folder = "out"

[ledger]
folder = "ledger"

[[table]]
table = "account"
source = { path = "staged/account.csv", delimiter = ";" }
key = "AccountNo"
operation = "create"

[table.columns]
accountnumber = "AccountNo"
name = "Name"
address1_line1 = "Street"
address1_city = "City"
telephone1 = "Phone"
websiteurl = "Web"
emailaddress1 = "Mail"
industrycode = "Industry"
accountcategorycode = { from = "Category", choice = "number" }
numberofemployees = "Employees"
revenue = "Revenue"
creditonhold = "OnHold"
ownerid = { from = "Owner", lookup = { table = "systemuser", id = true } }
preferredsystemuserid = { from = "Adviser", lookup = { table = "systemuser", id = true } }
lastonholdtime = "HeldSince"
description = "Notes"

[[table]]
name = "branch"
table = "account"
source = "staged/branch.csv.gz"
key = "BranchKey"
operation = "create"

[table.columns]
accountnumber = "BranchNo"
name = "Name"
address1_city = "City"
parentaccountid = { from = "HeadOffice", lookup = { staged = "account" } }
customertypecode = { constant = 3 }

[[table]]
name = "people"
table = "contact"
source = "staged/people.jsonl"
key = "id"
operation = "create"

[table.columns]
firstname = "first"
lastname = "last"
emailaddress1 = "mail"
birthdate = "birthday"
gendercode = { from = "gender", choice = "label" }
numberofchildren = "children"
donotphone = "no_calls"
address1_city = "city"
ownerid = { from = "owner", lookup = { table = "systemuser", id = true } }
description = "notes"

[[table]]
table = "contact"
source = "staged/contact.tsv"
key = "ContactNo"
operation = "create"

[table.columns]
firstname = "First"
lastname = "Last"
emailaddress1 = "Mail"
jobtitle = "JobTitle"
mobilephone = "Mobile"
birthdate = { from = "Birthday", date_format = "%d.%m.%Y" }
annualincome = "Income"
description = "Notes"
parentcustomerid = { from = "Parent", lookup = { type_column = "ParentType", targets = [
  { table = "account", staged = "account" },
  { table = "contact", staged = "people" },
] } }

[[table]]
table = "opportunity"
source = "staged/opportunity.csv.zst"
key = "OppNo"
operation = "create"

[table.columns]
name = "Title"
customerid = { from = "Customer", lookup = { type_column = "CustomerType", targets = [
  { table = "account", staged = "account" },
  { table = "contact", staged = "contact" },
] } }
parentcontactid = { from = "Contact", lookup = { staged = "people" } }
estimatedvalue = "Value"
closeprobability = "Probability"
estimatedclosedate = "Close"
opportunityratingcode = "Rating"
statuscode = "Status"
schedulefollowup_prospect = "FollowUp"
description = "Notes"

[[table]]
name = "case"
table = "incident"
source = "staged/case.csv"
key = "CaseNo"
operation = "create"

[table.columns]
title = "Title"
customerid = { from = "Customer", lookup = { staged = "account" } }
caseorigincode = { from = "Origin", choice = "label" }
prioritycode = "Priority"
followupby = "FollowUp"
productserialnumber = "CaseNo"
description = "Notes"

[[table]]
name = "simple"
table = "new_simple"
source = "staged/simple.csv"
key = "Code"
operation = "create"

[table.columns]
new_code = "Code"
new_name = "Name"
new_amount = "Amount"
new_quantity = "Quantity"
new_active = "Active"
new_day = "Day"
new_grade = { from = "Grade", choice = "label" }
new_notes = "Notes"

[[table]]
name = "wide"
table = "new_wide"
source = "staged/wide.csv"
key = "Code"
operation = "create"

[table.columns]
@wide@"#;
