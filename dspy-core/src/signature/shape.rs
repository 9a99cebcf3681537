//! The types of fields as constants, so that a saved program can be compared with the code at compile time.
//!
//! JSON Schemas exist at run time only. A shape is a digest of the same structure, computed by the compiler: from the
//! names of standard types, and from the members and attributes of types with `#[field_type]`. A type without a shape
//! is compared when a program is loaded. Equal shapes are equal types; the reverse need not hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

pub use dspy_grammar::shape::{Shape, constrained, of};
use dspy_grammar::shape::{mix, start};

use super::Role;
use crate::types::{Audio, BigInt, Citations, Document, File, History, Image, Reasoning, ToolCalls};

/// A field of a signature, for the comparison with a saved one.
#[derive(Debug)]
pub struct FieldShape {
    pub role: Role,
    pub name: &'static str,
    pub shape: Shape,
}

/// The number of nested types that a shape may still contain, which bounds those of recursive types.
pub trait Depth {
    /// Whether it is zero.
    const IS_ZERO: bool;
    /// The next smaller number; zero for zero.
    type Less: Depth;
}

/// Zero.
#[derive(Debug)]
pub struct Zero;

/// The number after `N`.
#[derive(Debug)]
pub struct After<N>(PhantomData<N>);

impl Depth for Zero {
    const IS_ZERO: bool = true;
    type Less = Zero;
}

impl<N: Depth> Depth for After<N> {
    const IS_ZERO: bool = false;
    type Less = N;
}

/// The depth of comparison; everything below is compared when a program is loaded.
pub type FullDepth = After<After<After<After<After<After<After<After<Zero>>>>>>>>;

/// A type with a shape, up to a depth.
pub trait Shaped<N: Depth> {
    const SHAPE: Shape;
}

/// The shape of any type: `Probe::<T, N>::SHAPE` is the inherent constant if `T` has a shape, and otherwise that of
/// [`Unshaped`], which must be in scope.
#[derive(Debug)]
pub struct Probe<T: ?Sized, N>(PhantomData<(N, T)>);

impl<T: Shaped<N> + ?Sized, N: Depth> Probe<T, N> {
    pub const SHAPE: Shape = if N::IS_ZERO { Some(0) } else { deeper::<T, N>() };
}

/// A type without a shape.
pub trait Unshaped {
    const SHAPE: Shape = None;
}

impl<T: ?Sized, N> Unshaped for Probe<T, N> {}

/// Returns the shape of a type. Unlike a constant in a branch, the call is only evaluated if the branch is taken.
const fn deeper<T: Shaped<N> + ?Sized, N: Depth>() -> Shape {
    T::SHAPE
}

/// Returns the shape of a struct or of a variant, with the text of its attributes and its members by name.
pub const fn members(attributes: &str, members: &[(&str, &str, Shape)]) -> Shape {
    let mut state = mix(start("members"), attributes.as_bytes());
    let mut at = 0;
    while at < members.len() {
        let (name, attributes, shape) = members[at];
        let Some(part) = shape else { return None };
        state = mix(mix(mix(state, name.as_bytes()), attributes.as_bytes()), &part.to_le_bytes());
        at += 1;
    }
    Some(state)
}

/// Gives types without parameters the shape of a name.
macro_rules! named {
    ($($ty:ty = $name:literal,)*) => {
        $(impl<N: Depth> Shaped<N> for $ty {
            const SHAPE: Shape = of($name, &[]);
        })*
    };
}

named! {
    bool = "bool", char = "char", String = "str", str = "str", () = "null", serde_json::Value = "any",
    u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", u128 = "u128", usize = "usize",
    i8 = "i8", i16 = "i16", i32 = "i32", i64 = "i64", i128 = "i128", isize = "isize",
    f32 = "f32", f64 = "f64",
    Image = "Image", Audio = "Audio", File = "File", Document = "Document", Citations = "Citations",
    BigInt = "BigInt", Reasoning = "Reasoning", ToolCalls = "ToolCalls",
}

/// Gives type constructors the shape of a name with the shapes of their parameters.
macro_rules! constructors {
    ($($name:literal: $ty:ty [$($parameter:ident),+] $(+ $other:ident)?,)*) => {
        $(impl<N: Depth, $($parameter: Shaped<N>,)+ $($other)?> Shaped<N> for $ty {
            const SHAPE: Shape = of($name, &[$($parameter::SHAPE),+]);
        })*
    };
}

constructors! {
    "optional": Option<T> [T],
    "list": Vec<T> [T],
    "list": VecDeque<T> [T],
    "set": BTreeSet<T> [T],
    "set": HashSet<T, H> [T] + H,
    "map": BTreeMap<K, V> [K, V],
    "map": HashMap<K, V, H> [K, V] + H,
    "tuple": (A,) [A],
    "tuple": (A, B) [A, B],
    "tuple": (A, B, C) [A, B, C],
    "tuple": (A, B, C, D) [A, B, C, D],
    "tuple": (A, B, C, D, E) [A, B, C, D, E],
    "tuple": (A, B, C, D, E, F) [A, B, C, D, E, F],
    "history": History<T> [T],
}

impl<N: Depth, T: Shaped<N>, const COUNT: usize> Shaped<N> for [T; COUNT] {
    const SHAPE: Shape = of("array", &[Some(COUNT as u64), T::SHAPE]);
}

impl<N: Depth, T: Shaped<N> + ?Sized> Shaped<N> for Box<T> {
    const SHAPE: Shape = T::SHAPE;
}

impl<N: Depth, T: Shaped<N> + ?Sized> Shaped<N> for Arc<T> {
    const SHAPE: Shape = T::SHAPE;
}

impl<N: Depth, T: Shaped<N> + ToOwned + ?Sized> Shaped<N> for Cow<'_, T> {
    const SHAPE: Shape = T::SHAPE;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type without a shape.
    struct Opaque;

    /// A recursive type, as `#[field_type]` would describe it.
    struct Tree;

    impl<N: Depth> Shaped<N> for Tree {
        const SHAPE: Shape = members(
            "",
            &[
                ("name", "", Probe::<String, N::Less>::SHAPE),
                ("children", "", Probe::<Vec<Tree>, N::Less>::SHAPE),
            ],
        );
    }

    const fn shape_of<T: Shaped<FullDepth> + ?Sized>() -> Shape {
        T::SHAPE
    }

    #[test]
    fn macros_compute_the_same_shapes() {
        use dspy_grammar::shape::{of_constructor, of_name};
        assert_eq!(of_name("String"), shape_of::<String>());
        assert_eq!(of_name("u8"), shape_of::<u8>());
        assert_eq!(of_name("Team"), None);
        assert_eq!(of_constructor("Option", &[of_name("bool")]), shape_of::<Option<bool>>());
        assert_eq!(of_constructor("Vec", &[of_name("f64")]), shape_of::<Vec<f64>>());
        assert_eq!(of_constructor("HashSet", &[of_name("char")]), shape_of::<HashSet<char>>());
        let map = of_constructor("HashMap", &[of_name("String"), of_name("i64")]);
        assert_eq!(map, shape_of::<BTreeMap<String, i64>>());
        assert_eq!(of_constructor("Vec", &[None]), None);
    }

    #[test]
    fn shapes_tell_types_apart() {
        let all = [
            shape_of::<String>(),
            shape_of::<Vec<String>>(),
            shape_of::<Option<String>>(),
            shape_of::<f32>(),
            shape_of::<f64>(),
            shape_of::<(String, f64)>(),
            shape_of::<(f64, String)>(),
            shape_of::<[f64; 2]>(),
            shape_of::<[f64; 3]>(),
            shape_of::<HashMap<String, f64>>(),
            shape_of::<Tree>(),
            shape_of::<Vec<Tree>>(),
            constrained(shape_of::<f64>(), "range (min = 0)"),
        ];
        for (at, shape) in all.iter().enumerate() {
            assert!(shape.is_some() && !all[..at].contains(shape), "{at}");
        }
        assert_eq!(shape_of::<Box<str>>(), shape_of::<String>());
        assert_eq!(shape_of::<BTreeMap<String, f64>>(), shape_of::<HashMap<String, f64>>());
        assert_eq!(constrained(shape_of::<f64>(), ""), shape_of::<f64>());
    }

    #[test]
    fn a_part_without_a_shape_leaves_the_whole_without() {
        assert_eq!(Probe::<Opaque, FullDepth>::SHAPE, None);
        assert_eq!(Probe::<Vec<Opaque>, FullDepth>::SHAPE, None);
        assert_eq!(members("", &[("a", "", Some(1)), ("b", "", None)]), None);
        assert_eq!(constrained(None, "range (min = 0)"), None);
        assert!(Probe::<Vec<String>, FullDepth>::SHAPE.is_some());
    }
}
