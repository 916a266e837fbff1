//! A corpus becomes token shards.
//!
//! Text is read, encoded and written batch by batch, so memory does not grow with the corpus; every half a minute what is
//! there is brought to disk, and an interrupted run goes on behind the last document that was.

use super::checkpoint::changed;
use super::curve::Curve;
use super::growing::Growing;
use crate::cache::disk;
use crate::data::tokenise::{Progress, Tokenising};
use crate::data::{HfTokenizer, ShardWriter, Shards, Source, Tokenizer, world};
use crate::exec::{Outcome, StageContext, StageError};
use crate::fault::{self, SAVE_EVERY};
use crate::recipe::CorpusRecipe;
use crate::recipe::corpus::TextCorpus;
use std::fs;
use std::time::Instant;

const PROGRESS: &str = "progress.json";
const PARTS: &str = "shards";

pub fn run(recipe: &CorpusRecipe, context: &StageContext) -> Result<Outcome, StageError> {
    let mut curve = Curve::default();
    match recipe {
        CorpusRecipe::World(recipe) => {
            let tokenizer = world::tokenizer(&recipe.world);
            let mut documents = world::documents(recipe)?;
            Shards::write(context.out(), &mut documents, tokenizer.vocab_size(), tokenizer.eos())?;
        }
        CorpusRecipe::Text(recipe) => match text(recipe, context)? {
            Some(skipped) => curve.push("", "skipped", 0, skipped as f64),
            None => return Ok(Outcome::Interrupted),
        },
    }
    let shards = Shards::open(context.out())?;
    curve.push("", "tokens", 0, shards.len() as f64);
    curve.push("", "documents", 0, shards.documents() as f64);
    curve.write(context.out())?;
    Ok(Outcome::Finished)
}

/// Writes shards; gives the number of lines skipped, or nothing if it was interrupted.
fn text(recipe: &TextCorpus, context: &StageContext) -> Result<Option<u64>, StageError> {
    let gone = || StageError::new("the lab no longer says where this corpus or its tokenizer lies");
    let place = context.source(&recipe.content).ok_or_else(gone)?;
    let source = Source::open(place, &recipe.render, recipe.bad_lines)?;
    if source.content()? != recipe.content {
        return Err(changed(&place.display().to_string()));
    }
    let from = context.source(&recipe.tokenizer).ok_or_else(gone)?;
    let tokenizer = HfTokenizer::load(from)?;
    if tokenizer.content() != recipe.tokenizer {
        return Err(changed(&from.display().to_string()));
    }
    let tokenizer = Tokenizer::Hf(tokenizer);

    let (parts, note) = (context.scratch().join(PARTS), context.scratch().join(PROGRESS));
    let files = ShardWriter::FILES.iter().map(|file| parts.join(file)).collect();
    let (mut growing, progress) = Growing::open::<Progress>(&note, files, context);
    let begin = |from| Tokenising::new(&source, &tokenizer, &parts, context.threads(), from);
    let mut tokenising = begin(progress.unwrap_or_default())?;
    let (total, mut saved_at) = (source.bytes(), Instant::now());
    while tokenising.batch()? {
        fault::point("mid-corpus");
        if context.stop_requested() || saved_at.elapsed() > SAVE_EVERY {
            growing.save(&tokenising.save()?)?;
            context.saved(tokenising.so_far().documents);
            if context.stop_requested() {
                return Ok(None);
            }
            saved_at = Instant::now();
        }
        let so_far = tokenising.so_far();
        let bad = if so_far.skipped > 0 { format!(", {} bad lines left out", so_far.skipped) } else { String::new() };
        let note = format!("{} documents, {} tokens{bad}", so_far.documents, so_far.ids);
        context.progress(tokenising.bytes() >> 20, total.div_ceil(1 << 20), &note);
    }
    if let Some(first) = tokenising.first_skipped() {
        context.warn(&format!("{} bad lines were left out, such as {first}", tokenising.so_far().skipped));
    }
    // From here on the shards are no longer what was noted.
    disk::remove_file(&note)?;
    let done = tokenising.finish()?;
    for file in ShardWriter::FILES {
        let (from, to) = (parts.join(file), context.out().join(file));
        // Scratch and draft lie in one store; should they not, the bytes are copied.
        fs::rename(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()))?;
    }
    Ok(Some(done.skipped))
}
