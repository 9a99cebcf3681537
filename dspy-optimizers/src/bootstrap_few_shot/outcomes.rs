//! Results of the runs of a teacher on rows.

use crate::counts::counted;
use crate::engine::{Program, Study, on_row};
use crate::error::OptimizeError;
use crate::report::ItemReport;

/// Returns notes on the rows that were tried: the number of successes, and of failures with the first one.
pub(crate) fn notes(items: &[ItemReport], successes: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if !items.is_empty() {
        notes.push(format!("{successes} of {} tried succeeded", counted(items.len(), "row")));
    }
    let mut failures = items.iter().filter_map(|item| item.error.as_deref());
    if let Some(first) = failures.next() {
        notes.push(format!("{} failed, the first: {first}", 1 + failures.count()));
    }
    notes
}

/// Checks that the metric has scored a row. If it has failed on all of them, that says nothing about the teacher.
///
/// # Errors
/// If no row that was tried has a score.
pub(super) fn check_metric<P: Program, E>(
    study: &Study<'_, P, E>,
    items: &[ItemReport],
) -> Result<(), OptimizeError> {
    match items.last() {
        Some(last) if items.iter().all(|item| item.score.is_none()) => Err(OptimizeError::Metric {
            failed: items.len(),
            last: on_row(study.train().set(), last.index, last.error.as_deref().unwrap_or_default()),
            run_dir: study.run_dir().map(Into::into),
            online: false,
        }),
        _ => Ok(()),
    }
}
