//! Embeddings: vectors for texts.

mod hash;
#[cfg(feature = "http")]
mod http;

use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{BoxFuture, LmError, Usage};
use hash::HashModel;
#[cfg(feature = "http")]
pub(crate) use http::served;

/// A model that computes vectors for texts. The trait is object-safe; an [`Embedder`] is a handle to an
/// implementation.
///
/// ```
/// use dspy_lm::{BoxFuture, Embedder, EmbeddingModel, Embeddings, LmError};
///
/// struct Lengths;
///
/// impl EmbeddingModel for Lengths {
///     fn id(&self) -> &str {
///         "lengths"
///     }
///     fn embed<'a>(
///         &'a self,
///         texts: &'a [String],
///         _: Option<u32>,
///     ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
///         let vectors = texts.iter().map(|text| vec![text.len() as f32]).collect();
///         Box::pin(async move { Ok(Embeddings::new(vectors)) })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(Embedder::custom(Lengths).embed(["one", "three"]).await?.vectors, [[3.0], [5.0]]);
/// # Ok::<(), LmError>(()) }).unwrap();
/// ```
pub trait EmbeddingModel: Send + Sync + 'static {
    /// Returns the name of the model, such as `openai/text-embedding-3-small`.
    fn id(&self) -> &str;

    /// Returns the address of the model's server; empty by default. Models with the same name at different
    /// endpoints are different models.
    #[expect(clippy::unnecessary_literal_bound, reason = "implementors return what they own")]
    fn endpoint(&self) -> &str {
        ""
    }

    /// Computes one vector for each text, in their order, with that many numbers if the model supports a
    /// choice. Dropping the future cancels the work.
    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        dimensions: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>>;
}

/// Vectors, and the usage of the requests for them.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Embeddings {
    /// One vector for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// The tokens and cost of the requests.
    pub usage: Usage,
}

impl Embeddings {
    /// Creates a result without usage.
    pub fn new(vectors: Vec<Vec<f32>>) -> Self {
        Embeddings { vectors, usage: Usage::default() }
    }
}

/// A handle to an embedding model. Clones share the model.
///
/// ```no_run
/// # async fn example() -> Result<(), dspy_lm::LmError> {
/// use dspy_lm::Embedder;
/// let embedder = Embedder::new("openai/text-embedding-3-small")?.dimensions(256);
/// let embeddings = embedder.embed(["A river.", "A mountain."]).await?;
/// assert_eq!(embeddings.vectors[0].len(), 256);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Embedder {
    model: Arc<dyn EmbeddingModel>,
    batch: usize,
    concurrency: usize,
    dimensions: Option<u32>,
}

impl Embedder {
    /// Creates a handle to a custom model.
    pub fn custom(model: impl EmbeddingModel) -> Self {
        Embedder { model: Arc::new(model), batch: 128, concurrency: 4, dimensions: None }
    }

    /// Creates a handle to a model in this process, for tests and first steps. Texts that share words and
    /// parts of words get similar vectors, regardless of meaning; the same text has the same vector in every
    /// process.
    ///
    /// ```
    /// use dspy_lm::Embedder;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let embedder = Embedder::hashed(256);
    /// let [rivers, river, lamp] = ["Two rivers", "A river", "A lamp"].map(|text| embedder.embed_one(text));
    /// let (rivers, river, lamp) = (rivers.await?, river.await?, lamp.await?);
    /// let similarity = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    /// assert!(similarity(&rivers, &river) > similarity(&rivers, &lamp));
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    pub fn hashed(dimensions: usize) -> Self {
        Self::custom(HashModel::new(dimensions))
    }

    /// Returns the name of the model.
    pub fn id(&self) -> &str {
        self.model.id()
    }

    /// Returns the address of the model's server; empty for models in this process.
    pub fn endpoint(&self) -> &str {
        self.model.endpoint()
    }

    /// Sets the number of dimensions, for models that support a choice. By default the model decides.
    #[must_use]
    pub fn dimensions(mut self, dimensions: u32) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// Sets the maximum number of texts per request, at least one. The default is 128.
    #[must_use]
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = texts.max(1);
        self
    }

    /// Sets the maximum number of concurrent requests of one call, at least one. The default is 4.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Returns the maximum numbers of texts per request and of concurrent requests, and the number of dimensions that
    /// was set.
    #[doc(hidden)]
    pub fn requests(&self) -> (usize, usize, Option<u32>) {
        (self.batch, self.concurrency, self.dimensions)
    }

    /// Computes one vector for each text, in their order. If one request fails after its retries, the others
    /// are cancelled.
    ///
    /// # Errors
    /// Errors of the model; [`Decode`](crate::LmErrorKind::Decode) if it does not return one vector for each
    /// text, or a vector is empty or has a number that is not finite.
    pub async fn embed<T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Embeddings, LmError> {
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        // All futures are created before they are polled, so that no type depends on a borrowed closure
        // argument.
        let requests: Vec<_> = texts.chunks(self.batch).map(|texts| self.request(texts)).collect();
        let mut answers = stream::iter(requests).buffered(self.concurrency);
        let mut whole = Embeddings { vectors: Vec::with_capacity(texts.len()), ..Embeddings::default() };
        while let Some(answer) = answers.try_next().await? {
            whole.vectors.extend(answer.vectors);
            whole.usage += answer.usage;
        }
        Ok(whole)
    }

    /// Computes the vector of one text.
    ///
    /// # Errors
    /// The errors of [`embed`](Self::embed).
    pub async fn embed_one(&self, text: impl Into<String>) -> Result<Vec<f32>, LmError> {
        let mut embeddings = self.embed([text]).await?;
        Ok(embeddings.vectors.pop().unwrap_or_default())
    }

    async fn request(&self, texts: &[String]) -> Result<Embeddings, LmError> {
        let answer = self.model.embed(texts, self.dimensions).await?;
        let usable = |vector: &Vec<f32>| !vector.is_empty() && vector.iter().all(|number| number.is_finite());
        let message = if answer.vectors.len() != texts.len() {
            format!("{} vectors came for {} texts", answer.vectors.len(), texts.len())
        } else if answer.vectors.iter().all(usable) {
            return Ok(answer);
        } else {
            "a vector is empty, or has a number that is not finite".into()
        };
        Err(LmError::new(crate::LmErrorKind::Decode, self.id(), message))
    }
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder").field("id", &self.id()).finish_non_exhaustive()
    }
}
