//! What a stage costs before it has run (FLOPs, tokens, disk), and what a run may cost.
//!
//! FLOPs come from the recipes alone and are the same everywhere. Responses are taken to be half as long as they may be and
//! prompts [`PROMPT_TOKENS`] long, which real runs miss by a factor of two either way; the seconds soon don't
//! ([`super::calibration`]).

use super::graph::Graph;
use crate::recipe::corpus::CorpusRecipe;
use crate::recipe::eval::Items;
use crate::recipe::{EvalProtocol, Key, Kind, ModelShape, Recipe};
use std::collections::BTreeMap;

/// Tokens of a prompt, where nobody knows.
pub const PROMPT_TOKENS: f64 = 48.0;
/// Questions of a data set whose size is not given.
pub const DATASET_ITEMS: u64 = 500;

/// Facts about outside data that recipes don't hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Shapes of checkpoints, by the key of their stage.
    pub checkpoints: BTreeMap<Key, ModelShape>,
    /// Sizes of data sets, by the digest of their content: questions, or tokens of a text corpus.
    pub datasets: BTreeMap<Key, u64>,
}

/// The price of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    pub flops: f64,
    /// Those of `flops` that generate tokens one by one, which accelerators do at a smaller share of their peak.
    pub decode_flops: f64,
    /// Tokens generated, trained on or scored.
    pub tokens: u64,
    /// Bytes of the artifact.
    pub disk: u64,
    /// False if something needed for the price is not known (a checkpoint's shape); it is then too low.
    pub known: bool,
}

/// The price of every node of a graph, in its order.
pub fn costs(graph: &Graph, known: &Known) -> Vec<Cost> {
    let shapes = graph.shapes(&known.checkpoints);
    graph.nodes.iter().zip(&shapes).map(|(node, shape)| cost(&node.recipe, shape.as_ref(), known)).collect()
}

/// The price of one stage on a model of this shape.
pub fn cost(recipe: &Recipe, shape: Option<&ModelShape>, known: &Known) -> Cost {
    let forward = |context: f64| shape.map_or(0.0, |shape| shape.forward_flops_per_token(context as usize));
    // Weights are stored as f32.
    let weights = shape.map_or(0, |shape| 4 * shape.parameters());
    match recipe {
        Recipe::Corpus(corpus) => {
            let tokens = match corpus {
                CorpusRecipe::World(world) => Some(world.tokens.0),
                CorpusRecipe::Text(text) => known.datasets.get(&text.content).copied(),
            };
            let known = tokens.is_some();
            let tokens = tokens.unwrap_or(0);
            Cost { tokens, disk: 4 * tokens, known, ..Cost::default() }
        }
        Recipe::Checkpoint(_) => Cost { disk: weights, known: shape.is_some(), ..Cost::default() },
        Recipe::Contamination(recipe) => {
            let tokens = known.datasets.get(&recipe.content).copied();
            Cost { tokens: tokens.unwrap_or(0), known: tokens.is_some(), ..Cost::default() }
        }
        Recipe::Train(train) => {
            let tokens = train.steps().0 * train.batch_tokens();
            let flops = 3.0 * tokens as f64 * forward(train.row_tokens as f64);
            Cost { flops, tokens, disk: weights, known: shape.is_some(), ..Cost::default() }
        }
        Recipe::Eval(eval) => {
            let (flops, tokens) = evaluation(&eval.protocol, &forward, known);
            let disk = questions(&eval.protocol, known) * 512;
            Cost { flops, decode_flops: flops, tokens: tokens as u64, disk, known: shape.is_some() }
        }
        Recipe::Rl(rl) => {
            let (mut flops, mut decode_flops, mut tokens) = (0.0, 0.0, 0.0);
            let prompts = rl.prompts_per_step as f64;
            let responses = prompts * rl.group_size as f64;
            for step in 0..rl.steps.0 {
                let response = rl.max_response_at(step) as f64 / 2.0;
                let length = PROMPT_TOKENS + response;
                // Generate (a prompt is read once for its group), then forward and backward over whole sequences.
                let generated = prompts * PROMPT_TOKENS + responses * response;
                flops += forward(length) * (generated + 3.0 * responses * length);
                decode_flops += forward(length) * generated;
                tokens += responses * response;
            }
            // Before the first step, every so many, and after the last.
            let evaluations = 1 + rl.steps.0.div_ceil(rl.eval_every.0.max(1));
            let (flops_each, tokens_each) = evaluation(&rl.eval, &forward, known);
            flops += evaluations as f64 * flops_each;
            decode_flops += evaluations as f64 * flops_each;
            tokens += evaluations as f64 * tokens_each;
            let disk = weights + questions(&rl.eval, known) * 512;
            Cost { flops, decode_flops, tokens: tokens as u64, disk, known: shape.is_some() }
        }
    }
}

/// Questions of all benchmarks.
fn questions(protocol: &EvalProtocol, known: &Known) -> u64 {
    let count = |items: &Items| match items {
        Items::World { count, .. } => *count as u64,
        Items::Dataset { content, limit } => {
            let held = known.datasets.get(content).copied().unwrap_or(DATASET_ITEMS);
            limit.map_or(held, |limit| held.min(limit as u64))
        }
    };
    protocol.benchmarks.iter().map(|benchmark| count(&benchmark.items)).sum()
}

/// FLOPs and generated tokens of one evaluation.
fn evaluation(protocol: &EvalProtocol, forward: &dyn Fn(f64) -> f64, known: &Known) -> (f64, f64) {
    let questions = questions(protocol, known) as f64;
    let response = protocol.max_new_tokens as f64 / 2.0;
    let generated = questions * (1 + protocol.samples) as f64 * response;
    (forward(PROMPT_TOKENS + response) * (generated + questions * PROMPT_TOKENS), generated)
}

/// What a run may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Caps {
    pub max_hours: Option<f64>,
    pub max_disk: Option<u64>,
    /// Bytes that the stages at work may hold in memory.
    pub max_memory: Option<u64>,
}

/// One stage that a run would make.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// For people: stage and first arm.
    pub what: String,
    /// The stage's name in its trial.
    pub stage: String,
    pub seconds: f64,
    pub disk: u64,
    /// While it is being made.
    pub scratch: u64,
    /// Bytes of memory, while it is being made.
    pub held: u64,
}

/// A run that would exceed a cap; nothing has been started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TooExpensive {
    #[error(
        "failed to start: the {stages} stages to run take about {hours:.1} h, more than the allowed {allowed:?} h; the longest are {longest} \
         (thin the experiment with --only or --seeds, or raise --budget)"
    )]
    Hours { stages: usize, hours: f64, allowed: f64, longest: String },
    #[error(
        "failed to start: the {stages} stages to run write about {}, more than the allowed {}; the largest are {largest} \
         (thin the experiment with --only or --seeds, drop old artifacts with `ablate gc`, or raise --max-disk)", bytes(*disk), bytes(*allowed)
    )]
    Disk { stages: usize, disk: u64, allowed: u64, largest: String },
    #[error(
        "failed to start: the {stages} stages to run need about {}, and {} are free where the store lies; the largest are {largest} \
         (free some space, drop old artifacts with `ablate gc`, thin the experiment with --only or --seeds, or choose another disk with --results)",
        bytes(*disk), bytes(*free)
    )]
    NoRoom { stages: usize, disk: u64, free: u64, largest: String },
    #[error(
        "failed to start: {what} would hold about {} of memory, more than the {} that may be used \
         (take a larger machine, or give the lab a smaller model, batch or length; to try all the same, raise --max-memory)",
        bytes(*held), bytes(*room)
    )]
    Memory { what: String, held: u64, room: u64 },
    /// `fit` of them would fit.
    #[error(
        "failed to start: {jobs} stages at once, such as {what}, would hold about {} of memory, more than the {} that may be used \
         (run fewer at once with --jobs {fit}; to try all the same, raise --max-memory)",
        bytes(*held), bytes(*room)
    )]
    MemoryTogether { jobs: usize, fit: usize, what: String, held: u64, room: u64 },
}

impl Caps {
    /// Refuses a run that is too expensive. `jobs` stages run at a time.
    pub fn check(&self, items: &[Item], jobs: usize) -> Result<(), TooExpensive> {
        let listed = |mut items: Vec<&Item>, text: &dyn Fn(&Item) -> String| {
            items.truncate(3);
            items.into_iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let hours = items.iter().map(|item| item.seconds).sum::<f64>() / 3600.0 / jobs.max(1) as f64;
        if let Some(allowed) = self.max_hours.filter(|allowed| hours > *allowed) {
            let mut sorted: Vec<&Item> = items.iter().collect();
            sorted.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            let longest = listed(sorted, &|item| format!("{} ({:.1} h)", item.what, item.seconds / 3600.0));
            return Err(TooExpensive::Hours { stages: items.len(), hours, allowed, longest });
        }
        let disk = items.iter().map(|item| item.disk).sum();
        if let Some(allowed) = self.max_disk.filter(|allowed| disk > *allowed) {
            let mut sorted: Vec<&Item> = items.iter().collect();
            sorted.sort_by_key(|item| std::cmp::Reverse(item.disk));
            let largest = listed(sorted, &|item| format!("{} ({})", item.what, bytes(item.disk)));
            return Err(TooExpensive::Disk { stages: items.len(), disk, allowed, largest });
        }
        self.max_memory.map_or(Ok(()), |room| fits_memory(items, jobs, room))
    }
}

/// Refuses a run whose largest stages, as many as may be at work together, don't fit into `room` bytes of memory. Stages
/// of one name belong to different trials, so nothing keeps them from being made at once.
fn fits_memory(items: &[Item], jobs: usize, room: u64) -> Result<(), TooExpensive> {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by_key(|item| std::cmp::Reverse(item.held));
    if let Some(item) = sorted.first().filter(|item| item.held > room) {
        return Err(TooExpensive::Memory { what: item.what.clone(), held: item.held, room });
    }
    let mut together: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    sorted.iter().for_each(|item| together.entry(&item.stage).or_default().push(item));
    let sum = |items: &[&Item], count: usize| items.iter().take(count).map(|item| item.held).sum::<u64>();
    match together.values().max_by_key(|items| sum(items, jobs)) {
        Some(items) if sum(items, jobs) > room => Err(TooExpensive::MemoryTogether {
            jobs: jobs.min(items.len()),
            fit: (1..jobs).take_while(|count| sum(items, *count) <= room).count().max(1),
            what: items[0].what.clone(),
            held: sum(items, jobs),
            room,
        }),
        _ => Ok(()),
    }
}

/// Refuses a run whose artifacts don't fit into `free` bytes, together with the step checkpoints of `jobs` stages at work:
/// weights with two moments, the one before them not yet removed.
pub fn fits(items: &[Item], jobs: usize, free: u64) -> Result<(), TooExpensive> {
    let mut sorted: Vec<&Item> = items.iter().collect();
    sorted.sort_by_key(|item| std::cmp::Reverse(item.disk));
    let scratch: u64 = sorted.iter().take(jobs.max(1)).map(|item| item.scratch).sum();
    let disk = items.iter().map(|item| item.disk).sum::<u64>() + scratch;
    if disk <= free {
        return Ok(());
    }
    let largest = sorted.iter().take(3).map(|item| format!("{} ({})", item.what, bytes(item.disk)));
    Err(TooExpensive::NoRoom { stages: items.len(), disk, free, largest: largest.collect::<Vec<_>>().join(", ") })
}

/// Bytes of a stage's step checkpoints.
pub fn scratch(kind: Kind, cost: &Cost) -> u64 {
    match kind {
        Kind::Pretrain | Kind::Midtrain | Kind::Rl => 6 * cost.disk,
        Kind::Corpus | Kind::Checkpoint | Kind::Eval | Kind::Contamination => 0,
    }
}

/// Bytes as people say them: `512 B`, `1.5 MB`, `20 GB`.
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.trim_end_matches(".0"), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;
    use crate::recipe::Steps;

    #[test]
    fn memory_is_counted_for_stages_that_may_be_at_work_together() {
        let item = |stage: &str, trial: u64, held: u64| Item {
            what: format!("{stage} of a seed {trial}"),
            stage: stage.into(),
            seconds: 1.0,
            disk: 1,
            scratch: 1,
            held,
        };
        let mut items: Vec<Item> = (0..4).map(|trial| item("rl", trial, 30)).collect();
        items.extend([item("base", 0, 80), item("corpus", 0, 0)]);
        let check = |jobs, room| Caps { max_memory: Some(room), ..Caps::default() }.check(&items, jobs);
        // The base is made before any RL, so the two never meet.
        assert_eq!((check(1, 80), check(2, 80)), (Ok(()), Ok(())));
        let alone = check(1, 79).unwrap_err();
        assert!(matches!(&alone, TooExpensive::Memory { what, held: 80, .. } if what == "base of a seed 0"), "{alone}");
        let together = check(8, 100).unwrap_err();
        assert!(
            matches!(together, TooExpensive::MemoryTogether { jobs: 4, fit: 3, held: 120, .. })
                && together.to_string().contains("with --jobs 3"),
            "{together}"
        );
        assert_eq!(check(3, 100), Ok(()));
    }

    fn of(stage: &str, change: impl Fn(&mut Recipe)) -> Cost {
        let mut trial = sample::trial("a", 1, 0);
        trial
            .stages
            .iter_mut()
            .filter(|planned| planned.name == stage)
            .for_each(|planned| change(std::sync::Arc::make_mut(&mut planned.recipe)));
        let graph = Graph::new(&[trial]).unwrap();
        let node = graph.nodes.iter().position(|node| node.names[0] == stage).unwrap();
        costs(&graph, &Known::default())[node]
    }

    #[test]
    fn training_costs_three_forward_passes_over_whole_steps() {
        let cost = of("mid", |_| {});
        // 500 tokens in steps of 64; 2 layers of (16·16 + 2·16·8 + 16·16 + 3·16·32 + 16·32) and a head of 16·64, times 2.
        let forward = 2.0 * (2.0 * (256.0 + 256.0 + 256.0 + 1536.0 + 512.0) + 1024.0);
        assert_eq!(cost.tokens, 448);
        assert_eq!(cost.flops, 3.0 * 448.0 * forward);
        assert!(cost.known && cost.disk > 4 * 64 * 16);
    }

    #[test]
    fn costs_grow_with_the_work_and_do_not_depend_on_names() {
        let rl = |steps| {
            of("rl", |recipe| {
                if let Recipe::Rl(rl) = recipe {
                    rl.steps = Steps(steps)
                }
            })
        };
        let (one, two) = (rl(100), rl(200));
        assert!((two.flops / one.flops - 2.0).abs() < 0.05, "{one:?} {two:?}");
        let eval = |samples| {
            of("eval:mid", |recipe| {
                if let Recipe::Eval(eval) = recipe {
                    eval.protocol.samples = samples
                }
            })
        };
        assert!(eval(7).tokens == 8 * eval(0).tokens);
        let empty = cost(&sample::corpus(1000), None, &Known::default());
        assert_eq!((empty.flops, empty.tokens, empty.disk, empty.known), (0.0, 1000, 4000, true));
    }

    #[test]
    fn a_checkpoint_of_unknown_shape_has_no_known_price() {
        let recipe = Recipe::Checkpoint(crate::recipe::CheckpointRecipe { content: Key::of(b"x"), tokenizer: None });
        assert!(!cost(&recipe, None, &Known::default()).known);
    }

    #[test]
    fn bytes_print_as_people_say_them() {
        for (count, text) in
            [(0, "0 B"), (512, "512 B"), (1_500_000, "1.5 MB"), (20_000_000_000, "20 GB"), (999_600, "1 MB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
