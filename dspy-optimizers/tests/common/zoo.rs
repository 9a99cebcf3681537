//! Models that know the sounds of animals or not, for tests of training.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Request, Response};
use dspy_core::program::HasPredictors as _;
use dspy_optimizers::Optimized;

use crate::common::{Parrot, TwoSteps};

/// A model that knows the sounds of all animals but owls.
pub struct Zoo {
    pub id: String,
    pub knows: bool,
    pub calls: Arc<AtomicUsize>,
}

pub fn zoo(id: &str, knows: bool) -> Lm {
    Lm::custom(Zoo { id: id.into(), knows, calls: Arc::default() })
}

impl LanguageModel for Zoo {
    fn id(&self) -> &str {
        &self.id
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let asked = request.messages.last().unwrap().text().into_owned();
            let field = if request.messages[0].text().contains("`answer`") { "answer" } else { "note" };
            let sounds = [("cow", "moo"), ("cat", "meow"), ("dog", "woof"), ("duck", "quack")];
            let sound =
                sounds.iter().find(|(animal, _)| asked.contains(animal)).map_or("silence", |(_, s)| *s);
            let value = match (field, self.knows) {
                ("answer", true) => sound,
                ("answer", false) => "silence",
                _ => "it is an animal",
            };
            Ok(Response::text(format!("[[ ## {field} ## ]]\n{value}\n\n[[ ## completed ## ]]")))
        })
    }
}

/// The two steps on these models.
pub fn program(note: &Lm, answer: &Lm) -> TwoSteps {
    let mut program = TwoSteps::new(&Parrot::new());
    program.for_each_predictor(|path, predictor| {
        predictor.set_lm(if path == "note" { note.clone() } else { answer.clone() });
    });
    program
}

pub fn models(optimized: &Optimized<TwoSteps>) -> Vec<String> {
    let predictors = optimized.named_predictors().into_iter();
    predictors.map(|(_, predictor)| predictor.lm().unwrap().id().to_owned()).collect()
}
