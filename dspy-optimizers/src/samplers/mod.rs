//! Samplers for optimizers that search over choices.

mod error;
mod random;
mod thompson;
mod tpe;

pub use error::SamplerError;
pub use thompson::Thompson;
pub use tpe::Tpe;
