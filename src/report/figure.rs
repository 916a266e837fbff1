//! What a figure is, and which ones a report has.

use crate::report::scene::{self, Scene, TextStyle, style};
use crate::report::table::Table;
use crate::report::{ExperimentInput, claims, data, forest, mixture, palette, panels};
use crate::verdict::Judged;

/// A drawing with the table of exactly what it draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// File name without ending.
    pub id: &'static str,
    pub title: String,
    /// How to read it, in a few sentences.
    pub caption: String,
    pub scene: Scene,
    pub table: Table,
}

impl Figure {
    pub fn svg(&self) -> String {
        scene::svg(&self.scene, &self.title)
    }
}

/// The typography of all figures.
pub fn body() -> TextStyle {
    style(12.0, palette::INK)
}

pub fn small() -> TextStyle {
    style(10.5, palette::MUTED)
}

/// All figures that the results allow, each with an accuracy sampled at temperature 1 and, apart, greedy; in the order in which a reader wants them.
pub fn all(input: &ExperimentInput, judged: &[Judged]) -> Vec<Figure> {
    let metric = data::headline_metric(input);
    let greedy = metric != "accuracy";
    let mut figures = vec![];
    figures.extend(claims::claims(judged));
    figures.extend(panels::curves(input, "curves", metric));
    figures.extend(panels::imported(&input.authors));
    figures.extend(forest::final_accuracy(input, "final-accuracy", metric));
    figures.extend(forest::gains(input, metric));
    if greedy {
        figures.extend(panels::curves(input, "curves-greedy", "accuracy"));
        figures.extend(forest::final_accuracy(input, "final-accuracy-greedy", "accuracy"));
    }
    figures.extend(panels::stability(input));
    figures.extend(forest::falls(input, metric));
    figures.extend(mixture::mixtures(input));
    figures
}
