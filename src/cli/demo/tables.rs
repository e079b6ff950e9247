//! Pure: the rows of each load.

use crate::cli::demo::plan::{BadKind, Dice, Plan};
use crate::cli::demo::wide;
use crate::cli::demo::words::{amount, city, company, day, first, last, long, note, time};

/// Loads in job order; parents come before children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    Account,
    Branch,
    People,
    Contact,
    Opportunity,
    Case,
    Simple,
    Wide,
}

/// What is fixed about a load.
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) table: &'static str,
    pub(super) file: &'static str,
    pub(super) delimiter: u8,
    pub(super) key: &'static str,
    /// Of all rows.
    pub(super) percent: u64,
    pub(super) kinds: &'static [BadKind],
}

impl Load {
    pub(super) const ALL: [Self; 8] = [
        Self::Account,
        Self::Branch,
        Self::People,
        Self::Contact,
        Self::Opportunity,
        Self::Case,
        Self::Simple,
        Self::Wide,
    ];

    pub(super) fn about(self) -> About {
        use BadKind as B;
        match self {
            Self::Account => About {
                name: "account",
                table: "account",
                file: "account.csv",
                delimiter: b';',
                key: "AccountNo",
                percent: 20,
                kinds: &[
                    B::TextTooLong,
                    B::UnknownOption,
                    B::OutOfRange,
                    B::TooManyDigits,
                    B::NotANumber,
                    B::ControlCharacter,
                    B::UnknownUser,
                    B::DuplicateKey,
                    B::BadBoolean,
                    B::BadGuid,
                ],
            },
            Self::Branch => About {
                name: "branch",
                table: "account",
                file: "branch.csv.gz",
                delimiter: b',',
                key: "BranchKey",
                percent: 5,
                kinds: &[B::MissingParent, B::TakenAlternateKey, B::ChildOfRefused],
            },
            Self::People => About {
                name: "people",
                table: "contact",
                file: "people.jsonl",
                delimiter: b',',
                key: "id",
                percent: 10,
                kinds: &[
                    B::BadDate,
                    B::UnknownOption,
                    B::OutOfRange,
                    B::TextTooLong,
                    B::BadBoolean,
                    B::DateTooEarly,
                    B::UnknownUser,
                ],
            },
            Self::Contact => About {
                name: "contact",
                table: "contact",
                file: "contact.tsv",
                delimiter: b'\t',
                key: "ContactNo",
                percent: 25,
                kinds: &[
                    B::MissingParent,
                    B::TakenAlternateKey,
                    B::UnclearType,
                    B::ChildOfRefused,
                    B::BadDate,
                    B::TextTooLong,
                ],
            },
            Self::Opportunity => About {
                name: "opportunity",
                table: "opportunity",
                file: "opportunity.csv.zst",
                delimiter: b',',
                key: "OppNo",
                percent: 15,
                kinds: &[
                    B::WrongStatus,
                    B::OutOfRange,
                    B::MissingParent,
                    B::BadDate,
                    B::TooManyDigits,
                    B::UnclearType,
                    B::ChildOfRefused,
                ],
            },
            Self::Case => About {
                name: "case",
                table: "incident",
                file: "case.csv",
                delimiter: b',',
                key: "CaseNo",
                percent: 5,
                kinds: &[B::MissingRequired, B::MissingParent, B::UnknownOption, B::TextTooLong],
            },
            Self::Simple => About {
                name: "simple",
                table: "new_simple",
                file: "simple.csv",
                delimiter: b',',
                key: "Code",
                percent: 15,
                kinds: &[
                    B::OutOfRange,
                    B::TooManyDigits,
                    B::UnknownOption,
                    B::BadDate,
                    B::ControlCharacter,
                    B::DuplicateKey,
                    B::NotANumber,
                ],
            },
            Self::Wide => About {
                name: "wide",
                table: "new_wide",
                file: "wide.csv",
                delimiter: b',',
                key: "Code",
                percent: 5,
                kinds: &[
                    B::UnknownSite,
                    B::MissingParent,
                    B::OutOfRange,
                    B::UnknownUser,
                    B::DateTooEarly,
                    B::UnknownOption,
                    B::TextTooLong,
                    B::ChildOfRefused,
                    B::BadGuid,
                    B::NotANumber,
                ],
            },
        }
    }

    /// Names of the source columns; the first is the key.
    pub(super) fn header(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Account => &[
                "AccountNo",
                "Name",
                "Street",
                "City",
                "Phone",
                "Web",
                "Mail",
                "Industry",
                "Category",
                "Employees",
                "Revenue",
                "OnHold",
                "Owner",
                "Adviser",
                "HeldSince",
                "Notes",
            ],
            Self::Branch => &["BranchKey", "BranchNo", "Name", "City", "HeadOffice"],
            Self::People => &[
                "id", "first", "last", "mail", "birthday", "gender", "children", "no_calls",
                "city", "owner", "notes",
            ],
            Self::Contact => &[
                "ContactNo",
                "First",
                "Last",
                "Mail",
                "JobTitle",
                "Parent",
                "ParentType",
                "Mobile",
                "Birthday",
                "Income",
                "Notes",
            ],
            Self::Opportunity => &[
                "OppNo",
                "Title",
                "Customer",
                "CustomerType",
                "Contact",
                "Value",
                "Probability",
                "Close",
                "Rating",
                "Status",
                "FollowUp",
                "Notes",
            ],
            Self::Case => {
                &["CaseNo", "Title", "Customer", "Origin", "Priority", "FollowUp", "Notes"]
            }
            Self::Simple => {
                &["Code", "Name", "Amount", "Quantity", "Active", "Day", "Grade", "Notes"]
            }
            Self::Wide => return wide::header(),
        };
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    /// The source key of row `index`, which is not a duplicate of another.
    pub(super) fn key(self, index: u64) -> String {
        let letter = match self {
            Self::Account => "A",
            Self::Branch => "B",
            Self::People => "P",
            Self::Contact => "C",
            Self::Opportunity => "O",
            Self::Case => "T",
            Self::Simple => "S",
            Self::Wide => "W",
        };
        format!("{letter}-{index:08}")
    }
}

/// Users the local Dataverse has from the start.
const OWNERS: [&str; 2] =
    ["05e50000-0000-4000-8000-000000000001", "05e50000-0000-4000-8000-000000000002"];
/// Nobody's id.
pub(super) const NOBODY: &str = "deadbeef-0000-4000-8000-00000000dead";
/// A key no file has.
pub(super) const NO_KEY: &str = "X-00000000";
const INDUSTRIES: [&str; 5] = [
    "Accounting",
    "Brokers",
    "Design, Direction and Creative Management",
    "doctor's offices and clinics",
    "7",
];
const GRADES: [&str; 4] = ["Low", "Medium", "High", "überhöht"];

/// Appends the values of row `index`, made bad in the way of `kind`.
pub(super) fn fill(
    load: Load,
    plan: &Plan,
    index: u64,
    kind: Option<BadKind>,
    row: &mut Vec<String>,
) {
    let mut dice = plan.dice(load, index);
    // A duplicate takes the key of the row before, which is good.
    let name = if kind == Some(BadKind::DuplicateKey) { index - 1 } else { index };
    row.push(load.key(name));
    match load {
        Load::Account => account(&mut dice, kind, row),
        Load::Branch => branch(plan, index, &mut dice, kind, row),
        Load::People => people(index, &mut dice, kind, row),
        Load::Contact => contact(plan, index, &mut dice, kind, row),
        Load::Opportunity => opportunity(plan, &mut dice, kind, row),
        Load::Case => case(plan, &mut dice, kind, row),
        Load::Simple => simple(&mut dice, kind, row),
        Load::Wide => wide::fill(plan, &mut dice, kind, row),
    }
}

/// Key of a good row of `load`.
pub(super) fn parent(plan: &Plan, load: Load, dice: &mut Dice) -> String {
    load.key(plan.any_good(load, dice))
}

/// Key of a bad row of `load`, or of none when it has no bad rows.
pub(super) fn refused_parent(plan: &Plan, load: Load, dice: &mut Dice) -> String {
    plan.of(load).refused(dice).map_or_else(|| NO_KEY.to_owned(), |index| load.key(index))
}

fn mail_of_person(index: u64) -> String {
    format!("p{index}@people.example")
}

fn account(dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    let owner = if dice.chance(30) { dice.pick(&OWNERS).to_owned() } else { String::new() };
    let on_hold = dice.chance(10);
    row.extend([
        company(dice),
        format!("{} {}", last(dice), dice.below(200)),
        city(dice),
        format!("+49 {} {}", 30 + dice.below(60), dice.below(10_000_000)),
        format!("https://www.example{}.test/", dice.below(100_000)),
        format!("info{}@example.test", dice.below(1_000_000)),
        if dice.chance(70) { dice.pick(&INDUSTRIES).to_owned() } else { String::new() },
        if dice.chance(50) { (1 + dice.below(2)).to_string() } else { String::new() },
        dice.below(50_000).to_string(),
        amount(dice, 90_000_000),
        (if on_hold { "yes" } else { "no" }).to_owned(),
        owner,
        String::new(),
        if on_hold { format!("{}T{}Z", day(dice, 2015, 10), time(dice)) } else { String::new() },
        note(dice),
    ]);
    match kind {
        Some(BadKind::TextTooLong) => row[1] = long(161),
        Some(BadKind::UnknownOption) => row[7] = "Alchemy".to_owned(),
        Some(BadKind::OutOfRange) => row[9] = "-5".to_owned(),
        Some(BadKind::TooManyDigits) => row[10] = "10.005".to_owned(),
        Some(BadKind::NotANumber) => row[10] = "1.234,50".to_owned(),
        Some(BadKind::ControlCharacter) => row[15] = "bell \u{7} rings".to_owned(),
        Some(BadKind::BadBoolean) => row[11] = "perhaps".to_owned(),
        Some(BadKind::BadGuid) => row[12] = "jdoe".to_owned(),
        Some(BadKind::UnknownUser) => row[13] = NOBODY.to_owned(),
        _ => {}
    }
}

fn branch(plan: &Plan, index: u64, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    let head = match kind {
        Some(BadKind::MissingParent) => NO_KEY.to_owned(),
        Some(BadKind::ChildOfRefused) => refused_parent(plan, Load::Account, dice),
        _ => parent(plan, Load::Account, dice),
    };
    // The number is taken by the row's own parent, which surely is there before.
    let number = match kind {
        Some(BadKind::TakenAlternateKey) => head.clone(),
        _ => format!("BR-{index:08}"),
    };
    row.extend([number, company(dice), city(dice), head]);
}

fn people(index: u64, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    row.extend([
        first(dice),
        last(dice),
        mail_of_person(index),
        day(dice, 1940, 65),
        if dice.chance(80) { dice.pick(&["Male", "female"]).to_owned() } else { String::new() },
        dice.below(6).to_string(),
        dice.pick(&["true", "false"]).to_owned(),
        city(dice),
        String::new(),
        note(dice),
    ]);
    match kind {
        Some(BadKind::BadDate) => row[4] = "1990-02-30".to_owned(),
        Some(BadKind::DateTooEarly) => row[4] = "1752-12-31".to_owned(),
        Some(BadKind::UnknownOption) => row[5] = "Unknown".to_owned(),
        Some(BadKind::OutOfRange) => row[6] = "-1".to_owned(),
        Some(BadKind::TextTooLong) => row[1] = long(51),
        Some(BadKind::BadBoolean) => row[7] = "sometimes".to_owned(),
        Some(BadKind::UnknownUser) => row[9] = NOBODY.to_owned(),
        _ => {}
    }
}

fn contact(plan: &Plan, index: u64, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    let mut mail = format!("c{index}@contacts.example");
    let (parent_key, parent_type) = match kind {
        Some(BadKind::MissingParent) => (NO_KEY.to_owned(), "account"),
        Some(BadKind::ChildOfRefused) => (refused_parent(plan, Load::Account, dice), "account"),
        Some(BadKind::UnclearType) => (parent(plan, Load::Account, dice), "acct"),
        Some(BadKind::TakenAlternateKey) => {
            // The address of the row's own parent, which surely is there before.
            let person = plan.any_good(Load::People, dice);
            mail = mail_of_person(person);
            (Load::People.key(person), "contact")
        }
        _ => match dice.below(10) {
            0 => (String::new(), ""),
            1..=6 => (parent(plan, Load::Account, dice), "account"),
            _ => (parent(plan, Load::People, dice), "contact"),
        },
    };
    let born =
        format!("{:02}.{:02}.{}", 1 + dice.below(28), 1 + dice.below(12), 1940 + dice.below(65));
    row.extend([
        first(dice),
        last(dice),
        mail,
        dice.pick(&["CEO", "Einkauf", "経理", "R&D; lab", "Buyer \"North\""]).to_owned(),
        parent_key,
        parent_type.to_owned(),
        format!("+43 660 {}", dice.below(10_000_000)),
        if dice.chance(60) { born } else { String::new() },
        if dice.chance(40) { amount(dice, 200_000) } else { String::new() },
        note(dice),
    ]);
    match kind {
        Some(BadKind::BadDate) => row[8] = "31.02.1980".to_owned(),
        Some(BadKind::TextTooLong) => row[2] = long(51),
        _ => {}
    }
}

fn opportunity(plan: &Plan, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    let (customer, customer_type) = match kind {
        Some(BadKind::MissingParent) => (NO_KEY.to_owned(), "contact"),
        Some(BadKind::ChildOfRefused) => (refused_parent(plan, Load::Contact, dice), "contact"),
        Some(BadKind::UnclearType) => (parent(plan, Load::Account, dice), "lead"),
        _ if dice.chance(70) => (parent(plan, Load::Account, dice), "account"),
        _ => (parent(plan, Load::Contact, dice), "contact"),
    };
    let person = if dice.chance(50) { parent(plan, Load::People, dice) } else { String::new() };
    row.extend([
        format!("{} – {}", company(dice), dice.pick(&["renewal", "Neugeschäft", "更新"])),
        customer,
        customer_type.to_owned(),
        person,
        amount(dice, 5_000_000),
        dice.below(101).to_string(),
        day(dice, 2024, 4),
        (1 + dice.below(3)).to_string(),
        (1 + dice.below(2)).to_string(),
        format!("{}T{}+02:00", day(dice, 2024, 2), time(dice)),
        note(dice),
    ]);
    match kind {
        Some(BadKind::WrongStatus) => row[9] = "3".to_owned(),
        Some(BadKind::OutOfRange) => row[6] = "150".to_owned(),
        Some(BadKind::BadDate) => row[7] = "next spring".to_owned(),
        Some(BadKind::TooManyDigits) => row[5] = "99.999".to_owned(),
        _ => {}
    }
}

fn case(plan: &Plan, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    let customer = match kind {
        Some(BadKind::MissingRequired) => String::new(),
        Some(BadKind::MissingParent) => NO_KEY.to_owned(),
        _ => parent(plan, Load::Account, dice),
    };
    row.extend([
        format!("{} {}", dice.pick(&["Broken", "Frage zu", "質問", "Où est"]), company(dice)),
        customer,
        dice.pick(&["Phone", "Email", "Web"]).to_owned(),
        (1 + dice.below(3)).to_string(),
        day(dice, 2025, 2),
        note(dice),
    ]);
    match kind {
        Some(BadKind::UnknownOption) => row[3] = "Carrier pigeon".to_owned(),
        Some(BadKind::TextTooLong) => row[1] = long(201),
        _ => {}
    }
}

fn simple(dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    row.extend([
        company(dice),
        format!("{}.{:04}", dice.below(1_000_000), dice.below(10_000)),
        dice.below(2_000_000_000).to_string(),
        dice.pick(&["1", "0"]).to_owned(),
        day(dice, 1990, 40),
        dice.pick(&GRADES).to_owned(),
        note(dice),
    ]);
    match kind {
        Some(BadKind::OutOfRange) => row[3] = "3000000000".to_owned(),
        Some(BadKind::TooManyDigits) => row[2] = "1.23456".to_owned(),
        Some(BadKind::UnknownOption) => row[6] = "Extreme".to_owned(),
        Some(BadKind::BadDate) => row[5] = "2023-13-01".to_owned(),
        Some(BadKind::ControlCharacter) => row[7] = "escape \u{1b}[31m".to_owned(),
        Some(BadKind::NotANumber) => row[2] = "12 pieces".to_owned(),
        _ => {}
    }
}
