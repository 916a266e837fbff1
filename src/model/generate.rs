//! Sampling: what is drawn, by which thread, and how much of it together. The batch itself is `live`.
//!
//! Only so many sequences decode together as the last-level cache holds beside the weights (`together`): a step reads
//! all their keys and values once, and from memory that takes longer than the arithmetic. Prefetching them and rows of
//! values side by side were tried and changed nothing.

use super::Decoder;
use super::device::{self, DeviceError};
use super::kernel::gemm::TILE;
use super::kernel::head::{argmax, exponentials, finish, pick, temper};
use super::live::{Arrival, Live};
use crate::fault;
use crate::recipe::{ModelShape, Rng};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sequences of a thread that decode together, at most.
const TOGETHER: usize = 64;
/// Weights up to so many bytes stay in the last-level cache from step to step, and with them the caches of a few sequences.
const NEAR_WEIGHTS: u64 = 16 << 20;
/// What the caches of those few may take, in bytes, and be read at the speed of the last-level cache.
const NEAR_CACHES: usize = 3 << 20;
/// Fewer rows have too few sums to keep the processor's units busy.
const FEWEST: usize = 4;
/// Prompts are run together up to about so many tokens: weights are read once for all of them.
const PREFILL: usize = 256;

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
    /// The longest length was reached, or the caller said that it ends.
    Length,
}

/// Somebody who looks on while completions are drawn.
pub struct Watch<'a> {
    /// Whether a completion ends with its newest token (a stop string, say), besides at the end token. Asked after every
    /// token, of all tokens so far.
    pub ends: &'a (dyn Fn(&[u32]) -> bool + Sync),
    /// Completions as they are done: which prompt, its first sample among them, and they. In no order.
    pub done: &'a (dyn Fn(usize, usize, &[Completion]) + Sync),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// New tokens, the end token included if it was drawn.
    pub tokens: Vec<u32>,
    /// Of the model itself, at temperature 1 and with nothing banned, whatever it was drawn with; bitwise equal to
    /// [`Decoder::scores`]. With banned tokens the draw had a higher probability: the shares of the others were divided
    /// by what was left. They are still the log-probabilities whose ratio a policy update needs.
    pub logprobs: Vec<f32>,
    pub entropy: Vec<f32>,
    pub stop: StopReason,
}

/// Draws `samples` completions of each prompt, in the order of prompts and samples.
///
/// `draw(prompt, sample)` gives each completion its own generator, of which every token takes one `f32`. Bitwise
/// independent of `threads` and of the other prompts. Only a device can fail.
pub fn generate(
    decoder: &Decoder,
    prompts: &[Prompt],
    sampling: &Sampling,
    draw: &(dyn Fn(usize, usize) -> Rng + Sync),
    threads: usize,
) -> Result<Vec<Vec<Completion>>, DeviceError> {
    let watch = Watch { ends: &|_| false, done: &|_, _, _| {} };
    // A device knows itself how many it can hold.
    let live = if decoder.on_device().is_some() { usize::MAX } else { threads.max(1) * TOGETHER };
    generate_watched(decoder, prompts, sampling, draw, threads, live, &watch)
}

/// As [`generate`], with at most `live` sequences at once in all threads (a matter of memory and speed alone), and with
/// somebody who looks on.
pub fn generate_watched(
    decoder: &Decoder,
    prompts: &[Prompt],
    sampling: &Sampling,
    draw: &(dyn Fn(usize, usize) -> Rng + Sync),
    threads: usize,
    live: usize,
    watch: &Watch,
) -> Result<Vec<Vec<Completion>>, DeviceError> {
    if let Some(on) = decoder.on_device() {
        return device::Sampler { decoder, on, sampling, draw, watch }.run(prompts, live);
    }
    let samples = prompts.iter().map(|prompt| prompt.samples).sum::<usize>().min(live);
    let share = samples.div_ceil(threads.max(1)).clamp(1, TOGETHER);
    let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0) + sampling.max_new;
    let together = share.min(together(decoder.shape(), longest));
    let jobs = jobs(prompts, share);
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Vec<Completion>>> = jobs.iter().map(|_| Mutex::default()).collect();
    let work = || {
        let mut live = Live::new(decoder, sampling, watch.ends);
        loop {
            loop {
                live.fill(together);
                let (mut wave, mut rows, mut tokens) = (vec![], live.rows(), 0);
                while tokens < PREFILL && rows < together {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let ids = &prompts[job.prompt].ids[..];
                    rows += job.len();
                    tokens += ids.len();
                    let rngs = job.samples.clone().map(|sample| draw(job.prompt, sample)).collect();
                    wave.push(Arrival { job: index, ids, rngs });
                }
                if wave.is_empty() {
                    break;
                }
                live.admit(wave);
            }
            for (index, completions) in live.take_finished() {
                let job = &jobs[index];
                (watch.done)(job.prompt, job.samples.start, &completions);
                *done[index].lock().expect("no job panicked") = completions;
            }
            if live.is_empty() && next.load(Ordering::Relaxed) >= jobs.len() {
                return;
            }
            fault::point("mid-rollout");
            live.step();
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
        completions[job.prompt].extend(done.into_inner().expect("no job panicked"));
    }
    Ok(completions)
}

/// How many sequences of up to `longest` tokens decode together. A matter of speed alone.
///
/// Measured with 32 tokens asked and 96 drawn: 3.1M parameters draw half as many tokens again a second with four together as
/// with sixty-four, 0.5M are fastest with twelve, and 12M, whose weights come from memory at every step, with all.
fn together(shape: &ModelShape, longest: usize) -> usize {
    if shape.parameters() * 4 > NEAR_WEIGHTS {
        return TOGETHER;
    }
    let cache = longest * shape.layers * 2 * shape.kv_width() * 4;
    (NEAR_CACHES / cache.max(1) / TILE * TILE).clamp(FEWEST, TOGETHER)
}

/// Some samples of one prompt, which share its cache.
pub(super) struct Job {
    pub prompt: usize,
    pub samples: Range<usize>,
}

impl Job {
    pub fn len(&self) -> usize {
        self.samples.len()
    }
}

/// The samples of each prompt, cut where they are more than decode together.
pub(super) fn jobs(prompts: &[Prompt], together: usize) -> Vec<Job> {
    let cut = |(prompt, Prompt { samples, .. }): (usize, &Prompt)| {
        let samples = *samples;
        (0..samples).step_by(together).map(move |first| Job { prompt, samples: first..samples.min(first + together) })
    };
    prompts.iter().enumerate().flat_map(cut).collect()
}

/// Draws a sequence's next token from a row of logits.
pub(super) fn draw(
    rng: &mut Rng,
    completion: &mut Completion,
    logits: &[f32],
    sampling: &Sampling,
    weights: &mut Vec<f32>,
) {
    let fill = |weights: &mut Vec<f32>| {
        weights.clear();
        weights.extend_from_slice(logits);
    };
    let uniform = rng.f32();
    let plain = sampling.temperature == 1.0 && sampling.banned.is_empty();
    fill(weights);
    let token = if plain {
        None
    } else {
        for banned in &sampling.banned {
            if let Some(logit) = weights.get_mut(*banned as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let token = if sampling.temperature == 0.0 {
            argmax(weights)
        } else {
            temper(weights, sampling.temperature);
            pick(weights, uniform)
        };
        fill(weights);
        Some(token)
    };
    let sums = exponentials(weights);
    let token = token.unwrap_or_else(|| pick(weights, uniform));
    let (logprob, entropy) = finish(logits[token], sums);
    completion.tokens.push(token as u32);
    completion.logprobs.push(logprob);
    completion.entropy.push(entropy);
    if token as u32 == sampling.eos {
        completion.stop = StopReason::Eos;
    }
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
