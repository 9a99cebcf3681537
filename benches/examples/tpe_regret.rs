//! The regret of `Tpe` on random landscapes, compared with random search and with Optuna, and its cost.
//!
//! - `scripts/tpe-vs-optuna` runs everything; the docs of `dspy::optimizers::samplers` show its results.
//! - `tpe_regret` prints the table without Optuna, `tpe_regret RESULTS` with the results of `tpe_vs_optuna.py`.
//! - `tpe_regret landscapes` prints the landscapes, one in JSON per line, for other samplers.
//! - `tpe_regret cost` prints the CPU time of a suggestion with 20 variables of 10 choices.
//!
//! `SEEDS` (50) is the number of landscapes of each kind. A landscape has an effect for each choice of a variable
//! and for each pair of choices of neighbouring variables, with normal deviates of a random scale for each
//! variable, so its maximum is known exactly. Noise is normal; its standard deviation is a multiple of that of
//! the landscape.
//!
//! Regret is `(maximum - value) / (maximum - mean)` without noise, of the configuration that the search
//! recommends: 0 for the optimum, 1 on average for a random configuration.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use dspy::optimizers::samplers::Tpe;
use dspy::{Rng, Seed};
use serde_json::{Value, json};

/// Variables, fewest and most choices.
const SPACES: [(usize, usize, usize); 6] =
    [(2, 6, 6), (2, 18, 18), (4, 6, 18), (8, 6, 12), (20, 6, 6), (20, 6, 18)];
const NOISES: [f64; 2] = [0.0, 1.0];
const BUDGETS: [usize; 3] = [20, 50, 100];
/// The suggestions of one measurement of the cost.
const SUGGESTIONS: u64 = 51;

type Regrets = Vec<[f64; BUDGETS.len()]>;
type Run = fn(&Landscape, Seed) -> [f64; BUDGETS.len()];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None => table(&Value::Null),
        Some("landscapes") => {
            for_each_kind(|kind, landscapes| {
                for landscape in landscapes {
                    println!("{}", landscape.to_json(kind));
                }
            });
        }
        Some("cost") => cost(),
        Some(path) => table(&serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()),
    }
}

struct Landscape {
    choices: Vec<usize>,
    effects: Vec<Vec<f64>>,
    /// For each variable but the first: by the choice of the one before, then by its own.
    pairs: Vec<Vec<Vec<f64>>>,
    maximum: f64,
    mean: f64,
    noise: f64,
}

impl Landscape {
    fn new((variables, fewest, most): (usize, usize, usize), noise: f64, seed: Seed) -> Self {
        let mut rng = seed.branch("landscape").rng();
        let choices: Vec<usize> = (0..variables).map(|_| rng.between(fewest, most)).collect();
        let mut effects_of = |count: usize, scale: f64| {
            let scale = scale * (0.25 - (1.0 - rng.unit()).ln());
            (0..count).map(|_| scale * normal(&mut rng)).collect::<Vec<f64>>()
        };
        let effects: Vec<Vec<f64>> = choices.iter().map(|&count| effects_of(count, 1.0)).collect();
        let pairs: Vec<Vec<Vec<f64>>> = choices
            .windows(2)
            .map(|pair| effects_of(pair[0] * pair[1], 0.7).chunks(pair[1]).map(<[f64]>::to_vec).collect())
            .collect();
        // The best value up to a variable, by its choice.
        let mut best = effects[0].clone();
        for (pair, own) in pairs.iter().zip(&effects[1..]) {
            let up_to = |choice: usize| {
                best.iter().zip(pair).map(|(before, row)| before + row[choice]).fold(f64::MIN, f64::max)
            };
            best = (0..own.len()).map(|choice| own[choice] + up_to(choice)).collect();
        }
        let maximum = best.into_iter().fold(f64::MIN, f64::max);
        let mut landscape = Landscape { choices, effects, pairs, maximum, mean: 0.0, noise: 0.0 };
        let values: Vec<f64> = (0..4000).map(|_| landscape.value(&landscape.random(&mut rng))).collect();
        landscape.mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - landscape.mean).powi(2)).sum();
        landscape.noise = noise * (squares / values.len() as f64).sqrt();
        landscape
    }

    fn random(&self, rng: &mut Rng) -> Vec<usize> {
        self.choices.iter().map(|&choices| rng.below(choices)).collect()
    }

    fn value(&self, configuration: &[usize]) -> f64 {
        let own: f64 = configuration.iter().zip(&self.effects).map(|(&choice, own)| own[choice]).sum();
        let both: f64 =
            configuration.windows(2).zip(&self.pairs).map(|(pair, table)| table[pair[0]][pair[1]]).sum();
        own + both
    }

    fn regret(&self, configuration: &[usize]) -> f64 {
        (self.maximum - self.value(configuration)) / (self.maximum - self.mean)
    }

    fn to_json(&self, kind: &str) -> Value {
        json!({
            "kind": kind, "choices": self.choices, "effects": self.effects, "pairs": self.pairs,
            "maximum": self.maximum, "mean": self.mean, "noise": self.noise, "budgets": BUDGETS,
        })
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}

fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(50, |seeds| seeds.parse().unwrap())
}

fn for_each_kind(mut work: impl FnMut(&str, &[Landscape])) {
    for space in SPACES {
        for noise in NOISES {
            let (variables, fewest, most) = space;
            let choices = if fewest == most { fewest.to_string() } else { format!("{fewest}–{most}") };
            let kind = format!("{variables} × {choices}, noise {noise}");
            let seed = Seed::new(20_260_101).branch(&kind);
            let landscapes: Vec<Landscape> =
                (0..seeds()).map(|index| Landscape::new(space, noise, seed.index(index))).collect();
            work(&kind, &landscapes);
        }
    }
}

/// Random search and the published algorithm recommend the configuration with the highest mean score.
fn searched(landscape: &Landscape, seed: Seed, sampler: Option<Tpe>) -> [f64; BUDGETS.len()] {
    let (mut rng, mut noise) = (seed.branch("sampler").rng(), seed.branch("noise").rng());
    let random = sampler.is_none();
    let observer = || Tpe::new(landscape.choices.clone()).unwrap().published();
    let mut sampler = sampler.unwrap_or_else(observer);
    let mut regrets = [0.0; BUDGETS.len()];
    for trial in 1..=BUDGETS[BUDGETS.len() - 1] {
        let configuration = if random { landscape.random(&mut rng) } else { sampler.suggest(&mut rng) };
        let score = landscape.value(&configuration) + landscape.noise * normal(&mut noise);
        sampler.observe(&configuration, score).unwrap();
        if let Some(at) = BUDGETS.iter().position(|&budget| budget == trial) {
            regrets[at] = landscape.regret(sampler.best().unwrap());
        }
    }
    regrets
}

const SAMPLERS: [(&str, Run); 3] = [
    ("random", |landscape, seed| searched(landscape, seed, None)),
    ("published", |landscape, seed| {
        searched(landscape, seed, Some(Tpe::new(landscape.choices.clone()).unwrap().published()))
    }),
    ("`Tpe`", |landscape, seed| {
        searched(landscape, seed, Some(Tpe::new(landscape.choices.clone()).unwrap()))
    }),
];

/// Mean and standard error.
fn summary(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}

fn table(optuna: &Value) {
    // Of each noise, in the order of `NOISES`.
    let mut all = NOISES.map(|_| Vec::<(&str, Regrets)>::new());
    let mut kinds = 0;
    println!("| landscape | trials | random | Optuna | published | `Tpe` | `Tpe` − Optuna |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for_each_kind(|kind, landscapes| {
        let seed = Seed::new(20_260_102).branch(kind);
        let mut columns: Vec<(&str, Regrets)> = SAMPLERS
            .iter()
            .map(|&(name, run)| {
                let numbered = landscapes.iter().zip(0..);
                (name, numbered.map(|(landscape, index)| run(landscape, seed.index(index))).collect())
            })
            .collect();
        if let Some(runs) = optuna[kind].as_array() {
            let runs: Regrets = runs.iter().map(|run| serde_json::from_value(run.clone()).unwrap()).collect();
            assert_eq!(runs.len(), landscapes.len(), "{kind}");
            columns.insert(1, ("Optuna", runs));
        }
        print_rows(kind, &columns);
        let all = &mut all[kinds % NOISES.len()];
        kinds += 1;
        for (name, regrets) in columns {
            match all.iter_mut().find(|one| one.0 == name) {
                Some((_, known)) => known.extend(regrets),
                None => all.push((name, regrets)),
            }
        }
    });
    for (noise, all) in NOISES.iter().zip(&all) {
        print_rows(&format!("**all, noise {noise}**"), all);
    }
}

fn print_rows(kind: &str, columns: &[(&str, Regrets)]) {
    let of = |name: &str, at: usize| -> Option<Vec<f64>> {
        let (_, regrets) = columns.iter().find(|column| column.0 == name)?;
        Some(regrets.iter().map(|run| run[at]).collect())
    };
    let shown = |values: Option<Vec<f64>>| {
        values.map_or("–".to_owned(), |values| {
            let (mean, error) = summary(&values);
            format!("{mean:.3} ± {error:.3}")
        })
    };
    for (at, budget) in BUDGETS.iter().enumerate() {
        let cells = ["random", "Optuna", "published", "`Tpe`"].map(|name| shown(of(name, at)));
        // On the same landscapes, so the difference has an error of its own.
        let difference = of("Optuna", at)
            .zip(of("`Tpe`", at))
            .map(|(optuna, own)| own.iter().zip(&optuna).map(|(own, optuna)| own - optuna).collect());
        let kind = if at == 0 { kind } else { "" };
        println!("| {kind} | {budget} | {} | {} |", cells.join(" | "), shown(difference));
    }
}

/// Nanoseconds on a core, as counted by the scheduler (Linux): other processes do not count.
fn cpu_time() -> u64 {
    let counted = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    counted.split_whitespace().next().unwrap().parse().unwrap()
}

fn cost() {
    println!("| trials | published, µs of CPU | `Tpe`, µs of CPU |\n|---:|---:|---:|");
    for trials in [100, 1_000, 10_000] {
        let times = [false, true].map(|published| {
            let mut sampler = Tpe::new([10; 20]).unwrap();
            if published {
                sampler = sampler.published();
            }
            let mut rng = Seed::new(1).rng();
            for _ in 0..trials {
                let configuration: Vec<usize> = (0..20).map(|_| rng.below(10)).collect();
                sampler.observe(&configuration, rng.unit()).unwrap();
            }
            let start = cpu_time();
            for _ in 0..SUGGESTIONS {
                std::hint::black_box(sampler.suggest(&mut rng));
            }
            (cpu_time() - start) / SUGGESTIONS / 1000
        });
        println!("| {trials} | {} | {} |", times[1], times[0]);
    }
}
