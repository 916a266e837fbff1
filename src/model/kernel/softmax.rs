//! The exponential and the softmax of a row.

/// `e^x` for `x <= 88`, to about one unit in the last place; 0 below -87.
///
/// Range reduction by ln 2 in two parts and a polynomial of degree 6: no branch and no table, so that it vectorises, and
/// the same bits wherever it is inlined.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    // Adding and taking away 1.5·2²³ rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let power = shifted - MAGIC;
    let r = power.mul_add(-1.428_606_8e-6, power.mul_add(-0.693_145_75, clamped));
    let mut p = 1.388_888_9e-3_f32;
    for coefficient in [8.333_334e-3, 4.166_666_7e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0] {
        p = p.mul_add(r, coefficient);
    }
    let scale = f32::from_bits(((power as i32 + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { p * scale }
}

/// The sum of a row: eight interleaved partial sums, then a fixed tree, then the tail.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    tail.iter().fold(tree(lanes), |sum, value| sum + value)
}

/// The dot product of two rows, in the order of [`sum`].
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let (a_tail, b_tail) = (a_chunks.remainder(), b_chunks.remainder());
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = a.mul_add(*b, *lane);
        }
    }
    a_tail.iter().zip(b_tail).fold(tree(lanes), |sum, (a, b)| a.mul_add(*b, sum))
}

#[inline(always)]
fn tree(l: [f32; 8]) -> f32 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

/// The largest value, or -∞ for an empty row.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    let chunks = values.chunks_exact(8);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |max, value| if *value > max { *value } else { max })
}

vectorised! {
    /// `scores[..]` become `softmax(scale · scores)`; returns `ln Σ exp(scale · scores)`.
    pub fn softmax(scores: &mut [f32], scale: f32) -> f32 {
        let top = max(scores) * scale;
        for score in scores.iter_mut() {
            *score = exp(score.mul_add(scale, -top));
        }
        let total = sum(scores);
        let inverse = 1.0 / total;
        for score in scores.iter_mut() {
            *score *= inverse;
        }
        top + total.ln()
    }

    /// `scores[..]` become `exp(scale · scores - log_sum)`: the softmax again, from its saved normaliser.
    pub fn softmax_again(scores: &mut [f32], scale: f32, log_sum: f32) {
        for score in scores.iter_mut() {
            *score = exp(score.mul_add(scale, -log_sum));
        }
    }

    /// The gradient of a softmax: `d_scores = scale · p · (d_p - Σ p·d_p)`, written over `d_p`.
    pub fn softmax_backward(probabilities: &[f32], d_p: &mut [f32], scale: f32) {
        let mean = dot(probabilities, d_p);
        for (d_p, p) in d_p.iter_mut().zip(probabilities) {
            *d_p = scale * p * (*d_p - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_and_ends_at_zero() {
        for i in -8_700..=8_800 {
            let x = i as f32 * 0.01;
            let (ours, exact) = (exp(x) as f64, (x as f64).exp());
            assert!((ours - exact).abs() <= 2e-7 * exact, "exp({x}) = {ours}, not {exact}");
        }
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn softmax_sums_to_one_and_its_gradient_is_the_difference_quotient() {
        let scores: Vec<f32> = (0..37).map(|i| ((i * 13) % 17) as f32 * 0.3 - 2.0).collect();
        let weights: Vec<f32> = (0..37).map(|i| ((i * 7) % 11) as f32 * 0.1).collect();
        let value = |scores: &[f32]| {
            let mut p = scores.to_vec();
            softmax(&mut p, 0.7);
            p.iter().zip(&weights).map(|(p, w)| (*p as f64) * (*w as f64)).sum::<f64>()
        };
        let mut p = scores.clone();
        let log_sum = softmax(&mut p, 0.7);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let mut again = scores.clone();
        softmax_again(&mut again, 0.7, log_sum);
        assert!(again.iter().zip(&p).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut gradient = weights.clone();
        softmax_backward(&p, &mut gradient, 0.7);
        for i in 0..scores.len() {
            let nudge = |by: f32| {
                let mut scores = scores.clone();
                scores[i] += by;
                value(&scores)
            };
            let slope = (nudge(1e-2) - nudge(-1e-2)) / 2e-2;
            assert!((slope - gradient[i] as f64).abs() < 1e-4, "{i}: {slope} and {}", gradient[i]);
        }
    }
}
