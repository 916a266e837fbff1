//! The decoder and what it is asked for.

use super::device::{DeviceError, Limits, OnDevice};
use super::forward::{forward, linear};
use super::kernel::gemm::Into;
use super::lane::{Lane, Merge, Scored, chunks};
use super::layout;
use super::packed::Weights;
use super::{ModelError, Params};
use crate::recipe::train::Precision;
use crate::recipe::{ModelShape, Seed};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Marks a position of [`Batch::targets`] whose score nobody needs, such as a prompt's: no logits are computed there.
pub const NO_TARGET: u32 = u32::MAX;

/// `N` tokens in a row, cut into segments. Positions and attention start anew at each segment.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub ids: &'a [u32],
    /// What position `i` is scored on, given its segment up to and including `ids[i]`: usually `ids[i + 1]`, or [`NO_TARGET`].
    pub targets: &'a [u32],
    /// Where segments start, and `N` at the end: first 0, ascending, one more entry than there are segments.
    pub starts: &'a [usize],
}

/// What the model says of a batch; both `[N]`, in nats, 0 at positions without a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// Log-probability of `targets[i]`.
    pub logprob: Vec<f32>,
    /// Entropy of the distribution that `targets[i]` was scored with.
    pub entropy: Vec<f32>,
}

/// Chunks are dealt to this many lanes, whatever the number of threads; each lane sums its gradients in order.
const LANES: usize = 4;
/// A decoder with its weights.
pub struct Decoder {
    shape: ModelShape,
    weights: Weights,
    /// Buffers that passes hand on to each other, so that nothing is allocated once they are warm.
    lanes: Mutex<Vec<Lane>>,
    /// Where to compute, if not here.
    pub(super) device: Option<OnDevice>,
}

/// `objective(range, logprob, dlogprob)`.
pub(super) type Objective<'a> = &'a (dyn Fn(Range<usize>, &[f32], &mut [f32]) + Sync);

impl Decoder {
    /// Wraps weights; refuses parameters whose names or shapes are not those of `shape`.
    pub fn new(shape: ModelShape, params: Params) -> Result<Decoder, ModelError> {
        let weights = Weights::new(&shape, params)?;
        Ok(Decoder { shape, weights, lanes: Mutex::default(), device: None })
    }

    /// Embeddings N(0, `embedding_std`); matrices N(0, `matrix_std`), those that write to the residual stream divided
    /// by √(2·layers); norm gains 1; biases 0. Drawn from the stream `init` of `seed`, addressed by parameter.
    ///
    /// Panics if the shape is none that [`Decoder::new`] accepts.
    pub fn random(shape: ModelShape, embedding_std: f64, matrix_std: f64, seed: Seed) -> Decoder {
        let mut params = Params::zeros(layout::tensors(&shape));
        let stream = seed.stream("init");
        for (index, info) in params.infos().to_vec().iter().enumerate() {
            let values = params.get_mut(&info.name);
            if info.is_matrix() {
                let std = if info.name.contains("embed_tokens") || info.name.contains("lm_head") {
                    embedding_std
                } else if info.name.contains("o_proj") || info.name.contains("down_proj") {
                    matrix_std / (2.0 * shape.layers as f64).sqrt()
                } else {
                    matrix_std
                };
                let mut rng = stream.at(&[index as u64]);
                values.fill_with(|| (std * rng.normal()) as f32);
            } else if info.name.contains("norm") {
                values.fill(1.0);
            }
        }
        Decoder::new(shape, params).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// What products compute in from now on; parameters stay f32. A new decoder computes in f32.
    ///
    /// In bf16 the inputs and the output of every product are rounded to bf16, and so are their gradients; sums, norms,
    /// softmax, the residual stream and the gradients of parameters are f32, as under PyTorch's autocast. It shows what
    /// bf16 does to a run. It is not faster here: the arithmetic stays f32.
    pub fn set_precision(&mut self, precision: Precision) {
        if self.weights.precision != precision {
            self.weights.precision = precision;
            self.changed();
        }
    }

    /// Computes on a candle device from now on, so much at a time; see [`super::device`] for what moves there. `Device::Cpu`
    /// is candle's own CPU implementation, for tests.
    pub fn set_device(&mut self, device: candle_core::Device, limits: Limits) {
        self.device = Some(OnDevice::new(device, limits));
        // What the host's products read is not needed any more.
        self.weights.unpack();
    }

    pub(crate) fn on_device(&self) -> Option<&OnDevice> {
        self.device.as_ref()
    }

    /// Bringing whoever reads the weights up to date.
    fn changed(&mut self) {
        match &mut self.device {
            Some(device) => device.forget(),
            None => self.weights.pack(),
        }
    }

    pub fn params(&self) -> &Params {
        &self.weights.params
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Changes the weights.
    pub fn update(&mut self, f: impl FnOnce(&mut Params)) {
        f(&mut self.weights.params);
        self.changed();
    }

    /// Logits of every position, `[N, vocab]`. Only a device can fail.
    pub fn logits(&self, ids: &[u32], starts: &[usize]) -> Result<Vec<f32>, DeviceError> {
        if let Some(device) = &self.device {
            return device.logits(&self.shape, &self.weights, ids, starts);
        }
        let batch = Batch { ids, targets: ids, starts };
        let mut logits = vec![0.0; ids.len() * self.shape.vocab];
        for chunk in chunks(batch) {
            let mut lane = self.lane();
            forward(&self.shape, &self.weights, &ids[chunk.tokens.clone()], &chunk.local(), &mut lane.tape);
            let out = chunk.tokens.start * self.shape.vocab..chunk.tokens.end * self.shape.vocab;
            linear(&lane.tape.normed, &self.weights.head, &mut logits[out.clone()], Into::Replace);
            self.weights.round(&mut logits[out]);
            self.give_back(lane);
        }
        Ok(logits)
    }

    /// Log-probabilities and entropies. Independent, bit for bit, of `threads` and of what else is in the batch. Only a
    /// device can fail.
    pub fn scores(&self, batch: Batch, threads: usize) -> Result<TokenScores, DeviceError> {
        self.pass(batch, threads, None, None)
    }

    /// One forward and backward pass. `objective(range, logprob, dlogprob)` is given the log-probabilities of the
    /// positions `range` of the batch and writes the derivative of the loss by each of them (0: not in the loss).
    ///
    /// Ranges are of any size and may cut a segment; each position is in exactly one. Adds the gradient to `grads`.
    /// Bitwise independent of `threads`. Only a device can fail; `grads` is then as it was.
    pub fn gradient(
        &self,
        batch: Batch,
        threads: usize,
        objective: Objective,
        grads: &mut Params,
    ) -> Result<TokenScores, DeviceError> {
        self.pass(batch, threads, Some(objective), Some(grads))
    }

    fn pass(
        &self,
        batch: Batch,
        threads: usize,
        objective: Option<Objective>,
        grads: Option<&mut Params>,
    ) -> Result<TokenScores, DeviceError> {
        let n = batch.ids.len();
        assert!(batch.targets.len() == n && batch.starts.first() == Some(&0) && batch.starts.last() == Some(&n));
        if let Some(device) = &self.device {
            return device.scores(&self.shape, &self.weights, batch, objective, grads);
        }
        let chunks = chunks(batch);
        let lanes = LANES.min(chunks.len());
        let threads = threads.clamp(1, lanes.max(1));
        let merge = Mutex::new(Merge::new(n, lanes, grads.map(Params::flat_mut)));
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= lanes {
                    return;
                }
                let mut lane = self.lane();
                if objective.is_some() {
                    lane.grads.clear();
                    lane.grads.resize(self.params().flat().len(), 0.0);
                }
                let mine = chunks.iter().skip(index).step_by(lanes);
                let scored: Vec<Scored> =
                    mine.map(|chunk| lane.run(&self.shape, &self.weights, batch, chunk, objective)).collect();
                merge.lock().expect("no lane panicked").take(index, lane, &scored, |lane| self.give_back(lane));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        Ok(merge.into_inner().expect("no lane panicked").scores)
    }

    fn lane(&self) -> Lane {
        self.lanes.lock().expect("no lane panicked").pop().unwrap_or_default()
    }

    fn give_back(&self, lane: Lane) {
        self.lanes.lock().expect("no lane panicked").push(lane);
    }
}
