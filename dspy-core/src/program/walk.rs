//! The predictors of a program, found by stable paths.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::error::Result;
use crate::lm::Lm;
use crate::observe::{self, PredictorRef};
use crate::predictor::Predictor;
use crate::state::ProgramState;

/// A module whose predictors can be listed and changed. `#[module]` implements it.
///
/// The path of a predictor locates it in the program, in the grammar of Python DSPy: field names joined by
/// dots, `steps[0]` for items of a sequence, `by_kind['refund']` for entries of a map. A program that is a
/// single predictor has the path `self`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` holds no predictors",
    label = "no predictors in here",
    note = "if the field is not a sub-module, mark it with `#[module(skip)]`",
    note = "if `{Self}` is a program of yours, put `#[module]` on it"
)]
pub trait HasPredictors {
    /// Passes every predictor to the visitor, in a stable order.
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>);

    /// Passes every predictor to the visitor, to be changed.
    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>);

    /// Passes the predictors of this module to the visitor as those of the field `name`.
    fn visit_in_field<'a>(&'a self, name: &str, visitor: &mut Visitor<'a, '_>) {
        visitor.field(name, self);
    }

    /// Passes the predictors of this module to the visitor as those of the field `name`, to be changed.
    fn visit_in_field_mut(&mut self, name: &str, visitor: &mut VisitorMut<'_>) {
        visitor.field(name, self);
    }

    /// Returns the predictors with their paths.
    fn named_predictors(&self) -> Vec<(String, &Predictor)> {
        found(self).into_iter().map(|Found { path, predictor, .. }| (path, predictor)).collect()
    }

    /// Calls `change` with every predictor and its path.
    fn for_each_predictor(&mut self, mut change: impl FnMut(&str, &mut Predictor))
    where
        Self: Sized,
    {
        self.visit_mut(&mut VisitorMut { path: String::new(), change: &mut change });
    }

    /// Binds a model to every predictor.
    fn set_lm(&mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */)
    where
        Self: Sized,
    {
        self.for_each_predictor(|_, predictor| predictor.set_lm(lm.clone()));
    }

    /// Saves the instructions, descriptions and demonstrations of all predictors.
    ///
    /// # Errors
    /// If the file cannot be written.
    fn save(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        Ok(ProgramState::of(self).write(path)?)
    }

    /// Returns this program with a [saved](Self::save) state, written by this library or by Python DSPy. Models are not
    /// bound: if the saved program had one where this program has none, a warning is logged, and
    /// [`Predictor::saved_lm`] has its name.
    ///
    /// # Errors
    /// If the file cannot be read, or was saved from a program with other predictors or other signatures.
    fn load(mut self, path: impl AsRef<Path>) -> Result<Self>
    where
        Self: Sized,
    {
        let path = path.as_ref();
        ProgramState::read(path)?.apply(&mut self)?;
        let unbound = self.named_predictors().into_iter();
        let unbound =
            unbound.filter_map(|(predictor, state)| Some(format!("`{predictor}`: {}", state.saved_lm()?)));
        let unbound: Vec<String> = unbound.collect();
        if !unbound.is_empty() {
            tracing::warn!(
                path = %path.display(),
                models = unbound.join(", "),
                "the saved program was bound to models, and loading binds none; bind them, or it runs with the current model"
            );
        }
        Ok(self)
    }
}

/// A predictor of a program.
pub(super) struct Found<'a> {
    pub(super) path: String,
    pub(super) predictor: &'a Predictor,
    /// The number of demonstrations that a call shows, if it selects them.
    pub(super) shown: Option<usize>,
}

/// Returns the predictors of a program, in their order.
pub(super) fn found(module: &(impl HasPredictors + ?Sized)) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    module.visit(&mut Visitor {
        path: String::new(),
        shown: None,
        found: &mut found,
        settings: &mut Vec::new(),
    });
    found
}

/// Returns the predictors with their paths, each with the number of demonstrations that a call shows if its program
/// [selects](Visitor::showing) them and it has more. Not covered by semantic versioning.
#[doc(hidden)]
pub fn selecting_predictors(
    module: &(impl HasPredictors + ?Sized),
) -> Vec<(String, &Predictor, Option<usize>)> {
    let selects = |Found { path, predictor, shown }| {
        let fewer = shown.filter(|shown| *shown < predictor.demos().len());
        (path, predictor, fewer)
    };
    found(module).into_iter().map(selects).collect()
}

/// Returns the [settings](Visitor::settings) of the modules of a program, each with the path and the name of its
/// module. Not covered by semantic versioning.
#[doc(hidden)]
pub fn module_settings(module: &(impl HasPredictors + ?Sized)) -> Vec<(String, Value)> {
    let mut settings = Vec::new();
    module.visit(&mut Visitor {
        path: String::new(),
        shown: None,
        found: &mut Vec::new(),
        settings: &mut settings,
    });
    settings
}

/// Returns references to the predictors of a module, which identify them while it runs.
pub(super) fn named_refs(module: &(impl HasPredictors + ?Sized)) -> Vec<(String, PredictorRef)> {
    let named = module.named_predictors().into_iter();
    named.map(|(path, predictor)| (path, predictor.reference())).collect()
}

/// Gives the predictors of a copy of `original`, made while it runs, the paths of those in `original`. Needed only
/// if several predictors are clones of one another; all others are known by their ids. Not covered by semantic
/// versioning.
#[doc(hidden)]
pub fn register_copy<M: HasPredictors>(original: &M, copy: &M) {
    let originals = original.named_predictors().into_iter();
    let pairs = originals.zip(copy.named_predictors());
    let pairs: Vec<_> = pairs.map(|((_, old), (_, new))| (old.reference(), new.reference())).collect();
    observe::register_copies(&pairs);
}

impl HasPredictors for Predictor {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.predictor(self);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.predictor(self);
    }
}

/// A collector of predictors; passed through a program by [`HasPredictors::visit`].
pub struct Visitor<'a, 'f> {
    path: String,
    shown: Option<usize>,
    found: &'f mut Vec<Found<'a>>,
    settings: &'f mut Vec<(String, Value)>,
}

/// A mutator of predictors; passed through a program by [`HasPredictors::visit_mut`].
pub struct VisitorMut<'f> {
    path: String,
    change: &'f mut dyn FnMut(&str, &mut Predictor),
}

fn leaf(path: &str) -> &str {
    if path.is_empty() { "self" } else { path }
}

fn push_field(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn push_index(path: &mut String, index: usize) {
    path.push_str(&format!("[{index}]"));
}

/// Appends a map key, quoted like a string in Python's `repr`.
fn push_key(path: &mut String, key: &str) {
    let quote = if key.contains('\'') && !key.contains('"') { '"' } else { '\'' };
    path.push('[');
    path.push(quote);
    for c in key.chars() {
        match c {
            '\\' => path.push_str("\\\\"),
            '\n' => path.push_str("\\n"),
            '\r' => path.push_str("\\r"),
            '\t' => path.push_str("\\t"),
            c if c == quote => path.extend(['\\', c]),
            c => path.push(c),
        }
    }
    path.push(quote);
    path.push(']');
}

impl<'a> Visitor<'a, '_> {
    /// Visits a predictor at the current path.
    pub fn predictor(&mut self, predictor: &'a Predictor) {
        self.found.push(Found { path: leaf(&self.path).to_owned(), predictor, shown: self.shown });
    }

    /// Adds settings that the module at the current path has in code, such as a number of attempts, by the name of its
    /// type. They determine its outputs, so the journal of an optimization cannot be resumed with other ones. Saved
    /// programs do not have them.
    ///
    /// ```
    /// use dspy_core::program::{HasPredictors, Visitor, VisitorMut};
    ///
    /// struct Repeat<P> {
    ///     program: P,
    ///     times: usize,
    /// }
    ///
    /// impl<P: HasPredictors> HasPredictors for Repeat<P> {
    ///     fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
    ///         visitor.settings("Repeat", [("times", self.times.into())]);
    ///         visitor.field("program", &self.program);
    ///     }
    ///
    ///     fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
    ///         visitor.field("program", &mut self.program);
    ///     }
    /// }
    /// ```
    pub fn settings(&mut self, module: &str, settings: impl IntoIterator<Item = (&'static str, Value)>) {
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.settings.push((format!("{} ({module})", leaf(&self.path)), Value::Object(settings)));
    }

    /// Visits a module at the current path, each call of which shows only this many of its demonstrations. Saved
    /// programs say so. If the module shows them by [`Predictor::select_demos`], its traces can become training rows.
    pub fn showing(&mut self, demos: usize, module: &'a (impl HasPredictors + ?Sized)) {
        let outer = self.shown.replace(demos);
        module.visit(self);
        self.shown = outer;
    }

    /// Visits a module in the field `name`.
    pub fn field(&mut self, name: &str, module: &'a (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_field(&mut self.path, name);
        self.descend(outer, module);
    }

    /// Visits a module at `index` of a sequence.
    pub fn item(&mut self, index: usize, module: &'a (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_index(&mut self.path, index);
        self.descend(outer, module);
    }

    /// Visits a module under `key` of a map.
    pub fn entry(&mut self, key: &str, module: &'a (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_key(&mut self.path, key);
        self.descend(outer, module);
    }

    /// Visits a module. `outer` is the length of the path outside of it.
    fn descend(&mut self, outer: usize, module: &'a (impl HasPredictors + ?Sized)) {
        module.visit(self);
        self.path.truncate(outer);
    }
}

impl VisitorMut<'_> {
    /// Visits a predictor at the current path.
    pub fn predictor(&mut self, predictor: &mut Predictor) {
        (self.change)(leaf(&self.path), predictor);
    }

    /// Visits a module in the field `name`.
    pub fn field(&mut self, name: &str, module: &mut (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_field(&mut self.path, name);
        self.descend(outer, module);
    }

    /// Visits a module at `index` of a sequence.
    pub fn item(&mut self, index: usize, module: &mut (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_index(&mut self.path, index);
        self.descend(outer, module);
    }

    /// Visits a module under `key` of a map.
    pub fn entry(&mut self, key: &str, module: &mut (impl HasPredictors + ?Sized)) {
        let outer = self.path.len();
        push_key(&mut self.path, key);
        self.descend(outer, module);
    }

    fn descend(&mut self, outer: usize, module: &mut (impl HasPredictors + ?Sized)) {
        module.visit_mut(self);
        self.path.truncate(outer);
    }
}

impl std::fmt::Debug for Visitor<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitor").field("path", &self.path).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VisitorMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VisitorMut").field("path", &self.path).finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<M: HasPredictors + ?Sized> HasPredictors for Box<M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        (**self).visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        (**self).visit_mut(visitor);
    }
}

/// A shared module is copied when it is changed, since every candidate program is a separate copy.
#[diagnostic::do_not_recommend]
impl<M: HasPredictors + Clone> HasPredictors for Arc<M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        (**self).visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        Arc::make_mut(self).visit_mut(visitor);
    }
}

#[diagnostic::do_not_recommend]
impl<M: HasPredictors> HasPredictors for Option<M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        if let Some(module) = self {
            module.visit_mut(visitor);
        }
    }
}

#[diagnostic::do_not_recommend]
impl<M: HasPredictors> HasPredictors for [M] {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        for (index, module) in self.iter().enumerate() {
            visitor.item(index, module);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for (index, module) in self.iter_mut().enumerate() {
            visitor.item(index, module);
        }
    }
}

#[diagnostic::do_not_recommend]
impl<M: HasPredictors> HasPredictors for Vec<M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.as_slice().visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.as_mut_slice().visit_mut(visitor);
    }
}

#[diagnostic::do_not_recommend]
impl<M: HasPredictors, const N: usize> HasPredictors for [M; N] {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.as_slice().visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.as_mut_slice().visit_mut(visitor);
    }
}

#[diagnostic::do_not_recommend]
impl<K: AsRef<str> + Ord, M: HasPredictors> HasPredictors for BTreeMap<K, M> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        for (key, module) in self {
            visitor.entry(key.as_ref(), module);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for (key, module) in self {
            visitor.entry(key.as_ref(), module);
        }
    }
}

#[diagnostic::do_not_recommend]
impl<K: AsRef<str> + Eq + Hash, M: HasPredictors, H: BuildHasher> HasPredictors for HashMap<K, M, H> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        // Sorted by key, so that the order does not depend on the hasher.
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        for (key, module) in entries {
            visitor.entry(key.as_ref(), module);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        let mut entries: Vec<_> = self.iter_mut().collect();
        entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        for (key, module) in entries {
            visitor.entry(key.as_ref(), module);
        }
    }
}
