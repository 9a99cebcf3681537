//! Doc comments as text.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, ExprLit, Lit, Meta, parse_quote};

/// The text of the doc comments of an item.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    attrs: Vec<Attribute>,
}

impl Docs {
    pub(crate) fn of(attrs: &[Attribute]) -> Self {
        Docs { attrs: attrs.iter().filter(|attr| attr.path().is_ident("doc")).cloned().collect() }
    }

    /// Creates docs from an expression instead of a comment.
    pub(crate) fn from_expr(text: &Expr) -> Self {
        Docs { attrs: vec![parse_quote!(#[doc = #text])] }
    }

    /// Returns the original attributes, to be copied to generated items.
    pub(crate) fn attrs(&self) -> &[Attribute] {
        &self.attrs
    }

    /// Returns the parts that have text; `#[doc(hidden)]` has none.
    fn parts(&self) -> impl Iterator<Item = &Expr> {
        self.attrs.iter().filter_map(|attr| match &attr.meta {
            Meta::NameValue(pair) => Some(&pair.value),
            _ => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts().next().is_none()
    }

    /// Returns the text, unless a part of it is computed, as in `#[doc = include_str!("…")]`.
    fn text(&self) -> Option<String> {
        let lines: Option<Vec<String>> = self.parts().map(literal).collect();
        lines.map(|lines| dedent(&lines.join("\n")))
    }
}

/// Expands to an expression of type `&'static str`.
impl ToTokens for Docs {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        if let Some(text) = self.text() {
            text.to_tokens(tokens);
            return;
        }
        let mut parts = self.parts();
        if let (Some(only), None) = (parts.next(), parts.next()) {
            only.to_tokens(tokens);
            return;
        }
        let parts = self.parts().map(|part| match literal(part) {
            Some(text) => dedent(&text).to_token_stream(),
            None => part.to_token_stream(),
        });
        quote!(::core::concat!(#(#parts, "\n"),*)).to_tokens(tokens);
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(without_stars(&text.value())),
        _ => None,
    }
}

/// Removes the indentation that all lines share, and blank lines at both ends.
fn dedent(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let shared = lines.iter().filter(|line| !line.is_empty()).map(indent).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(shared..).unwrap_or_default()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Removes the column of stars of a block comment. A single line comes from a line comment, where a star is a
/// bullet.
fn without_stars(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let starred = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('*');
    if lines.len() > 1 && lines.iter().skip(1).all(starred) {
        for line in lines.iter_mut().skip(1) {
            *line = line.trim_start().strip_prefix('*').unwrap_or_default();
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indentation_goes_and_blank_lines_stay() {
        for (text, expected) in [
            (" Answer.", "Answer."),
            (" Answer.\n\n - one\n   - two\n", "Answer.\n\n- one\n  - two"),
            (" Rules:\n * one\n * two", "Rules:\n* one\n* two"),
            ("", ""),
        ] {
            assert_eq!(dedent(text), expected);
        }
    }

    #[test]
    fn the_stars_of_block_comments_go() {
        for (text, expected) in [
            ("\n * Block\n *\n * stars\n ", "\n Block\n\n stars\n"),
            (" * bullet", " * bullet"),
            (" a\n b", " a\n b"),
        ] {
            assert_eq!(without_stars(text), expected);
        }
    }
}
