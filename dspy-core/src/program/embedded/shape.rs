//! The predictors of a program as constants.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::program::BoxModule;
use crate::signature::shape::{Depth, FieldShape};

/// The predictors of a type of program, as far as they are the same for all of its values.
#[derive(Debug)]
pub enum ProgramShape {
    /// Any predictors.
    Unknown,
    /// A predictor with the fields of a signature, if they are known.
    Predictor(Option<&'static [FieldShape]>),
    /// Sub-modules in fields.
    Fields(&'static [(&'static str, &'static ProgramShape)]),
    /// A sub-module, or none.
    Optional(&'static ProgramShape),
    /// A sequence of sub-modules, of a known length or of any.
    Items(Option<usize>, &'static ProgramShape),
    /// A map of sub-modules.
    Entries(&'static ProgramShape),
}

/// A type of program whose predictors are known at compile time, up to a depth of nesting.
pub trait HasShape<N: Depth> {
    /// Its predictors.
    const SHAPE: &'static ProgramShape;
}

/// The shape of any type of program, as [`Probe`](crate::signature::shape::Probe) is that of a field: the inherent
/// constant, or that of [`UnknownProgram`], which must be in scope.
#[derive(Debug)]
pub struct ProgramProbe<P: ?Sized, N>(PhantomData<(N, P)>);

impl<P: HasShape<N> + ?Sized, N: Depth> ProgramProbe<P, N> {
    /// The predictors of `P`.
    pub const SHAPE: &'static ProgramShape =
        if N::IS_ZERO { &ProgramShape::Unknown } else { deeper::<P, N>() };
}

/// A type of program whose predictors are not known at compile time.
pub trait UnknownProgram {
    /// Any predictors.
    const SHAPE: &'static ProgramShape = &ProgramShape::Unknown;
}

impl<P: ?Sized, N> UnknownProgram for ProgramProbe<P, N> {}

const fn deeper<P: HasShape<N> + ?Sized, N: Depth>() -> &'static ProgramShape {
    P::SHAPE
}

impl<N: Depth, P: HasShape<N> + ?Sized> HasShape<N> for Box<P> {
    const SHAPE: &'static ProgramShape = P::SHAPE;
}

impl<N: Depth, P: HasShape<N>> HasShape<N> for Arc<P> {
    const SHAPE: &'static ProgramShape = P::SHAPE;
}

impl<N: Depth, P: HasShape<N>> HasShape<N> for Option<P> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Optional(P::SHAPE);
}

impl<N: Depth, P: HasShape<N>> HasShape<N> for Vec<P> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Items(None, P::SHAPE);
}

impl<N: Depth, P: HasShape<N>, const COUNT: usize> HasShape<N> for [P; COUNT] {
    const SHAPE: &'static ProgramShape = &ProgramShape::Items(Some(COUNT), P::SHAPE);
}

impl<N: Depth, K, P: HasShape<N>> HasShape<N> for BTreeMap<K, P> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Entries(P::SHAPE);
}

impl<N: Depth, K, P: HasShape<N>, H> HasShape<N> for HashMap<K, P, H> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Entries(P::SHAPE);
}

impl<N: Depth, I, O> HasShape<N> for BoxModule<I, O> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Unknown;
}
