//! Dates of chrono and jiff as field types, with the features of these names.
#![cfg(any(feature = "chrono", feature = "jiff"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::fmt::Debug;

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::decode::decode;
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `reply` as `wanted`, and what the adapters make of `wanted` too.
fn check<T>(reply: &str, wanted: T, phrase: &str)
where
    T: Serialize + DeserializeOwned + JsonSchema + Debug + PartialEq + Send + Sync + 'static,
{
    assert_eq!(decode::<T>(reply).unwrap().value, wanted, "{reply}");
    let field = FieldSpec::new(Role::Output, "when", "", T::schema());
    assert_eq!(field.type_text().constraints, [phrase]);
    let spec = SignatureSpec::new("Date", "", [FieldSpec::text(Role::Input, "text", ""), field]);
    let mut values = Values::new();
    wanted.write("when", &mut values).unwrap();
    for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &XmlAdapter] {
        let reply = adapter.reply(&spec, &values);
        let mut parsed = adapter.parse(&spec, &Completion::new(reply.as_str())).unwrap();
        assert_eq!(T::read(&mut parsed.values, "when", &[], None).unwrap(), wanted, "{reply}");
    }
}

/// Refuses each reply with a message that says what to write.
fn refuse<T: DeserializeOwned + JsonSchema + Debug + 'static>(wanted: &str, replies: &[&str]) {
    for reply in replies {
        let error = decode::<T>(reply).unwrap_err().to_string();
        assert!(error.contains(wanted), "{reply}: {error}");
    }
}

/// Reads each reply as `wanted`, alone and as a member.
fn read<T: DeserializeOwned + JsonSchema + Debug + PartialEq + 'static>(wanted: T, replies: &[&str]) {
    #[derive(serde::Deserialize, JsonSchema)]
    struct Member<T> {
        when: Option<T>,
    }
    for reply in replies {
        let read = decode::<T>(reply).unwrap_or_else(|error| panic!("{reply}: {error}"));
        assert_eq!(read.value, wanted, "{reply}");
        let member = serde_json::json!({"when": reply}).to_string();
        assert_eq!(decode::<Member<T>>(&member).unwrap().value.when.as_ref(), Some(&wanted), "{reply}");
    }
}

#[cfg(feature = "chrono")]
#[test]
fn chrono() {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    check("2024-02-29", date, "a date as YYYY-MM-DD");
    check("\"2024-02-29\"", date, "a date as YYYY-MM-DD");
    let time = NaiveTime::from_hms_opt(13, 5, 0).unwrap();
    check("13:05:00", time, "a time as HH:MM:SS");
    check::<NaiveDateTime>(
        "2024-02-29T13:05:00",
        date.and_time(time),
        "a date and time as YYYY-MM-DDTHH:MM:SS",
    );
    check::<DateTime<Utc>>(
        "2024-02-29T13:05:00Z",
        date.and_time(time).and_utc(),
        "a date and time with its offset from UTC, as YYYY-MM-DDTHH:MM:SSZ",
    );
    let noon = date.and_hms_opt(12, 0, 0).unwrap();
    read(date, &["Feb 29, 2024", "29 February 2024", "2024/02/29", "29.02.2024", "2024-02-29T12:00:00"]);
    read(time, &["13:05", "1:05 pm"]);
    read(noon, &["2024-02-29 12:00:00", "2024-02-29T12:00", "Feb 29, 2024, 12:00", "29 Feb 2024 at 12 pm"]);
    read(
        noon.and_utc(),
        &[
            "2024-02-29T12:00Z",
            "2024-02-29 12:00:00 UTC",
            "2024-02-29 13:00:00+0100",
            "Thu, 29 Feb 2024 12:00:00 GMT",
        ],
    );
    refuse::<NaiveDate>(
        "a date as YYYY-MM-DD",
        &["2023-02-29", "soon", "03/04/2024", "Monday, Feb 29, 2024"],
    );
    refuse::<NaiveDateTime>("YYYY-MM-DDTHH:MM:SS", &["2024-02-29", "2024-02-29T12:00:00Z"]);
    refuse::<DateTime<Utc>>(
        "offset from UTC",
        &["2024-02-29", "yesterday", "2024-02-29T12:00:00", "2024-02-29 12:00 EST"],
    );
}

#[cfg(feature = "jiff")]
#[test]
fn jiff() {
    use jiff::civil::{Date, DateTime, Time, date, time};
    use jiff::{SignedDuration, Timestamp, Zoned};
    check::<Date>("2024-02-29", date(2024, 2, 29), "a date as YYYY-MM-DD");
    check::<Time>("13:05:00", time(13, 5, 0, 0), "a time as HH:MM:SS");
    let noon = date(2024, 2, 29).at(12, 0, 0, 0);
    check::<DateTime>("2024-02-29T12:00:00", noon, "a date and time as YYYY-MM-DDTHH:MM:SS");
    let stamp: Timestamp = "2024-02-29T12:00:00Z".parse().unwrap();
    check::<Timestamp>(
        "2024-02-29T12:00:00Z",
        stamp,
        "a date and time with its offset from UTC, as YYYY-MM-DDTHH:MM:SSZ",
    );
    // Zones with names need a database of them.
    let zoned: Zoned = "2024-02-29T12:00:00+01:00[+01:00]".parse().unwrap();
    check::<Zoned>(
        "2024-02-29T12:00:00+01:00[+01:00]",
        zoned.clone(),
        "a date and time with its time zone, such as 2024-02-29T12:00:00+01:00[Europe/Paris]",
    );
    let hour = SignedDuration::from_secs(5400);
    check::<SignedDuration>("PT1H30M", hour, "an ISO 8601 duration such as PT1H30M");
    read(date(2024, 2, 29), &["Feb 29, 2024", "29 February 2024"]);
    read(noon, &["2024-02-29 12:00:00", "2024-02-29T12:00"]);
    read(stamp, &["2024-02-29T12:00Z", "2024-02-29 12:00 UTC", "2024-02-29T13:00:00+01:00[Europe/Paris]"]);
    read(hour, &["1 hour 30 minutes", "90 min", "pt90m"]);
    read(zoned, &["2024-02-29 12:00+01:00 [+01:00]"]);
    refuse::<Date>("a date as YYYY-MM-DD", &["2023-02-29", "soon", "03/04/2024"]);
    refuse::<Timestamp>("offset from UTC", &["2024-02-29", "yesterday", "2024-02-29 12:00:00"]);
    refuse::<SignedDuration>("ISO 8601", &["a while", "1:30"]);
}

#[cfg(feature = "jiff")]
#[test]
fn whatever_a_date_of_jiff_is_written_as_comes_back() {
    use jiff::civil::{Date, DateTime};
    use jiff::{SignedDuration, Span, Timestamp};
    for date in [Date::MIN, Date::MAX, Date::ZERO] {
        comes_back(date);
    }
    for moment in [DateTime::MIN, DateTime::MAX] {
        comes_back(moment);
    }
    for stamp in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
        comes_back(stamp);
    }
    for duration in
        [SignedDuration::MIN, SignedDuration::MAX, SignedDuration::ZERO, SignedDuration::from_millis(-1500)]
    {
        comes_back(duration);
    }
    let span = Span::new().years(1).months(2).weeks(3).days(4).hours(5).minutes(6).seconds(7).milliseconds(8);
    let text = serde_json::to_value(span).unwrap();
    let read = decode::<Span>(text.as_str().unwrap()).unwrap();
    assert!(read.report.is_clean());
    assert_eq!(read.value.fieldwise(), span.fieldwise());
}

#[cfg(feature = "chrono")]
#[test]
fn whatever_a_date_of_chrono_is_written_as_comes_back() {
    use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday};
    for date in [NaiveDate::MIN, NaiveDate::MAX, NaiveDate::default()] {
        comes_back(date);
    }
    comes_back(NaiveDateTime::MIN);
    comes_back(NaiveDateTime::MAX);
    comes_back(NaiveTime::from_hms_nano_opt(23, 59, 59, 1_999_999_999).unwrap());
    comes_back(DateTime::<Utc>::UNIX_EPOCH);
    comes_back(DateTime::<FixedOffset>::parse_from_rfc3339("2024-02-29T12:00:00.123-03:30").unwrap());
    comes_back(Weekday::Thu);
}

fn comes_back<T: Serialize + DeserializeOwned + JsonSchema + Debug + PartialEq + 'static>(value: T) {
    let written = serde_json::to_value(&value).unwrap();
    let read = decode::<T>(written.as_str().unwrap()).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert!(read.report.is_clean(), "{written}");
    assert_eq!(read.value, value);
}
