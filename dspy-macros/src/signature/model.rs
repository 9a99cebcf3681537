//! The model of a signature, which parsing fills in and expansion reads.

use syn::{Attribute, Expr, Ident, LitStr, Meta, Path, Type, Visibility};

use super::attrs::Derives;
use super::check::Check;
use crate::docs::Docs;
use crate::krate::Krate;

/// A signature.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) krate: Krate,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    /// The name in the data.
    pub(crate) name: String,
    pub(crate) instruction: Docs,
    pub(crate) fields: Vec<Field>,
    pub(crate) demos: Vec<Demo>,
    /// Checks over all outputs.
    pub(crate) checks: Vec<Check>,
    pub(crate) input: Side,
    pub(crate) output: Side,
    /// Lint levels, copied to the generated items.
    pub(crate) lints: Vec<Attribute>,
    /// The user's derives for the struct of all fields.
    pub(crate) derives: Derives,
    /// Whether the struct of all fields is generated too, so that the macro implements `Clone` and the like.
    pub(crate) ours: bool,
    /// Whether the struct does not have these fields because an error was reported; the impls are stand-ins.
    pub(crate) broken: bool,
    /// Whether a field without a role was reported.
    pub(crate) roleless: bool,
}

/// The struct of the inputs or of the outputs.
#[derive(Debug)]
pub(crate) enum Side {
    Generated(Ident),
    /// A struct of the user, with the same fields.
    Shared(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Input,
    Output,
    Hint,
}

impl Role {
    /// Returns the attribute of the role.
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
    /// The name in prompts.
    pub(crate) name: LitStr,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<FieldDefault>,
    /// The options of `#[schemars(…)]` that change the schema.
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
    /// The result of this function.
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
