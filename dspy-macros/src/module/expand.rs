//! Expansion of `impl HasPredictors`.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::{Field, Fields, Ident, ItemStruct, Type, WherePredicate, parse_quote};

use super::parse::{Model, Part};

pub(super) fn module(model: &Model, item: &ItemStruct) -> TokenStream {
    let private = model.krate.private();
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    let parameters: Vec<Ident> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    for Part { ty, .. } in &model.parts {
        if mentions(ty.to_token_stream(), &parameters) {
            let predicate: WherePredicate = parse_quote!(#ty: #private::HasPredictors);
            generics.make_where_clause().predicates.push(predicate);
        }
    }
    let (parameters, arguments, clause) = generics.split_for_impl();
    let visits = calls(model, &quote!(visit_in_field), &quote!(&self));
    let changes = calls(model, &quote!(visit_in_field_mut), &quote!(&mut self));
    let visitor = if model.parts.is_empty() { quote!(_) } else { quote!(visitor) };
    quote! {
        #[automatically_derived]
        #[allow(private_bounds)]
        impl #parameters #private::HasPredictors for #ident #arguments #clause {
            fn visit<'__v>(&'__v self, #visitor: &mut #private::Visitor<'__v, '_>) {
                #(#visits)*
            }

            fn visit_mut(&mut self, #visitor: &mut #private::VisitorMut<'_>) {
                #(#changes)*
            }
        }
    }
}

/// Returns the predictors as a constant, for the comparison with saved programs at compile time. Parts with type
/// parameters must have a shape; all others may have one.
pub(super) fn shape(model: &Model, item: &ItemStruct) -> TokenStream {
    let private = model.krate.private();
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    let parameters: Vec<Ident> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let less = quote!(<__N as #private::shape::Depth>::Less);
    for Part { ty, .. } in &model.parts {
        if mentions(ty.to_token_stream(), &parameters) {
            let predicate: WherePredicate = parse_quote!(#ty: #private::HasShape<#less>);
            generics.make_where_clause().predicates.push(predicate);
        }
    }
    let mut with_depth = generics.clone();
    with_depth.params.push(parse_quote!(__N: #private::shape::Depth));
    let (parameters, _, _) = with_depth.split_for_impl();
    let (_, arguments, clause) = generics.split_for_impl();
    let parts = model.parts.iter().map(
        |Part { ty, name, cfgs, .. }| quote!(#(#cfgs)* (#name, #private::ProgramProbe::<#ty, #less>::SHAPE)),
    );
    quote! {
        #[automatically_derived]
        #[allow(private_bounds)]
        impl #parameters #private::HasShape<__N> for #ident #arguments #clause {
            const SHAPE: &'static #private::ProgramShape = {
                #[allow(unused_imports)]
                use #private::UnknownProgram as _;
                &#private::ProgramShape::Fields(&[#(#parts),*])
            };
        }
    }
}

/// Returns `impl Clone` for structs whose fields are `Clone`. Unlike a derive, it does not require `Clone` of
/// the type parameters, which are signatures.
pub(super) fn clone(model: &Model, item: &ItemStruct) -> TokenStream {
    if matches!(item.fields, Fields::Unnamed(_)) {
        return TokenStream::new();
    }
    let private = model.krate.private();
    let ident = &item.ident;
    let mut generics = item.generics.clone();
    let parameters: Vec<Ident> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    for Field { ty, .. } in &item.fields {
        if mentions(ty.to_token_stream(), &parameters) {
            let predicate: WherePredicate = parse_quote!(#ty: ::core::clone::Clone);
            generics.make_where_clause().predicates.push(predicate);
        }
    }
    let (parameters, arguments, clause) = generics.split_for_impl();
    let copies = item.fields.iter().map(|Field { ident, ty, attrs, .. }| {
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)* #ident: <#ty as #private::ClonePart>::clone_part(&self.#ident))
    });
    quote! {
        #[automatically_derived]
        #[allow(private_bounds)]
        impl #parameters ::core::clone::Clone for #ident #arguments #clause {
            fn clone(&self) -> Self {
                #ident { #(#copies),* }
            }
        }
    }
}

/// Returns a call of `method` for each part, in a form in which rustc underlines the type of a field without
/// predictors.
fn calls(model: &Model, method: &TokenStream, this: &TokenStream) -> Vec<TokenStream> {
    let private = model.krate.private();
    let call = |Part { ident, ty, name, cfgs }: &Part| {
        let ty: &Type = ty;
        quote!(#(#cfgs)* <#ty as #private::HasPredictors>::#method(#this.#ident, #name, visitor);)
    };
    model.parts.iter().map(call).collect()
}

fn mentions(tokens: TokenStream, names: &[Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&ident),
        TokenTree::Group(group) => mentions(group.stream(), names),
        _ => false,
    })
}
