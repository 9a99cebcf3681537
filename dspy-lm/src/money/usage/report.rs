//! Who has used what: trackers of the calls that a future makes.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use super::{Tally, Usage};
use crate::{Lm, Response, current_scope};
use dspy_base::locks::MutexExt as _;

/// Models that a report keeps apart. What more there are is summed up under [`OTHERS`].
const MOST_MODELS: usize = 1_000;
const OTHERS: &str = "others";

/// Runs `future` and tells what its calls have used, those of nested trackers and of tasks that were
/// `dspy::spawn`ed in it included. Trackers beside it see nothing of them.
///
/// Calls that a spawned task makes after `future` has ended are not in the report any more.
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
    let tracker =
        Arc::new(UsageScope { detail: Some(Mutex::default()), ..UsageScope::below(scope.usage().cloned()) });
    let output = scope.tracking(tracker.clone()).enter(future).await;
    (output, tracker.report())
}

/// What the calls of a future have used; made by [`track_usage`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct UsageReport {
    /// All that was charged.
    pub total: Usage,
    /// The answers that came from a cache or a journal, and were not.
    pub cached: CachedUsage,
    /// The same by model, in the order of their names.
    pub models: Vec<ModelUsage>,
}

/// Answers that were not charged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct CachedUsage {
    /// How many.
    pub answers: u64,
    /// What they were charged when they were first given.
    pub saved: Usage,
}

/// The part of one model in a [`UsageReport`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ModelUsage {
    /// Its name, as [`Lm::id`].
    pub model: String,
    /// Where it is served, as [`Lm::endpoint`].
    pub endpoint: String,
    /// What was charged.
    pub usage: Usage,
    /// What came from a cache.
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

/// Sums the usage of all calls made below it, those of spawned tasks included.
#[derive(Default)]
pub struct UsageScope {
    total: Mutex<Tally>,
    /// By model; only for who wants to know.
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
    /// A sum that counts in `outer`, too.
    pub fn below(outer: Option<Arc<UsageScope>>) -> Self {
        UsageScope { total: Mutex::default(), detail: None, outer }
    }

    pub(crate) fn add(&self, lm: &Lm, response: &Response) {
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

    /// All of it.
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

/// The row of a model. Few models are in use at a time, so that looking through them is quick.
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
