//! bf16 against PyTorch's autocast (`tests/reference/bf16.py`): rounding that falls elsewhere gives other bits, so what is
//! compared is how far it carries loss and gradient from those in f32.

#![cfg(feature = "engine")]

use ablate::model::{Batch, Decoder, NO_TARGET, Params, Prompt, Sampling, generate, weights};
use ablate::recipe::Seed;
use ablate::recipe::train::Precision;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;

const RATE: std::ops::RangeInclusive<f64> = 0.6..=1.4;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// Mean loss and its gradient over rows of ids.
fn gradient(decoder: &Decoder, rows: &[usize], ids: &[u32]) -> (f64, Params) {
    let targets: Vec<u32> =
        ids.chunks_exact(rows[1]).flat_map(|row| row[1..].iter().copied().chain([NO_TARGET])).collect();
    let starts: Vec<usize> = (0..=rows[0]).map(|row| row * rows[1]).collect();
    let count = (rows[0] * (rows[1] - 1)) as f64;
    let mut grads = Params::zeros_like(decoder.params());
    let objective = |_: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| d.fill((-1.0 / count) as f32);
    let scores =
        decoder.gradient(Batch { ids, targets: &targets, starts: &starts }, 1, &objective, &mut grads).unwrap();
    (-scores.logprob.iter().map(|x| f64::from(*x)).sum::<f64>() / count, grads)
}

#[test]
fn loss_and_gradient_are_as_far_from_f32_as_under_autocast() {
    let text = std::fs::read_to_string(root().join("reference/bf16.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for (name, expected) in reference.as_object().unwrap() {
        let folder = root().join("vectors/models").join(name);
        let bytes = std::fs::read(folder.join("case.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor("input_ids").unwrap();
        let width = tensor.data().len() / tensor.shape().iter().product::<usize>();
        let id = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let ids: Vec<u32> = tensor.data().chunks_exact(width).map(id).collect();

        let mut decoder = weights::load(&folder).unwrap();
        let (loss, exact) = gradient(&decoder, tensor.shape(), &ids);
        decoder.set_precision(Precision::Bf16);
        let (rounded_loss, rounded) = gradient(&decoder, tensor.shape(), &ids);
        let number = |name: &str| expected[name].as_f64().unwrap();
        assert!((loss - number("loss")).abs() < 1e-5, "{name}: {loss}");
        assert!((rounded_loss - loss).abs() < 3e-3, "{name}: {rounded_loss} in bf16, {loss} in f32");
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let apart = norm(&mut rounded.flat().iter().zip(exact.flat()).map(|(a, b)| a - b));
        let error = apart / norm(&mut exact.flat().iter().copied());
        let rate = error / number("gradient_error");
        println!("{name}: gradient {error:.4} from f32, {rate:.2} times as far as under autocast");
        assert!(
            RATE.contains(&rate),
            "{name}: the gradient is {error} from f32, autocast's {}",
            number("gradient_error")
        );
        for info in rounded.infos() {
            let grads = rounded.get(&info.name);
            assert!(grads.iter().all(|x| x.is_finite()) && grads.iter().any(|x| *x != 0.0), "{name}: {}", info.name);
        }
    }
}

#[test]
fn in_bf16_too_the_samplers_logprobs_are_the_trainers() {
    let mut decoder = weights::load(&root().join("vectors/models/qwen3_qknorm")).unwrap();
    decoder.set_precision(Precision::Bf16);
    let prompts = [Prompt { ids: vec![5, 9, 2, 7], samples: 3 }, Prompt { ids: vec![1], samples: 1 }];
    let sampling = Sampling { temperature: 1.0, max_new: 19, eos: 3, banned: vec![] };
    let draw = |prompt: usize, sample: usize| Seed(2).stream("rollout").at(&[prompt as u64, sample as u64]);
    for (prompt, completions) in prompts.iter().zip(generate(&decoder, &prompts, &sampling, &draw, 1).unwrap()) {
        for completion in completions {
            let ids: Vec<u32> = prompt.ids.iter().chain(&completion.tokens).copied().collect();
            let last = ids.len() - 1;
            let scores =
                decoder.scores(Batch { ids: &ids[..last], targets: &ids[1..], starts: &[0, last] }, 1).unwrap();
            assert_eq!(scores.logprob[prompt.ids.len() - 1..], completion.logprobs);
        }
    }
}
