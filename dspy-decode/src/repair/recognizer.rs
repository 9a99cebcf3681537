//! A recognizer of JSON that satisfies a schema, with a state that is small enough to be stored for every
//! place of the text.
//!
//! It accepts slightly more than [`strict`](super::super::strict) (no limits, no formats), and detects as
//! early as possible that text is invalid: an unknown key, a bracket in place of a number, an object that
//! closes without a required member. Frames are interned, so equal situations have equal states.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::MAX_DEPTH;
use super::super::plan::{Extra, NodeId, NodeKind, Schema};
use super::input::{Input, Patch, next_quote};

/// The maximum length of a key, in bytes; longer strings are not keys.
const MAX_KEY: usize = 512;

/// The representation of null among the nodes of a set.
const NULL: NodeId = usize::MAX;

/// A set of nodes that a value may satisfy; an index into [`Machine::sets`].
pub(super) type SetId = u32;
/// An open bracket with its content so far; an index into [`Machine::frames`].
pub(super) type FrameId = u32;

pub(super) const ROOT: FrameId = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// A value is required.
    Value,
    /// An item or the end of the list.
    First,
    /// A key or the end of the object.
    FirstKey,
    Key,
    Colon,
    /// A comma or a closing bracket.
    After,
    /// Inside a string; `from` is the place after its quotation mark.
    Text,
    KeyText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) mode: Mode,
    pub(super) frame: FrameId,
    /// For `Value` and `First`: the possible values. For `Colon`: the values after the colon.
    pub(super) set: SetId,
    pub(super) from: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub(super) parent: FrameId,
    pub(super) set: SetId,
    pub(super) list: bool,
    pub(super) depth: u16,
    /// Number of items so far, up to the largest relevant number.
    index: u16,
    /// Members so far, by their bit in the set's table.
    pub(super) seen: u128,
}

/// The nodes of a set, and the members that they declare.
#[derive(Debug)]
struct Set<'s> {
    nodes: Vec<NodeId>,
    members: Option<Rc<Members<'s>>>,
}

#[derive(Debug, Clone)]
struct Members<'s> {
    /// Bit and value of each known key.
    known: HashMap<&'s str, (Option<u8>, SetId)>,
    /// Required members of each alternative.
    required: Vec<u128>,
    /// All members of each alternative.
    all: Vec<u128>,
    /// The value of other keys.
    extra: Option<SetId>,
}

/// The reason why reading stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// The whole text is a value.
    Whole,
    /// The text cannot be continued to a value; with the place of the failure.
    Dead(usize),
    /// The text ends inside the value.
    End,
    /// A quotation mark inside a string, if [`Machine::asks`] is set.
    Mark(usize, State),
}

#[derive(Debug)]
pub(super) struct Machine<'s> {
    schema: &'s Schema,
    sets: Vec<Set<'s>>,
    set_ids: HashMap<Vec<NodeId>, SetId>,
    items: HashMap<(SetId, usize), SetId>,
    pub(super) frames: Vec<Frame>,
    frame_ids: HashMap<Frame, FrameId>,
    /// Number of bytes that may still be read.
    pub(super) fuel: usize,
    /// Whether to stop at each quotation mark in a string, which may be part of it.
    pub(super) asks: bool,
}

impl<'s> Machine<'s> {
    pub(super) fn new(schema: &'s Schema, fuel: usize) -> Self {
        let root = Frame { parent: ROOT, set: 0, list: false, depth: 0, index: 0, seen: 0 };
        Self {
            schema,
            sets: Vec::new(),
            set_ids: HashMap::new(),
            items: HashMap::new(),
            frames: vec![root],
            frame_ids: HashMap::new(),
            fuel,
            asks: false,
        }
    }

    pub(super) fn start(&mut self) -> State {
        let set = self.set_of(&[self.schema.root]);
        State { mode: Mode::Value, frame: ROOT, set, from: 0 }
    }

    /// Returns the set of all alternatives of some nodes.
    fn set_of(&mut self, nodes: &[NodeId]) -> SetId {
        let mut out = Vec::new();
        let mut seen = Vec::new();
        let mut open: Vec<NodeId> = nodes.to_vec();
        while let Some(id) = open.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            if id == NULL {
                out.push(NULL);
                continue;
            }
            match &self.schema.node(id).kind {
                NodeKind::Union(union) => {
                    open.extend(&union.options);
                    if union.null {
                        open.push(NULL);
                    }
                }
                NodeKind::Null => open.push(NULL),
                NodeKind::Never => {}
                _ => out.push(id),
            }
        }
        out.sort_unstable();
        out.dedup();
        if let Some(&id) = self.set_ids.get(&out) {
            return id;
        }
        let id = self.sets.len() as SetId;
        self.set_ids.insert(out.clone(), id);
        self.sets.push(Set { nodes: out, members: None });
        id
    }

    fn kinds(&self, set: SetId) -> impl Iterator<Item = &'s NodeKind> + '_ {
        let schema = self.schema;
        self.sets[set as usize].nodes.iter().filter(|n| **n != NULL).map(|n| &schema.node(*n).kind)
    }

    /// Returns whether a value that begins with this byte can satisfy the set.
    fn takes(&self, set: SetId, first: u8) -> bool {
        let null = first == b'n' && self.sets[set as usize].nodes.last() == Some(&NULL);
        null || self.kinds(set).any(|kind| match kind {
            NodeKind::Any => true,
            NodeKind::Object(_) => first == b'{',
            NodeKind::List(_) => first == b'[',
            NodeKind::Text(_) => first == b'"',
            NodeKind::Choice(plan) => first == b'"' || plan.mixed,
            NodeKind::Number(_) => matches!(first, b'-' | b'0'..=b'9'),
            NodeKind::Bool => matches!(first, b't' | b'f'),
            _ => false,
        })
    }

    /// Returns the possible values of the item at this index of a list.
    fn item(&mut self, list: SetId, index: usize) -> SetId {
        let index = index.min(self.prefix(list));
        if let Some(&set) = self.items.get(&(list, index)) {
            return set;
        }
        let set = self.find_item(list, index);
        self.items.insert((list, index), set);
        set
    }

    fn find_item(&mut self, list: SetId, index: usize) -> SetId {
        let mut nodes = Vec::new();
        let schema = self.schema;
        for &node in &self.sets[list as usize].nodes {
            match (node != NULL).then(|| &schema.node(node).kind) {
                Some(NodeKind::List(plan)) => nodes.extend(plan.item(index)),
                Some(NodeKind::Any | NodeKind::Choice(_)) => nodes.push(node),
                _ => {}
            }
        }
        self.set_of(&nodes)
    }

    /// Returns the number of list items that have an individual type.
    fn prefix(&self, list: SetId) -> usize {
        self.kinds(list)
            .map(|k| if let NodeKind::List(p) = k { p.prefix.len() } else { 0 })
            .max()
            .unwrap_or(0)
    }

    /// Returns whether the type determines the length of a list.
    pub(super) fn is_fixed(&self, list: SetId) -> bool {
        let mut kinds = self.kinds(list);
        kinds.all(|k| matches!(k, NodeKind::List(p) if p.min.is_some() && p.min == p.max || p.items.is_none() && p.min == Some(p.prefix.len())))
    }

    /// Returns whether an object may lack members that it could have.
    pub(super) fn has_options(&mut self, set: SetId) -> bool {
        let members = self.members(set);
        members.extra.is_some() || members.required.iter().zip(&members.all).any(|(must, all)| must != all)
    }

    fn members(&mut self, set: SetId) -> Rc<Members<'s>> {
        if let Some(members) = &self.sets[set as usize].members {
            return members.clone();
        }
        let members = Rc::new(self.build(set));
        self.sets[set as usize].members = Some(members.clone());
        members
    }

    fn build(&mut self, set: SetId) -> Members<'s> {
        let schema = self.schema;
        let nodes = self.sets[set as usize].nodes.clone();
        let mut values: Vec<(&'s str, Vec<NodeId>)> = Vec::new();
        let mut bits: HashMap<&'s str, usize> = HashMap::new();
        let (mut required, mut all, mut extra) = (Vec::new(), Vec::new(), Vec::new());
        for node in nodes.into_iter().filter(|n| *n != NULL) {
            match &schema.node(node).kind {
                NodeKind::Object(plan) => {
                    let (mut must, mut may) = (0_u128, 0_u128);
                    for prop in &plan.props {
                        let bit = *bits.entry(&prop.name).or_insert_with(|| {
                            values.push((&prop.name, Vec::new()));
                            values.len() - 1
                        });
                        values[bit].1.push(prop.node);
                        if bit < 128 {
                            may |= 1 << bit;
                            must |= u128::from(prop.required) << bit;
                        }
                    }
                    required.push(must);
                    all.push(may);
                    if let Extra::Node(node) = plan.extra {
                        extra.push(node);
                    }
                    extra.extend(plan.patterns.iter().map(|(_, node)| *node));
                }
                NodeKind::Any | NodeKind::Choice(_) => {
                    required.push(0);
                    all.push(0);
                    extra.push(node);
                }
                _ => {}
            }
        }
        let known = values
            .into_iter()
            .enumerate()
            .map(|(bit, (name, nodes))| (name, ((bit < 128).then_some(bit as u8), self.set_of(&nodes))))
            .collect();
        let extra = (!extra.is_empty()).then(|| self.set_of(&extra));
        Members { known, required, all, extra }
    }

    fn intern(&mut self, frame: Frame) -> FrameId {
        if let Some(&id) = self.frame_ids.get(&frame) {
            return id;
        }
        let id = self.frames.len() as FrameId;
        self.frames.push(frame);
        self.frame_ids.insert(frame, id);
        id
    }

    fn open(&mut self, parent: FrameId, set: SetId, list: bool) -> Option<FrameId> {
        let depth = self.frames[parent as usize].depth + 1;
        let frame = Frame { parent, set, list, depth, index: 0, seen: 0 };
        (usize::from(depth) <= MAX_DEPTH).then(|| self.intern(frame))
    }

    /// Returns whether the object may close: some alternative has all its required members.
    fn closes(&mut self, frame: FrameId) -> bool {
        let Frame { set, seen, .. } = self.frames[frame as usize];
        self.members(set).required.iter().any(|must| must & !seen == 0)
    }

    /// Returns whether an absent member belongs between two present ones (by their order in the type): after
    /// the last one of `before`, and before the first one that `after` adds.
    pub(super) fn gap(&mut self, set: SetId, before: u128, after: u128, whole: u128) -> bool {
        let members = self.members(set);
        if members.extra.is_some() {
            return true;
        }
        let added = after & !before;
        let low = 128 - before.leading_zeros();
        let high = if added == 0 { 128 } else { added.trailing_zeros() };
        if low > high {
            return members.all.iter().any(|all| all & !whole != 0);
        }
        let between = mask(high) & !mask(low);
        members
            .required
            .iter()
            .zip(&members.all)
            .filter(|(must, _)| *must & !whole == 0)
            .any(|(_, all)| all & !whole & between != 0)
    }

    /// Returns the state after a key, or `None` if the object cannot have it (again).
    fn key(&mut self, frame: FrameId, key: &str) -> Option<State> {
        let old = self.frames[frame as usize];
        let members = self.members(old.set);
        let (seen, set) = match (members.known.get(key), members.extra) {
            (Some((Some(bit), set)), _) => {
                let bit = 1_u128 << bit;
                if old.seen & bit != 0 {
                    return None;
                }
                (old.seen | bit, *set)
            }
            (Some((None, set)), _) => (old.seen, *set),
            (None, Some(set)) => (old.seen, set),
            (None, None) => return None,
        };
        let frame = self.intern(Frame { seen, ..old });
        Some(State { mode: Mode::Colon, frame, set, from: 0 })
    }

    /// Returns the state after a structural character.
    fn step(&mut self, state: State, c: u8) -> Option<State> {
        let State { mode, frame, set, .. } = state;
        let after = |frame| Some(State { mode: Mode::After, frame, set: 0, from: 0 });
        match (mode, c) {
            (Mode::Value | Mode::First, b'{') if self.takes(set, c) => {
                let frame = self.open(frame, set, false)?;
                Some(State { mode: Mode::FirstKey, frame, set: 0, from: 0 })
            }
            (Mode::Value | Mode::First, b'[') if self.takes(set, c) => {
                let frame = self.open(frame, set, true)?;
                let set = self.item(set, 0);
                Some(State { mode: Mode::First, frame, set, from: 0 })
            }
            (Mode::First, b']') => after(self.frames[frame as usize].parent),
            (Mode::FirstKey, b'}') => {
                self.closes(frame).then_some(())?;
                after(self.frames[frame as usize].parent)
            }
            (Mode::Colon, b':') => Some(State { mode: Mode::Value, frame, set, from: 0 }),
            (Mode::After, _) if frame == ROOT => None,
            (Mode::After, b',') => {
                let old = self.frames[frame as usize];
                if !old.list {
                    return Some(State { mode: Mode::Key, frame, set: 0, from: 0 });
                }
                let most = self.prefix(old.set);
                let index = usize::from(old.index) + 1;
                let set = self.item(old.set, index);
                let frame = self.intern(Frame { index: index.min(most) as u16, ..old });
                Some(State { mode: Mode::Value, frame, set, from: 0 })
            }
            (Mode::After, b']') if self.frames[frame as usize].list => {
                after(self.frames[frame as usize].parent)
            }
            (Mode::After, b'}') if !self.frames[frame as usize].list && self.closes(frame) => {
                after(self.frames[frame as usize].parent)
            }
            _ => None,
        }
    }

    /// Continues reading from `state` at `at`, and calls `watch` for each relevant place before it is read.
    ///
    /// `patch`, if it lies at or after `at`, is read in place of the text that it covers.
    pub(super) fn run(
        &mut self,
        text: &str,
        patch: Option<Patch>,
        at: usize,
        state: State,
        watch: &mut dyn FnMut(usize, State),
    ) -> Stop {
        let mut input = Input::new(text, patch, at);
        if state.mode == Mode::KeyText {
            input.key.extend_from_slice(&text.as_bytes()[state.from as usize..at]);
        }
        let mut state = state;
        loop {
            if self.fuel == 0 {
                return Stop::Dead(input.at);
            }
            self.fuel -= 1;
            if matches!(state.mode, Mode::Text | Mode::KeyText) {
                match self.string(&mut input, state, watch) {
                    Ok(next) => state = next,
                    Err(stop) => return stop,
                }
                continue;
            }
            let Some(c) = input.skip_white() else {
                let whole = state.mode == Mode::After && state.frame == ROOT;
                watch(input.at, state);
                return if whole { Stop::Whole } else { Stop::End };
            };
            watch(input.at, state);
            let next = match (state.mode, c) {
                (Mode::Value | Mode::First, b'"') if self.takes(state.set, c) => {
                    input.bump();
                    Some(State { mode: Mode::Text, from: 0, ..state })
                }
                (Mode::Key | Mode::FirstKey, b'"') => {
                    input.bump();
                    input.key.clear();
                    Some(State { mode: Mode::KeyText, from: input.at as u32, ..state })
                }
                (Mode::Value | Mode::First, b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
                    if self.takes(state.set, c) =>
                {
                    if !input.literal() {
                        return Stop::Dead(input.at);
                    }
                    Some(State { mode: Mode::After, set: 0, from: 0, ..state })
                }
                (_, b'{' | b'}' | b'[' | b']' | b',' | b':') => {
                    let next = self.step(state, c);
                    if next.is_some() {
                        input.bump();
                    }
                    next
                }
                _ => None,
            };
            match next {
                Some(next) => state = next,
                None => return Stop::Dead(input.at),
            }
        }
    }

    /// Reads to the end of a string.
    fn string(
        &mut self,
        input: &mut Input<'_>,
        state: State,
        watch: &mut dyn FnMut(usize, State),
    ) -> Result<State, Stop> {
        let key = state.mode == Mode::KeyText;
        if self.asks && !key {
            let before = input.at;
            let mark = next_quote(input.text.as_bytes(), before);
            self.fuel =
                self.fuel.saturating_sub(mark.unwrap_or(input.text.len()).saturating_sub(before) / 16);
            return Err(mark.map_or(Stop::End, |at| Stop::Mark(at, state)));
        }
        loop {
            let before = input.at;
            let Some(c) = input.next_mark(key) else {
                watch(input.at, state);
                return Err(Stop::End);
            };
            self.fuel = self.fuel.saturating_sub((input.at - before) / 16);
            match c {
                b'"' => {
                    watch(input.at, state);
                    let end = input.at;
                    input.bump();
                    if !key {
                        return Ok(State { mode: Mode::After, set: 0, from: 0, ..state });
                    }
                    let Some(name) = input.take_key() else { return Err(Stop::Dead(end)) };
                    return self.key(state.frame, &name).ok_or(Stop::Dead(end));
                }
                b'\\' => {
                    input.advance(key);
                    if input.peek().is_none() {
                        return Err(Stop::End);
                    }
                    input.advance(key);
                }
                c if c < 0x20 => {
                    // The missing mark may belong at the end of the line.
                    watch(input.at, state);
                    return Err(Stop::Dead(input.at));
                }
                _ => {
                    watch(input.at, state);
                    input.advance(key);
                }
            }
            if input.key.len() > MAX_KEY {
                return Err(Stop::Dead(input.at));
            }
        }
    }
}

/// Returns the lowest `bits` bits.
fn mask(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}
