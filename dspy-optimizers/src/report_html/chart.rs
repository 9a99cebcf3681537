//! The score of each trial as a chart. Positions are percentages, so that marks and text keep their size at any width.

use std::fmt;

use super::text::{Text, count, counted, score};
use super::{LABEL, close, open};
use crate::report::Report;

/// The number of trials up to which all are drawn.
const ALL: usize = 400;
/// The number of groups that more trials are divided into. The lowest and the highest score of each are drawn.
const GROUPS: usize = 200;

/// A drawn trial.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    trial: usize,
    score: f64,
}

/// The vertical axis.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let points = points(report);
    if points.is_empty() {
        return Ok(());
    }
    open(f, "scores", "Score of each trial")?;
    let axis = Axis::of(&points);
    let last = report.trials.len().saturating_sub(1);
    let across = |trial: usize| if last == 0 { 50.0 } else { trial as f64 / last as f64 * 100.0 };
    writeln!(f, "<div class=\"chart\">\n<div class=\"ticks\" aria-hidden=\"true\">")?;
    for tick in axis.ticks() {
        writeln!(f, "<span style=\"top:{:.2}%\">{}</span>", axis.down(tick), axis.label(tick))?;
    }
    let scored = report.trials.iter().filter(|trial| trial.score.is_some()).count();
    writeln!(
        f,
        "</div>\n<svg role=\"img\" aria-label=\"The scores of {}, from {} to {}.\">",
        counted(scored as u64, "trial"),
        score(points.iter().map(|point| point.score).reduce(f64::min)),
        score(points.iter().map(|point| point.score).reduce(f64::max)),
    )?;
    for tick in axis.ticks() {
        let y = axis.down(tick);
        writeln!(f, "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/>")?;
    }
    let mut so_far: Option<Point> = None;
    for point in &points {
        if so_far.is_none_or(|before| point.score > before.score) {
            let (x, y) = (across(point.trial), axis.down(point.score));
            if let Some(before) = so_far {
                let (from, above) = (across(before.trial), axis.down(before.score));
                level(f, from, x, above)?;
                writeln!(
                    f,
                    "<line class=\"best\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{above:.2}%\" y2=\"{y:.2}%\"/>"
                )?;
            }
            so_far = Some(*point);
        }
    }
    if let Some(best) = so_far {
        level(f, across(best.trial), 100.0, axis.down(best.score))?;
    }
    for point in &points {
        let trial = &report.trials[point.trial];
        let mark = if point.trial == report.best {
            Mark::Result
        } else if trial.parameters == report.initial {
            Mark::Original
        } else {
            Mark::Candidate
        };
        writeln!(
            f,
            "<svg x=\"{:.2}%\" y=\"{:.2}%\" class=\"mark\">{}<title>Trial {}: {}, {}</title></svg>",
            across(point.trial),
            axis.down(point.score),
            mark.shape(),
            point.trial,
            score(Some(point.score)),
            Text(&trial.label).most(LABEL / 3),
        )?;
    }
    writeln!(f, "</svg>\n<div class=\"ends\"><span>trial 0</span><span>trial {last}</span></div>\n</div>")?;
    writeln!(f, "<ul class=\"legend\">")?;
    for (mark, name) in
        [(Mark::Result, "result"), (Mark::Original, "original program"), (Mark::Candidate, "candidate")]
    {
        writeln!(
            f,
            "<li><svg class=\"key\" aria-hidden=\"true\"><svg x=\"50%\" y=\"50%\" class=\"mark\">{}</svg></svg>{name}</li>",
            mark.shape()
        )?;
    }
    writeln!(
        f,
        "<li><svg class=\"key\" aria-hidden=\"true\"><line class=\"best\" x1=\"0\" x2=\"100%\" y1=\"50%\" y2=\"50%\"/></svg>\
         highest so far</li>\n</ul>"
    )?;
    if scored > points.len() {
        let (groups, scored) = (count(GROUPS as u64), count(scored as u64));
        writeln!(
            f,
            "<p class=\"note\">Of {scored} scores, the chart shows the lowest and the highest of each of {groups} groups \
             of successive trials.</p>"
        )?;
    }
    close(f)
}

fn level(f: &mut fmt::Formatter<'_>, from: f64, to: f64, y: f64) -> fmt::Result {
    writeln!(f, "<line class=\"best\" x1=\"{from:.2}%\" x2=\"{to:.2}%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/>")
}

/// Returns the scores to draw, in the order of the trials.
fn points(report: &Report) -> Vec<Point> {
    let scored = report.trials.iter().enumerate();
    let scored = scored.filter_map(|(trial, held)| Some(Point { trial, score: held.score? }));
    let scored: Vec<Point> = scored.filter(|point| point.score.is_finite()).collect();
    if scored.len() <= ALL {
        return scored;
    }
    let mut kept: Vec<Point> = Vec::with_capacity(2 * GROUPS + 2);
    for group in scored.chunks(scored.len().div_ceil(GROUPS)) {
        let first = group[0];
        let high = group.iter().fold(first, |a, b| if b.score > a.score { *b } else { a });
        let low = group.iter().fold(first, |a, b| if b.score < a.score { *b } else { a });
        kept.extend([low, high]);
    }
    kept.extend(scored.iter().find(|point| point.trial == report.best));
    kept.extend(scored.iter().find(|point| report.trials[point.trial].parameters == report.initial));
    kept.sort_by_key(|point| point.trial);
    kept.dedup_by_key(|point| point.trial);
    kept
}

impl Axis {
    fn of(points: &[Point]) -> Self {
        let low = points.iter().map(|point| point.score).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.score).fold(f64::NEG_INFINITY, f64::max);
        let span = (high - low).max(high.abs().max(1.0) * 0.02);
        let rough = span / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| power * factor >= rough).unwrap_or(10.0);
        let step = power * factor;
        let (mut low, mut high) = ((low / step).floor() * step, (high / step).ceil() * step);
        if high - low < step / 2.0 {
            (low, high) = (low - step, high + step);
        }
        Axis { low, high, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        // Scores of an extreme size could make the number of steps anything.
        let steps = ((self.high - self.low) / self.step).round().clamp(1.0, 8.0) as usize;
        (0..=steps).map(move |at| self.low + (self.high - self.low) * at as f64 / steps as f64)
    }

    fn down(&self, score: f64) -> f64 {
        ((self.high - score) / (self.high - self.low) * 100.0).clamp(0.0, 100.0)
    }

    fn label(&self, tick: f64) -> String {
        let percent = tick * 100.0;
        let percent = if percent.abs() < 1e-9 { 0.0 } else { percent };
        if self.step < 0.01 {
            format!("{percent:.2} %")
        } else {
            format!("{} %", (percent * 10.0).round() / 10.0)
        }
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Result,
    Original,
    Candidate,
}

impl Mark {
    fn shape(self) -> &'static str {
        match self {
            Mark::Result => {
                "<path class=\"result\" d=\"M0-9 2.6-3 9-2.8 3.9 1.4 5.6 7.6 0 4-5.6 7.6-3.9 1.4-9-2.8-2.6-3Z\"/>"
            }
            Mark::Original => "<path class=\"original\" d=\"M-5-5H5V5H-5Z\"/>",
            Mark::Candidate => "<circle class=\"candidate\" r=\"3.5\"/>",
        }
    }
}
