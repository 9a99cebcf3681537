//! The rows that an optimizer learns from.

mod rows;

use dspy_core::signature::Example;

pub use self::rows::{Row, RowSet, Rows};

/// The data of an optimization: rows to learn from, rows to select by, rows to verify on, a teacher.
///
/// The sets are anything that derefs to a slice (`&rows`, a `Vec`, an `Arc<[Row]>`), or [`Rows`].
///
/// ```
/// # use dspy_optimizers::Data;
/// # let (train, val) = ([1, 2, 3], [4, 5]);
/// # let data: Data<(), _> =
/// Data::new(&train[..]).valset(&val[..])
/// # ;
/// // optimizer.compile(program, data).await?
/// ```
#[derive(Debug, Clone)]
pub struct Data<P, T> {
    pub(crate) train: T,
    pub(crate) val: Option<T>,
    pub(crate) holdout: Option<T>,
    pub(crate) teacher: Option<P>,
}

impl<P, T> Data<P, T> {
    /// Creates data of rows to learn from, which are also those to select by.
    pub fn new(trainset: T) -> Self {
        Data { train: trainset, val: None, holdout: None, teacher: None }
    }

    /// Sets other rows to select candidates by.
    #[must_use]
    pub fn valset(mut self, valset: T) -> Self {
        self.val = Some(valset);
        self
    }

    /// Sets rows that the search never uses. Its result is [verified](crate::Verify) on them.
    #[must_use]
    pub fn holdout(mut self, holdout: T) -> Self {
        self.holdout = Some(holdout);
        self
    }

    /// Sets a program that makes the demonstrations in place of the one that is optimized. It must have the same
    /// predictors.
    #[must_use]
    pub fn teacher(mut self, teacher: P) -> Self {
        self.teacher = Some(teacher);
        self
    }
}

/// The data for `compile`: rows alone (`&rows`, a `Vec`, an `Arc<[Row]>`, anything that derefs to a slice, [`Rows`]), or
/// [`Data`] that also has a valset, a holdout or a teacher.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no data to learn from",
    note = "give a slice or a `Vec` of examples, or `Data::new(&train).valset(&val)`"
)]
pub trait IntoData<P, E>: Send {
    /// The owner of the rows.
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
