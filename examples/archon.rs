//! A composition of strategies: several models generate answers, a critic judges each, a ranker chooses the best, and a
//! fuser writes one answer of them.
//!
//! Run: `cargo run --example archon`
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` all parts run on that model.
//!
//! Source of the architecture: Saad-Falcon et al., "Archon: An Architecture Search Framework for Inference-Time Techniques"
//! (2024).

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::Parallel;

/// Answer the question.
#[signature]
struct Question {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// Say what is right and what is wrong or missing in the answer.
#[signature]
struct Judge {
    #[input]
    question: String,
    #[input]
    answer: String,
    #[output]
    critique: String,
    /// How good the answer is.
    #[output]
    #[check(self.quality <= 10, "at most 10")]
    quality: u8,
}

/// Write one answer that keeps what is right in the answers and leaves out what the critiques object to.
#[signature]
struct Fuse {
    #[input]
    question: String,
    /// Answers, the best one first, each with its critique.
    #[input]
    answers: Vec<String>,
    #[output]
    answer: String,
}

/// Generate, critique, rank, fuse.
#[module]
struct Archon {
    generate: Parallel<Predict<Question>>,
    critique: Predict<Judge>,
    fuse: Predict<Fuse>,
    #[module(skip)]
    kept: usize,
}

impl Module for Archon {
    type Input = QuestionInput;
    type Output = FuseOutput;

    async fn forward(&self, input: QuestionInput) -> dspy::Result<Prediction<FuseOutput>> {
        let question = input.question.clone();
        let answers = self.generate.call(input).await?.into_output();
        let answers: Vec<String> =
            answers.into_iter().flatten().map(|answer| answer.into_output().answer).collect();

        let judged = self.critique.batch(answers.iter().map(|answer| (question.clone(), answer.clone())));
        let judged = judged.concurrency(8).collect().await;
        let mut ranked = Vec::new();
        for (answer, critique) in answers.into_iter().zip(judged) {
            ranked.push((answer, critique?.into_output()));
        }
        ranked.sort_by_key(|(_, critique)| std::cmp::Reverse(critique.quality));
        ranked.truncate(self.kept);

        let shown =
            ranked.into_iter().map(|(answer, judged)| format!("{answer}\nCritique: {}", judged.critique));
        self.fuse.call((question, shown.collect::<Vec<_>>())).await
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not judge answers.
    let lm = if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm };
    println!("model    {}", lm.id());

    // Generators of different characters; each could have a model of its own by `with_lm`.
    let generators = ["Answer in one sentence.", "Answer with an example.", "Answer as to a child."];
    let generate = generators.map(|instruction| Predict::<Question>::new().with_instruction(instruction));
    let mut program =
        Archon { generate: Parallel::new(generate), critique: Predict::new(), fuse: Predict::new(), kept: 2 };
    program.set_lm(lm);

    let answer = program.call("What is a borrow checker?".to_owned()).await?;
    println!("answer   {}", answer.answer);
    println!("calls    {}", answer.usage().requests);
    for (path, _) in program.named_predictors() {
        println!("part     {path}");
    }
    // The whole is a module, and takes the place of one in any strategy.
    let best = BestOfN::new(program, 2, |_: &QuestionInput, answer: &FuseOutput| {
        answer.answer.contains("for example")
    });
    println!("reward   {}", best.call("What is a lifetime?".to_owned()).await?.added_as::<f64>("reward")?);
    Ok(())
}

/// Plays a model.
fn script(request: &Request) -> Completion {
    let system = request.messages.first().map(|message| message.text().into_owned()).unwrap_or_default();
    let user = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    let example = user.contains("for example") || system.contains("with an example");
    Completion::new(if system.contains("`quality`") {
        let (critique, quality) =
            if example { ("An example helps.", 9) } else { ("It lacks an example.", 5) };
        format!("[[ ## critique ## ]]\n{critique}\n\n[[ ## quality ## ]]\n{quality}")
    } else if example {
        "[[ ## answer ## ]]\nIt refuses a use after a move, for example of a string that was sent away."
            .to_owned()
    } else {
        "[[ ## answer ## ]]\nIt refuses programs whose references may dangle.".to_owned()
    })
}
