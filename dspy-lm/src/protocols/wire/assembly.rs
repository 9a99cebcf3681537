//! Assembly of a reply from the events of a stream, for all protocols.

use serde_json::Value;

use crate::json::{number, parse};
use crate::network::transport::{Answer, Events, Failure};
use crate::{Delta, LmErrorKind, Response};

/// The maximum number of completions in a stream.
const MOST_COMPLETIONS: usize = 128;

/// The end mark of OpenAI's streams, which gateways also send in other protocols.
const END_MARK: &str = "[DONE]";

/// The part of one protocol in the decoding of a stream.
pub(crate) trait Pieces: Default + Send {
    /// Whether the end mark alone means that the reply is complete.
    const ENDS_WITH_MARK: bool = false;

    /// Returns an error if the event is one.
    fn check(event: &Value) -> Result<(), Failure> {
        Failure::check(event)
    }

    /// Returns whether the event is one of the protocol's.
    fn knows(event: &Value) -> bool;

    /// Decodes an event and appends its content to `deltas`. Returns true for the last event.
    fn add(&mut self, event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure>;

    /// Returns whether the reply so far is complete.
    fn is_complete(&self) -> Result<bool, Failure>;

    /// Returns the answer of the model with this name.
    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure>;
}

/// A reply in the course of arrival.
#[derive(Debug)]
pub(crate) struct Assembly<'a, P> {
    /// The name of the model in the request.
    name: &'a str,
    pieces: P,
    progress: Progress,
    /// Whether the end mark has arrived.
    marked: bool,
}

impl<'a, P: Pieces> Assembly<'a, P> {
    pub(crate) fn new(name: &'a str) -> Self {
        Assembly { name, pieces: P::default(), progress: Progress::default(), marked: false }
    }
}

impl<P: Pieces> Events for Assembly<'_, P> {
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        if data.trim() == END_MARK {
            self.marked = true;
            return Ok(true);
        }
        let event = parse(data.as_bytes()).map_err(|error| {
            Failure::new(LmErrorKind::Decode, format!("an event cannot be read: {error}"))
        })?;
        P::check(&event)?;
        if P::knows(&event) {
            self.progress.begun = true;
        } else {
            self.progress.unknown(&event)?;
        }
        self.pieces.add(event, deltas)
    }

    fn finish(self, answer: &Answer) -> Result<Response, Failure> {
        let Assembly { name, pieces, progress, marked } = self;
        if !pieces.is_complete()? {
            // There was neither a finish reason nor an end mark, so that the reply may be incomplete.
            if !(marked && P::ENDS_WITH_MARK) {
                return Err(progress.truncated());
            }
            // The end mark is also sent after errors.
            if let Some(failure) = progress.stray {
                return Err(failure);
            }
        }
        pieces.finish(name, answer)
    }
}

/// The progress of a stream of events.
#[derive(Debug, Default)]
struct Progress {
    /// Whether an event of the protocol has arrived.
    begun: bool,
    /// Whether an event of another kind has arrived.
    foreign: bool,
    /// The last event that may have been an error.
    stray: Option<Failure>,
}

impl Progress {
    /// Records an event of unknown kind. Returns an error if the event is one.
    fn unknown(&mut self, event: &Value) -> Result<(), Failure> {
        self.foreign = true;
        self.stray = Failure::of_stray_event(event)?.or(self.stray.take());
        Ok(())
    }

    /// Returns the failure of a stream that ended before its reply: an error, a truncated reply, or no reply at all.
    fn truncated(self) -> Failure {
        let (kind, message) = if self.foreign && !self.begun {
            (LmErrorKind::Decode, "the stream holds no reply of the protocol")
        } else {
            (LmErrorKind::Transport, "the stream ended before the reply did")
        };
        self.stray.unwrap_or_else(|| Failure::new(kind, message))
    }
}

/// Returns the completion that a part of an event continues, and its number: the number in the part, otherwise the
/// position `at` of the part in the event. Numbers out of range are refused; `what` names the part in the error.
pub(crate) fn completion_at<'c, T: Default>(
    completions: &'c mut Vec<T>,
    part: &Value,
    at: usize,
    what: &str,
) -> Result<(usize, &'c mut T), Failure> {
    let index = number(part.get("index")).map_or(at, |index| usize::try_from(index).unwrap_or(usize::MAX));
    if index >= MOST_COMPLETIONS {
        let message = format!("the index of a {what} is out of range");
        return Err(Failure::new(LmErrorKind::Decode, message));
    }
    if completions.len() <= index {
        completions.resize_with(index + 1, T::default);
    }
    Ok((index, &mut completions[index]))
}
