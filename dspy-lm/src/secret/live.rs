//! The credentials of all handles of this process, which are hidden when answers of models are stored.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use serde_json::Value;

#[cfg(feature = "http")]
use super::Secret;
use super::Secrets;
use dspy_base::locks::MutexExt as _;

/// The minimum length of a hidden credential; a shorter one may be a word of an answer, which must not be garbled.
#[cfg(feature = "http")]
const SHORTEST: usize = 12;

static LIVE: LazyLock<Mutex<Live>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Live {
    /// The credentials by digest; handles with the same credentials share them.
    known: HashMap<[u8; 32], Weak<Secrets>>,
    /// The size at which the next sweep for removable entries starts.
    #[cfg(feature = "http")]
    sweep_at: usize,
}

/// Registers these credentials for as long as the result is held.
#[cfg(feature = "http")]
pub(super) fn register(credentials: &[Secret]) -> Arc<Secrets> {
    let credentials = credentials.iter().filter(|secret| secret.expose().len() >= SHORTEST);
    let mut credentials: Vec<&str> = credentials.map(Secret::expose).collect();
    credentials.sort_unstable();
    credentials.dedup();
    let mut hash = blake3::Hasher::new();
    for secret in &credentials {
        hash.update(&(secret.len() as u64).to_le_bytes()).update(secret.as_bytes());
    }
    let id = *hash.finalize().as_bytes();
    let mut live = LIVE.lock_any();
    if let Some(known) = live.known.get(&id).and_then(Weak::upgrade) {
        return known;
    }
    let mut secrets = Secrets::default();
    credentials.into_iter().for_each(|secret| secrets.add(secret));
    let secrets = Arc::new(secrets);
    if secrets.is_empty() {
        return secrets;
    }
    if live.known.len() >= live.sweep_at {
        live.known.retain(|_, known| known.strong_count() > 0);
        live.sweep_at = 2 * live.known.len().max(32);
    }
    live.known.insert(id, Arc::downgrade(&secrets));
    secrets
}

fn known() -> Vec<Arc<Secrets>> {
    let live = LIVE.lock_any();
    live.known.values().filter_map(Weak::upgrade).collect()
}

/// Returns `text` without the credentials of any handle.
pub fn hide_live(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for secrets in known() {
        let scrubbed = secrets.scrub(&text);
        if scrubbed != *text {
            text = scrubbed.into();
        }
    }
    text
}

/// Removes the credentials of all handles from the strings of a value.
pub(crate) fn hide_live_in(value: &mut Value) {
    fn hide(value: &mut Value, known: &[Arc<Secrets>]) {
        match value {
            Value::String(text) => known.iter().for_each(|secrets| *text = secrets.scrub(text)),
            Value::Array(items) => items.iter_mut().for_each(|item| hide(item, known)),
            Value::Object(members) => members.values_mut().for_each(|member| hide(member, known)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let known = known();
    if !known.is_empty() {
        hide(value, &known);
    }
}
