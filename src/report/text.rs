//! The sentences that the README and the page share.

use serde_json::Value;

use crate::report::ExperimentInput;
use crate::report::metric::Unit;
use crate::report::scale::{fixed, signed};
use crate::verdict::{Judged, Outcome, Verdict};

/// As a word.
pub fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Supported => "supported",
        Verdict::Refuted => "refuted",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::NotRun { .. } => "not run",
    }
}

/// `+18.4 points [+15.9, +20.9]`.
pub fn effect(j: &Judged) -> String {
    let unit = Unit::of(&j.claim.metric);
    let Some(e) = j.comparison.estimate else { return "–".into() };
    effect_text(unit, e.mean, e.low.zip(e.high))
}

pub fn effect_text(unit: Unit, mean: f64, interval: Option<(f64, f64)>) -> String {
    let text = |v: f64| signed(unit.scale(v), unit.decimals);
    let mean = format!("{} {}", text(mean), unit.difference);
    match interval {
        Some((low, high)) => format!("{} [{}, {}]", mean.trim_end(), text(low), text(high)),
        None => mean.trim_end().to_string(),
    }
}

/// What the paper found: `35.5 against 10.4 % MATH500 (Figure 5): Web-Pro ≫ FineMath`.
pub fn paper(paper: &Value) -> String {
    let word = |key: &str| paper.get(key).and_then(Value::as_str).unwrap_or("");
    let number = |key: &str| paper.get(key).and_then(Value::as_f64).map(plain);
    if let Some(text) = paper.as_str() {
        return text.to_string();
    }
    let mut out = String::new();
    let unit = word("unit");
    match (number("a"), number("b"), number("effect")) {
        (Some(a), Some(b), _) => out += format!("{a} against {b} {unit}").trim_end(),
        (_, _, Some(effect)) => out += format!("{effect} {unit}").trim_end(),
        (Some(one), _, _) | (_, Some(one), _) => out += format!("{one} {unit}").trim_end(),
        _ => {}
    }
    if !word("source").is_empty() {
        let source = word("source");
        out += &if out.is_empty() { source.to_string() } else { format!(" ({source})") };
    }
    let finding = ["verdict", "finding"].iter().map(|key| word(key)).find(|text| !text.is_empty());
    if let Some(finding) = finding {
        out += &if out.is_empty() { finding.to_string() } else { format!(": {finding}") };
    }
    if out.is_empty() { "–".into() } else { out }
}

fn plain(value: f64) -> String {
    value.to_string().replace('-', "−")
}

/// `Holm-adjusted p = 0.012.`, and the bootstrap's interval if there is one.
pub fn holm(j: &Judged) -> String {
    let Some(p) = j.p_holm else { return String::new() };
    let text = if p < 0.001 { "< 0.001".to_string() } else { format!("= {}", fixed(p, 3)) };
    let bootstrap = match j.bootstrap {
        Some((low, high)) => {
            let unit = Unit::of(&j.claim.metric);
            let text = |v: f64| signed(unit.scale(v), unit.decimals);
            format!(" The BCa bootstrap gives [{}, {}].", text(low), text(high))
        }
        None => String::new(),
    };
    format!("Holm-adjusted p {text}.{bootstrap}")
}

/// `Of 5 claims fixed before the run 2 are supported, …`.
pub fn tally(judged: &[Judged]) -> String {
    let count = |name: &str| judged.iter().filter(|j| j.verdict.name() == name).count();
    let parts: Vec<String> =
        [("supported", "supported"), ("refuted", "refuted"), ("inconclusive", "inconclusive"), ("not-run", "not run")]
            .iter()
            .filter(|(name, _)| count(name) > 0)
            .map(|(name, word)| format!("{} {word}", count(name)))
            .collect();
    let claims = if judged.len() == 1 { "claim" } else { "claims" };
    format!("{} {claims} fixed before the run: {}.", judged.len(), parts.join(", "))
}

/// What a reader must know before the numbers: imports, failures, divergence, missing trials.
pub fn notes(input: &ExperimentInput) -> Vec<String> {
    let trials = &input.results.trials;
    let mut notes = vec![];
    if trials.is_empty() {
        notes.push("Nothing has been run yet.".to_string());
        return notes;
    }
    let imported = trials.iter().filter(|t| t.imported).count();
    if imported > 0 {
        notes.push(format!(
            "{imported} of {} trials were imported from exports made elsewhere: one run per arm, perhaps sampled. They are drawn \
             as they are; nothing is tested on them.",
            trials.len()
        ));
    }
    let named = |outcome: Outcome| -> Vec<String> {
        trials.iter().filter(|t| t.outcome == outcome).map(|t| format!("{} (seed {})", t.arm, t.seed)).collect()
    };
    for (outcome, word) in [(Outcome::Diverged, "Diverged"), (Outcome::Failed, "Failed")] {
        let list = named(outcome);
        if !list.is_empty() {
            notes.push(format!("{word}: {}.", list.join(", ")));
        }
    }
    let absent: Vec<&str> =
        input.arms.iter().filter(|arm| !trials.iter().any(|t| t.arm == arm.id)).map(|arm| arm.label.as_str()).collect();
    if !absent.is_empty() {
        notes.push(format!("Not run: {}.", absent.join(", ")));
    }
    notes
}

/// How the verdicts come about, for readers who did not read the code.
pub fn statistics(judged: &[Judged]) -> Vec<String> {
    let tested = judged.iter().filter(|j| j.p.is_some()).count();
    vec![
        "Arms share seeds, so two sides are compared seed by seed; where a side is a group of arms, their mean is taken within \
         each seed, over the levels that both sides have. Intervals are Student's t over these paired differences: with two to \
         ten seeds a bootstrap interval is too narrow."
            .to_string(),
        "Supported: the whole interval lies on the claimed side of zero and the estimate is at least the smallest effect that \
         matters. Refuted: the interval excludes every effect that would matter. Inconclusive: neither; the number of seeds \
         that would decide with probability 0.8 is given. One seed is always inconclusive."
            .to_string(),
        format!(
            "An interval says what other seeds would give on the same benchmark items, not what other items would give. {tested} \
             of {} claims were tested; verdicts are per claim, and Holm's adjustment over the {tested} is given for readers \
             who take the report as one family.",
            judged.len()
        ),
    ]
}

/// A paragraph or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Paragraph(String),
    List(Vec<String>),
}

/// Plain text in blocks: paragraphs are separated by empty lines, list items start with `- `.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = vec![];
    for chunk in text.split("\n\n").map(str::trim).filter(|chunk| !chunk.is_empty()) {
        let mut words: Vec<&str> = vec![];
        let mut items: Vec<String> = vec![];
        for line in chunk.lines().map(str::trim) {
            match (line.strip_prefix("- "), items.last_mut()) {
                (Some(item), _) => items.push(item.to_string()),
                (None, Some(last)) => *last = format!("{last} {line}"),
                (None, None) => words.push(line),
            }
        }
        if !words.is_empty() {
            blocks.push(Block::Paragraph(words.join(" ")));
        }
        if !items.is_empty() {
            blocks.push(Block::List(items));
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_is_quoted_with_its_source() {
        let full = serde_json::json!({"a": 35.5, "b": 10.4, "unit": "%", "source": "Figure 5", "verdict": "better"});
        assert_eq!(paper(&full), "35.5 against 10.4 % (Figure 5): better");
        assert_eq!(paper(&serde_json::json!({"source": "Figure 5"})), "Figure 5");
        assert_eq!(paper(&Value::Null), "–");
        assert_eq!(paper(&serde_json::json!("words")), "words");
    }

    #[test]
    fn methods_are_paragraphs_and_lists() {
        let found = blocks("One\nparagraph.\n\nItems:\n- a\n  more\n- b\n");
        let expected = [
            Block::Paragraph("One paragraph.".into()),
            Block::Paragraph("Items:".into()),
            Block::List(vec!["a more".into(), "b".into()]),
        ];
        assert_eq!(found, expected);
    }
}
