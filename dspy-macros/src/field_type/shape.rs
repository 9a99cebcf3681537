//! The constant by which a type is compared with that of a saved program.
//!
//! It is made of the text of everything that serde and schemars read: names, attributes and types. Doc comments do not
//! matter.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Attribute, Fields, Generics, Ident, ItemEnum, ItemStruct};

use crate::krate::Krate;

pub(super) fn of_struct(item: &ItemStruct, krate: &Krate) -> TokenStream {
    let (text, members) = (attributes(&item.attrs), members(&item.fields, krate));
    implementation(&item.ident, &item.generics, krate, &text, &members)
}

pub(super) fn of_enum(item: &ItemEnum, krate: &Krate) -> TokenStream {
    let private = krate.private();
    let variants = item.variants.iter().map(|variant| {
        let (name, text) = (variant.ident.to_string(), attributes(&variant.attrs));
        // `A` and `A {}` are written differently.
        let form = match &variant.fields {
            Fields::Unit => "unit",
            Fields::Named(_) => "named",
            Fields::Unnamed(_) => "unnamed",
        };
        let (cfgs, members) = (cfgs(&variant.attrs), members(&variant.fields, krate));
        quote!(#cfgs (#name, #text, #private::shape::members(#form, &[#members])))
    });
    let variants = quote!(#(#variants),*);
    implementation(&item.ident, &item.generics, krate, &attributes(&item.attrs), &variants)
}

/// Types with parameters have no shape.
fn implementation(
    ident: &Ident,
    generics: &Generics,
    krate: &Krate,
    text: &str,
    members: &TokenStream,
) -> TokenStream {
    if !generics.params.is_empty() {
        return TokenStream::new();
    }
    let private = krate.private();
    quote! {
        #[automatically_derived]
        impl<__N: #private::shape::Depth> #private::shape::Shaped<__N> for #ident {
            const SHAPE: #private::shape::Shape = {
                #[allow(unused_imports)]
                use #private::shape::Unshaped as _;
                #private::shape::members(#text, &[#members])
            };
        }
    }
}

fn members(fields: &Fields, krate: &Krate) -> TokenStream {
    let private = krate.private();
    let members = fields.iter().map(|field| {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let (ty, text, cfgs) = (&field.ty, attributes(&field.attrs), cfgs(&field.attrs));
        let less = quote!(<__N as #private::shape::Depth>::Less);
        quote!(#cfgs (#name, #text, #private::shape::Probe::<#ty, #less>::SHAPE))
    });
    quote!(#(#members),*)
}

/// Returns the text of the attributes of serde and schemars.
fn attributes(attrs: &[Attribute]) -> String {
    let read = |attr: &&Attribute| ["serde", "schemars"].iter().any(|name| attr.path().is_ident(name));
    attrs.iter().filter(read).map(|attr| attr.to_token_stream().to_string()).collect()
}

fn cfgs(attrs: &[Attribute]) -> TokenStream {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).map(|attr| attr.to_token_stream()).collect()
}
