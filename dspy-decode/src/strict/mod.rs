//! The fast path: exact JSON that satisfies the schema unchanged, built and checked in one pass.
//!
//! Any doubt (a duplicate key, a key to drop, a violated limit) ends it, and the lenient reader takes over.

mod token;

use serde_json::{Map, Value};

use super::MAX_DEPTH;
use super::plan::{ByPattern, Extra, ListPlan, NodeId, NodeKind, ObjectPlan, Schema, UnionPlan};
use super::tree::keeps_digits;
use token::Cursor;

/// Returns the value of text that is exact JSON of the schema.
pub(super) fn read(schema: &Schema, text: &str) -> Option<Value> {
    let mut reader = Reader { schema, cursor: Cursor::new(text, 0), depth: 0 };
    let value = reader.node(schema.root)?;
    reader.cursor.next_token().is_none().then_some(value)
}

/// Returns the value that starts at `at`, if it is exact, and the place where reading ended.
pub(super) fn read_at(schema: &Schema, text: &str, at: usize) -> (Option<Value>, usize) {
    let mut reader = Reader { schema, cursor: Cursor::new(text, at), depth: 0 };
    let value = reader.node(schema.root);
    (value, reader.cursor.at)
}

struct Reader<'s> {
    schema: &'s Schema,
    cursor: Cursor<'s>,
    depth: usize,
}

impl<'s> Reader<'s> {
    fn node(&mut self, id: NodeId) -> Option<Value> {
        let schema = self.schema;
        let node = schema.node(id);
        // One level of nesting uses few and small stack frames, because text may be nested deeply and stacks
        // are small.
        let value = match &node.kind {
            NodeKind::List(plan) => self.list(plan),
            NodeKind::Object(plan) => self.object(plan),
            NodeKind::Union(plan) => self.union(id, plan),
            _ => self.leaf(id),
        }?;
        if !node.checks.is_empty() && schema.failed_check(id, &value).is_some() {
            return None;
        }
        Some(value)
    }

    fn leaf(&mut self, id: NodeId) -> Option<Value> {
        match (&self.schema.node(id).kind, self.cursor.next_token()?) {
            (NodeKind::Text(plan), b'"') => {
                let text = self.cursor.string()?;
                plan.accepts(&text).then(|| Value::String(text.into_owned()))
            }
            (NodeKind::Choice(plan), b'"') => {
                let text = self.cursor.string()?;
                plan.has_text(&text).then(|| Value::String(text.into_owned()))
            }
            (NodeKind::Number(plan), b'-' | b'0'..=b'9') => {
                let (number, _) = self.cursor.number()?;
                let fits = plan.is_free() || plan.violation(&number).is_none();
                (fits && !(plan.integer && number.is_f64())).then_some(Value::Number(number))
            }
            (NodeKind::Bool, b't' | b'f') | (NodeKind::Null, b'n') => self.literal(),
            (NodeKind::Any, _) => self.any(),
            (NodeKind::Choice(_), _) => self.checked(id),
            _ => None,
        }
    }

    fn union(&mut self, id: NodeId, plan: &UnionPlan) -> Option<Value> {
        let first = self.cursor.next_token()?;
        if first == b'n' && plan.null {
            return self.literal();
        }
        let branch = match plan.options[..] {
            [only] => Some(only),
            _ if first == b'{' => self.tagged(plan),
            _ => None,
        };
        match branch {
            Some(branch) => self.node(branch),
            None => self.checked(id),
        }
    }

    /// Reads any value that the node accepts.
    fn checked(&mut self, id: NodeId) -> Option<Value> {
        let at = self.cursor.at;
        let value = self.any()?;
        if value.is_number() && !keeps_digits(self.cursor.between(at).trim()) {
            return None;
        }
        self.schema.is_valid(id, &value).then_some(value)
    }

    /// Returns the branch of a union that the first member of an object names.
    fn tagged(&self, plan: &UnionPlan) -> Option<NodeId> {
        let tag = plan.tag.as_ref()?;
        let mut ahead = self.cursor;
        ahead.at += 1;
        if ahead.next_token()? != b'"' || !ahead.plain_key(&tag.key) || ahead.next_token()? != b'"' {
            return None;
        }
        tag.branches.get(&*ahead.string()?).copied()
    }

    /// Reads any value.
    fn any(&mut self) -> Option<Value> {
        match self.cursor.next_token()? {
            b'[' => self.any_list(),
            b'{' => self.any_object(),
            first => self.any_leaf(first),
        }
    }

    fn any_leaf(&mut self, first: u8) -> Option<Value> {
        match first {
            b'"' => Some(Value::String(self.cursor.string()?.into_owned())),
            b'-' | b'0'..=b'9' => {
                let (number, lost) = self.cursor.number()?;
                (!lost).then_some(Value::Number(number))
            }
            _ => self.literal(),
        }
    }

    fn any_list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        let mut more = self.enter(b'[', b']')?;
        while more {
            items.push(self.any()?);
            more = self.goes_on(b']')?;
        }
        Some(Value::Array(items))
    }

    fn any_object(&mut self) -> Option<Value> {
        let mut map = Map::new();
        let mut more = self.enter(b'{', b'}')?;
        while more {
            let key = self.key()?;
            let value = self.any()?;
            if map.insert(key, value).is_some() {
                return None;
            }
            more = self.goes_on(b'}')?;
        }
        Some(Value::Object(map))
    }

    fn literal(&mut self) -> Option<Value> {
        let (word, value) = match self.cursor.next_token()? {
            b't' => ("true", Value::Bool(true)),
            b'f' => ("false", Value::Bool(false)),
            b'n' => ("null", Value::Null),
            _ => return None,
        };
        self.cursor.word(word)?;
        Some(value)
    }

    /// Opens a bracket, and returns whether it has content.
    fn enter(&mut self, open: u8, close: u8) -> Option<bool> {
        if self.cursor.next_token()? != open || self.depth == MAX_DEPTH {
            return None;
        }
        self.cursor.at += 1;
        if self.cursor.takes(close) {
            return Some(false);
        }
        self.depth += 1;
        Some(true)
    }

    /// Reads the comma before another item, or the closing bracket.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        let next = self.cursor.next_token()?;
        self.cursor.at += 1;
        if next == close {
            self.depth -= 1;
            return Some(false);
        }
        (next == b',').then_some(true)
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Option<String> {
        if self.cursor.next_token()? != b'"' {
            return None;
        }
        let key = self.cursor.string()?;
        self.cursor.takes(b':').then(|| key.into_owned())
    }

    fn list(&mut self, plan: &ListPlan) -> Option<Value> {
        let mut items = Vec::new();
        let mut more = self.enter(b'[', b']')?;
        while more {
            items.push(self.node(plan.item(items.len())?)?);
            more = self.goes_on(b']')?;
        }
        let fits = plan.min.is_none_or(|min| items.len() >= min)
            && plan.max.is_none_or(|max| items.len() <= max)
            && (!plan.unique || super::plan::first_duplicate(&items).is_none());
        fits.then_some(Value::Array(items))
    }

    fn object(&mut self, plan: &'s ObjectPlan) -> Option<Value> {
        let mut members = Members::new(plan);
        let mut more = self.enter(b'{', b'}')?;
        while more {
            self.member(plan, &mut members)?;
            more = self.goes_on(b'}')?;
        }
        members.finish().map(Value::Object)
    }

    fn member(&mut self, plan: &'s ObjectPlan, members: &mut Members<'s>) -> Option<()> {
        self.cursor.next_token()?;
        // Models write keys in schema order, so the next member is tried first.
        if let Some((slot, node)) = members.expected()
            && self.cursor.plain_key(&plan.props[slot].name)
        {
            let value = self.node(node)?;
            return members.fill(slot, value);
        }
        let key = self.key()?;
        if let Some(&i) = plan.exact.get(&key) {
            let value = self.node(plan.props[i].node)?;
            return members.known(i, key, value);
        }
        let value = self.node(extra(plan, &key)?)?;
        members.insert(key, value)
    }
}

/// Returns the type of a key that is not a declared member.
fn extra(plan: &ObjectPlan, key: &str) -> Option<NodeId> {
    match (plan.by_pattern(key), plan.extra) {
        (ByPattern::Node(node), _) | (ByPattern::Nothing, Extra::Node(node)) => Some(node),
        _ => None,
    }
}

/// The members of an object that is being read. As long as they arrive in schema order, they are written to a
/// copy of a map with all keys, because copying a map is much cheaper than hashing its keys again.
struct Members<'s> {
    plan: &'s ObjectPlan,
    map: Map<String, Value>,
    /// The members that are present, as bits, while the map is a copy of the template.
    filled: Option<u64>,
    /// Index of the member after the last one.
    next: usize,
    required: usize,
}

impl<'s> Members<'s> {
    fn new(plan: &'s ObjectPlan) -> Self {
        let map = plan.template.clone().unwrap_or_default();
        Self { plan, map, filled: plan.template.as_ref().map(|_| 0), next: 0, required: 0 }
    }

    /// Returns the expected next member, if it has a slot in the template.
    fn expected(&self) -> Option<(usize, NodeId)> {
        self.filled?;
        self.plan.props.get(self.next).map(|prop| (self.next, prop.node))
    }

    /// Writes a member to its slot.
    fn fill(&mut self, slot: usize, value: Value) -> Option<()> {
        *self.map.values_mut().nth(slot)? = value;
        self.filled = self.filled.map(|filled| filled | 1 << slot);
        self.next = slot + 1;
        self.required += usize::from(self.plan.props[slot].required);
        Some(())
    }

    /// Adds a declared member at any position.
    fn known(&mut self, index: usize, key: String, value: Value) -> Option<()> {
        if self.filled.is_some() && index >= self.next {
            return self.fill(index, value);
        }
        self.required += usize::from(self.plan.props[index].required);
        self.insert(key, value)
    }

    /// Adds a member that is out of order; `None` if the key is already present.
    fn insert(&mut self, key: String, value: Value) -> Option<()> {
        self.thin_out();
        self.map.insert(key, value).is_none().then_some(())
    }

    /// Removes the slots of absent members.
    fn thin_out(&mut self) {
        let Some(filled) = self.filled.take() else { return };
        if filled.count_ones() as usize == self.map.len() {
            return;
        }
        let mut slot = 0;
        self.map.retain(|_, _| {
            slot += 1;
            filled >> (slot - 1) & 1 == 1
        });
    }

    fn finish(mut self) -> Option<Map<String, Value>> {
        self.thin_out();
        let Self { plan, map, required, .. } = self;
        let complete = required == plan.required_props
            && plan.required.iter().all(|key| map.contains_key(key))
            && plan.min.is_none_or(|min| map.len() >= min)
            && plan.max.is_none_or(|max| map.len() <= max);
        complete.then_some(map)
    }
}
