//! Decoding of a whole reply: the fast path, the candidates, and the choice between them.

mod indented;
mod outline;
mod partial;
pub(crate) mod text_reply;

use serde_json::Value;

use super::candidates::{self, Scan, Unit};
use super::coerce::{Attempt, Coercion};
use super::error::{DecodeError, Problem, ProblemKind, SchemaError};
use super::path::Path;
use super::plan::{NodeId, NodeKind, Schema, same};
use super::report::{Decoded, ParseReport, RepairKind as R};
use super::text::{corrects, snippet};
use super::tree::{Shape, Span, Tree};
use super::{MAX_BYTES, repair, soundness, strict, thoughts};
pub use partial::Partial;
pub(crate) use partial::decode as decode_partial;

/// The minimum cost difference between two places of a reply that both fit. With a smaller difference the
/// reply is ambiguous.
const MARGIN: u64 = 6;

pub(super) type DecodeOutcome = Result<Decoded<Value>, DecodeError>;

pub(super) fn decode(schema: &Schema, text: &str) -> DecodeOutcome {
    if let Some((plan, nullable)) = text_reply::free_text(schema) {
        return text_reply::read(schema, plan, nullable, text);
    }
    if text.len() > MAX_BYTES {
        let found = format!("{} bytes of text; at most {MAX_BYTES} are read", text.len());
        return Err(problem(schema, ProblemKind::TooLarge, found).into());
    }
    if let Some(value) = strict::read(schema, text) {
        return Ok(Decoded::exact(value));
    }
    ReplyReader { schema, text }.read()
}

pub(super) fn coerce(schema: &Schema, value: Value) -> DecodeOutcome {
    if schema.is_valid(schema.root, &value) {
        return Ok(Decoded::exact(value));
    }
    if depth(&value) > super::MAX_DEPTH {
        return Err(problem(schema, ProblemKind::TooDeep, "brackets nested too deeply".into()).into());
    }
    let tree = Tree::of(value);
    let mut coercion = Coercion::new(schema, None, 1 << 20);
    match coercion.read(schema.root, &tree, &Path::root()) {
        Some(value) => {
            let report = ParseReport { repairs: coercion.repairs, alternatives: coercion.alternatives };
            Ok(Decoded { value, report })
        }
        None => Err(DecodeError::new(coercion.problems)),
    }
}

/// Returns the nesting depth of a value, without recursion.
fn depth(value: &Value) -> usize {
    let mut level = vec![value];
    let mut depth = 0;
    while !level.is_empty() && depth <= super::MAX_DEPTH {
        depth += 1;
        level = level
            .into_iter()
            .flat_map(|v| -> Box<dyn Iterator<Item = &Value>> {
                match v {
                    Value::Array(items) => Box::new(items.iter()),
                    Value::Object(map) => Box::new(map.values()),
                    _ => Box::new(std::iter::empty()),
                }
            })
            .filter(|v| v.is_array() || v.is_object())
            .collect();
    }
    depth
}

pub(super) fn bounds(text: &str, from: usize) -> (usize, usize) {
    let blank = super::loose::is_blank;
    let end = text.trim_end_matches(blank).len().max(from);
    let start = from + (text[from..end].len() - text[from..end].trim_start_matches(blank).len());
    (start, end)
}

/// Returns whether a structure is an empty pair of brackets.
fn is_empty(unit: &Unit<'_>) -> bool {
    match &unit.tree.shape {
        Shape::List(items) => items.is_empty(),
        Shape::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

struct ReplyReader<'a> {
    schema: &'a Schema,
    text: &'a str,
}

/// A reading of the reply with its location.
struct Found {
    attempt: Attempt,
    /// The cost without repairs of notation.
    interpreted: u64,
    fenced: bool,
    at: usize,
}

impl ReplyReader<'_> {
    fn by_marks(&self) -> DecodeOutcome {
        let Some(answer) = thoughts::answer(self.text) else {
            let found = "a thought that does not end".to_owned();
            return Err(problem(self.schema, ProblemKind::Truncated, found).into());
        };
        let (start, end) = bounds(self.text, answer);
        if start == end {
            return self.empty();
        }
        let schema = self.schema;
        let mut coercion = Coercion::new(schema, Some(self.text), self.text.len());
        if let Some(tree) = candidates::whole_string(self.text, schema, start, end) {
            return self.settle(vec![Unit::of(tree)], Vec::new(), start, end, &mut coercion);
        }
        if let Some(outcome) = self.escaped(start, end) {
            return outcome;
        }
        let mut scan = candidates::scan(self.text, schema, start, end);
        if scan.too_deep {
            let found = "brackets nested too deeply".to_owned();
            return Err(problem(schema, ProblemKind::TooDeep, found).into());
        }
        if scan.exhausted {
            let found = "more brackets and fences than can be told apart".to_owned();
            return Err(problem(schema, ProblemKind::TooLarge, found).into());
        }
        if let Some(tuple) = self.tuple(start, end) {
            scan.units = vec![tuple];
        }
        self.drop_asides(&mut scan, start, end);
        self.join_objects(&mut scan);
        if self.cites(&scan) {
            let found = "a sentence with brackets in it, as a citation has".to_owned();
            return Err(problem(schema, ProblemKind::Ambiguous, found).into());
        }
        if let Some(last) = scan.units.last()
            && corrects(&self.text[last.outer.end..end])
        {
            let found = "an answer, and words behind it that correct it".to_owned();
            return Err(problem(schema, ProblemKind::Ambiguous, found).into());
        }
        if self.leaves_items(&scan, start, end) {
            let found = "a list, and items beside it".to_owned();
            return Err(problem(schema, ProblemKind::Ambiguous, found).into());
        }
        let pairs = scan.units.windows(2);
        let touched = pairs.filter(|two| two[0].outer.end == two[1].outer.start).any(|two| {
            two.iter().any(is_empty)
                && self.text.get(two[0].outer.range()) != self.text.get(two[1].outer.range())
        });
        let damaged = takes_structure(schema, schema.root, 4) && !self.is_sound(&scan, start, end);
        let read = if damaged {
            self.mended(scan, start, end, &mut coercion)?
        } else {
            let words = self.words(&scan, start, end);
            self.settle(scan.units, words, start, end, &mut coercion)?
        };
        // `{"a": }{}`: brackets that belong to the text before them.
        let empty = matches!(&read.value, Value::Array(a) if a.is_empty())
            || matches!(&read.value, Value::Object(o) if o.is_empty());
        if touched && empty {
            let found = "brackets with nothing between them that touch others".to_owned();
            return Err(problem(schema, ProblemKind::Ambiguous, found).into());
        }
        Ok(read)
    }

    /// Returns whether no part of the text looks damaged.
    fn is_sound(&self, scan: &Scan<'_>, start: usize, end: usize) -> bool {
        scan.units.iter().all(|u| u.exact.is_some() || soundness::is_sound(self.text, &u.tree))
            && self.accounts(scan, start, end)
    }

    /// Returns whether the reading omits only words.
    fn accounts(&self, scan: &Scan<'_>, start: usize, end: usize) -> bool {
        let text = self.text;
        if let [unit] = &scan.units[..]
            && soundness::has_doubled_braces(text, unit.outer)
        {
            let (before, behind) = (text[..unit.outer.start].trim_end(), text[unit.outer.end..].trim_start());
            return soundness::is_prose(before, start, before.len() - 1)
                && soundness::is_prose(behind, 1, behind.len());
        }
        let mut at = start;
        for unit in &scan.units {
            if !soundness::is_prose(text, at, unit.outer.start) {
                return false;
            }
            at = unit.outer.end.max(at);
        }
        soundness::is_prose(text, at, end)
    }

    /// Reads text with a damaged structure.
    fn mended(&self, scan: Scan<'_>, start: usize, end: usize, coercion: &mut Coercion<'_>) -> DecodeOutcome {
        let schema = self.schema;
        let (body, ending) = self.body(start, end);
        let text = self.text.get(body.range()).unwrap_or("");
        let refused = |kind, found: String| Err(problem(schema, kind, found).into());
        // A string that is unclosed in another style may be closed in JSON: `"""` may be an empty string and
        // a mark.
        let styled =
            scan.units.iter().any(|u| u.exact.is_none() && soundness::is_styled(&u.tree) && !u.tree.cut);
        let led = soundness::is_prose(self.text, start, body.start);
        let mended = if styled || !led { repair::Mended::None } else { repair::read(schema, text, ending) };
        match mended {
            repair::Mended::One { value, notes } => {
                for note in notes {
                    let span = Span::new(body.start + note.span.start, body.start + note.span.end);
                    coercion.repair(note.kind, &Path::root(), span);
                }
                let report = ParseReport { repairs: std::mem::take(&mut coercion.repairs), alternatives: 0 };
                return Ok(Decoded { value, report });
            }
            repair::Mended::Several(a, b) => {
                let (a, b) = (snippet(&a.to_string()), snippet(&b.to_string()));
                return refused(ProblemKind::Ambiguous, format!("several answers: `{a}` and `{b}`"));
            }
            repair::Mended::Doubtful(why) => {
                return refused(ProblemKind::Ambiguous, format!("damaged JSON in which {why}"));
            }
            repair::Mended::None | repair::Mended::Whole => {}
        }
        let plausible = scan
            .units
            .iter()
            .all(|u| u.exact.is_some() || soundness::is_plausible(self.text, &u.tree, &schema.keys));
        let whole = &self.text[start..end];
        let bare = !whole.contains(['{', '}', '[', ']'])
            && whole.contains(char::is_alphanumeric)
            && soundness::quotes_words(whole);
        let gaps = if scan.units.is_empty() {
            soundness::quotes_words(whole) && self.accounts(&scan, start, end)
        } else {
            self.accounts(&scan, start, end)
        };
        let words = self.words(&scan, start, end);
        let read = self.settle(scan.units, words, start, end, coercion);
        if read.is_ok() && !(plausible && (gaps || bare)) {
            return refused(
                ProblemKind::Ambiguous,
                "JSON whose brackets, commas or quotation marks do not fit together".into(),
            );
        }
        read
    }

    /// Reads a structure that is escaped as a whole, as if it were inside a string: `{\"name\": \"Ann\"}`.
    fn escaped(&self, start: usize, end: usize) -> Option<DecodeOutcome> {
        let body = &self.text[start..end];
        let inside = body.strip_prefix(['{', '['])?;
        let blank = |c: char| c.is_whitespace() || matches!(c, '{' | '[');
        let mut rest = inside.trim_start_matches(blank);
        while let Some(more) = rest.strip_prefix("\\n").or_else(|| rest.strip_prefix("\\t")) {
            rest = more.trim_start_matches(blank);
        }
        rest.strip_prefix("\\\"")?;
        let plain: String = serde_json::from_str(&format!(
            "\"{}\"",
            body.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
        ))
        .ok()?;
        let Decoded { value, mut report } = decode(self.schema, &plain).ok()?;
        for repair in &mut report.repairs {
            repair.span = start..end;
        }
        let mut coercion = Coercion::new(self.schema, Some(self.text), 0);
        coercion.repair(R::EmbeddedJson, &Path::root(), Span::new(start, end));
        report.repairs.splice(0..0, coercion.repairs);
        Some(Ok(Decoded { value, report }))
    }

    fn empty(&self) -> DecodeOutcome {
        let schema = self.schema;
        if let NodeKind::Union(union) = &schema.node(schema.root).kind
            && union.null
        {
            let mut coercion = Coercion::new(schema, Some(self.text), 0);
            coercion.repair(R::NullWord, &Path::root(), Span::new(0, self.text.len()));
            let report = ParseReport { repairs: coercion.repairs, alternatives: 0 };
            return Ok(Decoded { value: Value::Null, report });
        }
        Err(problem(schema, ProblemKind::Empty, "an empty text".into()).into())
    }

    /// Returns a Python tuple that is the whole reply.
    fn tuple(&self, start: usize, end: usize) -> Option<Unit<'_>> {
        if !self.text[start..end].starts_with('(') {
            return None;
        }
        let mut scanner = super::loose::Loose::new(self.text, &self.schema.keys, start, end);
        let tree = scanner.structure();
        let whole = scanner.pos == end && !tree.cut && tree.flaw.is_none() && !scanner.is_aside(&tree);
        whole.then(|| Unit::of(tree))
    }

    /// Returns the readings of the reply as words: of fences without structures, or of the whole reply.
    fn words(&self, scan: &Scan<'_>, start: usize, end: usize) -> Vec<Unit<'_>> {
        let text = self.text;
        if !scan.blocks.is_empty() && scan.units.is_empty() {
            return scan
                .blocks
                .iter()
                .filter_map(|block| {
                    let inner = text.get(block.content.range())?;
                    let (from, to) = bounds(inner, 0);
                    let span = Span::new(block.content.start + from, block.content.start + to);
                    let quoted = candidates::whole_string(text, self.schema, span.start, span.end);
                    let tree = match quoted {
                        Some(tree) => tree,
                        None => Tree::text(text.get(span.range())?, false, span),
                    };
                    (from < to).then(|| Unit { outer: block.outer, fenced: true, ..Unit::of(tree) })
                })
                .collect();
        }
        let structures =
            scan.units.iter().any(|u| u.fenced || u.tree.cut || matches!(u.tree.shape, Shape::Object(_)));
        // Brackets at the very start are an attempt at a structure, even if it fails.
        if structures || text[start..end].starts_with(['{', '[']) && !scan.units.is_empty() {
            return Vec::new();
        }
        let span = Span::new(start, end);
        vec![Unit::of(Tree::text(&text[start..end], false, span))]
    }

    fn settle(
        &self,
        units: Vec<Unit<'_>>,
        words: Vec<Unit<'_>>,
        start: usize,
        end: usize,
        coercion: &mut Coercion<'_>,
    ) -> DecodeOutcome {
        let mut failure: Option<Vec<Problem>> = None;
        let mut stray = 0;
        let mut found: Vec<Found> = Vec::new();
        let cut_later = units.iter().filter(|u| u.tree.cut).map(|u| u.tree.span.start).max();
        // The problems of a list or an object are more specific than those of all the words.
        let told = !units.is_empty() && takes_structure(self.schema, self.schema.root, 4);
        for (mut group, tells) in [(units, true), (words, !told)] {
            if !found.is_empty() {
                break;
            }
            for unit in &mut group {
                match self.attempt(unit, start, end, coercion) {
                    Ok(one) => found.push(one),
                    Err(problems) => {
                        // Text that corrects or completes an answer belongs to it.
                        if self.speaks_of_members(&unit.tree) {
                            stray = stray.max(unit.tree.span.start);
                        }
                        if tells {
                            keep_telling(&mut failure, problems);
                        }
                    }
                }
            }
            // A truncated structure is the intended answer; words around it do not replace it.
            let truncated = failure.iter().flatten().any(|p| p.kind == ProblemKind::Truncated);
            if truncated && found.is_empty() {
                break;
            }
        }
        if let (Some(cut), Some(last)) = (cut_later, found.iter().map(|f| f.at).max())
            && cut > last
        {
            found.clear();
        }
        if found.is_empty() {
            return Err(self.explain(failure));
        }
        if found.iter().all(|f| f.at < stray) {
            let found = "an answer, and another object behind it that speaks of the same".to_owned();
            return Err(problem(self.schema, ProblemKind::Ambiguous, found).into());
        }
        self.choose(found, coercion)
    }

    /// Returns whether an object has a key of the type.
    fn speaks_of_members(&self, tree: &Tree<'_>) -> bool {
        let Shape::Object(entries) = &tree.shape else { return false };
        entries.iter().any(|e| self.schema.keys.contains(&dspy_base::fold::fold(&e.key)))
    }

    fn attempt(
        &self,
        unit: &mut Unit<'_>,
        start: usize,
        end: usize,
        coercion: &mut Coercion<'_>,
    ) -> Result<Found, Vec<Problem>> {
        let root = self.schema.root;
        let attempt = coercion.attempt(|c| {
            if unit.fenced {
                c.repair(R::Fence, &Path::root(), unit.outer);
            }
            if unit.outer.start > start {
                c.repair(R::Prose, &Path::root(), Span::new(start, unit.outer.start));
            }
            if unit.outer.end < end {
                c.repair(R::Prose, &Path::root(), Span::new(unit.outer.end, end));
            }
            unit.exact.take().or_else(|| c.read(root, &unit.tree, &Path::root()))
        })?;
        let interpreted =
            attempt.repairs.iter().filter(|r| !r.kind.is_notation()).map(|r| u64::from(r.cost)).sum();
        Ok(Found { attempt, interpreted, fenced: unit.fenced, at: unit.tree.span.start })
    }

    fn choose(&self, mut found: Vec<Found>, coercion: &mut Coercion<'_>) -> DecodeOutcome {
        // A fence is set apart on purpose: a value quoted in the prose before it is not the answer.
        if let Some(first_fence) = found.iter().filter(|f| f.fenced).map(|f| f.at).min() {
            found.retain(|f| f.fenced || f.at > first_fence);
        }
        coercion.alternatives += found.len() - 1;
        found.sort_by_key(|f| (f.interpreted, f.attempt.cost));
        let best = &found[0];
        let list = matches!(self.schema.node(self.schema.root).kind, NodeKind::List(_));
        let rival = found[1..].iter().find(|f| {
            (list || f.interpreted < best.interpreted + MARGIN)
                && !same(&f.attempt.value, &best.attempt.value)
        });
        if let Some(rival) = rival {
            let found = format!(
                "several answers: `{}` and `{}`",
                snippet(&best.attempt.value.to_string()),
                snippet(&rival.attempt.value.to_string())
            );
            return Err(problem(self.schema, ProblemKind::Ambiguous, found).into());
        }
        let best = found.swap_remove(0).attempt;
        let report = ParseReport { repairs: best.repairs, alternatives: coercion.alternatives };
        Ok(Decoded { value: best.value, report })
    }

    /// Returns the problems of the closest candidate if none fits.
    fn explain(&self, failure: Option<Vec<Problem>>) -> DecodeError {
        let problems = failure.filter(|p| !p.is_empty()).unwrap_or_else(|| {
            vec![problem(
                self.schema,
                ProblemKind::WrongType,
                format!("the text \"{}\"", snippet(self.text.trim())),
            )]
        });
        let mut error = DecodeError::new(problems);
        if error.is(ProblemKind::Truncated) {
            error.read = partial::decode(self.schema, self.text).value;
        }
        error
    }
}

/// Keeps the problems that best explain why nothing fits.
fn keep_telling(best: &mut Option<Vec<Problem>>, problems: Vec<Problem>) {
    let rank = |problems: &[Problem]| {
        let has = |kind| problems.iter().any(|p| p.kind == kind);
        let rank = match () {
            () if has(ProblemKind::Truncated) => 0,
            () if has(ProblemKind::Ambiguous) || has(ProblemKind::Constraint) => 1,
            () => 2,
        };
        (rank, problems.len())
    };
    if best.as_ref().is_none_or(|kept| rank(&problems) < rank(kept)) {
        *best = Some(problems);
    }
}

/// Returns whether a list or an object can be a value of the node.
fn takes_structure(schema: &Schema, id: NodeId, depth: usize) -> bool {
    match &schema.node(id).kind {
        NodeKind::List(_) | NodeKind::Object(_) | NodeKind::Any => true,
        NodeKind::Union(union) if depth > 0 => {
            union.options.iter().any(|&o| takes_structure(schema, o, depth - 1))
        }
        NodeKind::Choice(plan) => plan.items.iter().any(|i| i.value.is_array() || i.value.is_object()),
        _ => false,
    }
}

/// Returns whether any string can be a value of the node.
fn takes_text(schema: &Schema, id: NodeId, depth: usize) -> bool {
    match &schema.node(id).kind {
        NodeKind::Any => true,
        NodeKind::Text(plan) => plan.is_free(),
        NodeKind::Union(union) if depth > 0 => {
            union.options.iter().any(|&o| takes_text(schema, o, depth - 1))
        }
        _ => false,
    }
}

pub(super) fn problem(schema: &Schema, kind: ProblemKind, found: String) -> Problem {
    Problem { path: "$".into(), expected: schema.describe(schema.root), found, span: None, kind }
}

/// Returns the error for a value that satisfies the schema but not the Rust type.
pub(super) fn refused(schema: &schemars::Schema, text: &str, refusal: &serde_json::Error) -> DecodeError {
    let name = schema.get("title").and_then(Value::as_str).unwrap_or("the type");
    Problem {
        path: "$".into(),
        expected: format!("a valid {name}"),
        found: format!("a value that it refuses: {refusal}"),
        span: Some(0..text.len()),
        kind: ProblemKind::Refused,
    }
    .into()
}

pub(super) fn unusable(error: SchemaError) -> DecodeError {
    Problem {
        path: "$".into(),
        expected: "a usable schema".into(),
        found: error.to_string(),
        span: None,
        kind: ProblemKind::Refused,
    }
    .into()
}
