//! The record of a finished artifact. It is written last: where it is missing, there is no artifact.

use super::disk;
use crate::recipe::{Key, canonical_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bump when records change their meaning: a store with another number is not read.
pub const FORMAT: u32 = 1;

/// What was made, from what, and every byte of it.
///
/// Provenance and cost are told, never compared: they must not change what an artifact is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub format: u32,
    pub key: Key,
    /// The stage kind's name, as in [`crate::recipe::Kind::name`].
    pub kind: String,
    pub inputs: Vec<Key>,
    /// Relative path to content, of every file but this record.
    pub files: BTreeMap<String, FileRecord>,
    pub ending: Ending,
    /// Seconds of work, summed over interrupted attempts as far as they were noted.
    pub seconds: f64,
    /// Seconds since 1970.
    pub started: u64,
    pub finished: u64,
    pub provenance: Provenance,
    /// Who first asked for it: at most [`MAX_LABELS`], so that a corpus of ten thousand arms stays a small file.
    pub labels: Vec<Label>,
    /// Digest of all of the above, so that damage to the record itself is seen too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Key>,
}

pub const MAX_LABELS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub digest: Key,
    pub bytes: u64,
}

/// How a finished stage ended. Divergence is an outcome worth keeping; failures are never published.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Finished,
    Diverged {
        step: u64,
        /// Absent if it is not a number or infinite.
        loss: Option<f64>,
    },
}

/// Where and by what it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub version: String,
    pub host: String,
    pub threads: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
}

impl Provenance {
    /// This program on this machine.
    pub fn here(threads: usize, git: Option<String>) -> Provenance {
        Provenance { version: env!("CARGO_PKG_VERSION").to_string(), host: disk::host(), threads, git }
    }
}

/// A stage of a trial, by name. Only used to find what to compare with when asked why something runs again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    pub arm: String,
    pub seed: u64,
    pub stage: String,
}

impl Record {
    fn digest(&self) -> Key {
        let unsealed = Record { seal: None, ..self.clone() };
        let value = serde_json::to_value(unsealed).expect("a record is plain data");
        Key::of(canonical_json(&value).as_bytes())
    }

    /// The bytes of `record.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sealed = Record { seal: Some(self.digest()), ..self.clone() };
        let mut bytes = serde_json::to_vec_pretty(&sealed).expect("a record is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a record, or says in what way it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Record, String> {
        let record: Record =
            serde_json::from_slice(bytes).map_err(|error| format!("its record is damaged ({error})"))?;
        if record.format != FORMAT {
            return Err(format!("its record has format {}, this version reads {FORMAT}", record.format));
        }
        match record.seal {
            Some(seal) if seal == record.digest() => Ok(record),
            _ => Err("its record does not match its own seal".to_string()),
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Record {
        Record {
            format: FORMAT,
            key: Key::of(b"k"),
            kind: "eval".into(),
            inputs: vec![Key::of(b"i")],
            files: BTreeMap::from([("a/b".into(), FileRecord { digest: Key::of(b"x"), bytes: 1 })]),
            ending: Ending::Diverged { step: 3, loss: None },
            seconds: 0.1 + 0.2,
            started: 1,
            finished: 2,
            provenance: Provenance::here(2, None),
            labels: vec![],
            seal: None,
        }
    }

    #[test]
    fn a_record_is_read_back_and_any_damage_is_seen() {
        let bytes = sample().to_bytes();
        let read = Record::from_bytes(&bytes).unwrap();
        assert_eq!(Record { seal: None, ..read }, sample());
        for cut in 0..bytes.len() - 1 {
            assert!(Record::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let text = String::from_utf8(bytes).unwrap();
        assert!(Record::from_bytes(text.replace("\"started\": 1", "\"started\": 9").as_bytes()).is_err());
        assert!(Record::from_bytes(text.replace("\"format\": 1", "\"format\": 9").as_bytes()).is_err());
    }
}
