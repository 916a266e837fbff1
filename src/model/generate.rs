//! Sampling with a key-value cache.
//!
//! Runs the trainer's kernels, one row a live sequence, so that a sampled token's log-probability is the trainer's to the
//! bit. A prompt is run once for all its samples; a finished sequence leaves the batch; nothing is allocated per token.

use super::Decoder;
use super::attention::Heads;
use super::forward::{Tape, forward, size};
use super::kernel::elementwise::{add, add_bias, swiglu};
use super::kernel::gemm::{Left, Right, gemm, product};
use super::kernel::head::{exponentials, finish};
use super::kernel::norm::rms_norm;
use super::kernel::rope::rotate;
use super::kernel::softmax::{exp, softmax};
use crate::recipe::Rng;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sequences that decode together.
const TOGETHER: usize = 64;

/// A prompt, prefilled once and shared by its samples.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// At least one token.
    pub ids: Vec<u32>,
    pub samples: usize,
}

#[derive(Debug, Clone)]
pub struct Sampling {
    /// Logits are divided by this; 0 is greedy (the first of equal maxima).
    pub temperature: f32,
    /// Longest completion in tokens, the end token included.
    pub max_new: usize,
    pub eos: u32,
    /// Tokens that are never drawn.
    pub banned: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The end token was drawn.
    Eos,
    /// The longest length was reached.
    Length,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// New tokens, the end token included if it was drawn.
    pub tokens: Vec<u32>,
    /// Of the model itself at temperature 1 with nothing banned; bitwise equal to [`Decoder::scores`].
    pub logprobs: Vec<f32>,
    pub entropy: Vec<f32>,
    pub stop: StopReason,
}

/// Draws `samples` completions of each prompt, in the order of prompts and samples.
///
/// `draw(prompt, sample)` gives each completion its own generator, of which every token takes one `f32`. Bitwise
/// independent of `threads` and of the other prompts.
pub fn generate(
    decoder: &Decoder,
    prompts: &[Prompt],
    sampling: &Sampling,
    draw: &(dyn Fn(usize, usize) -> Rng + Sync),
    threads: usize,
) -> Vec<Vec<Completion>> {
    let jobs = jobs(prompts);
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Vec<Completion>>> = jobs.iter().map(|_| Mutex::default()).collect();
    let work = || {
        let mut tape = Tape::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            *done[index].lock().expect("no job panicked") =
                Batch::new(decoder, prompts, job, sampling, draw, &mut tape).run();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut completions: Vec<Vec<Completion>> =
        prompts.iter().map(|prompt| Vec::with_capacity(prompt.samples)).collect();
    for (job, done) in jobs.iter().zip(done) {
        let mut done = done.into_inner().expect("no job panicked").into_iter();
        for part in job {
            completions[part.prompt].extend(done.by_ref().take(part.samples.len()));
        }
    }
    completions
}

/// Some samples of one prompt.
struct Part {
    prompt: usize,
    samples: std::ops::Range<usize>,
}

/// Deals samples to batches of at most [`TOGETHER`] sequences, in order.
fn jobs(prompts: &[Prompt]) -> Vec<Vec<Part>> {
    let mut jobs: Vec<Vec<Part>> = Vec::new();
    let mut room = 0;
    for (prompt, Prompt { samples, .. }) in prompts.iter().enumerate() {
        let mut first = 0;
        while first < *samples {
            if room == 0 {
                jobs.push(Vec::new());
                room = TOGETHER;
            }
            let last = (*samples).min(first + room);
            jobs.last_mut().expect("just pushed").push(Part { prompt, samples: first..last });
            room -= last - first;
            first = last;
        }
    }
    jobs
}

/// One sequence of a batch.
struct Sequence {
    rng: Rng,
    /// Tokens whose keys and values are cached.
    length: usize,
    completion: Completion,
}

/// Sequences that decode together, with their cache.
struct Batch<'a> {
    decoder: &'a Decoder,
    sampling: &'a Sampling,
    sequences: Vec<Sequence>,
    /// Positions that each sequence has room for.
    capacity: usize,
    /// Keys `[layer][sequence][kv_head][head_dim][capacity]` and values `[layer][sequence][kv_head][capacity][head_dim]`.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Final hidden states of the live sequences, from which the next token is drawn.
    hidden: Vec<f32>,
    logits: Vec<f32>,
    shares: Vec<f32>,
}

impl<'a> Batch<'a> {
    /// Runs the prompts and fills the cache.
    fn new(
        decoder: &'a Decoder,
        prompts: &[Prompt],
        parts: &[Part],
        sampling: &'a Sampling,
        draw: &(dyn Fn(usize, usize) -> Rng + Sync),
        tape: &mut Tape,
    ) -> Batch<'a> {
        let shape = decoder.shape();
        let longest = parts.iter().map(|part| prompts[part.prompt].ids.len()).max().unwrap_or(0);
        let capacity = (longest + sampling.max_new).next_multiple_of(16);
        let count: usize = parts.iter().map(|part| part.samples.len()).sum();
        let cache = shape.layers * count * shape.kv_width() * capacity;
        let mut batch = Batch {
            decoder,
            sampling,
            sequences: Vec::with_capacity(count),
            capacity,
            keys: vec![0.0; cache],
            values: vec![0.0; cache],
            hidden: Vec::new(),
            logits: Vec::new(),
            shares: Vec::new(),
        };
        for part in parts {
            let ids = &prompts[part.prompt].ids;
            assert!(!ids.is_empty(), "a prompt has at least one token");
            forward(shape, decoder.weights(), ids, &[0, ids.len()], tape);
            for sample in part.samples.clone() {
                let sequence = batch.sequences.len();
                for (layer, saved) in tape.layers.iter().enumerate() {
                    for position in 0..ids.len() {
                        let row = position * shape.kv_width()..(position + 1) * shape.kv_width();
                        batch.remember(count, layer, sequence, position, &saved.k[row.clone()], &saved.v[row]);
                    }
                }
                batch.hidden.extend_from_slice(&tape.normed[(ids.len() - 1) * shape.hidden..]);
                let completion =
                    Completion { tokens: vec![], logprobs: vec![], entropy: vec![], stop: StopReason::Length };
                batch.sequences.push(Sequence { rng: draw(part.prompt, sample), length: ids.len(), completion });
            }
        }
        batch
    }

    /// Where the cache of one layer, sequence and key-value head starts.
    fn at(&self, count: usize, layer: usize, sequence: usize, kv_head: usize) -> usize {
        let shape = self.decoder.shape();
        ((layer * count + sequence) * shape.kv_heads + kv_head) * shape.head_dim * self.capacity
    }

    fn remember(&mut self, count: usize, layer: usize, sequence: usize, position: usize, k: &[f32], v: &[f32]) {
        let shape = self.decoder.shape();
        let dim = shape.head_dim;
        for kv_head in 0..shape.kv_heads {
            let at = self.at(count, layer, sequence, kv_head);
            let head = kv_head * dim..(kv_head + 1) * dim;
            for (index, value) in k[head.clone()].iter().enumerate() {
                self.keys[at + index * self.capacity + position] = *value;
            }
            self.values[at + position * dim..at + (position + 1) * dim].copy_from_slice(&v[head]);
        }
    }

    fn run(mut self) -> Vec<Completion> {
        let count = self.sequences.len();
        let mut live: Vec<usize> = (0..count).collect();
        let mut step = Step::default();
        for index in 0..self.sampling.max_new {
            self.draw(&mut live);
            if live.is_empty() || index + 1 == self.sampling.max_new {
                break;
            }
            self.advance(&live, &mut step);
        }
        self.sequences.into_iter().map(|sequence| sequence.completion).collect()
    }

    /// Draws a token for every live sequence from its row of `hidden`; those that end leave `live`.
    fn draw(&mut self, live: &mut Vec<usize>) {
        let vocab = self.decoder.shape().vocab;
        gemm(&self.hidden, &self.decoder.weights().head, size(&mut self.logits, live.len() * vocab), false);
        let mut row = 0;
        live.retain(|sequence| {
            let logits = &self.logits[row * vocab..(row + 1) * vocab];
            row += 1;
            let Sequence { rng, completion, .. } = &mut self.sequences[*sequence];
            let token = pick(logits, self.sampling, rng.f32(), &mut self.shares);
            self.shares.clear();
            self.shares.extend_from_slice(logits);
            let (logprob, entropy) = finish(logits[token], exponentials(&mut self.shares));
            completion.tokens.push(token as u32);
            completion.logprobs.push(logprob);
            completion.entropy.push(entropy);
            if token as u32 == self.sampling.eos {
                completion.stop = StopReason::Eos;
            }
            completion.stop != StopReason::Eos
        });
    }

    /// Runs the decoder on the last token of every live sequence; `hidden` receives the final states.
    fn advance(&mut self, live: &[usize], step: &mut Step) {
        let (shape, weights, count, n) =
            (self.decoder.shape(), self.decoder.weights(), self.sequences.len(), live.len());
        let (d, q_width, kv_width, dim) = (shape.hidden, shape.q_width(), shape.kv_width(), shape.head_dim);
        let (eps, heads, capacity) = (shape.norm_eps as f32, Heads::new(shape), self.capacity);
        let Step { x, normed, inverse, q, k, v, raw, attended, branch, gate, up, activated, scores } = step;
        let embed = weights.get(&weights.layout.embed);
        for (row, sequence) in size(x, n * d).chunks_exact_mut(d).zip(live) {
            let id = *self.sequences[*sequence].completion.tokens.last().expect("a token was drawn") as usize;
            row.copy_from_slice(&embed[id * d..(id + 1) * d]);
        }
        let rotation = weights.rotation(capacity);
        size(normed, n * d);
        for (layer, (at, packed)) in weights.layout.layers.iter().zip(&weights.packed).enumerate() {
            rms_norm(x, weights.get(&at.norm1), eps, normed, size(inverse, n));
            gemm(normed, &packed.q, size(q, n * q_width), false);
            gemm(normed, &packed.k, size(k, n * kv_width), false);
            gemm(normed, &packed.v, size(v, n * kv_width), false);
            if let Some([q_bias, k_bias, v_bias]) = &at.biases {
                add_bias(q, weights.get(q_bias));
                add_bias(k, weights.get(k_bias));
                add_bias(v, weights.get(v_bias));
            }
            if let Some([q_norm, k_norm]) = &at.qk_norms {
                for (values, gain) in [(&mut *q, q_norm), (&mut *k, k_norm)] {
                    raw.clear();
                    raw.extend_from_slice(values);
                    rms_norm(raw, weights.get(gain), eps, values, size(inverse, raw.len() / dim));
                }
            }
            for (row, sequence) in live.iter().enumerate() {
                let position = self.sequences[*sequence].length;
                let angles = position * rotation.half..(position + 1) * rotation.half;
                let (cos, sin) = (&rotation.cos[angles.clone()], &rotation.sin[angles]);
                rotate(&mut q[row * q_width..(row + 1) * q_width], cos, sin);
                rotate(&mut k[row * kv_width..(row + 1) * kv_width], cos, sin);
                let new = row * kv_width..(row + 1) * kv_width;
                self.remember(count, layer, *sequence, position, &k[new.clone()], &v[new]);
            }
            size(attended, n * q_width);
            size(scores, heads.group() * capacity);
            for (row, sequence) in live.iter().enumerate() {
                let seen = self.sequences[*sequence].length + 1;
                for kv_head in 0..shape.kv_heads {
                    let cache = self.at(count, layer, *sequence, kv_head);
                    let at = row * q_width + kv_head * heads.group() * dim;
                    let queries = Left { data: &q[at..], row_stride: dim, step: 1 };
                    let keys = Right { data: &self.keys[cache..cache + dim * capacity], stride: capacity };
                    product(queries, keys, [heads.group(), dim, seen], scores, capacity, false);
                    for scores in scores.chunks_exact_mut(capacity) {
                        softmax(&mut scores[..seen], heads.scale);
                    }
                    let shares = Left { data: scores, row_stride: capacity, step: 1 };
                    let values = Right { data: &self.values[cache..cache + dim * capacity], stride: dim };
                    product(shares, values, [heads.group(), seen, dim], &mut attended[at..], dim, false);
                }
            }
            gemm(attended, &packed.o, size(branch, n * d), false);
            add(x, branch);
            rms_norm(x, weights.get(&at.norm2), eps, normed, size(inverse, n));
            gemm(normed, &packed.gate, size(gate, n * shape.ffn), false);
            gemm(normed, &packed.up, size(up, n * shape.ffn), false);
            swiglu(gate, up, size(activated, n * shape.ffn));
            gemm(activated, &packed.down, branch, false);
            add(x, branch);
        }
        for sequence in live {
            self.sequences[*sequence].length += 1;
        }
        rms_norm(x, weights.get(&weights.layout.norm), eps, size(&mut self.hidden, n * d), size(inverse, n));
    }
}

/// Buffers of one decode step.
#[derive(Default)]
struct Step {
    x: Vec<f32>,
    normed: Vec<f32>,
    inverse: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    raw: Vec<f32>,
    attended: Vec<f32>,
    branch: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    activated: Vec<f32>,
    scores: Vec<f32>,
}

/// The token that `uniform` falls on when probabilities are laid end to end in the order of ids.
fn pick(logits: &[f32], sampling: &Sampling, uniform: f32, shares: &mut Vec<f32>) -> usize {
    let allowed = |token: usize| !sampling.banned.contains(&(token as u32));
    let mut best = None;
    for (token, logit) in logits.iter().enumerate() {
        if best.is_none_or(|best: usize| *logit > logits[best]) && allowed(token) {
            best = Some(token);
        }
    }
    let best = best.expect("some token is allowed");
    if sampling.temperature == 0.0 {
        return best;
    }
    shares.clear();
    let (top, sharpness) = (logits[best], 1.0 / sampling.temperature);
    shares.extend(logits.iter().map(|logit| exp((logit - top) * sharpness)));
    for banned in &sampling.banned {
        if let Some(share) = shares.get_mut(*banned as usize) {
            *share = 0.0;
        }
    }
    let mut left = uniform as f64 * shares.iter().map(|share| *share as f64).sum::<f64>();
    for (token, share) in shares.iter().enumerate() {
        left -= *share as f64;
        if left < 0.0 {
            return token;
        }
    }
    best
}
