dspy::sig!(pub Qa = "question -> answer");

fn main() {
    let _ = dspy::predict!(question);
    let _ = dspy::predict!("question -> answer", "Answer.", 3);
    let _ = dspy::sig!("question -> answer" 3 4);
}
