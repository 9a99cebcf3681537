//! Demonstrations as turns of the conversation.

use dspy_base::prompt_format::NOT_GIVEN;

use super::Prompt;
use super::message_builder::MessageBuilder;
use crate::lm::{Message, Role};
use crate::signature::{Demo, FieldSpec, Values};

/// Returns the demonstrations as turns of the conversation, incomplete ones first. `question` appends inputs;
/// `reply` renders outputs and receives the placeholder for missing ones.
pub(super) fn demo_turns(
    prompt: Prompt<'_>,
    question: impl Fn(&mut MessageBuilder, &Values),
    reply: impl Fn(&Values, Option<&str>) -> String,
) -> impl Iterator<Item = Message> {
    let complete = |demo: &&Demo| {
        let mut fields = prompt.spec.shown_inputs().chain(prompt.spec.outputs());
        fields.all(|field| field.is_optional() || demo.values.contains_key(field.name()))
    };
    let usable = move |demo: &&Demo| {
        let has = |field: &FieldSpec| demo.values.get(field.name()).is_some_and(|value| !value.is_null());
        (prompt.spec.shown_inputs().next().is_none() || prompt.spec.shown_inputs().any(has))
            && prompt.spec.outputs().any(has)
    };
    let incomplete = prompt.demos.iter().filter(usable).filter(move |demo| !complete(demo));
    let whole = prompt.demos.iter().filter(usable).filter(complete);
    let turns = incomplete.map(|demo| (demo, true)).chain(whole.map(|demo| (demo, false)));
    turns
        .flat_map(|(demo, partial)| {
            let mut canvas = MessageBuilder::default();
            if partial {
                canvas.text.push_str("An example of the task that lacks some of its fields.\n\n");
            }
            question(&mut canvas, &demo.values);
            canvas.trim_end();
            let answer = reply(&demo.values, partial.then_some(NOT_GIVEN));
            [canvas.into_message(Role::User), Message::assistant(answer)]
        })
        .collect::<Vec<_>>()
        .into_iter()
}
