//! What the arms of a claim have been trained on, and whether the benchmark that the claim is about stands in it.
//!
//! Where texts and questions come from files, a stage of its own has looked for the one in the other, and its counts are
//! among each trial's metrics. A claim about a benchmark is told with these counts beside it; they change no verdict, for
//! what a shared run of words is worth is for people to decide. In the generated world there is nothing to look for: its
//! problems are disjoint from its corpora by how they are drawn.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::exec::results::Trial;
use crate::recipe::contamination::WORDS;
use crate::verdict::{ClaimInput, Side};

/// One text that an arm of a claim was trained on, against one benchmark that the claim is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlap {
    pub corpus: String,
    pub benchmark: String,
    /// Items looked for.
    pub items: u64,
    /// Items that share a run of words with a document.
    pub shared: u64,
    /// Items that one document covers by half or more.
    pub quoted: u64,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overlap { corpus, benchmark, items, shared, quoted } = self;
        match shared {
            0 => write!(f, "none of {items} items of {benchmark} in {corpus}"),
            _ => write!(
                f,
                "{shared} of {items} items of {benchmark} share {WORDS} words in a row with {corpus}, {quoted} are quoted"
            ),
        }
    }
}

/// Every text that an arm of the claim reads, against the claim's benchmark (all benchmarks, if it is about their mean).
/// Empty if the claim is about no benchmark, or nothing was looked for.
pub fn overlaps(claim: &ClaimInput, trials: &[Trial]) -> Vec<Overlap> {
    let Some((_, wanted)) = claim.metric.split_once('/') else { return vec![] };
    let versus = claim.versus.iter().flat_map(|(a, b)| [a, b]);
    let sides: Vec<&Side> = [&claim.a, &claim.b].into_iter().chain(versus).collect();
    let mut found: BTreeMap<(String, String), Overlap> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| sides.iter().any(|side| is_on(trial, side))) {
        for (metric, &items) in &trial.metrics {
            let parts = metric.strip_prefix("contamination:").and_then(|name| name.split_once(".checked/"));
            let Some((corpus, benchmark)) = parts.filter(|(_, benchmark)| ["all", *benchmark].contains(&wanted)) else {
                continue;
            };
            let count = |what: &str| {
                let share = trial.metrics.get(&format!("contamination:{corpus}.{what}/{benchmark}"));
                (share.copied().unwrap_or(0.0) * items).round() as u64
            };
            let overlap = Overlap {
                corpus: corpus.to_string(),
                benchmark: benchmark.to_string(),
                items: items as u64,
                shared: count("contaminated"),
                quoted: count("quoted"),
            };
            found.insert((overlap.corpus.clone(), overlap.benchmark.clone()), overlap);
        }
    }
    found.into_values().collect()
}

/// All of them in a sentence; nothing if there are none.
pub fn in_words(overlaps: &[Overlap]) -> Option<String> {
    let words: Vec<String> = overlaps.iter().map(Overlap::to_string).collect();
    (!words.is_empty()).then(|| format!("contamination: {}", words.join("; ")))
}

fn is_on(trial: &Trial, side: &Side) -> bool {
    side.iter().all(|(axis, levels)| trial.levels.get(axis).is_some_and(|level| levels.iter().any(|one| one == level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::results::{Cost, Outcome, Pairs};
    use crate::verdict::Direction;

    fn trial(level: &str, metrics: &[(&str, f64)]) -> Trial {
        Trial {
            arm: format!("data={level}"),
            levels: Pairs(vec![("data".into(), level.into())]),
            seed: 0,
            outcome: Outcome::Finished,
            note: None,
            metrics: metrics.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
            stages: Pairs::default(),
            cost: Cost::default(),
            imported: false,
        }
    }

    fn claim(metric: &str, a: &str, b: &str) -> ClaimInput {
        let side = |level: &str| vec![("data".to_string(), vec![level.to_string()])];
        ClaimInput {
            claim: "c".into(),
            statement: "c".into(),
            metric: metric.into(),
            a: side(a),
            b: side(b),
            versus: None,
            direction: Direction::Greater,
            smallest_effect: 0.0,
            confidence: 0.95,
            paper: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_claim_is_told_what_its_own_arms_read_and_only_that() {
        let trials = [
            trial("none", &[]),
            trial(
                "web",
                &[
                    ("contamination:web.checked/gsm8k", 40.0),
                    ("contamination:web.contaminated/gsm8k", 0.075),
                    ("contamination:web.quoted/gsm8k", 0.025),
                    ("contamination:web.checked/math500", 10.0),
                    ("contamination:web.contaminated/math500", 0.0),
                    ("contamination:web.quoted/math500", 0.0),
                ],
            ),
            trial("qa", &[("contamination:qa.checked/gsm8k", 40.0)]),
        ];
        let words = |claim: &ClaimInput| in_words(&overlaps(claim, &trials));
        assert_eq!(
            words(&claim("rl.accuracy/gsm8k", "web", "none")).unwrap(),
            "contamination: 3 of 40 items of gsm8k share 13 words in a row with web, 1 are quoted"
        );
        let all = overlaps(&claim("rl.accuracy/all", "web", "qa"), &trials);
        let pairs: Vec<_> = all.iter().map(|one| (one.corpus.as_str(), one.benchmark.as_str())).collect();
        assert_eq!(pairs, [("qa", "gsm8k"), ("web", "gsm8k"), ("web", "math500")]);
        assert_eq!(all[2].to_string(), "none of 10 items of math500 in web");
        assert_eq!(words(&claim("web.loss", "web", "none")), None);
        assert_eq!(words(&claim("rl.accuracy/gsm8k", "none", "none")), None);
    }
}
