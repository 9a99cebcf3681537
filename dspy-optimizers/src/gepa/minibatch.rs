//! Minibatches: slices of the trainset, which is shuffled once per epoch.

use dspy_core::Seed;

/// A sampler of minibatches.
#[derive(Debug)]
pub(super) struct Minibatches {
    size: usize,
    most: usize,
    seed: Seed,
    epoch: u64,
    /// The number of times that each row was used.
    used: Vec<usize>,
    /// The rows of this epoch that are left.
    left: Vec<usize>,
}

impl Minibatches {
    /// Creates a sampler of minibatches of `size` rows out of `rows`, or of all rows if there are fewer. They may grow
    /// to `most` rows.
    pub(super) fn new(rows: usize, size: usize, most: usize, seed: Seed) -> Self {
        let size = size.min(rows).max(1);
        let most = most.min(rows).max(size);
        Minibatches { size, most, seed, epoch: 0, used: vec![0; rows], left: Vec::new() }
    }

    /// Makes the next minibatches larger by half.
    pub(super) fn grow(&mut self) {
        self.size = (self.size + self.size.div_ceil(2)).min(self.most);
    }

    /// Returns the number of minibatches in an epoch.
    pub(super) fn per_epoch(&self) -> usize {
        self.used.len().div_ceil(self.size)
    }

    /// Returns the next minibatch. An epoch whose rows are not a multiple of the size is padded with the rows that
    /// were used the least. Rows that are too few for a minibatch that has grown are left to a later epoch.
    pub(super) fn next(&mut self) -> Vec<usize> {
        if self.left.len() < self.size {
            self.left.iter().for_each(|row| self.used[*row] -= 1);
            self.left = (0..self.used.len()).collect();
            self.seed.index(self.epoch).rng().shuffle(&mut self.left);
            self.epoch += 1;
            self.pad();
            self.left.iter().for_each(|row| self.used[*row] += 1);
        }
        self.left.drain(..self.size.min(self.left.len())).collect()
    }

    fn pad(&mut self) {
        let missing = self.per_epoch() * self.size - self.left.len();
        let last = self.left.len() - self.left.len() % self.size;
        // No row is twice in the last minibatch.
        let mut others: Vec<usize> = self.left[..last].to_vec();
        others.sort_by_key(|row| self.used[*row]);
        self.left.extend(others.into_iter().take(missing));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_epoch_has_every_row_and_its_padding_the_least_used() {
        let mut batches = Minibatches::new(7, 3, 3, Seed::new(0));
        let mut used = [0; 7];
        let mut orders = BTreeSet::new();
        for _ in 0..7 {
            let epoch: Vec<Vec<usize>> = (0..batches.per_epoch()).map(|_| batches.next()).collect();
            for batch in &epoch {
                assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 3, "{batch:?}");
            }
            let all: Vec<usize> = epoch.concat();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 7);
            all.iter().for_each(|row| used[*row] += 1);
            orders.insert(all);
        }
        assert_eq!(used.iter().sum::<usize>(), 63);
        let most = used.iter().max().unwrap();
        assert!(used.iter().all(|times| most - times <= 1), "{used:?}");
        assert_eq!(orders.len(), 7, "each epoch has an order of its own");
    }

    #[test]
    fn a_minibatch_is_no_larger_than_the_set() {
        let mut batches = Minibatches::new(2, 5, 5, Seed::new(1));
        assert_eq!(batches.size, 2);
        assert_eq!(batches.next().into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
        let of = |seed| Minibatches::new(100, 3, 3, Seed::new(seed)).next();
        assert_eq!(of(4), of(4));
        assert_ne!(of(4), of(5));
    }

    #[test]
    fn minibatches_grow_and_stay_complete() {
        let mut batches = Minibatches::new(20, 3, 12, Seed::new(2));
        let mut sizes = Vec::new();
        for _ in 0..8 {
            let batch = batches.next();
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), batch.len());
            sizes.push(batch.len());
            batches.grow();
        }
        assert_eq!(sizes, [3, 5, 8, 12, 12, 12, 12, 12]);
    }
}
