use dspy::prelude::*;

sig!(Qa: "question -> answer");

async fn evaluate(rows: Vec<Qa>, judge: Lm) {
    let metric = async move |_: &Qa, output: &QaOutput| judge.ask(output.answer.clone()).await.is_ok();
    let _ = Evaluate::new(metric).run(&Predict::<Qa>::new(), &rows).await;
}

fn main() {}
