//! Loosely typed values.

use serde_json::Value;

/// Returns the string in a value, if it is one and not empty.
pub(crate) fn string(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Returns the whole number in a value. Servers also send counts as floating-point numbers and as strings; anything
/// that is not a count, including a negative number, is `None`.
pub(crate) fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => {
            let float = || number.as_f64().filter(|float| *float >= 0.0).map(|float| float as u64);
            number.as_u64().or_else(float)
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Returns a count of tokens; 0 if there is none.
pub(crate) fn count(value: Option<&Value>) -> u64 {
    number(value).unwrap_or_default()
}

/// Returns an amount of US dollars.
pub(crate) fn dollars(value: Option<&Value>) -> Option<f64> {
    let usd = match value? {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    (usd.is_finite() && usd >= 0.0).then_some(usd)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_in_every_form() {
        for (value, read) in [
            (json!(7), Some(7)),
            (json!(7.9), Some(7)),
            (json!("7"), Some(7)),
            (json!(1e30), Some(u64::MAX)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(-7), None),
            (json!(-7.5), None),
            (json!(null), None),
            (json!("seven"), None),
            (json!([7]), None),
        ] {
            assert_eq!(number(Some(&value)), read, "{value}");
        }
        for (value, read) in
            [(json!(0.5), Some(0.5)), (json!("0.5"), Some(0.5)), (json!("inf"), None), (json!(-1), None)]
        {
            assert_eq!(dollars(Some(&value)), read, "{value}");
        }
    }
}
