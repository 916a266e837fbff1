//! The exact state of a run in one safetensors file: parameters, moments, and how far the run is.
//!
//! The file is written under another name and renamed, so a crash while saving leaves the last good one. Bits are kept as
//! they are; a resumed run equals an uninterrupted one.

use super::OptimizerState;
use crate::model::Params;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::io;
use std::path::{Path, PathBuf};

/// A state that can't be saved or taken up again.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("failed to {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("failed to read the state of a run from {}: {reason}; remove it to start the stage anew", path.display())]
    Corrupt { path: PathBuf, reason: String },
}

/// Saves a run. `step` is the number of steps done.
pub fn save(path: &Path, step: u64, params: &Params, optimizer: &OptimizerState) -> Result<(), SnapshotError> {
    let bytes = to_bytes(step, params, optimizer);
    let io_error = |doing| move |source| SnapshotError::Io { doing, path: path.to_path_buf(), source };
    let partial = path.with_extension("partial");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io_error("create the folder of"))?;
    }
    std::fs::write(&partial, bytes).map_err(io_error("write"))?;
    std::fs::rename(&partial, path).map_err(io_error("rename into place"))
}

/// Overwrites `params` and `optimizer` with a saved state. Returns the number of steps done.
pub fn load(path: &Path, params: &mut Params, optimizer: &mut OptimizerState) -> Result<u64, SnapshotError> {
    let bytes =
        std::fs::read(path).map_err(|source| SnapshotError::Io { doing: "read", path: path.to_path_buf(), source })?;
    from_bytes(&bytes, params, optimizer).map_err(|reason| SnapshotError::Corrupt { path: path.to_path_buf(), reason })
}

/// The same state, always in the same bytes.
pub fn to_bytes(step: u64, params: &Params, optimizer: &OptimizerState) -> Vec<u8> {
    let bytes_of = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for info in params.infos() {
        let values = bytes_of(params.get(&info.name));
        tensors.push((format!("param.{}", info.name), Dtype::F32, info.shape.clone(), values));
    }
    for (name, shape, values) in optimizer.tensors() {
        tensors.push((name, Dtype::F32, shape.to_vec(), bytes_of(values)));
    }
    let counts = [step, optimizer.steps()].iter().flat_map(|count| count.to_le_bytes()).collect();
    tensors.push(("steps".to_string(), Dtype::U64, vec![2], counts));
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape"))
    });
    safetensors::serialize(views, None).expect("the state has a plain form")
}

/// The inverse of [`to_bytes`]; on an error both are in an unspecified state.
pub fn from_bytes(bytes: &[u8], params: &mut Params, optimizer: &mut OptimizerState) -> Result<u64, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let fill = |name: &str, shape: &[usize], into: &mut [f32]| {
        let tensor = file.tensor(name).map_err(|_| format!("it has no tensor {name}"))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            return Err(format!("{name} is {:?} {:?}, expected F32 {shape:?}", tensor.dtype(), tensor.shape()));
        }
        for (value, bytes) in into.iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        Ok(())
    };
    for info in params.infos().to_vec() {
        fill(&format!("param.{}", info.name), &info.shape, params.get_mut(&info.name))?;
    }
    let steps = file.tensor("steps").map_err(|_| "it has no step count".to_string())?;
    let counts: Vec<u64> =
        steps.data().chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect();
    let [step, optimizer_steps] = counts[..] else { return Err("its step count has another form".to_string()) };
    optimizer.restore(optimizer_steps, fill)?;
    Ok(step)
}
