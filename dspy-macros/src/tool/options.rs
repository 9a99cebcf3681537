//! The arguments of `#[tool(…)]`.

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, Ident, LitStr, Token};

use super::model::{Approval, ArgumentDefault};
use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::skip_to_comma;
use dspy_grammar::remedy;

/// The place of the attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Function,
    Impl,
    Method,
    Argument,
}

impl Place {
    const fn options(self) -> &'static [&'static str] {
        match self {
            Place::Function => &["name", "approval", "crate"],
            Place::Impl => &["crate"],
            Place::Method => &["name", "approval", "skip"],
            Place::Argument => &["name", "alias", "default"],
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Place::Function => "on a function the options are `name`, `approval` and `crate`",
            Place::Impl => "on an `impl` block the only option is `crate`",
            Place::Method => "on a method the options are `name`, `approval` and `skip`",
            Place::Argument => "on an argument the options are `name`, `alias` and `default`",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) krate: Krate,
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<ArgumentDefault>,
    pub(crate) approval: Option<Approval>,
    /// The word, if it is there.
    pub(crate) skip: Option<Ident>,
}

impl Options {
    pub(crate) fn parse(args: TokenStream, place: Place, errors: &mut Errors) -> Self {
        let mut options = Options::default();
        options.add(args, place, errors);
        options
    }

    pub(crate) fn add(&mut self, args: TokenStream, place: Place, errors: &mut Errors) {
        let parsed = (|input: ParseStream<'_>| {
            while !input.is_empty() {
                self.add_one(input, place, errors)?;
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })
        .parse2(args);
        errors.ok(parsed);
    }

    fn add_one(&mut self, input: ParseStream<'_>, place: Place, errors: &mut Errors) -> syn::Result<()> {
        let option = input.call(Ident::parse_any)?;
        let known = option.to_string();
        if !place.options().contains(&known.as_str()) {
            let names = place.options().iter().copied();
            let remedy = remedy(&known, names, || place.in_words().into());
            errors.on(&option, format!("unknown option `{known}`; {remedy}"));
            return skip_to_comma(input);
        }
        let twice = match known.as_str() {
            "crate" => {
                if let Some(krate) = errors.ok(Krate::parse_value(input)) {
                    self.krate = krate;
                }
                false
            }
            "name" => self.name.replace(text(input)?).is_some(),
            "alias" => {
                self.aliases.push(text(input)?);
                false
            }
            "default" => {
                let default = value(input)?.map_or(ArgumentDefault::Trait, ArgumentDefault::Value);
                self.default.replace(default).is_some()
            }
            "approval" => {
                let approval = value(input)?.map_or(Approval::Always, Approval::If);
                check_condition(&approval, errors);
                self.approval.replace(approval).is_some()
            }
            _ => self.skip.replace(option.clone()).is_some(),
        };
        if twice {
            errors.on(option, format!("duplicate `{known}`; keep one"));
        }
        Ok(())
    }
}

/// Checks the form of a condition for approval, as far as it is visible.
fn check_condition(approval: &Approval, errors: &mut Errors) {
    match approval {
        Approval::If(Expr::Closure(closure)) if closure.inputs.len() != 1 => errors.on(
            if closure.inputs.is_empty() {
                closure.to_token_stream()
            } else {
                closure.inputs.to_token_stream()
            },
            "the condition gets one value, the object with the arguments of the call; write \
             `approval = |arguments| arguments[\"amount\"].as_f64() > Some(100.0)`",
        ),
        Approval::If(literal @ Expr::Lit(_)) => errors.on(
            literal,
            "the condition is a function of the arguments; write `approval` alone for every call, or \
             `approval = |arguments| …`",
        ),
        _ => {}
    }
}

/// Parses `= "…"`.
fn text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Token![=]>()?;
    let value: Expr = input.parse()?;
    syn::parse2(value.to_token_stream())
        .map_err(|_| syn::Error::new_spanned(&value, "expected a name in quotes, as in `name = \"search\"`"))
}

/// Parses `= expression`, if it is there.
fn value(input: ParseStream<'_>) -> syn::Result<Option<Expr>> {
    match input.parse::<Option<Token![=]>>()? {
        Some(_) => input.parse().map(Some),
        None => Ok(None),
    }
}
