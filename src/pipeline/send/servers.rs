//! Pure: which web server answered, by its affinity cookie, and the cookie that leads back to it.

use crate::client::attempt::ReplyHeaders;

/// Most servers kept apart; further ones are not told from each other.
const SERVERS_MAX: usize = 256;

/// Servers seen so far, numbered in the order of appearance.
///
/// Source: `adaptive-control.md` §2.1, §4.2: the affinity cookie names the node, `X-Source` says the
/// same of answers that set no cookie.
#[derive(Debug, Default)]
pub struct Servers {
    known: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    cookie: String,
    source: Option<String>,
}

impl Servers {
    /// Number of the server that gave this answer; `None` when it cannot be told, or could not be
    /// addressed again.
    pub fn number(&mut self, headers: &ReplyHeaders) -> Option<u32> {
        let source = headers.source.as_deref();
        let place = match &headers.affinity {
            Some(cookie) => match self.known.iter().position(|s| s.cookie == *cookie) {
                Some(place) => place,
                None if self.known.len() < SERVERS_MAX => {
                    self.known.push(Server { cookie: cookie.clone(), source: None });
                    self.known.len() - 1
                }
                None => return None,
            },
            None => self
                .known
                .iter()
                .position(|s| s.source.is_some() && s.source.as_deref() == source)?,
        };
        if headers.affinity.is_some() && source.is_some() {
            self.known[place].source = source.map(str::to_owned);
        }
        u32::try_from(place).ok()
    }

    /// The `Cookie` header that leads to a server.
    #[must_use]
    pub fn cookie(&self, server: u32) -> Option<&str> {
        self.known.get(usize::try_from(server).ok()?).map(|s| s.cookie.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: Option<&str>, source: Option<&str>) -> ReplyHeaders {
        ReplyHeaders {
            affinity: cookie.map(str::to_owned),
            source: source.map(str::to_owned),
            ..ReplyHeaders::default()
        }
    }

    #[test]
    fn servers_are_numbered_by_cookie_and_recognised_by_source() {
        let mut servers = Servers::default();
        assert_eq!(
            servers.number(&headers(None, Some("node-a"))),
            None,
            "nothing leads back to it"
        );
        assert_eq!(servers.number(&headers(Some("ARR=a"), Some("node-a"))), Some(0));
        assert_eq!(servers.number(&headers(Some("ARR=b"), Some("node-b"))), Some(1));
        assert_eq!(servers.number(&headers(None, Some("node-a"))), Some(0));
        assert_eq!(servers.number(&headers(None, None)), None);
        assert_eq!(servers.cookie(1), Some("ARR=b"));
        assert_eq!(servers.cookie(2), None);
    }

    #[test]
    fn no_more_servers_than_the_bound_are_kept() {
        let mut servers = Servers::default();
        for i in 0..2 * SERVERS_MAX {
            servers.number(&headers(Some(&format!("ARR={i}")), None));
        }
        assert_eq!(servers.known.len(), SERVERS_MAX);
    }
}
