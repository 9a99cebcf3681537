//! A crate that knows `dspy` by another name: every macro is told by `crate = ::lm`.

use lm::prelude::*;

/// A type of a field.
#[lm::field_type(crate = ::lm)]
#[derive(Debug, Clone, PartialEq)]
pub enum Mood {
    /// Everything is well.
    #[serde(alias = "happy")]
    Good,
    /// Not so well.
    Bad {
        /// Why.
        reason: String,
    },
}

/// Guess the mood.
#[lm::signature(crate = ::lm)]
#[derive(Debug)]
#[demo(text = "Hooray", mood = Mood::Good, sure = 1.0)]
#[check(self.sure > 0.0, "some certainty")]
pub struct Guess {
    /// What was written.
    #[input]
    pub text: String,
    /// The mood.
    #[output]
    pub mood: Mood,
    /// How sure the guess is.
    #[output]
    #[schemars(range(min = 0.0, max = 1.0))]
    #[check(self.sure <= 1.0, "at most 1")]
    pub sure: f64,
}

/// Returns the mood of a text.
#[lm::tool(crate = ::lm)]
#[allow(clippy::unused_async, reason = "tools may be async")]
pub async fn mood_of(#[tool(default)] text: String, #[schemars(range(max = 9))] depth: u8) -> Option<Mood> {
    (text.len() > usize::from(depth)).then_some(Mood::Good)
}

lm::sig!(crate = ::lm, pub Answer: "question, kind: Literal['short', 'long'] -> answer, score: Optional[float]");

/// A program.
#[lm::module(crate = ::lm)]
#[derive(Debug)]
pub struct Program<S: Signature> {
    guess: Predict<Guess>,
    other: ChainOfThought<S>,
}

/// One strategy of each macro that makes one, and a signature as data.
pub fn anonymous() -> (usize, usize, usize) {
    let predict = lm::predict!(crate = ::lm, "review -> stars: u8, tone: Literal['calm', 'loud']", "Rate.");
    let thought = lm::chain_of_thought!(crate = ::lm, "context: list[str], question -> answer");
    let data = lm::sig!(crate = ::lm, "question -> answer: Literal['yes', 'no']");
    let outputs = |predictors: &dyn Fn() -> usize| predictors();
    (
        outputs(&|| predict.predictor().spec().outputs().count()),
        outputs(&|| thought.named_predictors()[0].1.spec().outputs().count()),
        data.outputs().count(),
    )
}

impl<S: Signature> Program<S> {
    /// A program over this signature.
    pub fn new() -> Self {
        Program { guess: Predict::new(), other: ChainOfThought::new() }
    }
}

impl<S: Signature> Default for Program<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_macros_find_their_way() {
        assert_eq!(anonymous(), (2, 2, 1));
        let program = Program::<Answer>::new().clone();
        let paths: Vec<String> = program.named_predictors().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["guess", "other.predict"]);
        assert_eq!(AnswerKind::ALL.len(), 2);
        assert_eq!(Guess::spec().outputs().count(), 2);
    }
}
