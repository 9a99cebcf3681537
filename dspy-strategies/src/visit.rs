//! The predictors of a strategy: those of its fields, under their names.

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
