//! Signatures as data.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::check::Enforce;
use super::field_properties::{Facets, Form};
use super::native::Native;
use super::reply_schema::reply_schema;
use super::shape::FieldShape;
use super::{CheckSpec, FieldType, choices, schema_keywords};
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
    description: Arc<str>,
    role: Role,
    optional: bool,
    aliases: Arc<[Arc<str>]>,
    checks: Arc<[CheckSpec]>,
    kind: Arc<Kind>,
    /// The field in the code, if a macro has declared it.
    declared: Option<&'static FieldShape>,
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

/// A signature as data: its name, its instruction and its fields.
///
/// ```
/// use dspy_core::signature::SignatureSpec;
/// let spec: SignatureSpec = "question, context: list[str] -> answer: Literal['yes', 'no']".parse()?;
/// assert_eq!(spec.inputs().count(), 2);
/// assert_eq!(spec.outputs().next().unwrap().name(), "answer");
/// # Ok::<(), dspy_core::signature::GrammarError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SignatureSpec {
    name: Arc<str>,
    instruction: Arc<str>,
    /// Inputs, then outputs, then hints; each group in the order of declaration.
    fields: Vec<FieldSpec>,
    checks: Arc<[CheckSpec]>,
    /// The function that runs the checks of all fields and of the whole signature, if it is known.
    enforce: Option<Enforce>,
    reply: Arc<ReplyKind>,
    /// The signature that has the fields of the turns of histories, if it is another one.
    turns: Option<Arc<SignatureSpec>>,
}

/// The object of all outputs, computed on first use.
#[derive(Debug, Default)]
struct ReplyKind {
    schema: OnceLock<Arc<Value>>,
    plain: OnceLock<Arc<Value>>,
    plan: OnceLock<Result<Plan, SchemaError>>,
}

impl PartialEq for SignatureSpec {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.instruction, &self.fields, &self.checks)
            == (&other.name, &other.instruction, &other.fields, &other.checks)
    }
}

impl SignatureSpec {
    /// Creates a signature. An empty instruction is replaced by one that asks for the outputs given the
    /// inputs.
    pub fn new(
        name: impl Into<Arc<str>>,
        instruction: impl Into<Arc<str>>,
        fields: impl IntoIterator<Item = FieldSpec>,
    ) -> Self {
        let mut fields: Vec<FieldSpec> = fields.into_iter().collect();
        fields.sort_by_key(|field| field.role as u8);
        let mut instruction = instruction.into();
        if instruction.trim().is_empty() {
            instruction = default_instruction(&fields).into();
        }
        SignatureSpec {
            name: name.into(),
            instruction,
            fields,
            checks: Arc::default(),
            enforce: None,
            reply: Arc::default(),
            turns: None,
        }
    }

    /// Returns the signature with histories whose turns have the fields of `spec`. For the steps of a strategy, which
    /// have other outputs than the signature of the user. Prompts show the turns as those of `spec`.
    ///
    /// ```
    /// use dspy_core::predict::Predictor;
    /// use dspy_core::signature::SignatureSpec;
    /// use serde_json::json;
    ///
    /// let spec: SignatureSpec = "history: History, question -> answer".parse()?;
    /// let step: SignatureSpec = "history: History, question -> query".parse()?;
    /// let history = json!([{"question": "What do owls eat?", "answer": "Mice."}]);
    /// let inputs = [("history".to_owned(), history), ("question".to_owned(), json!("And cats?"))];
    /// let messages = Predictor::new(step.with_turns_of(&spec)).render(&inputs.into_iter().collect()).unwrap();
    /// assert!(messages[2].text().starts_with("[[ ## answer ## ]]\nMice."));
    /// # Ok::<(), dspy_core::signature::GrammarError>(())
    /// ```
    #[must_use]
    pub fn with_turns_of(mut self, spec: &SignatureSpec) -> Self {
        let has_turns = self.inputs().any(FieldSpec::is_history);
        self.turns = has_turns.then(|| Arc::new(spec.clone()));
        self
    }

    /// Returns the signature that has the fields of the turns of histories, if it is another one.
    pub(crate) fn turns(&self) -> Option<&Arc<SignatureSpec>> {
        self.turns.as_ref()
    }

    pub(crate) fn enforced_by(mut self, enforce: Enforce) -> Self {
        self.enforce = Some(enforce);
        self
    }

    /// Returns the signature with the fields in the code that it was declared by.
    pub(crate) fn declared_by(mut self, fields: &'static [FieldShape]) -> Self {
        for field in &mut self.fields {
            field.declared = fields.iter().find(|declared| declared.name == field.name());
        }
        self
    }

    pub(crate) fn enforce(&self) -> Option<Enforce> {
        self.enforce
    }

    /// Returns the signature with one more hard check of the whole.
    pub(crate) fn with_check(mut self, why: &str) -> Self {
        self.checks = self.checks.iter().cloned().chain([CheckSpec::new(why, true)]).collect();
        self.reply = Arc::default();
        self
    }

    pub(crate) fn with_checks(mut self, checks: Vec<CheckSpec>) -> Self {
        self.checks = checks.into();
        self.reply = Arc::default();
        self
    }

    /// Returns the name of the signature.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the instruction for the model.
    pub fn instruction(&self) -> &Arc<str> {
        &self.instruction
    }

    /// Returns all fields: inputs, outputs, hints.
    pub fn fields(&self) -> &[FieldSpec] {
        &self.fields
    }

    /// Returns the checks that are declared on the whole signature.
    pub fn checks(&self) -> &[CheckSpec] {
        &self.checks
    }

    /// Returns the input fields.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.with_role(Role::Input)
    }

    /// Returns the input fields that a prompt shows as fields: all except histories, which it shows as turns.
    ///
    /// ```
    /// use dspy_core::signature::SignatureSpec;
    /// let spec: SignatureSpec = "history: History, question -> answer".parse()?;
    /// assert_eq!(spec.shown_inputs().map(|field| field.name()).collect::<Vec<_>>(), ["question"]);
    /// # Ok::<(), dspy_core::signature::GrammarError>(())
    /// ```
    pub fn shown_inputs(&self) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.inputs().filter(|field| !field.is_history())
    }

    /// Returns the output fields.
    pub fn outputs(&self) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.with_role(Role::Output)
    }

    fn with_role(&self, role: Role) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.fields.iter().filter(move |field| field.role == role)
    }

    /// Returns the field with this name, or `None`.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name() == name)
    }

    /// Returns the signature with another instruction.
    #[must_use]
    pub fn with_instruction(mut self, instruction: impl Into<Arc<str>>) -> Self {
        self.instruction = instruction.into();
        self
    }

    /// Returns the signature with an additional field, placed first in its role.
    #[must_use]
    pub fn prepend(mut self, field: FieldSpec) -> Self {
        let at = self.fields.iter().position(|other| other.role as u8 >= field.role as u8);
        self.fields.insert(at.unwrap_or(self.fields.len()), field);
        self.reply = Arc::default();
        self
    }

    /// Returns the signature with an additional field, placed last in its role.
    #[must_use]
    pub fn append(mut self, field: FieldSpec) -> Self {
        let at = self.fields.iter().rposition(|other| other.role as u8 <= field.role as u8);
        self.fields.insert(at.map_or(0, |at| at + 1), field);
        self.reply = Arc::default();
        self
    }

    /// Returns the signature without the field of this name. Removing an output also removes the checks,
    /// which are rules about all outputs together.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if self.field(name).is_some_and(|field| field.role == Role::Output) && self.enforce.take().is_some() {
            self.checks = Arc::default();
            self.fields.iter_mut().for_each(|field| field.checks = Arc::default());
        }
        self.hiding(name)
    }

    /// Returns the signature as shown to a model that gets the field of this name by other means.
    #[must_use]
    pub(crate) fn hiding(mut self, name: &str) -> Self {
        self.fields.retain(|field| field.name() != name);
        self.reply = Arc::default();
        self
    }

    /// Returns the signature with another description of the field `name`; unchanged if there is no such
    /// field.
    #[must_use]
    pub fn describe_field(mut self, name: &str, description: impl Into<Arc<str>>) -> Self {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name() == name) {
            field.description = description.into();
            self.reply = Arc::default();
        }
        self
    }

    /// Returns the signature with another description of a choice of the field `name`, which is an enum;
    /// unchanged if there is no such choice. See [`FieldSpec::choices`].
    #[must_use]
    pub fn describe_choice(mut self, name: &str, choice: &str, description: &str) -> Self {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name() == name) {
            let is_new = |(known, text): (String, String)| known == choice && text != description;
            let mut schema = field.kind.schema.clone();
            if field.choices().into_iter().any(is_new) && choices::describe(&mut schema, choice, description)
            {
                field.kind = Arc::new(Kind::new(schema));
                self.reply = Arc::default();
            }
        }
        self
    }

    /// Returns the JSON Schema of an object that holds all outputs.
    pub fn reply_schema(&self) -> &Arc<Value> {
        self.reply.schema.get_or_init(|| Arc::new(reply_schema(self.outputs(), &self.checks)))
    }

    /// Returns the JSON Schema of an object that holds all inputs.
    pub fn input_schema(&self) -> Value {
        reply_schema(self.inputs(), &[])
    }

    /// Returns the [`reply_schema`](Self::reply_schema) without the extensions that only the decoder reads.
    pub(crate) fn plain_reply_schema(&self) -> &Arc<Value> {
        self.reply.plain.get_or_init(|| {
            let schema = self.reply_schema();
            if schema_keywords::any(schema) {
                Arc::new(schema_keywords::without(schema))
            } else {
                schema.clone()
            }
        })
    }

    /// Returns the plan by which an object of all outputs is decoded.
    ///
    /// # Errors
    /// If the schema of a field contradicts itself.
    pub fn reply_plan(&self) -> Result<&Plan, &SchemaError> {
        self.reply.plan.get_or_init(|| Plan::new(self.reply_schema())).as_ref()
    }

    /// Returns a short hexadecimal digest of the field names, roles and types, which saved state must match.
    /// Instruction and descriptions are not included, because optimizers change them; neither are aliases and
    /// checks, which change the accepted replies but not their meaning.
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for field in self.fields.iter().filter(|field| field.role != Role::Hint) {
            hash.update(field.name.as_bytes());
            hash.update(&[0, field.role as u8]);
            hash.update(canonical(&schema_keywords::without(&field.kind.schema)).to_string().as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
}

/// Returns the schema without prose and with sorted members, to decide whether two types are equal.
fn canonical(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut kept: Vec<_> = members
                .iter()
                .filter(|(key, value)| {
                    !(matches!(key.as_str(), "description" | "title") && value.is_string())
                })
                .map(|(key, value)| (key.clone(), canonical(value)))
                .collect();
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(kept.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

fn default_instruction(fields: &[FieldSpec]) -> String {
    let list = |role| {
        let names: Vec<_> = fields
            .iter()
            .filter(|field| field.role == role && !field.is_history())
            .map(|field| format!("`{}`", field.name))
            .collect();
        names.join(", ")
    };
    match (list(Role::Input), list(Role::Output)) {
        (inputs, outputs) if inputs.is_empty() => format!("Produce {outputs}."),
        (inputs, outputs) => format!("From {inputs}, produce {outputs}."),
    }
}
