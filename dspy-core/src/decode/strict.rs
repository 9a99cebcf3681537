//! The fast path: exact JSON that satisfies the schema as it stands, built and checked in one pass.
//!
//! Any doubt (a repeated key, a key to drop, a broken limit) is an error here, and the forgiving reader takes over.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::plan::{Extra, Kind, NodeId, Schema};

/// The value of a text that is exactly right.
pub(super) fn read(schema: &Schema, text: &str) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Seed { schema, node: Some(schema.root) }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

#[derive(Clone, Copy)]
struct Seed<'p> {
    schema: &'p Schema,
    /// `None` takes any value; it is validated as a whole by whoever asked.
    node: Option<NodeId>,
}

impl Seed<'_> {
    /// Checks what cannot be checked on the way.
    fn checked<E: de::Error>(self, value: Value) -> Result<Value, E> {
        match self.node {
            Some(node) if !self.schema.is_valid(node, &value) => Err(E::custom("")),
            _ => Ok(value),
        }
    }

    fn kind(&self) -> &Kind {
        self.node.map_or(&Kind::Any, |n| &self.schema.node(n).kind)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the schema")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.checked(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        self.checked(Value::Bool(v))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        self.checked(v.into())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        self.checked(v.into())
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        // An integer of more than 64 bits arrives as a float; only its literal tells whether digits were lost.
        if matches!(self.kind(), Kind::Any) && v.abs() >= i64::MAX as f64 {
            return Err(E::custom(""));
        }
        self.checked(Value::Number(Number::from_f64(v).ok_or_else(|| E::custom(""))?))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        self.checked(Value::String(v.to_owned()))
    }

    fn visit_string<E: de::Error>(self, v: String) -> Result<Value, E> {
        self.checked(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        if let (Kind::List(plan), Some(node)) = (self.kind(), self.node) {
            while let Some(item) =
                seq.next_element_seed(Seed { schema: self.schema, node: plan.item(items.len()) })?
            {
                if plan.item(items.len()).is_none() {
                    return Err(A::Error::custom(""));
                }
                items.push(item);
            }
            let few = plan.min.is_some_and(|min| items.len() < min)
                || plan.max.is_some_and(|max| items.len() > max);
            if few || (plan.unique && super::plan::first_duplicate(&items).is_some()) {
                return Err(A::Error::custom(""));
            }
            return self.asserted(node, Value::Array(items));
        }
        while let Some(item) = seq.next_element_seed(Seed { schema: self.schema, node: None })? {
            items.push(item);
        }
        self.checked(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        // Room for the members that the schema names: growing a map means hashing its keys again.
        let room = match self.kind() {
            Kind::Object(plan) => plan.props.len(),
            _ => 0,
        };
        let mut map = Map::with_capacity(room);
        let clash = || A::Error::custom("");
        let (Kind::Object(plan), Some(node)) = (self.kind(), self.node) else {
            while let Some(key) = access.next_key::<String>()? {
                let value = access.next_value_seed(Seed { schema: self.schema, node: None })?;
                if map.insert(key, value).is_some() {
                    return Err(clash());
                }
            }
            return self.checked(Value::Object(map));
        };
        let mut required = 0;
        let mut next = 0;
        while let Some(key) = access.next_key::<String>()? {
            // Models write keys in schema order, so the next member is the best guess.
            let known = match plan.props.get(next) {
                Some(prop) if prop.name == key => Some(next),
                _ => plan.exact.get(&key).copied(),
            };
            let child = if let Some(i) = known {
                next = i + 1;
                required += usize::from(plan.props[i].required);
                plan.props[i].node
            } else if plan.patterns.is_empty() {
                match plan.extra {
                    Extra::Node(n) => n,
                    Extra::Drop => return Err(clash()),
                }
            } else {
                // Patterns may all speak at once; the forgiving reader sorts that out unless just one does.
                let mut hits = plan.patterns.iter().filter(|(p, _)| p.is_match(&key));
                match (hits.next(), hits.next(), plan.extra) {
                    (Some((_, n)), None, _) => *n,
                    (None, None, Extra::Node(n)) => n,
                    _ => return Err(clash()),
                }
            };
            let value = access.next_value_seed(Seed { schema: self.schema, node: Some(child) })?;
            if map.insert(key, value).is_some() {
                return Err(clash());
            }
        }
        let complete = required == plan.required_props
            && plan.required.iter().all(|k| map.contains_key(k))
            && plan.min.is_none_or(|min| map.len() >= min)
            && plan.max.is_none_or(|max| map.len() <= max);
        if !complete {
            return Err(clash());
        }
        self.asserted(node, Value::Object(map))
    }
}

impl Seed<'_> {
    fn asserted<E: de::Error>(&self, node: NodeId, value: Value) -> Result<Value, E> {
        if self.schema.failed_check(node, &value).is_some() { Err(E::custom("")) } else { Ok(value) }
    }
}
