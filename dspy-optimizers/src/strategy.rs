//! Strategies: sequences of optimizers, written as `p -> w -> p`.

use thiserror::Error;

/// The separator of the steps.
pub(crate) const ARROW: &str = "->";

/// The reason why a strategy cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// A step names no optimizer.
    #[error("step {step} of the strategy, at character {position}, is `{name}`; {}", known_ones(.known))]
    Unknown {
        /// The name in the strategy.
        name: String,
        /// The number of the step, from 1.
        step: usize,
        /// The position of the name in the strategy in characters, from 1.
        position: usize,
        /// The names of the optimizers.
        known: Vec<String>,
    },
    /// A step is empty, as in `p -> -> w`.
    #[error(
        "step {step} of the strategy, at character {position}, is empty; write names with `->` between them"
    )]
    Empty {
        /// The number of the step, from 1.
        step: usize,
        /// The position in the strategy in characters, from 1.
        position: usize,
    },
    /// Two optimizers have the same name.
    #[error("duplicate optimizer `{name}`; give each another name")]
    Duplicate {
        /// The name.
        name: String,
    },
}

fn known_ones(known: &[String]) -> String {
    if known.is_empty() {
        return "there are no optimizers; add one with `optimizer`".into();
    }
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("the optimizers are {}", known.join(", "))
}

/// Returns the index of the optimizer of each step.
pub(crate) fn parse(strategy: &str, known: &[&str]) -> Result<Vec<usize>, StrategyError> {
    if let Some(name) = known.iter().enumerate().find(|(at, name)| known[..*at].contains(name)) {
        return Err(StrategyError::Duplicate { name: (*name.1).into() });
    }
    let mut before = 0;
    let mut steps = Vec::new();
    for (index, part) in strategy.split(ARROW).enumerate() {
        let (step, name) = (index + 1, part.trim());
        let blank = part.chars().count() - part.trim_start().chars().count();
        let position = before + blank + 1;
        if name.is_empty() {
            return Err(StrategyError::Empty { step, position: before + 1 });
        }
        match known.iter().position(|one| *one == name) {
            Some(at) => steps.push(at),
            None => {
                let known = known.iter().map(|name| (*name).to_owned()).collect();
                return Err(StrategyError::Unknown { name: name.into(), step, position, known });
            }
        }
        before += part.chars().count() + ARROW.len();
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_names_between_arrows() {
        let known = ["p", "w", "long name"];
        for (text, steps) in [
            ("p -> w -> p", vec![0, 1, 0]),
            ("p", vec![0]),
            (" w->p ", vec![1, 0]),
            ("long name -> p", vec![2, 0]),
        ] {
            assert_eq!(parse(text, &known), Ok(steps), "{text}");
        }
    }

    #[test]
    fn errors_name_the_step_and_its_place() {
        let error = parse("p -> x -> p", &["p", "w"]).unwrap_err();
        let known = vec!["p".to_owned(), "w".to_owned()];
        assert_eq!(error, StrategyError::Unknown { name: "x".into(), step: 2, position: 6, known });
        let text = "step 2 of the strategy, at character 6, is `x`; the optimizers are `p`, `w`";
        assert_eq!(error.to_string(), text);
        assert_eq!(parse("p -> ", &["p"]), Err(StrategyError::Empty { step: 2, position: 5 }));
        assert_eq!(parse("", &["p"]), Err(StrategyError::Empty { step: 1, position: 1 }));
        assert_eq!(parse("p -> -> p", &["p"]), Err(StrategyError::Empty { step: 2, position: 5 }));
        assert!(matches!(parse("p > p", &["p"]), Err(StrategyError::Unknown { step: 1, position: 1, .. })));
        assert!(matches!(parse("P", &["p"]), Err(StrategyError::Unknown { .. })), "case counts");
        assert_eq!(parse("p", &["p", "w", "p"]), Err(StrategyError::Duplicate { name: "p".into() }));
        assert_eq!(parse("p ->", &["p", ""]), Err(StrategyError::Empty { step: 2, position: 5 }));
        assert!(parse("p", &[]).unwrap_err().to_string().contains("no optimizers"));
    }
}
