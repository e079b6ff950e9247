//! Pure: what a token request is answered.

/// A token handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Bearer token.
    pub token: String,
    /// Life, seconds.
    pub expires_in: i64,
    /// End, milliseconds since 1970.
    pub expires_ms: i64,
    /// Index of the application user.
    pub user: usize,
    /// What it is for.
    pub resource: String,
}

/// A refused token request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRefused {
    /// HTTP status.
    pub status: u16,
    /// OAuth error.
    pub error: &'static str,
    /// AADSTS number.
    pub number: u32,
    /// What is wrong.
    pub text: String,
}

pub(super) fn refused(status: u16, error: &'static str, number: u32, text: String) -> TokenRefused {
    TokenRefused { status, error, number, text }
}

pub(super) fn missing(name: &str) -> TokenRefused {
    refused(
        400,
        "invalid_request",
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

impl Granted {
    /// Body of the token endpoint's answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let n = self.expires_in;
        serde_json::json!({
            "token_type": "Bearer", "expires_in": n, "ext_expires_in": n,
            "access_token": self.token,
        })
        .to_string()
        .into_bytes()
    }

    /// Body of the managed-identity endpoint's answer: all values are texts.
    #[must_use]
    pub fn managed_body(&self, client_id: &str) -> Vec<u8> {
        let expires_on = self.expires_ms / 1000;
        serde_json::json!({
            "access_token": self.token, "client_id": client_id, "refresh_token": "",
            "expires_in": self.expires_in.to_string(), "expires_on": expires_on.to_string(),
            "not_before": (expires_on - self.expires_in).to_string(),
            "resource": self.resource, "token_type": "Bearer",
        })
        .to_string()
        .into_bytes()
    }
}

impl TokenRefused {
    /// Body of the answer.
    #[must_use]
    pub fn body(&self, timestamp: &str, unique: &str) -> Vec<u8> {
        let codes = if self.number == 0 { Vec::new() } else { vec![self.number] };
        let text = if self.number == 0 {
            self.text.clone()
        } else {
            format!("AADSTS{}: {} Trace ID: {unique}", self.number, self.text)
        };
        serde_json::json!({
            "error": self.error, "error_description": text, "error_codes": codes,
            "timestamp": timestamp, "trace_id": unique, "correlation_id": unique,
        })
        .to_string()
        .into_bytes()
    }
}
