//! Lines of a plain, gzip or zstd file, one JSON record each.

use super::{Record, SourceError};
use crate::text;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A longer line is a bad line. It bounds the memory that a broken file takes.
pub(super) const LONGEST_LINE: u64 = 64 << 20;

pub(super) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// `bytes` counts what is read of the file as it lies on disk.
    pub fn open(path: &Path, bytes: &Arc<AtomicU64>) -> Result<Lines, SourceError> {
        let failed = |source| SourceError::Io { doing: "open", path: path.to_path_buf(), source };
        let file = Counted { file: File::open(path).map_err(failed)?, bytes: bytes.clone() };
        let file = BufReader::with_capacity(1 << 18, file);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        let reader: Box<dyn BufRead> = match ending.as_str() {
            // A gzip file may have several members; all are read.
            "gz" => Box::new(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(file))),
            "zst" | "zstd" => Box::new(BufReader::with_capacity(1 << 18, Frames::new(file))),
            _ => Box::new(file),
        };
        Ok(Lines { path: path.to_path_buf(), reader, line: 0, buffer: Vec::new() })
    }

    /// Passes over lines up to and with `line`.
    pub fn skip_to(&mut self, line: u64) -> Result<(), SourceError> {
        while self.line < line {
            match self.reader.skip_until(b'\n') {
                Ok(0) => break,
                Ok(_) => self.line += 1,
                Err(source) => return Err(SourceError::Io { doing: "read", path: self.path.clone(), source }),
            }
        }
        Ok(())
    }

    /// The next line that is not blank.
    pub fn next(&mut self) -> Option<Result<Record, SourceError>> {
        loop {
            self.buffer.clear();
            let (reader, buffer) = (&mut self.reader, &mut self.buffer);
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', buffer);
            match read {
                Ok(0) => return None,
                Ok(_) => self.line += 1,
                Err(source) => return Some(Err(SourceError::Io { doing: "read", path: self.path.clone(), source })),
            }
            if self.buffer.len() as u64 == LONGEST_LINE && self.buffer.last() != Some(&b'\n') {
                if let Err(source) = self.reader.skip_until(b'\n') {
                    return Some(Err(SourceError::Io { doing: "read", path: self.path.clone(), source }));
                }
                let value = Err(format!("the line is longer than {LONGEST_LINE} bytes"));
                return Some(Ok(Record { line: self.line, value }));
            }
            let mark = if self.line == 1 { "\u{feff}".as_bytes() } else { b"" };
            let line = self.buffer.strip_prefix(mark).unwrap_or(&self.buffer);
            if !line.trim_ascii().is_empty() {
                let value = serde_json::from_slice(line)
                    .map_err(|error| format!("it is no JSON record: {}", text::broken_json(&error)));
                return Some(Ok(Record { line: self.line, value }));
            }
        }
    }
}

struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// All frames of a zstd file, each checked against its own checksum if it has one.
struct Frames<R: BufRead> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Frames<R> {
        Frames { source, decoder: FrameDecoder::new(), inside: false }
    }

    /// Begins the next frame; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.inside {
                self.inside = self.begin()?;
                if !self.inside {
                    break;
                }
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                let stored = self.decoder.get_checksum_from_data();
                if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame does not match its checksum"));
                }
                self.inside = false;
            } else {
                let strategy = BlockDecodingStrategy::UptoBytes(buffer.len());
                self.decoder.decode_blocks(&mut self.source, strategy).map_err(io::Error::other)?;
            }
        }
        Ok(0)
    }
}
