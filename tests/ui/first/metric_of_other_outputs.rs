use dspy::prelude::*;

sig!(Qa: "question -> answer");
sig!(Other: "question -> answer");

async fn evaluate(rows: Vec<Qa>) {
    let metric = |example: &Qa, output: &OtherOutput| example.answer == output.answer;
    let _ = Evaluate::new(metric).run(&Predict::<Qa>::new(), &rows).await;
}

fn main() {}
