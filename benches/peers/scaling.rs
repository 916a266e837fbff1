//! How cost grows: with the tokens of a step, with parameters, and with the arms of a plan.

use crate::model::Size;
use crate::ours::{Done, step_seconds};
use crate::table::Measurement;
use ablate::plan::{Graph, lower};
use ablate::recipe::{Backend, Seed};
use ablate::spec::{Experiment, Lab, Source};
use std::time::Instant;

pub fn run() -> Vec<Measurement> {
    let mut curve = vec![];
    let mut point = |side: String, units: f64, seconds: f64| {
        println!("{:<24} {side:<28} {units:>12} {seconds:.4} s", "scaling");
        let done = Done { units, cpu: seconds, wall: seconds, check: units / seconds };
        curve.push(Measurement { row: "scaling".into(), side, repetition: 0, done, processor: true });
    };
    for tokens in [512, 1024, 2048, 4096, 8192, 16384] {
        point(format!("S, tokens {tokens}"), tokens as f64, step_seconds(Size::S, tokens));
    }
    for (name, size) in [("XS", Size::Xs), ("S", Size::S), ("M", Size::M), ("L", Size::L)] {
        let seconds = step_seconds(size, 2048);
        point(format!("parameters {name}"), size.shape().parameters() as f64, seconds);
    }
    for arms in [10, 100, 1_000, 10_000] {
        let start = Instant::now();
        let planned = plan(arms);
        assert_eq!(planned, arms, "every level is an arm");
        point(format!("arms {arms}"), arms as f64, start.elapsed().as_secs_f64());
    }
    curve
}

/// Reads, lowers and merges an experiment of so many arms (a power of ten); returns the number of trials.
fn plan(arms: usize) -> usize {
    let text = experiment(arms.ilog10() as usize);
    let experiment =
        Experiment::parse(&Source::new("arms.yaml", &text)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let lab = Lab::load("proxy").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let trials = lower(&experiment, &lab, &[Seed(0)], Backend::Cpu).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Graph::new(&trials).unwrap_or_else(|error| panic!("{error}")).stages.len()
}

/// The corpus experiment with two phases more and other axes: ten levels each.
fn experiment(axes: usize) -> String {
    let text = include_str!("../../experiments/corpus.yaml");
    let head = text.split("axes:").next().unwrap_or_default();
    let phase =
        |name| format!("    {name}: {{ mixture: {{ dclm-baseline: 100% }}, budget: 1B tokens, schedule: constant }}\n");
    let head = head.replace("  rl:", &format!("{}{}  rl:", phase("x"), phase("y")));
    let levels = |name: &str| -> String {
        let level = |n: usize| match name {
            "steps" => format!("    s{n}: {{ rl: {{ steps: {} }} }}\n", 20 * n),
            _ => format!("    b{n}: {{ midtrain: {{ {name}: {{ budget: {n}B tokens }} }} }}\n"),
        };
        (1..=10).map(level).collect()
    };
    let axes: String =
        ["web", "x", "y", "steps"][..axes].iter().map(|name| format!("  {name}:\n{}", levels(name))).collect();
    format!("{head}axes:\n{axes}")
}
