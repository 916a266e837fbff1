//! Figures, tables and pages: pure functions of results. Nothing is trained, no store is needed, no clock is read.
//!
//! [`render`] turns one experiment in one lab into a folder that can be committed and read on a code host: `README.md`,
//! `index.html` (one file, opens offline), `figures/` (SVG and PNG of the same drawing), `tables/` (CSV of exactly what is
//! drawn) and `verdicts.json`. [`overview`](overview::write) writes the pages above several of them: the findings of the paper
//! with the claims that test them, and the way from each of its figures to our file, run and verdict ([`guide`]).
//!
//! Every figure is a function from [`ExperimentInput`] to a [`Figure`]: a drawing and the table of its numbers, made from the
//! same values in the same place, so that they cannot come to differ. Writing files is left to [`write()`](write::write). The same results
//! give the same bytes.
//!
//! Deliberately absent: a plotting library (the one at hand shifts glyphs and snaps shapes to pixels), a template engine
//! (pages are functions), and any number that is not in the results files.

pub mod claims;
pub mod data;
pub mod facet;
pub mod figure;
pub mod font;
pub mod forest;
pub mod glance;
pub mod grid;
pub mod guide;
pub mod html;
pub mod index;
pub mod markdown;
pub mod metric;
pub mod mixture;
pub mod overview;
pub mod palette;
pub mod panels;
#[cfg(any(test, feature = "pdf"))]
pub mod pdf;
pub mod png;
pub mod scale;
pub mod scene;
pub mod sheet;
pub mod table;
pub mod text;
pub mod write;

use serde_json::Value;

use crate::exec::results::Timing;
use crate::verdict::{ClaimInput, Judged, Overlap, Results, judge_all, overlaps};
pub use figure::Figure;
pub use sheet::Sheet;
pub use write::{Error, Written, write};

/// Everything a report is made of. `cli` fills it from the experiment file and the results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExperimentInput {
    pub name: String,
    pub lab: String,
    pub question: String,
    /// In the order of the experiment file.
    pub axes: Vec<AxisInput>,
    pub arms: Vec<ArmInput>,
    pub claims: Vec<ClaimInput>,
    /// What the paper found on the whole question, as prose; may be empty.
    pub paper: String,
    pub place: Place,
    /// The methods section: plain paragraphs separated by empty lines, list items start with `- `; may be empty.
    pub methods: String,
    /// What the results cannot say, in the same form; may be empty.
    pub limits: String,
    /// What else must be known before the numbers, in whole sentences.
    pub warnings: Vec<String>,
    /// What a benchmark's name stands for in this lab, where it is not the benchmark itself.
    pub benchmarks: Vec<(String, String)>,
    /// What each training stage of each arm reads.
    pub mixtures: Vec<MixtureRow>,
    pub results: Results,
    /// Of the trials' stages; may be empty.
    pub timing: Vec<Timing>,
    /// Runs imported under the same name, drawn beside ours and never compared with them.
    pub authors: Results,
}

/// Where the experiment and its results lie and where the paper asks the same.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    /// The experiment file, relative to the folder of all reports; absent if they do not lie together.
    pub file: Option<String>,
    /// The folder of its results, likewise.
    pub results: Option<String>,
    /// As the experiment file has them: `3.2`, `12 and 13`, `2 to 5`.
    pub section: String,
    pub figure: String,
    pub table: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct AxisInput {
    pub name: String,
    /// Level and how to write it.
    pub levels: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArmInput {
    /// As in the results files.
    pub id: String,
    pub levels: Vec<(String, String)>,
    pub label: String,
    /// The arm all others are measured against; drawn in grey.
    pub baseline: bool,
}

impl ArmInput {
    pub fn level(&self, axis: &str) -> Option<&str> {
        self.levels.iter().find(|(name, _)| name == axis).map(|(_, level)| level.as_str())
    }
}

impl ExperimentInput {
    /// A report of results alone, for runs that no experiment file describes (imports): arms in the order of the trials,
    /// called by what tells their ids apart.
    pub fn of_results(name: &str, lab: &str, results: Results) -> ExperimentInput {
        let mut arms: Vec<ArmInput> = vec![];
        for trial in &results.trials {
            if !arms.iter().any(|arm| arm.id == trial.arm) {
                let levels = trial.levels.0.clone();
                arms.push(ArmInput { id: trial.arm.clone(), levels, label: trial.arm.clone(), baseline: false });
            }
        }
        let short = text::without_shared_ends(&arms.iter().map(|arm| arm.label.as_str()).collect::<Vec<_>>());
        arms.iter_mut().zip(short).for_each(|(arm, label)| arm.label = label);
        ExperimentInput { name: name.into(), lab: lab.into(), arms, results, ..ExperimentInput::default() }
    }
}

impl ExperimentInput {
    /// A benchmark as headings write it, with what stands for it here.
    pub fn heading(&self, benchmark: &str) -> String {
        let name = metric::benchmark(benchmark);
        match self.benchmarks.iter().find(|(known, _)| known == benchmark) {
            Some((_, label)) => format!("{name}: {label}"),
            None => name,
        }
    }
}

/// A corpus in a stage's mixture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MixtureRow {
    pub arm: String,
    pub stage: String,
    pub corpus: String,
    /// Of the stage's tokens, 0 to 1.
    pub share: f64,
    /// Tokens of the whole stage.
    pub tokens: u64,
}

/// A rendered experiment, before it is written.
#[derive(Debug, Clone)]
pub struct Report {
    pub judged: Vec<Judged>,
    /// Each claim with its accuracy measured the other way (greedy or sampled), where there is one.
    pub otherwise: Vec<Option<Judged>>,
    /// For each claim, what its arms were trained on against the benchmark that it is about.
    pub overlaps: Vec<Vec<Overlap>>,
    pub figures: Vec<Figure>,
    pub sheets: Vec<Sheet>,
    pub verdicts: Value,
}

/// Judges the claims and draws every figure that the results allow.
pub fn render(input: &ExperimentInput) -> Report {
    let judged = judge_all(&input.claims, &input.results.trials);
    let otherwise: Vec<Option<Judged>> =
        input.claims.iter().map(|claim| measured_otherwise(claim, &input.results)).collect();
    let overlaps: Vec<Vec<Overlap>> = input.claims.iter().map(|claim| overlaps(claim, &input.results.trials)).collect();
    let figures = figure::all(input, &judged);
    let sheets = sheet::all(input);
    let mut verdicts = crate::verdict::judge::to_json(&judged);
    for (row, other) in verdicts.as_array_mut().into_iter().flatten().zip(&otherwise) {
        let estimate = other.as_ref().and_then(|j| Some((j, j.comparison.estimate?)));
        row["otherwise"] = estimate.map_or(
            Value::Null,
            |(j, e)| serde_json::json!({"metric": j.claim.metric, "estimate": e.mean, "low": e.low, "high": e.high}),
        );
    }
    for (row, overlaps) in verdicts.as_array_mut().into_iter().flatten().zip(&overlaps) {
        if !overlaps.is_empty() {
            row["contamination"] = serde_json::json!(overlaps);
        }
    }
    Report { judged, otherwise, overlaps, figures, sheets, verdicts }
}

/// The same claim about greedy instead of sampled accuracy, or the reverse; its verdict counts for nothing, its size is shown.
fn measured_otherwise(claim: &ClaimInput, results: &Results) -> Option<Judged> {
    let metric = if claim.metric.contains(".accuracy_sampled") {
        claim.metric.replace(".accuracy_sampled", ".accuracy")
    } else if claim.metric.contains(".accuracy") {
        claim.metric.replace(".accuracy", ".accuracy_sampled")
    } else {
        return None;
    };
    let other = crate::verdict::judge(&ClaimInput { metric, ..claim.clone() }, &results.trials);
    other.comparison.estimate.is_some().then_some(other)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
