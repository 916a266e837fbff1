//! Looks for benchmark items in the text of a corpus.
//!
//! `contamination.json` holds what was found, with the words and the documents; the metrics are the shares of items that
//! share a run of words with a document, and of those that one document covers by half. Nothing is left out of a corpus or
//! a benchmark because of it: that would make another corpus, and is for people to decide.

use super::checkpoint::changed;
use super::curve::Curve;
use super::problems::dataset;
use crate::cache::disk;
use crate::data::Source;
use crate::data::contamination::{Contamination, Probe, Scanner};
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault;
use crate::recipe::ContaminationRecipe;
use serde::Serialize;

/// An item with this share of its runs in one document is quoted there.
const QUOTED: f64 = 0.5;
/// Documents between two looks at the clock and the stop flag.
const OFTEN: u64 = 256;

#[derive(Serialize)]
struct Report<'a> {
    benchmark: &'a str,
    #[serde(flatten)]
    found: Contamination,
}

pub fn run(recipe: &ContaminationRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let gone = || StageError::new("the lab no longer says where this corpus lies");
    let place = context.source(&recipe.content).ok_or_else(gone)?;
    let source = Source::open(place, &recipe.render, recipe.bad_lines)?;
    if source.content()? != recipe.content {
        return Err(changed(&place.display().to_string()));
    }
    let mut scanners = Vec::new();
    for benchmark in &recipe.benchmarks {
        let items = dataset(&benchmark.content, context)?;
        let probes: Vec<Probe> = items.into_iter().map(|item| Probe { id: item.id, text: item.question }).collect();
        scanners.push(Scanner::new(&probes, recipe.words));
    }
    let total = source.bytes().div_ceil(1 << 20);
    let mut documents = source.documents();
    while let Some(document) = documents.next() {
        let document = document?;
        fault::point("mid-contamination");
        scanners.iter_mut().for_each(|scanner| scanner.scan(&document.text));
        if documents.documents() % OFTEN == 0 {
            if context.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
            let note = format!("{} documents", documents.documents());
            context.progress(documents.bytes() >> 20, total, &note);
        }
    }
    let mut curve = Curve::default();
    let mut reports = Vec::new();
    for (benchmark, scanner) in recipe.benchmarks.iter().zip(scanners) {
        let found = scanner.finish();
        let share = |count: usize| count as f64 / found.items.max(1) as f64;
        curve.push(&benchmark.name, "contaminated", 0, share(found.found.len()));
        curve.push(&benchmark.name, "quoted", 0, share(found.covered(QUOTED).count()));
        curve.push(&benchmark.name, "checked", 0, found.items as f64);
        reports.push(Report { benchmark: &benchmark.name, found });
    }
    let text = serde_json::to_string_pretty(&reports)? + "\n";
    disk::write_note(&context.out().join("contamination.json"), text.as_bytes())?;
    curve.write(context.out())?;
    Ok(Outcome::Finished)
}
