//! Finds what has no JSON form although serialization succeeds: numbers that it replaces by `null`, and nesting so deep
//! that others overflow their stack.

use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Serializer};
use serde_json::Value;

/// The number of levels that the result of a tool may have.
const DEPTH: usize = 1_000;

/// Returns the first number that is infinite or not a number, given a value and its JSON form. Such a number is `null`
/// there, so that most values are not serialized once more.
pub(crate) fn non_finite(value: &impl Serialize, written: &Value) -> Option<f64> {
    if !has_null(written) {
        return None;
    }
    match value.serialize(Finite { depth: usize::MAX, numbers: true }) {
        Err(Found::Number(number)) => Some(number),
        Ok(()) | Err(Found::Depth | Found::Other) => None,
    }
}

/// Returns whether a value has more than 1,000 levels, without looking at further ones.
pub(crate) fn is_too_deep(value: &impl Serialize) -> bool {
    matches!(value.serialize(Finite { depth: DEPTH, numbers: false }), Err(Found::Depth))
}

/// Returns whether `null` occurs in a value: also the form of numbers without a JSON form.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// A serializer that writes nothing.
#[derive(Clone, Copy)]
struct Finite {
    /// The number of levels that may follow.
    depth: usize,
    /// Whether numbers matter.
    numbers: bool,
}

impl Finite {
    fn deeper(self) -> Result<Self, Found> {
        Ok(Finite { depth: self.depth.checked_sub(1).ok_or(Found::Depth)?, ..self })
    }
}

#[derive(Debug)]
enum Found {
    Number(f64),
    /// Too many levels.
    Depth,
    /// An error of the type itself, which the conversion to JSON reports.
    Other,
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no JSON form")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: Display>(_: T) -> Self {
        Found::Other
    }
}

type Done = Result<(), Found>;

macro_rules! ignored {
    ($($method:ident: $type:ty),*) => { $( fn $method(self, _: $type) -> Done { Ok(()) } )* };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    ignored! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_unit_struct: &'static str
    }

    fn serialize_f32(self, number: f32) -> Done {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Done {
        if number.is_finite() || !self.numbers { Ok(()) } else { Err(Found::Number(number)) }
    }

    fn serialize_none(self) -> Done {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Done {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        self.deeper()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        self.deeper()
    }
}

macro_rules! compound {
    ($($kind:ident: $($method:ident)+),*) => { $(
        impl ser::$kind for Finite {
            type Ok = ();
            type Error = Found;

            $(
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                    value.serialize(*self)
                }
            )+

            fn end(self) -> Done {
                Ok(())
            }
        }
    )* };
}

compound! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
    SerializeMap: serialize_key serialize_value
}

macro_rules! named {
    ($($kind:ident),*) => { $(
        impl ser::$kind for Finite {
            type Ok = ();
            type Error = Found;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
                value.serialize(*self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        }
    )* };
}

named! { SerializeStruct, SerializeStructVariant }
