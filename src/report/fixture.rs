//! A made-up experiment to develop and test reports with: two families, four corpora, three seeds. Nothing of it is a result.

use std::collections::BTreeMap;

use crate::exec::results::{Cost, CurvePoint, Outcome, Pairs, Results, Trial};
use crate::recipe::Seed;
use crate::report::{ArmInput, AxisInput, ExperimentInput, MixtureRow};
use crate::verdict::{ClaimInput, Direction};

const FAMILIES: [(&str, &str); 2] = [("llama", "Llama"), ("qwen", "Qwen")];
const DATA: [(&str, &str, f64, f64); 8] = [
    ("none", "no mid-training", 0.00, 0.02),
    ("finemath", "FineMath-4plus", 0.03, 0.03),
    ("webpro", "Web-Pro", 0.10, 0.22),
    ("webpro-max", "Web-Pro-Max", 0.11, 0.21),
    ("short", "Web-Pro + short CoT", 0.16, 0.24),
    ("long", "Web-Pro + long CoT", 0.12, 0.36),
    ("long-instr", "Web-Pro + long CoT + instruction", 0.13, 0.40),
    ("hybrid", "hybrid decay", 0.15, 0.45),
];
const BENCHMARKS: [(&str, f64); 4] = [("math500", 1.0), ("gsm8k", 1.5), ("olympiadbench", 0.45), ("amc23", 0.6)];

/// `families` of 1 or 2, the first `arms` corpora.
pub fn experiment(families: usize, arms: usize, seeds: u64, benchmarks: usize) -> ExperimentInput {
    let mut input = ExperimentInput {
        name: "corpus".into(),
        lab: "proxy".into(),
        question: "Which mid-training corpus makes a base model good at RL?".into(),
        paper: "The web corpus dominates: Web-Pro gains 26 points on MATH500, FineMath-4plus one.".into(),
        methods: "Every arm is a decoder of 159 k parameters.\n\nRL is GRPO with 16 prompts and 8 responses each."
            .into(),
        ..ExperimentInput::default()
    };
    let levels = |list: &[(&str, &str)]| list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    input.axes.push(AxisInput { name: "family".into(), levels: levels(&FAMILIES[..families]) });
    let data: Vec<(&str, &str)> = DATA.iter().map(|d| (d.0, d.1)).collect();
    input.axes.push(AxisInput { name: "data".into(), levels: levels(&data[..arms]) });
    for (f, (family, family_label)) in FAMILIES[..families].iter().enumerate() {
        for (d, (data, label, before, gain)) in DATA[..arms].iter().enumerate() {
            let id = format!("{family}-{data}");
            let levels = vec![("family".to_string(), family.to_string()), ("data".to_string(), data.to_string())];
            let label = if families > 1 { format!("{family_label}, {label}") } else { label.to_string() };
            input.arms.push(ArmInput {
                id: id.clone(),
                levels: levels.clone(),
                label,
                baseline: d == 0 && families == 1,
            });
            mixture(&mut input.mixtures, &id, d);
            for seed in 0..seeds {
                let before = before + 0.15 * f as f64;
                trial(&mut input.results, &id, &levels, seed, (before, *gain), (d, f), &BENCHMARKS[..benchmarks]);
            }
        }
    }
    input.claims = claims(arms);
    input
}

fn mixture(rows: &mut Vec<MixtureRow>, arm: &str, data: usize) {
    let mut add = |stage: &str, tokens: u64, parts: &[(&str, f64)]| {
        for (corpus, share) in parts {
            let (arm, stage, corpus) = (arm.to_string(), stage.to_string(), corpus.to_string());
            rows.push(MixtureRow { arm, stage, corpus, share: *share, tokens });
        }
    };
    add("base", 1_000_000, &[("general", 0.92), ("finemath-4plus", 0.08)]);
    match data {
        0 => {}
        1 => add("mid", 2_000_000, &[("finemath-4plus", 1.0)]),
        2 => add("mid", 2_000_000, &[("megamath-web-pro", 1.0)]),
        3 => add("mid", 2_000_000, &[("megamath-web-pro-max", 1.0)]),
        4 => add("mid", 2_000_000, &[("megamath-web-pro", 0.9), ("megamath-qa", 0.1)]),
        5 => add("mid", 2_000_000, &[("megamath-web-pro", 0.9), ("openr1-math", 0.1)]),
        6 => add("mid", 2_000_000, &[("megamath-web-pro", 0.89), ("openr1-math", 0.1), ("instruction", 0.01)]),
        _ => {
            add("stable", 2_000_000, &[("megamath-web-pro", 0.725), ("general", 0.1), ("megamath-qa", 0.175)]);
            add("decay", 500_000, &[("megamath-web-pro", 0.55), ("openr1-math", 0.3), ("instruction", 0.15)]);
        }
    }
}

fn trial(
    results: &mut Results,
    arm: &str,
    levels: &[(String, String)],
    seed: u64,
    (before, gain): (f64, f64),
    (data, family): (usize, usize),
    benchmarks: &[(&str, f64)],
) {
    let stream = Seed(seed).stream("fixture");
    let mut rng = stream.at(&[data as u64, family as u64]);
    let mut luck = stream.at(&[99]);
    let luck = 0.03 * luck.normal() + 0.02 * rng.normal();
    let mut metrics = BTreeMap::new();
    let collapse = data == 5 && seed == 1;
    let last = if collapse { 64 } else { 100 };
    let mut point = |benchmark: &str, metric: &str, step: u64, value: f64| {
        results.curves.push(CurvePoint {
            arm: arm.into(),
            seed,
            stage: "rl".into(),
            benchmark: benchmark.into(),
            metric: metric.into(),
            step,
            value,
        })
    };
    let mut sums = [0.0; 2];
    for (benchmark, ease) in benchmarks {
        let mut length = 0.0;
        for step in (0..=last).step_by(4) {
            let t = step as f64 / 100.0;
            let fall = if collapse && step > 40 { (step - 40) as f64 * 0.012 } else { 0.0 };
            let value = (before + (gain + luck) * (1.0 - (-4.0 * t).exp()) - fall) * ease + 0.008 * rng.normal();
            let value = value.clamp(0.0, 0.97);
            point(benchmark, "accuracy", step, value);
            if step == 0 {
                sums[0] += value / benchmarks.len() as f64;
                metrics.insert(format!("rl0.accuracy/{benchmark}"), value);
                metrics.insert(format!("mid.accuracy/{benchmark}"), value + 0.03);
            }
            if step == last {
                sums[1] += value / benchmarks.len() as f64;
                metrics.insert(format!("rl.accuracy/{benchmark}"), value);
            }
            let long = if data >= 5 { 90.0 } else { 40.0 };
            length = long * (1.0 - 0.5 * t) + if collapse && step > 40 { (step - 40) as f64 * 3.0 } else { 0.0 };
            if data != 0 || seed != 2 || step > 20 {
                point(benchmark, "response_length", step, length + 2.0 * rng.normal());
            }
            point(benchmark, "truncated", step, (0.2 - 0.2 * t + fall).clamp(0.0, 1.0));
        }
        metrics.insert(format!("rl.response_length/{benchmark}"), length);
    }
    for step in (0..=last).step_by(2) {
        let t = step as f64 / 100.0;
        let fall = if collapse && step > 40 { (step - 40) as f64 * 0.01 } else { 0.0 };
        point("", "entropy", step, (0.8 * (-3.0 * t).exp() + 0.1 + fall + 0.02 * rng.normal()).max(0.0));
        point("", "reward", step, before + gain * t - fall + 0.02 * rng.normal());
        point("", "truncated", step, (0.2 - 0.2 * t + fall).clamp(0.0, 1.0));
        point("", "response_length_all", step, 60.0 + 20.0 * t + 200.0 * fall + 2.0 * rng.normal());
    }
    metrics.insert("rl0.accuracy/all".into(), sums[0]);
    metrics.insert("rl.accuracy/all".into(), sums[1]);
    metrics.insert("rl.response_length/all".into(), if data >= 5 { 62.0 } else { 22.0 } + 3.0 * rng.normal());
    metrics.insert("gain.accuracy/all".into(), sums[1] - sums[0]);
    let stages = ["base", "mid", "eval:mid", "rl"];
    results.trials.push(Trial {
        arm: arm.into(),
        levels: Pairs(levels.to_vec()),
        seed,
        outcome: if collapse { Outcome::Diverged } else { Outcome::Finished },
        note: None,
        metrics,
        stages: Pairs(stages.map(|s| (s.to_string(), "00".repeat(32))).to_vec()),
        cost: Cost { flops: 1e12, tokens: 3_000_000 },
        imported: false,
    });
}

fn claims(arms: usize) -> Vec<ClaimInput> {
    let side = |level: &str| vec![("data".to_string(), vec![level.to_string()])];
    let claim =
        |id: &str, statement: &str, metric: &str, a: &str, b: &str, direction, smallest: f64, paper| ClaimInput {
            claim: id.into(),
            statement: statement.into(),
            metric: metric.into(),
            a: side(a),
            b: side(b),
            versus: None,
            direction,
            smallest_effect: smallest,
            confidence: 0.95,
            paper,
        };
    let mut claims = vec![
        claim(
            "web-quality",
            "A refined web corpus (Web-Pro) gains more from RL than FineMath-4plus",
            "gain.accuracy/all",
            "webpro",
            "finemath",
            Direction::Greater,
            0.05,
            serde_json::json!({"a": 35.5, "b": 10.4, "unit": "% MATH500", "source": "Figure 5", "verdict": "Web-Pro ≫ FineMath"}),
        ),
        claim(
            "max-not-better",
            "Web-Pro-Max is no better than Web-Pro at equal budget",
            "rl.accuracy/all",
            "webpro-max",
            "webpro",
            Direction::Same,
            0.05,
            serde_json::json!({"a": 31.3, "b": 35.5, "unit": "%", "source": "curves", "verdict": "no difference claimed"}),
        ),
        claim(
            "finemath-longer",
            "FineMath answers get longer than Web-Pro answers during RL",
            "rl.response_length/all",
            "finemath",
            "webpro",
            Direction::Greater,
            5.0,
            serde_json::json!({"a": 4096, "b": 591, "unit": "tokens", "source": "Figure 5", "verdict": "saturates"}),
        ),
    ];
    if arms > 5 {
        claims.push(claim(
            "long-cot",
            "Long chains of thought gain more from RL than short ones, though they start lower and are less stable",
            "rl.accuracy/all",
            "long",
            "short",
            Direction::Greater,
            0.05,
            serde_json::json!({"a": 47.6, "b": 34.0, "unit": "%", "source": "Figure 6", "verdict": "gains, unstable"}),
        ));
        claims.push(claim(
            "absent",
            "An arm that was never run beats Web-Pro",
            "rl.accuracy/all",
            "missing",
            "webpro",
            Direction::Greater,
            0.02,
            serde_json::Value::Null,
        ));
    }
    claims
}

/// Development aid: with `ABLATE_LOOK=DIR` the made-up reports are written there, to be looked at.
#[test]
fn look() {
    let Ok(dir) = std::env::var("ABLATE_LOOK") else { return };
    for (lab, families, arms, seeds, benchmarks) in [("big", 2, 8, 3, 4), ("small", 1, 4, 5, 1), ("mid", 1, 8, 3, 3)] {
        let mut input = experiment(families, arms, seeds, benchmarks);
        input.lab = lab.into();
        crate::report::write(&input, &crate::report::render(&input), std::path::Path::new(&dir)).unwrap();
    }
    // The paper's own runs, as an import would bring them.
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/paper/curves.csv");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for (figure, lab) in [("octothinker/3b", "octothinker-3b"), ("analysis_qa", "analysis-qa")] {
        let mut results = Results::default();
        for row in csv::Reader::from_reader(text.as_bytes()).records().flatten().filter(|r| &r[0] == figure) {
            let point = CurvePoint {
                arm: row[1].into(),
                seed: 0,
                stage: "rl".into(),
                benchmark: row[3].into(),
                metric: row[4].into(),
                step: row[5].parse().unwrap(),
                value: row[6].parse().unwrap(),
            };
            if !results.trials.iter().any(|t: &Trial| t.arm == point.arm) {
                results.trials.push(Trial {
                    arm: point.arm.clone(),
                    levels: Pairs::default(),
                    seed: 0,
                    outcome: Outcome::Finished,
                    note: None,
                    metrics: BTreeMap::new(),
                    stages: Pairs::default(),
                    cost: Cost::default(),
                    imported: true,
                });
            }
            results.curves.push(point);
        }
        let input = ExperimentInput::of_results("paper", lab, results);
        crate::report::write(&input, &crate::report::render(&input), std::path::Path::new(&dir)).unwrap();
    }
}
