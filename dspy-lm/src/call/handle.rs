//! The handle to a language model.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::layer::{Layer, Next, Node};
use super::scope::{LmScope, current_scope, with_scope};
use crate::types::driven::Driven;
use crate::{
    Capabilities, DeltaSink, LanguageModel, LmError, LmStream, Message, Params, Price, ReasoningEffort,
    Request, Response, observe, price_table, secret,
};

/// A handle to a language model, with default sampling parameters for its requests. Clones share the model.
///
/// ```
/// use dspy_lm::Lm;
/// # tokio_test(async {
/// let lm = Lm::scripted(["Paris"]).temperature(0.7);
/// assert_eq!(lm.ask("Capital of France?").await?, "Paris");
/// # Ok(()) });
/// # fn tokio_test(f: impl Future<Output = Result<(), dspy_lm::LmError>>) {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f).unwrap()
/// # }
/// ```
#[derive(Clone)]
pub struct Lm {
    model: Arc<dyn LanguageModel>,
    params: Params,
    rollout: Option<u64>,
    chosen_because: Option<Arc<str>>,
    layers: Option<Arc<Node>>,
    price: Option<Price>,
}

impl Lm {
    /// Creates a handle to a custom model.
    pub fn custom(model: impl LanguageModel) -> Self {
        Self::shared(Arc::new(model))
    }

    /// Creates a handle to a model that other handles share.
    pub fn shared(model: Arc<dyn LanguageModel>) -> Self {
        Lm {
            model,
            params: Params::default(),
            rollout: None,
            chosen_because: None,
            layers: None,
            price: None,
        }
    }

    /// Returns the name of the model, with its provider if that is known: `openai/gpt-4o-mini`.
    pub fn id(&self) -> &str {
        self.model.id()
    }

    /// Returns the address of the model; empty for models in this process.
    ///
    /// Handles that may get different answers have different endpoints. Settings that can change the answer and are
    /// not shown (the query of the base URL, headers, the [tenant](crate::Endpoint::tenant)) are included as a digest
    /// after a `#`.
    pub fn endpoint(&self) -> &str {
        self.model.endpoint()
    }

    /// Returns the [`endpoint`](Self::endpoint) in a form that is safe to store: parts of a custom model's address
    /// that may be secret (user, password, query) are replaced by a digest.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// assert_eq!(Lm::builtin().deployment(), "");
    /// ```
    pub fn deployment(&self) -> Cow<'_, str> {
        secret::deployment(self.endpoint())
    }

    /// Returns the reason for the choice of this model if it was [selected from the environment](Self::from_env).
    pub fn chosen_because(&self) -> Option<&str> {
        self.chosen_because.as_deref()
    }

    /// Returns the same as [`chosen_because`](Self::chosen_because).
    #[deprecated(since = "0.1.0", note = "renamed to `chosen_because`")]
    pub fn origin(&self) -> Option<&str> {
        self.chosen_because()
    }

    /// Returns the capabilities of the deployment.
    pub fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    /// Returns the sampling parameters of this handle.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Sets the sampling temperature.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.params.temperature = Some(temperature);
        self
    }

    /// Sets the maximum number of tokens in a completion.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.params.max_tokens = Some(tokens);
        self
    }

    /// Sets the reasoning effort of a reasoning model; sent only if the endpoint has a parameter for it.
    #[must_use]
    pub fn reasoning_effort(mut self, effort: ReasoningEffort) -> Self {
        self.params.reasoning_effort = Some(effort);
        self
    }

    /// Replaces all sampling parameters.
    #[must_use]
    pub fn with_params(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    /// Marks the requests of this handle as another sample, so that caches do not repeat an earlier one; see
    /// [`Request::rollout`].
    #[must_use]
    pub fn rollout(mut self, rollout: u64) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// Adds a layer, which sees a request before the other layers of the handle. The layers of the
    /// [scope](crate::LmScope) come before all of them.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers = Some(Arc::new(Node { layer: Arc::new(layer), outer: self.layers.take() }));
        self
    }

    /// Sets the price of the model's tokens, for models that the [table](crate::PriceTable) lacks or a negotiated
    /// price. A cost reported by the endpoint takes precedence.
    ///
    /// ```
    /// use dspy_lm::{Lm, Price};
    /// let lm = Lm::builtin().price(Price::per_million(0.15, 0.60));
    /// assert_eq!(lm.unit_price(), Some(Price::per_million(0.15, 0.60)));
    /// ```
    #[must_use]
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }

    /// Returns the price of this model's tokens: the [price of the handle](Self::price), otherwise that of the
    /// [model](LanguageModel::price), otherwise that of the [table](crate::PriceTable) in the current scope. `None`
    /// if it is unknown. A call whose price is negative or not a number is refused before anything is sent.
    pub fn unit_price(&self) -> Option<Price> {
        self.price.or_else(|| self.model.price()).or_else(|| self.table_price())
    }

    /// Returns the price of this model in the table of the scope, otherwise in the default table.
    fn table_price(&self) -> Option<Price> {
        let table =
            with_scope(|scope| scope.prices().cloned()).flatten().unwrap_or_else(price_table::default);
        table.price(self.id(), self.endpoint())
    }

    /// Returns the price for a request. For requests with audio only the handle's own price applies, because many
    /// models charge a separate rate for it.
    pub(crate) fn price_of(&self, request: &Request) -> Option<Price> {
        if request.has_audio() { self.price } else { self.unit_price() }
    }

    /// Sends a request. Parameters that it leaves unset are taken from this handle.
    ///
    /// # Errors
    /// Any error of the model or of a layer of the [current scope](crate::LmScope).
    pub fn complete(&self, request: Request) -> impl Future<Output = Result<Response, LmError>> + Send {
        // Outside of the future, which would otherwise hold the request twice.
        let request = self.completed(request);
        async move { current_scope().send(self, &request, None).await }
    }

    /// Sends a request and streams the reply as it arrives. The request is sent when the stream is first polled,
    /// in the scope of the task that polls it or, if that has none, in that of the task that called `stream`.
    pub fn stream(&self, request: Request) -> LmStream<'static> {
        let lm = self.clone();
        LmStream(Driven::new(|sender| {
            // The stream may be polled outside of the scope.
            observe::inherit_unless_given(LmScope::enter_changed(|scope| scope, async move {
                current_scope().send(&lm, &lm.completed(request), Some(&DeltaSink::new(sender))).await
            }))
        }))
    }

    /// Fills the unset parameters of a request from this handle.
    pub(crate) fn completed(&self, mut request: Request) -> Request {
        request.params = request.params.or(&self.params);
        request.rollout = request.rollout.or(self.rollout);
        request
    }

    /// Sends one user message and returns the text of the reply.
    ///
    /// # Errors
    /// The errors of [`complete`](Self::complete), and [`ContentFilter`](crate::LmErrorKind::ContentFilter), with the
    /// partial reply, if a filter stopped it or the model refuses.
    pub async fn ask(&self, text: impl Into<Arc<str>>) -> Result<String, LmError> {
        let response = self.complete(Request::new(vec![Message::user(text)])).await?;
        if let Some(refusal) = response.refusal(self.id()) {
            return Err(refusal);
        }
        Ok(response.completions.into_iter().next().map(|completion| completion.text).unwrap_or_default())
    }

    pub(crate) fn with_chosen_because(mut self, reason: &str) -> Self {
        self.chosen_because = Some(reason.into());
        self
    }

    /// Sends a request as a part of another call. It bypasses the layers and trackers of the scope, which see the
    /// outer call.
    pub(crate) async fn pass(&self, request: Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        let request = self.completed(request);
        let work = Next { rest: None, outside: true, sink, payer: None }.run(self, &request);
        let Some(operation) = observe::lm_part(self.model(), &request, sink.is_some()) else {
            return work.await;
        };
        let result = Box::pin(operation.run(work)).await;
        operation.end(&result, sink.and_then(DeltaSink::first));
        result
    }

    pub(crate) fn own_rollout(&self) -> Option<u64> {
        self.rollout
    }

    pub(super) fn layers(&self) -> Option<&Arc<Node>> {
        self.layers.as_ref()
    }

    pub(crate) fn model(&self) -> &dyn LanguageModel {
        &*self.model
    }
}

impl fmt::Debug for Lm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lm").field("id", &self.id()).field("params", &self.params).finish_non_exhaustive()
    }
}
