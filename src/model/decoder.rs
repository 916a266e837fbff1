//! The decoder and what it is asked for.

use super::backward::{self, backward};
use super::forward::{Tape, forward, size};
use super::kernel::gemm::{Packed, add_weight_gradient, gemm, input_gradient};
use super::kernel::head::{head_backward, score};
use super::kernel::rope::Rotation;
use super::layout::{self, Layout};
use super::{ModelError, Params};
use crate::recipe::{ModelShape, Seed};
use std::ops::Range;
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
/// Logits of this many rows are held at once, if the vocabulary is large.
const HEAD_FLOATS: usize = 1 << 21;

/// A decoder with its weights.
pub struct Decoder {
    shape: ModelShape,
    weights: Weights,
    /// Buffers that passes hand on to each other, so that nothing is allocated once they are warm.
    lanes: Mutex<Vec<Lane>>,
}

/// Parameters, and the forms in which products read them.
pub struct Weights {
    pub params: Params,
    pub layout: Layout,
    pub packed: Vec<PackedLayer>,
    pub head: Packed,
    rotations: [OnceLock<Rotation>; 12],
    shape: ModelShape,
}

#[derive(Default)]
pub struct PackedLayer {
    pub q: Packed,
    pub k: Packed,
    pub v: Packed,
    pub o: Packed,
    pub gate: Packed,
    pub up: Packed,
    pub down: Packed,
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

    fn pack(&mut self, shape: &ModelShape) {
        let (d, q, kv, ffn) = (shape.hidden, shape.q_width(), shape.kv_width(), shape.ffn);
        let flat = self.params.flat();
        for (packed, at) in self.packed.iter_mut().zip(&self.layout.layers) {
            let pack =
                |packed: &mut Packed, range: &Range<usize>, n, k| packed.pack_transposed(&flat[range.clone()], n, k);
            pack(&mut packed.q, &at.q, q, d);
            pack(&mut packed.k, &at.k, kv, d);
            pack(&mut packed.v, &at.v, kv, d);
            pack(&mut packed.o, &at.o, d, q);
            pack(&mut packed.gate, &at.gate, ffn, d);
            pack(&mut packed.up, &at.up, ffn, d);
            pack(&mut packed.down, &at.down, d, ffn);
        }
        self.head.pack_transposed(&flat[self.layout.head.clone()], shape.vocab, d);
    }
}

/// Everything one lane works with.
#[derive(Default)]
struct Lane {
    tape: Tape,
    buffers: backward::Buffers,
    grads: Vec<f32>,
    hidden: Vec<f32>,
    d_hidden: Vec<f32>,
    logits: Vec<f32>,
    d_final: Vec<f32>,
}

/// Scores of one chunk.
struct Scored {
    range: Range<usize>,
    logprob: Vec<f32>,
    entropy: Vec<f32>,
}

/// `objective(range, logprob, dlogprob)`.
type Objective<'a> = &'a (dyn Fn(Range<usize>, &[f32], &mut [f32]) + Sync);

impl Decoder {
    /// Wraps weights; refuses parameters whose names or shapes are not those of `shape`.
    pub fn new(shape: ModelShape, params: Params) -> Result<Decoder, ModelError> {
        let layout = Layout::new(&shape, &params)?;
        let packed = (0..shape.layers).map(|_| PackedLayer::default()).collect();
        let (head, rotations) = (Packed::default(), Default::default());
        let mut weights = Weights { params, layout, packed, head, rotations, shape: shape.clone() };
        weights.pack(&shape);
        Ok(Decoder { shape, weights, lanes: Mutex::default() })
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

    pub fn params(&self) -> &Params {
        &self.weights.params
    }

    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Changes the weights.
    pub fn update(&mut self, f: impl FnOnce(&mut Params)) {
        f(&mut self.weights.params);
        self.weights.pack(&self.shape);
    }

    /// Logits of every position, `[N, vocab]`.
    pub fn logits(&self, ids: &[u32], starts: &[usize]) -> Vec<f32> {
        let batch = Batch { ids, targets: ids, starts };
        let mut logits = vec![0.0; ids.len() * self.shape.vocab];
        for chunk in chunks(batch) {
            let mut lane = self.lane();
            let local: Vec<usize> = chunk.starts.iter().map(|start| start - chunk.tokens.start).collect();
            forward(&self.shape, &self.weights, &ids[chunk.tokens.clone()], &local, &mut lane.tape);
            let out = chunk.tokens.start * self.shape.vocab..chunk.tokens.end * self.shape.vocab;
            gemm(&lane.tape.normed, &self.weights.head, &mut logits[out], false);
            self.give_back(lane);
        }
        logits
    }

    /// Log-probabilities and entropies. Independent, bit for bit, of `threads` and of what else is in the batch.
    pub fn scores(&self, batch: Batch, threads: usize) -> TokenScores {
        self.pass(batch, threads, None, None)
    }

    /// One forward and backward pass. `objective(range, logprob, dlogprob)` is given the log-probabilities of the
    /// positions `range` of the batch and writes the derivative of the loss by each of them (0: not in the loss).
    ///
    /// Ranges are of any size and may cut a segment; each position is in exactly one. Adds the gradient to `grads`.
    /// Bitwise independent of `threads`.
    pub fn gradient(&self, batch: Batch, threads: usize, objective: Objective, grads: &mut Params) -> TokenScores {
        self.pass(batch, threads, Some(objective), Some(grads))
    }

    fn pass(
        &self,
        batch: Batch,
        threads: usize,
        objective: Option<Objective>,
        grads: Option<&mut Params>,
    ) -> TokenScores {
        let n = batch.ids.len();
        assert!(batch.targets.len() == n && batch.starts.first() == Some(&0) && batch.starts.last() == Some(&n));
        let chunks = chunks(batch);
        let lanes = LANES.min(chunks.len());
        let threads = threads.clamp(1, lanes.max(1));
        // Each lane's buffers with its scores, in the order of lanes.
        let done: Vec<Mutex<Option<(Lane, Vec<Scored>)>>> = (0..lanes).map(|_| Mutex::new(None)).collect();
        let work = |thread: usize| {
            for lane_index in (thread..lanes).step_by(threads) {
                let mut lane = self.lane();
                if objective.is_some() {
                    lane.grads.clear();
                    lane.grads.resize(self.params().flat().len(), 0.0);
                }
                let mine = chunks.iter().skip(lane_index).step_by(lanes);
                let scored = mine.map(|chunk| self.chunk(batch, chunk, objective, &mut lane)).collect();
                *done[lane_index].lock().expect("no lane panicked") = Some((lane, scored));
            }
        };
        if threads == 1 {
            work(0);
        } else {
            std::thread::scope(|scope| {
                for thread in 1..threads {
                    scope.spawn(move || work(thread));
                }
                work(0);
            });
        }
        let mut scores = TokenScores { logprob: vec![0.0; n], entropy: vec![0.0; n] };
        let mut grads = grads;
        for slot in done {
            let (lane, scored) = slot.into_inner().expect("no lane panicked").expect("every lane was run");
            for chunk in scored {
                scores.logprob[chunk.range.clone()].copy_from_slice(&chunk.logprob);
                scores.entropy[chunk.range].copy_from_slice(&chunk.entropy);
            }
            if let Some(grads) = grads.as_deref_mut() {
                super::kernel::elementwise::add(grads.flat_mut(), &lane.grads);
            }
            self.give_back(lane);
        }
        scores
    }

    fn chunk(&self, batch: Batch, chunk: &Chunk, objective: Option<Objective>, lane: &mut Lane) -> Scored {
        let (shape, weights, range) = (&self.shape, &self.weights, chunk.tokens.clone());
        let (d, vocab, n) = (shape.hidden, shape.vocab, range.len());
        let ids = &batch.ids[range.clone()];
        let starts: Vec<usize> = chunk.starts.iter().map(|start| start - range.start).collect();
        forward(shape, weights, ids, &starts, &mut lane.tape);

        // The head, only where there is a target, a block of rows at a time.
        let rows: Vec<usize> = (0..n).filter(|row| batch.targets[range.start + row] != NO_TARGET).collect();
        let target = |row: usize| batch.targets[range.start + row] as usize;
        let (mut logprob, mut entropy) = (vec![0.0; n], vec![0.0; n]);
        let block = (HEAD_FLOATS / vocab).max(16);
        let mut totals = vec![0.0; rows.len()];
        let Lane { tape, hidden, logits, .. } = lane;
        for (index, rows) in rows.chunks(block).enumerate() {
            self.block_logits(tape, rows, hidden, logits);
            for (at, (row, logits)) in rows.iter().zip(logits.chunks_exact_mut(vocab)).enumerate() {
                let scored = score(logits, target(*row));
                (logprob[*row], entropy[*row], totals[index * block + at]) = scored;
            }
        }
        let Some(objective) = objective else { return Scored { range, logprob, entropy } };

        let mut d_logprob = vec![0.0; n];
        objective(range.clone(), &logprob, &mut d_logprob);
        let Lane { tape, buffers, grads, hidden, d_hidden, logits, d_final } = lane;
        size(d_final, n * d).fill(0.0);
        let head = weights.layout.head.clone();
        for (index, rows) in rows.chunks(block).enumerate() {
            if n > block {
                // Only the last block's exponentials are still there.
                self.block_logits(tape, rows, hidden, logits);
                for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(vocab)) {
                    score(logits, target(*row));
                }
            }
            for (at, (row, logits)) in rows.iter().zip(logits.chunks_exact_mut(vocab)).enumerate() {
                head_backward(logits, totals[index * block + at], d_logprob[*row]);
                logits[target(*row)] += d_logprob[*row];
            }
            let used = rows.len();
            add_weight_gradient(&logits[..used * vocab], &hidden[..used * d], used, &mut grads[head.clone()]);
            input_gradient(&logits[..used * vocab], weights.get(&head), used, size(d_hidden, used * d), false);
            for (row, d_hidden) in rows.iter().zip(d_hidden.chunks_exact(d)) {
                d_final[row * d..(row + 1) * d].copy_from_slice(d_hidden);
            }
        }
        backward(shape, weights, ids, &starts, tape, d_final, buffers, grads);
        Scored { range, logprob, entropy }
    }

    /// Logits of some rows of the tape, gathered.
    fn block_logits(&self, tape: &Tape, rows: &[usize], hidden: &mut Vec<f32>, logits: &mut Vec<f32>) {
        let d = self.shape.hidden;
        hidden.clear();
        for row in rows {
            hidden.extend_from_slice(&tape.normed[row * d..(row + 1) * d]);
        }
        gemm(hidden, &self.weights.head, size(logits, rows.len() * self.shape.vocab), false);
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
