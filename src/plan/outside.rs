//! What is known about data that lies outside: checkpoints, texts, questions. Whoever may open files finds it out.

use crate::recipe::{Key, ModelShape};
use crate::spec::place::Place;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Facts by path, and by family. What is absent gets placeholders, so that a plan can be shown without the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outside {
    /// Digests of what lies at a path.
    pub contents: BTreeMap<PathBuf, Key>,
    /// Digests of the tokenizers of families.
    pub tokenizers: BTreeMap<String, Key>,
    /// Shapes of the checkpoints of families.
    pub shapes: BTreeMap<String, ModelShape>,
    /// Sizes by digest: tokens of a text, questions of a data set.
    pub sizes: BTreeMap<Key, u64>,
}

impl Outside {
    /// The digest of what lies at a place; a pinned digest or a placeholder if nobody has looked.
    pub fn content(&self, place: &Place) -> Key {
        let found = self.contents.get(&place.path).copied().or(place.pin);
        found.unwrap_or_else(|| Key::of(format!("absent: {}", place.path.display()).as_bytes()))
    }

    /// The digest of a family's tokenizer, or a placeholder.
    pub fn tokenizer(&self, family: &str) -> Key {
        let found = self.tokenizers.get(family).copied();
        found.unwrap_or_else(|| Key::of(format!("absent: tokenizer of {family}").as_bytes()))
    }
}
