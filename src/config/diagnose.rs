//! Pure: mistakes of a job file, shown with file, line, caret and a way out.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// `DV00xx`; `dvbulk explain` has its page.
    pub code: &'static str,
    /// Bytes of the file's text it is about; empty at 0 when it is about the whole file.
    pub span: Range<usize>,
    /// What is wrong, with value and rule.
    pub message: String,
    /// Few words beside the caret; may be empty.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Why there is no job.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConfigRefused {
    /// The file itself could not be had.
    #[error("error[DV0001]: cannot read the job file {file}: {reason}")]
    Unreadable {
        /// As the user named it.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// The text breaks rules; all of them are listed.
    #[error("{}", .0.render(false))]
    Invalid(Invalid),
}

/// A text and everything found wrong with it.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// As the user named it.
    pub file: String,
    /// The whole text.
    pub text: String,
    /// At least one, in the order of the text.
    pub findings: Vec<Finding>,
}

impl Invalid {
    /// All findings as a person reads them, ending with a line that counts them.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for finding in &self.findings {
            let snippet = Snippet::source(self.text.as_str()).path(self.file.as_str()).annotation(
                AnnotationKind::Primary
                    .span(clip(&finding.span, &self.text))
                    .label(finding.label.as_str()),
            );
            let mut group = Level::ERROR
                .primary_title(finding.message.as_str())
                .id(finding.code)
                .element(snippet);
            if let Some(hint) = &finding.hint {
                group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let count = self.findings.len();
        let plural = if count == 1 { "" } else { "s" };
        let code = self.findings.first().map_or("DV0002", |f| f.code);
        out.push_str(&format!(
            "{}: {count} error{plural}; `dvbulk explain {code}` tells more",
            self.file
        ));
        out
    }
}

impl ConfigRefused {
    /// The error as a person reads it.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Invalid(invalid) => invalid.render(colour),
        }
    }

    /// Codes of all findings, in order.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        match self {
            Self::Unreadable { .. } => vec!["DV0001"],
            Self::Invalid(invalid) => invalid.findings.iter().map(|f| f.code).collect(),
        }
    }
}

/// Keeps a caret within its first line and within the text, so that the value that is wrong is
/// shown and not the screenful of a table it spans.
fn clip(span: &Range<usize>, text: &str) -> Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let line_end = text.get(start..end).and_then(|s| s.find('\n')).map_or(end, |n| start + n);
    start..line_end
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
