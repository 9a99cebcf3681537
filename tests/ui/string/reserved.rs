fn main() {
    let _ = dspy::predict!("question -> completed");
}
