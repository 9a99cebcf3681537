//! The model that suits the request.

use super::Members;
use crate::lm::{BoxFuture, Capabilities, DeltaSink, LanguageModel, Lm, LmError, Price, Request, Response};

pub(super) struct Router<F> {
    members: Members,
    choose: F,
}

impl<F> Router<F>
where
    F: for<'a> Fn(&Request, &'a [Lm]) -> &'a Lm + Send + Sync + 'static,
{
    async fn ask(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        self.members.is_empty()?;
        (self.choose)(request, &self.members.models).pass(request.clone(), sink).await
    }
}

impl<F> LanguageModel for Router<F>
where
    F: for<'a> Fn(&Request, &'a [Lm]) -> &'a Lm + Send + Sync + 'static,
{
    fn id(&self) -> &str {
        &self.members.id
    }

    fn endpoint(&self) -> &str {
        &self.members.endpoint
    }

    fn capabilities(&self) -> Capabilities {
        self.members.capabilities
    }

    fn price(&self) -> Option<Price> {
        self.members.price()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(self.ask(request, None))
    }

    fn stream<'a>(
        &'a self,
        request: &'a Request,
        sink: &'a DeltaSink,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(self.ask(request, Some(sink)))
    }
}

impl Lm {
    /// A model that asks the one of `models` that `choose` picks for the request. It is called once for each request,
    /// with at least one model.
    ///
    /// The name becomes a part of the model's, so that answers that were stored under one way to choose are not taken
    /// for those under another.
    ///
    /// ```
    /// use dspy_core::lm::Lm;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::router("by length", [Lm::scripted(["small"]), Lm::scripted(["large"])], |request, models| {
    ///     let length: usize = request.messages.iter().map(|message| message.text().len()).sum();
    ///     &models[usize::from(length > 20)]
    /// });
    /// assert_eq!(lm.ask("Short?").await?, "small");
    /// assert_eq!(lm.ask("A question that is rather longer?").await?, "large");
    /// # Ok::<(), dspy_core::lm::LmError>(()) }).unwrap();
    /// ```
    pub fn router<F>(name: &str, models: impl IntoIterator<Item = Lm>, choose: F) -> Lm
    where
        F: for<'a> Fn(&Request, &'a [Lm]) -> &'a Lm + Send + Sync + 'static,
    {
        Lm::custom(Router { members: Members::new(&format!("router {name}"), models), choose })
    }
}
