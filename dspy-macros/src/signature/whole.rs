//! Signatures whose struct is generated too, from a string.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Attribute, Visibility, parse_quote};

use super::attrs;
use super::model::{Field, Model};
use super::{demo, expand, parse};
use crate::docs::Docs;
use crate::errors::Errors;
use crate::krate::Krate;

/// A signature that has no struct yet.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) krate: Krate,
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) instruction: Option<Docs>,
    pub(crate) fields: Vec<Field>,
    /// The documentation of the struct if the user wrote none.
    pub(crate) doc: String,
}

/// Returns the struct, and everything that `#[signature]` generates.
pub(crate) fn expand_whole(mut whole: Whole, errors: &mut Errors) -> TokenStream {
    let attrs = attrs::of_struct(&mut whole.attrs, errors);
    let written = Docs::of(&whole.attrs);
    let doc = written.is_empty().then(|| {
        let doc = &whole.doc;
        quote!(#[doc = #doc])
    });
    let Whole { krate, attrs: kept, vis, ident, instruction, fields, .. } = whole;
    let members = fields.iter().map(|Field { vis, ident, ty, .. }| quote!(#vis #ident: #ty));
    let item = quote! {
        #(#kept)*
        #doc
        #[allow(missing_docs, dead_code, non_snake_case)]
        #vis struct #ident { #(#members),* }
    };
    let mut lints = attrs.lints;
    lints.push(parse_quote!(#[allow(non_snake_case)]));
    let demos = attrs.demos.iter().filter_map(|attr| demo::parse(attr, &fields, errors)).collect();
    let model = Model {
        krate,
        name: ident.to_string(),
        instruction: instruction.unwrap_or(written),
        demos,
        checks: attrs.checks,
        input: parse::side(None, &ident, "Input"),
        output: parse::side(None, &ident, "Output"),
        lints,
        derives: attrs.derives,
        ours: true,
        broken: false,
        roleless: false,
        vis,
        ident,
        fields,
    };
    let generated = expand::signature(&model);
    quote!(#item #generated)
}
