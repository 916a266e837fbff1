//! Documents to token shards, in bounded memory and on several threads.
//!
//! Documents are encoded in batches whose parts keep their order, so the bytes do not depend on the number of threads.

use super::shards::{Shards, ShardsError};
use super::source::{Document, Documents, Source, SourceError};
use super::tokenizer::{Tokenizer, TokenizerError};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// Text that one thread encodes at a time.
const BYTES_A_THREAD: usize = 1 << 20;

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

/// Encodes all documents of a source into shards in `dir`. `progress` is told the number of documents so far, now and then.
pub fn tokenise(
    source: &Source,
    tokenizer: &Tokenizer,
    dir: &Path,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Tokenised, TokeniseError> {
    let mut encoded = Encoded {
        source,
        tokenizer,
        threads: threads.max(1),
        documents: source.documents(),
        ready: Vec::new().into_iter(),
        failure: None,
        progress,
    };
    let written = Shards::write(dir, &mut encoded, tokenizer.vocab_size(), tokenizer.eos());
    match encoded.failure {
        Some(failure) => Err(failure),
        None => Ok(Tokenised {
            documents: encoded.documents.documents(),
            skipped: encoded.documents.skipped(),
            ids: written?,
        }),
    }
}

/// Ends early at a failure, which it keeps.
struct Encoded<'a> {
    source: &'a Source,
    tokenizer: &'a Tokenizer,
    threads: usize,
    documents: Documents<'a>,
    ready: IntoIter<Vec<u32>>,
    failure: Option<TokeniseError>,
    progress: &'a mut dyn FnMut(u64),
}

impl Encoded<'_> {
    fn batch(&mut self) -> Result<Vec<Vec<u32>>, TokeniseError> {
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
        (self.progress)(self.documents.documents());
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
        Ok(encoded?.concat())
    }
}

impl Iterator for Encoded<'_> {
    type Item = Vec<u32>;

    fn next(&mut self) -> Option<Vec<u32>> {
        if let Some(ids) = self.ready.next() {
            return Some(ids);
        }
        match self.batch() {
            Ok(batch) => self.ready = batch.into_iter(),
            Err(failure) => self.failure = Some(failure),
        }
        self.ready.next()
    }
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
            let tokenised = tokenise(&source, &tokenizer(), &out, threads, &mut |_| {}).unwrap();
            outcomes.push((tokenised, std::fs::read(out.join("tokens.bin")).unwrap()));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
        let words = 12 * (3 * (BYTES_A_THREAD / 40)) as u64 + (0..12).sum::<u64>();
        assert_eq!(outcomes[0].0, Tokenised { documents: 12, skipped: 1, ids: words + 13 });
    }

    #[test]
    fn a_document_that_cannot_be_encoded_is_named() {
        let (dir, source) = corpus("{\"text\":\"tom has 3\"}\n{\"text\":\"tom had 3\"}\n");
        let error = tokenise(&source, &tokenizer(), &dir.path().join("out"), 2, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("a.jsonl:2"), "{error}");
    }

    #[test]
    fn an_empty_corpus_makes_no_shards() {
        let (dir, source) = corpus("bad\n");
        assert!(tokenise(&source, &tokenizer(), &dir.path().join("out"), 2, &mut |_| {}).is_err());
    }
}
