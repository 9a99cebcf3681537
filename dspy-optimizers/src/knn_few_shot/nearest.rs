//! `NearestDemos`: a program that shows only the demonstrations nearest to its input.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use dspy_core::lm::Embedder;
use dspy_core::predict::{Prediction, Predictor};
use dspy_core::program::{
    HasPredictors, HasShape, Module, ProgramShape, RunningTrace, Visitor, VisitorMut, register_copy,
};
use dspy_core::signature::Demo;
use dspy_core::signature::shape::Depth;
use dspy_core::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::embedder::remembering;
use super::index::{Index, Query};

/// A program whose predictors hold many demonstrations, of which each call shows the `k` nearest to its input.
///
/// The demonstrations of each predictor are the candidates; set them with
/// [`KnnFewShot`](crate::KnnFewShot), another optimizer, or `set_demos`. They are compared with the input by
/// BM25, which needs no model, or by the vectors of an [`embedder`](Self::embedder). The nearest is shown last,
/// next to the input. A predictor with at most `k` demonstrations shows all of them.
///
/// The predictors have the paths that they have in the program itself, so the program with and without this
/// type has the same saved state, for Python DSPy too: that of all candidates.
///
/// The index is built by the first call after a change of the demonstrations, and shared by clones.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::{HasPredictors, Module};
/// # use dspy_core::signature::{Demo, Values};
/// use dspy_optimizers::NearestDemos;
/// # fn values(text: &str, mood: Option<&str>) -> Values {
/// #     let mood = mood.map(|mood| ("mood".to_owned(), mood.into()));
/// #     [("text".to_owned(), text.into())].into_iter().chain(mood).collect()
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let demos = [("A fine lamp", "good"), ("Rain all week", "bad"), ("More rain and wind", "bad")];
/// # let demos = demos.map(|(text, mood)| Demo::new(values(text, Some(mood))));
/// # program.for_each_predictor(|_, predictor| predictor.set_demos(demos.to_vec()));
/// let program = NearestDemos::new(program).k(2); // with its demonstrations
/// let answer = program.call(values("It will rain", None)).await?;
/// assert_eq!(answer["mood"], "bad");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
pub struct NearestDemos<P> {
    program: P,
    k: usize,
    embedder: Option<Embedder>,
    /// Whether demonstrations about the input itself are not shown.
    leave_out: bool,
    index: Arc<Mutex<Latest>>,
}

/// The index for inputs with the fields of the last call.
#[derive(Default)]
struct Latest {
    names: Vec<String>,
    index: Arc<OnceCell<Index>>,
}

impl<P> NearestDemos<P> {
    /// Wraps a program.
    pub fn new(program: P) -> Self {
        NearestDemos { program, k: 3, embedder: None, leave_out: false, index: Arc::default() }
    }

    /// Sets the number of demonstrations that each predictor shows, 3 by default.
    #[must_use]
    pub fn k(mut self, demos: usize) -> Self {
        self.k = demos;
        self.index = Arc::default();
        self
    }

    /// Sets a model whose vectors are compared, by the cosine of their angle. Each call embeds its input. Up to
    /// 256 MiB of vectors of demonstrations and inputs are kept in memory, besides those of the index. In an
    /// optimization, these requests are recorded in its journal, paid from its budget and
    /// [reported](crate::Report::spend) as of [`CallKind::Embedding`](crate::CallKind); elsewhere, a budget does not
    /// limit them. By default, texts are compared by BM25.
    #[doc(alias = "vectorizer")]
    #[must_use]
    pub fn embedder(mut self, embedder: Embedder) -> Self {
        self.embedder = Some(remembering(embedder));
        self.index = Arc::default();
        self
    }

    /// Returns the program with all demonstrations.
    pub fn program(&self) -> &P {
        &self.program
    }

    /// Returns the program with the setting that demonstrations about the input itself are not shown, for runs on
    /// the rows that the demonstrations are made of.
    pub(super) fn leaving_out(mut self) -> Self {
        self.leave_out = true;
        self.index = Arc::default();
        self
    }

    /// Returns the number of demonstrations of a predictor in a prompt.
    pub(super) fn shown(&self) -> usize {
        self.k
    }

    /// Returns the index for inputs with these fields; it may not be built yet.
    fn index(&self, names: &[String]) -> Arc<OnceCell<Index>> {
        let mut latest = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.names != names {
            *latest = Latest { names: names.to_vec(), index: Arc::default() };
        }
        latest.index.clone()
    }
}

impl<P: Module<Input: Serialize> + Clone> NearestDemos<P> {
    /// Returns a clone of the program with the demonstrations for this input, the nearest last.
    ///
    /// # Errors
    /// If the input has no JSON form, or the embedder fails.
    pub async fn nearest(&self, input: &P::Input) -> Result<P> {
        let input = serde_json::to_value(input)
            .map_err(|error| Error::other(format!("the input has no JSON form: {error}")))?;
        let query = Query::of(input);
        let mut program = self.program.clone();
        let few = |predictor: &Predictor| predictor.demos().len() <= self.k;
        if !self.leave_out && program.named_predictors().iter().all(|(_, predictor)| few(predictor)) {
            return Ok(program);
        }
        let names = query.names();
        let cell = self.index(&names);
        let all = if self.leave_out { 0 } else { self.k };
        let build = || Index::new(&self.program, &names, all, self.embedder.as_ref());
        let index = cell.get_or_try_init(build).await?;
        // A training row does not show its own answer.
        let is_traced = RunningTrace::current().is_some();
        let others = if self.leave_out || is_traced { omitted(&self.program, &query) } else { Vec::new() };
        let omitted = if self.leave_out { &others[..] } else { &[] };
        let nearest = index.nearest(&query.text, self.k, omitted).await?;
        let same = self.leave_out || others.iter().all(Vec::is_empty);
        let lessons =
            if same { nearest.clone() } else { index.nearest(&query.text, self.k, &others).await? };
        let mut nearest = nearest.into_iter().zip(lessons);
        program.for_each_predictor(|_, predictor| {
            if let Some((Some(shown), Some(lesson))) = nearest.next() {
                let chosen = |places: &[usize]| -> Arc<[Demo]> {
                    let all = predictor.demos();
                    places.iter().filter_map(|at| all.get(*at).cloned()).collect()
                };
                let demos = chosen(&shown);
                let lesson = if lesson == shown { demos.clone() } else { chosen(&lesson) };
                predictor.select_demos(demos, lesson);
            }
        });
        Ok(program)
    }
}

/// Returns the indices of the demonstrations about an input, by predictor in the order of the program.
fn omitted(program: &impl HasPredictors, query: &Query) -> Vec<Vec<usize>> {
    let of = |predictor: &Predictor| {
        let demos = predictor.demos().iter().enumerate();
        demos.filter(|(_, demo)| query.is_of(demo, predictor.spec())).map(|(at, _)| at).collect()
    };
    program.named_predictors().iter().map(|(_, predictor)| of(predictor)).collect()
}

impl<P: HasPredictors> HasPredictors for NearestDemos<P> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        let embedder = self.embedder.as_ref().map(|embedder| {
            let (.., dimensions) = embedder.requests();
            let named =
                [Some(embedder.id().into()), Some(embedder.endpoint().into()), dimensions.map(Value::from)];
            named.into_iter().flatten().collect::<Value>()
        });
        let mut settings = vec![("k", self.k.into()), ("embedder", json!(embedder))];
        if self.leave_out {
            settings.push(("leave_out", true.into()));
        }
        visitor.settings("NearestDemos", settings);
        visitor.showing(self.k, &self.program);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        // The demonstrations may change; clones keep their index.
        self.index = Arc::default();
        self.program.visit_mut(visitor);
    }
}

#[doc(hidden)]
impl<N: Depth, P: HasShape<N>> HasShape<N> for NearestDemos<P> {
    const SHAPE: &'static ProgramShape = P::SHAPE;
}

impl<P> Module for NearestDemos<P>
where
    P: Module<Input: Serialize + Sync> + Clone,
{
    type Input = P::Input;
    type Output = P::Output;

    async fn forward(&self, input: P::Input) -> Result<Prediction<P::Output>> {
        let program = self.nearest(&input).await?;
        register_copy(&self.program, &program);
        program.call(input).await
    }
}

impl<P: Clone> Clone for NearestDemos<P> {
    fn clone(&self) -> Self {
        NearestDemos {
            program: self.program.clone(),
            k: self.k,
            embedder: self.embedder.clone(),
            leave_out: self.leave_out,
            index: self.index.clone(),
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for NearestDemos<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearestDemos")
            .field("program", &self.program)
            .field("k", &self.k)
            .field("embedder", &self.embedder)
            .finish_non_exhaustive()
    }
}
