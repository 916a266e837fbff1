//! `ablate logits`: a forward pass for cross-checks.

use super::args::LogitsArgs;
use super::failure::Failure;
use crate::eval::open;
use crate::model::device;
use crate::text;
use safetensors::tensor::{Dtype, TensorView};

pub fn logits(args: &LogitsArgs) -> Result<(), Failure> {
    let path = args.ids.display();
    let text = text::read(&args.ids).map_err(|error| Failure::usage(format!("failed to read {path}: {error}")))?;
    let rows: Vec<Vec<u32>> = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{path} is not a list of lists of token ids: {error}")))?;
    let length = rows.first().map_or(0, Vec::len);
    if length == 0 {
        return Err(Failure::usage(format!("{path} holds no tokens")));
    }
    if let Some(odd) = rows.iter().position(|row| row.len() != length) {
        let found = rows[odd].len();
        return Err(Failure::usage(format!("{path}: row {odd} has {found} tokens and row 0 has {length}"))
            .hint("the output is one tensor [B, T, V]; give rows of equal length"));
    }
    let device = device::open(args.device.backend, args.device.number).map_err(Failure::usage)?;
    let mut decoder = open::decoder(&args.model).map_err(Failure::usage)?;
    let vocab = decoder.shape().vocab;
    if let Some(id) = rows.iter().flatten().find(|id| **id as usize >= vocab) {
        return Err(Failure::usage(format!("{path}: token {id} is outside the model's vocabulary of {vocab}")));
    }
    if let Some(device) = device {
        decoder.set_device(device, args.portion.limits());
    }
    let ids: Vec<u32> = rows.concat();
    let starts: Vec<usize> = (0..=rows.len()).map(|row| row * length).collect();
    let logits = decoder.logits(&ids, &starts)?;
    let bytes: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![rows.len(), length, vocab], &bytes)?;
    std::fs::write(&args.out, safetensors::serialize([("logits", view)], None)?)
        .map_err(|error| Failure::usage(format!("failed to write {}: {error}", args.out.display())))?;
    tell!("logits [{}, {length}, {vocab}] in {}", rows.len(), args.out.display());
    Ok(())
}
