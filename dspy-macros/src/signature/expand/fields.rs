//! Expansion of `impl Fields`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

use super::super::model::{Field, FieldDefault, Model};
use super::field_type;

/// Implements the conversion of a struct to values by field name, and back.
pub(super) fn implementation(model: &Model, ident: &Ident, fields: &[&Field]) -> TokenStream {
    let private = model.krate.private();
    let whole = &model.ident;
    let values = if fields.is_empty() { quote!(_) } else { quote!(mut values) };
    let writes = fields.iter().map(|field| {
        let Field { ident, ty, name, .. } = field;
        let ty = field_type(&model.krate, ty);
        quote!((#name, #ty::erased(&self.#ident)))
    });
    // Without `?`, which would convert the error of each field.
    let reads = fields.iter().map(|field| {
        let Field { ident, ty, name, aliases, .. } = field;
        let ty = field_type(&model.krate, ty);
        let default = default(field);
        quote! {
            #ident: match #ty::read(&mut values, #name, &[#(#aliases),*], #default) {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(error) => return ::core::result::Result::Err(error),
            }
        }
    });
    let read = if model.broken && *ident == model.ident {
        quote!(::core::result::Result::Err(#private::FieldError::new("", "")))
    } else {
        quote!(::core::result::Result::Ok(#ident { #(#reads),* }))
    };
    quote! {
        #[automatically_derived]
        impl #private::Fields for #ident {
            fn to_values(&self) -> ::core::result::Result<#private::Values, #private::FieldError> {
                #private::to_values(&[#(#writes),*])
            }

            fn from_values(#values: #private::Values) -> ::core::result::Result<Self, #private::FieldError> {
                #read
            }

            fn signature() -> &'static ::std::sync::Arc<#private::SignatureSpec> {
                <#whole as #private::Signature>::spec()
            }
        }
    }
}

fn default(Field { ty, default, .. }: &Field) -> TokenStream {
    match default {
        None => quote!(::core::option::Option::None),
        Some(FieldDefault::Trait) => {
            quote!(::core::option::Option::Some(<#ty as ::core::default::Default>::default))
        }
        Some(FieldDefault::Function(path)) => quote!(::core::option::Option::Some(#path as fn() -> #ty)),
    }
}
