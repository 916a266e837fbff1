//! The exponential and the softmax of a row.

/// `e^x` for `x <= 88`, to about one unit in the last place; 0 below -87.
///
/// Range reduction by ln 2 in two parts and the Taylor polynomial of degree 7: no branch and no table, so that it
/// vectorises, and the same bits wherever it is inlined.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    // Adding 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let power = shifted - MAGIC;
    let r = power.mul_add(-1.428_606_8e-6, power.mul_add(-0.693_145_75, clamped));
    let mut p = 1.984_127e-4_f32;
    p = p.mul_add(r, 1.388_888_9e-3);
    p = p.mul_add(r, 8.333_334e-3);
    p = p.mul_add(r, 4.166_666_7e-2);
    p = p.mul_add(r, 1.666_666_7e-1);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r, 1.0);
    p = p.mul_add(r, 1.0);
    let scale = f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits() - 127) << 23);
    if x < -87.0 { 0.0 } else { p * scale }
}

/// The sum of a row: eight interleaved partial sums, each over the tail as well, then a fixed tree.
#[inline(always)]
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (chunks, tail) = values.as_chunks::<8>();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] += chunk[lane];
        }
    }
    let mut rest = [0.0f32; 8];
    rest[..tail.len()].copy_from_slice(tail);
    for lane in 0..8 {
        lanes[lane] += rest[lane];
    }
    tree(lanes)
}

/// The dot product of two rows of the same length, in the order of [`sum`].
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    let mut rest = [[0.0f32; 8]; 2];
    rest[0][..a_tail.len()].copy_from_slice(a_tail);
    rest[1][..b_tail.len()].copy_from_slice(b_tail);
    for lane in 0..8 {
        lanes[lane] = rest[0][lane].mul_add(rest[1][lane], lanes[lane]);
    }
    tree(lanes)
}

#[inline(always)]
pub fn tree(l: [f32; 8]) -> f32 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

/// The largest value, or -∞ for an empty row; NaN is passed over.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    let (chunks, tail) = values.as_chunks::<8>();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |max, value| if *value > max { *value } else { max })
}

/// The natural logarithm of a positive normal number; NaN of anything else.
///
/// Our own, since the last bit of a platform's is nobody's promise. Computed in double precision and rounded once.
pub fn ln(x: f32) -> f32 {
    if !(f32::MIN_POSITIVE..f32::INFINITY).contains(&x) {
        return f32::NAN;
    }
    // x = m·2^e with m in [0.75, 1.5); ln m = 2·atanh((m - 1) / (m + 1)), whose argument is below 0.2.
    let bits = x.to_bits();
    let e = (bits.wrapping_sub(0.75f32.to_bits()) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e << 23) as u32)) as f64;
    let s = (m - 1.0) / (m + 1.0);
    let mut series = 1.0 / 15.0;
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * (s * s) + 1.0 / odd;
    }
    (e as f64 * std::f64::consts::LN_2 + 2.0 * s * series) as f32
}

vectorised! {
    /// The first `seen` scores become `exp(scale · (score - max))`, the others 0; returns `[max, 1 / Σ]`.
    ///
    /// Not yet divided by the sum: it is cheaper to divide what they are multiplied with.
    pub fn softmax(scores: &mut [f32], seen: usize, scale: f32) -> [f32; 2] {
        let (scores, unseen) = scores.split_at_mut(seen);
        let top = max(scores);
        for score in scores.iter_mut() {
            *score = exp((*score - top) * scale);
        }
        unseen.fill(0.0);
        [top, 1.0 / sum(scores)]
    }

    /// The first `seen` scores become probabilities, from what [`softmax`] returned, and the gradients by probabilities
    /// become gradients by scores, `scale · p · (d_p - Σ p·d_p)`. The others become 0.
    ///
    /// The sum is taken over these very probabilities, so that a row's gradients cancel as they should: the gradient of a
    /// key's bias is what is left of them.
    pub fn softmax_backward(scores: &mut [f32], d_scores: &mut [f32], seen: usize, scale: f32, norm: [f32; 2]) {
        let (scores, unseen) = scores.split_at_mut(seen);
        let (d_scores, d_unseen) = d_scores.split_at_mut(seen);
        for score in scores.iter_mut() {
            *score = exp((*score - norm[0]) * scale) * norm[1];
        }
        let mean = dot(scores, d_scores);
        for (probability, d_score) in scores.iter().zip(d_scores) {
            *d_score = (*d_score - mean) * probability * scale;
        }
        unseen.fill(0.0);
        d_unseen.fill(0.0);
    }

    /// `values *= factor`.
    pub fn multiply(values: &mut [f32], factor: f32) {
        for value in values.iter_mut() {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_are_accurate() {
        for i in -8_700..=8_800 {
            let x = i as f32 * 0.01;
            let (ours, exact) = (exp(x) as f64, (x as f64).exp());
            assert!((ours - exact).abs() <= 2e-7 * exact, "exp({x}) = {ours}, not {exact}");
        }
        assert_eq!((exp(-100.0), exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan());
        for i in 1..100_000 {
            let x = (i as f32 * 0.013).powi(3) * 1e-3;
            let (ours, exact) = (ln(x) as f64, (x as f64).ln());
            assert!((ours - exact).abs() <= 7e-8 * exact.abs(), "ln({x}) = {ours}, not {exact}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(f32::NAN).is_nan() && ln(0.0).is_nan() && ln(-1.0).is_nan());
    }

    #[test]
    fn softmax_sums_to_one_and_its_gradient_is_the_difference_quotient() {
        let (seen, scale) = (37, 0.7);
        let scores: Vec<f32> = (0..40).map(|i| ((i * 13) % 17) as f32 * 0.3 - 2.0).collect();
        let weights: Vec<f32> = (0..40).map(|i| ((i * 7) % 11) as f32 * 0.1).collect();
        let probabilities = |scores: &[f32]| {
            let mut p = scores.to_vec();
            let [_, inverse] = softmax(&mut p, seen, scale);
            multiply(&mut p, inverse);
            p
        };
        let value = |p: &[f32]| p.iter().zip(&weights).map(|(p, w)| (*p as f64) * (*w as f64)).sum::<f64>();
        let p = probabilities(&scores);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6 && p[seen..] == [0.0; 3]);
        let (mut again, mut gradient) = (scores.clone(), weights.clone());
        let norm = softmax(&mut scores.clone(), seen, scale);
        softmax_backward(&mut again, &mut gradient, seen, scale, norm);
        assert!(again.iter().zip(&p).all(|(a, b)| a.to_bits() == b.to_bits()), "the same probabilities again");
        for i in 0..scores.len() {
            let nudge = |by: f32| {
                let mut scores = scores.clone();
                scores[i] += by;
                value(&probabilities(&scores))
            };
            let slope = (nudge(1e-2) - nudge(-1e-2)) / 2e-2;
            assert!((slope - gradient[i] as f64).abs() < 1e-4, "{i}: {slope} and {}", gradient[i]);
        }
    }
}
