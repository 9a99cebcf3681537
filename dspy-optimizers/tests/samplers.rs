//! The samplers: what they find, what they never do, and hostile observations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::collections::HashSet;

use dspy_core::{Rng, Seed};
use dspy_optimizers::samplers::{SamplerError, Thompson, Tpe};

const SPACE: [usize; 6] = [6, 9, 4, 12, 7, 5];

/// A landscape with random effects of choices, from 0 to 1, and of neighbouring pairs, from 0 to 1/2.
fn landscape(seed: Seed) -> impl Fn(&[usize]) -> f64 {
    let mut rng = seed.branch("landscape").rng();
    let own = SPACE.map(|choices| (0..choices).map(|_| rng.unit()).collect::<Vec<_>>());
    let both: Vec<Vec<f64>> =
        SPACE.windows(2).map(|pair| (0..pair[0] * pair[1]).map(|_| rng.unit() / 2.0).collect()).collect();
    move |choices: &[usize]| {
        let single: f64 = choices.iter().zip(&own).map(|(&choice, own)| own[choice]).sum();
        let pairs = choices.windows(2).zip(&SPACE[1..]).zip(&both);
        single + pairs.map(|((pair, count), both)| both[pair[0] * count + pair[1]]).sum::<f64>()
    }
}

/// The best score after that number of trials.
fn best_after(trials: usize, mut tpe: Tpe, score: impl Fn(&[usize]) -> f64, rng: &mut Rng) -> f64 {
    for _ in 0..trials {
        let suggestion = tpe.suggest(rng);
        tpe.observe(&suggestion, score(&suggestion)).unwrap();
    }
    score(tpe.best().unwrap())
}

fn tpe() -> Tpe {
    Tpe::new(SPACE).unwrap()
}

#[test]
fn equal_observations_and_seeds_result_in_equal_suggestions() {
    for published in [false, true] {
        let run = |seed| {
            let mut tpe = if published { tpe().published() } else { tpe() };
            let (mut rng, score) = (Seed::new(seed).rng(), landscape(Seed::new(1)));
            let trial = |_| {
                let suggestion = tpe.suggest(&mut rng);
                tpe.observe(&suggestion, score(&suggestion)).unwrap();
                suggestion
            };
            (0..40).map(trial).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}

#[test]
fn the_order_of_equal_scores_does_not_prefer_choices() {
    // All scores are equal: the densities of good and bad are those of the same configurations.
    let mut tpe = Tpe::new([4, 4]).unwrap().repeats(0.0).unwrap();
    for first in 0..4 {
        tpe.observe(&[first, first], 1.0).unwrap();
        tpe.observe(&[first, (first + 1) % 4], 1.0).unwrap();
    }
    let suggested = |seed| tpe.suggest(&mut Seed::new(seed).rng())[0];
    let firsts: HashSet<usize> = (0..64).map(suggested).collect();
    assert_eq!(firsts.len(), 4, "{firsts:?}");
}

#[test]
fn searches_beat_random_search() {
    let (mut random, mut published, mut own) = (0.0, 0.0, 0.0);
    for index in 0..40 {
        let seed = Seed::new(3).index(index);
        let score = landscape(seed);
        let mut rng = seed.branch("search").rng();
        random += best_after(50, tpe().published().startup(50), &score, &mut rng);
        published += best_after(50, tpe().published(), &score, &mut rng);
        own += best_after(50, tpe(), &score, &mut rng);
    }
    // The scores of random configurations have a mean of 4.25.
    let over_random = |sum: f64| (sum - random) / (random - 4.25 * 40.0);
    assert!(over_random(published) > 0.1, "{random} {published}");
    assert!(over_random(own) > 0.25 && own > published, "{random} {published} {own}");
}

#[test]
fn the_optimum_of_a_separable_landscape_is_found() {
    for seed in 0..4 {
        let score = |choices: &[usize]| {
            choices.iter().zip(SPACE).map(|(&choice, choices)| f64::from(choice == choices / 2)).sum()
        };
        assert_eq!(best_after(200, tpe(), score, &mut Seed::new(seed).rng()), 6.0, "{seed}");
    }
}

#[test]
fn noise_is_averaged() {
    // The best of nine is 0.2 better, and noise has a deviation of 0.29.
    let (mut found, mut rng) = (0, Seed::new(11).rng());
    for _ in 0..40 {
        let mut tpe = Tpe::new([3, 3]).unwrap();
        for _ in 0..150 {
            let suggestion = tpe.suggest(&mut rng);
            let mean = if suggestion == [1, 2] { 0.2 } else { 0.0 };
            tpe.observe(&suggestion, mean + rng.unit()).unwrap();
        }
        found += usize::from(tpe.best() == Some(&[1, 2]));
    }
    assert!(found >= 32, "{found} of 40");
}

#[test]
fn rows_weigh_a_score() {
    let mut tpe = Tpe::new([2]).unwrap();
    tpe.observe_rows(&[0], 0.6, 100).unwrap();
    tpe.observe_rows(&[1], 1.0, 1).unwrap();
    tpe.observe_rows(&[1], 0.4, 9).unwrap();
    assert_eq!(tpe.best(), Some(&[0][..]));
    tpe.observe_rows(&[1], 0.9, 1000).unwrap();
    assert_eq!(tpe.best(), Some(&[1][..]));
}

#[test]
fn without_noise_only_two_trials_are_repeats() {
    let (mut tpe, mut rng, mut seen) = (tpe(), Seed::new(2).rng(), HashSet::new());
    let score = landscape(Seed::new(4));
    for _ in 0..100 {
        let suggestion = tpe.suggest(&mut rng);
        tpe.observe(&suggestion, score(&suggestion)).unwrap();
        seen.insert(suggestion);
    }
    assert_eq!(seen.len(), 98);

    let (mut tpe, mut seen) = (Tpe::new([2, 3, 4]).unwrap().repeats(0.0).unwrap(), HashSet::new());
    for _ in 0..24 {
        assert!(!tpe.is_exhausted());
        let suggestion = tpe.suggest(&mut rng);
        tpe.observe(&suggestion, rng.unit()).unwrap();
        assert!(seen.insert(suggestion));
    }
    assert!(tpe.is_exhausted());
    // Noise is not known without repeats, so the best few are scored again.
    let suggestion = tpe.suggest(&mut rng);
    assert!(seen.contains(&suggestion));
}

#[test]
fn the_first_suggestions_have_different_choices() {
    let (mut tpe, mut rng) = (Tpe::new([6, 6, 3]).unwrap(), Seed::new(8).rng());
    let mut seen = vec![HashSet::new(); 3];
    for _ in 0..6 {
        let suggestion = tpe.suggest(&mut rng);
        tpe.observe(&suggestion, 0.5).unwrap();
        seen.iter_mut().zip(suggestion).for_each(|(seen, choice)| seen.extend([choice]));
    }
    assert_eq!(seen.iter().map(HashSet::len).collect::<Vec<_>>(), [6, 6, 3]);
}

#[test]
fn odd_spaces_have_suggestions() {
    let mut rng = Seed::new(1).rng();
    for (space, trials) in [(vec![], 30), (vec![1, 1], 30), (vec![1, 3, 1], 30), (vec![40; 300], 12)] {
        for published in [false, true] {
            let tpe = Tpe::new(space.clone()).unwrap();
            let mut tpe = if published { tpe.published() } else { tpe };
            assert_eq!(tpe.best(), None);
            for trial in 0..trials {
                let suggestion = tpe.suggest(&mut rng);
                assert!(suggestion.len() == space.len() && suggestion.iter().zip(&space).all(|(a, b)| a < b));
                tpe.observe(&suggestion, f64::from(trial % 3)).unwrap();
            }
            assert_eq!(tpe.is_exhausted(), space.len() < 4);
        }
    }
}

#[test]
fn invalid_input_is_a_typed_error() {
    for choices in [0, usize::MAX] {
        assert_eq!(Tpe::new([2, choices]).unwrap_err(), SamplerError::Choices { variable: 1, choices });
    }
    let mut tpe = Tpe::new([2, 3]).unwrap();
    assert_eq!(tpe.observe(&[1], 0.5), Err(SamplerError::Length { expected: 2, found: 1 }));
    assert_eq!(tpe.observe(&[1, 3], 0.5), Err(SamplerError::Choice { variable: 1, choice: 3, choices: 3 }));
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(tpe.observe(&[1, 1], score), Err(SamplerError::Score { .. })));
    }
    assert_eq!(tpe.observe_rows(&[1, 1], 0.5, 0), Err(SamplerError::NoRows));
    assert_eq!(tpe.best(), None);
    assert!(matches!(tpe.repeats(f64::NAN), Err(SamplerError::Setting { setting: "repeats", .. })));

    let mut arms = Thompson::new(2);
    assert_eq!(arms.observe(2, 0.5), Err(SamplerError::Arm { arm: 2, arms: 2 }));
    for score in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(matches!(arms.observe(0, score), Err(SamplerError::Score { .. })));
    }
    assert_eq!(arms.observe_rows(0, 0.5, 0), Err(SamplerError::NoRows));
    assert_eq!((arms.rows(0), arms.rows(7), arms.mean(7)), (0.0, 0.0, None));
    for (successes, failures) in [(0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
        assert!(matches!(arms.clone().prior(successes, failures), Err(SamplerError::Setting { .. })));
    }
    assert_eq!(Thompson::new(0).choose(&mut Seed::new(1).rng()), None);
    assert_eq!(SamplerError::NoRows.to_string(), "a score of no rows cannot be observed");
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    fn scores() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            Just(1.0),
            0.0..1.0,
            any::<f64>(),
            Just(f64::MAX),
            Just(f64::MIN),
            Just(f64::MIN_POSITIVE)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn observations_never_break_a_search(
            space in prop::collection::vec(1_usize..5, 0..5),
            trials in prop::collection::vec((prop::collection::vec(0_usize..6, 0..6), scores(), any::<usize>()), 0..40),
            published: bool,
            seed: u64,
        ) {
            let tpe = Tpe::new(space.clone()).unwrap();
            let mut tpe = if published { tpe.published() } else { tpe };
            let mut rng = Seed::new(seed).rng();
            for (at, (configuration, score, rows)) in trials.into_iter().enumerate() {
                // Every other trial is a suggestion, so that some are in the space.
                let configuration = if at % 2 == 0 { tpe.suggest(&mut rng) } else { configuration };
                let fits = configuration.len() == space.len() && configuration.iter().zip(&space).all(|(a, b)| a < b);
                let observed = tpe.observe_rows(&configuration, score, rows);
                prop_assert_eq!(observed.is_ok(), fits && score.is_finite() && rows > 0);
                let suggestion = tpe.suggest(&mut rng);
                prop_assert!(suggestion.len() == space.len() && suggestion.iter().zip(&space).all(|(a, b)| a < b));
                prop_assert!(tpe.best().is_none_or(|best| best.len() == space.len()));
            }
        }

        #[test]
        fn arms_stay_in_range(
            priors in (1e-300..1e300, 1e-300..1e300),
            trials in prop::collection::vec((0_usize..6, scores(), any::<usize>()), 0..40),
            seed: u64,
        ) {
            let mut arms = Thompson::new(4).prior(priors.0, priors.1).unwrap();
            let mut rng = Seed::new(seed).rng();
            for (arm, score, rows) in trials {
                let valid = arm < 4 && (0.0..=1.0).contains(&score) && rows > 0;
                prop_assert_eq!(arms.observe_rows(arm, score, rows).is_ok(), valid);
                prop_assert!(arms.choose(&mut rng).unwrap() < 4 && arms.best().unwrap() < 4);
                prop_assert!((0..4).all(|arm| (0.0..=1.0).contains(&arms.mean(arm).unwrap())));
            }
        }
    }
}

/// The regret of Thompson sampling on Bernoulli arms after each of the numbers of trials, and the arm found.
fn regrets(trials: [usize; 2], seed: Seed) -> ([f64; 2], Option<usize>) {
    const MEANS: [f64; 4] = [0.3, 0.5, 0.7, 0.4];
    let (mut arms, mut rng, mut regret) = (Thompson::new(MEANS.len()), seed.rng(), 0.0);
    let mut after = [0.0; 2];
    for trial in 1..=trials[1] {
        let arm = arms.choose(&mut rng).unwrap();
        arms.observe(arm, f64::from(rng.unit() < MEANS[arm])).unwrap();
        regret += 0.7 - MEANS[arm];
        trials.iter().zip(&mut after).filter(|(at, _)| **at == trial).for_each(|(_, slot)| *slot = regret);
    }
    (after, arms.best())
}

#[test]
fn thompson_finds_the_best_arm_with_sublinear_regret() {
    let runs: Vec<_> = (0..30).map(|index| regrets([300, 3000], Seed::new(4).index(index))).collect();
    assert!(runs.iter().filter(|run| run.1 == Some(2)).count() >= 29);
    let [early, late] = [0, 1].map(|at| runs.iter().map(|run| run.0[at]).sum::<f64>() / 30.0);
    // Ten times the trials cost less than three times the regret; a uniform choice costs 0.225 per trial.
    assert!(late < 3.0 * early && early < 0.225 * 300.0 / 2.0, "{early} {late}");
    assert_eq!(regrets([9, 90], Seed::new(1)), regrets([9, 90], Seed::new(1)));
}

#[test]
fn draws_follow_the_posterior() {
    // P(a > b) for Beta(2, 1) and Beta(1, 1) is 2/3; for equal priors far below 1 it is 1/2.
    let mut arms = Thompson::new(2);
    arms.observe(0, 1.0).unwrap();
    let small = Thompson::new(2).prior(1e-3, 1e-3).unwrap();
    let (mut rng, mut first, mut first_of_small) = (Seed::new(6).rng(), 0, 0);
    for _ in 0..20_000 {
        first += usize::from(arms.choose(&mut rng) == Some(0));
        first_of_small += usize::from(small.choose(&mut rng) == Some(0));
    }
    assert!((13_100..13_570).contains(&first), "{first}");
    assert!((9_750..10_250).contains(&first_of_small), "{first_of_small}");
}

#[test]
fn arms_are_added_and_scored_by_rows() {
    let mut arms = Thompson::new(0).prior(2.0, 2.0).unwrap();
    assert_eq!((arms.best(), arms.add_arm(), arms.add_arm(), arms.arms()), (None, 0, 1, 2));
    arms.observe_rows(1, 0.75, 4).unwrap();
    assert_eq!((arms.mean(0), arms.mean(1), arms.rows(1)), (Some(0.5), Some(0.625), 4.0));
    assert_eq!(arms.best(), Some(1));
}
