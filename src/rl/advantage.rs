//! How a group's rewards become advantages.

use crate::recipe::rl::Advantage;

/// Guards the division by a small standard deviation, as in verl.
const EPSILON: f64 = 1e-6;

/// Advantages of the responses to one prompt; they sum to 0.
///
/// Rewards that are all exactly equal give exact zeros: a mean of equal floats need not be that float, so a
/// test on the standard deviation would let noise through. A lone response has no siblings to compare with, and its
/// reward counts from 0 with standard deviation 1, as in verl's `compute_grpo_outcome_advantage`.
pub fn advantages(rule: Advantage, rewards: &[f64]) -> Vec<f64> {
    let n = rewards.len() as f64;
    match rewards {
        [] => return vec![],
        [lone] if rule == Advantage::Grpo => return vec![lone / (1.0 + EPSILON)],
        [lone] => return vec![*lone],
        _ if is_flat(rewards) => return vec![0.0; rewards.len()],
        _ => {}
    }
    let mean = rewards.iter().sum::<f64>() / n;
    let scale = match rule {
        Advantage::Grpo => {
            let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / (n - 1.0);
            1.0 / (variance.sqrt() + EPSILON)
        }
        Advantage::DrGrpo => 1.0,
        // reward - mean of the others = (reward - mean) * n / (n - 1)
        Advantage::Rloo => n / (n - 1.0),
    };
    rewards.iter().map(|reward| (reward - mean) * scale).collect()
}

/// Whether a group of two or more has nothing to tell: all its rewards are exactly equal.
pub fn is_flat(rewards: &[f64]) -> bool {
    rewards.len() > 1 && rewards.iter().all(|reward| *reward == rewards[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [Advantage; 3] = [Advantage::Grpo, Advantage::DrGrpo, Advantage::Rloo];

    #[test]
    fn advantages_of_a_group_sum_to_zero() {
        let mut rng = crate::recipe::Seed(1).stream("test").at(&[]);
        for size in 2..20 {
            let rewards: Vec<f64> = (0..size).map(|_| rng.normal()).collect();
            for rule in RULES {
                let sum: f64 = advantages(rule, &rewards).iter().sum();
                assert!(sum.abs() < 1e-9, "{rule:?}: {sum}");
            }
        }
    }

    #[test]
    fn equal_rewards_give_exact_zeros() {
        for reward in [0.1, 1.0, -1.0 / 3.0] {
            for rule in RULES {
                assert_eq!(advantages(rule, &[reward; 7]), [0.0; 7], "{rule:?}");
            }
        }
        assert!(!is_flat(&[0.1, 0.1 + f64::EPSILON]));
    }

    #[test]
    fn shifting_and_scaling_rewards_leaves_grpo_alone() {
        let binary = advantages(Advantage::Grpo, &[0.0, 1.0, 0.0, 1.0]);
        let signed = advantages(Advantage::Grpo, &[-1.0, 1.0, -1.0, 1.0]);
        for (a, b) in binary.iter().zip(&signed) {
            assert!((a - b).abs() < 2e-6, "{a} {b}");
        }
    }
}
