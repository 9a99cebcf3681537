//! Constraints over a whole program: the searches of a question must differ, and its answer should be brief.
//!
//! Run: `cargo run --example assertions`
//! Needs: nothing. Without a key the model is a script in this file; with `OPENAI_API_KEY`, … or
//! `DSPY_MODEL=provider/model` the same program runs on that model.

use dspy::lm::{Completion, Request, ScriptedLm};
use dspy::prelude::*;
use dspy::strategies::{Assert, Backtrack, Suggest};

/// Write a search query that finds what is still missing.
#[signature]
struct NextQuery {
    #[input]
    question: String,
    /// What was found so far.
    #[input]
    found: Vec<String>,
    #[output]
    query: String,
}

/// Answer the question from what was found.
#[signature]
struct Conclude {
    #[input]
    question: String,
    #[input]
    found: Vec<String>,
    #[output]
    answer: String,
}

#[module]
struct TwoHops {
    next_query: Predict<NextQuery>,
    answer: ChainOfThought<Conclude>,
    #[module(skip)]
    index: Bm25,
}

impl Module for TwoHops {
    type Input = String;
    type Output = ConcludeOutput;

    async fn forward(&self, question: String) -> dspy::Result<Prediction<ConcludeOutput>> {
        let (mut queries, mut found): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let query = self.next_query.call((question.clone(), found.clone())).await?.into_output().query;
            let is_new = !queries.contains(&query);
            let message = format!("search for something else than {query:?}, which was searched for already");
            Assert::new(is_new, message).of(&self.next_query).check()?;
            found.extend(self.index.search(&query, 1).await?.into_texts());
            queries.push(query);
        }
        let answer = self.answer.call((question, found)).await?;
        let words = answer.answer.split_whitespace().count();
        Suggest::new(words <= 3, "answer in at most three words").of(&self.answer).check()?;
        Ok(answer)
    }
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    // The built-in model does not write search queries.
    let lm = if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm };
    println!("model        {}", lm.id());
    dspy::configure(lm);

    let index = Bm25::new([
        "The novel Heidi was written by Johanna Spyri.",
        "Johanna Spyri was born in Hirzel, a village near Zurich.",
        "The novel Effi Briest was written by Theodor Fontane.",
    ]);
    let program = TwoHops { next_query: Predict::new(), answer: ChainOfThought::new(), index };
    let question = "Where was the author of Heidi born?".to_owned();

    match program.call(question.clone()).await {
        Ok(answer) => println!("alone        {}", answer.answer),
        Err(error) => println!("alone        {error}"),
    }
    let answer = Backtrack::new(program).max_backtracks(2).call(question).await?;
    println!("backtracking {}", answer.answer);
    println!(
        "             {} backtracks, {} calls",
        answer.added_as::<usize>("backtracks")?,
        answer.usage().requests
    );
    Ok(())
}

/// Plays a model that repeats its query and answers at length, unless it is told not to.
fn script(request: &Request) -> Completion {
    let system = request.messages.first().map(|message| message.text().into_owned()).unwrap_or_default();
    let user = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    let text = if system.contains("`query`") {
        let told = system.contains("search for something else");
        let query =
            if told && user.contains("Spyri") { "Johanna Spyri born" } else { "author of the novel Heidi" };
        format!("[[ ## query ## ]]\n{query}")
    } else {
        let told = system.contains("at most three words");
        let answer =
            if told { "In Hirzel." } else { "The author of the novel was born in the village of Hirzel." };
        format!("[[ ## reasoning ## ]]\nHeidi is by Spyri.\n\n[[ ## answer ## ]]\n{answer}")
    };
    Completion::new(text)
}
