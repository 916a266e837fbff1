//! Scores of a batch and the gradient of an objective on them.
//!
//! Activation checkpointing (Chen et al. 2016): the forward pass keeps each layer's input and nothing else; the backward pass
//! runs one layer again, this time with a graph, and asks candle for the gradient of Σ output · (gradient by the output). The
//! head is differentiated by hand, a block of positions at a time, so that never more than [`super::Limits::logits`] logits
//! are there, whatever the vocabulary. Gradients of parameters add up on the device, in f32, and come to the host once.

use super::forward::{Pass, linear, norm};
use super::weights::{DeviceWeights, Param};
use super::{OnDevice, micro_batches};
use crate::model::decoder::{Objective, Weights};
use crate::model::{Batch, NO_TARGET, Params, TokenScores};
use crate::recipe::ModelShape;
use candle_core::{D, DType, Result, Tensor, Var, bail};
use std::collections::BTreeMap;
use std::ops::Range;

/// Gradients by where the parameter starts in the flat buffer.
#[derive(Default)]
struct Sums(BTreeMap<usize, Tensor>);

impl Sums {
    fn add(&mut self, at: &Range<usize>, gradient: &Tensor) -> Result<()> {
        // Detached: a gradient's own graph would keep the whole pass in memory.
        let gradient = gradient.to_dtype(DType::F32)?.detach();
        let sum = match self.0.remove(&at.start) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.0.insert(at.start, sum);
        Ok(())
    }

    fn add_to(self, grads: &mut [f32]) -> Result<()> {
        for (start, sum) in self.0 {
            let sum = sum.flatten_all()?.to_vec1::<f32>()?;
            grads[start..start + sum.len()].iter_mut().zip(sum).for_each(|(grad, sum)| *grad += sum);
        }
        Ok(())
    }
}

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
        backward(&pass, weights, inputs, &last, d_hidden, &host.layout.embed, &mut sums)?;
    }
    if let Some(grads) = grads {
        sums.add_to(grads.flat_mut())?;
    }
    Ok(scores)
}

/// From the gradient by the normed output of the last layer to that of the embeddings.
fn backward(
    pass: &Pass,
    weights: &DeviceWeights,
    mut inputs: Vec<Tensor>,
    last: &Tensor,
    d_hidden: Tensor,
    embed: &Range<usize>,
    sums: &mut Sums,
) -> Result<()> {
    let gain = &weights.norm;
    let mut d_x = pull_back(last, &d_hidden, [gain], sums, |x| norm(x, &gain.value, pass.shape))?;
    for layer in weights.layers.iter().rev() {
        let input = inputs.pop().expect("one a layer");
        d_x = pull_back(&input, &d_x, layer.params(), sums, |x| pass.layer(layer, x))?;
    }
    sums.add(embed, &weights.embed.zeros_like()?.index_add(&pass.ids, &d_x, 0)?)
}

/// Runs a part of the model again, on `x`; from the gradient by its output to that by `x`. Adds those by its parameters.
fn pull_back<'a>(
    x: &Tensor,
    d_out: &Tensor,
    params: impl IntoIterator<Item = &'a Param>,
    sums: &mut Sums,
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let x = Var::from_tensor(x)?;
    let mut grads = (f(&x)? * d_out)?.sum_all()?.backward()?;
    for param in params {
        let Some(grad) = grads.remove(&param.value) else { bail!("no gradient reaches parameter {:?}", param.at) };
        sums.add(&param.at, &grad)?;
    }
    match grads.remove(&x) {
        Some(grad) => Ok(grad.detach()),
        None => bail!("no gradient reaches the layers below"),
    }
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
            let top = logits.max_keepdim(D::Minus1)?;
            let powers = logits.broadcast_sub(&top)?.exp()?;
            let total = powers.sum_keepdim(D::Minus1)?;
            let shares = powers.broadcast_div(&total)?;
            let whole = (total.log()? + top)?;
            let logprob = (logits.gather(&targets, 1)? - &whole)?.flatten_all()?.to_vec1::<f32>()?;
            let mean = (&shares * &logits)?.sum_keepdim(D::Minus1)?;
            let entropy = (whole - mean)?.flatten_all()?.to_vec1::<f32>()?;
            for (at, row) in rows.iter().enumerate() {
                (scores.logprob[*row], scores.entropy[*row]) = (logprob[at], entropy[at]);
            }

            let Some(objective) = objective else { continue };
            objective(positions.clone(), &scores.logprob[positions.clone()], &mut slopes);
            let slopes: Vec<f32> = rows.iter().map(|row| slopes[row - first]).collect();
            if slopes.iter().all(|slope| *slope == 0.0) {
                continue;
            }
            // d log p(target) / d logit = [target] - p.
            let slopes = Tensor::new(slopes, device)?.unsqueeze(1)?;
            let d_logits = shares.broadcast_mul(&slopes.neg()?)?.scatter_add(&targets, &slopes, 1)?;
            let d_logits = d_logits.to_dtype(head.dtype())?;
            sums.add(self.at, &d_logits.t()?.matmul(&hidden.to_dtype(head.dtype())?)?)?;
            let d_rows = d_logits.matmul(head)?.to_dtype(DType::F32)?;
            let so_far = match d_hidden.take() {
                Some(so_far) => so_far,
                None => Tensor::zeros((self.tokens.len(), d_rows.dim(1)?), DType::F32, device)?,
            };
            d_hidden = Some(so_far.index_add(&local, &d_rows, 0)?);
        }
        Ok(d_hidden)
    }
}
