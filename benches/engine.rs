//! Tokens per second of training and sampling, for shapes from the proxy's to twelve million parameters.
//!
//! `cargo bench --bench engine [-- <name>]`. Prints the best of several repetitions, with one thread and with two, since
//! other work on the machine can only slow one down. `cpu` counts the processor time of the measuring thread, where the
//! system tells it, and so is fair beside other work; it is meaningful with one thread.

use ablate::model::{Batch, Decoder, Params, Prompt, Sampling, generate};
use ablate::recipe::shape::Architecture;
use ablate::recipe::{ModelShape, Seed};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn shape(vocab: usize, hidden: usize, layers: usize, heads: usize, kv_heads: usize, ffn: usize) -> ModelShape {
    ModelShape {
        architecture: Architecture::Llama,
        vocab,
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        ffn,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    }
}

/// Wall-clock and processor seconds since some moment.
fn now(start: Instant) -> (f64, f64) {
    let wall = start.elapsed().as_secs_f64();
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    (wall, nanoseconds.map_or(wall, |ns| ns * 1e-9))
}

/// Seconds of the fastest of several runs.
fn best(repetitions: usize, mut run: impl FnMut()) -> (f64, f64) {
    run();
    let start = Instant::now();
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..repetitions {
        let before = now(start);
        run();
        let after = now(start);
        best = (best.0.min(after.0 - before.0), best.1.min(after.1 - before.1));
    }
    best
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let shapes = [
        ("proxy", shape(177, 64, 3, 2, 2, 176), 4096, 12),
        ("S", shape(512, 128, 3, 4, 2, 256), 4096, 8),
        ("M", shape(512, 256, 4, 8, 8, 640), 4096, 3),
        ("L", shape(512, 384, 6, 6, 6, 1216), 2048, 2),
    ];
    for (name, shape, tokens, repetitions) in shapes {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let parameters = shape.parameters();
        let flops = 3.0 * shape.forward_flops_per_token(128);
        let vocab = shape.vocab as u64;
        let decoder = Decoder::random(shape, 0.02, 0.02, Seed(0));
        let mut rng = Seed(0).stream("bench").at(&[]);
        let ids: Vec<u32> = (0..=tokens).map(|_| rng.below(vocab) as u32).collect();
        let starts: Vec<usize> = (0..=tokens / 128).map(|row| row * 128).collect();
        let batch = Batch { ids: &ids[..tokens], targets: &ids[1..], starts: &starts };
        let mut grads = Params::zeros_like(decoder.params());
        for threads in [1, 2] {
            let (wall, cpu) = best(repetitions, || {
                grads.flat_mut().fill(0.0);
                let objective = |_: std::ops::Range<usize>, _: &[f32], d: &mut [f32]| d.fill(-1.0 / tokens as f32);
                decoder.gradient(batch, threads, &objective, &mut grads).unwrap();
            });
            let (rate, cpu_rate) = (tokens as f64 / wall, tokens as f64 / cpu);
            println!(
                "{name:5} {parameters:>9} parameters  gradient  {threads} thread(s) {rate:>8.0} tokens/s  cpu {cpu_rate:>8.0} ({:.1} GFLOP/s)",
                cpu_rate * flops / 1e9
            );
        }
        // Nothing ends early: the end token is outside the vocabulary.
        let sampling = Sampling { temperature: 1.0, max_new: 96, eos: u32::MAX, banned: vec![] };
        for (prompts, samples) in [(64, 1), (16, 16)] {
            let prompts: Vec<Prompt> = (0..prompts)
                .map(|_| Prompt { ids: (0..32).map(|_| rng.below(vocab) as u32).collect(), samples })
                .collect();
            let draw = |prompt: usize, sample: usize| Seed(1).stream("bench").at(&[prompt as u64, sample as u64]);
            let new = (prompts.len() * samples * 96) as f64;
            for threads in [1, 2] {
                let (wall, cpu) = best(2, || {
                    generate(&decoder, &prompts, &sampling, &draw, threads).unwrap();
                });
                println!(
                    "{name:5} {parameters:>9} parameters  generate {:>3} x {samples:<2} {threads} thread(s) {:>8.0} tokens/s  cpu {:>8.0}",
                    prompts.len(),
                    new / wall,
                    new / cpu
                );
            }
        }
    }
}
