//! The data of an optimization.

mod rows;

use std::collections::BTreeSet;

use dspy_core::program::HasPredictors;
use dspy_core::signature::Example;

pub use self::rows::{Row, RowSet, Rows};

/// The data of an optimization: a trainset to learn from and, optionally, a valset to select candidates by, a
/// holdout to verify the result on, and a teacher.
///
/// A set is anything that implements `AsRef<[E]>` (`&rows`, a `Vec`, an `Arc<[Row]>`), or [`Rows`].
///
/// ```
/// # use dspy_optimizers::Data;
/// # let (train, val) = ([1, 2, 3], [4, 5]);
/// # let data: Data<(), _> =
/// Data::new(&train[..]).valset(&val[..])
/// # ;
/// // optimizer.compile(program, data).await?
/// ```
///
/// Several optimizers can have the same data: a clone copies references to rows, or an `Arc` of them.
///
/// ```
/// # use std::sync::Arc;
/// # use dspy_optimizers::Data;
/// let rows: Arc<[i32]> = (0..1_000).collect();
/// let data: Data<(), _> = Data::new(rows.clone());
/// let again = data.clone();
/// assert!(Arc::ptr_eq(&again.train, &rows));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Data<P, T> {
    /// The rows to learn from.
    pub train: T,
    /// The rows on which candidates are scored, if they are not those of the trainset.
    pub val: Option<T>,
    /// The rows on which the result is verified, if they are given.
    pub holdout: Option<T>,
    /// The program that makes the demonstrations, if it is not the optimized program.
    pub teacher: Option<P>,
}

impl<P, T> Data<P, T> {
    /// Creates data with a trainset, which is also the valset by default.
    pub fn new(trainset: T) -> Self {
        Data { train: trainset, val: None, holdout: None, teacher: None }
    }

    /// Sets the rows on which candidates are scored. Default: the trainset.
    ///
    /// A valset with the same rows as the trainset is as good as none. If only a part of its rows is also in the
    /// trainset, the report has a warning.
    #[must_use]
    pub fn valset(mut self, valset: T) -> Self {
        self.val = Some(valset);
        self
    }

    /// Sets rows that the search never uses, on which its result is [verified](crate::Verify).
    #[must_use]
    pub fn holdout(mut self, holdout: T) -> Self {
        self.holdout = Some(holdout);
        self
    }

    /// Sets the program that makes the demonstrations. It must have the same predictors as the optimized
    /// program, which is the teacher by default; otherwise every optimizer returns
    /// [`OptimizeError::Teacher`](crate::OptimizeError::Teacher) before it makes a call.
    #[must_use]
    pub fn teacher(mut self, teacher: P) -> Self {
        self.teacher = Some(teacher);
        self
    }
}

/// An argument for the data of `compile`: a trainset (`&rows`, a `Vec`, an `Arc<[Row]>`, anything that
/// implements `AsRef<[E]>`, or [`Rows`]), or [`Data`], which can also have a valset, a holdout and a teacher.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not data to optimize with",
    note = "pass a slice or a `Vec` of examples, or `Data::new(&train).valset(&val)`"
)]
pub trait IntoData<P, E>: Send {
    /// The type that owns or borrows the rows.
    type Rows: RowSet<E>;

    /// Returns the data.
    fn into_data(self) -> Data<P, Self::Rows>;
}

impl<P, E: Example, T: AsRef<[E]> + Send + Sync> IntoData<P, E> for T {
    type Rows = T;

    fn into_data(self) -> Data<P, T> {
        Data::new(self)
    }
}

impl<P, E: Send + Sync> IntoData<P, E> for Rows<'_, E> {
    type Rows = Self;

    fn into_data(self) -> Data<P, Self> {
        Data::new(self)
    }
}

impl<P: Send, E, T: RowSet<E>> IntoData<P, E> for Data<P, T> {
    type Rows = T;

    fn into_data(self) -> Data<P, T> {
        self
    }
}

/// Returns the names of all outputs of a program, which are labels where rows have them.
pub(crate) fn label_names(program: &impl HasPredictors) -> BTreeSet<String> {
    let predictors = program.named_predictors();
    let outputs = predictors.iter().flat_map(|(_, predictor)| predictor.spec().outputs());
    outputs.map(|field| field.name().to_owned()).collect()
}
