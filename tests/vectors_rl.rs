//! Advantages, objective and KL estimators against verl's own numbers.

#![cfg(feature = "engine")]

use ablate::recipe::rl::{Advantage, Aggregation, Objective};
use ablate::rl::advantage::advantages;
use ablate::rl::objective::{KlEstimate, ObjectiveSums, kl, surrogate, token_weights};
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

/// Log-probabilities are padded at the end to a common width.
#[derive(Deserialize)]
struct Case {
    group_index: Vec<usize>,
    response_lengths: Vec<usize>,
    scores: Vec<f64>,
    old_logprobs: Vec<Vec<f32>>,
    new_logprobs: Vec<Vec<f32>>,
    ref_logprobs: Vec<Vec<f32>>,
    advantages: AdvantageCases,
    losses: Vec<LossCase>,
    kl: KlCases,
}

#[derive(Deserialize)]
struct AdvantageCases {
    grpo: Vec<Vec<f64>>,
    dr_grpo: Vec<Vec<f64>>,
    rloo: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct LossCase {
    aggregation: Aggregation,
    clip_low: f64,
    clip_high: f64,
    dual_clip: f64,
    advantage: Advantage,
    loss: f64,
    clip_fraction: f64,
    clip_fraction_lower: f64,
    approx_kl: f64,
    grad: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct KlCases {
    kl: Vec<Vec<f64>>,
    abs: Vec<Vec<f64>>,
    mse: Vec<Vec<f64>>,
    low_var_kl: Vec<Vec<f64>>,
}

fn vectors() -> Vectors {
    let folder = std::env::var_os("ABLATE_VECTORS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    let path = folder.join("rl.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Relative above 1, absolute below: the vectors are f32.
fn assert_close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-6 * theirs.abs().max(1.0), "{what}: {ours} but verl has {theirs}");
}

/// Advantages of each response, in the case's order.
fn by_group(case: &Case, rule: Advantage) -> Vec<f64> {
    let mut all = vec![f64::NAN; case.scores.len()];
    for group in 0..=*case.group_index.iter().max().unwrap() {
        let members: Vec<usize> = (0..all.len()).filter(|&i| case.group_index[i] == group).collect();
        let rewards: Vec<f64> = members.iter().map(|&i| case.scores[i]).collect();
        for (&member, advantage) in members.iter().zip(advantages(rule, &rewards)) {
            all[member] = advantage;
        }
    }
    all
}

#[test]
fn vectors_advantages() {
    for (index, case) in vectors().cases.iter().enumerate() {
        let rules = [
            (Advantage::Grpo, &case.advantages.grpo),
            (Advantage::DrGrpo, &case.advantages.dr_grpo),
            (Advantage::Rloo, &case.advantages.rloo),
        ];
        for (rule, theirs) in rules {
            for (response, ours) in by_group(case, rule).into_iter().enumerate() {
                let what = format!("case {index}, {rule:?}, response {response}");
                for theirs in theirs[response].iter().take(case.response_lengths[response]) {
                    assert_close(ours, *theirs, &what);
                }
            }
        }
    }
}

#[test]
fn vectors_losses_and_their_derivatives() {
    for (index, case) in vectors().cases.iter().enumerate() {
        assert_eq!(case.losses.len(), 12);
        for expected in &case.losses {
            let objective = Objective {
                advantage: expected.advantage,
                aggregation: expected.aggregation,
                clip_low: expected.clip_low,
                clip_high: expected.clip_high,
                dual_clip: Some(expected.dual_clip),
            };
            let what = format!("case {index}, {objective:?}");
            let advantages = by_group(case, objective.advantage);
            let width = case.old_logprobs[0].len();
            let weights = token_weights(objective.aggregation, &case.response_lengths, width);
            let mut sums = ObjectiveSums::default();
            for (response, &length) in case.response_lengths.iter().enumerate() {
                for token in 0..length {
                    let (old, new) = (case.old_logprobs[response][token], case.new_logprobs[response][token]);
                    let ours = surrogate(&objective, advantages[response], old, new);
                    sums.add(&ours, weights[response]);
                    assert_close(ours.slope * weights[response], expected.grad[response][token], &what);
                }
            }
            let tokens = sums.tokens as f64;
            assert_close(sums.loss, expected.loss, &what);
            assert_close(sums.clipped as f64 / tokens, expected.clip_fraction, &what);
            assert_close(sums.clipped_lower as f64 / tokens, expected.clip_fraction_lower, &what);
            assert_close(sums.approx_kl / tokens, expected.approx_kl, &what);
        }
    }
}

#[test]
fn vectors_kl_estimators() {
    for (index, case) in vectors().cases.iter().enumerate() {
        let estimates = [
            (KlEstimate::Kl, &case.kl.kl),
            (KlEstimate::Abs, &case.kl.abs),
            (KlEstimate::Mse, &case.kl.mse),
            (KlEstimate::LowVarKl, &case.kl.low_var_kl),
        ];
        for (estimate, theirs) in estimates {
            for (response, row) in theirs.iter().enumerate() {
                for (token, theirs) in row.iter().take(case.response_lengths[response]).enumerate() {
                    let (policy, reference) = (case.new_logprobs[response][token], case.ref_logprobs[response][token]);
                    let what = format!("case {index}, {estimate:?}, response {response}, token {token}");
                    assert_close(kl(estimate, policy, reference), *theirs, &what);
                }
            }
        }
    }
}
