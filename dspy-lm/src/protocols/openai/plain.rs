//! Fast decoding of common replies in one pass, without a tree of values.
//!
//! Anything uncommon, such as tool calls, log-probabilities, an error or a member of another type, is rejected here
//! and left to the reader of [all shapes](super::response). For replies that both can read, their results are equal.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::network::transport::Answer;
use crate::protocols::wire::{completion_of, finish_word};
use crate::{Completion, Response, Usage};

/// Defines an object of which these members are read and the others skipped. Unlike objects derived by serde, it is
/// read only from a JSON object, and `null` counts as a missing member.
macro_rules! object {
    ($name:ident { $($member:ident: $type:ty),* $(,)? }) => {
        #[derive(Default)]
        struct $name<'a> {
            $($member: Option<$type>,)*
            borrowed: PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members<'a>(PhantomData<&'a ()>);

                impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        // Names with escapes are uncommon.
                        while let Some(name) = map.next_key::<&str>()? {
                            match name {
                                $(stringify!($member) if object.$member.is_none() => {
                                    object.$member = map.next_value()?;
                                })*
                                $(stringify!($member) => return Err(A::Error::custom("duplicate member")),)*
                                _ => drop(map.next_value::<IgnoredAny>()?),
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(Members(PhantomData))
            }
        }
    };
}

object!(Reply {
    id: String,
    model: String,
    choices: Vec<Choice<'a>>,
    usage: Spent<'a>,
    error: Unusual,
});

object!(Choice {
    index: u64,
    message: Turn<'a>,
    finish_reason: &'a str,
    logprobs: Unusual,
    error: Unusual,
});

object!(Turn {
    content: String,
    reasoning_content: String,
    reasoning: String,
    refusal: String,
    tool_calls: [Unusual; 0],
    function_call: Unusual,
    reasoning_details: [Unusual; 0],
});

object!(Spent {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_cache_hit_tokens: u64,
    prompt_tokens_details: PromptDetails<'a>,
    completion_tokens_details: CompletionDetails<'a>,
    cost: Unusual,
    cost_in_usd_ticks: Unusual,
});

object!(PromptDetails { cached_tokens: u64, cache_write_tokens: u64 });

object!(CompletionDetails { reasoning_tokens: u64 });

/// A member that common replies do not have.
struct Unusual;

impl<'de> Deserialize<'de> for Unusual {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("unusual"))
    }
}

/// Reads a common reply to the model with this name; returns `None` for all others.
pub(super) fn read(answer: &Answer, model: &str) -> Option<Response> {
    let reply: Reply<'_> = serde_json::from_str(std::str::from_utf8(&answer.body).ok()?).ok()?;
    let mut choices = reply.choices.filter(|choices| !choices.is_empty())?;
    choices.sort_by_key(|choice| choice.index);
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    Some(Response {
        completions: choices.into_iter().map(completion).collect::<Option<_>>()?,
        usage: usage(&reply.usage.unwrap_or_default()),
        model: said(reply.model).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| said(reply.id)),
        cached: false,
    })
}

fn completion(choice: Choice<'_>) -> Option<Completion> {
    let finish = choice.finish_reason.map_or(Ok(None), finish_word).ok()?.unwrap_or_default();
    let Turn { content, reasoning_content, reasoning, refusal, .. } = choice.message?;
    let reasoning = reasoning_content.filter(|text| !text.is_empty()).or(reasoning);
    Some(completion_of(content.unwrap_or_default(), reasoning, refusal, finish))
}

fn usage(tokens: &Spent<'_>) -> Usage {
    let count = Option::unwrap_or_default;
    let prompt = tokens.prompt_tokens_details.as_ref();
    let completion = tokens.completion_tokens_details.as_ref();
    let read = count(prompt.and_then(|prompt| prompt.cached_tokens));
    Usage::tokens(count(tokens.prompt_tokens), count(tokens.completion_tokens))
        .prompt_cache(
            read.max(count(tokens.prompt_cache_hit_tokens)),
            count(prompt.and_then(|prompt| prompt.cache_write_tokens)),
        )
        .reasoning(count(completion.and_then(|completion| completion.reasoning_tokens)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocols::openai::response;

    const USUAL: &str = r#"{"id": "chat-1", "object": "chat.completion", "model": "m-2026", "choices": [
        {"index": 1, "message": {"role": "assistant", "content": "b\n\u00e9", "refusal": null, "annotations": []},
         "logprobs": null, "finish_reason": "length"},
        {"index": 0, "message": {"content": "a", "reasoning_content": "", "reasoning": "so", "tool_calls": []},
         "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_cache_hit_tokens": 3,
         "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 1}}, "service_tier": "default"}"#;

    /// Returns the common reply with one piece replaced.
    fn with(piece: &str, other: &str) -> String {
        assert!(USUAL.contains(piece), "{piece}");
        USUAL.replacen(piece, other, 1)
    }

    /// Returns whether the reply is read here, and asserts that the general reader agrees.
    fn is_usual(body: &[u8]) -> bool {
        let answer = Answer::of(body);
        let Some(here) = read(&answer, "m") else { return false };
        assert_eq!(response::read_any(&answer, "m").ok(), Some(here), "{}", String::from_utf8_lossy(body));
        true
    }

    #[test]
    fn usual_replies_are_read_as_they_are_elsewhere() {
        assert!(is_usual(USUAL.as_bytes()));
        for (piece, other) in [
            ("\"chat-1\"", "\"\""),
            ("\"m-2026\"", "null"),
            ("\"index\": 1", "\"index\": null"),
            ("\"content\": \"a\"", "\"content\": null"),
            ("\"refusal\": null", "\"refusal\": \"No.\""),
            ("\"refusal\": null", "\"refusal\": \" \""),
            ("\"reasoning_content\": \"\"", "\"reasoning_content\": \"thus\""),
            ("\"stop\"", "\"FinishReason.MAX_TOKENS\""),
            ("\"stop\"", "\" \""),
            ("\"usage\"", "\"use\""),
            ("\"service_tier\": \"default\"", "\"error\": null"),
            ("\"service_tier\": \"default\"", "\"tier\": [{\"a\": -1e5}]"),
        ] {
            assert!(is_usual(with(piece, other).as_bytes()), "{other}");
        }
    }

    #[test]
    fn unusual_replies_are_left_alone() {
        for (piece, other) in [
            ("\"chat-1\"", "7"),
            ("\"index\": 1", "\"index\": \"1\""),
            ("\"content\": \"a\"", "\"content\": [{\"text\": \"a\"}]"),
            ("\"content\": \"a\"", "\"content\": \"a\", \"content\": \"b\""),
            ("\"content\": \"a\"", "\"content\": \"\\ud83d\""),
            ("\"tool_calls\": []", "\"tool_calls\": [{}]"),
            ("\"tool_calls\": []", "\"reasoning_details\": [1]"),
            ("\"logprobs\": null", "\"logprobs\": {}"),
            ("\"finish_reason\": \"stop\"", "\"finish_reason\": \"error\""),
            ("\"finish_reason\": \"stop\"", "\"error\": {\"message\": \"no\"}"),
            ("\"prompt_tokens\": 9", "\"prompt_tokens\": 9.5"),
            ("\"prompt_tokens\": 9", "\"cost\": 0.1"),
            ("\"service_tier\"", "\"error\""),
            ("\"choices\"", "\"choice\""),
        ] {
            assert!(!is_usual(with(piece, other).as_bytes()), "{other}");
        }
        for body in ["", "[]", "null", "{\"choices\": []}", "{\"choices\": [[0, [\"a\"], \"stop\"]]}"] {
            assert!(!is_usual(body.as_bytes()), "{body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn damage_is_read_as_it_is_elsewhere(
            at in 0..USUAL.len(),
            length in 0_usize..12,
            instead in proptest::collection::vec(proptest::sample::select(b"\"\\u{}[]nul01-.e:, a\xE9".as_slice()), 0..6),
        ) {
            let mut body = USUAL.as_bytes().to_vec();
            let end = (at + length).min(body.len());
            body.splice(at..end, instead);
            is_usual(&body);
        }
    }
}
