//! The decoder on another device: a GPU, through candle.
//!
//! Three things move there: the gradient of a batch, log-probabilities (and logits), and sampling with a key-value cache.
//! Master weights, moments, clipping, the update, schedules, checkpoints and the random numbers of draws stay on the host, in
//! f32, as in ZeRO-Offload (Ren et al. 2021): they are a small share of a step of real size, and one implementation of them
//! serves every backend. Weights go up once after each update, gradients come down once a batch.
//!
//! What the host's engine promises to the bit is promised here within rounding: libraries of the device choose their own order
//! of sums, by shape. So artifacts made here have keys of their own ([`crate::recipe::Backend`]), and a sampled token's
//! log-probability is the trainer's within rounding only.
//!
//! Both passes are written out in candle's operations (`forward`, `backward`), a layer at a time, so that no more than one
//! layer's activations are ever there. Kernels of our own (flash attention) were left out: a GPU was at hand for minutes only.
//!
//! A device may fail in the middle of its work, out of memory say; whoever asked is told what it was at and what helps
//! ([`DeviceError`]). Nothing is tried again in smaller parts by itself: how a batch is cut is a matter of rounding, and when
//! memory runs out depends on who else is there, so the same command would now and then give other last bits.

mod backward;
mod draw;
mod error;
mod forward;
mod generate;
mod gradient;
#[cfg(test)]
mod tests;
mod weights;

pub use error::{DeviceError, Work};
pub(super) use generate::Sampler;

use super::decoder::Objective;
use super::packed::Weights;
use super::{Batch, ModelError, Params, TokenScores};
use crate::recipe::{Backend, ModelShape};
use candle_core::{Device, Error, Result};
use std::sync::{Arc, Mutex};
use weights::DeviceWeights;

/// What bounds the memory of a pass; results depend on none of it but for rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Tokens of one forward and backward pass, about: whole segments, at least one.
    pub tokens: usize,
    /// Logits at a time, in numbers; a few copies of so many are held.
    pub logits: usize,
    /// Queries that attend at a time.
    pub queries: usize,
    /// Sequences that decode together, at most.
    pub live: usize,
    /// Numbers in the key-value cache, at most (but room for one sequence).
    pub cache: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { tokens: 8192, logits: 1 << 26, queries: 1024, live: 256, cache: 1 << 32 }
    }
}

/// What a device made, or why not.
type Told<T> = std::result::Result<T, DeviceError>;

/// A device, and the weights of one decoder as they were last seen there.
pub struct OnDevice {
    device: Device,
    pub(super) limits: Limits,
    /// None from an update until somebody asks.
    weights: Mutex<Option<Arc<DeviceWeights>>>,
}

/// Opens the `number`-th device of a family; none for the CPU, whose engine is our own. Fails if this build or this machine
/// has no such device.
pub fn open(backend: Backend, number: usize) -> std::result::Result<Option<Device>, ModelError> {
    let (device, feature, built) = match backend {
        Backend::Cpu => return Ok(None),
        Backend::Cuda => (format!("CUDA device {number}"), "cuda", cfg!(feature = "cuda")),
        Backend::Metal => (format!("Metal device {number}"), "metal", cfg!(feature = "metal")),
    };
    if !built {
        let what = format!("this program was built without it; build with `--features {feature}`");
        return Err(ModelError::Device { device, what });
    }
    let opened = if backend == Backend::Cuda { Device::new_cuda(number) } else { Device::new_metal(number) };
    opened.map(Some).map_err(|error| ModelError::Device { device, what: error.to_string() })
}

/// Devices that tests run over: candle's own CPU implementation, and the first GPU of each family that is there.
pub fn present() -> Vec<Device> {
    let gpus = [Backend::Cuda, Backend::Metal].into_iter().filter_map(|backend| open(backend, 0).ok().flatten());
    [Device::Cpu].into_iter().chain(gpus).collect()
}

impl OnDevice {
    pub(super) fn new(device: Device, limits: Limits) -> OnDevice {
        OnDevice { device, limits, weights: Mutex::default() }
    }

    /// Says that the host's weights are others now.
    pub(super) fn forget(&mut self) {
        *self.weights.get_mut().expect("no upload panicked") = None;
    }

    fn weights(&self, shape: &ModelShape, host: &Weights) -> Told<Arc<DeviceWeights>> {
        let mut held = self.weights.lock().expect("no upload panicked");
        if let Some(held) = &*held {
            return Ok(held.clone());
        }
        let work = Work::Weights { bytes: size_of_val(host.params.flat()) };
        let uploaded = DeviceWeights::upload(shape, host, &self.device).map_err(self.tell(work))?;
        Ok(held.insert(Arc::new(uploaded)).clone())
    }

    /// Turns what candle says into what a person can use.
    fn tell(&self, work: Work) -> impl Fn(Error) -> DeviceError + '_ {
        move |error| DeviceError::of(&self.device, work, &error)
    }

    /// As [`super::Decoder::logits`].
    pub(super) fn logits(&self, shape: &ModelShape, host: &Weights, ids: &[u32], starts: &[usize]) -> Told<Vec<f32>> {
        let weights = self.weights(shape, host)?;
        let all = || -> Result<Vec<f32>> {
            let mut logits = Vec::with_capacity(ids.len() * shape.vocab);
            for part in micro_batches(starts, self.limits.tokens) {
                let pass = self.pass(shape, host, &weights, &ids[part.tokens()], &part.local())?;
                let hidden = pass.hidden(&pass.run(|_, _, _| Ok(()))?)?;
                let rows = (self.limits.logits / shape.vocab).max(1);
                for first in (0..hidden.dim(0)?).step_by(rows) {
                    let hidden = hidden.narrow(0, first, rows.min(hidden.dim(0)? - first))?;
                    logits.extend(forward::linear(&hidden, &weights.head)?.flatten_all()?.to_vec1::<f32>()?);
                }
            }
            Ok(logits)
        };
        all().map_err(self.tell(largest(starts, self.limits.tokens, false)))
    }

    /// As [`super::Decoder::gradient`], or [`super::Decoder::scores`] without an objective.
    pub(super) fn scores(
        &self,
        shape: &ModelShape,
        host: &Weights,
        batch: Batch,
        objective: Option<Objective>,
        grads: Option<&mut Params>,
    ) -> Told<TokenScores> {
        let weights = self.weights(shape, host)?;
        let work = largest(batch.starts, self.limits.tokens, objective.is_some());
        gradient::scores(self, shape, host, &weights, batch, objective, grads).map_err(self.tell(work))
    }

    /// What a pass over some whole segments needs to know.
    fn pass<'a>(
        &'a self,
        shape: &'a ModelShape,
        host: &Weights,
        weights: &'a DeviceWeights,
        ids: &[u32],
        starts: &[usize],
    ) -> Result<forward::Pass<'a>> {
        forward::Pass::new(shape, host, weights, ids, starts, self.limits.queries, &self.device)
    }
}

/// Some consecutive whole segments: where each starts in the batch, and where the last ends.
struct MicroBatch(Vec<usize>);

impl MicroBatch {
    fn tokens(&self) -> std::ops::Range<usize> {
        self.0[0]..self.0[self.0.len() - 1]
    }

    fn local(&self) -> Vec<usize> {
        self.0.iter().map(|start| start - self.0[0]).collect()
    }
}

/// Cuts a batch at segment borders: as many segments as fit into so many tokens, at least one.
fn micro_batches(starts: &[usize], tokens: usize) -> Vec<MicroBatch> {
    let mut parts: Vec<MicroBatch> = Vec::new();
    for pair in starts.windows(2).filter(|pair| pair[0] < pair[1]) {
        match parts.last_mut() {
            Some(part) if pair[1] - part.0[0] <= tokens => part.0.push(pair[1]),
            _ => parts.push(MicroBatch(pair.to_vec())),
        }
    }
    parts
}

/// The part of a batch that needs the most memory.
fn largest(starts: &[usize], tokens: usize, backward: bool) -> Work {
    let size = |part: MicroBatch| (part.tokens().len(), part.0.len() - 1);
    let (tokens, segments) = micro_batches(starts, tokens).into_iter().map(size).max().unwrap_or_default();
    Work::Pass { tokens, segments, backward }
}
