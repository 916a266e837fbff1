//! `ablate`: which mid-training data makes a base model good at RL?
//!
//! One declarative file states a question of the OctoThinker study (arXiv 2506.20512): corpora, mixtures, budgets, formats,
//! and the claims to be judged. `ablate` lowers it to a graph of stages, runs what is missing, and says of every claim
//! whether it is supported, refuted or still open.
//!
//! # Bird's eye
//!
//! ```text
//!                      cli                        words, colours, exit codes; the only place that prints
//!         ┌─────────────┴─────────────┐
//!     THE LEDGER                  THE BENCH
//!   spec  plan  exec            data  model  train        ledger: no tensors
//!   cache verdict report        rl    eval   task         bench: has never heard of an experiment
//!         └────────── stages ─────────┘                   the only room where both meet: one file per stage kind
//!  ════════════════════ recipe ════════════════════       the floor: plain nouns that bear identity; all of it is hashed
//! ```
//!
//! # One arm's way through the house
//!
//! 1. [`spec`] reads the experiment and the lab, reports all mistakes at once, and yields arms × seeds = trials.
//! 2. [`plan`] lowers a trial to its chain `corpora → base → mid-training → RL`, with an evaluation after each; inputs are
//!    named by key, and equal keys become one stage.
//! 3. [`plan`] asks [`cache`] about each key and says why one is missing.
//! 4. [`exec`] walks the missing stages: lease, private folder, the stage itself, fsync, rename, record last.
//! 5. `stages` opens the inputs and calls the bench: `data`, `model`, `train`, `rl`, `eval`, `task`.
//! 6. [`exec`] writes `results/`; [`verdict`] pairs trials by seed and judges; [`report`] draws.
//!
//! # Files on disk, and who writes them
//!
//! | path | module |
//! |---|---|
//! | `experiments/*.yaml`, `experiments/labs/*.yaml` | people; read by `spec` |
//! | `results/<experiment>/<lab>/trials.jsonl`, `curves.csv` | `exec::results` |
//! | `results/.store/objects/…` (artifacts, `fingerprint.json`, `record.json`) | `cache` |
//! | `results/.store/scratch/…` (step checkpoints) | `stages::saved`, in folders that `cache` hands out |
//! | `reports/…` | `report` |
//!
//! # Invariants
//!
//! * Who imports whom is a table, held by `tests/architecture.rs`.
//! * Only `cli` prints. Only `cache` hands out paths in the store. Only `recipe::seed` makes randomness.
//! * No clock, host, path, thread count or device number enters a key, and none changes a number on a CPU.
//! * A record is written last: what has no record does not exist.
//!
//! # Words
//!
//! *Axis*: an experimental factor; *level*: one of its values. *Arm*: one level per axis, resolved. *Trial*: an arm with a
//! seed. *Stage*: a node of the plan. *Step*: an optimizer step in training, a rollout step in RL. *Family*: Llama-like or
//! Qwen-like base. *Lab*: what the names of an experiment mean here. *Claim*: a comparison fixed before the run.

pub mod fault;
pub mod recipe;
pub mod text;

// The ledger: decides what must be made and whether the result means anything. No tensors.
pub mod cache;
pub mod exec;
pub mod plan;
pub mod report;
pub mod spec;
pub mod verdict;

// The bench: makes it. Has never heard of an experiment.
pub mod data;
#[cfg(feature = "engine")]
pub mod eval;
#[cfg(feature = "engine")]
pub mod model;
#[cfg(feature = "engine")]
pub mod rl;
pub mod task;
#[cfg(feature = "engine")]
pub mod train;

// The only room where both meet.
#[cfg(feature = "engine")]
pub mod stages;

pub mod cli;
