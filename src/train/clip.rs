//! Gradient clipping by global norm.

use crate::model::Params;

/// Sums are kept in this many lanes, so that they are quick and always in the same order.
const LANES: usize = 8;

/// Scales all gradients down so that their global L2 norm is at most `max_norm`. Returns the norm before.
///
/// Divides by norm + 1e-6, as `torch.nn.utils.clip_grad_norm_` does. A norm that is not finite leaves them untouched:
/// the caller must stop.
pub fn clip(gradients: &mut Params, max_norm: f64) -> f64 {
    let norm = global_norm(gradients);
    let scale = max_norm / (norm + 1e-6);
    if norm.is_finite() && scale < 1.0 {
        let scale = scale as f32;
        gradients.flat_mut().iter_mut().for_each(|gradient| *gradient *= scale);
    }
    norm
}

/// The L2 norm over all tensors, summed in double precision.
pub fn global_norm(gradients: &Params) -> f64 {
    let mut sums = [0.0f64; LANES];
    let mut chunks = gradients.flat().chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += *value as f64 * *value as f64;
        }
    }
    let rest: f64 = chunks.remainder().iter().map(|value| *value as f64 * *value as f64).sum();
    (sums.iter().sum::<f64>() + rest).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients() -> Params {
        let mut params = Params::zeros(vec![("a".to_string(), vec![3, 3]), ("b".to_string(), vec![1])]);
        params.flat_mut()[0] = 3.0;
        params.flat_mut()[9] = -4.0;
        params
    }

    #[test]
    fn a_large_gradient_is_scaled_to_the_norm_over_all_tensors() {
        let mut clipped = gradients();
        assert_eq!(clip(&mut clipped, 1.0), 5.0);
        assert!((clipped.flat()[0] - 0.6).abs() < 1e-6 && (clipped.flat()[9] + 0.8).abs() < 1e-6);
        assert!((global_norm(&clipped) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_small_gradient_keeps_its_bits() {
        let mut clipped = gradients();
        clip(&mut clipped, 5.1);
        assert_eq!(clipped, gradients());
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_reported_and_left_alone() {
        let mut broken = gradients();
        broken.flat_mut()[4] = f32::NAN;
        assert!(clip(&mut broken, 1.0).is_nan());
        assert_eq!(broken.flat()[0], 3.0);
    }
}
