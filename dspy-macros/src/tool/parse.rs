//! Parsing of the user's functions into the model of `#[tool]`.

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, FnArg, Ident, Lit, LitStr, Meta, Pat, PatIdent, PatType, ReceiverKind,
    ReturnType, Safety, Signature, Token, Type, UnOp, Visibility,
};

use super::model::{Argument, ArgumentDefault, Function, Input};
use super::options::{Options, Place};
use crate::docs::Docs;
use crate::errors::Errors;
use crate::signature::limits;

/// The most characters of a name, for endpoints that limit it.
const LONGEST: usize = 64;

/// Parses a function, and removes the attributes of its arguments. `None` after an error in the form of an argument.
pub(crate) fn function(
    options: Options,
    attrs: &[Attribute],
    signature: &mut Signature,
    errors: &mut Errors,
) -> Option<Function> {
    let ident = signature.ident.clone();
    let docs = Docs::of(attrs);
    if docs.is_empty() {
        errors.on(
            &ident,
            format!(
                "a tool needs a description for the model; write a doc comment above `{ident}`: `/// …`{}",
                if options.skip.is_none() && signature.receiver().is_some() {
                    ", or mark the method with `#[tool(skip)]`"
                } else {
                    ""
                }
            ),
        );
    }
    form(signature, errors);
    let mut inputs = Some(Vec::new());
    for input in &mut signature.inputs {
        let FnArg::Typed(argument) = input else { continue };
        match (self::input(argument, errors), &mut inputs) {
            (Some(input), Some(inputs)) => inputs.push(input),
            _ => inputs = None,
        }
    }
    let inputs = inputs?;
    contexts(&inputs, signature, errors);
    let name = options.name.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
    check_name(&name, errors);
    let output = match &signature.output {
        ReturnType::Type(_, ty) => Some((**ty).clone()),
        ReturnType::Default => None,
    };
    if let Some(opaque) = output.as_ref().filter(|ty| matches!(ty, Type::ImplTrait(_))) {
        errors.on(
            opaque,
            "the result of a tool is converted by its type; write the type instead of `impl Trait`",
        );
    }
    let function = Function {
        is_async: signature.asyncness.is_some(),
        approval: options.approval,
        cfgs: attrs.iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect(),
        ident,
        name,
        docs,
        inputs,
        output,
    };
    same_names(&function, errors);
    Some(function)
}

/// Checks what is before and after the arguments.
fn form(signature: &Signature, errors: &mut Errors) {
    if let Safety::Unsafe(word) = &signature.safety {
        errors.on(word, "a model may call a tool with any arguments; make the function safe");
    }
    if let Some(abi) = &signature.abi {
        errors.on(abi, "a tool is a Rust function; remove this");
    }
    if let Some(variadic) = &signature.variadic {
        errors.on(variadic, "a tool has named arguments; use a `Vec`");
    }
    if !signature.generics.params.is_empty() {
        errors.on(
            &signature.generics,
            "a tool has no parameters in angle brackets, because a model sends values of known types; write the types",
        );
    } else if let Some(clause) = &signature.generics.where_clause {
        errors.on(clause, "a tool has no `where` clause; remove it");
    }
}

/// Returns the options of a method, and removes its `#[tool(…)]`.
pub(crate) fn method_options(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Options {
    let mut options = Options::default();
    attrs.retain(|attr| {
        if !attr.path().is_ident("tool") {
            return true;
        }
        if let Some(tokens) = tokens(attr, errors) {
            options.add(tokens, Place::Method, errors);
        }
        false
    });
    if let Some(skip) = options.skip.as_ref().filter(|_| options.name.is_some() || options.approval.is_some())
    {
        errors.on(skip, "a skipped method is no tool; remove `skip` or the other options");
    }
    options
}

/// Checks the receiver of a method.
pub(crate) fn receiver(signature: &Signature, errors: &mut Errors) {
    let ident = &signature.ident;
    let Some(receiver) = signature.receiver() else {
        let message = format!(
            "`{ident}` has no `&self`; make it a function with `#[tool]`, or mark it with `#[tool(skip)]`"
        );
        return errors.on(ident, message);
    };
    match &receiver.kind {
        ReceiverKind::Value => {
            errors.on(receiver, "the first call would consume the value that all calls share; write `&self`");
        }
        ReceiverKind::Reference(_, _, Some(_)) => errors.on(
            receiver,
            "calls of tools run at the same time; write `&self`, and put what changes into a `Mutex`",
        ),
        _ => {}
    }
}

/// Checks that the names of tools differ.
pub(crate) fn unique(methods: &[(Visibility, Function)], errors: &mut Errors) {
    for (at, (_, function)) in methods.iter().enumerate() {
        let name = function.name.value();
        if let Some((_, other)) =
            methods[..at].iter().find(|(_, other)| other.name.value().eq_ignore_ascii_case(&name))
        {
            let message = format!(
                "`{}` is already the tool `{}`; choose another name",
                other.ident,
                other.name.value()
            );
            errors.on(&function.name, message);
        }
    }
}

/// Removes the attributes of the arguments.
pub(crate) fn strip(signature: &mut Signature) {
    for input in &mut signature.inputs {
        if let FnArg::Typed(argument) = input {
            let ours =
                |attr: &Attribute| ["doc", "tool", "schemars"].iter().any(|name| attr.path().is_ident(name));
            argument.attrs.retain(|attr| !ours(attr));
        }
    }
}

fn input(argument: &mut PatType, errors: &mut Errors) -> Option<Input> {
    let docs = Docs::of(&argument.attrs);
    let (mut options, mut schema) = (Options::default(), Vec::new());
    argument.attrs.retain(|attr| {
        let Some(name) = attr.path().get_ident().map(ToString::to_string) else { return true };
        match name.as_str() {
            "doc" => return false,
            "tool" => {
                if let Some(tokens) = tokens(attr, errors) {
                    options.add(tokens, Place::Argument, errors);
                }
            }
            "schemars" => {
                if !limits::contradictory_attribute(attr, errors) {
                    let parsed = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
                    schema.extend(errors.ok(parsed).into_iter().flatten());
                }
            }
            "serde" => errors.on(
                attr,
                "an argument of a tool is no field of a struct; use `#[tool(name = \"…\")]`, `#[tool(alias = \"…\")]` or \
                 `#[tool(default = …)]`",
            ),
            _ => return true,
        }
        false
    });
    if let Some(by_reference) = context(&argument.ty) {
        return Some(Input::Context { by_reference });
    }
    let ident = ident(&argument.pat, errors);
    let owned = is_owned(&argument.ty, errors);
    let ident = ident.filter(|_| owned)?;
    check_default(&ident, &argument.ty, options.default.as_ref(), errors);
    let name = options.name.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
    if name.value().trim().is_empty() {
        errors.on(&name, "an argument needs a name; write one, or remove `name`");
    }
    Some(Input::Argument(Box::new(Argument {
        name,
        docs,
        schema,
        optional: last(&argument.ty).is_some_and(|name| name == "Option"),
        ty: (*argument.ty).clone(),
        aliases: options.aliases,
        default: options.default,
    })))
}

/// Checks that a literal default is of the type of its argument, if that is a number, a boolean or a string.
fn check_default(ident: &Ident, ty: &Type, default: Option<&ArgumentDefault>, errors: &mut Errors) {
    const NUMBERS: [&str; 14] = [
        "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "f32", "f64",
    ];
    let Some(ArgumentDefault::Value(value)) = default else { return };
    let literal = match value {
        Expr::Unary(negative) if matches!(negative.op, UnOp::Neg(_)) => &*negative.expr,
        value => value,
    };
    let (Expr::Lit(ExprLit { lit, .. }), Some(last)) = (literal, last(ty)) else { return };
    let name = last.to_string();
    let (fits, wanted) = match name.as_str() {
        "bool" => (matches!(lit, Lit::Bool(_)), "`true` or `false`"),
        "String" => (matches!(lit, Lit::Str(_)), "a string in quotes"),
        "f32" | "f64" => (matches!(lit, Lit::Float(_)), "a number with a point, such as `1.0`"),
        other if NUMBERS.contains(&other) => (matches!(lit, Lit::Int(_) | Lit::Byte(_)), "an integer"),
        _ => return,
    };
    if !fits {
        errors.on(
            value,
            format!("the argument `{ident}` is of the type `{name}`; write {wanted} as its default"),
        );
    }
}

/// Returns the tokens of `#[tool(…)]`; `None` for another form.
fn tokens(attr: &Attribute, errors: &mut Errors) -> Option<TokenStream> {
    match &attr.meta {
        Meta::Path(_) => None,
        meta => errors.ok(meta.require_list()).map(|list| list.tokens.clone()),
    }
}

fn ident(pat: &Pat, errors: &mut Errors) -> Option<Ident> {
    match pat {
        Pat::Ident(PatIdent { by_ref: None, subpat: None, ident, .. }) => Some(ident.clone()),
        other => {
            errors.on(
                other,
                "the model gives arguments by name; write a name here, and take the value apart in the body",
            );
            None
        }
    }
}

/// Checks that a value of the type can be made for a call.
fn is_owned(ty: &Type, errors: &mut Errors) -> bool {
    let message = match ty {
        Type::Reference(reference) => {
            let owned = match &*reference.elem {
                Type::Slice(slice) => format!("Vec<{}>", shown(&slice.elem)),
                elem if last(elem).is_some_and(|name| name == "str") => "String".into(),
                elem if last(elem).is_some_and(|name| name == "Path") => "PathBuf".into(),
                Type::TraitObject(_) => {
                    return unowned(ty, errors, "a tool owns its arguments; write a type");
                }
                elem => shown(elem),
            };
            format!("a tool owns its arguments; write `{owned}`")
        }
        Type::ImplTrait(_) => {
            "an argument is decoded by its type; write the type instead of `impl Trait`".into()
        }
        _ => return true,
    };
    unowned(ty, errors, &message)
}

fn unowned(ty: &Type, errors: &mut Errors, message: &str) -> bool {
    errors.on(ty, message);
    false
}

fn shown(ty: &Type) -> String {
    ty.to_token_stream().to_string().replace(' ', "")
}

/// Returns whether the type is the context, and if so, whether by reference.
fn context(ty: &Type) -> Option<bool> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_none() => {
            (last(&reference.elem)? == "ToolContext").then_some(true)
        }
        ty => (last(ty)? == "ToolContext").then_some(false),
    }
}

/// Returns the last name of a path.
fn last(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Type::Group(group) => last(&group.elem),
        Type::Paren(paren) => last(&paren.elem),
        _ => None,
    }
}

fn contexts(inputs: &[Input], signature: &Signature, errors: &mut Errors) {
    if inputs.iter().filter(|input| matches!(input, Input::Context { .. })).count() > 1 {
        errors.on(&signature.inputs, "there is one context for a call; keep one `ToolContext`");
    }
}

/// Checks the name of a tool by the rules of the endpoints.
fn check_name(name: &LitStr, errors: &mut Errors) {
    let value = name.value();
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if value.is_empty() || value.len() > LONGEST || !value.chars().all(valid) {
        errors.on(
            name,
            format!(
                "`{value}` cannot be the name of a tool; write `#[tool(name = \"…\")]` with up to {LONGEST} letters from a to z, \
                 digits, `_` and `-`"
            ),
        );
    }
}

/// Checks that the names of arguments and their aliases differ.
fn same_names(function: &Function, errors: &mut Errors) {
    let mut names: Vec<String> = Vec::new();
    for name in function.arguments().flat_map(|one| std::iter::once(&one.name).chain(&one.aliases)) {
        if names.contains(&name.value()) {
            errors.on(name, format!("`{}` already names an argument; choose another name", name.value()));
        }
        names.push(name.value());
    }
}
