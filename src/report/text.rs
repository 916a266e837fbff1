//! The sentences that the README and the page share.

use serde_json::Value;

use crate::report::metric::Unit;
use crate::report::scale::{fixed, signed};
use crate::report::{ExperimentInput, Place};
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
    let mut unknown: Vec<&str> = trials.iter().map(|trial| trial.arm.as_str()).collect();
    unknown.retain(|arm| !input.arms.iter().any(|known| known.id == *arm));
    unknown.dedup();
    if !unknown.is_empty() {
        notes.push(format!("In the results, and not in the experiment file: {}.", unknown.join(", ")));
    }
    notes.extend(input.warnings.iter().cloned());
    notes
}

/// How the verdicts come about, for readers who did not read the code.
pub fn statistics(judged: &[Judged]) -> Vec<String> {
    let tested = judged.iter().filter(|j| j.p.is_some()).count();
    vec![
        "Arms share seeds, so two sides are compared seed by seed; where a side is a group of arms, their mean is taken within \
         each seed, over the levels that both sides have. Intervals are Student's t over these paired differences. With two to \
         ten seeds a bootstrap has too few distinct resamples and its interval is too narrow (of three seeds, a 95% one \
         holds the truth three times in four); from eight seeds on it is shown as a second opinion and never decides."
            .to_string(),
        "Supported: the whole interval lies on the claimed side of zero and the estimate is at least the smallest effect that \
         matters, which was fixed before the run. Refuted: the interval excludes every effect that would matter. Inconclusive: \
         neither; the number of seeds that would decide with probability 0.8 is given. One seed is always inconclusive."
            .to_string(),
        format!(
            "Many claims: {tested} of {} were tested here, each at its own confidence, so a true absence of any difference would \
             still be called a difference in the claimed direction once in forty claims. Three things protect a reader: an \
             estimate below the smallest effect that matters supports nothing, however sure; Holm's step-down p-values over the \
             {tested} are given under \"why\"; and the page over all reports says which supported claims remain if one in \
             twenty false discoveries is allowed over all experiments together.",
            judged.len()
        ),
        "An interval says what other seeds would give on the same benchmark items, not what other items would give. Identical \
         arms, simulated a thousand times at 2, 3, 5 and 8 seeds, are told apart no more often than promised, and a planted \
         effect is found as often as planned; both are tests of the program."
            .to_string(),
    ]
}

/// Names without the parts, between dots and underscores, that all of them begin or end with, and without a date at the end:
/// what is left tells runs apart. A name that would lose everything stays whole.
pub fn without_shared_ends(names: &[&str]) -> Vec<String> {
    if names.len() < 2 {
        return names.iter().map(|name| name.to_string()).collect();
    }
    let whole: Vec<Vec<&str>> = names.iter().map(|name| name.split('_').collect()).collect();
    let dateless: Vec<Vec<&str>> = whole
        .iter()
        .map(|parts| {
            let digits = |part: &&&str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit());
            let dates = parts.iter().rev().take_while(digits).count();
            parts[..parts.len() - dates].to_vec()
        })
        .collect();
    let found = [dateless, whole].iter().find_map(|parts| without_shared_parts(parts));
    found.unwrap_or_else(|| names.iter().map(|name| name.to_string()).collect())
}

/// `None` if what is left does not tell the names apart.
fn without_shared_parts(parts: &[Vec<&str>]) -> Option<Vec<String>> {
    let common = |at: &dyn Fn(&[&str], usize) -> Option<String>| {
        (0..)
            .take_while(|&i| {
                at(&parts[0], i).is_some_and(|part| parts.iter().all(|p| at(p, i).as_deref() == Some(&*part)))
            })
            .count()
    };
    let front = common(&|p, i| p.get(i).map(|s| s.to_string()));
    let back = common(&|p, i| p.len().checked_sub(i + 1).and_then(|at| p.get(at)).map(|s| s.to_string()));
    let short: Vec<String> = parts
        .iter()
        .map(|p| if front + back < p.len() { p[front..p.len() - back].join("_") } else { String::new() })
        .collect();
    let distinct = (0..short.len()).all(|i| !short[i].is_empty() && !short[..i].contains(&short[i]));
    distinct.then_some(short)
}

/// `§3.2, Figure 2 and 5`; nothing if the paper does not ask it.
pub fn place(place: &Place) -> Option<String> {
    let parts = [("§", &place.section), ("Figure ", &place.figure), ("Table ", &place.table)];
    let parts: Vec<String> =
        parts.iter().filter(|(_, value)| !value.is_empty()).map(|(word, value)| many(word, value)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `Figures 2 and 5`, `Figure 6`.
fn many(word: &str, value: &str) -> String {
    match word.strip_suffix(' ').filter(|_| value.contains(' ')) {
        Some(word) => format!("{word}s {value}"),
        None => format!("{word}{value}"),
    }
}

/// `−20` of an axis in points.
pub fn plain_points(value: f64) -> String {
    fixed(value, if value.fract() == 0.0 { 0 } else { 1 })
}

/// Ours in the metric's unit: `59.1 against 37.6 %`.
pub fn sides(j: &Judged) -> String {
    let unit = Unit::of(&j.claim.metric);
    let (Some(a), Some(b)) = (j.comparison.mean_a, j.comparison.mean_b) else { return "–".into() };
    let text = |v: f64| fixed(unit.scale(v), unit.decimals);
    format!("{} against {} {}", text(a), text(b), unit.value).trim_end().to_string()
}

/// Whether our effect points where the paper's does.
pub fn direction(j: &Judged) -> &'static str {
    let paper = &j.claim.paper;
    let number = |key: &str| paper.get(key).and_then(Value::as_f64);
    let theirs = number("effect").or_else(|| Some(number("a")? - number("b")?));
    let (Some(theirs), Some(e)) = (theirs, j.comparison.estimate) else { return "–" };
    if e.mean == 0.0 || theirs == 0.0 {
        return "none";
    }
    let sure = e.low.zip(e.high).is_some_and(|(low, high)| low > 0.0 || high < 0.0);
    match (theirs * e.mean > 0.0, sure) {
        (true, true) => "the same",
        (true, false) => "the same, unsure",
        (false, true) => "opposite",
        (false, false) => "opposite, unsure",
    }
}

/// The effect measured the other way: `greedy: +3.1 points [−1.0, +7.2]`.
pub fn otherwise(other: &Judged) -> String {
    let way = if other.claim.metric.contains("accuracy_sampled") { "sampled" } else { "greedy" };
    format!("{way}: {}", effect(other))
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
    fn runs_are_called_by_what_tells_them_apart() {
        let names = [
            "rl.grpo_llama.3b_analysis_mm.web.pro.20B_math.8k_0411_1333",
            "rl.grpo_llama.3b_analysis_fm4p.20B_math.8k_0411_1327",
        ];
        assert_eq!(without_shared_ends(&names), ["mm.web.pro.20B", "fm4p.20B"]);
        // Where nothing or the same would be left, names stay.
        assert_eq!(without_shared_ends(&["a_b", "a_b_0411"]), ["a_b", "a_b_0411"]);
        assert_eq!(without_shared_ends(&["a_b_0411", "a_b_0412"]), ["0411", "0412"]);
        assert_eq!(without_shared_ends(&["run_x"]), ["run_x"]);
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
