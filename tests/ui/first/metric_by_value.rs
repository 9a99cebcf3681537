use dspy::optimizers::BootstrapFewShot;
use dspy::prelude::*;

sig!(Qa: "question -> answer");

async fn evaluate(rows: Vec<Qa>) {
    let metric = |example: Qa, output: QaOutput| example.answer == output.answer;
    let _ = Evaluate::new(metric).run(&Predict::<Qa>::new(), &rows).await;
    let optimizer = BootstrapFewShot::builder().metric(metric).build();
    let _ = optimizer.compile(Predict::<Qa>::new(), &rows).await;
}

fn main() {}
