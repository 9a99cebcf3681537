//! The attribute `#[check(expr, "why")]` and `#[check(soft, expr, "why")]`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Token};

use crate::errors::Errors;
use dspy_grammar::remedy;

/// A rule about the outputs.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) expr: Expr,
    pub(crate) why: LitStr,
    /// Whether a reply that fails it is refused, not only reported.
    pub(crate) hard: bool,
}

const FORM: &str = "write `#[check(self.field > 0, \"the field is positive\")]`";

/// Parses a check. rustc checks its expression.
pub(crate) fn parse(attr: &Attribute, errors: &mut Errors) -> Option<Check> {
    let syn::Meta::List(list) = &attr.meta else {
        errors.on(
            attr,
            format!("a check needs an expression over `self`, the outputs, and its reason; {FORM}"),
        );
        return None;
    };
    let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
    let mut parts: Vec<Expr> = errors.ok(parser.parse2(list.tokens.clone()))?.into_iter().collect();
    let hard = match option(&mut parts) {
        Ok(soft) => !soft,
        Err(name) => {
            let remedy =
                remedy(&name.to_string(), ["soft"], || "the only option is `soft`, which comes first".into());
            errors.on(&name, format!("unknown option `{name}`; {remedy}"));
            return None;
        }
    };
    let [expr, why] = match <[Expr; 2]>::try_from(parts) {
        Ok(two) => two,
        Err(parts) => {
            let (shown, problem) = wrong_count(&parts);
            match shown {
                Some(part) => errors.on(part, problem),
                None => errors.on(attr, problem),
            }
            return None;
        }
    };
    let Some(why) = text(&why) else {
        let problem = if text(&expr).is_some() {
            "the reason comes last, after the expression; swap the two".into()
        } else if is_word(&why, "soft") {
            format!("`soft` comes first, and the reason last; {}", FORM.replace("check(", "check(soft, "))
        } else {
            format!("the reason of a check is a text in quotes, for the model to read; {FORM}")
        };
        errors.on(why, problem);
        return None;
    };
    if text(&expr).is_some() {
        errors.on(&expr, format!("a text cannot be checked; {FORM}"));
        return None;
    }
    if why.value().trim().is_empty() {
        errors.on(&why, "the reason is empty; say what must hold, for the model reads it");
        return None;
    }
    Some(Check { expr, why, hard })
}

/// Removes an option from the front and returns whether it is `soft`; an unknown option is the error.
fn option(parts: &mut Vec<Expr>) -> Result<bool, Ident> {
    let word = match parts.as_slice() {
        // Two parts may be an expression that is a single word, and its reason.
        [Expr::Path(path), _, _, ..] => path.path.get_ident().filter(|word| *word != "self").cloned(),
        [Expr::Path(path), ..] => path.path.get_ident().filter(|word| *word == "soft").cloned(),
        _ => None,
    };
    match word {
        Some(word) if word == "soft" => {
            parts.remove(0);
            Ok(true)
        }
        Some(other) => Err(other),
        None => Ok(false),
    }
}

/// Returns the part to underline and the message if there are not two parts.
fn wrong_count(parts: &[Expr]) -> (Option<&Expr>, String) {
    match parts {
        [only] if text(only).is_some() => {
            (Some(only), format!("the expression over `self`, the outputs, is missing; {FORM}"))
        }
        [only] => {
            (Some(only), format!("the reason is missing, which tells the model what must hold; {FORM}"))
        }
        [_, reason, extra, ..] if text(reason).is_some() && is_word(extra, "soft") => {
            (Some(extra), format!("`soft` comes first; {}", FORM.replace("check(", "check(soft, ")))
        }
        [_, _, extra, ..] => (
            Some(extra),
            format!("one expression and one reason make a check; join expressions with `&&`, or {FORM}"),
        ),
        _ => (None, format!("a check needs an expression over `self`, the outputs, and its reason; {FORM}")),
    }
}

fn text(expr: &Expr) -> Option<LitStr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}

fn is_word(expr: &Expr, word: &str) -> bool {
    matches!(expr, Expr::Path(path) if path.path.is_ident(word))
}

impl Check {
    /// Returns whether the expression uses this field of `self` and nothing else of it, so that it can be
    /// evaluated without the other fields.
    pub(crate) fn is_only_about(&self, field: &Ident) -> bool {
        let mut found = false;
        only_about(self.expr.to_token_stream(), &field.unraw(), &mut found) && found
    }

    /// Returns the `self` of the user, whose hygiene the method's receiver must share.
    pub(crate) fn receiver(&self) -> Option<Ident> {
        first_self(self.expr.to_token_stream())
    }
}

/// Returns whether every `self` is followed by `.field`, and not by a call of a method of that name.
fn only_about(tokens: TokenStream, field: &Ident, found: &mut bool) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.iter().enumerate().all(|(at, token)| match token {
        TokenTree::Group(group) => only_about(group.stream(), field, found),
        TokenTree::Ident(word) if *word == "Self" => false,
        TokenTree::Ident(word) if *word == "self" => {
            let dot = matches!(tokens.get(at + 1), Some(TokenTree::Punct(dot)) if dot.as_char() == '.');
            let named = matches!(tokens.get(at + 2), Some(TokenTree::Ident(name)) if name.unraw() == *field);
            let called = match tokens.get(at + 3) {
                Some(TokenTree::Group(group)) => group.delimiter() == proc_macro2::Delimiter::Parenthesis,
                Some(TokenTree::Punct(colon)) => colon.as_char() == ':',
                _ => false,
            };
            *found |= dot && named;
            dot && named && !called
        }
        _ => true,
    })
}

fn first_self(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if word == "self" => Some(word),
        TokenTree::Group(group) => first_self(group.stream()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use quote::format_ident;
    use syn::parse_quote;

    use super::*;

    #[test]
    fn a_check_of_one_field_is_recognised() {
        let about = |attr: Attribute| {
            let check = parse(&attr, &mut Errors::default()).expect("a check");
            check.is_only_about(&format_ident!("score"))
        };
        assert!(about(parse_quote!(#[check(self.score > 1, "w")])));
        assert!(about(
            parse_quote!(#[check((0..3).contains(&self.score) && matches!(self.score, 1 | 2), "w")])
        ));
        assert!(about(parse_quote!(#[check(self.r#score.x.iter().all(|it| *it < self.score.y), "w")])));
        assert!(!about(parse_quote!(#[check(self.score > self.other, "w")])));
        assert!(!about(parse_quote!(#[check(good(self), "w")])));
        assert!(!about(parse_quote!(#[check(self.score() && self.score, "w")])));
        assert!(!about(parse_quote!(#[check(self.score::<u8>() == self.score, "w")])));
        assert!(!about(parse_quote!(#[check(self.score > Self::LIMIT, "w")])));
        assert!(!about(parse_quote!(#[check(true, "w")])));
    }
}
