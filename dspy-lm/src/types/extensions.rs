//! Typed values attached to a request.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Values attached to a [`Request`](crate::Request) within this process, at most one of each type, for layers
/// and models that know the type. They are not part of the request itself: not sent, not in the digest, and
/// ignored by equality.
///
/// ```
/// use dspy_lm::{Message, Request};
///
/// struct Tenant(&'static str);
///
/// let mut request = Request::new(vec![Message::user("Say hello.")]);
/// request.extensions.insert(Tenant("acme"));
/// assert_eq!(request.extensions.get::<Tenant>().unwrap().0, "acme");
/// let without = Request::new(vec![Message::user("Say hello.")]);
/// assert_eq!(request, without);
/// assert_eq!(request.digest(), without.digest());
/// ```
#[derive(Clone, Default)]
pub struct Extensions(Vec<Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Inserts a value; it replaces a value of the same type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        self.insert_shared(Arc::new(value));
    }

    /// Inserts a shared value; it replaces a value of the same type.
    pub fn insert_shared<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        self.0.retain(|old| !old.is::<T>());
        self.0.push(value);
    }

    /// Returns the value of type `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }
}

impl PartialEq for Extensions {
    /// Returns `true`, because equal requests may have different extensions.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}
