//! Dates, times and durations in other notations than those of their format.
//!
//! A date is read if everything that the format requires is written, in any order: `Dec 25, 2022`,
//! `2022-12-25 10:00 UTC`, `3:30 pm`. Nothing is filled in, so a date and time without an offset does not
//! satisfy a format with one, and an offset is never dropped. `03/04/2022` has two readings and is rejected.

use std::fmt::Write as _;

use super::super::plan::{Format, days_in};

/// The maximum length, in bytes, of text that is read as a date.
const LONGEST: usize = 80;

/// The result of reading text as a value of a format.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// The value, in the notation of the format.
    Is(String),
    /// Several possible values; with the reason, in words.
    Unclear(&'static str),
    /// The text has no such value.
    No,
}

const EITHER_DAY_OR_MONTH: &str = "where the day and the month cannot be told apart";
const WRONG_WEEKDAY: &str = "a date that falls on another day of the week";

/// Reads `text` as a value of `format`.
pub(super) fn read(format: Format, text: &str) -> Reading {
    let text = text.trim().trim_end_matches('.');
    if text.is_empty() || text.len() > LONGEST {
        return Reading::No;
    }
    if format == Format::Duration {
        return duration(text).map_or(Reading::No, Reading::Is);
    }
    let mut scan = Scan { rest: text };
    match moment(&mut scan) {
        Ok(Some(moment)) if scan.rest.is_empty() => moment.shown(format).map_or(Reading::No, Reading::Is),
        Ok(_) => Reading::No,
        Err(why) => Reading::Unclear(why),
    }
}

/// A date, a time, or both.
#[derive(Debug, Default)]
struct Moment {
    date: Option<String>,
    time: Option<String>,
    /// The offset, `Z` or `+HH:MM`.
    offset: Option<String>,
    /// The time zone in brackets after it.
    zone: Option<String>,
}

impl Moment {
    /// Returns the moment in the notation of the format, if it has exactly the parts that the format
    /// requires.
    fn shown(&self, format: Format) -> Option<String> {
        let Moment { date, time, offset, zone } = self;
        let date = date.as_deref();
        let time = time.as_deref();
        let after = offset.as_deref().unwrap_or_default();
        match format {
            // The date of a moment is the date as written, without conversion to another offset.
            Format::Date => date.map(str::to_owned),
            Format::Time if date.is_none() && zone.is_none() => Some(format!("{}{after}", time?)),
            Format::PartialTime if date.is_none() && offset.is_none() && zone.is_none() => {
                time.map(str::to_owned)
            }
            // Beside an offset the name of the zone adds nothing.
            Format::DateTime => Some(format!("{}T{}{}", date?, time?, offset.as_ref()?)),
            Format::PartialDateTime if offset.is_none() && zone.is_none() => {
                Some(format!("{}T{}", date?, time?))
            }
            Format::ZonedDateTime => Some(format!("{}T{}{after}[{}]", date?, time?, zone.as_ref()?)),
            _ => None,
        }
    }
}

/// A cursor over the text, from left to right.
#[derive(Debug, Clone, Copy)]
struct Scan<'t> {
    rest: &'t str,
}

impl<'t> Scan<'t> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads all digits at this position, if their number is from `least` to `most`.
    fn digits(&mut self, least: usize, most: usize) -> Option<&'t str> {
        let end = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = (least..=most).contains(&end).then(|| self.rest.split_at(end))?;
        self.rest = digits.1;
        Some(digits.0)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        self.digits(least, most)?.parse().ok()
    }

    /// Reads the letters at this position.
    fn word(&mut self) -> Option<&'t str> {
        let end = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Reads the word at this position if it is `wanted`.
    fn eat_word(&mut self, wanted: &str) -> bool {
        let mut ahead = *self;
        let found = ahead.word().is_some_and(|word| word.eq_ignore_ascii_case(wanted));
        if found {
            *self = ahead;
        }
        found
    }
}

/// Runs a reader, and restores the position if it finds nothing.
fn tried<'t, T>(scan: &mut Scan<'t>, reader: impl FnOnce(&mut Scan<'t>) -> Option<T>) -> Option<T> {
    let mut ahead = *scan;
    let found = reader(&mut ahead)?;
    *scan = ahead;
    Some(found)
}

fn moment(scan: &mut Scan<'_>) -> Result<Option<Moment>, &'static str> {
    let mut moment = Moment::default();
    let whole = *scan;
    if let Some((year, month, day)) = date(scan)? {
        moment.date = Some(format!("{year:04}-{month:02}-{day:02}"));
        if scan.rest.is_empty() {
            return Ok(Some(moment));
        }
        let compact = whole.rest.bytes().take(8).all(|byte| byte.is_ascii_digit());
        if scan.eat('T') || scan.eat('t') {
            moment.time = tried(scan, time).or_else(|| compact.then(|| tried(scan, compact_time))?);
        } else {
            scan.eat(',');
            scan.skip_space();
            if scan.eat_word("at") {
                scan.skip_space();
            }
            moment.time = tried(scan, time);
        }
    } else {
        moment.time = tried(scan, time);
    }
    if moment.time.is_none() {
        return Ok(None);
    }
    moment.offset = tried(scan, |scan| {
        scan.skip_space();
        offset(scan)
    });
    moment.zone = tried(scan, |scan| {
        scan.skip_space();
        let (zone, rest) = scan.rest.strip_prefix('[')?.split_once(']')?;
        scan.rest = rest;
        Some(zone.to_owned())
    });
    Ok(Some(moment))
}

type Date = (u32, u32, u32);

/// Reads a date at the beginning of the text.
fn date(scan: &mut Scan<'_>) -> Result<Option<Date>, &'static str> {
    let weekday = tried(scan, |scan| {
        let day = named(scan.word()?, &WEEKDAYS)?;
        scan.eat('.');
        scan.eat(',');
        scan.skip_space();
        Some(day)
    });
    let found = match tried(scan, year_first).or_else(|| tried(scan, compact_date)) {
        Some(date) => Some(date),
        None => match tried(scan, year_last) {
            Some((a, b, year)) if a <= 12 && b <= 12 && a != b => {
                return if a > 0 && b > 0 && year > 0 { Err(EITHER_DAY_OR_MONTH) } else { Ok(None) };
            }
            Some((a, b, year)) => Some(if a > 12 { (year, b, a) } else { (year, a, b) }),
            None => tried(scan, in_words),
        },
    };
    let Some((year, month, day)) = found else { return Ok(None) };
    if !(1..=days_in(year.into(), month)).contains(&day) {
        return Ok(None);
    }
    if weekday.is_some_and(|weekday| weekday != day_of_week(year, month, day)) {
        return Err(WRONG_WEEKDAY);
    }
    Ok(Some((year, month, day)))
}

/// Reads one of the separators between the numbers of a date.
fn mark(scan: &mut Scan<'_>) -> Option<char> {
    ['-', '/', '.'].into_iter().find(|mark| scan.eat(*mark))
}

fn year_first(scan: &mut Scan<'_>) -> Option<Date> {
    let year = scan.number(4, 4)?;
    let between = mark(scan)?;
    let month = scan.number(1, 2)?;
    scan.eat(between).then_some(())?;
    Some((year, month, scan.number(1, 2)?))
}

fn compact_date(scan: &mut Scan<'_>) -> Option<Date> {
    let digits = scan.digits(8, 8)?;
    Some((digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?))
}

/// Reads two numbers and the year; the caller determines which of them is the month.
fn year_last(scan: &mut Scan<'_>) -> Option<(u32, u32, u32)> {
    let first = scan.number(1, 2)?;
    let between = mark(scan)?;
    let second = scan.number(1, 2)?;
    scan.eat(between).then_some(())?;
    Some((first, second, scan.number(4, 4)?))
}

/// Reads a date with the month in words: `December 25th, 2022`, `25 Dec 2022`, `25-Dec-2022`, `2022 December
/// 25`.
fn in_words(scan: &mut Scan<'_>) -> Option<Date> {
    let (mut year, mut month, mut day) = (None, None, None);
    for place in 0..3 {
        if place > 0 {
            scan.eat('.');
            scan.eat(',');
            let joined = place == 1 && day.is_some() && scan.eat('-') || place == 2 && scan.eat('-');
            let before = scan.rest;
            scan.skip_space();
            if scan.eat_word("of") {
                scan.skip_space();
            }
            if !joined && before.len() == scan.rest.len() {
                return None;
            }
        }
        if let Some(number) = tried(scan, |scan| scan.number(4, 4)).filter(|_| year.is_none()) {
            year = Some(number);
        } else if let Some(number) = tried(scan, |scan| scan.number(1, 2)).filter(|_| day.is_none()) {
            day = Some(number);
            let _ = ["st", "nd", "rd", "th"].iter().any(|ending| scan.eat_word(ending));
        } else if month.is_none() {
            month = Some(named(scan.word()?, &MONTHS)? as u32 + 1);
        } else {
            return None;
        }
    }
    Some((year?, month?, day?))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// Returns the index of a name in a list, matched exactly or by its first three or four letters.
fn named(word: &str, names: &[&str]) -> Option<usize> {
    let word = word.to_ascii_lowercase();
    let short = (3..=5).contains(&word.len());
    names.iter().position(|name| *name == word || (short && name.starts_with(&word)))
}

/// Returns the day of the week, counted from Sunday, by Zeller's congruence.
fn day_of_week(year: u32, month: u32, day: u32) -> usize {
    let (month, year) = if month < 3 { (month + 12, year + 399) } else { (month, year + 400) };
    let from_saturday = (day + 13 * (month + 1) / 5 + year + year / 4 - year / 100 + year / 400) % 7;
    ((from_saturday + 6) % 7) as usize
}

/// Reads `10:00`, `10:00:00.5`, `9:30 pm` or `3 pm`; returns `HH:MM:SS`.
fn time(scan: &mut Scan<'_>) -> Option<String> {
    let mut hour = scan.number(1, 2)?;
    let mut minute = None;
    let mut second = 0;
    let mut fraction = "";
    if scan.eat(':') {
        minute = Some(scan.number(2, 2)?);
        if scan.eat(':') {
            second = scan.number(2, 2)?;
            if scan.eat('.') || scan.eat(',') {
                fraction = scan.digits(1, 9)?;
            }
        }
    }
    let half = tried(scan, |scan| {
        scan.skip_space();
        let half = scan.word()?.to_ascii_lowercase();
        let half = match half.as_str() {
            "am" | "pm" => half,
            "a" | "p" if scan.eat('.') && scan.eat_word("m") => {
                scan.eat('.');
                half
            }
            _ => return None,
        };
        Some(half.starts_with('p'))
    });
    // An hour alone is a time only with `am` or `pm`.
    if minute.is_none() && half.is_none() {
        return None;
    }
    let minute = minute.unwrap_or(0);
    if let Some(afternoon) = half {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut time = format!("{hour:02}:{minute:02}:{second:02}");
    if !fraction.is_empty() {
        let _ = write!(time, ".{fraction}");
    }
    Some(time)
}

/// Reads `100000` or `1000` after a date without separators.
fn compact_time(scan: &mut Scan<'_>) -> Option<String> {
    let digits = scan.digits(4, 6).filter(|digits| digits.len() != 5)?;
    let (hour, minute, second) = (&digits[..2], &digits[2..4], digits.get(4..).filter(|s| !s.is_empty()));
    let text = format!("{hour}:{minute}:{}", second.unwrap_or("00"));
    let mut ahead = Scan { rest: &text };
    time(&mut ahead)
}

/// Reads `Z`, `UTC`, `+02:00`, `-0500` or `GMT+2`; returns `Z` or `+HH:MM`. Other names of zones have more
/// than one offset.
fn offset(scan: &mut Scan<'_>) -> Option<String> {
    let named = tried(scan, |scan| {
        let word = scan.word()?;
        ["z", "utc", "gmt", "ut"].iter().any(|name| word.eq_ignore_ascii_case(name)).then_some(word.len() > 1)
    });
    let sign = match (named, scan.rest.chars().next()) {
        (None | Some(true), Some(sign @ ('+' | '-'))) => sign,
        (Some(_), _) => return Some("Z".to_owned()),
        (None, _) => return None,
    };
    scan.rest = &scan.rest[1..];
    let (hour, minute) = match scan.digits(1, 4)? {
        digits if digits.len() <= 2 => {
            (digits.parse().ok()?, if scan.eat(':') { scan.number(2, 2)? } else { 0 })
        }
        digits => {
            let split = digits.len() - 2;
            (digits[..split].parse().ok()?, digits[split..].parse().ok()?)
        }
    };
    let hour: u32 = hour;
    (hour < 24 && minute < 60).then(|| format!("{sign}{hour:02}:{minute:02}"))
}

/// Reads a duration in words, `1 hour 30 minutes` or `1h 30m`; returns it in ISO 8601.
fn duration(text: &str) -> Option<String> {
    // The units in the order in which they are written, each with its letter and whether it belongs to the
    // time.
    const UNITS: [(&[&str], char, bool); 7] = [
        (&["year", "years", "yr", "yrs", "y"], 'Y', false),
        (&["month", "months", "mo", "mos"], 'M', false),
        (&["week", "weeks", "wk", "wks", "w"], 'W', false),
        (&["day", "days", "d"], 'D', false),
        (&["hour", "hours", "hr", "hrs", "h"], 'H', true),
        (&["minute", "minutes", "min", "mins", "m"], 'M', true),
        (&["second", "seconds", "sec", "secs", "s"], 'S', true),
    ];
    let mut scan = Scan { rest: text };
    let mut out = String::from("P");
    let (mut next, mut timed) = (0, false);
    while !scan.rest.is_empty() {
        let whole = scan.digits(1, 18)?;
        let fraction = if scan.eat('.') { Some(scan.digits(1, 9)?) } else { None };
        scan.skip_space();
        let word = scan.word()?.to_ascii_lowercase();
        let (place, (_, letter, of_time)) =
            UNITS.iter().enumerate().skip(next).find(|(_, (names, _, _))| names.contains(&word.as_str()))?;
        // Only fractions of seconds are unambiguous.
        if fraction.is_some() && *letter != 'S' {
            return None;
        }
        if *of_time && !timed {
            out.push('T');
            timed = true;
        }
        out.push_str(whole);
        if let Some(fraction) = fraction {
            let _ = write!(out, ".{fraction}");
        }
        out.push(*letter);
        next = place + 1;
        scan.eat(',');
        scan.skip_space();
        if scan.eat_word("and") {
            scan.skip_space();
        }
    }
    (next > 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        use Format as F;
        for (format, text, wanted) in [
            (F::Date, "Dec 25, 2022", "2022-12-25"),
            (F::Date, "December 25th, 2022", "2022-12-25"),
            (F::Date, "25 December 2022", "2022-12-25"),
            (F::Date, "the 25th", ""),
            (F::Date, "25th of December, 2022", "2022-12-25"),
            (F::Date, "25-Dec-2022", "2022-12-25"),
            (F::Date, "Sunday, December 25, 2022.", "2022-12-25"),
            (F::Date, "Sept. 3, 2022", "2022-09-03"),
            (F::Date, "2022/12/25", "2022-12-25"),
            (F::Date, "2022-1-5", "2022-01-05"),
            (F::Date, "20221225", "2022-12-25"),
            (F::Date, "12/25/2022", "2022-12-25"),
            (F::Date, "25.12.2022", "2022-12-25"),
            (F::Date, "05/05/2022", "2022-05-05"),
            (F::Date, "2022-12-25T10:00:00Z", "2022-12-25"),
            (F::Date, "2022-12-25 00:00", "2022-12-25"),
            (F::Time, "10:00", "10:00:00"),
            (F::Time, "10:00 UTC", "10:00:00Z"),
            (F::PartialTime, "9:30 pm", "21:30:00"),
            (F::PartialTime, "12 a.m.", "00:00:00"),
            (F::PartialTime, "3PM", "15:00:00"),
            (F::PartialDateTime, "2022-12-25 10:00:00", "2022-12-25T10:00:00"),
            (F::PartialDateTime, "2022-12-25T10:00", "2022-12-25T10:00:00"),
            (F::PartialDateTime, "Dec 25, 2022 at 10:00 AM", "2022-12-25T10:00:00"),
            (F::PartialDateTime, "2022-12-25 10:00:00.250", "2022-12-25T10:00:00.250"),
            (F::DateTime, "2022-12-25T10:00Z", "2022-12-25T10:00:00Z"),
            (F::DateTime, "2022-12-25 10:00:00 UTC", "2022-12-25T10:00:00Z"),
            (F::DateTime, "2022-12-25 10:00:00+0200", "2022-12-25T10:00:00+02:00"),
            (F::DateTime, "2022-12-25 10:00 GMT-5", "2022-12-25T10:00:00-05:00"),
            (F::DateTime, "Sun, 25 Dec 2022 10:00:00 GMT", "2022-12-25T10:00:00Z"),
            (F::DateTime, "2022-12-25T10:00:00+01:00[Europe/Paris]", "2022-12-25T10:00:00+01:00"),
            (F::DateTime, "20221225T100000Z", "2022-12-25T10:00:00Z"),
            (F::ZonedDateTime, "2022-12-25 10:00 [Europe/Paris]", "2022-12-25T10:00:00[Europe/Paris]"),
            (F::Duration, "1 hour 30 minutes", "PT1H30M"),
            (F::Duration, "90 min", "PT90M"),
            (F::Duration, "2 weeks, 3 days and 4.5s", "P2W3DT4.5S"),
            (F::Duration, "1h30m", "PT1H30M"),
        ] {
            let expected = if wanted.is_empty() { Reading::No } else { Reading::Is(wanted.to_owned()) };
            assert_eq!(read(format, text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_invented() {
        use Format as F;
        for (format, text) in [
            (F::Date, "Dec 2022"),
            (F::Date, "December 25"),
            (F::Date, "25/12/22"),
            (F::Date, "2022-02-30"),
            (F::Date, "13/13/2022"),
            (F::Date, "00/05/2022"),
            (F::Date, "10:00"),
            (F::Date, "soon"),
            (F::Date, "Decimal 25, 2022"),
            (F::Date, "2022-12-25 or later"),
            (F::Time, "10"),
            (F::Time, "25:00"),
            (F::Time, "13 pm"),
            (F::PartialTime, "10:00Z"),
            (F::PartialDateTime, "2022-12-25"),
            (F::PartialDateTime, "2022-12-25T10:00:00Z"),
            (F::PartialDateTime, "2022-12-25T10:00:00+02:00"),
            (F::DateTime, "2022-12-25T10:00:00"),
            (F::DateTime, "2022-12-25 10:00 EST"),
            (F::DateTime, "2022-12-25 10:00 [Europe/Paris]"),
            (F::DateTime, "2022-12-25Z"),
            (F::ZonedDateTime, "2022-12-25T10:00:00+01:00"),
            (F::Duration, "1:30"),
            (F::Duration, "1.5 hours"),
            (F::Duration, "3 minutes 1 hour"),
            (F::Duration, "a while"),
            (F::Duration, ""),
        ] {
            assert_eq!(read(format, text), Reading::No, "{format:?} {text}");
        }
        assert_eq!(read(F::Date, "03/04/2024"), Reading::Unclear(EITHER_DAY_OR_MONTH));
        assert_eq!(read(F::Date, "Monday, December 25, 2022"), Reading::Unclear(WRONG_WEEKDAY));
    }

    #[test]
    fn days_of_the_week() {
        for (date, day) in [((2022, 12, 25), 0), ((2000, 2, 29), 2), ((1970, 1, 1), 4), ((2024, 3, 1), 5)] {
            assert_eq!(day_of_week(date.0, date.1, date.2), day);
        }
    }

    #[test]
    fn any_text_is_taken() {
        for text in [
            "é",
            "2022-",
            "T",
            "1",
            "12:",
            "12:0",
            "[",
            "+",
            "2022-12-25T",
            "9999999999999999999",
            "1 é",
            "P",
        ] {
            for format in [Format::Date, Format::DateTime, Format::Duration, Format::ZonedDateTime] {
                assert_eq!(read(format, text), Reading::No, "{text}");
            }
        }
    }
}
