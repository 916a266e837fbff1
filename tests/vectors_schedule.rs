//! Learning-rate schedules against `transformers.optimization`, step by step.

use ablate::recipe::DecayCurve;
use ablate::recipe::schedule::{warmup_cosine, warmup_stable_decay};
use std::path::PathBuf;

#[test]
fn schedules_equal_the_vectors_at_every_step() {
    let root = std::env::var_os("ABLATE_VECTORS").map_or_else(|| PathBuf::from("tests/vectors"), PathBuf::from);
    let text = std::fs::read(root.join("schedules.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let peak = vectors["peak_lr"].as_f64().unwrap();
    let rows = vectors["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let steps = |name: &str| row[name].as_u64();
        let warmup = steps("warmup").unwrap();
        let floor = row["min_ratio"].as_f64().unwrap_or(0.0);
        let ours = |step: u64| match row["schedule"].as_str().unwrap() {
            "warmup_stable_decay" => {
                let curve = match row["decay_shape"].as_str().unwrap() {
                    "cosine" => DecayCurve::Cosine,
                    "linear" => DecayCurve::Linear,
                    "1-sqrt" => DecayCurve::OneMinusSqrt,
                    other => panic!("unknown decay {other}"),
                };
                warmup_stable_decay(step, warmup, steps("stable").unwrap(), steps("decay").unwrap(), curve, floor)
            }
            "cosine" => warmup_cosine(step, warmup, steps("total").unwrap() - warmup, floor),
            other => panic!("unknown schedule {other}"),
        };
        for (step, expected) in row["lr"].as_array().unwrap().iter().enumerate() {
            let (ours, expected) = (peak * ours(step as u64), expected.as_f64().unwrap());
            assert!((ours - expected).abs() < 1e-6, "{row}\nstep {step}: {ours}, not {expected}");
        }
    }
}
