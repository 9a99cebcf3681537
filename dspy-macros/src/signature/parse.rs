//! Parsing of the user's struct into the model.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident};
use syn::ext::IdentExt as _;
use syn::{Attribute, Field as SynField, Fields, Ident, ItemStruct, LitStr, Path};

use super::attrs::{self, FieldAttrs, StructAttrs};
use super::check::Check;
use super::model::{Field, Model, Role, Side};
use super::options::Options;
use super::{case, demo};
use crate::docs::Docs;
use crate::errors::Errors;

/// Parses the struct and removes the attributes of the macro. Returns `None` if no stand-in is possible.
pub(crate) fn signature(options: Options, item: &mut ItemStruct, errors: &mut Errors) -> Option<Model> {
    let attrs = attrs::of_struct(&mut item.attrs, errors);
    let broken = !matches!(item.fields, Fields::Named(_));
    if broken {
        let (what, shown) = match &item.fields {
            Fields::Unit => ("a unit struct", item.ident.to_token_stream()),
            _ => ("a tuple struct", item.fields.to_token_stream()),
        };
        errors.on(
            shown,
            format!(
                "{what} has no named fields; write `struct {} {{ #[input] …, #[output] … }}`",
                item.ident
            ),
        );
    }
    if !item.generics.params.is_empty() {
        errors.on(
            &item.generics,
            "a signature has no generic parameters; name the concrete types, in one signature for each",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        errors.on(clause, "a signature has no where clause; remove it");
    }
    let repeated = without_repetitions(&mut item.fields, errors);
    let rename_all = attrs.naming.rename_all.as_ref().map(LitStr::value);
    let (mut roleless, mut broken) = (repeated, broken);
    let mut fields = Vec::with_capacity(item.fields.len());
    for field in &mut item.fields {
        let read = attrs::of_field(field, &attrs.derives, errors);
        roleless |= read.role.is_none();
        if mentions_self(field.ty.to_token_stream()) {
            let message = format!("`Self` in the type of a signature field; write `{}`", item.ident);
            errors.on(&field.ty, message);
            broken = true;
            continue;
        }
        fields.extend(read_field(field, read, rename_all.as_deref(), errors));
    }
    let instruction = Docs::of(&item.attrs);
    misplaced_instruction(&instruction, &fields, errors);
    let demos = attrs.demos.iter().filter_map(|attr| demo::parse(attr, &fields, errors)).collect();
    let StructAttrs { derives, lints, checks, .. } = attrs;
    let generic = !item.generics.params.is_empty();
    (!generic).then(|| Model {
        krate: options.krate,
        vis: item.vis.clone(),
        ident: item.ident.clone(),
        name: item.ident.unraw().to_string(),
        instruction,
        fields,
        demos,
        checks,
        input: side(options.input, &item.ident, "Input"),
        output: side(options.output, &item.ident, "Output"),
        lints,
        derives,
        ours: false,
        broken,
        roleless,
    })
}

pub(super) fn side(shared: Option<Path>, ident: &Ident, suffix: &str) -> Side {
    shared.map_or_else(
        || Side::Generated(format_ident!("{}{suffix}", ident.unraw(), span = ident.span())),
        Side::Shared,
    )
}

fn read_field(
    field: &SynField,
    attrs: FieldAttrs,
    rename_all: Option<&str>,
    errors: &mut Errors,
) -> Option<Field> {
    let ident = field.ident.clone()?;
    let role = attrs.role.unwrap_or_else(|| {
        errors.on(
            &ident,
            format!("the field `{ident}` has no role; mark it `#[input]`, `#[output]` or `#[hint]`"),
        );
        Role::Hint
    });
    let checks = checks(attrs.checks, attrs.role, &ident, errors);
    let naming = attrs.naming;
    let name = naming.rename.unwrap_or_else(|| {
        let plain = ident.unraw().to_string();
        let cased = rename_all.and_then(|case| case::rename(&plain, case));
        LitStr::new(&cased.unwrap_or(plain), ident.span())
    });
    Some(Field {
        role,
        vis: field.vis.clone(),
        ty: field.ty.clone(),
        docs: Docs::of(&field.attrs),
        name,
        aliases: naming.aliases,
        default: naming.default,
        schema: naming.schema,
        checks,
        lints: attrs.lints,
        ident,
    })
}

/// Collects the checks. They are rules about the model's answer, so they must be on outputs.
fn checks(
    checks: Vec<(Check, Attribute)>,
    role: Option<Role>,
    ident: &Ident,
    errors: &mut Errors,
) -> Vec<Check> {
    let keep = |(check, attr): (Check, Attribute)| {
        let role = match role {
            Some(Role::Output) => return Some(check),
            // The missing role was reported; the kind of the field is unknown.
            None => return None,
            Some(role) => role.in_words(),
        };
        let message = format!(
            "`{ident}` is {role}; checks speak of outputs, so move it to an output or, for a rule over several, above \
             the struct"
        );
        errors.on(attr, message);
        None
    };
    checks.into_iter().filter_map(keep).collect()
}

/// Removes fields with duplicate names, which rustc would report in each struct that they are copied to.
fn without_repetitions(fields: &mut Fields, errors: &mut Errors) -> bool {
    let Fields::Named(fields) = fields else { return false };
    let before = fields.named.len();
    let mut seen: Vec<Ident> = Vec::new();
    let all = std::mem::take(&mut fields.named);
    fields.named = all
        .into_iter()
        .filter(|field| {
            let Some(ident) = &field.ident else { return true };
            let twice = seen.contains(ident);
            if twice {
                errors.on(ident, format!("duplicate field `{ident}`; rename one of the two"));
            }
            seen.push(ident.clone());
            !twice
        })
        .collect();
    fields.named.len() < before
}

/// Returns whether the tokens mention `Self`, which would be another type in each struct that the field is
/// copied to.
fn mentions_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "Self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        _ => false,
    })
}

/// Reports a doc comment between `#[signature] struct X {` and the first field if nothing else is documented.
/// It is legal Rust, and rustc passes it on as the description of that field. It was almost certainly meant
/// as the instruction, and treating it as a description would silently lose the user's prompt.
fn misplaced_instruction(instruction: &Docs, fields: &[Field], errors: &mut Errors) {
    let [first, rest @ ..] = fields else { return };
    if !instruction.is_empty() || first.docs.is_empty() || rest.iter().any(|field| !field.docs.is_empty()) {
        return;
    }
    for attr in first.docs.attrs().iter().take(1) {
        errors.on(
            attr,
            format!(
                "this describes the field `{}`, and the struct has no instruction; if it is the instruction, move it \
                 above `#[signature]`, otherwise give the struct a doc comment too",
                first.ident
            ),
        );
    }
}
