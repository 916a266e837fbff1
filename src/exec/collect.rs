//! From artifacts to rows: what a trial's line and curves say, derived from finished stages alone.

use super::results::{self, Cost, CurvePoint, Outcome, Pairs, StageTiming, Timing, Trial};
use crate::cache::{Artifact, disk};
use crate::plan::{self, TrialPlan};
use crate::recipe::{Key, Recipe};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Items shown of each corpus and benchmark that have something in common.
const EXAMPLES: usize = 5;

/// Numbers of one artifact.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Numbers {
    pub metrics: BTreeMap<String, f64>,
    pub curves: Vec<Point>,
}

/// One row of an artifact's `curves.csv`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Point {
    pub benchmark: String,
    pub metric: String,
    pub step: u64,
    pub value: f64,
}

/// Reads the numbers that a stage left in `dir`, or says what is wrong with them.
pub fn numbers(dir: &Path) -> Result<Numbers, String> {
    let bytes = disk::read(&dir.join("metrics.json")).map_err(|error| error.to_string())?;
    let metrics: BTreeMap<String, f64> =
        serde_json::from_slice(&bytes).map_err(|error| format!("its metrics.json is not name → number ({error})"))?;
    if let Some((metric, value)) = metrics.iter().find(|(_, value)| !results::holds(**value)) {
        return Err(format!("its metrics.json says that `{metric}` is {value}; an undefined number has no entry"));
    }
    let bytes = disk::read(&dir.join("curves.csv")).map_err(|error| error.to_string())?;
    let mut curves = vec![];
    for row in csv::Reader::from_reader(bytes.as_slice()).deserialize() {
        let point: Point = row.map_err(|error| format!("its curves.csv has a row that cannot be read ({error})"))?;
        if !results::holds(point.value) {
            let Point { metric, step, value, .. } = point;
            return Err(format!(
                "its curves.csv says that `{metric}` is {value} at step {step}; an undefined number has no row"
            ));
        }
        curves.push(point);
    }
    Ok(Numbers { metrics, curves })
}

/// How a stage of a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// There is an artifact.
    Made(Box<Artifact>),
    /// An absent source that nothing needs.
    Unneeded,
    Failed(String),
    NotRun(String),
}

/// A trial's part of each results file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub trial: Trial,
    pub curves: Vec<CurvePoint>,
    pub timing: Timing,
    /// What a text and benchmarks have in common: stage key to the lines of `contamination.jsonl`.
    pub contamination: BTreeMap<Key, String>,
}

/// The rows of a settled trial. `fates` and `costs` are in the order of its stages.
pub fn collect(plan: &TrialPlan, fates: &[Fate], costs: &[plan::Cost]) -> Result<Rows, String> {
    use crate::cache::Ending;
    let mut rows = Rows {
        trial: Trial {
            arm: plan.arm.clone(),
            levels: Pairs(plan.levels.clone()),
            seed: plan.seed.0,
            outcome: Outcome::Finished,
            note: None,
            metrics: BTreeMap::new(),
            stages: Pairs(plan.stages.iter().map(|stage| (stage.name.clone(), stage.key.to_string())).collect()),
            cost: Cost::default(),
            imported: false,
        },
        curves: vec![],
        contamination: BTreeMap::new(),
        timing: Timing { arm: plan.arm.clone(), seed: plan.seed.0, stages: BTreeMap::new() },
    };
    let mut verdict = |outcome: Outcome, note: String| {
        // The first failure is told; a failure outweighs a divergence.
        if rows.trial.outcome == Outcome::Finished || (outcome == Outcome::Failed && rows.trial.outcome != outcome) {
            rows.trial.outcome = outcome;
            rows.trial.note = Some(note);
        }
    };
    for (stage, fate) in plan.stages.iter().zip(fates) {
        match fate {
            Fate::Made(artifact) => {
                if let Ending::Diverged { step, .. } = artifact.record.ending {
                    verdict(Outcome::Diverged, format!("{} diverged at step {step}", stage.name));
                }
            }
            Fate::Failed(message) => verdict(Outcome::Failed, format!("{}: {message}", stage.name)),
            Fate::Unneeded | Fate::NotRun(_) => {}
        }
    }
    for ((stage, fate), cost) in plan.stages.iter().zip(fates).zip(costs) {
        let Fate::Made(artifact) = fate else { continue };
        let record = &artifact.record;
        rows.timing.stages.insert(
            stage.name.clone(),
            StageTiming {
                seconds: record.seconds,
                finished: record.finished,
                host: record.provenance.host.clone(),
                threads: record.provenance.threads,
                version: record.provenance.version.clone(),
                git: record.provenance.git.clone(),
            },
        );
        if matches!(*stage.recipe, Recipe::Corpus(_) | Recipe::Checkpoint(_)) {
            continue;
        }
        let found = numbers(&artifact.dir)
            .map_err(|reason| format!("failed to read the results of `{}`: {reason}", stage.name))?;
        if matches!(*stage.recipe, Recipe::Contamination(_)) {
            add(&mut rows, plan, &stage.name, &stage.recipe, found);
            let lines = overlaps(&stage.name, &stage.key, &artifact.dir)
                .map_err(|reason| format!("failed to read the results of `{}`: {reason}", stage.name))?;
            rows.contamination.insert(stage.key, lines);
            continue;
        }
        rows.trial.cost.flops += found.metrics.get("flops").copied().unwrap_or(cost.flops);
        rows.trial.cost.tokens += found.metrics.get("tokens").map_or(cost.tokens, |tokens| *tokens as u64);
        add(&mut rows, plan, &stage.name, &stage.recipe, found);
    }
    Ok(rows)
}

/// The lines of `contamination.jsonl` that one stage stands for, one a benchmark, with the most covered items as examples.
fn overlaps(stage: &str, key: &Key, dir: &Path) -> Result<String, String> {
    let bytes = disk::read(&dir.join("contamination.json")).map_err(|error| error.to_string())?;
    let reports: Vec<serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|error| format!("its contamination.json cannot be read ({error})"))?;
    let mut lines = String::new();
    for mut report in reports {
        let found = report["found"].as_array().cloned().unwrap_or_default();
        let unchecked = report["unchecked"].as_array().map_or(0, Vec::len);
        report["found"] = found.len().into();
        report["unchecked"] = unchecked.into();
        report["examples"] = found.into_iter().take(EXAMPLES).collect();
        report["corpus"] = stage.strip_prefix("contamination:").unwrap_or(stage).into();
        report["stage"] = key.to_string().into();
        lines += &format!("{report}\n");
    }
    Ok(lines)
}

/// Adds the numbers of one stage.
fn add(rows: &mut Rows, plan: &TrialPlan, stage: &str, recipe: &Recipe, found: Numbers) {
    // An evaluation speaks for the stage it evaluates, at that stage's end.
    let evaluated = stage.strip_prefix("eval:");
    let name = evaluated.unwrap_or(stage);
    let at = evaluated.map(|of| last_step(plan, of));
    let metrics = &mut rows.trial.metrics;
    for (metric, value) in &found.metrics {
        metrics.insert(format!("{name}.{metric}"), *value);
    }
    if matches!(recipe, Recipe::Rl(_)) {
        for point in found.curves.iter().filter(|point| point.step == 0 && !point.benchmark.is_empty()) {
            let metric = format!("{}/{}", point.metric, point.benchmark);
            metrics.insert(format!("{name}0.{metric}"), point.value);
            if let Some(after) = found.metrics.get(&metric) {
                metrics.insert(format!("gain.{metric}"), after - point.value);
            }
        }
    }
    // What a text has in common with benchmarks is no curve.
    if matches!(recipe, Recipe::Contamination(_)) {
        return;
    }
    rows.curves.extend(found.curves.into_iter().map(|point| CurvePoint {
        arm: plan.arm.clone(),
        seed: plan.seed.0,
        stage: name.to_string(),
        benchmark: point.benchmark,
        metric: point.metric,
        step: at.unwrap_or(point.step),
        value: point.value,
    }));
}

/// The step at which an evaluation of a stage stands: where mid-training starts for the base, the stage's end for others.
fn last_step(plan: &TrialPlan, name: &str) -> u64 {
    match plan.stages.iter().find(|stage| stage.name == name).map(|stage| &*stage.recipe) {
        Some(Recipe::Train(train)) if name != "base" => train.steps().0,
        Some(Recipe::Rl(rl)) => rl.steps.0,
        _ => 0,
    }
}
