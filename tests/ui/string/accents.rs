fn main() {
    let _ = dspy::predict!("é -> a: strr");
}
