//! Folders that we write, loaded by `transformers`: the same logits. Needs a Python with it: `ABLATE_PYTHON`, else `python3`.

#![cfg(feature = "engine")]

use ablate::model::{Decoder, weights};
use ablate::recipe::Seed;
use ablate::recipe::shape::{Architecture, ModelShape, RopeScaling};
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;
use std::process::Command;

fn python() -> Option<String> {
    let python = std::env::var("ABLATE_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let asked = Command::new(&python).args(["-c", "import transformers, torch"]).output();
    match asked {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            println!("skipped: {python} has no transformers (name one that has in ABLATE_PYTHON)");
            None
        }
    }
}

fn shape(architecture: Architecture, scaled: bool, tied: bool) -> ModelShape {
    let scaling =
        RopeScaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 64 };
    ModelShape {
        architecture,
        vocab: 96,
        hidden: 48,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        ffn: 80,
        rope_theta: 50_000.0,
        rope_scaling: scaled.then_some(scaling),
        norm_eps: 1e-5,
        tied,
    }
}

#[test]
fn transformers_computes_the_logits_that_we_do() {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/transformers_load.py");
    let ids: Vec<u32> = (0..100).map(|at| (at * 37 + 11) % 96).collect();
    for (architecture, scaled, tied) in [
        (Architecture::Llama, true, true),
        (Architecture::Llama, false, false),
        (Architecture::Qwen2, false, true),
        (Architecture::Qwen3, false, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let decoder = Decoder::random(shape(architecture, scaled, tied), 0.5, 0.2, Seed(3));
        let (folder, list, out) = (dir.path().join("model"), dir.path().join("ids.json"), dir.path().join("out"));
        weights::save(&folder, &decoder, &weights::rope_parameters(decoder.shape())).unwrap();
        fs::write(&list, serde_json::to_string(&[&ids]).unwrap()).unwrap();
        let output = Command::new(&python).arg(&script).args([&folder, &list, &out]).output().unwrap();
        assert!(output.status.success(), "{architecture:?}: {}", String::from_utf8_lossy(&output.stderr));
        let bytes = fs::read(&out).unwrap();
        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        let theirs = theirs.tensor("logits").unwrap().data().chunks_exact(4);
        let theirs = theirs.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let ours = decoder.logits(&ids, &[0, ids.len()]).unwrap();
        let scale = ours.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
        let worst = ours.iter().zip(theirs).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
        println!("{architecture:?}, scaled {scaled}, tied {tied}: {worst:e} of {scale}");
        assert!(worst < 1e-4 * scale, "{architecture:?}: {worst} of {scale}");
    }
}
