//! `Literal["a", "b"]`: an enum.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::Visibility;

use super::scan::Scanner;
use super::source::Problem;
use crate::krate::Krate;

/// The enum of the texts that are allowed.
#[derive(Debug)]
pub(crate) struct LiteralEnum {
    pub(crate) name: Ident,
    choices: Vec<(Ident, String)>,
}

impl LiteralEnum {
    /// Reads what follows `Literal`.
    pub(crate) fn parse(name: Ident, scan: &mut Scanner<'_>) -> Result<Self, Problem> {
        scan.expect("[")?;
        let mut choices: Vec<(Ident, String)> = Vec::new();
        loop {
            let (text, at) = quoted(scan)?;
            let variant = variant(text).ok_or_else(|| {
                Problem::new(
                    at,
                    format!("no name can be made of `{text}`; declare an enum with `#[dspy::field_type]`, and name it here"),
                )
            })?;
            if choices.iter().any(|(_, other)| other == text) {
                return Err(Problem::new(at, format!("`{text}` stands here twice")));
            }
            // Models do not keep to the case of a choice.
            if let Some((_, other)) =
                choices.iter().find(|(_, other)| other.to_lowercase() == text.to_lowercase())
            {
                let message = format!(
                    "`{other}` and `{text}` differ only in case, so a reply could mean either; keep one"
                );
                return Err(Problem::new(at, message));
            }
            if let Some((_, other)) = choices.iter().find(|(other, _)| *other == variant) {
                return Err(Problem::new(
                    at,
                    format!(
                        "`{text}` and `{other}` would both be named `{variant}`; declare an enum with \
                         `#[dspy::field_type]`, and name it here"
                    ),
                ));
            }
            choices.push((Ident::new(&variant, name.span()), text.to_owned()));
            if !scan.eat(",") || scan.peek("]") {
                break;
            }
        }
        scan.expect("]")?;
        Ok(LiteralEnum { name, choices })
    }

    pub(crate) fn expand(&self, krate: &Krate, vis: &Visibility) -> TokenStream {
        let LiteralEnum { name, choices } = self;
        let (variants, texts): (Vec<_>, Vec<_>) =
            choices.iter().map(|(variant, text)| (variant, text)).unzip();
        let listed: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
        let doc = format!("One of {}.", listed.join(", "));
        quote!(#krate::__literal_enum! { #[doc = #doc] #vis enum #name { #(#variants = #texts,)* } })
    }
}

/// A text in quotes, and where it begins.
fn quoted<'a>(scan: &mut Scanner<'a>) -> Result<(&'a str, usize), Problem> {
    scan.skip_space();
    let (rest, at) = (scan.rest(), scan.at());
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = rest.find([',', ']']).unwrap_or(rest.len());
        let value = rest[..end].trim();
        let number =
            value.parse::<f64>().is_ok() || matches!(value, "True" | "False" | "true" | "false" | "None");
        return Err(Problem::new(
            at,
            if number {
                format!(
                    "`{value}` is not a text; a `Literal` becomes an enum of texts, so quote it, or use a number type \
                     or `bool`"
                )
            } else {
                "expected a quoted text".to_owned()
            },
        ));
    };
    let Some(end) = rest[1..].find(quote) else {
        return Err(Problem::new(at, "the quote is never closed"));
    };
    scan.advance(end + 2);
    Ok((&rest[1..=end], at))
}

/// The text in Pascal case, if it has anything that can stand in a name.
fn variant(text: &str) -> Option<String> {
    let name = pascal(text);
    let name = match name.chars().next()? {
        c if c.is_numeric() => format!("N{name}"),
        _ if name == "Self" => "Self_".to_owned(),
        _ => name,
    };
    syn::parse_str::<Ident>(&name).is_ok().then_some(name)
}

/// The words of `text`, each with a capital.
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

/// An enum's name before the field is known.
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
            ("+", None),
            ("", None),
        ] {
            assert_eq!(variant(text).as_deref(), expected, "{text}");
        }
    }
}
