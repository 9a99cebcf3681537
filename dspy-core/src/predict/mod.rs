//! Strategies: how a signature is carried out.

mod call;
mod chain_of_thought;
mod dynamic;
mod extract;
mod prediction;
mod predictor;
mod prepared;
mod typed;

pub use chain_of_thought::ChainOfThought;
pub use dynamic::DynPredict;
pub use prediction::Prediction;
pub use predictor::Predictor;
pub(crate) use predictor::PredictorId;
pub use typed::Predict;
