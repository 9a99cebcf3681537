//! The text format that Prometheus scrapes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::Counts;
use super::histogram::Histogram;
use dspy_lm::observe::spans::lm_error_type;

/// The bounds of the buckets in milliseconds, as OpenTelemetry's conventions require.
const BOUNDS: [u64; 14] = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 40960, 81920];

/// A family of series: its name, its type, its help text, and its samples for one model.
type Family = (&'static str, &'static str, &'static str, fn(&Counts, &str, &mut Vec<String>));

/// The histogram that a family shows.
type Times = fn(&Counts) -> &Histogram;

const FAMILIES: &[Family] = &[
    ("dspy_lm_calls_total", "counter", "Calls of models that have ended.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.calls));
    }),
    ("dspy_lm_cached_total", "counter", "Calls that a cache answered.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.cached));
    }),
    ("dspy_lm_cancelled_total", "counter", "Calls that were dropped.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.cancelled));
    }),
    ("dspy_lm_retries_total", "counter", "Attempts beyond the first.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.retries));
    }),
    ("dspy_lm_in_flight", "gauge", "Calls that have not ended.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.in_flight));
    }),
    ("dspy_lm_errors_total", "counter", "Failed calls by class.", |counts, model, samples| {
        let mut errors: Vec<_> = counts.errors.iter().map(|(kind, n)| (lm_error_type(*kind), n)).collect();
        errors.sort_unstable();
        samples.extend(errors.iter().map(|(kind, n)| format!("{{{model},error_type=\"{kind}\"}} {n}")));
    }),
    ("dspy_lm_tokens_total", "counter", "Tokens sent and generated.", |counts, model, samples| {
        let usage = &counts.usage;
        for (kind, count) in [("input", usage.prompt_tokens), ("output", usage.completion_tokens)] {
            samples.push(format!("{{{model},type=\"{kind}\"}} {count}"));
        }
    }),
    ("dspy_lm_cost_usd_total", "counter", "Known cost in US dollars.", |counts, model, samples| {
        samples.push(format!("{{{model}}} {}", counts.cost));
    }),
];

pub(super) fn text(counts: &HashMap<Arc<str>, Counts>) -> String {
    let mut models: Vec<_> = counts.iter().map(|(model, counts)| (label(model), counts)).collect();
    models.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for (name, kind, help, samples_of) in FAMILIES {
        head(&mut text, name, kind, help);
        for (model, counts) in &models {
            let mut samples = Vec::new();
            samples_of(counts, model, &mut samples);
            for sample in samples {
                let _ = writeln!(text, "{name}{sample}");
            }
        }
    }
    let histograms: [(&str, &str, Times); 2] = [
        ("dspy_lm_duration_seconds", "How long calls took.", |counts| &counts.duration),
        ("dspy_lm_first_token_seconds", "How long first pieces took.", |counts| &counts.first_token),
    ];
    for (name, help, times) in histograms {
        head(&mut text, name, "histogram", help);
        for (model, counts) in &models {
            histogram(&mut text, name, model, times(counts));
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram(text: &mut String, name: &str, model: &str, times: &Histogram) {
    for bound in BOUNDS {
        let (count, bound) = (times.up_to(Duration::from_millis(bound)), bound as f64 / 1e3);
        let _ = writeln!(text, "{name}_bucket{{{model},le=\"{bound}\"}} {count}");
    }
    let all = times.times();
    let _ = writeln!(text, "{name}_bucket{{{model},le=\"+Inf\"}} {}", all.count);
    let _ = writeln!(text, "{name}_sum{{{model}}} {}", all.sum.as_secs_f64());
    let _ = writeln!(text, "{name}_count{{{model}}} {}", all.count);
}

fn label(model: &str) -> String {
    let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("model=\"{model}\"")
}
