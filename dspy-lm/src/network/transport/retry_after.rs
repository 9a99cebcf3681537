//! The wait that a server requests, in all its formats.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// Returns the wait that the headers of a reply with this status request. `now` is the local time in seconds since
/// 1970, used if the server does not send its own.
pub(super) fn retry_after(status: u16, headers: &HeaderMap, now: u64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    asked(&text, now).or_else(|| if status == 429 { exhausted(&text, now) } else { None })
}

/// Returns when the exhausted limits reset, from the headers of each limit: `x-ratelimit-remaining-requests: 0` and
/// `x-ratelimit-reset-requests: 6m0s`. Limits that are not exhausted do not affect the wait.
fn exhausted<'h>(text: &dyn Fn(&str) -> Option<&'h str>, now: u64) -> Option<Duration> {
    let reset = |limit: &str| {
        let left = text(&format!("x-ratelimit-remaining{limit}"))?;
        if left.parse::<f64>().ok()? > 0.0 {
            return None;
        }
        let reset = text(&format!("x-ratelimit-reset{limit}"))?;
        let Ok(seconds) = reset.parse::<f64>() else { return duration(reset) };
        // A number is a wait in seconds, or a time in seconds or milliseconds since 1970.
        let seconds = match seconds {
            time if time > 1e11 => time / 1000.0 - now as f64,
            time if time > 1e9 => time - now as f64,
            wait => wait,
        };
        Duration::try_from_secs_f64(seconds.max(0.0)).ok()
    };
    ["", "-requests", "-tokens"].into_iter().filter_map(reset).max()
}

/// Returns the wait that an error body requests: Google's `RetryInfo` among the details, or a separate member.
pub(super) fn in_body(error: &Value) -> Option<Duration> {
    let seconds = |value: &Value| match value {
        Value::String(text) => text.trim().parse().map_or_else(|_| duration(text), seconds),
        Value::Object(_) => {
            let part = |name: &str| value.get(name).map(|part| crate::json::count(Some(part)));
            let nanos = u32::try_from(part("nanos").unwrap_or_default())
                .ok()
                .filter(|nanos| *nanos < 1_000_000_000)?;
            Some(Duration::new(part("seconds")?, nanos))
        }
        value => seconds(value.as_f64()?),
    };
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let info = details.filter_map(|detail| detail.get("retryDelay")).find_map(seconds);
    let places = [Some(error), error.get("metadata")];
    let own = || {
        places.into_iter().flatten().find_map(|place| {
            let milliseconds =
                place.get("retry_after_ms").and_then(Value::as_f64).and_then(|ms| self::seconds(ms / 1000.0));
            let names = ["retry_after", "retryAfter", "retry_after_seconds"];
            milliseconds.or_else(|| names.into_iter().filter_map(|name| place.get(name)).find_map(seconds))
        })
    };
    info.or_else(own)
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// Parses a duration in the format of Go and Protocol Buffers: `58s`, `1.5s`, `6m0s`, `1h2m3s`, `250ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text.trim(), Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(seconds(amount.parse::<f64>().ok()? * factor)?)?;
        rest = tail;
    }
    Some(total)
}

fn asked<'h>(text: &dyn Fn(&str) -> Option<&'h str>, now: u64) -> Option<Duration> {
    let number = |text: &str| text.parse::<f64>().ok();
    if let Some(milliseconds) = text("retry-after-ms").and_then(number) {
        return seconds(milliseconds / 1000.0);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Some(wait) = number(value) {
        return seconds(wait);
    }
    // With the server's clock, the difference is right even if the local clock is wrong.
    let now = text(DATE.as_str()).and_then(seconds_since_1970).unwrap_or(now);
    Some(Duration::from_secs(seconds_since_1970(value)?.saturating_sub(now)))
}

/// Parses a date in the format of HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`. The two obsolete formats are not supported.
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
        of_status(429, headers, now)
    }

    fn of_status(status: u16, headers: &[(&'static str, &'static str)], now: u64) -> Option<Duration> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        retry_after(status, &headers.collect(), now)
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

    #[test]
    fn limits_that_are_used_up_tell_when_they_come_free() {
        let ms = Duration::from_millis;
        let [left, reset] = ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        assert_eq!(asked(&[(left, "0"), (reset, "6m0s")], 0), Some(Duration::from_mins(6)));
        assert_eq!(asked(&[(left, "3"), (reset, "6m0s")], 0), None, "it is not used up");
        assert_eq!(asked(&[(reset, "6m0s")], 0), None);
        assert_eq!(of_status(200, &[(left, "0"), (reset, "6m0s")], 0), None, "nothing was refused");
        assert_eq!(asked(&[(left, "0"), (reset, "6m0s"), ("retry-after", "2")], 0), Some(ms(2_000)));
        let tokens = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "20ms")];
        assert_eq!(asked(&tokens, 0), Some(ms(20)));
        assert_eq!(asked(&[&[(left, "0"), (reset, "1s")][..], &tokens].concat(), 0), Some(ms(1_000)));
        let plain =
            |reset| asked(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)], 1_795_305_600);
        assert_eq!(plain("30"), Some(ms(30_000)));
        assert_eq!(plain("1795305607"), Some(ms(7_000)));
        assert_eq!(plain("1795305607500"), Some(ms(7_500)));
        assert_eq!(plain("1795305000"), Some(Duration::ZERO));
        assert_eq!(plain("soon"), None);
    }

    #[test]
    fn bodies_say_it_too() {
        let asked = |error: &str| in_body(&serde_json::from_str(error).unwrap());
        let detail = |delay: &str| {
            asked(&format!(
                r#"{{"details": [{{"@type": "x"}}, {{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": {delay}}}]}}"#
            ))
        };
        assert_eq!(detail(r#""58s""#), Some(Duration::from_secs(58)));
        assert_eq!(detail(r#""1.5s""#), Some(Duration::from_millis(1_500)));
        assert_eq!(detail(r#"{"seconds": "2", "nanos": 500000000}"#), Some(Duration::from_millis(2_500)));
        for odd in [
            r#""""#,
            r#""s""#,
            r#""-1s""#,
            r#""1e999s""#,
            r#""99999999999999999999999s""#,
            "null",
            "[]",
            "{}",
            r#"{"seconds": 1, "nanos": 9999999999}"#,
            "-5",
            r#""5 apples""#,
        ] {
            assert_eq!(detail(odd), None, "{odd}");
        }
        assert_eq!(asked(r#"{"retry_after": 3}"#), Some(Duration::from_secs(3)));
        assert_eq!(asked(r#"{"retry_after_ms": 250}"#), Some(Duration::from_millis(250)));
        assert_eq!(asked(r#"{"metadata": {"retry_after": "4"}}"#), Some(Duration::from_secs(4)));
        assert_eq!(asked(r#"{"message": "try again in 1.5s"}"#), None, "prose is not measured");
        assert_eq!(asked("[]"), None);
    }
}
