//! A selection of the rows of a data set.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use dspy_base::digest::Digest;
use dspy_core::Seed;
use dspy_core::signature::{Example, Values};
use serde_json::{Value, json};

use crate::error::OptimizeError;

/// A selection of the rows of a data set, in any order. It borrows the rows and is cheap to clone.
///
/// All rows are checked on creation, before any call is paid. A row keeps its [position](Row::position) in
/// the data set in every selection; the journal and reports refer to it by this position.
///
/// ```
/// # use dspy_core::signature::{Example, FieldError, Values};
/// # use dspy_optimizers::Rows;
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// #     fn values(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// # }
/// # fn main() -> Result<(), dspy_optimizers::OptimizeError> {
/// let data = [Row, Row, Row, Row, Row];
/// let rows = Rows::new("trainset", &data)?;
/// let (learn, select) = rows.split_at(3);
/// assert_eq!((learn.len(), select.len()), (3, 2));
/// assert_eq!(select.select([1]).get(0).unwrap().position, 4);
/// # Ok(()) }
/// ```
pub struct Rows<'d, E> {
    set: &'static str,
    all: &'d [E],
    /// The values of all rows of the data set.
    values: Arc<[Values]>,
    picked: Arc<[usize]>,
}

/// One row of [`Rows`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Row<'r, E> {
    /// The name of the data set.
    pub set: &'static str,
    /// The index in the data set.
    pub position: usize,
    /// The labelled example.
    pub example: &'r E,
    /// The values by field name, including labels.
    pub values: &'r Values,
}

impl<E> Clone for Row<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Row<'_, E> {}

/// A type that owns or borrows rows: anything that implements `AsRef<[E]>`, or [`Rows`].
pub trait RowSet<E>: Send + Sync {
    /// Returns the rows. `set` is their name in errors, unless they have one already.
    ///
    /// # Errors
    /// If there are no rows, or the input or the values of a row cannot be read.
    fn rows(&self, set: &'static str) -> Result<Rows<'_, E>, OptimizeError>;
}

impl<E: Example, T: AsRef<[E]> + Send + Sync> RowSet<E> for T {
    fn rows(&self, set: &'static str) -> Result<Rows<'_, E>, OptimizeError> {
        Rows::new(set, self.as_ref())
    }
}

impl<E: Send + Sync> RowSet<E> for Rows<'_, E> {
    fn rows(&self, set: &'static str) -> Result<Rows<'_, E>, OptimizeError> {
        if self.is_empty() { Err(OptimizeError::Empty { set }) } else { Ok(self.clone()) }
    }
}

impl<'d, E: Example> Rows<'d, E> {
    /// Creates a selection of all rows of a data set. `set` is its name, such as `trainset`.
    ///
    /// # Errors
    /// If there are no rows, or the input or the values of a row cannot be read.
    pub fn new(set: &'static str, examples: &'d [E]) -> Result<Self, OptimizeError> {
        if examples.is_empty() {
            return Err(OptimizeError::Empty { set });
        }
        let values = examples.iter().enumerate().map(|(index, example)| {
            let values = example.input().and_then(|_| example.values());
            values.map_err(|source| OptimizeError::Example { set, index, source })
        });
        let values = values.collect::<Result<_, _>>()?;
        Ok(Rows { set, all: examples, values, picked: (0..examples.len()).collect() })
    }
}

impl<E> Rows<'_, E> {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.picked.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.picked.is_empty()
    }

    /// Returns the row at `index` of this selection, or `None` if it is out of range.
    pub fn get(&self, index: usize) -> Option<Row<'_, E>> {
        self.picked.get(index).map(|at| self.row(*at))
    }

    /// Returns an iterator over the rows of this selection, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_, E>> + Clone {
        self.picked.iter().map(|at| self.row(*at))
    }

    fn row(&self, at: usize) -> Row<'_, E> {
        Row { set: self.set, position: at, example: &self.all[at], values: &self.values[at] }
    }

    /// Returns the name of the data set.
    pub fn set(&self) -> &'static str {
        self.set
    }

    /// Returns the rows at the given indices of this selection. Indices out of range are skipped.
    #[must_use]
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let picked = indices.into_iter().filter_map(|index| self.picked.get(index).copied());
        Rows { picked: picked.collect(), ..self.clone() }
    }

    /// Returns the rows before `index` and the rows from `index` on.
    pub fn split_at(&self, index: usize) -> (Self, Self) {
        (self.select(0..index.min(self.len())), self.select(index..self.len()))
    }

    /// Returns the rows in random order.
    #[must_use]
    pub fn shuffled(&self, seed: Seed) -> Self {
        let mut picked = self.picked.to_vec();
        seed.rng().shuffle(&mut picked);
        Rows { picked: picked.into(), ..self.clone() }
    }

    pub(crate) fn named(self, set: &'static str) -> Self {
        Rows { set, ..self }
    }

    /// Returns whether both are selections of the same data set, so that equal positions denote equal rows.
    pub(crate) fn shares_data_with(&self, other: &Self) -> bool {
        std::ptr::eq(self.all, other.all)
    }

    /// Returns the number of rows whose values are also those of a row of the others.
    pub(crate) fn overlap(&self, others: &[&Self]) -> usize {
        let text = |row: Row<'_, E>| json!(row.values).to_string();
        let known: HashSet<String> = others.iter().flat_map(|rows| rows.iter().map(text)).collect();
        self.iter().map(text).filter(|row| known.contains(row)).count()
    }

    /// Returns whether both have the same rows, in any order.
    pub(crate) fn has_rows_of(&self, other: &Self) -> bool {
        if self.shares_data_with(other) && self.picked == other.picked {
            return true;
        }
        self.overlap(&[other]) == self.len() && other.overlap(&[self]) == other.len()
    }

    /// Returns the identity of the rows for the header of a journal.
    pub(crate) fn identity(&self) -> Value {
        let mut digest = Digest::new();
        for at in &*self.picked {
            digest.add_members(&self.values[*at]);
        }
        json!({"rows": self.len(), "digest": digest.short()})
    }
}

impl<E> Clone for Rows<'_, E> {
    fn clone(&self) -> Self {
        Rows { set: self.set, all: self.all, values: self.values.clone(), picked: self.picked.clone() }
    }
}

impl<E> fmt::Debug for Rows<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("set", &self.set).field("rows", &self.len()).finish_non_exhaustive()
    }
}
