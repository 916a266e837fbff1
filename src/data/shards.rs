//! Token files: a corpus on disk, read through a memory map and written in bounded memory.
//!
//! `tokens.bin` is one run of ids, `eos document eos document … eos`: the separator ends one document and begins the next,
//! so a document is seen in training just as a prompt begins and as an answer ends. `documents.bin` holds where each
//! document's leading separator stands. Ids take two bytes each where the vocabulary allows.
//!
//! The bytes depend on the documents alone. There is no checksum here: the store that holds the folder has one.

use crate::fault;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"ABLTOKEN";
const VERSION: u32 = 1;
/// Magic, version, bytes an id, ids, documents, vocabulary, separator.
const HEADER: usize = 8 + 4 + 4 + 8 + 8 + 8 + 8;
const TOKENS: &str = "tokens.bin";
const DOCUMENTS: &str = "documents.bin";

/// A token file that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    #[error("failed to {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to read {}: {reason}; remove the folder to have it made again", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error("failed to write document {document}: id {id} is outside the vocabulary of {vocab}")]
    OutsideVocabulary { document: u64, id: u32, vocab: usize },
}

/// A tokenised corpus. Cloning is cheap: clones share the map.
#[derive(Debug, Clone)]
pub struct Shards {
    tokens: Arc<Mmap>,
    documents: Arc<Mmap>,
    width: usize,
    vocab: usize,
    eos: u32,
}

impl Shards {
    /// Writes documents, which hold no separators, into a folder. Returns the number of ids, separators included.
    pub fn write(
        dir: &Path,
        documents: &mut dyn Iterator<Item = Vec<u32>>,
        vocab: usize,
        eos: u32,
    ) -> Result<u64, ShardsError> {
        let mut writer = ShardWriter::open(dir, vocab, eos, Written::default())?;
        for ids in documents {
            fault::point("mid-corpus");
            writer.push(&ids)?;
        }
        Ok(writer.finish()?.ids)
    }

    /// Opens a folder that [`Shards::write`] has filled.
    pub fn open(dir: &Path) -> Result<Shards, ShardsError> {
        let (tokens_path, documents_path) = (dir.join(TOKENS), dir.join(DOCUMENTS));
        let (tokens, documents) = (map(&tokens_path)?, map(&documents_path)?);
        let corrupt = |path: &Path, reason: String| Err(ShardsError::Corrupt { path: path.to_path_buf(), reason });
        if tokens.len() < HEADER || &tokens[..8] != MAGIC {
            return corrupt(&tokens_path, "it does not begin as a token file does".to_string());
        }
        let half = |at: usize| u32::from_le_bytes(tokens[at..at + 4].try_into().expect("four bytes"));
        let whole = |at: usize| u64::from_le_bytes(tokens[at..at + 8].try_into().expect("eight bytes"));
        let (version, width) = (half(8), half(12) as usize);
        let (count, written, vocab, eos) = (whole(16), whole(24), whole(32), whole(40));
        if version != VERSION {
            return corrupt(&tokens_path, format!("its version is {version}, expected {VERSION}"));
        }
        if (width != 2 && width != 4) || vocab > 1 << 32 || eos >= vocab || count <= written {
            return corrupt(&tokens_path, "its header makes no sense".to_string());
        }
        let expected = (width as u64).checked_mul(count).and_then(|bytes| bytes.checked_add(HEADER as u64));
        if expected != Some(tokens.len() as u64) {
            return corrupt(&tokens_path, format!("its header promises {count} ids and it has {} bytes", tokens.len()));
        }
        if documents.len() as u64 != 8 * written {
            return corrupt(
                &documents_path,
                format!("it should hold {written} documents and has {} bytes", documents.len()),
            );
        }
        let shards = Shards {
            tokens: Arc::new(tokens),
            documents: Arc::new(documents),
            width,
            vocab: vocab as usize,
            eos: eos as u32,
        };
        // Offsets are searched by halving, so they must rise.
        let rising = (1..written).all(|index| shards.document_start(index - 1) < shards.document_start(index));
        if !rising || (written > 0 && shards.document_start(written - 1) + 1 >= count) {
            return corrupt(&documents_path, "its offsets do not rise".to_string());
        }
        Ok(shards)
    }

    /// Ids, separators included.
    pub fn len(&self) -> u64 {
        ((self.tokens.len() - HEADER) / self.width) as u64
    }

    /// True if there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents() == 0
    }

    /// Number of documents.
    pub fn documents(&self) -> u64 {
        (self.documents.len() / 8) as u64
    }

    /// Number of ids that the tokenizer has.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// The separator.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The id at a place. Panics beyond the end.
    pub fn id(&self, at: u64) -> u32 {
        let start = HEADER + at as usize * self.width;
        match &self.tokens[start..start + self.width] {
            [a, b] => u16::from_le_bytes([*a, *b]) as u32,
            [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => unreachable!("an id has two or four bytes"),
        }
    }

    /// The ids from `start` on. Panics beyond the end.
    pub fn ids(&self, start: u64, count: usize) -> impl Iterator<Item = u32> + '_ {
        (start..start + count as u64).map(|at| self.id(at))
    }

    /// Where the separator before document `index` stands.
    pub fn document_start(&self, index: u64) -> u64 {
        let at = 8 * index as usize;
        u64::from_le_bytes(self.documents[at..at + 8].try_into().expect("eight bytes"))
    }

    /// The starts of documents within `start..end`, in order.
    pub fn starts_within(&self, start: u64, end: u64) -> impl Iterator<Item = u64> + '_ {
        let (mut low, mut high) = (0, self.documents());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.document_start(middle) < start {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..self.documents()).map(|index| self.document_start(index)).take_while(move |at| *at < end)
    }
}

/// How far a corpus is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Written {
    /// Ids, separators included.
    pub ids: u64,
    pub documents: u64,
}

impl Default for Written {
    /// Nothing but the first separator.
    fn default() -> Written {
        Written { ids: 1, documents: 0 }
    }
}

/// Writes a corpus document by document, and can go on where another writer was interrupted.
pub struct ShardWriter {
    tokens: BufWriter<File>,
    offsets: BufWriter<File>,
    tokens_path: PathBuf,
    offsets_path: PathBuf,
    width: usize,
    vocab: usize,
    eos: u32,
    written: Written,
}

impl ShardWriter {
    /// Goes on after `written`, which an earlier [`ShardWriter::sync`] in this folder returned; what was written after it is
    /// dropped. Nothing written means a fresh start.
    pub fn open(dir: &Path, vocab: usize, eos: u32, written: Written) -> Result<ShardWriter, ShardsError> {
        std::fs::create_dir_all(dir).map_err(|source| io_error("create", dir, source))?;
        let (tokens_path, offsets_path) = (dir.join(TOKENS), dir.join(DOCUMENTS));
        let width = if vocab <= 1 << 16 { 2 } else { 4 };
        let fresh = written == Written::default();
        let open = |path: &Path, length: u64| {
            let file = File::options().create(true).truncate(false).write(true).open(path);
            let file = file.and_then(|mut file| {
                if !fresh && file.metadata()?.len() < length {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was"));
                }
                file.set_len(if fresh { 0 } else { length })?;
                file.seek(io::SeekFrom::End(0))?;
                Ok(BufWriter::with_capacity(1 << 20, file))
            });
            file.map_err(|source| io_error("open", path, source))
        };
        let mut tokens = open(&tokens_path, HEADER as u64 + width as u64 * written.ids)?;
        let offsets = open(&offsets_path, 8 * written.documents)?;
        if fresh {
            // The counts are known at the end; until then the header is one that no reader accepts.
            let begun = tokens.write_all(&[0; HEADER]).and_then(|()| tokens.write_all(&eos.to_le_bytes()[..width]));
            begun.map_err(|source| io_error("write", &tokens_path, source))?;
        }
        Ok(ShardWriter { tokens, offsets, tokens_path, offsets_path, width, vocab, eos, written })
    }

    /// Adds a document.
    pub fn push(&mut self, ids: &[u32]) -> Result<(), ShardsError> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab) {
            let (document, vocab) = (self.written.documents, self.vocab);
            return Err(ShardsError::OutsideVocabulary { document, id: *id, vocab });
        }
        let start = self.written.ids - 1;
        self.offsets.write_all(&start.to_le_bytes()).map_err(|source| io_error("write", &self.offsets_path, source))?;
        for id in ids.iter().chain([&self.eos]) {
            let bytes = &id.to_le_bytes()[..self.width];
            self.tokens.write_all(bytes).map_err(|source| io_error("write", &self.tokens_path, source))?;
        }
        self.written.ids += ids.len() as u64 + 1;
        self.written.documents += 1;
        Ok(())
    }

    pub fn written(&self) -> Written {
        self.written
    }

    /// Brings everything to disk; a later [`ShardWriter::open`] can go on from what is returned.
    pub fn sync(&mut self) -> Result<Written, ShardsError> {
        let sync = |file: &mut BufWriter<File>| file.flush().and_then(|()| file.get_ref().sync_data());
        sync(&mut self.tokens).map_err(|source| io_error("write", &self.tokens_path, source))?;
        sync(&mut self.offsets).map_err(|source| io_error("write", &self.offsets_path, source))?;
        Ok(self.written)
    }

    /// Completes the header.
    pub fn finish(mut self) -> Result<Written, ShardsError> {
        let Written { ids, documents } = self.written;
        let header = header(self.width, ids, documents, self.vocab, self.eos);
        let tokens = &mut self.tokens;
        let done = tokens.rewind().and_then(|()| tokens.write_all(&header)).and_then(|()| tokens.flush());
        done.map_err(|source| io_error("write", &self.tokens_path, source))?;
        self.offsets.flush().map_err(|source| io_error("write", &self.offsets_path, source))?;
        Ok(self.written)
    }

    /// The files of a corpus, by name.
    pub const FILES: [&str; 2] = [TOKENS, DOCUMENTS];
}

fn header(width: usize, count: u64, documents: u64, vocab: usize, eos: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((width as u32).to_le_bytes());
    for number in [count, documents, vocab as u64, eos as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> ShardsError {
    ShardsError::Io { doing, path: path.to_path_buf(), source }
}

fn map(path: &Path) -> Result<Mmap, ShardsError> {
    let file = File::open(path).map_err(|source| io_error("open", path, source))?;
    // SAFETY: artifacts are written once, under another name, and never changed afterwards.
    unsafe { Mmap::map(&file) }.map_err(|source| io_error("map", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, vocab: usize) -> u64 {
        let documents: Vec<Vec<u32>> = vec![vec![3, 4, 5], vec![], vec![6]];
        Shards::write(dir, &mut documents.into_iter(), vocab, 0).unwrap()
    }

    #[test]
    fn documents_come_back_with_their_separators() {
        for vocab in [7, 1 << 16, (1 << 16) + 1] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(write(dir.path(), vocab), 8);
            let shards = Shards::open(dir.path()).unwrap();
            assert_eq!((shards.len(), shards.documents(), shards.vocab(), shards.eos()), (8, 3, vocab, 0));
            assert_eq!(shards.ids(0, 8).collect::<Vec<_>>(), [0, 3, 4, 5, 0, 0, 6, 0]);
            assert_eq!(shards.starts_within(0, 8).collect::<Vec<_>>(), [0, 4, 5]);
            assert_eq!(shards.starts_within(1, 5).collect::<Vec<_>>(), [4]);
            let bytes = std::fs::metadata(dir.path().join(TOKENS)).unwrap().len() as usize;
            assert_eq!(bytes, HEADER + 8 * if vocab <= 1 << 16 { 2 } else { 4 });
        }
    }

    #[test]
    fn the_bytes_depend_on_the_documents_alone() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(a.path(), 7);
        write(b.path(), 7);
        for name in [TOKENS, DOCUMENTS] {
            assert_eq!(std::fs::read(a.path().join(name)).unwrap(), std::fs::read(b.path().join(name)).unwrap());
        }
    }

    #[test]
    fn an_empty_corpus_opens() {
        let dir = tempfile::tempdir().unwrap();
        Shards::write(dir.path(), &mut std::iter::empty(), 7, 0).unwrap();
        assert!(Shards::open(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn any_cut_or_changed_header_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 7);
        for name in [TOKENS, DOCUMENTS] {
            let path = dir.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for length in 0..whole.len() {
                std::fs::write(&path, &whole[..length]).unwrap();
                assert!(Shards::open(dir.path()).is_err(), "{name} cut to {length} bytes opened");
            }
            std::fs::write(&path, &whole).unwrap();
        }
        let path = dir.path().join(TOKENS);
        let whole = std::fs::read(&path).unwrap();
        // Not the vocabulary: any size that holds the separator is possible.
        for at in (0..32).chain(40..HEADER) {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            let error = Shards::open(dir.path()).expect_err(&format!("header byte {at} changed")).to_string();
            assert!(error.contains("failed to read"), "{error}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Shards::open(dir.path()).is_ok());
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Shards::write(dir.path(), &mut vec![vec![1], vec![7]].into_iter(), 7, 0).unwrap_err().to_string();
        assert!(error.contains("document 1: id 7"), "{error}");
    }
}
