use dspy::prelude::*;

#[signature(optput = X)]
#[demo(question = "Why?")]
struct Qa {
    /// Answer.
    #[inptu]
    question: String,
    #[input]
    #[output]
    context: Vec<String>,
    score: f64,
    #[output]
    completed: bool,
    #[output]
    #[serde(flatten)]
    answer: String,
    #[output]
    #[serde(rename = "answer")]
    other: String,
}

fn main() {
    let predict = Predict::<Qa>::new();
    let _ = predict.render(("Why?", vec![]));
}
