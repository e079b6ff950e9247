//! Pure: what refusals and headers of service protection say.

use super::Facet;
use crate::simulator::settings::ProtectionSettings;

/// The text of a refusal.
///
/// Source: `dataverse-web-api.md` §1.1.
#[must_use]
pub fn message(facet: Facet, rules: &ProtectionSettings) -> String {
    let window = rules.window_secs;
    match facet {
        Facet::Requests => format!(
            "Number of requests exceeded the limit of {} over time window of {window} seconds.",
            rules.requests_max
        ),
        Facet::Execution => format!(
            "Combined execution time of incoming requests exceeded limit of {} milliseconds over \
             time window of {window} seconds. Decrease number of concurrent requests or reduce \
             the duration of requests and try again later.",
            grouped(&format!("{:.0}", rules.execution_secs_max * 1000.0))
        ),
        Facet::Concurrency => {
            format!("Number of concurrent requests exceeded the limit of {}.", rules.concurrent_max)
        }
    }
}

/// `1199.97` with thousands commas: `1,199.97`.
///
/// Source: `dataverse-web-api.md` §13.
#[must_use]
pub fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut out = String::with_capacity(number.len() + 4);
    for (i, c) in number.chars().enumerate() {
        if i > 0 && i < whole && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_thousands_commas() {
        assert_eq!(grouped("1200.00"), "1,200.00");
        assert_eq!(grouped("1200000"), "1,200,000");
        assert_eq!(grouped("12.5"), "12.5");
        let text = message(Facet::Execution, &ProtectionSettings::default());
        assert!(text.contains("1,200,000 milliseconds over time window of 300 seconds"));
    }
}
