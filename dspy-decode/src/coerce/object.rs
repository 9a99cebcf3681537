//! Objects: keys are matched by name, spelling or alias; no value is filled in.

use serde_json::{Map, Value};

use super::super::block;
use super::super::error::{MISSING, ProblemKind};
use super::super::loose::Loose;
use super::super::path::Path;
use super::super::plan::{ByPattern, Extra, NodeId, NodeKind, ObjectPlan};
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, snippet};
use super::super::tree::{Entry, Flaw, Note, Shape, Span, Tree};
use super::lines::{Keys, lines, map_lines, shift_spans};
use super::{Coercion, unknown_keys, unknown_lines};
use dspy_base::fold::fold;

/// The result of matching a key.
pub(super) enum KeyMatch {
    Prop(usize, Option<R>),
    Extra(NodeId),
    /// Several members have this spelling.
    Unclear,
    No,
}

impl Coercion<'_> {
    pub(super) fn object(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        match &tree.shape {
            Shape::Object(entries) => {
                if let Some(inner) = Self::wrapped(plan, entries)
                    && !tree.cut
                {
                    self.repair(R::Unwrapped, path, tree.span);
                    return self.read(id, inner, path);
                }
                self.entries(id, plan, entries, tree, path)
            }
            Shape::List(items) if items.len() == 1 && !tree.cut => {
                self.repair(R::ListToLone, path, tree.span);
                self.read(id, &items[0], path)
            }
            _ if tree.cut => self.truncated(id, tree, path),
            Shape::Text { text, .. } => self.object_from_text(id, plan, text, tree, path),
            Shape::Number(_) | Shape::Bool(_) => self.implied(id, plan, tree, path),
            _ => self.wrong(id, tree, path),
        }
    }

    /// Returns the only member of an object whose key is unknown, if its value is an object.
    fn wrapped<'a, 't>(plan: &ObjectPlan, entries: &'a [Entry<'t>]) -> Option<&'a Tree<'t>> {
        let [only] = entries else { return None };
        let object = match &only.value.shape {
            Shape::Object(inner) => Some(inner),
            _ => None,
        }?;
        let unknown = matches!(known(plan, &only.key), KeyMatch::No);
        let fits = object.iter().any(|e| matches!(known(plan, &e.key), KeyMatch::Prop(..)));
        (unknown && fits).then_some(&only.value)
    }

    fn entries(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        entries: &[Entry<'_>],
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let mut map = Map::with_capacity(plan.props.len());
        let mut ok = true;
        let mut next = 0;
        // The entry of each member, to detect duplicates.
        let mut taken: Vec<Option<&Entry<'_>>> = vec![None; plan.props.len()];
        let mut previous: Option<&Entry<'_>> = None;
        let mut unknown: Vec<&Entry<'_>> = Vec::new();
        let by_line = tree.notes.as_slice().iter().any(|note| note.kind == R::MissingBraces);
        for entry in entries {
            let before = previous.replace(entry);
            // Models write keys in schema order, so the next member is tried first.
            let recognised = match plan.props.get(next) {
                Some(prop) if *prop.name == *entry.key => KeyMatch::Prop(next, None),
                _ => known(plan, &entry.key),
            };
            match recognised {
                KeyMatch::Prop(i, repair) => {
                    next = i + 1;
                    let prop = &plan.props[i];
                    let path = path.key(&prop.name);
                    if let Some(first) = taken[i] {
                        ok &= self.repeated(prop.node, first, entry, &path);
                        continue;
                    }
                    taken[i] = Some(entry);
                    if let Some(kind) = repair {
                        self.repair(kind, &path, entry.span);
                    }
                    let nothing = matches!(entry.value.shape, Shape::Null) && !entry.value.cut;
                    if nothing && !prop.required && !self.takes_null(prop.node) {
                        self.repair(R::NullDropped, &path, entry.span);
                        continue;
                    }
                    // A level inside an object of the text is not an implied level.
                    let implied = std::mem::take(&mut self.implied);
                    let value = self.read(prop.node, &entry.value, &path);
                    self.implied = implied;
                    match value {
                        Some(value) => {
                            map.insert(prop.name.clone(), value);
                        }
                        None => ok = false,
                    }
                }
                KeyMatch::Extra(node) => {
                    let path = path.key(&entry.key);
                    match self.read(node, &entry.value, &path) {
                        Some(value) if !self.fits_all(plan, &entry.key, &value) => {
                            let found = format!("`{}`", snippet(&value.to_string()));
                            self.problem(ProblemKind::Constraint, &path, node, found, entry.span);
                            ok = false;
                        }
                        Some(value) => {
                            let clash = map.get(&*entry.key).is_some_and(|old| *old != value);
                            if clash {
                                let found = format!("`{}` twice with different values", snippet(&entry.key));
                                self.report(
                                    ProblemKind::Ambiguous,
                                    &path,
                                    "each key once".into(),
                                    found,
                                    entry.span,
                                );
                                ok = false;
                            }
                            map.insert(entry.key.to_string(), value);
                        }
                        None => ok = false,
                    }
                }
                KeyMatch::Unclear => {
                    let found =
                        format!("the key `{}`, which could be one of several members", snippet(&entry.key));
                    self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
                    ok = false;
                }
                KeyMatch::No => {
                    let open = entry.value.flaw == Some(Flaw::UnclearEnd);
                    if open || self.swallows(entry, before) || by_line && self.goes_on(plan, entry, before) {
                        let found = format!("`{}`, which may be text or a key", snippet(&entry.key));
                        self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
                        ok = false;
                    }
                    unknown.push(entry);
                    self.repair(R::ExtraKey, &path.key(&entry.key), entry.span);
                }
            }
        }
        let foreign = unknown.len() == entries.len() && !entries.is_empty() && !plan.props.is_empty();
        let none_required = plan.required_props == 0 && plan.required.is_empty();
        if foreign && none_required && !tree.cut && matches!(plan.extra, Extra::Drop) {
            // An object that shares no key with the type is another object, even if no key is required.
            return self.wrong(id, tree, path);
        }
        ok &= self.none_misspelt(id, plan, &unknown, &taken, path);
        ok &= self.none_valueless(id, plan, entries, &taken, tree, path);
        ok &= self.none_inside(id, plan, &unknown, &taken, path);
        ok &= self.none_run_on(id, plan, entries, &taken, path);
        let open = tree.cut || tree.notes.as_slice().iter().any(|n| n.kind == R::MissingClose);
        if open && !Self::nothing_lost(plan, entries, &taken) {
            if self.problems.iter().all(|p| p.kind != ProblemKind::Truncated) || ok {
                self.truncated(id, tree, path);
            }
            return None;
        }
        if tree.cut {
            self.repair(R::MissingClose, path, Span::new(tree.span.end, tree.span.end));
        }
        ok &= self.complete(plan, &map, &taken, tree, path);
        if !ok {
            return None;
        }
        if plan.min.is_some_and(|min| map.len() < min) || plan.max.is_some_and(|max| map.len() > max) {
            let limit = match (plan.min, plan.max) {
                (Some(min), Some(max)) => format!("from {min} to {max} members"),
                (Some(min), None) => format!("at least {min} members"),
                (_, max) => format!("at most {} members", max.unwrap_or(0)),
            };
            self.report(ProblemKind::Constraint, path, limit, format!("{} members", map.len()), tree.span);
            return None;
        }
        Some(Value::Object(map))
    }

    fn complete(
        &mut self,
        plan: &ObjectPlan,
        map: &Map<String, Value>,
        taken: &[Option<&Entry<'_>>],
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> bool {
        let mut ok = true;
        for (prop, entry) in plan.props.iter().zip(taken) {
            if prop.required && entry.is_none() {
                let path = path.key(&prop.name);
                self.problem(ProblemKind::Missing, &path, prop.node, MISSING.into(), tree.span);
                ok = false;
            }
        }
        for name in &plan.required {
            if !map.contains_key(name) {
                let found = MISSING.to_owned();
                self.report(ProblemKind::Missing, &path.key(name), "a value".into(), found, tree.span);
                ok = false;
            }
        }
        ok
    }

    /// Returns whether the value satisfies the schema of every pattern that the key matches.
    fn fits_all(&self, plan: &ObjectPlan, key: &str, value: &Value) -> bool {
        let asked = plan.patterns.iter().filter(|(pattern, _)| pattern.is_match(key));
        plan.patterns.len() < 2 || asked.into_iter().all(|(_, node)| self.schema.is_valid(*node, value))
    }

    /// Returns whether a truncated object cannot have lost anything: every possible member is present and
    /// finished.
    fn nothing_lost(plan: &ObjectPlan, entries: &[Entry<'_>], taken: &[Option<&Entry<'_>>]) -> bool {
        matches!(plan.extra, Extra::Drop)
            && plan.patterns.is_empty()
            && !taken.is_empty()
            && taken.iter().all(Option::is_some)
            && entries.iter().all(|e| !e.value.cut)
            // Digits may be missing as well.
            && entries.last().is_some_and(|e| match &e.value.shape {
                // A bracket at the end of a string may be the one that is missing after it.
                Shape::Text { quoted, .. } => *quoted && !ends_in_bracket(&e.value),
                Shape::List(_) | Shape::Object(_) => !ends_in_bracket(&e.value),
                _ => false,
            })
    }

    /// Returns whether an unknown bare key may be the middle of the unquoted text before it: `{title: Hello,
    /// world: again}`.
    fn swallows(&self, entry: &Entry<'_>, before: Option<&Entry<'_>>) -> bool {
        let Some(before) = before else { return false };
        let text_before = matches!(before.value.shape, Shape::Text { quoted: false, .. });
        let source = self.source.filter(|_| self.anchor.is_none());
        let broke = source
            .and_then(|s| s.get(before.value.span.end..entry.span.start))
            .is_some_and(|between| between.contains('\n'));
        !entry.quoted && text_before && !broke
    }

    /// Returns whether a line with an unknown key may continue the text of the line before it.
    fn goes_on(&self, plan: &ObjectPlan, entry: &Entry<'_>, before: Option<&Entry<'_>>) -> bool {
        let Some(before) = before.filter(|_| !entry.quoted) else { return false };
        let text =
            matches!(known(plan, &before.key), KeyMatch::Prop(i, _) if self.takes_text(plan.props[i].node));
        match &before.value.shape {
            Shape::Text { text: words, quoted: false } if text => {
                unknown_lines::is_remark(&entry.key)
                    || !words.contains('\n') && unknown_lines::may_go_on(words)
            }
            _ => false,
        }
    }

    /// Checks a duplicate key, which is accepted only if its value is the same.
    fn repeated(&mut self, node: NodeId, first: &Entry<'_>, second: &Entry<'_>, path: &Path<'_>) -> bool {
        let a = self.attempt(|this| this.read(node, &first.value, path)).map(|a| a.value);
        let b = self.attempt(|this| this.read(node, &second.value, path)).map(|a| a.value);
        match (a, b) {
            (Ok(a), Ok(b)) if super::super::plan::same(&a, &b) => {
                self.repair(R::ExtraKey, path, second.span);
                true
            }
            _ => {
                let found = "the key twice with different values".to_owned();
                self.problem(ProblemKind::Ambiguous, path, node, found, second.span);
                false
            }
        }
    }

    fn takes_null(&self, node: NodeId) -> bool {
        match &self.schema.node(node).kind {
            NodeKind::Any | NodeKind::Null => true,
            NodeKind::Choice(plan) => plan.has(&Value::Null),
            NodeKind::Union(union) => union.null || union.options.iter().any(|&o| self.takes_null(o)),
            _ => false,
        }
    }

    /// Reads a single scalar as an object that requires exactly one member.
    fn implied(&mut self, id: NodeId, plan: &ObjectPlan, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        let mut required = plan.props.iter().filter(|p| p.required);
        let (Some(prop), None) = (required.next(), required.next()) else {
            return self.wrong(id, tree, path);
        };
        // Another member might have been meant; a fixed member (a tag) contains no information about the
        // value.
        let fixed = matches!(&self.schema.node(prop.node).kind, NodeKind::Choice(c) if c.items.len() == 1);
        if self.implied >= super::MAX_IMPLIED
            || plan.props.len() > 1
            || fixed
            || !plan.required.is_empty()
            || !matches!(plan.extra, Extra::Drop)
        {
            return self.wrong(id, tree, path);
        }
        // The name of the member is not its value.
        if let Shape::Text { text, .. } = &tree.shape
            && is_name_alone(text, &prop.name)
        {
            let found = "only its name".to_owned();
            self.problem(ProblemKind::Missing, &path.key(&prop.name), prop.node, found, tree.span);
            return None;
        }
        let attempt = self.attempt(|this| {
            this.repair(R::ImpliedKey, path, tree.span);
            this.imply(|this| this.read(prop.node, tree, &path.key(&prop.name)))
        });
        match attempt {
            Ok(attempt) => {
                let mut map = Map::new();
                let value = self.commit(attempt);
                map.insert(prop.name.clone(), value);
                Some(Value::Object(map))
            }
            Err(_) => self.wrong(id, tree, path),
        }
    }

    fn object_from_text(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        text: &str,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let trimmed = text.trim_start();
        if trimmed.starts_with(['{', '[']) {
            self.repair(R::EmbeddedJson, path, tree.span);
            return self.embedded(id, text, tree.span, path);
        }
        let members = self.members(plan, text, tree).or_else(|| self.called(plan, text, tree));
        if let Some(members) = members {
            let offset = self.anchor;
            // Offsets inside a quoted string do not map to the reply one to one.
            if matches!(tree.shape, Shape::Text { quoted: true, .. }) {
                self.anchor = Some(offset.unwrap_or(tree.span));
            }
            // Members inside a string of a member: limited by the nesting of the text itself.
            if self.embedded >= super::MAX_EMBEDDED {
                self.problem(
                    ProblemKind::TooDeep,
                    path,
                    id,
                    "members in members in members".into(),
                    tree.span,
                );
                return None;
            }
            self.embedded += 1;
            let value = self.read(id, &members, path);
            self.embedded -= 1;
            self.anchor = offset;
            return value;
        }
        let prose = text.trim().contains(['\n', '{', '[']) || text.trim().is_empty();
        if prose {
            return self.wrong(id, tree, path);
        }
        self.implied(id, plan, tree, path)
    }

    /// Reads a member written as a call: `Say("hi")`.
    fn called<'t>(&self, plan: &ObjectPlan, text: &'t str, tree: &Tree<'_>) -> Option<Tree<'t>> {
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        let (name, rest) = text[start..end.max(start)].split_once('(')?;
        let inside = rest.strip_suffix(')').filter(|inside| !inside.trim().is_empty())?;
        if plan.props.len() != 1 || !matches!(known(plan, name), KeyMatch::Prop(..)) {
            return None;
        }
        let from = inside.as_ptr() as usize - text.as_ptr() as usize;
        let mut scanner = Loose::new(text, &self.schema.keys, from, from + inside.len());
        scanner.closed_end = true;
        scanner.pos = scanner.skip_blank(from);
        let value = scanner.structure();
        if value.flaw.is_some() || value.cut || scanner.skip_blank(scanner.pos) < scanner.end {
            return None;
        }
        let span = Span::new(start, start + name.len());
        let entry = Entry { key: name.into(), quoted: false, span, value };
        let mut found = Tree::new(Shape::Object(vec![entry]), Span::new(start, end));
        found.notes.push(Note { kind: R::ForeignSyntax, span: found.span });
        if matches!(tree.shape, Shape::Text { quoted: false, .. }) {
            shift_spans(&mut found, tree.span.start);
        }
        Some(found)
    }

    /// Reads an object without braces: `"a": 1, "b": 2`, or one `key: value` per line.
    fn members<'t>(&self, plan: &ObjectPlan, text: &'t str, tree: &Tree<'_>) -> Option<Tree<'t>> {
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        let shift = |mut found: Tree<'t>| {
            if matches!(tree.shape, Shape::Text { quoted: false, .. }) {
                shift_spans(&mut found, tree.span.start);
            }
            found
        };
        let is_known = |key: &str| matches!(known(plan, key), KeyMatch::Prop(..));
        let is_extra =
            |key: &str| unknown_keys::is_name(key) && matches!(known(plan, key), KeyMatch::Extra(_));
        // If members may have any name, every `name: value` is a member if all lines have that form.
        let all_members = text.lines().filter(|l| !l.trim().is_empty()).all(|line| {
            unknown_keys::of_line(line)
                .is_some_and(|(key, value)| !value.is_empty() && (is_known(key) || is_extra(key)))
        });
        let is_member = |key: &str| is_known(key) || all_members && is_extra(key);
        let is_near = |key: &str| !is_known(key) && (is_extra(key) || unknown_keys::is_near(plan, key));
        let by_block = text.lines().any(block::opens);
        // In text with block scalars, which only YAML has, a line's content in brackets or quotes is a value.
        let flow = |span: Span| {
            if !by_block {
                return None;
            }
            let mut scanner = Loose::new(text, &self.schema.keys, span.start, span.end);
            scanner.closed_end = true;
            scanner.pos = span.start;
            let value = scanner.structure();
            let whole = scanner.skip_blank(scanner.pos) >= span.end;
            (whole && value.flaw.is_none() && !value.cut).then_some(value)
        };
        let is_foreign = |key: &str| matches!(known(plan, key), KeyMatch::No);
        // After a number or a choice, a paragraph can only be a closing remark; a string may continue.
        let goes_on = |key: &str| match known(plan, key) {
            KeyMatch::Prop(i, _) => self.takes_text(plan.props[i].node),
            _ => true,
        };
        // The indentation of the first line, including a bullet before it.
        let bullet = |c: char| c.is_whitespace() || c.is_ascii_digit() || "-*•+.)".contains(c);
        let lead = match (self.source, self.anchor, &tree.shape) {
            (Some(source), None, Shape::Text { quoted: false, .. }) => source
                .get(..tree.span.start + start)
                .and_then(|before| before.rsplit('\n').next())
                .filter(|line| line.chars().all(bullet))
                .map(|line| line.chars().count() - text[..start].rsplit('\n').next().map_or(0, str::len)),
            _ => None,
        };
        let known_keys = Keys {
            is_member: &is_member,
            is_near: &is_near,
            is_foreign: &is_foreign,
            goes_on: &goes_on,
            flow: &flow,
        };
        let by_line = lines(text, &known_keys, lead);
        if by_line.is_none() && has_nested_lines(text) {
            return None;
        }
        let several =
            |entries: &[Entry<'_>]| entries.iter().filter(|entry| is_member(&entry.key)).nth(1).is_some();
        if let Some(tree) = by_line
            .filter(|t| matches!(&t.shape, Shape::Object(e) if several(e) || !text.trim().contains(',')))
        {
            return Some(shift(tree));
        }
        if plan.props.is_empty() && plan.patterns.is_empty() {
            return map_lines(text).map(shift);
        }
        let first = text[start..end].split([':', '=']).next().unwrap_or("");
        if first.len() == end - start || !is_known(first.trim().trim_matches(['"', '\'', '`', '*'])) {
            return None;
        }
        let mut scanner = Loose::new(text, &self.schema.keys, start, end);
        scanner.closed_end = true;
        let found = scanner.members();
        (found.flaw.is_none() && !found.cut && scanner.pos >= end).then(|| shift(found))
    }
}

/// Returns whether the text is the name of a member without a value: `Say`, `Say(…)`.
fn is_name_alone(text: &str, name: &str) -> bool {
    let text = bare_answer(text);
    let head = text.split_once('(').filter(|(_, rest)| rest.ends_with(')')).map_or(text, |(head, _)| head);
    let spelt = fold(head);
    !spelt.is_empty() && spelt == fold(name)
}

pub(super) fn known(plan: &ObjectPlan, key: &str) -> KeyMatch {
    if let Some(&i) = plan.exact.get(key) {
        return KeyMatch::Prop(i, None);
    }
    match plan.by_pattern(key) {
        ByPattern::Node(node) => return KeyMatch::Extra(node),
        ByPattern::Unclear => return KeyMatch::Unclear,
        ByPattern::Nothing => {}
    }
    // In a map every key is data: only a closed object has keys that can be misspelled.
    if let Extra::Node(node) = plan.extra
        && plan.props.is_empty()
    {
        return KeyMatch::Extra(node);
    }
    // Punctuation may differ, but brackets and quotes are not part of a name.
    if key.contains(['{', '}', '[', ']', '"', ':', ',']) {
        return if let Extra::Node(node) = plan.extra { KeyMatch::Extra(node) } else { KeyMatch::No };
    }
    let folded = fold(key);
    match plan.folded.get(&folded).or_else(|| plan.aliases.get(&folded)) {
        Some(Some(i)) if !folded.is_empty() => {
            let spelling = plan.folded.contains_key(&folded);
            return KeyMatch::Prop(*i, Some(if spelling { R::KeySpelling } else { R::KeyAlias }));
        }
        Some(None) => return KeyMatch::Unclear,
        _ => {}
    }
    match plan.extra {
        Extra::Node(node) => KeyMatch::Extra(node),
        Extra::Drop => KeyMatch::No,
    }
}

/// Returns whether a value ends in a string with a closing bracket at its end, or in empty brackets.
fn ends_in_bracket(tree: &Tree<'_>) -> bool {
    match &tree.shape {
        Shape::Text { text, quoted: true } => text.trim_end().ends_with(['}', ']']),
        Shape::List(items) => items.last().is_none_or(ends_in_bracket),
        Shape::Object(entries) => entries.last().is_none_or(|e| ends_in_bracket(&e.value)),
        _ => false,
    }
}

/// Returns whether a line ends in a colon and is followed by indented lines: nested members, which only
/// braces delimit.
fn has_nested_lines(text: &str) -> bool {
    let lead = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.windows(2).any(|pair| {
        pair[0].trim_end().ends_with(':') && lead(pair[1]) > lead(pair[0]) && pair[1].contains(": ")
    })
}
