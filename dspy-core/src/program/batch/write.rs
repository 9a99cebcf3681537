//! Results of a batch, written to a file.

use std::future::ready;
use std::path::Path;

use futures_util::{FutureExt as _, StreamExt as _, future};
use serde::Serialize;

use super::{Batch, one};
use crate::data::{DataError, ResultFile};
use crate::lm::Usage;
use crate::predictor::Prediction;
use crate::program::Module;
use crate::state::ProgramState;

/// A summary of [`Batch::write_jsonl`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Written {
    /// The inputs that this run processed.
    pub asked: usize,
    /// The inputs whose results were already in the file.
    pub found: usize,
    /// The processed inputs for which the program failed.
    pub failed: usize,
    /// The usage of this run.
    pub usage: Usage,
}

impl<M> Batch<'_, M>
where
    M: Module<Input: Serialize, Output: Serialize>,
{
    /// Writes each result to a JSON Lines file as soon as it is available, and resumes an earlier run: with
    /// the same inputs and the same file, only inputs without a result are processed. Inputs for which a
    /// model could not be reached are retried; other failures are not.
    ///
    /// A line contains the index of its input, a digest of the input, a digest of the program, and the output
    /// or the error. Lines are in the order in which results become available;
    /// [`read_results`](crate::data::read_results) sorts them. A last line that a crash has truncated is
    /// removed.
    ///
    /// ```no_run
    /// # async fn doc(program: impl dspy_core::program::Module<
    /// #     Input = dspy_core::signature::Values, Output = dspy_core::signature::Values>,
    /// #     inputs: Vec<dspy_core::signature::Values>) -> dspy_core::Result<()> {
    /// use dspy_core::signature::Values;
    ///
    /// let written = program.batch(inputs).concurrency(32).write_jsonl("answers.jsonl").await?;
    /// println!("{} asked, {} found, {} failed", written.asked, written.found, written.failed);
    /// for row in dspy_core::data::read_results::<Values>("answers.jsonl")? {
    ///     println!("{}: {:?}", row.index, row.result);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read or written, another process is writing it, or it contains anything but
    /// results of this program (with these instructions and demonstrations) for these inputs. Such a file is
    /// not changed. Failures of the program are lines, not errors.
    pub async fn write_jsonl(self, path: impl AsRef<Path>) -> Result<Written, DataError> {
        let Batch { program, inputs, concurrency } = self;
        let state = ProgramState::of(program).to_json();
        let (known, mut file) = ResultFile::open(path.as_ref(), &state)?;
        let mut written = Written::default();
        let questions =
            inputs.enumerate().map(|(index, input)| Ok((known.look(index, &input)?, index, input)));
        let mut results = std::pin::pin!(
            questions
                .map(|question| match question {
                    Ok((None, index, _)) => ready(Ok((index, None))).left_future(),
                    Ok((Some(digest), index, input)) => {
                        one(program, input)
                            .map(move |result| Ok((index, Some((digest, result)))))
                            .right_future()
                    }
                    Err(error) => future::Either::Left(ready(Err(error))),
                })
                .buffer_unordered(concurrency)
        );
        while let Some(result) = results.next().await {
            let (index, Some((digest, result))) = result? else {
                written.found += 1;
                continue;
            };
            written.asked += 1;
            match &result {
                Ok(prediction) => written.usage += prediction.usage(),
                Err(_) => written.failed += 1,
            }
            file.append(index, &digest, result.as_ref().map(Prediction::output))?;
        }
        file.sync()?;
        Ok(written)
    }
}
