//! A lab binds the names of an experiment to things that exist: a family to a shape and its pre-training (or to a
//! checkpoint), a corpus to a generator (or to files), a benchmark to questions. It also says how large the paper's
//! amounts are here.
//!
//! Three labs are built in, so that `--lab proxy` works in any directory; a path to a file of one's own works as well. A
//! lab may extend another and name only what differs. Outside data (checkpoints, texts, datasets) is named by the digest
//! of its content; where it lies is kept apart in [`Lab::places`], because a path is no identity.

use super::arm::{PhaseSchedule, is_one, mixture_sum, read_mixture, read_schedule};
use super::axis::tidy;
use super::experiment::{read_seeds, stem};
use super::mistake::{At, Mistakes, Source, nearest, one_of};
use super::name::Name;
use super::reader::{self, Fields};
use super::yaml::{Entry, Node, Value, overlay, parse};
use crate::recipe::corpus::{BadLines, Qa, Render, Solution, Style, TextCorpus, Web, WorldCorpus};
use crate::recipe::eval::Items;
use crate::recipe::optimizer::{AdamW, DecayMask};
use crate::recipe::rl::{Advantage, Aggregation, Objective, Prompts, Reward};
use crate::recipe::shape::{Architecture, RopeScaling};
use crate::recipe::template::Extract;
use crate::recipe::train::{Boundary, Precision};
use crate::recipe::world::Split;
use crate::recipe::{CorpusRecipe, Key, ModelShape, Optimizer, ProblemSet, Seed, Steps, Template, Tokens, World};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The labs that are part of the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("smoke", include_str!("../../experiments/labs/smoke.yaml")),
    ("proxy", include_str!("../../experiments/labs/proxy.yaml")),
    ("study", include_str!("../../experiments/labs/study.yaml")),
];

/// How many labs may extend one another.
const MAX_CHAIN: usize = 8;

#[derive(Debug, Clone)]
pub struct Lab {
    pub name: String,
    pub about: String,
    pub seeds: Vec<Seed>,
    /// Stop starting new stages after this many hours.
    pub max_hours: Option<f64>,
    pub scale: Scale,
    pub families: BTreeMap<String, Family>,
    pub corpora: BTreeMap<String, CorpusRecipe>,
    pub prompts: BTreeMap<String, Prompts>,
    pub benchmarks: BTreeMap<String, BenchmarkBinding>,
    pub templates: BTreeMap<String, Template>,
    pub training: Training,
    pub midtrain: Midtrain,
    pub rl: RlSettings,
    pub eval: EvalSettings,
    /// Where outside data lies, by content.
    pub places: BTreeMap<Key, PathBuf>,
    pub source: Arc<Source>,
}

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

/// How a base model comes to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    Pretrain(Box<Pretrain>),
    /// A checkpoint folder, by content.
    Checkpoint(Key),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pretrain {
    pub shape: ModelShape,
    pub embedding_std: f64,
    pub matrix_std: f64,
    pub mixture: Vec<(Name, f64)>,
    /// Not scaled: this is the lab's own.
    pub budget: Tokens,
    pub schedule: PhaseSchedule,
    pub optimizer: Optimizer,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkBinding {
    /// What it stands for, with its chance level.
    pub label: String,
    pub items: Items,
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

impl Lab {
    /// A built-in lab by name, or a file by path.
    pub fn load(name_or_path: &str) -> Result<Lab, LabError> {
        let source = match built_in(name_or_path) {
            Some(source) => source,
            None => {
                let looks_like_path = name_or_path.contains(['/', '\\', '.']);
                if !looks_like_path {
                    return Err(LabError::Unknown { name: name_or_path.to_string(), hint: known_labs(name_or_path) });
                }
                read_source(Path::new(name_or_path))
                    .map_err(|source| LabError::Read { path: name_or_path.to_string(), source })?
            }
        };
        Ok(Lab::parse(&source)?)
    }

    /// Reads a lab, and those that it extends.
    pub fn parse(source: &Arc<Source>) -> Result<Lab, Mistakes> {
        let mut mistakes = Mistakes::default();
        let lab = chain(source, 0, &mut mistakes).and_then(|node| read(&node, source, &mut mistakes));
        mistakes.or(lab)
    }

    /// Names of the built-in labs.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("there is no lab `{name}`: {hint}; failed to load the lab")]
    Unknown { name: String, hint: String },
    #[error("{path}: {source}; failed to read the lab")]
    Read { path: String, source: std::io::Error },
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

fn built_in(name: &str) -> Option<Arc<Source>> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Source::new(format!("labs/{name}.yaml"), *text))
}

fn known_labs(typed: &str) -> String {
    let hint = match nearest(typed, Lab::built_in()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => one_of(Lab::built_in()),
    };
    format!("{hint} (or give a path to a file)")
}

fn read_source(path: &Path) -> std::io::Result<Arc<Source>> {
    Ok(Source::new(path.display().to_string(), std::fs::read_to_string(path)?))
}

/// The tree of a lab laid over the tree of the lab it extends.
fn chain(source: &Arc<Source>, depth: usize, mistakes: &mut Mistakes) -> Option<Node> {
    let node = parse(source, mistakes)?;
    let Some(parent) = node.get("extends") else { return Some(node) };
    let name = reader::text(parent, mistakes)?;
    if depth >= MAX_CHAIN {
        mistakes.add(&parent.at, format!("more than {MAX_CHAIN} labs extend one another"));
        return None;
    }
    let beside = Path::new(&source.name).parent().unwrap_or(Path::new("")).join(&name);
    let parent_source = match built_in(&name) {
        Some(source) => Ok(source),
        None => read_source(&beside),
    };
    match parent_source {
        Ok(parent_source) => Some(overlay(&chain(&parent_source, depth + 1, mistakes)?, &node)),
        Err(error) => {
            let message = format!("`{name}` is neither a built-in lab nor a file that can be read ({error})");
            mistakes.add_with_hint(&parent.at, message, known_labs(&name));
            None
        }
    }
}

fn read(node: &Node, source: &Arc<Source>, mistakes: &mut Mistakes) -> Option<Lab> {
    let mut places = BTreeMap::new();
    let mut fields = Fields::of(node, "the lab", mistakes)?;
    fields.node("extends");
    let name = fields.optional("lab", reader::name).map_or_else(|| stem(&source.name), |name| name.text);
    let about = fields.or("about", String::new(), reader::text);
    let seeds = fields.or("seeds", vec![Seed(0)], read_seeds);
    let max_hours = fields.optional("limits", |node, m| {
        let mut fields = Fields::of(node, "`limits`", m)?;
        let hours = fields.optional("max_hours", |node, m| reader::positive(node, false, m));
        fields.finish();
        hours
    });
    let scale = fields.required("scale", read_scale);
    let world = fields.optional("world", read_world);
    let world = world.as_ref();
    let training = fields.required("training", read_training);
    let midtrain = fields.required("midtrain", read_midtrain);
    let rl = fields.required("rl", read_rl);
    let eval = fields.required("eval", read_eval);
    let size = fields.optional("corpus_size", reader::tokens);
    let corpora = fields.required("corpora", |node, m| {
        bindings(node, "corpus", m, |node, what, m| read_corpus(node, what, world, size, &mut places, m))
    });
    let families = fields.required("families", |node, m| {
        bindings(node, "family", m, |node, what, m| read_family(node, what, world, &mut places, m))
    });
    let prompts = fields.required("prompts", |node, m| {
        bindings(node, "prompts", m, |node, what, m| read_prompts(node, what, world, &mut places, m))
    });
    let benchmarks = fields.required("benchmarks", |node, m| {
        bindings(node, "benchmark", m, |node, what, m| read_benchmark(node, what, world, &mut places, m))
    });
    let templates = fields.required("templates", |node, m| bindings(node, "template", m, read_template));
    fields.finish();
    let lab = Lab {
        name,
        about,
        seeds,
        max_hours,
        scale: scale?,
        families: families?,
        corpora: corpora?,
        prompts: prompts?,
        benchmarks: benchmarks?,
        templates: templates?,
        training: training?,
        midtrain: midtrain?,
        rl: rl?,
        eval: eval?,
        places,
        source: source.clone(),
    };
    check_names(&lab, mistakes);
    Some(lab)
}

/// Names that the lab itself uses must be bound in it.
fn check_names(lab: &Lab, mistakes: &mut Mistakes) {
    for (name, family) in &lab.families {
        let Family::Pretrain(pretrain) = family else { continue };
        for (corpus, _) in &pretrain.mixture {
            known(corpus, &format!("family `{name}` is trained on"), &lab.corpora, mistakes);
        }
    }
    known(&lab.eval.template, "evaluation uses template", &lab.templates, mistakes);
}

/// Reports a name that `bound` does not hold.
pub fn known<T>(name: &Name, what: &str, bound: &BTreeMap<String, T>, mistakes: &mut Mistakes) -> bool {
    let ok = bound.contains_key(name.as_str());
    if !ok {
        let message = format!("{what} `{name}`, which this lab does not bind");
        mistakes.add_with_hint(
            &name.at,
            message,
            super::mistake::suggest(name.as_str(), bound.keys().map(String::as_str)),
        );
    }
    ok
}

fn bindings<T>(
    node: &Node,
    kind: &str,
    mistakes: &mut Mistakes,
    mut read: impl FnMut(&Node, &str, &mut Mistakes) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut bound = BTreeMap::new();
    for entry in reader::map(node, &format!("the lab's list of {kind} names"), mistakes)? {
        if !reader::check_name(&entry.key, mistakes) {
            continue;
        }
        if let Some(value) = read(&entry.value, &format!("{kind} `{}`", entry.key), mistakes) {
            bound.insert(entry.key.text.clone(), value);
        }
    }
    Some(bound)
}

fn read_scale(node: &Node, mistakes: &mut Mistakes) -> Option<Scale> {
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

fn read_world(node: &Node, mistakes: &mut Mistakes) -> Option<World> {
    let byte = |node: &Node, m: &mut Mistakes| {
        let value = reader::count(node, 1, m)?;
        if value > 99 {
            m.add(&node.at, format!("expected a whole number from 1 to 99, found {value}"));
            return None;
        }
        Some(value as u8)
    };
    let mut fields = Fields::of(node, "`world`", mistakes)?;
    let max_number = fields.required("max_number", byte);
    let max_change = fields.required("max_change", byte);
    let changes_per_event = fields.or("changes_per_event", 1, byte);
    let doubles = fields.or("doubles", 0.0, reader::share);
    let corpus_difficulty = fields.required("corpus_difficulty", read_difficulty);
    fields.finish();
    if changes_per_event > 1 && doubles > 0.0 {
        mistakes.add(&node.at, "doubles exist only with one change an event");
    }
    Some(World {
        max_number: max_number?,
        max_change: max_change?,
        changes_per_event,
        doubles,
        corpus_difficulty: corpus_difficulty?,
    })
}

/// One difficulty (`3`), or the frequencies of difficulty 1, 2, … (`[30%, 30%, 20%, 20%]`).
fn read_difficulty(node: &Node, mistakes: &mut Mistakes) -> Option<Vec<f64>> {
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

fn read_training(node: &Node, mistakes: &mut Mistakes) -> Option<Training> {
    let mut fields = Fields::of(node, "`training`", mistakes)?;
    let row_tokens = fields.required("row_tokens", reader::size);
    let batch_rows = fields.required("batch_rows", reader::size);
    let boundaries = [("row", Boundary::Row), ("document", Boundary::Document)];
    let boundary = fields.or("boundary", Boundary::Row, |node, m| reader::choice(&boundaries, node, m));
    let epochs = fields.or("epochs", 1, reader::size) as u32;
    let max_grad_norm = fields.or("max_grad_norm", 1.0, |node, m| reader::positive(node, false, m));
    let precisions = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
    let precision = fields.or("precision", Precision::F32, |node, m| reader::choice(&precisions, node, m));
    fields.finish();
    Some(Training { row_tokens: row_tokens?, batch_rows: batch_rows?, boundary, epochs, max_grad_norm, precision })
}

fn read_midtrain(node: &Node, mistakes: &mut Mistakes) -> Option<Midtrain> {
    let mut fields = Fields::of(node, "`midtrain`", mistakes)?;
    let optimizer = fields.required("optimizer", read_optimizer);
    let warmup = fields.or("warmup", 0.0, reader::share);
    fields.finish();
    Some(Midtrain { optimizer: optimizer?, warmup })
}

fn read_optimizer(node: &Node, mistakes: &mut Mistakes) -> Option<Optimizer> {
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

fn read_rl(node: &Node, mistakes: &mut Mistakes) -> Option<RlSettings> {
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

fn read_eval(node: &Node, mistakes: &mut Mistakes) -> Option<EvalSettings> {
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

fn read_family(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<Family> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let checkpoint = fields.optional("checkpoint", |node, m| read_place(node, "`checkpoint`", places, m));
    let pretrain = fields.optional("pretrain", |node, m| {
        let mut fields = Fields::of(node, format!("`pretrain` of {what}"), m)?;
        let shape = fields.required("shape", |node, m| read_shape(node, world, m));
        let embedding_std = fields.or("embedding_std", 0.02, |node, m| reader::positive(node, false, m));
        let matrix_std = fields.or("matrix_std", 0.02, |node, m| reader::positive(node, false, m));
        let mixture = fields.required("mixture", |node, m| {
            if let Some(sum) = mixture_sum(node).filter(|sum| !is_one(*sum)) {
                m.add(&node.at, format!("mixture of {what} sums to {}, not 1", tidy(sum)));
            }
            read_mixture(node, what, m)
        });
        let budget = fields.required("budget", reader::tokens);
        let schedule = fields.required("schedule", read_schedule);
        let optimizer = fields.required("optimizer", read_optimizer);
        fields.finish();
        Some(Box::new(Pretrain {
            shape: shape?,
            embedding_std,
            matrix_std,
            mixture: mixture?,
            budget: budget?,
            schedule: schedule?,
            optimizer: optimizer?,
        }))
    });
    fields.finish();
    if node.get("checkpoint").is_some() == node.get("pretrain").is_some() {
        mistakes.add(&node.at, format!("{what} has either a `checkpoint` or a `pretrain`"));
    }
    pretrain.map(Family::Pretrain).or(checkpoint.map(Family::Checkpoint))
}

fn read_shape(node: &Node, world: Option<&World>, mistakes: &mut Mistakes) -> Option<ModelShape> {
    let architectures =
        [("llama", Architecture::Llama), ("qwen2", Architecture::Qwen2), ("qwen3", Architecture::Qwen3)];
    let mut fields = Fields::of(node, "`shape`", mistakes)?;
    let architecture = fields.required("architecture", |node, m| reader::choice(&architectures, node, m));
    let vocab = match (fields.optional("vocab", reader::size), world) {
        (Some(vocab), _) => Some(vocab),
        (None, Some(world)) => Some(world.vocab()),
        (None, None) => fields.required("vocab", reader::size),
    };
    let hidden = fields.required("hidden", reader::size);
    let layers = fields.required("layers", reader::size);
    let heads = fields.required("heads", reader::size);
    let kv_heads = fields.optional("kv_heads", reader::size);
    let head_dim = fields.optional("head_dim", reader::size);
    let ffn = fields.required("ffn", reader::size);
    let rope_theta = fields.or("rope_theta", 1e4, |node, m| reader::positive(node, false, m));
    let rope_scaling = fields.optional("rope_scaling", read_rope_scaling);
    let norm_eps = fields.or("norm_eps", 1e-5, |node, m| reader::positive(node, false, m));
    let tied = fields.or("tied", true, reader::flag);
    fields.finish();
    let (hidden, heads) = (hidden?, heads?);
    let kv_heads = kv_heads.unwrap_or(heads);
    let head_dim = head_dim.unwrap_or(hidden / heads);
    if heads % kv_heads != 0 {
        mistakes.add(&node.at, format!("{heads} heads can't share {kv_heads} key-value heads evenly"));
    }
    if head_dim == 0 || head_dim % 2 == 1 {
        mistakes.add(&node.at, format!("rotary positions need heads of even width, and these have {head_dim}"));
    }
    Some(ModelShape {
        architecture: architecture?,
        vocab: vocab?,
        hidden,
        layers: layers?,
        heads,
        kv_heads,
        head_dim,
        ffn: ffn?,
        rope_theta,
        rope_scaling,
        norm_eps,
        tied,
    })
}

fn read_rope_scaling(node: &Node, mistakes: &mut Mistakes) -> Option<RopeScaling> {
    let mut fields = Fields::of(node, "`rope_scaling`", mistakes)?;
    let factor = fields.required("factor", |node, m| reader::positive(node, false, m));
    let low = fields.required("low_freq_factor", |node, m| reader::positive(node, false, m));
    let high = fields.required("high_freq_factor", |node, m| reader::positive(node, false, m));
    let original = fields.required("original_max_position_embeddings", reader::size);
    fields.finish();
    Some(RopeScaling {
        factor: factor?,
        low_freq_factor: low?,
        high_freq_factor: high?,
        original_max_position_embeddings: original?,
    })
}

fn read_corpus(
    node: &Node,
    what: &str,
    world: Option<&World>,
    usual_size: Option<Tokens>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<CorpusRecipe> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let text = fields.optional("text", |node, m| read_text(node, what, places, m));
    let style = fields.optional("style", read_style);
    let is_world = node.get("style").is_some();
    let size = match usual_size.filter(|_| is_world) {
        Some(usual) => Some(fields.or("size", usual, reader::tokens)),
        None if is_world => fields.required("size", reader::tokens),
        None => None,
    };
    let stream = if is_world { fields.required("stream", |node, m| reader::count(node, 0, m)) } else { None };
    fields.finish();
    if is_world == node.get("text").is_some() {
        mistakes.add(&node.at, format!("{what} has either a `style` (generated) or a `text` (files)"));
        return None;
    }
    if let Some(text) = text {
        return Some(CorpusRecipe::Text(text));
    }
    let world = need_world(world, node, what, mistakes)?;
    Some(CorpusRecipe::World(WorldCorpus { world, tokens: size?, stream: stream?, style: style? }))
}

fn need_world(world: Option<&World>, node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<World> {
    if world.is_none() {
        mistakes.add(&node.at, format!("{what} is generated, and the lab has no (correct) `world`"));
    }
    world.cloned()
}

/// `general`, `echo`, `instruction`, `{web: {…}}` or `{qa: {…}}`.
fn read_style(node: &Node, mistakes: &mut Mistakes) -> Option<Style> {
    if let Value::Map(entries) = &node.value {
        let [Entry { key, value }] = entries.as_slice() else {
            mistakes.add(&node.at, "a style is one of `general`, `echo`, `instruction`, `web: {…}`, `qa: {…}`");
            return None;
        };
        return match key.as_str() {
            "web" => read_web(value, mistakes).map(Style::Web),
            "qa" => read_qa(value, mistakes).map(Style::Qa),
            other => {
                let hint = super::mistake::suggest(other, ["web", "qa"]);
                mistakes.add_with_hint(&key.at, format!("there is no style `{other}` with knobs"), hint);
                None
            }
        };
    }
    let styles = [("general", Style::General), ("echo", Style::Echo), ("instruction", Style::Instruction)];
    reader::choice(&styles, node, mistakes)
}

fn read_web(node: &Node, mistakes: &mut Mistakes) -> Option<Web> {
    let mut fields = Fields::of(node, "style `web`", mistakes)?;
    let web = Web {
        notes: fields.or("notes", 0.0, reader::share),
        interleaved: fields.or("interleaved", 0.0, reader::share),
        forum: fields.or("forum", 0.0, reader::share),
        chatter: fields.or("chatter", 0.0, reader::share),
        wrong: fields.or("wrong", 0.0, reader::share),
        omitted: fields.or("omitted", 0.0, reader::share),
        truncated: fields.or("truncated", 0.0, reader::share),
        junk: fields.or("junk", 0.0, reader::share),
    };
    fields.finish();
    let items = web.notes + web.interleaved + web.forum;
    if items > 1.0 + 1e-9 {
        mistakes.add(
            &node.at,
            format!("`notes`, `interleaved` and `forum` are shares of items and sum to {}", tidy(items)),
        );
    }
    Some(web)
}

fn read_qa(node: &Node, mistakes: &mut Mistakes) -> Option<Qa> {
    let mut fields = Fields::of(node, "style `qa`", mistakes)?;
    let format = fields.required("solution", |node, m| match &node.value {
        Value::Scalar { .. } => reader::choice(&[("short", Solution::Short)], node, m),
        _ => {
            let mut fields = Fields::of(node, "`solution`", m)?;
            let long = fields.required("long", |node, m| {
                let mut fields = Fields::of(node, "solution `long`", m)?;
                let error = fields.or("error", 0.0, reader::share);
                let ramble = fields.or("ramble", 0.0, reader::share);
                fields.finish();
                Some(Solution::Long { error, ramble })
            });
            fields.finish();
            long
        }
    });
    let prompt = fields.or("prompt", "plain".to_string(), reader::text);
    fields.finish();
    Some(Qa { format: format?, prompt })
}

fn read_text(
    node: &Node,
    what: &str,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<TextCorpus> {
    let mut fields = Fields::of(node, format!("`text` of {what}"), mistakes)?;
    let content = fields.required("files", |node, m| read_place(node, "`files`", places, m));
    let tokenizer = fields.required("tokenizer", |node, m| read_place(node, "`tokenizer`", places, m));
    let column = fields.optional("column", reader::text);
    let qa = fields.optional("qa", |node, m| {
        let mut fields = Fields::of(node, "`qa`", m)?;
        let question = fields.required("question", reader::text);
        let answer = fields.required("answer", reader::text);
        let format = fields.required("format", reader::text);
        fields.finish();
        Some(Render::Qa { question: question?, answer: answer?, format: format? })
    });
    let lines = [("fail", BadLines::Fail), ("skip", BadLines::Skip)];
    let bad_lines = fields.or("bad_lines", BadLines::Fail, |node, m| reader::choice(&lines, node, m));
    fields.finish();
    if node.get("column").is_some() && node.get("qa").is_some() {
        mistakes.add(&node.at, "a text is read from one `column` or from a `qa` pair, not both");
    }
    let render = qa.unwrap_or(Render::Text { column: column.unwrap_or_else(|| "text".to_string()) });
    Some(TextCorpus { content: content?, tokenizer: tokenizer?, render, bad_lines })
}

/// `{path: …, sha256: …}`: where it lies, and what it is.
fn read_place(node: &Node, what: &str, places: &mut BTreeMap<Key, PathBuf>, mistakes: &mut Mistakes) -> Option<Key> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let path = fields.required("path", reader::text);
    let key = fields.required("sha256", |node, m| {
        let text = reader::text(node, m)?;
        text.parse::<Key>().map_err(|message| m.add(&node.at, message)).ok()
    });
    fields.finish();
    // A path is relative to the lab's file.
    let folder = Path::new(&node.at.source.name).parent().map(Path::to_path_buf).unwrap_or_default();
    places.insert(key?, folder.join(path?));
    key
}

fn read_problems(
    fields: &mut Fields,
    node: &Node,
    what: &str,
    world: Option<&World>,
    split: Split,
) -> Option<ProblemSet> {
    let difficulty = fields.required("difficulty", read_difficulty);
    let stream = fields.required("stream", |node, m| reader::count(node, 0, m));
    let world = need_world(world, node, what, fields.mistakes());
    Some(ProblemSet { world: world?, difficulty: difficulty?, split, stream: stream? })
}

fn read_prompts(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<Prompts> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let prompts = match node.get("dataset") {
        Some(_) => fields
            .required("dataset", |node, m| read_place(node, "`dataset`", places, m))
            .map(|content| Prompts::Dataset { content }),
        None => read_problems(&mut fields, node, what, world, Split::Training).map(Prompts::World),
    };
    fields.finish();
    prompts
}

fn read_benchmark(
    node: &Node,
    what: &str,
    world: Option<&World>,
    places: &mut BTreeMap<Key, PathBuf>,
    mistakes: &mut Mistakes,
) -> Option<BenchmarkBinding> {
    let mut fields = Fields::of(node, what, mistakes)?;
    let label = fields.or("label", String::new(), reader::text);
    let items = match node.get("dataset") {
        Some(_) => fields
            .required("dataset", |node, m| read_place(node, "`dataset`", places, m))
            .map(|content| Items::Dataset { content }),
        None => {
            let problems = read_problems(&mut fields, node, what, world, Split::HeldOut);
            let count = fields.required("count", reader::size);
            problems.zip(count).map(|(problems, count)| Items::World { problems, count })
        }
    };
    fields.finish();
    Some(BenchmarkBinding { label, items: items? })
}

fn read_template(node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<Template> {
    let extracts = [
        ("last-boxed", Extract::LastBoxed),
        ("last-answer-is", Extract::LastAnswerIs),
        ("hashes", Extract::Hashes),
        ("minerva", Extract::Minerva),
        ("last-number", Extract::LastNumber),
        ("letter", Extract::Letter),
    ];
    let mut fields = Fields::of(node, what, mistakes)?;
    let before = fields.required("before", reader::verbatim);
    let after = fields.required("after", reader::verbatim);
    let extract = fields.required("extract", |node, m| reader::choice(&extracts, node, m));
    let stop = fields.or("stop", Vec::new(), |node, m| {
        Some(reader::items(node).iter().filter_map(|item| reader::verbatim(item, m)).collect())
    });
    fields.finish();
    Some(Template { before: before?, after: after?, extract: extract?, stop })
}

/// A place for mistakes about a lab as a whole.
pub fn top(lab: &Lab) -> At {
    At::top(&lab.source)
}
