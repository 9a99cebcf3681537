//! Programs with strategies inside, optimized end to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::lm::Request;
use dspy::optimizers::proposer::TextRequest;
use dspy::optimizers::{BootstrapFewShot, Budget, Data, Gepa};
use dspy::prelude::*;
use dspy::strategies::{Assert, Backtrack};

/// Say how many there are.
#[signature]
#[derive(Clone)]
struct Stock {
    #[input]
    animal: String,
    #[output]
    count: i64,
}

#[field_type]
struct Animal {
    animal: String,
}

const ANIMALS: [&str; 8] = ["owl", "cat", "hen", "cow", "bee", "ape", "eel", "fox"];

fn rows() -> Vec<Stock> {
    let rows = ANIMALS.iter().zip(3..);
    rows.map(|(animal, count)| Stock { animal: (*animal).to_owned(), count }).collect()
}

fn count_of(animal: &str) -> Option<i64> {
    rows().into_iter().find(|row| row.animal == animal).map(|row| row.count)
}

fn text(request: &Request) -> String {
    request.messages.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>().join("\n")
}

/// Returns what follows the last `[[ ## name ## ]]`, up to the end of the line.
fn last_section(text: &str, name: &str) -> String {
    let marker = format!("[[ ## {name} ## ]]\n");
    let at = text.rfind(&marker).map_or(text.len(), |at| at + marker.len());
    text[at..].lines().next().unwrap_or_default().to_owned()
}

fn exact(row: &Stock, output: &StockOutput) -> (bool, &'static str) {
    (row.count == output.count, "look it up with the tool")
}

/// Adds the feedback of the first failure to the text.
async fn learn(request: TextRequest) -> dspy::Result<Vec<String>> {
    let failed = request.records.iter().find(|record| record.score < Some(1.0));
    let lesson = failed.and_then(|record| record.feedback.clone()).unwrap_or_default();
    Ok(vec![format!("{} Remember: {lesson}.", request.current)])
}

/// A model that guesses unless it is told to use the tool.
fn agent_lm() -> Lm {
    Lm::from_fn(|request: Request| async move {
        let text = text(&request);
        let call = if let Some(result) = text.rsplit_once("-> ").filter(|_| !text.ends_with("(nothing yet)"))
        {
            let digits: String = result.1.chars().take_while(char::is_ascii_digit).collect();
            format!(r#"{{"name": "finish", "arguments": {{"count": {digits}}}}}"#)
        } else if text.contains("look it up") {
            let animal = last_section(&text, "animal");
            format!(r#"{{"name": "count", "arguments": {{"animal": "{animal}"}}}}"#)
        } else {
            r#"{"name": "finish", "arguments": {"count": 0}}"#.to_owned()
        };
        format!("[[ ## next_thought ## ]]\nSo.\n\n[[ ## tool_calls ## ]]\n[{call}]")
    })
}

fn agent() -> ReAct<Stock> {
    let count = Tool::new("count", "Counts.", |Animal { animal }: Animal| async move {
        count_of(&animal).ok_or(format!("no {animal}"))
    });
    let mut agent = ReAct::new([count]).unwrap();
    agent.set_lm(agent_lm());
    agent
}

#[tokio::test]
async fn an_agent_learns_to_use_its_tool() {
    let rows = rows();
    let optimizer = Gepa::builder().metric(exact).proposer(learn).budget(Budget::calls(400)).build();
    let data = Data::new(&rows[..4]).valset(&rows[4..]);
    let optimized = optimizer.compile(agent(), data).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.trials[0].score, report.score()), (Some(0.0), Some(1.0)), "{report}");
    assert_eq!(optimized.call("fox").await.unwrap().count, 10);

    let dir = std::env::temp_dir().join(format!("dspy-agent-{}.json", std::process::id()));
    optimized.save(&dir).unwrap();
    let loaded = agent().load(&dir).unwrap();
    std::fs::remove_file(&dir).unwrap();
    assert_eq!(loaded.call("fox").await.unwrap().count, 10);
}

#[tokio::test]
async fn a_program_with_refine_inside_learns() {
    // The model answers right if it is advised, by Refine or by its instruction; with the latter at once.
    let lm = Lm::from_fn(|request: Request| async move {
        let text = text(&request);
        if text.contains("[[ ## discussion ## ]]") {
            return "[[ ## discussion ## ]]\n.\n\n[[ ## advice ## ]]\n{\"self\": \"count\"}".to_owned();
        }
        let right = text.contains("look it up") || text.contains("Advice from earlier attempts");
        let count = if right { count_of(&last_section(&text, "animal")).unwrap_or(-1) } else { 0 };
        format!("[[ ## count ## ]]\n{count}")
    });
    let mut program =
        Refine::new(Predict::<Stock>::new(), 2, |_: &StockInput, output: &StockOutput| output.count > 0);
    program.set_lm(lm);
    let before = program.call("owl").await.unwrap();
    assert_eq!((before.count, before.usage().requests), (3, 3));

    let rows = rows();
    // A run that needed advice is right, but not good enough.
    let metric = |row: &Stock, made: &Prediction<StockOutput>| {
        let right = row.count == made.count;
        let score = if right { 1.0 / made.usage().requests.max(1) as f64 } else { 0.0 };
        (score, "look it up with the tool")
    };
    let optimizer = Gepa::builder().metric(metric).proposer(learn).budget(Budget::calls(800)).build();
    let data = Data::new(&rows[..4]).valset(&rows[4..]);
    let optimized = optimizer.compile(program, data).await.unwrap();
    let after = optimized.call("owl").await.unwrap();
    assert_eq!((after.count, after.usage().requests), (3, 1), "{}", optimized.report());
    let parameters = &optimized.report().best_trial().unwrap().parameters;
    assert!(parameters["module"].instruction.contains("look it up"));
    assert!(!parameters["module"].instruction.contains("Advice"), "advice stays in its call");
}

/// A program whose answer has to be positive.
#[module]
struct Positive {
    count: Predict<Stock>,
}

impl Module for Positive {
    type Input = StockInput;
    type Output = StockOutput;
    async fn forward(&self, input: StockInput) -> dspy::Result<Prediction<StockOutput>> {
        let count = self.count.call(input).await?;
        Assert::new(count.count > 0, "it is positive").of(&self.count).check()?;
        Ok(count)
    }
}

#[tokio::test]
async fn assertions_filter_the_runs_that_become_demonstrations() {
    // Without demonstrations the model first answers -1, and then right for three animals only.
    let lm = Lm::from_fn(|request: Request| async move {
        let text = text(&request);
        let animal = last_section(&text, "animal");
        let told = text.contains("it is positive");
        let known = ["owl", "cat", "hen"].contains(&animal.as_str());
        let shown = text.matches("[[ ## count ## ]]\n").count() >= 3;
        let count = if (told && known) || shown { count_of(&animal).unwrap_or(-1) } else { -1 };
        format!("[[ ## count ## ]]\n{count}")
    });
    let mut program = Backtrack::new(Positive { count: Predict::new() });
    program.set_lm(lm);
    assert!(program.call("fox").await.is_err(), "the assertion never holds");
    let optimizer = BootstrapFewShot::builder()
        .metric(|row: &Stock, output: &StockOutput| row.count == output.count)
        .max_labeled_demos(0)
        .max_bootstrapped_demos(3)
        .build();
    let optimized = optimizer.compile(program, &rows()).await.unwrap();
    let parameters = &optimized.report().best_trial().unwrap().parameters;
    let demos = &parameters["module.count"].demos;
    assert_eq!(demos.len(), 3);
    assert!(demos.iter().all(|demo| demo.values["count"].as_i64() > Some(0)), "{demos:?}");
    assert_eq!(optimized.call("fox").await.unwrap().count, 10);
}
