//! The batch of one thread: sequences that decode together, and their caches.
//!
//! Runs the trainer's kernels, one row a live sequence, so that a sampled token's log-probability is the trainer's to the
//! bit. A prompt is run once for all its samples, which share its keys and values: their queries are one product, and the
//! prompt is read from cache once a step and not once a sample. A finished sequence leaves the batch and makes room for
//! the next sample, or the next prompt. Nothing is allocated per token but what is returned.

use super::Decoder;
use super::attention::{qkv_width, score_scale};
use super::forward::{Projected, Tape, embed, feed_forward, forward, linear, norm, project, residual, size};
use super::generate::{Completion, Sampling, StopReason, draw};
use super::kernel::gemm::{Into, PANEL, clear_tail, gemm, pack, pack_transposed, panels_len};
use super::kernel::softmax::{multiply, softmax};
use crate::recipe::{ModelShape, Rng};
use std::collections::VecDeque;
use std::ops::Range;

/// A job that is to be admitted, with a generator for each of its samples.
pub struct Arrival<'a> {
    pub job: usize,
    pub ids: &'a [u32],
    pub rngs: Vec<Rng>,
}

/// One sequence and its part of the cache.
struct Sequence {
    /// Which of the job's samples it is.
    sample: usize,
    rng: Rng,
    completion: Completion,
    slot: usize,
}

impl Sequence {
    /// New tokens, of which a step caches the keys and values of the last.
    fn drawn(&self) -> usize {
        self.completion.tokens.len()
    }
}

/// The samples of one job. Those that are live are consecutive rows of the batch.
struct Family {
    job: usize,
    /// Length of the prompt.
    prompt: usize,
    /// Keys `[layer][kv_head]` in panels of positions, values `[layer][kv_head]` in panels of the head.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// What every sample's first token is drawn from.
    logits: Vec<f32>,
    /// Samples that have not begun, and their generators.
    waiting: VecDeque<(usize, Rng)>,
    live: Vec<Sequence>,
    done: Vec<(usize, Completion)>,
}

/// The batch of one thread.
pub struct Live<'a> {
    decoder: &'a Decoder,
    sampling: &'a Sampling,
    ends: &'a (dyn Fn(&[u32]) -> bool + Sync),
    families: Vec<Family>,
    /// New tokens that a slot has room for.
    capacity: usize,
    /// Caches of new tokens, a slot a sequence, laid out as a family's.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    free: Vec<usize>,
    tape: Tape,
    x: Vec<f32>,
    normed: Vec<f32>,
    inverse: Vec<f32>,
    heads: Projected,
    positions: Vec<usize>,
    scores: Vec<f32>,
    norms: Vec<[f32; 2]>,
    attended: Vec<f32>,
    gate_up: Vec<f32>,
    activated: Vec<f32>,
    logits: Vec<f32>,
    weights: Vec<f32>,
}

impl<'a> Live<'a> {
    pub fn new(decoder: &'a Decoder, sampling: &'a Sampling, ends: &'a (dyn Fn(&[u32]) -> bool + Sync)) -> Live<'a> {
        Live {
            decoder,
            sampling,
            ends,
            families: vec![],
            capacity: sampling.max_new.next_multiple_of(PANEL),
            keys: vec![],
            values: vec![],
            free: vec![],
            tape: Tape::default(),
            x: vec![],
            normed: vec![],
            inverse: vec![],
            heads: Projected::default(),
            positions: vec![],
            scores: vec![],
            norms: vec![],
            attended: vec![],
            gate_up: vec![],
            activated: vec![],
            logits: vec![],
            weights: vec![],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    pub fn rows(&self) -> usize {
        self.families.iter().map(|family| family.live.len()).sum()
    }

    /// Runs prompts, together; their samples are yet to begin.
    pub fn admit(&mut self, wave: Vec<Arrival>) {
        assert!(wave.iter().all(|arrival| !arrival.ids.is_empty()), "a prompt has at least one token");
        let (shape, weights) = (self.decoder.shape(), self.decoder.weights());
        let (d, width) = (shape.hidden, qkv_width(shape));
        let (mut ids, mut starts) = (vec![], vec![0]);
        for arrival in &wave {
            ids.extend_from_slice(arrival.ids);
            starts.push(ids.len());
        }
        forward(shape, weights, &ids, &starts, &mut self.tape);
        self.normed.clear();
        starts[1..].iter().for_each(|end| self.normed.extend_from_slice(&self.tape.normed[(end - 1) * d..end * d]));
        linear(&self.normed, &weights.head, size(&mut self.logits, wave.len() * shape.vocab), Into::Replace);
        weights.round(&mut self.logits);
        for (index, arrival) in wave.into_iter().enumerate() {
            let rows = starts[index] * width..starts[index + 1] * width;
            let (keys, values) = caches(shape, &self.tape, rows);
            let prompt = arrival.ids.len();
            let logits = self.logits[index * shape.vocab..][..shape.vocab].to_vec();
            let waiting = arrival.rngs.into_iter().enumerate().collect();
            let (live, done) = (vec![], vec![]);
            self.families.push(Family { job: arrival.job, prompt, keys, values, logits, waiting, live, done });
        }
    }

    /// Begins samples that wait, in order, until `together` are live.
    pub fn fill(&mut self, together: usize) {
        loop {
            let mut room = together.saturating_sub(self.rows());
            let before = room;
            for index in 0..self.families.len() {
                while room > 0
                    && let Some((sample, rng)) = self.families[index].waiting.pop_front()
                {
                    let sequence = self.begin(index, sample, rng);
                    self.families[index].live.push(sequence);
                    room -= 1;
                }
            }
            if room == before {
                return;
            }
            // A first token may be the last, and leaves room again.
            self.retire();
        }
    }

    /// A sequence with a slot of the cache and its first token.
    fn begin(&mut self, family: usize, sample: usize, mut rng: Rng) -> Sequence {
        let shape = self.decoder.shape();
        let (dim, heads) = (shape.head_dim, shape.layers * shape.kv_heads);
        let room = self.sampling.max_new.min(1 << 12);
        let mut completion = Completion {
            tokens: Vec::with_capacity(room),
            logprobs: Vec::with_capacity(room),
            entropy: Vec::with_capacity(room),
            stop: StopReason::Length,
        };
        if self.sampling.max_new > 0 {
            draw(&mut rng, &mut completion, &self.families[family].logits, self.sampling, &mut self.weights);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.keys.push(vec![0.0; heads * panels_len(dim, self.capacity)]);
            self.values.push(vec![0.0; heads * panels_len(self.capacity, dim)]);
            self.keys.len() - 1
        });
        Sequence { sample, rng, completion, slot }
    }

    /// Takes sequences that have ended out of the batch.
    fn retire(&mut self) {
        for family in &mut self.families {
            let ended = |s: &Sequence| {
                let tokens = &s.completion.tokens;
                s.completion.stop == StopReason::Eos || tokens.len() >= self.sampling.max_new || (self.ends)(tokens)
            };
            for sequence in family.live.extract_if(.., |sequence| ended(sequence)) {
                self.free.push(sequence.slot);
                family.done.push((sequence.sample, sequence.completion));
            }
        }
    }

    /// Jobs whose samples have all ended, with their completions in order.
    pub fn take_finished(&mut self) -> Vec<(usize, Vec<Completion>)> {
        let finished = self.families.extract_if(.., |family| family.live.is_empty() && family.waiting.is_empty());
        let in_order = |mut family: Family| {
            family.done.sort_by_key(|(sample, _)| *sample);
            (family.job, family.done.into_iter().map(|(_, completion)| completion).collect())
        };
        finished.map(in_order).collect()
    }

    /// Runs the decoder on the last token of every live sequence and draws the next.
    pub fn step(&mut self) {
        let (shape, weights, n) = (self.decoder.shape(), self.decoder.weights(), self.rows());
        if n == 0 {
            return;
        }
        let (d, eps) = (shape.hidden, shape.norm_eps as f32);
        self.positions.clear();
        for family in &self.families {
            self.positions.extend(family.live.iter().map(|sequence| family.prompt + sequence.drawn() - 1));
        }
        let last = |sequence: &Sequence| *sequence.completion.tokens.last().expect("a token was drawn");
        let ids = self.families.iter().flat_map(|family| family.live.iter().map(last));
        embed(shape, weights, ids, size(&mut self.x, n * d));
        size(&mut self.normed, n * d);
        size(&mut self.inverse, n);
        for layer in 0..shape.layers {
            let (at, packed) = (&weights.layout.layers[layer], &weights.packed[layer]);
            norm(weights, &at.norm1, eps, &self.x, &mut self.normed, &mut self.inverse);
            project(shape, weights, layer, &self.normed, &self.positions, &mut self.heads);
            self.attend(layer);
            weights.round(&mut self.attended);
            let spare = &mut self.tape.spare;
            residual(weights, &self.attended, &packed.o, &mut self.x, spare);
            norm(weights, &at.norm2, eps, &self.x, &mut self.normed, &mut self.inverse);
            let (gate_up, activated) = (&mut self.gate_up, &mut self.activated);
            feed_forward(shape, weights, layer, &self.normed, gate_up, activated, &mut self.x, spare);
        }
        norm(weights, &weights.layout.norm, eps, &self.x, &mut self.normed, &mut self.inverse);
        linear(&self.normed, &weights.head, size(&mut self.logits, n * shape.vocab), Into::Replace);
        weights.round(&mut self.logits);
        let rows = self.logits.chunks_exact(shape.vocab);
        for (sequence, logits) in self.families.iter_mut().flat_map(|family| &mut family.live).zip(rows) {
            draw(&mut sequence.rng, &mut sequence.completion, logits, self.sampling, &mut self.weights);
        }
        self.retire();
    }

    /// Remembers the new keys and values of one layer, and attends to all so far.
    fn attend(&mut self, layer: usize) {
        let shape = self.decoder.shape();
        let (dim, group, capacity) = (shape.head_dim, shape.heads / shape.kv_heads, self.capacity);
        let (width, q_width, scale) = (qkv_width(shape), shape.q_width(), score_scale(shape));
        let (slot_keys, slot_values) = (panels_len(dim, capacity), panels_len(capacity, dim));
        let out = size(&mut self.attended, self.positions.len() * q_width);
        let mut first = 0;
        for family in &self.families {
            let (rows, prompt) = (family.live.len(), family.prompt);
            if rows == 0 {
                continue;
            }
            let (key_len, value_len) = (panels_len(dim, prompt), panels_len(prompt, dim));
            let ld = (prompt + family.live.iter().map(Sequence::drawn).max().unwrap_or(0)).next_multiple_of(PANEL);
            let qkv = &self.heads.qkv[first * width..(first + rows) * width];
            let out = &mut out[first * q_width..(first + rows) * q_width];
            first += rows;
            let scores = size(&mut self.scores, rows * group * ld);
            // Products with the prompt, their rows, and how far rows are apart: all samples of one query head after
            // another, or all query heads of a lone sample at once.
            let (products, count, q_ld, s_ld, o_ld) =
                if rows == 1 { (1, group, dim, ld, dim) } else { (group, rows, width, group * ld, q_width) };
            for kv in 0..shape.kv_heads {
                let (index, (k_at, v_at)) = (layer * shape.kv_heads + kv, kv_at(shape, kv));
                // Scores of the prompt: one product for all samples of a query head; then of each sample's own tokens.
                let keys = &family.keys[index * key_len..(index + 1) * key_len];
                for g in 0..products {
                    let queries = &qkv[(kv * group + g) * dim..];
                    gemm(queries, q_ld, count, dim, keys, dim, prompt, &mut scores[g * ld..], s_ld, Into::Replace);
                }
                for (row, sequence) in family.live.iter().enumerate() {
                    let new = sequence.drawn();
                    let keys = &mut self.keys[sequence.slot][index * slot_keys..(index + 1) * slot_keys];
                    let values = &mut self.values[sequence.slot][index * slot_values..(index + 1) * slot_values];
                    let qkv = &qkv[row * width..(row + 1) * width];
                    pack_transposed(&qkv[k_at..k_at + dim], dim, dim, 1, new - 1, keys);
                    pack(&qkv[v_at..v_at + dim], 1, dim, dim, new - 1, capacity, values);
                    let (queries, scores) = (&qkv[kv * group * dim..], &mut scores[row * group * ld + prompt..]);
                    gemm(queries, dim, group, dim, keys, dim, new, scores, ld, Into::Replace);
                }
                self.norms.clear();
                for (scores, sequence) in scores.chunks_exact_mut(group * ld).zip(&family.live) {
                    let seen = prompt + sequence.drawn();
                    for scores in scores.chunks_exact_mut(ld) {
                        self.norms.push(softmax(&mut scores[..seen], seen, scale));
                    }
                }
                // Outputs, in the same order of positions.
                let values = &family.values[index * value_len..(index + 1) * value_len];
                for g in 0..products {
                    let out = &mut out[(kv * group + g) * dim..];
                    gemm(&scores[g * ld..], s_ld, count, prompt, values, prompt, dim, out, o_ld, Into::Replace);
                }
                for (row, sequence) in family.live.iter().enumerate() {
                    let values = &self.values[sequence.slot][index * slot_values..(index + 1) * slot_values];
                    let out = &mut out[row * q_width + kv * group * dim..][..group * dim];
                    let scores = &scores[row * group * ld + prompt..];
                    gemm(scores, ld, group, sequence.drawn(), values, capacity, dim, out, dim, Into::Add);
                    for (out, norm) in out.chunks_exact_mut(dim).zip(&self.norms[row * group..]) {
                        multiply(out, norm[1]);
                    }
                }
            }
        }
    }
}

/// Keys and values of a prompt, `rows` of each layer's tape, as a family keeps them.
fn caches(shape: &ModelShape, tape: &Tape, rows: Range<usize>) -> (Vec<f32>, Vec<f32>) {
    let (dim, width) = (shape.head_dim, qkv_width(shape));
    let n = rows.len() / width;
    let (key_len, value_len) = (panels_len(dim, n), panels_len(n, dim));
    let heads = shape.layers * shape.kv_heads;
    let (mut keys, mut values) = (vec![0.0; heads * key_len], vec![0.0; heads * value_len]);
    for (index, (keys, values)) in keys.chunks_exact_mut(key_len).zip(values.chunks_exact_mut(value_len)).enumerate() {
        let (k_at, v_at) = kv_at(shape, index % shape.kv_heads);
        let qkv = &tape.layers[index / shape.kv_heads].heads.qkv[rows.clone()];
        pack_transposed(&qkv[k_at..], dim, width, n, 0, keys);
        clear_tail(dim, n, keys);
        pack(&qkv[v_at..], n, dim, width, 0, n, values);
    }
    (keys, values)
}

/// Where a head's key and value start in a row of queries, keys and values.
fn kv_at(shape: &ModelShape, head: usize) -> (usize, usize) {
    let key = shape.q_width() + head * shape.head_dim;
    (key, key + shape.kv_width())
}
