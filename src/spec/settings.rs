//! The lab's own settings: how the paper's amounts scale, the generated world, and how models are trained, reinforced and
//! evaluated. Nothing here is named by an experiment.

use super::arm::is_one;
use super::axis::tidy;
use super::mistake::Mistakes;
use super::name::Name;
use super::reader::{self, Fields};
use super::yaml::{Node, Value};
use crate::recipe::optimizer::{AdamW, DecayMask};
use crate::recipe::rl::{Advantage, Aggregation, Objective, Reward};
use crate::recipe::train::{Boundary, Precision};
use crate::recipe::{Optimizer, Seed, Steps, Tokens, World};

/// The paper's amounts and what stands for them here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub tokens: Ratio,
    pub response: Ratio,
    pub rl_steps: Ratio,
}

/// `here` stands for `paper`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    pub paper: u64,
    pub here: u64,
}

impl Ratio {
    /// The amount here, rounded to the nearest whole number, at least 1 (0 stays 0).
    pub fn apply(&self, amount: u64) -> u64 {
        if amount == 0 {
            return 0;
        }
        let scaled = (amount as u128 * self.here as u128 + self.paper as u128 / 2) / self.paper as u128;
        (scaled as u64).max(1)
    }
}

/// What pre-training and mid-training share.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    pub row_tokens: usize,
    pub batch_rows: usize,
    pub boundary: Boundary,
    pub epochs: u32,
    pub max_grad_norm: f64,
    pub precision: Precision,
    /// A corpus that no phase trains on, and how much of it is read to measure its loss.
    pub held_out: Option<(Name, Tokens)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Midtrain {
    /// At the peak that an experiment calls 100%.
    pub optimizer: Optimizer,
    /// Share of a phase, where the experiment does not say.
    pub warmup: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RlSettings {
    pub prompts_per_step: usize,
    pub group_size: usize,
    pub updates_per_step: usize,
    pub temperature: f64,
    pub objective: Objective,
    pub reward: Reward,
    pub optimizer: AdamW,
    pub warmup: Steps,
    pub max_grad_norm: f64,
    /// Rollout steps here, not the paper's.
    pub eval_every: Steps,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EvalSettings {
    pub max_new_tokens: usize,
    pub samples: usize,
    pub temperature: f64,
    pub pass_at: Vec<usize>,
    pub seed: Seed,
    /// Template for arms without RL.
    pub template: Name,
}

/// An accelerator that plans price work on; nothing runs on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub name: String,
    /// Peak of one device in bf16, dense, in FLOP/s.
    pub flops: f64,
    /// Bytes of one device.
    pub memory: f64,
    pub count: u64,
    /// Shares of the peak that training and generation reach.
    pub mfu: f64,
    pub decode_mfu: f64,
}

pub fn read_device(node: &Node, mistakes: &mut Mistakes) -> Option<Device> {
    let mut fields = Fields::of(node, "`device`", mistakes)?;
    let name = fields.required("name", reader::text);
    let tflops = fields.required("tflops", |node, m| reader::positive(node, false, m));
    let memory_gb = fields.required("memory_gb", |node, m| reader::positive(node, false, m));
    let count = fields.or("count", 1, |node, m| reader::count(node, 1, m));
    let mfu = fields.required("mfu", reader::share);
    let decode_mfu = fields.or("decode_mfu", 0.1, reader::share);
    fields.finish();
    Some(Device { name: name?, flops: tflops? * 1e12, memory: memory_gb? * 1e9, count, mfu: mfu?, decode_mfu })
}

pub fn read_scale(node: &Node, mistakes: &mut Mistakes) -> Option<Scale> {
    let tokens = |node: &Node, m: &mut Mistakes| reader::tokens(node, m).map(|tokens| tokens.0);
    let mut fields = Fields::of(node, "`scale`", mistakes)?;
    let of_tokens = fields.required("tokens", |node, m| read_ratio(node, "`tokens` of `scale`", tokens, m));
    let response = fields.required("response", |node, m| read_ratio(node, "`response` of `scale`", tokens, m));
    let steps = |node: &Node, m: &mut Mistakes| reader::count(node, 1, m);
    let rl_steps = fields.required("rl_steps", |node, m| read_ratio(node, "`rl_steps` of `scale`", steps, m));
    fields.finish();
    Some(Scale { tokens: of_tokens?, response: response?, rl_steps: rl_steps? })
}

fn read_ratio(
    node: &Node,
    what: &str,
    read: impl Fn(&Node, &mut Mistakes) -> Option<u64>,
    mistakes: &mut Mistakes,
) -> Option<Ratio> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let paper = fields.required("paper", &read);
    let here = fields.required("here", &read);
    fields.finish();
    Some(Ratio { paper: paper?, here: here? })
}

pub fn read_world(node: &Node, mistakes: &mut Mistakes) -> Option<World> {
    let within = |low: u64, high: u64| {
        move |node: &Node, m: &mut Mistakes| {
            let value = reader::count(node, 0, m)?;
            if !(low..=high).contains(&value) {
                m.add(&node.at, format!("expected a whole number from {low} to {high}, found {value}"));
                return None;
            }
            Some(value as u8)
        }
    };
    let mut fields = Fields::of(node, "`world`", mistakes)?;
    let max_number = fields.required("max_number", within(5, 99));
    let max_change = fields.required("max_change", within(1, max_number.unwrap_or(99) as u64));
    let changes_per_event = fields.or("changes_per_event", 1, within(1, 9));
    let doubles = fields.or("doubles", 0.0, reader::share);
    let corpus_difficulty = fields.required("corpus_difficulty", read_difficulty);
    fields.finish();
    Some(World {
        max_number: max_number?,
        max_change: max_change?,
        changes_per_event,
        doubles,
        corpus_difficulty: corpus_difficulty?,
    })
}

/// One difficulty (`3`), or the frequencies of difficulty 1, 2, … (`[30%, 30%, 20%, 20%]`).
pub fn read_difficulty(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<f64>> {
    let Value::List(items) = &node.value else {
        let k = reader::count(node, 1, mistakes)?;
        if k > 16 {
            mistakes.add(&node.at, format!("difficulty {k} is out of reach; 16 is the most"));
            return None;
        }
        return Some((1..=k).map(|own| if own == k { 1.0 } else { 0.0 }).collect());
    };
    let shares: Option<Vec<f64>> = items.iter().map(|item| reader::share(item, mistakes)).collect();
    let sum: f64 = shares.as_ref()?.iter().sum();
    if !is_one(sum) || items.len() > 16 {
        mistakes.add(&node.at, format!("frequencies of difficulties sum to {}, not 1", tidy(sum)));
    }
    shares
}

pub fn read_training(node: &Node, mistakes: &mut Mistakes) -> Option<Training> {
    let mut fields = Fields::of(node, "`training`", mistakes)?;
    let row_tokens = fields.required("row_tokens", reader::size);
    let batch_rows = fields.required("batch_rows", reader::size);
    let boundaries = [("row", Boundary::Row), ("document", Boundary::Document)];
    let boundary = fields.or("boundary", Boundary::Row, |node, m| reader::choice(&boundaries, node, m));
    let epochs = fields.or("epochs", 1, reader::size) as u32;
    let max_grad_norm = fields.or("max_grad_norm", 1.0, |node, m| reader::positive(node, false, m));
    let precisions = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
    let precision = fields.or("precision", Precision::F32, |node, m| reader::choice(&precisions, node, m));
    let held_out = fields.optional("held_out", |node, m| {
        let mut fields = Fields::of(node, "`held_out`", m)?;
        let corpus = fields.required("corpus", reader::name);
        let tokens = fields.required("tokens", reader::tokens);
        fields.finish();
        Some((corpus?, tokens?))
    });
    fields.finish();
    let (row_tokens, batch_rows) = (row_tokens?, batch_rows?);
    Some(Training { row_tokens, batch_rows, boundary, epochs, max_grad_norm, precision, held_out })
}

pub fn read_midtrain(node: &Node, mistakes: &mut Mistakes) -> Option<Midtrain> {
    let mut fields = Fields::of(node, "`midtrain`", mistakes)?;
    let optimizer = fields.required("optimizer", read_optimizer);
    let warmup = fields.or("warmup", 0.0, reader::share);
    fields.finish();
    Some(Midtrain { optimizer: optimizer?, warmup })
}

pub fn read_optimizer(node: &Node, mistakes: &mut Mistakes) -> Option<Optimizer> {
    let mut fields = Fields::of(node, "`optimizer`", mistakes)?;
    let adamw = fields.optional("adamw", |node, m| read_adamw(node, "`adamw`", m).map(Optimizer::AdamW));
    let muon = fields.optional("muon", |node, m| {
        let mut fields = Fields::of(node, "`muon`", m)?;
        let lr = fields.required("lr", |node, m| reader::positive(node, false, m));
        let momentum = fields.or("momentum", 0.95, reader::share);
        let weight_decay = fields.or("weight_decay", 0.0, |node, m| reader::positive(node, true, m));
        let newton_schulz_steps = fields.or("newton_schulz_steps", 5, reader::size) as u32;
        let rest = fields.required("rest", |node, m| read_adamw(node, "`rest` of `muon`", m));
        fields.finish();
        Some(Optimizer::Muon { lr: lr?, momentum, weight_decay, newton_schulz_steps, rest: rest? })
    });
    fields.finish();
    let entries = node.entries().unwrap_or_default().len();
    if entries != 1 {
        mistakes.add(&node.at, "an optimizer is either `adamw: {…}` or `muon: {…}`");
    }
    adamw.or(muon)
}

fn read_adamw(node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<AdamW> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let lr = fields.required("lr", |node, m| reader::positive(node, false, m));
    let beta1 = fields.or("beta1", 0.9, reader::share);
    let beta2 = fields.or("beta2", 0.95, reader::share);
    let eps = fields.or("eps", 1e-8, |node, m| reader::positive(node, false, m));
    let weight_decay = fields.or("weight_decay", 0.0, |node, m| reader::positive(node, true, m));
    let masks = [("all", DecayMask::All), ("matrices", DecayMask::Matrices)];
    let decay = fields.or("decay", DecayMask::Matrices, |node, m| reader::choice(&masks, node, m));
    fields.finish();
    Some(AdamW { lr: lr?, beta1, beta2, eps, weight_decay, decay })
}

pub fn read_rl(node: &Node, mistakes: &mut Mistakes) -> Option<RlSettings> {
    let advantages = [("grpo", Advantage::Grpo), ("dr-grpo", Advantage::DrGrpo), ("rloo", Advantage::Rloo)];
    let aggregations = [
        ("token-mean", Aggregation::TokenMean),
        ("seq-mean-token-sum", Aggregation::SeqMeanTokenSum),
        ("seq-mean-token-mean", Aggregation::SeqMeanTokenMean),
        ("seq-mean-token-sum-norm", Aggregation::SeqMeanTokenSumNorm),
    ];
    let mut fields = Fields::of(node, "`rl`", mistakes)?;
    let prompts_per_step = fields.required("prompts_per_step", reader::size);
    let group_size = fields.required("group_size", reader::size);
    let updates_node = fields.node("updates_per_step");
    let updates_per_step = fields.or("updates_per_step", 1, reader::size);
    let temperature = fields.or("temperature", 1.0, |node, m| reader::positive(node, false, m));
    let advantage = fields.or("advantage", Advantage::Grpo, |node, m| reader::choice(&advantages, node, m));
    let aggregation =
        fields.or("aggregation", Aggregation::TokenMean, |node, m| reader::choice(&aggregations, node, m));
    let clip_low = fields.or("clip_low", 0.2, reader::share);
    let clip_high = fields.or("clip_high", 0.2, |node, m| reader::positive(node, false, m));
    let dual_clip = fields.optional("dual_clip", |node, m| reader::positive(node, false, m));
    let paper = Reward { correct: 1.0, wrong: -1.0, no_answer: -1.0, gave_up: -1.0 };
    let reward = fields.or("reward", paper, read_reward);
    let optimizer = fields.required("optimizer", |node, m| {
        let mut fields = Fields::of(node, "`optimizer` of `rl`", m)?;
        let adamw = fields.required("adamw", |node, m| read_adamw(node, "`adamw`", m));
        fields.finish();
        adamw
    });
    let warmup = fields.or("warmup", Steps(0), |node, m| reader::count(node, 0, m).map(Steps));
    let max_grad_norm = fields.or("max_grad_norm", 1.0, |node, m| reader::positive(node, false, m));
    let eval_every = fields.required("eval_every", reader::steps);
    fields.finish();
    let (prompts_per_step, group_size) = (prompts_per_step?, group_size?);
    if let Some(node) = updates_node.filter(|_| prompts_per_step % updates_per_step != 0) {
        let message = format!("{prompts_per_step} prompts can't be cut into {updates_per_step} equal updates");
        mistakes.add(&node.at, message);
    }
    if group_size < 2 {
        mistakes.add(&node.at, "a group needs at least 2 responses: one alone has no advantage over the others");
    }
    Some(RlSettings {
        prompts_per_step,
        group_size,
        updates_per_step,
        temperature,
        objective: Objective { advantage, aggregation, clip_low, clip_high, dual_clip },
        reward,
        optimizer: optimizer?,
        warmup,
        max_grad_norm,
        eval_every: eval_every?,
    })
}

fn read_reward(node: &Node, mistakes: &mut Mistakes) -> Option<Reward> {
    let mut fields = Fields::of(node, "`reward`", mistakes)?;
    let correct = fields.required("correct", reader::number);
    let wrong = fields.required("wrong", reader::number);
    let no_answer = fields.required("no_answer", reader::number);
    let gave_up = fields.required("gave_up", reader::number);
    fields.finish();
    Some(Reward { correct: correct?, wrong: wrong?, no_answer: no_answer?, gave_up: gave_up? })
}

pub fn read_eval(node: &Node, mistakes: &mut Mistakes) -> Option<EvalSettings> {
    let mut fields = Fields::of(node, "`eval`", mistakes)?;
    let max_new_tokens = fields.required("max_new_tokens", reader::tokens);
    let samples = fields.or("samples", 0, |node, m| reader::count(node, 0, m)) as usize;
    let temperature = fields.or("temperature", 1.0, |node, m| reader::positive(node, false, m));
    let pass_at = fields.or("pass_at", Vec::new(), |node, m| {
        let mut all = Vec::new();
        for item in reader::items(node) {
            let k = reader::size(item, m)?;
            if k > samples {
                m.add(&item.at, format!("pass@{k} needs {k} samples, and there are {samples}"));
            }
            all.push(k);
        }
        Some(all)
    });
    let seed = fields.or("seed", Seed(12345), |node, m| reader::count(node, 0, m).map(Seed));
    let template = fields.required("template", reader::name);
    fields.finish();
    let max_new_tokens = max_new_tokens?.0 as usize;
    Some(EvalSettings { max_new_tokens, samples, temperature, pass_at, seed, template: template? })
}
