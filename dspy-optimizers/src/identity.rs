//! The identity of programs and models, for headers of journals and names of effects.

use dspy_base::digest::Digest;
use dspy_core::lm::{Lm, Params, Request};
use dspy_core::program::{HasPredictors, current_lm};
use dspy_core::signature::Values;
use serde_json::{Value, json};

/// Returns the identity of a program by predictor path: everything that determines its replies.
pub(crate) fn program_identity(program: &impl HasPredictors) -> Value {
    let ambient = current_lm();
    let predictors = program.named_predictors().into_iter().map(|(path, predictor)| {
        let model = predictor.lm().or(ambient.as_ref()).map(model_identity);
        // The rendered prompt covers the adapter, the instruction, the descriptions and the demonstrations.
        let blank: Values =
            predictor.spec().inputs().map(|field| (field.name().to_owned(), Value::Null)).collect();
        let prompt = Request::new(predictor.render(&blank).unwrap_or_default());
        let identity = json!({
            "signature": predictor.declared().fingerprint(),
            "prompt": request_digest(&prompt),
            "params": params_digest(predictor.params()),
            "model": model,
        });
        (path, identity)
    });
    Value::Object(predictors.collect())
}

/// Returns the identity of a model. Parts of the address that may be secret are digests.
pub(crate) fn model_identity(lm: &Lm) -> Value {
    json!({"name": lm.id(), "endpoint": lm.deployment(), "params": params_digest(lm.params())})
}

fn params_digest(params: &Params) -> String {
    let mut request = Request::new(Vec::new());
    request.params = params.clone();
    request_digest(&request)
}

fn request_digest(request: &Request) -> String {
    Digest::new().add_text(&request.digest().to_string()).short()
}
