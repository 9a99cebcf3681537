//! Embeddings of texts while a study runs: recorded in its journal and paid from its budget.

use std::fmt::Write as _;
use std::sync::Arc;

use dspy_base::digest::Digest;
use dspy_core::lm::{
    BoxFuture, Embedder, LanguageModel, Lm, LmError, LmErrorKind, LmScope, Message, Request, Response,
};

use super::running::Running;
use crate::budget::Ledger;
use crate::journal::{CallScope, Journal};
use crate::report::CallKind;

/// The largest number of texts of a request.
const BATCH: usize = 128;

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

/// Returns one vector for each text. In a study, its journal answers texts that were embedded before, and its budget
/// pays for the others. Embedders in this process that report no usage are free.
pub(crate) async fn embed(embedder: &Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, LmError> {
    let Some(calls) = CALLS.try_with(Clone::clone).ok().flatten() else {
        return Ok(embedder.embed(texts.iter().copied()).await?.vectors);
    };
    let mut vectors = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        vectors.extend(calls.embed(embedder, batch).await?);
    }
    Ok(vectors)
}

impl StudyCalls {
    async fn embed(&self, embedder: &Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, LmError> {
        let mut digest = Digest::new();
        for text in [embedder.id(), embedder.endpoint()].iter().chain(texts) {
            digest.add_text(text);
        }
        // Equal requests of several rollouts wait for the first one, which the journal then answers.
        let _turn = self.requested.turn(&format!("{}/{}", self.name, digest.long())).await;
        let layer = CallScope::new(
            self.journal.clone(),
            self.ledger.clone(),
            self.name.as_str(),
            self.phase.clone(),
            CallKind::Embedding,
        );
        let scope = self.scope.clone().layered(Arc::new(layer));
        let mut request = Request::new(texts.iter().map(|text| Message::user(*text)).collect());
        // The reply has no tokens; a budget reserves at least one.
        request.params.max_tokens = Some(1);
        let lm = Lm::custom(AsModel(embedder.clone()));
        // Boxed, as few calls embed.
        let answered = Box::pin(scope.enter(lm.complete(request))).await;
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                self.effect.note(&error);
                if error.kind == LmErrorKind::Budget {
                    self.effect.hold().await;
                }
                return Err(error);
            }
        };
        let vectors = read(response.completions.first().map_or("", |reply| reply.text.as_str()));
        match vectors {
            Some(vectors) if vectors.len() == texts.len() => Ok(vectors),
            _ => {
                let message = "the recorded vectors cannot be read; delete the journal to start over";
                Err(LmError::new(LmErrorKind::Decode, embedder.id(), message))
            }
        }
    }
}

/// An embedder as a language model, whose reply is the vectors of the messages as text.
struct AsModel(Embedder);

impl LanguageModel for AsModel {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let texts = request.messages.iter().map(|message| message.text().into_owned());
            let embeddings = self.0.embed(texts).await?;
            let mut response = Response::text(write(&embeddings.vectors)).with_usage(embeddings.usage);
            // A model in this process that reports no usage is free, as a cached reply is.
            response.cached = self.0.endpoint().is_empty()
                && embeddings.usage.requests == 0
                && embeddings.usage.total_tokens() == 0;
            Ok(response)
        })
    }
}

/// Writes vectors as hexadecimal bits, one on each line, which is exact and short.
fn write(vectors: &[Vec<f32>]) -> String {
    let mut text = String::with_capacity(vectors.iter().map(|vector| 8 * vector.len() + 1).sum());
    for vector in vectors {
        for number in vector {
            // Writing to a string does not fail.
            let _ = write!(text, "{:08x}", number.to_bits());
        }
        text.push('\n');
    }
    text
}

fn read(text: &str) -> Option<Vec<Vec<f32>>> {
    let number = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok().map(f32::from_bits)
    };
    text.lines().map(|line| line.as_bytes().chunks(8).map(number).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_read_as_they_were_written() {
        let vectors = vec![vec![0.1, -1e-38, f32::MAX], Vec::new(), vec![-0.0]];
        assert_eq!(read(&write(&vectors)), Some(vectors));
        assert_eq!(read(""), Some(Vec::new()));
        for damaged in ["0", "0000000g\n", "000000000\n", "é000000"] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }
}
