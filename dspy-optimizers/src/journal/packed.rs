//! JSON values in few bytes, and names as digests. A run has as many results as rollouts, and keeps all of them.

use std::collections::HashMap;

use dspy_base::digest::Digest;
use serde_json::{Map, Number, Value};

/// The digest of the name of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) fn of(scope: &str) -> Self {
        Key(Digest::new().add_text(scope).bytes())
    }
}

/// A packed value.
#[derive(Debug, Clone)]
pub(super) struct Packed(Box<[u8]>);

/// The largest number of member names that are packed as numbers. Results have few; those of traces are of the fields
/// of the program.
const NAMES: usize = 4_096;

/// The names of members of objects.
#[derive(Debug, Default)]
pub(super) struct Packer {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u64>,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const UNSIGNED: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;

impl Packer {
    pub(super) fn pack(&mut self, value: &Value) -> Packed {
        let mut bytes = Vec::new();
        self.write(value, &mut bytes);
        Packed(bytes.into())
    }

    fn write(&mut self, value: &Value, bytes: &mut Vec<u8>) {
        match value {
            Value::Null => bytes.push(NULL),
            Value::Bool(on) => bytes.push(if *on { TRUE } else { FALSE }),
            Value::Number(number) => write_number(number, bytes),
            Value::String(text) => {
                bytes.push(TEXT);
                write_text(text, bytes);
            }
            Value::Array(items) => {
                bytes.push(ARRAY);
                write_count(items.len() as u64, bytes);
                items.iter().for_each(|item| self.write(item, bytes));
            }
            Value::Object(members) => {
                bytes.push(OBJECT);
                write_count(members.len() as u64, bytes);
                for (name, member) in members {
                    // 0 is a name that is written out.
                    match self.number(name) {
                        Some(number) => write_count(number + 1, bytes),
                        None => {
                            write_count(0, bytes);
                            write_text(name, bytes);
                        }
                    }
                    self.write(member, bytes);
                }
            }
        }
    }

    /// Returns the number of a name, unless there are too many.
    fn number(&mut self, name: &str) -> Option<u64> {
        if let Some(known) = self.numbers.get(name) {
            return Some(*known);
        }
        if self.names.len() >= NAMES {
            return None;
        }
        let number = self.names.len() as u64;
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        Some(number)
    }

    /// Returns a value that this packer has packed.
    pub(super) fn unpack(&self, packed: &Packed) -> Value {
        // Every value was packed by `pack`, so it is complete.
        self.read(&mut Bytes(&packed.0)).unwrap_or_default()
    }

    fn read(&self, bytes: &mut Bytes<'_>) -> Option<Value> {
        Some(match bytes.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            UNSIGNED => bytes.count()?.into(),
            NEGATIVE => i64::from_le_bytes(bytes.fixed()?).into(),
            FLOAT => Number::from_f64(f64::from_le_bytes(bytes.fixed()?))?.into(),
            TEXT => bytes.text()?.into(),
            ARRAY => {
                let count = bytes.count()?;
                Value::Array((0..count).map(|_| self.read(bytes)).collect::<Option<_>>()?)
            }
            _ => {
                let mut members = Map::new();
                for _ in 0..bytes.count()? {
                    let name = match bytes.count()?.checked_sub(1) {
                        Some(number) => self.names.get(usize::try_from(number).ok()?)?,
                        None => bytes.text()?,
                    };
                    members.insert(name.into(), self.read(bytes)?);
                }
                Value::Object(members)
            }
        })
    }
}

fn write_number(number: &Number, bytes: &mut Vec<u8>) {
    if let Some(count) = number.as_u64() {
        bytes.push(UNSIGNED);
        write_count(count, bytes);
    } else if let Some(negative) = number.as_i64() {
        bytes.push(NEGATIVE);
        bytes.extend(negative.to_le_bytes());
    } else {
        bytes.push(FLOAT);
        bytes.extend(number.as_f64().unwrap_or_default().to_le_bytes());
    }
}

/// Writes a number with seven bits in each byte, the lowest first.
fn write_count(mut count: u64, bytes: &mut Vec<u8>) {
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    write_count(text.len() as u64, bytes);
    bytes.extend(text.as_bytes());
}

/// The rest of a packed value.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn count(&mut self) -> Option<u64> {
        let (mut count, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            count |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(count);
            }
            shift += 7;
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.count()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            let member = ("[a-f]{1,2}", inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..8).prop_map(Value::from),
                prop::collection::vec(member, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(values in prop::collection::vec(values(), 1..8)) {
            let mut packer = Packer::default();
            let packed: Vec<_> = values.iter().map(|value| packer.pack(value)).collect();
            for (value, packed) in values.iter().zip(&packed) {
                // The order of members counts, too.
                prop_assert_eq!(packer.unpack(packed).to_string(), value.to_string());
            }
        }
    }

    #[test]
    fn any_number_of_names_is_packed() {
        let mut packer = Packer::default();
        for number in 0..3 * NAMES {
            let value = json!({ format!("name {number}"): number });
            let packed = packer.pack(&value);
            assert_eq!(packer.unpack(&packed), value);
        }
        assert_eq!(packer.names.len(), NAMES);
    }

    #[test]
    fn a_result_takes_few_bytes() {
        let usage = json!({"requests": 2, "prompt_tokens": 420, "completion_tokens": 33, "cost_usd": null});
        let value = json!({"outcome": {"scored": {"value": 1.0, "feedback": null}}, "usage": usage});
        let mut packer = Packer::default();
        let length = packer.pack(&value).0.len();
        assert!(length <= 40, "{length}");
    }
}
