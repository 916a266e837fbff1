//! Models as artifacts: `model/` holds weights and, beside those of a published model, its tokenizer.
//!
//! The tokenizer goes with the weights from stage to stage, so whoever has a policy's key has its tokenizer: nothing else in
//! a recipe names one. Models of the maths world have none; their words are the world's.

use super::problems;
use crate::cache::disk;
use crate::data::{HfTokenizer, Tokenizer};
use crate::exec::{StageContext, StageError};
use crate::model::{Decoder, gguf, weights};
use crate::recipe::{EvalProtocol, Key};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Files that tell how text becomes ids; beside weights, all that there are.
const TOKENIZER_FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];
/// Members of `config.json` that no shape holds.
const KEPT: [&str; 4] = ["bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings"];

/// Where the model of an input lies.
pub fn folder(context: &StageContext, input: &Key) -> PathBuf {
    context.input(input).join("model")
}

/// The tokenizer of a model's folder, or of the world that a protocol asks about.
pub fn tokenizer(folder: &Path, protocol: &EvalProtocol) -> Result<Tokenizer, StageError> {
    if folder.join("tokenizer.json").exists() {
        return Ok(Tokenizer::Hf(HfTokenizer::load(folder)?));
    }
    problems::world_tokenizer(protocol)
}

/// Writes weights with everything else of the model that they come from: a folder or a GGUF file, if they come from one.
pub fn save(out: &Path, decoder: &Decoder, from: Option<&Path>) -> Result<(), StageError> {
    let out = out.join("model");
    let Some(from) = from else { return Ok(weights::save(&out, decoder, &Map::new())?) };
    weights::save(&out, decoder, &kept(from)?)?;
    carry(from, &out)
}

/// Members of `config.json` that go with weights: of their folder, or what their GGUF file says in its own words.
pub fn kept(from: &Path) -> Result<Map<String, Value>, StageError> {
    if !from.is_dir() {
        return Ok(gguf::facts(from)?);
    }
    let path = from.join("config.json");
    if !path.exists() {
        return Ok(Map::new());
    }
    let config: Value = serde_json::from_slice(&disk::read(&path)?)?;
    Ok(KEPT.iter().filter_map(|name| Some((name.to_string(), config.get(*name)?.clone()))).collect())
}

/// Copies a tokenizer to a model's folder. One without a `tokenizer.json` (GGUF) is written as such files.
pub fn carry(from: &Path, out: &Path) -> Result<(), StageError> {
    if from.is_dir() {
        for name in TOKENIZER_FILES {
            if from.join(name).exists() {
                disk::write_note(&out.join(name), &disk::read(&from.join(name))?)?;
            }
        }
        return Ok(());
    }
    let tokenizer = HfTokenizer::load(from)?;
    disk::write_note(&out.join("tokenizer.json"), tokenizer.json())?;
    for (name, file) in
        [("tokenizer_config.json", tokenizer.config()), ("generation_config.json", tokenizer.generation_config())]
    {
        disk::write_note(&out.join(name), (serde_json::to_string_pretty(&file)? + "\n").as_bytes())?;
    }
    Ok(())
}
