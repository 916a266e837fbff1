//! A batch in chunks, and what one lane of a pass does with its share of them.

use super::backward::{self, backward};
use super::decoder::{Batch, NO_TARGET, Objective, TokenScores};
use super::forward::{Tape, forward, linear, size};
use super::kernel::elementwise::add;
use super::kernel::gemm::Into;
use super::kernel::head::{head_backward, score};
use super::packed::Weights;
use crate::recipe::ModelShape;
use std::ops::Range;

/// Tokens of one chunk, about: what a core's cache likes. Whole segments only.
const CHUNK: usize = 512;
/// Logits held at once, in numbers: they stay in cache from the product that makes them to those that use their gradient.
const HEAD_FLOATS: usize = 1 << 16;

/// Consecutive whole segments of a batch.
pub struct Chunk {
    pub tokens: Range<usize>,
    pub starts: Vec<usize>,
}

impl Chunk {
    /// Where its segments start, counted from its own first token.
    pub fn local(&self) -> Vec<usize> {
        self.starts.iter().map(|start| start - self.tokens.start).collect()
    }
}

/// Cuts a batch at segment borders into chunks of about [`CHUNK`] tokens: as many segments as fit, at least one.
pub fn chunks(batch: Batch) -> Vec<Chunk> {
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

/// Everything one lane works with.
#[derive(Default)]
pub struct Lane {
    pub tape: Tape,
    buffers: backward::Buffers,
    pub grads: Vec<f32>,
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
pub struct Scored {
    range: Range<usize>,
    logprob: Vec<f32>,
    entropy: Vec<f32>,
}

/// What the lanes of a pass add up to.
pub struct Merge<'a> {
    pub scores: TokenScores,
    grads: Option<&'a mut [f32]>,
    /// The lane whose gradient is to be added next.
    next: usize,
    /// Lanes that were done before their turn.
    waiting: Vec<Option<Lane>>,
}

impl<'a> Merge<'a> {
    /// Of so many `tokens` in so many `lanes`.
    pub fn new(tokens: usize, lanes: usize, grads: Option<&'a mut [f32]>) -> Merge<'a> {
        let scores = TokenScores { logprob: vec![0.0; tokens], entropy: vec![0.0; tokens] };
        Merge { scores, grads, next: 0, waiting: (0..lanes).map(|_| None).collect() }
    }

    /// Takes a lane's results. Gradients are added in the order of lanes; buffers that are no longer needed are given back
    /// at once, so that one thread works in the same ones, warm in its cache, from the first lane to the last.
    pub fn take(&mut self, index: usize, lane: Lane, scored: &[Scored], give_back: impl Fn(Lane)) {
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

impl Lane {
    /// Scores of a chunk; adds the gradient of the objective, if there is one, to the lane's.
    pub fn run(
        &mut self,
        shape: &ModelShape,
        weights: &Weights,
        batch: Batch,
        chunk: &Chunk,
        objective: Option<Objective>,
    ) -> Scored {
        let range = chunk.tokens.clone();
        let (d, vocab, n) = (shape.hidden, shape.vocab, range.len());
        let ids = &batch.ids[range.clone()];
        let starts = chunk.local();
        forward(shape, weights, ids, &starts, &mut self.tape);

        // The head, only where there is a target: logits, scores, objective and gradient of one block of rows after another.
        let (mut logprob, mut entropy, mut d_logprob) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut reached = false;
        let Lane { tape, buffers, grads, head, d_final } = self;
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
}
