//! Laws of the RL loop, on a policy small enough to run in a blink.
//!
//! The task: answer `a` with 1 and `b` with 2, in a language of eight words. A policy drawn at random gets some of it
//! right, so there is something to reinforce.

use super::objective::ObjectiveSums;
use super::rollout::{RolloutGroup, sample_groups};
use super::trainer::{RlError, RlTrainer, gradient};
use crate::data::{Tokenizer, WordTokenizer};
use crate::model::device::Limits;
use crate::model::{Decoder, DeviceError, Params};
use crate::recipe::optimizer::{AdamW, DecayMask};
use crate::recipe::rl::{Advantage, Aggregation, LengthStep, Objective, Prompts, Reward};
use crate::recipe::shape::{Architecture, ModelShape};
use crate::recipe::template::{Extract, Template};
use crate::recipe::{EvalProtocol, Key, RlRecipe, Seed, Steps};
use crate::task::Problem;

fn tokenizer() -> Tokenizer {
    Tokenizer::Words(WordTokenizer::new(["1", "2", "3", "a", "b", ":"].map(str::to_string)))
}

fn shape() -> ModelShape {
    ModelShape {
        architecture: Architecture::Llama,
        vocab: tokenizer().vocab_size(),
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        ffn: 32,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tied: true,
    }
}

fn policy() -> Decoder {
    Decoder::random(shape(), 0.05, 0.2, Seed(1))
}

fn recipe() -> RlRecipe {
    let template =
        Template { after: " :".into(), extract: Extract::LastNumber, stop: vec!["3 3".into()], ..Template::default() };
    RlRecipe {
        policy: Key::of(b""),
        prompts: Prompts::Dataset { content: Key::of(b""), max_prompt_tokens: None },
        template: template.clone(),
        steps: Steps(4),
        prompts_per_step: 4,
        group_size: 8,
        updates_per_step: 2,
        temperature: 1.0,
        max_response: vec![LengthStep { from: Steps(0), max_tokens: 4 }, LengthStep { from: Steps(2), max_tokens: 6 }],
        objective: Objective {
            advantage: Advantage::Grpo,
            aggregation: Aggregation::TokenMean,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
        },
        reward: Reward { correct: 1.0, wrong: 0.0, no_answer: 0.0, gave_up: 0.0 },
        optimizer: AdamW { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, decay: DecayMask::All },
        warmup: Steps(2),
        max_grad_norm: 1.0,
        eval_every: Steps(10),
        eval: EvalProtocol {
            benchmarks: vec![],
            template,
            max_new_tokens: 4,
            samples: 0,
            temperature: 1.0,
            pass_at: vec![],
            seed: Seed(0),
        },
        seed: Seed(3),
    }
}

fn problems() -> Vec<Problem> {
    let problem = |id: usize| {
        let (question, gold) = if id.is_multiple_of(2) { ("a", "1") } else { ("b", "2") };
        Problem { id: id.to_string(), question: question.into(), gold: gold.into() }
    };
    (0..recipe().prompts_per_step).map(problem).collect()
}

fn prompts(recipe: &RlRecipe) -> Vec<Vec<u32>> {
    let ids = |problem: &Problem| tokenizer().prompt(&recipe.template, &problem.question);
    problems().iter().map(|problem| ids(problem).unwrap()).collect()
}

fn judged_groups(recipe: &RlRecipe, policy: &Decoder) -> Vec<RolloutGroup> {
    let mut groups = sample_groups(recipe, policy, 0, prompts(recipe), &tokenizer(), 1).unwrap();
    for (group, problem) in groups.iter_mut().zip(&problems()) {
        group.judge(recipe, problem);
    }
    groups
}

fn gradient_of(
    recipe: &RlRecipe,
    policy: &Decoder,
    groups: &[RolloutGroup],
    micro_batch_tokens: usize,
) -> (ObjectiveSums, Params) {
    let mut grads = Params::zeros_like(policy.params());
    let groups: Vec<&RolloutGroup> = groups.iter().collect();
    let sums = gradient(recipe, policy, &groups, 0, micro_batch_tokens, 1, &mut grads).unwrap();
    (sums, grads)
}

fn run(trainer: &mut RlTrainer, steps: usize, threads: usize) -> Vec<super::RlMetrics> {
    (0..steps).map(|_| trainer.step(&problems(), &tokenizer(), threads).unwrap().0).collect()
}

#[test]
fn the_first_ratio_is_exactly_one() {
    let metrics = run(&mut RlTrainer::new(&recipe(), policy()), 4, 1);
    for step in &metrics {
        assert!(step.updates > 0, "step {} learned nothing", step.step);
        assert_eq!(step.first_ratio_off_one, 0.0, "sampler and trainer disagree at step {}", step.step);
    }
    let groups = judged_groups(&recipe(), &policy());
    let (sums, _) = gradient_of(&recipe(), &policy(), &groups, usize::MAX);
    assert_eq!((sums.ratio_off_one, sums.approx_kl, sums.clipped), (0.0, 0.0, 0));
    assert!(sums.tokens > 0);
}

/// Sampler and trainer are other kernels there, so the first ratio is one within rounding only.
#[test]
fn steps_on_a_device_are_the_hosts_within_rounding() {
    let expected = run(&mut RlTrainer::new(&recipe(), policy()), 4, 1);
    for device in crate::model::device::present() {
        let mut policy = policy();
        policy.set_device(device.clone(), Limits::default());
        let mut trainer = RlTrainer::new(&recipe(), policy);
        let found = run(&mut trainer, 2, 2);
        // Interrupted, and taken up again on the same device.
        let dir = tempfile::tempdir().unwrap();
        trainer.save(dir.path()).unwrap();
        let mut policy = self::policy();
        policy.set_device(device, Limits::default());
        let mut trainer = RlTrainer::resume(&recipe(), policy, dir.path()).unwrap();
        let found: Vec<_> = found.into_iter().chain(run(&mut trainer, 2, 1)).collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.updates > 0 && found.updates == expected.updates);
            assert!(found.first_ratio_off_one < 1e-4, "{}", found.first_ratio_off_one);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-3 * b.abs().max(0.1);
            assert_eq!(found.reward, expected.reward, "the same tokens are drawn");
            assert!(near(found.grad_norm, expected.grad_norm), "{found:?} and {expected:?}");
            assert!(near(found.entropy, expected.entropy), "{found:?} and {expected:?}");
        }
    }
}

#[test]
fn groups_hold_what_the_recipe_asks_for() {
    let recipe = recipe();
    let groups = judged_groups(&recipe, &policy());
    assert_eq!(groups.len(), recipe.prompts_per_step);
    for group in &groups {
        assert_eq!(group.rollouts.len(), recipe.group_size);
        assert!(group.rollouts.iter().map(|rollout| rollout.advantage).sum::<f64>().abs() < 1e-9);
        for rollout in &group.rollouts {
            assert!((1..=4).contains(&rollout.tokens.len()));
            assert_eq!(rollout.tokens.len(), rollout.logprobs.len());
            assert_eq!(rollout.tokens.len(), rollout.entropy.len());
            assert!(!rollout.text.contains("3 3") && !rollout.tokens.contains(&1), "{rollout:?}");
        }
    }
}

#[test]
fn a_group_of_equal_rewards_gives_no_gradient() {
    let mut recipe = recipe();
    recipe.reward = Reward { correct: 0.1, wrong: 0.1, no_answer: 0.1, gave_up: 0.1 };
    let before = policy();
    let groups = judged_groups(&recipe, &before);
    let (sums, grads) = gradient_of(&recipe, &before, &groups, usize::MAX);
    assert_eq!((sums.tokens, grads), (0, Params::zeros_like(before.params())));
    let mut trainer = RlTrainer::new(&recipe, policy());
    let metrics = &run(&mut trainer, 1, 1)[0];
    assert_eq!((metrics.updates, metrics.loss, trainer.steps_done()), (0, 0.0, 1));
    assert_eq!(trainer.policy().params(), before.params(), "no advantage, no update");
}

#[test]
fn only_response_tokens_are_in_the_loss() {
    let recipe = recipe();
    let groups = judged_groups(&recipe, &policy());
    let (sums, _) = gradient_of(&recipe, &policy(), &groups, usize::MAX);
    let rollouts = || groups.iter().flat_map(|group| &group.rollouts);
    let tokens = rollouts().filter(|r| r.advantage != 0.0).map(|r| r.tokens.len()).sum::<usize>();
    assert_eq!(sums.tokens as usize, tokens);
    // At ratio 1 the loss is the mean of -advantage over all response tokens; prompts would shift it.
    let all = rollouts().map(|r| r.tokens.len()).sum::<usize>() as f64;
    let expected = -rollouts().map(|r| r.advantage * r.tokens.len() as f64).sum::<f64>() / all;
    assert!((sums.loss - expected).abs() < 1e-12, "{} {expected}", sums.loss);
}

#[test]
fn the_gradient_is_the_derivative_of_the_loss() {
    let recipe = recipe();
    let groups = judged_groups(&recipe, &policy());
    let (_, grads) = gradient_of(&recipe, &policy(), &groups, usize::MAX);
    // Along the gradient itself, where the derivative is its norm squared.
    let squared: f64 = grads.flat().iter().map(|&g| f64::from(g) * f64::from(g)).sum();
    let width = 0.01 / squared.sqrt();
    let loss_at = |distance: f64| {
        let mut moved = policy();
        moved.update(|params| {
            for (value, grad) in params.flat_mut().iter_mut().zip(grads.flat()) {
                *value += (distance * f64::from(*grad)) as f32;
            }
        });
        gradient_of(&recipe, &moved, &groups, usize::MAX).0.loss
    };
    let slope = (loss_at(width) - loss_at(-width)) / (2.0 * width);
    assert!(squared > 1e-6 && (slope / squared - 1.0).abs() < 0.01, "{slope} {squared}");
}

#[test]
fn micro_batches_do_not_change_loss_or_gradient() {
    let recipe = recipe();
    let groups = judged_groups(&recipe, &policy());
    let (whole, grads) = gradient_of(&recipe, &policy(), &groups, usize::MAX);
    for tokens in [1, 17, 64] {
        let (cut, cut_grads) = gradient_of(&recipe, &policy(), &groups, tokens);
        assert_eq!(cut, whole, "{tokens} tokens a pass");
        for (a, b) in grads.flat().iter().zip(cut_grads.flat()) {
            assert!((a - b).abs() < 1e-6, "{tokens} tokens a pass: {a} {b}");
        }
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let recipe = recipe();
    let mut whole = RlTrainer::new(&recipe, policy());
    let expected = run(&mut whole, 4, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut first = RlTrainer::new(&recipe, policy());
    let mut metrics = run(&mut first, 2, 1);
    first.save(dir.path()).unwrap();
    let other = Decoder::random(shape(), 0.05, 0.2, Seed(9));
    let mut second = RlTrainer::resume(&recipe, other, dir.path()).unwrap();
    assert_eq!(second.steps_done(), 2);
    metrics.extend(run(&mut second, 2, 1));
    assert_eq!(metrics, expected);
    assert_eq!(second.policy().params(), whole.policy().params());
}

#[test]
fn threads_change_no_bit() {
    let mut one = RlTrainer::new(&recipe(), policy());
    let mut two = RlTrainer::new(&recipe(), policy());
    assert_eq!(run(&mut one, 3, 1), run(&mut two, 3, 2));
    assert_eq!(one.policy().params(), two.policy().params());
}

#[test]
fn the_policy_learns_the_task() {
    let mut recipe = recipe();
    recipe.group_size = 16;
    let metrics = run(&mut RlTrainer::new(&recipe, policy()), 40, 2);
    let mean = |steps: &[super::RlMetrics]| steps.iter().map(|step| step.reward).sum::<f64>() / steps.len() as f64;
    let (first, last) = (mean(&metrics[..5]), mean(&metrics[35..]));
    assert!(first < 0.5 && last > 0.9, "reward went from {first} to {last}");
    assert_eq!((metrics[0].max_response, metrics[2].max_response), (4, 6));
}

#[test]
fn a_policy_that_broke_is_reported_before_it_is_updated() {
    let mut recipe = recipe();
    recipe.reward.correct = f64::INFINITY;
    let mut trainer = RlTrainer::new(&recipe, policy());
    let error = trainer.step(&problems(), &tokenizer(), 1).unwrap_err();
    assert!(matches!(error, RlError::Diverged { step: 0, .. }), "{error}");
    assert_eq!((trainer.policy().params(), trainer.steps_done()), (policy().params(), 0));
}

#[test]
fn a_device_that_fails_says_what_it_was_at_and_nothing_moves() {
    // Too few rows of embeddings: candle's CPU device refuses to look a token up, as a GPU that is full refuses memory.
    let mut policy = Decoder::random(ModelShape { vocab: 3, ..shape() }, 0.05, 0.2, Seed(1));
    policy.set_device(candle_core::Device::Cpu, Limits::default());
    let before = policy.params().clone();
    let mut trainer = RlTrainer::new(&recipe(), policy);
    let error = trainer.step(&problems(), &tokenizer(), 1).unwrap_err();
    assert!(matches!(error, RlError::Device { step: 0, source: DeviceError::Failed { .. } }), "{error}");
    let said = error.to_string();
    assert!(said.contains("RL step 0: candle's CPU device failed drawing 32 responses at once"), "{said}");
    assert_eq!((trainer.policy().params(), trainer.steps_done()), (&before, 0));
}

#[test]
fn mistaken_problems_are_refused() {
    let mut trainer = RlTrainer::new(&recipe(), policy());
    let error = trainer.step(&problems()[1..], &tokenizer(), 1).unwrap_err().to_string();
    assert!(error.contains("asks for 4 prompts a step, but 3"), "{error}");
    let mut strange = problems();
    strange[2].question = "c".into();
    let error = trainer.step(&strange, &tokenizer(), 1).unwrap_err().to_string();
    assert!(error.contains("problem `2`") && error.contains('c'), "{error}");
}

/// Reward and loss of each of the first steps. They move when the semantics of RL move, and only then.
#[test]
fn a_short_run_is_golden() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rl.json");
    let golden: Vec<[f64; 4]> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let metrics = run(&mut RlTrainer::new(&recipe(), policy()), golden.len(), 1);
    let ours: Vec<[f64; 4]> =
        metrics.iter().map(|step| [step.reward, step.loss, step.entropy, step.grad_norm]).collect();
    let same = golden == ours;
    let ours = serde_json::to_string(&ours).unwrap();
    assert!(
        same,
        "the same recipe gives other numbers: if that is meant, bump the version of Kind::Rl in src/recipe/mod.rs and put \
         this into tests/golden/rl.json:\n{ours}"
    );
}
