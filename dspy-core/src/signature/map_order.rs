//! Maps and sets in a fixed order.
//!
//! The iteration order of a `HashMap` differs between processes. In a prompt, that would change the text and
//! with it the keys of caches and journals.

use std::any::TypeId;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use serde_json::{Map, Value};

use crate::locks::RwLockExt as _;
use crate::types::{Place, mentions};

/// Sorts the entries of all maps and sets in a value of the type `id`, whose schema is `schema`: by key, as numbers if
/// the keys are numbers and as strings otherwise; sets by value. Structs, lists and values without a schema keep their
/// order.
pub(super) fn settle(value: &mut Value, id: TypeId, schema: fn() -> Value) {
    // Most values are scalars and return here, before any lookup.
    if matches!(value, Value::Array(_) | Value::Object(_))
        && let Some(schema) = unordered_schema(id, schema)
    {
        sort(Place::root(&schema), value);
    }
}

/// Does the same as [`settle`] for a value of which only the schema is known.
pub(crate) fn settle_by(schema: &Value, value: &mut Value) {
    if matches!(value, Value::Array(_) | Value::Object(_)) {
        sort(Place::root(schema), value);
    }
}

/// Returns the schema of a type if its values can hold a map or a set; computed once for each type.
fn unordered_schema(id: TypeId, schema: fn() -> Value) -> Option<Arc<Value>> {
    static KNOWN: RwLock<Option<HashMap<TypeId, Option<Arc<Value>>>>> = RwLock::new(None);
    // A serde_json object keeps its insertion order.
    if id == TypeId::of::<Map<String, Value>>() {
        return None;
    }
    let known = KNOWN.read_any();
    if let Some(found) = known.as_ref().and_then(|known| known.get(&id)) {
        return found.clone();
    }
    drop(known);
    let schema = schema();
    let found = mentions(&schema, &|part| is_set(part) || is_map(part) || is_choice_map(part))
        .then(|| Arc::new(schema));
    let mut known = KNOWN.write_any();
    known.get_or_insert_default().insert(id, found.clone());
    found
}

fn is_set(schema: &Map<String, Value>) -> bool {
    schema.get("uniqueItems") == Some(&Value::Bool(true))
}

/// Returns whether members beside the named ones are allowed.
fn is_map(schema: &Map<String, Value>) -> bool {
    let more = schema.get("additionalProperties").is_some_and(|more| more != &Value::Bool(false));
    more || schema.contains_key("patternProperties")
}

/// Returns whether the keys are integers, which schemars expresses by these patterns.
fn has_number_keys(schema: &Map<String, Value>) -> bool {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    patterns.is_some_and(|patterns| patterns.keys().any(|key| matches!(key.as_str(), r"^\d+$" | r"^-?\d+$")))
}

/// Returns whether the members are the choices of an enum: any subset of them, all of one type.
fn is_choice_map(schema: &Map<String, Value>) -> bool {
    let members = schema.get("properties").and_then(Value::as_object);
    let alike = members.is_some_and(|members| {
        let mut schemas = members.values();
        let first = schemas.next();
        schemas.all(|schema| Some(schema) == first)
    });
    alike
        && !schema.contains_key("required")
        && schema.get("additionalProperties") == Some(&Value::Bool(false))
}

fn sort(place: Place<'_>, value: &mut Value) {
    let pieces = place.pieces(value);
    let says =
        |test: fn(&Map<String, Value>) -> bool| pieces.iter().any(|piece| piece.object().is_some_and(test));
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(place) = Place::item(&pieces, index) {
                    sort(place, item);
                }
            }
            if says(is_set) {
                items.sort_by(compare);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if let Some(place) = Place::member(&pieces, name) {
                    sort(place, member);
                }
            }
            if says(is_map) {
                let numbers = says(has_number_keys);
                sort_extra(members, &pieces, numbers);
            } else if says(is_choice_map) {
                sort_choices(members, &pieces);
            }
        }
        _ => {}
    }
}

/// Sorts the members that the schema does not name. Named members keep their positions.
fn sort_extra(members: &mut Map<String, Value>, pieces: &[Place<'_>], numbers: bool) {
    let named = |key: &str| {
        pieces.iter().any(|piece| piece.properties().is_some_and(|known| known.contains_key(key)))
    };
    let mut extra: Vec<String> = members.keys().filter(|key| !named(key)).cloned().collect();
    let by_key = |a: &String, b: &String| if numbers { compare_numbers(a, b) } else { a.cmp(b) };
    if extra.is_sorted_by(|a, b| by_key(a, b).is_le()) {
        return;
    }
    extra.sort_by(by_key);
    let mut extra = extra.into_iter();
    let mut old = std::mem::take(members);
    let order: Vec<String> = old
        .keys()
        .map(|key| if named(key) { Some(key.clone()) } else { extra.next() }.unwrap_or_default())
        .collect();
    members.extend(
        order.into_iter().filter_map(|key| old.get_mut(&key).map(Value::take).map(|value| (key, value))),
    );
}

fn sort_choices(members: &mut Map<String, Value>, pieces: &[Place<'_>]) {
    let mut old = std::mem::take(members);
    for name in pieces.iter().filter_map(|piece| piece.properties()).flat_map(Map::keys) {
        if let Some(value) = old.shift_remove(name) {
            members.insert(name.clone(), value);
        }
    }
    members.extend(old);
}

/// Compares keys that are integers by value; integers come before all other keys.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// Compares JSON values: by kind, then by value. The order is total.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = a.iter().zip(b);
            let mut orders = pairs.map(|((a, x), (b, y))| a.cmp(b).then_with(|| compare(x, y)));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::signature::{FieldType, Values};

    fn written<T: FieldType>(value: &T) -> String {
        let mut values = Values::new();
        value.write("field", &mut values).unwrap();
        values["field"].to_string()
    }

    #[derive(
        Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
    )]
    enum Size {
        Small,
        Medium,
        Large,
    }

    #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
    struct Shelf {
        zebra: HashMap<String, u8>,
        apple: Vec<HashMap<i64, HashSet<String>>>,
        sizes: Option<HashMap<Size, bool>>,
        list: Vec<String>,
        #[serde(flatten)]
        more: HashMap<String, f64>,
        last: u8,
    }

    #[test]
    fn maps_and_sets_have_one_order() {
        let names = ["pear", "fig", "apple", "kiwi", "plum", "lime"];
        let map: HashMap<String, u8> = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
        assert_eq!(written(&map), r#"{"apple":1,"fig":1,"kiwi":1,"lime":1,"pear":1,"plum":1}"#);
        let shelf = Shelf {
            zebra: map,
            apple: vec![
                [(-1, 2), (10, 3), (9, 4)]
                    .map(|(key, count)| (key, names[..count].iter().map(|name| (*name).to_owned()).collect()))
                    .into(),
            ],
            sizes: Some([(Size::Small, true), (Size::Large, false), (Size::Medium, true)].into()),
            list: vec!["z".into(), "a".into()],
            more: [("y".to_owned(), 1.0), ("x".to_owned(), 2.0)].into(),
            last: 3,
        };
        let expected = concat!(
            r#"{"zebra":{"apple":1,"fig":1,"kiwi":1,"lime":1,"pear":1,"plum":1},"#,
            r#""apple":[{"-1":["fig","pear"],"9":["apple","fig","kiwi","pear"],"10":["apple","fig","pear"]}],"#,
            r#""sizes":{"Small":true,"Medium":true,"Large":false},"list":["z","a"],"x":2.0,"y":1.0,"last":3}"#,
        );
        let expected = expected.replace(
            r#"{"Small":true,"Medium":true,"Large":false}"#,
            r#"{"Large":false,"Medium":true,"Small":true}"#,
        );
        assert_eq!(written(&shelf), expected);
    }

    #[test]
    fn what_has_an_order_keeps_it() {
        assert_eq!(written(&BTreeMap::from([(10, 1), (9, 2), (-3, 3)])), r#"{"-3":3,"9":2,"10":1}"#);
        assert_eq!(
            written(&BTreeMap::from([("10", 1), ("9", 2)].map(|(k, v)| (k.to_owned(), v)))),
            r#"{"10":1,"9":2}"#
        );
        let object = json!({"z": 1, "a": 2});
        assert_eq!(written(&object), object.to_string());
        assert_eq!(written(object.as_object().unwrap()), object.to_string());
        assert_eq!(written(&vec![3, 1, 2]), "[3,1,2]");
    }

    proptest! {
        #[test]
        fn sorted_containers_are_left_alone(
            map in prop::collection::btree_map(any::<i32>(), prop::collection::btree_set(any::<String>(), 0..4), 0..6),
            set in prop::collection::btree_set(any::<(bool, i8, Option<String>)>(), 0..6),
        ) {
            let plain = |value: Result<Value, serde_json::Error>| value.unwrap().to_string();
            prop_assert_eq!(written(&map), plain(serde_json::to_value(&map)));
            prop_assert_eq!(written(&set), plain(serde_json::to_value(&set)));
        }

        #[test]
        fn the_same_content_reads_the_same(entries in prop::collection::hash_map(any::<String>(), any::<i8>(), 0..20)) {
            let again: HashMap<String, i8> = entries.clone().into_iter().collect();
            prop_assert_eq!(written(&entries), written(&again));
        }
    }
}
