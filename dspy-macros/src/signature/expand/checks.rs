//! The checks of `impl Signature`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::Attribute;

use super::super::check::Check;
use super::super::model::{Field, Model, Role};
use super::{field_type, side};

/// Returns `fn check` and `fn check_field`, each only if there is something to check.
pub(super) fn methods(model: &Model) -> TokenStream {
    // A field without a role is no output, so a check of it would cause a second error.
    if model.broken || model.roleless {
        return TokenStream::new();
    }
    let outputs: Vec<&Field> = model.fields_of(Role::Output).collect();
    let own = outputs
        .iter()
        .flat_map(|field| field.checks.iter().map(|check| (field.name.value(), check, &*field.lints)));
    let shared = model.checks.iter().map(|check| (String::new(), check, &[][..]));
    let all: Vec<_> = own.chain(shared).collect();
    if all.is_empty() {
        return TokenStream::new();
    }
    let private = model.krate.private();
    let failures =
        quote!(::core::result::Result<::std::vec::Vec<#private::CheckFailure>, #private::CheckPanic>);
    let output = side(&model.output);
    let checks = run(model, &output.to_token_stream(), &quote!(output), &all);
    let arms: TokenStream = outputs.iter().map(|field| alone(model, field)).collect();
    let check_field = (!arms.is_empty()).then(|| {
        quote! {
            fn check_field(name: &str, value: &#private::serde_json::Value) -> #failures {
                match name {
                    #arms
                    _ => ::core::result::Result::Ok(::std::vec::Vec::new()),
                }
            }
        }
    });
    quote! {
        fn check(output: &Self::Output) -> #failures {
            #checks
        }

        #check_field
    }
}

/// Returns the hard checks that depend on this field alone, over a struct that has only this field.
fn alone(model: &Model, field: &Field) -> TokenStream {
    let Field { ident, ty, name, aliases, .. } = field;
    let checks = field.checks.iter().filter(|check| check.hard && check.is_only_about(ident));
    let checks: Vec<_> = checks.map(|check| (name.value(), check, &*field.lints)).collect();
    if checks.is_empty() {
        return TokenStream::new();
    }
    let private = model.krate.private();
    let read = field_type(&model.krate, ty);
    let alone = format_ident!("__DspyAlone");
    let run = run(model, &alone.to_token_stream(), &quote!(&alone), &checks);
    quote! {
        #name => {
            #[allow(dead_code)]
            struct #alone { #ident: #ty }
            let mut values = #private::one_value(#name, value);
            match #read::read(&mut values, #name, &[#(#aliases),*], ::core::option::Option::None) {
                ::core::result::Result::Ok(value) => {
                    let alone = #alone { #ident: value };
                    #run
                }
                // A value that is not of the field's type is for the decoder to refuse.
                ::core::result::Result::Err(_) => ::core::result::Result::Ok(::std::vec::Vec::new()),
            }
        }
    }
}

/// Returns the code that runs checks on the struct `on` of type `output`. Their expressions are methods of a separate
/// trait, so that they can use `self` for any struct.
fn run(
    model: &Model,
    output: &TokenStream,
    on: &TokenStream,
    checks: &[(String, &Check, &[Attribute])],
) -> TokenStream {
    let private = model.krate.private();
    let allowed = model.lints.iter().filter(|lint| lint.path().is_ident("allow"));
    let names: Vec<Ident> = (0..checks.len()).map(|at| format_ident!("__dspy_check_{at}")).collect();
    let declared = names.iter().map(|name| quote!(fn #name(&self) -> bool;));
    let defined = checks.iter().zip(&names).map(|((_, check, lints), name)| {
        let expr = &check.expr;
        let receiver = check.receiver().unwrap_or_else(|| Ident::new("self", Span::call_site()));
        // As a condition, an expression of another type than `bool` is reported at its position only.
        let body = quote!(if (#expr) { true } else { false });
        quote! {
            #(#lints)*
            fn #name(&#receiver) -> bool {
                #body
            }
        }
    });
    let data = checks.iter().zip(&names).map(|((field, check, _), name)| {
        let Check { why, hard, .. } = check;
        quote! {
            #private::Check { field: #field, why: #why, hard: #hard, holds: &|| __DspyChecks::#name(on) }
        }
    });
    quote!({
        trait __DspyChecks {
            #(#declared)*
        }
        #(#allowed)*
        impl __DspyChecks for #output {
            #(#defined)*
        }
        let on: &#output = #on;
        #private::run_checks(&[#(#data),*])
    })
}

/// Returns the reasons of the checks, as data.
pub(super) fn texts(checks: &[Check]) -> TokenStream {
    let texts = checks.iter().map(|Check { why, hard, .. }| quote!((#why, #hard)));
    quote!(&[#(#texts),*])
}
