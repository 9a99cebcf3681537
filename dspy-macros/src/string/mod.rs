//! `sig!`, `predict!` and `chain_of_thought!`: signatures in a string.

mod grammar;
mod literal;
mod source;
mod types;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, LitStr, Token, Visibility};

use crate::docs::Docs;
use crate::errors::Errors;
use crate::krate::Krate;
use crate::signature::{Whole, expand_whole, spec};
use source::Source;

/// The name of a signature without a name, the same as in the grammar at run time.
const ANONYMOUS: &str = "StringSignature";

/// The input `"inputs -> outputs", "instruction"`; the instruction is optional.
struct Anonymous {
    text: LitStr,
    instruction: Option<Expr>,
}

impl Parse for Anonymous {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let text = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        let instruction = if input.is_empty() { None } else { Some(input.parse()?) };
        input.parse::<Option<Token![,]>>()?;
        if input.is_empty() {
            return Ok(Anonymous { text, instruction });
        }
        Err(input.error("expected nothing more; write `\"inputs -> outputs\", \"instruction\"`"))
    }
}

/// The input `pub Name: "inputs -> outputs", "instruction"`.
struct Named {
    attrs: Vec<Attribute>,
    vis: Visibility,
    ident: Ident,
    signature: Anonymous,
}

impl Parse for Named {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let ident = input.parse()?;
        input.parse::<Token![:]>()?;
        Ok(Named { attrs, vis, ident, signature: input.parse()? })
    }
}

/// Expands `sig!(…)`: a named signature to an item, an unnamed one to data.
pub(crate) fn sig(input: TokenStream) -> TokenStream {
    let (krate, input) = match Krate::leading(input) {
        Ok(parts) => parts,
        Err(error) => return error.into_compile_error(),
    };
    let literal = syn::parse2::<Anonymous>(input.clone());
    if let Ok(signature) = literal {
        return as_data(&krate, &signature);
    }
    match syn::parse2::<Named>(input) {
        Ok(Named { attrs, vis, ident, signature }) => {
            let mut errors = Errors::default();
            let items = items(&krate, &signature, attrs, vis, ident, &mut errors);
            quote!(#errors #items)
        }
        Err(error) => {
            // The more helpful of the two errors is that of the form that the input begins with.
            let begun_as_text = literal.err().filter(|text| text.to_string().contains("nothing more"));
            begun_as_text.unwrap_or(error).into_compile_error()
        }
    }
}

/// Expands `predict!(…)` and the like: a strategy over a signature without a name.
pub(crate) fn strategy(name: &str, input: TokenStream) -> TokenStream {
    let parsed =
        Krate::leading(input).and_then(|(krate, input)| Ok((krate, syn::parse2::<Anonymous>(input)?)));
    let (krate, signature) = match parsed {
        Ok(parts) => parts,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let ident = Ident::new(ANONYMOUS, Span::call_site());
    let items = items(&krate, &signature, Vec::new(), Visibility::Inherited, ident.clone(), &mut errors);
    let strategy = format_ident!("{name}");
    quote!({
        #errors
        #items
        #krate::#strategy::<#ident>::new()
    })
}

fn items(
    krate: &Krate,
    signature: &Anonymous,
    attrs: Vec<Attribute>,
    vis: Visibility,
    ident: Ident,
    errors: &mut Errors,
) -> TokenStream {
    let source = Source::new(signature.text.clone());
    let parsed = grammar::parse(&source, &ident, krate, errors);
    let enums: TokenStream = parsed.enums.iter().map(|literal| literal.expand(krate, &vis)).collect();
    let whole = Whole {
        krate: krate.clone(),
        attrs,
        vis,
        ident,
        instruction: signature.instruction.as_ref().map(Docs::from_expr),
        fields: parsed.fields,
        doc: format!("The signature `{}`.", source.text()),
    };
    let whole = expand_whole(whole, errors);
    quote!(#enums #whole)
}

/// Returns the signature as an expression.
///
/// A macro cannot know the position of its call. Where an item is expected, rustc reports the first token of
/// an expression; that token is therefore a string that says what to write instead.
fn as_data(krate: &Krate, signature: &Anonymous) -> TokenStream {
    let mut errors = Errors::default();
    let source = Source::new(signature.text.clone());
    let ident = Ident::new(ANONYMOUS, signature.text.span());
    let parsed = grammar::parse(&source, &ident, krate, &mut errors);
    let enums: TokenStream =
        parsed.enums.iter().map(|literal| literal.expand(krate, &Visibility::Inherited)).collect();
    let instruction = signature.instruction.as_ref().map(Docs::from_expr).unwrap_or_default();
    let spec = spec(krate, ANONYMOUS, &instruction, &parsed.fields, &[]);
    let private = krate.private();
    let advice = LitStr::new(
        "a signature without a name is a value; to declare one, write `sig!(Name: \"inputs -> outputs\");`",
        signature.text.span(),
    );
    quote! {
        #advice.parse::<#private::Advice>().map_or_else(|never| match never {}, |_| {
            #errors
            #enums
            ::std::sync::Arc::unwrap_or_clone(#spec)
        })
    }
}
