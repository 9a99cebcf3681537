//! Unions: every branch is tried, the one with the least interpretation is taken, and a tie between different
//! values is an error.

use serde_json::Value;

use super::super::error::ProblemKind;
use super::super::path::Path;
use super::super::plan::{NodeId, NodeKind, UnionPlan};
use super::super::report::RepairKind as R;
use super::super::text::bare_answer;
use super::super::tree::{Shape, Tree, is_json_number, keeps_digits};
use super::Coercion;
use dspy_base::fold::fold;

/// Returns whether the text is a word for "no value".
pub(in super::super) fn is_null_word(text: &str) -> bool {
    let text = bare_answer(text);
    matches!(text, "" | "-" | "--" | "–" | "—" | "∅" | "\"\"")
        || ["null", "none", "nil", "n/a", "na", "undefined", "not applicable", "not available"]
            .iter()
            .any(|w| text.eq_ignore_ascii_case(w))
}

/// Returns the text without the full stop that ends it.
pub(in super::super) fn without_stop(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

impl Coercion<'_> {
    pub(super) fn union(
        &mut self,
        id: NodeId,
        plan: &UnionPlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        if plan.null && matches!(tree.shape, Shape::Null) {
            return Some(Value::Null);
        }
        // Digits that a float would lose are kept if the type also accepts them as a string.
        let literal = match &tree.shape {
            Shape::Number(literal) => Some(literal.as_ref()),
            Shape::Text { text, quoted: false } => Some(text.trim()).filter(|t| is_json_number(t)),
            _ => None,
        };
        if let Some(literal) = literal
            && !keeps_digits(literal)
            && plan
                .options
                .iter()
                .any(|&o| matches!(&self.schema.node(o).kind, NodeKind::Text(t) if t.accepts(literal)))
        {
            self.repair(R::TextFromValue, path, tree.span);
            return Some(Value::String(literal.to_string()));
        }
        if let Some(branch) = Self::tagged(plan, tree) {
            let value = self.shape(branch, tree, path)?;
            let lost = self.lost(plan, branch, tree);
            let Some(first) = lost.first() else { return Some(value) };
            let found = format!("`{}`, a member of another alternative", super::snippet(first));
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        let free_text = plan
            .options
            .iter()
            .any(|&o| matches!(&self.schema.node(o).kind, NodeKind::Text(text) if !text.has_form()));
        let mut attempts = Vec::new();
        let mut failures = Vec::new();
        if plan.null
            && let Shape::Text { text, quoted } = &tree.shape
        {
            // If any string is a value, only the literal word means null.
            let is_null = if free_text {
                let word = without_stop(text.trim());
                !quoted
                    && (word == "~" || ["null", "none", "nil"].iter().any(|w| word.eq_ignore_ascii_case(w)))
            } else {
                is_null_word(text)
            };
            if is_null && free_text {
                self.repair(R::NullWord, path, tree.span);
                return Some(Value::Null);
            }
            if is_null {
                attempts.extend(self.attempt(|this| {
                    this.repair(R::NullWord, path, tree.span);
                    Some(Value::Null)
                }));
            }
        }
        let alone = plan.options.len() == 1;
        let mut rival = None;
        for &option in &plan.options {
            let result = self.attempt(|this| {
                let is_text = matches!(this.schema.node(option).kind, NodeKind::Text(_));
                if is_text && !alone && matches!(tree.shape, Shape::Text { quoted: false, .. }) {
                    this.repair(R::TextBranch, path, tree.span);
                }
                this.shape(option, tree, path)
            });
            match result {
                Ok(attempt) => {
                    if let Some(found) = self.rivalry(plan, option, &attempt, tree, path) {
                        rival.get_or_insert(found);
                        continue;
                    }
                    let exact = attempt.cost == 0;
                    attempts.push(attempt);
                    // No reading can be cheaper, and two readings without a repair are the same value.
                    if exact {
                        break;
                    }
                }
                Err(problems) => failures.push(problems),
            }
        }
        if !attempts.is_empty() {
            // An undecided branch makes the others ambiguous only if they interpret words too.
            return self.cheapest(id, attempts, tree, path);
        }
        if let Some(found) = rival {
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        self.explain(id, plan, failures, tree, path)
    }

    /// Returns the branch that the tag names, if there is a tag and it names one.
    fn tagged(plan: &UnionPlan, tree: &Tree<'_>) -> Option<NodeId> {
        let tag = plan.tag.as_ref()?;
        let Shape::Object(entries) = &tree.shape else { return None };
        let folded = fold(&tag.key);
        let mut hits = entries.iter().filter(|e| *e.key == tag.key || fold(&e.key) == folded);
        let (Some(entry), None) = (hits.next(), hits.next()) else { return None };
        match &entry.value.shape {
            Shape::Text { text, .. } if !entry.value.cut => tag.branches.get(&fold(text)).copied(),
            _ => None,
        }
    }

    /// Reports the problems of the closest branch if no branch fits.
    fn explain(
        &mut self,
        id: NodeId,
        plan: &UnionPlan,
        failures: Vec<Vec<super::Problem>>,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let serious = |p: &[super::Problem], kind| p.iter().any(|p| p.kind == kind);
        let single = plan.options.len() == 1;
        let telling = failures.into_iter().min_by_key(|problems| {
            let rank = if serious(problems, ProblemKind::TooLarge) || serious(problems, ProblemKind::TooDeep)
            {
                0
            } else if serious(problems, ProblemKind::Truncated) {
                1
            } else if serious(problems, ProblemKind::Ambiguous) || serious(problems, ProblemKind::Constraint)
            {
                2
            } else {
                3
            };
            (rank, problems.len())
        });
        match telling {
            Some(problems)
                if single
                    || problems
                        .iter()
                        .any(|p| p.kind != ProblemKind::WrongType && p.kind != ProblemKind::Missing) =>
            {
                self.problems.extend(problems);
            }
            // An object that fits no branch: report what the closest branch lacks.
            Some(problems)
                if matches!(tree.shape, Shape::Object(_))
                    && problems.iter().any(|p| p.path != path.render()) =>
            {
                self.problems.extend(problems);
            }
            _ => {
                self.problem(ProblemKind::WrongType, path, id, Self::found(tree), tree.span);
            }
        }
        None
    }
}
