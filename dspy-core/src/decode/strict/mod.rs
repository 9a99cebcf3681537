//! The fast path: exact JSON that satisfies the schema as it stands, built and checked in one pass.
//!
//! Any doubt (a repeated key, a key to drop, a broken limit) ends it, and the forgiving reader takes over.

mod token;

use serde_json::{Map, Value};

use super::MAX_DEPTH;
use super::plan::{ByPattern, Extra, Kind, ListPlan, NodeId, ObjectPlan, Schema, UnionPlan};
use super::tree::keeps_digits;
use token::Cursor;

/// The value of a text that is exactly right.
pub(super) fn read(schema: &Schema, text: &str) -> Option<Value> {
    let mut reader = Reader { schema, cursor: Cursor::new(text, 0), depth: 0 };
    let value = reader.node(schema.root)?;
    reader.cursor.next_token().is_none().then_some(value)
}

/// The value that starts at `at`, if it is exactly right, and the place where the reading ended.
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
        let value = match (&node.kind, self.cursor.next_token()?) {
            (Kind::Text(plan), b'"') => {
                let text = self.cursor.string()?;
                plan.accepts(&text).then(|| Value::String(text.into_owned()))?
            }
            (Kind::Choice(plan), b'"') => {
                let text = self.cursor.string()?;
                plan.has_text(&text).then(|| Value::String(text.into_owned()))?
            }
            (Kind::Number(plan), b'-' | b'0'..=b'9') => {
                let (number, _) = self.cursor.number()?;
                let fits = plan.is_free() || plan.violation(&number).is_none();
                (fits && !(plan.integer && number.is_f64())).then_some(Value::Number(number))?
            }
            (Kind::Bool, b't' | b'f') | (Kind::Null, b'n') => self.literal()?,
            (Kind::List(plan), b'[') => self.nested(|this| this.list(plan))?,
            (Kind::Object(plan), b'{') => self.nested(|this| this.object(plan))?,
            (Kind::Union(plan), b'n') if plan.null => self.literal()?,
            (Kind::Union(plan), _) if plan.options.len() == 1 => self.node(plan.options[0])?,
            (Kind::Any, _) => self.any()?,
            (Kind::Union(plan), b'{') if let Some(branch) = self.tagged(plan) => self.node(branch)?,
            (Kind::Union(_) | Kind::Choice(_), _) => {
                let at = self.cursor.at;
                let value = self.any()?;
                let literal = || self.cursor.between(at).trim();
                if value.is_number() && !keeps_digits(literal()) {
                    return None;
                }
                return schema.is_valid(id, &value).then_some(value);
            }
            _ => return None,
        };
        if !node.checks.is_empty() && schema.failed_check(id, &value).is_some() {
            return None;
        }
        Some(value)
    }

    /// The branch of a union that an object names with its first member.
    fn tagged(&self, plan: &UnionPlan) -> Option<NodeId> {
        let tag = plan.tag.as_ref()?;
        let mut ahead = self.cursor;
        ahead.at += 1;
        if ahead.next_token()? != b'"' || !ahead.plain_key(&tag.key) || ahead.next_token()? != b'"' {
            return None;
        }
        tag.branches.get(&*ahead.string()?).copied()
    }

    /// Any value at all.
    fn any(&mut self) -> Option<Value> {
        Some(match self.cursor.next_token()? {
            b'"' => Value::String(self.cursor.string()?.into_owned()),
            b'[' => self.nested(|this| {
                let mut items = Vec::new();
                this.items(b']', |this| {
                    items.push(this.any()?);
                    Some(())
                })?;
                Some(Value::Array(items))
            })?,
            b'{' => self.nested(|this| {
                let mut map = Map::new();
                this.items(b'}', |this| {
                    let key = this.key()?;
                    let value = this.any()?;
                    map.insert(key, value).is_none().then_some(())
                })?;
                Some(Value::Object(map))
            })?,
            b'-' | b'0'..=b'9' => {
                let (number, lost) = self.cursor.number()?;
                (!lost).then_some(Value::Number(number))?
            }
            _ => self.literal()?,
        })
    }

    fn literal(&mut self) -> Option<Value> {
        let (word, value) = match self.cursor.peek()? {
            b't' => ("true", Value::Bool(true)),
            b'f' => ("false", Value::Bool(false)),
            b'n' => ("null", Value::Null),
            _ => return None,
        };
        self.cursor.word(word)?;
        Some(value)
    }

    /// Reads what stands in the brackets that open here.
    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        self.cursor.at += 1;
        let value = inside(self);
        self.depth -= 1;
        value
    }

    /// Reads items with commas between, up to the closing bracket.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.cursor.takes(close) {
            return Some(());
        }
        loop {
            item(self)?;
            match self.cursor.next_token()? {
                b',' => self.cursor.at += 1,
                other if other == close => {
                    self.cursor.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<String> {
        if self.cursor.next_token()? != b'"' {
            return None;
        }
        let key = self.cursor.string()?;
        self.cursor.takes(b':').then(|| key.into_owned())
    }

    fn list(&mut self, plan: &ListPlan) -> Option<Value> {
        let mut items = Vec::new();
        self.items(b']', |this| {
            items.push(this.node(plan.item(items.len())?)?);
            Some(())
        })?;
        let fits = plan.min.is_none_or(|min| items.len() >= min)
            && plan.max.is_none_or(|max| items.len() <= max)
            && (!plan.unique || super::plan::first_duplicate(&items).is_none());
        fits.then_some(Value::Array(items))
    }

    fn object(&mut self, plan: &'s ObjectPlan) -> Option<Value> {
        let mut members = Members::new(plan);
        self.items(b'}', |this| {
            this.cursor.next_token()?;
            // Models write keys in schema order, so the next member is the best guess.
            if let Some((slot, node)) = members.expected()
                && this.cursor.plain_key(&plan.props[slot].name)
            {
                return members.fill(slot, this.node(node)?);
            }
            let key = this.key()?;
            if let Some(&i) = plan.exact.get(&key) {
                let value = this.node(plan.props[i].node)?;
                return members.known(i, key, value);
            }
            let node = extra(plan, &key)?;
            let value = this.node(node)?;
            members.insert(key, value)
        })?;
        members.finish().map(Value::Object)
    }
}

/// What a key without a member of its own holds.
fn extra(plan: &ObjectPlan, key: &str) -> Option<NodeId> {
    match (plan.by_pattern(key), plan.extra) {
        (ByPattern::Node(node), _) | (ByPattern::Nothing, Extra::Node(node)) => Some(node),
        _ => None,
    }
}

/// The members of an object under way. As long as they come in the order of the schema they go into a copy of a map
/// that has all keys: to copy a map is much cheaper than to hash its keys again.
struct Members<'s> {
    plan: &'s ObjectPlan,
    map: Map<String, Value>,
    /// The members that are there, while the map is a copy of the template.
    filled: Option<u64>,
    /// The member behind the last one.
    next: usize,
    required: usize,
}

impl<'s> Members<'s> {
    fn new(plan: &'s ObjectPlan) -> Self {
        let map = plan.template.clone().unwrap_or_default();
        Self { plan, map, filled: plan.template.as_ref().map(|_| 0), next: 0, required: 0 }
    }

    /// The member that should come next, if it has its place already.
    fn expected(&self) -> Option<(usize, NodeId)> {
        self.filled?;
        self.plan.props.get(self.next).map(|prop| (self.next, prop.node))
    }

    /// Puts a member into its place.
    fn fill(&mut self, slot: usize, value: Value) -> Option<()> {
        *self.map.values_mut().nth(slot)? = value;
        self.filled = self.filled.map(|filled| filled | 1 << slot);
        self.next = slot + 1;
        self.required += usize::from(self.plan.props[slot].required);
        Some(())
    }

    /// A member of the schema, wherever it stands.
    fn known(&mut self, index: usize, key: String, value: Value) -> Option<()> {
        if self.filled.is_some() && index >= self.next {
            return self.fill(index, value);
        }
        self.required += usize::from(self.plan.props[index].required);
        self.insert(key, value)
    }

    /// A member out of order; `None` if the key was there already.
    fn insert(&mut self, key: String, value: Value) -> Option<()> {
        self.thin_out();
        self.map.insert(key, value).is_none().then_some(())
    }

    /// Takes out the places of members that did not come.
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
