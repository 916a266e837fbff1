//! Laws of a training phase, and the golden losses of a short pre-training and a mid-training.
//!
//! `ABLATE_BLESS=1 cargo test --release --test trainer golden` rewrites `tests/golden/train.json`.

#![cfg(feature = "engine")]

use ablate::data::{Mix, Shards, world};
use ablate::model::device::Limits;
use ablate::model::{Batch, Decoder, Params};
use ablate::recipe::corpus::{Qa, Solution, Style, Web, WorldCorpus};
use ablate::recipe::optimizer::{AdamW, DecayMask};
use ablate::recipe::shape::{Architecture, ModelShape};
use ablate::recipe::train::{Boundary, Init, MixturePart, Precision};
use ablate::recipe::{Key, Optimizer, Schedule, Seed, Tokens, TrainRecipe, World};
use ablate::train::{StepError, StepMetrics, Trainer};
use std::path::Path;

const STEPS: u64 = 24;
const WEB: Web = Web {
    notes: 0.15,
    interleaved: 0.3,
    forum: 0.2,
    chatter: 0.15,
    wrong: 0.0,
    omitted: 0.0,
    truncated: 0.0,
    junk: 0.0,
};

fn maths() -> World {
    World { max_number: 12, max_change: 5, changes_per_event: 1, doubles: 0.1, corpus_difficulty: vec![0.4, 0.3, 0.3] }
}

fn shards(style: Style, tokens: u64) -> Shards {
    let dir = tempfile::tempdir().unwrap();
    let corpus = WorldCorpus { world: maths(), tokens: Tokens(tokens), stream: 1, style };
    let tokenizer = world::tokenizer(&corpus.world);
    let mut documents = world::documents(&corpus).unwrap();
    Shards::write(dir.path(), &mut documents, tokenizer.vocab_size(), tokenizer.eos()).unwrap();
    Shards::open(dir.path()).unwrap()
}

fn corpora() -> Vec<Shards> {
    let qa = Style::Qa(Qa { format: Solution::Short, prompt: "plain".to_string(), wrong: 0.0, omitted: 0.0 });
    vec![shards(Style::Web(WEB), 8_000), shards(qa, 4_000)]
}

fn shape() -> ModelShape {
    ModelShape {
        architecture: Architecture::Llama,
        vocab: world::tokenizer(&maths()).vocab_size(),
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        ffn: 64,
        rope_theta: 1e4,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    }
}

fn adamw(lr: f64) -> AdamW {
    AdamW { lr, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.01, decay: DecayMask::Matrices }
}

fn muon() -> Optimizer {
    Optimizer::Muon { lr: 0.02, momentum: 0.95, weight_decay: 0.02, newton_schulz_steps: 5, rest: adamw(3e-3) }
}

fn pretraining() -> TrainRecipe {
    let part = |name: &[u8], share| MixturePart { corpus: Key::of(name), share };
    TrainRecipe {
        init: Init::Random { shape: shape(), embedding_std: 0.02, matrix_std: 0.05, seed: Seed(1) },
        mixture: vec![part(b"web", 0.7), part(b"qa", 0.3)],
        tokens: Tokens(STEPS * 4 * 64),
        row_tokens: 64,
        batch_rows: 4,
        boundary: Boundary::Row,
        epochs: 1,
        schedule: Schedule::Cosine { warmup: 0.1, floor: 0.1 },
        optimizer: muon(),
        max_grad_norm: 1.0,
        precision: Precision::F32,
        seed: Seed(2),
        held_out: None,
    }
}

fn start() -> Decoder {
    Decoder::random(shape(), 0.02, 0.05, Seed(1))
}

fn trainer(recipe: &TrainRecipe, decoder: Decoder) -> Trainer {
    Trainer::new(recipe, decoder, Mix::new(recipe, &corpora()).unwrap()).unwrap()
}

fn run(trainer: &mut Trainer, steps: u64, threads: usize) -> Vec<StepMetrics> {
    (0..steps).map(|_| trainer.step(threads).unwrap()).collect()
}

fn bits(params: &Params) -> Vec<u32> {
    params.flat().iter().map(|value| value.to_bits()).collect()
}

/// The same recipe on every device that is there, documents apart.
#[test]
fn a_phase_on_a_device_follows_the_hosts() {
    let recipe = TrainRecipe { boundary: Boundary::Document, ..pretraining() };
    let expected = run(&mut trainer(&recipe, start()), 8, 2);
    for device in ablate::model::device::present() {
        let mut decoder = start();
        decoder.set_device(device, Limits::default());
        let mut trainer = trainer(&recipe, decoder);
        for (found, expected) in run(&mut trainer, 8, 2).iter().zip(&expected) {
            assert!((found.loss - expected.loss).abs() < 1e-3 * expected.loss, "{found:?} and {expected:?}");
            let off = (found.grad_norm - expected.grad_norm).abs();
            assert!(off < 1e-2 * expected.grad_norm, "{found:?} and {expected:?}");
        }
    }
}

#[test]
fn the_loss_starts_at_the_logarithm_of_the_vocabulary_and_falls() {
    let metrics = run(&mut trainer(&pretraining(), start()), STEPS, 2);
    let uniform = (shape().vocab as f64).ln();
    assert!((metrics[0].loss - uniform).abs() < 0.1, "{} instead of {uniform}", metrics[0].loss);
    let last = metrics[STEPS as usize - 1].loss;
    assert!(last < metrics[0].loss - 0.8, "{last}");
    assert!(metrics.iter().all(|m| m.grad_norm > 0.0));
}

#[test]
fn the_rate_follows_the_schedule() {
    let recipe = pretraining();
    for (step, metrics) in run(&mut trainer(&recipe, start()), 6, 1).iter().enumerate() {
        assert_eq!(metrics.lr, 0.02 * recipe.schedule.at(step as u64, STEPS));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let end = |threads| {
        let mut trainer = trainer(&pretraining(), start());
        let metrics = run(&mut trainer, 6, threads);
        (bits(trainer.decoder.params()), metrics)
    };
    let one = end(1);
    assert_eq!(one, end(2));
    assert_eq!(one, end(3));
}

#[test]
fn a_resumed_run_equals_one_that_was_not_interrupted() {
    for optimizer in [muon(), Optimizer::AdamW(adamw(3e-3))] {
        let recipe = TrainRecipe { optimizer, ..pretraining() };
        let mut whole = trainer(&recipe, start());
        let metrics = run(&mut whole, STEPS, 2);

        let dir = tempfile::tempdir().unwrap();
        let mut first = trainer(&recipe, start());
        assert!(!first.resume(dir.path()).unwrap(), "nothing is saved yet");
        run(&mut first, 9, 2);
        first.save(dir.path()).unwrap();
        run(&mut first, 2, 2);
        drop(first);
        // Other weights: everything must come from the snapshot.
        let mut second = trainer(&recipe, Decoder::random(shape(), 0.02, 0.05, Seed(99)));
        assert!(second.resume(dir.path()).unwrap());
        assert_eq!(second.step, 9);
        assert_eq!(run(&mut second, STEPS - 9, 2), metrics[9..]);
        assert_eq!(bits(second.decoder.params()), bits(whole.decoder.params()));
        assert_eq!(second.optimizer, whole.optimizer);
    }
}

#[test]
fn a_cut_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&pretraining(), start());
    trainer.save(dir.path()).unwrap();
    let path = dir.path().join("train.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = trainer.resume(dir.path()).unwrap_err().to_string();
    assert!(error.contains("train.safetensors") && error.contains("remove it"), "{error}");
}

#[test]
fn one_batch_can_be_learnt_by_heart() {
    // Many epochs of a corpus that is one batch.
    let recipe = TrainRecipe {
        mixture: vec![MixturePart { corpus: Key::of(b"web"), share: 1.0 }],
        tokens: Tokens(160 * 2 * 64),
        batch_rows: 2,
        epochs: 160,
        schedule: Schedule::Constant { warmup: 0.0 },
        ..pretraining()
    };
    let dir = tempfile::tempdir().unwrap();
    let all = shards(Style::Web(WEB), 1_000);
    let mut document = std::iter::once(all.ids(1, 128).map(|id| id.max(2)).collect());
    Shards::write(dir.path(), &mut document, all.vocab(), 0).unwrap();
    let mix = Mix::new(&recipe, &[Shards::open(dir.path()).unwrap()]).unwrap();
    let mut trainer = Trainer::new(&recipe, start(), mix).unwrap();
    let metrics = run(&mut trainer, 160, 2);
    let last = metrics[159].loss;
    assert!(last < 0.1, "{last}");
}

#[test]
fn the_gradient_of_a_batch_is_the_sum_over_its_parts() {
    let decoder = start();
    let batch = Mix::new(&pretraining(), &corpora()).unwrap().batch(0);
    let weight = -1.0 / batch.ids.len() as f32;
    let gradient = |ranges: &[std::ops::Range<usize>]| {
        let mut sum = Params::zeros_like(decoder.params());
        for range in ranges {
            let starts: Vec<usize> = batch
                .starts
                .iter()
                .filter(|at| (range.start..=range.end).contains(at))
                .map(|at| at - range.start)
                .collect();
            let part =
                Batch { ids: &batch.ids[range.clone()], targets: &batch.targets[range.clone()], starts: &starts };
            decoder.gradient(part, 1, &|_, _, gradient: &mut [f32]| gradient.fill(weight), &mut sum).unwrap();
        }
        sum
    };
    let whole = gradient(std::slice::from_ref(&(0..256)));
    let parts = gradient(&[0..64, 64..192, 192..256]);
    let largest = whole.flat().iter().fold(0.0f32, |max, value| max.max(value.abs()));
    for (one, sum) in whole.flat().iter().zip(parts.flat()) {
        assert!((one - sum).abs() < 1e-5 * largest.max(1e-3), "{one} and {sum}");
    }
}

#[test]
fn a_run_that_diverges_stops_before_the_update() {
    let mut trainer = trainer(&pretraining(), start());
    run(&mut trainer, 1, 1);
    trainer.decoder.update(|params| params.flat_mut()[0] = f32::NAN);
    let before = bits(trainer.decoder.params());
    let error = trainer.step(1).unwrap_err();
    let StepError::Diverged { step, loss, grad_norm } = error else { panic!("{error}") };
    assert_eq!((step, trainer.step, trainer.optimizer.steps()), (1, 1, 1));
    assert!(!loss.is_finite() || !grad_norm.is_finite());
    assert_eq!(bits(trainer.decoder.params()), before);
}

#[test]
fn bf16_rounds_products_and_keeps_master_weights_in_f32() {
    let recipe = TrainRecipe { precision: Precision::Bf16, ..pretraining() };
    let (mut half, mut full) = (trainer(&recipe, start()), trainer(&pretraining(), start()));
    for (half, full) in run(&mut half, STEPS, 1).iter().zip(run(&mut full, STEPS, 1)) {
        assert!((half.loss - full.loss).abs() < 0.02, "{} and {}", half.loss, full.loss);
        assert_ne!(half.loss, full.loss, "nothing was rounded");
    }
    let short = |value: &&f32| value.to_bits() & 0xffff == 0;
    let params = half.decoder.params().flat();
    let rounded = params.iter().filter(short).count();
    assert!(rounded < params.len() / 100, "{rounded} of {} parameters have no more bits than bf16", params.len());

    let mut threaded = trainer(&recipe, start());
    run(&mut threaded, 9, 3);
    let dir = tempfile::tempdir().unwrap();
    threaded.save(dir.path()).unwrap();
    let mut resumed = trainer(&recipe, start());
    assert!(resumed.resume(dir.path()).unwrap());
    run(&mut resumed, STEPS - 9, 2);
    assert_eq!(
        bits(resumed.decoder.params()),
        bits(half.decoder.params()),
        "threads and an interruption change nothing"
    );
}

#[test]
fn recipes_that_the_engine_cannot_serve_are_refused() {
    let refused = |recipe: &TrainRecipe, decoder| {
        let mix = Mix::new(recipe, &corpora()).unwrap();
        Trainer::new(recipe, decoder, mix).err().expect("refused").to_string()
    };
    let small = Decoder::random(ModelShape { vocab: 20, ..shape() }, 0.02, 0.05, Seed(1));
    assert!(refused(&pretraining(), small).contains("the model has 20"));
}

#[test]
fn golden_losses_of_a_pre_training_and_a_mid_training() {
    let mut pretrain = trainer(&pretraining(), start());
    let pretrain_losses: Vec<f64> = run(&mut pretrain, STEPS, 2).iter().map(|m| m.loss).collect();
    let recipe = TrainRecipe {
        init: Init::From { weights: Key::of(b"base") },
        boundary: Boundary::Document,
        schedule: Schedule::Decay { curve: ablate::recipe::DecayCurve::Linear, floor: 0.02 },
        optimizer: Optimizer::AdamW(adamw(1e-3)),
        seed: Seed(3),
        ..pretraining()
    };
    let mut midtrain = trainer(&recipe, pretrain.decoder);
    let midtrain_losses: Vec<f64> = run(&mut midtrain, STEPS, 2).iter().map(|m| m.loss).collect();
    let measured = serde_json::json!({ "pretrain": pretrain_losses, "midtrain": midtrain_losses });

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train.json");
    if std::env::var_os("ABLATE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&measured).unwrap() + "\n").unwrap();
    }
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (stage, kind) in [("pretrain", "Pretrain"), ("midtrain", "Midtrain")] {
        assert_eq!(
            measured[stage], golden[stage],
            "the losses of a {stage} changed: bump Kind::version of {kind} in src/recipe/mod.rs, then bless tests/golden/train.json"
        );
    }
}
