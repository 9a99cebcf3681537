//! The outputs of a call, collected from its events.

use std::collections::HashSet;
use std::task::{Context, Poll, ready};

use super::Prediction;
use crate::error::Result;
use crate::program::{Event, EventKind, Module, watched};
use crate::signature::{FieldChange, FieldState, FieldUpdate, PartialValues, SignatureSpec, update_values};
use dspy_lm::internal::Driven;

/// A call of a strategy together with the part of its outputs that has arrived.
pub(super) struct Arriving<P, O> {
    work: Driven<'static, Event, Result<Prediction<O>>>,
    /// The paths of the predictors that are shown.
    shown: HashSet<String>,
    /// The id of the call that is shown.
    call: Option<u64>,
    own: HashSet<String>,
    fresh: Box<dyn Fn() -> P + Send>,
    update: fn(&mut P, &FieldChange),
    pub(super) partial: P,
    /// Outputs that the strategy added to the signature.
    pub(super) added: PartialValues,
    /// The reasoning that the model reports separately from the reply.
    reported: String,
    pub(super) attempt: u32,
}

impl<P, O: Send + 'static> Arriving<P, O> {
    pub(super) fn new<M>(
        strategy: &M,
        input: M::Input,
        own: &SignatureSpec,
        fresh: impl Fn() -> P + Send + 'static,
        update: fn(&mut P, &FieldChange),
    ) -> Self
    where
        M: Module<Output = O> + Clone + 'static,
        M::Input: 'static,
    {
        let has = |spec: &SignatureSpec| {
            own.outputs()
                .all(|field| spec.field(field.name()).is_some_and(|other| other.schema() == field.schema()))
        };
        let predictors = strategy.named_predictors().into_iter();
        let shown = predictors.filter(|(_, predictor)| has(predictor.spec())).map(|(path, _)| path).collect();
        let strategy = strategy.clone();
        Arriving {
            work: watched(async move { strategy.call(input).await }),
            shown,
            call: None,
            own: own.outputs().map(|field| field.name().to_owned()).collect(),
            partial: fresh(),
            fresh: Box::new(fresh),
            update,
            added: PartialValues::new(),
            reported: String::new(),
            attempt: 1,
        }
    }

    /// Polls for a change; ready with `false` once the call has ended.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match ready!(self.work.poll_next(cx)) {
                None => return Poll::Ready(false),
                Some(event) => {
                    if self.take(event) {
                        return Poll::Ready(true);
                    }
                }
            }
        }
    }

    /// Applies an event; returns whether it changed the shown outputs.
    fn take(&mut self, event: Event) -> bool {
        if let EventKind::Started { .. } = event.kind {
            return self.shown.contains(&*event.source)
                && self.call.replace(event.call).is_some_and(|_| self.restart());
        }
        if self.call != Some(event.call) {
            return false;
        }
        match event.kind {
            EventKind::Field(change) => {
                if self.own.contains(&*change.field) {
                    (self.update)(&mut self.partial, &change);
                } else {
                    update_values(&mut self.added, &change);
                }
                !matches!(change.update, FieldUpdate::Refused(_))
            }
            EventKind::Reasoning(more) => {
                self.reported.push_str(&more);
                true
            }
            EventKind::Restarted { .. } => self.restart(),
            _ => false,
        }
    }

    fn restart(&mut self) -> bool {
        self.partial = (self.fresh)();
        self.added.clear();
        self.reported.clear();
        self.attempt += 1;
        true
    }

    /// Returns the requested reasoning, otherwise the reasoning that the model reports.
    pub(super) fn reasoning(&self) -> &str {
        let asked = self.added.get("reasoning").and_then(FieldState::value);
        asked.and_then(serde_json::Value::as_str).unwrap_or(&self.reported)
    }

    pub(super) async fn finish(self) -> Result<Prediction<O>> {
        self.work.finish().await
    }
}
