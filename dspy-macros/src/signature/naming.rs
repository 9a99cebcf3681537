//! The options of `#[serde(…)]` and `#[schemars(…)]` that signatures support.

use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, MetaNameValue, Token};

use super::case::CASES;
use super::limits;
use super::model::FieldDefault;
use crate::errors::Errors;
use dspy_grammar::remedy;

/// The attributes of a field.
#[derive(Debug, Default)]
pub(crate) struct FieldNaming {
    pub(crate) rename: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<FieldDefault>,
    pub(crate) schema: Vec<Meta>,
}

const FIELD_OPTIONS: [&str; 3] = ["rename", "alias", "default"];

impl FieldNaming {
    pub(crate) fn serde(&mut self, attr: &Attribute, errors: &mut Errors) {
        for option in options(attr, errors) {
            let name = path_name(&option);
            match name.as_str() {
                "rename" => set_rename(&mut self.rename, &option, errors),
                "alias" => self.aliases.extend(text(&option, errors)),
                "default" => self.set_default(&option, errors),
                _ => errors.on(&option, unsupported(&name)),
            }
        }
    }

    pub(crate) fn schemars(&mut self, attr: &Attribute, errors: &mut Errors) {
        for option in options(attr, errors) {
            match path_name(&option).as_str() {
                "rename" => set_rename(&mut self.rename, &option, errors),
                "skip" | "skip_serializing" | "skip_deserializing" | "skip_serializing_if" | "flatten" => {
                    errors.on(
                        &option,
                        "a signature field has a schema of its own; remove this, or make the field a `#[hint]`",
                    );
                }
                _ if limits::contradictory(&option, errors) => {}
                _ => self.schema.push(option),
            }
        }
    }

    fn set_default(&mut self, option: &Meta, errors: &mut Errors) {
        let default = match option {
            Meta::Path(_) => Some(FieldDefault::Trait),
            _ => text(option, errors).and_then(|path| errors.ok(path.parse()).map(FieldDefault::Function)),
        };
        if self.default.is_some() {
            errors.on(option, "duplicate `default`; keep one");
        }
        self.default = default;
    }
}

fn unsupported(name: &str) -> String {
    match name {
        "with" | "serialize_with" | "deserialize_with" | "getter" | "flatten" | "borrow" | "bound" => {
            format!(
                "`#[serde({name})]` has no meaning on a signature field; wrap the value in a type of your own that \
             implements `Serialize` and `Deserialize` this way"
            )
        }
        "skip" | "skip_serializing" | "skip_deserializing" | "skip_serializing_if" => format!(
            "`#[serde({name})]` has no meaning on a signature field; use `#[hint]` for what the model must not \
             see, and `Option` for what may be absent"
        ),
        _ => {
            let all = || "a signature field takes `rename`, `alias` and `default`".into();
            format!("unknown option `{name}`; {}", remedy(name, FIELD_OPTIONS, all))
        }
    }
}

/// The attributes of the struct.
#[derive(Debug, Default)]
pub(crate) struct StructNaming {
    pub(crate) rename_all: Option<LitStr>,
}

impl StructNaming {
    /// Parses an attribute of the struct. `users`: whether there is a visible derive that the attribute may
    /// belong to, so that its other options must not be rejected.
    pub(crate) fn parse(&mut self, attr: &Attribute, users: bool, errors: &mut Errors) {
        for option in options(attr, errors) {
            if path_name(&option) == "rename_all" {
                let Some(case) = text(&option, errors) else { continue };
                let value = case.value();
                if !CASES.contains(&value.as_str()) {
                    let remedy = remedy(&value, CASES, || format!("the cases are `{}`", CASES.join("`, `")));
                    errors.on(&case, format!("unknown case `{value}`; {remedy}"));
                } else if let Some(other) = self.rename_all.replace(case)
                    && other.value() != value
                {
                    errors.on(&option, "duplicate `rename_all`; keep one");
                }
            } else if !users {
                let name = path_name(&option);
                let remedy = remedy(&name, ["rename_all"], || "the struct takes only `rename_all`".into());
                errors.on(&option, format!("`{name}` has no meaning on a signature; {remedy}"));
            }
        }
    }
}

fn options(attr: &Attribute, errors: &mut Errors) -> Punctuated<Meta, Token![,]> {
    errors.ok(attr.parse_args_with(Punctuated::parse_terminated)).unwrap_or_default()
}

fn path_name(option: &Meta) -> String {
    option.path().to_token_stream().to_string().replace(' ', "")
}

fn set_rename(slot: &mut Option<LitStr>, option: &Meta, errors: &mut Errors) {
    let Some(name) = text(option, errors) else { return };
    match slot {
        Some(other) if other.value() != name.value() => {
            errors.on(option, format!("the field is already renamed to `{}`; keep one name", other.value()));
        }
        _ => *slot = Some(name),
    }
}

/// Returns the string of `option = "string"`.
fn text(option: &Meta, errors: &mut Errors) -> Option<LitStr> {
    if let Meta::NameValue(MetaNameValue { value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), .. }) =
        option
    {
        return Some(text.clone());
    }
    let name = path_name(option);
    let why = if matches!(option, Meta::List(_)) { "one name for both directions" } else { "a text" };
    errors.on(option, format!("`{name}` needs {why}; write `{name} = \"…\"`"));
    None
}
