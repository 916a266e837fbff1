//! The policy objective: value, metrics and derivative by log-probability, in closed form.
//!
//! A token's loss needs only its own log-probability, so there is no graph here: the model's backward pass starts from
//! the derivative that [`surrogate`] gives. Everything is per token with a weight from [`token_weights`], so that neither
//! the packing nor the cut into micro-batches can change the loss.
//!
//! Deliberately absent: a KL penalty and an entropy bonus. The paper runs with both at zero, and without them a response
//! with advantage 0 has an exactly zero gradient and can be skipped. The estimators of KL below are for metrics.

use crate::recipe::rl::{Aggregation, Objective};

/// Log-ratios are limited to ±this before the exponential, as in verl.
const MAX_LOG_RATIO: f64 = 20.0;

/// One token's part in the objective, before its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surrogate {
    pub loss: f64,
    /// d loss / d log-probability.
    pub slope: f64,
    pub ratio: f64,
    /// The clip took effect.
    pub clipped: bool,
    /// The dual clip took effect.
    pub clipped_lower: bool,
    /// `old - new`, the simplest estimate of KL(old ‖ new).
    pub approx_kl: f64,
}

/// The clipped surrogate loss (PPO, arXiv 1707.06347) with asymmetric (DAPO, arXiv 2503.14476) and dual clip
/// (arXiv 1912.09729). `old` and `new` are log-probabilities of the sampled token. Equal ones give a ratio of exactly 1.
pub fn surrogate(objective: &Objective, advantage: f64, old: f32, new: f32) -> Surrogate {
    let difference = f64::from(new) - f64::from(old);
    let log_ratio = difference.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO);
    let ratio = log_ratio.exp();
    let plain = -advantage * ratio;
    let bounded = -advantage * ratio.clamp(1.0 - objective.clip_low, 1.0 + objective.clip_high);
    let clipped = bounded > plain;
    let mut loss = plain.max(bounded);
    let mut slope = if clipped || difference != log_ratio { 0.0 } else { plain };
    let mut clipped_lower = false;
    if let Some(bound) = objective.dual_clip.filter(|_| advantage < 0.0) {
        let highest = -advantage * bound;
        if loss > highest {
            (loss, slope, clipped_lower) = (highest, 0.0, true);
        }
    }
    Surrogate { loss, slope, ratio, clipped, clipped_lower, approx_kl: -log_ratio }
}

/// What each token of each response weighs in the loss, given the lengths of *all* responses of the mini-batch: those
/// with advantage 0 too, which have no gradient but count in the denominators.
///
/// `longest` is the longest possible response in tokens.
pub fn token_weights(aggregation: Aggregation, lengths: &[usize], longest: usize) -> Vec<f64> {
    let responses = lengths.len() as f64;
    let tokens: usize = lengths.iter().sum();
    let weight = |length: usize| match aggregation {
        Aggregation::TokenMean => 1.0 / tokens as f64,
        Aggregation::SeqMeanTokenSum => 1.0 / responses,
        Aggregation::SeqMeanTokenMean => 1.0 / (responses * length as f64),
        Aggregation::SeqMeanTokenSumNorm => 1.0 / (responses * longest as f64),
    };
    lengths.iter().map(|&length| if length == 0 { 0.0 } else { weight(length) }).collect()
}

/// Sums over the tokens of a mini-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ObjectiveSums {
    pub loss: f64,
    pub clipped: u64,
    pub clipped_lower: u64,
    pub approx_kl: f64,
    /// Tokens that were added.
    pub tokens: u64,
    /// Largest |ratio - 1|.
    pub ratio_off_one: f64,
}

impl ObjectiveSums {
    pub fn add(&mut self, token: &Surrogate, weight: f64) {
        self.loss += weight * token.loss;
        self.clipped += u64::from(token.clipped);
        self.clipped_lower += u64::from(token.clipped_lower);
        self.approx_kl += token.approx_kl;
        self.tokens += 1;
        self.ratio_off_one = self.ratio_off_one.max((token.ratio - 1.0).abs());
    }
}

/// An estimate of KL(policy ‖ reference) from one sampled token (Schulman, "Approximating KL divergence").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KlEstimate {
    /// `log π - log ref` (k1): unbiased, may be negative.
    Kl,
    /// `|log π - log ref|`.
    Abs,
    /// `½ (log π - log ref)²` (k2).
    Mse,
    /// `ref/π - 1 - log(ref/π)` (k3): unbiased and never negative; limited to ±10 as in verl.
    LowVarKl,
}

/// The estimate for one token from its log-probabilities under both policies.
pub fn kl(estimate: KlEstimate, policy: f32, reference: f32) -> f64 {
    let difference = f64::from(policy) - f64::from(reference);
    match estimate {
        KlEstimate::Kl => difference,
        KlEstimate::Abs => difference.abs(),
        KlEstimate::Mse => 0.5 * difference * difference,
        KlEstimate::LowVarKl => {
            let log_ratio = (-difference).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO);
            (log_ratio.exp() - 1.0 - log_ratio).clamp(-10.0, 10.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::rl::Advantage;

    fn objective() -> Objective {
        Objective {
            advantage: Advantage::Grpo,
            aggregation: Aggregation::TokenMean,
            clip_low: 0.2,
            clip_high: 0.28,
            dual_clip: Some(3.0),
        }
    }

    #[test]
    fn equal_log_probabilities_give_a_ratio_of_exactly_one() {
        let token = surrogate(&objective(), 0.7, -1.234_567, -1.234_567);
        assert_eq!((token.ratio, token.loss, token.slope, token.approx_kl), (1.0, -0.7, -0.7, 0.0));
    }

    #[test]
    fn the_slope_is_the_derivative_of_the_loss() {
        for advantage in [-1.3, 0.0, 0.8] {
            for step in -40..40 {
                // Beside the kinks, so that the difference stays on one side.
                let new = -1.0 + step as f32 * 0.0437;
                let width = 1.0 / 1024.0;
                let at = |new: f32| surrogate(&objective(), advantage, -1.0, new);
                let (low, high) = (at(new - width), at(new + width));
                let difference = (high.loss - low.loss) / f64::from((new + width) - (new - width));
                let kink = low.clipped != high.clipped || low.clipped_lower != high.clipped_lower;
                assert!(kink || (difference - at(new).slope).abs() < 1e-4, "{advantage} {new}");
            }
        }
    }

    #[test]
    fn responses_without_gradient_still_count_in_the_denominator() {
        assert_eq!(token_weights(Aggregation::TokenMean, &[3, 5], 10), [0.125, 0.125]);
        assert_eq!(token_weights(Aggregation::SeqMeanTokenSum, &[3, 5], 10), [0.5, 0.5]);
        assert_eq!(token_weights(Aggregation::SeqMeanTokenMean, &[4, 5], 10), [0.125, 0.1]);
        assert_eq!(token_weights(Aggregation::SeqMeanTokenSumNorm, &[3, 0], 10), [0.05, 0.0]);
    }
}
