//! Responses as they are drawn, kept on disk so that none is ever drawn twice.
//!
//! A file holds what one model answers under one way of asking; its name is the digest of both, and its first line spells
//! them out. Each further line is one response, complete in itself, in the order in which they were done. So an interrupted
//! evaluation goes on where it was, more items or more samples add lines, another way of asking starts another file beside
//! it, and a change of the rules that judge needs no model at all. How many items and samples are asked for is therefore no
//! part of the digest, and neither is anything about judging.

use crate::recipe::template::Begin;
use crate::recipe::{Backend, Key, Seed, canonical_json};
use crate::task::Ending;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Everything that a response depends on, besides its question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    /// Content of the weights.
    pub model: Key,
    /// Content of the tokenizer.
    pub tokenizer: Key,
    /// The family of devices that computed it. New fields at their defaults are left out, so that old names stay.
    #[serde(default, skip_serializing_if = "Backend::is_cpu")]
    pub backend: Backend,
    pub begin: Begin,
    pub special_tokens: bool,
    pub before: String,
    pub after: String,
    pub stop: Vec<String>,
    pub max_new_tokens: usize,
    /// Of the sampled responses; there is a greedy one besides.
    pub temperature: f64,
    pub seed: Seed,
}

impl Asking {
    pub fn key(&self) -> Key {
        Key::of(canonical_json(&serde_json::to_value(self).expect("plain data")).as_bytes())
    }
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub id: String,
    /// Digest of the prompt's tokens, so that an item that was edited is asked again.
    pub prompt: String,
    /// Which sample; none for the greedy response.
    pub sample: Option<usize>,
    /// Tokens, as [`crate::task::Response`] counts them.
    pub length: usize,
    pub ending: Ending,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ResponsesError {
    #[error("failed to keep responses in {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("failed to keep responses in {}: another evaluation is writing there", .0.display())]
    Busy(PathBuf),
}

/// The responses of one file. Dropping it lets go of the file.
pub struct Responses {
    path: PathBuf,
    file: Mutex<File>,
    kept: Mutex<HashMap<(String, Option<usize>), Response>>,
}

impl Responses {
    /// Opens or begins the file of one way of asking, inside a folder that exists. A line that was cut off, as the last
    /// one is when the machine stops, is dropped.
    pub fn open(folder: &Path, asking: &Asking) -> Result<Responses, ResponsesError> {
        let path = folder.join(format!("responses-{}.jsonl", asking.key().short()));
        let io = |source| ResponsesError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ResponsesError::Busy(path)),
            // A file system without locks: one evaluation at a time is then up to the person.
            Err(TryLockError::Error(_)) => {}
        }
        let mut kept = HashMap::new();
        let (mut whole, mut line, mut first) = (0, Vec::new(), true);
        let mut reader = BufReader::new(&file);
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line).map_err(io)?;
            if count == 0 || line.last() != Some(&b'\n') {
                break;
            }
            whole += count as u64;
            if let Ok(response) = serde_json::from_slice::<Response>(&line) {
                kept.insert((response.id.clone(), response.sample), response);
            }
            first = false;
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if first {
            let header = serde_json::to_string(asking).expect("plain data") + "\n";
            file.write_all(header.as_bytes()).map_err(io)?;
        }
        Ok(Responses { path, file: Mutex::new(file), kept: Mutex::new(kept) })
    }

    /// Where they are kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The response to an item, if it was given to this very prompt.
    pub fn get(&self, id: &str, prompt: &str, sample: Option<usize>) -> Option<Response> {
        let kept = self.kept.lock().expect("no writer panicked");
        kept.get(&(id.to_string(), sample)).filter(|response| response.prompt == prompt).cloned()
    }

    /// Keeps a response; it is in the file when this returns.
    pub fn add(&self, response: Response) -> Result<(), ResponsesError> {
        let line = serde_json::to_string(&response).expect("plain data") + "\n";
        // One write of whole lines: a reader sees all of it or an unfinished last line.
        let written = self.file.lock().expect("no writer panicked").write_all(line.as_bytes());
        written.map_err(|source| ResponsesError::Io { path: self.path.clone(), source })?;
        self.kept.lock().expect("no writer panicked").insert((response.id.clone(), response.sample), response);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(max_new_tokens: usize) -> Asking {
        Asking {
            model: Key::of(b"m"),
            tokenizer: Key::of(b"t"),
            backend: Backend::Cpu,
            begin: Begin::Tokenizer,
            special_tokens: false,
            before: "Q: ".into(),
            after: "\nA:".into(),
            stop: vec!["\nQ:".into()],
            max_new_tokens,
            temperature: 1.0,
            seed: Seed(0),
        }
    }

    fn response(id: &str, sample: Option<usize>) -> Response {
        let (id, prompt, text) = (id.to_string(), "p".to_string(), " 5\n".to_string());
        Response { id, prompt, sample, length: 2, ending: Ending::Eos, text }
    }

    #[test]
    fn responses_survive_and_a_cut_line_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let responses = Responses::open(dir.path(), &asking(8)).unwrap();
        responses.add(response("a", None)).unwrap();
        responses.add(response("a", Some(1))).unwrap();
        assert!(matches!(Responses::open(dir.path(), &asking(8)), Err(ResponsesError::Busy(_))));
        let path = responses.path().to_path_buf();
        drop(responses);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"id\":\"b\",\"pro"].concat()).unwrap();
        let responses = Responses::open(dir.path(), &asking(8)).unwrap();
        assert_eq!(responses.get("a", "p", Some(1)), Some(response("a", Some(1))));
        assert_eq!(responses.get("a", "other prompt", None), None);
        assert_eq!((responses.get("a", "p", Some(0)), responses.get("b", "p", None)), (None, None));
        responses.add(response("b", None)).unwrap();
        drop(responses);
        let expected = [&whole[..], serde_json::to_string(&response("b", None)).unwrap().as_bytes(), b"\n"].concat();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn another_way_of_asking_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        Responses::open(dir.path(), &asking(8)).unwrap().add(response("a", None)).unwrap();
        assert_eq!(Responses::open(dir.path(), &asking(9)).unwrap().get("a", "p", None), None);
        assert!(Responses::open(dir.path(), &asking(8)).unwrap().get("a", "p", None).is_some());
    }
}
