//! Pure: how many rows each load has, which of them are bad and how, and the dice every value is
//! thrown with.

use crate::cli::demo::tables::Load;

/// What is wrong with a bad row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BadKind {
    /// Text longer than its column.
    TextTooLong,
    /// A choice that is no option.
    UnknownOption,
    /// A number beyond its column's range.
    OutOfRange,
    /// More digits after the point than the column has.
    TooManyDigits,
    /// A number written with comma and grouping.
    NotANumber,
    /// A character no text may hold.
    ControlCharacter,
    /// Neither true nor false.
    BadBoolean,
    /// A GUID that is none.
    BadGuid,
    /// A day that does not exist.
    BadDate,
    /// A date before 1753.
    DateTooEarly,
    /// A key that stood in the file before.
    DuplicateKey,
    /// A required lookup without value.
    MissingRequired,
    /// A parent that is in no file.
    MissingParent,
    /// A parent that is itself bad.
    ChildOfRefused,
    /// A type column that names no target table.
    UnclearType,
    /// A GUID of a user who does not exist.
    UnknownUser,
    /// An alternate key nobody has.
    UnknownSite,
    /// A value another row's alternate key has taken.
    TakenAlternateKey,
    /// A status reason of another state.
    WrongStatus,
}

/// Who notices a bad row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaughtBy {
    /// dvbulk, before anything is sent.
    Loader,
    /// Dataverse alone.
    Dataverse,
}

impl CaughtBy {
    /// The word in the list of expected bad rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Loader => "dvbulk",
            Self::Dataverse => "Dataverse",
        }
    }
}

impl BadKind {
    /// The word in the list of expected bad rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TextTooLong => "text_too_long",
            Self::UnknownOption => "unknown_option",
            Self::OutOfRange => "out_of_range",
            Self::TooManyDigits => "too_many_digits",
            Self::NotANumber => "not_a_number",
            Self::ControlCharacter => "control_character",
            Self::BadBoolean => "bad_boolean",
            Self::BadGuid => "bad_guid",
            Self::BadDate => "bad_date",
            Self::DateTooEarly => "date_too_early",
            Self::DuplicateKey => "duplicate_key",
            Self::MissingRequired => "missing_required",
            Self::MissingParent => "missing_parent",
            Self::ChildOfRefused => "child_of_refused",
            Self::UnclearType => "unclear_type",
            Self::UnknownUser => "unknown_user",
            Self::UnknownSite => "unknown_site",
            Self::TakenAlternateKey => "taken_alternate_key",
            Self::WrongStatus => "wrong_status",
        }
    }

    /// The code to expect in the error file.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotANumber | Self::BadBoolean => "DV0301",
            Self::TextTooLong => "DV0302",
            Self::OutOfRange => "DV0303",
            Self::TooManyDigits => "DV0304",
            Self::UnknownOption => "DV0305",
            Self::BadDate => "DV0306",
            Self::BadGuid => "DV0307",
            Self::MissingParent => "DV0308",
            Self::ChildOfRefused => "DV0309",
            Self::MissingRequired => "DV0310",
            Self::ControlCharacter => "DV0311",
            Self::UnclearType => "DV0313",
            Self::DateTooEarly => "DV0315",
            Self::DuplicateKey => "DV0207",
            Self::UnknownUser => "0x80040217",
            Self::UnknownSite => "0x80060891",
            Self::TakenAlternateKey => "0x80060892",
            Self::WrongStatus => "0x80048408",
        }
    }

    /// Who notices it.
    #[must_use]
    pub const fn caught_by(self) -> CaughtBy {
        match self {
            Self::UnknownUser | Self::UnknownSite | Self::TakenAlternateKey | Self::WrongStatus => {
                CaughtBy::Dataverse
            }
            _ => CaughtBy::Loader,
        }
    }
}

/// A small random number generator (splitmix64): fast, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// For one purpose (`salt`) of one thing (`index`).
    pub(super) fn new(seed: u64, salt: u64, index: u64) -> Self {
        let mut dice = Self(seed ^ salt.wrapping_mul(0xa076_1d64_78bd_642f));
        dice.0 = dice.next() ^ index.wrapping_mul(0xe703_7ed1_a0b4_28db);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `count` - 1; 0 when `count` is 0.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }

    /// True in `percent` of all throws.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Rows of one load.
#[derive(Clone, Debug)]
pub(super) struct LoadPlan {
    /// Rows in its file.
    pub(super) rows: u64,
    seed: u64,
    salt: u64,
    /// One row in so many is bad; 0: none.
    period: u64,
    kinds: &'static [BadKind],
}

impl LoadPlan {
    /// What is wrong with row `index`. In every stretch of `period` rows there is one bad row,
    /// never the first; kinds take turns.
    pub(super) fn bad(&self, index: u64) -> Option<BadKind> {
        if self.period == 0 {
            return None;
        }
        let stretch = index / self.period;
        (self.bad_of(stretch) == index).then(|| self.kind_of(stretch))
    }

    fn bad_of(&self, stretch: u64) -> u64 {
        let mut dice = Dice::new(self.seed, self.salt ^ 0xbad, stretch);
        stretch * self.period + 1 + dice.below(self.period - 1)
    }

    fn kind_of(&self, stretch: u64) -> BadKind {
        self.kinds[(stretch % self.kinds.len() as u64) as usize]
    }

    /// A good row: `index`, or the one before it when that is bad.
    pub(super) fn good(&self, index: u64) -> u64 {
        if self.bad(index).is_some() { index - 1 } else { index }
    }

    /// A row that is refused and whose key is no other row's; near what `dice` say.
    pub(super) fn refused(&self, dice: &mut Dice) -> Option<u64> {
        let stretches = self.rows.checked_div(self.period)?;
        if stretches == 0 {
            return None;
        }
        let first = dice.below(stretches);
        (0..self.kinds.len() as u64)
            .map(|step| (first + step) % stretches)
            .find(|s| self.kind_of(*s) != BadKind::DuplicateKey)
            .map(|s| self.bad_of(s))
    }
}

/// Rows of all loads.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    seed: u64,
    loads: Vec<LoadPlan>,
}

impl Plan {
    /// About `rows` rows, a share of them bad.
    pub(super) fn new(rows: u64, seed: u64, bad_share: f64) -> Self {
        let period = if bad_share > 0.0 { ((1.0 / bad_share).round() as u64).max(2) } else { 0 };
        let mut loads: Vec<LoadPlan> = Load::ALL
            .into_iter()
            .map(|load| LoadPlan {
                rows: rows * load.about().percent / 100,
                seed,
                salt: load as u64 + 1,
                period,
                kinds: load.about().kinds,
            })
            .collect();
        let planned: u64 = loads.iter().map(|l| l.rows).sum();
        loads[Load::Contact as usize].rows += rows - planned;
        Self { seed, loads }
    }

    /// The plan of one load.
    pub(super) fn of(&self, load: Load) -> &LoadPlan {
        &self.loads[load as usize]
    }

    /// Dice for a row.
    pub(super) fn dice(&self, load: Load, index: u64) -> Dice {
        Dice::new(self.seed, load as u64 + 1, index)
    }

    /// A good row of `load`.
    pub(super) fn any_good(&self, load: Load, dice: &mut Dice) -> u64 {
        let plan = self.of(load);
        plan.good(dice.below(plan.rows))
    }
}
