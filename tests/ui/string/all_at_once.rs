fn main() {
    let _ = dspy::predict!("question: strr, , 3 -> question, answer: list[itn], completed");
}
