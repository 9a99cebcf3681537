//! Embeddings of texts while a study runs: recorded in its journal and paid from its budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dspy_base::digest::Digest;
use dspy_core::lm::{
    BoxFuture, Embedder, LanguageModel, Lm, LmError, LmErrorKind, LmScope, Message, Request, Response, Role,
};
use futures_util::{StreamExt as _, stream};

use super::running::Running;
use crate::budget::Ledger;
use crate::journal::{CallScope, Journal, write_vectors};
use crate::report::CallKind;

tokio::task_local! {
    static CALLS: Option<Arc<StudyCalls>>;
}

/// The study and the effect that the current task is a part of.
pub(super) struct StudyCalls {
    pub(super) journal: Arc<Journal>,
    pub(super) ledger: Arc<Ledger>,
    /// The name of embeddings in the journal. They belong to the study, as its effects share them.
    pub(super) name: String,
    pub(super) phase: Arc<str>,
    /// The scope of the study, without the layer of the effect.
    pub(super) scope: LmScope,
    pub(super) effect: Arc<CallScope>,
    pub(super) requested: Arc<Running>,
}

/// Runs work as a part of an effect.
pub(super) fn as_part_of<F: Future>(calls: Option<StudyCalls>, work: F) -> impl Future<Output = F::Output> {
    CALLS.scope(calls.map(Arc::new), work)
}

/// Returns whether the current task is a part of a study, which keeps the vectors of all texts in its journal.
pub(crate) fn in_study() -> bool {
    CALLS.try_with(Option::is_some).unwrap_or_default()
}

/// Returns one vector for each text. In a study, its journal answers texts that were embedded before, and its budget
/// pays for the others. Embedders in this process that report no usage are free.
pub(crate) async fn embed(embedder: &Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, LmError> {
    match CALLS.try_with(Clone::clone).ok().flatten() {
        Some(calls) => calls.embed(embedder, texts).await,
        None => Ok(embedder.embed(texts.iter().copied()).await?.vectors),
    }
}

/// Text with its digest.
type Keyed<'t> = (String, &'t str);

impl StudyCalls {
    async fn embed(&self, embedder: &Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, LmError> {
        let (batch, concurrency, dimensions) = embedder.requests();
        let dimensions = dimensions.map_or_else(String::new, |dimensions| dimensions.to_string());
        let digest = |text: &str| {
            let mut digest = Digest::new();
            for part in [embedder.id(), embedder.endpoint(), &dimensions, text] {
                digest.add_text(part);
            }
            digest.long()
        };
        let texts: Vec<Keyed<'_>> = texts.iter().map(|text| (digest(text), *text)).collect();
        let unknown = || texts.iter().filter(|(digest, _)| self.journal.vector(&self.name, digest).is_none());
        // Others who need one of these texts wait, and find it in the journal. The order is that of the digests for
        // all, so that no two wait for each other.
        let mut names: Vec<String> = unknown().map(|(digest, _)| format!("{}/{digest}", self.name)).collect();
        names.sort_unstable();
        names.dedup();
        let mut turns = Vec::with_capacity(names.len());
        for name in &names {
            turns.push(self.requested.turn(name).await);
        }
        let unknown: Vec<Keyed<'_>> = unknown().cloned().collect();
        // After an error no further request starts, but those in flight are awaited, as they are paid.
        let failed = AtomicBool::new(false);
        let requests: Vec<_> =
            unknown.chunks(batch).map(|part| self.request(embedder, &dimensions, part, &failed)).collect();
        let busy = self.effect.busy();
        let mut answers = stream::iter(requests).buffer_unordered(concurrency);
        let mut problem = None;
        while let Some(answer) = answers.next().await {
            if let Err(error) = answer {
                self.effect.note(&error);
                problem.get_or_insert(error);
            }
        }
        drop(busy);
        if let Some(error) = problem {
            if error.kind == LmErrorKind::Budget {
                self.effect.hold().await;
            }
            return Err(error);
        }
        let vector = |(digest, _): &Keyed<'_>| self.journal.vector(&self.name, digest);
        texts.iter().map(vector).collect::<Option<_>>().ok_or_else(|| {
            let message = "vectors are missing in the answer of a cache or a layer around the study";
            LmError::new(LmErrorKind::Decode, embedder.id(), message)
        })
    }

    /// Makes one request, unless another one has failed. Its vectors are in the journal then.
    async fn request(
        &self,
        embedder: &Embedder,
        dimensions: &str,
        texts: &[Keyed<'_>],
        failed: &AtomicBool,
    ) -> Result<(), LmError> {
        if failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let layer = CallScope::new(
            self.journal.clone(),
            self.ledger.clone(),
            self.name.as_str(),
            self.phase.clone(),
            CallKind::Embedding,
        );
        let scope = self.scope.clone().layered(Arc::new(layer));
        // So that a cache does not take it for a call of a language model, or for one with other dimensions.
        let purpose = Message::system(format!("embeddings {dimensions}"));
        let messages = texts.iter().map(|(_, text)| Message::user(*text));
        let mut request = Request::new(std::iter::once(purpose).chain(messages).collect());
        // The reply has no tokens; a budget reserves at least one.
        request.params.max_tokens = Some(1);
        let digests = texts.iter().map(|(digest, _)| digest.clone()).collect();
        let lm = Lm::custom(AsModel { embedder: embedder.clone(), digests });
        // Boxed, as few calls embed.
        let answered = Box::pin(scope.enter(lm.complete(request))).await;
        failed.fetch_or(answered.is_err(), Ordering::SeqCst);
        answered.map(drop)
    }
}

/// An embedder as a language model, whose reply is the vectors of the user's messages as text.
struct AsModel {
    embedder: Embedder,
    digests: Vec<String>,
}

impl LanguageModel for AsModel {
    fn id(&self) -> &str {
        self.embedder.id()
    }

    fn endpoint(&self) -> &str {
        self.embedder.endpoint()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let texts = request.messages.iter().filter(|message| message.role == Role::User);
            let embeddings = self.embedder.embed(texts.map(|message| message.text().into_owned())).await?;
            let text = write_vectors(&self.digests, &embeddings.vectors);
            let mut response = Response::text(text).with_usage(embeddings.usage);
            // A model in this process that reports no usage is free, as a cached reply is.
            response.cached = self.embedder.endpoint().is_empty()
                && embeddings.usage.requests == 0
                && embeddings.usage.total_tokens() == 0;
            Ok(response)
        })
    }
}
