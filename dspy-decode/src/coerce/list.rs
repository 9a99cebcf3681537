//! Lists: in brackets, bullets, lines or commas, or as a single value.

use serde_json::Value;

use super::super::error::ProblemKind;
use super::super::path::Path;
use super::super::plan::{ListPlan, NodeId, NodeKind, first_duplicate};
use super::super::report::RepairKind as R;
use super::super::text::{bare_answer, has_negation, snippet};
use super::super::tree::{Notes, Shape, Span, Tree};
use super::Coercion;
use super::checkboxes;
use super::list_items::{
    bullets, has_lone_quote, lists_inline, mixes_grouping, numbers, pieces, quoted_whole, without_and,
};

impl Coercion<'_> {
    pub(super) fn list(
        &mut self,
        id: NodeId,
        plan: &ListPlan,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        match &tree.shape {
            Shape::List(items) => {
                if tree.cut {
                    // Items may be missing, so the items that could be read are not the answer; the caller
                    // reports them separately.
                    return self.truncated(id, tree, path);
                }
                self.items(id, plan, items, tree, path)
            }
            Shape::Text { text, quoted } => {
                // Places inside a quoted string do not map to the reply one to one, so the span of the string
                // is used for all.
                let outer = self.anchor;
                if *quoted {
                    self.anchor = Some(outer.unwrap_or(tree.span));
                }
                let value = self.list_from_text(id, plan, text, tree, path);
                self.anchor = outer;
                value
            }
            Shape::Object(_) if tree.cut => self.truncated(id, tree, path),
            Shape::Object(entries) => {
                let mut attempts = Vec::new();
                if let [only] = entries.as_slice() {
                    let inner_list = matches!(only.value.shape, Shape::List(_));
                    if inner_list || self.is_wrapper_key(id, &only.key) {
                        attempts.extend(self.attempt(|this| {
                            this.repair(R::Unwrapped, path, tree.span);
                            this.read(id, &only.value, path)
                        }));
                    }
                }
                // An object is not a scalar, and its text was not meant as an item.
                if plan.items.is_some_and(|n| self.is_scalar(n)) {
                    return if attempts.is_empty() {
                        self.wrong(id, tree, path)
                    } else {
                        self.cheapest(id, attempts, tree, path)
                    };
                }
                let lone = self.attempt(|this| this.lone_item(id, plan, tree, path));
                match lone {
                    Ok(attempt) => attempts.push(attempt),
                    Err(problems) if attempts.is_empty() => {
                        self.problems.extend(problems);
                        return None;
                    }
                    Err(_) => {}
                }
                self.cheapest(id, attempts, tree, path)
            }
            Shape::Number(_) | Shape::Bool(_) => self.lone_item(id, plan, tree, path),
            _ => self.wrong(id, tree, path),
        }
    }

    fn items(
        &mut self,
        id: NodeId,
        plan: &ListPlan,
        items: &[Tree<'_>],
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let mut values = Vec::with_capacity(items.len());
        let mut ok = true;
        let mut rows = 0;
        for (i, item) in items.iter().enumerate() {
            let Some(node) = plan.item(i) else {
                let found = format!("{} items", items.len());
                self.problem(ProblemKind::Constraint, path, id, found, tree.span);
                return None;
            };
            // A list inside a list of strings: its brackets are doubled.
            if let (Shape::List(inner), NodeKind::Text(_), 1) =
                (&item.shape, &self.schema.node(node).kind, items.len())
                && !item.cut
                && !inner.is_empty()
            {
                self.repair(R::Unwrapped, path, item.span);
                return self.imply(|this| this.items(id, plan, inner, item, path));
            }
            // A list or an object among strings is not a string; a bracket is surplus.
            let structure = matches!(item.shape, Shape::List(_) | Shape::Object(_));
            if structure
                && !item.cut
                && matches!(self.schema.node(node).kind, NodeKind::Text(_))
                && items.len() > 1
            {
                self.wrong(node, item, &path.index(i));
                return None;
            }
            let mended = self.repairs.len();
            match self.read(node, item, &path.index(i)) {
                Some(value) => {
                    let of_lists = matches!(self.schema.node(node).kind, NodeKind::List(_));
                    rows += usize::from(
                        of_lists
                            && self.repairs.get(mended..).is_some_and(|new| {
                                new.iter()
                                    .any(|r| r.kind == R::LoneToList && r.path == path.index(i).shared())
                            }),
                    );
                    values.push(value);
                }
                None => ok = false,
            }
            // More than this number of wrong items need not be listed.
            if self.problems.len() > 100 {
                return None;
            }
        }
        if !ok {
            return None;
        }
        let count = values.len();
        // `[1, 2]` for a list of lists may be one row of two, or two rows of one.
        if rows > 1 {
            let found = format!("{rows} items where lists were asked for, which may be one list or {rows}");
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        if plan.min.is_some_and(|min| count < min) || plan.max.is_some_and(|max| count > max) {
            let limit = match (plan.min, plan.max) {
                (Some(min), Some(max)) if min == max => format!("exactly {min} items"),
                (Some(min), Some(max)) => format!("from {min} to {max} items"),
                (Some(min), None) => format!("at least {min} items"),
                (_, max) => format!("at most {} items", max.unwrap_or(0)),
            };
            self.report(ProblemKind::Constraint, path, limit, format!("{count} items"), tree.span);
            return None;
        }
        if plan.unique
            && let Some(i) = first_duplicate(&values)
        {
            let found = format!("`{}` twice", snippet(&values[i].to_string()));
            self.report(
                ProblemKind::Constraint,
                &path.index(i),
                "items that all differ".into(),
                found,
                tree.span,
            );
            return None;
        }
        Some(Value::Array(values))
    }

    fn lone_item(&mut self, id: NodeId, plan: &ListPlan, tree: &Tree<'_>, path: &Path<'_>) -> Option<Value> {
        self.repair(R::LoneToList, path, tree.span);
        let mut item = tree.clone();
        item.notes = Notes::None;
        // A tuple is a list of fixed length, so a single value is never one.
        if !plan.prefix.is_empty() || self.implied >= super::MAX_IMPLIED {
            return self.wrong(id, tree, path);
        }
        let mended = self.repairs.len();
        let value = self.imply(|this| this.items(id, plan, std::slice::from_ref(&item), tree, path))?;
        // "Both are true" for a list: the number of items in a sentence cannot be determined.
        if self.repairs.get(mended..).is_some_and(|new| new.iter().any(|r| r.cost >= R::Mention.cost())) {
            let found = format!("{}, a sentence that may speak of several items", Self::found(tree));
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        Some(value)
    }

    fn list_from_text(
        &mut self,
        id: NodeId,
        plan: &ListPlan,
        text: &str,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let trimmed = text.trim();
        let quoted = matches!(tree.shape, Shape::Text { quoted: true, .. });
        // "None." or "No items found." describes the list and is not an item.
        let first = super::super::text::words(trimmed).next().map_or("", |w| w.text);
        let says = |words: &[&str], word: &str| words.iter().any(|w| word.eq_ignore_ascii_case(w));
        let speaks = says(&["i", "i'm", "there", "sorry"], first) && has_negation(trimmed)
            || trimmed.to_lowercase().contains("sorry, i")
            || says(&["empty", "empty list", "(empty)", "an empty list"], bare_answer(trimmed));
        let denies = !quoted && says(&["no", "none", "nothing", "sorry", "unfortunately"], first);
        let nothing = bare_answer(trimmed);
        let says_none = nothing.eq_ignore_ascii_case("none") || nothing == "null";
        if !quoted && says_none && plan.min.is_none_or(|min| min == 0) {
            self.repair(R::NullWord, path, tree.span);
            return Some(Value::Array(Vec::new()));
        }
        // The announcement of a list is not the list.
        if super::union::is_null_word(trimmed)
            || (!quoted && trimmed.ends_with(':'))
            || (!quoted && speaks && !trimmed.contains('\n'))
            || (denies && !trimmed.contains('\n') && !trimmed.contains(','))
        {
            return self.wrong(id, tree, path);
        }
        // Strings separated by commas, without the brackets.
        let opens = trimmed.starts_with(['"', '\'', '“']);
        let several = opens
            && trimmed.ends_with(['"', '\'', '”', ','])
            && trimmed.contains(',')
            && !trimmed.contains('\n');
        if several {
            self.repair(R::CommaList, path, tree.span);
            return self.embedded(id, &format!("[{trimmed}]"), tree.span, path);
        }
        let structural = trimmed.starts_with('[') || (trimmed.starts_with('(') && trimmed.ends_with(')'));
        let of_objects = plan.items.is_some_and(|n| !self.is_scalar(n));
        if structural || (trimmed.starts_with('{') && of_objects) {
            let attempt = self.attempt(|this| {
                this.repair(R::EmbeddedJson, path, tree.span);
                this.embedded(id, text, tree.span, path)
            });
            return match attempt {
                Ok(attempt) => Some(self.commit(attempt)),
                Err(problems) => {
                    self.problems.extend(problems);
                    None
                }
            };
        }
        // A list of tasks, done or not, is a list of strings; of choices, only the checked ones are meant.
        let texts = plan.items.is_none_or(|node| self.takes_text(node));
        if !texts && checkboxes::leaves_boxes(text) {
            let found = "a list in which not every box is ticked".to_owned();
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        let base = tree.span.start;
        // Indentation distinguishes items from sub-items, so the white space before the first item is kept.
        if let Some(parts) = bullets(text.trim_end()) {
            let Ok(parts) = parts else {
                let found = "a list whose items cannot be told apart".to_owned();
                self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
                return None;
            };
            self.repair(R::Bullets, path, tree.span);
            return self.parts(id, plan, &parts, base, tree, path);
        }
        self.split_text(id, plan, trimmed, base + (text.len() - text.trim_start().len()), tree, path)
    }

    /// Reads pieces of text, each as an item.
    fn parts(
        &mut self,
        id: NodeId,
        plan: &ListPlan,
        parts: &[(usize, &str)],
        base: usize,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let texts = plan.items.is_some_and(|node| self.takes_text(node));
        if let Some((_, part)) = parts.iter().find(|(_, part)| texts && has_lone_quote(part)) {
            let found = format!("`{}`, in which a quotation mark has no partner", snippet(part));
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        let items: Vec<Tree<'_>> = parts
            .iter()
            .map(|(at, part)| {
                let span = Span::new(base + at, base + at + part.len());
                match quoted_whole(part) {
                    Some(inner) => Tree::text(inner, true, span),
                    None => Tree::text(*part, false, span),
                }
            })
            .collect();
        self.items(id, plan, &items, tree, path)
    }

    fn split_text(
        &mut self,
        id: NodeId,
        plan: &ListPlan,
        text: &str,
        base: usize,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let strings = plan.prefix.is_empty() && plan.items.is_some_and(|n| self.takes_text(n));
        let lines: Vec<(usize, &str)> = pieces(text, &['\n']);
        // In text with semicolons a comma is not a separator: "1,5; 2,5".
        let marks: &[char] = if text.contains(';') { &[';'] } else { &[','] };
        let by_comma = without_and(pieces(text, marks));
        // "1, 2 and 3": words between numbers that have no other reading.
        let by_word = if strings || lines.len() > 1 { None } else { numbers(text) };
        let separated = if lines.len() > 1 { &lines } else { by_word.as_ref().unwrap_or(&by_comma) };
        let ambiguous = |this: &mut Self| {
            let found = format!("{}, which may be one item or several", Self::found(tree));
            this.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            None
        };
        let bare = matches!(tree.shape, Shape::Text { quoted: false, .. });
        let several_lines = lines.len() > 1;
        let lone_quote = if several_lines {
            lines.iter().any(|(_, line)| has_lone_quote(line))
        } else {
            bare && has_lone_quote(text)
        };
        if several_lines && lines.iter().all(|(_, line)| line.starts_with("> ")) {
            return ambiguous(self);
        }
        if strings && lone_quote {
            let found = format!("{}, in which a quotation mark has no partner", Self::found(tree));
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        if separated.len() < 2 {
            let joined = text.contains(" and ")
                || text.contains(" / ")
                || text.contains(" & ")
                || text.contains(" • ");
            if bare && strings && (lists_inline(text) || text.starts_with('<') && text.ends_with('>')) {
                return ambiguous(self);
            }
            if bare && strings && joined && text.split_whitespace().count() <= 5 {
                return ambiguous(self);
            }
            return self.lone_item(id, plan, tree, path);
        }
        let texts_in_texts = strings && text.contains(';') && text.contains(',');
        if mixes_grouping(text) || texts_in_texts {
            return ambiguous(self);
        }
        let all_quoted = separated.iter().all(|(_, p)| quoted_whole(p).is_some());
        if strings && !all_quoted {
            // Prose contains commas as well.
            let sentence = text.ends_with(['.', '!', '?']);
            let short = separated
                .iter()
                .all(|(_, p)| p.split_whitespace().count() <= if lines.len() > 1 { 8 } else { 3 });
            let clean = separated
                .iter()
                .all(|(_, p)| !p.is_empty() && !p.contains(['.', ':', '!', '?', '(', ')', '|']));
            let plain_words = separated.iter().all(|(_, p)| p.chars().all(|c| c.is_lowercase() || c == '-'));
            let joined = separated.iter().any(|(_, p)| {
                p.starts_with("and ") || p.starts_with("or ") || p.contains(" and ") || p.contains(" or ")
            });
            if sentence && lines.len() == 1 && !(separated.len() > 2 && short) {
                return self.lone_item(id, plan, tree, path);
            }
            if !short || !clean || joined || (separated.len() == 2 && lines.len() == 1 && !plain_words) {
                return ambiguous(self);
            }
        }
        let kind = if lines.len() > 1 { R::Bullets } else { R::CommaList };
        let several = self.attempt(|this| {
            this.repair(kind, path, tree.span);
            this.parts(id, plan, separated, base, tree, path)
        });
        // Items that could only be read as sentences are prose, not a list.
        let several = several.map(|attempt| {
            let prose = attempt.repairs.iter().any(|r| r.cost >= R::Mention.cost());
            let rows = attempt.value.as_array().map_or(&[][..], Vec::as_slice);
            let torn = plan
                .items
                .is_some_and(|node| rows.windows(2).any(|pair| self.may_be_one(node, &pair[0], &pair[1])));
            if prose || torn { None } else { Some(attempt) }
        });
        match several {
            Ok(Some(several)) => {
                if !strings {
                    let lone = self.attempt(|this| this.lone_item(id, plan, tree, path));
                    if let Ok(lone) = lone {
                        if lone.value != several.value && lone.cost <= several.cost + 2 {
                            return ambiguous(self);
                        }
                        self.alternatives += 1;
                    }
                }
                Some(self.commit(several))
            }
            Ok(None) => ambiguous(self),
            Err(problems) => {
                let lone = self.attempt(|this| this.lone_item(id, plan, tree, path));
                match lone {
                    // "1,234" for a list of numbers may be one number with grouping, or two.
                    Ok(lone) if lone.cost <= 12 => Some(self.commit(lone)),
                    _ => {
                        self.problems.extend(problems);
                        None
                    }
                }
            }
        }
    }

    /// Returns whether two items may be parts of one object: they share no key, and one object could hold all
    /// members.
    fn may_be_one(&self, node: NodeId, first: &Value, second: &Value) -> bool {
        let (Value::Object(a), Value::Object(b)) = (first, second) else { return false };
        match &self.schema.node(node).kind {
            NodeKind::Object(plan) => {
                a.keys().all(|key| plan.exact.contains_key(key) && !b.contains_key(key))
                    && b.keys().all(|key| plan.exact.contains_key(key))
            }
            NodeKind::Union(union) => union.options.iter().any(|&o| self.may_be_one(o, first, second)),
            _ => false,
        }
    }

    pub(super) fn takes_text(&self, node: NodeId) -> bool {
        match &self.schema.node(node).kind {
            NodeKind::Text(_) | NodeKind::Any => true,
            NodeKind::Union(u) => u.options.iter().any(|&o| self.takes_text(o)),
            _ => false,
        }
    }

    fn is_scalar(&self, node: NodeId) -> bool {
        match &self.schema.node(node).kind {
            NodeKind::List(_) | NodeKind::Object(_) | NodeKind::Any => false,
            NodeKind::Union(u) => u.options.iter().all(|&o| self.is_scalar(o)),
            _ => true,
        }
    }
}
