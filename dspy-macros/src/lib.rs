//! The procedural macros of `dspy`. Use them through `dspy`, which re-exports them.
//!
//! Every macro parses the user's code into a model, collecting all errors, and then expands the model into
//! data and thin impls. After an error, the expansion still defines the items that other code refers to, so
//! that one mistake is one message.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod docs;
mod embedded;
mod errors;
mod field_type;
mod krate;
mod module;
mod signature;
#[cfg(test)]
mod snapshots;
mod string;
mod tool;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proc_macro2::TokenStream;
use quote::quote;

/// Turns a struct into a signature: a typed task for a language model.
///
/// The doc comment of the struct is the instruction. Each field has a role, and its doc comment is its
/// description:
///
/// - `#[input]`: passed to the model,
/// - `#[output]`: requested from the model,
/// - `#[hint]`: visible to metrics and optimizers only.
///
/// ```
/// use dspy::prelude::*;
///
/// /// Answer the question in one sentence.
/// #[signature]
/// #[demo(question = "What is the capital of France?", answer = "Paris.", confidence = 1.0)]
/// pub struct Qa {
///     #[input]
///     pub question: String,
///     #[output]
///     pub answer: String,
///     /// How sure the answer is.
///     #[output]
///     #[schemars(range(min = 0.0, max = 1.0))]
///     pub confidence: f64,
/// }
///
/// # fn main() {
/// let input = QaInput::from("What is the capital of Peru?");
/// assert_eq!(Qa::spec().outputs().count(), 2);
/// # }
/// ```
///
/// The struct itself remains, a labelled example with all fields. The macro adds `QaInput`, `QaOutput` and
/// `QaPartial` (the outputs of an unfinished reply), with `Clone`, `Debug` and `PartialEq` if the field types
/// have them, and conversions into `QaInput`: from the bare value of a single input or a tuple of several,
/// and from a `Qa`.
///
/// # On the struct
/// - `#[demo(field = value, …)]`, repeatable: a demonstration, checked by the compiler. It has every input
///   and output and may have `reasoning`.
/// - `#[serde(rename_all = "…")]`, also as `#[schemars(…)]`: the case of field names in prompts.
/// - `#[check(expr, "why")]`, repeatable: a rule over several outputs, see below.
/// - `#[signature(input = Path)]`, `#[signature(output = Path)]`: use an existing struct, such as the output
///   of another signature, instead of a new one. The fields must be the same.
/// - `#[signature(crate = ::path)]`: the path of `dspy` if it has another name. `extern crate path as dspy;`
///   in the root of the crate sets it for all macros.
///
/// # On a field
/// - `#[serde(rename = "…")]`, `#[serde(alias = "…")]`, `#[serde(default)]`, `#[serde(default = "path")]`. An
///   alias is accepted in data and in replies; prompts do not mention it.
/// - `#[schemars(…)]`: constraints such as `range`, `length` and `regex`, with their meaning in schemars.
/// - `#[check(expr, "why")]` on an output, repeatable: a rule about it.
///
/// # Checks
/// A check is a Rust expression of type `bool` over `self`, the outputs, and its reason. The reasons of
/// checks are part of the prompt and of the JSON Schema. When a reply fails checks, the model is re-prompted
/// with the reasons of all that fail, as often as for a reply that cannot be read; then the call fails with a
/// `ParseError` that holds the reply. Checks marked `soft` are only reported, by `Prediction::failed_checks`.
/// A check that panics is `Error::Check`. A streamed reply may be refused early by a hard check that depends
/// on its own field alone.
///
/// ```
/// use dspy::prelude::*;
///
/// /// Summarise the article.
/// #[signature]
/// #[check(self.summary.len() < 20 * self.keywords.len().max(10), "a long summary has many keywords")]
/// struct Summarise {
///     #[input]
///     article: String,
///     #[output]
///     #[check(self.summary.ends_with('.'), "the summary ends with a full stop")]
///     #[check(soft, !self.summary.contains('!'), "the tone is calm")]
///     summary: String,
///     #[output]
///     keywords: Vec<String>,
/// }
///
/// # async fn example() -> dspy::Result<()> {
/// let answer = Predict::<Summarise>::new().call("It was announced that …").await?;
/// for soft in answer.failed_checks() {
///     eprintln!("{soft}"); // `summary`: the tone is calm
/// }
/// # Ok(())
/// # }
///
/// // The same rules on any output, as in a metric.
/// # fn main() -> dspy::Result<()> {
/// let output = SummariseOutput { summary: "At last!".into(), keywords: vec![] };
/// let failed: Vec<_> = Summarise::check(&output)?.iter().map(|check| check.why()).collect();
/// assert_eq!(failed, ["the summary ends with a full stop", "the tone is calm"]);
/// # Ok(())
/// # }
/// ```
///
/// # Derives
/// Place them below `#[signature]`. If `Serialize` or `Deserialize` is among them, the macro does not
/// generate it.
#[proc_macro_attribute]
pub fn signature(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("#[signature]", || signature::expand(args.into(), item.into()))
}

/// Makes the predictors of a struct's fields known to optimizers, saving and tracing.
///
/// Every field must be a sub-module, unless it is marked with `#[module(skip)]`.
///
/// ```
/// # use std::sync::Arc;
/// use dspy::prelude::*;
/// # sig!(GenerateQuery: "question -> query");
/// # sig!(GenerateAnswer: "context: list[str], question -> answer");
///
/// #[module]
/// struct MultiHop {
///     generate_query: ChainOfThought<GenerateQuery>,
///     generate_answer: ChainOfThought<GenerateAnswer>,
///     #[module(skip)]
///     corpus: Arc<dyn Retriever>,
/// }
/// # fn main() {}
/// ```
///
/// The struct also becomes `Clone` unless it derives it, because an optimizer tries its candidates on copies.
/// Only the fields need to be `Clone` for that, not the type parameters.
///
/// # Options
/// - `#[module(no_clone)]` on the struct: do not implement `Clone`.
/// - `#[module(crate = ::path)]` on the struct: the path of `dspy` if it has another name.
/// - `#[module(skip)]` on a field: the field holds no predictors.
/// - `#[module(name = "…")]` on a field: its name in paths, if it differs from the field's.
#[proc_macro_attribute]
pub fn module(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("#[module]", || module::expand(args.into(), item.into()))
}

/// Makes a struct or enum usable as the type of a signature field.
///
/// It derives `Serialize`, `Deserialize` and `JsonSchema` from the crates that `dspy` re-exports, so that a
/// crate without other use for serde and schemars need not depend on them. `#[serde(…)]` and `#[schemars(…)]`
/// work as usual; `#[serde(alias = "…")]` on fields and variants applies to replies too. Variants whose names
/// differ only in case are an error, because a reply could mean either. `#[field_type(crate = ::path)]` sets
/// the path of `dspy` if it has another name.
///
/// ```
/// #[dspy::field_type]
/// enum Verdict {
///     /// The sources state the claim.
///     Supported,
///     /// The sources state the opposite.
///     Refuted { by: String },
/// }
/// ```
#[proc_macro_attribute]
pub fn field_type(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("#[field_type]", || field_type::expand(args.into(), item.into()))
}

/// Makes a function that models may call.
///
/// The doc comment is the description for the model, the arguments become parameters by name, with their doc comments
/// as descriptions. The function stays as it is; `name::tool()` creates its [`Tool`](tools/struct.Tool.html), by a
/// type of that name without values.
///
/// ```
/// use dspy::prelude::*;
///
/// /// Searches the archive.
/// #[tool]
/// async fn search(
///     /// The words to look for.
///     query: String,
///     #[tool(default = 10)] limit: usize,
///     /// The language of the texts; any if absent.
///     language: Option<String>,
/// ) -> Result<Vec<String>, std::io::Error> {
///     Ok(vec![format!("{query} in {language:?}"); limit.min(1)])
/// }
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let found = search::tool().call(&serde_json::json!({"query": "owls"})).await?;
/// assert_eq!(found[0], "owls in None");
/// assert_eq!(search("owls".into(), 1, None).await?.len(), 1);
/// # Ok(())
/// # }
/// # fn main() {}
/// ```
///
/// Arguments of any type that is `Deserialize` and `JsonSchema` are decoded as leniently as replies; what cannot be
/// decoded, is missing or unknown is reported to the model, and the function does not run. An argument of type `Option` may
/// be absent, and so may one with a default. The result is any type that is `Serialize`, or a `Result` of one with any
/// error type. [`Image`](types/struct.Image.html)s in it are shown to the model. The function may be sync, but should
/// not block.
///
/// An argument `cx: &ToolContext` is not a parameter for the model: it has the id of the call and reports progress.
///
/// # Methods
/// On an `impl` block every method with `&self` is a tool, and `tools()` on an `Arc` of the value creates them all,
/// `search_tool()` only that of `search`. Mark other methods with `#[tool(skip)]`.
///
/// ```
/// # use std::sync::Arc;
/// use dspy::prelude::*;
///
/// struct Archive {
///     texts: Vec<String>,
/// }
///
/// #[tool]
/// impl Archive {
///     /// Returns the number of texts with a word.
///     async fn count(&self, word: String) -> usize {
///         self.texts.iter().filter(|text| text.contains(&word)).count()
///     }
///
///     /// Deletes all texts.
///     #[tool(approval)]
///     async fn clear(&self) {}
/// }
///
/// let archive = Arc::new(Archive { texts: vec![] });
/// assert_eq!(archive.tools().len(), 2);
/// ```
///
/// # Options
/// - `#[tool(name = "…")]` on a function or method: its name for the model.
/// - `#[tool(approval)]`: calls need the approval of a person. `#[tool(approval = |arguments| …)]`: calls with certain
///   arguments do; the condition is a function from `&serde_json::Value` to `bool`.
/// - `#[tool(crate = ::path)]` on a function or `impl` block: the path of `dspy` if it has another name.
/// - `#[tool(skip)]` on a method: it is no tool.
/// - `#[tool(default)]`, `#[tool(default = value)]` on an argument: the value if it is absent.
/// - `#[tool(name = "…")]`, `#[tool(alias = "…")]` on an argument: its name for the model, and another one that is
///   accepted.
/// - `#[schemars(…)]` on an argument: constraints such as `range`, `length` and `regex`.
#[proc_macro_attribute]
pub fn tool(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("#[tool]", || tool::expand(args.into(), item.into()))
}

/// Declares a signature as a string, checked at compile time: `"inputs -> outputs"`.
///
/// With a name it is an item that does the same as `#[signature]` on a struct with these fields, all public.
/// Without a name it is an expression, the signature as data (`SignatureSpec`). A second string is the
/// instruction.
///
/// ```
/// use dspy::sig;
///
/// # fn main() {
/// sig!(pub Qa: "question, context: list[str] -> answer: Literal['yes', 'no']", "Answer from the context alone.");
/// let answer = QaAnswer::Yes;
///
/// let spec = sig!("question -> answer: float");
/// assert_eq!(spec.outputs().count(), 1);
/// # }
/// ```
///
/// # Types
/// A field without a type is a `String`. The types are those of Rust, by their names in the scope of the
/// call, and those of Python: `str`, `int`, `float`, `bool`, `list[T]`, `dict[K, V]`, `set[T]`, `tuple[A,
/// B]`, `Optional[T]`, `T | None`, `Any`. `Literal["a", "b"]` becomes an enum, named after signature and
/// field.
///
/// # If `dspy` has another name
/// Write `sig!(crate = ::lm, Qa: "question -> answer")` if `Cargo.toml` has `lm = { package = "dspy", … }`;
/// the same in `predict!` and `chain_of_thought!`. Or set it for all macros, in the root of the crate:
/// `extern crate lm as dspy;`.
///
/// (The attribute `#[signature]` and a macro `signature!` could not be imported from one path, hence the
/// short name.)
#[proc_macro]
pub fn sig(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("sig!", || string::sig(input.into()))
}

/// Creates a `Predict` over a signature in a string, checked at compile time.
///
/// ```
/// # use dspy::prelude::*;
/// # async fn example() -> dspy::Result<()> {
/// let rate = dspy::predict!("review -> stars: u8", "Guess the rating from the review.");
/// let stars: u8 = rate.call("Loved it.").await?.stars;
/// # Ok(())
/// # }
/// ```
///
/// The grammar is that of `sig!`.
#[proc_macro]
pub fn predict(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("predict!", || string::strategy("Predict", input.into()))
}

/// Creates a `ChainOfThought` over a signature in a string, checked at compile time.
///
/// ```
/// let search = dspy::chain_of_thought!("context: Vec<String>, question -> query");
/// ```
///
/// The grammar is that of `sig!`.
#[proc_macro]
pub fn chain_of_thought(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("chain_of_thought!", || string::strategy("ChainOfThought", input.into()))
}

/// Embeds a saved program into the binary, and compares it with the type of the program at compile time.
///
/// The arguments are the type of the program and the path of a file that `save` has written. As for
/// `include_str!`, the path is relative to the source file. The value is an `Embedded` of the type; `apply_to`
/// applies it to a program, and `load` to a new one.
///
/// ```ignore
/// use dspy::prelude::*;
/// use dspy::program::Embedded;
///
/// sig!(pub Qa: "question -> answer");
///
/// static QA: Embedded<ChainOfThought<Qa>> = include_optimized!(ChainOfThought<Qa>, "qa.json");
///
/// # async fn example() -> dspy::Result<()> {
/// let answer = QA.load()?.call("What is the capital of Peru?").await?;
/// # Ok(())
/// # }
/// ```
///
/// # What is compared
/// At compile time: the paths of predictors in fields of `#[module]` structs and arrays, the names and roles of
/// the fields of their signatures, and the types of these fields, if they consist of standard types, types of
/// the library and types with `#[field_type]` and without parameters. A difference is a compile
/// error that names the predictor and the field.
///
/// When it is applied: everything else, as by `load`. That is the number of modules in a list or a map, the
/// predictors behind `BoxModule` and in types with a hand-written `HasPredictors`, signatures that are known
/// only at run time, all other types, and demonstrations.
///
/// Files that Python DSPy has saved have neither names nor types of fields; load and save them once.
///
/// If `dspy` has another name, write `include_optimized!(crate = ::path, Type, "file.json")`.
#[proc_macro]
pub fn include_optimized(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    guarded("include_optimized!", || embedded::expand(input.into()))
}

/// Reports a panic of the macro as a bug of the library instead of a bare "custom attribute panicked".
fn guarded(name: &str, expand: impl FnOnce() -> TokenStream) -> proc_macro::TokenStream {
    let tokens = catch_unwind(AssertUnwindSafe(expand)).unwrap_or_else(|_| {
        let message =
            format!("this is a bug in dspy-macros: `{name}` panicked; please report it with this item");
        quote!(::core::compile_error!(#message);)
    });
    tokens.into()
}
