//! The decoder and what it is asked for.

use super::backward::{self, backward};
use super::device::{DeviceError, Limits, OnDevice};
use super::forward::{Tape, forward, linear, size};
use super::kernel::elementwise::{add, round_bf16};
use super::kernel::gemm::{Into, Panels};
use super::kernel::head::{head_backward, score};
use super::kernel::rope::Rotation;
use super::layout::{self, Layout};
use super::{ModelError, Params};
use crate::recipe::train::Precision;
use crate::recipe::{ModelShape, Seed};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

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

/// Tokens of one chunk, about: what a core's cache likes. Whole segments only.
const CHUNK: usize = 512;
/// Chunks are dealt to this many lanes, whatever the number of threads; each lane sums its gradients in order.
const LANES: usize = 4;
/// Logits held at once, in numbers: they stay in cache from the product that makes them to those that use their gradient.
const HEAD_FLOATS: usize = 1 << 16;

/// A decoder with its weights.
pub struct Decoder {
    shape: ModelShape,
    weights: Weights,
    /// Buffers that passes hand on to each other, so that nothing is allocated once they are warm.
    lanes: Mutex<Vec<Lane>>,
    /// Where to compute, if not here.
    pub(super) device: Option<OnDevice>,
}

/// Parameters, and the forms in which products read them.
pub struct Weights {
    pub params: Params,
    pub layout: Layout,
    pub packed: Vec<PackedLayer>,
    pub head: Panels,
    /// For the backward pass; made when the first gradient is asked for.
    backward: OnceLock<BackwardWeights>,
    rotations: [OnceLock<Rotation>; 12],
    shape: ModelShape,
    pub precision: Precision,
}

/// Weights of one layer as `x·Wᵀ` reads them; projections of the same input are one matrix.
#[derive(Default)]
pub struct PackedLayer {
    pub qkv: Panels,
    pub o: Panels,
    pub gate_up: Panels,
    pub down: Panels,
}

/// Weights of one layer as `dy·W` reads them.
#[derive(Default)]
pub struct BackwardLayer {
    pub qkv: Panels,
    pub o: Panels,
    pub gate_up: Panels,
    pub down: Panels,
}

#[derive(Default)]
struct BackwardWeights {
    layers: Vec<BackwardLayer>,
    head: Panels,
}

impl Weights {
    pub fn get(&self, range: &Range<usize>) -> &[f32] {
        &self.params.flat()[range.clone()]
    }

    /// A table of rotations for at least so many positions; made once for each power of two.
    pub fn rotation(&self, positions: usize) -> &Rotation {
        let power = positions.div_ceil(256).next_power_of_two().trailing_zeros() as usize;
        self.rotations[power].get_or_init(|| Rotation::new(&self.shape, 256 << power))
    }

    fn backward(&self) -> &BackwardWeights {
        self.backward.get_or_init(|| {
            let mut packed = BackwardWeights::default();
            self.pack_backward(&mut packed);
            packed
        })
    }

    /// Rounds what a product reads or has made, if the decoder computes in bf16.
    pub fn round(&self, values: &mut [f32]) {
        if self.precision == Precision::Bf16 {
            round_bf16(values);
        }
    }

    /// Brings the packed forms up to date.
    fn pack(&mut self) {
        let (d, q, ffn) = (self.shape.hidden, self.shape.q_width(), self.shape.ffn);
        let flat = operands(&self.params, self.precision);
        let at = |range: &Range<usize>| &flat[range.clone()];
        for (packed, layer) in self.packed.iter_mut().zip(&self.layout.layers) {
            packed.qkv.pack_transposed(&[at(&layer.q), at(&layer.k), at(&layer.v)], d);
            packed.o.pack_transposed(&[at(&layer.o)], q);
            packed.gate_up.pack_transposed(&[at(&layer.gate), at(&layer.up)], d);
            packed.down.pack_transposed(&[at(&layer.down)], ffn);
        }
        self.head.pack_transposed(&[at(&self.layout.head)], d);
        if let Some(mut packed) = self.backward.take() {
            self.pack_backward(&mut packed);
            self.backward = packed.into();
        }
    }

    fn pack_backward(&self, to: &mut BackwardWeights) {
        let (d, q, ffn) = (self.shape.hidden, self.shape.q_width(), self.shape.ffn);
        let flat = operands(&self.params, self.precision);
        let at = |range: &Range<usize>| &flat[range.clone()];
        to.layers.resize_with(self.layout.layers.len(), BackwardLayer::default);
        for (packed, layer) in to.layers.iter_mut().zip(&self.layout.layers) {
            packed.qkv.pack(&[at(&layer.q), at(&layer.k), at(&layer.v)], d);
            packed.o.pack(&[at(&layer.o)], q);
            packed.gate_up.pack(&[at(&layer.gate), at(&layer.up)], d);
            packed.down.pack(&[at(&layer.down)], ffn);
        }
        to.head.pack(&[at(&self.layout.head)], d);
    }
}

/// All parameters, as products read them.
fn operands(params: &Params, precision: Precision) -> Cow<'_, [f32]> {
    match precision {
        Precision::F32 => Cow::Borrowed(params.flat()),
        Precision::Bf16 => {
            let mut rounded = params.flat().to_vec();
            round_bf16(&mut rounded);
            Cow::Owned(rounded)
        }
    }
}

/// Everything one lane works with.
#[derive(Default)]
struct Lane {
    tape: Tape,
    buffers: backward::Buffers,
    grads: Vec<f32>,
    head: HeadBuffers,
    d_final: Vec<f32>,
}

/// What the head works with, a block of rows at a time.
#[derive(Default)]
struct HeadBuffers {
    rows: Vec<usize>,
    hidden: Vec<f32>,
    d_hidden: Vec<f32>,
    logits: Vec<f32>,
    totals: Vec<f32>,
}

/// Scores of one chunk.
struct Scored {
    range: Range<usize>,
    logprob: Vec<f32>,
    entropy: Vec<f32>,
}

/// What the lanes of a pass add up to.
struct Merge<'a> {
    scores: TokenScores,
    grads: Option<&'a mut [f32]>,
    /// The lane whose gradient is to be added next.
    next: usize,
    /// Lanes that were done before their turn.
    waiting: Vec<Option<Lane>>,
}

impl Merge<'_> {
    /// Takes a lane's results. Gradients are added in the order of lanes; buffers that are no longer needed are given back
    /// at once, so that one thread works in the same ones, warm in its cache, from the first lane to the last.
    fn take(&mut self, index: usize, lane: Lane, scored: &[Scored], give_back: impl Fn(Lane)) {
        for chunk in scored {
            self.scores.logprob[chunk.range.clone()].copy_from_slice(&chunk.logprob);
            self.scores.entropy[chunk.range.clone()].copy_from_slice(&chunk.entropy);
        }
        self.waiting[index] = Some(lane);
        while let Some(lane) = self.waiting.get_mut(self.next).and_then(Option::take) {
            if let Some(grads) = &mut self.grads {
                add(grads, &lane.grads);
            }
            give_back(lane);
            self.next += 1;
        }
    }
}

/// `objective(range, logprob, dlogprob)`.
pub(super) type Objective<'a> = &'a (dyn Fn(Range<usize>, &[f32], &mut [f32]) + Sync);

impl Decoder {
    /// Wraps weights; refuses parameters whose names or shapes are not those of `shape`.
    pub fn new(shape: ModelShape, params: Params) -> Result<Decoder, ModelError> {
        let layout = Layout::new(&shape, &params)?;
        let packed = (0..shape.layers).map(|_| PackedLayer::default()).collect();
        let (head, backward, rotations) = (Panels::default(), OnceLock::new(), Default::default());
        let precision = Precision::F32;
        let mut weights =
            Weights { params, layout, packed, head, backward, rotations, shape: shape.clone(), precision };
        weights.pack();
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
        self.weights.packed.clear();
        self.weights.head = Panels::default();
        self.weights.backward.take();
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
            let local: Vec<usize> = chunk.starts.iter().map(|start| start - chunk.tokens.start).collect();
            forward(&self.shape, &self.weights, &ids[chunk.tokens.clone()], &local, &mut lane.tape);
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
        let merge = Mutex::new(Merge {
            scores: TokenScores { logprob: vec![0.0; n], entropy: vec![0.0; n] },
            grads: grads.map(Params::flat_mut),
            next: 0,
            waiting: (0..lanes).map(|_| None).collect(),
        });
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
                let scored: Vec<Scored> = mine.map(|chunk| self.chunk(batch, chunk, objective, &mut lane)).collect();
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

    fn chunk(&self, batch: Batch, chunk: &Chunk, objective: Option<Objective>, lane: &mut Lane) -> Scored {
        let (shape, weights, range) = (&self.shape, &self.weights, chunk.tokens.clone());
        let (d, vocab, n) = (shape.hidden, shape.vocab, range.len());
        let ids = &batch.ids[range.clone()];
        let starts: Vec<usize> = chunk.starts.iter().map(|start| start - range.start).collect();
        forward(shape, weights, ids, &starts, &mut lane.tape);

        // The head, only where there is a target: logits, scores, objective and gradient of one block of rows after another.
        let (mut logprob, mut entropy, mut d_logprob) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut reached = false;
        let Lane { tape, buffers, grads, head, d_final } = lane;
        if objective.is_some() {
            size(d_final, n * d).fill(0.0);
        }
        let targets = &batch.targets[range.clone()];
        let block = (HEAD_FLOATS / vocab).max(32);
        for first in (0..n).step_by(block) {
            let positions = first..n.min(first + block);
            let HeadBuffers { rows, hidden, d_hidden, logits, totals } = head;
            rows.clear();
            rows.extend(positions.clone().filter(|row| targets[*row] != NO_TARGET));
            hidden.clear();
            rows.iter().for_each(|row| hidden.extend_from_slice(&tape.normed[row * d..(row + 1) * d]));
            linear(hidden, &weights.head, size(logits, rows.len() * vocab), Into::Replace);
            weights.round(logits);
            totals.clear();
            for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(vocab)) {
                let total;
                (logprob[*row], entropy[*row], total) = score(logits, targets[*row] as usize);
                totals.push(total);
            }
            let Some(objective) = objective else { continue };
            let global = range.start + positions.start..range.start + positions.end;
            objective(global, &logprob[positions.clone()], &mut d_logprob[positions]);
            // Rows that the loss does not reach are dropped.
            let mut used = 0;
            for at in 0..rows.len() {
                let row = rows[at];
                if d_logprob[row] == 0.0 {
                    continue;
                }
                logits.copy_within(at * vocab..(at + 1) * vocab, used * vocab);
                hidden.copy_within(at * d..(at + 1) * d, used * d);
                rows[used] = row;
                let logits = &mut logits[used * vocab..(used + 1) * vocab];
                head_backward(logits, totals[at], d_logprob[row]);
                logits[targets[row] as usize] += d_logprob[row];
                used += 1;
            }
            if used == 0 {
                continue;
            }
            reached = true;
            buffers.products.input(&hidden[..used * d], d);
            let d_logits = &mut logits[..used * vocab];
            weights.round(d_logits);
            buffers.products.add_gradient(d_logits, vocab, 0..vocab, &mut grads[weights.layout.head.clone()]);
            linear(d_logits, &weights.backward().head, size(d_hidden, used * d), Into::Replace);
            weights.round(d_hidden);
            for (row, d_hidden) in rows.iter().zip(d_hidden.chunks_exact(d)) {
                d_final[row * d..(row + 1) * d].copy_from_slice(d_hidden);
            }
        }
        if reached {
            let packed = &weights.backward().layers;
            backward(shape, weights, packed, ids, &starts, tape, d_final, buffers, grads);
        }
        Scored { range, logprob, entropy }
    }

    fn lane(&self) -> Lane {
        self.lanes.lock().expect("no lane panicked").pop().unwrap_or_default()
    }

    fn give_back(&self, lane: Lane) {
        self.lanes.lock().expect("no lane panicked").push(lane);
    }
}

/// Consecutive whole segments of a batch.
struct Chunk {
    tokens: Range<usize>,
    starts: Vec<usize>,
}

/// Cuts a batch at segment borders into chunks of about [`CHUNK`] tokens: as many segments as fit, at least one.
fn chunks(batch: Batch) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for pair in batch.starts.windows(2).filter(|pair| pair[0] < pair[1]) {
        match chunks.last_mut() {
            Some(chunk) if pair[1] - chunk.tokens.start <= CHUNK => {
                chunk.tokens.end = pair[1];
                chunk.starts.push(pair[1]);
            }
            _ => chunks.push(Chunk { tokens: pair[0]..pair[1], starts: vec![pair[0], pair[1]] }),
        }
    }
    chunks
}
