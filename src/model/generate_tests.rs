//! Laws of sampling.

use super::*;
use crate::model::kernel::WIDEST;
use crate::model::{Batch, Params};
use crate::recipe::Seed;
use crate::recipe::shape::Architecture;

fn decoder(architecture: Architecture) -> Decoder {
    let shape = ModelShape {
        architecture,
        vocab: 61,
        hidden: 40,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 10,
        ffn: 50,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-6,
        tied: true,
    };
    Decoder::random(shape, 0.5, 0.3, Seed(1))
}

fn run(decoder: &Decoder, sampling: &Sampling, threads: usize) -> Vec<Vec<Completion>> {
    let prompt = |length: u32, samples| Prompt { ids: (0..length).map(|i| i * 17 % 61).collect(), samples };
    let prompts = [prompt(3, 5), prompt(20, 0), prompt(1, 1), prompt(33, 70)];
    let draw = |prompt: usize, sample: usize| Seed(2).stream("test").at(&[prompt as u64, sample as u64]);
    generate(decoder, &prompts, sampling, &draw, threads).unwrap()
}

#[test]
fn whoever_looks_on_can_end_a_completion_and_sees_each_once() {
    let decoder = decoder(Architecture::Llama);
    let prompts: Vec<Prompt> = (1..6).map(|n| Prompt { ids: vec![n, 2, 3], samples: n as usize % 4 }).collect();
    let sampling = Sampling { temperature: 1.0, max_new: 12, eos: 0, banned: vec![] };
    let draw = |prompt: usize, sample: usize| Seed(1).stream("test").at(&[prompt as u64, sample as u64]);
    let whole = generate(&decoder, &prompts, &sampling, &draw, 1).unwrap();
    for (threads, live) in [(1, 1), (2, 3), (1, 100)] {
        let seen = Mutex::new(vec![vec![None; 4]; prompts.len()]);
        let done = |prompt: usize, first: usize, completions: &[Completion]| {
            for (sample, completion) in completions.iter().enumerate() {
                let before = seen.lock().unwrap()[prompt][first + sample].replace(completion.clone());
                assert_eq!(before, None);
            }
        };
        // Ends after four tokens, or with token 5.
        let ends = |tokens: &[u32]| tokens.len() == 4 || tokens.last() == Some(&5);
        let watch = Watch { ends: &ends, done: &done };
        let cut = generate_watched(&decoder, &prompts, &sampling, &draw, threads, live, &watch).unwrap();
        let seen = seen.into_inner().unwrap();
        for ((cut, whole), seen) in cut.iter().zip(&whole).zip(&seen) {
            assert_eq!(&seen.iter().flatten().cloned().collect::<Vec<_>>(), cut);
            for (cut, whole) in cut.iter().zip(whole) {
                let length = cut.tokens.len();
                assert_eq!(cut.tokens, whole.tokens[..length]);
                assert!(length == 4 || length == whole.tokens.len() || cut.tokens.last() == Some(&5));
            }
        }
    }
}

#[test]
fn all_forms_of_the_kernels_give_the_same_bits() {
    for architecture in [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3] {
        let decoder = decoder(architecture);
        let sampling = Sampling { temperature: 0.8, max_new: 7, eos: 4, banned: vec![5] };
        let ids: Vec<u32> = (0..83).map(|i| i * i % 61).collect();
        let both = || {
            let mut grads = Params::zeros_like(decoder.params());
            let batch = Batch { ids: &ids[..82], targets: &ids[1..], starts: &[0, 50, 82] };
            let objective = |_: Range<usize>, _: &[f32], d: &mut [f32]| d.fill(-0.01);
            let scores = decoder.gradient(batch, 1, &objective, &mut grads).unwrap();
            (run(&decoder, &sampling, 1), scores, grads)
        };
        let widest = both();
        for form in [1, 0] {
            WIDEST.store(form, Ordering::Relaxed);
            let narrower = both();
            WIDEST.store(2, Ordering::Relaxed);
            assert!(widest == narrower, "{architecture:?}, form {form}");
        }
    }
}

#[test]
fn completions_end_at_the_end_token_or_the_longest_length_and_hold_no_banned_token() {
    let decoder = decoder(Architecture::Qwen3);
    for temperature in [0.0, 0.7, 1.0] {
        let banned = vec![7, 8, 9, 60, 1000];
        let sampling = Sampling { temperature, max_new: 19, eos: 4, banned };
        let all = run(&decoder, &sampling, 1);
        assert_eq!(all, run(&decoder, &sampling, 3));
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [5, 0, 1, 70]);
        for completion in all.iter().flatten() {
            let Completion { tokens, logprobs, entropy, stop } = completion;
            assert!(logprobs.len() == tokens.len() && entropy.len() == tokens.len());
            assert!(tokens.iter().all(|token| !sampling.banned.contains(token)));
            let ended = tokens.iter().position(|token| *token == 4);
            match stop {
                StopReason::Eos => assert_eq!(ended, Some(tokens.len() - 1)),
                StopReason::Length => assert!(ended.is_none() && tokens.len() == 19),
            }
        }
        if temperature == 0.0 {
            assert!(all[3].iter().all(|completion| completion == &all[3][0]), "greedy samples are one");
        }
    }
}

#[test]
fn tokens_are_drawn_with_the_models_probabilities() {
    let decoder = decoder(Architecture::Llama);
    let prompts = [Prompt { ids: vec![3, 1], samples: 40_000 }];
    let sampling = Sampling { temperature: 1.0, max_new: 1, eos: 4, banned: vec![] };
    let draw = |_: usize, sample: usize| Seed(3).stream("test").at(&[sample as u64]);
    let mut counts = [0u32; 61];
    for completion in &generate(&decoder, &prompts, &sampling, &draw, 2).unwrap()[0] {
        counts[completion.tokens[0] as usize] += 1;
    }
    let logits = decoder.logits(&[3, 1], &[0, 2]).unwrap()[61..].to_vec();
    let total: f64 = logits.iter().map(|z| (*z as f64).exp()).sum();
    for (count, logit) in counts.iter().zip(logits) {
        let expected = 40_000.0 * (logit as f64).exp() / total;
        assert!((*count as f64 - expected).abs() < 5.0 * expected.sqrt() + 5.0, "{count} draws, not {expected}");
    }
}
