//! Evaluation of one model, and the rows that an evaluation adds to a curve.

use super::curve::Curve;
use super::{LocalBench, model, problems};
use crate::cache::disk;
use crate::eval::{Evaluation, evaluate};
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault;
use crate::model::weights;
use crate::recipe::EvalRecipe;
use std::io::Write;
use std::path::Path;

pub fn run(recipe: &EvalRecipe, context: &StageContext, bench: &LocalBench) -> Result<Outcome, StageError> {
    let folder = model::folder(context, &recipe.model);
    let benchmarks = problems::of_protocol(&recipe.protocol, context)?;
    let tokenizer = model::tokenizer(&folder, &recipe.protocol)?;
    let decoder = bench.place(weights::load(&folder)?);
    fault::point("mid-eval");
    let evaluation = evaluate(&decoder, &recipe.protocol, &benchmarks, &tokenizer, context.threads())?;
    let mut curve = Curve::default();
    push(&mut curve, 0, &evaluation);
    curve.write(context.out())?;
    write_items(context.out(), &evaluation)?;
    Ok(Outcome::Finished)
}

/// Adds every number of an evaluation.
pub fn push(curve: &mut Curve, step: u64, evaluation: &Evaluation) {
    for row in evaluation.rows() {
        curve.push(&row.benchmark, &row.metric, step, row.value);
    }
}

/// Per-item outcomes, one JSON object a line.
pub fn write_items(artifact: &Path, evaluation: &Evaluation) -> Result<(), StageError> {
    let mut text = Vec::new();
    for result in &evaluation.benchmarks {
        for item in &result.items {
            let mut line = serde_json::to_value(item)?;
            line["benchmark"] = result.name.clone().into();
            writeln!(text, "{line}")?;
        }
    }
    Ok(disk::write_note(&artifact.join("items.jsonl"), &text)?)
}
