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
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
        // Corpora are made by integer arithmetic alone and are the same on every backend.
        let backend = if matches!(recipe, Recipe::Corpus(_) | Recipe::Checkpoint(_)) { Backend::Cpu } else { backend };
        let recipe = match recipe {
            Recipe::Corpus(r) => serde_json::to_value(r),
            Recipe::Train(r) => serde_json::to_value(r),
            Recipe::Rl(r) => serde_json::to_value(r),
            Recipe::Eval(r) => serde_json::to_value(r),
            Recipe::Checkpoint(r) => serde_json::to_value(r),
        };
        let recipe = recipe.expect("recipes hold only plain data");
        Fingerprint { kind: kind.name().to_string(), version: kind.version(), backend, recipe }
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        canonical_json(&serde_json::to_value(self).expect("a fingerprint is plain data"))
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
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            text.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write_canonical(&members[name], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
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
    fn keys_print_and_parse() {
        let key = Key::of(b"ablate");
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        assert!("xyz".parse::<Key>().is_err());
    }
}
