//! Strategies: how a signature is carried out.

mod predictor;

pub use predictor::Predictor;
