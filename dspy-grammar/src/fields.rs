//! Parsing of `inputs -> outputs`.

use crate::Problem;
use crate::names;
use crate::scan::Scanner;
use crate::types::{Type, union};

const NEXT_INPUT: &str = "expected `,` or `->`; a signature reads `inputs -> outputs`";
const NEXT_OUTPUT: &str = "expected `,` or the end of the signature";

/// A field of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The offset of the name in bytes.
    pub at: usize,
    /// The type; without one the field is a string.
    pub ty: Option<Type>,
}

/// The parsed signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// The fields before the arrow.
    pub inputs: Vec<Field>,
    /// The fields after the arrow.
    pub outputs: Vec<Field>,
    /// All problems, in the order of the string. A field with an invalid type is a string; other invalid
    /// fields are omitted.
    pub problems: Vec<Problem>,
}

/// Parses a signature.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let arrow = Scanner::new(text, 0, text.len()).split("->").first().copied();
    let inputs = Scanner::new(text, 0, arrow.unwrap_or(text.len()));
    parsed.side(text, &inputs, false);
    if let Some(arrow) = arrow {
        let outputs = Scanner::new(text, arrow + "->".len(), text.len());
        parsed.side(text, &outputs, true);
        if parsed.problems.is_empty() && parsed.outputs.is_empty() {
            parsed
                .problems
                .push(Problem::new(outputs.at(), "no output fields; name at least one after `->`"));
        }
    } else if parsed.problems.is_empty() {
        parsed.problems.push(Problem::new(text.trim_end().len(), NEXT_INPUT));
    }
    parsed
}

impl Parsed {
    /// Parses the fields of one side. They are split first, so that an error in one does not hide those in
    /// others.
    fn side(&mut self, text: &str, side: &Scanner<'_>, output: bool) {
        let end = side.at() + side.rest().len();
        let mut start = side.at();
        for comma in side.split(",").into_iter().chain([end]) {
            let mut part = Scanner::new(text, start, comma);
            // A trailing comma is allowed.
            if !(part.done() && comma == end)
                && let Err(problem) = self.field(&mut part, output)
            {
                self.problems.push(problem);
            }
            start = comma + 1;
        }
    }

    fn field(&mut self, scan: &mut Scanner<'_>, output: bool) -> Result<(), Problem> {
        let Some((name, at)) = scan.word() else {
            return Err(Problem::new(scan.at(), "expected the name of a field"));
        };
        if let Some(refusal) = names::refusal(name) {
            return Err(Problem::new(at, refusal));
        }
        let known = |fields: &[Field]| fields.iter().any(|field| field.name == name);
        let (same, other) =
            if output { (&self.outputs, &self.inputs) } else { (&self.inputs, &self.outputs) };
        if known(same) {
            return Err(Problem::new(at, format!("duplicate field `{name}`")));
        }
        if known(other) {
            return Err(Problem::new(at, format!("`{name}` is both an input and an output")));
        }
        let (ty, problem) = match type_of(scan, output) {
            Ok(ty) => (ty, None),
            Err(problem) => (None, Some(problem)),
        };
        let fields = if output { &mut self.outputs } else { &mut self.inputs };
        fields.push(Field { name: name.to_owned(), at, ty });
        problem.map_or(Ok(()), Err)
    }
}

/// Parses the type after the name, up to the end of the field.
fn type_of(scan: &mut Scanner<'_>, output: bool) -> Result<Option<Type>, Problem> {
    let ty = if scan.eat(":") { Some(union(scan, 0)?) } else { None };
    if scan.done() {
        return Ok(ty);
    }
    Err(Problem::new(scan.at(), if output { NEXT_OUTPUT } else { NEXT_INPUT }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_where_they_are() {
        for (text, at, part) in [
            ("question", 8, "`->`"),
            ("question -> ", 11, "no output fields"),
            ("q -> a: strr", 8, "did you mean `str`?"),
            ("q -> a: list[str", 16, "expected `]`"),
            ("q -> a: list[str, int]", 8, "takes 0 to 1"),
            ("q -> q", 5, "both an input and an output"),
            ("q, q -> a", 3, "duplicate"),
            ("q -> a: Literal['x", 16, "never closed"),
            ("q -> a: Literal['x', 'X']", 21, "differ only in case"),
            ("q -> a: Literal['x', None]", 21, "| None"),
            ("q -> a: Literal[1.5]", 16, "an integer"),
            ("q -> a b", 7, "the end"),
            ("q -> completed", 5, "reserved"),
            ("self -> a", 0, "not a name in Rust"),
            ("é -> a: strr", 9, "unknown type"),
            ("q -> a: dspy.Imag", 8, "did you mean `dspy.Image`?"),
            ("q -> a: numpy.array", 8, "unknown type `numpy.array`"),
            ("q, , r -> a", 3, "name of a field"),
        ] {
            let parsed = parse(text);
            let [problem] = parsed.problems.as_slice() else { panic!("{text}: {:?}", parsed.problems) };
            assert_eq!(problem.at, at, "{problem:?}");
            assert!(problem.message.contains(part), "{problem:?}");
        }
        assert_eq!(parse("a: strr, b: flota -> c: itn, completed").problems.len(), 4);
    }

    #[test]
    fn any_text_is_taken() {
        for text in [
            "",
            "->",
            "[",
            "a: [",
            "a: (",
            "a: ::",
            "a: x.",
            "a: [u8; ",
            "a: Literal[",
            "é: é",
            "a: list[[[[",
            "\u{0}",
        ] {
            assert!(!parse(text).problems.is_empty(), "{text}");
        }
        let deep = format!("a -> b: {}str{}", "list[".repeat(3000), "]".repeat(3000));
        assert!(parse(&deep).problems[0].message.contains("too deeply"));
    }
}
