//! A client for OpenAI's `/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BoxFuture, Embedder, EmbeddingModel, Embeddings};
use crate::json::{dollars, number, parse};
use crate::network::transport::{Answer, Failure, Metered, Outgoing, Transport};
use crate::protocols::wire::garbage;
use crate::{LmError, LmErrorKind, Usage};

#[derive(Debug)]
struct Served {
    id: String,
    /// The model's name in requests.
    name: String,
    address: String,
    transport: Transport,
}

/// Creates an embedder for the model behind `transport`.
pub(crate) fn served(transport: Transport, id: String, name: String) -> Embedder {
    let address = transport.address("");
    Embedder::custom(Served { id, name, address, transport })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

impl EmbeddingModel for Served {
    fn id(&self) -> &str {
        &self.id
    }

    fn endpoint(&self) -> &str {
        &self.address
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        dimensions: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        Box::pin(async move {
            let body = serde_json::to_vec(&Body { model: &self.name, input: texts, dimensions })
                .map_err(|error| LmError::new(LmErrorKind::Other, &self.id, error.to_string()))?;
            self.transport.post(Outgoing::plain(body), |answer| read(answer, texts.len())).await
        })
    }
}

impl Metered for Embeddings {
    fn usage(&self) -> Option<Usage> {
        (self.usage.total_tokens() > 0).then_some(self.usage)
    }
}

#[derive(Deserialize)]
struct EmbeddingsBody {
    #[serde(default)]
    data: Vec<Entry>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    index: Value,
    embedding: Vector,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

fn read(answer: &Answer, texts: usize) -> Result<Embeddings, Failure> {
    let fail = |message: String| Failure::new(LmErrorKind::Decode, message);
    let reply = parse(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    Failure::check(&reply)?;
    if reply.get("data").is_none() {
        return Err(Failure::without("vectors", &reply));
    }
    let mut reply: EmbeddingsBody =
        serde_json::from_value(reply).map_err(|error| garbage(&answer.body, &error))?;
    if reply.data.len() != texts {
        return Err(fail(format!("{} vectors came for {texts} texts", reply.data.len())));
    }
    // Entries without an index keep their order.
    reply.data.sort_by_key(|entry| number(Some(&entry.index)));
    let vectors = reply.data.into_iter().map(|entry| match entry.embedding {
        Vector::Numbers(numbers) => Ok(numbers),
        Vector::Base64(text) => floats(&text),
    });
    let vectors = vectors.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let count = |name: &str| number(reply.usage.get(name));
    let tokens = count("prompt_tokens").or_else(|| count("total_tokens")).unwrap_or_default();
    let mut usage = Usage::tokens(tokens, 0);
    usage.cost_usd = dollars(reply.usage.get("cost"));
    Ok(Embeddings { vectors, usage })
}

/// Decodes base64 of little-endian 32-bit floats.
fn floats(text: &str) -> Result<Vec<f32>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("a vector is not base64: {error}"))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("a vector ends within a number".into());
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}
