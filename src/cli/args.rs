//! The command line: verbs and flags, and the help that teaches them.

#[cfg(feature = "engine")]
use crate::model::device::Limits;
use crate::recipe::Backend;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// Which mid-training data makes a base model good at RL? One file states the question; `ablate` runs it and judges the answer.
#[derive(Debug, Parser)]
#[command(name = "ablate", version, max_term_width = 110, after_help = FIRST_STEPS)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

const FIRST_STEPS: &str = "First steps:
  ablate plan experiments/corpus.yaml      what would run, and what it costs
  ablate run experiments/corpus.yaml       run what is missing (stop and start it as you like)
  ablate report experiments/corpus.yaml    figures, tables and verdicts from the results

Exit codes: 0 done, 1 trouble with what is stored or with the machine, 2 mistake in a file or in usage (nothing was started),
3 a trial failed (the others went on), 130 interrupted.";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run what is missing of an experiment.
    Run(RunArgs),
    /// Show what would run, what is cached and why, and its price. Starts nothing, writes nothing.
    Plan(PlanArgs),
    /// For each stage that would run again: which field changed, from what to what.
    Explain(ExplainArgs),
    /// Draw figures and tables and judge the claims, from results alone.
    Report(ReportArgs),
    /// Experiments with results here: trials finished, diverged, failed, missing.
    Status(StatusArgs),
    /// Compare two arms, or groups of arms, paired over seeds; or two folders of `ablate eval`, item by item.
    Compare(CompareArgs),
    /// Check every stored byte against its record; recompute stages if asked.
    Verify(VerifyArgs),
    /// Drop artifacts that no result and no experiment file given refers to.
    Gc(GcArgs),
    /// Check this machine: processor, memory, disk, locks, and whether it reproduces our bytes.
    Doctor(DoctorArgs),
    /// Judge answers: gold and response a line in, verdict and rule a line out.
    Score(ScoreArgs),
    /// Ask one model a benchmark: a Hugging Face folder or a GGUF file, few-shot or as within RL.
    Eval(EvalArgs),
    /// Forward pass for cross-checks: token ids in, logits out.
    Logits(LogitsArgs),
    /// Write a trained model as a Hugging Face folder with a model card.
    Export(ExportArgs),
    /// Read results made elsewhere.
    #[command(subcommand)]
    Import(ImportVerb),
    /// Print the JSON Schema of experiment or lab files, for editors.
    Schema(SchemaArgs),
    /// List the fault points of this test build, for `ABLATE_FAULT=<point>:<n>`.
    #[cfg(any(test, feature = "faults"))]
    Faults,
}

/// The lab where none is named.
pub const LAB: &str = "proxy";

/// Which trials of which experiment.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Experiment file.
    pub experiment: PathBuf,
    /// Lab that binds the experiment's names: a name that is built in (smoke, proxy, study, deep, deeper, longer, smollm2-135m, llama-3.2-1b, qwen2.5-1.5b, llama-3.2-3b) or a path.
    #[arg(long, default_value = LAB, value_name = "NAME|PATH")]
    pub lab: String,
    /// Folder of results; the store of artifacts is `.store` inside it.
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    /// Seeds 0 to N-1 instead of the lab's; results of other seeds stay as long as they are of the same recipe.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub seeds: Option<u64>,
    /// Only arms at this level; may be given several times (levels of one axis add up, axes narrow).
    #[arg(long, value_name = "AXIS=LEVEL")]
    pub only: Vec<String>,
    /// Where models compute: `cpu`, `cuda`, `cuda:N` or `metal` (builds with that feature). Numbers of another family of
    /// devices are other numbers: each has artifacts of its own.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Device,
}

/// A family of devices, which is part of what an artifact is, and which of them, which is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub backend: Backend,
    pub number: usize,
}

const DEVICES: &str = "expected cpu, cuda, cuda:N or metal";

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Device, String> {
        let (family, number) = text.split_once(':').unwrap_or((text, "0"));
        let backend = match family {
            "cpu" if family == text => Backend::Cpu,
            "cuda" => Backend::Cuda,
            "metal" => Backend::Metal,
            _ => return Err(DEVICES.into()),
        };
        let wrong = || match number {
            "" => DEVICES.to_string(),
            _ => format!("`{number}` is not the number of a device"),
        };
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Device { backend, number })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backend {
            Backend::Cpu => f.write_str("cpu"),
            Backend::Cuda => write!(f, "cuda:{}", self.number),
            Backend::Metal => write!(f, "metal:{}", self.number),
        }
    }
}

/// How much a GPU does at once: a matter of its memory and of rounding. On a CPU these change nothing.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Portion {
    /// Tokens of a pass on a GPU, about (whole documents and responses). Fewer need less memory. Default: 8192.
    #[arg(long, value_name = "N")]
    pub device_tokens: Option<NonZeroUsize>,
}

impl Portion {
    /// What bounds the memory of a pass.
    #[cfg(feature = "engine")]
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits { tokens: self.device_tokens.map_or(default.tokens, usize::from), ..default }
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub portion: Portion,
    /// Responses drawn at once on a GPU, at most. Default: 256.
    #[arg(long, value_name = "N")]
    pub device_sequences: Option<NonZeroUsize>,
    /// Stages that run at once. Default: one per core, or one on a GPU.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub jobs: Option<usize>,
    /// Threads inside a stage. Default: cores divided by jobs. Results do not depend on it.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub threads: Option<usize>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
    /// Stop cleanly after this many hours; running again goes on from there.
    #[arg(long, allow_negative_numbers = true, value_name = "H")]
    pub max_hours: Option<f64>,
    /// Refuse to start if the plan's price is above this many core-hours.
    #[arg(long, allow_negative_numbers = true, value_name = "H")]
    pub budget: Option<f64>,
    /// Refuse to start if the stages at work would hold more GB of memory than this. Default on a CPU: what the machine has.
    #[arg(long, allow_negative_numbers = true, value_name = "GB")]
    pub max_memory: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    Plain,
    None,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Print the plan as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub selection: Selection,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Experiment files. Default: every file in `experiments/` that has results.
    pub experiments: Vec<PathBuf>,
    /// Lab whose results to report. Default: every lab that has results.
    #[arg(long, value_name = "NAME|PATH")]
    pub lab: Option<String>,
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    #[arg(long, default_value = "reports", value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Compare two evaluations: the first place names one folder, this the other.
    #[arg(value_name = "OTHER", conflicts_with_all = ["a", "b"])]
    pub other: Option<PathBuf>,
    /// Arms on one side, as axis=level pairs joined by commas.
    #[arg(long, value_name = "AXIS=LEVEL[,…]", required_unless_present = "other")]
    pub a: Option<String>,
    /// Arms on the other side.
    #[arg(long, value_name = "AXIS=LEVEL[,…]", required_unless_present = "other")]
    pub b: Option<String>,
    /// Metric of a trial, e.g. `rl.accuracy/all`, or `peak.accuracy/all` for the best evaluation during RL.
    #[arg(long, default_value = "rl.accuracy_sampled/all", value_name = "M")]
    pub metric: String,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    /// Recompute N stages and compare their bytes.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub recompute: usize,
}

#[derive(Debug, Args)]
pub struct GcArgs {
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    /// List what would be dropped, and drop nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Folder whose disk to look at. Nothing is left there.
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
    /// Look at the machine only; train nothing.
    #[arg(long)]
    pub no_self_test: bool,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Lines with `gold` and `response`.
    #[arg(long = "in", value_name = "PAIRS.jsonl")]
    pub input: PathBuf,
    /// Where to write. Default: standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Hugging Face folder (config.json, safetensors, tokenizer.json), GGUF file, or a folder with one.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Lines with `id`, `question`, `answer`.
    #[arg(long, value_name = "FILE.jsonl")]
    pub benchmark: PathBuf,
    /// Whose prompts and rules: one of the paper's 13 suites, or `generic`. Default: by the file's name.
    #[arg(long, value_name = "NAME")]
    pub suite: Option<String>,
    /// Worked examples before each question. Default: as many as the paper shows.
    #[arg(long, value_name = "N")]
    pub shots: Option<usize>,
    /// Only the first N items.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Besides the greedy response, draw K samples an item, for pass@k and maj@k.
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub samples: usize,
    /// Temperature of the samples.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1.0, value_name = "T")]
    pub temperature: f64,
    /// Addresses the samples.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// `few-shot` (the suite's prompt), or the paper's RL prompts, zero-shot and judged by the box: `simple`, `complex`.
    #[arg(long, default_value = "few-shot", value_name = "NAME")]
    pub template: String,
    /// Longest response, in tokens.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub max_new_tokens: usize,
    /// Folder for responses, items.jsonl and summary.json. Default: evals/MODEL/BENCHMARK.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Tokenizer from elsewhere: a folder, a tokenizer.json, or a GGUF file.
    #[arg(long, value_name = "PLACE")]
    pub tokenizer: Option<PathBuf>,
    /// Grade as the paper's harness does, known defects included.
    #[arg(long)]
    pub authors_compatible: bool,
    /// Threads. Default: one per core. Results do not depend on it.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where to compute: `cpu`, `cuda`, `cuda:N` or `metal` (builds with that feature). What a GPU says is kept apart from
    /// what CPUs say.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Device,
    #[command(flatten)]
    pub portion: Portion,
    /// Responses drawn at the same time. Default: 32, or 256 on a GPU. Results on a CPU do not depend on it.
    #[arg(long, value_name = "N")]
    pub batch: Option<NonZeroUsize>,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
}

#[derive(Debug, Args)]
pub struct LogitsArgs {
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Token ids, `[[…], …]`; rows of equal length.
    #[arg(long, value_name = "FILE.json")]
    pub ids: PathBuf,
    /// Tensor `logits`, f32 `[B, T, V]`.
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
    /// Where to compute: `cpu`, `cuda`, `cuda:N` or `metal` (builds with that feature).
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Device,
    #[command(flatten)]
    pub portion: Portion,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Arm, as `ablate plan` prints it.
    #[arg(long, value_name = "ARM_ID")]
    pub arm: String,
    #[arg(long, value_name = "N")]
    pub seed: u64,
    /// Stage whose weights to write: `base`, a phase's name, or `rl`.
    #[arg(long, value_name = "STAGE")]
    pub stage: String,
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum ImportVerb {
    /// W&B CSV exports: columns `<run> - <metric>`.
    Wandb(ImportWandbArgs),
}

#[derive(Debug, Args)]
pub struct ImportWandbArgs {
    /// CSV files, or folders of them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Name under which reports show the runs.
    #[arg(long, value_name = "NAME")]
    pub experiment: String,
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub results: PathBuf,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which kind of file.
    #[arg(value_enum, default_value_t = SchemaOf::Experiment)]
    pub of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Experiment,
    Lab,
}
