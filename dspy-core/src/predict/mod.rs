//! Strategies: how a signature is carried out.

mod arriving;
mod attempt;
mod call;
mod chain_of_thought;
mod dynamic;
mod extract;
mod leaf;
mod prediction;
mod predictor;
mod prepared;
mod refusal;
mod stream;
mod typed;
mod watch;

pub use attempt::Attempt;
pub use chain_of_thought::ChainOfThought;
pub use dynamic::DynPredict;
pub use prediction::Prediction;
pub use predictor::Predictor;
pub(crate) use prepared::{OfferedTools, Prepared};
pub use stream::{DynStream, PredictStream};
pub use typed::Predict;
