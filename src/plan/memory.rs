//! What a stage holds in memory: on this engine, with a GPU attached to it, and on accelerators with the usual arrangement.
//!
//! Sums over what exists at the worst moment, not measurements of an allocator. Measured on SmolLM2-135M
//! (docs/worked-example-smollm2.md): 5.4 GB in reinforcement learning, where this says 5.6; 4.4 GB in training, where it says
//! 4.5. The larger RL run there, on two threads, held 9.0 GB where this says 7.8.
//!
//! The accelerators' is that of a usual trainer, not of `model::device`, which leaves masters and moments on the host: bf16
//! weights and gradients, f32 master weights and moments, all sharded over the devices; activations recomputed layer by layer,
//! one row at a time; generation of as many sequences at once as their caches have room for, as serving engines do it, and the
//! others after them.

use crate::recipe::train::Precision;
use crate::recipe::{Backend, ModelShape, Recipe};

/// Bytes at the worst moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Memory {
    /// With the copies in which products read them.
    pub weights: f64,
    pub gradients: f64,
    /// Of the optimizer, master weights included.
    pub moments: f64,
    pub activations: f64,
    /// Keys and values of sequences being generated.
    pub cache: f64,
    /// Sequences that this cache is for, and those that a step generates; zeros where nothing is generated.
    pub at_once: f64,
    pub sequences: f64,
}

impl Memory {
    pub fn total(&self) -> f64 {
        self.weights + self.gradients + self.moments + self.activations + self.cache
    }
}

/// Tokens that this engine takes through the decoder at once, unless a row is longer; and how many such chunks have
/// buffers of their own (`model::decoder`).
const CHUNK: f64 = 512.0;
const LANES: f64 = 4.0;
/// Sequences that a thread of this engine generates together (`model::generate`).
const TOGETHER: f64 = 64.0;
/// Tokens of a pass of an RL update (`rl::trainer`).
const MICRO_BATCH: f64 = 8192.0;
/// What bounds a pass, a block of logits and what is drawn together on an attached device (`model::device::Limits`).
const PASS: f64 = 8192.0;
const LOGITS: f64 = (1u64 << 26) as f64;
const QUERIES: f64 = 1024.0;
const LIVE: f64 = 256.0;
const CACHE: f64 = (1u64 << 32) as f64;
#[cfg(all(test, feature = "engine"))]
pub(crate) const DEVICE_LIMITS: [f64; 5] = [PASS, LOGITS, QUERIES, LIVE, CACHE];
/// Share of a device that serving engines fill.
const FILLED: f64 = 0.9;
/// Prompt tokens, where nobody knows.
const PROMPT: f64 = super::cost::PROMPT_TOKENS;

/// Floats that the backward pass needs of each token, in all layers.
fn tape(shape: &ModelShape) -> f64 {
    let (d, q, kv, ffn) = (shape.hidden, shape.q_width(), shape.kv_width(), shape.ffn);
    (shape.layers * (4 * d + 2 * q + 2 * kv + 3 * ffn)) as f64
}

/// Keys and values of one token, in numbers.
fn cached(shape: &ModelShape) -> f64 {
    (2 * shape.layers * shape.kv_width()) as f64
}

/// On this engine: f32 throughout. None for stages that hold no model.
pub fn here(recipe: &Recipe, shape: &ModelShape, threads: usize) -> Option<Memory> {
    let model = 4.0 * shape.parameters() as f64;
    let head = 4.0 * (shape.vocab * shape.hidden) as f64;
    // Parameters, and packed for the forward pass; a tied head is packed besides the table.
    let forward = 2.0 * model + if shape.tied { head } else { 0.0 };
    let backward = model + if shape.tied { head } else { 0.0 };
    let generating = |sequences: f64, length: f64, held: Memory| {
        let at_once = sequences.min(threads as f64 * TOGETHER);
        let cache = 4.0 * at_once * (cached(shape) * length + shape.vocab as f64);
        Memory { cache, at_once, sequences, ..held }
    };
    let training = |tokens: f64, longest: f64| {
        let chunk = longest.max(CHUNK.min(tokens));
        let lanes = (tokens / chunk).ceil().clamp(1.0, LANES);
        Memory {
            weights: forward + backward,
            // A sum, and one for each lane.
            gradients: model * (1.0 + lanes),
            moments: 2.0 * model,
            activations: 4.0 * lanes * chunk * tape(shape),
            ..Memory::default()
        }
    };
    Some(match recipe {
        Recipe::Corpus(_) | Recipe::Contamination(_) => return None,
        Recipe::Checkpoint(_) => Memory { weights: forward, ..Memory::default() },
        Recipe::Train(train) => training(train.batch_tokens() as f64, train.row_tokens as f64),
        Recipe::Eval(eval) => {
            let length = PROMPT + eval.protocol.max_new_tokens as f64;
            let sequences = threads as f64 * TOGETHER;
            generating(sequences, length, Memory { weights: forward, ..Memory::default() })
        }
        Recipe::Rl(rl) => {
            let longest = rl.max_response.iter().map(|step| step.max_tokens).max().unwrap_or(0) as f64 + PROMPT;
            let sequences = (rl.prompts_per_step * rl.group_size) as f64;
            let update = sequences / rl.updates_per_step as f64 * longest;
            generating(sequences, longest, training(update.min(MICRO_BATCH), longest))
        }
    })
}

/// On the host, whatever computes. None for stages that hold no model.
pub fn host(recipe: &Recipe, shape: &ModelShape, threads: usize, backend: Backend) -> Option<Memory> {
    let held = here(recipe, shape, threads)?;
    if backend == Backend::Cpu {
        return Some(held);
    }
    // Masters, one gradient, moments. What is packed for the host's products is there while a model is read.
    let model = 4.0 * shape.parameters() as f64;
    Some(match recipe {
        Recipe::Train(_) | Recipe::Rl(_) => {
            Memory { weights: model, gradients: model, moments: held.moments, ..Memory::default() }
        }
        _ => Memory { weights: held.weights, ..Memory::default() },
    })
}

/// On one accelerator attached to the host (`model::device`): weights, the sums of gradients, inputs of all layers and one
/// layer in full, or what is drawn together. None for stages that hold no model.
pub fn attached(recipe: &Recipe, shape: &ModelShape) -> Option<Memory> {
    let parameters = shape.parameters() as f64;
    let table = (shape.vocab * shape.hidden) as f64;
    let weights = |bytes: f64| {
        // The table that tokens are looked up in is f32 whatever products read.
        let heads = if shape.tied && bytes == 4.0 { 0.0 } else { bytes * table };
        let tables = if shape.tied { table } else { 2.0 * table };
        bytes * (parameters - tables) + 4.0 * table + heads
    };
    let training = |bytes: f64, tokens: f64, longest: f64| {
        let tokens = tokens.min(PASS).max(longest);
        let [d, q, kv, ffn] = [shape.hidden, shape.q_width(), shape.kv_width(), shape.ffn].map(|width| width as f64);
        let block = QUERIES.min(longest);
        let shares = shape.heads as f64 * (tokens * (longest + block) / 2.0 + 4.0 * block * longest);
        let layer = tokens * (10.0 * d + 6.0 * q + 6.0 * kv + 9.0 * ffn) + shares;
        let head = 5.0 * LOGITS.min(tokens * shape.vocab as f64);
        Memory {
            weights: weights(bytes),
            // Twice the table's while tokens are counted into it.
            gradients: 4.0 * (parameters + 2.0 * table),
            activations: 4.0 * (tokens * d * shape.layers as f64 + layer.max(head)),
            ..Memory::default()
        }
    };
    let drawing = |sequences: f64, longest: f64| {
        let one = cached(shape) * longest;
        let at_once = sequences.min(LIVE).min((CACHE / one).floor()).max(1.0);
        let activations = 4.0 * 6.0 * at_once * shape.vocab as f64;
        Memory {
            weights: weights(4.0),
            activations,
            cache: 4.0 * at_once * one,
            at_once,
            sequences,
            ..Memory::default()
        }
    };
    Some(match recipe {
        Recipe::Corpus(_) | Recipe::Contamination(_) | Recipe::Checkpoint(_) => return None,
        Recipe::Train(train) => {
            let bytes = if train.precision == Precision::Bf16 { 2.0 } else { 4.0 };
            training(bytes, train.batch_tokens() as f64, train.row_tokens as f64)
        }
        Recipe::Eval(eval) => drawing(LIVE, PROMPT + eval.protocol.max_new_tokens as f64),
        Recipe::Rl(rl) => {
            let longest = rl.max_response.iter().map(|step| step.max_tokens).max().unwrap_or(0) as f64 + PROMPT;
            let sequences = (rl.prompts_per_step * rl.group_size) as f64;
            let update = training(4.0, sequences / rl.updates_per_step as f64 * longest, longest);
            let draw = drawing(sequences, longest);
            // One after the other.
            if draw.total() > update.total() { draw } else { update }
        }
    })
}

/// On each of `count` accelerators with `room` bytes. None for stages that hold no model.
pub fn there(recipe: &Recipe, shape: &ModelShape, count: u64, room: f64) -> Option<Memory> {
    let (model, count) = (shape.parameters() as f64, count as f64);
    let (d, kv, ffn) = (shape.hidden as f64, shape.kv_width() as f64, shape.ffn as f64);
    let training = |row: f64| {
        // Inputs of every layer in bf16, one layer in full, and a thousand rows of logits in f32 with their gradient.
        let layers = 2.0 * row * d * shape.layers as f64;
        let one = 2.0 * row * (6.0 * d + 2.0 * kv + 3.0 * ffn);
        let logits = 8.0 * row.min(1024.0) * shape.vocab as f64;
        Memory {
            weights: 2.0 * model / count,
            gradients: 2.0 * model / count,
            moments: 12.0 * model / count,
            activations: layers + one + logits,
            ..Memory::default()
        }
    };
    let generating = |sequences: f64, length: f64, held: Memory| {
        let sequences = (sequences / count).ceil();
        let one = 2.0 * cached(shape) * length;
        // Whatever else is held, a sequence there must be; then it is the total that does not fit.
        let at_once = ((FILLED * room - held.total()) / one).floor().clamp(1.0, sequences);
        Memory { cache: at_once * one, at_once, sequences, ..held }
    };
    Some(match recipe {
        Recipe::Corpus(_) | Recipe::Contamination(_) | Recipe::Checkpoint(_) => return None,
        Recipe::Train(train) => training(train.row_tokens as f64),
        Recipe::Eval(eval) => {
            let length = PROMPT + eval.protocol.max_new_tokens as f64;
            generating(TOGETHER * count, length, Memory { weights: 2.0 * model, ..Memory::default() })
        }
        Recipe::Rl(rl) => {
            let longest = rl.max_response.iter().map(|step| step.max_tokens).max().unwrap_or(0) as f64 + PROMPT;
            let sequences = (rl.prompts_per_step * rl.group_size) as f64;
            let trained = training(longest);
            // The generator holds the weights whole.
            generating(sequences, longest, Memory { weights: trained.weights + 2.0 * model, ..trained })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;
    use crate::recipe::{Init, Key, Seed};

    fn train(shape: &ModelShape) -> Recipe {
        let init = Init::Random { shape: shape.clone(), embedding_std: 0.02, matrix_std: 0.02, seed: Seed(0) };
        Recipe::Train(sample::train(init, Key::of(b"corpus"), 1000, 0))
    }

    #[test]
    fn training_holds_what_it_says() {
        let shape = sample::shape();
        let model = 4.0 * shape.parameters() as f64;
        let held = here(&train(&shape), &shape, 2).unwrap();
        assert_eq!(held.moments, 2.0 * model);
        assert!(held.weights > 3.0 * model && held.gradients >= 2.0 * model && held.activations > 0.0);
        assert_eq!(held.total(), held.weights + held.gradients + held.moments + held.activations);
        assert_eq!(here(&sample::corpus(1000), &shape, 2), None);
    }

    #[test]
    fn more_devices_share_the_weights_and_not_the_activations() {
        let shape = sample::shape();
        let (one, eight) =
            (there(&train(&shape), &shape, 1, 80e9).unwrap(), there(&train(&shape), &shape, 8, 80e9).unwrap());
        // 16 bytes a parameter: the usual rule.
        assert_eq!(one.weights + one.gradients + one.moments, 16.0 * shape.parameters() as f64);
        assert_eq!(one.moments, 8.0 * eight.moments);
        assert_eq!(one.activations, eight.activations);
    }

    #[test]
    fn a_device_generates_as_many_sequences_at_once_as_it_has_room_for() {
        let shape = sample::shape();
        let rl = sample::trial("a", 1, 0).stages.iter().find(|stage| stage.name == "rl").unwrap().recipe.clone();
        let held = |room: f64| there(&rl, &shape, 1, room).unwrap();
        let all = held(80e9);
        assert_eq!(all.at_once, all.sequences);
        let one = all.cache / all.sequences;
        let beside = all.total() - all.cache;
        // Room for two and a half: two.
        let some = held((beside + 2.5 * one) / FILLED);
        assert_eq!((some.at_once, some.sequences), (2.0, all.sequences));
        assert!((some.cache - 2.0 * one).abs() < 1.0 && some.total() - some.cache == beside);
        // No room for any: the total says so.
        let none = held(beside / 2.0);
        assert!(none.at_once == 1.0 && none.total() > beside / 2.0);
    }

    #[test]
    fn an_attached_device_holds_what_its_host_does_not() {
        let shape = sample::shape();
        let parameters = shape.parameters() as f64;
        let host = |backend| host(&train(&shape), &shape, 2, backend).unwrap();
        assert_eq!(host(Backend::Cuda).total(), 16.0 * parameters);
        assert_eq!(Some(host(Backend::Cpu)), here(&train(&shape), &shape, 2));
        let there = attached(&train(&shape), &shape).unwrap();
        assert_eq!((there.weights, there.moments), (4.0 * parameters, 0.0), "tied and f32");
        assert!(there.gradients > 4.0 * parameters && there.activations > 0.0);
        let rl = sample::trial("a", 1, 0).stages.iter().find(|stage| stage.name == "rl").unwrap().recipe.clone();
        let rl = attached(&rl, &shape).unwrap();
        // Either the update or what is drawn, never both.
        assert!((rl.gradients == 0.0) != (rl.cache == 0.0));
        assert_eq!(attached(&sample::corpus(1000), &shape), None);
    }
}
