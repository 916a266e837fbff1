//! The engine against the same decoder composed of candle's operations, for shapes that no vector covers: odd widths, ragged
//! segments, grouped heads, positions without a target, objectives that leave tokens out.

#![cfg(feature = "engine")]

use ablate::model::oracle::Oracle;
use ablate::model::{Batch, Decoder, NO_TARGET, Params};
use ablate::recipe::shape::{Architecture, RopeScaling};
use ablate::recipe::{ModelShape, Seed};
use candle_core::{DType, Device, Tensor};

fn shapes() -> Vec<ModelShape> {
    let shape = |architecture, heads, kv_heads, head_dim, tied, hidden, ffn, vocab| ModelShape {
        architecture,
        vocab,
        hidden,
        layers: 2,
        heads,
        kv_heads,
        head_dim,
        ffn,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied,
    };
    let scaling =
        RopeScaling { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 16 };
    vec![
        shape(Architecture::Llama, 4, 2, 16, true, 48, 80, 101),
        ModelShape { rope_scaling: Some(scaling), ..shape(Architecture::Llama, 3, 1, 10, false, 21, 35, 67) },
        shape(Architecture::Qwen2, 6, 3, 8, true, 40, 72, 64),
        shape(Architecture::Qwen3, 4, 4, 12, false, 32, 50, 90),
    ]
}

/// Random everywhere, biases and gains too.
fn decoder(shape: ModelShape) -> Decoder {
    let mut decoder = Decoder::random(shape, 0.3, 0.15, Seed(5));
    let mut rng = Seed(6).stream("test").at(&[]);
    decoder.update(|params| params.flat_mut().iter_mut().for_each(|x| *x += 0.1 * rng.normal() as f32));
    decoder
}

fn close(ours: &[f32], oracle: &Tensor, bound: f64, what: &str) {
    let exact: Vec<f64> = oracle.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    assert_eq!(ours.len(), exact.len());
    let scale = exact.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let error = ours.iter().zip(&exact).fold(0.0f64, |max, (a, b)| max.max((*a as f64 - b).abs()));
    assert!(scale > 0.0 && error < bound * scale, "{what} differ by {error:.1e} of {scale:.1e}");
}

#[test]
fn logits_and_gradients_equal_the_candle_composition() {
    for shape in shapes() {
        let decoder = decoder(shape.clone());
        let starts = [0, 37, 38, 38, 51, 160, 300, 420, 540, 560];
        let mut rng = Seed(7).stream("test").at(&[]);
        let mut token = || rng.below(shape.vocab as u64) as u32;
        let ids: Vec<u32> = (0..560).map(|_| token()).collect();
        let targets: Vec<u32> = (0..560).map(|i| if i % 5 == 0 { NO_TARGET } else { token() }).collect();
        let weights: Vec<f32> = (0..560).map(|i| if i % 5 == 0 { 0.0 } else { (i % 7) as f32 * 0.1 - 0.3 }).collect();
        let batch = Batch { ids: &ids, targets: &targets, starts: &starts };
        let mut grads = Params::zeros_like(decoder.params());
        let objective = |range: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| d.copy_from_slice(&weights[range]);
        let scores = decoder.gradient(batch, 2, &objective, &mut grads).unwrap();
        assert_eq!(scores, decoder.scores(batch, 1).unwrap(), "a gradient's scores are the scores");

        // candle has no empty segments.
        let starts: Vec<usize> = vec![0, 37, 38, 51, 160, 300, 420, 540, 560];
        let batch = Batch { ids: &ids, targets: &targets, starts: &starts };
        let oracle = |dtype| Oracle::new(&shape, decoder.params(), dtype, &Device::Cpu).unwrap();
        let logits = decoder.logits(&ids, &starts).unwrap();
        close(&logits, &oracle(DType::F32).logits(&ids, &starts).unwrap(), 2e-5, "logits");
        let exact = oracle(DType::F64);
        close(&logits, &exact.logits(&ids, &starts).unwrap(), 1e-5, "logits");
        let (loss, expected) = exact.gradient(batch, &weights).unwrap();
        let ours: f64 = scores.logprob.iter().zip(&weights).map(|(l, w)| *l as f64 * *w as f64).sum();
        assert!((ours - loss).abs() < 1e-5 * loss.abs().max(1.0), "loss {ours}, not {loss}");
        for (name, expected) in expected {
            close(grads.get(&name), &expected, 1e-4, &format!("{:?} {name}", shape.architecture));
        }
    }
}

#[test]
fn entropies_are_those_of_the_distribution() {
    let shape = shapes().remove(0);
    let decoder = decoder(shape.clone());
    let ids: Vec<u32> = (0..40).map(|i| i * 7 % 101).collect();
    let starts = [0, 40];
    let scores = decoder.scores(Batch { ids: &ids, targets: &ids, starts: &starts }, 1).unwrap();
    for (logits, entropy) in decoder.logits(&ids, &starts).unwrap().chunks_exact(shape.vocab).zip(scores.entropy) {
        let total: f64 = logits.iter().map(|z| (*z as f64).exp()).sum();
        let exact: f64 = logits.iter().map(|z| (*z as f64 - total.ln()) * -(*z as f64).exp() / total).sum();
        assert!((entropy as f64 - exact).abs() < 1e-5, "{entropy}, not {exact}");
    }
}

#[test]
fn tokens_outside_the_loss_change_no_gradient() {
    let decoder = decoder(shapes().remove(2));
    let ids: Vec<u32> = (0..90).map(|i| i * 5 % 64).collect();
    let targets: Vec<u32> = (0..90).map(|i| i * 3 % 64).collect();
    let run = |targets: &[u32], ids: &[u32], starts: &[usize]| {
        let mut grads = Params::zeros_like(decoder.params());
        // The loss is in the first segment alone.
        let objective = |range: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| {
            d.iter_mut().zip(range).for_each(|(d, i)| *d = if (10..30).contains(&i) { -0.05 } else { 0.0 });
        };
        decoder.gradient(Batch { ids, targets, starts }, 1, &objective, &mut grads).unwrap();
        grads
    };
    let all = run(&targets, &ids, &[0, 30, 90]);
    let only: Vec<u32> = targets.iter().enumerate().map(|(i, t)| if i < 10 { NO_TARGET } else { *t }).collect();
    let alone = run(&only[..30], &ids[..30], &[0, 30]);
    assert!(all.flat().iter().zip(alone.flat()).all(|(a, b)| a == b));
}
