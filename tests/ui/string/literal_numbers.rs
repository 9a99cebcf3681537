fn main() {
    let _ = dspy::predict!("question -> answer: Literal[1, 2]");
}
