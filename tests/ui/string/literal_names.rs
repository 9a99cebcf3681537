fn main() {
    let _ = dspy::predict!("question -> answer: Literal['+', '-'], tone: Literal['a b', 'a-b']");
}
