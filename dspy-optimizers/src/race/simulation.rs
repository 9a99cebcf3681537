//! Simulated races, which measure how often a good contestant is dropped and how many rollouts a race saves.

use dspy_core::{Rng, Seed};

use super::{Progress, Race};

/// Whether a contestant is right on a row, by the index of the contestant and of the row.
type Scores = Vec<Vec<bool>>;

/// Runs a race over scores and returns the survivors, the number of rollouts and the winner.
fn run(race: Race, scores: &Scores) -> (Vec<usize>, usize, usize) {
    let ends = race.ends(scores[0].len());
    let mut progress = Progress::with(race, scores.iter().map(|_| 0.0), ends.len());
    let (mut start, mut rollouts) = (0, 0);
    for &end in &ends {
        let places = progress.remaining();
        rollouts += places.len() * (end - start);
        for place in places {
            let block = scores[place][start..end].iter();
            progress.runners[place].scores.extend(block.map(|right| Some(f64::from(u8::from(*right)))));
        }
        start = end;
        if end < scores[0].len() {
            progress.drop_beaten();
        }
    }
    let survivors = progress.remaining();
    let winner = best(&survivors, scores);
    (survivors, rollouts, winner)
}

fn best(places: &[usize], scores: &Scores) -> usize {
    let right = |place: &usize| scores[*place].iter().filter(|right| **right).count();
    // The first one in case of ties.
    places.iter().rev().copied().max_by_key(right).unwrap()
}

/// Returns the share of 1,500 races of two contestants in which the first one is dropped. They differ on the
/// share `differing` of the rows; on these, the first one is right with probability `better`.
fn dropped(race: Race, rows: usize, differing: f64, better: f64) -> f64 {
    let races = 1_500;
    let lost = (0..races).filter(|number| {
        let mut rng = Seed::new(*number).branch("rows").rng();
        let mut scores: Scores = vec![Vec::new(), Vec::new()];
        for _ in 0..rows {
            let (first, second) = match (rng.unit() < differing, rng.unit() < better) {
                (true, wins) => (wins, !wins),
                (false, _) => (true, true),
            };
            scores[0].push(first);
            scores[1].push(second);
        }
        !run(race, &scores).0.contains(&0)
    });
    lost.count() as f64 / f64::from(races as u32)
}

#[test]
fn equals_are_dropped_less_often_than_stated() {
    for alpha in [0.05, 0.2, 0.5] {
        for (rows, differing) in [(50, 0.1), (50, 0.3), (100, 0.02), (100, 0.1), (100, 0.8), (300, 0.2)] {
            let share = dropped(Race::new().alpha(alpha), rows, differing, 0.5);
            assert!(share <= alpha, "alpha {alpha}, {rows} rows, {differing}: {share}");
        }
    }
    assert_eq!(dropped(Race::new().alpha(0.0), 100, 0.5, 0.0), 0.0);
}

#[test]
fn small_blocks_drop_equals_no_more_often() {
    for (block, rows) in [(2, 20), (2, 60), (3, 30), (5, 50)] {
        for differing in [0.3, 1.0] {
            let share = dropped(Race::new().block(block), rows, differing, 0.5);
            assert!(share <= 0.2, "blocks of {block}, {rows} rows, {differing}: {share}");
        }
    }
}

#[test]
fn at_any_level_the_better_one_stays() {
    // Two blocks, so that each comparison has the whole alpha as its level.
    let scores: Scores = vec![vec![true; 40], vec![false; 40], vec![true; 40]];
    assert_eq!(run(Race::new().alpha(1.0), &scores).0, [0, 2]);
}

#[test]
fn the_better_one_is_hardly_ever_dropped_and_the_worse_one_usually() {
    assert!(dropped(Race::new(), 100, 0.4, 0.7) < 0.01);
    assert!(dropped(Race::new(), 100, 0.4, 0.3) > 0.6);
    assert!(dropped(Race::new(), 200, 0.4, 0.2) > 0.99);
}

/// Draws from a standard normal distribution, approximated by a sum of twelve uniform numbers.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0
}

/// Checks the figures in the documentation of `Race`, which come from 4,000 races of contestants with
/// different abilities on rows of different difficulties.
#[test]
fn a_race_of_many_finds_nearly_the_best_for_half_of_the_rollouts() {
    let (races, contestants, rows) = (800, 19, 100);
    let (mut rollouts, mut lost, mut gain, mut full_gain) = (0, 0, 0.0, 0.0);
    for number in 0..races {
        let mut rng = Seed::new(number).branch("race").rng();
        let ability: Vec<f64> = (0..contestants).map(|_| 0.5 + 0.4 * normal(&mut rng)).collect();
        let difficulty: Vec<f64> = (0..rows).map(|_| 1.5 * normal(&mut rng)).collect();
        let right =
            |ability: f64, difficulty: &f64, rng: &mut Rng| rng.unit() < logistic(ability - difficulty);
        let scores: Scores = ability
            .iter()
            .map(|ability| difficulty.iter().map(|row| right(*ability, row, &mut rng)).collect())
            .collect();
        let (survivors, made, winner) = run(Race::new(), &scores);
        let top = (0..contestants).max_by(|a, b| ability[*a].total_cmp(&ability[*b])).unwrap();
        let everyone: Vec<usize> = (0..contestants).collect();
        rollouts += made;
        lost += usize::from(!survivors.contains(&top));
        gain += ability[winner] - 0.5;
        full_gain += ability[best(&everyone, &scores)] - 0.5;
    }
    let share = rollouts as f64 / (races as usize * contestants * rows) as f64;
    let lost = lost as f64 / races as f64;
    println!("{share:.3} of the rollouts, {:.3} of the gain, best dropped {lost:.3}", gain / full_gain);
    assert!(share < 0.52 && lost < 0.22 && gain > 0.96 * full_gain, "{share} {lost} {}", gain / full_gain);
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
