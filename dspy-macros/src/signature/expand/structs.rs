//! The generated structs.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Ident, Path};

use super::super::attrs::Derives;
use super::super::model::{Field, Model, Role};
use super::field_type;

/// Returns the struct of the inputs or outputs.
pub(super) fn definition(model: &Model, ident: &Ident, role: Role, fields: &[&Field]) -> TokenStream {
    let Model { vis, lints, .. } = model;
    let doc = match role {
        Role::Input => format!("The inputs of [`{}`].", model.ident),
        _ => format!("The outputs of [`{}`].", model.ident),
    };
    let members = fields.iter().map(|Field { vis, ident, ty, docs, .. }| {
        let docs = docs.attrs();
        quote!(#(#docs)* #vis #ident: #ty)
    });
    quote! {
        #[doc = #doc]
        #[allow(missing_docs, dead_code)]
        #(#lints)*
        #vis struct #ident { #(#members),* }
    }
}

/// Returns the name of the struct of partial outputs.
pub(super) fn partial_ident(model: &Model) -> Ident {
    format_ident!("{}Partial", model.ident.unraw(), span = model.ident.span())
}

/// Returns the struct of the outputs of an unfinished reply.
pub(super) fn partial(model: &Model) -> TokenStream {
    let Model { vis, lints, .. } = model;
    let private = model.krate.private();
    let ident = partial_ident(model);
    let doc = format!("The outputs of [`{}`] as far as they have arrived.", model.ident);
    let fields: Vec<&Field> = model.fields_of(Role::Output).collect();
    let members = fields.iter().map(|Field { vis, ident, ty, docs, .. }| {
        let docs = docs.attrs();
        quote!(#(#docs)* #vis #ident: #private::FieldState<#ty>)
    });
    let usual = usual_traits(model, &ident, &fields, &Derives::default());
    let names = fields.iter().map(|field| &field.ident);
    let states = fields.iter().map(|Field { ident, ty, name, .. }| {
        let ty = field_type(&model.krate, ty);
        quote!((#name, #private::erased_state(&self.#ident, #ty::erased)))
    });
    quote! {
        #[doc = #doc]
        #[allow(missing_docs, dead_code)]
        #(#lints)*
        #vis struct #ident { #(#members),* }
        #usual
        #[automatically_derived]
        impl #private::serde::Serialize for #ident {
            fn serialize<__S: #private::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #private::serialize_states(&[#(#states),*], serializer)
            }
        }
        #[automatically_derived]
        impl ::core::default::Default for #ident {
            #[inline]
            fn default() -> Self {
                #ident { #(#names: #private::FieldState::Pending),* }
            }
        }
    }
}

/// Implements `Clone`, `Debug` and `PartialEq`, each if all field types have it.
///
/// A false condition on a type without parameters is an error, unless it is quantified over a lifetime: then
/// the impl is merely missing. So field types only have to be (de)serializable, and those with more traits
/// keep them.
pub(super) fn usual_traits(
    model: &Model,
    ident: &Ident,
    fields: &[&Field],
    derived: &Derives,
) -> TokenStream {
    let private = model.krate.private();
    let mut types: Vec<_> = Vec::with_capacity(fields.len());
    for field in fields {
        // A history of the signature itself has these traits if the signature has them; a condition on it
        // would be an infinite recursion.
        if !types.contains(&&field.ty) && !mentions(field.ty.to_token_stream(), ident) {
            types.push(&field.ty);
        }
    }
    let names: Vec<&Ident> = fields.iter().map(|field| &field.ident).collect();
    let shown = names.iter().map(|name| name.unraw().to_string());
    let title = ident.to_string();
    let other = if names.is_empty() { quote!(_) } else { quote!(other) };
    let clone = quote! {
        #[automatically_derived]
        impl ::core::clone::Clone for #ident
        where #(for<'__a> #types: ::core::clone::Clone,)*
        {
            #[inline]
            fn clone(&self) -> Self {
                #ident { #(#names: ::core::clone::Clone::clone(&self.#names)),* }
            }
        }
    };
    let debug = quote! {
        #[automatically_derived]
        impl ::core::fmt::Debug for #ident
        where #(for<'__a> #types: ::core::fmt::Debug,)*
        {
            #[inline]
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                #private::debug_struct(f, #title, &[#((#shown, &self.#names)),*])
            }
        }
    };
    let partial_eq = quote! {
        #[automatically_derived]
        impl ::core::cmp::PartialEq for #ident
        where #(for<'__a> #types: ::core::cmp::PartialEq,)*
        {
            #[inline]
            fn eq(&self, #other: &Self) -> bool {
                true #(&& self.#names == other.#names)*
            }
        }
    };
    let all = [("Clone", clone), ("Debug", debug), ("PartialEq", partial_eq)];
    all.into_iter().filter(|(name, _)| !derived.has(name)).map(|(_, tokens)| tokens).collect()
}

/// Returns whether `ident` occurs in the tokens.
fn mentions(tokens: TokenStream, ident: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(other) => other == *ident,
        TokenTree::Group(group) => mentions(group.stream(), ident),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Returns a function that compiles if the shared struct `path` has exactly the fields of this side, with
/// their types.
pub(super) fn agreement(model: &Model, path: &Path, role: Role) -> TokenStream {
    let fields: Vec<&Field> = model.fields_of(role).collect();
    let names = fields.iter().map(|field| &field.ident);
    let checks = fields.iter().map(|Field { ident, ty, .. }| quote!(let _: #ty = #ident;));
    quote! {
        const _: () = {
            #[allow(dead_code)]
            fn the_fields_are_the_same(value: #path) {
                let #path { #(#names),* } = value;
                #(#checks)*
            }
        };
    }
}
