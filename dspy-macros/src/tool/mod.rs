//! The attribute `#[tool]`.

mod expand;
mod model;
mod options;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ImplItem, Item, ItemFn, ItemImpl};

use crate::errors::Errors;
use crate::signature::kind;
use options::{Options, Place};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(item)) => expand_function(args, item, errors),
        Ok(Item::Impl(item)) => expand_impl(args, item, errors),
        Ok(other) => {
            let found = kind(&other);
            errors.on(
                &other,
                format!("`#[tool]` goes on a function or an `impl` block with methods, not on {found}"),
            );
            quote!(#errors #other)
        }
        Err(error) => {
            errors.push(error);
            quote!(#errors #item)
        }
    }
}

fn expand_function(args: TokenStream, mut item: ItemFn, mut errors: Errors) -> TokenStream {
    let options = Options::parse(args, Place::Function, &mut errors);
    if let Some(receiver) = item.sig.receiver() {
        errors.on(receiver, "a method becomes a tool by `#[tool]` on its whole `impl` block; move it there");
        parse::strip(&mut item.sig);
        return quote!(#errors #item);
    }
    let krate = options.krate.clone();
    let function = parse::function(options, &item.attrs, &mut item.sig, &mut errors);
    let generated = match function.filter(|_| errors.is_empty()) {
        Some(function) => expand::function(&krate, &item, &function),
        None => expand::function_stub(&krate, &item),
    };
    quote!(#errors #item #generated)
}

fn expand_impl(args: TokenStream, mut item: ItemImpl, mut errors: Errors) -> TokenStream {
    let options = Options::parse(args, Place::Impl, &mut errors);
    let krate = options.krate;
    if let Some((path, _)) = &item.trait_ {
        errors.on(
            path,
            "the methods of a trait are no tools; put `#[tool]` on an `impl` block of the type itself",
        );
    }
    if !item.generics.params.is_empty() {
        errors.on(
            &item.generics,
            "tools belong to one type; write the `impl` block for a type without parameters",
        );
    }
    let mut methods = Vec::new();
    for member in &mut item.items {
        let ImplItem::Fn(method) = member else { continue };
        let options = parse::method_options(&mut method.attrs, &mut errors);
        if options.skip.is_some() {
            continue;
        }
        parse::receiver(&method.sig, &mut errors);
        if let Some(function) = parse::function(options, &method.attrs, &mut method.sig, &mut errors) {
            methods.push((method.vis.clone(), function));
        }
    }
    parse::unique(&methods, &mut errors);
    if methods.is_empty() && errors.is_empty() {
        errors.on(&item.self_ty, "no method is a tool; write one with `&self`, or remove `#[tool]`");
    }
    let usable = item.trait_.is_none() && item.generics.params.is_empty();
    let generated = if errors.is_empty() {
        Some(expand::methods(&krate, &item, &methods))
    } else {
        usable.then(|| expand::methods_stub(&krate, &item, &methods))
    };
    quote!(#errors #item #generated)
}
