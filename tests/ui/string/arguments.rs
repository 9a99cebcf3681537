fn main() {
    let _ = dspy::predict!("question -> answer: list[str, int]");
}
