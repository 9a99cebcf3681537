//! Digests of text and JSON values that are stable across processes.

use serde_json::{Map, Value};

/// A digest of a sequence of strings or JSON values. It does not depend on the order of members, which for
/// hash maps differs between processes. All parts are separated, so `["ab", "c"]` and `["a", "bc"]` have
/// different digests.
#[derive(Debug, Clone, Default)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// Creates the digest of an empty sequence.
    pub fn new() -> Self {
        Digest::default()
    }

    /// Adds a string.
    pub fn add_text(&mut self, text: &str) -> &mut Self {
        self.0.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        self
    }

    /// Adds a JSON value.
    pub fn add_value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Object(members) => self.add_members(members),
            Value::Array(items) => {
                self.0.update(b"[").update(&(items.len() as u64).to_le_bytes());
                items.iter().fold(self, |digest, item| digest.add_value(item))
            }
            other => self.add_text(&other.to_string()),
        }
    }

    /// Adds a JSON object with these members.
    pub fn add_members(&mut self, members: &Map<String, Value>) -> &mut Self {
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(name, _)| *name);
        self.0.update(b"{").update(&(members.len() as u64).to_le_bytes());
        members.into_iter().fold(self, |digest, (name, value)| digest.add_text(name).add_value(value))
    }

    /// Returns the first 64 bits in hexadecimal.
    pub fn short(&self) -> String {
        self.0.finalize().to_hex()[..16].to_owned()
    }

    /// Returns the first 128 bits in hexadecimal.
    pub fn long(&self) -> String {
        self.0.finalize().to_hex()[..32].to_owned()
    }

    /// Returns the first 128 bits.
    pub fn bytes(&self) -> [u8; 16] {
        let hash = self.0.finalize();
        std::array::from_fn(|at| hash.as_bytes()[at])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> String {
        Digest::new().add_value(value).long()
    }

    #[test]
    fn the_order_of_members_makes_no_difference() {
        let same = [json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"b": {"d": 3, "c": 2}, "a": 1})];
        assert_eq!(of(&same[0]), of(&same[1]));
        let members = same[0].as_object().unwrap();
        assert_eq!(Digest::new().add_members(members).long(), of(&same[0]));
    }

    #[test]
    fn different_values_have_different_digests() {
        let values = [
            json!(["a", "b"]),
            json!(["ab"]),
            json!(["a", ["b"]]),
            json!(["b", "a"]),
            json!("a"),
            json!({"a": "b"}),
            json!({"a": {"b": 1}}),
            json!({"a": {}, "b": 1}),
            json!(1),
            json!("1"),
        ];
        for (number, one) in values.iter().enumerate() {
            assert!(values[..number].iter().all(|other| of(other) != of(one)), "{one}");
        }
        let texts = |first: &str, second: &str| Digest::new().add_text(first).add_text(second).short();
        assert_ne!(texts("ab", "c"), texts("a", "bc"));
    }

    #[test]
    fn digests_stay_the_same_across_versions() {
        let value = json!({"text": "ä", "list": [1, 2.5, true, null]});
        assert_eq!(Digest::new().add_value(&value).short(), "5b40716ecd0463ee");
    }
}
