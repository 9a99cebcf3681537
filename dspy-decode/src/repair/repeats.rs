//! Duplicate consecutive pieces of the text.

use super::super::plan::{Schema, same};
use super::super::strict;
use super::doubt::{self, Looks};
use super::edits::Reading;
use super::input::Patch;
use super::recognizer::{Machine, State, Stop};

/// The maximum length, in bytes, of a duplicate piece.
const MAX_PIECE: usize = 40;

/// The maximum distance, in bytes, between the start of the second copy and the failure.
const REPEAT_REACH: usize = 64;

/// Tries to remove one copy of each piece that occurs twice in a row shortly before the failure.
pub(super) fn search(
    machine: &mut Machine<'_>,
    schema: &Schema,
    text: &str,
    failure: usize,
    places: &[(usize, State)],
    readings: &mut Vec<Reading>,
) {
    let bytes = text.as_bytes();
    for from in failure.saturating_sub(REPEAT_REACH)..=failure {
        for length in 2..=MAX_PIECE.min(from) {
            if bytes.get(from..from + length) != Some(&bytes[from - length..from])
                || !text.is_char_boundary(from)
                || !text.is_char_boundary(from + length)
            {
                continue;
            }
            let known = places.partition_point(|(place, _)| *place <= from);
            let Some(&resume) = places[..known].last() else { continue };
            let patch = Patch::new(from, length, b"");
            if let Stop::Whole = machine.run(text, Some(patch), resume.0, resume.1, &mut |_, _| {})
                && let Some(edited) = patch.apply(text)
                && let Some(value) = strict::read(schema, &edited)
                && !readings.iter().any(|r| same(&r.value, &value))
            {
                let doubt = doubt::of_repeat(machine, text, patch, resume.1);
                readings.push(Reading { value, patch, doubt, looks: Looks::default() });
            }
        }
    }
}
