//! A small experiment for the ledger's tests: one shared corpus and base, one mid-training phase, RL.

use super::trial::{PlannedStage, TrialPlan};
use crate::recipe::corpus::{Style, WorldCorpus};
use crate::recipe::eval::{Benchmark, Items};
use crate::recipe::optimizer::{AdamW, DecayMask};
use crate::recipe::rl::{Advantage, Aggregation, LengthStep, Objective, Prompts, Reward};
use crate::recipe::shape::Architecture;
use crate::recipe::template::Extract;
use crate::recipe::train::{Boundary, Precision};
use crate::recipe::world::Split;
use crate::recipe::*;

pub fn world() -> World {
    World { max_number: 9, max_change: 3, changes_per_event: 1, doubles: 0.0, corpus_difficulty: vec![1.0, 1.0] }
}

pub fn corpus(tokens: u64) -> Recipe {
    Recipe::Corpus(CorpusRecipe::World(WorldCorpus {
        world: world(),
        tokens: Tokens(tokens),
        stream: 0,
        style: Style::General,
    }))
}

pub fn shape() -> ModelShape {
    ModelShape {
        architecture: Architecture::Llama,
        vocab: 64,
        hidden: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ffn: 32,
        rope_theta: 1e4,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    }
}

fn adamw(lr: f64) -> AdamW {
    AdamW { lr, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, decay: DecayMask::Matrices }
}

fn problems() -> ProblemSet {
    ProblemSet { world: world(), difficulty: vec![1.0], split: Split::HeldOut, stream: 1 }
}

fn template() -> Template {
    Template { before: "q: ".into(), after: " a:".into(), extract: Extract::LastNumber, ..Template::default() }
}

pub fn protocol() -> EvalProtocol {
    EvalProtocol {
        benchmarks: vec![Benchmark { name: "easy".into(), items: Items::World { problems: problems(), count: 10 } }],
        template: template(),
        max_new_tokens: 8,
        samples: 0,
        temperature: 1.0,
        pass_at: vec![],
        seed: Seed(0),
    }
}

pub fn train(init: Init, corpus: Key, tokens: u64, seed: u64) -> TrainRecipe {
    TrainRecipe {
        init,
        mixture: vec![MixturePart { corpus, share: 1.0 }],
        tokens: Tokens(tokens),
        row_tokens: 32,
        batch_rows: 2,
        boundary: Boundary::Row,
        epochs: 1,
        schedule: Schedule::Constant { warmup: 0.0 },
        optimizer: Optimizer::AdamW(adamw(1e-3)),
        max_grad_norm: 1.0,
        precision: Precision::F32,
        seed: Seed(seed),
        held_out: None,
    }
}

pub fn rl(policy: Key, seed: u64) -> RlRecipe {
    RlRecipe {
        policy,
        prompts: Prompts::World(problems()),
        template: template(),
        steps: Steps(4),
        prompts_per_step: 2,
        group_size: 2,
        updates_per_step: 1,
        temperature: 1.0,
        max_response: vec![LengthStep { from: Steps(0), max_tokens: 8 }],
        objective: Objective {
            advantage: Advantage::Grpo,
            aggregation: Aggregation::TokenMean,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
        },
        reward: Reward { correct: 1.0, wrong: 0.0, no_answer: 0.0, gave_up: 0.0 },
        optimizer: adamw(1e-4),
        warmup: Steps(0),
        max_grad_norm: 1.0,
        eval_every: Steps(2),
        eval: protocol(),
        seed: Seed(seed),
    }
}

/// A stage on the CPU.
pub fn stage(name: &str, recipe: Recipe) -> PlannedStage {
    let key = recipe.fingerprint(Backend::Cpu).key();
    PlannedStage { name: name.into(), recipe: recipe.into(), key }
}

/// `corpus:web → base → eval:base`, shared by all; `corpus:math → mid → eval:mid → rl`, whose corpus has `1000 + level` tokens.
pub fn trial(arm: &str, level: u64, seed: u64) -> TrialPlan {
    let web = stage("corpus:web", corpus(500));
    let init = Init::Random { shape: shape(), embedding_std: 0.02, matrix_std: 0.02, seed: Seed(0) };
    let base = stage("base", Recipe::Train(train(init, web.key, 500, 0)));
    let eval = |name: &str, model: Key| stage(name, Recipe::Eval(EvalRecipe { model, protocol: protocol() }));
    let eval_base = eval("eval:base", base.key);
    let math = stage("corpus:math", corpus(1000 + level));
    let mid = stage("mid", Recipe::Train(train(Init::From { weights: base.key }, math.key, 500, seed)));
    let eval_mid = eval("eval:mid", mid.key);
    let rl = stage("rl", Recipe::Rl(rl(mid.key, seed)));
    TrialPlan {
        arm: arm.into(),
        levels: vec![("level".into(), level.to_string())],
        seed: Seed(seed),
        stages: vec![web, base, eval_base, math, mid, eval_mid, rl],
    }
}
