//! The cost of strategies in calls and tokens beside `Predict`, and their accuracy, on 60 sums in words and a model that
//! errs.
//!
//! Run: `cargo run --example strategies_compared`
//! Needs: nothing. The model is a function in this file that adds wrongly in about four of ten samples, and less often if
//! it reasons; so the accuracies show how strategies use samples, not how good a real model is. With `OPENAI_API_KEY`, …
//! or `DSPY_MODEL=provider/model` that model is measured.

use dspy::evaluate::Evaluate;
use dspy::lm::{Completion, Request, ScriptedLm, Usage, track_usage};
use dspy::prelude::*;
use dspy::strategies::{Debate, Reflexion};
use dspy::{Rng, Seed};

/// Solve the problem.
#[signature]
#[derive(Clone)]
struct Problem {
    #[input]
    problem: String,
    #[output]
    total: i64,
}

/// A reward that knows no label: a total is at least as large as each number of the problem.
fn plausible(input: &ProblemInput, output: &ProblemOutput) -> bool {
    numbers(&input.problem).iter().all(|number| output.total >= *number)
        && output.total % 10 == last_digit(&input.problem)
}

fn numbers(text: &str) -> Vec<i64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The last digit of a sum is easily checked.
fn last_digit(problem: &str) -> i64 {
    numbers(problem).iter().map(|number| number % 10).sum::<i64>() % 10
}

fn rows() -> Vec<Problem> {
    let mut rng = Seed::new(7).rng();
    let mut row = |_: usize| {
        let [a, b, c] = [(); 3].map(|()| i64::try_from(10 + rng.below(80)).unwrap_or(10));
        let problem =
            format!("A shop sells {a} pears, {b} plums and {c} figs. How many fruits does it sell?");
        Problem { problem, total: a + b + c }
    };
    (0..60).map(&mut row).collect()
}

async fn measure<M>(name: &str, lm: &Lm, mut program: M) -> dspy::Result<()>
where
    M: Module<Input = ProblemInput, Output = ProblemOutput> + Clone + 'static,
{
    program.set_lm(lm.clone());
    let rows = rows();
    let evaluate = Evaluate::new(|row: &Problem, output: &ProblemOutput| row.total == output.total);
    let (evaluation, usage) = track_usage(evaluate.progress(false).run(&program, &rows)).await;
    let Usage { requests, prompt_tokens, completion_tokens, .. } = usage.total;
    let score = evaluation.map_err(dspy::Error::other)?.score().unwrap_or(0.0);
    let each = |total: u64| total as f64 / rows.len() as f64;
    println!(
        "{name:32} {:5.1} % {:6.2} calls {:7.0} tokens",
        100.0 * score,
        each(requests),
        each(prompt_tokens + completion_tokens)
    );
    Ok(())
}

#[tokio::main]
async fn main() -> dspy::Result<()> {
    let lm = Lm::from_env()?;
    let lm = if lm.id() == "builtin" { Lm::custom(ScriptedLm::from_fn(script)) } else { lm };
    println!("{} problems, for each, model {}", rows().len(), lm.id());
    let (predict, reason) = (Predict::<Problem>::new, ChainOfThought::<Problem>::new);
    measure("Predict", &lm, predict()).await?;
    measure("ChainOfThought", &lm, reason()).await?;
    measure("BestOfN, 5 samples", &lm, BestOfN::new(predict(), 5, plausible)).await?;
    measure("BestOfN, 5 samples, threshold", &lm, BestOfN::new(predict(), 5, plausible).threshold(1.0))
        .await?;
    measure("Refine, 3 attempts", &lm, Refine::new(predict(), 3, plausible)).await?;
    measure("Reflexion, 3 attempts", &lm, Reflexion::new(predict(), 3, plausible)).await?;
    measure("SelfConsistency, 5 samples", &lm, SelfConsistency::new(reason(), 5)).await?;
    measure("MultiChainComparison, 3", &lm, MultiChainComparison::<Problem>::new(3)?.over(reason())).await?;
    measure("Debate, 3 agents, 1 round", &lm, Debate::<Problem>::new(3, 1)?).await
}

/// Plays a model that adds wrongly, at random but the same for the same request.
fn script(request: &Request) -> Completion {
    let text = |index: usize| {
        request.messages.get(index).map(|message| message.text().into_owned()).unwrap_or_default()
    };
    let (system, user) = (text(0), text(request.messages.len() - 1));
    if system.contains("`advice`") {
        let advice = r#"{"self": "Add the tens and the units apart."}"#;
        return Completion::new(format!("[[ ## discussion ## ]]\nA slip.\n\n[[ ## advice ## ]]\n{advice}"));
    }
    if system.contains("`reflection`") {
        return Completion::new("[[ ## reflection ## ]]\nAdd the tens and the units apart.");
    }
    let problem = user.lines().find(|line| line.starts_with("A shop")).unwrap_or_default();
    let digest = request.digest().to_string();
    let seed = digest.bytes().fold(0u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng: Rng = Seed::new(seed).rng();
    let reasons = system.contains("`reasoning`") || system.contains("`rationale`");
    let careful = system.contains("tens and the units") || user.contains("answer");
    let errs = match (reasons, careful) {
        (false, false) => 0.4,
        (true, false) => 0.25,
        (_, true) => 0.15,
    };
    let slip = if rng.unit() < errs { [-10, -1, 1, 10][rng.below(4)] } else { 0 };
    let total = numbers(problem).iter().sum::<i64>() + slip;
    let thought = "I add the three numbers, first two of them and then the third.";
    let steps = match (system.contains("`rationale`"), reasons) {
        (true, _) => format!("[[ ## rationale ## ]]\n{thought}\n\n"),
        (false, true) => format!("[[ ## reasoning ## ]]\n{thought}\n\n"),
        (false, false) => String::new(),
    };
    Completion::new(format!("{steps}[[ ## total ## ]]\n{total}"))
}
