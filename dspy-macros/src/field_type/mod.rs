//! `#[field_type]`: the three derives that a field type needs, re-exported by `dspy`, and the aliases that
//! the decoder needs beside them.

mod names;
mod shape;

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Fields, Item, ItemEnum, Token, parse_quote};

use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::limits;
use names::{SerdeOptions, VariantName};

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = errors.ok(options.parse2(args)).unwrap_or_default();
    let (item, shape) = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(mut item)) => {
            let shape = shape::of_struct(&item, &krate);
            fields(&mut item.fields, &mut errors);
            (quote!(#item), shape)
        }
        Ok(Item::Enum(mut item)) => {
            let shape = shape::of_enum(&item, &krate);
            variants(&mut item, &krate, &mut errors);
            (quote!(#item), shape)
        }
        Ok(other) => {
            errors.on(other, "`#[field_type]` goes on a struct or an enum");
            return quote!(#errors #item);
        }
        Err(error) => {
            errors.push(error);
            return quote!(#errors #item);
        }
    };
    let private = krate.private();
    let (serde, schemars) = (krate.private_str("serde"), krate.private_str("schemars"));
    quote! {
        #errors
        #[derive(#private::serde::Serialize, #private::serde::Deserialize, #private::schemars::JsonSchema)]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #item
        #shape
    }
}

fn options(input: ParseStream<'_>) -> syn::Result<Krate> {
    if input.is_empty() {
        return Ok(Krate::default());
    }
    if input.parse::<Option<Token![crate]>>()?.is_none() {
        return Err(input.error("unknown option; `#[field_type]` takes only `crate = ::path`"));
    }
    Krate::parse_value(input)
}

/// Writes the aliases of members into the schema, and rejects constraints that no value satisfies.
fn fields(fields: &mut Fields, errors: &mut Errors) {
    for field in fields {
        field.attrs.retain(|attr| !limits::contradictory_attribute(attr, errors));
        let options = SerdeOptions::of(&field.attrs);
        let aliases = options.aliases();
        if field.ident.is_some() && !aliases.is_empty() && !options.has("flatten") {
            field.attrs.push(parse_quote!(#[schemars(extend("x-aliases" = [#(#aliases),*]))]));
        }
    }
}

/// Does the same for variants.
fn variants(item: &mut ItemEnum, krate: &Krate, errors: &mut Errors) {
    let container = SerdeOptions::of(&item.attrs);
    let rename_all = container.text("rename_all").map(|case| case.value());
    let untagged = container.has("untagged");
    let mut named: Vec<VariantName> = Vec::with_capacity(item.variants.len());
    for variant in &mut item.variants {
        fields(&mut variant.fields, errors);
        let options = SerdeOptions::of(&variant.attrs);
        let unnamed = ["skip", "skip_deserializing", "untagged"].iter().any(|option| options.has(option));
        // Of variants that depend on the configuration perhaps only one exists.
        if untagged || unnamed || is_conditional(&variant.attrs) {
            continue;
        }
        let name = VariantName::of(&variant.ident, &options, rename_all.as_deref());
        clashes(&name, &named, errors);
        named.push(name);
    }
    let aliased = named.iter().filter(|name| !name.aliases.is_empty());
    let aliased: Vec<_> =
        aliased.map(|VariantName { name, aliases, .. }| quote!((#name, &[#(#aliases),*]))).collect();
    if aliased.is_empty() {
        return;
    }
    let private = krate.private();
    let tag = match container.text("tag") {
        Some(tag) => quote!(::core::option::Option::Some(#tag)),
        None => quote!(::core::option::Option::None),
    };
    item.attrs.push(parse_quote!(#[schemars(transform = #private::variant_aliases(#tag, &[#(#aliased),*]))]));
}

fn is_conditional(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"))
}

/// Rejects variants whose names differ only in case, because models do not keep the case of a choice.
fn clashes(variant: &VariantName, before: &[VariantName], errors: &mut Errors) {
    for (at, (name, span)) in variant.all().enumerate() {
        let same = |(other, _): &(String, _)| other.to_lowercase() == name.to_lowercase();
        let Some((other, _)) = before.iter().flat_map(VariantName::all).find(same) else { continue };
        let what = if other == name {
            format!("`{name}` already means another variant")
        } else {
            format!("`{other}` and `{name}` differ only in case, so a reply could mean either")
        };
        let remedy = match at {
            0 => "give one of the two another name with `#[serde(rename = \"…\")]`",
            _ => "remove this alias",
        };
        errors.at(span, format!("{what}; {remedy}"));
    }
}
