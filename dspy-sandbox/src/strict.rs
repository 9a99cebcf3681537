//! JSON without silent losses: no digits that do not fit a number, no key that hides another, no text of any length.

use std::fmt;
use std::io::{self, Write};

use serde_json::{Map, Value};

/// The depth that the reader of JSON takes.
const DEPTH: usize = 128;

/// Reads JSON that Python has written.
///
/// # Errors
/// If an integer does not fit 64 bits, a key is there twice, or lists and dictionaries are nested too deeply.
pub(crate) fn read(json: &[u8]) -> Result<Value, String> {
    read_inside(json, 0)
}

/// Reads JSON that Python has written, with values inside of this many lists and dictionaries that are not its own.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_inside(json: &[u8], outer: usize) -> Result<Value, String> {
    check(json, outer)?;
    let unique = serde_json::from_slice::<Unique>(json);
    unique.map(|unique| unique.0).map_err(|error| error.to_string())
}

/// Checks depth and integers.
fn check(json: &[u8], outer: usize) -> Result<(), String> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while json.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if depth >= DEPTH {
                    let most = DEPTH - 1 - outer;
                    return Err(format!("lists and dictionaries are nested more than {most} deep"));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let length = rest.iter().position(|&byte| !is_numeric(byte)).unwrap_or(rest.len());
                let digits = std::str::from_utf8(&rest[..length]).unwrap_or_default();
                let is_integer = !digits.contains(['.', 'e', 'E']);
                if is_integer && digits.parse::<i64>().is_err() && digits.parse::<u64>().is_err() {
                    let shown = &digits[..digits.len().min(40)];
                    let more = if digits.len() > 40 { "…" } else { "" };
                    return Err(format!("the integer {shown}{more} exceeds 64 bits; use str() of it"));
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn is_numeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// A value all of whose keys are different.
struct Unique(Value);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor).map(Unique)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unique(value))) = members.next_entry::<String, Unique>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!(
                    "two keys of a dictionary are both {} in JSON",
                    Value::from(key.chars().take(100).collect::<String>())
                )));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

/// Writes a value as JSON.
///
/// # Errors
/// If it has more bytes than the limit, or is nested too deeply: without writing all of it.
pub(crate) fn write(value: &Value, limit: usize) -> Result<Vec<u8>, String> {
    let mut room = limit;
    fits(value, &mut room, DEPTH, limit)?;
    let mut bounded = Bounded { bytes: Vec::new(), limit };
    match serde_json::to_writer(&mut bounded, value) {
        Ok(()) => Ok(bounded.bytes),
        Err(_) => Err(too_large(limit)),
    }
}

fn too_large(limit: usize) -> String {
    format!("it has more than {limit} bytes of JSON, which is the limit")
}

/// Checks the least size of a value, from the lengths of its strings and lists.
fn fits(value: &Value, room: &mut usize, depth: usize, limit: usize) -> Result<(), String> {
    if depth == 0 {
        return Err(format!("it is nested more than {} deep", DEPTH - 1));
    }
    let mut take = |bytes: usize| {
        *room = room.checked_sub(bytes).ok_or_else(|| too_large(limit))?;
        Ok::<(), String>(())
    };
    match value {
        Value::String(text) => take(text.len() + 2),
        Value::Array(items) => {
            take(items.len() + 1)?;
            items.iter().try_for_each(|item| fits(item, room, depth - 1, limit))
        }
        Value::Object(members) => {
            for (key, member) in members {
                *room = room.checked_sub(key.len() + 3).ok_or_else(|| too_large(limit))?;
                fits(member, room, depth - 1, limit)?;
            }
            Ok(())
        }
        _ => take(1),
    }
}

/// Drops a value without recursion, because it may be nested too deeply for the stack.
pub(crate) fn drop_deep(value: Value) {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        match value {
            Value::Array(items) => values.extend(items),
            Value::Object(members) => values.extend(members.into_iter().map(|(_, member)| member)),
            _ => {}
        }
    }
}

/// A writer that takes no more than a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
