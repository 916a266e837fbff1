//! The decoder: one definition of the numbers that training, reinforcement learning, evaluation and sampling share.
//!
//! An explicit forward and backward pass over plain `f32` slices, without autograd. Measured on one core of a Zen 3
//! server, autograd over plain candle operations reaches a third of it, and autograd over fused operations of our own
//! 83–89% (a tie only at 12M parameters); but speed is the lesser reason. With explicit kernels the sampler runs the
//! very functions that the trainer runs, so a sampled token's log-probability *is* the trainer's, bit for bit, and the
//! first update of a policy has a ratio of exactly one; nothing is allocated per step; and an objective is a function
//! from log-probabilities to their derivatives. candle composes the same decoder out of its own operations in
//! [`oracle`], which the tests hold every logit and every gradient against.
//!
//! On a GPU the three things that take the time, gradients, scores and sampling, are candle's ([`device`]); everything else
//! stays here. That is another family of numbers, and its artifacts have keys of their own.
//!
//! **Determinism.** Every number of a matrix product is one chain of fused multiply-adds over the inner index, whatever
//! the number of rows, the tiling, the instruction set or the thread count; every reduction has a fixed shape; gradients
//! are summed in a fixed number of lanes. So a batch of one equals a batch of a hundred, and one thread equals ten.
//!
//! Batches have no padding: tokens lie in a row, cut into segments at which positions and attention start anew.
//!
//! Absent on purpose: dropout, sliding windows, half-precision *arithmetic* (bf16 rounds what products read and write, see
//! [`Decoder::set_precision`]; weights are read from bf16 and f16), and any way to write a layer outside this module.

mod attention;
mod backward;
pub mod decoder;
pub mod device;
mod forward;
pub mod generate;
pub mod gguf;
pub mod kernel;
mod lane;
mod layout;
mod live;
pub mod oracle;
pub mod packed;
mod params;
pub mod tensor_file;
pub mod weights;

pub use decoder::{Batch, Decoder, NO_TARGET, TokenScores};
pub use device::DeviceError;
pub use generate::{Completion, Prompt, Sampling, StopReason, Watch, generate, generate_watched};
pub use params::{ParamInfo, Params};

/// Why a decoder could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the shape is not a decoder: {0}")]
    Shape(String),
    #[error(
        "the configuration asks for {numbers} numbers, and its {bytes} bytes of weights can't hold as many: a file is cut off, or \
         the configuration is another model's"
    )]
    Room { numbers: u128, bytes: u64 },
    #[error("tensor `{name}` is missing")]
    Missing { name: String },
    #[error("tensor `{name}` is not part of a {architecture} decoder of this shape")]
    Extra { name: String, architecture: &'static str },
    #[error("tensor `{name}` has shape {found:?}, but the configuration asks for {expected:?}")]
    WrongShape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("tensor `{name}` holds a value that is not finite (element {index})")]
    NotFinite { name: String, index: usize },
    #[error("tensor `{name}` is stored as {dtype}; f32, bf16 and f16 can be read")]
    Dtype { name: String, dtype: String },
    #[error("{path}: {what}")]
    Config { path: String, what: String },
    #[error("failed to read {path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("failed to write {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("{device} can't be used: {what}")]
    Device { device: String, what: String },
    #[error("{path} is not a safetensors file: {source}")]
    Safetensors { path: String, source: safetensors::SafeTensorError },
}
