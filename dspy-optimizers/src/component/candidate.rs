//! Candidates: values for components of a program.

use std::collections::BTreeMap;

use dspy_base::digest::Digest;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{Demo, FieldSpec, Playbook, Role};
use serde::{Deserialize, Serialize};

use super::{Component, ComponentError, ComponentKind, ComponentValue};

/// Values for [components](Component) of a program. Components without a value stay as they are.
///
/// ```
/// use dspy_core::predict::DynPredict;
/// use dspy_optimizers::{Candidate, Component};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let program = DynPredict::new("text -> mood".parse()?);
/// let found: Vec<_> = Candidate::of(&program).components().map(ToString::to_string).collect();
/// let texts = ["self:instruction", "self:description.text", "self:description.mood"];
/// let names = [&texts[..], &["self:demos", "self:playbook"]].concat();
/// assert!(found.len() == 5 && names.iter().all(|name| found.iter().any(|known| known == name)));
///
/// let blunt = Candidate::new().with(Component::instruction("self"), "One word.");
/// let changed = blunt.applied_to(&program)?;
/// assert_eq!(changed.predictor().instruction(), "One word.");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Candidate {
    values: BTreeMap<Component, ComponentValue>,
}

impl Candidate {
    /// Creates a candidate that changes nothing.
    pub fn new() -> Self {
        Candidate::default()
    }

    /// Creates a candidate with all components of a program and their present values. Tools are known only when a
    /// program runs, so only those whose descriptions were replaced are included.
    pub fn of(program: &(impl HasPredictors + ?Sized)) -> Self {
        let mut values = BTreeMap::new();
        for (path, predictor) in program.named_predictors() {
            let spec = predictor.spec();
            for field in spec.inputs().chain(spec.outputs()) {
                values.insert(Component::description(&*path, field.name()), field.description().into());
                for (choice, text) in field.choices() {
                    values.insert(Component::variant(&*path, field.name(), choice), text.into());
                }
            }
            for (name, text) in predictor.tool_descriptions() {
                values.insert(Component::tool(&*path, name), text.as_str().into());
            }
            values.insert(Component::demos(&*path), predictor.demos().to_vec().into());
            values.insert(Component::playbook(&*path), predictor.playbook().clone().into());
            values.insert(Component::instruction(path), predictor.instruction().into());
        }
        Candidate { values }
    }

    /// Sets the value of a component.
    #[must_use]
    pub fn with(mut self, component: Component, value: impl Into<ComponentValue>) -> Self {
        self.set(component, value);
        self
    }

    /// Sets the instruction of the predictor at `path`.
    #[must_use]
    pub fn instruction(self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.with(Component::instruction(path), text.into())
    }

    /// Sets the description of a field of the predictor at `path`.
    #[must_use]
    pub fn description(
        self,
        path: impl Into<String>,
        field: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        self.with(Component::description(path, field), text.into())
    }

    /// Sets the demonstrations of the predictor at `path`.
    #[must_use]
    pub fn demos(self, path: impl Into<String>, demos: impl Into<Vec<Demo>>) -> Self {
        self.with(Component::demos(path), demos.into())
    }

    /// Sets the playbook of the predictor at `path`.
    #[must_use]
    pub fn playbook(self, path: impl Into<String>, playbook: Playbook) -> Self {
        self.with(Component::playbook(path), playbook)
    }

    /// Sets the value of a component in place.
    pub fn set(&mut self, component: Component, value: impl Into<ComponentValue>) {
        self.values.insert(component, value.into());
    }

    /// Returns the value of a component, if the candidate has one for it.
    pub fn get(&self, component: &Component) -> Option<&ComponentValue> {
        self.values.get(component)
    }

    /// Returns the components that have a value, in the order of their predictor paths.
    pub fn components(&self) -> impl ExactSizeIterator<Item = &Component> {
        self.values.keys()
    }

    /// Returns the components with their values, in the order of their predictor paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Component, &ComponentValue)> {
        self.values.iter()
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns whether the candidate has no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Sets the values of this candidate on a program.
    ///
    /// # Errors
    /// If the program lacks a component, or a value is not of the kind of its component. The program is then
    /// unchanged.
    pub fn apply(&self, program: &mut impl HasPredictors) -> Result<(), ComponentError> {
        self.check(program)?;
        program.for_each_predictor(|path, predictor| {
            for (component, value) in self.values.iter().filter(|(part, _)| part.predictor() == path) {
                match (component.kind(), value) {
                    (ComponentKind::Instruction, ComponentValue::Text(text)) => {
                        predictor.set_instruction(text.as_str());
                    }
                    (ComponentKind::Description { field }, ComponentValue::Text(text)) => {
                        predictor.set_description(field, text.as_str());
                    }
                    (ComponentKind::Variant { field, choice }, ComponentValue::Text(text)) => {
                        predictor.set_choice_description(field, choice, text);
                    }
                    (ComponentKind::Tool { name }, ComponentValue::Text(text)) => {
                        let mut tools = predictor.tool_descriptions().clone();
                        tools.insert(name.clone(), text.clone());
                        predictor.set_tool_descriptions(tools);
                    }
                    (ComponentKind::Demos, ComponentValue::Demos(demos)) => {
                        predictor.set_demos(demos.as_slice());
                    }
                    (ComponentKind::Playbook, ComponentValue::Playbook(playbook)) => {
                        predictor.set_playbook(playbook.clone());
                    }
                    // `check` has refused all other combinations.
                    _ => {}
                }
            }
        });
        Ok(())
    }

    /// Returns a clone of `program` with the values of this candidate.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn applied_to<P: HasPredictors + Clone>(&self, program: &P) -> Result<P, ComponentError> {
        let mut program = program.clone();
        self.apply(&mut program)?;
        Ok(program)
    }

    /// Returns a digest of the values, which is stable across processes.
    pub fn digest(&self) -> String {
        // Serialising a candidate never fails.
        Digest::new().add_value(&serde_json::to_value(self).unwrap_or_default()).short()
    }

    fn check(&self, program: &impl HasPredictors) -> Result<(), ComponentError> {
        let predictors = program.named_predictors();
        let exists = |component: &Component| {
            let predictor = predictors.iter().find(|(path, _)| path == component.predictor());
            predictor.is_some_and(|(_, predictor)| match component.kind() {
                ComponentKind::Instruction | ComponentKind::Demos | ComponentKind::Playbook => true,
                ComponentKind::Description { field } => {
                    let spec = predictor.spec();
                    spec.inputs().chain(spec.outputs()).any(|known| known.name() == field)
                }
                ComponentKind::Variant { field, choice } => {
                    let field = predictor.spec().field(field).filter(|field| field.role() != Role::Hint);
                    field.is_some_and(|field| field.choices().iter().any(|(known, _)| known == choice))
                }
                ComponentKind::Tool { .. } => predictor.spec().inputs().any(FieldSpec::holds_tools),
            })
        };
        for (component, value) in &self.values {
            if !exists(component) {
                let known = Candidate::of(program);
                let known = known.components().map(|name| format!("`{name}`")).collect();
                return Err(ComponentError::Unknown { component: component.to_string(), known });
            }
            let fits = match value {
                ComponentValue::Text(_) => component.is_text(),
                ComponentValue::Demos(_) => *component.kind() == ComponentKind::Demos,
                ComponentValue::Playbook(_) => *component.kind() == ComponentKind::Playbook,
            };
            if !fits {
                return Err(ComponentError::Kind(component.to_string()));
            }
        }
        Ok(())
    }
}

impl FromIterator<(Component, ComponentValue)> for Candidate {
    fn from_iter<T: IntoIterator<Item = (Component, ComponentValue)>>(values: T) -> Self {
        Candidate { values: values.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::predict::DynPredict;
    use dspy_core::signature::Values;

    use super::*;

    fn program() -> DynPredict {
        DynPredict::new("text -> mood".parse().unwrap())
    }

    fn demo(mood: &str) -> Demo {
        Demo::new(Values::from_iter([("text".to_owned(), "x".into()), ("mood".to_owned(), mood.into())]))
    }

    #[test]
    fn a_candidate_sets_what_it_names_and_nothing_else() {
        let before = program().with_instruction("Feel.");
        let candidate =
            Candidate::new().description("self", "mood", "One word.").demos("self", [demo("good")]);
        let after = candidate.applied_to(&before).unwrap();
        assert_eq!(after.predictor().instruction(), "Feel.");
        assert_eq!(after.predictor().spec().field("mood").unwrap().description(), "One word.");
        assert_eq!(after.predictor().demos(), [demo("good")]);
        assert!(before.predictor().demos().is_empty(), "clones are apart");
        assert_eq!(Candidate::of(&before).applied_to(&after).unwrap().predictor().demos(), []);
        let json = serde_json::to_string(&candidate).unwrap();
        assert_eq!(serde_json::from_str::<Candidate>(&json).unwrap(), candidate);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut program = program();
        let given = Candidate::of(&program);
        let unknown = Candidate::new().instruction("self", "Feel.").instruction("other", "Think.");
        let error = unknown.apply(&mut program).unwrap_err();
        assert!(
            error.to_string().contains("`other:instruction`; its components are `self:instruction`"),
            "{error}"
        );
        let field = Candidate::new().description("self", "tone", "x").apply(&mut program);
        assert!(matches!(field, Err(ComponentError::Unknown { .. })));
        let kind = Candidate::new().with(Component::demos("self"), "text").apply(&mut program);
        assert_eq!(kind, Err(ComponentError::Kind("self:demos".into())));
        let kind = Candidate::new().with(Component::playbook("self"), vec![demo("good")]).apply(&mut program);
        assert_eq!(kind, Err(ComponentError::Kind("self:playbook".into())));
        assert_eq!(Candidate::of(&program), given);
    }

    #[test]
    fn choices_and_tools_have_descriptions() {
        let spec = "text, tools: list[Tool] -> mood: Literal['good', 'bad'], calls: ToolCalls";
        let before = DynPredict::new(spec.parse().unwrap());
        let candidate = Candidate::new()
            .with(Component::variant("self", "mood", "bad"), "Rain.")
            .with(Component::tool("self", "find"), "Finds.");
        let after = candidate.applied_to(&before).unwrap();
        let found = Candidate::of(&after);
        assert!(candidate.iter().all(|(component, value)| found.get(component) == Some(value)));
        assert_eq!(found.get(&Component::variant("self", "mood", "good")), Some(&"".into()));
        for wrong in [Component::variant("self", "mood", "so-so"), Component::variant("self", "text", "x")] {
            assert!(Candidate::new().with(wrong, "x").applied_to(&before).is_err());
        }
        assert!(Candidate::new().with(Component::tool("self", "find"), "x").applied_to(&program()).is_err());
    }

    #[test]
    fn a_playbook_is_set_below_the_instruction() {
        let before = program().with_instruction("Feel.");
        let mut playbook = Playbook::new();
        playbook.add("words", "Rain is bad.");
        let candidate = Candidate::new().playbook("self", playbook.clone());
        let after = candidate.applied_to(&before).unwrap();
        assert_eq!((after.predictor().instruction(), after.predictor().playbook()), ("Feel.", &playbook));
        assert!(after.predictor().spec().instruction().ends_with("### words\n- [wor-1] Rain is bad."));
        let other = Candidate::new().instruction("self", "Sense.").applied_to(&after).unwrap();
        assert!(other.predictor().spec().instruction().starts_with("Sense.\n\n## Playbook\n"));
        assert_eq!(
            Candidate::of(&before).applied_to(&other).unwrap().predictor().spec(),
            before.predictor().spec()
        );
        let json = serde_json::to_string(&candidate).unwrap();
        assert_eq!(serde_json::from_str::<Candidate>(&json).unwrap(), candidate);
    }

    #[test]
    fn digests_tell_candidates_apart() {
        let of = |text: &str| Candidate::new().instruction("self", text).digest();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(
            Candidate::new().demos("self", [demo("good")]).digest(),
            Candidate::new().demos("self", [demo("bad")]).digest()
        );
    }
}
