//! The back end of the macros: they emit data and calls of what stands here.

use std::sync::Arc;

pub use schemars;
pub use serde;
pub use serde_json;

pub use crate::signature::{
    Demo, FieldError, FieldSpec, FieldState, FieldType, Fields, PartialValues, Role, Signature,
    SignatureSpec, Values,
};

pub use crate::program::{HasPredictors, Visitor, VisitorMut};
pub use crate::signature::property_schema;

/// A field as the macro knows it.
#[derive(Debug)]
pub struct FieldData {
    pub role: Role,
    pub name: &'static str,
    pub description: &'static str,
    pub schema: fn() -> serde_json::Value,
    pub defaulted: bool,
}

/// Builds the run-time form of a signature from the macro's data.
pub fn signature_spec(
    name: &'static str,
    instruction: &'static str,
    fields: &[FieldData],
) -> Arc<SignatureSpec> {
    let fields = fields.iter().map(|field| {
        let spec = FieldSpec::new(field.role, field.name, field.description, (field.schema)());
        if field.defaulted { spec.defaulted() } else { spec }
    });
    Arc::new(SignatureSpec::new(name, instruction, fields))
}

/// Implements serde's traits for a struct by way of its [`Fields`].
#[macro_export]
#[doc(hidden)]
macro_rules! __serde_by_fields {
    ($($which:ident)* for $type:ty) => { $( $crate::__serde_by_fields!(@$which $type); )* };
    (@Serialize $type:ty) => {
        impl $crate::__private::serde::Serialize for $type {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                let values = <Self as $crate::__private::Fields>::to_values(self)
                    .map_err($crate::__private::serde::ser::Error::custom)?;
                $crate::__private::serde::Serialize::serialize(&values, serializer)
            }
        }
    };
    (@Deserialize $type:ty) => {
        impl<'de> $crate::__private::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let values =
                    <$crate::__private::Values as $crate::__private::serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::__private::Fields>::from_values(values)
                    .map_err($crate::__private::serde::de::Error::custom)
            }
        }
    };
}
