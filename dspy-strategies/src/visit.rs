//! The predictors of a strategy: those of its fields, under their names.

use dspy_core::predict::Predict;
use dspy_core::program::{HasPredictors, ProgramShape, Visitor, VisitorMut};
use dspy_core::signature::Signature;

/// A predictor in a field `predict`, as that of a `ChainOfThought`, for the paths of Python DSPy.
#[derive(Clone)]
pub(crate) struct InPredict<P> {
    pub(crate) predict: P,
}

impl<P> InPredict<P> {
    pub(crate) const SHAPE: &'static ProgramShape =
        &ProgramShape::Fields(&[("predict", &ProgramShape::Predictor(None))]);
}

impl<S: Signature> InPredict<Predict<S>> {
    /// The shape with the fields of the signature, whose types are then compared when a saved program is embedded.
    pub(crate) const TYPED: &'static ProgramShape =
        &ProgramShape::Fields(&[("predict", &ProgramShape::Predictor(S::FIELDS))]);
}

impl<P: HasPredictors> HasPredictors for InPredict<P> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("predict", &self.predict);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("predict", &mut self.predict);
    }
}

/// Implements [`HasPredictors`](dspy_core::program::HasPredictors) and the shape for a strategy whose predictors are in
/// the named fields.
macro_rules! visits_fields {
    ([$($generics:tt)*] $type:ty, [$($shape_generics:tt)*] { $($field:ident: $of:ty => $shape:expr),+ $(,)? }) => {
        impl<$($generics)*> dspy_core::program::HasPredictors for $type {
            fn visit<'a>(&'a self, visitor: &mut dspy_core::program::Visitor<'a, '_>) {
                $( visitor.field(stringify!($field), &self.$field); )+
            }

            fn visit_mut(&mut self, visitor: &mut dspy_core::program::VisitorMut<'_>) {
                $( visitor.field(stringify!($field), &mut self.$field); )+
            }
        }

        impl<$($shape_generics)*> dspy_core::program::HasShape<Depth> for $type {
            const SHAPE: &'static dspy_core::program::ProgramShape = &dspy_core::program::ProgramShape::Fields(&[
                $( (stringify!($field), $shape), )+
            ]);
        }
    };
}

pub(crate) use visits_fields;
