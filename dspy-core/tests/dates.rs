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

fn refuse<T: DeserializeOwned + JsonSchema + Debug + 'static>(replies: &[&str]) {
    for reply in replies {
        assert!(decode::<T>(reply).is_err(), "{reply}");
    }
}

#[cfg(feature = "chrono")]
#[test]
fn chrono() {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    check("2024-02-29", date, "a date, YYYY-MM-DD");
    check("\"2024-02-29\"", date, "a date, YYYY-MM-DD");
    let time = NaiveTime::from_hms_opt(13, 5, 0).unwrap();
    check("13:05:00", time, "a time, HH:MM:SS");
    check::<NaiveDateTime>(
        "2024-02-29T13:05:00",
        date.and_time(time),
        "a date and time, YYYY-MM-DDTHH:MM:SS",
    );
    check::<DateTime<Utc>>(
        "2024-02-29T13:05:00Z",
        date.and_time(time).and_utc(),
        "a date and time, RFC 3339",
    );
    refuse::<NaiveDate>(&["2023-02-29", "soon", "03/04/2024"]);
    refuse::<DateTime<Utc>>(&["2024-02-29", "yesterday"]);
}

#[cfg(feature = "jiff")]
#[test]
fn jiff() {
    use jiff::Timestamp;
    use jiff::civil::{Date, DateTime, Time, date, time};
    check::<Date>("2024-02-29", date(2024, 2, 29), "a date, YYYY-MM-DD");
    check::<Time>("13:05:00", time(13, 5, 0, 0), "a time, HH:MM:SS");
    let noon = date(2024, 2, 29).at(12, 0, 0, 0);
    check::<DateTime>("2024-02-29T12:00:00", noon, "a date and time, YYYY-MM-DDTHH:MM:SS");
    let stamp: Timestamp = "2024-02-29T12:00:00Z".parse().unwrap();
    check::<Timestamp>("2024-02-29T12:00:00Z", stamp, "a date and time, RFC 3339");
    refuse::<Date>(&["2023-02-29", "soon", "03/04/2024"]);
    refuse::<Timestamp>(&["2024-02-29", "yesterday"]);
}
