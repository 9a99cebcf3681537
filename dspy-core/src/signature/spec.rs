//! Signatures as data.

use std::sync::Arc;

use serde_json::Value;

/// The part that a field plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Given to the model.
    Input,
    /// Asked of the model.
    Output,
    /// Seen by metrics and optimizers only.
    Hint,
}

/// One field of a signature.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    name: Arc<str>,
    description: Arc<str>,
    role: Role,
    schema: Arc<Value>,
    optional: bool,
}

impl FieldSpec {
    /// A field with a JSON Schema of its values.
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
            schema: Arc::new(schema),
            optional,
        }
    }

    /// A text field.
    pub fn text(role: Role, name: impl Into<Arc<str>>, description: impl Into<Arc<str>>) -> Self {
        Self::new(role, name, description, serde_json::json!({"type": "string"}))
    }

    /// The same field, which may be absent because it has a default.
    #[must_use]
    pub fn defaulted(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same field with another description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> Self {
        self.description = description.into();
        self
    }

    /// The name, as it stands in prompts and saved files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The description; empty if there is none.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The part that the field plays.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The JSON Schema of its values, self-contained.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether a reply without the field is complete.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Whether every text is a value of the field as it stands.
    pub fn is_text(&self) -> bool {
        self.schema.get("type").and_then(Value::as_str) == Some("string")
            && ["enum", "const", "format", "pattern"].iter().all(|key| self.schema.get(key).is_none())
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
#[derive(Debug, Clone, PartialEq)]
pub struct SignatureSpec {
    name: Arc<str>,
    instruction: Arc<str>,
    /// Inputs first, then outputs, then hints; each group in the order of declaration.
    fields: Vec<FieldSpec>,
}

impl SignatureSpec {
    /// A signature. Without an instruction it asks for the outputs given the inputs.
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
        SignatureSpec { name: name.into(), instruction, fields }
    }

    /// The name of the signature.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the model is told to do.
    pub fn instruction(&self) -> &Arc<str> {
        &self.instruction
    }

    /// All fields: inputs, outputs, hints.
    pub fn fields(&self) -> &[FieldSpec] {
        &self.fields
    }

    /// The input fields.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.with_role(Role::Input)
    }

    /// The output fields.
    pub fn outputs(&self) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.with_role(Role::Output)
    }

    fn with_role(&self, role: Role) -> impl DoubleEndedIterator<Item = &FieldSpec> + Clone {
        self.fields.iter().filter(move |field| field.role == role)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name() == name)
    }

    /// The same signature with another instruction.
    #[must_use]
    pub fn with_instruction(mut self, instruction: impl Into<Arc<str>>) -> Self {
        self.instruction = instruction.into();
        self
    }

    /// The same signature with one more field, the first of its role.
    #[must_use]
    pub fn prepend(mut self, field: FieldSpec) -> Self {
        let at = self.fields.iter().position(|other| other.role as u8 >= field.role as u8);
        self.fields.insert(at.unwrap_or(self.fields.len()), field);
        self
    }

    /// The same signature with one more field, the last of its role.
    #[must_use]
    pub fn append(mut self, field: FieldSpec) -> Self {
        let at = self.fields.iter().rposition(|other| other.role as u8 <= field.role as u8);
        self.fields.insert(at.map_or(0, |at| at + 1), field);
        self
    }

    /// The same signature without the field of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|field| field.name() != name);
        self
    }

    /// A short hexadecimal digest of what saved state must agree with: field names, roles and types. The
    /// instruction and the descriptions are the optimizer's business and do not count.
    pub fn fingerprint(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for field in self.fields.iter().filter(|field| field.role != Role::Hint) {
            hash.update(field.name.as_bytes());
            hash.update(&[0, field.role as u8]);
            hash.update(canonical(&field.schema).to_string().as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
}

/// The schema without prose and with sorted members: what decides whether two types are the same.
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
            .filter(|field| field.role == role)
            .map(|field| format!("`{}`", field.name))
            .collect();
        names.join(", ")
    };
    match (list(Role::Input), list(Role::Output)) {
        (inputs, outputs) if inputs.is_empty() => format!("Produce {outputs}."),
        (inputs, outputs) => format!("From {inputs}, produce {outputs}."),
    }
}
