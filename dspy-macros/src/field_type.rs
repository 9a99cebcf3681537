//! `#[field_type]`: the three derives that a field type needs, reached through `dspy`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser as _};
use syn::{Item, Token};

use crate::errors::Errors;
use crate::krate::Krate;

pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = errors.ok(options.parse2(args)).unwrap_or_default();
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(_) | Item::Enum(_)) => {}
        Ok(other) => {
            errors.on(other, "`#[field_type]` goes on a struct or an enum");
            return quote!(#errors #item);
        }
        Err(error) => {
            errors.push(error);
            return quote!(#errors #item);
        }
    }
    let private = krate.private();
    let (serde, schemars) = (krate.private_str("serde"), krate.private_str("schemars"));
    quote! {
        #errors
        #[derive(#private::serde::Serialize, #private::serde::Deserialize, #private::schemars::JsonSchema)]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #item
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
