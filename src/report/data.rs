//! Results as figures need them: curves averaged over seeds, end values, the last stage before RL.

use std::collections::BTreeMap;

use crate::report::{ArmInput, ExperimentInput};
use crate::verdict::{CurvePoint, Outcome, Trial};

/// One arm's curve: at each step the values of its seeds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    pub points: Vec<CurveMean>,
    /// Seeds that have any value.
    pub seeds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurveMean {
    pub step: u64,
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    /// Seeds with a value here.
    pub n: usize,
    /// Seeds whose curve has not ended before this step.
    pub alive: usize,
}

/// The curve of `arm` in `stage`. Values of one step are averaged in the order of the file.
pub fn curve(points: &[CurvePoint], arm: &str, stage: &str, benchmark: &str, metric: &str) -> Curve {
    let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    for p in points {
        if p.arm == arm && p.stage == stage && p.benchmark == benchmark && p.metric == metric && p.value.is_finite() {
            steps.entry(p.step).or_default().push(p.value);
            let end = ends.entry(p.seed).or_default();
            *end = p.step.max(*end);
        }
    }
    let points = steps.into_iter().map(|(step, values)| CurveMean {
        step,
        mean: values.iter().sum::<f64>() / values.len() as f64,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        n: values.len(),
        alive: ends.values().filter(|end| **end >= step).count(),
    });
    Curve { points: points.collect(), seeds: ends.len() }
}

/// Curves with at most about `limit` points, each the mean over a window of points; and the width of the windows.
pub fn binned(curves: Vec<Curve>, limit: usize) -> (Vec<Curve>, usize) {
    let longest = curves.iter().map(|curve| curve.points.len()).max().unwrap_or(0);
    let width = longest.div_ceil(limit).max(1);
    let bin = |points: &[CurveMean]| {
        let mean = |pick: fn(&CurveMean) -> f64| points.iter().map(pick).sum::<f64>() / points.len() as f64;
        CurveMean {
            step: points[points.len() - 1].step,
            mean: mean(|p| p.mean),
            min: mean(|p| p.min),
            max: mean(|p| p.max),
            n: points.iter().map(|p| p.n).min().unwrap_or(0),
            alive: points.iter().map(|p| p.alive).min().unwrap_or(0),
        }
    };
    let of = |curve: Curve| Curve { points: curve.points.chunks(width).map(bin).collect(), ..curve };
    (curves.into_iter().map(of).collect(), width)
}

/// A curve with at most about `limit` of its points, the first and the last among them.
pub fn thinned(curve: Curve, limit: usize) -> Curve {
    let every = curve.points.len().div_ceil(limit).max(1);
    let last = curve.points.len().saturating_sub(1);
    let kept = curve.points.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    Curve { points: kept.map(|(_, p)| *p).collect(), ..curve }
}

/// How far a seed's accuracy ended below its own best evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    pub seed: u64,
    pub best: f64,
    pub best_step: u64,
    pub end: f64,
}

impl Fall {
    pub fn depth(&self) -> f64 {
        self.best - self.end
    }

    /// At least ten points and a quarter of its best lost: more than the noise of an evaluation, and what the paper's
    /// collapsing runs do.
    pub fn collapsed(&self) -> bool {
        self.depth() >= 0.10 && self.depth() >= 0.25 * self.best
    }
}

/// Of each seed of `arm`, in order of seed.
pub fn falls(points: &[CurvePoint], arm: &str, benchmark: &str, metric: &str) -> Vec<Fall> {
    let mut falls: BTreeMap<u64, (Fall, u64)> = BTreeMap::new();
    for p in points {
        if p.arm == arm && p.stage == "rl" && p.benchmark == benchmark && p.metric == metric && p.value.is_finite() {
            let first = (Fall { seed: p.seed, best: p.value, best_step: p.step, end: p.value }, p.step);
            let (fall, last) = falls.entry(p.seed).or_insert(first);
            if p.value > fall.best {
                (fall.best, fall.best_step) = (p.value, p.step);
            }
            if p.step >= *last {
                (fall.end, *last) = (p.value, p.step);
            }
        }
    }
    falls.into_values().map(|(fall, _)| fall).collect()
}

/// Response tokens sampled up to each RL step, mean over seeds; the other x axis of the page.
pub fn tokens(points: &[CurvePoint], arm: &str) -> Vec<(u64, f64)> {
    let mut total = 0.0;
    let mut tokens = vec![];
    for p in curve(points, arm, "rl", "", "tokens").points {
        total += p.mean;
        tokens.push((p.step, total));
    }
    tokens
}

/// The paper's columns, which readers know in this order.
const PAPER_ORDER: [&str; 4] = ["math500", "gsm8k", "olympiadbench", "amc23"];

/// Benchmarks of RL curves: the paper's in its order, then others in order of appearance; `all` left out.
pub fn benchmarks(input: &ExperimentInput) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for p in &input.results.curves {
        if p.stage == "rl" && !p.benchmark.is_empty() && p.benchmark != "all" && !names.contains(&p.benchmark) {
            names.push(p.benchmark.clone());
        }
    }
    names.sort_by_key(|name| PAPER_ORDER.iter().position(|known| known == name).unwrap_or(PAPER_ORDER.len()));
    names
}

/// The benchmark that stands for the whole: `all` if it was recorded, else the only one, else nothing.
pub fn headline(input: &ExperimentInput) -> Option<String> {
    if input.results.trials.iter().any(|t| t.metrics.contains_key("rl.accuracy/all")) {
        return Some("all".to_string());
    }
    match benchmarks(input).as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// Whether accuracy at temperature 1 was measured; then it is the headline, since RL of small models mostly sharpens what
/// sampling finds, which greedy decoding cannot see.
pub fn headline_metric(input: &ExperimentInput) -> &'static str {
    let sampled = input.results.trials.iter().any(|t| t.metrics.keys().any(|m| m.starts_with("rl.accuracy_sampled/")));
    if sampled { "accuracy_sampled" } else { "accuracy" }
}

/// The stage that RL starts from: the last one in the trial's chain that trained or loaded weights.
pub fn stage_before_rl(trials: &[Trial], arm: &str) -> Option<String> {
    let trial = trials.iter().find(|t| t.arm == arm)?;
    let stages = trial.stages.iter().map(|(name, _)| name);
    let weights = stages.filter(|name| !name.contains(':') && !name.starts_with("rl"));
    Some(weights.last().unwrap_or("base").to_string())
}

/// A metric of `arm` at each of its seeds, in order of seed.
pub fn values(trials: &[Trial], arm: &str, metric: &str) -> Vec<(u64, f64)> {
    let mut values: Vec<(u64, f64)> = trials
        .iter()
        .filter(|t| t.arm == arm)
        .filter_map(|t| Some((t.seed, t.metrics.get(metric).copied().filter(|v| v.is_finite())?)))
        .collect();
    values.sort_by_key(|(seed, _)| *seed);
    values
}

/// The few-shot or zero-shot value of the model that RL starts from: mean over seeds of its own evaluation, or of step 0.
pub fn before_rl(input: &ExperimentInput, arm: &str, metric: &str, benchmark: &str) -> Option<f64> {
    let trials = &input.results.trials;
    let stage = stage_before_rl(trials, arm).unwrap_or_else(|| "base".to_string());
    let names = [format!("{stage}.{metric}/{benchmark}"), format!("rl0.{metric}/{benchmark}")];
    names.iter().find_map(|name| {
        let values = values(trials, arm, name);
        let sum: f64 = values.iter().map(|(_, v)| v).sum();
        (!values.is_empty()).then(|| sum / values.len() as f64)
    })
}

/// Seeds of `arm` that diverged.
pub fn diverged(trials: &[Trial], arm: &ArmInput) -> Vec<u64> {
    trials.iter().filter(|t| t.arm == arm.id && t.outcome == Outcome::Diverged).map(|t| t.seed).collect()
}

/// Whether any trial of the experiment was imported.
pub fn imported(input: &ExperimentInput) -> bool {
    input.results.trials.iter().any(|t| t.imported)
}
