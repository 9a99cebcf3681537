//! The attribute `#[demo(field = value, …)]`.

use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Ident, Token};

use super::model::{Demo, Field, Role};
use crate::errors::Errors;
use dspy_grammar::remedy;

struct Pair {
    field: Ident,
    value: Expr,
}

impl Parse for Pair {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let field = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok(Pair { field, value: input.parse()? })
    }
}

/// Parses a demonstration. rustc checks the types of its values.
pub(crate) fn parse(attr: &Attribute, fields: &[Field], errors: &mut Errors) -> Option<Demo> {
    let pairs = errors.ok(attr.parse_args_with(Punctuated::<Pair, Token![,]>::parse_terminated))?;
    let mut demo = Demo { values: Vec::new(), reasoning: None };
    for Pair { field, value } in pairs {
        let name = field.unraw();
        let twice = match fields.iter().position(|known| known.ident.unraw() == name) {
            Some(at) if fields[at].role == Role::Hint => {
                errors.on(
                    &field,
                    format!("`{name}` is a hint, which no model sees; remove it from the demonstration"),
                );
                false
            }
            Some(at) if demo.values.iter().any(|(other, _)| *other == at) => true,
            Some(at) => {
                demo.values.push((at, value));
                false
            }
            None if name == "reasoning" => demo.reasoning.replace(value).is_some(),
            None => {
                errors.on(&field, unknown(&name.to_string(), fields));
                false
            }
        };
        if twice {
            errors.on(&field, format!("duplicate `{name}`; keep one"));
        }
    }
    let given = |at: usize| demo.values.iter().any(|(other, _)| *other == at);
    let missing: Vec<String> = fields
        .iter()
        .enumerate()
        .filter(|(at, field)| field.role != Role::Hint && !given(*at))
        .map(|(_, field)| format!("`{} = …`", field.ident))
        .collect();
    if !missing.is_empty() {
        errors.on(attr.path(), format!("the demonstration is not complete; add {}", missing.join(", ")));
    }
    demo.values.sort_by_key(|(at, _)| *at);
    Some(demo)
}

fn unknown(name: &str, fields: &[Field]) -> String {
    let known: Vec<String> =
        fields.iter().filter(|f| f.role != Role::Hint).map(|f| f.ident.unraw().to_string()).collect();
    let all = || format!("a demonstration has `{}` and may have `reasoning`", known.join("`, `"));
    format!("no field `{name}`; {}", remedy(name, known.iter().map(String::as_str), all))
}
