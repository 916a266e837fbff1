//! Curves over RL steps, drawn as the paper draws them: a column per benchmark, accuracy above, length below; a block of two
//! rows for every group of arms where there are many ([`crate::report::facet`]).
//!
//! Lines are means over seeds and bands go from the lowest to the highest seed; no smoothing, unlike the paper's figures (the
//! page has a slider). Where a value exists for only some seeds (nothing was correct, a run diverged) the line is thin: a mean
//! over survivors is not a mean over seeds. Long curves are thinned for the drawing; the results keep every point.

use crate::report::facet::{Facet, facets};
use crate::report::figure::Figure;
use crate::report::grid::{MOST_BANDS, Panel, draw};
use crate::report::{ExperimentInput, data};
use crate::verdict::Results;

/// Points of a curve that are drawn.
const POINTS: usize = 60;

/// The series of imported runs are numbered from here, apart from those of our arms.
pub const IMPORTED: usize = 1000;

/// Accuracy and response length against the RL step, with a dashed line for the model that RL started from.
pub fn curves(input: &ExperimentInput, id: &'static str, accuracy: &str) -> Option<Figure> {
    let mut benchmarks = data::benchmarks(input);
    let has_all = input.results.curves.iter().any(|p| p.benchmark == "all" && p.stage == "rl" && p.metric == accuracy);
    if has_all && (2..=3).contains(&benchmarks.len()) {
        benchmarks.insert(0, "all".to_string());
    }
    let facets = facets(input);
    let sampled = |metric: &'static str| {
        let found =
            accuracy != "accuracy" && input.results.curves.iter().any(|p| p.stage == "rl" && p.metric == metric);
        found.then_some(metric)
    };
    let rows = [accuracy, sampled("response_length_sampled").unwrap_or("response_length")];
    let columns = benchmarks.len().min(4);
    let rows_of_block = 2 * benchmarks.len().div_ceil(4);
    let mut panels = vec![];
    for (block, facet) in facets.iter().enumerate() {
        for (index, benchmark) in benchmarks.iter().enumerate() {
            for (row, name) in rows.iter().enumerate() {
                panels.push(Panel {
                    cell: (block * rows_of_block + 2 * (index / 4) + row, index % 4),
                    facet,
                    block: if index + row == 0 { facet.title.clone() } else { String::new() },
                    benchmark: benchmark.clone(),
                    metric: name,
                    heading: if row == 0 { input.heading(benchmark) } else { String::new() },
                    own_title: false,
                    curves: thinned(collect(input, facet, benchmark, name)),
                    bases: facet
                        .arms
                        .iter()
                        .map(|&arm| data::before_rl(input, &input.arms[arm].id, name, benchmark))
                        .map(|base| base.filter(|_| row == 0))
                        .collect(),
                    include: vec![0.0],
                });
            }
        }
    }
    let (what, title) = match accuracy {
        "accuracy" => ("accuracy (greedy)", "RL curves, greedy"),
        _ => ("accuracy (sampled at temperature 1)", "RL curves, sampled at temperature 1"),
    };
    let caption = format!(
        "Above: {what}; below: mean length of correct responses, in tokens; against the RL step. Lines are means over seeds{}. \
         Dashed horizontals: the model that RL started from. Thin stretches: some seeds have no value there.{}",
        band_note(input, &facets),
        cross_note(input),
    );
    draw(input, id, title, caption, panels, columns)
}

/// What tells a stable run from a collapsing one: a row of panels for each group of arms.
pub fn stability(input: &ExperimentInput) -> Option<Figure> {
    let facets = facets(input);
    let several = facets.len() > 1;
    let mut panels = vec![];
    let metrics =
        [("truncated", vec![0.0, 0.1]), ("entropy", vec![0.0]), ("response_length_all", vec![0.0]), ("reward", vec![])];
    let mut bins = 1;
    for (block, facet) in facets.iter().enumerate() {
        for (index, (name, include)) in metrics.iter().enumerate() {
            // Training metrics have no benchmark; what only evaluations record is taken over all of them.
            let sources = [String::new(), "all".to_string()].into_iter().chain(data::benchmarks(input));
            let found = sources
                .map(|benchmark| (data::binned(collect(input, facet, &benchmark, name), POINTS), benchmark))
                .find(|((curves, _), _)| curves.iter().any(|c| !c.points.is_empty()));
            let Some(((curves, width), benchmark)) = found else { continue };
            bins = bins.max(width);
            panels.push(Panel {
                cell: if several { (block, index) } else { (index / 2, index % 2) },
                facet,
                block: if index == 0 { facet.title.clone() } else { String::new() },
                benchmark,
                metric: name,
                heading: String::new(),
                own_title: true,
                bases: vec![None; curves.len()],
                curves,
                include: include.clone(),
            });
        }
    }
    let bins = if bins > 1 { format!(" Each point is the mean of {bins} steps.") } else { String::new() };
    let caption = format!(
        "A run that loses its way shows it here first: answers cut off at the length limit, entropy near zero or rising, \
         lengths (of all responses, right or wrong) running away, reward falling. Lines are means over seeds{}.{bins}{}",
        band_note(input, &facets),
        cross_note(input),
    );
    draw(input, "stability", "Stability of training", caption, panels, if several { 4 } else { 2 })
}

/// The imported runs of the same name, in the same layout.
pub fn imported(authors: &Results) -> Option<Figure> {
    if authors.trials.is_empty() {
        return None;
    }
    let input = ExperimentInput::of_results("imported", "imported", authors.clone());
    let mut figure = curves(&input, "imported-curves", "accuracy")?;
    figure.title = "The authors' runs, imported".into();
    figure.caption = format!(
        "{} runs read from exports, one a curve and no seeds: drawn as they are, in percent and in the models' own tokens, and \
         never tested. Above: accuracy (greedy); below: mean length of correct responses; against the rollout step (the paper's \
         figures draw two updates a rollout step, and smooth).",
        authors.trials.len()
    );
    for item in &mut figure.scene.items {
        item.series = item.series.map(|series| IMPORTED + series);
    }
    Some(figure)
}

fn band_note(input: &ExperimentInput, facets: &[Facet]) -> &'static str {
    let several = input.arms.iter().any(|arm| input.results.trials.iter().filter(|t| t.arm == arm.id).count() > 1);
    match (several, facets.iter().any(|facet| facet.arms.len() <= MOST_BANDS)) {
        (true, true) => ", bands reach from the lowest to the highest seed",
        (true, false) => "",
        _ => " (one seed: no band)",
    }
}

fn cross_note(input: &ExperimentInput) -> &'static str {
    let any = input.arms.iter().any(|arm| !data::diverged(&input.results.trials, arm).is_empty());
    if any { " A cross marks where a seed diverged; from there on the line is of the others." } else { "" }
}

fn thinned(curves: Vec<data::Curve>) -> Vec<data::Curve> {
    curves.into_iter().map(|curve| data::thinned(curve, POINTS)).collect()
}

fn collect(input: &ExperimentInput, facet: &Facet, benchmark: &str, metric: &str) -> Vec<data::Curve> {
    let curve = |arm: &usize| data::curve(&input.results.curves, &input.arms[*arm].id, "rl", benchmark, metric);
    facet.arms.iter().map(curve).collect()
}
