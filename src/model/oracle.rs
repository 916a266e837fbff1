//! The same decoder, composed of candle's own differentiable operations: the second opinion on every number of the engine.
//!
//! Runs on any candle device and in any float type; in `f64` it tells whose rounding a difference is. Written to be read,
//! not to be fast: segments are attended to one after the other, heads are repeated, every intermediate is a tensor.
//!
//! Only operations that have a gradient are used. candle's fused `softmax_last_dim`, `rms_norm`, `layer_norm`, `sdpa` and
//! `rotary_emb` have none and cut it without an error (candle 0.11, issues 2168 and 3569), so norms and rotations are
//! written out here.

use super::kernel::rope::Rotation;
use super::{Batch, NO_TARGET, Params};
use crate::recipe::ModelShape;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use std::collections::BTreeMap;

/// A decoder on a candle device.
pub struct Oracle {
    shape: ModelShape,
    dtype: DType,
    device: Device,
    vars: BTreeMap<String, Var>,
}

impl Oracle {
    /// Copies weights to a device.
    pub fn new(shape: &ModelShape, params: &Params, dtype: DType, device: &Device) -> Result<Oracle> {
        let mut vars = BTreeMap::new();
        for info in params.infos() {
            let tensor = Tensor::from_slice(params.get(&info.name), info.shape.as_slice(), device)?.to_dtype(dtype)?;
            vars.insert(info.name.clone(), Var::from_tensor(&tensor)?);
        }
        Ok(Oracle { shape: shape.clone(), dtype, device: device.clone(), vars })
    }

    /// Every parameter by name, in the order of names.
    pub fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// Logits of every position, `[N, vocab]`.
    pub fn logits(&self, ids: &[u32], starts: &[usize]) -> Result<Tensor> {
        let shape = &self.shape;
        let ids = Tensor::new(ids, &self.device)?;
        let mut x = self.var("model.embed_tokens.weight").index_select(&ids, 0)?;
        for layer in 0..shape.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let normed = self.norm(&x, &name("input_layernorm"))?;
            let mut parts = vec![];
            let [q, k, v] = ["q", "k", "v"].map(|part| self.linear(&normed, &name(&format!("self_attn.{part}_proj"))));
            let (q, k, v) = (q?, k?, v?);
            for (start, end) in starts.windows(2).map(|pair| (pair[0], pair[1])) {
                let part = |x: &Tensor| x.narrow(0, start, end - start);
                parts.push(self.attend(&part(&q)?, &part(&k)?, &part(&v)?, &name("self_attn"))?);
            }
            let attended = Tensor::cat(&parts, 0)?;
            x = (x + self.linear(&attended, &name("self_attn.o_proj"))?)?;
            let normed = self.norm(&x, &name("post_attention_layernorm"))?;
            let gate = self.linear(&normed, &name("mlp.gate_proj"))?.silu()?;
            let activated = (gate * self.linear(&normed, &name("mlp.up_proj"))?)?;
            x = (x + self.linear(&activated, &name("mlp.down_proj"))?)?;
        }
        let normed = self.norm(&x, "model.norm")?;
        self.linear(&normed, if shape.tied { "model.embed_tokens" } else { "lm_head" })
    }

    /// Log-probabilities of the batch's targets, `[N]`, where a position without a target is scored on token 0.
    pub fn logprobs(&self, batch: Batch) -> Result<Tensor> {
        let logprobs = candle_nn::ops::log_softmax(&self.logits(batch.ids, batch.starts)?, D::Minus1)?;
        let targets: Vec<u32> = batch.targets.iter().map(|t| if *t == NO_TARGET { 0 } else { *t }).collect();
        logprobs.gather(&Tensor::new(targets, &self.device)?.unsqueeze(1)?, 1)?.squeeze(1)
    }

    /// Σ `weights[i]` · log-probability `i`, and its gradient by every parameter.
    ///
    /// Positions without a target must have weight 0. Fails if the gradient does not reach a parameter.
    pub fn gradient(&self, batch: Batch, weights: &[f32]) -> Result<(f64, BTreeMap<String, Tensor>)> {
        let weights = Tensor::new(weights, &self.device)?.to_dtype(self.dtype)?;
        let loss = (self.logprobs(batch)? * weights)?.sum_all()?;
        let grads = loss.backward()?;
        let mut named = BTreeMap::new();
        for (name, var) in &self.vars {
            let Some(grad) = grads.get(var) else { candle_core::bail!("no gradient reaches {name}") };
            named.insert(name.clone(), grad.clone());
        }
        Ok((loss.to_dtype(DType::F64)?.to_scalar()?, named))
    }

    fn var(&self, name: &str) -> &Tensor {
        self.vars.get(name).unwrap_or_else(|| panic!("the model has no parameter named {name}"))
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let y = x.matmul(&self.var(&format!("{name}.weight")).t()?)?;
        match self.vars.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (mean + self.shape.norm_eps)?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(self.var(&format!("{name}.weight")))
    }

    /// One segment: `q` is `[T, heads·head_dim]`, `k` and `v` `[T, kv_heads·head_dim]`.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, name: &str) -> Result<Tensor> {
        let shape = &self.shape;
        let (tokens, dim, group) = (q.dim(0)?, shape.head_dim, shape.heads / shape.kv_heads);
        let split = |x: &Tensor, heads: usize| x.reshape((tokens, heads, dim));
        let (mut q, mut k) = (split(q, shape.heads)?, split(k, shape.kv_heads)?);
        if self.vars.contains_key(&format!("{name}.q_norm.weight")) {
            q = self.norm(&q, &format!("{name}.q_norm"))?;
            k = self.norm(&k, &format!("{name}.k_norm"))?;
        }
        let repeat = |x: Tensor| {
            let x = x.transpose(0, 1)?.unsqueeze(1)?;
            x.expand((shape.kv_heads, group, tokens, dim))?.reshape((shape.heads, tokens, dim))
        };
        let q = self.rotate(&q)?.transpose(0, 1)?.contiguous()?;
        let (k, v) = (repeat(self.rotate(&k)?)?, repeat(split(v, shape.kv_heads)?)?);
        let scores = (q.matmul(&k.t()?)? / (dim as f64).sqrt())?;
        let hidden: Vec<f32> =
            (0..tokens * tokens).map(|at| if at % tokens > at / tokens { -1e30 } else { 0.0 }).collect();
        let hidden = Tensor::from_vec(hidden, (tokens, tokens), &self.device)?.to_dtype(self.dtype)?;
        let shares = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, D::Minus1)?;
        shares.matmul(&v)?.transpose(0, 1)?.reshape((tokens, shape.q_width()))
    }

    /// Rotates `[T, heads, head_dim]` by positions from 0.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, half) = (x.dim(0)?, self.shape.head_dim / 2);
        let rotation = Rotation::new(&self.shape, tokens);
        let table = |values: Vec<f32>| {
            Tensor::from_vec(values, (tokens, 1, half), &self.device).and_then(|table| table.to_dtype(self.dtype))
        };
        let (cos, sin) = (table(rotation.cos)?, table(rotation.sin)?);
        let (low, high) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let turned_low = (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?;
        let turned_high = (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?;
        Tensor::cat(&[turned_low, turned_high], 2)
    }
}
