//! Free text, copied from the nearest demonstration or extracted from the inputs.

use serde_json::Value;

use super::passages;
use super::prepared::{Parted, Prepared, part};
use super::prompt::Field;
use super::sampler::Sampler;
use super::spans;
use super::text_form::TextForm;
use super::value_type::plain;
use super::words::{Word, words};

/// The minimum similarity at which a demonstration counts as one of the same input.
const SAME: f64 = 0.9;
/// The number of demonstrations from which the form of answers is inferred.
const STYLE: usize = 24;
/// The maximum number of words of an answer that counts as a span.
const LONGEST_SPAN: usize = 8;
/// Word stems in a field's name or description that indicate search terms, and those that indicate a short
/// answer.
const QUERY_STEMS: &[&str] = &["query", "queri", "search", "keyword"];
const SHORT_STEMS: &[&str] = &[
    "short", "span", "brief", "concis", "exact", "phras", "name", "word", "year", "number", "dat", "entit",
    "term",
];

/// Extracted text, and a sentence about its source.
pub(super) struct Extract {
    pub(super) text: String,
    pub(super) why: String,
}

/// Returns text for a field. `targets` are its values in the demonstrations.
pub(super) fn extract(
    prepared: &Prepared<'_>,
    field: &Field,
    targets: &[Option<Value>],
    form: &TextForm,
    sampler: &mut Sampler,
) -> Extract {
    let shown = |case: usize| targets.get(case)?.as_ref().map(plain).filter(|text| !text.is_empty());
    if let Some((case, similarity)) = prepared.nearest.first()
        && *similarity >= SAME
        && let Some(text) = shown(*case)
    {
        return Extract { text, why: "An example has almost the same input.".into() };
    }
    let parted = prepared.parted();
    if mentions(field, QUERY_STEMS) {
        return key_terms(&parted);
    }
    let near: Vec<(usize, String)> =
        prepared.nearest.iter().take(STYLE).filter_map(|(case, _)| Some((*case, shown(*case)?))).collect();
    let question = parted.asked.join(" ");
    let mut asked = stems(&question);
    if asked.is_empty() {
        let about = format!("{} {}", field.name.replace('_', " "), field.description);
        asked = stems(&about);
    }
    let mut sentences = passages::split(parted.material.iter().copied());
    passages::score(&mut sentences, &asked);
    if wants_spans(prepared, field, &near) || (near.is_empty() && form.is_short()) {
        let pairs: Vec<(String, &str)> = near
            .iter()
            .map(|(case, answer)| (part(&prepared.fitted.texts[*case]).asked.join(" "), answer.as_str()))
            .collect();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(asked, answer)| (asked.as_str(), *answer)).collect();
        let found = spans::candidates(&sentences, &question, &pairs);
        let scores: Vec<f64> = found.iter().map(|span| span.score).collect();
        if let Some(span) = sampler.pick(&scores).and_then(|at| found.get(at)) {
            return Extract { text: span.text.to_owned(), why: says(span.sentence) };
        }
    }
    let scores: Vec<f64> = sentences.iter().map(|sentence| sentence.score).collect();
    match sampler.pick(&scores).and_then(|at| sentences.get(at)) {
        Some(sentence) => Extract { text: sentence.text.to_owned(), why: says(sentence.text) },
        None => {
            let text = near.into_iter().next().map(|(_, text)| text);
            let why = "The inputs say nothing that would answer this.".to_owned();
            Extract { text: text.unwrap_or_else(|| "Nothing to go by.".into()), why }
        }
    }
}

fn says(sentence: &str) -> String {
    format!("What fits best in the input is: {sentence}")
}

fn stems(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|word| !word.stop).map(|word| word.stem).collect()
}

/// Returns whether a field's name or description contains one of these stems.
pub(super) fn mentions(field: &Field, wanted: &[&str]) -> bool {
    let text = format!("{} {}", field.name.replace(['_', '-'], " "), field.description);
    words(&text).iter().any(|word| wanted.contains(&word.stem.as_str()))
}

/// Returns whether answers are short pieces of the inputs: as most of the demonstrations `near` are or,
/// without demonstrations, as the field's name or description says.
fn wants_spans(prepared: &Prepared<'_>, field: &Field, near: &[(usize, String)]) -> bool {
    if near.is_empty() {
        return mentions(field, SHORT_STEMS);
    }
    let short = near.iter().filter(|(case, text)| {
        let lower = text.to_lowercase();
        let inside =
            prepared.fitted.texts[*case].iter().flatten().any(|input| input.to_lowercase().contains(&lower));
        let length = words(text).len();
        length <= LONGEST_SPAN && (inside || length <= LONGEST_SPAN / 2)
    });
    short.count() * 2 > near.len()
}

/// Returns search terms: the words of the question that the material does not cover, after the names in the
/// best-scoring sentence of the material.
fn key_terms(parted: &Parted<'_>) -> Extract {
    let (question, known) = if parted.asked.is_empty() {
        (parted.material.join(" "), Vec::new())
    } else {
        (parted.asked.join(" "), parted.material.clone())
    };
    let asked: Vec<Word> = words(&question).into_iter().filter(|word| !word.stop).collect();
    let stems: Vec<String> = asked.iter().map(|word| word.stem.clone()).collect();
    let mut sentences = passages::split(known.into_iter().filter(|text| *text != question));
    passages::score(&mut sentences, &stems);
    let covered: Vec<&Word> = sentences.iter().flat_map(|sentence| &sentence.words).collect();
    let is_covered = |word: &&Word| covered.iter().any(|other| other.stem == word.stem);
    let mut terms: Vec<String> = Vec::new();
    let mut add = |term: &str| {
        if !terms.iter().any(|known| known.eq_ignore_ascii_case(term)) {
            terms.push(term.to_owned());
        }
    };
    if let Some(best) = passages::best(&sentences) {
        let links = passages::names(best).filter(|word| !stems.contains(&word.stem));
        links.for_each(|word| add(word.written(best.text)));
    }
    let open: Vec<&Word> = asked.iter().filter(|word| !is_covered(word)).collect();
    let kept = if open.is_empty() { asked.iter().collect() } else { open };
    kept.into_iter().for_each(|word| add(word.written(&question)));
    if terms.is_empty() {
        terms.push(question.trim().to_owned());
    }
    let why = "These words of the question are not covered by what is known yet.".to_owned();
    Extract { text: terms.join(" "), why }
}

/// Returns an answer to a prompt without fields: the sentence that best fits the last question, or the last
/// sentence if there is no question.
pub(super) fn free_form(text: &str, system: &str, sampler: &mut Sampler) -> String {
    let all = super::words::sentences(text);
    let question =
        all.iter().rposition(|sentence| sentence.ends_with('?')).unwrap_or(all.len().saturating_sub(1));
    let asked = all.get(question).map(|sentence| stems(sentence)).unwrap_or_default();
    let rest = all.iter().enumerate().filter(|(at, _)| *at != question).map(|(_, sentence)| *sentence);
    let mut sentences = passages::split(rest.chain([system]));
    passages::score(&mut sentences, &asked);
    let scores: Vec<f64> = sentences.iter().map(|sentence| sentence.score).collect();
    let best = sampler.pick(&scores).and_then(|at| sentences.get(at)).map(|sentence| sentence.text);
    best.or_else(|| all.first().copied()).unwrap_or("Nothing to go by.").to_owned()
}
