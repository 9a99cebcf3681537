//! Words of the prompt format that adapters write and the built-in model reads.

/// The start of the marker of a field, as in `[[ ## answer ## ]]`.
pub const MARKER_START: &str = "[[ ## ";
/// The end of the marker of a field.
pub const MARKER_END: &str = " ## ]]";
/// The name in the marker that ends a reply.
pub const COMPLETED: &str = "completed";

/// The heading of the input fields in a system message.
pub const INPUT_FIELDS: &str = "Input fields:";
/// The heading of the output fields in a system message.
pub const OUTPUT_FIELDS: &str = "Output fields:";
/// The heading of the instruction in a system message.
pub const TASK: &str = "Your task:";
/// The start of the request for the format of the reply, at the end of a user message.
pub const ANSWER_WITH: &str = "Answer with ";
/// Placeholder for an output that a demonstration lacks.
pub const NOT_GIVEN: &str = "(not given in this example)";
