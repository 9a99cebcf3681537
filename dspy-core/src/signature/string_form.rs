//! Parses the string form of signatures, `"question, context: list[str] -> answer: float"`, at run time.

use std::fmt;
use std::str::FromStr;

use dspy_grammar::{Choice, ChoiceValue, KnownType, Number, Own, Path, Problem, Temporal, Type};
use serde_json::{Value, json};

use super::{FieldSpec, Role, SignatureSpec};
use crate::lm::ToolSpec;
use crate::types::{
    Audio, BigInt, Citations, Code, Document, File, History, Image, Reasoning, ToolCalls, root_schema,
};
use dspy_base::error::clipped;

/// A signature string that does not parse, with the byte offset of the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrammarError {
    /// The offset in the string, in bytes.
    pub offset: usize,
    message: String,
    text: String,
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a long string, only the part around the offset is shown.
        const AROUND: usize = 160;
        let offset = self.text.floor_char_boundary(self.offset);
        let start = self.text.floor_char_boundary(offset.saturating_sub(AROUND));
        let end = self.text.ceil_char_boundary(offset.saturating_add(AROUND).min(self.text.len()));
        let (before, after) =
            (if start > 0 { "…" } else { "" }, if end < self.text.len() { "…" } else { "" });
        let column = self.text[start..offset].chars().count() + before.chars().count();
        let (message, shown) = (clipped(self.message.as_str()), &self.text[start..end]);
        write!(f, "{message}\n  {before}{shown}{after}\n  {:column$}^", "")
    }
}

impl std::error::Error for GrammarError {}

impl FromStr for SignatureSpec {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let parsed = dspy_grammar::parse(text);
        let mut problems = parsed.problems;
        let mut fields = Vec::new();
        for (role, side) in [(Role::Input, parsed.inputs), (Role::Output, parsed.outputs)] {
            for field in side {
                match field.ty.as_ref().map_or_else(|| Ok(json!({"type": "string"})), root) {
                    Ok(schema) => fields.push(FieldSpec::new(role, field.name, "", schema)),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        match problems.into_iter().min_by_key(|problem| problem.at) {
            None => Ok(SignatureSpec::new("StringSignature", "", fields)),
            Some(Problem { at, message }) => Err(GrammarError { offset: at, message, text: text.to_owned() }),
        }
    }
}

/// Returns the JSON Schema of the type of a field, always as an object.
fn root(ty: &Type) -> Result<Value, Problem> {
    Ok(match schema(ty)? {
        Value::Bool(true) => json!({}),
        schema => schema,
    })
}

/// Returns the JSON Schema of a type, identical to that of the corresponding Rust type.
fn schema(ty: &Type) -> Result<Value, Problem> {
    let any = || Ok(json!(true));
    let first = |arguments: &[Type]| arguments.first().map_or_else(any, schema);
    Ok(match ty {
        Type::None => json!({"type": "null"}),
        Type::Literal(choices, _) => json!({"enum": choices.iter().map(value).collect::<Vec<_>>()}),
        Type::Union(types, _) => json!({"anyOf": all(types)?}),
        Type::Tuple(types) if types.is_empty() => json!({"type": "null"}),
        Type::Tuple(types) => tuple(types)?,
        Type::Array(item, length, at) => {
            let Ok(length) = length.parse::<u32>() else {
                return Err(Problem::new(*at, "expected the length of the array, a whole number"));
            };
            json!({"type": "array", "items": schema(item)?, "minItems": length, "maxItems": length})
        }
        Type::Named(path, arguments) => named(path, arguments)?,
        Type::Known { known, arguments, .. } => match known {
            KnownType::Text => json!({"type": "string"}),
            KnownType::Bool => json!({"type": "boolean"}),
            KnownType::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            KnownType::Any => any()?,
            KnownType::Number(number) => numeric(*number),
            KnownType::List => json!({"type": "array", "items": first(arguments)?}),
            KnownType::Set => json!({"type": "array", "items": first(arguments)?, "uniqueItems": true}),
            KnownType::Dict | KnownType::HashMap => {
                json!({"type": "object", "additionalProperties": arguments.get(1).map_or_else(any, schema)?})
            }
            KnownType::Tuple => tuple(arguments)?,
            KnownType::Optional => nullable(first(arguments)?),
            KnownType::Own(own) => own_type(*own),
            KnownType::Temporal(temporal) => match temporal {
                Temporal::Date => json!({"type": "string", "format": "date"}),
                Temporal::Time => json!({"type": "string", "format": "partial-time"}),
                // Python's datetimes may have a UTC offset or none.
                Temporal::DateTime => json!({"anyOf": [
                    {"type": "string", "format": "date-time"},
                    {"type": "string", "format": "partial-date-time"},
                ]}),
                Temporal::TimeDelta => json!({"type": "string", "format": "duration"}),
            },
        },
    })
}

fn all(types: &[Type]) -> Result<Vec<Value>, Problem> {
    types.iter().map(schema).collect()
}

fn tuple(types: &[Type]) -> Result<Value, Problem> {
    let count = types.len();
    Ok(json!({"type": "array", "prefixItems": all(types)?, "minItems": count, "maxItems": count}))
}

/// Returns the schema of a Rust type by its name. Only the library's own types are known at run time.
fn named(path: &Path, arguments: &[Type]) -> Result<Value, Problem> {
    let ours = path.segments.first().is_some_and(|(root, _)| root == "dspy");
    let name = match path.segments.as_slice() {
        [(only, _)] if !path.rooted => only.as_str(),
        [_, .., (last, _)] if ours => last.as_str(),
        _ => return Err(path.unknown()),
    };
    if name == "Value" && arguments.is_empty() {
        return Ok(json!(true));
    }
    // The type arguments of histories and code do not affect their schemas.
    let own = Own::named(name).filter(|own| arguments.is_empty() || *own == Own::History);
    own.map(own_type).ok_or_else(|| path.unknown())
}

fn value(choice: &Choice) -> Value {
    match &choice.value {
        ChoiceValue::Text(text) => text.as_str().into(),
        ChoiceValue::Integer(number) => (*number).into(),
        ChoiceValue::Bool(value) => (*value).into(),
    }
}

/// Returns the schema of a Rust number type, as schemars describes it.
fn numeric(number: Number) -> Value {
    match number {
        Number::I8 => sized("int8", Some(-128), Some(127)),
        Number::I16 => sized("int16", Some(-32768), Some(32767)),
        Number::I32 => sized("int32", None, None),
        Number::I64 => sized("int64", None, None),
        Number::I128 => sized("int128", None, None),
        Number::Isize => sized("int", None, None),
        Number::U8 => sized("uint8", Some(0), Some(255)),
        Number::U16 => sized("uint16", Some(0), Some(65535)),
        Number::U32 => sized("uint32", Some(0), None),
        Number::U64 => sized("uint64", Some(0), None),
        Number::U128 => sized("uint128", Some(0), None),
        Number::Usize => sized("uint", Some(0), None),
        Number::F32 => json!({"type": "number", "format": "float"}),
        Number::F64 => json!({"type": "number", "format": "double"}),
    }
}

/// Returns the schema of a type of this library.
fn own_type(own: Own) -> Value {
    match own {
        Own::Image => root_schema::<Image>(),
        Own::Audio => root_schema::<Audio>(),
        Own::File => root_schema::<File>(),
        Own::Document => root_schema::<Document>(),
        Own::Citations => root_schema::<Citations>(),
        Own::History => root_schema::<History<Value>>(),
        Own::Code => root_schema::<Code>(),
        Own::BigInt => root_schema::<BigInt>(),
        Own::Reasoning => root_schema::<Reasoning>(),
        Own::Tool => root_schema::<ToolSpec>(),
        Own::ToolCalls => root_schema::<ToolCalls>(),
    }
}

/// Returns the schema of an integer type with its bounds, as schemars describes it.
fn sized(format: &str, minimum: Option<i64>, maximum: Option<i64>) -> Value {
    let mut schema = json!({"type": "integer", "format": format});
    for (key, limit) in [("minimum", minimum), ("maximum", maximum)] {
        if let Some(limit) = limit {
            schema[key] = limit.into();
        }
    }
    schema
}

/// Returns the schema of the type or null, as schemars describes `Option`.
fn nullable(mut schema: Value) -> Value {
    if schema == Value::Bool(true) {
        return schema;
    }
    match schema.get("type").cloned() {
        Some(Value::String(name)) => {
            schema["type"] = json!([name, "null"]);
            schema
        }
        Some(Value::Array(mut names)) => {
            names.push("null".into());
            schema["type"] = names.into();
            schema
        }
        other => {
            if other.is_none()
                && let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut)
            {
                choices.push(Value::Null);
                return schema;
            }
            json!({"anyOf": [schema, {"type": "null"}]})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Value {
        let spec: SignatureSpec = text.parse().expect(text);
        spec.outputs().next().expect("an output").schema().clone()
    }

    #[test]
    fn types() {
        for (text, schema) in [
            ("q -> a", json!({"type": "string"})),
            ("q -> a: bool", json!({"type": "boolean"})),
            ("q -> a: list[bool]", json!({"type": "array", "items": {"type": "boolean"}})),
            ("q -> a: Vec<bool>", json!({"type": "array", "items": {"type": "boolean"}})),
            ("q->a:Literal[\"x y\", 'z', 3]", json!({"enum": ["x y", "z", 3]})),
            ("q -> a: Optional[str]", json!({"type": ["string", "null"]})),
            ("q -> a: str | None", json!({"type": ["string", "null"]})),
            (
                "q -> a: dict[str, u8]",
                json!({"type": "object", "additionalProperties":
                {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}}),
            ),
        ] {
            assert_eq!(output(text), schema, "{text}");
        }
    }

    #[test]
    fn spellings_of_python_and_of_rust() {
        for (text, same) in [
            ("q -> a: i128", json!({"type": "integer", "format": "int128"})),
            ("q -> a: Literal[1, -2, True,]", json!({"enum": [1, -2, true]})),
            ("q -> a: date", json!({"type": "string", "format": "date"})),
            ("q -> a: datetime.timedelta", json!({"type": "string", "format": "duration"})),
            ("q -> a: typing.Optional[char]", output("q -> a: char | None")),
            ("q -> a: dspy.Code", output("q -> a: Code")),
            ("q -> a: dspy::types::Code", output("q -> a: Code")),
            ("q -> a: (str, u8)", output("q -> a: tuple[str, u8]")),
            ("q -> a: Union[str, int, None]", output("q -> a: str | int | None")),
            (
                "q -> a: [bool; 2]",
                json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}),
            ),
        ] {
            assert_eq!(output(text), same, "{text}");
        }
        let spec: SignatureSpec = "q -> when: list[datetime]".parse().unwrap();
        let plan = spec.outputs().next().unwrap().plan().unwrap();
        let read = plan.decode(r#"["2024-02-29 10:00", "2024-02-29T10:00Z"]"#).unwrap().value;
        assert_eq!(read, json!(["2024-02-29T10:00:00", "2024-02-29T10:00:00Z"]));
    }

    #[test]
    fn own_types_are_known() {
        let spec: SignatureSpec =
            "photos: list[Image], history: History -> program: Code, n: Optional[BigInt]".parse().unwrap();
        let notations: Vec<_> =
            spec.fields().iter().map(|field| field.type_text().notation.as_str()).collect();
        assert_eq!(notations, ["image[]", "history", "code", "integer | null"]);
    }

    #[test]
    fn errors_point_at_the_problem() {
        for (text, offset, part) in [
            ("question", 8, "`->`"),
            ("question -> ", 11, "no output fields"),
            ("q -> a: strr", 8, "unknown type `strr`"),
            ("q -> a: list[str", 16, "expected `]`"),
            ("q -> a: list[str, int]", 8, "takes 0 to 1"),
            ("q -> q", 5, "both an input and an output"),
            ("q, q -> a", 3, "duplicate"),
            ("q -> a: Literal['x", 16, "never closed"),
            ("q -> a: Literal['x', 'X']", 21, "differ only in case"),
            ("q -> a b", 7, "the end"),
            ("q -> completed", 5, "reserved"),
            ("q -> a: Verdict", 8, "unknown type `Verdict`"),
            ("q -> a: list[Imag]", 13, "did you mean `Image`?"),
            ("q -> a: [u8; n]", 13, "whole number"),
            ("é -> a: strr", 9, "unknown type"),
        ] {
            let error = text.parse::<SignatureSpec>().expect_err(text);
            assert_eq!(error.offset, offset, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
