//! What an optimizer learns from.

use dspy_core::signature::{Example, Values};
use serde_json::Value;

use crate::OptimizeError;

/// Everything that an optimization may be given besides the program: rows to learn from, rows to select by, a teacher.
///
/// The sets are anything that derefs to a slice: `&rows`, a `Vec`, an `Arc<[Row]>`.
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
    pub(crate) teacher: Option<P>,
}

impl<P, T> Data<P, T> {
    /// Rows to learn from, which are also those to select by.
    pub fn new(trainset: T) -> Self {
        Data { train: trainset, val: None, teacher: None }
    }

    /// Other rows to select candidates by.
    #[must_use]
    pub fn valset(mut self, valset: T) -> Self {
        self.val = Some(valset);
        self
    }

    /// A program that makes the demonstrations in place of the one that is optimized. It must have the same
    /// predictors.
    #[must_use]
    pub fn teacher(mut self, teacher: P) -> Self {
        self.teacher = Some(teacher);
        self
    }
}

/// What `compile` learns from: rows alone (`&rows`, a `Vec`, an `Arc<[Row]>`, anything that derefs to a slice), or
/// [`Data`] that also has a valset or a teacher.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no data to learn from",
    note = "give a slice or a `Vec` of examples, or `Data::new(&train).valset(&val)`"
)]
pub trait IntoData<P, E> {
    /// What holds the rows.
    type Rows: AsRef<[E]> + Send + Sync;

    /// The data.
    fn into_data(self) -> Data<P, Self::Rows>;
}

impl<P, E, T: AsRef<[E]> + Send + Sync> IntoData<P, E> for T {
    type Rows = T;

    fn into_data(self) -> Data<P, T> {
        Data::new(self)
    }
}

impl<P, E, T: AsRef<[E]> + Send + Sync> IntoData<P, E> for Data<P, T> {
    type Rows = T;

    fn into_data(self) -> Data<P, T> {
        self
    }
}

/// Examples that are known to be usable, with their values.
pub(crate) struct Rows<'a, E> {
    pub(crate) examples: &'a [E],
    pub(crate) values: Vec<Values>,
}

impl<'a, E: Example> Rows<'a, E> {
    /// Looks at every example, so that a bad one is found before anything is paid.
    pub(crate) fn check(set: &'static str, examples: &'a [E]) -> Result<Self, OptimizeError> {
        if examples.is_empty() {
            return Err(OptimizeError::Empty { set });
        }
        let values = examples.iter().enumerate().map(|(index, example)| {
            let values = example.input().and_then(|_| example.values());
            values.map_err(|source| OptimizeError::Example { set, index, source })
        });
        Ok(Rows { examples, values: values.collect::<Result<_, _>>()? })
    }

    /// The set as the header of a journal knows it.
    pub(crate) fn identity(&self) -> Value {
        let mut hash = blake3::Hasher::new();
        for values in &self.values {
            hash_members(&mut hash, values);
        }
        serde_json::json!({"rows": self.examples.len(), "digest": hash.finalize().to_hex()[..16]})
    }
}

/// Members in the order of their names: that of a hash map differs from process to process.
fn hash_members(hash: &mut blake3::Hasher, values: &Values) {
    let mut members: Vec<_> = values.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    hash.update(b"{");
    for (name, value) in members {
        hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hash_value(hash, value);
    }
    hash.update(b"}");
}

fn hash_value(hash: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(members) => hash_members(hash, members),
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| hash_value(hash, item));
            hash.update(b"]");
        }
        other => {
            hash.update(other.to_string().as_bytes()).update(b",");
        }
    }
}
