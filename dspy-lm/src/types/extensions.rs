//! What goes with a request beside what is asked.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Values that go with a [`Request`](crate::Request) through this process, one of each type: for layers and models that
/// know what put them there. They are no part of what is asked: not sent, not in the digest, and requests that differ
/// in them alone are equal.
///
/// ```
/// use dspy_lm::{Message, Request};
///
/// struct Tenant(&'static str);
///
/// let mut request = Request::new(vec![Message::user("Say hello.")]);
/// request.extensions.insert(Tenant("acme"));
/// assert_eq!(request.extensions.get::<Tenant>().unwrap().0, "acme");
/// assert_eq!(request, Request::new(vec![Message::user("Say hello.")]));
/// ```
#[derive(Clone, Default)]
pub struct Extensions(Vec<Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Adds a value, in the place of one of the same type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        self.insert_shared(Arc::new(value));
    }

    /// Adds a value that is shared with others.
    pub fn insert_shared<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        self.0.retain(|old| !old.is::<T>());
        self.0.push(value);
    }

    /// The value of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }
}

impl PartialEq for Extensions {
    /// Always: equal requests may come from different places.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}
