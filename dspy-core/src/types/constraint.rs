//! Constraint keywords of JSON Schema in words.

use serde_json::Value;

/// The constraints that `schema` itself states, one phrase each.
pub(super) fn phrases(schema: &Value) -> Vec<String> {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(ToString::to_string);
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let mut phrases = Vec::new();
    let width = text("format").unwrap_or_default();
    let sized = width.starts_with("uint") || width.starts_with("int");
    // `u8` and its kin carry the limits of their width; those are not worth a phrase.
    let maximum = number("maximum")
        .filter(|maximum| !(sized && matches!(maximum.as_str(), "127" | "255" | "32767" | "65535")));
    let minimum = number("minimum").filter(|minimum| {
        let of_width = match minimum.as_str() {
            "0" => width.starts_with("uint") && maximum.is_none(),
            "-128" | "-32768" => sized,
            _ => false,
        };
        !of_width
    });
    match (minimum, maximum) {
        (Some(low), Some(high)) => phrases.push(format!("from {low} to {high}")),
        (Some(low), None) => phrases.push(format!("at least {low}")),
        (None, Some(high)) => phrases.push(format!("at most {high}")),
        (None, None) => {}
    }
    phrases.extend(number("exclusiveMinimum").map(|low| format!("greater than {low}")));
    phrases.extend(number("exclusiveMaximum").map(|high| format!("less than {high}")));
    phrases.extend(number("multipleOf").map(|step| format!("a multiple of {step}")));
    for (low, high, unit) in [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "entries"),
    ] {
        // The length of a tuple shows in its type.
        if unit == "items" && schema.get("prefixItems").is_some() {
            continue;
        }
        match (number(low), number(high)) {
            (Some(low), Some(high)) if low == high => phrases.push(format!("exactly {low} {unit}")),
            (Some(low), Some(high)) => phrases.push(format!("{low} to {high} {unit}")),
            (Some(low), None) => phrases.push(format!("at least {low} {unit}")),
            (None, Some(high)) => phrases.push(format!("at most {high} {unit}")),
            (None, None) => {}
        }
    }
    if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
        phrases.push("no duplicates".into());
    }
    // The pattern of whole numbers of any size is the library's own.
    let is_big_int = schema.get("x-big-int").is_some();
    phrases.extend(is_big_int.then(|| "of any size".to_owned()));
    phrases.extend(text("pattern").filter(|_| !is_big_int).map(|pattern| format!("matches /{pattern}/")));
    phrases.extend(text("format").and_then(format_phrase).map(str::to_owned));
    phrases
}

/// Formats that say something about the text; the width of a number does not.
fn format_phrase(format: &str) -> Option<&'static str> {
    Some(match format {
        "date" => "a date, YYYY-MM-DD",
        "date-time" => "a date and time, RFC 3339",
        "partial-date-time" => "a date and time, YYYY-MM-DDTHH:MM:SS",
        "time" | "partial-time" => "a time, HH:MM:SS",
        "duration" => "an ISO 8601 duration",
        "email" => "an e-mail address",
        "uri" => "a URL",
        "uuid" => "a UUID",
        "ipv4" | "ipv6" | "ip" => "an IP address",
        _ => return None,
    })
}
