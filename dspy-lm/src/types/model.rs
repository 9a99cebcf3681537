//! The trait that every model implements.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::{DeltaSink, LmError, Price, Request, Response};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The future of a model's answer, as [`LanguageModel`] and [`Layer`](crate::Layer) return it.
///
/// A custom model boxes an `async` block:
///
/// ```
/// use dspy_lm::{LanguageModel, LmFuture, Request, Response};
///
/// struct Polite;
///
/// impl LanguageModel for Polite {
///     fn id(&self) -> &str {
///         "polite"
///     }
///     fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
///         Box::pin(async { Ok(Response::text("You are welcome.")) })
///     }
/// }
/// ```
pub type LmFuture<'a> = BoxFuture<'a, Result<Response, LmError>>;

/// What a deployment can do.
///
/// What a model must be known for, such as tools, is off unless something says otherwise; what nearly all can do, such
/// as taking a temperature, is on.
///
/// ```
/// use dspy_lm::{Capabilities, Endpoint};
///
/// // A server of one's own that enforces JSON Schemas and takes native tool calls.
/// const ABLE: Capabilities = Capabilities::NONE.json_object(true).json_schema(true).tools(true);
/// let server = Endpoint::new("http://localhost:8000/v1").capabilities(ABLE);
/// # let _ = server;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with a builder method")]
pub struct Capabilities {
    /// Replies can be forced to be a JSON object.
    pub json_object: bool,
    /// Replies can be forced to conform to a JSON Schema.
    pub json_schema: bool,
    /// Schemas may be marked `strict`, as OpenAI understands it: the schema is rewritten to that dialect where it can
    /// be, and sent unmarked where it cannot.
    pub strict: bool,
    /// Tools are offered and called natively, beside the text.
    pub tools: bool,
    /// The reasoning of the model is returned beside the text. Where it must be asked for, it is.
    pub reasoning: bool,
    /// `temperature` and `top_p` are taken. Many reasoning models refuse the whole request for them.
    pub sampling: bool,
    /// Several completions are sampled by one request. Where they are not, as many requests are sent as completions
    /// are wanted.
    pub n: bool,
    /// The log-probabilities of tokens are returned if they are asked for.
    pub logprobs: bool,
    /// Images are understood.
    pub images: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities::NONE
    }
}

impl Capabilities {
    /// Text and images in, text out, with all common parameters; nothing is enforced.
    pub const NONE: Capabilities = Capabilities {
        json_object: false,
        json_schema: false,
        strict: false,
        tools: false,
        reasoning: false,
        sampling: true,
        n: true,
        logprobs: true,
        images: true,
    };

    /// What both deployments can do.
    pub(crate) const fn and(self, other: Capabilities) -> Self {
        Capabilities {
            json_object: self.json_object && other.json_object,
            json_schema: self.json_schema && other.json_schema,
            strict: self.strict && other.strict,
            tools: self.tools && other.tools,
            reasoning: self.reasoning && other.reasoning,
            sampling: self.sampling && other.sampling,
            n: self.n && other.n,
            logprobs: self.logprobs && other.logprobs,
            images: self.images && other.images,
        }
    }

    /// The same, with or without [`json_object`](field@Self::json_object).
    #[must_use]
    pub const fn json_object(mut self, able: bool) -> Self {
        self.json_object = able;
        self
    }

    /// The same, with or without [`json_schema`](field@Self::json_schema).
    #[must_use]
    pub const fn json_schema(mut self, able: bool) -> Self {
        self.json_schema = able;
        self
    }

    /// The same, with or without [`strict`](field@Self::strict).
    #[must_use]
    pub const fn strict(mut self, able: bool) -> Self {
        self.strict = able;
        self
    }

    /// The same, with or without [`tools`](field@Self::tools).
    #[must_use]
    pub const fn tools(mut self, able: bool) -> Self {
        self.tools = able;
        self
    }

    /// The same, with or without [`reasoning`](field@Self::reasoning).
    #[must_use]
    pub const fn reasoning(mut self, able: bool) -> Self {
        self.reasoning = able;
        self
    }

    /// The same, with or without [`sampling`](field@Self::sampling).
    #[must_use]
    pub const fn sampling(mut self, able: bool) -> Self {
        self.sampling = able;
        self
    }

    /// The same, with or without [`n`](field@Self::n).
    #[must_use]
    pub const fn n(mut self, able: bool) -> Self {
        self.n = able;
        self
    }

    /// The same, with or without [`logprobs`](field@Self::logprobs).
    #[must_use]
    pub const fn logprobs(mut self, able: bool) -> Self {
        self.logprobs = able;
        self
    }

    /// The same, with or without [`images`](field@Self::images).
    #[must_use]
    pub const fn images(mut self, able: bool) -> Self {
        self.images = able;
        self
    }
}

/// A language model: a request in, an answer or a typed error out.
///
/// ```
/// use dspy_lm::{LanguageModel, Lm, LmFuture, Request, Response};
///
/// struct Parrot;
///
/// impl LanguageModel for Parrot {
///     fn id(&self) -> &str {
///         "parrot"
///     }
///     fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a> {
///         let last = request.messages.last().map(|m| m.text().into_owned()).unwrap_or_default();
///         Box::pin(async move { Ok(Response::text(last)) })
///     }
/// }
///
/// let lm = Lm::custom(Parrot);
/// assert_eq!(lm.id(), "parrot");
/// ```
pub trait LanguageModel: Send + Sync + 'static {
    /// The name of the model, e.g. `openai/gpt-4o-mini`.
    fn id(&self) -> &str;

    /// Where the model is served. Two models with one name at two endpoints are different models.
    #[expect(clippy::unnecessary_literal_bound, reason = "implementors return what they own")]
    fn endpoint(&self) -> &str {
        ""
    }

    /// What this deployment can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// What its tokens cost, for models that know: those that are made of other models say the
    /// [highest](Price::highest) of their prices. Others leave it to [`Lm::price`](crate::Lm::price) and the
    /// [table](crate::PriceTable).
    fn price(&self) -> Option<Price> {
        None
    }

    /// Answers a request. Dropping the future stops the work.
    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a>;

    /// Answers a request and hands on what arrives of the first completion while it arrives.
    ///
    /// A model that cannot stream just completes, which is what this does unless it is overridden: whoever listens
    /// gets the whole reply at the end.
    fn stream<'a>(&'a self, request: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        let _ = sink;
        self.complete(request)
    }
}
