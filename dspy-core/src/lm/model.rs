//! The trait that every model implements.

use std::future::Future;
use std::pin::Pin;

use super::{DeltaSink, LmError, Request, Response};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a deployment can do. Everything is off unless a model says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Replies can be forced to be a JSON object.
    pub json_object: bool,
    /// Replies can be forced to conform to a JSON Schema.
    pub json_schema: bool,
}

/// A language model: a request in, an answer or a typed error out.
///
/// ```
/// use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Request, Response};
///
/// struct Parrot;
///
/// impl LanguageModel for Parrot {
///     fn id(&self) -> &str {
///         "parrot"
///     }
///     fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
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

    /// Answers a request. Dropping the future stops the work.
    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>>;

    /// Answers a request and hands on what arrives of the first completion while it arrives.
    ///
    /// A model that cannot stream just completes, which is what this does unless it is overridden: whoever listens
    /// gets the whole reply at the end.
    fn stream<'a>(
        &'a self,
        request: &'a Request,
        sink: &'a DeltaSink,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        let _ = sink;
        self.complete(request)
    }
}
