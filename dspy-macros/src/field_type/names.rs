//! The names that serde gives to the parts of a type, according to its attributes.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, MetaNameValue, Token};

use crate::signature::rename_variant;

/// The options of `#[serde(…)]` and `#[schemars(…)]`, with those of schemars last, because they win in a
/// schema.
///
/// Invalid options are skipped; serde reports them.
#[derive(Debug)]
pub(super) struct SerdeOptions(Vec<Meta>);

impl SerdeOptions {
    pub(super) fn of(attrs: &[Attribute]) -> Self {
        let mut options = Vec::new();
        for name in ["serde", "schemars"] {
            for attr in attrs.iter().filter(|attr| attr.path().is_ident(name)) {
                let parsed = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
                options.extend(parsed.into_iter().flatten());
            }
        }
        SerdeOptions(options)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|option| option.path().is_ident(name))
    }

    /// Returns the values of `name = "…"`, or of `name(deserialize = "…")`.
    fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = LitStr> + 'a {
        self.0.iter().filter(move |option| option.path().is_ident(name)).filter_map(|option| match option {
            Meta::List(list) => {
                let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
                inner.iter().find(|option| option.path().is_ident("deserialize")).and_then(text)
            }
            option => text(option),
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<LitStr> {
        self.texts(name).last()
    }

    pub(super) fn aliases(&self) -> Vec<LitStr> {
        self.texts("alias").collect()
    }
}

fn text(option: &Meta) -> Option<LitStr> {
    match option {
        Meta::NameValue(MetaNameValue { value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), .. }) => {
            Some(text.clone())
        }
        _ => None,
    }
}

/// The name of a variant in values.
#[derive(Debug)]
pub(super) struct VariantName {
    pub(super) name: String,
    /// The span of the name.
    pub(super) span: Span,
    pub(super) aliases: Vec<LitStr>,
}

impl VariantName {
    pub(super) fn of(ident: &Ident, options: &SerdeOptions, rename_all: Option<&str>) -> Self {
        let aliases = options.aliases();
        if let Some(renamed) = options.text("rename") {
            return VariantName { name: renamed.value(), span: renamed.span(), aliases };
        }
        let plain = ident.unraw().to_string();
        let cased = rename_all.and_then(|case| rename_variant(&plain, case));
        VariantName { name: cased.unwrap_or(plain), span: ident.span(), aliases }
    }

    /// Returns all names, each with the span for errors about it.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, Span)> + '_ {
        let aliases = self.aliases.iter().map(|alias| (alias.value(), alias.span()));
        std::iter::once((self.name.clone(), self.span)).chain(aliases)
    }
}
