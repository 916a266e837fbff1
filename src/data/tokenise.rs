//! Documents to token shards, in bounded memory and on several threads.
//!
//! Documents are encoded in batches whose parts keep their order, so the bytes do not depend on the number of threads.

use super::shards::{ShardWriter, ShardsError, Written};
use super::source::{Document, Documents, Position, Source, SourceError};
use super::tokenizer::{Tokenizer, TokenizerError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Text that one thread encodes at a time; little where interruptions are under test.
const BYTES_A_THREAD: usize = if cfg!(any(test, feature = "faults")) { 1 << 12 } else { 1 << 20 };

/// A text corpus that can't be made into shards.
#[derive(Debug, thiserror::Error)]
pub enum TokeniseError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Shards(#[from] ShardsError),
    #[error("failed to encode the document at {}:{line}", path.display())]
    Encode { path: PathBuf, line: u64, source: TokenizerError },
}

/// What came of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokenised {
    pub documents: u64,
    /// Bad lines left out.
    pub skipped: u64,
    /// Ids, separators included.
    pub ids: u64,
}

/// How far a corpus is: enough to go on from in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    read: Position,
    written: Written,
}

/// A corpus in the making, batch by batch.
pub struct Tokenising<'a> {
    source: &'a Source,
    tokenizer: &'a Tokenizer,
    documents: Documents<'a>,
    writer: ShardWriter,
    threads: usize,
}

impl<'a> Tokenising<'a> {
    /// Begins in a folder, or goes on from the progress that [`Tokenising::save`] returned there.
    pub fn new(
        source: &'a Source,
        tokenizer: &'a Tokenizer,
        dir: &Path,
        threads: usize,
        from: Progress,
    ) -> Result<Tokenising<'a>, TokeniseError> {
        let writer = ShardWriter::open(dir, tokenizer.vocab_size(), tokenizer.eos(), from.written)?;
        let documents = source.documents_after(from.read);
        Ok(Tokenising { source, tokenizer, documents, writer, threads: threads.max(1) })
    }

    /// Reads, encodes and writes one batch; false if there was nothing left.
    pub fn batch(&mut self) -> Result<bool, TokeniseError> {
        let mut parts: Vec<Vec<Document>> = Vec::new();
        while parts.len() < self.threads {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while bytes < BYTES_A_THREAD {
                let Some(document) = self.documents.next().transpose()? else { break };
                bytes += document.text.len();
                part.push(document);
            }
            if part.is_empty() {
                break;
            }
            parts.push(part);
        }
        let encode = |part: &Vec<Document>| -> Result<Vec<Vec<u32>>, TokeniseError> {
            let encode = |document: &Document| {
                self.tokenizer.document(&document.text).map_err(|source| TokeniseError::Encode {
                    path: self.source.files()[document.file].clone(),
                    line: document.line,
                    source,
                })
            };
            part.iter().map(encode).collect()
        };
        let encoded: Result<Vec<_>, _> = std::thread::scope(|scope| {
            let running: Vec<_> = parts.iter().map(|part| scope.spawn(|| encode(part))).collect();
            running.into_iter().map(|thread| thread.join().expect("encoding does not panic")).collect()
        });
        for ids in encoded?.into_iter().flatten() {
            self.writer.push(&ids)?;
        }
        Ok(!parts.is_empty())
    }

    /// Brings what is written to disk and tells how to go on from there.
    pub fn save(&mut self) -> Result<Progress, TokeniseError> {
        Ok(Progress { read: self.documents.position(), written: self.writer.sync()? })
    }

    pub fn so_far(&self) -> Tokenised {
        let Written { ids, documents } = self.writer.written();
        Tokenised { documents, skipped: self.documents.skipped(), ids }
    }

    /// The first bad line that was left out since this process took the corpus up: file, line, reason.
    pub fn first_skipped(&self) -> Option<&str> {
        self.documents.first_skipped()
    }

    /// Bytes read of the source's files.
    pub fn bytes(&self) -> u64 {
        self.documents.bytes()
    }

    /// Completes the shards.
    pub fn finish(self) -> Result<Tokenised, TokeniseError> {
        let done = self.so_far();
        self.writer.finish()?;
        Ok(done)
    }
}

/// Encodes all documents of a source into shards in `dir`, in one go.
pub fn tokenise(
    source: &Source,
    tokenizer: &Tokenizer,
    dir: &Path,
    threads: usize,
) -> Result<Tokenised, TokeniseError> {
    let mut tokenising = Tokenising::new(source, tokenizer, dir, threads, Progress::default())?;
    while tokenising.batch()? {}
    tokenising.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::WordTokenizer;
    use crate::recipe::corpus::{BadLines, Render};

    fn corpus(lines: &str) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, lines).unwrap();
        let render = Render::Text { column: "text".into() };
        let source = Source::open(&path, &render, BadLines::Skip).unwrap();
        (dir, source)
    }

    fn tokenizer() -> Tokenizer {
        Tokenizer::Words(WordTokenizer::new(["tom", "has", "3"].map(str::to_string)))
    }

    #[test]
    fn shards_do_not_depend_on_the_number_of_threads() {
        let long = "tom has 3 ".repeat(BYTES_A_THREAD / 40);
        let lines: String = (0..12).map(|n| format!("{{\"text\":\"{long} {}\"}}\n", "has ".repeat(n))).collect();
        let (dir, source) = corpus(&format!("{lines}bad\n"));
        let mut outcomes = Vec::new();
        for threads in [1, 2, 5] {
            let out = dir.path().join(threads.to_string());
            let tokenised = tokenise(&source, &tokenizer(), &out, threads).unwrap();
            outcomes.push((tokenised, std::fs::read(out.join("tokens.bin")).unwrap()));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
        let words = 12 * (3 * (BYTES_A_THREAD / 40)) as u64 + (0..12).sum::<u64>();
        assert_eq!(outcomes[0].0, Tokenised { documents: 12, skipped: 1, ids: words + 13 });
    }

    #[test]
    fn an_interrupted_corpus_is_the_same_corpus() {
        let text = "tom has 3 ".repeat(BYTES_A_THREAD / 25);
        let lines: String = (0..9).map(|n| format!("{{\"text\":\"{text} {}\"}}\nbad\n", "has ".repeat(n))).collect();
        let (dir, source) = corpus(&lines);
        let tokenizer = tokenizer();
        let whole = dir.path().join("whole");
        let expected = tokenise(&source, &tokenizer, &whole, 1).unwrap();
        let parts = dir.path().join("parts");
        std::fs::create_dir(&parts).unwrap();
        let mut progress = Progress::default();
        for round in 0..20 {
            let mut tokenising = Tokenising::new(&source, &tokenizer, &parts, 1 + round % 2, progress).unwrap();
            if !tokenising.batch().unwrap() {
                assert_eq!(tokenising.finish().unwrap(), expected);
                break;
            }
            progress = tokenising.save().unwrap();
            // What comes after the last save is lost, half-written as it may be.
            tokenising.batch().unwrap();
        }
        for file in ShardWriter::FILES {
            assert!(std::fs::read(whole.join(file)).unwrap() == std::fs::read(parts.join(file)).unwrap(), "{file}");
        }
        assert_eq!((expected.documents, expected.skipped), (9, 9));
    }

    #[test]
    fn a_document_that_cannot_be_encoded_is_named() {
        let (dir, source) = corpus("{\"text\":\"tom has 3\"}\n{\"text\":\"tom had 3\"}\n");
        let error = tokenise(&source, &tokenizer(), &dir.path().join("out"), 2).unwrap_err();
        assert!(error.to_string().contains("a.jsonl:2"), "{error}");
    }

    #[test]
    fn an_empty_corpus_makes_no_shards() {
        let (dir, source) = corpus("bad\n");
        assert!(tokenise(&source, &tokenizer(), &dir.path().join("out"), 2).is_err());
    }
}
