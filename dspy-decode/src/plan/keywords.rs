//! Keywords that set limits: reading them from a schema and checking them against each other.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::super::error::SchemaError;
use super::{Bound, Format, NumberPlan, TextPlan};
use dspy_base::keyword;

type Compiled<T> = Result<T, SchemaError>;

/// Returns the type that the keywords of a schema without `type` imply, if they all imply the same one.
pub(super) fn implied_type(map: &Map<String, Value>) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().any(|k| map.contains_key(*k));
    let object = has(&[
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "minProperties",
        "maxProperties",
    ]);
    let list = has(&["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]);
    let number = has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]);
    let text = has(&["minLength", "maxLength", "pattern"]);
    match (object, list, number, text) {
        (true, false, false, false) => Some("object"),
        (false, true, false, false) => Some("array"),
        (false, false, true, false) => Some("number"),
        (false, false, false, true) => Some("string"),
        _ => None,
    }
}

pub(super) fn type_fits(types: &Value, value: &Value) -> bool {
    let one = |t: &str| match t {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match types {
        Value::String(t) => one(t),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(one),
        _ => true,
    }
}

pub(super) fn number(map: &Map<String, Value>, integer: bool, at: &str) -> Compiled<NumberPlan> {
    let bound = |key: &str, exclusive: bool| -> Compiled<Option<Bound>> {
        let Some(value) = map.get(key) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| bad(key, value, at))?;
        let whole = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let whole =
            whole.or_else(|| (number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128));
        Ok(Some(Bound { value: number, whole, exclusive }))
    };
    let tighter = |a: Option<Bound>, b: Option<Bound>, upper: bool| match (a, b) {
        (Some(a), Some(b)) => {
            let a_wins = if a.value == b.value { a.exclusive } else { (a.value < b.value) == upper };
            Some(if a_wins { a } else { b })
        }
        (a, b) => a.or(b),
    };
    let mut min = tighter(bound("minimum", false)?, bound("exclusiveMinimum", true)?, false);
    let mut max = tighter(bound("maximum", false)?, bound("exclusiveMaximum", true)?, true);
    if let Some((low, high)) = map.get("format").and_then(Value::as_str).and_then(format_range) {
        let exact = |whole: i128| Some(Bound { value: whole as f64, whole: Some(whole), exclusive: false });
        min = tighter(min, exact(low), false);
        max = tighter(max, exact(high), true);
    }
    let multiple_of = match map.get("multipleOf") {
        Some(value) => Some(value.as_f64().filter(|m| *m > 0.0).ok_or_else(|| bad("multipleOf", value, at))?),
        None => None,
    };
    if let (Some(low), Some(high)) = (min, max) {
        let empty = low.value > high.value || (low.value == high.value && (low.exclusive || high.exclusive));
        let first = low.value.ceil() + f64::from(u8::from(low.exclusive && low.value.fract() == 0.0));
        let last = high.value.floor() - f64::from(u8::from(high.exclusive && high.value.fract() == 0.0));
        let step = multiple_of.filter(|_| !empty);
        if step.is_some_and(|step| !holds_multiple(&low, &high, step)) {
            return Err(contradiction(at, "no multiple of `multipleOf` lies between the limits"));
        }
        if empty || (integer && first > last) {
            return Err(contradiction(at, "the minimum is above the maximum"));
        }
    }
    Ok(NumberPlan { integer, min, max, multiple_of, decimal: is_decimal(map) })
}

/// Returns whether a multiple of `step` lies between the limits.
fn holds_multiple(low: &Bound, high: &Bound, step: f64) -> bool {
    let mut first = (low.value / step - 1e-9).ceil() * step;
    if low.exclusive && first <= low.value + 1e-9 * step {
        first += step;
    }
    let slack = 1e-9 * step.max(first.abs());
    if high.exclusive { first < high.value - slack } else { first <= high.value + slack }
}

/// Returns whether a choice satisfies the limits beside it in the schema.
pub(super) fn within_limits(value: &Value, map: &Map<String, Value>, at: &str) -> Compiled<bool> {
    Ok(match value {
        Value::Number(n) => number(map, false, at)?.violation(n).is_none(),
        Value::String(s) => text(map, at)?.violation(s).is_none(),
        _ => true,
    })
}

fn format_range(format: &str) -> Option<(i128, i128)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" | "uint" => (0, u64::MAX.into()),
        _ => return None,
    })
}

pub(super) fn text(map: &Map<String, Value>, at: &str) -> Compiled<TextPlan> {
    let (min, max) = sizes(map, "minLength", "maxLength", at)?;
    let patterns = match map.get("pattern") {
        Some(Value::String(pattern)) => vec![regex(pattern, at)?],
        Some(other) => return Err(bad("pattern", other, at)),
        None => Vec::new(),
    };
    let format = map.get("format").and_then(Value::as_str).and_then(Format::named);
    let other_format = map.get("format").and_then(Value::as_str).filter(|_| format.is_none()).map(Box::from);
    let code = map.get(keyword::CODE) == Some(&Value::Bool(true));
    let decimal = is_decimal(map);
    Ok(TextPlan { min: min.filter(|m| *m > 0), max, patterns, format, other_format, code, decimal })
}

/// Returns whether a schema is that of an exact decimal, which is a number or a string of digits.
fn is_decimal(map: &Map<String, Value>) -> bool {
    map.get("pattern").and_then(Value::as_str) == Some(r"^-?\d+(\.\d+)?([eE]\d+)?$")
}

pub(super) fn sizes(
    map: &Map<String, Value>,
    low: &str,
    high: &str,
    at: &str,
) -> Compiled<(Option<usize>, Option<usize>)> {
    let size = |key: &str| -> Compiled<Option<usize>> {
        let Some(value) = map.get(key) else { return Ok(None) };
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64));
        whole.map(|n| Some(n as usize)).ok_or_else(|| bad(key, value, at))
    };
    let (min, max) = (size(low)?, size(high)?);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(contradiction(at, &format!("`{low}` {min} is above `{high}` {max}")));
    }
    Ok((min, max))
}

pub(super) fn regex(pattern: &str, at: &str) -> Compiled<Regex> {
    Regex::new(pattern).map_err(|e| SchemaError::BadPattern {
        at: at.to_owned(),
        pattern: pattern.to_owned(),
        reason: e.to_string(),
    })
}

pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// Returns a choice as plain text.
pub(super) fn plain_name(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

pub(super) fn bad(keyword: &str, found: &Value, at: &str) -> SchemaError {
    SchemaError::BadKeyword { at: at.to_owned(), keyword: keyword.to_owned(), found: found.to_string() }
}

pub(super) fn contradiction(at: &str, detail: &str) -> SchemaError {
    SchemaError::Contradiction { at: at.to_owned(), detail: detail.to_owned() }
}
