//! The attribute `#[signature]`.

mod attrs;
mod case;
mod check;
mod demo;
mod expand;
pub(crate) mod limits;
mod model;
mod naming;
mod options;
mod parse;
mod validate;
mod whole;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Item, ItemStruct};

use crate::errors::Errors;
pub(crate) use case::rename_variant;
pub(crate) use expand::spec;
use model::Model;
pub(crate) use model::{Field, Role};
use options::Options;
pub(crate) use options::skip_to_comma;
pub(crate) use whole::{Whole, expand_whole};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(args, &mut errors);
    let item = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(item)) => item,
        Ok(other) => {
            let found = kind(&other);
            errors.on(&other, format!("`#[signature]` goes on a struct with named fields, not on {found}"));
            return quote!(#errors #other);
        }
        Err(error) => {
            errors.push(error);
            return quote!(#errors #item);
        }
    };
    expand_struct(options, item, errors)
}

fn expand_struct(options: Options, mut item: ItemStruct, mut errors: Errors) -> TokenStream {
    let model = parse::signature(options, &mut item, &mut errors);
    let generated = model.map(|model: Model| {
        validate::validate(&model, &mut errors);
        expand::signature(&model)
    });
    let item = item.into_token_stream();
    quote!(#errors #item #generated)
}

/// Returns the kind of the item, in words for a message.
pub(crate) fn kind(item: &Item) -> &'static str {
    match item {
        Item::Struct(_) => "a struct",
        Item::Enum(_) => "an enum",
        Item::Union(_) => "a union",
        Item::Fn(_) => "a function",
        Item::Impl(_) => "an impl block",
        Item::Trait(_) | Item::TraitAlias(_) => "a trait",
        Item::Mod(_) => "a module",
        Item::Type(_) => "a type alias",
        _ => "this",
    }
}
