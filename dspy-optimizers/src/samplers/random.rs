//! Draws from distributions.

use dspy_core::Rng;

/// Returns a draw from the standard normal distribution (Box and Muller).
pub(super) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

/// Returns an index with a probability in proportion to its weight; the last one if no weight is positive.
pub(crate) fn weighted(weights: &[f64], rng: &mut Rng) -> usize {
    let mut rest = rng.unit() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}

/// Returns a draw from the Poisson distribution with this mean, but at most `most` (Knuth).
pub(crate) fn poisson(mean: f64, most: usize, rng: &mut Rng) -> usize {
    let (end, mut product) = ((-mean).exp(), rng.unit());
    let mut count = 0;
    while count < most && product > end {
        product *= rng.unit();
        count += 1;
    }
    count
}

/// Returns the logarithm of a draw from the gamma distribution of a finite, positive shape (Marsaglia and
/// Tsang). The draw itself is 0 in floating point for small shapes.
pub(super) fn ln_gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        return ln_gamma(shape + 1.0, rng) + (1.0 - rng.unit()).ln() / shape;
    }
    let scale = shape - 1.0 / 3.0;
    let spread = 1.0 / (9.0 * scale).sqrt();
    // More than 95 of 100 draws are accepted. The bound is for shapes so large that rounding decides.
    for _ in 0..64 {
        let draw = normal(rng);
        let cube = (1.0 + spread * draw).powi(3);
        if cube > 0.0 && (1.0 - rng.unit()).ln() < 0.5 * draw * draw + scale * (1.0 - cube + cube.ln()) {
            return scale.ln() + cube.ln();
        }
    }
    scale.ln()
}

#[cfg(test)]
mod tests {
    use dspy_core::Seed;

    use super::*;

    #[test]
    fn a_poisson_draw_has_its_mean_and_stays_below_its_bound() {
        let mut rng = Seed::new(3).rng();
        for mean in [0.0, 0.5, 2.0] {
            let total: usize = (0..20_000).map(|_| poisson(mean, 100, &mut rng)).sum();
            assert!((total as f64 / 20_000.0 - mean).abs() < 0.05, "{mean}: {total}");
        }
        assert!((0..100).all(|_| poisson(1_000.0, 3, &mut rng) == 3));
    }
}
