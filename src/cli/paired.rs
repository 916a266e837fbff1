//! `ablate compare OUT OTHER`: two evaluations, item by item.

use super::failure::Failure;
use crate::eval::pair;
use crate::eval::summary::{ItemRecord, Summary};
use crate::text;
use std::path::Path;

pub fn compare(left: &Path, right: &Path) -> Result<(), Failure> {
    let ((a, items_a), (b, items_b)) = (read(left)?, read(right)?);
    for (what, a, b) in [("benchmark", &a.benchmark, &b.benchmark), ("suite", &a.suite, &b.suite)] {
        if a != b {
            return Err(Failure::usage(format!("the {what} is `{a}` in one evaluation and `{b}` in the other")));
        }
    }
    let pairing = pair(&items_a, &items_b).map_err(Failure::usage)?;
    show!("{}: {} items in both, {} in one alone", a.suite, pairing.items(), pairing.unpaired);
    for (name, folder, summary) in [("a", left, &a), ("b", right, &b)] {
        show!("  {name}: accuracy {:.4} (n = {})  {}", summary.numbers.accuracy, summary.numbers.n, folder.display());
    }
    for (what, a, b) in [
        ("prompt", serde_json::to_string(&a.prompt)?, serde_json::to_string(&b.prompt)?),
        ("decoding", serde_json::to_string(&a.decoding)?, serde_json::to_string(&b.decoding)?),
        ("extractor", a.extractor.clone(), b.extractor.clone()),
    ] {
        if a != b {
            show!("  note: they differ in their {what} too: {a} and {b}");
        }
    }
    show!(
        "  right for both {}, only for a {}, only for b {}, for neither {}",
        pairing.both,
        pairing.only_left,
        pairing.only_right,
        pairing.neither
    );
    show!(
        "  a − b: {}, p = {} (exact McNemar test)",
        interval(pairing.difference.mean, pairing.difference.standard_error),
        probability(pairing.p)
    );
    if let Some(sampled) = pairing.sampled {
        show!(
            "  a − b over samples: {}, p = {} (permutation test over items)",
            interval(sampled.shift.mean, sampled.shift.standard_error),
            probability(sampled.p)
        );
    }
    Ok(())
}

fn interval(mean: f64, error: Option<f64>) -> String {
    match error {
        Some(error) => format!("{mean:+.4}, 95% interval {:+.4} to {:+.4}", mean - 1.96 * error, mean + 1.96 * error),
        None => format!("{mean:+.4}"),
    }
}

fn probability(p: f64) -> String {
    if p < 1e-4 { format!("{p:.1e}") } else { format!("{}", (p * 1e4).round() / 1e4) }
}

fn read(folder: &Path) -> Result<(Summary, Vec<ItemRecord>), Failure> {
    let file = |name: &str| {
        let path = folder.join(name);
        text::read(&path).map_err(|error| {
            Failure::usage(format!("failed to read {}: {error}", path.display()))
                .hint("`ablate compare A B` reads two folders that `ablate eval --out` wrote")
        })
    };
    let wrong = |name: &str, error: serde_json::Error| {
        Failure::usage(format!("failed to read {}: {error}", folder.join(name).display()))
    };
    let summary = serde_json::from_str(&file("summary.json")?).map_err(|error| wrong("summary.json", error))?;
    let path = folder.join("items.jsonl");
    let item = |(index, line): (usize, &str)| -> Result<ItemRecord, Failure> {
        let wrong = |words: String| format!("failed to read {}, line {}: {words}", path.display(), index + 1);
        serde_json::from_str(line).map_err(|error| Failure::usage(wrong(text::broken_json(&error))))
    };
    let items: Result<Vec<ItemRecord>, _> = file("items.jsonl")?.lines().enumerate().map(item).collect();
    Ok((summary, items?))
}
