//! A bench that makes nothing: the same files as a real one, filled with numbers derived from the recipe, in microseconds.
//!
//! Planning, resuming, crashing and reporting are tested with it. It works in steps, saves into scratch after each, passes
//! the same fault points as a real stage, and can be told to misbehave.

use super::bench::{Bench, Outcome, StageContext, StageError};
use crate::cache::disk;
use crate::fault;
use crate::recipe::{EvalProtocol, Key, Recipe, Rng, Seed, canonical_json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Ways to misbehave at recipes of a test's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    Fail,
    /// Fails for want of memory.
    Starve,
    Panic,
    Diverge,
    /// Behaves as if asked to stop after its second step.
    Stop,
    /// Writes no metrics.
    Forget,
}

/// Decides who misbehaves.
pub type Choice = Box<dyn Fn(&Recipe) -> Option<Mischief> + Sync + Send>;

/// The fake bench.
pub struct StubBench {
    /// Steps of every stage.
    pub steps: u64,
    /// Sleep in every step.
    pub pause: Duration,
    pub mischief: Choice,
    runs: AtomicU64,
    steps_done: AtomicU64,
}

impl Default for StubBench {
    fn default() -> StubBench {
        StubBench::with(|_| None)
    }
}

impl StubBench {
    pub fn with(mischief: impl Fn(&Recipe) -> Option<Mischief> + Sync + Send + 'static) -> StubBench {
        StubBench {
            steps: 3,
            pause: Duration::ZERO,
            mischief: Box::new(mischief),
            runs: AtomicU64::new(0),
            steps_done: AtomicU64::new(0),
        }
    }

    /// How many stages it has been asked for.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// How many steps it has worked, over all stages.
    pub fn steps_done(&self) -> u64 {
        self.steps_done.load(Ordering::SeqCst)
    }
}

/// The recipe's own random numbers: no clock, no counter, the same in every process.
fn draws(recipe: &Recipe, step: u64) -> Rng {
    let text = canonical_json(&serde_json::to_value(recipe).expect("a recipe is plain data"));
    let digest = Key::of(text.as_bytes()).to_string();
    Seed(u64::from_str_radix(&digest[..16], 16).expect("hex")).stream("stub").at(&[step])
}

impl Bench for StubBench {
    fn run(&self, recipe: &Recipe, ctx: &StageContext) -> Result<Outcome, StageError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        for input in recipe.inputs() {
            disk::digest(&ctx.input(&input).join("fingerprint.json"))?;
        }
        let mischief = (self.mischief)(recipe);
        let saved = ctx.scratch().join("step");
        let mut step = match disk::read_if_there(&saved)? {
            Some(text) => String::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0),
            None => 0,
        };
        let mut ending = Outcome::Finished;
        while step < self.steps {
            match mischief {
                Some(Mischief::Fail) if step == 1 => {
                    return Err(StageError::new("failed to train: the stub was told to"));
                }
                Some(Mischief::Starve) if step == 1 => return Err(io::Error::from(io::ErrorKind::OutOfMemory).into()),
                Some(Mischief::Panic) if step == 1 => panic!("the stub was told to panic"),
                Some(Mischief::Diverge) if step == 2 => {
                    ending = Outcome::Diverged { step, loss: f64::NAN };
                    break;
                }
                Some(Mischief::Stop) if step == 2 => return Ok(Outcome::Interrupted),
                _ => {}
            }
            if ctx.stop_requested() {
                return Ok(Outcome::Interrupted);
            }
            std::thread::sleep(self.pause);
            step += 1;
            self.steps_done.fetch_add(1, Ordering::SeqCst);
            // Not synced: these tests kill processes, not machines.
            disk::write_note(&saved.with_extension("new"), step.to_string().as_bytes())?;
            disk::rename(&saved.with_extension("new"), &saved)?;
            ctx.saved(step);
            fault::point(match recipe {
                Recipe::Rl(_) => "mid-rl-step",
                Recipe::Eval(_) => "mid-eval",
                _ => "mid-train-step",
            });
            ctx.progress(step, self.steps, "stub");
        }
        if mischief != Some(Mischief::Forget) {
            write(recipe, ctx, step)?;
        }
        Ok(ending)
    }
}

/// The files of an artifact after `last` steps.
fn write(recipe: &Recipe, ctx: &StageContext, last: u64) -> Result<(), StageError> {
    let mut curves = String::from("benchmark,metric,step,value\n");
    let mut metrics: BTreeMap<String, f64> = BTreeMap::new();
    let mut evaluate = |step: u64, protocol: &EvalProtocol| {
        let mut rng = draws(recipe, 1000 + step);
        let mut sum = 0.0;
        let names = protocol.benchmarks.iter().map(|benchmark| benchmark.name.as_str());
        for name in names {
            let accuracy = 0.1 + 0.05 * step as f64 + 0.1 * rng.f64();
            sum += accuracy;
            for (metric, value) in [("accuracy", accuracy), ("response_length", (20.0 + 10.0 * rng.f64()).round())] {
                let _ = writeln!(curves, "{name},{metric},{step},{value}");
                metrics.insert(format!("{metric}/{name}"), value);
            }
        }
        let mean = sum / protocol.benchmarks.len().max(1) as f64;
        let _ = writeln!(curves, "all,accuracy,{step},{mean}");
        metrics.insert("accuracy/all".into(), mean);
    };
    match recipe {
        Recipe::Corpus(_) | Recipe::Checkpoint(_) | Recipe::Contamination(_) => {}
        Recipe::Eval(eval) => evaluate(0, &eval.protocol),
        Recipe::Rl(rl) => (0..=last).for_each(|step| evaluate(step, &rl.eval)),
        Recipe::Train(_) => {
            for step in 1..=last {
                let loss = 4.0 / (1 + step) as f64 + 0.1 * draws(recipe, step).f64();
                let _ = writeln!(curves, ",loss,{step},{loss}");
                metrics.insert("loss".into(), loss);
            }
        }
    }
    metrics.insert("tokens".into(), (100 * last) as f64);
    let metrics = serde_json::to_vec(&metrics)?;
    disk::write_note(&ctx.out().join("curves.csv"), curves.as_bytes())?;
    disk::write_note(&ctx.out().join("metrics.json"), &metrics)?;
    if matches!(recipe, Recipe::Corpus(_) | Recipe::Train(_) | Recipe::Rl(_) | Recipe::Checkpoint(_)) {
        disk::create_dir(&ctx.out().join("model"))?;
        let weights: Vec<u8> = (0..64).map(|step| draws(recipe, step).u32() as u8).collect();
        disk::write_note(&ctx.out().join("model").join("weights.bin"), &weights)?;
    }
    Ok(())
}
