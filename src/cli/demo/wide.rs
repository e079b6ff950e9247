//! Pure: the wide table: 120 columns, 21 of them lookups.

use crate::cli::demo::plan::{BadKind, Dice, Plan};
use crate::cli::demo::tables::{Load, NO_KEY, NOBODY, parent, refused_parent};
use crate::cli::demo::words::{amount, city, company, day, long, note, time};

/// What stands in a group of columns, and how many there are.
const GROUPS: [(&str, u64); 18] = [
    ("text", 30),
    ("memo", 4),
    ("int", 12),
    ("big", 2),
    ("dec", 10),
    ("money", 5),
    ("float", 5),
    ("flag", 8),
    ("pick", 8),
    ("multi", 2),
    ("time", 5),
    ("day", 4),
    ("wall", 2),
    ("account", 6),
    ("contact", 6),
    ("simple", 4),
    ("user", 2),
    ("site", 1),
];
/// Polymorphic lookups, each with a type column.
const PARTIES: u64 = 2;

/// Names of the source columns.
pub(super) fn header() -> Vec<String> {
    let mut names = vec!["Code".to_owned(), "Name".to_owned()];
    for (group, count) in GROUPS {
        names.extend((1..=count).map(|n| format!("{group}{n:02}")));
    }
    for n in 1..=PARTIES {
        names.extend([format!("party{n:02}"), format!("party{n:02}type")]);
    }
    names
}

/// The `[table.columns]` of the job file.
pub(super) fn columns() -> String {
    let mut text = String::from("new_code = \"Code\"\nnew_name = \"Name\"\n");
    for (group, count) in GROUPS {
        for n in 1..=count {
            let source = format!("{group}{n:02}");
            let lookup = match (group, n) {
                ("account", 1..=3) => "{ staged = \"account\" }",
                ("account", _) => "{ staged = \"branch\" }",
                ("contact", 1..=3) => "{ staged = \"people\" }",
                ("contact", _) => "{ staged = \"contact\" }",
                ("simple", _) => "{ staged = \"simple\" }",
                ("user", _) => "{ table = \"systemuser\", id = true }",
                ("site", _) => "{ table = \"new_site\", key = \"new_sitecodekey\" }",
                _ => {
                    text.push_str(&format!("new_{source} = \"{source}\"\n"));
                    continue;
                }
            };
            text.push_str(&format!(
                "new_{source} = {{ from = \"{source}\", lookup = {lookup} }}\n"
            ));
        }
    }
    for n in 1..=PARTIES {
        text.push_str(&format!(
            "new_party{n:02} = {{ from = \"party{n:02}\", lookup = {{ type_column = \
             \"party{n:02}type\", targets = [\n  {{ table = \"account\", staged = \"account\" \
             }},\n  {{ table = \"contact\", staged = \"people\" }},\n] }} }}\n"
        ));
    }
    text
}

/// Appends the values of a row after its key.
pub(super) fn fill(plan: &Plan, dice: &mut Dice, kind: Option<BadKind>, row: &mut Vec<String>) {
    row.push(company(dice));
    for (group, count) in GROUPS {
        for n in 1..=count {
            let value = value(group, n, plan, dice);
            row.push(value);
        }
    }
    for _ in 0..PARTIES {
        let (key, table) = match dice.below(3) {
            0 => (String::new(), ""),
            1 => (parent(plan, Load::Account, dice), "account"),
            _ => (parent(plan, Load::People, dice), "contact"),
        };
        row.extend([key, table.to_owned()]);
    }
    let Some(kind) = kind else { return };
    let (group, value) = match kind {
        BadKind::UnknownSite => ("site", "NO-SUCH-SITE".to_owned()),
        BadKind::MissingParent => ("account", NO_KEY.to_owned()),
        BadKind::OutOfRange => ("float", "1e300".to_owned()),
        BadKind::UnknownUser => ("user", NOBODY.to_owned()),
        BadKind::DateTooEarly => ("day", "1066-10-14".to_owned()),
        BadKind::UnknownOption => ("multi", "Red;Ultraviolet".to_owned()),
        BadKind::TextTooLong => ("text", long(101)),
        BadKind::ChildOfRefused => ("contact", refused_parent(plan, Load::People, dice)),
        BadKind::BadGuid => ("user", "{not-a-guid}".to_owned()),
        _ => ("int", "12e".to_owned()),
    };
    row[first_of(group)] = value;
}

/// Position of the first column of a group.
fn first_of(group: &str) -> usize {
    let before: u64 = GROUPS.iter().take_while(|(g, _)| *g != group).map(|(_, n)| n).sum();
    2 + before as usize
}

fn value(group: &str, n: u64, plan: &Plan, dice: &mut Dice) -> String {
    // A third of all values is empty, as in real exports.
    if dice.chance(33) {
        return String::new();
    }
    match group {
        "text" if n.is_multiple_of(3) => city(dice),
        "text" => format!("T{} {}", n, dice.below(1_000_000)),
        "memo" => note(dice),
        "int" => (dice.below(4_000_000_000) as i64 - 2_000_000_000).to_string(),
        "big" => (dice.below(1 << 62) as i64 - (1 << 61)).to_string(),
        "dec" => format!("-{}.{:04}", dice.below(1_000_000), dice.below(10_000)),
        "money" => amount(dice, 1_000_000),
        "float" => format!("{}.5", dice.below(1_000_000)),
        "flag" => dice.pick(&["true", "false", "1", "0"]).to_owned(),
        "pick" => dice.pick(&["100000000", "100000001", "High", "Überhöht"]).to_owned(),
        "multi" => dice.pick(&["Red", "Green;Blue", "100000003;Black"]).to_owned(),
        "time" => format!("{}T{}Z", day(dice, 2000, 30), time(dice)),
        "day" => day(dice, 1900, 150),
        "wall" => format!("{}T{}", day(dice, 2000, 30), time(dice)),
        "account" if n <= 3 => parent(plan, Load::Account, dice),
        "account" => parent(plan, Load::Branch, dice),
        "contact" if n <= 3 => parent(plan, Load::People, dice),
        "contact" => parent(plan, Load::Contact, dice),
        "simple" => parent(plan, Load::Simple, dice),
        // Users and sites are those of the environment; only bad rows name one.
        _ => String::new(),
    }
}
