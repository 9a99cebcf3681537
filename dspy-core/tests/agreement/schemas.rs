//! Schemas such as schemars writes for types with serde, at random, and values drawn from them.

use dspy_core::Rng;
use serde_json::{Map, Value, json};

use super::draw::words;

const NAMES: [&str; 8] = ["name", "user_age", "itemList", "first name", "type", "x", "größe", "a:b"];
const VARIANTS: [&str; 6] = ["Circle", "very high", "low", "Point", "C++", "None"];

/// A schema under construction with its definitions.
pub(crate) struct Maker<'r> {
    pub(crate) rng: &'r mut Rng,
    definitions: Map<String, Value>,
}

/// A whole schema.
pub(crate) fn schema(rng: &mut Rng) -> Value {
    let mut maker = Maker { rng, definitions: Map::new() };
    let mut schema = maker.schema(3);
    if let Some(members) = schema.as_object_mut() {
        let title = maker.rng.below(2) == 0;
        if title {
            members.insert("title".into(), "Root".into());
        }
        members.insert("$defs".into(), Value::Object(maker.definitions));
    }
    schema
}

impl Maker<'_> {
    fn once(&mut self, of: usize) -> bool {
        self.rng.below(of) == 0
    }

    fn schema(&mut self, depth: usize) -> Value {
        let mut schema = match self.rng.below(if depth == 0 { 8 } else { 18 }) {
            0 | 1 => self.text(),
            2 | 3 => self.number(),
            4 => json!({"type": "boolean"}),
            5 => self.choice(),
            6 => json!({"type": "null"}),
            7 => json!(true),
            8 => self.nullable(depth),
            9 => self.list(depth),
            10 => self.map(depth),
            11 | 12 => self.strukt(depth, 4),
            13 | 14 => self.reference(depth),
            15 => self.external(depth),
            16 => self.tagged(depth),
            _ => self.untagged(depth),
        };
        if let Some(members) = schema.as_object_mut()
            && self.once(4)
        {
            members
                .insert("description".into(), format!("About {}.\n# Errors\nnone", words(self.rng)).into());
        }
        schema
    }

    fn text(&mut self) -> Value {
        let options = [
            json!({"type": "string"}),
            json!({"type": "string", "minLength": 1, "maxLength": 1}),
            json!({"type": "string", "minLength": 3}),
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]*/x; y$", "maxLength": 40}),
            json!({"type": "string", "format": "date"}),
            json!({"type": "string", "format": "partial-date-time"}),
            json!({"type": "string", "format": "uuid"}),
            json!({"type": "string", "format": "ip"}),
            json!({"type": "string", "x-code": true}),
        ];
        options[self.rng.below(options.len())].clone()
    }

    fn number(&mut self) -> Value {
        let options = [
            json!({"type": "integer", "format": "int64"}),
            json!({"type": "integer", "format": "int32"}),
            json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
            json!({"type": "integer", "format": "uint64", "minimum": 0}),
            json!({"type": "integer", "minimum": 1, "maximum": 5}),
            json!({"type": "integer", "multipleOf": 7, "exclusiveMinimum": 0}),
            json!({"type": "number", "format": "double"}),
            json!({"type": "number", "minimum": 0, "maximum": 1}),
            json!({"type": "number", "exclusiveMaximum": 10}),
        ];
        options[self.rng.below(options.len())].clone()
    }

    fn choice(&mut self) -> Value {
        match self.rng.below(4) {
            0 => json!({"type": "string", "enum": ["low", "high", "very high"]}),
            1 => json!({"enum": [1, 2, "three", true, null]}),
            2 => json!({"const": "only"}),
            _ => json!({"oneOf": [
                {"type": "string", "enum": ["Plain", "other"]},
                {"type": "string", "const": "Told", "description": "One that // is described."},
            ]}),
        }
    }

    fn nullable(&mut self, depth: usize) -> Value {
        let inner = self.schema(depth - 1);
        match inner.get("type") {
            Some(Value::String(name))
                if name != "null"
                    && ["enum", "const", "oneOf", "anyOf", "$ref"]
                        .iter()
                        .all(|key| inner.get(key).is_none()) =>
            {
                let mut schema = inner.clone();
                schema["type"] = json!([name, "null"]);
                schema
            }
            _ => json!({"anyOf": [inner, {"type": "null"}]}),
        }
    }

    fn list(&mut self, depth: usize) -> Value {
        match self.rng.below(4) {
            0 => {
                let items: Vec<Value> = (0..self.rng.between(1, 3)).map(|_| self.schema(depth - 1)).collect();
                let count = items.len();
                json!({"type": "array", "prefixItems": items, "minItems": count, "maxItems": count})
            }
            1 => json!({"type": "array", "items": self.schema(depth - 1), "minItems": 2, "maxItems": 2}),
            2 => json!({"type": "array", "items": self.schema(depth - 1), "uniqueItems": true}),
            _ => json!({"type": "array", "items": self.schema(depth - 1)}),
        }
    }

    fn map(&mut self, depth: usize) -> Value {
        let inner = self.schema(depth - 1);
        match self.rng.below(6) {
            0 => {
                json!({"type": "object", "additionalProperties": false, "patternProperties": {r"^\d+$": inner}})
            }
            1 => {
                json!({"type": "object", "additionalProperties": false, "properties": {"Red": inner, "Blue": inner}})
            }
            2 => {
                json!({"type": "object", "additionalProperties": inner, "propertyNames": {"pattern": "^[a-z]+$"}})
            }
            3 => json!({"type": "object", "additionalProperties": inner, "minProperties": 1}),
            4 => json!({"type": "object", "additionalProperties": false,
                "patternProperties": {r"^\d+$": inner, r"^-?\d+$": inner}}),
            _ => json!({"type": "object", "additionalProperties": inner}),
        }
    }

    /// A struct of its own members, some of which may be absent.
    fn strukt(&mut self, depth: usize, most: usize) -> Value {
        let count = self.rng.between(0, most);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for at in self.rng.sample(NAMES.len(), count) {
            properties.insert(NAMES[at].into(), self.schema(depth.saturating_sub(1)));
            if !self.once(3) {
                required.push(NAMES[at]);
            }
        }
        let mut schema = json!({"type": "object"});
        if count > 0 {
            schema["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if count > 0 && self.once(4) {
            schema["additionalProperties"] = json!(false);
        } else if count > 0 && self.once(6) {
            // A flattened map.
            schema["additionalProperties"] = json!({"type": "integer"});
        }
        schema
    }

    /// A definition, perhaps one that refers to itself.
    fn reference(&mut self, depth: usize) -> Value {
        let known: Vec<String> = self.definitions.keys().cloned().collect();
        if !known.is_empty() && self.once(2) {
            return json!({"$ref": format!("#/$defs/{}", known[self.rng.below(known.len())])});
        }
        let name = ["Person", "Wrapper_for_String", "string", "Link", "Größe"][self.rng.below(5)];
        if self.definitions.contains_key(name) {
            return json!({"$ref": format!("#/$defs/{name}")});
        }
        self.definitions.insert(name.into(), json!({"type": "integer"}));
        let mut schema = match self.rng.below(3) {
            0 => self.tagged(depth),
            1 => self.external(depth),
            _ => self.strukt(depth, 4),
        };
        if schema.get("properties").is_some() && self.once(2) {
            schema["properties"]["next"] =
                json!({"anyOf": [{"$ref": format!("#/$defs/{name}")}, {"type": "null"}]});
        }
        self.definitions.insert(name.into(), schema);
        json!({"$ref": format!("#/$defs/{name}")})
    }

    fn variants(&mut self) -> Vec<&'static str> {
        let count = self.rng.between(1, 3);
        self.rng.sample(VARIANTS.len(), count).into_iter().map(|at| VARIANTS[at]).collect()
    }

    fn external(&mut self, depth: usize) -> Value {
        let mut options = Vec::new();
        if self.once(2) {
            options.push(json!({"type": "string", "enum": ["Wait", "Stop"]}));
        }
        for name in self.variants() {
            let inner = self.schema(depth - 1);
            let mut option = json!({"type": "object", "properties": {name: inner}, "required": [name],
                "additionalProperties": false});
            if self.once(2) {
                option["description"] = format!("The variant {name}.").into();
            }
            options.push(option);
        }
        json!({"oneOf": options})
    }

    /// An internally or adjacently tagged enum, or a struct into which one is flattened.
    fn tagged(&mut self, depth: usize) -> Value {
        let adjacent = self.once(3);
        let mut options = Vec::new();
        for name in self.variants() {
            let mut option = if adjacent {
                json!({"type": "object", "properties": {"content": self.schema(depth.saturating_sub(1))},
                    "required": ["content"]})
            } else if self.once(3) {
                // A newtype variant refers to its struct beside the tag.
                let target = self.plain_struct();
                json!({"type": "object", "$ref": target, "properties": {}, "required": []})
            } else {
                let mut strukt = self.strukt(depth.saturating_sub(1), 2);
                strukt.as_object_mut().unwrap().remove("additionalProperties");
                if strukt.get("properties").is_none() {
                    strukt["properties"] = json!({});
                }
                if strukt.get("required").is_none() {
                    strukt["required"] = json!([]);
                }
                strukt
            };
            option["properties"]["kind"] = json!({"type": "string", "const": name});
            option["required"].as_array_mut().unwrap().push("kind".into());
            if self.once(2) {
                option["description"] = format!("The variant {name}.").into();
            }
            options.push(option);
        }
        if self.once(3) {
            return json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"],
                "oneOf": options});
        }
        json!({"oneOf": options})
    }

    fn plain_struct(&mut self) -> String {
        self.definitions.entry("Plain").or_insert_with(|| {
            json!({"type": "object", "properties": {"size": {"type": "number"}}, "required": ["size"],
                "description": "A plain one."})
        });
        "#/$defs/Plain".to_owned()
    }

    fn untagged(&mut self, depth: usize) -> Value {
        let options: Vec<Value> = (0..self.rng.between(2, 3)).map(|_| self.schema(depth - 1)).collect();
        json!({"anyOf": options})
    }
}

/// A value of the schema, drawn by reading the schema alone.
pub(crate) fn value(root: &Value, schema: &Value, rng: &mut Rng, depth: usize) -> Option<Value> {
    if depth > 12 {
        return None;
    }
    if let Some(only) = schema.get("const") {
        return Some(only.clone());
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.get(rng.below(choices.len())).cloned();
    }
    let mut whole: Option<Value> = None;
    let mut merge = |part: Value| match (&mut whole, part) {
        (Some(Value::Object(all)), Value::Object(more)) => all.extend(more),
        (all, part) => *all = Some(part),
    };
    for keyword in ["oneOf", "anyOf"] {
        if let Some(options) = schema.get(keyword).and_then(Value::as_array) {
            let order = rng.sample(options.len(), options.len());
            merge(order.into_iter().find_map(|at| value(root, &options[at], rng, depth + 1))?);
        }
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(target.strip_prefix('#').unwrap()).unwrap();
        merge(value(root, target, rng, depth + 1)?);
    }
    let mixed = whole.is_some();
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => names[rng.below(names.len())].as_str().unwrap(),
        _ if mixed => return whole,
        _ => return Some([json!(1), json!("x"), json!(null), json!([true])][rng.below(4)].clone()),
    };
    let part = own_value(root, schema, name, rng, depth)?;
    match (&mut whole, part) {
        (Some(Value::Object(all)), Value::Object(more)) => all.extend(more),
        (all, part) => *all = Some(part),
    }
    whole
}

fn own_value(root: &Value, schema: &Value, name: &str, rng: &mut Rng, depth: usize) -> Option<Value> {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let count = |key: &str| schema.get(key).and_then(Value::as_u64).map(|count| count as usize);
    Some(match name {
        "null" => Value::Null,
        "boolean" => (rng.below(2) == 0).into(),
        "integer" => {
            let low = number("minimum").or(number("exclusiveMinimum").map(|low| low + 1.0)).unwrap_or(-100.0);
            let high = number("maximum").unwrap_or(low + 1000.0);
            let at = low + rng.unit() * (high - low);
            let step = number("multipleOf").unwrap_or(1.0);
            json!(((at / step).ceil() * step) as i64)
        }
        "number" => {
            let low = number("minimum").unwrap_or(-5.0);
            let high = number("maximum").or(number("exclusiveMaximum")).unwrap_or(low + 10.0);
            json!(low + rng.unit() * (high - low))
        }
        "string" => {
            let format = schema.get("format").and_then(Value::as_str);
            let text = match (format, schema.get("pattern").and_then(Value::as_str)) {
                (Some("date"), _) => "2024-02-29".to_owned(),
                (Some("partial-date-time"), _) => "2024-02-29T10:00:00".to_owned(),
                (Some("uuid"), _) => "67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned(),
                (Some("ip"), _) => "127.0.0.1".to_owned(),
                (_, Some(pattern)) => super::draw::pattern(pattern).1(rng),
                _ => words(rng) + "   ",
            };
            text.chars().take(count("maxLength").unwrap_or(usize::MAX)).collect::<String>().into()
        }
        "array" => {
            if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
                let items: Option<Vec<Value>> =
                    items.iter().map(|item| value(root, item, rng, depth + 1)).collect();
                return items.map(Value::Array);
            }
            let low = count("minItems").unwrap_or(0);
            let wanted = if depth > 5 { low } else { low.max(rng.below(4)) };
            let wanted = wanted.min(count("maxItems").unwrap_or(usize::MAX));
            let mut items: Vec<Value> = Vec::new();
            for _ in 0..wanted {
                let Some(item) = value(root, &schema["items"], rng, depth + 1) else { break };
                if schema.get("uniqueItems").is_none() || !items.contains(&item) {
                    items.push(item);
                }
            }
            (items.len() >= low).then_some(Value::Array(items))?
        }
        _ => {
            let mut map = Map::new();
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .map(|names| names.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                let must = required.contains(&name.as_str());
                if !must && (depth > 5 || rng.below(3) == 0) {
                    continue;
                }
                match value(root, property, rng, depth + 1) {
                    Some(value) => drop(map.insert(name.clone(), value)),
                    None if must => return None,
                    None => {}
                }
            }
            let low = count("minProperties").unwrap_or(0);
            if let Some((_, inner)) =
                schema.get("patternProperties").and_then(Value::as_object).and_then(|all| all.iter().next())
            {
                for _ in 0..rng.below(3) {
                    map.insert(rng.below(100).to_string(), value(root, inner, rng, depth + 1)?);
                }
            } else if let Some(inner) =
                schema.get("additionalProperties").filter(|inner| **inner != json!(false))
            {
                for key in ["alpha", "beta"].iter().take(low.max(rng.below(3))) {
                    map.insert((*key).to_owned(), value(root, inner, rng, depth + 1)?);
                }
            }
            Value::Object(map)
        }
    })
}
