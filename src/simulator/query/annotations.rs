//! Pure: `Prefer` headers of reads.

use crate::simulator::call::Call;

/// `@OData.Community.Display.V1.FormattedValue`.
pub const FORMATTED: &str = "OData.Community.Display.V1.FormattedValue";
/// `@Microsoft.Dynamics.CRM.lookuplogicalname`.
pub const LOOKUP_TABLE: &str = "Microsoft.Dynamics.CRM.lookuplogicalname";
/// `@Microsoft.Dynamics.CRM.associatednavigationproperty`.
pub const NAVIGATION: &str = "Microsoft.Dynamics.CRM.associatednavigationproperty";
/// `@Microsoft.Dynamics.CRM.totalrecordcount`.
pub const TOTAL: &str = "Microsoft.Dynamics.CRM.totalrecordcount";
/// `@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded`.
pub const TOTAL_EXCEEDED: &str = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded";
/// `@Microsoft.Dynamics.CRM.fetchxmlpagingcookie`.
pub const FETCH_COOKIE: &str = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie";
/// `@Microsoft.Dynamics.CRM.morerecords`.
pub const MORE: &str = "Microsoft.Dynamics.CRM.morerecords";

/// Annotations a client asked for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Annotations {
    patterns: Vec<String>,
}

impl Annotations {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self { patterns: vec!["*".into()] }
    }

    /// Whether `name` was asked for: by name, `Namespace.*` or `*`; `-…` takes names out.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        };
        let refused = self.patterns.iter().filter_map(|p| p.strip_prefix('-')).any(fits);
        !refused && self.patterns.iter().any(|p| fits(p))
    }
}

/// Preferences that change a read.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Preferences {
    /// `odata.include-annotations`.
    pub annotations: Annotations,
    /// `odata.maxpagesize`.
    pub page_size: Option<usize>,
    /// `odata.track-changes`.
    pub track_changes: bool,
    /// What was honoured, for `Preference-Applied`.
    pub applied: Vec<String>,
}

impl Preferences {
    /// Reads all `Prefer` headers of a request.
    ///
    /// Source: `dataverse-web-api.md` §5.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let mut out = Self::default();
        for (_, value) in call.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("prefer")) {
            for part in super::url::split_outside(value, ',') {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                let value = value.trim();
                match name.trim().to_ascii_lowercase().as_str() {
                    "odata.include-annotations" => {
                        let list = value.trim_matches(['"', '\'']);
                        out.annotations.patterns =
                            list.split(',').map(|p| p.trim().to_owned()).collect();
                        out.applied.push(format!("odata.include-annotations=\"{list}\""));
                    }
                    "odata.maxpagesize" => {
                        if let Some(size) =
                            value.trim_matches('"').parse().ok().filter(|&s: &usize| s > 0)
                        {
                            out.page_size = Some(size);
                            out.applied.push(format!("odata.maxpagesize={size}"));
                        }
                    }
                    "odata.track-changes" => {
                        out.track_changes = true;
                        out.applied.push("odata.track-changes".to_owned());
                    }
                    _ => {}
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::call::Verb;

    fn preferences(prefer: &[&str]) -> Preferences {
        let headers: Vec<_> =
            prefer.iter().map(|p| ("prefer".to_owned(), (*p).to_owned())).collect();
        Preferences::of(&Call {
            verb: Verb::Get,
            path: "",
            query: "",
            headers: &headers,
            body: b"",
        })
    }

    #[test]
    fn lists_of_annotations_and_page_sizes_are_read() {
        let all = preferences(&["odata.maxpagesize=7, odata.include-annotations=\"*\""]);
        assert!(all.annotations.wants(FORMATTED) && all.annotations.wants(MORE));
        assert_eq!(all.page_size, Some(7));
        let some = preferences(&[
            "return=representation",
            &format!("odata.include-annotations=\"{FORMATTED},Microsoft.Dynamics.CRM.total*\""),
        ]);
        assert!(some.annotations.wants(FORMATTED) && some.annotations.wants(TOTAL_EXCEEDED));
        assert!(!some.annotations.wants(LOOKUP_TABLE));
        assert_eq!(some.page_size, None);
        let except = preferences(&[&format!("odata.include-annotations=\"*,-{MORE}\"")]);
        assert!(except.annotations.wants(TOTAL) && !except.annotations.wants(MORE));
        assert!(!preferences(&[]).annotations.wants(FORMATTED));
    }
}
