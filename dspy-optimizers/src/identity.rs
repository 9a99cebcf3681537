//! The identity of programs and models, for headers of journals and names of effects.

use dspy_base::digest::Digest;
use dspy_core::lm::{Lm, Params, Request};
use dspy_core::program::{HasPredictors, current_lm, module_settings};
use dspy_core::signature::Values;
use serde_json::{Value, json};

/// Returns the identity of a program by the paths of its predictors, and of those modules that have settings in code:
/// everything that determines its replies and has a description.
pub(crate) fn program_identity(program: &impl HasPredictors) -> Value {
    let ambient = current_lm();
    let predictors = program.named_predictors().into_iter().map(|(path, predictor)| {
        let model = predictor.lm().or(ambient.as_ref()).map(model_identity);
        // The rendered prompt covers the adapter, the instruction, the descriptions and the demonstrations.
        let blank: Values =
            predictor.spec().inputs().map(|field| (field.name().to_owned(), Value::Null)).collect();
        let prompt = Request::new(predictor.render(&blank).unwrap_or_default());
        let mut identity = json!({
            "signature": predictor.declared().fingerprint(),
            "prompt": request_digest(&prompt),
            "params": params_digest(predictor.params()),
            "model": model,
        });
        // Tools are inputs, so a prompt without inputs does not have their descriptions.
        if !predictor.tool_descriptions().is_empty() {
            let mut digest = Digest::new();
            for (name, text) in predictor.tool_descriptions() {
                digest.add_text(name);
                digest.add_text(text);
            }
            identity["tools"] = digest.short().into();
        }
        (path, identity)
    });
    Value::Object(predictors.chain(module_settings(program)).collect())
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
