//! One phase of training: batch, gradient, clip, scheduled update.
//!
//! The loss is the mean over all tokens of the step of −log p(next token); nothing is masked, because rows hold nothing
//! but text. A loss or gradient that is not finite stops the run *before* the update, so the weights at hand are the last
//! good ones.
//!
//! Deliberately absent: gradient accumulation as a setting. A step's tokens are a matter of the recipe; how the engine
//! cuts them up to fit memory changes no result.

use super::snapshot::{self, SnapshotError};
use super::{OptimizerState, clip};
use crate::data::Mix;
use crate::model::{Batch, Decoder, DeviceError, Params};
use crate::recipe::{Schedule, TrainRecipe};
use std::path::{Path, PathBuf};

/// A recipe that these weights, these corpora or this engine can't serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    #[error(
        "failed to start training: the corpora have {corpora} token ids and the model has {model}; use one tokenizer"
    )]
    Vocabulary { corpora: usize, model: usize },
}

/// Why a step was not made. The weights are those before it.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(
        "failed to finish step {step}: the loss is {loss} and the gradient's norm {grad_norm}; lower the learning rate"
    )]
    Diverged { step: u64, loss: f64, grad_norm: f64 },
    #[error("failed to finish step {step}: {source}")]
    Device { step: u64, source: DeviceError },
}

/// What a step measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepMetrics {
    /// Mean −log-probability a token in nats, before the update.
    pub loss: f64,
    /// Global L2 norm before clipping.
    pub grad_norm: f64,
    /// The learning rate of the step (Muon's, if there are two).
    pub lr: f64,
}

/// A phase between two steps.
pub struct Trainer {
    /// Steps done.
    pub step: u64,
    pub decoder: Decoder,
    pub optimizer: OptimizerState,
    mix: Mix,
    schedule: Schedule,
    peak_lr: f64,
    max_grad_norm: f64,
    gradients: Params,
}

impl Trainer {
    /// A phase at its start. The optimizer begins afresh, whatever made the decoder.
    pub fn new(recipe: &TrainRecipe, mut decoder: Decoder, mix: Mix) -> Result<Trainer, TrainError> {
        decoder.set_precision(recipe.precision);
        let (corpora, model) = (mix.vocab(), decoder.shape().vocab);
        if corpora > model {
            return Err(TrainError::Vocabulary { corpora, model });
        }
        Ok(Trainer {
            step: 0,
            optimizer: OptimizerState::new(&recipe.optimizer, decoder.params()),
            gradients: Params::zeros_like(decoder.params()),
            decoder,
            mix,
            schedule: recipe.schedule,
            peak_lr: recipe.optimizer.peak_lr(),
            max_grad_norm: recipe.max_grad_norm,
        })
    }

    /// Steps of the whole phase.
    pub fn steps(&self) -> u64 {
        self.mix.steps()
    }

    /// What the phase reads.
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// Does the next step. The number of threads changes no bit of the result. Panics if the phase is over.
    pub fn step(&mut self, threads: usize) -> Result<StepMetrics, StepError> {
        let batch = self.mix.batch(self.step);
        let tokens = batch.ids.len();
        let weight = -1.0 / tokens as f32;
        self.gradients.flat_mut().fill(0.0);
        let view = Batch { ids: &batch.ids, targets: &batch.targets, starts: &batch.starts };
        let objective = |_: std::ops::Range<usize>, _: &[f32], gradient: &mut [f32]| gradient.fill(weight);
        let passed = self.decoder.gradient(view, threads, &objective, &mut self.gradients);
        let scores = passed.map_err(|source| StepError::Device { step: self.step, source })?;
        let loss = -scores.logprob.iter().map(|logprob| *logprob as f64).sum::<f64>() / tokens as f64;
        let grad_norm = clip(&mut self.gradients, self.max_grad_norm);
        if !loss.is_finite() || !grad_norm.is_finite() {
            return Err(StepError::Diverged { step: self.step, loss, grad_norm });
        }
        let scale = self.schedule.at(self.step, self.mix.steps());
        let (optimizer, gradients) = (&mut self.optimizer, &self.gradients);
        self.decoder.update(|params| optimizer.step_on(params, gradients, scale, threads));
        self.step += 1;
        Ok(StepMetrics { loss, grad_norm, lr: self.peak_lr * scale })
    }

    /// Saves the exact state into a folder, in place of one saved before.
    pub fn save(&self, dir: &Path) -> Result<(), SnapshotError> {
        snapshot::save(&snapshot_path(dir), self.step, self.decoder.params(), &self.optimizer)
    }

    /// Takes up the state saved in a folder, if there is one; says whether there was. What follows equals a run that was
    /// never interrupted, bit for bit.
    pub fn resume(&mut self, dir: &Path) -> Result<bool, SnapshotError> {
        let path = snapshot_path(dir);
        if !path.exists() {
            return Ok(false);
        }
        let optimizer = &mut self.optimizer;
        let mut loaded = Ok(0);
        self.decoder.update(|params| loaded = snapshot::load(&path, params, optimizer));
        self.step = loaded?;
        Ok(true)
    }
}

fn snapshot_path(dir: &Path) -> PathBuf {
    dir.join("train.safetensors")
}
