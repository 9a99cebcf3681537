//! The error of a candidate that cannot be applied.

use thiserror::Error;

/// The reason why a component name cannot be parsed or a [`Candidate`](super::Candidate) cannot be applied to
/// a program.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// The string is not the name of a component.
    #[error(
        "`{0}` is not the name of a component; names are `path:instruction`, `path:description.field`, \
         `path:variant.field.choice`, `path:tool.name`, `path:demos` and `path:playbook`"
    )]
    Name(String),
    /// The program has no such component.
    #[error("the program has no component `{component}`; its components are {}", known.join(", "))]
    Unknown {
        /// The name of the component.
        component: String,
        /// The names of the components of the program.
        known: Vec<String>,
    },
    /// The value is not of the kind of the component, such as text for demonstrations.
    #[error(
        "the value of `{0}` is of the wrong kind; `demos` needs demonstrations, `playbook` a playbook, every other \
         component text"
    )]
    Kind(String),
}
