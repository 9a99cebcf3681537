//! Candidates: values for components of a program.

use std::collections::BTreeMap;

use dspy_base::digest::Digest;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Demo;
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
/// let names = ["self:instruction", "self:description.text", "self:description.mood", "self:demos"];
/// assert!(found.len() == 4 && names.iter().all(|name| found.iter().any(|known| known == name)));
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

    /// Creates a candidate with all components of a program and their present values.
    pub fn of(program: &(impl HasPredictors + ?Sized)) -> Self {
        let mut values = BTreeMap::new();
        for (path, predictor) in program.named_predictors() {
            let spec = predictor.spec();
            for field in spec.inputs().chain(spec.outputs()) {
                values.insert(Component::description(&*path, field.name()), field.description().into());
            }
            values.insert(Component::demos(&*path), predictor.demos().to_vec().into());
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
                    (ComponentKind::Demos, ComponentValue::Demos(demos)) => {
                        predictor.set_demos(demos.as_slice());
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
                ComponentKind::Instruction | ComponentKind::Demos => true,
                ComponentKind::Description { field } => {
                    let spec = predictor.spec();
                    spec.inputs().chain(spec.outputs()).any(|known| known.name() == field)
                }
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
                ComponentValue::Demos(_) => !component.is_text(),
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
        assert_eq!(Candidate::of(&program), given);
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
