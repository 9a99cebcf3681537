//! Digests of requests.

use std::fmt;

use crate::{Content, Detail, Params, Part, PromptCache, Request, ResponseFormat, ToolCall, ToolChoice};

fn put_parts(put: &mut impl FnMut(&[u8]), parts: &[Part]) {
    put(b"parts");
    put(&parts.len().to_le_bytes());
    for part in parts {
        match part {
            Part::Text(text) => {
                put(b"text");
                put(text.as_bytes());
            }
            Part::Media(media) => {
                put(media.kind.as_str().as_bytes());
                put(media.url.as_bytes());
                put(media.detail.map(Detail::as_str).unwrap_or_default().as_bytes());
                put(&[u8::from(media.name.is_some())]);
                put(media.name.as_deref().unwrap_or_default().as_bytes());
            }
        }
    }
}

impl Request {
    /// Returns a digest of everything that can change the reply. Equal requests have equal digests in every
    /// process.
    pub fn digest(&self) -> RequestDigest {
        let mut hash = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        // Every list is preceded by its length and every choice by its name, so that different requests hash
        // different bytes.
        put(b"request/3");
        put(&self.messages.len().to_le_bytes());
        for message in &self.messages {
            put(message.role.as_str().as_bytes());
            match &message.content {
                Content::Calls { text, calls, opaque } => {
                    put(b"calls");
                    put(text.as_bytes());
                    put(&(calls.len() as u64).to_le_bytes());
                    for ToolCall { id, name, arguments } in calls.iter() {
                        put(id.as_deref().unwrap_or_default().as_bytes());
                        put(name.as_bytes());
                        put(arguments.to_string().as_bytes());
                    }
                    if let Some(opaque) = opaque {
                        put(b"opaque");
                        put(opaque.to_string().as_bytes());
                    }
                }
                Content::ToolResult { id, text, parts } => {
                    put(b"result");
                    put(id.as_bytes());
                    put(text.as_bytes());
                    // Results without media have the digests that they always had.
                    if !parts.is_empty() {
                        put_parts(&mut put, parts);
                    }
                }
                Content::Text(text) => {
                    put(b"text");
                    put(text.as_bytes());
                }
                Content::Parts(parts) => put_parts(&mut put, parts),
            }
        }
        // Without `..`, so that a new field does not compile until it is considered here.
        let Params {
            temperature: _,
            top_p: _,
            max_tokens: _,
            n: _,
            seed: _,
            reasoning_effort: _,
            logprobs: _,
            top_logprobs: _,
            prompt_cache: _,
            stop: _,
            extra: _,
        } = &self.params;
        let params = &self.params;
        let fractions = [params.temperature, params.top_p].map(|number| number.map(f64::to_bits));
        let counts = [params.max_tokens.map(u64::from), params.n.map(u64::from), params.seed, self.rollout];
        for number in fractions.into_iter().chain(counts) {
            // A leading tag distinguishes `None` from `Some(0)`.
            put(&number.map(|n| [&[1u8][..], &n.to_le_bytes()].concat()).unwrap_or_default());
        }
        put(&params.stop.len().to_le_bytes());
        for stop in &params.stop {
            put(stop.as_bytes());
        }
        put(&params.extra.len().to_le_bytes());
        // The order of the body's members does not matter; the order within a member may.
        let mut extra: Vec<_> = params.extra.iter().collect();
        extra.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in extra {
            put(key.as_bytes());
            put(value.to_string().as_bytes());
        }
        match &self.format {
            ResponseFormat::Text => put(b"text"),
            ResponseFormat::JsonObject => put(b"json"),
            ResponseFormat::JsonSchema { name, schema } => {
                put(b"schema");
                put(name.as_bytes());
                put(schema.to_string().as_bytes());
            }
        }
        // Rare parameters are hashed only if set, so that the digests of other requests stay the same.
        if let Some(effort) = params.reasoning_effort {
            put(b"effort");
            put(effort.as_str().as_bytes());
        }
        if let Some(logprobs) = params.logprobs {
            put(if logprobs { b"logprobs".as_slice() } else { b"no logprobs" });
        }
        if let Some(count) = params.top_logprobs {
            put(b"top logprobs");
            put(&count.to_le_bytes());
        }
        match &params.prompt_cache {
            None => {}
            Some(PromptCache::Prefix) => put(b"cached prefix"),
            Some(PromptCache::Keyed(key)) => {
                put(b"cache key");
                put(key.as_bytes());
            }
        }
        for tool in &self.tools {
            put(b"tool");
            put(tool.name.as_bytes());
            put(tool.description.as_bytes());
            put(tool.parameters.to_string().as_bytes());
        }
        match &self.tool_choice {
            ToolChoice::Auto => {}
            ToolChoice::None => put(b"no tools"),
            ToolChoice::Required => put(b"any tool"),
            ToolChoice::Named(name) => {
                put(b"this tool");
                put(name.as_bytes());
            }
        }
        RequestDigest(*hash.finalize().as_bytes())
    }
}

/// The digest of a [`Request`]; printed as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns a number that distributes requests evenly.
    pub(crate) fn spread(self) -> usize {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d]) as usize
    }
}

impl fmt::Display for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{Media, MediaKind, Message, Role};

    fn digest(contents: &[Content]) -> RequestDigest {
        let messages = contents.iter().map(|content| Message { role: Role::User, content: content.clone() });
        Request::new(messages.collect()).digest()
    }

    #[test]
    fn no_two_requests_run_together() {
        let text = |text: &str| Part::Text(text.into());
        let media = |kind, url: &str| Part::Media(Media::new(kind, url));
        let named = |name: &str| Part::Media(Media::new(MediaKind::File, "u").with_name(name));
        let parts = |parts: &[Part]| Content::Parts(parts.into());
        let mut digests = vec![
            digest(&[Content::Text("ab".into())]),
            digest(&[Content::Text("a".into()), Content::Text("b".into())]),
            digest(&[parts(&[text("a"), text("b")])]),
            digest(&[parts(&[text("ab")])]),
            digest(&[parts(&[text("a")]), parts(&[text("b")])]),
            digest(&[parts(&[text("image"), text("u")])]),
            digest(&[parts(&[media(MediaKind::Image, "u")])]),
            digest(&[parts(&[media(MediaKind::Audio, "u")])]),
            digest(&[parts(&[media(MediaKind::File, "u")])]),
            digest(&[parts(&[named("")])]),
            digest(&[parts(&[named("u")])]),
            digest(&[parts(&[Part::Media(Media::new(MediaKind::Image, "u").with_detail(Detail::Low))])]),
        ];
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 12);
    }

    #[test]
    fn stops_are_not_options() {
        let mut stop = Request::default();
        stop.params.stop = vec!["k".into(), "1".into()];
        let mut extra = Request::default();
        extra.params.extra.insert("k".into(), 1.into());
        assert_ne!(stop.digest(), extra.digest());
    }

    #[test]
    fn every_parameter_has_its_own_digest() {
        let changes: [fn(&mut Params); 6] = [
            |_| {},
            |params| params.logprobs = Some(true),
            |params| params.logprobs = Some(false),
            |params| params.top_logprobs = Some(2),
            |params| params.prompt_cache = Some(PromptCache::Prefix),
            |params| params.prompt_cache = Some(PromptCache::Keyed("k".into())),
        ];
        let mut digests: Vec<_> = changes
            .iter()
            .map(|change| {
                let mut request = Request::default();
                change(&mut request.params);
                assert_eq!(request.params.clone().or(&Params::default()), request.params);
                assert_eq!(Params::default().or(&request.params), request.params);
                request.digest()
            })
            .collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 6);
        let call = || ToolCall::new("f", Value::Null);
        let opaque =
            |opaque: Option<Value>| digest(&[Message::calls("", [call()]).with_opaque(opaque).content]);
        assert_ne!(opaque(None), opaque(Some(1.into())));
        assert_ne!(opaque(Some(2.into())), opaque(Some(1.into())));
    }

    #[test]
    fn members_of_the_body_have_no_order_but_what_is_in_them_has() {
        let digest = |extra: &str| {
            let mut request = Request::default();
            request.params.extra = serde_json::from_str(extra).unwrap();
            request.digest()
        };
        assert_eq!(digest(r#"{"a": 1, "b": 2}"#), digest(r#"{"b": 2, "a": 1}"#));
        assert_ne!(digest(r#"{"a": {"x": 1, "y": 2}}"#), digest(r#"{"a": {"y": 2, "x": 1}}"#));
    }
}
