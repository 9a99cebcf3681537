//! Exact decimals as field types, with the feature `decimal`.
#![cfg(feature = "decimal")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy_core::adapter::{Adapter, ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::decode::decode;
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use rust_decimal::Decimal;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Bill {
    total: Decimal,
    tip: Option<Decimal>,
    parts: Vec<Decimal>,
}

const LONG: &str = "12345678901234567.89";

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn what_is_written_comes_back() {
    for text in ["0", "0.10", "-1.5", LONG, "79228162514264337593543950335", "0.0000000000000000000000000001"]
    {
        let value = decimal(text);
        let read = decode::<Decimal>(&serde_json::to_string(&value).unwrap()).unwrap();
        assert_eq!(read.value.to_string(), text);
        let field = FieldSpec::new(Role::Output, "sum", "", Decimal::schema());
        let spec = SignatureSpec::new("Sum", "", [FieldSpec::text(Role::Input, "text", ""), field]);
        let mut values = Values::new();
        value.write("sum", &mut values).unwrap();
        for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &XmlAdapter] {
            let reply = adapter.reply(&spec, &values);
            let mut parsed = adapter.parse(&spec, &Completion::new(reply.as_str())).unwrap();
            assert_eq!(
                Decimal::read(&mut parsed.values, "sum", &[], None).unwrap().to_string(),
                text,
                "{reply}"
            );
        }
    }
}

#[test]
fn strings_of_digits_are_exact() {
    let reply = format!(r#"{{"total": "{LONG}", "parts": ["0.10", "{LONG}"]}}"#);
    let bill = decode::<Bill>(&reply).unwrap().value;
    assert_eq!(bill.total.to_string(), LONG);
    assert_eq!(bill.parts[0].to_string(), "0.10");
    assert_eq!(bill.tip, None);
}

#[test]
fn small_numbers_are_read() {
    for (reply, wanted) in [("4.25", "4.25"), ("7", "7"), ("-0.5", "-0.5"), ("\"4.25\"", "4.25")] {
        assert_eq!(decode::<Decimal>(reply).unwrap().value, decimal(wanted), "{reply}");
    }
    assert_eq!(decode::<Bill>(r#"{"total": 12.5, "parts": [1]}"#).unwrap().value.total, decimal("12.5"));
    for reply in ["about ten of them, or eleven", "NaN"] {
        assert!(decode::<Decimal>(reply).is_err(), "{reply}");
    }
}

/// A number whose digits a float would lose is exact or refused, never another number.
#[test]
fn long_numbers_lose_no_digit() {
    for (reply, wanted) in [(LONG, LONG), ("0.1234567890123456789", "0.1234567890123456789")] {
        if let Ok(read) = decode::<Decimal>(reply) {
            assert_eq!(read.value.to_string(), wanted);
        }
        let member = format!("{{\"total\": {reply}, \"parts\": []}}");
        if let Ok(read) = decode::<Bill>(&member) {
            assert_eq!(read.value.total.to_string(), wanted);
        }
    }
}

#[test]
fn digits_that_a_decimal_cannot_hold_are_refused() {
    for reply in [
        "1e-30",
        "0.1000000000000000000000000000000001",
        "\"0.12345678901234567890123456789012\"",
        "\"123456789012345678901234567890123\"",
    ] {
        let read = decode::<Decimal>(reply);
        assert!(read.is_err(), "{reply}: {read:?}");
    }
}
