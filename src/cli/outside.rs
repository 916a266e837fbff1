//! Looks at the data that a lab names outside of itself, before anything starts: is it there, is it whole, what is it.
//!
//! Only what the chosen arms need is looked at. What is absent stops a run and not a plan.

use crate::cache::{Digests, Store};
use crate::data::source::SourceError;
use crate::data::{HfTokenizer, Source};
use crate::eval::hub::HubModel;
use crate::eval::open::Place as Model;
use crate::plan::Outside;
use crate::recipe::{Key, ModelShape};
use crate::spec::Mistakes;
use crate::spec::arm::Arm;
use crate::spec::bind::{Checkpoint, CorpusBinding, Family, ItemsBinding, PromptsBinding, TextBinding};
use crate::spec::lab::Lab;
use crate::spec::place::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Bytes of text a token, about.
const BYTES_A_TOKEN: u64 = 4;
/// How much smaller text gets when compressed, about.
const COMPRESSION: u64 = 3;

/// What was found.
#[derive(Default)]
pub struct Found {
    pub outside: Outside,
    /// Where it lies, by digest.
    pub sources: BTreeMap<Key, PathBuf>,
    /// What is not there.
    pub absent: Mistakes,
    /// What is there and can't be used.
    pub wrong: Mistakes,
    pub digests: Digests,
    fetch: bool,
}

/// Looks at everything that some arms need.
///
/// Models of the Hub that are not in its cache are fetched if `fetch` says so.
pub fn find<'a>(arms: impl Iterator<Item = &'a Arm>, lab: &Lab, store: &Store, fetch: bool) -> Found {
    let mut found = Found { digests: Digests::read(store), fetch, ..Found::default() };
    let [mut families, mut corpora, mut prompts, mut benchmarks] = <[BTreeSet<&str>; 4]>::default();
    for arm in arms {
        let spec = &arm.spec;
        families.insert(spec.family.as_str());
        corpora.extend(lab.training.held_out.iter().map(|(corpus, _)| corpus.as_str()));
        corpora.extend(spec.midtrain.iter().flat_map(|phase| &phase.mixture).map(|(corpus, _)| corpus.as_str()));
        prompts.extend(spec.rl.iter().map(|rl| rl.prompts.as_str()));
        benchmarks.extend(spec.benchmarks.iter().map(|benchmark| benchmark.as_str()));
    }
    for name in families {
        if let Some(Family::Checkpoint(checkpoint)) = lab.families.get(name) {
            found.checkpoint(name, checkpoint);
        }
    }
    for name in corpora {
        if let Some(CorpusBinding::Text(text)) = lab.corpora.get(name) {
            found.text(name, text);
        }
    }
    for name in prompts {
        if let Some(PromptsBinding::Dataset { place, .. }) = lab.prompts.get(name) {
            found.dataset(&format!("prompts `{name}`"), place);
        }
    }
    for name in benchmarks {
        if let Some(ItemsBinding::Dataset { place, .. }) = lab.benchmarks.get(name).map(|binding| &binding.items) {
            found.dataset(&format!("benchmark `{name}`"), place);
        }
    }
    found
}

impl Found {
    fn absent(&mut self, what: &str, place: &Place) {
        let message = format!("{what} is not at {}", place.path.display());
        let hint = "put it there, or say where it is: `root` of the lab, or this path in a lab that `extends` it";
        self.absent.add_with_hint(&place.at, message, hint);
    }

    /// Files a digest under its place; a pinned digest must be the same.
    fn digest(&mut self, what: &str, place: &Place, key: Key) {
        if let Some(pin) = place.pin.filter(|pin| *pin != key) {
            let message = format!("{what} at {} has digest {key}, not {pin}", place.path.display());
            self.wrong.add_with_hint(&place.at, message, "get the right data, or change `sha256`");
        }
        self.outside.contents.insert(place.path.clone(), key);
        self.sources.insert(key, place.path.clone());
    }

    fn checkpoint(&mut self, name: &str, checkpoint: &Checkpoint) {
        let (place, what) = (&checkpoint.place, format!("checkpoint of family `{name}`"));
        if let Some(shape) = &checkpoint.shape {
            self.outside.shapes.insert(name.to_string(), shape.clone());
        }
        let here = match HubModel::parse(&place.path) {
            Some(Ok(model)) => self.fetch || model.cached().is_some(),
            Some(Err(error)) => return self.wrong.add(&place.at, format!("{what}: {error}")),
            None => place.path.exists(),
        };
        if !here {
            return self.absent(&what, place);
        }
        match self.look_at(name, checkpoint) {
            Ok(key) => self.digest(&what, place, key),
            Err(message) => self.wrong.add(&place.at, format!("{what}: {message}")),
        }
    }

    fn look_at(&mut self, name: &str, checkpoint: &Checkpoint) -> Result<Key, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let model = Model::find(&checkpoint.place.path).map_err(|error| text(&error))?;
        let shape = model.check().map_err(|error| text(&error))?;
        if let Some(expected) = checkpoint.shape.as_ref().filter(|expected| **expected != shape) {
            return Err(format!("the lab says that it is {}, and it is {}", describe(expected), describe(&shape)));
        }
        let from = match &checkpoint.tokenizer {
            Some(place) => place.path.clone(),
            None => model.tokenizer().map_err(|error| text(&error))?,
        };
        let tokenizer = HfTokenizer::load(&from).map_err(|error| text(&error))?;
        if tokenizer.vocab_size() > shape.vocab {
            return Err(format!(
                "its tokenizer has {} ids and its weights have rows for {}; they belong to different models",
                tokenizer.vocab_size(),
                shape.vocab
            ));
        }
        self.sources.insert(tokenizer.content(), from);
        self.outside.tokenizers.insert(name.to_string(), tokenizer.content());
        self.outside.shapes.insert(name.to_string(), shape);
        let files = model.files().map_err(|error| text(&error))?;
        self.digests.of("weights", &files, || model.content()).map_err(|error| text(&error))
    }

    fn text(&mut self, name: &str, text: &TextBinding) {
        let (place, what) = (&text.files, format!("text of corpus `{name}`"));
        let source = match Source::open(&place.path, &text.render, text.bad_lines) {
            Ok(source) => source,
            Err(SourceError::NoFiles { .. }) if !place.path.exists() => return self.absent(&what, place),
            Err(error) => return self.wrong.add(&place.at, format!("{what}: {error}")),
        };
        // The first document: a wrong column is found now and not after the checkpoint has been read.
        if let Some(Err(error)) = source.documents().next() {
            return self.wrong.add(&place.at, format!("{what}: {error}"));
        }
        let tokens = text.tokens.map(|tokens| tokens.0).unwrap_or_else(|| estimate(&source));
        match self.digests.of("files", source.files(), || source.content()) {
            Ok(key) => {
                self.outside.sizes.insert(key, tokens);
                self.digest(&what, place, key);
            }
            Err(error) => self.wrong.add(&place.at, format!("{what}: {error}")),
        }
    }

    fn dataset(&mut self, what: &str, place: &Place) {
        if !place.path.exists() {
            return self.absent(what, place);
        }
        match crate::task::suite::load_problems(&place.path) {
            Ok(problems) => match std::fs::read(&place.path) {
                Ok(bytes) => {
                    let key = Key::of(&bytes);
                    self.outside.sizes.insert(key, problems.len() as u64);
                    self.digest(what, place, key);
                }
                Err(error) => self.wrong.add(&place.at, format!("{what}: {error}")),
            },
            Err(error) => self.wrong.add(&place.at, format!("{what}: {error}")),
        }
    }
}

/// Tokens of a text, from the size of its files.
fn estimate(source: &Source) -> u64 {
    let compressed = |path: &PathBuf| path.extension().is_some_and(|ending| ending != "jsonl" && ending != "json");
    let factor = if source.files().iter().any(compressed) { COMPRESSION } else { 1 };
    source.bytes() * factor / BYTES_A_TOKEN
}

fn describe(shape: &ModelShape) -> String {
    format!(
        "{} with {} layers of width {}, {}/{} heads of {}, ffn {}, vocabulary {}{}, rope {}{}, norm epsilon {}",
        shape.architecture.name(),
        shape.layers,
        shape.hidden,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
        shape.ffn,
        shape.vocab,
        if shape.tied { " (tied)" } else { "" },
        shape.rope_theta,
        if shape.rope_scaling.is_some() { " (scaled)" } else { "" },
        shape.norm_eps
    )
}
