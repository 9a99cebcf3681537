use dspy::prelude::*;

#[field_type]
enum Level {
    High,
    #[serde(rename = "HIGH")]
    Highest,
}

#[field_type]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Yes,
    YES,
    #[serde(alias = "Yes", alias = "never")]
    No,
}

#[field_type]
#[serde(untagged)]
enum Untagged {
    One(String),
    ONE(u8),
}

#[field_type]
enum Conditional {
    #[cfg(unix)]
    One,
    #[cfg(not(unix))]
    ONE,
    #[serde(skip)]
    Two,
    TWO,
}

fn main() {}
