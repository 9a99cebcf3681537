//! The attribute `#[module]`.

mod expand;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Fields, Item, ItemStruct};

use crate::errors::Errors;
use crate::signature::kind;
use parse::Options;

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(args, &mut errors);
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(item)) => expand_struct(options, item, errors),
        Ok(other) => {
            let found = kind(&other);
            let remedy = match other {
                Item::Impl(_) | Item::Fn(_) => "put it on the struct of the program",
                _ => "put the sub-modules into a struct",
            };
            errors.on(&other, format!("`#[module]` goes on a struct, not on {found}; {remedy}"));
            quote!(#errors #other)
        }
        Err(error) => {
            errors.push(error);
            quote!(#errors #item)
        }
    }
}

fn expand_struct(options: Options, mut item: ItemStruct, mut errors: Errors) -> TokenStream {
    if let Fields::Unnamed(fields) = &item.fields {
        errors.on(
            fields,
            format!("the fields of a module need names, they are the paths of its predictors; write `struct {} {{ name: … }}`", item.ident),
        );
    }
    let model = parse::module(options, &mut item, &mut errors);
    let implementation = expand::module(&model, &item);
    let shape = expand::shape(&model, &item);
    let clone = model.clone.then(|| expand::clone(&model, &item));
    quote!(#errors #item #implementation #shape #clone)
}
