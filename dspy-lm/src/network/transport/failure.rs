//! Classification of an endpoint's error replies and of connection failures.

use std::error::Error as _;
use std::time::Duration;

use serde_json::Value;

use super::report::{Report, says_something};
use crate::LmErrorKind;

/// The reason why a request got no usable answer, before the model, endpoint and removal of secrets are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: LmErrorKind,
    pub(crate) message: String,
    /// The wait that the body requests.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(kind: LmErrorKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), retry_after: None }
    }

    /// Returns the failure for a status outside 200 to 299 and its body.
    pub(super) fn of_status(status: u16, body: &[u8]) -> Self {
        let report = Report::of_body(body);
        Failure { kind: report.kind(status), message: report.message, retry_after: report.retry_after }
    }

    /// Returns the failure for an event whose name marks it as an error, regardless of its data.
    pub(super) fn of_event(data: &str) -> Self {
        Report::of_body(data.as_bytes()).failure()
    }

    /// Returns an error if the `error` member of a reply, an event or a part of one reports an error. Some servers
    /// always send that member.
    pub(crate) fn check(reply: &Value) -> Result<(), Self> {
        match reply.get("error") {
            Some(error) if says_something(error) => Err(Report::of(reply).failure()),
            _ => Ok(()),
        }
    }

    /// Returns the failure of a reply without `what`: the error that it contains, if it has the shape of a known one,
    /// otherwise that it cannot be read.
    pub(crate) fn without(what: &str, reply: &Value) -> Self {
        let unread = || Failure::new(LmErrorKind::Decode, format!("the reply holds no {what}"));
        Report::of_stray(reply).map_or_else(unread, Report::failure)
    }

    /// Returns an error if an event of unknown kind is an error. A possible error, or an event that is no part of the
    /// reply, is returned as `Some`: it becomes the reason if the reply turns out incomplete.
    pub(crate) fn of_stray_event(event: &Value) -> Result<Option<Self>, Self> {
        match Report::of_stray(event) {
            Some(report) if report.is_certain(event) => Err(report.failure()),
            report => Ok(report.map(Report::failure)),
        }
    }

    /// Returns the failure for an interrupted exchange.
    pub(super) fn of_exchange(error: &reqwest::Error) -> Self {
        let kind = match error {
            error if error.is_timeout() => LmErrorKind::Timeout,
            error if error.is_builder() => LmErrorKind::Configuration,
            _ => LmErrorKind::Transport,
        };
        // The outer errors repeat the address without a reason; the innermost one has the reason.
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

/// A reason for a failed connection that will recur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// The server does not accept connections.
    Refused,
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls,
}

impl Lasting {
    pub(super) fn of_exchange(error: &reqwest::Error) -> Option<Self> {
        causes(error).find_map(|cause| {
            if cause.is::<rustls::Error>() {
                return Some(Lasting::Tls);
            }
            let mut cause = cause.downcast_ref::<std::io::Error>()?;
            // An I/O error does not return its inner error as its source, and may contain another one.
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

/// Returns the causes of an error, the innermost last.
pub(super) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
