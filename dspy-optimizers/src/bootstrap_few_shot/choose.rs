//! The selection of demonstrations from the calls of a successful run.

use std::collections::HashMap;

use dspy_core::Seed;
use dspy_core::program::TraceStep;
use dspy_core::signature::Demo;

/// Returns one demonstration for each predictor that was called, by path.
///
/// For a predictor with several calls it is the last one with probability ½, otherwise one of the earlier
/// ones at random. The last call of a loop has the most context, but only earlier ones show how to begin.
pub(crate) fn demonstrations(steps: Vec<TraceStep>, seed: Seed) -> HashMap<String, Demo> {
    let mut by_path: HashMap<String, Vec<Demo>> = HashMap::new();
    for TraceStep { predictor, inputs, outputs, .. } in steps.into_iter().filter(|step| step.error.is_none())
    {
        let values = inputs.into_iter().chain(outputs).collect();
        by_path.entry(predictor).or_default().push(Demo::augmented(values));
    }
    let choose = |(path, mut calls): (String, Vec<Demo>)| {
        let mut rng = seed.branch(&path).rng();
        let last = calls.len() - 1;
        let at = if last == 0 || rng.unit() < 0.5 { last } else { rng.below(last) };
        (path, calls.swap_remove(at))
    };
    by_path.into_iter().map(choose).collect()
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;
    use serde_json::json;

    use super::*;

    #[test]
    fn half_of_the_time_it_is_the_last_call() {
        let steps = |calls: u64| {
            (0..calls).map(|call| {
                let step = json!({
                    "predictor": "hop", "inputs": {"n": call}, "outputs": {}, "reply": "", "usage": Usage::default(),
                });
                serde_json::from_value::<TraceStep>(step).unwrap()
            })
        };
        let mut chosen = [0; 3];
        for seed in 0..1000 {
            let demos = demonstrations(steps(3).collect(), Seed::new(seed));
            assert!(demos["hop"].augmented);
            chosen[demos["hop"].values["n"].as_u64().unwrap() as usize] += 1;
        }
        assert!((450..550).contains(&chosen[2]), "{chosen:?}");
        assert!(chosen[0] > 200 && chosen[1] > 200, "{chosen:?}");
        assert_eq!(demonstrations(steps(1).collect(), Seed::new(0)).len(), 1);
        let mut failed: Vec<_> = steps(1).collect();
        failed[0].error = Some("no reply".into());
        assert!(demonstrations(failed, Seed::new(0)).is_empty(), "a call that failed shows nothing");
    }
}
