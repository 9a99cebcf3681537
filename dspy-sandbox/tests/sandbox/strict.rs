//! JSON between the interpreter and its host: exact, and never more than the limit.

use serde_json::{Value, json};

use crate::strict_source::{read, write};

#[test]
fn a_value_is_written_if_it_is_within_the_limit_and_never_further() {
    let values = [
        json!(null),
        json!([]),
        json!({}),
        json!([1, -2.5, true, "é\u{1F600}\n\u{1}\"\\"]),
        json!({"": [{"a": {}}, [[]]], "key": "value"}),
        json!("x".repeat(100)),
        json!(vec!["\u{0}"; 20]),
    ];
    for value in values {
        let whole = value.to_string();
        for limit in 0..whole.len() + 3 {
            let written = write(&value, limit);
            assert_eq!(written.is_ok(), limit >= whole.len(), "{whole}: {limit}");
            if let Ok(written) = written {
                assert_eq!(written, whole.as_bytes());
            }
        }
    }
    let huge = json!({"a": ["x".repeat(100_000_000)]});
    assert!(write(&huge, 1_000).unwrap_err().contains("more than 1000 bytes"));
    let nested = |depth: usize| (0..depth).fold(json!(1), |value, _| Value::Array(vec![value]));
    assert!(write(&nested(127), 1_000).is_ok());
    assert!(write(&nested(128), 1_000).unwrap_err().contains("nested more than 127 deep"));
}

#[test]
fn json_is_read_without_losses() {
    for (text, value) in [
        ("18446744073709551615", Some(json!(u64::MAX))),
        ("-9223372036854775808", Some(json!(i64::MIN))),
        ("18446744073709551616", None),
        ("-9223372036854775809", None),
        ("[1, {\"a\": 99999999999999999999}]", None),
        ("\"99999999999999999999\"", Some(json!("99999999999999999999"))),
        ("\"\\\\\\\"99999999999999999999\"", Some(json!("\\\"99999999999999999999"))),
        ("{\"99999999999999999999\": 1e300}", Some(json!({"99999999999999999999": 1e300}))),
        ("99999999999999999999.5", Some(json!(99_999_999_999_999_999_999.5))),
        ("{\"a\": 1, \"b\": {\"a\": 1}}", Some(json!({"a": 1, "b": {"a": 1}}))),
        ("{\"a\": 1, \"\\u0061\": 2}", None),
        ("[{\"x\": {\"b\": 1, \"b\": 1}}]", None),
        ("\"\\ud800\"", None),
        ("[1", None),
        ("NaN", None),
        ("1 2", None),
    ] {
        assert_eq!(read(text.as_bytes()).ok(), value, "{text}");
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(nested(127).as_bytes()).is_ok());
    assert!(read(nested(128).as_bytes()).is_err());
    assert!(read(nested(1_000_000).as_bytes()).is_err());
}
