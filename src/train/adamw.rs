//! AdamW on one tensor, in the operations and the order of `torch.optim.AdamW`.

use crate::recipe::optimizer::AdamW;

/// One update. `step` counts from 1; `decay` says whether weight decay touches this tensor.
pub fn update(
    rule: &AdamW,
    lr: f64,
    decay: bool,
    step: u64,
    values: &mut [f32],
    gradients: &[f32],
    [first, second]: [&mut [f32]; 2],
) {
    let kept = if decay { (1.0 - lr * rule.weight_decay) as f32 } else { 1.0 };
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    let size = (lr / correction(rule.beta1)) as f32;
    let root = correction(rule.beta2).sqrt() as f32;
    let (rest1, beta2, rest2) = ((1.0 - rule.beta1) as f32, rule.beta2 as f32, (1.0 - rule.beta2) as f32);
    let eps = rule.eps as f32;
    let moments = first.iter_mut().zip(second.iter_mut());
    for ((value, gradient), (first, second)) in values.iter_mut().zip(gradients).zip(moments) {
        *first += rest1 * (gradient - *first);
        *second = beta2 * *second + rest2 * gradient * gradient;
        *value = kept * *value - size * (*first / (second.sqrt() / root + eps));
    }
}
