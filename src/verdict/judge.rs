//! A verdict on each claim.
//!
//! Let `e` be the estimate in the claimed direction, `[l, h]` its interval and `s` the smallest effect that matters.
//!
//! | claim | supported | refuted |
//! |---|---|---|
//! | a is greater (less) | `l > 0` and `e ≥ s` | `h < s`: the interval excludes every effect that matters (for `s = 0`: `h < 0`) |
//! | a and b are the same | `−s < l` and `h < s` | `l > 0` or `h < 0`, and `|e| ≥ s` |
//!
//! Everything else is inconclusive, with the number of seeds that would decide it with probability 0.8 if the spread seen so
//! far is the true one. Four rules keep a verdict from being luck:
//!
//! * one seed is always inconclusive, whatever the size of the effect;
//! * a spread of exactly zero is a coarse metric, not certainty: then only the signs count, and with `n` seeds on one side
//!   of the bound the claim is decided when `1 − 2^(1−n)` reaches the confidence (6 seeds for 0.95);
//! * if a trial diverged on the side that a verdict would call better, the survivors decide nothing;
//! * imported runs are never tested.
//!
//! The number of claims is stated and Holm's step-down p-values are given beside the verdicts. The verdict itself is not
//! adjusted: claims are few and were fixed before the run, and each answers its own question; readers who treat a report as
//! one family have the column.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exec::results::Trial;
use crate::verdict::compare::{Comparison, Side, compare};
use crate::verdict::estimate::{BOOTSTRAP_FROM, Estimate, bootstrap};
use crate::verdict::student;

/// Which way a claim points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// a is greater than b.
    Greater,
    /// a is less than b.
    Less,
    /// a and b differ by less than the smallest effect that matters.
    Same,
}

/// A claim fixed before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimInput {
    pub claim: String,
    pub statement: String,
    /// As in `trials.jsonl`, e.g. `rl.accuracy/all`.
    pub metric: String,
    pub a: Side,
    pub b: Side,
    /// For an interaction: the effect is `(a − b) − (a2 − b2)`.
    pub versus: Option<(Side, Side)>,
    pub direction: Direction,
    /// In the metric's unit, ≥ 0.
    pub smallest_effect: f64,
    /// Of the two-sided interval, e.g. 0.95.
    pub confidence: f64,
    /// What the paper found: any object. Figures draw `effect`, texts quote `finding` (or `says`) and `verdict`.
    pub paper: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Supported,
    Refuted,
    /// `None`: more than [`MOST_SEEDS`], or nothing to compute it from.
    Inconclusive {
        seeds_needed: Option<usize>,
    },
    NotRun {
        missing: Vec<String>,
    },
}

/// Beyond this, "more seeds" is no advice.
pub const MOST_SEEDS: usize = 200;

/// The probability of a decision that `seeds_needed` plans for.
const POWER: f64 = 0.8;

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Refuted => "refuted",
            Verdict::Inconclusive { .. } => "inconclusive",
            Verdict::NotRun { .. } => "not-run",
        }
    }
}

/// A claim with its verdict and everything that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub claim: ClaimInput,
    pub comparison: Comparison,
    pub verdict: Verdict,
    /// Why, in a sentence or two.
    pub reason: String,
    /// Two-sided p of no difference (for `same`: of two one-sided tests), then Holm-adjusted over all claims with one.
    pub p: Option<f64>,
    pub p_holm: Option<f64>,
    /// BCa interval, where seeds suffice.
    pub bootstrap: Option<(f64, f64)>,
}

/// All claims of an experiment, in order, with Holm's adjustment over them.
pub fn judge_all(claims: &[ClaimInput], trials: &[Trial]) -> Vec<Judged> {
    let mut judged: Vec<Judged> = claims.iter().map(|claim| judge(claim, trials)).collect();
    let mut order: Vec<usize> = (0..judged.len()).filter(|&i| judged[i].p.is_some()).collect();
    order.sort_by(|&i, &j| judged[i].p.partial_cmp(&judged[j].p).unwrap_or(Ordering::Equal));
    let mut running = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        let p = judged[index].p.unwrap_or(1.0) * (order.len() - rank) as f64;
        running = running.max(p).min(1.0);
        judged[index].p_holm = Some(running);
    }
    judged
}

/// One claim.
pub fn judge(claim: &ClaimInput, trials: &[Trial]) -> Judged {
    let comparison = effect(claim, trials);
    let (verdict, reason) = decide(claim, &comparison);
    let estimate = comparison.estimate.filter(|_| !comparison.imported);
    let p = estimate.and_then(|e| match claim.direction {
        Direction::Greater | Direction::Less => e.p_of(0.0),
        Direction::Same => {
            let s = claim.smallest_effect;
            Some(e.p_at_most(-s)?.max(1.0 - e.p_at_most(s)?))
        }
    });
    let values: Vec<f64> = comparison.differences.iter().map(|d| d.1).collect();
    let bootstrap = (values.len() >= BOOTSTRAP_FROM && !comparison.imported)
        .then(|| bootstrap(&values, claim.confidence))
        .flatten();
    Judged { claim: claim.clone(), comparison, verdict, reason, p, p_holm: None, bootstrap }
}

/// The comparison a claim is about: a − b, or for an interaction the difference of two such differences, seed by seed.
fn effect(claim: &ClaimInput, trials: &[Trial]) -> Comparison {
    let mut first = compare(trials, &claim.metric, &claim.a, &claim.b, claim.confidence);
    let Some((a2, b2)) = &claim.versus else {
        return first;
    };
    let second = compare(trials, &claim.metric, a2, b2, claim.confidence);
    first.differences = first
        .differences
        .iter()
        .filter_map(|&(seed, difference)| {
            let other = second.differences.iter().find(|d| d.0 == seed)?;
            Some((seed, difference - other.1))
        })
        .collect();
    let values: Vec<f64> = first.differences.iter().map(|d| d.1).collect();
    first.imported |= second.imported;
    first.estimate = Estimate::of(&values, claim.confidence)
        .map(|e| if first.imported { Estimate { sd: None, low: None, high: None, ..e } } else { e });
    // The two inner differences stand where the two sides' means stand in a plain comparison.
    let difference = |c: &Comparison| Some(c.mean_a? - c.mean_b?);
    (first.mean_a, first.mean_b) = (difference(&first), difference(&second));
    for missing in second.missing {
        if !first.missing.contains(&missing) {
            first.missing.push(missing);
        }
    }
    // In (a − b) − (a2 − b2) the arms a and b2 are the ones that raise the effect.
    first.diverged_a.extend(second.diverged_b);
    first.diverged_b.extend(second.diverged_a);
    for (into, from) in [
        (&mut first.arms_a, second.arms_b),
        (&mut first.arms_b, second.arms_a),
        (&mut first.unmatched, second.unmatched),
    ] {
        for arm in from {
            if !into.contains(&arm) {
                into.push(arm);
            }
        }
    }
    first
}

fn decide(claim: &ClaimInput, comparison: &Comparison) -> (Verdict, String) {
    let Some(estimate) = comparison.estimate else {
        let reason = "no seed has a result for every arm of both sides".to_string();
        return (Verdict::NotRun { missing: comparison.missing.clone() }, reason);
    };
    let n = estimate.n;
    if comparison.imported {
        let reason = "imported runs: one export per arm, no seeds, so no interval and no test".to_string();
        return (Verdict::Inconclusive { seeds_needed: None }, reason);
    }
    if n < 2 {
        let reason = "one seed says nothing of the spread between seeds; three is the least that is useful".to_string();
        return (Verdict::Inconclusive { seeds_needed: Some(3) }, reason);
    }
    let sign = if claim.direction == Direction::Less { -1.0 } else { 1.0 };
    let s = claim.smallest_effect;
    let e = sign * estimate.mean;
    if !estimate.has_spread() {
        return without_spread(claim, e, n);
    }
    let (low, high) = (estimate.low.unwrap_or(f64::NAN), estimate.high.unwrap_or(f64::NAN));
    let (l, h) = if sign > 0.0 { (low, high) } else { (-high, -low) };
    let sd = estimate.sd.unwrap_or(f64::NAN);

    let (supported, refuted, distance) = match claim.direction {
        Direction::Same => ((-s < l) && (h < s), (l > 0.0 || h < 0.0) && e.abs() >= s, (s - e.abs()).abs()),
        _ => (l > 0.0 && e >= s, if s > 0.0 { h < s } else { h < 0.0 }, if e >= s { e } else { s - e }),
    };
    if (supported || refuted)
        && let Some((arm, seed)) = flattered(claim, comparison, supported)
    {
        let reason = format!("{arm} diverged at seed {seed}: the interval is of the survivors, which decides nothing");
        return (Verdict::Inconclusive { seeds_needed: None }, reason);
    }
    if supported {
        let reason = match claim.direction {
            Direction::Same => "the whole interval lies within the smallest effect that matters",
            _ => "the whole interval lies on the claimed side and the effect is large enough to matter",
        };
        return (Verdict::Supported, reason.to_string());
    }
    if refuted {
        let reason = match claim.direction {
            Direction::Same => "the sides differ, and by enough to matter",
            _ if h < 0.0 => "the whole interval lies on the other side",
            _ if l > 0.0 => "there is a difference, but the interval excludes one large enough to matter",
            _ => "the interval excludes every effect large enough to matter",
        };
        return (Verdict::Refuted, reason.to_string());
    }
    let seeds_needed = seeds_for(distance, sd, claim.confidence).map(|needed| needed.max(n + 1));
    let reason = match seeds_needed {
        Some(needed) => format!("the interval allows both; about {needed} seeds would decide it, at the spread seen"),
        None => {
            format!("the interval allows both, and more than {MOST_SEEDS} seeds would be needed at the spread seen")
        }
    };
    (Verdict::Inconclusive { seeds_needed }, reason)
}

/// A diverged trial of the side that the verdict would favour. Only for metrics that are better when greater: of lengths,
/// losses and truncation a claim says which is greater, not which is better, so there divergence favours neither side.
fn flattered<'a>(claim: &ClaimInput, comparison: &'a Comparison, supported: bool) -> Option<&'a (String, u64)> {
    if !["accuracy", "reward", "pass@"].iter().any(|name| claim.metric.contains(name)) {
        return None;
    }
    let (a, b) = (&comparison.diverged_a, &comparison.diverged_b);
    match (claim.direction, supported) {
        (Direction::Greater, true) | (Direction::Less, false) => a.first(),
        (Direction::Greater, false) | (Direction::Less, true) => b.first(),
        (Direction::Same, true) => a.iter().chain(b).next(),
        (Direction::Same, false) => None,
    }
}

/// All differences are the same number: only their sign against the bound counts.
fn without_spread(claim: &ClaimInput, e: f64, n: usize) -> (Verdict, String) {
    let enough = (2..).find(|&n| 1.0 - 0.5f64.powi(n - 1) >= claim.confidence).unwrap_or(64) as usize;
    let s = claim.smallest_effect;
    if n < enough {
        let reason = format!("all {n} seeds give the same difference, which says nothing of the spread");
        return (Verdict::Inconclusive { seeds_needed: Some(enough) }, reason);
    }
    let supported = match claim.direction {
        Direction::Same => e.abs() < s,
        _ => e > 0.0 && e >= s,
    };
    let verdict = match (supported, e == s) {
        (true, _) => Verdict::Supported,
        (false, false) => Verdict::Refuted,
        (false, true) => Verdict::Inconclusive { seeds_needed: None },
    };
    (verdict, format!("all {n} seeds give the same difference"))
}

/// The smallest n whose interval of half-width t·sd/√n decides about a bound at `distance` with probability `POWER`.
pub fn seeds_for(distance: f64, sd: f64, confidence: f64) -> Option<usize> {
    let decides = |n: usize| {
        let df = (n - 1) as f64;
        let reach = student::quantile(0.5 + confidence / 2.0, df) + student::quantile(POWER, df);
        reach * sd / (n as f64).sqrt() <= distance
    };
    // The half-width falls with n, so halving finds the first n that decides.
    let (mut low, mut high) = (2, MOST_SEEDS);
    if !decides(high) {
        return None;
    }
    while low < high {
        let middle = (low + high) / 2;
        if decides(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// The contents of `verdicts.json`: the contract's fields first, then what explains them.
pub fn to_json(judged: &[Judged]) -> Value {
    let rows = judged.iter().map(|j| {
        let c = &j.comparison;
        let (seeds_needed, missing) = match &j.verdict {
            Verdict::Inconclusive { seeds_needed } => (*seeds_needed, &c.missing),
            Verdict::NotRun { missing } => (None, missing),
            _ => (None, &c.missing),
        };
        let pairs = |list: &[(String, u64)]| -> Vec<Value> {
            list.iter().map(|(arm, seed)| serde_json::json!({"arm": arm, "seed": seed})).collect()
        };
        let diverged = [pairs(&c.diverged_a), pairs(&c.diverged_b)].concat();
        serde_json::json!({
            "claim": j.claim.claim,
            "statement": j.claim.statement,
            "metric": j.claim.metric,
            "estimate": c.estimate.map(|e| e.mean),
            "low": c.estimate.and_then(|e| e.low),
            "high": c.estimate.and_then(|e| e.high),
            "n_seeds": c.n_seeds(),
            "verdict": j.verdict.name(),
            "paper": j.claim.paper,
            "direction": j.claim.direction,
            "smallest_effect": j.claim.smallest_effect,
            "confidence": j.claim.confidence,
            "interval": "Student's t over seeds, paired",
            "seeds_needed": seeds_needed,
            "reason": j.reason,
            "mean_a": c.mean_a,
            "mean_b": c.mean_b,
            "arms_a": c.arms_a,
            "arms_b": c.arms_b,
            "differences": c.differences.iter().map(|(seed, d)| serde_json::json!({"seed": seed, "difference": d})).collect::<Vec<_>>(),
            "p": j.p,
            "p_holm": j.p_holm,
            "claims_tested": judged.iter().filter(|j| j.p.is_some()).count(),
            "bootstrap": j.bootstrap.map(|(low, high)| [low, high]),
            "missing": missing,
            "diverged": diverged,
            "unmatched": c.unmatched,
            "imported": c.imported,
        })
    });
    Value::Array(rows.collect())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
