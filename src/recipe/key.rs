//! Keys: what an artifact *is*, as a hash of named, canonical JSON.
//!
//! The hashed text is kept beside every artifact, so "why does this run again" is a diff of two texts and never a guess.
//! Keys of object members are sorted, so neither YAML style nor field order in a struct can move a key; numbers print in
//! their shortest exact form. A value that is not a number (NaN, infinity) has no canonical form and is refused.

use super::{Backend, Recipe};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The identity of an artifact: a SHA-256 digest, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Key {
        Key(Sha256::digest(bytes).into())
    }

    pub fn from_digest(digest: [u8; 32]) -> Key {
        Key(digest)
    }

    /// The first twelve hex digits: enough to tell artifacts apart by eye, as in the store's directory names.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_string()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: [u8; 64] = std::array::from_fn(|i| {
            let byte = self.0[i / 2];
            b"0123456789abcdef"[if i % 2 == 0 { byte >> 4 } else { byte & 15 } as usize]
        });
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.short())
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Key, String> {
        let wrong = || format!("`{text}` is not a key: expected 64 hex digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Key(digest))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text whose hash is the key: stage kind, its version, the backend family, and the recipe with its input keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub kind: String,
    pub version: u32,
    pub backend: Backend,
    pub recipe: Value,
}

impl Fingerprint {
    pub fn new(recipe: &Recipe, backend: Backend) -> Fingerprint {
        let kind = recipe.kind();
        // Corpora and what is found in them are made by integer arithmetic alone and are the same on every backend.
        let exact = matches!(recipe, Recipe::Corpus(_) | Recipe::Checkpoint(_) | Recipe::Contamination(_));
        let backend = if exact { Backend::Cpu } else { backend };
        let recipe = match recipe {
            Recipe::Corpus(r) => serde_json::to_value(r),
            Recipe::Train(r) => serde_json::to_value(r),
            Recipe::Rl(r) => serde_json::to_value(r),
            Recipe::Eval(r) => serde_json::to_value(r),
            Recipe::Checkpoint(r) => serde_json::to_value(r),
            Recipe::Contamination(r) => serde_json::to_value(r),
        };
        let recipe = recipe.expect("recipes hold only plain data");
        Fingerprint { kind: kind.name().to_string(), version: kind.version(), backend, recipe }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let Fingerprint { kind, version, backend, recipe } = self;
        let mut text = b"{\"backend\":".to_vec();
        write_plain(backend, &mut text);
        text.extend(b",\"kind\":");
        write_plain(kind, &mut text);
        text.extend(b",\"recipe\":");
        write_canonical(recipe, &mut text);
        text.extend(b",\"version\":");
        write_plain(version, &mut text);
        text.push(b'}');
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    pub fn key(&self) -> Key {
        Key::of(self.text().as_bytes())
    }
}

/// JSON with sorted members and no white space.
///
/// Panics on a number that is not finite: serde_json turns those into `null`, and recipes have no optional numbers, so a
/// `null` where a number belongs cannot be told apart later. Specs refuse such numbers before a recipe exists.
pub fn canonical_json(value: &Value) -> String {
    let mut text = Vec::new();
    write_canonical(value, &mut text);
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn write_canonical(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_plain(name, text);
                text.push(b':');
                write_canonical(value, text);
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_canonical(item, text);
            }
            text.push(b']');
        }
        plain => write_plain(plain, text),
    }
}

fn write_plain(value: &impl Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("writing into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_members_does_not_move_a_key() {
        let a = json!({"b": 1, "a": {"y": [1.5, "x"], "x": null}});
        let b = json!({"a": {"x": null, "y": [1.5, "x"]}, "b": 1});
        assert_eq!(canonical_json(&a), r#"{"a":{"x":null,"y":[1.5,"x"]},"b":1}"#);
        assert_eq!(canonical_json(&a), canonical_json(&b));
    }

    #[test]
    fn a_fingerprint_is_hashed_in_canonical_form() {
        let recipe =
            Recipe::Checkpoint(crate::recipe::CheckpointRecipe { content: Key::of(b"weights"), tokenizer: None });
        let fingerprint = recipe.fingerprint(Backend::Cpu);
        assert_eq!(fingerprint.text(), canonical_json(&serde_json::to_value(&fingerprint).unwrap()));
    }

    #[test]
    fn keys_print_and_parse() {
        let key = Key::of(b"ablate");
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        assert!("xyz".parse::<Key>().is_err());
    }
}
