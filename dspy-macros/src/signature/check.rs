//! Rules that need the whole signature.

use syn::LitStr;

use super::model::{Field, Model, Role};
use crate::errors::Errors;

pub(crate) fn check(model: &Model, errors: &mut Errors) {
    outputs(model, errors);
    for (at, field) in model.fields.iter().enumerate() {
        name(field, &model.fields[..at], errors);
    }
    for (at, field) in model.fields.iter().enumerate() {
        aliases(field, &model.fields[..at], &model.fields[at + 1..], errors);
    }
}

/// Without an output there is nothing to ask for. When a field has no role, that was reported, and the missing output
/// is likely the same slip.
fn outputs(model: &Model, errors: &mut Errors) {
    if model.broken || model.roleless || model.fields_of(Role::Output).next().is_some() {
        return;
    }
    errors
        .on(&model.ident, format!("`{}` asks for nothing; mark at least one field `#[output]`", model.ident));
}

/// Names stand between markers in prompts and as keys in JSON, XML and saved files.
fn name(field: &Field, before: &[Field], errors: &mut Errors) {
    let name = field.name.value();
    // A name that was written as such is underlined there, one that is the field's own at the field.
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

/// Replies may call a field by an alias, in whatever case and with whatever separators, so that it must not mean
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
        // Of two fields with the same alias, the second is reported.
        let mut aliased = before.iter().filter(|other| other.aliases.iter().any(means));
        if let Some(other) = others.next().or_else(|| aliased.next()) {
            let other = &other.ident;
            errors.at(alias.span(), format!("`{name}` may also mean the field `{other}`; remove this alias"));
        }
    }
}
