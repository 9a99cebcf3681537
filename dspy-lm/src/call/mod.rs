//! The call of a model: the handle, the layers of handles and scopes, and the step that runs the model.
//!
//! Higher modules charge and count the calls of a scope by the traits in [`hooks`].

pub(crate) mod dispatch;
pub(crate) mod handle;
pub(crate) mod hooks;
pub(crate) mod layer;
pub(crate) mod observer;
pub(crate) mod scope;
