//! Pure: pages and the opaque tokens between them.

use super::url::encode;

/// Where a page starts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Position {
    /// Number of the page, from 0.
    pub page: usize,
    /// Rows given before, for ordered reads.
    pub given: usize,
    /// First place not looked at, for unordered reads.
    pub place: usize,
    /// Version of the latest change when the first page was read, for tracked reads.
    pub since: Option<u64>,
}

impl Position {
    /// The value of `$skiptoken`, not yet encoded for the URL.
    ///
    /// Source: `dataverse-web-api.md` §7.2.
    #[must_use]
    pub fn token(self) -> String {
        format!(
            "<cookie pagenumber=\"{}\" pagingcookie=\"{}\" istracking=\"False\" />",
            self.page.saturating_add(1),
            encode(&encode(&self.cookie()))
        )
    }

    /// The bare paging cookie.
    #[must_use]
    pub fn cookie(self) -> String {
        let since = self.since.map(|v| format!(" since=\"{v}\"")).unwrap_or_default();
        format!(
            "<cookie page=\"{}\"><position last=\"{}\" next=\"{}\"{since} /></cookie>",
            self.page, self.given, self.place
        )
    }

    /// Reads a token, a decoded cookie or anything that holds one.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let mut text = text.to_owned();
        // Clients decode zero to two times, and escape for XML.
        for _ in 0..3 {
            if let Some(found) = Self::read(&text) {
                return Some(found);
            }
            text = super::url::decode(&text, false).ok()?.replace("&quot;", "\"");
        }
        None
    }

    fn read(text: &str) -> Option<Self> {
        let number = |name: &str| -> Option<usize> {
            let rest = &text[text.find(name)? + name.len()..];
            rest.split('"').next()?.parse().ok()
        };
        Some(Self {
            page: number("cookie page=\"")?,
            given: number("position last=\"")?,
            place: number(" next=\"")?,
            since: number(" since=\"").and_then(|v| u64::try_from(v).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_every_way_clients_treat_them() {
        let here = Position { page: 2, given: 10_000, place: 12_345, since: Some(7) };
        assert_eq!(Position::of(&here.token()), Some(here));
        assert_eq!(Position::of(&here.cookie()), Some(here));
        assert_eq!(Position::of(&encode(&encode(&here.cookie()))), Some(here));
        assert_eq!(Position::of(&here.cookie().replace('"', "&quot;")), Some(here));
        assert_eq!(Position::of("<cookie pagenumber=\"2\" />"), None);
        assert_eq!(Position::of("%"), None);
    }
}
