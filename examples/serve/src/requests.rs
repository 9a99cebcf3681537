//! The parts of a request that are checked before any work: its caller and its inputs.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use dspy::lm::LmErrorKind;
use dspy::signature::{Fields, Signature, Values};
use serde_json::json;
use tokio::time::timeout;

use crate::Service;
use crate::callers::Pass;

/// The time in which the body of a request has to arrive.
const TO_ARRIVE: Duration = Duration::from_secs(10);

/// The caller of a request, within its limits. The pass is returned when the response is sent or dropped.
pub(crate) struct Caller(pub(crate) Pass);

impl FromRequestParts<Service> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        let Some(name) = parts.headers.get("x-caller") else {
            return Err(Failure(StatusCode::UNAUTHORIZED, "the header x-caller is missing".into()));
        };
        let name = name.to_str().map(str::trim).ok().filter(|name| (1..=100).contains(&name.len()));
        let Some(name) = name else {
            let problem = "the header x-caller needs 1 to 100 visible characters of ASCII";
            return Err(Failure(StatusCode::BAD_REQUEST, problem.into()));
        };
        let pass = service.callers().enter(name);
        pass.map(Caller)
            .ok_or_else(|| Failure(StatusCode::TOO_MANY_REQUESTS, "too many requests in flight".into()))
    }
}

/// The inputs of a signature, as the body of a request has them.
pub(crate) struct Given<S: Signature>(pub(crate) S::Input);

impl<S: Signature> FromRequest<Service> for Given<S> {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let body = timeout(TO_ARRIVE, Json::<Values>::from_request(request, service)).await;
        let Json(values) = body
            .map_err(|_| Failure(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into()))?
            .map_err(|error| Failure(error.status(), error.body_text()))?;
        let spec = S::spec();
        let known = |name: &String| spec.inputs().any(|field| field.name() == name);
        if let Some(unknown) = values.keys().find(|name| !known(name)) {
            let known: Vec<_> = spec.inputs().map(|field| format!("`{}`", field.name())).collect();
            let problem = format!("unknown input `{unknown}`; there is {}", known.join(", "));
            return Err(Failure(StatusCode::UNPROCESSABLE_ENTITY, problem));
        }
        let input = S::Input::from_values(values);
        input.map(Given).map_err(|error| Failure(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    }
}

/// An error as a response: a status, and JSON with its message.
#[derive(Debug)]
pub(crate) struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<dspy::Error> for Failure {
    fn from(error: dspy::Error) -> Self {
        let status = match &error {
            error if error.as_lm().is_some_and(|error| error.kind == LmErrorKind::Budget) => {
                StatusCode::PAYMENT_REQUIRED
            }
            error if error.is_outage() => StatusCode::SERVICE_UNAVAILABLE,
            error if error.as_parse().is_some() => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure(status, error.to_string())
    }
}
