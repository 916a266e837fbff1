//! The only room where ledger and bench meet: one file per stage kind.
//!
//! A stage opens its inputs from the store, calls the bench, and writes an artifact. It knows about interruption, step
//! checkpoints and progress, which the bench does not; it knows nothing about arms, axes or claims.
//!
//! The loops are written out here, top to bottom: resume, then {evaluate if due; save if due; done?; step}.

mod checkpoint;
mod contamination;
mod corpus;
mod curve;
mod eval;
mod growing;
pub mod model;
mod pace;
mod problems;
mod rl;
mod saved;
mod train;

use crate::exec::{Bench, Outcome, StageContext, StageError};
use crate::model::device::{self, Limits};
use crate::model::{Decoder, ModelError};
use crate::recipe::{Backend, Recipe};
use candle_core::Device;

/// Real training on this machine: on its CPUs, or on one other device.
#[derive(Default)]
pub struct LocalBench {
    device: Option<(Device, Limits)>,
}

impl LocalBench {
    /// On the `number`-th device of a family. Fails if this build or this machine has none.
    pub fn on(backend: Backend, number: usize, limits: Limits) -> Result<LocalBench, ModelError> {
        Ok(LocalBench { device: device::open(backend, number)?.map(|device| (device, limits)) })
    }

    /// On a device that is open already.
    pub fn with(device: Device) -> LocalBench {
        LocalBench { device: Some((device, Limits::default())) }
    }

    /// A decoder where this bench computes.
    fn place(&self, mut decoder: Decoder) -> Decoder {
        if let Some((device, limits)) = &self.device {
            decoder.set_device(device.clone(), *limits);
        }
        decoder
    }
}

impl Bench for LocalBench {
    fn run(&self, recipe: &Recipe, context: &StageContext) -> Result<Outcome, StageError> {
        match recipe {
            Recipe::Corpus(recipe) => corpus::run(recipe, context),
            Recipe::Checkpoint(recipe) => checkpoint::run(recipe, context),
            Recipe::Contamination(recipe) => contamination::run(recipe, context),
            Recipe::Train(recipe) => train::run(recipe, context, self),
            Recipe::Rl(recipe) => rl::run(recipe, context, self),
            Recipe::Eval(recipe) => eval::run(recipe, context, self),
        }
    }
}
