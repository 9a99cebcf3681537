//! Log-probabilities of tokens, in the common format of OpenAI's two protocols.

use serde_json::Value;

use crate::TokenLogprob;

/// Reads a list of tokens. Invalid entries are skipped.
pub(crate) fn read(list: Option<&Value>) -> Vec<TokenLogprob> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(token).collect()
}

fn token(entry: &Value) -> Option<TokenLogprob> {
    let (token, logprob) = pair(entry)?;
    let top = entry.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
    Some(TokenLogprob { token, logprob, top: top.filter_map(pair).collect() })
}

fn pair(entry: &Value) -> Option<(String, f64)> {
    Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?))
}
