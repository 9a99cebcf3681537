//! Reproducible randomness: one seed per run, with a branch for every decision.

/// A node of the seed tree.
///
/// Every random decision of an optimizer draws from a branch with a name of its own, such as
/// `seed.branch("bootstrap").index(3)`. The draws of one decision therefore do not depend on the number of
/// others made before it or concurrently, and a run has the same result with 1 or 64 workers.
///
/// The generator is SplitMix64 over keys derived by BLAKE3; its numbers do not change between versions.
///
/// ```
/// use dspy_base::Seed;
/// let seed = Seed::new(9);
/// let order = |seed: Seed| { let mut items = [1, 2, 3, 4]; seed.rng().shuffle(&mut items); items };
/// assert_eq!(order(seed.branch("a")), order(seed.branch("a")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

impl Seed {
    /// Creates the root of a tree.
    pub const fn new(seed: u64) -> Self {
        Seed(seed)
    }

    /// Returns the branch of that name.
    #[must_use]
    pub fn branch(self, name: &str) -> Self {
        self.derive(b"name", name.as_bytes())
    }

    /// Returns the branch of that number.
    #[must_use]
    pub fn index(self, index: u64) -> Self {
        self.derive(b"index", &index.to_le_bytes())
    }

    fn derive(self, kind: &[u8], key: &[u8]) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0.to_le_bytes()).update(kind).update(key);
        let mut word = [0; 8];
        hash.finalize_xof().fill(&mut word);
        Seed(u64::from_le_bytes(word))
    }

    /// Returns the node as a number, such as a rollout id.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Returns a generator that starts at this node.
    pub const fn rng(self) -> Rng {
        Rng(self.0)
    }
}

/// A small random number generator; see [`Seed`].
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Returns the next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns an integer below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiplying instead of taking the remainder keeps the bias below 2⁻⁶⁴ × bound.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Returns an integer from `low` to `high`, both included; `low` if `high` is less.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Shuffles the items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Returns `count` different indices below `length`, in random order; all of them if there are fewer.
    pub fn sample(&mut self, length: usize, count: usize) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..length).collect();
        let count = count.min(length);
        for place in 0..count {
            let other = place + self.below(length - place);
            indices.swap(place, other);
        }
        indices.truncate(count);
        indices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pinned() {
        // The reference values of SplitMix64 for seed 1234567.
        let mut rng = Seed::new(1_234_567).rng();
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
        assert_eq!(Seed::new(9).branch("bootstrap").index(3), Seed::new(9).branch("bootstrap").index(3));
        assert_ne!(Seed::new(9).branch("a"), Seed::new(9).branch("b"));
    }

    #[test]
    fn samples_are_distinct_and_in_range() {
        let mut rng = Seed::new(1).rng();
        let mut sample = rng.sample(100, 30);
        sample.sort_unstable();
        sample.dedup();
        assert_eq!((sample.len(), rng.sample(3, 10).len(), rng.below(0)), (30, 3, 0));
        assert!((0..1000).all(|_| rng.between(2, 4) <= 4 && rng.unit() < 1.0));
    }
}
