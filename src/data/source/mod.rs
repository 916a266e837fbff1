//! Documents of text files, one after the other, in bounded memory.
//!
//! A place is a file, a folder or a pattern. Its files are read in the order of their names, so that a corpus does not
//! depend on the order in which a file system lists them. What cannot be read is an error with file and line, or is
//! skipped and counted: never skipped in silence. A corpus without a single document is always an error.
//!
//! Absent on purpose: shuffling (the mix draws its own order), filters on text (a filtered corpus is another corpus with
//! its own digest), downloads.

mod files;
mod format;
mod lines;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod table;
#[cfg(test)]
mod tests;
#[cfg(feature = "parquet")]
mod thrift;

pub use files::digest;
pub use format::Format;

use crate::recipe::Key;
use crate::recipe::corpus::{BadLines, Render};
use format::Rendering;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A text corpus that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("failed to {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to find a corpus at {place}: {reason}")]
    NoFiles { place: String, reason: String },
    #[error("failed to read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("failed to read the document at {}:{line}: {reason}; mend it, or let `bad_lines` be `skip`", path.display())]
    BadLine { path: PathBuf, line: u64, reason: String },
    #[error("failed to find a format named `{name}`{}; there are {}", meant.map(|m| format!(", did you mean `{m}`?")).unwrap_or_default(), Format::names())]
    UnknownFormat { name: String, meant: Option<&'static str> },
    #[error("failed to read a corpus of {files} files from {}: it holds no document ({skipped} bad lines were skipped)", first.display())]
    Empty { files: usize, first: PathBuf, skipped: u64 },
}

/// Files that hold documents, and how a record becomes text.
#[derive(Debug, Clone)]
pub struct Source {
    files: Vec<PathBuf>,
    rendering: Rendering,
    bad_lines: BadLines,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub text: String,
    /// Index of its file in [`Source::files`].
    pub file: usize,
    /// Line of the file, or row of the table, counted from 1.
    pub line: u64,
}

impl Source {
    /// The files at a place: a file, all files of a folder and its subfolders, or what a pattern (`*`, `?`, `[…]`, `**`)
    /// matches. Files end in `.jsonl`, `.ndjson`, `.json` (a record a line), each also with `.gz`, `.zst`, or in `.parquet`.
    pub fn open(place: &Path, render: &Render, bad_lines: BadLines) -> Result<Source, SourceError> {
        let rendering = Rendering::new(render)?;
        Ok(Source { files: files::find(place)?, rendering, bad_lines })
    }

    /// In the order in which they are read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What the corpus is: a digest over the digests of its files. Names and places play no part.
    pub fn content(&self) -> Result<Key, SourceError> {
        digest(&self.files)
    }

    /// All documents, from the first.
    pub fn documents(&self) -> Documents<'_> {
        self.documents_after(Position::default())
    }

    /// The documents after a position that [`Documents::position`] told.
    pub fn documents_after(&self, at: Position) -> Documents<'_> {
        let before = self.files[..at.file.min(self.files.len())].iter();
        let before = before.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        Documents {
            source: self,
            at,
            records: None,
            bytes: Arc::new(AtomicU64::new(before)),
            first_skipped: None,
            done: false,
        }
    }

    /// Bytes of all files, as they lie on disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    }
}

/// Right behind a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Index of the file.
    pub file: usize,
    /// Its line (or row).
    pub line: u64,
    /// Documents so far.
    pub documents: u64,
    /// Bad lines skipped so far.
    pub skipped: u64,
}

/// One record of a file, or why it is none.
struct Record {
    line: u64,
    value: Result<Value, String>,
}

enum Records {
    Lines(lines::Lines),
    #[cfg(feature = "parquet")]
    Table(Box<table::Table>),
}

impl Records {
    /// Opens a file behind one of its lines.
    fn open(path: &Path, rendering: &Rendering, line: u64, bytes: &Arc<AtomicU64>) -> Result<Records, SourceError> {
        if path.extension().is_none_or(|extension| extension != "parquet") {
            let mut lines = lines::Lines::open(path, bytes)?;
            lines.skip_to(line)?;
            return Ok(Records::Lines(lines));
        }
        #[cfg(feature = "parquet")]
        {
            let mut table = table::Table::open(path, &rendering.columns())?;
            for _ in 0..line {
                table.next().transpose()?;
            }
            Ok(Records::Table(Box::new(table)))
        }
        #[cfg(not(feature = "parquet"))]
        {
            let _ = rendering;
            let reason = "this build does not read Parquet; build it with `--features parquet`".to_string();
            Err(SourceError::Unreadable { path: path.to_path_buf(), reason })
        }
    }

    fn next(&mut self) -> Option<Result<Record, SourceError>> {
        match self {
            Records::Lines(lines) => lines.next(),
            #[cfg(feature = "parquet")]
            Records::Table(table) => table.next(),
        }
    }
}

/// Iterates over documents; ends after the first error.
pub struct Documents<'a> {
    source: &'a Source,
    at: Position,
    records: Option<Records>,
    /// Bytes read of files, in this process.
    bytes: Arc<AtomicU64>,
    /// The first bad line skipped, in this process.
    first_skipped: Option<String>,
    done: bool,
}

impl Documents<'_> {
    /// Documents so far.
    pub fn documents(&self) -> u64 {
        self.at.documents
    }

    /// Bad lines skipped so far.
    pub fn skipped(&self) -> u64 {
        self.at.skipped
    }

    /// Where the first of them was that this process met, and what is wrong with it.
    pub fn first_skipped(&self) -> Option<&str> {
        self.first_skipped.as_deref()
    }

    /// Right behind the last document.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Bytes read so far, as the files lie on disk; those of files before the first are counted whole.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn advance(&mut self) -> Result<Option<Document>, SourceError> {
        loop {
            let Some(path) = self.source.files.get(self.at.file) else {
                return match self.at.documents {
                    0 => Err(SourceError::Empty {
                        files: self.source.files.len(),
                        first: self.source.files[0].clone(),
                        skipped: self.at.skipped,
                    }),
                    _ => Ok(None),
                };
            };
            let records = match &mut self.records {
                Some(records) => records,
                none => none.insert(Records::open(path, &self.source.rendering, self.at.line, &self.bytes)?),
            };
            let Some(record) = records.next().transpose()? else {
                self.records = None;
                self.at.file += 1;
                self.at.line = 0;
                continue;
            };
            self.at.line = record.line;
            match (record.value.and_then(|value| self.source.rendering.text(&value)), self.source.bad_lines) {
                (Ok(text), _) => {
                    self.at.documents += 1;
                    return Ok(Some(Document { text, file: self.at.file, line: record.line }));
                }
                (Err(reason), BadLines::Skip) => {
                    self.at.skipped += 1;
                    self.first_skipped.get_or_insert_with(|| format!("{}:{}: {reason}", path.display(), record.line));
                }
                (Err(reason), BadLines::Fail) => {
                    return Err(SourceError::BadLine { path: path.clone(), line: record.line, reason });
                }
            }
        }
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
