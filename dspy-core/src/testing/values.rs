//! Random values for the replies of a fake model.

use serde_json::Value;

use super::calls;
use crate::lm::{Request, ToolChoice};
use crate::predictor::{OfferedTools, Prepared};
use crate::signature::{FieldSpec, SignatureSpec, Values};
use dspy_base::Rng;

/// Returns values of all outputs. Values that were `stated` before are kept.
///
/// # Errors
/// If no value was found for a field.
pub(super) fn outputs(
    prepared: &Prepared,
    request: &Request,
    stated: Option<&Values>,
    rng: &mut Rng,
) -> Result<Values, String> {
    let view = &prepared.view;
    let mut values = Values::new();
    for field in view.spec.outputs() {
        if let Some(value) = stated.and_then(|stated| stated.get(field.name())) {
            values.insert(field.name().to_owned(), value.clone());
            continue;
        }
        let offered = view
            .calls()
            .filter(|(calls, _)| calls.name() == field.name())
            .map(|_| request.extensions.get().map_or(&[][..], |OfferedTools(tools)| &tools.specs));
        let value = match offered {
            Some(tools) => calls::sample(tools, 0, rng)?,
            None => one(&view.spec, field, rng)?,
        };
        values.insert(field.name().to_owned(), value);
    }
    if let Some((field, true)) = view.calls() {
        // Without another output, a reply without calls would be empty.
        let must =
            view.is_bare() || matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
        let named = |name: &str| match &request.tool_choice {
            ToolChoice::Named(wanted) => **wanted == *name,
            _ => true,
        };
        let tools: Vec<_> = request.tools.iter().filter(|tool| named(&tool.name)).cloned().collect();
        let value = match request.tool_choice {
            ToolChoice::None => Value::Array(Vec::new()),
            _ => calls::sample(&tools, usize::from(must), rng)?,
        };
        values.insert(field.name().to_owned(), value);
    }
    if let Some(field) = view.reasoning() {
        values.insert(field.name().to_owned(), one(&view.spec, field, rng)?);
    }
    Ok(values)
}

/// Returns a value of one field.
pub(super) fn one(spec: &SignatureSpec, field: &FieldSpec, rng: &mut Rng) -> Result<Value, String> {
    let plan =
        field.plan().map_err(|error| format!("output `{}` of {}: {error}", field.name(), spec.name()))?;
    plan.sample(rng).ok_or_else(|| {
        format!(
            "no value was found for output `{}` of {}: its limits are beyond guessing; give it one with `FakeLm::edit` \
             or use a scripted model",
            field.name(),
            spec.name()
        )
    })
}
