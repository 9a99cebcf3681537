//! Strategies: ways to obtain the outputs of a signature from a model.

mod chain_of_thought;
mod dynamic;
mod single_predictor;
mod stream;
mod stream_state;
mod typed;

pub use crate::predictor::{Attempt, Prediction, Predictor};
pub use chain_of_thought::ChainOfThought;
pub use dynamic::DynPredict;
pub use stream::{DynStream, PredictStream};
pub use typed::Predict;
