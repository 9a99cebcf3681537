//! The path to `dspy`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser as _};
use syn::{Path, Token};

/// The path to `dspy` in the user's crate: `::dspy`, or the value of `crate = …`.
#[derive(Debug, Clone)]
pub(crate) struct Krate(TokenStream);

impl Default for Krate {
    fn default() -> Self {
        Krate(quote!(::dspy))
    }
}

impl Krate {
    /// Parses `= ::path`, the rest of the option `crate = ::path`.
    pub(crate) fn parse_value(input: ParseStream<'_>) -> syn::Result<Self> {
        input.parse::<Token![=]>()?;
        let path = Path::parse_mod_style(input)?;
        let first = path.segments.first().map(|segment| segment.ident.to_string());
        if path.leading_colon.is_some() || matches!(first.as_deref(), Some("crate" | "$crate")) {
            return Ok(Krate(path.into_token_stream()));
        }
        let written = path.to_token_stream().to_string().replace(' ', "");
        Err(syn::Error::new_spanned(path, format!("a relative path to `dspy`; write `crate = ::{written}`")))
    }

    /// Splits `crate = ::path,` off the input of a function-like macro.
    pub(crate) fn leading(input: TokenStream) -> syn::Result<(Self, TokenStream)> {
        let parse = |input: ParseStream<'_>| {
            if !(input.peek(Token![crate]) && input.peek2(Token![=])) {
                return Ok((Krate::default(), input.parse()?));
            }
            input.parse::<Token![crate]>()?;
            let krate = Krate::parse_value(input)?;
            input.parse::<Token![,]>()?;
            Ok((krate, input.parse()?))
        };
        parse.parse2(input)
    }

    /// Returns the path of the module that generated code uses.
    pub(crate) fn private(&self) -> TokenStream {
        let path = &self.0;
        quote!(#path::__private)
    }

    /// Returns the path of `item` as a string, as attributes of other macros require.
    pub(crate) fn private_str(&self, item: &str) -> String {
        format!("{}::__private::{item}", self.0.to_string().replace(' ', ""))
    }
}

impl ToTokens for Krate {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}
