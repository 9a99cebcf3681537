//! The second step of a call whose first step was answered in prose.

use super::call::{Call, Convert, Done, Outcome};
use super::prediction::Details;
use super::prepared::{Prepared, SecondStep};
use crate::adapter::{self, FieldProblem, ParseError};
use crate::error::{ExtractionError, Result};
use crate::lm::BoxFuture;
use crate::signature::{FieldError, Values};

impl Call<'_> {
    /// Extracts the outputs from the prose of the first completion with the second model. Errors here do not
    /// repeat the first step: only the second model is re-prompted.
    pub(super) async fn extract(
        &mut self,
        prepared: &Prepared,
        second: &SecondStep,
        convert: Convert<'_>,
        keep: bool,
    ) -> Result<Outcome> {
        let completion = self.details.completions().first().cloned().unwrap_or_default();
        let prose = match adapter::prose(prepared.adapter.name(), &completion) {
            Ok(prose) => prose,
            Err(error) => return Ok(Outcome::Refused(error)),
        };
        let native = match prepared.native_values(self.inputs, &completion) {
            Ok(native) => native.values,
            Err(error) => return Ok(Outcome::Refused(error)),
        };
        let inputs = Values::from_iter([(second.input.clone(), prose.into())]);
        let outer = self.inputs;
        let mut with_native = |values: &mut Values| {
            prepared.check(outer, values).map_err(|error| refusal(&error))?;
            values.extend(native.clone());
            convert(values)
        };
        let mut details = Details::default();
        let mut call = Call {
            predictor: &second.predictor,
            context: self.context,
            lm: &second.lm,
            inputs: &inputs,
            turns: None,
            details: &mut details,
            watch: self.watch.as_deref_mut(),
            observed: self.observed,
        };
        let outcome = call.run_boxed(&mut with_native, keep).await;
        self.details.usage += details.usage;
        self.details.attempts.extend(details.attempts);
        self.details.report = details.report;
        self.details.added = details.added;
        self.details.failed_checks = details.failed_checks;
        let failed = |source| ExtractionError {
            prose: completion.text.clone(),
            extractor: second.lm.id().into(),
            source,
        };
        let (output, mut kept) = outcome.map_err(failed)?;
        if keep {
            kept.extend(native);
        }
        Ok(Outcome::Read((output, kept)))
    }

    /// Calls [`run`](Self::run), boxed because a step may contain another.
    fn run_boxed<'f>(&'f mut self, convert: Convert<'f>, keep: bool) -> BoxFuture<'f, Result<Done>> {
        Box::pin(self.run(convert, keep))
    }
}

/// Returns the problems of a parse error as the error of a field.
fn refusal(error: &ParseError) -> FieldError {
    let field = error.problems.first().map(|problem| problem.field.clone()).unwrap_or_default();
    let messages: Vec<_> =
        error.problems.iter().map(|FieldProblem { message, .. }| message.as_str()).collect();
    FieldError::new(field, messages.join("; "))
}
