//! Pure: where secrets come from. A secret's text never stands in a job file, so this type holds
//! the place, and the text itself lives in `secrecy::SecretString` once it is read.

use std::path::PathBuf;

/// Where a secret is found when it is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file only its owner may read (0600).
    File(PathBuf),
}
