//! The string formats that are enforced, each in its canonical notation.
//!
//! Other notations of dates and times are read by `coerce/date.rs`, which converts them to these.

/// A string format that the decoder enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Format {
    Date,
    /// A time of day, optionally with an offset from UTC.
    Time,
    /// A time of day without an offset.
    PartialTime,
    /// A date and time with its offset.
    DateTime,
    /// A date and time without an offset.
    PartialDateTime,
    /// A date and time with the name of its time zone in brackets.
    ZonedDateTime,
    Duration,
    Uuid,
    Email,
    Uri,
}

impl Format {
    /// Returns the format with this name in a schema.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "date" => Self::Date,
            "time" => Self::Time,
            "partial-time" => Self::PartialTime,
            "date-time" => Self::DateTime,
            "partial-date-time" => Self::PartialDateTime,
            "zoned-date-time" => Self::ZonedDateTime,
            "duration" => Self::Duration,
            "uuid" => Self::Uuid,
            "email" => Self::Email,
            "uri" | "url" => Self::Uri,
            _ => return None,
        })
    }

    /// Returns the format in words, as an instruction for writing a value.
    pub(super) const fn phrase(self) -> &'static str {
        match self {
            Self::Date => "a date as YYYY-MM-DD",
            Self::Time | Self::PartialTime => "a time as HH:MM:SS",
            Self::DateTime => "a date and time with its offset from UTC, as YYYY-MM-DDTHH:MM:SSZ",
            Self::PartialDateTime => "a date and time as YYYY-MM-DDTHH:MM:SS",
            Self::ZonedDateTime => {
                "a date and time with its time zone, such as 2024-02-29T12:00:00+01:00[Europe/Paris]"
            }
            Self::Duration => "an ISO 8601 duration such as PT1H30M",
            Self::Uuid => "a UUID",
            Self::Email => "an e-mail address",
            Self::Uri => "a URI",
        }
    }

    /// Returns whether the format is one of dates, times or durations.
    pub(in super::super) const fn is_temporal(self) -> bool {
        !matches!(self, Self::Uuid | Self::Email | Self::Uri)
    }

    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Date => is_date(text),
            Self::Time => is_time(text, Offset::Possible),
            Self::PartialTime => is_time(text, Offset::None),
            Self::DateTime => is_date_time(text, Offset::Needed),
            Self::PartialDateTime => is_date_time(text, Offset::None),
            Self::ZonedDateTime => {
                text.strip_suffix(']').and_then(|text| text.split_once('[')).is_some_and(|(moment, zone)| {
                    !zone.is_empty()
                        && zone.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-.:=!".contains(c))
                        && is_date_time(moment, Offset::Possible)
                })
            }
            Self::Duration => is_duration(text),
            Self::Uuid => {
                text.len() == 36
                    && text.bytes().enumerate().all(|(i, b)| match i {
                        8 | 13 | 18 | 23 => b == b'-',
                        _ => b.is_ascii_hexdigit(),
                    })
            }
            Self::Email => text.split_once('@').is_some_and(|(user, host)| {
                let clean = |c: char| !c.is_whitespace() && !"<>()[],;:\"@".contains(c);
                !user.is_empty()
                    && host.split('.').count() >= 2
                    && host.split('.').all(|part| !part.is_empty())
                    && user.chars().all(clean)
                    && host.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
            }),
            Self::Uri => text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                    && !rest.is_empty()
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"`".contains(c))
            }),
        }
    }
}

/// The requirement for an offset from UTC after a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offset {
    None,
    Possible,
    Needed,
}

/// Returns the number of days of a month; 0 for a month that does not exist.
pub(in super::super) const fn days_in(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    }
}

/// Returns the whole text as a number, if it consists of digits.
fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn two(text: &str, at: usize) -> Option<u32> {
    digits(text.get(at..at + 2)?).map(|number| number as u32)
}

/// Returns whether the text is `YYYY-MM-DD`; years before 0 or after 9999 have a sign and up to six digits.
fn is_date(text: &str) -> bool {
    let signed = text.starts_with(['+', '-']);
    let unsigned = &text[usize::from(signed)..];
    let Some(split) = unsigned.find('-').filter(|at| if signed { (4..=6).contains(at) } else { *at == 4 })
    else {
        return false;
    };
    let (year, rest) = unsigned.split_at(split);
    let (Some(year), Some(month), Some(day)) = (digits(year), two(rest, 1), two(rest, 4)) else {
        return false;
    };
    let year = if text.starts_with('-') { -year } else { year };
    rest.len() == 6 && rest.as_bytes()[3] == b'-' && (1..=days_in(year, month)).contains(&day)
}

fn is_time(text: &str, offset: Offset) -> bool {
    let (Some(hour), Some(minute), Some(second)) = (two(text, 0), two(text, 3), two(text, 6)) else {
        return false;
    };
    let b = text.as_bytes();
    if hour > 23 || minute > 59 || second > 60 || b[2] != b':' || b[5] != b':' {
        return false;
    }
    let rest = &text[8..];
    let zone = rest.strip_prefix('.').map_or(rest, |r| r.trim_start_matches(|c: char| c.is_ascii_digit()));
    if rest.starts_with('.') && zone.len() + 1 == rest.len() {
        return false;
    }
    match zone {
        "" => offset != Offset::Needed,
        "Z" | "z" => offset != Offset::None,
        _ => {
            offset != Offset::None
                && zone.len() == 6
                && matches!(zone.as_bytes()[0], b'+' | b'-')
                && zone.as_bytes()[3] == b':'
                && two(zone, 1).is_some_and(|h| h < 24)
                && two(zone, 4).is_some_and(|m| m < 60)
        }
    }
}

fn is_date_time(text: &str, offset: Offset) -> bool {
    let split = text.find(['T', 't']);
    split.is_some_and(|at| is_date(&text[..at]) && is_time(&text[at + 1..], offset))
}

/// Returns whether the text is `P1Y2M3W4DT5H6M7.8S` with any of its parts, optionally with a sign before it.
fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_uppercase();
    let Some(rest) = unsigned.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let parts = |mut text: &str, units: &str| {
        let mut from = 0;
        while !text.is_empty() {
            let Some(end) = text.find(|c: char| c.is_ascii_alphabetic()) else { return false };
            let (number, unit) = (&text[..end], &text[end..=end]);
            let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
            // The units must have this order, each at most once.
            let Some(place) = units[from..].find(unit) else { return false };
            if digits(whole).is_none() || digits(fraction).is_none() {
                return false;
            }
            from += place + 1;
            text = &text[end + 1..];
        }
        true
    };
    let some = !days.is_empty() || time.is_some_and(|time| !time.is_empty());
    some && time != Some("") && parts(days, "YMWD") && time.is_none_or(|time| parts(time, "HMS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_one_form() {
        use Format as F;
        for (format, good, bad) in [
            (
                F::Date,
                &["2024-02-29", "0001-01-01", "-0044-03-15", "+12024-01-01"][..],
                &[
                    "2023-02-29",
                    "2024-2-9",
                    "2024-13-01",
                    "24-01-01",
                    "2024-01-01T00:00:00",
                    "",
                    "é024-01-01",
                ][..],
            ),
            (
                F::Time,
                &["13:05:00", "23:59:60.5", "13:05:00Z", "13:05:00+02:00"],
                &["13:05", "24:00:00", "1:05:00", "13:05:00."],
            ),
            (F::PartialTime, &["13:05:00", "13:05:00.123456789"], &["13:05:00Z", "13:05"]),
            (
                F::DateTime,
                &["2024-02-29T13:05:00Z", "2024-02-29t13:05:00.5-05:30"],
                &["2024-02-29T13:05:00", "2024-02-29 13:05:00Z", "2024-02-29", "2024-02-29T13:05Z"],
            ),
            (F::PartialDateTime, &["2024-02-29T13:05:00"], &["2024-02-29T13:05:00Z", "2024-02-29 13:05:00"]),
            (
                F::ZonedDateTime,
                &["2024-02-29T13:05:00+01:00[Europe/Paris]", "2024-02-29T13:05:00Z[UTC]"],
                &["2024-02-29T13:05:00+01:00", "2024-02-29T13:05:00[]"],
            ),
            (
                F::Duration,
                &["PT1H30M", "P1Y2M3W4DT5H6M7.008S", "-PT5M", "pt1s", "P3D"],
                &["P", "PT", "1h", "PT1M1H", "P1H", "PTH", "PT1.S", "P1DT"],
            ),
        ] {
            for text in good {
                assert!(format.accepts(text), "{format:?} {text}");
            }
            for text in bad {
                assert!(!format.accepts(text), "{format:?} {text}");
            }
        }
    }
}
