//! Weights as a device holds them.
//!
//! Matrices are in the type that products compute in; norms, biases and the embeddings that tokens are looked up in are f32.
//! Every parameter of a layer is a candle variable, so that a layer can be differentiated; sampling and scoring use the same
//! memory through handles that record nothing.

use crate::model::decoder::Weights;
use crate::recipe::ModelShape;
use crate::recipe::train::Precision;
use candle_core::{DType, Device, Result, Tensor, Var};
use std::ops::Range;

/// A parameter, and where it lies in the host's flat buffer.
#[derive(Clone)]
pub struct Param {
    pub at: Range<usize>,
    pub value: Tensor,
}

impl Param {
    /// The same numbers, of which no graph is recorded.
    fn plain(&self) -> Param {
        Param { at: self.at.clone(), value: self.value.detach() }
    }
}

/// One layer; projections `[out, in]`, gains and biases `[n]`.
pub struct Layer {
    pub norm1: Param,
    pub qkv: [Param; 3],
    /// Of q, k and v (Qwen2).
    pub biases: Option<[Param; 3]>,
    /// Gains of q and k (Qwen3).
    pub qk_norms: Option<[Param; 2]>,
    pub o: Param,
    pub norm2: Param,
    pub gate: Param,
    pub up: Param,
    pub down: Param,
}

impl Layer {
    pub fn params(&self) -> impl Iterator<Item = &Param> {
        let Layer { norm1, qkv, biases, qk_norms, o, norm2, gate, up, down } = self;
        let optional = biases.iter().flatten().chain(qk_norms.iter().flatten());
        [norm1, o, norm2, gate, up, down].into_iter().chain(qkv).chain(optional)
    }

    fn plain(&self) -> Layer {
        Layer {
            norm1: self.norm1.plain(),
            qkv: self.qkv.each_ref().map(Param::plain),
            biases: self.biases.as_ref().map(|biases| biases.each_ref().map(Param::plain)),
            qk_norms: self.qk_norms.as_ref().map(|gains| gains.each_ref().map(Param::plain)),
            o: self.o.plain(),
            norm2: self.norm2.plain(),
            gate: self.gate.plain(),
            up: self.up.plain(),
            down: self.down.plain(),
        }
    }
}

pub struct DeviceWeights {
    /// `[vocab, hidden]`, f32.
    pub embed: Tensor,
    /// `[vocab, hidden]`; the embeddings themselves if tied and f32.
    pub head: Tensor,
    /// Gain of the last norm, a variable.
    pub norm: Param,
    /// Layers of variables, for gradients.
    pub layers: Vec<Layer>,
    /// The same memory, for everything else.
    pub plain: Vec<Layer>,
}

impl DeviceWeights {
    pub fn upload(shape: &ModelShape, host: &Weights, device: &Device) -> Result<DeviceWeights> {
        let dtype = match host.precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let (d, q, kv, ffn) = (shape.hidden, shape.q_width(), shape.kv_width(), shape.ffn);
        let read = |at: &Range<usize>, dims: &[usize]| Tensor::from_slice(host.get(at), dims, device);
        let param = |at: &Range<usize>, value: Tensor| -> Result<Param> {
            Ok(Param { at: at.clone(), value: Var::from_tensor(&value)?.into_inner() })
        };
        let matrix = |at: &Range<usize>, out: usize, input: usize| param(at, read(at, &[out, input])?.to_dtype(dtype)?);
        let vector = |at: &Range<usize>| param(at, read(at, &[at.len()])?);
        let layers = host.layout.layers.iter().map(|at| {
            let biases = match &at.biases {
                Some([q, k, v]) => Some([vector(q)?, vector(k)?, vector(v)?]),
                None => None,
            };
            let qk_norms = match &at.qk_norms {
                Some([q, k]) => Some([vector(q)?, vector(k)?]),
                None => None,
            };
            Ok(Layer {
                norm1: vector(&at.norm1)?,
                qkv: [matrix(&at.q, q, d)?, matrix(&at.k, kv, d)?, matrix(&at.v, kv, d)?],
                biases,
                qk_norms,
                o: matrix(&at.o, d, q)?,
                norm2: vector(&at.norm2)?,
                gate: matrix(&at.gate, ffn, d)?,
                up: matrix(&at.up, ffn, d)?,
                down: matrix(&at.down, d, ffn)?,
            })
        });
        let layers: Vec<Layer> = layers.collect::<Result<_>>()?;
        let embed = read(&host.layout.embed, &[shape.vocab, d])?;
        let head = if shape.tied { embed.clone() } else { read(&host.layout.head, &[shape.vocab, d])? };
        Ok(DeviceWeights {
            embed,
            head: head.to_dtype(dtype)?,
            norm: vector(&host.layout.norm)?,
            plain: layers.iter().map(Layer::plain).collect(),
            layers,
        })
    }
}
