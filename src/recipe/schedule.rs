//! Learning-rate schedules in closed form: the rate is a function of the step and the length of the run, never of a state.
//!
//! Steps count from 0. Warm-up follows `transformers.optimization`: it reaches the peak at step `warmup`, not before, and
//! starts at the floor (warmup-stable-decay) or at 0 (cosine). Shapes and endpoints are those of `get_wsd_schedule` and
//! `get_cosine_with_min_lr_schedule`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The shape of a decay from 1 to a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecayCurve {
    Cosine,
    Linear,
    /// `1 - sqrt(t)` (Hägele et al., arXiv 2405.18392).
    OneMinusSqrt,
}

impl DecayCurve {
    /// From 1 at `t = 0` to 0 at `t = 1`.
    fn at(self, t: f64) -> f64 {
        match self {
            DecayCurve::Cosine => 0.5 * (1.0 + (PI * t).cos()),
            DecayCurve::Linear => 1.0 - t,
            DecayCurve::OneMinusSqrt => 1.0 - t.sqrt(),
        }
    }
}

/// The learning rate over a run, as a multiple of the peak.
///
/// Stable-then-Decay is [`Schedule::Constant`] for the trunk and [`Schedule::Decay`] for each branch;
/// [`Schedule::WarmupStableDecay`] is the same in one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Warm up over a share of the run, then stay at the peak.
    Constant { warmup: f64 },
    /// Warm up from 0, then cosine to `floor` times the peak at the end.
    Cosine { warmup: f64, floor: f64 },
    /// Warm up, stay at the peak, and decay over the last `decay` share of the run.
    WarmupStableDecay { warmup: f64, decay: f64, curve: DecayCurve, floor: f64 },
    /// Decay from the peak over the whole run, as a branch grown from a stable trunk does.
    Decay { curve: DecayCurve, floor: f64 },
}

impl Schedule {
    /// The multiple of the peak rate at `step` of `total`.
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let steps = |share: f64| (share * total as f64).round() as u64;
        match *self {
            Schedule::Constant { warmup } => {
                warmup_stable_decay(step, steps(warmup), total, 0, DecayCurve::Linear, 0.0)
            }
            Schedule::Cosine { warmup, floor } => {
                let warmup = steps(warmup);
                warmup_cosine(step, warmup, total.saturating_sub(warmup), floor)
            }
            Schedule::WarmupStableDecay { warmup, decay, curve, floor } => {
                let (warmup, decay) = (steps(warmup), steps(decay));
                warmup_stable_decay(step, warmup, total.saturating_sub(warmup + decay), decay, curve, floor)
            }
            Schedule::Decay { curve, floor } => warmup_stable_decay(step, 0, 0, total, curve, floor),
        }
    }
}

/// Warm-up from the floor, a plateau, a decay to the floor; `warmup`, `stable` and `decay` in steps.
pub fn warmup_stable_decay(step: u64, warmup: u64, stable: u64, decay: u64, curve: DecayCurve, floor: f64) -> f64 {
    if step < warmup {
        return floor + (1.0 - floor) * step as f64 / warmup as f64;
    }
    let after = step - warmup;
    if after < stable || decay == 0 {
        return 1.0;
    }
    if after >= stable + decay {
        return floor;
    }
    floor + (1.0 - floor) * curve.at((after - stable) as f64 / decay as f64)
}

/// Warm-up from 0, then a cosine to the floor; `warmup` and `decay` in steps.
pub fn warmup_cosine(step: u64, warmup: u64, decay: u64, floor: f64) -> f64 {
    if step < warmup {
        return step as f64 / warmup as f64;
    }
    warmup_stable_decay(step, warmup, 0, decay, DecayCurve::Cosine, floor)
}
