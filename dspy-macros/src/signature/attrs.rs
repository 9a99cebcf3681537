//! The attributes of the struct and of its fields: those of the macro are removed, the others stay.

use syn::punctuated::Punctuated;
use syn::{Attribute, Field, Meta, Path, Token};

use super::check::{self, Check};
use super::model::Role;
use super::naming::{FieldNaming, StructNaming};
use crate::errors::Errors;
use dspy_grammar::nearest;

const ROLES: [Role; 3] = [Role::Input, Role::Output, Role::Hint];

/// The names of the traits that the user derives, as far as the macro can see them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Derives(Vec<String>);

impl Derives {
    fn of(attrs: &[Attribute]) -> Self {
        let mut names = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
            // Invalid derives are skipped; rustc reports them.
            let paths =
                attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated).unwrap_or_default();
            names.extend(paths.iter().filter_map(|path| Some(path.segments.last()?.ident.to_string())));
        }
        Derives(names)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }

    /// Returns whether an attribute must also stay for one of the derives. The derive of `JsonSchema` reads
    /// serde's attributes too.
    fn keeps(&self, attr: &Attribute) -> bool {
        let serde = attr.path().is_ident("serde") && (self.has("Serialize") || self.has("Deserialize"));
        serde || self.has("JsonSchema")
    }
}

/// The attributes of the struct.
#[derive(Debug, Default)]
pub(crate) struct StructAttrs {
    pub(crate) derives: Derives,
    pub(crate) naming: StructNaming,
    pub(crate) demos: Vec<Attribute>,
    pub(crate) checks: Vec<Check>,
    pub(crate) lints: Vec<Attribute>,
}

pub(crate) fn of_struct(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> StructAttrs {
    let derives = Derives::of(attrs);
    let mut found = StructAttrs { derives: derives.clone(), ..StructAttrs::default() };
    attrs.retain(|attr| {
        let Some(name) = attr.path().get_ident().map(ToString::to_string) else { return true };
        match name.as_str() {
            "serde" | "schemars" => {
                let users = derives.keeps(attr);
                found.naming.parse(attr, users, errors);
                users
            }
            "demo" => {
                found.demos.push(attr.clone());
                false
            }
            "check" => {
                found.checks.extend(check::parse(attr, errors));
                false
            }
            "allow" | "expect" | "warn" | "deny" | "forbid" => {
                found.lints.push(attr.clone());
                true
            }
            "signature" => {
                errors.on(attr, "duplicate `#[signature]`; remove one");
                false
            }
            "input" | "output" | "hint" => {
                errors.on(attr, format!("`#[{name}]` gives a role to a field; move it to one"));
                false
            }
            "demos" | "dmeo" | "deom" | "demon" => {
                errors.on(attr, format!("unknown attribute `{name}`; did you mean `demo`?"));
                false
            }
            _ if is_misspelt_check(&name) => {
                errors.on(attr, format!("unknown attribute `{name}`; did you mean `check`?"));
                false
            }
            _ => true,
        }
    });
    found
}

/// Returns whether the name is a misspelt `check`. Other attributes may belong to the user's derives and are
/// ignored.
fn is_misspelt_check(name: &str) -> bool {
    name.starts_with(['c', 'C']) && nearest(name, ["check"]).is_some()
}

/// The attributes of a field.
#[derive(Debug, Default)]
pub(crate) struct FieldAttrs {
    pub(crate) role: Option<Role>,
    pub(crate) naming: FieldNaming,
    pub(crate) checks: Vec<(Check, Attribute)>,
    pub(crate) lints: Vec<Attribute>,
}

pub(crate) fn of_field(field: &mut Field, derives: &Derives, errors: &mut Errors) -> FieldAttrs {
    let mut found = FieldAttrs::default();
    field.attrs.retain(|attr| {
        let Some(name) = attr.path().get_ident().map(ToString::to_string) else { return true };
        if let Some(role) = ROLES.into_iter().find(|role| role.attr() == name) {
            found.set_role(role, attr, errors);
            return false;
        }
        match name.as_str() {
            "serde" => found.naming.serde(attr, errors),
            "schemars" => found.naming.schemars(attr, errors),
            "cfg" | "cfg_attr" => {
                errors.on(
                    attr,
                    format!(
                        "`#[{name}]` on a field of a signature; write two structs and put it above their `#[signature]`"
                    ),
                );
                return false;
            }
            "check" => {
                found.checks.extend(check::parse(attr, errors).map(|check| (check, attr.clone())));
                return false;
            }
            "allow" => {
                found.lints.push(attr.clone());
                return true;
            }
            "doc" | "expect" | "warn" | "deny" | "forbid" | "deprecated" => return true,
            _ if is_misspelt_check(&name) => {
                errors.on(attr, format!("unknown attribute `{name}`; did you mean `check`?"));
                return false;
            }
            _ => return !found.is_misspelt_role(attr, &name, errors),
        }
        derives.keeps(attr)
    });
    found
}

impl FieldAttrs {
    fn set_role(&mut self, role: Role, attr: &Attribute, errors: &mut Errors) {
        let name = role.attr();
        if !matches!(attr.meta, Meta::Path(_)) {
            errors.on(
                attr,
                format!("`#[{name}]` takes no arguments; describe the field in a doc comment, rename it with `#[serde(rename = \"…\")]`"),
            );
        }
        match self.role {
            None => self.role = Some(role),
            Some(other) if other == role => {
                errors.on(attr, format!("duplicate `#[{name}]`; remove one"));
            }
            Some(other) => errors.on(
                attr,
                format!(
                    "the field is already `#[{}]`; a field has one role, so remove one of the two",
                    other.attr()
                ),
            ),
        }
    }

    /// Treats a misspelt role as the role that was meant, and reports it.
    fn is_misspelt_role(&mut self, attr: &Attribute, name: &str, errors: &mut Errors) -> bool {
        let Some(near) = nearest(name, ROLES.map(Role::attr)) else { return false };
        errors.on(attr, format!("unknown attribute `{name}`; did you mean `{near}`?"));
        self.role = self.role.or_else(|| ROLES.into_iter().find(|role| role.attr() == near));
        true
    }
}
