//! `ablate run`.

use super::args::{RunArgs, Selection};
use super::failure::Failure;
use super::progress::{Progress, duration};
use super::session::Session;
use crate::cache::Store;
use crate::exec::{Stop, Summary, run as execute};
use crate::plan::Caps;
use crate::recipe::Backend;
use crate::stages::LocalBench;
use std::time::Duration;

/// More jobs or threads than any machine has cores for.
const MOST_WORKERS: usize = 1024;
/// A century.
const MOST_HOURS: f64 = 1e6;

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    for (flag, value) in [("--jobs", args.jobs), ("--threads", args.threads)] {
        match value {
            Some(0) => return Err(Failure::usage(format!("{flag} must be at least 1"))),
            Some(count) if count > MOST_WORKERS => {
                return Err(Failure::usage(format!("{flag} must be at most {MOST_WORKERS}")));
            }
            _ => {}
        }
    }
    for (flag, hours) in [("--max-hours", args.max_hours), ("--budget", args.budget)] {
        if hours.is_some_and(|hours| !hours.is_finite() || hours <= 0.0 || hours > MOST_HOURS) {
            return Err(Failure::usage(format!("{flag} must be a positive number of hours, at most a million")));
        }
    }
    let device = args.selection.device;
    let bench = LocalBench::on(device.backend, device.number).map_err(Failure::usage)?;
    let mut session = Session::open_to_run(&args.selection)?;
    if !session.absent.is_empty() {
        return Err(Failure::usage(&session.absent));
    }
    session.store = Store::create(&args.selection.results.join(".store"))?;
    session.digests.write(&session.store)?;
    // More jobs than trials would find nothing to do; the threads they leave make each stage faster. A GPU holds one model.
    let at_once = if device.backend == Backend::Cpu { cores.min(session.selected.len()).max(1) } else { 1 };
    let jobs = args.jobs.unwrap_or(at_once);
    let mut setup = session.setup();
    setup.jobs = jobs;
    setup.threads = args.threads.unwrap_or((cores / jobs).max(1));

    let stop = match args.max_hours.or(session.lab.max_hours) {
        Some(hours) => Stop::after(Duration::from_secs_f64(hours.min(MOST_HOURS) * 3600.0)),
        None => Stop::default(),
    };
    on_interrupt(stop.clone());
    let caps = Caps { max_hours: args.budget, max_disk: None };
    let progress = Progress::new(args.progress);
    let summary = execute(&setup, caps, &bench, &stop, &|event| progress.show(event)).map_err(Failure::usage)?;
    conclude(args, &session, &summary)
}

/// Once: finish the step, save, stop. Twice: stop now; the store is safe at any moment.
fn on_interrupt(stop: Stop) {
    let handler = move || {
        if stop.requested() {
            eprintln!("\nstopped at once; run the same command again to go on from the last saved step");
            std::process::exit(130);
        }
        stop.request();
        eprintln!("\nstopping: finishing the current steps and saving (once more to stop at once)");
    };
    // A second handler in one process is refused; then the first goes on listening, which is as good.
    let _ = ctrlc::set_handler(handler);
}

fn conclude(args: &RunArgs, session: &Session, summary: &Summary) -> Result<(), Failure> {
    eprintln!(
        "{} trials finished, {} diverged, {} failed, {} left; {} stages made, {} cached; {}",
        summary.trials_finished,
        summary.trials_diverged,
        summary.trials_failed,
        summary.trials_left,
        summary.made,
        summary.hits,
        duration(summary.seconds)
    );
    summary.notes.iter().for_each(|note| eprintln!("note: {note}"));
    eprintln!("results: {}", session.results.display());
    let all = again(&args.selection, None);
    if let Some(message) = &summary.not_written {
        let failure = Failure::internal(format!("the results could not be written: {message}"));
        return Err(failure.hint(format!("what was made is in the store; once there is room: {all}")));
    }
    if !summary.failed.is_empty() {
        let mut text = String::from("some stages failed; the others went on\n");
        for (stage, message) in &summary.failed {
            text.push_str(&format!("  {} of {} seed {}: {message}\n", stage.name, stage.arm, stage.seed));
            // A stage that several trials share is everybody's.
            let trial = session.trials.iter().find(|trial| trial.arm == stage.arm).filter(|_| stage.trials == 1);
            if let Some(trial) = trial.filter(|trial| !trial.levels.is_empty()) {
                text.push_str(&format!("    to try it again: {}\n", again(&args.selection, Some(&trial.levels))));
            }
        }
        text.push_str(&format!("to try all that is missing: {all}"));
        return Err(Failure::trial(text));
    }
    if summary.interrupted {
        let limit = session.lab.max_hours.filter(|_| args.max_hours.is_none());
        let why = match limit.filter(|hours| summary.seconds >= hours * 3600.0) {
            Some(hours) => format!(" after the {hours} h that the lab allows a run (--max-hours sets another limit)"),
            None => String::new(),
        };
        return Err(Failure::interrupted(format!("stopped{why}; to go on: {all}")));
    }
    let report = again(&Selection { seeds: None, only: vec![], ..args.selection.clone() }, None);
    eprintln!("next: {}", report.replacen("ablate run", "ablate report", 1));
    Ok(())
}

/// The command that does the same again, or the same for one arm.
fn again(selection: &Selection, arm: Option<&[(String, String)]>) -> String {
    let mut words = vec!["ablate run".to_string(), quoted(&selection.experiment.display().to_string())];
    let mut flag = |name: &str, value: &str| words.push(format!("{name} {}", quoted(value)));
    if selection.lab != "proxy" {
        flag("--lab", &selection.lab);
    }
    if selection.results.as_os_str() != "results" {
        flag("--results", &selection.results.display().to_string());
    }
    if let Some(seeds) = selection.seeds {
        flag("--seeds", &seeds.to_string());
    }
    if selection.device.backend != Backend::Cpu {
        flag("--device", &selection.device.to_string());
    }
    match arm {
        Some(levels) => levels.iter().for_each(|(axis, level)| flag("--only", &format!("{axis}={level}"))),
        None => selection.only.iter().for_each(|pair| flag("--only", pair)),
    }
    words.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_go_on_says_all_that_matters_and_survives_a_shell() {
        let selection = Selection {
            experiment: "my exp's.yaml".into(),
            lab: "./tiny.yaml".into(),
            results: "r".into(),
            seeds: Some(2),
            only: vec!["corpus=a".into()],
            device: "cuda:1".parse().unwrap(),
        };
        let flags = "--lab ./tiny.yaml --results r --seeds 2 --device cuda:1 --only";
        assert_eq!(again(&selection, None), format!("ablate run 'my exp'\\''s.yaml' {flags} corpus=a"));
        let levels = [("corpus".to_string(), "b".to_string()), ("family".into(), "llama".into())];
        assert!(again(&selection, Some(&levels)).ends_with("--only corpus=b --only family=llama"));
    }
}
