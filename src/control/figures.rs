//! Pure: figures as people read them, alike on the page and in the terminal.

/// With a comma between thousands: `12,345`.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: whole from 10 on, one decimal below.
#[must_use]
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "–".to_owned(),
        Some(rate) if rate >= 9.95 => grouped(rate.round() as u64),
        Some(rate) => format!("{rate:.1}"),
    }
}

/// A span in its two largest units: `3h 12m`, `4m 5s`, `12s`; `–` when not known.
#[must_use]
pub fn span(secs: Option<f64>) -> String {
    let Some(secs) = secs.filter(|secs| secs.is_finite()) else { return "–".to_owned() };
    let secs = secs.max(0.0).ceil() as u64;
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, _) => format!("{minutes}m {}s", secs % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A share as whole per cent, never rounded up to 100.
#[must_use]
pub fn per_cent(share: f64) -> String {
    let whole = (share * 100.0).floor().clamp(0.0, 100.0);
    format!("{whole:.0} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 7, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn spans_name_their_two_largest_units() {
        let shown = [0.0, 0.2, 12.0, 245.0, 11_520.0, 200_000.0].map(|s| span(Some(s)));
        assert_eq!(shown, ["0s", "1s", "12s", "4m 5s", "3h 12m", "2d 7h"]);
        assert_eq!((span(None), span(Some(f64::INFINITY))), ("–".into(), "–".into()));
    }

    #[test]
    fn rates_and_shares_do_not_promise_more_than_they_know() {
        assert_eq!(
            [None, Some(0.0), Some(3.149), Some(9.96), Some(1234.4)].map(rate),
            ["–", "0.0", "3.1", "10", "1,234"]
        );
        assert_eq!([0.0, 0.999, 1.0, 1.2].map(per_cent), ["0 %", "99 %", "100 %", "100 %"]);
    }
}
