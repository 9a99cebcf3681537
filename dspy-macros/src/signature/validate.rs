//! Checks that need the whole signature.

use syn::LitStr;

use super::model::{Field, Model, Role};
use crate::errors::Errors;

pub(crate) fn validate(model: &Model, errors: &mut Errors) {
    outputs(model, errors);
    for (at, field) in model.fields.iter().enumerate() {
        name(field, &model.fields[..at], errors);
    }
    for (at, field) in model.fields.iter().enumerate() {
        aliases(field, &model.fields[..at], &model.fields[at + 1..], errors);
    }
}

/// Reports a signature without outputs, unless a field without a role was reported, which is likely the same
/// mistake.
fn outputs(model: &Model, errors: &mut Errors) {
    if model.broken || model.roleless || model.fields_of(Role::Output).next().is_some() {
        return;
    }
    errors
        .on(&model.ident, format!("`{}` asks for nothing; mark at least one field `#[output]`", model.ident));
}

/// Checks a name, which prompts put between markers, and JSON, XML and saved files use as a key.
fn name(field: &Field, before: &[Field], errors: &mut Errors) {
    let name = field.name.value();
    // A name from an attribute is underlined there, the field's own name at the field.
    let at = &field.name;
    if let Some(purpose) = dspy_grammar::reserved(&name) {
        errors.at(
            at.span(),
            format!(
                "`{name}` is reserved for {purpose}; choose another name, or keep the field and write `#[serde(rename = \"…\")]`"
            ),
        );
    } else if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        errors.at(
            at.span(),
            format!("`{name}` cannot name a field in prompts; use letters, digits, `_` and `-`"),
        );
    }
    let other = before.iter().find(|other| other.name.value() == name);
    if let Some(other) = other {
        errors.at(
            at.span(),
            format!(
                "`{name}` is already the name of the field `{}` in prompts; rename one of the two",
                other.ident
            ),
        );
    }
}

/// Checks the aliases. Replies may use them in any case and with any separators, so an alias must not match
/// another field.
fn aliases(field: &Field, before: &[Field], after: &[Field], errors: &mut Errors) {
    let fold = |name: &str| name.replace(|c: char| !c.is_alphanumeric(), "").to_lowercase();
    for alias in &field.aliases {
        let name = alias.value();
        if let Some(purpose) = dspy_grammar::reserved(&name.to_lowercase()) {
            errors.at(alias.span(), format!("`{name}` is reserved for {purpose}; remove this alias"));
        }
        let means = |text: &LitStr| fold(&text.value()) == fold(&name);
        let mut others = before.iter().chain(after).filter(|other| means(&other.name));
        // For two fields with the same alias, the second is reported.
        let mut aliased = before.iter().filter(|other| other.aliases.iter().any(means));
        if let Some(other) = others.next().or_else(|| aliased.next()) {
            let other = &other.ident;
            errors.at(alias.span(), format!("`{name}` may also mean the field `{other}`; remove this alias"));
        }
    }
}
