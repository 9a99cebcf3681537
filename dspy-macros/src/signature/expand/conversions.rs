//! Conversions into the input struct, for the arguments of `call`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Type};

use super::super::model::{Field, Model, Role, Side};

/// The maximum number of inputs of a tuple; more are clearer by name.
const LONGEST_TUPLE: usize = 12;

/// Implements `From` an example, and from the bare value of a single input or a tuple of several.
pub(super) fn into_input(model: &Model) -> TokenStream {
    let Side::Generated(input) = &model.input else { return TokenStream::new() };
    let fields: Vec<&Field> = model.fields_of(Role::Input).collect();
    let example = (!model.broken).then(|| example(model, input, &fields));
    let bare = bare(input, &fields);
    quote!(#example #bare)
}

/// Implements the conversion from an example.
fn example(model: &Model, input: &Ident, fields: &[&Field]) -> TokenStream {
    let whole = &model.ident;
    let names: Vec<&Ident> = fields.iter().map(|field| &field.ident).collect();
    from(
        input,
        &quote!(),
        &quote!(#whole),
        &quote!(#whole { #(#names,)* .. }),
        &quote!(#input { #(#names),* }),
    )
}

fn bare(input: &Ident, fields: &[&Field]) -> TokenStream {
    match fields {
        [] => from(input, &quote!(), &quote!(()), &quote!(_), &quote!(#input {})),
        [Field { ident, ty, .. }] => {
            let value =
                from(input, &quote!(), &quote!(#ty), &quote!(value), &quote!(#input { #ident: value }));
            let text = is_string(ty).then(|| {
                let owned = quote!(#input { #ident: ::core::convert::From::from(value) });
                let str = from(input, &quote!(), &quote!(&str), &quote!(value), &owned);
                let owned = quote!(#input { #ident: ::core::clone::Clone::clone(value) });
                let string = from(input, &quote!(), &quote!(&#ty), &quote!(value), &owned);
                quote!(#str #string)
            });
            quote!(#value #text)
        }
        several if several.len() <= LONGEST_TUPLE => tuple(input, several),
        _ => TokenStream::new(),
    }
}

/// Implements the conversion from a tuple. Strings may be anything that becomes a `String`, so that `("…",
/// vec![…])` works.
fn tuple(input: &Ident, fields: &[&Field]) -> TokenStream {
    let mut parameters = Vec::new();
    let (mut types, mut values) = (Vec::new(), Vec::new());
    for (at, Field { ident, ty, .. }) in fields.iter().enumerate() {
        if is_string(ty) {
            let parameter = format_ident!("T{at}");
            types.push(quote!(#parameter));
            values.push(quote!(#ident: ::core::convert::Into::into(#ident)));
            parameters.push(parameter);
        } else {
            types.push(quote!(#ty));
            values.push(quote!(#ident));
        }
    }
    let generics = if parameters.is_empty() {
        TokenStream::new()
    } else {
        quote!(<#(#parameters: ::core::convert::Into<::std::string::String>),*>)
    };
    let names = fields.iter().map(|field| &field.ident);
    from(input, &generics, &quote!((#(#types),*)), &quote!((#(#names),*)), &quote!(#input { #(#values),* }))
}

fn from(
    input: &Ident,
    generics: &TokenStream,
    source: &TokenStream,
    pattern: &TokenStream,
    value: &TokenStream,
) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #generics ::core::convert::From<#source> for #input {
            #[inline]
            fn from(#pattern: #source) -> Self {
                #value
            }
        }
    }
}

/// Returns whether the type is written as the standard library's `String`.
fn is_string(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let segments: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    path.qself.is_none() && matches!(segments.as_slice(), ["String"] | ["std" | "alloc", "string", "String"])
}
