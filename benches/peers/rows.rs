//! What is compared, and what the goal of each comparison is.

use crate::model::{Lengths, Size};

/// One piece of work that both sides do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Forward, backward, clip and AdamW on rows of 128 tokens.
    Train(Size),
    /// `prompts` prompts of 32 tokens, up to 96 new ones each.
    Generate { size: Size, prompts: usize, lengths: Lengths },
    /// 16 prompts × 8 completions: sample, verify, log-probabilities, two updates on half of them each.
    Grpo(Size, Lengths),
    /// The best matrix product, in GFLOP/s: what training is measured against.
    Product,
    /// One Muon update, the rest of the parameters by AdamW.
    Muon(Size),
    /// Peak memory of training, in MiB.
    Peak(Size),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    Processor,
    Wall,
}

pub struct Row {
    pub name: &'static str,
    pub work: Work,
    /// Threads of our sides: one side for each number.
    pub threads: &'static [usize],
    pub unit: &'static str,
    pub clock: Clock,
    /// Each peer with the ratio of rates, ours over theirs, that is the goal.
    pub peers: &'static [(&'static str, Option<f64>)],
}

pub const EAGER: &str = "torch eager";
pub const EAGER_CUT: &str = "torch eager, best cut";
pub const COMPILE: &str = "torch.compile";
pub const BATCH_64: &str = "transformers, batch 64";
pub const BATCH_256: &str = "transformers, batch 256";
pub const TRL: &str = "TRL GRPOTrainer";
pub const PRODUCT: &str = "torch matrix product";
pub const MUON: &str = "torch Muon";

const ONE: &[usize] = &[1];
const BOTH: &[usize] = &[1, 2];

pub fn rows() -> Vec<Row> {
    use Lengths::{Equal, Vary};
    let row = |name, work, unit, peers| Row { name, work, threads: ONE, unit, clock: Clock::Processor, peers };
    let train = |name, size, peers| row(name, Work::Train(size), "tokens/s", peers);
    let generate =
        |name, size, prompts, lengths, peers| row(name, Work::Generate { size, prompts, lengths }, "tokens/s", peers);
    let grpo = |name, size, lengths, peers| row(name, Work::Grpo(size, lengths), "steps/s", peers);
    let both = |name, work, unit| Row { name, work, threads: BOTH, unit, clock: Clock::Wall, peers: &[] };
    vec![
        row("matrix product", Work::Product, "GFLOP/s", &[(PRODUCT, None)]),
        train("train XS", Size::Xs, &[(EAGER, None)]),
        train("train S", Size::S, &[(EAGER, Some(1.4)), (EAGER_CUT, None), (COMPILE, Some(0.95))]),
        train("train M", Size::M, &[(EAGER, Some(1.2)), (EAGER_CUT, None), (COMPILE, Some(0.95))]),
        train("train L", Size::L, &[(EAGER, Some(1.05)), (EAGER_CUT, None), (COMPILE, Some(0.95))]),
        generate("generate S", Size::S, 256, Equal, &[(BATCH_64, Some(4.0)), (BATCH_256, Some(4.0))]),
        generate("generate M", Size::M, 64, Equal, &[(BATCH_64, Some(2.3))]),
        generate("generate L", Size::L, 64, Equal, &[(BATCH_64, Some(1.4))]),
        generate("generate S, lengths vary", Size::S, 256, Vary, &[(BATCH_64, Some(6.0)), (BATCH_256, Some(6.0))]),
        generate("generate M, lengths vary", Size::M, 256, Vary, &[(BATCH_64, Some(3.5)), (BATCH_256, Some(3.5))]),
        grpo("GRPO step S", Size::S, Equal, &[(TRL, Some(4.0))]),
        grpo("GRPO step M", Size::M, Equal, &[(TRL, Some(2.5))]),
        grpo("GRPO step S, lengths vary", Size::S, Vary, &[(TRL, Some(6.0))]),
        row("Muon S", Work::Muon(Size::S), "steps/s", &[(MUON, None)]),
        row("Muon M", Work::Muon(Size::M), "steps/s", &[(MUON, None)]),
        row("Muon L", Work::Muon(Size::L), "steps/s", &[(MUON, None)]),
        row("peak memory S", Work::Peak(Size::S), "MiB", &[(EAGER, None)]),
        row("peak memory M", Work::Peak(Size::M), "MiB", &[(EAGER, None)]),
        row("peak memory L", Work::Peak(Size::L), "MiB", &[(EAGER, None)]),
        both("two threads, train S", Work::Train(Size::S), "tokens/s"),
        both("two threads, train M", Work::Train(Size::M), "tokens/s"),
        both("two threads, train L", Work::Train(Size::L), "tokens/s"),
        both(
            "two threads, generate S",
            Work::Generate { size: Size::S, prompts: 256, lengths: Lengths::Equal },
            "tokens/s",
        ),
        both("two threads, GRPO step S", Work::Grpo(Size::S, Lengths::Equal), "steps/s"),
        both("two threads, GRPO step M", Work::Grpo(Size::M, Lengths::Equal), "steps/s"),
    ]
}
