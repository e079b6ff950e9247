//! Pure: the page of an error code, ours (`DV…`) or one of Dataverse's that users meet.

use crate::config::similar::closest;

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// `DV0301`, or `0x80040237` in lower case.
    pub code: &'static str,
    /// Markdown, beginning with `# CODE: title`.
    pub text: &'static str,
}

macro_rules! pages {
    ($($code:literal,)*) => {
        /// All pages: ours first, then Dataverse's, each in order of their codes.
        pub const PAGES: &[Page] = &[
            $(Page { code: $code, text: include_str!(concat!("codes/", $code, ".md")) },)*
        ];
    };
}

pages! {
    "DV0001",
    "DV0002",
    "DV0003",
    "DV0004",
    "DV0005",
    "DV0006",
    "DV0007",
    "DV0008",
    "DV0009",
    "DV0010",
    "DV0011",
    "DV0012",
    "DV0013",
    "DV0014",
    "DV0015",
    "DV0016",
    "DV0017",
    "DV0018",
    "DV0101",
    "DV0102",
    "DV0103",
    "DV0104",
    "DV0105",
    "DV0106",
    "DV0107",
    "DV0108",
    "DV0109",
    "DV0110",
    "DV0111",
    "DV0112",
    "DV0113",
    "DV0114",
    "DV0115",
    "DV0116",
    "DV0117",
    "DV0118",
    "DV0119",
    "DV0120",
    "DV0121",
    "DV0122",
    "DV0123",
    "DV0124",
    "DV0125",
    "DV0126",
    "DV0201",
    "DV0202",
    "DV0203",
    "DV0204",
    "DV0205",
    "DV0206",
    "DV0207",
    "DV0208",
    "DV0209",
    "DV0301",
    "DV0302",
    "DV0303",
    "DV0304",
    "DV0305",
    "DV0306",
    "DV0307",
    "DV0308",
    "DV0309",
    "DV0310",
    "DV0311",
    "DV0312",
    "DV0313",
    "DV0314",
    "DV0315",
    "DV0401",
    "DV0402",
    "DV0403",
    "DV0404",
    "DV0405",
    "DV0406",
    "DV0407",
    "DV0499",
    "DV0501",
    "DV0502",
    "DV0503",
    "DV0504",
    "DV0505",
    "DV0506",
    "DV0507",
    "DV0508",
    "DV0509",
    "DV0510",
    "DV0511",
    "DV0512",
    "0x80040200",
    "0x80040217",
    "0x80040220",
    "0x80040224",
    "0x80040225",
    "0x80040237",
    "0x80040265",
    "0x80040299",
    "0x80040333",
    "0x80044150",
    "0x80044151",
    "0x8004431a",
    "0x80044331",
    "0x80048408",
    "0x80048d19",
    "0x8004f507",
    "0x80060891",
    "0x80060892",
    "0x80072321",
    "0x80072322",
    "0x80072326",
    "0x80072560",
}

impl Page {
    /// What stands behind the code in the first line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, title)| title)
    }
}

/// There is no page for what was typed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoSuchPage(String);

/// The page of `code`, or the list of all codes.
///
/// # Errors
/// The code has no page; the text says what to do instead.
pub fn explain(code: Option<&str>) -> Result<String, NoSuchPage> {
    let Some(typed) = code else { return Ok(list()) };
    match find(typed) {
        Some(page) => Ok(page.text.to_owned()),
        None => Err(NoSuchPage(unknown(typed))),
    }
}

/// The page of a code in any of the forms people copy: `dv301`, `DV0301`, `0x80040237`,
/// `80040237`, `-2147220937`, `2147746359`.
#[must_use]
pub fn find(typed: &str) -> Option<&'static Page> {
    let code = normalize(typed)?;
    PAGES.iter().find(|p| p.code == code)
}

fn normalize(typed: &str) -> Option<String> {
    let lower = typed.trim().trim_matches(['[', ']', '"']).to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("dv") {
        return digits.parse::<u16>().ok().map(|n| format!("DV{n:04}"));
    }
    let is_hex =
        |s: &str| !s.is_empty() && s.len() <= 8 && s.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(hex) = lower.strip_prefix("0x").filter(|h| is_hex(h)) {
        return Some(format!("0x{hex:0>8}"));
    }
    if lower.len() == 8 && is_hex(&lower) && lower.starts_with("80") {
        return Some(format!("0x{lower}"));
    }
    if let Ok(signed) = lower.parse::<i32>() {
        return Some(format!("0x{:08x}", signed.cast_unsigned()));
    }
    lower.parse::<u32>().ok().map(|n| format!("0x{n:08x}"))
}

fn list() -> String {
    let mut text = String::from("Codes of dvbulk\n");
    let mut ours = true;
    for page in PAGES {
        if ours && page.code.starts_with("0x") {
            ours = false;
            text.push_str("\nCodes of Dataverse that loads meet most\n");
        }
        text.push_str(&format!("  {:<10}  {}\n", page.code, page.title()));
    }
    text.push_str("\n`dvbulk explain CODE` shows a page.\n");
    text
}

fn unknown(typed: &str) -> String {
    let normal = normalize(typed);
    if let Some(code) = normal.as_deref().filter(|c| c.starts_with("0x")) {
        return format!(
            "no page for {code}: Dataverse has thousands of codes, and dvbulk explains those that \
             loads meet most. The message beside it in the error file is Dataverse's own; search \
             Microsoft's documentation for \"{code}\". `dvbulk explain` lists the pages there are"
        );
    }
    let code = normal.unwrap_or_else(|| typed.trim().to_owned());
    match closest(&code, PAGES.iter().map(|p| p.code)) {
        Some(near) if code.starts_with("DV") => {
            format!("no code {code}; did you mean {near}? `dvbulk explain` lists all")
        }
        _ => format!(
            "\"{typed}\" is no error code; codes look like DV0301, 0x80040237 or -2147220937, and \
             `dvbulk explain` lists all"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGES, explain, find};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn codes_in_any_form() {
        for form in ["0x80040237", "0X80040237", "80040237", "-2147220937", "2147746359"] {
            assert_eq!(find(form).map(|p| p.code), Some("0x80040237"), "{form}");
        }
        for form in ["DV0301", "dv301", "[DV0301]", " dv0301 "] {
            assert_eq!(find(form).map(|p| p.code), Some("DV0301"), "{form}");
        }
        assert!(find("0x").is_none() && find("").is_none() && find("DV").is_none());
    }

    #[test]
    fn unknown_codes_get_a_way_on() {
        let told = |code: &str| explain(Some(code)).unwrap_err().to_string();
        assert!(told("0x80041234").contains("0x80041234"));
        assert!(told("DV0399").contains("did you mean DV03"));
        assert!(told("what").contains("is no error code"));
        assert!(explain(None).unwrap().contains("DV0001"));
    }

    #[test]
    fn pages_are_whole_and_in_order() {
        for page in PAGES {
            assert!(page.text.starts_with(&format!("# {}: ", page.code)), "{}", page.code);
            for part in ["\n## Cause\n", "\n## What to do\n"] {
                assert!(page.text.contains(part), "{} lacks {part:?}", page.code);
            }
        }
        assert!(PAGES.is_sorted_by_key(|p| (p.code.starts_with("0x"), p.code)));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/codes");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), PAGES.len());
    }

    #[test]
    fn every_code_in_the_sources_has_a_page() {
        let code = regex::Regex::new(r"DV0\d{3}\b").unwrap();
        let mut used = BTreeSet::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs")
                    // This file names codes that do not exist.
                    && !path.ends_with("cli/explain.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    used.extend(code.find_iter(&text).map(|m| m.as_str().to_owned()));
                }
            }
        }
        let pages: BTreeSet<String> = PAGES.iter().map(|p| p.code.to_owned()).collect();
        let missing: Vec<_> = used.difference(&pages).collect();
        assert!(used.len() > 30 && missing.is_empty(), "codes without a page: {missing:?}");
    }
}
