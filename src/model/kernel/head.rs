//! From a row of logits to the log-probability of one token and the entropy of the distribution.

use super::softmax::{exp, max, sum};

vectorised! {
    /// `logits[..]` become `exp(logit - max)`; returns `(max, Σ exp(logit - max), Σ exp(logit - max)·(logit - max))`.
    pub fn exponentials(logits: &mut [f32]) -> (f32, f32, f32) {
        let top = max(logits);
        let mut lanes = [0.0f32; 8];
        let mut chunks = logits.chunks_exact_mut(8);
        for chunk in &mut chunks {
            for (lane, logit) in lanes.iter_mut().zip(chunk) {
                let below = *logit - top;
                let value = exp(below);
                *lane = value.mul_add(below, *lane);
                *logit = value;
            }
        }
        let mut weighted = 0.0f32;
        for lane in lanes {
            weighted += lane;
        }
        for logit in chunks.into_remainder() {
            let below = *logit - top;
            let value = exp(below);
            weighted = value.mul_add(below, weighted);
            *logit = value;
        }
        (top, sum(logits), weighted)
    }

    /// `values[..]`, exponentials that sum to `total`, become `-scale · values / total`: the gradient of `scale · log p[target]` by
    /// the logits, but for the target's own `+ scale`.
    pub fn head_backward(values: &mut [f32], total: f32, scale: f32) {
        let factor = -scale / total;
        for value in values.iter_mut() {
            *value *= factor;
        }
    }
}

/// Log-probability of the token with logit `chosen`, and the entropy, from what [`exponentials`] returned.
pub fn finish(chosen: f32, (top, total, weighted): (f32, f32, f32)) -> (f32, f32) {
    let log_total = total.ln();
    (chosen - top - log_total, log_total - weighted / total)
}

/// Log-probability of `target` and entropy, both of `softmax(logits)`. `logits` become exponentials; their sum is returned last.
pub fn score(logits: &mut [f32], target: usize) -> (f32, f32, f32) {
    let chosen = logits[target];
    let sums = exponentials(logits);
    let (logprob, entropy) = finish(chosen, sums);
    (logprob, entropy, sums.1)
}
