//! The signatures of the default proposer. All its prompts are in this file.

use dspy_core::signature::{FieldSpec, Role, SignatureSpec};

use super::fields::{input, output};
use super::playbook::{operations_schema, tags_schema};

/// Records, a few at a time, to observations about the data.
pub(super) fn observe() -> SignatureSpec {
    signature(
        "ObserveData",
        "Study these rows of a data set and note what helps somebody who has to fill in the last fields: topics, \
         formats, lengths, how the values are connected, what is easily mistaken. Add to the earlier notes and do not \
         repeat them. If there is nothing to add, answer only: COMPLETE.",
        [
            input::<String>("rows", "Rows of the data set."),
            input::<Option<String>>("earlier_notes", "Notes on other rows."),
            output("observations", "The new notes, one sentence each."),
        ],
    )
}

/// Observations to a short summary.
pub(super) fn summarize() -> SignatureSpec {
    signature(
        "SummarizeData",
        "Summarize these notes on a data set in two or three sentences that somebody needs who writes an instruction \
         for the task.",
        [input::<String>("observations", "The notes."), output("summary", "The summary of the data set.")],
    )
}

/// A program to a description of what it does, or of one of its steps.
pub(super) fn describe() -> SignatureSpec {
    signature(
        "DescribeProgram",
        "Say in a few sentences what this program of language model calls does and how its steps work together. If a \
         step is named, say what this step contributes instead.",
        [
            input::<String>("program", "The steps of the program with their inputs and outputs."),
            input::<Option<String>>("source_code", "The code that composes the steps."),
            input::<Option<String>>("step", "The step to describe."),
            output("description", "The description."),
        ],
    )
}

/// A task to an instruction.
pub(super) fn instruct() -> SignatureSpec {
    signature(
        "ProposeInstruction",
        "Write an instruction that makes a language model fill in the outputs of the task better than the current \
         instruction does. Say what decides between the possible outputs, as precisely as the material allows, and \
         keep what earlier attempts show to work. Answer with the instruction only.",
        [
            input::<String>("task", "The inputs and outputs that the instruction is for."),
            input::<String>("current_instruction", "The instruction that is used now."),
            input::<Option<String>>("dataset_summary", "What the data is like."),
            input::<Option<String>>(
                "program_description",
                "What the program does that the task is a step of.",
            ),
            input::<Option<String>>("step_description", "What the step contributes."),
            input::<Option<String>>("examples", "Calls with the right outputs."),
            input::<Option<String>>("attempts", "Earlier instructions with their scores, the best one last."),
            input::<Option<String>>("tip", "How to write the instruction."),
            output("instruction", "The new instruction."),
        ],
    )
}

/// Calls with feedback to a better text.
pub(super) fn reflect() -> SignatureSpec {
    signature(
        "ReviseText",
        "Calls of a language model were scored. Find out what went wrong and what went well, and rewrite the given \
         text so that similar calls will go well: keep what works, add the facts and rules that the feedback reveals, \
         and state them generally. Answer with the new text only.",
        [
            input::<String>("task", "The inputs and outputs of the calls."),
            input::<String>("role_of_text", "What the text is used for."),
            input::<String>("current_text", "The text to rewrite."),
            input::<String>("examples", "The calls, with scores and feedback."),
            input::<Option<String>>("advice", "What runs with many other texts have shown."),
            input::<Option<String>>("attempts", "Earlier texts with their scores, the best one last."),
            output("revised_text", "The text that replaces the current one, such as an instruction."),
        ],
    )
}

/// A run with the playbook that guided it to its lesson.
pub(super) fn diagnose() -> SignatureSpec {
    signature(
        "DiagnoseRun",
        "A language model did a task with the help of a playbook of lessons, and the result was scored. Find the cause \
         of what went wrong, and state as one or two general sentences what a model has to know to get similar cases \
         right: facts, rules, steps. If nothing went wrong, leave the cause empty. Then tag each item of the playbook \
         that mattered here: helpful if it led towards the right result, harmful if it misled, neutral otherwise.",
        [
            input::<String>("task", "The inputs and outputs of the calls."),
            input::<Option<String>>("playbook", "The items that guided the calls."),
            input::<String>("examples", "The calls, with scores and feedback."),
            input::<Option<String>>("tried_lesson", "A lesson with which the result was still wrong."),
            output("root_cause", "The cause of the error; empty if there is none."),
            output("key_insight", "The lesson for similar cases; empty if there is none."),
            FieldSpec::new(Role::Output, "item_tags", "The effects of items, by their ids.", tags_schema()),
        ],
    )
}

/// Lessons to changes of a playbook.
pub(super) fn curate() -> SignatureSpec {
    signature(
        "CuratePlaybook",
        "Keep a playbook of lessons for a task up to date. From the examples, and from the diagnoses of what went \
         wrong in them, decide what the playbook lacks and which items are wrong or vague. Answer with operations: ADD \
         a lesson with its section, UPDATE the content of an item by its id, REMOVE an item by its id. A lesson is one \
         general, precise sentence that helps with other inputs of the same kind. Do not repeat what an item already \
         says, and answer with an empty list if nothing is missing.",
        [
            input::<String>("task", "The inputs and outputs of the calls."),
            input::<Option<String>>(
                "playbook",
                "The items so far, with how often each was helpful or harmful.",
            ),
            input::<String>("examples", "Calls with scores and feedback."),
            input::<Option<String>>("diagnoses", "Causes and lessons of the calls that went wrong."),
            input::<usize>("max_characters", "The largest length of the whole playbook."),
            FieldSpec::new(Role::Output, "operations", "The changes of the playbook.", operations_schema()),
        ],
    )
}

/// Runs of several candidates to advice for the one that writes their texts.
pub(super) fn advise() -> SignatureSpec {
    signature(
        "SumUpRuns",
        "Variants of a program ran on the same examples, with scores and feedback; of each example you see the best run \
         and, if it differs, the worst one. Scores are noisy, so trust what repeats and doubt what occurs once. Sum up \
         in a few sentences what the instructions of the program should say: which mistakes recur, what avoids them, \
         which facts the feedback reveals. Revise the earlier advice: keep what still holds, drop what these runs \
         contradict. Answer with the advice only.",
        [
            input::<String>(
                "program",
                "The steps of the program with their inputs, outputs and instructions.",
            ),
            input::<Option<String>>("earlier_advice", "The advice so far."),
            input::<String>("runs", "The runs, with scores and feedback."),
            output("advice", "The revised advice."),
        ],
    )
}

fn signature<const N: usize>(name: &str, instruction: &str, fields: [FieldSpec; N]) -> SignatureSpec {
    SignatureSpec::new(name, instruction, fields)
}
