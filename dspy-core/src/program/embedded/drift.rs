//! The comparison of a saved program with the code, at compile time.

use super::shape::ProgramShape;
use super::text::Text;
use crate::signature::Role;
use crate::signature::shape::FieldShape;
use crate::state::FORMAT;

/// A saved program, as `include_optimized!` has read it.
#[derive(Debug)]
pub struct SavedProgram {
    /// The path of the file, as it was written in the code.
    pub file: &'static str,
    /// The content of the file.
    pub json: &'static str,
    /// The name and version of its format.
    pub format: &'static str,
    /// Its predictors.
    pub predictors: &'static [SavedPredictor],
}

/// A predictor of a saved program.
#[derive(Debug)]
pub struct SavedPredictor {
    /// The path in the program.
    pub path: &'static str,
    /// Its inputs and outputs.
    pub fields: &'static [SavedField],
}

/// A field of a saved predictor.
#[derive(Debug)]
pub struct SavedField {
    /// The name in prompts.
    pub name: &'static str,
    /// `input` or `output`.
    pub role: &'static str,
    /// The type in the notation of prompts.
    pub kind: &'static str,
    /// Whether a signature in the code has declared it; other fields are added by strategies.
    pub declared: bool,
    /// The digest of the type, if it had one.
    pub shape: Option<u64>,
}

/// Compares a saved program with the predictors of a type.
///
/// # Panics
/// If they differ, which is an error of the compiler in the initializer of a constant.
#[track_caller]
#[allow(clippy::panic, reason = "evaluated by the compiler, where it is the error message")]
pub(super) const fn check(saved: &SavedProgram, program: &ProgramShape) {
    let mut problems = Text::new();
    if same(saved.format, FORMAT) {
        let mut at = 0;
        while at < saved.predictors.len() {
            check_predictor(&saved.predictors[at], program, &mut problems);
            at += 1;
        }
        missing(saved, program, &Text::new(), &mut problems);
    } else {
        problems.add(&["its format is `", saved.format, "`, this version reads `", FORMAT, "`"]);
    }
    if !problems.is_empty() {
        let mut message = Text::new();
        message.add(&["`", saved.file, "` does not fit the program: ", problems.as_str()]);
        message.add(&["; save it again from the present program"]);
        panic!("{}", message.as_str());
    }
}

const fn check_predictor(saved: &SavedPredictor, program: &ProgramShape, problems: &mut Text) {
    match find(program, saved.path) {
        Found::Unknown | Found::Predictor(None) => {}
        Found::Nothing => problems.item(&["`", saved.path, "` is not in the program"]),
        Found::Predictor(Some(fields)) => {
            let mut at = 0;
            while at < fields.len() {
                check_field(saved, &fields[at], problems);
                at += 1;
            }
            let mut at = 0;
            while at < saved.fields.len() {
                let field = &saved.fields[at];
                // A strategy may add fields. Loading compares those, too, when the program exists.
                if field.declared && !declares(fields, field.name) {
                    let (path, kind) = (saved.path, field.kind);
                    let start = ["`", path, "`: the saved signature has the ", field.role, " `", field.name];
                    problems.item(&start);
                    problems.add(&["` (", kind, "), the program has not"]);
                }
                at += 1;
            }
        }
    }
}

const fn declares(fields: &[FieldShape], name: &str) -> bool {
    let mut at = 0;
    while at < fields.len() {
        if !matches!(fields[at].role, Role::Hint) && same(fields[at].name, name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn check_field(saved: &SavedPredictor, field: &FieldShape, problems: &mut Text) {
    let role = match field.role {
        Role::Input => "input",
        Role::Output => "output",
        Role::Hint => return,
    };
    let mut at = 0;
    while at < saved.fields.len() {
        let other = &saved.fields[at];
        if same(other.name, field.name) {
            if !same(other.role, role) {
                problems.item(&["`", saved.path, "`: `", field.name, "` is an ", role]);
                problems.add(&[" of the program, it was saved as an ", other.role]);
            } else if let (Some(now), Some(then)) = (field.shape, other.shape)
                && now != then
            {
                problems.item(&["`", saved.path, "`: the type of the ", role, " `", field.name]);
                problems.add(&["` has changed, it was saved as ", other.kind]);
            }
            return;
        }
        at += 1;
    }
    problems.item(&["`", saved.path, "`: the program has the ", role, " `", field.name]);
    problems.add(&["`, the saved signature has not"]);
}

/// The part of a program at a path.
enum Found {
    Unknown,
    Predictor(Option<&'static [FieldShape]>),
    Nothing,
}

/// Finds the predictor at a path.
const fn find(program: &ProgramShape, path: &str) -> Found {
    let mut here = program;
    let mut rest: &[u8] = if same(path, "self") { &[] } else { path.as_bytes() };
    loop {
        match here {
            ProgramShape::Unknown => return Found::Unknown,
            ProgramShape::Predictor(fields) => {
                return if rest.is_empty() { Found::Predictor(*fields) } else { Found::Nothing };
            }
            ProgramShape::Optional(inner) => here = inner,
            ProgramShape::Fields(fields) => {
                if let [b'.', after @ ..] = rest {
                    rest = after;
                }
                let (name, after) = rest.split_at(name_length(rest));
                let mut at = 0;
                while at < fields.len() && !same_bytes(fields[at].0.as_bytes(), name) {
                    at += 1;
                }
                if at == fields.len() {
                    return Found::Nothing;
                }
                (here, rest) = (fields[at].1, after);
            }
            ProgramShape::Items(count, inner) => {
                let Some((index, after)) = index(rest) else { return Found::Nothing };
                if let Some(count) = count
                    && index >= *count
                {
                    return Found::Nothing;
                }
                (here, rest) = (inner, after);
            }
            ProgramShape::Entries(inner) => {
                let Some(after) = after_key(rest) else { return Found::Nothing };
                (here, rest) = (inner, after);
            }
        }
    }
}

/// Returns the length of the name of a field at the start of a path.
const fn name_length(path: &[u8]) -> usize {
    let mut length = 0;
    while length < path.len() && path[length] != b'.' && path[length] != b'[' {
        length += 1;
    }
    length
}

/// Splits `[3]` off a path.
const fn index(path: &[u8]) -> Option<(usize, &[u8])> {
    let [b'[', rest @ ..] = path else { return None };
    let (mut index, mut at) = (0_usize, 0);
    while at < rest.len() && rest[at].is_ascii_digit() {
        index = index.saturating_mul(10).saturating_add((rest[at] - b'0') as usize);
        at += 1;
    }
    match rest.split_at(at) {
        ([_, ..], [b']', after @ ..]) => Some((index, after)),
        _ => None,
    }
}

/// Returns the rest of a path after `['key']`.
const fn after_key(path: &[u8]) -> Option<&[u8]> {
    let [b'[', quote @ (b'\'' | b'"'), rest @ ..] = path else { return None };
    let mut at = 0;
    while at < rest.len() && rest[at] != *quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    if at >= rest.len() {
        return None;
    }
    match rest.split_at(at + 1).1 {
        [b']', after @ ..] => Some(after),
        _ => None,
    }
}

/// Reports the predictors that every value of the program has and the saved program has not.
const fn missing(saved: &SavedProgram, here: &ProgramShape, path: &Text, problems: &mut Text) {
    match here {
        // How many there are is known when a program is loaded.
        ProgramShape::Unknown
        | ProgramShape::Optional(_)
        | ProgramShape::Items(None, _)
        | ProgramShape::Entries(_) => {}
        ProgramShape::Predictor(_) => {
            let path = if path.is_empty() { "self" } else { path.as_str() };
            let mut at = 0;
            while at < saved.predictors.len() && !same(saved.predictors[at].path, path) {
                at += 1;
            }
            if at == saved.predictors.len() {
                problems.item(&["`", path, "` is not in the saved state"]);
            }
        }
        ProgramShape::Fields(fields) => {
            let mut at = 0;
            while at < fields.len() {
                let mut inner = *path;
                inner.add(if path.is_empty() { &[""] } else { &["."] });
                inner.add(&[fields[at].0]);
                missing(saved, fields[at].1, &inner, problems);
                at += 1;
            }
        }
        ProgramShape::Items(Some(count), item) => {
            let mut at = 0;
            while at < *count {
                let mut inner = *path;
                inner.add(&["["]);
                inner.add_number(at);
                inner.add(&["]"]);
                missing(saved, item, &inner, problems);
                at += 1;
            }
        }
    }
}

const fn same(a: &str, b: &str) -> bool {
    same_bytes(a.as_bytes(), b.as_bytes())
}

const fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
