fn main() {
    let _ = dspy::predict!("question -> answer: str | int");
}
