//! `ablate compare`: two groups of arms, paired over seeds.

use super::again::again;
use super::args::CompareArgs;
use super::failure::Failure;
use super::import::LAB as IMPORTED;
use super::older;
use super::session::{Session, pairs};
use crate::exec::results;
use crate::spec::experiment::Experiment;
use crate::verdict::{ClaimInput, Direction, Side, Verdict, add_peaks, judge, overlap, overlaps};
use std::collections::BTreeSet;

pub fn compare(args: &CompareArgs) -> Result<(), Failure> {
    if args.selection.lab == IMPORTED {
        return Err(untested());
    }
    let session = Session::open(&args.selection)?;
    let (Some(text_a), Some(text_b)) = (&args.a, &args.b) else {
        return Err(Failure::usage("--a and --b say which arms to compare"));
    };
    let (a, b) = (side(text_a, &session.experiment)?, side(text_b, &session.experiment)?);
    let mut read = results::read(&session.results)?;
    add_peaks(&mut read);
    let run = again(&args.selection, None);
    if read.trials.is_empty() {
        return Err(Failure::usage(format!("there are no results in {}", session.results.display())).hint(run));
    }
    let known = |metric: &str| read.trials.iter().any(|trial| trial.metrics.contains_key(metric));
    if !known(&args.metric) {
        let mut names: Vec<&str> =
            read.trials.iter().flat_map(|trial| trial.metrics.keys()).map(String::as_str).collect();
        names.sort();
        names.dedup();
        let nearest = crate::spec::mistake::nearest(&args.metric, names.iter().copied());
        let hint = nearest.map_or_else(|| metrics_in_words(&names), |name| format!("did you mean `{name}`?"));
        return Err(Failure::usage(format!("no trial has a metric `{}`", args.metric)).hint(hint));
    }
    let claim = ClaimInput {
        claim: "compare".into(),
        statement: format!("{text_a} against {text_b}"),
        metric: args.metric.clone(),
        a,
        b,
        versus: None,
        direction: Direction::Greater,
        smallest_effect: 0.0,
        confidence: 0.95,
        paper: serde_json::Value::Null,
    };
    let judged = judge(&claim, &read.trials);
    let compared = &judged.comparison;
    if compared.imported {
        return Err(untested());
    }
    let Some(estimate) = compared.estimate else {
        let message =
            format!("no seed has `{}` for every arm of both sides: {}", args.metric, compared.missing.join("; "));
        return Err(Failure::usage(message).hint(run));
    };
    let older = older::in_words(&older::older(&session.experiment, &session.lab, &read)?);
    older.iter().for_each(|words| tell!("note: {words}"));
    show!("{}: {text_a} (a) against {text_b} (b)", args.metric);
    for (name, arms, mean) in [("a", &compared.arms_a, compared.mean_a), ("b", &compared.arms_b, compared.mean_b)] {
        let mean = mean.map_or("–".to_string(), |mean| format!("{mean:.4}"));
        show!(
            "  {name}: {mean}  ({})",
            if let [arm] = arms.as_slice() { arm.clone() } else { format!("{} arms", arms.len()) }
        );
    }
    show!("{}", interval(estimate.mean, estimate.low.zip(estimate.high), compared.n_seeds()));
    let seeds = compared.differences.iter().map(|(seed, difference)| format!("{seed}: {difference:+.4}"));
    show!("  by seed: {}", seeds.collect::<Vec<_>>().join(", "));
    for missing in &compared.missing {
        show!("  left out: {missing}");
    }
    for arm in &compared.unmatched {
        show!("  left out: {arm}, which has no counterpart on the other side");
    }
    for (arm, seed) in compared.diverged_a.iter().chain(&compared.diverged_b) {
        show!("  diverged: {arm}, seed {seed}");
    }
    show!("verdict on a > b: {}", verdict(&judged.verdict));
    show!("  {}", judged.reason);
    overlap::in_words(&overlaps(&claim, &read.trials)).iter().for_each(|words| show!("  {words}"));
    Ok(())
}

/// Names of metrics by their parts, since all of them together are hundreds.
fn metrics_in_words(names: &[&str]) -> String {
    let (mut stages, mut metrics, mut benchmarks) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for name in names {
        let (measured, benchmark) = name.split_once('/').unwrap_or((name, ""));
        let (stage, metric) = measured.split_once('.').unwrap_or(("", measured));
        stages.insert(stage);
        metrics.insert(metric);
        benchmarks.insert(benchmark.split('@').next().unwrap_or(benchmark));
    }
    let list = |words: BTreeSet<&str>| words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ");
    format!(
        "a metric is STAGE.METRIC or STAGE.METRIC/BENCHMARK; stages: {}; metrics: {}; benchmarks: {}",
        list(stages),
        list(metrics),
        list(benchmarks)
    )
}

fn untested() -> Failure {
    Failure::usage("imported runs can't be compared: one export an arm, no seeds, so nothing says how far luck reaches")
        .hint("ablate report draws them beside ours; ablate run makes trials that can be compared")
}

fn interval(mean: f64, interval: Option<(f64, f64)>, seeds: usize) -> String {
    let bounds = interval
        .map_or("no interval from one seed".to_string(), |(low, high)| format!("95% interval {low:+.4} to {high:+.4}"));
    format!("  a − b: {mean:+.4}, {bounds}, paired over {seeds} seeds")
}

/// A verdict in words.
pub fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Supported => "supported".into(),
        Verdict::Refuted => "refuted".into(),
        Verdict::Inconclusive { seeds_needed: Some(seeds) } => {
            format!("inconclusive; about {seeds} seeds would decide it")
        }
        Verdict::Inconclusive { seeds_needed: None } => "inconclusive".into(),
        Verdict::NotRun { missing } => format!("not run: {} missing", missing.join(", ")),
    }
}

fn side(text: &str, experiment: &Experiment) -> Result<Side, Failure> {
    let texts: Vec<String> = text.split(',').map(str::to_string).collect();
    let pairs = pairs(&texts)?;
    experiment.clone().keep_only(&pairs).map_err(Failure::usage)?;
    let mut side: Side = Vec::new();
    for (axis, level) in pairs {
        match side.iter_mut().find(|(name, _)| *name == axis) {
            Some((_, levels)) => levels.push(level),
            None => side.push((axis, vec![level])),
        }
    }
    Ok(side)
}
