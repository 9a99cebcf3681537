//! Draws from distributions.

use dspy_core::Rng;

/// Returns a draw from the standard normal distribution (Box and Muller).
pub(super) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

/// Returns an index with a probability in proportion to its weight; the last one if no weight is positive.
pub(super) fn weighted(weights: &[f64], rng: &mut Rng) -> usize {
    let mut rest = rng.unit() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
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
