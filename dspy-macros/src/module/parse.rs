//! Parsing of the user's struct into the model of `#[module]`.

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{Attribute, Field, Ident, ItemStruct, LitStr, Path, Token, Type};

use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::skip_to_comma;
use dspy_grammar::remedy;

/// A program.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) krate: Krate,
    /// Whether the macro implements `Clone`.
    pub(crate) clone: bool,
    pub(crate) parts: Vec<Part>,
}

/// A sub-module in a field.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// The name in paths.
    pub(crate) name: String,
    pub(crate) cfgs: Vec<Attribute>,
}

/// The options of `#[module(…)]` on the struct.
#[derive(Debug, Default)]
pub(crate) struct Options {
    krate: Krate,
    no_clone: bool,
}

impl Options {
    pub(crate) fn parse(args: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Options::default();
        each(args, errors, |name, input, errors| {
            match name.to_string().as_str() {
                "crate" => options.krate = Krate::parse_value(input)?,
                "no_clone" => options.no_clone = true,
                other => {
                    let all =
                        "on a struct the options are `no_clone` and `crate`, on a field `skip` and `name`";
                    let remedy = remedy(other, ["no_clone", "crate"], || all.into());
                    errors.on(name, format!("unknown option `{other}`; {remedy}"));
                    skip_to_comma(input)?;
                }
            }
            Ok(())
        });
        options
    }
}

pub(crate) fn module(options: Options, item: &mut ItemStruct, errors: &mut Errors) -> Model {
    let mut parts = Vec::with_capacity(item.fields.len());
    for field in &mut item.fields {
        parts.extend(part(field, errors));
    }
    for (at, part) in parts.iter().enumerate() {
        if let Some(other) =
            parts[..at].iter().find(|other| other.name == part.name && other.ident != part.ident)
        {
            let message =
                format!("`{}` is already the name of the field `{}`; choose another", part.name, other.ident);
            errors.on(&part.ident, message);
        }
    }
    Model { krate: options.krate, clone: !options.no_clone && !derives_clone(&item.attrs), parts }
}

fn part(field: &mut Field, errors: &mut Errors) -> Option<Part> {
    let (mut skip, mut name) = (false, None);
    field.attrs.retain(|attr| {
        if !attr.path().is_ident("module") {
            return true;
        }
        let list = errors.ok(attr.meta.require_list()).map(|list| list.tokens.clone());
        each(list.unwrap_or_default(), errors, |option, input, errors| {
            let twice = match option.to_string().as_str() {
                "skip" => std::mem::replace(&mut skip, true),
                "name" => {
                    input.parse::<Token![=]>()?;
                    name.replace(input.parse::<LitStr>()?).is_some()
                }
                other => {
                    let remedy = remedy(other, ["skip", "name"], || {
                        "on a field the options are `skip` and `name`".into()
                    });
                    errors.on(option, format!("unknown option `{other}`; {remedy}"));
                    // It is most likely not a sub-module; an error about missing predictors would be
                    // redundant.
                    skip = true;
                    skip_to_comma(input)?;
                    false
                }
            };
            if twice {
                errors.on(option, format!("duplicate `{option}`; keep one"));
            }
            Ok(())
        });
        false
    });
    let ident = field.ident.clone()?;
    if let Some(name) = &name {
        check_name(name, skip, errors);
    }
    (!skip).then(|| Part {
        ty: field.ty.clone(),
        name: name.map_or_else(|| ident.unraw().to_string(), |name| name.value()),
        cfgs: field.attrs.iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect(),
        ident,
    })
}

fn check_name(name: &LitStr, skip: bool, errors: &mut Errors) {
    let value = name.value();
    if skip {
        errors.on(name, "a skipped field has no name in paths; remove `skip` or `name`");
    } else if value.is_empty()
        || value.contains(['.', '[', ']', '\'', '"'])
        || value.contains(char::is_whitespace)
    {
        errors.on(name, format!("`{value}` cannot stand in a path; use letters, digits and `_`"));
    }
}

/// Calls `option` with the name of each comma-separated option; it parses the rest.
fn each(
    tokens: TokenStream,
    errors: &mut Errors,
    mut option: impl FnMut(&Ident, ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    let parsed = (|input: ParseStream<'_>| {
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            option(&name, input, errors)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    })
    .parse2(tokens);
    errors.ok(parsed);
}

fn derives_clone(attrs: &[Attribute]) -> bool {
    attrs.iter().filter(|attr| attr.path().is_ident("derive")).any(|attr| {
        let paths = attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
        paths.is_ok_and(|paths| {
            paths.iter().any(|path| path.segments.last().is_some_and(|segment| segment.ident == "Clone"))
        })
    })
}
