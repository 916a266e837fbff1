//! The host's engine is the reference; every device that is there must agree with it, and with candle's plain autograd.

use super::*;
use crate::model::generate::{Completion, Prompt, Sampling, Watch, generate, generate_watched};
use crate::model::oracle::Oracle;
use crate::model::{Decoder, NO_TARGET};
use crate::recipe::Seed;
use crate::recipe::shape::{Architecture, RopeScaling};
use crate::recipe::train::Precision;
use candle_core::DType;
use std::ops::Range;
use std::sync::Mutex;

/// So small that a batch of the tests is cut in every way that there is.
const SMALL: Limits = Limits { tokens: 64, logits: 700, queries: 16, live: 5, cache: 1 << 32 };

fn shapes() -> Vec<ModelShape> {
    let shape = |architecture, heads, kv_heads, head_dim, tied, hidden, ffn, vocab| ModelShape {
        architecture,
        vocab,
        hidden,
        layers: 3,
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
fn decoder(shape: &ModelShape) -> Decoder {
    let mut decoder = Decoder::random(shape.clone(), 0.3, 0.15, Seed(5));
    let mut rng = Seed(6).stream("test").at(&[]);
    decoder.update(|params| params.flat_mut().iter_mut().for_each(|x| *x += 0.1 * rng.normal() as f32));
    decoder
}

fn on(device: &Device, shape: &ModelShape, limits: Limits) -> Decoder {
    let mut decoder = decoder(shape);
    decoder.set_device(device.clone(), limits);
    decoder
}

/// Ragged segments, empty ones among them, one longer than a micro-batch; a fifth of the positions without a target.
struct Rows {
    ids: Vec<u32>,
    targets: Vec<u32>,
    slopes: Vec<f32>,
}

const STARTS: [usize; 7] = [0, 37, 38, 38, 51, 160, 200];

impl Rows {
    fn new(shape: &ModelShape) -> Rows {
        let mut rng = Seed(7).stream("test").at(&[]);
        let mut token = || rng.below(shape.vocab as u64) as u32;
        let none = |at: usize| at.is_multiple_of(5) || (60..90).contains(&at);
        let ids = (0..200).map(|_| token()).collect();
        let targets = (0..200).map(|at| if none(at) { NO_TARGET } else { token() }).collect();
        let slopes = (0..200).map(|at| if none(at) { 0.0 } else { (at % 7) as f32 * 0.1 - 0.3 }).collect();
        Rows { ids, targets, slopes }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { ids: &self.ids, targets: &self.targets, starts: &STARTS }
    }

    fn gradient(&self, decoder: &Decoder) -> (TokenScores, Params) {
        let seen = Mutex::new(vec![0; self.ids.len()]);
        let objective = |range: Range<usize>, _: &[f32], d: &mut [f32]| {
            range.clone().for_each(|at| seen.lock().unwrap()[at] += 1);
            d.copy_from_slice(&self.slopes[range]);
        };
        // What is there already is added to.
        let mut grads = Params::zeros_like(decoder.params());
        grads.flat_mut().fill(0.25);
        let scores = decoder.gradient(self.batch(), 2, &objective, &mut grads).unwrap();
        grads.flat_mut().iter_mut().for_each(|grad| *grad -= 0.25);
        assert!(seen.into_inner().unwrap().iter().all(|times| *times == 1), "each position is asked for once");
        (scores, grads)
    }
}

/// The greatest difference, over the greatest number.
#[track_caller]
fn close(found: &[f32], expected: &[f32], bound: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(found.iter().all(|x| x.is_finite()), "{what}: not finite");
    let scale = expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let error = found.iter().zip(expected).fold(0.0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(scale > 0.0 && error <= bound * scale, "{what} differ by {error:.1e} of {scale:.1e}");
}

#[test]
fn logits_scores_and_every_gradient_equal_the_hosts_however_a_batch_is_cut() {
    for device in present() {
        for shape in shapes() {
            let (host, rows) = (decoder(&shape), Rows::new(&shape));
            let logits = host.logits(&rows.ids, &STARTS).unwrap();
            let (expected, expected_grads) = rows.gradient(&host);
            for limits in [Limits::default(), SMALL] {
                let decoder = on(&device, &shape, limits);
                close(&decoder.logits(&rows.ids, &STARTS).unwrap(), &logits, 1e-4, "logits");
                let (scores, grads) = rows.gradient(&decoder);
                close(&scores.logprob, &expected.logprob, 1e-4, "log-probabilities");
                close(&scores.entropy, &expected.entropy, 1e-4, "entropies");
                assert_eq!(decoder.scores(rows.batch(), 1).unwrap(), scores, "a gradient's scores are the scores");
                for info in grads.infos() {
                    let what = format!("{:?} {} under {limits:?}", shape.architecture, info.name);
                    close(grads.get(&info.name), expected_grads.get(&info.name), 1e-3, &what);
                }
            }
        }
    }
}

#[test]
fn recomputed_activations_give_the_gradients_of_kept_ones() {
    for device in present() {
        for shape in shapes() {
            let (decoder, rows) = (on(&device, &shape, SMALL), Rows::new(&shape));
            let (_, grads) = rows.gradient(&decoder);
            let starts = [0, 37, 38, 51, 160, 200];
            let batch = Batch { starts: &starts, ..rows.batch() };
            let oracle = Oracle::new(&shape, decoder.params(), DType::F32, &device).unwrap();
            for (name, kept) in oracle.gradient(batch, &rows.slopes).unwrap().1 {
                let kept = kept.flatten_all().unwrap().to_vec1().unwrap();
                close(grads.get(&name), &kept, 1e-4, &format!("{:?} {name}", shape.architecture));
            }
        }
    }
}

#[test]
fn an_objective_without_slopes_has_no_gradient() {
    for device in present() {
        let shape = shapes().remove(0);
        let (decoder, rows) = (on(&device, &shape, SMALL), Rows::new(&shape));
        let mut grads = Params::zeros_like(decoder.params());
        decoder.gradient(rows.batch(), 1, &|_, _, d| d.fill(0.0), &mut grads).unwrap();
        assert!(grads.flat().iter().all(|grad| *grad == 0.0));
    }
}

#[test]
fn an_update_reaches_the_device() {
    for device in present() {
        let shape = shapes().remove(2);
        let rows = Rows::new(&shape);
        let (mut host, mut decoder) = (decoder(&shape), on(&device, &shape, SMALL));
        let before = decoder.scores(rows.batch(), 1).unwrap();
        let change = |params: &mut Params| params.flat_mut().iter_mut().for_each(|x| *x *= 1.1);
        host.update(change);
        decoder.update(change);
        let after = decoder.scores(rows.batch(), 1).unwrap();
        assert_ne!(before, after);
        close(&after.logprob, &host.scores(rows.batch(), 1).unwrap().logprob, 1e-4, "log-probabilities");
    }
}

#[test]
fn bf16_rounds_as_the_hosts_does() {
    for device in present() {
        let shape = shapes().remove(3);
        let rows = Rows::new(&shape);
        let (mut host, mut decoder) = (decoder(&shape), on(&device, &shape, SMALL));
        let (exact, _) = rows.gradient(&decoder);
        host.set_precision(Precision::Bf16);
        decoder.set_precision(Precision::Bf16);
        let ((scores, grads), (expected, expected_grads)) = (rows.gradient(&decoder), rows.gradient(&host));
        assert_ne!(scores, exact, "bf16 is not f32");
        close(&scores.logprob, &expected.logprob, 0.02, "log-probabilities");
        for info in grads.infos() {
            close(grads.get(&info.name), expected_grads.get(&info.name), 0.05, &info.name);
        }
    }
}

fn drawn(decoder: &Decoder, sampling: &Sampling) -> Vec<Vec<Completion>> {
    let vocab = decoder.shape().vocab as u32;
    let prompt = |length: u32, samples| Prompt { ids: (0..length).map(|i| i * 17 % vocab).collect(), samples };
    let prompts = [prompt(3, 4), prompt(20, 0), prompt(1, 1), prompt(33, 7), prompt(70, 2)];
    let draw = |prompt: usize, sample: usize| Seed(2).stream("test").at(&[prompt as u64, sample as u64]);
    generate(decoder, &prompts, sampling, &draw, 2).unwrap()
}

#[test]
fn completions_equal_the_hosts() {
    for device in present() {
        for shape in shapes() {
            let host = decoder(&shape);
            for (temperature, max_new) in [(0.0, 9), (1.0, 9), (1.0, 0)] {
                let sampling = Sampling { temperature, max_new, eos: 4, banned: vec![5, 1000] };
                let expected = drawn(&host, &sampling);
                for limits in [Limits::default(), SMALL, Limits { cache: 1, ..SMALL }] {
                    let found = drawn(&on(&device, &shape, limits), &sampling);
                    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                        assert_eq!((&found.tokens, found.stop), (&expected.tokens, expected.stop));
                        if max_new > 0 {
                            close(&found.logprobs, &expected.logprobs, 1e-4, "log-probabilities");
                            close(&found.entropy, &expected.entropy, 1e-4, "entropies");
                        }
                    }
                    let counts: Vec<usize> = found.iter().map(Vec::len).collect();
                    assert_eq!(counts, [4, 0, 1, 7, 2]);
                }
            }
        }
    }
}

#[test]
fn a_cache_grows_with_its_completions() {
    for device in present() {
        let shape = ModelShape { layers: 1, ..shapes().remove(0) };
        let sampling = Sampling { temperature: 0.7, max_new: 150, eos: 500, banned: vec![] };
        let prompts = [Prompt { ids: vec![3, 1], samples: 1 }, Prompt { ids: vec![9, 8, 7], samples: 2 }];
        let draw = |prompt: usize, sample: usize| Seed(2).stream("test").at(&[prompt as u64, sample as u64]);
        let run = |decoder: &Decoder| generate(decoder, &prompts, &sampling, &draw, 1).unwrap();
        let (found, expected) = (run(&on(&device, &shape, Limits::default())), run(&decoder(&shape)));
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert_eq!((found.tokens.len(), &found.tokens), (150, &expected.tokens));
            close(&found.logprobs, &expected.logprobs, 1e-4, "log-probabilities");
        }
    }
}

#[test]
fn whoever_looks_on_can_end_a_completion_and_sees_each_once() {
    for device in present() {
        let decoder = on(&device, &shapes()[0], SMALL);
        let prompts: Vec<Prompt> = (1..6).map(|n| Prompt { ids: vec![n, 2, 3], samples: n as usize % 4 }).collect();
        let draw = |prompt: usize, sample: usize| Seed(1).stream("test").at(&[prompt as u64, sample as u64]);
        for max_new in [0, 12] {
            let sampling = Sampling { temperature: 1.0, max_new, eos: 0, banned: vec![] };
            let seen = Mutex::new(vec![vec![None; 4]; prompts.len()]);
            let done = |prompt: usize, first: usize, completions: &[Completion]| {
                for (sample, completion) in completions.iter().enumerate() {
                    let before = seen.lock().unwrap()[prompt][first + sample].replace(completion.clone());
                    assert_eq!(before, None);
                }
            };
            let ends = |tokens: &[u32]| tokens.len() == 4 || tokens.last() == Some(&5);
            let found =
                generate_watched(&decoder, &prompts, &sampling, &draw, 1, 2, &Watch { ends: &ends, done: &done })
                    .unwrap();
            for (found, seen) in found.iter().zip(seen.into_inner().unwrap()) {
                assert_eq!(&seen.into_iter().flatten().collect::<Vec<_>>(), found);
                assert!(found.iter().all(|completion| completion.tokens.len() <= 4));
            }
        }
    }
}

/// On candle's CPU device alone: what it refuses, a GPU may only find out in its kernels, and is of no use after that.
#[test]
fn what_a_device_refuses_comes_back_with_what_it_was_at() {
    let shape = shapes().remove(0);
    let (decoder, rows) = (on(&Device::Cpu, &shape, SMALL), Rows::new(&shape));
    let mut ids = rows.ids.clone();
    ids[120] = shape.vocab as u32;
    let batch = Batch { ids: &ids, ..rows.batch() };
    let mut grads = Params::zeros_like(decoder.params());
    grads.flat_mut().fill(0.25);
    let gradient = decoder.gradient(batch, 1, &|_, _, d| d.fill(1.0), &mut grads).unwrap_err();
    assert!(grads.flat().iter().all(|grad| *grad == 0.25), "a gradient that failed leaves no trace");
    // The longest segment of the rows is larger than a pass and goes alone.
    let pass = |backward| Work::Pass { tokens: 109, segments: 1, backward };
    let prompts = [Prompt { ids: vec![1, 2], samples: 3 }, Prompt { ids: ids[100..130].to_vec(), samples: 2 }];
    let draw = |_: usize, _: usize| Seed(2).stream("test").at(&[]);
    let sampling = Sampling { temperature: 1.0, max_new: 6, eos: 4, banned: vec![] };
    for (error, at) in [
        (decoder.logits(&ids, &STARTS).unwrap_err(), pass(false)),
        (decoder.scores(batch, 1).unwrap_err(), pass(false)),
        (gradient, pass(true)),
        (
            generate(&decoder, &prompts, &sampling, &draw, 1).unwrap_err(),
            Work::Draw { sequences: 5, prompt: 30, new: 6 },
        ),
    ] {
        let DeviceError::Failed { device, work, what } = &error else { panic!("{error}") };
        assert_eq!((device.as_str(), *work), ("candle's CPU device", at));
        assert!(what.contains("index"), "{what}");
    }
    // The same decoder goes on.
    close(
        &decoder.scores(rows.batch(), 1).unwrap().logprob,
        &rows.gradient(&decoder).0.logprob,
        1e-6,
        "log-probabilities",
    );
}

#[test]
fn a_device_that_this_build_can_not_use_is_refused_by_name() {
    assert!(open(Backend::Cpu, 0).unwrap().is_none());
    for (backend, built, feature) in
        [(Backend::Cuda, cfg!(feature = "cuda"), "cuda"), (Backend::Metal, cfg!(feature = "metal"), "metal")]
    {
        let error = open(backend, 999).unwrap_err().to_string();
        assert!(error.contains("device 999"), "{error}");
        assert!(built || error.contains(&format!("--features {feature}")), "{error}");
    }
}
