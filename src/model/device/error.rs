//! What a device could not do, and how to mend it.

use std::{fmt, io};

/// Work that a device did not finish. Nothing of it counts; the decoder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("{device} ran out of memory {work}; {}", work.smaller())]
    Memory { device: String, work: Work, source: io::Error },
    #[error("{device} failed {work}: {what}")]
    Failed { device: String, work: Work, what: String },
}

/// What a device was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Taking up so many bytes of weights.
    Weights { bytes: usize },
    /// A forward pass, or also a backward pass, over so many tokens in so many segments.
    Pass { tokens: usize, segments: usize, backward: bool },
    /// Sequences that grow together, with the longest prompt and the most new tokens.
    Draw { sequences: usize, prompt: usize, new: usize },
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Weights { bytes } => write!(f, "taking up {:.1} GB of weights", *bytes as f64 / 1e9),
            Work::Pass { tokens, backward, .. } => {
                let what = if *backward { "the gradient" } else { "the forward pass" };
                write!(f, "computing {what} of {tokens} tokens at once")
            }
            Work::Draw { sequences, prompt, new } => {
                write!(f, "drawing {sequences} responses at once, of up to {prompt} + {new} tokens")
            }
        }
    }
}

impl Work {
    /// How to do the same in less memory.
    fn smaller(&self) -> String {
        match self {
            Work::Weights { .. } => "weights must fit one device, and nothing else may fill it meanwhile".into(),
            Work::Pass { tokens, segments: 2.., .. } => {
                format!("give --device-tokens less than {tokens}: smaller passes, and the same result but for rounding")
            }
            Work::Pass { tokens, .. } => format!(
                "a document or response is never cut, and one has {tokens} tokens: attention inside documents (training.boundary), \
                 shorter rows (training.row_tokens) or responses need less"
            ),
            Work::Draw { sequences: 2.., .. } => {
                "let fewer be drawn at once: --device-sequences, or --batch of `ablate eval`".into()
            }
            Work::Draw { .. } => "shorter prompts or responses need less".into(),
        }
    }
}

impl DeviceError {
    /// What candle said. Its errors have no kind for this: CUDA's is the driver's or the library's code, Metal's the name of
    /// what could not be made.
    pub fn of(device: &candle_core::Device, work: Work, error: &candle_core::Error) -> DeviceError {
        let device = match device.location() {
            candle_core::DeviceLocation::Cpu => "candle's CPU device".to_string(),
            candle_core::DeviceLocation::Cuda { gpu_id } => format!("CUDA device {gpu_id}"),
            candle_core::DeviceLocation::Metal { gpu_id } => format!("Metal device {gpu_id}"),
        };
        let text = error.to_string();
        let full = ["OUT_OF_MEMORY", "ALLOC_FAILED", "out of memory", "OutOfMemory", "Failed to create metal resource"];
        if full.iter().any(|sign| text.contains(sign)) {
            return DeviceError::Memory { device, work, source: io::ErrorKind::OutOfMemory.into() };
        }
        // The first line: candle appends a backtrace where `RUST_BACKTRACE` is set.
        DeviceError::Failed { device, work, what: text.lines().next().unwrap_or_default().to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Error};

    #[test]
    fn a_full_device_is_told_from_a_broken_one_and_what_helps_is_said() {
        let pass = Work::Pass { tokens: 8000, segments: 9, backward: true };
        let said = |text: &str, work| DeviceError::of(&Device::Cpu, work, &Error::Cuda(text.into())).to_string();
        // As cudarc's driver and cuBLAS, and candle's Metal kernels, print theirs.
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
            "Failed to create metal resource: Buffer",
            "Command buffer had following error: Insufficient Memory (kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        ] {
            let expected = "candle's CPU device ran out of memory computing the gradient of 8000 tokens at once; \
                            give --device-tokens less than 8000: smaller passes, and the same result but for rounding";
            assert_eq!(said(text, pass), expected);
        }
        let broken = said("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")\n   0: main", pass);
        assert!(
            broken.ends_with(
                "8000 tokens at once: DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")"
            )
        );

        let full = |work| said("out of memory", work);
        assert!(full(Work::Pass { tokens: 9000, segments: 1, backward: false }).contains("training.row_tokens"));
        assert!(full(Work::Weights { bytes: 2_500_000_000 }).contains("2.5 GB of weights"));
        assert!(full(Work::Draw { sequences: 64, prompt: 100, new: 900 }).contains("--device-sequences"));
        assert!(full(Work::Draw { sequences: 1, prompt: 100, new: 900 }).contains("shorter prompts or responses"));
    }
}
