fn main() {
    let _ = dspy::predict!("question -> question");
}
