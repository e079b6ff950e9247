//! Pure: what can be set of application users.

use serde::Deserialize;
use uuid::Uuid;

/// One application user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// Name used in statistics.
    pub name: String,
    /// Application (client) id.
    pub client_id: Uuid,
    /// Client secret; a pretended one, never a real one.
    #[serde(default)]
    pub secret: Option<String>,
    /// Whether the secret counts as expired.
    #[serde(default)]
    pub secret_expired: bool,
    /// Certificate or public key (PEM file) that signs the client's assertions.
    #[serde(default)]
    pub certificate_file: Option<String>,
    /// Thumbprint the assertion's header must carry, base64url; checked when given.
    #[serde(default)]
    pub certificate_thumbprint: Option<String>,
    /// `systemuserid`.
    pub system_user_id: Uuid,
    /// Entra object id, for `CallerObjectId`; the system user id when absent.
    #[serde(default)]
    pub object_id: Option<Uuid>,
    /// Whether the system user is disabled.
    #[serde(default)]
    pub disabled: bool,
    /// Whether the organization has this user.
    #[serde(default = "yes")]
    pub member: bool,
    /// Whether it may act for other users.
    #[serde(default = "yes")]
    pub may_impersonate: bool,
}

const fn yes() -> bool {
    true
}

/// A number whose hexadecimal digits read as `n` does in decimal.
fn hex_digits(n: u32) -> u128 {
    u128::from_str_radix(&n.to_string(), 16).unwrap_or(0)
}

impl UserSettings {
    /// Entra object id.
    #[must_use]
    pub fn object_id(&self) -> Uuid {
        self.object_id.unwrap_or(self.system_user_id)
    }

    /// The ready application user number `n`.
    #[must_use]
    pub fn numbered(n: u32) -> Self {
        Self {
            name: format!("app-{n}"),
            client_id: Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + hex_digits(n)),
            secret: Some(format!("pretended-secret-{n}")),
            secret_expired: false,
            certificate_file: None,
            certificate_thumbprint: None,
            system_user_id: Uuid::from_u128(
                0x5e00_0000_0000_4000_8000_0000_0000_0000 + hex_digits(n),
            ),
            object_id: None,
            disabled: false,
            member: true,
            may_impersonate: true,
        }
    }
}
