//! Evaluation: runs a program on a data set and scores each output by a metric. Every item has its own
//! result.

mod closure;
mod item;
mod judge;
mod metric;
mod report;
mod run;
mod shared_metric;
mod text;

pub use closure::{AsyncMetric, AsyncMetricWith, MetricWith, form, metric_with};
pub use item::{Item, ItemError};
pub use judge::{CompleteAndGrounded, SemanticF1};
pub use metric::{IntoScore, Judged, Metric, Score};
pub use report::{Evaluation, Summary};
pub use run::{Evaluate, EvaluateError};
pub use shared_metric::SharedMetric;
pub use text::{answer_exact_match, answer_passage_match, normalize_text, token_f1};
