//! What the macro knows of a signature: the front end fills it, the back end reads nothing else.

use syn::{Attribute, Expr, Ident, LitStr, Meta, Path, Type, Visibility};

use super::attrs::Derives;
use super::rule::Check;
use crate::docs::Docs;
use crate::krate::Krate;

/// A signature.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) krate: Krate,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    /// Its name as data.
    pub(crate) name: String,
    pub(crate) instruction: Docs,
    pub(crate) fields: Vec<Field>,
    pub(crate) demos: Vec<Demo>,
    /// Checks over all outputs.
    pub(crate) checks: Vec<Check>,
    pub(crate) input: Side,
    pub(crate) output: Side,
    /// Lint levels, copied to what is generated.
    pub(crate) lints: Vec<Attribute>,
    /// What the user derives for the struct of all fields.
    pub(crate) derives: Derives,
    /// The struct of all fields is generated too, so that `Clone` and its like are ours to implement.
    pub(crate) ours: bool,
    /// It is not a struct of these fields: an error was reported, and the impls are stand-ins.
    pub(crate) broken: bool,
    /// A field without a role was reported.
    pub(crate) roleless: bool,
}

/// The struct of the inputs or of the outputs.
#[derive(Debug)]
pub(crate) enum Side {
    Generated(Ident),
    /// A struct of the user's, with the same fields.
    Shared(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Input,
    Output,
    Hint,
}

impl Role {
    /// The attribute that gives the role.
    pub(crate) const fn attr(self) -> &'static str {
        match self {
            Role::Input => "input",
            Role::Output => "output",
            Role::Hint => "hint",
        }
    }

    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Role::Input => "an input",
            Role::Output => "an output",
            Role::Hint => "a hint",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) role: Role,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Docs,
    /// Its name in prompts.
    pub(crate) name: LitStr,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<FieldDefault>,
    /// The contents of `#[schemars(…)]` that change the schema.
    pub(crate) schema: Vec<Meta>,
    pub(crate) checks: Vec<Check>,
    /// `#[allow(…)]` on the field, copied to its checks.
    pub(crate) lints: Vec<Attribute>,
}

/// The value of a field that is absent.
#[derive(Debug)]
pub(crate) enum FieldDefault {
    /// `Default::default()`.
    Trait,
    /// What this function returns.
    Function(Path),
}

/// A demonstration: pairs of a field's index and its value, in the order of the fields.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) values: Vec<(usize, Expr)>,
    pub(crate) reasoning: Option<Expr>,
}

impl Model {
    pub(crate) fn fields_of(&self, role: Role) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.role == role)
    }
}
