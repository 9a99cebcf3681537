//! The handle that programs hold.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::layer::{Layer, Next, Node};
use crate::observe;
use crate::scope::current_scope;
use crate::types::driven::Driven;
use crate::{
    BuiltinLm, Cache, Capabilities, DeltaSink, LanguageModel, LmError, LmStream, Message, Params, Price,
    ReasoningEffort, Reply, Request, Response, ScriptedLm,
};

/// A model together with the sampling parameters to use with it. Cloning shares the model.
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
    /// A handle to your own model.
    pub fn custom(model: impl LanguageModel) -> Self {
        Self::shared(Arc::new(model))
    }

    /// A handle to a model that is shared with other handles.
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

    /// A model for tests that gives these replies in order, then the error
    /// [`Exhausted`](crate::LmErrorKind::Exhausted).
    pub fn scripted<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        Self::custom(ScriptedLm::new(replies))
    }

    /// A model that is a function, for tests and for what has no protocol. It gets the request and gives a text, a
    /// [`Completion`](crate::Completion), a [`Response`], a [`Reply`], or a `Result` of one of these.
    ///
    /// ```
    /// use dspy_lm::{Lm, Request};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::from_fn(|request: Request| async move {
    ///     format!("{} messages", request.messages.len())
    /// });
    /// assert_eq!(lm.ask("Hello?").await.unwrap(), "1 messages");
    /// # });
    /// ```
    pub fn from_fn<R, F>(respond: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        R: Into<Reply>,
        F: Future<Output = R> + Send + 'static,
    {
        Self::custom(ScriptedLm::from_async_fn(respond))
    }

    /// The model in this process that needs no key and no network; see [`BuiltinLm`] for what it is and is not.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// assert_eq!(Lm::builtin().id(), "builtin");
    /// ```
    pub fn builtin() -> Self {
        Self::custom(BuiltinLm::new())
    }

    /// The name of the model.
    pub fn id(&self) -> &str {
        self.model.id()
    }

    /// Where the model is served; empty for models in this process.
    ///
    /// Handles that may get different answers have different endpoints: what decides who answers and is not shown (the
    /// query of the base URL, headers, the [tenant](crate::Endpoint::tenant)) is in it as a digest, behind a `#`.
    pub fn endpoint(&self) -> &str {
        self.model.endpoint()
    }

    /// The [`endpoint`](Self::endpoint) as it may be written down: what may be secret in the address of a model of your
    /// own (a user, a password, a query) is replaced by a digest.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// assert_eq!(Lm::builtin().deployment(), "");
    /// ```
    pub fn deployment(&self) -> Cow<'_, str> {
        crate::endpoint::deployment(self.endpoint())
    }

    /// Why this model was chosen, where that was [left to the environment](Self::from_env).
    pub fn chosen_because(&self) -> Option<&str> {
        self.chosen_because.as_deref()
    }

    /// See [`chosen_because`](Self::chosen_because).
    #[deprecated(since = "0.1.0", note = "renamed to `chosen_because`")]
    pub fn origin(&self) -> Option<&str> {
        self.chosen_because()
    }

    /// What the deployment can do.
    pub fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    /// The sampling parameters of this handle.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Sets the sampling temperature.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.params.temperature = Some(temperature);
        self
    }

    /// Sets the most tokens that a completion may have.
    #[must_use]
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.params.max_tokens = Some(tokens);
        self
    }

    /// Sets how much a reasoning model should think; sent where the endpoint has a word for it.
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

    /// Marks the requests of this handle as another sample; see [`Request::rollout`].
    #[must_use]
    pub fn rollout(mut self, rollout: u64) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// The same handle with one more layer, the first of the handle's that a request meets. The layers of the
    /// [scope](crate::LmScope) come before.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers = Some(Arc::new(Node { layer: Arc::new(layer), outer: self.layers.take() }));
        self
    }

    /// Sets what the tokens of this model cost, where the [table](crate::PriceTable) does not know it or another price
    /// was agreed on. A cost that the endpoint itself reports is taken before this.
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

    /// What the tokens of this model cost: the [price of the handle](Self::price), else what the
    /// [model](LanguageModel::price) says, else that of the [table](crate::PriceTable) in the current scope. `None` if
    /// it is not known. A call at rates that are negative or no numbers is refused before anything is sent.
    pub fn unit_price(&self) -> Option<Price> {
        self.price.or_else(|| self.model.price()).or_else(|| crate::money::price::find(self))
    }

    /// The price for a request. Tables say nothing of recordings, which many models charge at a rate of their own.
    pub(crate) fn price_of(&self, request: &Request) -> Option<Price> {
        if request.has_audio() { self.price } else { self.unit_price() }
    }

    /// The same handle with its answers taken from `cache` where that has them; sugar over [`layer`](Self::layer).
    #[must_use]
    pub fn cache(self, cache: &Cache) -> Self {
        self.layer(cache.clone())
    }

    /// Sends a request. Parameters that it leaves open are taken from this handle.
    ///
    /// # Errors
    /// Whatever the model or a layer of the [current scope](crate::LmScope) reports.
    pub fn complete(&self, request: Request) -> impl Future<Output = Result<Response, LmError>> + Send {
        // Not within the future, which would hold the request twice.
        let request = self.completed(request);
        async move { current_scope().send(self, &request, None).await }
    }

    /// Sends a request and shows the reply while it arrives. Nothing is sent before the stream is first asked.
    pub fn stream(&self, request: Request) -> LmStream<'static> {
        let (lm, scope) = (self.clone(), current_scope());
        LmStream(Driven::new(|sender| {
            // Whoever reads the stream may be outside of the scope.
            observe::inherit(scope.clone().enter(async move {
                scope.send(&lm, &lm.completed(request), Some(&DeltaSink::new(sender))).await
            }))
        }))
    }

    /// The request with what it leaves open taken from this handle.
    pub(crate) fn completed(&self, mut request: Request) -> Request {
        request.params = request.params.or(&self.params);
        request.rollout = request.rollout.or(self.rollout);
        request
    }

    /// Sends one user message and returns the text of the reply.
    ///
    /// # Errors
    /// As [`complete`](Self::complete), and [`ContentFilter`](crate::LmErrorKind::ContentFilter) with what there is of
    /// the reply if a filter stopped it or the model refuses.
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

    /// Sends a request as a part of another call: past the layers and trackers of the scope, which see the outer call.
    pub(crate) async fn pass(&self, request: Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        let request = self.completed(request);
        let work = Next { rest: None, outside: true, sink, budgets: None }.run(self, &request);
        let Some(operation) = observe::lm_part(self, &request, sink.is_some()) else { return work.await };
        let result = Box::pin(operation.run(work)).await;
        operation.end(&result, sink.and_then(DeltaSink::first));
        result
    }

    pub(crate) fn own_rollout(&self) -> Option<u64> {
        self.rollout
    }

    pub(crate) fn layers(&self) -> Option<&Arc<Node>> {
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
