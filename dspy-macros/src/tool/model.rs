//! The model of a tool, which parsing fills in and expansion reads.

use syn::{Attribute, Expr, Ident, LitStr, Meta, Type};

use crate::docs::Docs;

/// A function or method that is a tool.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) ident: Ident,
    /// The name for the model.
    pub(crate) name: LitStr,
    pub(crate) docs: Docs,
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) is_async: bool,
    pub(crate) inputs: Vec<Input>,
    /// The type of the result, if one is written.
    pub(crate) output: Option<Type>,
    pub(crate) approval: Option<Approval>,
}

impl Function {
    /// Returns the arguments that the model gives.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.inputs.iter().filter_map(|input| match input {
            Input::Argument(argument) => Some(&**argument),
            Input::Context { .. } => None,
        })
    }
}

/// A parameter of the function.
#[derive(Debug)]
pub(crate) enum Input {
    /// The context of the call, which the model does not see.
    Context {
        by_reference: bool,
    },
    Argument(Box<Argument>),
}

/// An argument that the model gives.
#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) name: LitStr,
    pub(crate) ty: Type,
    pub(crate) docs: Docs,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) default: Option<ArgumentDefault>,
    /// Whether the type is an `Option`.
    pub(crate) optional: bool,
    /// The constraints of `#[schemars(…)]`.
    pub(crate) schema: Vec<Meta>,
}

#[derive(Debug)]
pub(crate) enum ArgumentDefault {
    /// The type's own.
    Trait,
    Value(Expr),
}

#[derive(Debug)]
pub(crate) enum Approval {
    Always,
    /// A function of the arguments.
    If(Expr),
}
