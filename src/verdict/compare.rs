//! Two arms, or two groups of arms, compared seed by seed.
//!
//! A side is a list of axes with levels; it means every arm that has one of them on each of these axes. The two sides are first balanced: arms are
//! put in strata by the levels of the axes that neither side names (a family, a size), and only strata present on both sides
//! count, so that a group which happens to lack a hard family is not compared with one that has it. Within a seed, a side's
//! value is the mean over strata; the difference of the two is one number per seed, and the seeds are the sample.
//!
//! A seed counts only if every arm of both sides has the metric at that seed. Averages over whatever happened to finish
//! would change their meaning from seed to seed.

use std::collections::{BTreeMap, BTreeSet};

use crate::exec::results::{Outcome, Trial};
use crate::verdict::Estimate;

/// Axes and, for each, the levels of which an arm must have one.
pub type Side = Vec<(String, Vec<String>)>;

/// What two sides differ by.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub metric: String,
    pub confidence: f64,
    /// Arms of each side after balancing, in the order of the trials.
    pub arms_a: Vec<String>,
    pub arms_b: Vec<String>,
    /// Mean of each side over the counted seeds.
    pub mean_a: Option<f64>,
    pub mean_b: Option<f64>,
    /// One difference per counted seed, a − b, in the metric's own unit.
    pub differences: Vec<(u64, f64)>,
    /// Of the differences. Absent if no seed has all arms.
    pub estimate: Option<Estimate>,
    /// What is not there: arms without any result, or `arm, seed n`.
    pub missing: Vec<String>,
    /// Diverged trials of each side.
    pub diverged_a: Vec<(String, u64)>,
    pub diverged_b: Vec<(String, u64)>,
    /// Arms left out because the other side has no counterpart.
    pub unmatched: Vec<String>,
    /// Any trial of either side was imported; then there is no interval.
    pub imported: bool,
}

impl Comparison {
    pub fn n_seeds(&self) -> usize {
        self.differences.len()
    }
}

/// Compares `a` with `b` on `metric`. Trials that match neither side are ignored; an arm matching both is on both.
pub fn compare(trials: &[Trial], metric: &str, a: &Side, b: &Side, confidence: f64) -> Comparison {
    let named: BTreeSet<&str> = a.iter().chain(b).map(|(axis, _)| axis.as_str()).collect();
    let strata_a = strata(trials, a, &named);
    let strata_b = strata(trials, b, &named);
    let shared: BTreeSet<&Vec<(String, String)>> = strata_a.keys().filter(|key| strata_b.contains_key(*key)).collect();
    let (side_a, mut unmatched) = split(&strata_a, &shared);
    let (side_b, unmatched_b) = split(&strata_b, &shared);
    unmatched.extend(unmatched_b);

    let trial = |arm: &str, seed: u64| trials.iter().find(|t| t.arm == arm && t.seed == seed);
    let value = |arm: &str, seed: u64| {
        trial(arm, seed).and_then(|t| t.metrics.get(metric)).copied().filter(|value| value.is_finite())
    };
    let arms = |side: &[Vec<&str>]| -> Vec<String> {
        let members: BTreeSet<&str> = side.iter().flatten().copied().collect();
        in_order(trials, &members)
    };
    let (arms_a, arms_b) = (arms(&side_a), arms(&side_b));
    let seeds: BTreeSet<u64> =
        trials.iter().filter(|t| arms_a.contains(&t.arm) || arms_b.contains(&t.arm)).map(|t| t.seed).collect();
    let side_mean = |side: &[Vec<&str>], seed: u64| -> Option<f64> {
        let mut sum = 0.0;
        for stratum in side {
            let mut inner = 0.0;
            for arm in stratum {
                inner += value(arm, seed)?;
            }
            sum += inner / stratum.len() as f64;
        }
        (!side.is_empty()).then(|| sum / side.len() as f64)
    };
    let pairs: Vec<(u64, f64, f64)> =
        seeds.iter().filter_map(|&seed| Some((seed, side_mean(&side_a, seed)?, side_mean(&side_b, seed)?))).collect();

    let mut missing = vec![];
    for (side, strata) in [(a, &strata_a), (b, &strata_b)] {
        if strata.is_empty() {
            missing.push(format!("no arm with {}", describe(side)));
        }
    }
    if missing.is_empty() && shared.is_empty() {
        missing.push(format!("{} and {} have no other level in common", describe(a), describe(b)));
    }
    let mut members = arms_a.clone();
    members.extend(arms_b.iter().filter(|arm| !arms_a.contains(arm)).cloned());
    for arm in &members {
        let absent: Vec<u64> = seeds.iter().copied().filter(|&seed| value(arm, seed).is_none()).collect();
        if absent.len() == seeds.len() {
            missing.push(format!("{arm}: no {metric}"));
        } else if !absent.is_empty() {
            let absent: Vec<String> = absent.iter().map(u64::to_string).collect();
            missing.push(format!("{arm}: no {metric} at seed {}", absent.join(", ")));
        }
    }
    let diverged = |members: &[String]| -> Vec<(String, u64)> {
        trials
            .iter()
            .filter(|t| t.outcome == Outcome::Diverged && members.contains(&t.arm))
            .map(|t| (t.arm.clone(), t.seed))
            .collect()
    };

    let imported = trials.iter().any(|t| t.imported && members.contains(&t.arm));
    let differences: Vec<(u64, f64)> = pairs.iter().map(|&(seed, a, b)| (seed, a - b)).collect();
    let values: Vec<f64> = differences.iter().map(|&(_, difference)| difference).collect();
    let mut estimate = Estimate::of(&values, confidence);
    if imported && let Some(estimate) = &mut estimate {
        (estimate.sd, estimate.low, estimate.high) = (None, None, None);
    }
    let mean = |pick: fn(&(u64, f64, f64)) -> f64| {
        (!pairs.is_empty()).then(|| pairs.iter().map(pick).sum::<f64>() / pairs.len() as f64)
    };
    Comparison {
        metric: metric.to_string(),
        confidence,
        mean_a: mean(|p| p.1),
        mean_b: mean(|p| p.2),
        differences,
        estimate,
        missing,
        diverged_a: diverged(&arms_a),
        diverged_b: diverged(&arms_b),
        arms_a,
        arms_b,
        unmatched,
        imported,
    }
}

/// `axis=level, axis=level`, or `any arm`.
pub fn describe(side: &Side) -> String {
    if side.is_empty() {
        return "any levels".to_string();
    }
    side.iter().map(|(axis, levels)| format!("{axis}={}", levels.join("|"))).collect::<Vec<_>>().join(", ")
}

type Strata<'a> = BTreeMap<Vec<(String, String)>, Vec<&'a str>>;

fn strata<'a>(trials: &'a [Trial], side: &Side, named: &BTreeSet<&str>) -> Strata<'a> {
    let mut strata = Strata::new();
    for trial in trials {
        if side
            .iter()
            .all(|(axis, levels)| trial.levels.get(axis).is_some_and(|level| levels.iter().any(|l| l == level)))
        {
            let mut key: Vec<_> =
                trial.levels.0.iter().filter(|(axis, _)| !named.contains(axis.as_str())).cloned().collect();
            key.sort();
            let members = strata.entry(key).or_default();
            if !members.contains(&trial.arm.as_str()) {
                members.push(&trial.arm);
            }
        }
    }
    strata
}

/// The shared strata in a fixed order, and the arms of the others.
fn split<'a>(strata: &Strata<'a>, shared: &BTreeSet<&Vec<(String, String)>>) -> (Vec<Vec<&'a str>>, Vec<String>) {
    let (mut kept, mut left) = (vec![], vec![]);
    for (key, members) in strata {
        if shared.contains(key) {
            kept.push(members.clone());
        } else {
            left.extend(members.iter().map(|arm| arm.to_string()));
        }
    }
    (kept, left)
}

fn in_order(trials: &[Trial], members: &BTreeSet<&str>) -> Vec<String> {
    let mut ordered: Vec<String> = vec![];
    for trial in trials {
        if members.contains(trial.arm.as_str()) && !ordered.contains(&trial.arm) {
            ordered.push(trial.arm.clone());
        }
    }
    ordered
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::exec::results::{Cost, Pairs};

    pub(crate) fn side(pairs: &[(&str, &str)]) -> Side {
        pairs.iter().map(|(a, l)| (a.to_string(), vec![l.to_string()])).collect()
    }

    pub(crate) fn trial(levels: &[(&str, &str)], seed: u64, value: Option<f64>) -> Trial {
        Trial {
            arm: levels.iter().map(|(_, level)| *level).collect::<Vec<_>>().join("+"),
            levels: Pairs(levels.iter().map(|(a, l)| (a.to_string(), l.to_string())).collect()),
            seed,
            outcome: if value.is_some() { Outcome::Finished } else { Outcome::Failed },
            note: None,
            stages: Pairs::default(),
            cost: Cost::default(),
            metrics: value.map(|v| ("m".to_string(), v)).into_iter().collect(),
            imported: false,
        }
    }

    #[test]
    fn arms_are_paired_by_seed_so_what_seeds_share_cancels() {
        let mut trials = vec![];
        for (seed, luck) in [(0, 0.1), (1, 0.5), (2, 0.9)] {
            trials.push(trial(&[("data", "web")], seed, Some(luck + 0.02)));
            trials.push(trial(&[("data", "mix")], seed, Some(luck)));
        }
        let c = compare(&trials, "m", &side(&[("data", "web")]), &side(&[("data", "mix")]), 0.95);
        let e = c.estimate.unwrap();
        assert_eq!(c.n_seeds(), 3);
        assert!((e.mean - 0.02).abs() < 1e-12 && !e.has_spread());
        assert!((c.mean_b.unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn groups_are_balanced_over_the_axes_that_no_side_names() {
        // `web` exists for both families, `mix` for llama alone: qwen's high score must not flatter `web`.
        let mut trials = vec![];
        for seed in 0..2 {
            trials.push(trial(&[("family", "llama"), ("data", "web")], seed, Some(0.3)));
            trials.push(trial(&[("family", "qwen"), ("data", "web")], seed, Some(0.9)));
            trials.push(trial(&[("family", "llama"), ("data", "mix")], seed, Some(0.2)));
        }
        let c = compare(&trials, "m", &side(&[("data", "web")]), &side(&[("data", "mix")]), 0.95);
        assert!((c.estimate.unwrap().mean - 0.1).abs() < 1e-12);
        assert_eq!(c.unmatched, ["qwen+web"]);
        assert_eq!(c.arms_a, ["llama+web"]);
    }

    #[test]
    fn a_seed_counts_only_when_every_arm_of_both_sides_has_it() {
        let mut trials = vec![];
        for seed in 0..3 {
            for family in ["llama", "qwen"] {
                trials.push(trial(&[("family", family), ("data", "web")], seed, Some(0.5)));
                let lost = seed == 1 && family == "qwen";
                trials.push(trial(&[("family", family), ("data", "mix")], seed, (!lost).then_some(0.4)));
            }
        }
        let c = compare(&trials, "m", &side(&[("data", "web")]), &side(&[("data", "mix")]), 0.95);
        assert_eq!(c.differences.iter().map(|d| d.0).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(c.missing, ["qwen+mix: no m at seed 1"]);
    }

    #[test]
    fn imported_runs_get_a_difference_but_no_interval() {
        let mut trials = vec![];
        for seed in 0..3 {
            for (data, value) in [("web", 0.5), ("mix", 0.4)] {
                let mut t = trial(&[("data", data)], seed, Some(value + seed as f64 * 0.01 * value));
                t.imported = true;
                trials.push(t);
            }
        }
        let c = compare(&trials, "m", &side(&[("data", "web")]), &side(&[("data", "mix")]), 0.95);
        let e = c.estimate.unwrap();
        assert!(c.imported && e.mean > 0.09 && e.low.is_none() && e.sd.is_none());
    }

    #[test]
    fn a_side_without_arms_is_named() {
        let c = compare(&[], "m", &side(&[("data", "web")]), &side(&[("data", "mix"), ("size", "1b")]), 0.95);
        assert_eq!(c.missing, ["no arm with data=web", "no arm with data=mix, size=1b"]);
        assert!(c.estimate.is_none());
    }
}
