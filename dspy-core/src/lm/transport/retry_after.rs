//! How long a server asks to wait, in each of the ways to say it.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The wait that the headers of a reply ask for. `now` is the local time in seconds since 1970, used where the
/// server does not tell its own.
pub(super) fn retry_after(headers: &HeaderMap, now: u64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok();
    if let Some(milliseconds) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // The server's own clock makes the difference right even where ours is wrong.
    let now = text(DATE.as_str()).and_then(seconds_since_1970).unwrap_or(now);
    Some(Duration::from_secs(seconds_since_1970(value)?.saturating_sub(now)))
}

/// Reads a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`. The two obsolete spellings are not read.
fn seconds_since_1970(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = date.split_once(", ")?;
    let mut words = date.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month_name)?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let sound =
        (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !sound || words.next() != Some("GMT") {
        return None;
    }
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = (1970..year).map(|year| 365 + u64::from(leap(year))).sum::<u64>()
        + lengths[..month].iter().sum::<u64>()
        + (day - 1);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn asked(headers: &[(&'static str, &'static str)], now: u64) -> Option<Duration> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        retry_after(&headers.collect(), now)
    }

    #[test]
    fn dates_are_counted_from_1970() {
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Sun, 22 Nov 2026 00:00:00 GMT", 1_795_305_600),
        ] {
            assert_eq!(seconds_since_1970(date), Some(seconds), "{date}");
        }
        for odd in ["", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(seconds_since_1970(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_spelling_is_understood() {
        let date = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked(&[("retry-after", "7")], 0), Some(Duration::from_secs(7)));
        assert_eq!(asked(&[("retry-after", "1.5")], 0), Some(Duration::from_millis(1500)));
        assert_eq!(
            asked(&[("retry-after", "9"), ("retry-after-ms", "250")], 0),
            Some(Duration::from_millis(250))
        );
        assert_eq!(asked(&[date], 784_111_770), Some(Duration::from_secs(7)));
        assert_eq!(asked(&[date], 784_111_999), Some(Duration::ZERO));
        assert_eq!(
            asked(&[date, ("date", "Sun, 06 Nov 1994 08:49:30 GMT")], 0),
            Some(Duration::from_secs(7))
        );
        for odd in ["-1", "inf", "NaN", "1e300", "later"] {
            assert_eq!(asked(&[("retry-after", odd)], 0), None, "{odd}");
        }
    }
}
