//! From the gradient by a pass's output to those by its parameters, written out.
//!
//! candle's autograd was here first, a layer at a time. It gave every operation a tensor of zeros to add its gradient to, also
//! masks and angles, which need none, and went over all scores many times, mostly by broadcasts; what that costs on a GPU was
//! never taken apart, but training there was an order of magnitude slower than PyTorch's. Autograd over the plain composition is now the tests' oracle.

use super::forward::{Pass, linear, norm, raw, scaled, turn};
use super::weights::{Layer, Param};
use crate::recipe::ModelShape;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::sigmoid;
use std::collections::BTreeMap;
use std::ops::Range;

/// Gradients by where the parameter starts in the flat buffer.
#[derive(Default)]
pub struct Sums(BTreeMap<usize, Tensor>);

impl Sums {
    pub fn add(&mut self, at: &Range<usize>, gradient: &Tensor) -> Result<()> {
        let gradient = gradient.to_dtype(DType::F32)?.flatten_all()?;
        let sum = match self.0.remove(&at.start) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.0.insert(at.start, sum);
        Ok(())
    }

    pub fn add_to(self, grads: &mut [f32]) -> Result<()> {
        for (start, sum) in self.0 {
            let sum = sum.to_vec1::<f32>()?;
            grads[start..start + sum.len()].iter_mut().zip(sum).for_each(|(grad, sum)| *grad += sum);
        }
        Ok(())
    }
}

/// From the gradient by the normed output of the last layer to that of the embeddings. `inputs` are the layers', `last` is
/// the last one's output.
pub fn run(
    pass: &Pass,
    mut inputs: Vec<Tensor>,
    last: &Tensor,
    d_hidden: Tensor,
    embed: &Range<usize>,
    sums: &mut Sums,
) -> Result<()> {
    let mut d_x = through_norm(last, &pass.weights.norm, &d_hidden, pass.shape, sums)?;
    for layer in pass.weights.layers.iter().rev() {
        let input = inputs.pop().expect("one a layer");
        d_x = through_layer(pass, layer, &input, d_x, sums)?;
    }
    sums.add(embed, &pass.weights.embed.zeros_like()?.index_add(&pass.ids, &d_x, 0)?)
}

/// From the gradient by a layer's output to that by its input `x`, `[T, hidden]` both.
fn through_layer(pass: &Pass, layer: &Layer, x: &Tensor, d_out: Tensor, sums: &mut Sums) -> Result<Tensor> {
    let (shape, dtype) = (pass.shape, layer.dtype());
    let normed = norm(x, &layer.norm1.value, shape)?.to_dtype(dtype)?;
    let raw = [raw(shape, layer, &normed, 0)?, raw(shape, layer, &normed, 1)?, raw(shape, layer, &normed, 2)?];
    let turned = |part: usize| turn(shape, layer, &raw[part], part, &pass.angles);
    let (q, k, v) = (turned(0)?, turned(1)?, turned(2)?);
    let mut shares = vec![];
    let attended = pass.attend(&q, &k, &v, dtype, |block| shares.push(block))?;
    let middle = (x + linear(&attended, &layer.o.value)?)?;

    let d_middle = (through_feed_forward(shape, layer, &middle, &d_out, sums)? + d_out)?;
    drop(middle);
    let d_attended = through_linear(&attended, &layer.o, &d_middle, sums)?;
    let [d_q, d_k, d_v] = through_attention(pass, [&q, &k, &v], shares, dtype, &attended, &d_attended)?;
    let mut d_normed: Option<Tensor> = None;
    for (part, d) in [pass.angles.back(&d_q)?, pass.angles.back(&d_k)?, d_v].into_iter().enumerate() {
        let d = match &layer.qk_norms {
            Some(gains) if part < 2 => through_norm(&raw[part], &gains[part], &d, shape, sums)?,
            _ => d,
        };
        let d = d.flatten_from(1)?;
        if let Some(biases) = &layer.biases {
            sums.add(&biases[part].at, &column_sums(&d)?)?;
        }
        let d = through_linear(&normed, &layer.qkv[part], &d, sums)?;
        d_normed = Some(match d_normed {
            Some(so_far) => (so_far + d)?,
            None => d,
        });
    }
    d_middle + through_norm(x, &layer.norm1, &d_normed.expect("three parts"), shape, sums)?
}

/// To the gradient by `x`, but for what goes past the norm.
fn through_feed_forward(
    shape: &ModelShape,
    layer: &Layer,
    x: &Tensor,
    d_out: &Tensor,
    sums: &mut Sums,
) -> Result<Tensor> {
    let normed = norm(x, &layer.norm2.value, shape)?.to_dtype(layer.dtype())?;
    let (gate, up) = (linear(&normed, &layer.gate.value)?, linear(&normed, &layer.up.value)?);
    let open = sigmoid(&gate)?;
    let activated = (gate * &open)?;
    let d = through_linear(&(&activated * &up)?, &layer.down, d_out, sums)?;
    // silu(g) = g·σ(g), so silu' = σ + silu·(1 - σ).
    let slope = ((&open + &activated)? - (&activated * &open)?)?;
    let d_gate = ((&d * up)? * slope)?;
    let d_up = (d * activated)?;
    let d_normed =
        through_linear(&normed, &layer.gate, &d_gate, sums)? + through_linear(&normed, &layer.up, &d_up, sums)?;
    through_norm(x, &layer.norm2, &d_normed?, shape, sums)
}

/// To the gradients by queries, keys and values, `[T, heads, head_dim]` each. `shares` are those of [`Pass::attend`],
/// `attended` and `d_attended` are `[T, heads·head_dim]`.
fn through_attention(
    pass: &Pass,
    [q, k, v]: [&Tensor; 3],
    shares: Vec<Tensor>,
    dtype: DType,
    attended: &Tensor,
    d_attended: &Tensor,
) -> Result<[Tensor; 3]> {
    let shape = pass.shape;
    // Of a softmax with shares p: d score = p·(d p - Σ p·d p), and Σ p·d p = Σ out·d out (Dao et al. 2022, appendix B.2).
    let common = (attended * d_attended)?.reshape(q.shape())?.sum_keepdim(D::Minus1)?;
    let d_attended = d_attended.reshape(q.shape())?.to_dtype(dtype)?;
    let (q, k, v) = (scaled(q)?.to_dtype(dtype)?, k.to_dtype(dtype)?, v.to_dtype(dtype)?);
    let zeros = || Tensor::zeros(k.shape(), DType::F32, k.device());
    let (d_k, d_v, mut d_q) = (zeros()?, zeros()?, vec![]);
    for (block, shares) in pass.blocks.iter().zip(shares) {
        let d_out = block.grouped(&d_attended, shape)?;
        add_rows(&d_v, block.keys.start, &shares.to_dtype(dtype)?.t()?.matmul(&d_out)?)?;
        let d_shares = d_out.matmul(&block.keyed(&v)?.t()?)?.to_dtype(DType::F32)?;
        let d_scores = (shares * d_shares.broadcast_sub(&block.grouped(&common, shape)?)?)?.to_dtype(dtype)?;
        add_rows(&d_k, block.keys.start, &d_scores.t()?.matmul(&block.grouped(&q, shape)?)?)?;
        d_q.push(block.ungrouped(&d_scores.matmul(&block.keyed(&k)?)?, shape)?);
    }
    let d_q = scaled(&Tensor::cat(&d_q, 0)?.to_dtype(DType::F32)?.reshape(q.shape())?)?;
    Ok([d_q, d_k, d_v])
}

/// Adds `[heads, rows, head_dim]` to the rows from `first` on of `[T, heads, head_dim]`, in place.
fn add_rows(all: &Tensor, first: usize, part: &Tensor) -> Result<()> {
    let sum = (all.narrow(0, first, part.dim(1)?)? + part.to_dtype(DType::F32)?.transpose(0, 1)?)?;
    all.slice_set(&sum, 0, first)
}

/// From the gradient by `x·Wᵀ` to that by `x`.
fn through_linear(x: &Tensor, weight: &Param, d_y: &Tensor, sums: &mut Sums) -> Result<Tensor> {
    let dtype = weight.value.dtype();
    let d_y = d_y.to_dtype(dtype)?;
    sums.add(&weight.at, &d_y.t()?.matmul(&x.to_dtype(dtype)?)?)?;
    d_y.matmul(&weight.value)?.to_dtype(DType::F32)
}

/// From the gradient by an RMSNorm over the last dimension to that by its input.
fn through_norm(x: &Tensor, gain: &Param, d_y: &Tensor, shape: &ModelShape, sums: &mut Sums) -> Result<Tensor> {
    let dims = x.shape();
    let rows = |x: &Tensor| x.reshape(((), gain.value.dim(0)?));
    let (x, d_y) = (rows(x)?, rows(d_y)?);
    let inverse = (x.sqr()?.mean_keepdim(1)? + shape.norm_eps)?.sqrt()?.recip()?;
    let unit = x.broadcast_mul(&inverse)?;
    sums.add(&gain.at, &column_sums(&(&d_y * &unit)?)?)?;
    let d_unit = d_y.broadcast_mul(&gain.value)?;
    let along = (&d_unit * &unit)?.mean_keepdim(1)?;
    (d_unit - unit.broadcast_mul(&along)?)?.broadcast_mul(&inverse)?.reshape(dims)
}

/// Sums over rows, as a product: candle's reductions read columns a number at a time.
fn column_sums(x: &Tensor) -> Result<Tensor> {
    Tensor::ones((1, x.dim(0)?), DType::F32, x.device())?.matmul(x)
}
