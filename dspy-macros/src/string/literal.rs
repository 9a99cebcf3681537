//! `Literal["a", "b"]`, expanded to an enum.

use dspy_grammar::{Choice, ChoiceValue, Problem};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::Visibility;

use crate::krate::Krate;

/// The enum of the allowed values.
#[derive(Debug)]
pub(crate) struct LiteralEnum {
    pub(crate) name: Ident,
    choices: Vec<(Ident, ChoiceValue)>,
}

impl LiteralEnum {
    /// Creates the enum of these choices.
    pub(crate) fn new(name: Ident, all: &[Choice]) -> Result<Self, Problem> {
        let mut choices: Vec<(Ident, ChoiceValue)> = Vec::new();
        for Choice { value, at } in all {
            let text = value.to_string();
            let variant = variant(&text).ok_or_else(|| {
                Problem::new(
                    *at,
                    format!("no name can be made of `{text}`; declare an enum with `#[dspy::field_type]`, and name it here"),
                )
            })?;
            if let Some((_, other)) = choices.iter().find(|(other, _)| *other == variant) {
                return Err(Problem::new(
                    *at,
                    format!(
                        "`{text}` and `{other}` would both be named `{variant}`; declare an enum with \
                         `#[dspy::field_type]`, and name it here"
                    ),
                ));
            }
            choices.push((Ident::new(&variant, name.span()), value.clone()));
        }
        Ok(LiteralEnum { name, choices })
    }

    pub(crate) fn expand(&self, krate: &Krate, vis: &Visibility) -> TokenStream {
        let LiteralEnum { name, choices } = self;
        let variants = choices.iter().map(|(variant, _)| variant);
        let listed: Vec<String> = choices.iter().map(|(_, value)| format!("`{value}`")).collect();
        let doc = format!("One of {}.", listed.join(", "));
        let texts = choices.iter().map(|(_, value)| value.to_string());
        if choices.iter().all(|(_, value)| matches!(value, ChoiceValue::Text(_))) {
            return quote!(#krate::__literal_enum! { #[doc = #doc] #vis enum #name { #(#variants = #texts,)* } });
        }
        let values = choices.iter().map(|(_, value)| match value {
            ChoiceValue::Text(text) => quote!(#text),
            ChoiceValue::Integer(number) => quote!(#number),
            ChoiceValue::Bool(value) => quote!(#value),
        });
        quote!(#krate::__literal_enum! { #[doc = #doc] #vis enum #name { #(#variants = #texts as (#values),)* } })
    }
}

/// Returns the text in Pascal case, if it has any character that a name may contain.
fn variant(text: &str) -> Option<String> {
    let negative =
        text.strip_prefix('-').filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty());
    let name = negative.map_or_else(|| pascal(text), |number| format!("Minus{number}"));
    let name = match name.chars().next()? {
        c if c.is_numeric() => format!("N{name}"),
        _ if name == "Self" => "Self_".to_owned(),
        _ => name,
    };
    syn::parse_str::<Ident>(&name).is_ok().then_some(name)
}

/// Returns the words of `text`, each capitalized.
pub(crate) fn pascal(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let shout = word.chars().count() > 1 && !word.chars().any(char::is_lowercase);
        let mut rest = word.chars();
        name.extend(rest.next().into_iter().flat_map(char::to_uppercase));
        if shout { name.extend(rest.flat_map(char::to_lowercase)) } else { name.extend(rest) }
    }
    name
}

/// Returns the enum's name for a field of a signature.
pub(crate) fn prefix(signature: &Ident, field: &str) -> String {
    format_ident!("{}{}", signature, pascal(field)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_names() {
        for (text, expected) in [
            ("yes", Some("Yes")),
            ("not sure", Some("NotSure")),
            ("NOT_SURE", Some("NotSure")),
            ("3 stars", Some("N3Stars")),
            ("self", Some("Self_")),
            ("café au lait", Some("CaféAuLait")),
            ("-12", Some("Minus12")),
            ("+", None),
            ("", None),
        ] {
            assert_eq!(variant(text).as_deref(), expected, "{text}");
        }
    }
}
