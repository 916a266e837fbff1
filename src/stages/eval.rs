//! Evaluation of one model, and the rows that an evaluation adds to a curve.

use super::curve::Curve;
use super::problems;
use crate::cache::fault;
use crate::eval::{Evaluation, evaluate};
use crate::exec::{Outcome, StageContext, StageError};
use crate::model::weights;
use crate::recipe::EvalRecipe;
use std::io::Write;
use std::path::Path;

pub fn run(recipe: &EvalRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let decoder = weights::load(&context.input(&recipe.model).join("model")).map_err(StageError::other)?;
    let benchmarks = problems::of_protocol(&recipe.protocol)?;
    let tokenizer = problems::tokenizer(&recipe.protocol)?;
    fault::point("mid-eval");
    let evaluation =
        evaluate(&decoder, &recipe.protocol, &benchmarks, &tokenizer, context.threads()).map_err(StageError::other)?;
    let mut curve = Curve::default();
    push(&mut curve, 0, &evaluation);
    curve.write(context.out())?;
    write_items(context.out(), &evaluation)?;
    Ok(Outcome::Finished)
}

/// Adds every metric of every benchmark, and their means as benchmark `all`.
///
/// A mean is over the benchmarks for which the metric is defined (the length of correct responses is not, where nothing
/// is correct).
pub fn push(curve: &mut Curve, step: u64, evaluation: &Evaluation) {
    let mut means: Vec<(String, Vec<f64>)> = Vec::new();
    for result in &evaluation.benchmarks {
        for (metric, value) in result.metrics() {
            curve.push(&result.name, &metric, step, value);
            match means.iter_mut().find(|(name, _)| *name == metric) {
                Some((_, values)) => values.push(value),
                None => means.push((metric, vec![value])),
            }
        }
    }
    for (metric, values) in means {
        curve.push("all", &metric, step, values.iter().sum::<f64>() / values.len() as f64);
    }
}

/// Per-item outcomes, one JSON object a line.
pub fn write_items(artifact: &Path, evaluation: &Evaluation) -> Result<(), StageError> {
    let mut text = Vec::new();
    for result in &evaluation.benchmarks {
        for item in &result.items {
            let mut line = serde_json::to_value(item).map_err(StageError::other)?;
            line["benchmark"] = result.name.clone().into();
            writeln!(text, "{line}").map_err(StageError::other)?;
        }
    }
    std::fs::write(artifact.join("items.jsonl"), text).map_err(StageError::other)
}
