//! Cache keys.

use std::fmt;

use crate::{Lm, Request};

/// A digest of the model, the endpoint, everything in the request that can change the reply, and the tenant
/// if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Computes the key. `request` must be [completed](Lm::completed).
    pub(super) fn of(lm: &Lm, request: &Request, tenant: Option<&str>) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(b"answer/1");
        for name in [lm.id(), lm.endpoint()] {
            hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        }
        hash.update(request.digest().as_bytes());
        if let Some(tenant) = tenant {
            // The data before has a fixed length, so that the tenant's name cannot be confused with it.
            hash.update(b"tenant").update(tenant.as_bytes());
        }
        Key(*hash.finalize().as_bytes())
    }

    /// Parses the output of `Display`.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut key = [0; 32];
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != key.len() {
            return None;
        }
        for (byte, [high, low]) in key.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Key(key))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn prints_and_reads_itself_only() {
        let key = Key::of(&Lm::builtin(), &Request::new(vec![Message::user("a")]), None);
        let hex = key.to_string();
        assert_eq!((hex.len(), Key::parse(&hex)), (64, Some(key)));
        for bad in [&hex[1..], &hex.to_uppercase(), &hex.replace('0', "é"), "", &format!("{hex}00")] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }
}
