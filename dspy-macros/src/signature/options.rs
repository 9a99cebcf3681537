//! The arguments of `#[signature(…)]`.

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Ident, Path, Token};

use crate::errors::Errors;
use crate::krate::Krate;
use dspy_grammar::remedy;

/// The options of `#[signature(…)]`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) krate: Krate,
    pub(crate) input: Option<Path>,
    pub(crate) output: Option<Path>,
}

const NAMES: [&str; 3] = ["input", "output", "crate"];

impl Options {
    pub(crate) fn parse(args: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Options::default();
        let parsed = (|input: ParseStream<'_>| {
            while !input.is_empty() {
                options.parse_one(input, errors)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })
        .parse2(args);
        errors.ok(parsed);
        options
    }

    fn parse_one(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let name = input.call(Ident::parse_any)?;
        let known = name.to_string();
        let slot = match known.as_str() {
            "crate" => {
                if let Some(krate) = errors.ok(Krate::parse_value(input)) {
                    self.krate = krate;
                }
                return Ok(());
            }
            "input" => &mut self.input,
            "output" => &mut self.output,
            _ => {
                let remedy = remedy(&known, NAMES, || "the options are `input`, `output` and `crate`".into());
                errors.on(&name, format!("unknown option `{name}`; {remedy}"));
                return skip_to_comma(input);
            }
        };
        input.parse::<Token![=]>()?;
        let path = input.parse()?;
        if slot.replace(path).is_some() {
            errors.on(&name, format!("duplicate `{name}`; keep one"));
        }
        Ok(())
    }
}

/// Skips the rest of an unknown option.
pub(crate) fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}
