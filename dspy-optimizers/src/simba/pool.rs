//! The pool of programs, and their scores.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Rng;

use crate::paired::p_value;
use crate::race::{LEVEL, Standing};
use crate::report::Trial;
use crate::samplers::weighted;

/// A program of the pool.
pub(super) struct Member<P> {
    pub(super) program: P,
    pub(super) scope: String,
    pub(super) trial: Trial,
    /// The rows of the trainset that its demonstrations may be made of.
    pub(super) taught: BTreeSet<usize>,
    /// Its scores by row of the trainset.
    pub(super) scores: BTreeMap<usize, f64>,
    /// Its scores by row of the valset, if there is one.
    pub(super) val_scores: BTreeMap<usize, f64>,
    /// The place of the program that has beaten it in the race on its minibatch.
    pub(super) beaten_by: Option<usize>,
    /// Its result in a race on the rows to select by.
    pub(super) standing: Option<Standing>,
}

impl<P> Member<P> {
    /// Creates a member without scores.
    pub(super) fn new(program: P, scope: String, trial: Trial, taught: BTreeSet<usize>) -> Self {
        let (scores, val_scores) = (BTreeMap::new(), BTreeMap::new());
        Member { program, scope, trial, taught, scores, val_scores, beaten_by: None, standing: None }
    }
}

/// All programs so far. The first one is the original.
pub(super) struct Pool<P>(Vec<Member<P>>);

impl<P> Pool<P> {
    pub(super) fn new(original: Member<P>) -> Self {
        Pool(vec![original])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn original(&self) -> &Member<P> {
        &self.0[0]
    }

    pub(super) fn get(&self, place: usize) -> &Member<P> {
        &self.0[place]
    }

    pub(super) fn get_mut(&mut self, place: usize) -> &mut Member<P> {
        &mut self.0[place]
    }

    pub(super) fn knows(&self, scope: &str) -> bool {
        self.0.iter().any(|member| member.scope == scope)
    }

    pub(super) fn push(&mut self, member: Member<P>) {
        self.0.push(member);
    }

    pub(super) fn into_members(self) -> Vec<Member<P>> {
        self.0
    }

    /// Returns the gain of a program: the mean difference to the original program on the same rows, without those
    /// that its demonstrations are made of; 0 if there are no such rows. Gains on different minibatches are comparable,
    /// scores are not. A program that was beaten on a part of a minibatch has no higher gain than the one that has
    /// beaten it, although the other rows may have been harder.
    pub(super) fn gain(&self, place: usize) -> f64 {
        let gains = self.gains(place);
        let own = if gains.is_empty() { 0.0 } else { gains.iter().sum::<f64>() / gains.len() as f64 };
        self.get(place).beaten_by.map_or(own, |better| own.min(self.gain(better)))
    }

    /// Returns the place of the program with the highest gain, or that of the original program if the gain is not clear
    /// by a paired test at 5 %, divided by the number of other programs.
    pub(super) fn clearly_best(&self) -> usize {
        let better = |best, next| if self.gain(next) > self.gain(best) { next } else { best };
        let best = (1..self.len()).fold(0, better);
        let gains: Vec<Option<f64>> = self.gains(best).into_iter().map(Some).collect();
        let rivals = self.len().saturating_sub(1).max(1) as f64;
        if p_value(&gains, &vec![Some(0.0); gains.len()]) <= LEVEL / rivals { best } else { 0 }
    }

    /// Returns the places from `first` on of the programs with the highest gains, at most this many: those that gain
    /// anything and were not beaten on their minibatch. The gain of a beaten one may be as high as that of the better one.
    pub(super) fn challengers(&self, first: usize, most: usize) -> Vec<usize> {
        let may_challenge = |place: &usize| self.get(*place).beaten_by.is_none() && self.gain(*place) > 0.0;
        let mut places: Vec<usize> = (first..self.len()).filter(may_challenge).collect();
        places.sort_by(|a, b| self.gain(*b).total_cmp(&self.gain(*a)));
        places.truncate(most);
        places
    }

    /// Returns the differences to the original program, row by row.
    fn gains(&self, place: usize) -> Vec<f64> {
        let member = self.get(place);
        let original = self.original();
        let train = member.scores.iter().filter(|(row, _)| !member.taught.contains(row));
        let train = train.map(|(row, score)| (original.scores.get(row), score));
        let val = member.val_scores.iter().map(|(row, score)| (original.val_scores.get(row), score));
        train.chain(val).filter_map(|(other, score)| Some(score - other?)).collect()
    }

    /// Returns the places of the best programs, at most `count`, and `always` among them.
    pub(super) fn top(&self, count: usize, always: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.len()).collect();
        places.sort_by(|a, b| self.gain(*b).total_cmp(&self.gain(*a)));
        places.truncate(count.max(1));
        if !places.contains(&always) {
            places.pop();
            places.push(always);
        }
        places
    }

    /// Draws an index of `top`, with the softmax of the gains at this temperature as probability.
    pub(super) fn draw(&self, top: &[usize], temperature: f64, rng: &mut Rng) -> usize {
        let gains: Vec<f64> = top.iter().map(|place| self.gain(*place)).collect();
        let most = gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weight = |gain: &f64| if *gain == most { 1.0 } else { ((gain - most) / temperature).exp() };
        weighted(&gains.iter().map(weight).collect::<Vec<_>>(), rng)
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::Seed;
    use dspy_core::predict::DynPredict;

    use super::*;

    fn member(scores: &[(usize, f64)], taught: &[usize]) -> Member<()> {
        let program = DynPredict::new("a -> b".parse().unwrap());
        let mut member =
            Member::new((), String::new(), Trial::new("", &program), taught.iter().copied().collect());
        member.scores = scores.iter().copied().collect();
        member
    }

    fn pool() -> Pool<()> {
        let mut pool = Pool::new(member(&[(0, 1.0), (1, 1.0), (2, 0.0), (3, 0.0)], &[]));
        // Better on hard rows, and worse, although with a higher score, on easy ones.
        pool.push(member(&[(2, 0.4), (3, 0.4)], &[]));
        pool.push(member(&[(0, 1.0), (1, 0.6)], &[]));
        // Right only on the row that it has seen.
        pool.push(member(&[(1, 0.9), (2, 1.0)], &[2]));
        pool
    }

    #[test]
    fn gains_are_paired_with_the_original() {
        let pool = pool();
        let gains: Vec<f64> = (0..4).map(|place| pool.gain(place)).collect();
        for (gain, expected) in gains.iter().zip([0.0, 0.4, -0.2, -0.1]) {
            assert!((gain - expected).abs() < 1e-9, "{gains:?}");
        }
        assert_eq!(pool.top(3, 0), [1, 0, 3]);
        assert_eq!(pool.top(1, 0), [0], "the original is always there");
        assert_eq!(pool.top(2, 2), [1, 2]);
    }

    #[test]
    fn a_beaten_program_has_no_higher_gain_than_the_better_one() {
        let rows = |right: std::ops::Range<usize>, of: usize| -> Vec<(usize, f64)> {
            (0..of).map(|row| (row, f64::from(u8::from(right.contains(&row))))).collect()
        };
        let mut pool = Pool::new(member(&rows(8..28, 32), &[]));
        pool.push(member(&rows(0..32, 32), &[]));
        // Dropped after the first block, whose rows the original program cannot answer.
        pool.push(member(&rows(0..4, 8), &[]));
        assert!(pool.gain(2) > pool.gain(1));
        pool.get_mut(2).beaten_by = Some(1);
        assert_eq!(pool.gain(2), pool.gain(1));
        assert_eq!(pool.top(2, 0), [1, 0], "the original program is always there");
    }

    #[test]
    fn a_beaten_program_does_not_challenge_and_neither_does_one_without_a_gain() {
        let mut pool = pool();
        assert_eq!(pool.challengers(1, 2), [1], "the others gain nothing");
        pool.push(member(&[(2, 0.9), (3, 0.9)], &[]));
        pool.push(member(&[(2, 0.6), (3, 0.6)], &[]));
        assert_eq!(pool.challengers(1, 2), [4, 5]);
        assert_eq!(pool.challengers(5, 2), [5], "earlier ones have had their turn");
        pool.get_mut(5).beaten_by = Some(4);
        assert!(pool.gain(5) > pool.gain(1));
        assert_eq!(pool.challengers(1, 2), [4, 1]);
        // A beaten program with the gain of the better one takes no place of another one.
        pool.get_mut(5).scores = [(2, 1.0), (3, 1.0)].into();
        assert_eq!(pool.gain(5), pool.gain(4));
        assert_eq!(pool.challengers(1, 3), [4, 1]);
    }

    #[test]
    fn only_a_clear_gain_replaces_the_original() {
        assert_eq!(pool().clearly_best(), 0, "two rows are luck");
        let rows = |from: usize| -> Vec<(usize, f64)> {
            (0..20).map(|row| (row, f64::from(u8::from(row >= from)))).collect()
        };
        let mut pool = Pool::new(member(&rows(15), &[]));
        pool.push(member(&rows(14), &[]));
        assert_eq!(pool.clearly_best(), 0);
        pool.push(member(&rows(5), &[]));
        assert_eq!(pool.clearly_best(), 2);
    }

    #[test]
    fn draws_are_a_softmax() {
        let (pool, top) = (pool(), [1, 0]);
        let mut rng = Seed::new(1).rng();
        let mut drawn = [0; 2];
        (0..2000).for_each(|_| drawn[pool.draw(&top, 0.2, &mut rng)] += 1);
        // exp(2) : 1
        assert!((1720..1800).contains(&drawn[0]), "{drawn:?}");
        assert!((0..50).all(|_| pool.draw(&top, 0.0, &mut rng) == 0), "at 0 it is the best one");
    }
}
