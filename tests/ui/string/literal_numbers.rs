fn main() {
    let _ = dspy::predict!("question -> answer: Literal[1, 2.5], other: Literal['a', None], same: Literal[1, '1']");
}
