//! The types of fields, in the notations of Python and of Rust.

use crate::Problem;
use crate::names::{self, Number, Own};
use crate::scan::Scanner;
use crate::suggest::remedy;

/// The maximum nesting depth, which protects the stack.
const DEEPEST: usize = 32;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A type with a meaning in the grammar, with its arguments.
    Known {
        /// The type.
        known: KnownType,
        /// The arguments in brackets.
        arguments: Vec<Type>,
        /// The offsets of its start and of the end of its name, in bytes.
        span: (usize, usize),
    },
    /// A Rust type by its path, which only the compiler can resolve.
    Named(Path, Vec<Type>),
    /// One of a few literal values, with the span.
    Literal(Vec<Choice>, (usize, usize)),
    /// The type `None`.
    None,
    /// One of several types, with the offset of the first.
    Union(Vec<Type>, usize),
    /// `(A, B)`.
    Tuple(Vec<Type>),
    /// An array `[T; 3]`, with its length as written and the offset of the length.
    Array(Box<Type>, String, usize),
}

/// Types that mean the same in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownType {
    /// A string.
    Text,
    /// `bool`.
    Bool,
    /// A number type of Rust.
    Number(Number),
    /// A character.
    Char,
    /// Any JSON value.
    Any,
    /// A list.
    List,
    /// A list without duplicates.
    Set,
    /// A map sorted by key.
    Dict,
    /// `HashMap`.
    HashMap,
    /// A tuple.
    Tuple,
    /// A type or nothing.
    Optional,
    /// A type of `dspy`.
    Own(Own),
    /// A type of Python's `datetime`.
    Temporal(Temporal),
}

/// The types of Python's module `datetime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporal {
    /// A date.
    Date,
    /// A time of day.
    Time,
    /// A date and a time.
    DateTime,
    /// A duration.
    TimeDelta,
}

/// The path of a Rust type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Whether the path begins with `::`.
    pub rooted: bool,
    /// The segments, each with its offset in bytes.
    pub segments: Vec<(String, usize)>,
}

/// A choice of a `Literal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The value.
    pub value: ChoiceValue,
    /// The offset in bytes.
    pub at: usize,
}

/// The value of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChoiceValue {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Bool(bool),
}

impl Path {
    /// Returns the error for an unknown type.
    pub fn unknown(&self) -> Problem {
        let names: Vec<&str> = self.segments.iter().map(|(name, _)| name.as_str()).collect();
        let name = names.join("::");
        let at = self.segments.first().map_or(0, |(_, at)| *at);
        Problem::new(at, unknown(&name, names::lower().chain(names::capital()).chain(names::own())))
    }
}

fn unknown<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let all = "known are str, int, float, bool, list[…], dict[str, …], tuple[…], Optional[…], Literal[…], Any and the \
               types of Rust";
    format!("unknown type `{word}`; {}", remedy(word, candidates, || all.into()))
}

/// Parses `T | U | None`.
pub(crate) fn union(scan: &mut Scanner<'_>, depth: usize) -> Result<Type, Problem> {
    scan.skip_space();
    let at = scan.at();
    if depth > DEEPEST {
        return Err(Problem::new(at, "types nest too deeply"));
    }
    let mut choices = vec![single(scan, depth)?];
    while scan.eat("|") {
        choices.push(single(scan, depth)?);
    }
    Ok(one_of(choices, at))
}

/// Builds a union; a single type stays as it is, and a type or `None` becomes optional.
fn one_of(mut choices: Vec<Type>, at: usize) -> Type {
    let nothing = choices.contains(&Type::None);
    if nothing && choices.len() > 1 {
        choices.retain(|choice| *choice != Type::None);
        let inner = match choices.len() {
            0 => return Type::None,
            _ => one_of(choices, at),
        };
        return Type::Known { known: KnownType::Optional, arguments: vec![inner], span: (at, at) };
    }
    if choices.len() == 1 { choices.remove(0) } else { Type::Union(choices, at) }
}

fn single(scan: &mut Scanner<'_>, depth: usize) -> Result<Type, Problem> {
    let Some((word, at)) = scan.word() else { return unnamed(scan, depth) };
    if scan.rest().starts_with('.') {
        return dotted(word, at, scan, depth);
    }
    if scan.peek("::") {
        return path(Path { rooted: false, segments: vec![(word.to_owned(), at)] }, scan, depth);
    }
    named(word, word, at, scan, depth)
}

/// Parses the arguments of a named type; `written` is the name as written.
fn named(
    word: &str,
    written: &str,
    at: usize,
    scan: &mut Scanner<'_>,
    depth: usize,
) -> Result<Type, Problem> {
    let span = (at, at + written.len());
    match word {
        "Literal" => return Ok(Type::Literal(literals(scan)?, span)),
        "None" => return Ok(Type::None),
        "Union" if scan.peek("[") => {
            let choices = arguments(scan, depth)?;
            if choices.len() < 2 {
                return Err(Problem::new(at, format!("`{written}` takes 2 to 16 type arguments, found 1")));
            }
            return Ok(one_of(choices, at));
        }
        _ => {}
    }
    let arguments = arguments(scan, depth)?;
    let Some((known, allowed)) = names::known(word) else {
        // Types have capitals, so a word without is a misspelt one.
        if word.starts_with(|c: char| c.is_lowercase()) {
            return Err(Problem::new(at, unknown(written, names::lower())));
        }
        return Ok(Type::Named(Path { rooted: false, segments: vec![(word.to_owned(), at)] }, arguments));
    };
    if allowed.contains(&arguments.len()) {
        return Ok(Type::Known { known, arguments, span });
    }
    let (low, high) = (allowed.start(), allowed.end());
    let wanted = if low == high { low.to_string() } else { format!("{low} to {high}") };
    let found = arguments.len();
    Err(Problem::new(at, format!("`{written}` takes {wanted} type arguments, found {found}")))
}

/// Parses `dspy.Image`, `typing.Optional[…]`, `datetime.date`: types of Python modules.
fn dotted(module: &str, at: usize, scan: &mut Scanner<'_>, depth: usize) -> Result<Type, Problem> {
    scan.advance(1);
    let Some((word, _)) = scan.word() else {
        return Err(Problem::new(scan.at(), format!("expected a name after `{module}.`")));
    };
    let written = format!("{module}.{word}");
    let span = (at, at + written.len());
    let known = match module {
        "dspy" => {
            let candidates: Vec<String> = names::own().map(|own| format!("dspy.{own}")).collect();
            let known = Own::named(word).map(KnownType::Own);
            known.ok_or_else(|| unknown(&written, candidates.iter().map(String::as_str)))
        }
        "typing" if names::capital().any(|name| name == word) => {
            return named(word, &written, at, scan, depth);
        }
        "datetime" => match names::known(word) {
            Some((known @ KnownType::Temporal(_), _)) => Ok(known),
            _ => {
                let candidates =
                    ["datetime.date", "datetime.time", "datetime.datetime", "datetime.timedelta"];
                Err(unknown(&written, candidates))
            }
        },
        _ => Err(unknown(&written, [])),
    };
    let known = known.map_err(|message| Problem::new(at, message))?;
    Ok(Type::Known { known, arguments: Vec::new(), span })
}

fn arguments(scan: &mut Scanner<'_>, depth: usize) -> Result<Vec<Type>, Problem> {
    let close = if scan.eat("[") {
        "]"
    } else if scan.eat("<") {
        ">"
    } else {
        return Ok(Vec::new());
    };
    list(close, scan, depth)
}

fn list(close: &str, scan: &mut Scanner<'_>, depth: usize) -> Result<Vec<Type>, Problem> {
    let mut list = vec![union(scan, depth + 1)?];
    while scan.eat(",") && !scan.peek(close) {
        list.push(union(scan, depth + 1)?);
    }
    scan.expect(close)?;
    Ok(list)
}

/// Parses `(A, B)`, `[T; 3]` and paths that begin with `::`.
fn unnamed(scan: &mut Scanner<'_>, depth: usize) -> Result<Type, Problem> {
    if scan.peek("::") {
        return path(Path { rooted: true, segments: Vec::new() }, scan, depth);
    }
    if scan.eat("(") {
        let parts = if scan.eat(")") { Vec::new() } else { list(")", scan, depth)? };
        return Ok(Type::Tuple(parts));
    }
    if scan.eat("[") {
        let item = union(scan, depth + 1)?;
        scan.expect(";")?;
        scan.skip_space();
        let at = scan.at();
        let end = scan.rest().find(']').unwrap_or(scan.rest().len());
        let length = scan.rest()[..end].trim().to_owned();
        if length.is_empty() {
            return Err(Problem::new(at, "expected the length of the array"));
        }
        scan.advance(end);
        scan.expect("]")?;
        return Ok(Type::Array(Box::new(item), length, at));
    }
    Err(Problem::new(scan.at(), "expected a type such as `str`, `int`, `float`, `bool`, `list[str]`"))
}

/// Parses the rest of `first::second<T>`.
fn path(mut path: Path, scan: &mut Scanner<'_>, depth: usize) -> Result<Type, Problem> {
    while scan.eat("::") {
        let Some((word, at)) = scan.word() else {
            return Err(Problem::new(scan.at(), "expected a name after `::`"));
        };
        path.segments.push((word.to_owned(), at));
    }
    let arguments = arguments(scan, depth)?;
    Ok(Type::Named(path, arguments))
}

/// Parses the choices after `Literal`.
fn literals(scan: &mut Scanner<'_>) -> Result<Vec<Choice>, Problem> {
    scan.expect("[")?;
    let mut choices: Vec<Choice> = Vec::new();
    loop {
        let choice = choice(scan)?;
        for other in &choices {
            if other.value == choice.value {
                return Err(Problem::new(choice.at, format!("duplicate `{}`", choice.value)));
            }
            // Models do not keep the case of a choice.
            let (a, b) = (other.value.to_string(), choice.value.to_string());
            if a.to_lowercase() == b.to_lowercase() {
                let message = if a == b {
                    format!("`{a}` stands here as two values that a reply could not tell apart; keep one")
                } else {
                    format!("`{a}` and `{b}` differ only in case, so a reply could mean either; keep one")
                };
                return Err(Problem::new(choice.at, message));
            }
        }
        choices.push(choice);
        if !scan.eat(",") || scan.peek("]") {
            break;
        }
    }
    scan.expect("]")?;
    Ok(choices)
}

fn choice(scan: &mut Scanner<'_>) -> Result<Choice, Problem> {
    scan.skip_space();
    let (rest, at) = (scan.rest(), scan.at());
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let Some(end) = rest[1..].find(quote) else {
            return Err(Problem::new(at, "the quote is never closed"));
        };
        scan.advance(end + 2);
        return Ok(Choice { value: ChoiceValue::Text(rest[1..=end].to_owned()), at });
    }
    let end = rest.find([',', ']']).unwrap_or(rest.len());
    let word = rest[..end].trim();
    let value = match word {
        "True" | "true" => ChoiceValue::Bool(true),
        "False" | "false" => ChoiceValue::Bool(false),
        "None" => return Err(Problem::new(at, "`None` is no literal here; write `Literal[…] | None`")),
        _ => match word.parse() {
            Ok(number) => ChoiceValue::Integer(number),
            Err(_) => return Err(Problem::new(at, "expected a quoted text, an integer, True or False")),
        },
    };
    scan.advance(end);
    Ok(Choice { value, at })
}

impl std::fmt::Display for ChoiceValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChoiceValue::Text(text) => f.write_str(text),
            ChoiceValue::Integer(number) => write!(f, "{number}"),
            ChoiceValue::Bool(value) => write!(f, "{value}"),
        }
    }
}
