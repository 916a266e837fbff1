//! Scores of a batch and the gradient of an objective on them.
//!
//! Activation checkpointing (Chen et al. 2016): the forward pass keeps each layer's input and nothing else; the backward pass
//! (`backward`) runs one layer again and goes back through it. The head is done a block of positions at a time, so that never
//! more than [`super::Limits::logits`] logits are there, whatever the vocabulary. Gradients of parameters add up on the
//! device, in f32, and come to the host once.

use super::backward::{self, Sums};
use super::forward::{Spread, linear};
use super::weights::DeviceWeights;
use super::{OnDevice, micro_batches};
use crate::model::decoder::Objective;
use crate::model::packed::Weights;
use crate::model::{Batch, NO_TARGET, Params, TokenScores};
use crate::recipe::ModelShape;
use candle_core::{DType, Result, Tensor};
use std::ops::Range;

pub fn scores(
    on: &OnDevice,
    shape: &ModelShape,
    host: &Weights,
    weights: &DeviceWeights,
    batch: Batch,
    objective: Option<Objective>,
    grads: Option<&mut Params>,
) -> Result<TokenScores> {
    let n = batch.ids.len();
    let mut scores = TokenScores { logprob: vec![0.0; n], entropy: vec![0.0; n] };
    let mut sums = Sums::default();
    for part in micro_batches(batch.starts, on.limits.tokens) {
        let tokens = part.tokens();
        let pass = on.pass(shape, host, weights, &batch.ids[tokens.clone()], &part.local())?;
        let mut inputs = vec![];
        let last = pass.run(|x, _, _| {
            if objective.is_some() {
                inputs.push(x.clone());
            }
            Ok(())
        })?;
        let head = Head { weights, at: &host.layout.head, batch, tokens };
        let block = (on.limits.logits / shape.vocab).max(1);
        let d_hidden = head.run(&pass.hidden(&last)?, block, objective, &mut scores, &mut sums)?;
        let Some(d_hidden) = d_hidden else { continue };
        backward::run(&pass, inputs, &last, d_hidden, &host.layout.embed, &mut sums)?;
    }
    if let Some(grads) = grads {
        sums.add_to(grads.flat_mut())?;
    }
    Ok(scores)
}

/// The output projection over the tokens of one pass.
struct Head<'a> {
    weights: &'a DeviceWeights,
    /// Where the projection lies in the flat buffer.
    at: &'a Range<usize>,
    batch: Batch<'a>,
    tokens: Range<usize>,
}

impl Head<'_> {
    /// Scores `hidden`, `[T, hidden]`, `block` positions at a time; the gradient by it, if the objective has any.
    fn run(
        &self,
        hidden: &Tensor,
        block: usize,
        objective: Option<Objective>,
        scores: &mut TokenScores,
        sums: &mut Sums,
    ) -> Result<Option<Tensor>> {
        let (device, head) = (hidden.device(), &self.weights.head);
        let mut d_hidden: Option<Tensor> = None;
        for first in self.tokens.clone().step_by(block) {
            let positions = first..self.tokens.end.min(first + block);
            let rows: Vec<usize> =
                positions.clone().filter(|position| self.batch.targets[*position] != NO_TARGET).collect();
            let mut slopes = vec![0.0; positions.len()];
            if rows.is_empty() {
                if let Some(objective) = objective {
                    objective(positions.clone(), &scores.logprob[positions.clone()], &mut slopes);
                }
                continue;
            }
            let local: Vec<u32> = rows.iter().map(|row| (row - self.tokens.start) as u32).collect();
            let local = Tensor::new(local, device)?;
            let targets: Vec<u32> = rows.iter().map(|row| self.batch.targets[*row]).collect();
            let targets = Tensor::new(targets, device)?.unsqueeze(1)?;
            let hidden = hidden.index_select(&local, 0)?;

            let logits = linear(&hidden, head)?;
            let Spread { powers, total, whole, entropy } = Spread::of(&logits)?;
            let logprob = (logits.gather(&targets, 1)? - whole)?.flatten_all()?.to_vec1::<f32>()?;
            let entropy = entropy.flatten_all()?.to_vec1::<f32>()?;
            drop(logits);
            for (at, row) in rows.iter().enumerate() {
                (scores.logprob[*row], scores.entropy[*row]) = (logprob[at], entropy[at]);
            }

            let Some(objective) = objective else { continue };
            objective(positions.clone(), &scores.logprob[positions.clone()], &mut slopes);
            let slopes: Vec<f32> = rows.iter().map(|row| slopes[row - first]).collect();
            if slopes.iter().all(|slope| *slope == 0.0) {
                continue;
            }
            // d log p(target) / d logit = [target] - p = (total·[target] - power) / total.
            let slopes = (Tensor::new(slopes, device)?.unsqueeze(1)? / &total)?;
            let away = powers.neg()?.scatter_add(&targets, &total, 1)?.to_dtype(head.dtype())?;
            let weighed = hidden.broadcast_mul(&slopes)?.to_dtype(head.dtype())?;
            sums.add(self.at, &away.t()?.matmul(&weighed)?)?;
            let d_rows = away.matmul(head)?.to_dtype(DType::F32)?.broadcast_mul(&slopes)?;
            let so_far = match d_hidden.take() {
                Some(so_far) => so_far,
                None => Tensor::zeros((self.tokens.len(), d_rows.dim(1)?), DType::F32, device)?,
            };
            d_hidden = Some(so_far.index_add(&local, &d_rows, 0)?);
        }
        Ok(d_hidden)
    }
}
