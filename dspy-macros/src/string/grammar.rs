//! Parsing of `inputs -> outputs`.

use dspy_grammar::Problem;
use proc_macro2::Ident;
use quote::quote;
use syn::{LitStr, Token, Type, Visibility, parse_quote};

use super::literal::{LiteralEnum, prefix};
use super::source::Source;
use super::types::{Types, ident};
use crate::docs::Docs;
use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::{Field, Role};

/// The parsed signature string.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) fields: Vec<Field>,
    pub(crate) enums: Vec<LiteralEnum>,
}

/// Parses the string; `signature` is the name of the struct. A field with an error is omitted, unless only
/// its type is invalid: then its type is `String`.
pub(crate) fn parse(source: &Source, signature: &Ident, krate: &Krate, errors: &mut Errors) -> Parsed {
    let parsed = dspy_grammar::parse(source.text());
    let mut types = Types { source, krate, prefix: String::new(), enums: Vec::new() };
    let mut problems = parsed.problems;
    let mut fields = Vec::new();
    for (role, side) in [(Role::Input, parsed.inputs), (Role::Output, parsed.outputs)] {
        for read in side {
            match field(&read, role, signature, &mut types) {
                Ok((field, problem)) => {
                    fields.push(field);
                    problems.extend(problem);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    problems.sort_by_key(|problem| problem.at);
    for problem in &problems {
        source.report(problem, errors);
    }
    Parsed { fields, enums: types.enums }
}

/// Converts a field; the problem is that of its type.
fn field(
    read: &dspy_grammar::Field,
    role: Role,
    signature: &Ident,
    types: &mut Types<'_>,
) -> Result<(Field, Option<Problem>), Problem> {
    let ident = ident(&read.name, types.source, read.at)?;
    types.prefix = prefix(signature, &read.name);
    let text: Type = parse_quote!(::std::string::String);
    let tokens = read.ty.as_ref().map_or_else(|| Ok(quote!(::std::string::String)), |ty| types.tokens(ty));
    let parsed = tokens
        .and_then(|tokens| syn::parse2(tokens).map_err(|error| Problem::new(read.at, error.to_string())));
    let (ty, problem) = match parsed {
        Ok(ty) => (ty, None),
        Err(problem) => (text, Some(problem)),
    };
    let field = Field {
        role,
        vis: Visibility::Public(<Token![pub]>::default()),
        name: LitStr::new(&read.name, ident.span()),
        ident,
        ty,
        docs: Docs::default(),
        aliases: Vec::new(),
        default: None,
        schema: Vec::new(),
        checks: Vec::new(),
        lints: Vec::new(),
    };
    Ok((field, problem))
}
