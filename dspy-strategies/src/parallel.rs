//! `Parallel`: several programs on one input.

use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, ProgramShape, Visitor, VisitorMut, hold_trace};
use dspy_core::signature::shape::Depth;
use dspy_core::{Error, Result};
use futures_util::{StreamExt as _, stream};

/// The default number of programs in flight.
const IN_FLIGHT: usize = 16;

/// A strategy that runs several programs on one input concurrently. Its output is the list of their results, each on
/// its own: one that fails does not affect the others.
///
/// An agent that has to wait for approval is the error [`ApprovalNeeded`](crate::ApprovalNeeded) with its state, which
/// [`ReAct::resume`](crate::ReAct::resume) of that agent continues.
///
/// Programs of several types are mixed by [`Module::boxed`]. One program on many inputs is
/// [`Module::batch`](dspy_core::program::Module::batch); [`pairs`](Self::pairs) gives each program an input of its own.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::Module;
/// use dspy_core::signature::Values;
/// use dspy_strategies::Parallel;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let model = |reply: &str| Lm::scripted([format!("[[ ## mood ## ]]\n{reply}")]);
/// let mood = DynPredict::new("text -> mood".parse()?);
/// let moods = Parallel::new([mood.clone().with_lm(model("calm")), mood.with_lm(model("glad"))]);
/// let results = moods.call(Values::from_iter([("text".to_owned(), "Home at last.".into())])).await?;
/// let moods: Vec<_> = results.iter().flatten().map(|mood| mood["mood"].clone()).collect();
/// assert_eq!(moods, ["calm", "glad"]);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Parallel<M> {
    modules: Vec<M>,
    concurrency: usize,
}

impl<M: Module> Parallel<M> {
    /// Creates the strategy.
    pub fn new(modules: impl IntoIterator<Item = M>) -> Self {
        Parallel { modules: modules.into_iter().collect(), concurrency: IN_FLIGHT }
    }

    /// Sets the maximum number of programs in flight. Default: 16.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Runs each program on an input of its own, in the order of the programs. The result is a list as that of a call.
    ///
    /// # Errors
    /// If there are not as many inputs as programs. None runs then.
    pub async fn pairs(
        &self,
        inputs: impl IntoIterator<Item = M::Input>,
    ) -> Result<Vec<Result<Prediction<M::Output>>>> {
        let inputs: Vec<_> = inputs.into_iter().collect();
        let (programs, given) = (self.modules.len(), inputs.len());
        if given != programs {
            return Err(Error::other(format!("{given} inputs for {programs} programs; each takes one")));
        }
        // Collected, so that the future does not depend on the type of the iterator.
        let calls = self.modules.iter().zip(inputs).map(|(module, input)| hold_trace(module.call(input)));
        let calls: Vec<_> = calls.collect();
        let mut calls = stream::iter(calls).buffered(self.concurrency);
        let mut results = Vec::new();
        while let Some((result, trace)) = calls.next().await {
            trace.keep();
            results.push(result);
        }
        Ok(results)
    }
}

impl<M: Module<Input: Clone>> Module for Parallel<M> {
    type Input = M::Input;
    type Output = Vec<Result<Prediction<M::Output>>>;

    async fn forward(&self, input: M::Input) -> Result<Prediction<Self::Output>> {
        let inputs = vec![input; self.modules.len()];
        Ok(Prediction::new(self.pairs(inputs).await?))
    }
}

impl<M: HasPredictors> HasPredictors for Parallel<M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.field("modules", &self.modules);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("modules", &mut self.modules);
    }
}

impl<N: Depth, M: HasShape<N>> HasShape<N> for Parallel<M> {
    const SHAPE: &'static ProgramShape =
        &ProgramShape::Fields(&[("modules", &ProgramShape::Items(None, M::SHAPE))]);
}
