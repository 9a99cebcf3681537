//! Picking among scored candidates: the best one, or a sample when the request asks for variety.

use crate::Request;

/// Candidates further than this below the best one, in nats at temperature 1, are never sampled.
const REACH: f64 = 3.0;

/// Picks candidates. The same request makes the same picks in every process.
#[derive(Debug)]
pub(super) struct Sampler {
    state: u64,
    /// None for always the best.
    temperature: Option<f64>,
}

impl Sampler {
    /// A sampler for one completion of a request. Completions after the first, and requests marked as another
    /// sample, vary if the temperature allows it.
    pub(super) fn new(request: &Request, completion: u32) -> Sampler {
        let varied = request.rollout.is_some() || completion > 0;
        let temperature = request.params.temperature.filter(|temperature| varied && *temperature > 0.0);
        if temperature.is_none() {
            return Sampler { state: 0, temperature };
        }
        let digest = request.digest().to_string();
        let state = super::features::hash(&digest) ^ u64::from(completion);
        Sampler { state, temperature: temperature.map(|temperature| temperature.clamp(0.05, 4.0)) }
    }

    /// The index of one of the candidates with these log-scores; the earlier one of equals.
    pub(super) fn pick(&mut self, scores: &[f64]) -> Option<usize> {
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let best = scores.iter().position(|score| *score >= highest)?;
        let Some(temperature) = self.temperature else { return Some(best) };
        let weight = |score: &f64| {
            let below = highest - score;
            if below <= REACH * temperature.max(1.0) { (-below / temperature).exp() } else { 0.0 }
        };
        let total: f64 = scores.iter().map(weight).sum();
        let mut left = self.uniform() * total;
        for (index, score) in scores.iter().enumerate() {
            left -= weight(score);
            if left < 0.0 {
                return Some(index);
            }
        }
        Some(best)
    }

    /// SplitMix64, as a number from 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Params};

    fn request(rollout: Option<u64>, temperature: Option<f64>) -> Request {
        let mut request = Request::new(vec![Message::user("x")]);
        request.params = Params { temperature, ..Params::default() };
        request.rollout = rollout;
        request
    }

    #[test]
    fn only_rollouts_with_a_temperature_vary() {
        let pick = |request: &Request| Sampler::new(request, 0).pick(&[1.0, 1.2, 1.1]);
        for plain in [request(None, None), request(None, Some(1.0)), request(Some(3), None)] {
            assert_eq!(pick(&plain), Some(1));
        }
        let picks: Vec<_> = (0..40).map(|rollout| pick(&request(Some(rollout), Some(1.0)))).collect();
        assert!((0..3).all(|index| picks.contains(&Some(index))), "{picks:?}");
        assert_eq!(pick(&request(Some(7), Some(1.0))), pick(&request(Some(7), Some(1.0))));
    }

    #[test]
    fn odd_scores_are_survived() {
        let mut sampler = Sampler::new(&request(Some(1), Some(2.0)), 0);
        assert_eq!(sampler.pick(&[]), None);
        assert!(sampler.pick(&[f64::NEG_INFINITY]).is_some());
    }
}
