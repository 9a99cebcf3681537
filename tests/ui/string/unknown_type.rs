fn main() {
    let _ = dspy::predict!("question -> answer: strr");
}
