//! Tables that are read, not drawn: every arm in numbers, and what the study cost.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::metric::Unit;
use crate::report::scale::{amount, fixed, signed};
use crate::report::table::{Table, cell};
use crate::report::{ExperimentInput, data};
use crate::verdict::{Estimate, Outcome, Trial};

/// A table twice: as it is read and as a program wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// File name without ending.
    pub id: &'static str,
    pub title: &'static str,
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// The numbers, in the metrics' own units.
    pub table: Table,
}

/// All sheets that the results allow.
pub fn all(input: &ExperimentInput) -> Vec<Sheet> {
    [arms(input), costs(input)].into_iter().flatten().collect()
}

/// A row per arm: accuracy both ways, before and after RL, length, what was cut off, who collapsed or diverged.
fn arms(input: &ExperimentInput) -> Option<Sheet> {
    let benchmark = data::headline(input)?;
    let trials = &input.results.trials;
    let falls_of = data::headline_metric(input);
    let mut columns = vec!["Arm".to_string(), "Seeds".to_string()];
    let ways = [("accuracy_sampled", "Sampled at T=1 (%)"), ("accuracy", "Greedy (%)")];
    let has = |metric: &str| trials.iter().any(|t| t.metrics.contains_key(&format!("rl.{metric}/{benchmark}")));
    let ways: Vec<_> = ways.into_iter().filter(|(metric, _)| has(metric)).collect();
    let sampled = has("response_length_sampled") && has("truncated_sampled");
    let way = |metric: &str| if sampled { format!("{metric}_sampled") } else { metric.to_string() };
    columns.extend(ways.iter().map(|(_, name)| format!("{name}, before → after RL")));
    columns.extend(["Length, correct", "Cut off (%)", "Collapsed", "Diverged, failed"].map(str::to_string));
    let mut table = Table::new(&["arm", "label", "metric", "seeds", "mean", "sd"]);
    let mut rows = vec![];
    for arm in &input.arms {
        let of_arm: Vec<&Trial> = trials.iter().filter(|t| t.arm == arm.id).collect();
        if of_arm.is_empty() {
            continue;
        }
        let mut estimate = |metric: String| -> Option<Estimate> {
            let values: Vec<f64> = data::values(trials, &arm.id, &metric).into_iter().map(|v| v.1).collect();
            let e = Estimate::of(&values, 0.95)?;
            let (id, label) = (arm.id.clone(), arm.label.clone());
            table.push(vec![id, label, metric, e.n.to_string(), cell(e.mean), cell(e.sd)]);
            Some(e)
        };
        let mut row = vec![arm.label.clone(), of_arm.len().to_string()];
        for (metric, _) in &ways {
            let unit = Unit::of(metric);
            let before = estimate(format!("rl0.{metric}/{benchmark}"));
            let after = estimate(format!("rl.{metric}/{benchmark}"));
            let text = |e: &Estimate| fixed(unit.scale(e.mean), unit.decimals);
            let spread = after
                .as_ref()
                .and_then(|e| e.sd)
                .map_or(String::new(), |sd| format!(" ± {}", fixed(unit.scale(sd), unit.decimals)));
            row.push(match (&before, &after) {
                (Some(before), Some(after)) => format!("{} → {}{spread}", text(before), text(after)),
                (None, Some(after)) => format!("{}{spread}", text(after)),
                _ => "–".into(),
            });
        }
        for metric in [way("response_length"), way("truncated")] {
            let unit = Unit::of(&metric);
            let found = estimate(format!("rl.{metric}/{benchmark}"));
            row.push(found.map_or("–".into(), |e| fixed(unit.scale(e.mean), unit.decimals)));
        }
        let falls = data::falls(&input.results.curves, &arm.id, &benchmark, falls_of);
        let collapsed = falls.iter().filter(|fall| fall.collapsed()).count();
        row.push(if falls.is_empty() { "–".into() } else { format!("{collapsed} of {}", falls.len()) });
        let count = |outcome: Outcome| of_arm.iter().filter(|t| t.outcome == outcome).count();
        let (diverged, failed) = (count(Outcome::Diverged), count(Outcome::Failed));
        row.push(if diverged + failed == 0 { "none".into() } else { format!("{diverged}, {failed}") });
        rows.push(row);
    }
    let caption = format!(
        "Means over seeds and benchmarks, ± the standard deviation between seeds. Length (tokens of correct responses) and the \
         share cut off at the limit are of {} answers after RL. Collapsed: at least 10 points and a quarter of the best \
         evaluation lost by the end.",
        if sampled { "sampled" } else { "greedy" }
    );
    (!rows.is_empty()).then_some(Sheet { id: "arms", title: "Every arm in numbers", caption, columns, rows, table })
}

/// Core-seconds by stage, a stage that several trials share counted once.
fn costs(input: &ExperimentInput) -> Option<Sheet> {
    let mut once: BTreeMap<&str, f64> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, (BTreeSet<&str>, f64)> = BTreeMap::new();
    let mut unshared = 0.0;
    for timing in &input.timing {
        let trial = input.results.trials.iter().find(|t| t.arm == timing.arm && t.seed == timing.seed)?;
        for (name, key) in trial.stages.iter() {
            let Some(stage) = timing.stages.get(name) else { continue };
            let seconds = stage.seconds * stage.threads.max(1) as f64;
            unshared += seconds;
            if once.insert(key, seconds).is_none() {
                let (keys, total) = kinds.entry(kind(name)).or_default();
                keys.insert(key);
                *total += seconds;
            }
        }
    }
    let total: f64 = kinds.values().map(|(_, seconds)| seconds).sum();
    if total <= 0.0 {
        return None;
    }
    let mut order: Vec<&str> = vec![];
    for (name, _) in input.results.trials.iter().flat_map(|t| t.stages.iter()) {
        if !order.contains(&kind(name)) {
            order.push(kind(name));
        }
    }
    order.sort_by_key(|name| match *name {
        "corpora" => 0,
        "base" => 1,
        "rl" => 3,
        "evaluations" => 4,
        _ => 2,
    });
    let mut table = Table::new(&["stage", "runs", "core_seconds"]);
    let mut rows = vec![];
    for name in order {
        let Some((keys, seconds)) = kinds.get(name) else { continue };
        table.push(vec![name.into(), keys.len().to_string(), cell(*seconds)]);
        let share = format!("{}%", fixed(seconds / total * 100.0, 0));
        rows.push(vec![
            name.into(),
            keys.len().to_string(),
            duration(*seconds),
            duration(seconds / keys.len() as f64),
            share,
        ]);
    }
    rows.push(vec!["all".into(), once.len().to_string(), duration(total), String::new(), String::new()]);
    table.push(vec!["all".into(), once.len().to_string(), cell(total)]);
    let columns = ["Stage", "Runs", "Core time", "Per run", "Share"].map(str::to_string).to_vec();
    let flops: f64 = input.results.trials.iter().map(|t| t.cost.flops).sum();
    let saved = (1.0 - total / unshared) * 100.0;
    let caption = format!(
        "Seconds of a stage times its threads, as measured while it ran; what arms and seeds share ran once{}. As if nothing were \
         shared, the trials add up to {} floating-point operations.",
        if saved >= 1.0 {
            format!(", which saved {}% of the time", signed(saved, 0).trim_start_matches('+'))
        } else {
            String::new()
        },
        amount(flops),
    );
    Some(Sheet { id: "costs", title: "What it cost", caption, columns, rows, table })
}

fn kind(stage: &str) -> &str {
    match stage.split_once(':') {
        Some(("eval", _)) => "evaluations",
        Some(("corpus", _)) => "corpora",
        _ => stage,
    }
}

/// Core-seconds of all distinct stages; `None` without timing.
pub fn core_seconds(input: &ExperimentInput) -> Option<f64> {
    let sheet = costs(input)?;
    sheet.table.rows.last()?.last()?.parse().ok()
}

/// `43 s`, `12 min`, `3.4 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => format!("{} s", fixed(s, 1)),
        s if s < 99.5 => format!("{} s", fixed(s, 0)),
        s if s < 99.5 * 60.0 => format!("{} min", fixed(s / 60.0, 0)),
        s => format!("{} h", fixed(s / 3600.0, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::results::{Pairs, StageTiming, Timing};
    use crate::report::fixture::experiment;

    #[test]
    fn a_stage_that_trials_share_is_paid_once() {
        let mut input = experiment(1, 2, 2, 1);
        for trial in &mut input.results.trials {
            let rl = format!("rl-{}-{}", trial.arm, trial.seed);
            trial.stages = Pairs(vec![("base".into(), format!("base-{}", trial.seed)), ("rl".into(), rl)]);
            let stage = |seconds: f64| StageTiming {
                seconds,
                finished: 0,
                host: String::new(),
                threads: 2,
                version: String::new(),
                git: None,
            };
            let stages = BTreeMap::from([("base".to_string(), stage(10.0)), ("rl".to_string(), stage(5.0))]);
            input.timing.push(Timing { arm: trial.arm.clone(), seed: trial.seed, stages });
        }
        let sheet = costs(&input).unwrap();
        let row = |name: &str| sheet.table.rows.iter().find(|r| r[0] == name).unwrap()[1..].to_vec();
        // Two arms under two seeds: two bases and four RL runs, on two threads.
        assert_eq!((row("base"), row("rl")), (vec!["2".to_string(), "40".into()], vec!["4".to_string(), "40".into()]));
        assert_eq!(core_seconds(&input), Some(80.0));
        assert!(sheet.caption.contains("saved 33%"), "{}", sheet.caption);
    }

    #[test]
    fn every_arm_has_a_row_with_both_ways_of_measuring() {
        let sheet = arms(&experiment(1, 4, 3, 2)).unwrap();
        assert_eq!(sheet.rows.len(), 4);
        assert!(sheet.rows.iter().all(|row| row.len() == sheet.columns.len() && row[2].contains("→")));
    }

    #[test]
    fn durations_read_well() {
        let texts = [0.21, 59.0, 600.0, 40_000.0].map(duration);
        assert_eq!(texts, ["0.2 s", "59 s", "10 min", "11.1 h"]);
    }
}
