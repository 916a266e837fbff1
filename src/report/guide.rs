//! The way into the paper: its findings with the claims that test them, and its figures and tables.
//!
//! A data file (`experiments/paper/guide.yaml`), not code: which claims speak to a finding is a judgement that a reader may want
//! to change. What an experiment says of itself (the figure it answers, a claim's source) is not repeated there.

use serde::Deserialize;
use serde_json::Value;

use crate::report::overview::Entry;

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guide {
    /// Of the paper.
    pub title: String,
    /// Where it is found.
    pub source: String,
    pub findings: Vec<Finding>,
    pub exhibits: Vec<Exhibit>,
}

/// A finding of the paper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub finding: String,
    /// What the paper says, with its numbers.
    pub paper: String,
    /// `experiment/claim`.
    pub claims: Vec<String>,
}

/// A figure or table of the paper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// `Figure 5`.
    pub exhibit: String,
    pub shows: String,
    /// Why nothing is run for it, if so.
    #[serde(default)]
    pub note: String,
}

/// An exhibit with every experiment that answers it, and of each the claims that name it (all of them, if none does).
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<'a> {
    pub exhibit: Exhibit,
    pub by: Vec<(&'a Entry, Vec<&'a Value>)>,
}

impl Guide {
    pub fn parse(text: &str) -> Result<Guide, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    /// Exhibits in the order of the guide, then those that only experiments know of.
    pub fn answered<'a>(&self, entries: &[&'a Entry]) -> Vec<Answered<'a>> {
        let mut exhibits = self.exhibits.clone();
        for entry in entries {
            for (kind, key) in [("Figure", "figure"), ("Table", "table")] {
                for number in numbers(entry.paper(key)) {
                    let name = format!("{kind} {number}");
                    if !exhibits.iter().any(|known| known.exhibit == name) {
                        exhibits.push(Exhibit { exhibit: name, shows: String::new(), note: String::new() });
                    }
                }
            }
        }
        exhibits.into_iter().map(|exhibit| Answered { by: answers(&exhibit.exhibit, entries), exhibit }).collect()
    }
}

fn answers<'a>(exhibit: &str, entries: &[&'a Entry]) -> Vec<(&'a Entry, Vec<&'a Value>)> {
    let (kind, number) = exhibit.split_once(' ').unwrap_or((exhibit, ""));
    let mut found = vec![];
    for entry in entries {
        let named: Vec<&Value> =
            entry.verdicts.iter().filter(|v| names(v["paper"]["source"].as_str().unwrap_or(""), exhibit)).collect();
        let own = numbers(entry.paper(&kind.to_lowercase())).iter().any(|n| n.to_string() == number);
        if !named.is_empty() {
            found.push((*entry, named));
        } else if own {
            found.push((*entry, entry.verdicts.iter().collect()));
        }
    }
    found
}

/// Whether a claim's source names the exhibit: `Figure 1` is not named by `Figure 14`.
fn names(source: &str, exhibit: &str) -> bool {
    source.match_indices(exhibit).any(|(at, _)| !source[at + exhibit.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// `12 and 13` → 12, 13; `2 to 5` → 2, 3, 4, 5.
pub fn numbers(text: &str) -> Vec<u32> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
    let mut found: Vec<u32> = vec![];
    let mut range = false;
    for word in words {
        match (word.parse::<u32>(), word) {
            (Ok(number), _) => {
                let from = if range { found.last().map_or(number, |last| last + 1) } else { number };
                found.extend(from..=number.max(from).min(from + 99));
                range = false;
            }
            (_, "to" | "–" | "-") => range = true,
            _ => range = false,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::experiment::Experiment;
    use crate::spec::mistake::Source;

    fn shipped() -> Guide {
        Guide::parse(include_str!("../../experiments/paper/guide.yaml")).unwrap()
    }

    fn experiments() -> Vec<Experiment> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let mut found = vec![];
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().extension().is_some_and(|e| e == "yaml") {
                let text = std::fs::read_to_string(entry.path()).unwrap();
                found.push(Experiment::parse(&Source::new(entry.path().display().to_string(), text)).unwrap());
            }
        }
        found
    }

    #[test]
    fn every_claim_that_the_shipped_guide_names_is_in_an_experiment() {
        let experiments = experiments();
        let guide = shipped();
        assert_eq!(guide.findings.len(), 5);
        for name in guide.findings.iter().flat_map(|finding| &finding.claims) {
            let (experiment, claim) = name.split_once('/').expect("experiment/claim");
            let found =
                experiments.iter().find(|e| e.name == experiment).unwrap_or_else(|| panic!("no `{experiment}`"));
            assert!(found.claims.iter().any(|c| c.name == claim), "experiment `{experiment}` has no claim `{claim}`");
        }
    }

    #[test]
    fn every_figure_that_an_experiment_answers_is_in_the_shipped_guide() {
        let known: Vec<String> = shipped().exhibits.into_iter().map(|e| e.exhibit).collect();
        for paper in experiments().iter().filter_map(|e| e.paper.as_ref()) {
            for (kind, text) in [("Figure", &paper.figure), ("Table", &paper.table)] {
                for number in numbers(text.as_deref().unwrap_or("")) {
                    assert!(known.contains(&format!("{kind} {number}")), "{kind} {number}");
                }
            }
        }
    }

    #[test]
    fn figures_are_counted_as_people_write_them() {
        assert_eq!(numbers("12 and 13"), [12, 13]);
        assert_eq!(numbers("2 to 5"), [2, 3, 4, 5]);
        assert_eq!(numbers("1, 2 and 14"), [1, 2, 14]);
        assert_eq!((numbers(""), numbers("17")), (vec![], vec![17]));
        assert!(names("Figure 5", "Figure 5") && names("Figures: Figure 1, Figure 14", "Figure 1"));
        assert!(!names("Figure 14", "Figure 1"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(
            Guide::parse("title: a\nsource: b\nfindings: []\nexhibits: []\nextra: 1\n").unwrap_err().contains("extra")
        );
    }
}
