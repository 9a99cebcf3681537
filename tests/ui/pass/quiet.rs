//! No warning comes out of the macros, whatever the user asks for.
#![deny(warnings, missing_docs, unreachable_pub, missing_debug_implementations, unused, private_interfaces)]
#![deny(private_bounds, trivial_casts, unused_qualifications, unused_lifetimes, single_use_lifetimes, let_underscore_drop)]

use dspy::prelude::*;

mod inner {
    use dspy::prelude::*;

    #[field_type]
    #[derive(Debug)]
    pub(super) struct Citation {
        pub(super) url: String,
    }

    /// Answer.
    #[signature]
    #[demo(question = "Why?", citations = vec![], answer = "So.", r#type = 3)]
    #[derive(Debug)]
    pub(super) struct Qa {
        #[input]
        question: String,
        #[output]
        citations: Vec<Citation>,
        #[output]
        #[schemars(length(min = 1))]
        pub(super) answer: String,
        #[hint]
        level: Option<u8>,
        #[output]
        r#type: u8,
    }

    dspy::sig!(pub(super) Named: "a -> b: Literal['x']");
}

/// Public.
#[signature]
#[derive(Debug)]
#[check(self.text_2.len() < 9 || self.text_2.is_empty(), "short")]
pub struct Public {
    /// In.
    #[input]
    pub text: String,
    /// Out.
    #[output]
    #[check((self.text_2.len() < 9), "short")]
    #[check(soft, true, "fine")]
    pub text_2: String,
}

dspy::sig!(#[derive(Debug)] pub OfString: "text -> more: Literal['a', 'b'], Score: float");

/// A tool.
#[tool]
pub async fn look_up(
    /// The words.
    query: String,
    #[tool(default = 3)]
    #[schemars(range(max = 9))]
    limit: u8,
    cx: &ToolContext,
) -> Result<String, String> {
    Ok(format!("{query} {limit} {:?}", cx.call_id()))
}

/// State.
#[derive(Debug)]
pub struct Shared(u8);

#[tool]
impl Shared {
    /// A method.
    #[tool(approval)]
    pub async fn value(&self) -> u8 {
        self.0
    }

    /// Another one.
    fn nothing(&self, _cx: ToolContext) {}
}

/// A program.
#[module]
#[derive(Debug)]
pub struct Program<M> {
    step: Predict<Public>,
    inner: M,
    #[module(skip)]
    citation: Option<std::sync::Arc<inner::Citation>>,
}

fn main() {
    let program = Program { step: Predict::new(), inner: dspy::predict!("a -> b"), citation: None };
    println!("{program:?} {:?}", program.citation);
    let qa = inner::QaInput::from("Why?");
    println!("{qa:?}");
    println!("{:?} {:?}", Predict::<inner::Qa>::new(), Predict::<inner::Named>::new());
    println!("{}", inner::NamedB::X);
}
