//! What calls cost, who counts it, and the budgets that they keep to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod cuts;
mod laws;
mod limits;
mod time;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dspy_core::lm::{
    BoxFuture, BudgetRefusal, Completion, FinishReason, LanguageModel, Layer, Lm, LmError, LmErrorKind,
    Message, Next, OverBudget, Request, Response, Usage,
};
use tokio::sync::Semaphore;

/// Answers when it is told to.
pub(crate) struct Gate {
    pub(crate) open: Semaphore,
    pub(crate) begun: AtomicU64,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Gate { open: Semaphore::new(0), begun: AtomicU64::new(0) })
    }

    pub(crate) fn lm(self: &Arc<Self>) -> Lm {
        Lm::custom(Gated(self.clone()))
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}

struct Gated(Arc<Gate>);

impl LanguageModel for Gated {
    fn id(&self) -> &'static str {
        "gated"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            self.0.begun.fetch_add(1, Ordering::SeqCst);
            self.0.open.acquire().await.unwrap().forget();
            Ok(Response::text("yes").with_usage(Usage::tokens(10, 1)))
        })
    }
}

/// Replies with as many tokens as the request's text says, if it may. Reports what it is told to.
pub(crate) struct Verbose {
    pub(crate) cost: Option<f64>,
}

impl LanguageModel for Verbose {
    fn id(&self) -> &'static str {
        "verbose"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let text = request.messages[0].text().into_owned();
            let wanted: u64 = text.trim().parse().unwrap();
            let most = request.params.max_tokens.map_or(u64::MAX, u64::from);
            let finish = if wanted > most { FinishReason::Length } else { FinishReason::Stop };
            let mut usage = Usage::tokens(text.len() as u64, wanted.min(most));
            usage.cost_usd = self.cost;
            let mut response = Response::text("").with_usage(usage);
            response.completions = vec![Completion::new("…").finished(finish)];
            Ok(response)
        })
    }
}

/// Tells the same of every reply: what it took, and how it ended.
pub(crate) struct Telling(pub(crate) Usage, pub(crate) FinishReason);

impl LanguageModel for Telling {
    fn id(&self) -> &'static str {
        "telling"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        let mut response = Response::text("").with_usage(self.0);
        response.completions = vec![Completion::new("…").finished(self.1)];
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// Knows every answer.
pub(crate) struct Known;

impl Layer for Known {
    fn call<'a>(
        &'a self,
        _: &'a Lm,
        _: &'a Request,
        _: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        let mut response = Response::text("known").with_usage(Usage::tokens(7, 3).at_cost(0.5));
        response.cached = true;
        Box::pin(std::future::ready(Ok(response)))
    }
}

pub(crate) fn request(text: impl Into<Arc<str>>) -> Request {
    Request::new(vec![Message::user(text)])
}

/// The refusal of a call that no budget has let through.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, LmError>) -> OverBudget {
    let error = result.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Budget, "{error}");
    *error.budget.unwrap()
}

pub(crate) fn why<T: std::fmt::Debug>(result: Result<T, LmError>) -> BudgetRefusal {
    refused(result).why
}

/// Lets all other tasks run as far as they can.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
