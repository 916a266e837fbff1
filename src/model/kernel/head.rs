//! From a row of logits to the log-probability of one token and the entropy of the distribution.

use super::softmax::{exp, ln, max, sum, tree};

vectorised! {
    /// `logits[..]` become `exp(logit - max)`; returns `(max, Σ exp(logit - max), Σ exp(logit - max)·(logit - max))`.
    pub fn exponentials(logits: &mut [f32]) -> (f32, f32, f32) {
        let top = max(logits);
        let (mut totals, mut weighted) = ([0.0f32; 8], [0.0f32; 8]);
        // Blocks, because the compiler vectorises loops over a block and would unroll loops over eight.
        for block in logits.chunks_mut(64) {
            let (mut below, mut values) = ([0.0f32; 64], [0.0f32; 64]);
            for (below, logit) in below.iter_mut().zip(block.iter()) {
                *below = *logit - top;
            }
            for (value, below) in values[..block.len()].iter_mut().zip(&below) {
                *value = exp(*below);
            }
            block.copy_from_slice(&values[..block.len()]);
            for (value, below) in values.as_chunks::<8>().0.iter().zip(below.as_chunks::<8>().0) {
                for lane in 0..8 {
                    totals[lane] += value[lane];
                    weighted[lane] = value[lane].mul_add(below[lane], weighted[lane]);
                }
            }
        }
        (top, tree(totals), tree(weighted))
    }

    /// `values[..]`, exponentials that sum to `total`, become `-scale · values / total`: the gradient of `scale · log p[target]` by
    /// the logits, but for the target's own `+ scale`.
    pub fn head_backward(values: &mut [f32], total: f32, scale: f32) {
        let factor = -scale / total;
        for value in values.iter_mut() {
            *value *= factor;
        }
    }

    /// Logits become `exp((logit - max) / temperature)`.
    pub fn temper(logits: &mut [f32], temperature: f32) {
        let (top, sharpness) = (max(logits), 1.0 / temperature);
        for logit in logits.iter_mut() {
            *logit = exp((*logit - top) * sharpness);
        }
    }

    /// The index that `uniform`, in `[0, 1)`, falls on when weights are laid end to end. Never one of weight 0, if there is another.
    ///
    /// First the block of 64 it falls in, then the place in the block: sums in a fixed order.
    pub fn pick(weights: &[f32], uniform: f32) -> usize {
        let mut total = 0.0;
        for block in weights.chunks(64) {
            total += sum(block);
        }
        let (mut left, mut last) = (uniform * total, 0);
        for (index, block) in weights.chunks(64).enumerate() {
            let share = sum(block);
            // Rounding may carry `left` past the end: then the last index with weight is taken.
            if let Some(place) = block.iter().rposition(|weight| *weight > 0.0) {
                last = index * 64 + place;
            }
            if left < share {
                for (place, weight) in block.iter().enumerate() {
                    if left < *weight {
                        return index * 64 + place;
                    }
                    left -= weight;
                }
                return last;
            }
            left -= share;
        }
        last
    }
}

/// Log-probability of the token with logit `chosen`, and the entropy, from what [`exponentials`] returned.
pub fn finish(chosen: f32, (top, total, weighted): (f32, f32, f32)) -> (f32, f32) {
    let log_total = ln(total);
    (chosen - top - log_total, log_total - weighted / total)
}

/// Log-probability of `target` and entropy, both of `softmax(logits)`. `logits` become exponentials; their sum is returned last.
pub fn score(logits: &mut [f32], target: usize) -> (f32, f32, f32) {
    let chosen = logits[target];
    let sums = exponentials(logits);
    let (logprob, entropy) = finish(chosen, sums);
    (logprob, entropy, sums.1)
}

/// The first of the greatest logits.
pub fn argmax(logits: &[f32]) -> usize {
    let top = max(logits);
    logits.iter().position(|logit| *logit == top).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_a_logprob_is_the_difference_quotient() {
        let logits: Vec<f32> = (0..37).map(|i| ((i * 13) % 17) as f32 * 0.3 - 2.0).collect();
        let (target, scale) = (5, 0.7);
        let mut gradient = logits.clone();
        let (logprob, entropy, total) = score(&mut gradient, target);
        let exact: f64 = logits.iter().map(|z| (*z as f64).exp()).sum();
        assert!((logprob as f64 - (logits[target] as f64 - exact.ln())).abs() < 1e-6);
        let p = |z: f32| (z as f64).exp() / exact;
        assert!((entropy as f64 + logits.iter().map(|z| p(*z) * p(*z).ln()).sum::<f64>()).abs() < 1e-6);
        head_backward(&mut gradient, total, scale);
        gradient[target] += scale;
        for i in 0..logits.len() {
            let nudge = |by: f32| {
                let mut logits = logits.clone();
                logits[i] += by;
                score(&mut logits, target).0 * scale
            };
            let slope = (nudge(1e-2) - nudge(-1e-2)) / 2e-2;
            assert!((slope - gradient[i]).abs() < 1e-4, "{i}: {slope} and {}", gradient[i]);
        }
    }

    #[test]
    fn picks_follow_the_weights_and_never_fall_on_zero() {
        let weights: Vec<f32> = (0..200).map(|i| if i % 3 == 0 || i > 190 { 0.0 } else { (i % 5) as f32 }).collect();
        let total: f64 = weights.iter().map(|w| *w as f64).sum();
        let mut counts = vec![0usize; 200];
        let draws = 100_000;
        for i in 0..draws {
            counts[pick(&weights, i as f32 / draws as f32)] += 1;
        }
        for (weight, count) in weights.iter().zip(counts) {
            assert!((count as f64 / draws as f64 - *weight as f64 / total).abs() < 1e-4);
        }
        assert!(weights[pick(&weights, 1.0 - f32::EPSILON / 2.0)] > 0.0);
        assert_eq!(pick(&[0.0, 0.0, 1.0, 0.0], 0.999_999_94), 2);
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }
}
