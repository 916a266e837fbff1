//! Hugging Face folders: `config.json` and `model.safetensors`, or the shards named by `model.safetensors.index.json`.

use super::{Decoder, ModelError};
use serde_json::{Map, Value};
use std::path::Path;

/// Writes a folder that `transformers` loads. `extra` members are added to `config.json` (token ids, say).
pub fn save(_dir: &Path, _decoder: &Decoder, _extra: &Map<String, Value>) -> Result<(), ModelError> {
    todo!()
}

/// Reads a folder.
pub fn load(_dir: &Path) -> Result<Decoder, ModelError> {
    todo!()
}
