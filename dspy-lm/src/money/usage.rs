//! Usage trackers for the calls of a future.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use super::tally::Tally;
use crate::call::hooks::Tracker;
use crate::{Lm, LmScope, Response, Usage, current_scope};
use dspy_base::locks::MutexExt as _;

/// The most models with a row of their own in a report. The others are summed up under [`OTHERS`].
const MOST_MODELS: usize = 1_000;
const OTHERS: &str = "others";

/// Runs `future` and returns its output with the usage of its calls, including those of nested trackers and
/// of tasks started in it with `dspy::spawn`. Other trackers that run at the same time do not see these
/// calls.
///
/// Calls that a spawned task makes after `future` has ended are not in the report.
///
/// ```
/// use dspy_lm::{Lm, Price, track_usage};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let lm = Lm::scripted(["Paris", "Rome"]).price(Price::per_million(0.10, 0.40));
/// let (answers, report) = track_usage(async {
///     [lm.ask("Capital of France?").await, lm.ask("Capital of Italy?").await]
/// })
/// .await;
/// assert!(answers.iter().all(Result::is_ok));
/// assert_eq!(report.total.requests, 2);
/// assert!(report.total.cost_usd.is_some());
/// println!("{report}");
/// # });
/// ```
pub async fn track_usage<F: Future>(future: F) -> (F::Output, UsageReport) {
    let scope = current_scope();
    let tracker = Arc::new(UsageScope { detail: Some(Mutex::default()), ..UsageScope::below(scope.usage()) });
    let output = scope.tracking(tracker.clone()).enter(future).await;
    (output, tracker.report())
}

/// The usage of the calls of a future; created by [`track_usage`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct UsageReport {
    /// The sum of all charged calls.
    pub total: Usage,
    /// The answers from a cache or a journal, which were not charged.
    pub cached: CachedUsage,
    /// The same by model, sorted by name.
    pub models: Vec<ModelUsage>,
}

/// A sum of answers that were not charged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct CachedUsage {
    /// The number of answers.
    pub answers: u64,
    /// The usage that was charged when the answers were first returned.
    pub saved: Usage,
}

/// The part of one model in a [`UsageReport`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ModelUsage {
    /// The name of the model, as returned by [`Lm::id`].
    pub model: String,
    /// The address of the model, as returned by [`Lm::endpoint`].
    pub endpoint: String,
    /// The usage of charged calls.
    pub usage: Usage,
    /// The answers from a cache or a journal.
    pub cached: CachedUsage,
}

impl fmt::Display for UsageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, usage: &Usage, cached: &CachedUsage| {
            write!(f, "{name}: {} calls, {} tokens", usage.requests, usage.total_tokens())?;
            match usage.cost_usd {
                Some(usd) => write!(f, ", ${usd:.6}")?,
                None if usage.requests > 0 => f.write_str(", cost unknown")?,
                None => {}
            }
            if cached.answers > 0 {
                write!(f, "; {} from a cache", cached.answers)?;
            }
            writeln!(f)
        };
        line("total", &self.total, &self.cached)?;
        for ModelUsage { model, usage, cached, .. } in &self.models {
            line(&format!("  {model}"), usage, cached)?;
        }
        Ok(())
    }
}

/// The sum of the usage of all calls in a scope and the scopes nested in it, including those of spawned
/// tasks.
#[derive(Default)]
pub struct UsageScope {
    total: Mutex<Tally>,
    /// The usage by model; only for [`track_usage`].
    detail: Option<Mutex<Vec<Row>>>,
    outer: Option<Arc<UsageScope>>,
}

#[derive(Default)]
struct Row {
    model: String,
    endpoint: String,
    charged: Tally,
    cached: u64,
    saved: Tally,
}

impl fmt::Debug for UsageScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageScope").finish_non_exhaustive()
    }
}

impl UsageScope {
    /// Creates a scope whose usage also counts in `outer`.
    pub fn below(outer: Option<Arc<UsageScope>>) -> Self {
        UsageScope { total: Mutex::default(), detail: None, outer }
    }

    /// Returns the sum of all calls.
    pub fn total(&self) -> Usage {
        self.total.lock_any().usage()
    }

    fn report(&self) -> UsageReport {
        let mut report = UsageReport::default();
        let (mut total, mut saved) = (Tally::default(), Tally::default());
        if let Some(detail) = &self.detail {
            for row in detail.lock_any().iter() {
                total.add(row.charged);
                saved.add(row.saved);
                report.cached.answers += row.cached;
                report.models.push(ModelUsage {
                    model: row.model.clone(),
                    endpoint: row.endpoint.clone(),
                    usage: row.charged.usage(),
                    cached: CachedUsage { answers: row.cached, saved: row.saved.usage() },
                });
            }
        }
        report.models.sort_by(|a, b| (&a.model, &a.endpoint).cmp(&(&b.model, &b.endpoint)));
        report.total = total.usage();
        report.cached.saved = saved.usage();
        report
    }
}

impl Tracker for UsageScope {
    fn answered(&self, lm: &Lm, response: &Response) {
        let mut scope = Some(self);
        while let Some(tracker) = scope {
            if !response.cached {
                let mut total = tracker.total.lock_any();
                total.add(Tally::of(&response.usage));
            }
            if let Some(detail) = &tracker.detail {
                let mut rows = detail.lock_any();
                row(&mut rows, lm).count(response);
            }
            scope = tracker.outer.as_deref();
        }
    }
}

impl LmScope {
    /// Adds a tracker that sums up the usage of the calls.
    #[doc(hidden)]
    #[must_use]
    pub fn tracking(self, usage: Arc<UsageScope>) -> Self {
        self.tracked_by(usage)
    }

    /// Returns the tracker that sums up the usage of the calls.
    #[doc(hidden)]
    pub fn usage(&self) -> Option<Arc<UsageScope>> {
        self.tracker()
    }
}

impl Row {
    fn count(&mut self, response: &Response) {
        if response.cached {
            self.cached += 1;
            self.saved.add(Tally::of(&response.usage));
        } else {
            self.charged.add(Tally::answered(response));
        }
    }
}

/// Returns the row of a model, by linear search, because few models are in use at a time.
fn row<'r>(rows: &'r mut Vec<Row>, lm: &Lm) -> &'r mut Row {
    let (model, endpoint) = if rows.len() < MOST_MODELS { (lm.id(), lm.endpoint()) } else { (OTHERS, "") };
    let known = rows.iter().position(|row| row.model == lm.id() && row.endpoint == lm.endpoint());
    let at = known.or_else(|| rows.iter().position(|row| row.model == model && row.endpoint == endpoint));
    let at = at.unwrap_or_else(|| {
        rows.push(Row { model: model.to_owned(), endpoint: endpoint.to_owned(), ..Row::default() });
        rows.len() - 1
    });
    &mut rows[at]
}
