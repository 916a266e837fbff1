//! Our side of each row, and the same work as a job for a peer.

use crate::Result;
use crate::model::{Lengths, NEW, PROMPT, ROW, Size, VOCAB, prompts, random_ids, sampler, save, words};
use crate::rows::{BATCH_256, COMPILE, EAGER_CUT, Work};
use ablate::data::{Tokenizer, WordTokenizer};
use ablate::model::kernel::gemm::{Into, Panels, gemm};
use ablate::model::{Batch, Decoder, Params, Prompt, Sampling, generate};
use ablate::recipe::optimizer::{AdamW, DecayMask};
use ablate::recipe::rl::{Advantage, Aggregation, LengthStep, Objective, Prompts, Reward};
use ablate::recipe::template::Extract;
use ablate::recipe::{EvalProtocol, Key, Optimizer, RlRecipe, Seed, Steps, Template};
use ablate::rl::RlTrainer;
use ablate::task::Problem;
use ablate::train::{OptimizerState, clip};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// What a repetition did and took. `check` is a number that must be about the same on all sides.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub units: f64,
    pub cpu: f64,
    pub wall: f64,
    pub check: f64,
}

/// A side: its name, and one repetition.
pub type Side = (String, Box<dyn FnMut() -> Done>);

const ADAMW: AdamW = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.01, decay: DecayMask::All };

fn steps(size: Size) -> usize {
    match size {
        Size::Xs | Size::S => 4,
        Size::M | Size::L => 2,
    }
}

/// Processor seconds of this thread, where the system tells them.
fn processor() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? * 1e-9)
}

fn timed(run: impl FnOnce() -> (f64, f64)) -> Done {
    let (cpu, start) = (processor(), Instant::now());
    let (units, check) = run();
    let wall = start.elapsed().as_secs_f64();
    let spent = processor().zip(cpu).map_or(wall, |(after, before)| after - before);
    Done { units, cpu: spent, wall, check }
}

/// Our sides, warm: one for each number of threads.
pub fn prepare(work: &Work, threads: &[usize], place: &Path) -> Result<Vec<Side>> {
    let name = |threads: usize| if threads == 1 { "ablate".to_string() } else { format!("ablate, {threads} threads") };
    threads.iter().map(|threads| Ok((name(*threads), side(work, *threads, place)?))).collect()
}

fn side(work: &Work, threads: usize, place: &Path) -> Result<Box<dyn FnMut() -> Done>> {
    Ok(match *work {
        Work::Train(size) => {
            let mut training = Training::new(size, threads);
            save(&training.decoder, place)?;
            training.step();
            training.step();
            let count = steps(size);
            Box::new(move || {
                timed(|| {
                    let loss = (0..count).map(|_| training.step()).last().unwrap_or(f64::NAN);
                    ((count * size.step_tokens()) as f64, loss)
                })
            })
        }
        Work::Generate { size, prompts: count, lengths } => {
            let decoder = sampler(size, lengths);
            save(&decoder, place)?;
            let asked: Vec<Prompt> = prompts(count).into_iter().map(|ids| Prompt { ids, samples: 1 }).collect();
            // As the peer's job has it: where lengths are equal, nothing ends a sequence.
            let eos = if lengths == Lengths::Vary { 0 } else { u32::MAX };
            let sampling = Sampling { temperature: 1.0, max_new: NEW, eos, banned: vec![] };
            let mut salt = 0;
            let mut run = move || {
                salt += 1;
                let draw = |prompt: usize, _: usize| Seed(salt).stream("bench").at(&[prompt as u64]);
                timed(|| {
                    let done = generate(&decoder, &asked, &sampling, &draw, threads).unwrap();
                    let tokens = done.iter().flatten().map(|completion| completion.tokens.len()).sum::<usize>() as f64;
                    (tokens, tokens / count as f64)
                })
            };
            run();
            Box::new(run)
        }
        Work::Grpo(size, lengths) => {
            let policy = sampler(size, lengths);
            save(&policy, place)?;
            let tokenizer = Tokenizer::Words(WordTokenizer::new(words(numbers(lengths))));
            let problems = problems(&tokenizer);
            let mut trainer = RlTrainer::new(&recipe(), policy);
            let mut run = move || {
                timed(|| match trainer.step(&problems, &tokenizer, threads) {
                    Ok((metrics, _)) => (1.0, metrics.response_length_all),
                    Err(error) => panic!("{error}"),
                })
            };
            run();
            Box::new(run)
        }
        Work::Product => Box::new(|| Done { units: best_product(), cpu: 1.0, wall: 1.0, check: 0.0 }),
        Work::Muon(size) => {
            let decoder = size.decoder();
            save(&decoder, place)?;
            let rule =
                Optimizer::Muon { lr: 0.02, momentum: 0.95, weight_decay: 0.0, newton_schulz_steps: 5, rest: ADAMW };
            let mut params = decoder.params().clone();
            let gradients = params.clone();
            let mut state = OptimizerState::new(&rule, &params);
            Box::new(move || {
                timed(|| {
                    (0..5).for_each(|_| state.step_on(&mut params, &gradients, 1.0, threads));
                    (5.0, 0.0)
                })
            })
        }
        Work::Peak(size) => {
            save(&size.decoder(), place)?;
            let place = place.to_path_buf();
            Box::new(move || {
                let this = std::env::current_exe().expect("this program has a path");
                let said = std::process::Command::new(this).arg("--peak").arg(&place).output().expect("it starts");
                let said: Value = serde_json::from_slice(&said.stdout).expect("it says what it took");
                let field = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
                Done { units: field("peak"), cpu: 1.0, wall: 1.0, check: field("above") }
            })
        }
    })
}

/// What a peer is to do. `place` holds the model that [`prepare`] has written.
pub fn job(work: &Work, side: &str, place: &Path) -> Value {
    match *work {
        Work::Train(size) => json!({
            "what": "train", "model": place, "ids": training_ids(size), "rows": size.step_tokens() / ROW,
            "steps": steps(size), "mode": if side == COMPILE { "compile" } else { "eager" },
            "cut": if side == EAGER_CUT { "best" } else { "whole" },
        }),
        Work::Generate { prompts: count, lengths, .. } => json!({
            "what": "generate", "model": place, "prompts": prompts(count), "new": NEW,
            "batch": if side == BATCH_256 { 256 } else { 64 },
            "eos": (lengths == Lengths::Vary).then_some(0),
        }),
        Work::Grpo(_, lengths) => {
            let words = WordTokenizer::new(words(numbers(lengths)));
            let (words, tokenizer) = (words.words().to_vec(), Tokenizer::Words(words));
            let prompts: Vec<String> = prompts(16).iter().map(|ids| tokenizer.decode(ids)).collect();
            let numbers = &words[2..2 + numbers(lengths)];
            json!({
                "what": "grpo", "model": place, "words": words, "numbers": numbers, "prompts": prompts, "new": NEW,
            })
        }
        Work::Product => json!({ "what": "gemm" }),
        Work::Muon(_) => json!({ "what": "muon", "model": place, "steps": 5 }),
        Work::Peak(size) => json!({
            "what": "peak", "model": place, "ids": training_ids(size), "rows": size.step_tokens() / ROW,
        }),
    }
}

fn training_ids(size: Size) -> Vec<u32> {
    random_ids(size.step_tokens() + 1, 0)
}

struct Training {
    decoder: Decoder,
    optimizer: OptimizerState,
    gradients: Params,
    ids: Vec<u32>,
    starts: Vec<usize>,
    threads: usize,
}

impl Training {
    fn new(size: Size, threads: usize) -> Training {
        Training::of(size.decoder(), training_ids(size), threads)
    }

    fn of(decoder: Decoder, ids: Vec<u32>, threads: usize) -> Training {
        let optimizer = OptimizerState::new(&Optimizer::AdamW(ADAMW), decoder.params());
        let gradients = Params::zeros_like(decoder.params());
        let starts = (0..ids.len()).step_by(ROW).collect();
        Training { decoder, optimizer, gradients, ids, starts, threads }
    }

    /// One step; returns its loss.
    fn step(&mut self) -> f64 {
        let tokens = self.ids.len() - 1;
        self.gradients.flat_mut().fill(0.0);
        let batch = Batch { ids: &self.ids[..tokens], targets: &self.ids[1..], starts: &self.starts };
        let objective = |_: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| d.fill(-1.0 / tokens as f32);
        let scores = self.decoder.gradient(batch, self.threads, &objective, &mut self.gradients).unwrap();
        clip(&mut self.gradients, 1.0);
        let (optimizer, gradients, threads) = (&mut self.optimizer, &self.gradients, self.threads);
        self.decoder.update(|params| optimizer.step_on(params, gradients, 1.0, threads));
        -scores.logprob.iter().map(|logprob| f64::from(*logprob)).sum::<f64>() / tokens as f64
    }
}

/// Seconds of a step on so many tokens, the fastest of three.
pub fn step_seconds(size: Size, tokens: usize) -> f64 {
    let mut training = Training::of(size.decoder(), random_ids(tokens + 1, 0), 1);
    training.step();
    (0..3).map(|_| timed(|| (1.0, training.step())).cpu).fold(f64::INFINITY, f64::min)
}

/// Runs three training steps on the checkpoint in `place` and prints the process's peak memory in MiB.
pub fn peak(place: &Path) -> Result<()> {
    let before = memory("VmRSS");
    let decoder = ablate::model::weights::load(place)?;
    let tokens = if decoder.shape().hidden == Size::L.shape().hidden { 2048 } else { 4096 };
    let mut training = Training::of(decoder, random_ids(tokens + 1, 0), 1);
    for _ in 0..3 {
        training.step();
    }
    let peak = memory("VmHWM");
    println!("{}", json!({ "peak": peak, "above": peak - before }));
    Ok(())
}

fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}

/// The best rate of our matrix product in GFLOP/s, at the engine's own sizes.
fn best_product() -> f64 {
    let rate = |(m, k, n): (usize, usize, usize)| {
        let (x, w, mut out) = (vec![0.5; m * k], vec![0.25; k * n], vec![0.0; m * n]);
        let mut panels = Panels::default();
        panels.pack(&[&w], n);
        let flops = 2.0 * (m * k * n) as f64;
        let count = (4e9 / flops).ceil();
        let done = timed(|| {
            for _ in 0..count as usize {
                gemm(&x, k, m, k, &panels.data, k, n, &mut out, n, Into::Replace);
            }
            (0.0, f64::from(out[0]))
        });
        count * flops / done.cpu / 1e9
    };
    let shapes = [(512, 256, 1024), (512, 512, 512), (512, 1024, 256), (512, 384, 2432), (96, 256, 256)];
    shapes.into_iter().map(rate).fold(0.0, f64::max)
}

/// So many words of the vocabulary are numbers that about half of the completions hold one: a group whose rewards are all
/// equal would have no gradient, and would be skipped.
fn numbers(lengths: Lengths) -> usize {
    match lengths {
        Lengths::Equal => 4,
        Lengths::Vary => 12,
    }
}

fn problems(tokenizer: &Tokenizer) -> Vec<Problem> {
    let problem = |(index, ids): (usize, Vec<u32>)| Problem {
        id: index.to_string(),
        question: tokenizer.decode(&ids[1..]),
        gold: "2".to_string(),
    };
    prompts(16).into_iter().enumerate().map(problem).collect()
}

/// Rewards any number in the response, right or wrong, as the peer's reward function does.
fn recipe() -> RlRecipe {
    let template = Template {
        before: String::new(),
        after: String::new(),
        extract: Extract::LastNumber,
        stop: vec![],
        begin: Default::default(),
        special_tokens: false,
    };
    let eval = EvalProtocol {
        benchmarks: vec![],
        template: template.clone(),
        max_new_tokens: NEW,
        samples: 0,
        temperature: 1.0,
        pass_at: vec![],
        seed: Seed(0),
    };
    RlRecipe {
        policy: Key::of(b""),
        prompts: Prompts::Dataset { content: Key::of(b""), max_prompt_tokens: None },
        template,
        steps: Steps(1000),
        prompts_per_step: 16,
        group_size: 8,
        updates_per_step: 2,
        temperature: 1.0,
        max_response: vec![LengthStep { from: Steps(0), max_tokens: NEW }],
        objective: Objective {
            advantage: Advantage::Grpo,
            aggregation: Aggregation::TokenMean,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
        },
        reward: Reward { correct: 1.0, wrong: 1.0, no_answer: 0.0, gave_up: 1.0 },
        optimizer: AdamW { lr: 1e-6, ..ADAMW },
        warmup: Steps(0),
        max_grad_norm: 1.0,
        eval_every: Steps(1000),
        eval,
        seed: Seed(3),
    }
}

const _: () = assert!(PROMPT + NEW == ROW && VOCAB == 512);
