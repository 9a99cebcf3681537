//! The proposing half: instructions, rules and advice from the records in a prompt.
//!
//! It finds records in any plain notation ([`notation`]), sorts out which answers are right ([`task`]), induces which
//! words, values and ranges go with which answer ([`lexicon`], [`tree`]), and writes this in sentences that the
//! answering half obeys ([`rules`]). What it writes is tried on the records with the answering half itself ([`trial`]),
//! so that sentences of earlier instructions are kept only if they do not contradict the records ([`merge`]).

mod draft;
mod feedback;
mod fill;
mod lexicon;
mod literal;
mod material;
mod merge;
mod node;
mod notation;
mod operations;
mod records;
mod roles;
mod rules;
mod style;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod text_form;
mod told_form;
mod tree;
mod trial;

use serde_json::Value;

pub(super) use self::draft::Draft;
use self::material::Material;
use self::operations::Operations;
use self::roles::Wish;
use super::prompt::{Brief, Field, Question};
use super::sampler::Sampler;
use super::value_type::ValueType;

/// A request for a proposal.
#[derive(Debug)]
pub(super) struct Proposal {
    material: Material,
    /// The wish of each output.
    wishes: Vec<Option<Wish>>,
    /// The maximum number of bytes of an instruction.
    most: Option<usize>,
    /// Whether the reply is to be in a fence.
    fenced: bool,
    /// Whether changes of single items are asked for.
    itemized: bool,
}

impl Proposal {
    /// Reads a request; `None` if it asks for something else.
    pub(super) fn read(brief: &Brief, question: &Question) -> Option<Proposal> {
        if brief.outputs.is_empty() {
            return Proposal::in_prose(brief, question);
        }
        let wishes: Vec<Option<Wish>> = brief.outputs.iter().map(wish).collect();
        if wishes.iter().all(Option::is_none) {
            return None;
        }
        let material = Material::of_fields(brief, question);
        let mut context = brief.instruction.clone();
        for field in brief.inputs.iter().chain(&brief.outputs) {
            context.push_str(&format!(" {} {}", field.name, field.description));
        }
        let answered = wishes.iter().flatten().any(|wish| material.answers(*wish, brief, &context));
        let limits = brief.outputs.iter().filter_map(|field| super::answer::longest(&field.limits));
        let stated = brief.inputs.iter().zip(&question.inputs).filter_map(|(field, text)| {
            text.as_ref().filter(|_| roles::is_limit(&field.name))?.trim().parse::<usize>().ok()
        });
        let most = limits.chain(stated).min();
        let itemized = brief.outputs.iter().any(|field| Operations::of(&field.kind).is_some());
        answered.then_some(Proposal { material, wishes, most, fenced: false, itemized })
    }

    /// Reads a request without fields.
    fn in_prose(brief: &Brief, question: &Question) -> Option<Proposal> {
        let asks =
            roles::asks_for_instruction(&question.text) || roles::asks_for_instruction(&brief.instruction);
        if !asks {
            return None;
        }
        let material = Material::of_text(&brief.instruction, &question.text);
        let fenced = question.text.contains("```");
        let evidence = !material.is_untaught() || !material.tried.is_empty() || !material.current.is_empty();
        evidence.then_some(Proposal { material, wishes: Vec::new(), most: None, fenced, itemized: false })
    }

    /// Writes one proposal.
    pub(super) fn draft(&self, sampler: &mut Sampler) -> Draft {
        Draft::write(&self.material, sampler, self.most, self.itemized)
    }

    /// Returns the value of an output, if it asks for a part of the proposal.
    pub(super) fn value(&self, at: usize, field: &Field, draft: &Draft) -> Option<Value> {
        if let Some(ratings) = fill::rating(&field.kind) {
            let current = self.material.current.join("\n");
            return Some(ratings.value(fill::rated(&current, &self.material)));
        }
        // Objects with prose, such as the operations on a playbook, are parts of the proposal under any name.
        let wish = self.wishes.get(at).copied().flatten();
        let wish = wish.or_else(|| fill::holds_sentences(&field.kind).then_some(Wish::Instruction))?;
        fill::value(field, wish, draft, &self.material)
    }

    /// Returns an explanation of the proposal.
    pub(super) fn explanation(draft: &Draft) -> String {
        draft.observations.join(" ")
    }

    /// Returns the reply to a request without fields.
    pub(super) fn prose(&self, sampler: &mut Sampler) -> String {
        let text = self.draft(sampler).instruction.join("\n");
        if self.fenced { format!("```\n{text}\n```") } else { text }
    }
}

/// Returns what an output asks for. A choice or a number asks for nothing.
fn wish(field: &Field) -> Option<Wish> {
    let holds_prose = match &field.kind {
        ValueType::Nullable(kind) => {
            !matches!(**kind, ValueType::Choice(_) | ValueType::Integer | ValueType::Number)
        }
        kind => !matches!(
            kind,
            ValueType::Choice(_) | ValueType::Integer | ValueType::Number | ValueType::Tuple(_)
        ),
    };
    let is_list_of_changes = || Operations::of(&field.kind).map(|_| Wish::MaybeInstruction);
    if holds_prose { roles::wish(field).or_else(is_list_of_changes) } else { None }
}
