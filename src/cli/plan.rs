//! `ablate plan` and `ablate explain`: what would run and why, from the same function that `run` obeys.

use super::args::{ExplainArgs, PlanArgs};
use super::duration::duration;
use super::failure::Failure;
use super::price;
use super::session::Session;
use crate::cache::Check;
use crate::exec::{Prepared, prepare};
use crate::plan::cost::bytes;
use crate::plan::{Assessment, Freshness};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn plan(args: &PlanArgs) -> Result<(), Failure> {
    let session = Session::open(&args.selection)?;
    let prepared = prepare(&session.setup(), Check::Sizes).map_err(Failure::start)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&prepared))?);
        return Ok(());
    }
    let (hits, resumed, to_run) = prepared.counts();
    let arms = session.experiment.arms.len();
    println!("{} in lab {}: {}", session.experiment.name, session.lab.name, session.experiment.question);
    println!(
        "{arms} arms, {} trials, {} stages: {hits} cached, {resumed} to resume, {to_run} to run\n",
        prepared.trials.len(),
        prepared.states.len()
    );
    if prepared.missing().next().is_none() {
        println!("nothing to run");
        return Ok(());
    }
    // The arm comes last and whole: `export` wants it as it stands here.
    let rows: Vec<(String, [String; 5], String)> = prepared
        .missing()
        .map(|node| {
            let name = prepared.name(node);
            let seed = if name.arm.is_empty() || name.name.starts_with("corpus:") {
                "-".into()
            } else {
                name.seed.to_string()
            };
            let numbers = [
                seed,
                name.trials.to_string(),
                flops(prepared.costs[node].flops),
                duration(prepared.seconds[node]),
                bytes(prepared.costs[node].disk),
            ];
            let others = if name.trials > 1 { ", …" } else { "" };
            (name.name.clone(), numbers, format!("{} ({}{others})", why(&prepared.states[node]), name.arm))
        })
        .collect();
    let width = rows.iter().map(|(stage, ..)| stage.chars().count()).max().unwrap_or(0).max(5);
    println!(
        "{:<width$} {:>4} {:>6} {:>8} {:>12} {:>9}  why (arm)",
        "stage", "seed", "trials", "FLOPs", "time", "disk"
    );
    for (stage, [seed, trials, flops, time, disk], why) in &rows {
        println!("{stage:<width$} {seed:>4} {trials:>6} {flops:>8} {time:>12} {disk:>9}  {why}");
    }
    if !session.absent.is_empty() {
        println!("\nnot here yet, so a run would refuse to start (and what is cached can't be told):");
        for mistake in session.absent.iter() {
            println!("  {}", mistake.message);
        }
    }
    let missing: Vec<usize> = prepared.missing().collect();
    let total = |of: &dyn Fn(usize) -> f64| missing.iter().map(|node| of(*node)).sum::<f64>();
    println!(
        "\ntogether: {} FLOPs, about {} on one core, {} of disk",
        flops(total(&|node| prepared.costs[node].flops)),
        duration(total(&|node| prepared.seconds[node])),
        bytes(total(&|node| prepared.costs[node].disk as f64) as u64)
    );
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let shapes = prepared.graph.shapes(&session.setup().known.checkpoints);
    for line in price::lines(&prepared, &shapes, session.lab.device.as_ref(), args.selection.device, threads) {
        println!("{line}");
    }
    Ok(())
}

pub fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let session = Session::open(&args.selection)?;
    let prepared = prepare(&session.setup(), Check::Sizes).map_err(Failure::start)?;
    let missing: Vec<usize> = prepared.missing().collect();
    if missing.is_empty() {
        println!("nothing would run again");
        return Ok(());
    }
    // Stages that run for the same reason are told together.
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in missing {
        let name = prepared.name(node);
        let state = &prepared.states[node];
        let mut reason = why(state);
        for change in state.changes.iter().filter(|change| !change.input) {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_string());
            reason.push_str(&format!("\n    {}: {} → {}", change.field, side(&change.old), side(&change.new)));
        }
        reasons.entry(reason).or_default().push(format!("{} of {} seed {}", name.name, name.arm, name.seed));
    }
    for (reason, stages) in reasons {
        println!("{reason}");
        for stage in stages {
            println!("  {stage}");
        }
    }
    Ok(())
}

fn as_json(prepared: &Prepared) -> Value {
    let stages: Vec<Value> = prepared
        .graph
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let state = &prepared.states[index];
            let status = match state.freshness {
                Freshness::Hit | Freshness::Unneeded => "hit",
                Freshness::Resume { .. } => "resume",
                Freshness::Run(_) => "run",
            };
            let mut arms: Vec<&str> = node.trials.iter().map(|trial| prepared.trials[*trial].arm.as_str()).collect();
            arms.dedup();
            let name = prepared.name(index);
            json!({
                "id": format!("{}-{}", name.name, node.key.short()),
                "kind": node.recipe.kind().name(),
                "key": node.key,
                "status": status,
                "reason": why(state),
                "arms": arms,
                "seeds": node.trials.iter().map(|trial| prepared.trials[*trial].seed.0).collect::<std::collections::BTreeSet<_>>(),
                "flops": prepared.costs[index].flops,
                "seconds": prepared.seconds[index],
                "disk": prepared.costs[index].disk,
            })
        })
        .collect();
    json!({ "stages": stages })
}

fn why(state: &Assessment) -> String {
    match &state.freshness {
        Freshness::Hit => "cached".to_string(),
        Freshness::Unneeded => "not needed: all that reads it is there".to_string(),
        Freshness::Resume { step } => format!("interrupted; goes on from step {step}"),
        Freshness::Run(reason) => reason.to_string(),
    }
}

/// `1.2e12` as `1.2 T`.
fn flops(count: f64) -> String {
    let units = ["", " k", " M", " G", " T", " P", " E", " Z"];
    let (mut value, mut unit) = (count, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1}{}", units[unit])
}

#[cfg(all(test, feature = "engine"))]
mod tests {
    use crate::model::device::Limits;
    use crate::plan::memory::DEVICE_LIMITS;

    #[test]
    fn a_plan_counts_a_device_as_it_is_bounded() {
        let Limits { tokens, logits, queries, live, cache } = Limits::default();
        assert_eq!([tokens, logits, queries, live, cache].map(|bound| bound as f64), DEVICE_LIMITS);
    }
}
