fn main() {
    dspy::predict!("text -> level: Literal['high', 'low', 'hiGh'], ok: bool");
}
