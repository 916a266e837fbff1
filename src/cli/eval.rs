//! `ablate eval`: one model on one benchmark.
//!
//! Running the same command again goes on where it stopped, and with all responses kept only judges them anew; the model's
//! weights are then not even loaded.

use super::args::{self, EvalArgs};
use super::duration::duration;
use super::failure::Failure;
use super::folder;
use super::interrupt;
use crate::cache::disk;
use crate::data::Tokenizer;
use crate::eval::ask::{AskError, Effort, Manner, ask, count_missing};
use crate::eval::open::Place;
use crate::eval::responses::{Asking, Response, Responses};
use crate::eval::summary::{Content, Decoding, ItemRecord, PromptIdentity, Summary, numbers, records};
use crate::model::{Decoder, device};
use crate::recipe::template::Extract;
use crate::recipe::{Key, Seed, Template};
use crate::task::suite::{GoldProblem, RlTemplate, plain_template, read_problems};
use crate::task::{Grader, Problem, Suite, Verdict};
use crate::text;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// At most this often does a plain line say how far the evaluation is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Responses drawn together, where nothing else is said.
const LIVE: usize = 32;
/// Memory that the caches of responses drawn together may take, in bytes.
const CACHE_BYTES: usize = 2 << 30;

pub fn eval(args: &EvalArgs) -> Result<(), Failure> {
    let device = device::open(args.device.backend, args.device.number).map_err(Failure::usage)?;
    let suite = suite(args)?;
    let way = Way::of(args, suite)?;
    let (problems, gold_problems, benchmark) = read_benchmark(args, suite)?;
    let place = Place::find(&args.model).map_err(Failure::usage)?;
    let tokenizer = place.open_tokenizer(args.tokenizer.as_deref()).map_err(Failure::usage)?;
    let tokenizer_content = tokenizer.content();
    let tokenizer = Tokenizer::Hf(tokenizer);
    let questions = way.manner.questions(&problems, &tokenizer).map_err(Failure::usage)?;
    let weights = place.content().map_err(Failure::usage)?;

    let out = args.out.clone().unwrap_or_else(|| default_out(args, &way));
    folder::usable(&out, "--out")?;
    disk::create_dir(&out).map_err(Failure::usage)?;
    let asking = Asking { backend: args.device.backend, ..way.manner.asking(weights, tokenizer_content) };
    let responses = Responses::open(&out, &asking).map_err(Failure::usage)?;
    let total = questions.len() * (1 + way.manner.samples);
    let missing = count_missing(&questions, &way.manner, &responses);
    tell!("{}: {} items, {}; {}", way.suite_name(), questions.len(), way.words(), out.display());
    if missing < total {
        tell!("{} of {total} responses are kept from before", total - missing);
    }
    if missing > 0 {
        let mut decoder = place.decoder().map_err(Failure::usage)?;
        let live = match device {
            Some(device) => {
                let limits = args.portion.limits();
                decoder.set_device(device, limits);
                args.batch.map_or(limits.live, usize::from)
            }
            None => {
                let longest = questions.iter().map(|question| question.ids.len()).max().unwrap_or(0);
                let fitting = fitting(&decoder, longest + args.max_new_tokens);
                args.batch.map_or(LIVE, usize::from).min(fitting)
            }
        };
        let stop = stop_on_interrupt();
        let effort = Effort {
            threads: args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1),
            live,
            stop,
        };
        let progress = Progress::new(args.progress, missing, way.grader, &problems);
        let heard = |response: &Response| progress.heard(response);
        let whole =
            ask(&decoder, &tokenizer, &questions, &way.manner, &responses, effort, &heard).map_err(|error| {
                let kept = matches!(error, AskError::Device(_));
                let failure = Failure::from(error);
                if kept {
                    failure.hint("responses until then are kept; the same command goes on from there")
                } else {
                    failure
                }
            })?;
        progress.finish();
        if !whole {
            let left = count_missing(&questions, &way.manner, &responses);
            return Err(Failure::interrupted(format!(
                "stopped; {} of {total} responses are kept in {}; the same command goes on",
                total - left,
                out.display()
            )));
        }
    }
    let records = records(&questions, &way.manner, way.grader, &responses)
        .ok_or_else(|| Failure::internal("a response that was kept is gone"))?;
    let summary = Summary {
        model: args.model.display().to_string(),
        benchmark: args.benchmark.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        suite: way.suite_name().to_string(),
        numbers: numbers(&records, &questions, way.grader),
        decoding: way.decoding(),
        prompt: PromptIdentity {
            template: args.template.clone(),
            shots: way.shots,
            shots_version: suite.filter(|_| way.shots > 0).map(|suite| suite.identity(way.shots, false).shots_version),
            begin_token: tokenizer.begin().is_some(),
        },
        extractor: way.grader.describe(),
        authors_compatible: args.authors_compatible,
        quirks: suite.map_or(&[][..], Suite::quirks).iter().map(|quirk| quirk.to_string()).collect(),
        gold_problems,
        spelled_golds: suite.map_or(vec![], |suite| suite.spelled(&problems).iter().map(|id| id.to_string()).collect()),
        content: Content {
            weights,
            tokenizer: tokenizer_content,
            backend: args.device.backend,
            benchmark,
            responses: responses.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        },
    };
    write(&out, &records, &summary)?;
    println!("{}", serde_json::to_string_pretty(&summary)?);
    tell!("{}", in_words(&summary));
    Ok(())
}

fn suite(args: &EvalArgs) -> Result<Option<Suite>, Failure> {
    match args.suite.as_deref() {
        Some("generic") => Ok(None),
        Some(name) => {
            let known =
                name.parse().map_err(|error| Failure::usage(error).hint("`--suite generic` asks Question/Answer"))?;
            Ok(Some(known))
        }
        None => Ok(Suite::of_file(&args.benchmark)),
    }
}

/// How the model is asked and judged.
struct Way {
    suite: Option<Suite>,
    template_name: String,
    shots: usize,
    manner: Manner,
    grader: Grader,
}

impl Way {
    fn of(args: &EvalArgs, suite: Option<Suite>) -> Result<Way, Failure> {
        if args.max_new_tokens == 0 || args.limit == Some(0) {
            return Err(Failure::usage("--max-new-tokens 0 and --limit 0 leave nothing to evaluate"));
        }
        for (flag, value, most) in [
            ("--max-new-tokens", args.max_new_tokens, 1 << 20),
            ("--samples", args.samples, 1 << 16),
            ("--threads", args.threads.unwrap_or(1), 1024),
        ] {
            if value > most {
                return Err(Failure::usage(format!("{flag} must be at most {most}, and is {value}")));
            }
        }
        if !(args.temperature > 0.0 && args.temperature.is_finite()) {
            return Err(Failure::usage(format!(
                "--temperature {} is no temperature to draw samples at",
                args.temperature
            ))
            .hint("the first response is always greedy; --samples 0 draws no other"));
        }
        let rl = match args.template.as_str() {
            "few-shot" => None,
            "simple" => Some(RlTemplate::Simple),
            "complex" => Some(RlTemplate::Complex),
            other => {
                let known = ["few-shot", "simple", "complex"];
                let failure = Failure::usage(format!("there is no template `{other}`; there are {}", known.join(", ")));
                return Err(match crate::spec::mistake::nearest(other, known) {
                    Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                    None => failure,
                });
            }
        };
        let (template, shots, grader) = match (rl, suite) {
            (Some(rl), _) => (rl.template(), 0, Grader::Extract(Extract::LastBoxed)),
            (None, Some(suite)) => {
                let shots = args.shots.unwrap_or(suite.default_shots());
                let template: Template = suite.template(shots).map_err(Failure::usage)?;
                (template, shots, Grader::Suite { suite, authors: args.authors_compatible })
            }
            (None, None) => (plain_template(), 0, Grader::Extract(Extract::FinalAnswer)),
        };
        if args.shots.is_some_and(|asked| asked != shots) {
            let why = if rl.is_some() { "RL prompts show none" } else { "only suites have worked examples" };
            return Err(Failure::usage(format!("--shots {} is not possible: {why}", args.shots.unwrap_or(0)))
                .hint("name a suite with --suite, and leave --template at few-shot"));
        }
        if args.authors_compatible && !matches!(grader, Grader::Suite { .. }) {
            return Err(Failure::usage("--authors-compatible changes how a suite's few-shot answers are graded")
                .hint("it needs one of the paper's suites and the template few-shot"));
        }
        let manner = Manner {
            template,
            max_new_tokens: args.max_new_tokens,
            samples: args.samples,
            temperature: args.temperature,
            seed: Seed(args.seed),
        };
        Ok(Way { suite, template_name: args.template.clone(), shots, manner, grader })
    }

    fn suite_name(&self) -> &'static str {
        self.suite.map_or("generic", Suite::name)
    }

    fn words(&self) -> String {
        let samples = match self.manner.samples {
            0 => String::new(),
            samples => format!(" and {samples} samples at temperature {}", self.manner.temperature),
        };
        format!(
            "{} with {} examples, greedy{samples}, at most {} new tokens",
            self.template_name, self.shots, self.manner.max_new_tokens
        )
    }

    fn decoding(&self) -> Decoding {
        Decoding {
            temperature: 0.0,
            max_new_tokens: self.manner.max_new_tokens,
            stop: self.manner.template.stop.clone(),
            samples: self.manner.samples,
            sample_temperature: self.manner.temperature,
            sample_top_p: 1.0,
            seed: self.manner.seed.0,
        }
    }
}

/// The items to ask, those that can't be asked, and the digest of the file.
fn read_benchmark(args: &EvalArgs, suite: Option<Suite>) -> Result<(Vec<Problem>, Vec<GoldProblem>, Key), Failure> {
    let path = args.benchmark.display();
    let bytes =
        std::fs::read(&args.benchmark).map_err(|error| Failure::usage(format!("failed to read {path}: {error}")))?;
    let content = Key::of(&bytes);
    let text = text::decode(bytes)
        .map_err(|error| Failure::usage(format!("failed to read {path}: {error}")).hint("save it as UTF-8"))?;
    let (mut problems, gold_problems) = match suite {
        Some(suite) => suite.read(&text),
        None => read_problems(&text),
    };
    // A line that is no item is a broken file; an item that no answer could satisfy is a finding about the benchmark.
    if let Some(broken) = gold_problems.iter().find(|problem| problem.id.is_none()) {
        return Err(Failure::usage(format!("failed to read {path}: {broken}"))
            .hint("each line is a JSON object with `id`, `question`, `answer`"));
    }
    for problem in &gold_problems {
        tell!("warning: left out, {problem}");
    }
    if problems.is_empty() {
        return Err(Failure::usage(format!("failed to evaluate on {path}: it has no item that can be asked")));
    }
    problems.truncate(args.limit.unwrap_or(usize::MAX));
    Ok((problems, gold_problems, content))
}

fn default_out(args: &EvalArgs, way: &Way) -> PathBuf {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let whole = args.model.canonicalize().unwrap_or_else(|_| args.model.clone());
    let model = if whole.is_dir() {
        whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
    } else {
        stem(&whole)
    };
    let asked = match way.template_name.as_str() {
        "few-shot" => format!("{}-shot", way.shots),
        other => other.to_string(),
    };
    Path::new("evals").join(model).join(format!("{}-{asked}", stem(&args.benchmark)))
}

/// How many responses of some length have room for their keys and values.
fn fitting(decoder: &Decoder, tokens: usize) -> usize {
    let shape = decoder.shape();
    let token = shape.layers * shape.kv_width() * 2 * size_of::<f32>();
    (CACHE_BYTES / (token * tokens).max(1)).max(1)
}

/// Set by Ctrl-C; a second one ends at once.
fn stop_on_interrupt() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    interrupt::on_request(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        tell!("\nstopping");
    });
    &STOP
}

fn write(out: &Path, records: &[ItemRecord], summary: &Summary) -> Result<(), Failure> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&serde_json::to_string(record)?);
        lines.push('\n');
    }
    disk::write_atomic(&out.join("items.jsonl"), lines.as_bytes())?;
    let text = serde_json::to_string_pretty(summary)? + "\n";
    Ok(disk::write_atomic(&out.join("summary.json"), text.as_bytes())?)
}

fn in_words(summary: &Summary) -> String {
    let numbers = &summary.numbers;
    let error = numbers.stderr.map_or(String::new(), |error| format!(" ± {:.1}", 100.0 * error));
    let mut text =
        format!("accuracy {:.1}%{error} (n = {}, standard error over items)", 100.0 * numbers.accuracy, numbers.n);
    if summary.decoding.samples > 0 {
        let pass = numbers.pass_at_k.iter().map(|(k, value)| format!("pass@{k} {:.1}%", 100.0 * value));
        let majority = numbers.maj_at_k.iter().map(|(k, value)| format!("maj@{k} {:.1}%", 100.0 * value));
        text += &format!("; {}", pass.chain(majority).collect::<Vec<_>>().join(", "));
    }
    text += &format!("; cut off by the length limit {:.1}%", 100.0 * numbers.truncated);
    if numbers.outcomes.gave_up > 0.0 {
        text += &format!("; the checker gave up on {:.1}%", 100.0 * numbers.outcomes.gave_up);
    }
    text
}

/// Shows how many responses are there, how many of the greedy ones are right, and the time left.
struct Progress<'a> {
    shown: Option<ProgressBar>,
    silent: bool,
    total: usize,
    grader: Grader,
    problems: HashMap<&'a str, &'a Problem>,
    state: Mutex<State>,
}

struct State {
    begun: Instant,
    last: Instant,
    done: usize,
    greedy: usize,
    right: usize,
}

impl<'a> Progress<'a> {
    fn new(choice: args::Progress, total: usize, grader: Grader, problems: &'a [Problem]) -> Progress<'a> {
        let bar = choice == args::Progress::Auto && std::io::stderr().is_terminal();
        let shown = bar.then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("[{bar:32.green/dim}] {pos}/{len} responses {msg}");
            bar.set_style(style.expect("a valid template").progress_chars("━━─"));
            bar
        });
        let now = Instant::now();
        Progress {
            shown,
            silent: choice == args::Progress::None,
            total,
            grader,
            problems: problems.iter().map(|problem| (problem.id.as_str(), problem)).collect(),
            state: Mutex::new(State { begun: now, last: now, done: 0, greedy: 0, right: 0 }),
        }
    }

    fn heard(&self, response: &Response) {
        if self.silent {
            return;
        }
        let mut state = self.state.lock().expect("no listener panicked");
        state.done += 1;
        if let (None, Some(problem)) = (response.sample, self.problems.get(response.id.as_str())) {
            state.greedy += 1;
            state.right += usize::from(self.grader.judge(&response.text, problem).verdict == Verdict::Correct);
        }
        let left = state.begun.elapsed().as_secs_f64() / state.done as f64 * (self.total - state.done) as f64;
        let right = match state.greedy {
            0 => String::new(),
            greedy => format!("{}/{greedy} right, ", state.right),
        };
        let words = format!("· {right}{} left", duration(left));
        match &self.shown {
            Some(bar) => {
                bar.set_position(state.done as u64);
                bar.set_message(words);
            }
            None if state.last.elapsed() >= PLAIN_EVERY => {
                state.last = Instant::now();
                tell!("  {}/{} responses {words}", state.done, self.total);
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
        let state = self.state.lock().expect("no listener panicked");
        if !self.silent {
            tell!("{} responses in {}", state.done, duration(state.begun.elapsed().as_secs_f64()));
        }
    }
}
