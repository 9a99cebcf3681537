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

/// Features that a deployment supports.
///
/// Features that only some models have, such as tools, are off by default; features that nearly all have,
/// such as the temperature, are on.
///
/// ```
/// use dspy_lm::{Capabilities, Endpoint};
///
/// // A self-hosted server with enforced JSON Schemas and native tool calls.
/// const ABLE: Capabilities = Capabilities::NONE.json_object(true).json_schema(true).tools(true);
/// let server = Endpoint::new("http://localhost:8000/v1").capabilities(ABLE);
/// # let _ = server;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with a builder method")]
pub struct Capabilities {
    /// Whether replies can be forced to be a JSON object.
    pub json_object: bool,
    /// Whether replies can be forced to conform to a JSON Schema.
    pub json_schema: bool,
    /// Whether schemas may be marked `strict` in OpenAI's sense. A schema is then rewritten to the strict
    /// dialect if possible, otherwise it is sent unmarked.
    pub strict: bool,
    /// Whether tools are offered and called natively, beside the text.
    pub tools: bool,
    /// Whether the model's reasoning is returned beside the text. If it must be requested, it is.
    pub reasoning: bool,
    /// Whether `temperature` and `top_p` are accepted. Many reasoning models refuse requests that have them.
    pub sampling: bool,
    /// Whether one request can sample several completions. Otherwise one request is sent for each completion.
    pub n: bool,
    /// Whether log-probabilities of tokens are returned on request.
    pub logprobs: bool,
    /// Whether images are accepted as input.
    pub images: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities::NONE
    }
}

impl Capabilities {
    /// Text and images as input, text as output, and all common parameters; no enforced formats.
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

    /// Returns the features that both deployments support.
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

    /// Sets [`json_object`](field@Self::json_object).
    #[must_use]
    pub const fn json_object(mut self, able: bool) -> Self {
        self.json_object = able;
        self
    }

    /// Sets [`json_schema`](field@Self::json_schema).
    #[must_use]
    pub const fn json_schema(mut self, able: bool) -> Self {
        self.json_schema = able;
        self
    }

    /// Sets [`strict`](field@Self::strict).
    #[must_use]
    pub const fn strict(mut self, able: bool) -> Self {
        self.strict = able;
        self
    }

    /// Sets [`tools`](field@Self::tools).
    #[must_use]
    pub const fn tools(mut self, able: bool) -> Self {
        self.tools = able;
        self
    }

    /// Sets [`reasoning`](field@Self::reasoning).
    #[must_use]
    pub const fn reasoning(mut self, able: bool) -> Self {
        self.reasoning = able;
        self
    }

    /// Sets [`sampling`](field@Self::sampling).
    #[must_use]
    pub const fn sampling(mut self, able: bool) -> Self {
        self.sampling = able;
        self
    }

    /// Sets [`n`](field@Self::n).
    #[must_use]
    pub const fn n(mut self, able: bool) -> Self {
        self.n = able;
        self
    }

    /// Sets [`logprobs`](field@Self::logprobs).
    #[must_use]
    pub const fn logprobs(mut self, able: bool) -> Self {
        self.logprobs = able;
        self
    }

    /// Sets [`images`](field@Self::images).
    #[must_use]
    pub const fn images(mut self, able: bool) -> Self {
        self.images = able;
        self
    }
}

/// A language model, which returns an answer or a typed error for each request.
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
    /// Returns the name of the model, e.g. `openai/gpt-4o-mini`.
    fn id(&self) -> &str;

    /// Returns the address at which the model is served. Models of the same name at different endpoints are
    /// different models.
    #[expect(clippy::unnecessary_literal_bound, reason = "implementors return what they own")]
    fn endpoint(&self) -> &str {
        ""
    }

    /// Returns the features that this deployment supports.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Returns the price of the tokens, if the model knows it: models composed of others return the
    /// [highest](Price::highest) of their prices. For other models the price comes from
    /// [`Lm::price`](crate::Lm::price) or the [table](crate::PriceTable).
    fn price(&self) -> Option<Price> {
        None
    }

    /// Answers a request. Dropping the future cancels the work.
    fn complete<'a>(&'a self, request: &'a Request) -> LmFuture<'a>;

    /// Answers a request and sends the first completion to `sink` piece by piece while it arrives.
    ///
    /// The default implementation is for models that cannot stream: it calls [`complete`](Self::complete),
    /// and the reader receives the whole reply at the end.
    fn stream<'a>(&'a self, request: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        let _ = sink;
        self.complete(request)
    }
}
