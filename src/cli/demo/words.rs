//! Pure: names, places and notes from many scripts, with everything that breaks careless readers:
//! quotes, delimiters, line breaks, characters outside the basic plane.

use crate::cli::demo::plan::Dice;

const FIRST: [&str; 24] = [
    "Anna",
    "Jürgen",
    "Zoë",
    "Łukasz",
    "François",
    "Søren",
    "Åsa",
    "Nuño",
    "Iñaki",
    "Đorđe",
    "Ольга",
    "Дмитрий",
    "Ελένη",
    "Νίκος",
    "さくら",
    "健太",
    "小明",
    "美玲",
    "민준",
    "서연",
    "أحمد",
    "ליאור",
    "प्रिया",
    "O'Shea",
];
const LAST: [&str; 24] = [
    "Müller",
    "Weiß",
    "Nguyễn",
    "Kovač",
    "Šimůnek",
    "Gonzàlez",
    "D'Angelo",
    "van der Berg",
    "Smith-Jones",
    "Иванова",
    "Петров",
    "Παπαδοπούλου",
    "佐藤",
    "鈴木",
    "王",
    "李",
    "김",
    "박",
    "الحسن",
    "כהן",
    "शर्मा",
    "Þórsson",
    "Ørsted",
    "\"Mac\" Donald",
];
const COMPANY: [&str; 20] = [
    "Nordlicht",
    "Alpenblick",
    "Contoso",
    "Fabrikam",
    "Adventure",
    "Tailspin",
    "Größe",
    "Citrus",
    "Østfold",
    "Москва",
    "東京",
    "上海",
    "서울",
    "Ελλάς",
    "Señorial",
    "Zażółć",
    "Coeur & Âme",
    "Wide; Open",
    "Comma, Inc.",
    "Tab\tStop",
];
const FORM: [&str; 10] =
    ["GmbH", "AG", "Ltd", "S.A.", "KK", "B.V.", "Sp. z o.o.", "株式会社", "ООО", "\"Partners\""];
const CITY: [&str; 16] = [
    "München",
    "Zürich",
    "Kraków",
    "São Paulo",
    "København",
    "Reykjavík",
    "Αθήνα",
    "Москва",
    "東京",
    "北京",
    "서울",
    "القاهرة",
    "תל אביב",
    "मुंबई",
    "Saint-Étienne",
    "Winston-Salem",
];
const NOTE: [&str; 12] = [
    "Called back on Monday.",
    "Prefers mail, never phone; asks for \"the usual\".",
    "First line\nsecond line\n\nfourth line after an empty one",
    "Windows line\r\nbreak",
    "Emoji test 🚀👩‍👩‍👧‍👦 and 𝒻𝒶𝓃𝒸𝓎 letters",
    "Backslash \\ and slash / and percent 100 %",
    "Tab\there and quote \" there",
    "He said: \"\"double\"\", she said: 'single'",
    "<b>not html</b> &amp; no entity",
    "=SUM(A1:A2)",
    "Trailing blanks   ",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
];

/// A first name.
pub(super) fn first(dice: &mut Dice) -> String {
    dice.pick(&FIRST).to_owned()
}

/// A last name.
pub(super) fn last(dice: &mut Dice) -> String {
    dice.pick(&LAST).to_owned()
}

/// A company's name.
pub(super) fn company(dice: &mut Dice) -> String {
    format!("{} {} {}", dice.pick(&COMPANY), dice.below(10_000), dice.pick(&FORM))
}

/// A city.
pub(super) fn city(dice: &mut Dice) -> String {
    dice.pick(&CITY).to_owned()
}

/// A note, often none.
pub(super) fn note(dice: &mut Dice) -> String {
    if dice.chance(60) { dice.pick(&NOTE).to_owned() } else { String::new() }
}

/// A day from `from_year` on, within `years` years, ISO.
pub(super) fn day(dice: &mut Dice, from_year: u64, years: u64) -> String {
    let year = from_year + dice.below(years);
    format!("{year:04}-{:02}-{:02}", 1 + dice.below(12), 1 + dice.below(28))
}

/// A time of a day, `HH:MM:SS`.
pub(super) fn time(dice: &mut Dice) -> String {
    format!("{:02}:{:02}:{:02}", dice.below(24), dice.below(60), dice.below(60))
}

/// An amount with two digits after the point.
pub(super) fn amount(dice: &mut Dice, below: u64) -> String {
    format!("{}.{:02}", dice.below(below), dice.below(100))
}

/// Text of `length` letters.
pub(super) fn long(length: usize) -> String {
    "abcdefghij".chars().cycle().take(length).collect()
}
