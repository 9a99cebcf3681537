//! Digests of values that are stable across processes.

use serde_json::{Map, Value};

/// Returns the digest of a JSON value. It does not depend on the order of members, which for hash maps
/// differs between processes.
pub(crate) fn of_value(value: &Value) -> String {
    let mut hash = blake3::Hasher::new();
    add_value(&mut hash, value);
    short(&hash)
}

/// Returns the digest of a sequence of strings.
pub(crate) fn of_strings(parts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut hash = blake3::Hasher::new();
    parts.into_iter().for_each(|part| add_str(&mut hash, part.as_ref()));
    short(&hash)
}

/// Returns the first 64 bits of the hash in hexadecimal.
pub(crate) fn short(hash: &blake3::Hasher) -> String {
    hash.finalize().to_hex()[..16].to_owned()
}

pub(crate) fn add_members(hash: &mut blake3::Hasher, members: &Map<String, Value>) {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    hash.update(b"{");
    for (name, value) in members {
        add_str(hash, name);
        add_value(hash, value);
    }
    hash.update(b"}");
}

fn add_value(hash: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(members) => add_members(hash, members),
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| add_value(hash, item));
            hash.update(b"]");
        }
        other => {
            hash.update(other.to_string().as_bytes()).update(b",");
        }
    }
}

fn add_str(hash: &mut blake3::Hasher, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_members_does_not_count_and_that_of_items_does() {
        assert_eq!(of_value(&json!({"a": 1, "b": [1, 2]})), of_value(&json!({"b": [1, 2], "a": 1})));
        assert_ne!(of_value(&json!([1, 2])), of_value(&json!([2, 1])));
        assert_ne!(of_value(&json!({"a": {"b": 1}})), of_value(&json!({"a": {}, "b": 1})));
        assert_ne!(of_strings(["ab", "c"]), of_strings(["a", "bc"]));
    }
}
