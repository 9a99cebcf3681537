//! Proposals raise the accuracy on fresh rows.

use super::{Synthetic, ask, prompt, propose};
use crate::{Params, Request};

/// Checks that proposals raise the accuracy on fresh rows by at least `lift` on average.
fn assert_lifts(name: &str, tasks: impl Iterator<Item = Synthetic>, shown: usize, lift: f64) {
    let (mut before, mut after, mut count) = (0.0, 0.0, 0.0);
    let mut last = String::new();
    for (at, task) in tasks.enumerate() {
        let bare = "Give the right answer.";
        last = propose(&task.records(shown, at % 4), bare, None);
        before += task.accuracy(bare, shown);
        after += task.accuracy(&last, shown);
        count += 1.0;
    }
    let (before, after) = (before / count, after / count);
    println!("{name}: {before:.3} → {after:.3}\n{last}\n");
    assert!(after > before + lift, "{name}: {before} → {after}\n{last}");
}

const SEEDS: std::ops::Range<u64> = 0..30;

#[test]
fn words_are_learned() {
    assert_lifts("words", SEEDS.map(|seed| Synthetic::of_words(seed, &[], "", 84)), 60, 0.3);
}

#[test]
fn yes_and_no_are_learned() {
    assert_lifts("yes/no", SEEDS.map(|seed| Synthetic::of_words(seed, &["yes", "no"], "", 64)), 40, 0.2);
    assert_lifts(
        "boolean",
        SEEDS.map(|seed| Synthetic::of_words(seed, &["true", "false"], "boolean", 64)),
        40,
        0.2,
    );
}

#[test]
fn labels_of_a_free_text_are_learned() {
    assert_lifts("text", SEEDS.map(|seed| Synthetic::of_words(seed, &[], "string", 84)), 60, 0.5);
}

#[test]
fn ranges_are_learned() {
    assert_lifts("numbers", SEEDS.map(|seed| Synthetic::of_numbers(seed, 84)), 60, 0.4);
}

#[test]
fn the_middle_of_a_range_is_learned() {
    assert_lifts("bands", SEEDS.map(|seed| Synthetic::of_bands(seed, 84)), 60, 0.25);
}

#[test]
fn the_text_that_decides_is_found() {
    assert_lifts("two texts", SEEDS.map(|seed| Synthetic::of_two_texts(seed, 84)), 60, 0.2);
}

#[test]
fn samples_are_good_too_and_differ() {
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..8 {
        for task in [Synthetic::of_words(seed, &[], "", 100), Synthetic::of_numbers(seed, 100)] {
            let records = task.records(60, 1);
            let bare = "Give the right answer.";
            assert_eq!(propose(&records, bare, None), propose(&records, bare, None));
            assert_eq!(propose(&records, bare, Some(1)), propose(&records, bare, Some(1)));
            let samples: Vec<String> = (0..3).map(|rollout| propose(&records, bare, Some(rollout))).collect();
            assert!(samples[0] != samples[1] || samples[1] != samples[2], "{samples:?}");
            before += task.accuracy(bare, 60);
            after += samples.iter().map(|sample| task.accuracy(sample, 60)).sum::<f64>() / 3.0;
        }
    }
    assert!(after > before + 16.0 * 0.2, "{before} → {after}");
}

#[test]
fn completions_of_one_request_differ() {
    let task = Synthetic::of_words(3, &[], "", 40);
    let inputs = [("records", task.records(40, 1))];
    let mut request = Request::new(prompt(&inputs, &[("rules", "string[]")], "Infer rules."));
    request.params = Params { temperature: Some(1.0), n: Some(4), ..Params::default() };
    let texts: std::collections::HashSet<String> =
        ask(&request).completions.into_iter().map(|completion| completion.text).collect();
    assert!(texts.len() > 1, "{texts:?}");
}

#[test]
fn small_batches_add_up() {
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..4 {
        for task in [Synthetic::of_words(seed, &[], "", 120), Synthetic::of_numbers(seed, 120)] {
            let mut instruction = "Give the right answer.".to_owned();
            let mut best = task.accuracy(&instruction, 90);
            before += task.accuracy(&instruction, 60);
            for batch in 0..10 {
                let part = Synthetic {
                    output: task.output.clone(),
                    kind: task.kind.clone(),
                    labels: task.labels.clone(),
                    rows: task.rows[batch * 6..batch * 6 + 6].to_vec(),
                };
                let next = propose(&part.records(6, 2), &instruction, None);
                // As in a search, a proposal counts if it is better on other rows.
                let of_next = task.accuracy(&next, 90);
                if of_next > best {
                    (instruction, best) = (next, of_next);
                }
            }
            after += task.accuracy(&instruction, 60);
        }
    }
    println!("batches: {:.3} → {:.3}", before / 8.0, after / 8.0);
    assert!(after > before + 8.0 * 0.2, "{before} → {after}");
}
