//! The runtime of the macros, whose output consists of data and calls of these items.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ::serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

pub use schemars;
pub use serde;
pub use serde_json;

pub use crate::signature::{
    CheckFailure, CheckPanic, CheckSpec, Demo, FieldChange, FieldError, FieldSpec, FieldState, FieldType,
    Fields, Role, Signature, SignatureSpec, Values, update_field,
};

pub use crate::program::{
    Embedded, HasPredictors, HasShape, ProgramProbe, ProgramShape, SavedField, SavedPredictor, SavedProgram,
    UnknownProgram, Visitor, VisitorMut,
};
pub use crate::signature::check::{Check, CheckFault, Enforce, enforce, enforced, run_checks};
pub use crate::signature::schema_keywords::variant_aliases;
pub use crate::signature::shape;
pub use crate::signature::{ErasedField, property_schema};
pub use crate::tools::function;

/// A type with the error message for `sig!` used as an item; never constructed.
#[derive(Debug)]
pub struct Advice;

impl std::str::FromStr for Advice {
    type Err = std::convert::Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Advice)
    }
}

/// A field of a module, which is cloned with it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` in a module is not `Clone`",
    label = "not `Clone`",
    note = "optimizers try their candidates on copies of a program: derive `Clone`, or share it as an `Arc<{Self}>`",
    note = "a program that is never optimized can do without: `#[module(no_clone)]`"
)]
pub trait ClonePart: Sized {
    fn clone_part(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> ClonePart for T {
    fn clone_part(&self) -> Self {
        self.clone()
    }
}

/// A field as known to the macro.
#[derive(Debug)]
pub struct FieldData {
    pub role: Role,
    pub name: &'static str,
    pub description: &'static str,
    pub schema: fn() -> serde_json::Value,
    pub defaulted: bool,
    pub aliases: &'static [&'static str],
    pub checks: &'static [CheckText],
}

/// The reason of a check, and whether the check is hard.
pub type CheckText = (&'static str, bool);

fn check_specs(checks: &[CheckText]) -> Vec<CheckSpec> {
    checks.iter().map(|(why, hard)| CheckSpec::new(*why, *hard)).collect()
}

/// Builds the run-time form of a signature from the macro's data.
pub fn signature_spec(
    name: &'static str,
    instruction: &'static str,
    fields: &[FieldData],
    checks: &[CheckText],
) -> Arc<SignatureSpec> {
    let fields = fields.iter().map(|field| {
        let spec = FieldSpec::new(field.role, field.name, field.description, (field.schema)());
        let spec = spec.with_aliases(field.aliases.iter().copied()).with_checks(check_specs(field.checks));
        if field.defaulted { spec.defaulted() } else { spec }
    });
    Arc::new(SignatureSpec::new(name, instruction, fields).with_checks(check_specs(checks)))
}

/// The signature with the fields in the code that it was declared by.
pub fn declared_by(
    spec: Arc<SignatureSpec>,
    fields: Option<&'static [shape::FieldShape]>,
) -> Arc<SignatureSpec> {
    match fields {
        Some(fields) => Arc::new(Arc::unwrap_or_clone(spec).declared_by(fields)),
        None => spec,
    }
}

/// The signature in its cell, built when it is first asked for.
pub fn declared(
    cell: &'static OnceLock<Arc<SignatureSpec>>,
    build: fn() -> Arc<SignatureSpec>,
) -> &'static Arc<SignatureSpec> {
    cell.get_or_init(build)
}

/// The values of a struct, by the names of its fields.
///
/// # Errors
/// If a value has no JSON form.
pub fn to_values(fields: &[(&'static str, &dyn ErasedField)]) -> Result<Values, FieldError> {
    let mut values = Values::with_capacity(fields.len());
    for (name, field) in fields {
        values.insert((*name).to_owned(), field.to_value(name)?);
    }
    Ok(values)
}

/// The value of one field among those of a struct.
pub fn one_value(name: &str, value: &serde_json::Value) -> Values {
    Values::from_iter([(name.to_owned(), value.clone())])
}

/// Serializes a struct by its values.
///
/// # Errors
/// If a value has no JSON form, or the serializer fails.
pub fn serialize_values<S: Serializer>(
    values: Result<Values, FieldError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    values.map_err(ser::Error::custom)?.serialize(serializer)
}

/// Reads a struct by its values.
///
/// # Errors
/// If the deserializer fails, or a value does not fit its field.
pub fn deserialize_values<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    read: fn(Values) -> Result<T, FieldError>,
) -> Result<T, D::Error> {
    read(Values::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The state of an output field without its type.
pub type ErasedState<'a> = FieldState<&'a dyn ErasedField>;

pub fn erased_state<T>(
    state: &FieldState<T>,
    erased: for<'v> fn(&'v T) -> &'v dyn ErasedField,
) -> ErasedState<'_> {
    match state {
        FieldState::Pending => FieldState::Pending,
        FieldState::Incomplete(value) => FieldState::Incomplete(erased(value)),
        FieldState::Complete(value) => FieldState::Complete(erased(value)),
    }
}

/// Serializes a struct of partial outputs, under the names of the signature.
///
/// # Errors
/// If a value has no JSON form, or the serializer fails.
pub fn serialize_states<S: Serializer>(
    states: &[(&'static str, ErasedState<'_>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serialize_values(state_values(states), serializer)
}

fn state_values(states: &[(&'static str, ErasedState<'_>)]) -> Result<Values, FieldError> {
    let mut values = Values::with_capacity(states.len());
    for (name, state) in states {
        let state = match state {
            FieldState::Pending => FieldState::Pending,
            FieldState::Incomplete(value) => FieldState::Incomplete(value.to_value(name)?),
            FieldState::Complete(value) => FieldState::Complete(value.to_value(name)?),
        };
        let state = serde_json::to_value(state).map_err(|error| FieldError::new(*name, error.to_string()))?;
        values.insert((*name).to_owned(), state);
    }
    Ok(values)
}

/// Writes the fields of a struct as a derived `Debug` does.
///
/// # Errors
/// If the formatter fails.
pub fn debug_struct(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    fields: &[(&str, &dyn fmt::Debug)],
) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    for (name, value) in fields {
        shown.field(name, value);
    }
    shown.finish()
}

/// Collects the values of a demonstration.
#[derive(Debug, Default)]
pub struct DemoWriter(Values);

impl DemoWriter {
    /// Adds a value.
    ///
    /// # Errors
    /// If it has no JSON form.
    pub fn put(&mut self, name: &'static str, value: &dyn ErasedField) -> Result<(), FieldError> {
        self.0.insert(name.to_owned(), value.to_value(name)?);
        Ok(())
    }

    pub fn finish(self) -> Demo {
        Demo::new(self.0)
    }
}

/// Converts JSON to the schema type of `schemars`.
pub fn schema_from(value: serde_json::Value) -> schemars::Schema {
    schemars::Schema::try_from(value).unwrap_or_default()
}

/// Returns the schema of an enum of values, equal to the one that the grammar makes at run time.
pub fn choices_schema(choices: &[serde_json::Value]) -> schemars::Schema {
    schemars::json_schema!({ "enum": choices })
}

/// Implements serde's traits for a struct with its [`Fields`].
#[macro_export]
#[doc(hidden)]
macro_rules! __serde_by_fields {
    ($type:ty: $($which:ident)*) => { $( $crate::__serde_by_fields!(@$which $type); )* };
    (@Serialize $type:ty) => {
        impl $crate::__private::serde::Serialize for $type {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                $crate::__private::serialize_values(<Self as $crate::__private::Fields>::to_values(self), serializer)
            }
        }
    };
    (@Deserialize $type:ty) => {
        impl<'de> $crate::__private::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::__private::deserialize_values(deserializer, <Self as $crate::__private::Fields>::from_values)
            }
        }
    };
}

/// Defines the enum for `Literal["a", "b"]` in a signature string.
#[macro_export]
#[doc(hidden)]
macro_rules! __literal_enum {
    ($(#[$attr:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal,)* }) => {
        $crate::__literal_enum!(@common $(#[$attr])* $vis enum $name { $($variant = $text,)* });

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let text =
                    <::std::string::String as $crate::__private::serde::Deserialize>::deserialize(deserializer)?;
                Self::ALL.iter().copied().find(|choice| choice.as_str() == text).ok_or_else(|| {
                    $crate::__private::serde::de::Error::unknown_variant(&text, &[$($text),*])
                })
            }
        }

        $crate::__literal_enum!(@schema $name $([$text])*);
        $crate::__literal_enum!(@shape $name $($text)*);
    };
    // The rule for values other than strings, which serialize as these values.
    ($(#[$attr:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal as ($value:expr),)* }) => {
        $crate::__literal_enum!(@common $(#[$attr])* $vis enum $name { $($variant = $text,)* });

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant => $crate::__private::serde::Serialize::serialize(&$value, serializer),)*
                }
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                use $crate::__private::serde_json::Value;
                let value = <Value as $crate::__private::serde::Deserialize>::deserialize(deserializer)?;
                $(let choice = Value::from($value);
                if value == choice {
                    return ::core::result::Result::Ok(Self::$variant);
                })*
                ::core::result::Result::Err(<D::Error as $crate::__private::serde::de::Error>::unknown_variant(
                    &::std::string::ToString::to_string(&value),
                    &[$($text),*],
                ))
            }
        }

        $crate::__literal_enum!(@schema $name $([$value])*);
        $crate::__literal_enum!(@shape $name $($text)*);
    };
    (@shape $name:ident $($text:literal)*) => {
        impl<N: $crate::__private::shape::Depth> $crate::__private::shape::Shaped<N> for $name {
            const SHAPE: $crate::__private::shape::Shape =
                $crate::__private::shape::members("Literal", &[$(($text, "", ::core::option::Option::Some(0))),*]);
        }
    };
    (@schema $name:ident $([$value:expr])*) => {
        impl $crate::__private::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(::core::stringify!($name))
            }

            fn json_schema(
                _: &mut $crate::__private::schemars::SchemaGenerator,
            ) -> $crate::__private::schemars::Schema {
                $crate::__private::choices_schema(&[$($crate::__private::serde_json::Value::from($value)),*])
            }
        }
    };
    (@common $(#[$attr:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$attr])*
        #[derive(
            ::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy, ::core::cmp::PartialEq, ::core::cmp::Eq,
            ::core::cmp::PartialOrd, ::core::cmp::Ord, ::core::hash::Hash
        )]
        #[allow(dead_code, clippy::upper_case_acronyms)]
        $vis enum $name {
            $(#[doc = $text] $variant,)*
        }

        #[allow(dead_code)]
        impl $name {
            /// All choices, in the order of the signature.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the text of the choice in the signature.
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::core::cmp::PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl ::core::cmp::PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}
