//! What the replies and breakdowns of an endpoint mean.

use std::error::Error as _;
use std::time::Duration;

use serde_json::Value;

use super::report::{Report, says_something};
use crate::LmErrorKind;

/// Why a request got no usable answer, before model, endpoint and secrets are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: LmErrorKind,
    pub(crate) message: String,
    /// How long the body asks to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(kind: LmErrorKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), retry_after: None }
    }

    /// The failure that a status outside 200 to 299 and its body stand for.
    pub(super) fn of_status(status: u16, body: &[u8]) -> Self {
        let report = Report::of_body(body);
        Failure { kind: report.kind(status), message: report.message, retry_after: report.retry_after }
    }

    /// The failure that an event stands for whose name says that it is an error, whatever its data.
    pub(super) fn of_event(data: &str) -> Self {
        Report::of_body(data.as_bytes()).failure()
    }

    /// Refuses a reply, an event or a part of it whose `error` member says that something went wrong. Some servers
    /// always send that member.
    pub(crate) fn check(reply: &Value) -> Result<(), Self> {
        match reply.get("error") {
            Some(error) if says_something(error) => Err(Report::of(reply).failure()),
            _ => Ok(()),
        }
    }

    /// The failure of a reply that holds no `what`: the error that it is in one of the shapes that servers give to
    /// errors, or that it cannot be read.
    pub(crate) fn without(what: &str, reply: &Value) -> Self {
        let unread = || Failure::new(LmErrorKind::Decode, format!("the reply holds no {what}"));
        Report::of_stray(reply).map_or_else(unread, Report::failure)
    }

    /// Refuses an event of no kind that the protocol knows, if it is an error. What may be one, or news that are no part
    /// of the reply, is returned: it tells why, should the reply not come to its end.
    pub(crate) fn of_stray_event(event: &Value) -> Result<Option<Self>, Self> {
        match Report::of_stray(event) {
            Some(report) if report.is_certain(event) => Err(report.failure()),
            report => Ok(report.map(Report::failure)),
        }
    }

    /// The failure that a broken exchange stands for.
    pub(super) fn of_exchange(error: &reqwest::Error) -> Self {
        let kind = match error {
            error if error.is_timeout() => LmErrorKind::Timeout,
            error if error.is_builder() => LmErrorKind::Configuration,
            _ => LmErrorKind::Transport,
        };
        // The outer layers of the error repeat the address and say no more; the innermost one has the reason.
        let reason = causes(error).last().map_or_else(|| "no reason given".to_owned(), ToString::to_string);
        let message = match kind {
            LmErrorKind::Timeout if error.is_connect() => "no connection in time".to_owned(),
            LmErrorKind::Timeout => "no complete reply in time".to_owned(),
            _ if error.is_connect() => format!("cannot connect: {reason}"),
            _ => format!("the connection broke: {reason}"),
        };
        Failure::new(kind, message)
    }
}

/// Why a connection failed that will fail again in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Nobody listens there.
    Refused,
    /// The two sides do not agree on encryption, or the certificate is not trusted.
    Tls,
}

impl Lasting {
    pub(super) fn of_exchange(error: &reqwest::Error) -> Option<Self> {
        causes(error).find_map(|cause| {
            if cause.is::<rustls::Error>() {
                return Some(Lasting::Tls);
            }
            let mut cause = cause.downcast_ref::<std::io::Error>()?;
            // An I/O error does not name what it holds as its source, and may hold another one.
            loop {
                if cause.kind() == std::io::ErrorKind::ConnectionRefused {
                    return Some(Lasting::Refused);
                }
                let inner = cause.get_ref()?;
                if inner.is::<rustls::Error>() {
                    return Some(Lasting::Tls);
                }
                cause = inner.downcast_ref()?;
            }
        })
    }
}

/// The causes of an error, the innermost last.
pub(super) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
