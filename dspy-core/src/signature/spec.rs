//! Signatures as data.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::check::Enforce;
use super::reply_schema::reply_schema;
use super::shape::FieldShape;
use super::{CheckSpec, FieldSpec, Role, schema_keywords};
use crate::decode::{Plan, SchemaError};

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
        fields.sort_by_key(|field| field.role() as u8);
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
        self.fields.iter().filter(move |field| field.role() == role)
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
        let at = self.fields.iter().position(|other| other.role() as u8 >= field.role() as u8);
        self.fields.insert(at.unwrap_or(self.fields.len()), field);
        self.reply = Arc::default();
        self
    }

    /// Returns the signature with an additional field, placed last in its role.
    #[must_use]
    pub fn append(mut self, field: FieldSpec) -> Self {
        let at = self.fields.iter().rposition(|other| other.role() as u8 <= field.role() as u8);
        self.fields.insert(at.map_or(0, |at| at + 1), field);
        self.reply = Arc::default();
        self
    }

    /// Returns the signature without the field of this name. Removing an output also removes the checks,
    /// which are rules about all outputs together.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if self.field(name).is_some_and(|field| field.role() == Role::Output) && self.enforce.take().is_some()
        {
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
        let field = self.fields.iter_mut().find(|field| field.name() == name);
        if field.is_some_and(|field| field.describe_choice(choice, description)) {
            self.reply = Arc::default();
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
        for field in self.fields.iter().filter(|field| field.role() != Role::Hint) {
            hash.update(field.name().as_bytes());
            hash.update(&[0, field.role() as u8]);
            hash.update(canonical(&schema_keywords::without(field.schema())).to_string().as_bytes());
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
            .filter(|field| field.role() == role && !field.is_history())
            .map(|field| format!("`{}`", field.name()))
            .collect();
        names.join(", ")
    };
    match (list(Role::Input), list(Role::Output)) {
        (inputs, outputs) if inputs.is_empty() => format!("Produce {outputs}."),
        (inputs, outputs) => format!("From {inputs}, produce {outputs}."),
    }
}
