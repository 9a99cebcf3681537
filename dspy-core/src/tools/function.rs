//! The runtime of `#[tool]`, whose output consists of data and calls of these items.

use std::future::Future;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Tool, ToolContext, ToolOutput, ToolSpec, ToolValue};
use crate::types::schema_of_members;
use dspy_base::error::BoxError;

/// A type that an argument of a function with `#[tool]` can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a tool",
    label = "needs `Deserialize` and `JsonSchema`",
    note = "put `#[dspy::field_type]` on the type that lacks them, or derive both"
)]
pub trait ToolArgument: Sized + Send + 'static {
    /// Returns the schema; definitions go to the generator.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// Reads a value.
    ///
    /// # Errors
    /// If the value does not fit.
    fn read(value: Value) -> serde_json::Result<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + JsonSchema + Send + 'static> ToolArgument for T {
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }

    fn read(value: Value) -> serde_json::Result<Self> {
        T::deserialize(value)
    }
}

/// An argument as known to the macro.
#[derive(Debug)]
pub struct ArgumentData {
    pub name: &'static str,
    pub description: &'static str,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    pub required: bool,
    pub aliases: &'static [&'static str],
    /// The default, if it has a JSON form.
    pub default: Option<Value>,
}

/// The default of an argument, which is in the schema if its type has a JSON form.
#[derive(Debug)]
pub struct DefaultOf<T>(fn() -> T);

impl<T> DefaultOf<T> {
    pub fn new(default: fn() -> T) -> Self {
        DefaultOf(default)
    }
}

// Method resolution tries these in order, with `&&DefaultOf<T>`.

pub trait ShownDefault {
    fn shown(&self) -> Option<Value>;
}

impl<T: Serialize> ShownDefault for &DefaultOf<T> {
    fn shown(&self) -> Option<Value> {
        shown_default(self.0)
    }
}

pub trait HiddenDefault {
    fn shown(&self) -> Option<Value> {
        None
    }
}

impl<T> HiddenDefault for DefaultOf<T> {}

/// Returns the JSON form of a default.
pub fn shown_default<T: Serialize>(default: fn() -> T) -> Option<Value> {
    serde_json::to_value(default()).ok().filter(|value| !value.is_null())
}

/// Returns the schema of the only field of `T`, a struct with the constraints of one argument.
pub fn property_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let property = properties.and_then(|properties| properties.values_mut().next());
    property.and_then(|property| Schema::try_from(property.take()).ok()).unwrap_or_default()
}

/// The decoded arguments of a call.
#[derive(Debug)]
pub struct Arguments(Map<String, Value>);

impl Arguments {
    /// Removes an argument. An absent one, which is not required, becomes `default` or the value of JSON's `null`.
    ///
    /// # Errors
    /// If the value does not fit the type.
    pub fn take<T: ToolArgument>(
        &mut self,
        name: &'static str,
        default: Option<fn() -> T>,
    ) -> Result<T, BoxError> {
        let value = match (self.0.remove(name), default) {
            (None, Some(default)) => return Ok(default()),
            (value, _) => value.unwrap_or_default(),
        };
        T::read(value).map_err(|error| format!("{name}: {error}").into())
    }
}

/// Creates the tool.
pub fn tool<F, Fut>(
    name: &'static str,
    description: &'static str,
    arguments: &[ArgumentData],
    function: F,
) -> Tool
where
    F: Fn(Arguments, ToolContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ToolValue, BoxError>> + Send + 'static,
{
    Tool::from_spec_with_context(
        ToolSpec::new(name, description, parameters(arguments)),
        move |arguments, context| {
            let arguments = match arguments {
                Value::Object(members) => members,
                _ => Map::new(),
            };
            function(Arguments(arguments), context)
        },
    )
}

fn parameters(arguments: &[ArgumentData]) -> Value {
    let required: Vec<_> = arguments.iter().filter(|one| one.required).map(|one| one.name).collect();
    let members = arguments.iter().map(|argument| {
        let schema = move |generator: &mut SchemaGenerator| {
            let mut schema = (argument.schema)(generator);
            let mut set = |name: &str, value: Value| drop(schema.insert(name.to_owned(), value));
            if !argument.description.is_empty() {
                set("description", argument.description.into());
            }
            if !argument.aliases.is_empty() {
                set(dspy_base::keyword::ALIASES, json!(argument.aliases));
            }
            if let Some(default) = &argument.default {
                set("default", default.clone());
            }
            schema
        };
        (argument.name, schema)
    });
    schema_of_members(members, &required)
}

/// Returns the future of a tool's function, which another thread may continue.
pub fn sendable<F: Future + Send>(future: F) -> F {
    future
}

/// The type of a result, from which the conversion is chosen.
#[derive(Debug)]
pub struct Returned<T>(PhantomData<fn() -> T>);

impl<T> Returned<T> {
    pub fn of(_: &T) -> Self {
        Returned(PhantomData)
    }
}

/// The conversion of types that implement [`ToolOutput`]. It applies to every `Result`, so that an error without a
/// conversion is reported instead of shown as JSON.
#[derive(Debug)]
pub struct AsOutput;

impl AsOutput {
    /// Converts the result.
    ///
    /// # Errors
    /// The failure of the tool, or of the conversion to JSON.
    pub fn convert<T: ToolOutput>(self, result: T) -> Result<ToolValue, BoxError> {
        result.into_result()
    }
}

/// The conversion of all other types with a JSON form.
#[derive(Debug)]
pub struct AsJson;

impl AsJson {
    /// Converts the result.
    ///
    /// # Errors
    /// If it has no JSON form.
    pub fn convert<T: Serialize>(self, result: T) -> Result<ToolValue, BoxError> {
        Ok(ToolValue::new(&result)?)
    }
}

// Method resolution tries these in order: with `&&&Returned<T>`, each is one reference further away.

pub trait ResultKind {
    fn kind(&self) -> AsOutput {
        AsOutput
    }
}

impl<T, E> ResultKind for &&&Returned<Result<T, E>> {}

pub trait OutputKind {
    fn kind(&self) -> AsOutput {
        AsOutput
    }
}

impl<T: ToolOutput> OutputKind for &&Returned<T> {}

pub trait JsonKind {
    fn kind(&self) -> AsJson {
        AsJson
    }
}

impl<T: Serialize> JsonKind for &Returned<T> {}

pub trait NoKind {
    fn kind(&self) -> AsOutput {
        AsOutput
    }
}

impl<T> NoKind for Returned<T> {}
