//! A reply that is put together from the events of a stream, in whichever protocol.

use serde_json::Value;

use super::{number, parse};
use crate::network::transport::{Answer, Events, Failure};
use crate::{Delta, LmErrorKind, Response};

/// More completions than this were not asked for.
const MOST_COMPLETIONS: usize = 128;

/// The end mark of OpenAI's streams, which gateways send in other protocols too.
const END_MARK: &str = "[DONE]";

/// The part of one protocol in the reading of a stream.
pub(crate) trait Pieces: Default + Send {
    /// Whether the end mark alone says that the reply is complete.
    const ENDS_WITH_MARK: bool = false;

    /// Refuses an event that is an error.
    fn check(event: &Value) -> Result<(), Failure> {
        Failure::check(event)
    }

    /// Whether the event is one of the protocol's.
    fn knows(event: &Value) -> bool;

    /// Takes in an event and adds what it says to `deltas`. True if it was the last one.
    fn add(&mut self, event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure>;

    /// Whether what has come is a complete reply.
    fn is_complete(&self) -> Result<bool, Failure>;

    /// The answer of the model of that name.
    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure>;
}

/// A reply that is arriving.
#[derive(Debug)]
pub(crate) struct Assembly<'a, P> {
    /// The name that the model was asked by.
    name: &'a str,
    pieces: P,
    progress: Progress,
    /// The end mark has come.
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
            // Neither the reason to stop nor the end mark has come: what there is may be any part of the reply.
            if !(marked && P::ENDS_WITH_MARK) {
                return Err(progress.truncated());
            }
            // The end mark alone comes after errors, too.
            if let Some(failure) = progress.stray {
                return Err(failure);
            }
        }
        pieces.finish(name, answer)
    }
}

/// How far a stream of events has come.
#[derive(Debug, Default)]
struct Progress {
    /// An event of the protocol has come.
    begun: bool,
    /// An event of another kind has come.
    foreign: bool,
    /// The last that may have been an error.
    stray: Option<Failure>,
}

impl Progress {
    /// Takes note of an event that is none of the protocol's. It is refused if it is an error.
    fn unknown(&mut self, event: &Value) -> Result<(), Failure> {
        self.foreign = true;
        self.stray = Failure::of_stray_event(event)?.or(self.stray.take());
        Ok(())
    }

    /// The failure of a stream that has ended before its reply: of an error, it was truncated, or it is no reply.
    fn truncated(self) -> Failure {
        let (kind, message) = if self.foreign && !self.begun {
            (LmErrorKind::Decode, "the stream holds no reply of the protocol")
        } else {
            (LmErrorKind::Transport, "the stream ended before the reply did")
        };
        self.stray.unwrap_or_else(|| Failure::new(kind, message))
    }
}

/// The completion that a part of an event goes on with, and its number: the one that the part names, or else the one
/// `at` its place in the event. What is numbered out of range is refused; `what` says what it is.
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
