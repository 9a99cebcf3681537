dspy::sig!(Qa: "
    question,
    context: list[str]
    ->
    answer: flaot
");

fn main() {}
