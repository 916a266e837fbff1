//! Progress for people: bars on a terminal, a line now and then elsewhere.

use super::args;
use super::duration::duration;
use crate::exec::{Event, StageName, Work};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// At most this often does a plain line say how far the run is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Listens to a run and shows it.
pub enum Progress {
    Bars { all: MultiProgress, sweep: ProgressBar, stages: Mutex<BTreeMap<String, ProgressBar>> },
    Plain { last: Mutex<Instant> },
    None,
}

impl Progress {
    pub fn new(choice: args::Progress) -> Progress {
        match choice {
            args::Progress::None => Progress::None,
            args::Progress::Auto if std::io::stderr().is_terminal() => {
                let all = MultiProgress::new();
                let sweep = all.add(ProgressBar::new(1000));
                let style = ProgressStyle::with_template("{prefix:>12.bold} [{bar:32.cyan/dim}] {msg}");
                sweep.set_style(style.expect("a valid template").progress_chars("━━─"));
                sweep.set_prefix("sweep");
                Progress::Bars { all, sweep, stages: Mutex::default() }
            }
            _ => Progress::Plain { last: Mutex::new(Instant::now()) },
        }
    }

    pub fn show(&self, event: &Event) {
        match self {
            Progress::None => {}
            Progress::Plain { last } => plain(event, last),
            Progress::Bars { all, sweep, stages } => bars(event, all, sweep, stages),
        }
    }
}

fn plain(event: &Event, last: &Mutex<Instant>) {
    match event {
        Event::StageProgress { stage, done, total, note, work } => {
            let mut last = last.lock().expect("no listener panicked");
            if last.elapsed() >= PLAIN_EVERY {
                *last = Instant::now();
                tell!("  {} {} {done}/{total} {note} · {}", stage.name, who(stage), sweep_text(work));
            }
        }
        _ => lines(event).into_iter().for_each(|line| tell!("{line}")),
    }
}

fn bars(event: &Event, all: &MultiProgress, sweep: &ProgressBar, stages: &Mutex<BTreeMap<String, ProgressBar>>) {
    let mut stages = stages.lock().expect("no listener panicked");
    match event {
        Event::StageProgress { stage, done, total, note, work } => {
            let bar = stages.entry(stage.key.to_string()).or_insert_with(|| {
                let bar = all.add(ProgressBar::new(*total));
                let style = ProgressStyle::with_template("{prefix:>12} [{bar:32.green/dim}] {pos}/{len} {eta} {msg}");
                bar.set_style(style.expect("a valid template").progress_chars("━━─"));
                bar.set_prefix(shorten(&stage.name, 12));
                bar
            });
            bar.set_length(*total);
            bar.set_position(*done);
            bar.set_message(format!("{} · {note}", who(stage)));
            show_work(sweep, work);
        }
        Event::StageFinished { stage, work, .. }
        | Event::StageDiverged { stage, work, .. }
        | Event::StageFailed { stage, work, .. } => {
            if let Some(bar) = stages.remove(&stage.key.to_string()) {
                bar.finish_and_clear();
            }
            show_work(sweep, work);
            if !matches!(event, Event::StageFinished { .. }) {
                lines(event).into_iter().for_each(|line| all.suspend(|| tell!("{line}")));
            }
        }
        Event::StageInterrupted { stage, .. } => {
            if let Some(bar) = stages.remove(&stage.key.to_string()) {
                bar.finish_and_clear();
            }
        }
        Event::RunFinished { .. } => sweep.finish_and_clear(),
        Event::StageStarted { .. } => {}
        _ => lines(event).into_iter().for_each(|line| all.suspend(|| tell!("{line}"))),
    }
}

fn show_work(sweep: &ProgressBar, work: &Work) {
    sweep.set_position((1000.0 * work.done / work.total.max(1e-9)) as u64);
    sweep.set_message(sweep_text(work));
}

/// `34% of the sweep, 1 min 20 s left`.
fn sweep_text(work: &Work) -> String {
    let share = 100.0 * work.done / work.total.max(1e-9);
    format!("{share:.0}% of the sweep, {} left", duration(work.eta))
}

/// What an event says in words; nothing for those that only move a bar.
fn lines(event: &Event) -> Vec<String> {
    match event {
        Event::Planned { hits, resumed, to_run, trials, expected } => {
            let again = if *resumed > 0 { format!(", {resumed} to resume") } else { String::new() };
            let any = *to_run + *resumed > 0;
            let price = if any { format!(" (about {} of work)", duration(expected.total)) } else { String::new() };
            vec![format!("{trials} trials: {hits} stages cached{again}, {to_run} to run{price}")]
        }
        Event::StageStarted { stage, why, resumes_at } => {
            let from = resumes_at.map_or(String::new(), |step| format!(", from step {step}"));
            vec![format!("→ {} {} ({why}{from})", stage.name, who(stage))]
        }
        Event::Note { text } => vec![format!("! {text}")],
        Event::StageWarning { stage, text } => vec![format!("! {} {}: {text}", stage.name, who(stage))],
        Event::StageFinished { stage, seconds, work } => {
            vec![format!("✓ {} {} in {} · {}", stage.name, who(stage), duration(*seconds), sweep_text(work))]
        }
        Event::StageDiverged { stage, step, loss, .. } => {
            vec![format!("! {} {} diverged at step {step} (loss {loss}); kept as a result", stage.name, who(stage))]
        }
        Event::StageFailed { stage, message, .. } => {
            vec![format!("✗ {} {} failed: {message}", stage.name, who(stage))]
        }
        Event::StageWaits { stage, holder } => {
            let holder = holder
                .as_ref()
                .map_or("another runner".to_string(), |holder| format!("{} (pid {})", holder.host, holder.pid));
            vec![format!("… {} {} is being made by {holder}", stage.name, who(stage))]
        }
        Event::StageInterrupted { stage, step } => {
            vec![format!("‖ {} {} saved at step {step}", stage.name, who(stage))]
        }
        Event::StageNotRun { stage, because, .. } => {
            vec![format!("– {} {} not run: {because}", stage.name, who(stage))]
        }
        Event::ResultsNotWritten { message } => vec![format!("! results not written: {message}; trying again later")],
        Event::TrialFinished { arm, seed, done, total, .. } => {
            vec![format!("● trial {done}/{total}: {arm} seed {seed}")]
        }
        Event::StageHit { .. } | Event::StageProgress { .. } | Event::RunFinished { .. } => vec![],
    }
}

fn who(stage: &StageName) -> String {
    match stage.trials {
        1 => format!("of {} seed {}", stage.arm, stage.seed),
        trials => format!("of {trials} trials ({} seed {}, …)", stage.arm, stage.seed),
    }
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.to_string() } else { text.chars().take(width - 1).chain(['…']).collect() }
}
