//! Weights as a device holds them.
//!
//! Matrices are in the type that products compute in; norms, biases and the embeddings that tokens are looked up in are f32.

use crate::model::packed::Weights;
use crate::recipe::ModelShape;
use crate::recipe::train::Precision;
use candle_core::{DType, Device, Result, Tensor};
use std::ops::Range;

/// A parameter, and where it lies in the host's flat buffer.
pub struct Param {
    pub at: Range<usize>,
    pub value: Tensor,
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
    /// The type of products.
    pub fn dtype(&self) -> DType {
        self.o.value.dtype()
    }
}

pub struct DeviceWeights {
    /// `[vocab, hidden]`, f32.
    pub embed: Tensor,
    /// `[vocab, hidden]`; the embeddings themselves if tied and f32.
    pub head: Tensor,
    /// Gain of the last norm.
    pub norm: Param,
    pub layers: Vec<Layer>,
}

impl DeviceWeights {
    pub fn upload(shape: &ModelShape, host: &Weights, device: &Device) -> Result<DeviceWeights> {
        let dtype = match host.precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        let (d, q, kv, ffn) = (shape.hidden, shape.q_width(), shape.kv_width(), shape.ffn);
        let read = |at: &Range<usize>, dims: &[usize]| Tensor::from_slice(host.get(at), dims, device);
        let param = |at: &Range<usize>, value: Tensor| Param { at: at.clone(), value };
        let matrix = |at: &Range<usize>, out: usize, input: usize| -> Result<Param> {
            Ok(param(at, read(at, &[out, input])?.to_dtype(dtype)?))
        };
        let vector = |at: &Range<usize>| -> Result<Param> { Ok(param(at, read(at, &[at.len()])?)) };
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
        let layers = layers.collect::<Result<_>>()?;
        let embed = read(&host.layout.embed, &[shape.vocab, d])?;
        let head = if shape.tied { embed.clone() } else { read(&host.layout.head, &[shape.vocab, d])? };
        Ok(DeviceWeights { embed, head: head.to_dtype(dtype)?, norm: vector(&host.layout.norm)?, layers })
    }
}
