//! Contradictory constraints of schemars, as far as their values are literals.

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, ExprUnary, Lit, Meta, Token, UnOp};

use crate::errors::Errors;

type Options = Punctuated<Meta, Token![,]>;

/// Returns whether an attribute holds a contradictory constraint, and reports it.
pub(crate) fn contradictory_attribute(attr: &Attribute, errors: &mut Errors) -> bool {
    if !attr.path().is_ident("schemars") {
        return false;
    }
    let options = attr.parse_args_with(Options::parse_terminated).unwrap_or_default();
    options.iter().filter(|option| contradictory(option, errors)).count() > 0
}

/// Returns whether the option is a contradictory constraint, and reports it.
pub(crate) fn contradictory(option: &Meta, errors: &mut Errors) -> bool {
    let Meta::List(list) = option else { return false };
    let nested = || parse(list.tokens.clone());
    if list.path.is_ident("inner") {
        return nested().iter().filter(|option| contradictory(option, errors)).count() > 0;
    }
    if !(list.path.is_ident("range") || list.path.is_ident("length")) {
        return false;
    }
    let limits = nested();
    let limit = |name: &str| limits.iter().find(|limit| limit.path().is_ident(name));
    if let (Some(_), Some(other)) = (limit("equal"), limit("min").or_else(|| limit("max"))) {
        let name = other.path().to_token_stream();
        errors.on(other, format!("`equal` sets both limits already; remove `{name}`, or `equal`"));
        return true;
    }
    let (Some(min), Some(max)) = (limit("min"), limit("max")) else { return false };
    if !value(min).zip(value(max)).is_some_and(|(min, max)| min.exceeds(max)) {
        return false;
    }
    let shown = |limit: &Meta| limit.to_token_stream().to_string();
    errors.on(max, format!("`{}` with `{}` admits nothing; swap the two numbers", shown(min), shown(max)));
    true
}

fn parse(tokens: TokenStream) -> Options {
    // Invalid options are skipped; schemars reports them.
    Options::parse_terminated.parse2(tokens).unwrap_or_default()
}

/// A literal number.
#[derive(Debug, Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    fn exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a > b,
            (a, b) => a.float() > b.float(),
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

fn value(limit: &Meta) -> Option<Number> {
    let Meta::NameValue(pair) = limit else { return None };
    number(&pair.value)
}

fn number(expr: &Expr) -> Option<Number> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) => int.base10_parse().ok().map(Number::Int),
        Expr::Lit(ExprLit { lit: Lit::Float(float), .. }) => float.base10_parse().ok().map(Number::Float),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => Some(match number(expr)? {
            Number::Int(value) => Number::Int(-value),
            Number::Float(value) => Number::Float(-value),
        }),
        _ => None,
    }
}
