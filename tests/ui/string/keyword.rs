fn main() {
    let _ = dspy::predict!("self -> answer");
}
