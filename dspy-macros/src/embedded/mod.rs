//! `include_optimized!`: a saved program in the binary.

mod file;
mod json;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Token, Type};

use crate::krate::Krate;
use file::{Field, File, Predictor};

/// The input `Type, "file.json"`.
struct Arguments {
    program: Type,
    file: LitStr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() || input.peek(LitStr) {
            let remedy =
                "the type of the program is missing; write `include_optimized!(Type, \"file.json\")`";
            return Err(input.error(remedy));
        }
        let program = input.parse()?;
        input.parse::<Token![,]>()?;
        let file = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        if input.is_empty() {
            return Ok(Arguments { program, file });
        }
        Err(input.error("expected nothing more; write `include_optimized!(Type, \"file.json\")`"))
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let parsed =
        Krate::leading(input).and_then(|(krate, input)| Ok((krate, syn::parse2::<Arguments>(input)?)));
    match parsed {
        Ok((krate, arguments)) => expand_arguments(&krate, &arguments),
        Err(error) => error.into_compile_error(),
    }
}

fn expand_arguments(krate: &Krate, Arguments { program, file }: &Arguments) -> TokenStream {
    let private = krate.private();
    let read = match File::read(file) {
        Ok(read) => read,
        Err(message) => {
            let error = syn::Error::new(file.span(), message).into_compile_error();
            // A value of the right type, so that the mistake is one message.
            return quote!({
                #error
                #private::Embedded::<#program>::unread()
            });
        }
    };
    let File { path, format, predictors } = read;
    let predictors = predictors.iter().map(|Predictor { path, fields }| {
        let fields = fields.iter().map(|field| self::field(&private, field));
        quote!(#private::SavedPredictor { path: #path, fields: &[#(#fields),*] })
    });
    let checked = quote_spanned!(file.span()=> #private::Embedded::checked(
        SAVED,
        #private::ProgramProbe::<#program, #private::shape::FullDepth>::SHAPE,
    ));
    quote!({
        // The path also makes cargo build again when the file changes.
        const SAVED: &#private::SavedProgram = &#private::SavedProgram {
            file: #file,
            json: ::core::include_str!(#path),
            format: #format,
            predictors: &[#(#predictors),*],
        };
        const EMBEDDED: #private::Embedded<#program> = {
            #[allow(unused_imports)]
            use #private::UnknownProgram as _;
            #checked
        };
        EMBEDDED
    })
}

fn field(private: &TokenStream, field: &Field) -> TokenStream {
    let Field { name, role, kind, declared, shape } = field;
    let shape = match shape {
        Some(digest) => quote!(::core::option::Option::Some(#digest)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        #private::SavedField { name: #name, role: #role, kind: #kind, declared: #declared, shape: #shape }
    }
}
