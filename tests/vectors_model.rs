//! The engine against transformers and torch: logits, log-probabilities, every gradient, greedy tokens.
//!
//! The vectors lie in `tests/vectors`, or in the folder that `ABLATE_VECTORS` names (same layout, other models).

#![cfg(feature = "engine")]

use ablate::model::oracle::Oracle;
use ablate::model::{Batch, Decoder, NO_TARGET, Params, Prompt, Sampling, generate, weights};
use ablate::recipe::Seed;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::PathBuf;

struct Case {
    name: String,
    decoder: Decoder,
    floats: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    ints: BTreeMap<String, (Vec<usize>, Vec<u32>)>,
}

fn cases() -> Vec<Case> {
    let root = std::env::var_os("ABLATE_VECTORS").map_or_else(|| PathBuf::from("tests/vectors"), PathBuf::from);
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root.join("models")).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(read).collect()
}

fn read(folder: PathBuf) -> Case {
    let bytes = std::fs::read(folder.join("case.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (mut floats, mut ints) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in tensors.iter() {
        let (shape, data) = (tensor.shape().to_vec(), tensor.data());
        match tensor.dtype() {
            safetensors::Dtype::F32 => {
                let values = data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
                floats.insert(name.to_string(), (shape, values));
            }
            safetensors::Dtype::I64 => {
                let values = data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
                ints.insert(name.to_string(), (shape, values));
            }
            safetensors::Dtype::I32 => {
                let values = data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as u32).collect();
                ints.insert(name.to_string(), (shape, values));
            }
            other => panic!("{name} is {other:?}"),
        }
    }
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    Case { name, decoder: weights::load(&folder).unwrap(), floats, ints }
}

/// Rows of equal length as one batch: targets are the next tokens, none at the end of a row.
fn next_token(shape: &[usize], ids: &[u32]) -> (Vec<u32>, Vec<usize>) {
    let targets = ids.chunks_exact(shape[1]).flat_map(|row| row[1..].iter().copied().chain([NO_TARGET])).collect();
    (targets, (0..=shape[0]).map(|row| row * shape[1]).collect())
}

/// Largest difference, relative to the largest reference value.
fn relative(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len());
    let scale = reference.iter().fold(0.0f32, |max, value| max.max(value.abs()));
    ours.iter().zip(reference).fold(0.0f32, |max, (a, b)| max.max((a - b).abs())) / scale
}

#[test]
fn logits_and_logprobs_equal_the_vectors() {
    for case in cases() {
        let (shape, ids) = &case.ints["input_ids"];
        let (targets, starts) = next_token(shape, ids);
        let logits = case.decoder.logits(ids, &starts).unwrap();
        let error = relative(&logits, &case.floats["logits"].1);
        assert!(error < 1e-5, "{}: logits differ by {error}", case.name);
        let scores = case.decoder.scores(Batch { ids, targets: &targets, starts: &starts }, 1).unwrap();
        let ours: Vec<f32> =
            scores.logprob.chunks_exact(shape[1]).flat_map(|row| row[..shape[1] - 1].iter().copied()).collect();
        let error = relative(&ours, &case.floats["token_logprobs"].1);
        assert!(error < 1e-5, "{}: log-probs differ by {error}", case.name);
    }
}

fn mean_gradient(decoder: &Decoder, shape: &[usize], ids: &[u32], threads: usize) -> (f64, Params) {
    let (targets, starts) = next_token(shape, ids);
    let count = (shape[0] * (shape[1] - 1)) as f32;
    let mut grads = Params::zeros_like(decoder.params());
    let batch = Batch { ids, targets: &targets, starts: &starts };
    let objective = |_: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| d.fill(-1.0 / count);
    let scores = decoder.gradient(batch, threads, &objective, &mut grads).unwrap();
    (-scores.logprob.iter().map(|x| *x as f64).sum::<f64>() / count as f64, grads)
}

#[test]
fn every_gradient_equals_the_vectors_and_reaches_its_parameter() {
    for case in cases() {
        let (shape, ids) = &case.ints["input_ids"];
        let (_, grads) = mean_gradient(&case.decoder, shape, ids, 1);
        for info in grads.infos() {
            let ours = grads.get(&info.name);
            let error = relative(ours, &case.floats[&format!("grad.{}", info.name)].1);
            assert!(error < 1e-4, "{}: the gradient of {} differs by {error}", case.name, info.name);
            assert!(ours.iter().all(|value| value.is_finite()) && ours.iter().any(|value| *value != 0.0));
        }
    }
}

/// AdamW on all parameters alike, clipped by global norm, in double precision.
struct AdamW {
    settings: serde_json::Value,
    moments: Vec<[f64; 2]>,
    step: i32,
}

impl AdamW {
    fn new(settings: &serde_json::Value, parameters: usize) -> AdamW {
        AdamW { settings: settings.clone(), moments: vec![[0.0; 2]; parameters], step: 0 }
    }

    fn step(&mut self, weights: &mut [f64], grads: &[f64]) {
        let value = |name: &str| self.settings[name].as_f64().unwrap();
        let (lr, eps, decay) = (value("lr"), value("eps"), value("weight_decay"));
        let [b1, b2] = [0, 1].map(|index| self.settings["betas"][index].as_f64().unwrap());
        let norm = grads.iter().map(|g| g * g).sum::<f64>().sqrt();
        let scale = (value("max_grad_norm") / (norm + 1e-6)).min(1.0);
        self.step += 1;
        let (c1, c2) = (1.0 - b1.powi(self.step), 1.0 - b2.powi(self.step));
        for ((weight, grad), [m, v]) in weights.iter_mut().zip(grads).zip(&mut self.moments) {
            let g = grad * scale;
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            *weight = *weight * (1.0 - lr * decay) - lr * (*m / c1) / ((*v / c2).sqrt() + eps);
        }
    }
}

fn settings(case: &Case) -> serde_json::Value {
    let path = vectors().join("models").join(&case.name).join("case.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The parameters after twenty steps of the oracle in double precision: nobody's rounding.
fn exact_trajectory(case: &Case) -> BTreeMap<String, Vec<f64>> {
    let (shape, ids) = &case.ints["train_batches"];
    let (rows, length) = (shape[1], shape[2]);
    let oracle = Oracle::new(case.decoder.shape(), case.decoder.params(), DType::F64, &Device::Cpu).unwrap();
    let mut adamw = AdamW::new(&settings(case)["adamw"], case.decoder.params().flat().len());
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for ids in ids.chunks_exact(rows * length) {
        let (targets, starts) = next_token(&[rows, length], ids);
        let count = (rows * (length - 1)) as f64;
        let weights: Vec<f32> = targets.iter().map(|t| if *t == NO_TARGET { 0.0 } else { -1.0 }).collect();
        let batch = Batch { ids, targets: &targets, starts: &starts };
        let (_, grads) = oracle.gradient(batch, &weights).unwrap();
        let grads: Vec<f64> = grads.values().flat_map(values).map(|g| g / count).collect();
        let mut flat: Vec<f64> = oracle.vars().values().flat_map(|var| values(var)).collect();
        adamw.step(&mut flat, &grads);
        let mut at = 0;
        for var in oracle.vars().values() {
            let count = var.elem_count();
            var.set(&Tensor::from_slice(&flat[at..at + count], var.shape(), &Device::Cpu).unwrap()).unwrap();
            at += count;
        }
    }
    oracle.vars().iter().map(|(name, var)| (name.clone(), values(var))).collect()
}

/// Losses, gradient norms, and every tensor at the end, to 1e-4 of its norm.
///
/// Single elements may be further apart, and are in the vectors themselves, by up to 6e-4 of a tensor's maximum against a
/// trajectory in double precision: AdamW divides each gradient by its own size, so where a gradient is mostly rounding, so
/// is the step. Key biases are such a tensor (without rotation their gradient would be exactly 0): there the vectors' own
/// distance from the exact trajectory is the measure.
#[test]
fn twenty_adamw_steps_equal_the_vectors() {
    for mut case in cases() {
        let exact = exact_trajectory(&case);
        let (shape, ids) = case.ints["train_batches"].clone();
        let (rows, length, config) = (shape[1], shape[2], settings(&case));
        let mut adamw = AdamW::new(&config["adamw"], case.decoder.params().flat().len());
        for (step, ids) in ids.chunks_exact(rows * length).enumerate() {
            let (loss, grads) = mean_gradient(&case.decoder, &[rows, length], ids, 1);
            let expected = config["train_losses"][step].as_f64().unwrap();
            assert!(
                (loss - expected).abs() < 1e-4 * expected,
                "{} step {step}: loss {loss}, not {expected}",
                case.name
            );
            let norm = grads.flat().iter().map(|g| (*g as f64).powi(2)).sum::<f64>().sqrt();
            let expected = config["grad_norms"][step].as_f64().unwrap();
            assert!(
                (norm - expected).abs() < 1e-4 * expected,
                "{} step {step}: norm {norm}, not {expected}",
                case.name
            );
            let grads: Vec<f64> = grads.flat().iter().map(|g| *g as f64).collect();
            case.decoder.update(|params| {
                let mut weights: Vec<f64> = params.flat().iter().map(|w| *w as f64).collect();
                adamw.step(&mut weights, &grads);
                params.flat_mut().iter_mut().zip(weights).for_each(|(to, from)| *to = from as f32);
            });
        }
        for info in case.decoder.params().infos() {
            let reference: Vec<f64> =
                case.floats[&format!("after20.{}", info.name)].1.iter().map(|x| *x as f64).collect();
            let ours: Vec<f64> = case.decoder.params().get(&info.name).iter().map(|x| *x as f64).collect();
            let exact = &exact[&info.name];
            let (apart, rounding) = (distance(&ours, &reference), distance(&reference, exact));
            assert!(
                apart < 1e-4 || (rounding > 1e-4 && distance(&ours, exact) < 3.0 * rounding),
                "{}: {} is {apart:.1e} from the vector after twenty steps, which is {rounding:.1e} from the exact one",
                case.name,
                info.name
            );
        }
    }
}

/// Norm of the difference, relative to the norm of the reference.
fn distance(ours: &[f64], reference: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    norm(&mut ours.iter().zip(reference).map(|(a, b)| a - b)) / norm(&mut reference.iter().copied())
}

fn vectors() -> PathBuf {
    std::env::var_os("ABLATE_VECTORS").map_or_else(|| PathBuf::from("tests/vectors"), PathBuf::from)
}

const UNSTOPPED: u32 = u32::MAX - 1;

#[test]
fn greedy_tokens_equal_the_vectors() {
    for case in cases() {
        let (shape, ids) = &case.ints["greedy"];
        let prompt = 8;
        let sampling = Sampling { temperature: 0.0, max_new: shape[1] - prompt, eos: UNSTOPPED, banned: vec![] };
        let prompts = [Prompt { ids: ids[..prompt].to_vec(), samples: 1 }];
        let draw = |_: usize, _: usize| Seed(0).stream("test").at(&[]);
        let completions = generate(&case.decoder, &prompts, &sampling, &draw, 1).unwrap();
        assert_eq!(completions[0][0].tokens, ids[prompt..], "{}", case.name);
    }
}

#[test]
fn sampling_gives_the_trainers_logprobs_to_the_bit_at_any_batch_size_vectors() {
    for case in cases() {
        let vocab = case.decoder.shape().vocab as u64;
        let mut rng = Seed(1).stream("test").at(&[]);
        let prompts: Vec<Prompt> = (0..32)
            .map(|index| Prompt { ids: (0..5 + index % 7).map(|_| rng.below(vocab) as u32).collect(), samples: 3 })
            .collect();
        let sampling = Sampling { temperature: 1.0, max_new: 21, eos: 3, banned: vec![] };
        let draw = |prompt: usize, sample: usize| Seed(2).stream("rollout").at(&[prompt as u64, sample as u64]);
        let together = generate(&case.decoder, &prompts, &sampling, &draw, 1).unwrap();
        assert_eq!(together, generate(&case.decoder, &prompts, &sampling, &draw, 3).unwrap(), "{}: threads", case.name);
        for (index, prompt) in prompts.iter().enumerate() {
            let draw = |_: usize, sample: usize| draw(index, sample);
            let alone = generate(&case.decoder, std::slice::from_ref(prompt), &sampling, &draw, 1).unwrap();
            assert_eq!(alone[0], together[index], "{}: batch of one", case.name);
        }
        // All completions scored by the trainer in one packed batch.
        let (mut ids, mut targets, mut starts, mut expected) = (vec![], vec![], vec![0], vec![]);
        for (prompt, completions) in prompts.iter().zip(&together) {
            for completion in completions {
                let row: Vec<u32> = prompt.ids.iter().chain(&completion.tokens).copied().collect();
                ids.extend(&row[..row.len() - 1]);
                targets.extend(vec![NO_TARGET; prompt.ids.len() - 1]);
                targets.extend(&completion.tokens);
                expected.extend(vec![0.0; prompt.ids.len() - 1]);
                expected.extend(&completion.logprobs);
                starts.push(ids.len());
            }
        }
        let scores = case.decoder.scores(Batch { ids: &ids, targets: &targets, starts: &starts }, 1).unwrap();
        for (index, (ours, sampled)) in scores.logprob.iter().zip(&expected).enumerate() {
            assert_eq!(ours.to_bits(), sampled.to_bits(), "{}: position {index}: {ours} and {sampled}", case.name);
        }
        let three = case.decoder.scores(Batch { ids: &ids, targets: &targets, starts: &starts }, 3).unwrap();
        assert_eq!(scores, three);
    }
}

#[test]
fn gradients_do_not_depend_on_threads_vectors() {
    for case in cases() {
        let mut rng = Seed(3).stream("test").at(&[]);
        let ids: Vec<u32> = (0..24 * 100).map(|_| rng.below(case.decoder.shape().vocab as u64) as u32).collect();
        let (one_loss, one) = mean_gradient(&case.decoder, &[24, 100], &ids, 1);
        let (many_loss, many) = mean_gradient(&case.decoder, &[24, 100], &ids, 3);
        assert_eq!(one_loss.to_bits(), many_loss.to_bits());
        assert!(one.flat().iter().zip(many.flat()).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", case.name);
    }
}

/// The vectors are found by what they are, not by what they are called.
#[test]
fn vectors_under_other_names_are_found() {
    if std::env::var_os("ABLATE_VECTORS").is_some() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for (index, folder) in std::fs::read_dir("tests/vectors/models").unwrap().enumerate() {
        let renamed = place.path().join(format!("models/m{}", 9 - index));
        std::fs::create_dir_all(&renamed).unwrap();
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap().map(|file| file.unwrap()) {
            std::fs::copy(file.path(), renamed.join(file.file_name())).unwrap();
        }
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let run = again.args(["--exact", "logits_and_logprobs_equal_the_vectors"]).env("ABLATE_VECTORS", place.path());
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
