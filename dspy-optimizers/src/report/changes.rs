//! The differences between a program before and after an optimization.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use dspy_base::shown::Shown;
use dspy_core::signature::Demo;
use dspy_core::state::PredictorState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Parameters;
use crate::counts::counted;

/// The largest number of demonstrations that are printed for each predictor.
const SHOWN: usize = 3;
/// The largest number of characters of a value that are printed.
const WIDEST: usize = 60;

/// The difference between the parameters of two programs. Prints as a diff.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Changes {
    /// The predictors that differ, by path; `steps[2]` comes before `steps[10]`.
    pub predictors: Vec<PredictorChange>,
}

/// The changes in one predictor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PredictorChange {
    /// Its path.
    pub path: String,
    /// The names of the bound model before and after, `None` for the model of the settings; `None` if the names
    /// are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<(Option<String>, Option<String>)>,
    /// The instruction before and after; `None` if it is unchanged.
    pub instruction: Option<(String, String)>,
    /// The changed descriptions: the name of the field, the description before, the description after. The name
    /// is `field.choice` for a choice of an enum and `tool.name` for a tool; the description before is then empty
    /// if it was that of the code.
    pub descriptions: Vec<(String, String, String)>,
    /// The playbook before and after, as prompts show it; `None` if that is unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<(String, String)>,
    /// The new demonstrations.
    pub added: Vec<Demo>,
    /// The removed demonstrations.
    pub removed: Vec<Demo>,
}

impl Changes {
    pub(super) fn between(before: &Parameters, after: &Parameters) -> Self {
        let pairs = after.iter().filter_map(|(path, new)| Some((path, before.get(path)?, new)));
        let changes = pairs.map(|(path, old, new)| PredictorChange::between(path, old, new));
        let mut predictors: Vec<PredictorChange> = changes.filter(|change| !change.is_empty()).collect();
        predictors.sort_by(|a, b| numbered(&a.path).cmp(&numbered(&b.path)));
        Changes { predictors }
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.predictors.is_empty()
    }
}

impl PredictorChange {
    fn between(path: &str, old: &PredictorState, new: &PredictorState) -> Self {
        let instruction =
            (old.instruction != new.instruction).then(|| (old.instruction.clone(), new.instruction.clone()));
        let fields = old.fields.iter().zip(&new.fields).filter(|(a, b)| a.description != b.description);
        let descriptions =
            fields.map(|(old, new)| (new.name.clone(), old.description.clone(), new.description.clone()));
        let choices = old
            .fields
            .iter()
            .zip(&new.fields)
            .flat_map(|(old, new)| changed(&format!("{}.", new.name), &old.choices, &new.choices));
        let tools = changed("tool.", &old.tools, &new.tools);
        let without = |from: &[Demo], others: &[Demo]| -> Vec<Demo> {
            from.iter().filter(|demo| !others.contains(demo)).cloned().collect()
        };
        let model = |state: &PredictorState| Some(state.lm.as_ref()?.as_str()?.to_owned());
        let models = (model(old), model(new));
        PredictorChange {
            path: path.to_owned(),
            model: (models.0 != models.1).then_some(models),
            instruction,
            descriptions: descriptions.chain(choices).chain(tools).collect(),
            playbook: (!old.playbook.reads_as(&new.playbook))
                .then(|| (old.playbook.to_string(), new.playbook.to_string())),
            added: without(&new.demos, &old.demos),
            removed: without(&old.demos, &new.demos),
        }
    }

    fn is_empty(&self) -> bool {
        self.model.is_none()
            && self.instruction.is_none()
            && self.descriptions.is_empty()
            && self.playbook.is_none()
            && self.added.is_empty()
            && self.removed.is_empty()
    }
}

/// Returns the parts of a path with the numbers after them, by which paths are sorted.
fn numbered(path: &str) -> Vec<(&str, u64)> {
    let parts = path.split_inclusive(']').map(|part| {
        let (name, index) = part.trim_end_matches(']').split_once('[').unwrap_or((part, ""));
        (name, index.parse().unwrap_or(0))
    });
    parts.collect()
}

/// Returns the changed texts with their names, the old and the new one.
fn changed(
    prefix: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |of: &BTreeMap<String, String>, name| of.get(name).cloned().unwrap_or_default();
    let pairs = names.into_iter().map(|name| (format!("{prefix}{name}"), text(old, name), text(new, name)));
    pairs.filter(|(_, old, new)| old != new).collect()
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no changes");
        }
        self.predictors.iter().try_for_each(|change| change.fmt(f))
    }
}

impl fmt::Display for PredictorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut Shown(f);
        writeln!(f, "`{}`", self.path)?;
        if let Some((old, new)) = &self.model {
            writeln!(f, "  model")?;
            writeln!(f, "  - {}", model_name(old.as_deref()))?;
            writeln!(f, "  + {}", model_name(new.as_deref()))?;
        }
        if let Some((old, new)) = &self.instruction {
            writeln!(f, "  instruction")?;
            old.lines().try_for_each(|line| writeln!(f, "  - {line}"))?;
            new.lines().try_for_each(|line| writeln!(f, "  + {line}"))?;
        }
        for (field, old, new) in &self.descriptions {
            writeln!(f, "  description of {field}")?;
            old.lines().try_for_each(|line| writeln!(f, "  - {line}"))?;
            new.lines().try_for_each(|line| writeln!(f, "  + {line}"))?;
        }
        if let Some((old, new)) = &self.playbook {
            writeln!(f, "  playbook")?;
            let (kept, now): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
            let changed = |line: &&&str, others: &[&str]| !line.is_empty() && !others.contains(*line);
            kept.iter().filter(|line| changed(line, &now)).try_for_each(|line| writeln!(f, "  - {line}"))?;
            now.iter().filter(|line| changed(line, &kept)).try_for_each(|line| writeln!(f, "  + {line}"))?;
        }
        for (sign, demos) in [('-', &self.removed), ('+', &self.added)] {
            if demos.is_empty() {
                continue;
            }
            let made = demos.iter().filter(|demo| demo.augmented).count();
            let labelled = demos.len() - made;
            writeln!(
                f,
                "  {sign} {}: {made} bootstrapped, {labelled} labelled",
                counted(demos.len(), "demonstration")
            )?;
            for demo in demos.iter().take(SHOWN) {
                writeln!(f, "    {sign} {}", line(demo))?;
            }
            if demos.len() > SHOWN {
                writeln!(f, "      … and {} more", demos.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// Returns the name of a bound model.
pub(crate) fn model_name(model: Option<&str>) -> &str {
    model.unwrap_or("the model of the settings")
}

/// Formats a demonstration on one line.
fn line(demo: &Demo) -> String {
    let value = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() > WIDEST {
            text.chars().take(WIDEST - 1).chain(['…']).collect()
        } else {
            text
        }
    };
    let fields = demo.values.iter().map(|(name, held)| format!("{name}: {}", value(held)));
    fields.collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn paths_are_sorted_by_the_numbers_in_them() {
        let mut paths = ["steps[10].write", "steps[2].read[11]", "steps[2].read[3]", "answer", "steps[2]"];
        paths.sort_by(|a, b| numbered(a).cmp(&numbered(b)));
        assert_eq!(paths, ["answer", "steps[2]", "steps[2].read[3]", "steps[2].read[11]", "steps[10].write"]);
    }
}
