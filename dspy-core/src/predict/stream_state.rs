//! The outputs of a call, collected from its events.

use std::collections::HashSet;
use std::task::{Context, Poll, ready};

use crate::error::Result;
use crate::lm::BoxFuture;
use crate::predictor::{AnyPrediction, Predictor};
use crate::program::{Event, EventKind, watched};
use crate::signature::{FieldChange, FieldState, FieldUpdate, PartialValues, SignatureSpec, update_values};
use dspy_lm::internal::Driven;

/// A call of a strategy together with the outputs that have arrived beside those of its signature. The latter are of a
/// type that only the owner knows, who takes them from the [`News`].
pub(super) struct Arriving {
    work: Driven<'static, Event, Result<AnyPrediction>>,
    /// The paths of the predictors that are shown.
    shown: HashSet<String>,
    /// The id of the call that is shown.
    call: Option<u64>,
    own: HashSet<String>,
    /// Outputs that the strategy added to the signature.
    pub(super) added: PartialValues,
    /// The reasoning that the model reports separately from the reply.
    reported: String,
    pub(super) attempt: u32,
}

/// The change that an event makes to the shown outputs.
pub(super) enum News {
    /// More of an output of the signature.
    Output(FieldChange),
    /// The outputs start again from nothing.
    Restarted,
    /// Anything else.
    Beside,
}

impl Arriving {
    /// `call` is one of a strategy with these predictors, shown where they have all outputs of `own`.
    pub(super) fn new(
        predictors: Vec<(String, &Predictor)>,
        own: &SignatureSpec,
        call: BoxFuture<'static, Result<AnyPrediction>>,
    ) -> Self {
        let has = |spec: &SignatureSpec| {
            own.outputs()
                .all(|field| spec.field(field.name()).is_some_and(|other| other.schema() == field.schema()))
        };
        let shown = predictors.into_iter().filter(|(_, predictor)| has(predictor.spec()));
        Arriving {
            work: watched(call),
            shown: shown.map(|(path, _)| path).collect(),
            call: None,
            own: own.outputs().map(|field| field.name().to_owned()).collect(),
            added: PartialValues::new(),
            reported: String::new(),
            attempt: 1,
        }
    }

    /// Polls for the next change of the shown outputs; `None` once the call has ended.
    pub(super) fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<Option<News>> {
        loop {
            match ready!(self.work.poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(event) => {
                    if let Some(news) = self.take(event) {
                        return Poll::Ready(Some(news));
                    }
                }
            }
        }
    }

    /// Applies an event; returns the change of the shown outputs.
    fn take(&mut self, event: Event) -> Option<News> {
        if let EventKind::Started { .. } = event.kind {
            let again = self.shown.contains(&*event.source) && self.call.replace(event.call).is_some();
            return again.then(|| self.restart());
        }
        if self.call != Some(event.call) {
            return None;
        }
        match event.kind {
            EventKind::Field(change) => {
                let refused = matches!(change.update, FieldUpdate::Refused(_));
                if self.own.contains(&*change.field) {
                    return (!refused).then_some(News::Output(change));
                }
                update_values(&mut self.added, &change);
                (!refused).then_some(News::Beside)
            }
            EventKind::Reasoning(more) => {
                self.reported.push_str(&more);
                Some(News::Beside)
            }
            EventKind::Restarted { .. } => Some(self.restart()),
            _ => None,
        }
    }

    fn restart(&mut self) -> News {
        self.added.clear();
        self.reported.clear();
        self.attempt += 1;
        News::Restarted
    }

    /// Returns the requested reasoning, otherwise the reasoning that the model reports.
    pub(super) fn reasoning(&self) -> &str {
        let asked = self.added.get("reasoning").and_then(FieldState::value);
        asked.and_then(serde_json::Value::as_str).unwrap_or(&self.reported)
    }

    pub(super) async fn finish(self) -> Result<AnyPrediction> {
        self.work.finish().await
    }
}
