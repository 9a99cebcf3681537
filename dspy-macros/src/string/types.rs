//! Rust types for the types in a signature string.

use dspy_grammar::{KnownType, Own, Path, Problem, Temporal, Type};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::literal::LiteralEnum;
use super::source::Source;
use crate::krate::Krate;

/// The translation of types, which collects the enums generated for `Literal[…]`.
#[derive(Debug)]
pub(crate) struct Types<'a> {
    pub(crate) source: &'a Source,
    pub(crate) krate: &'a Krate,
    /// The prefix of the enums' names.
    pub(crate) prefix: String,
    pub(crate) enums: Vec<LiteralEnum>,
}

impl Types<'_> {
    /// Returns the type in Rust. Names that are unknown to the grammar are resolved in the scope of the macro
    /// call.
    pub(crate) fn tokens(&mut self, ty: &Type) -> Result<TokenStream, Problem> {
        Ok(match ty {
            Type::None => quote!(()),
            Type::Literal(choices, span) => {
                let span = self.source.span(span.0..span.1);
                let name = format_ident!("{}{}", self.prefix, self.suffix(), span = span);
                self.enums.push(LiteralEnum::new(name.clone(), choices)?);
                quote!(#name)
            }
            Type::Union(_, at) => {
                return Err(Problem::new(
                    *at,
                    "a union of several types; declare an enum with `#[dspy::field_type]` and `#[serde(untagged)]`, and \
                     name it here",
                ));
            }
            Type::Tuple(types) if types.is_empty() => quote!(()),
            Type::Tuple(types) => {
                let types = self.all(types)?;
                quote!((#(#types,)*))
            }
            Type::Array(item, length, at) => {
                let item = self.tokens(item)?;
                let length: TokenStream =
                    length.parse().map_err(|_| Problem::new(*at, "expected the length of the array"))?;
                quote!([#item; #length])
            }
            Type::Named(path, arguments) => {
                let path = self.path(path)?;
                let arguments = self.all(arguments)?;
                if arguments.is_empty() { path } else { quote!(#path<#(#arguments),*>) }
            }
            Type::Known { known, arguments, span } => self.known(*known, arguments, *span)?,
        })
    }

    fn all(&mut self, types: &[Type]) -> Result<Vec<TokenStream>, Problem> {
        types.iter().map(|ty| self.tokens(ty)).collect()
    }

    fn known(
        &mut self,
        known: KnownType,
        arguments: &[Type],
        (start, end): (usize, usize),
    ) -> Result<TokenStream, Problem> {
        let span = self.source.span(start..end);
        let krate = self.krate;
        let private = krate.private();
        let any = quote_spanned!(span=> #private::serde_json::Value);
        let arguments = self.all(arguments)?;
        let [first, second] = [0, 1].map(|at| arguments.get(at).cloned().unwrap_or_else(|| any.clone()));
        Ok(match known {
            KnownType::Text => quote_spanned!(span=> ::std::string::String),
            KnownType::Bool => quote_spanned!(span=> bool),
            KnownType::Char => quote_spanned!(span=> char),
            KnownType::Number(number) => {
                let name = Ident::new(number.name(), span);
                quote!(#name)
            }
            KnownType::Any => any,
            KnownType::List => quote_spanned!(span=> ::std::vec::Vec<#first>),
            KnownType::Set if arguments.is_empty() => quote_spanned!(span=> ::std::vec::Vec<#any>),
            // Sorted, so that equal values give equal prompts.
            KnownType::Set => quote_spanned!(span=> ::std::collections::BTreeSet<#first>),
            KnownType::Dict if arguments.is_empty() => {
                quote_spanned!(span=> ::std::collections::BTreeMap<::std::string::String, #any>)
            }
            KnownType::Dict => quote_spanned!(span=> ::std::collections::BTreeMap<#first, #second>),
            KnownType::HashMap => quote_spanned!(span=> ::std::collections::HashMap<#first, #second>),
            KnownType::Tuple => quote_spanned!(span=> (#(#arguments,)*)),
            KnownType::Optional => quote_spanned!(span=> ::core::option::Option<#first>),
            KnownType::Own(Own::History) => quote_spanned!(span=> #krate::types::History<#any>),
            KnownType::Own(Own::Tool) => quote_spanned!(span=> #krate::tools::ToolSpec),
            KnownType::Own(Own::ToolCalls) => quote_spanned!(span=> #krate::tools::ToolCalls),
            KnownType::Own(own) => {
                let name = Ident::new(own.name(), span);
                quote_spanned!(span=> #krate::types::#name)
            }
            KnownType::Temporal(temporal) => return Err(Problem::new(start, of_another_crate(temporal))),
        })
    }

    fn path(&self, path: &Path) -> Result<TokenStream, Problem> {
        let mut tokens = TokenStream::new();
        for (index, (word, at)) in path.segments.iter().enumerate() {
            let name = segment(word, self.source, *at)?;
            tokens.extend(if index > 0 || path.rooted { quote!(::#name) } else { quote!(#name) });
        }
        Ok(tokens)
    }

    fn suffix(&self) -> String {
        if self.enums.iter().any(|known| known.name == self.prefix) {
            (self.enums.len() + 1).to_string()
        } else {
            String::new()
        }
    }
}

/// Returns the message about a date or time type of Python, for which Rust has no built-in type.
fn of_another_crate(temporal: Temporal) -> String {
    let (python, chrono, jiff) = match temporal {
        Temporal::Date => ("date", "NaiveDate", "civil::Date"),
        Temporal::Time => ("time", "NaiveTime", "civil::Time"),
        Temporal::DateTime => ("datetime", "NaiveDateTime", "civil::DateTime"),
        Temporal::TimeDelta => {
            return "`timedelta` is no type of Rust; write `jiff::SignedDuration`, with the feature `jiff` of dspy".into();
        }
    };
    format!(
        "`{python}` is no type of Rust; write `chrono::{chrono}` or `jiff::{jiff}`, with the feature `chrono` or `jiff` \
         of dspy"
    )
}

/// Returns `word` as a segment of a path, which may be `self` and the like.
fn segment(word: &str, source: &Source, at: usize) -> Result<Ident, Problem> {
    match word {
        "self" | "super" | "crate" => Ok(Ident::new(word, source.span(at..at + word.len()))),
        _ => ident(word, source, at),
    }
}

/// Returns `word` as an identifier.
pub(crate) fn ident(word: &str, source: &Source, at: usize) -> Result<Ident, Problem> {
    let span = source.span(at..at + word.len());
    let parsed = syn::parse_str::<Ident>(word).or_else(|_| match word {
        // Keywords with a meaning in paths have no raw form.
        "self" | "Self" | "super" | "crate" | "_" => Err(()),
        _ => syn::parse_str::<Ident>(&format!("r#{word}")).map_err(|_| ()),
    });
    let mut ident =
        parsed.map_err(|()| Problem::new(at, format!("`{word}` is not a name in Rust; choose another")))?;
    ident.set_span(span);
    Ok(ident)
}
