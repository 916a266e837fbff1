//! How good a policy was at its best during RL.
//!
//! Runs that collapse end below where they have been, and the paper compares some by their peak (Figure 6). A peak is read off
//! the curves, so results need not hold it. It is the largest of several noisy evaluations and therefore too high, the more so the more
//! there are: compare arms that were evaluated equally often, and no peak with an end.

use crate::exec::results::Results;
use std::collections::BTreeMap;

/// Gives each trial `peak.<metric>/<benchmark>` for every share of right answers that was followed through RL, the policy
/// before RL included.
pub fn add_peaks(results: &mut Results) {
    let mut peaks: BTreeMap<(&str, u64), BTreeMap<String, f64>> = BTreeMap::new();
    for point in &results.curves {
        let right = point.metric.starts_with("accuracy") || point.metric.starts_with("pass@");
        if point.stage != "rl" || point.benchmark.is_empty() || !right {
            continue;
        }
        let of_trial = peaks.entry((&point.arm, point.seed)).or_default();
        let peak = of_trial.entry(format!("peak.{}/{}", point.metric, point.benchmark)).or_insert(point.value);
        *peak = peak.max(point.value);
    }
    for trial in &mut results.trials {
        trial.metrics.extend(peaks.remove(&(trial.arm.as_str(), trial.seed)).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::results::CurvePoint;
    use crate::verdict::compare::tests::trial;

    #[test]
    fn a_peak_is_the_best_evaluation_of_a_trials_own_rl() {
        let mut results = Results {
            trials: vec![trial(&[("qa", "long")], 0, None), trial(&[("qa", "long")], 1, None)],
            ..Results::default()
        };
        let arm = results.trials[0].arm.clone();
        let rows = [
            ("rl", "all", "accuracy", 0, 0.2),
            ("rl", "all", "accuracy", 20, 0.7),
            ("rl", "all", "accuracy", 40, 0.1),
            ("rl", "amc23", "accuracy", 40, 0.3),
            ("rl", "all", "response_length", 40, 90.0),
            ("rl", "", "reward", 40, 1.0),
            ("web", "all", "accuracy", 9, 0.9),
        ];
        let point = |&(stage, benchmark, metric, step, value): &(&str, &str, &str, u64, f64)| CurvePoint {
            arm: arm.clone(),
            seed: 1,
            stage: stage.into(),
            benchmark: benchmark.into(),
            metric: metric.into(),
            step,
            value,
        };
        results.curves = rows.iter().map(point).collect();
        let before = results.trials.clone();
        add_peaks(&mut results);
        assert_eq!(results.trials[0], before[0]);
        let mut expected = before[1].metrics.clone();
        expected.extend([("peak.accuracy/all".to_string(), 0.7), ("peak.accuracy/amc23".to_string(), 0.3)]);
        assert_eq!(results.trials[1].metrics, expected);
    }
}
