//! The exact state of a run in one safetensors file: parameters, moments, and how far the run is.
//!
//! The file is written under another name and renamed, so a crash while saving leaves the last good one. Bits are kept as
//! they are; a resumed run equals an uninterrupted one, and the same state is always the same bytes.
//!
//! Neither way holds the state twice: tensors are turned into bytes one by one as they are written, and read through a small
//! buffer to where they belong. The map only lets the header be read and checked against the length of the file.

use super::OptimizerState;
use crate::model::Params;
use crate::model::tensor_file::{self, Numbers};
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, SafeTensors};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A state that can't be saved or taken up again.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("failed to {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to read the state of a run from {}: {reason}; remove it to start the stage anew", path.display())]
    Corrupt { path: PathBuf, reason: String },
}

/// Bytes that are read at a time.
const BUFFER: usize = 1 << 16;

/// Saves a run. `step` is the number of steps done.
pub fn save(path: &Path, step: u64, params: &Params, optimizer: &OptimizerState) -> Result<(), SnapshotError> {
    let io_error = |doing| move |source| SnapshotError::Io { doing, path: path.to_path_buf(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io_error("create the folder of"))?;
    }
    let counts = [step, optimizer.steps()];
    let params = params
        .infos()
        .iter()
        .map(|info| (format!("param.{}", info.name), &info.shape[..], Numbers::F32(params.get(&info.name))));
    let moments = optimizer.tensors().into_iter().map(|(name, shape, values)| (name, shape, Numbers::F32(values)));
    let steps = [("steps".to_string(), &[2][..], Numbers::U64(&counts))];
    let partial = path.with_extension("partial");
    let written = tensor_file::write(&partial, params.chain(moments).chain(steps), None);
    written.map_err(|error| match error {
        SafeTensorError::IoError(source) => io_error("write")(source),
        other => io_error("write")(io::Error::other(other)),
    })?;
    fs::rename(&partial, path).map_err(io_error("rename into place"))
}

/// Overwrites `params` and `optimizer` with a saved state; on an error both are in an unspecified one. Returns the number of
/// steps done.
pub fn load(path: &Path, params: &mut Params, optimizer: &mut OptimizerState) -> Result<u64, SnapshotError> {
    let opened =
        Saved::open(path).map_err(|source| SnapshotError::Io { doing: "read", path: path.to_path_buf(), source });
    let restored = opened?.and_then(|mut saved| saved.restore(params, optimizer));
    restored.map_err(|reason| SnapshotError::Corrupt { path: path.to_path_buf(), reason })
}

/// A file of which the header has been read.
struct Saved {
    file: File,
    metadata: Metadata,
    /// Where the first tensor starts.
    data: u64,
}

impl Saved {
    fn open(path: &Path) -> io::Result<Result<Saved, String>> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only and gone before this returns; a file that somebody else truncates meanwhile is outside
        // what we can guard.
        let map = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(match SafeTensors::read_metadata(&map) {
            Ok((header, metadata)) => Ok(Saved { file, metadata, data: (size_of::<u64>() + header) as u64 }),
            Err(error) => Err(error.to_string()),
        })
    }

    fn restore(&mut self, params: &mut Params, optimizer: &mut OptimizerState) -> Result<u64, String> {
        for info in params.infos().to_vec() {
            self.fill(&format!("param.{}", info.name), &info.shape, params.get_mut(&info.name))?;
        }
        let mut counts = [0u8; 16];
        self.seek("steps", Dtype::U64, &[2])?.read_exact(&mut counts).map_err(|error| error.to_string())?;
        let (step, updates) = counts.split_at(8);
        let count = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        optimizer.restore(count(updates), |name, shape, into| self.fill(name, shape, into))?;
        Ok(count(step))
    }

    /// The file at the start of a tensor, which must be of that type and shape.
    fn seek(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&mut File, String> {
        let info = self.metadata.info(name).ok_or_else(|| format!("it has no tensor {name}"))?;
        if info.dtype != dtype || info.shape != shape {
            return Err(format!("{name} is {:?} {:?}, expected {dtype:?} {shape:?}", info.dtype, info.shape));
        }
        let start = self.data + info.data_offsets.0 as u64;
        self.file.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
        Ok(&mut self.file)
    }

    fn fill(&mut self, name: &str, shape: &[usize], into: &mut [f32]) -> Result<(), String> {
        let file = self.seek(name, Dtype::F32, shape)?;
        let mut buffer = [0u8; BUFFER];
        for values in into.chunks_mut(BUFFER / 4) {
            let bytes = &mut buffer[..4 * values.len()];
            file.read_exact(bytes).map_err(|error| format!("{name} can't be read: {error}"))?;
            for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
            }
        }
        Ok(())
    }
}
