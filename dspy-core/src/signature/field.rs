//! The fields of signatures as data.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::field_properties::{Facets, Form};
use super::native::Native;
use super::shape::FieldShape;
use super::{CheckSpec, FieldType, choices};
use crate::decode::{Plan, SchemaError};
use crate::types::TypeText;

/// The role of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Passed to the model.
    Input,
    /// Requested from the model.
    Output,
    /// Visible to metrics and optimizers only.
    Hint,
}

/// One field of a signature.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    name: Arc<str>,
    pub(super) description: Arc<str>,
    role: Role,
    optional: bool,
    aliases: Arc<[Arc<str>]>,
    pub(super) checks: Arc<[CheckSpec]>,
    kind: Arc<Kind>,
    /// The field in the code, if a macro has declared it.
    pub(super) declared: Option<&'static FieldShape>,
}

/// The type of a field: its schema and everything that is derived from it on first use.
#[derive(Debug)]
struct Kind {
    schema: Value,
    facets: Facets,
    native: Option<Native>,
    text: OnceLock<TypeText>,
    plan: OnceLock<Result<Plan, SchemaError>>,
}

impl Kind {
    fn new(schema: Value) -> Self {
        let (facets, native) = (Facets::of(&schema), Native::of(&schema));
        Kind { schema, facets, native, text: OnceLock::new(), plan: OnceLock::new() }
    }
}

impl PartialEq for FieldSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.description, self.role, self.optional)
            == (&other.name, &other.description, other.role, other.optional)
            && (&self.aliases, &self.checks) == (&other.aliases, &other.checks)
            && self.kind.schema == other.kind.schema
    }
}

impl FieldSpec {
    /// Creates a field from the JSON Schema of its values.
    pub fn new(
        role: Role,
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        schema: Value,
    ) -> Self {
        let optional = admits_null(&schema);
        FieldSpec {
            name: name.into(),
            description: description.into(),
            role,
            optional,
            aliases: Arc::default(),
            checks: Arc::default(),
            kind: Arc::new(Kind::new(schema)),
            declared: None,
        }
    }

    /// Creates a string field.
    pub fn text(role: Role, name: impl Into<Arc<str>>, description: impl Into<Arc<str>>) -> Self {
        Self::new(role, name, description, serde_json::json!({"type": "string"}))
    }

    /// Creates a field of a Rust type, with the schema of that type.
    ///
    /// ```
    /// use dspy_core::signature::{FieldSpec, Role};
    /// let field = FieldSpec::of::<Option<f64>>(Role::Output, "confidence", "From 0 to 1.");
    /// assert!(field.is_optional());
    /// ```
    pub fn of<T: FieldType>(role: Role, name: impl Into<Arc<str>>, description: impl Into<Arc<str>>) -> Self {
        Self::new(role, name, description, T::schema())
    }

    /// Returns the field marked as having a default, so that replies may omit it.
    #[must_use]
    pub fn defaulted(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Returns the field with another description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Self {
        self.description = description.into();
        self
    }

    /// Returns the field with aliases that replies may use for its name. Prompts do not mention them.
    ///
    /// ```
    /// use dspy_core::signature::{FieldSpec, Role};
    /// let field = FieldSpec::text(Role::Output, "answer", "").with_aliases(["result", "response"]);
    /// assert_eq!(field.aliases().len(), 2);
    /// ```
    #[must_use]
    pub fn with_aliases<A: Into<Arc<str>>>(mut self, aliases: impl IntoIterator<Item = A>) -> Self {
        self.aliases = aliases.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn with_checks(mut self, checks: Vec<CheckSpec>) -> Self {
        self.checks = checks.into();
        self
    }

    /// Returns the field in the code, if a macro has declared it.
    pub(crate) fn declared(&self) -> Option<&'static FieldShape> {
        self.declared
    }

    /// Returns the name, as used in prompts and saved files.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Returns the aliases that replies may use for the name.
    pub fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }

    pub(crate) fn has_alias(&self, meant: impl Fn(&str) -> bool) -> bool {
        self.aliases.iter().any(|alias| meant(alias))
    }

    /// Returns the checks that are declared on the field.
    pub fn checks(&self) -> &[CheckSpec] {
        &self.checks
    }

    /// Returns the description; empty if there is none.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the choices of an enum with their descriptions, which may be empty. Other types have none.
    ///
    /// ```
    /// use dspy_core::signature::SignatureSpec;
    /// let spec: SignatureSpec = "text -> mood: Literal['good', 'bad']".parse()?;
    /// let spec = spec.describe_choice("mood", "bad", "Also if it rains.");
    /// let choices = spec.field("mood").unwrap().choices();
    /// assert_eq!(choices[1], ("bad".to_owned(), "Also if it rains.".to_owned()));
    /// # Ok::<(), dspy_core::signature::GrammarError>(())
    /// ```
    pub fn choices(&self) -> Vec<(String, String)> {
        choices::descriptions(&self.kind.schema)
    }

    /// Gives a choice of an enum another description. Returns whether that changed anything.
    pub(super) fn describe_choice(&mut self, choice: &str, description: &str) -> bool {
        let is_new = |(known, text): (String, String)| known == choice && text != description;
        let mut schema = self.kind.schema.clone();
        let changed =
            self.choices().into_iter().any(is_new) && choices::describe(&mut schema, choice, description);
        if changed {
            self.kind = Arc::new(Kind::new(schema));
        }
        changed
    }

    /// Returns whether the field is an input for tools that a model may call.
    pub fn holds_tools(&self) -> bool {
        self.role == Role::Input && self.kind.native == Some(Native::Tools)
    }

    /// Returns the role of the field.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the self-contained JSON Schema of the values.
    pub fn schema(&self) -> &Value {
        &self.kind.schema
    }

    /// Returns the type in the notation that prompts use.
    pub fn type_text(&self) -> &TypeText {
        self.kind.text.get_or_init(|| match self.kind.native {
            // The prompt describes tools in words, not as JSON.
            Some(Native::Tools) => TypeText::word("tools"),
            _ => {
                let unusable = |_| TypeText::of_unusable(&self.kind.schema);
                let text = self.plan().map_or_else(unusable, Plan::type_text);
                if self.has_documents() { text.of_documents(&self.kind.schema) } else { text }
            }
        })
    }

    /// Returns the plan by which values are decoded.
    ///
    /// # Errors
    /// If the schema contradicts itself, so that no value could be decoded.
    pub fn plan(&self) -> Result<&Plan, &SchemaError> {
        self.kind.plan.get_or_init(|| Plan::new(&self.kind.schema)).as_ref()
    }

    /// Checks that replies can be decoded into values. A plain string needs no plan for that.
    pub(crate) fn readable(&self) -> Result<(), &SchemaError> {
        if self.is_text() && !self.has_constraints() { Ok(()) } else { self.plan().map(|_| ()) }
    }

    /// Returns whether a reply without the field is complete.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Returns whether any string is a valid value, without quotes or escapes.
    pub fn is_text(&self) -> bool {
        self.kind.facets.form == Form::Text
    }

    /// Returns whether any string is a valid value, without quotes or escapes, and so is an absent one.
    pub(crate) fn is_optional_text(&self) -> bool {
        self.kind.facets.form == Form::OptionalText
    }

    /// Returns whether the values are code, which prompts and replies put into a fence.
    pub(crate) fn is_code(&self) -> bool {
        self.kind.facets.form == Form::Code
    }

    /// Returns whether the type restricts its strings beyond being strings.
    pub(crate) fn has_constraints(&self) -> bool {
        self.kind.facets.constrained
    }

    /// Returns the native counterpart of the field for models that support it.
    pub(crate) fn native(&self) -> Option<Native> {
        self.kind.native
    }

    /// Returns whether images, audio or files occur in the values.
    pub(crate) fn has_media(&self) -> bool {
        self.kind.facets.media
    }

    /// Returns whether the field is an input whose value is a document or a list of documents.
    pub(crate) fn has_documents(&self) -> bool {
        self.role == Role::Input && self.kind.facets.form == Form::Documents
    }

    /// Returns whether the field holds earlier turns of the conversation, which are shown as turns.
    pub(crate) fn is_history(&self) -> bool {
        self.kind.facets.form == Form::History
    }

    /// Returns whether single-precision numbers occur in the values.
    pub(crate) fn has_f32(&self) -> bool {
        self.kind.facets.f32
    }
}

fn admits_null(schema: &Value) -> bool {
    let by_type = match schema.get("type") {
        Some(Value::String(name)) => name == "null",
        Some(Value::Array(names)) => names.iter().any(|name| name == "null"),
        _ => false,
    };
    let by_choice =
        ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten().any(admits_null);
    by_type || by_choice
}
