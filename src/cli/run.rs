//! `ablate run`.

use super::again::again;
use super::args::{RunArgs, Selection};
use super::duration::duration;
use super::failure::Failure;
use super::interrupt;
use super::memory;
use super::progress::Progress;
use super::session::Session;
use crate::cache::Store;
use crate::exec::{PrepareError, Stop, Summary, run as execute};
use crate::plan::cost::bytes;
use crate::plan::{Caps, TooExpensive};
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
    if args.max_memory.is_some_and(|gigabytes| !gigabytes.is_finite() || gigabytes <= 0.0) {
        return Err(Failure::usage("--max-memory must be a positive number of gigabytes"));
    }
    let device = args.selection.device;
    let mut limits = args.portion.limits();
    limits.live = args.device_sequences.map_or(limits.live, usize::from);
    let bench = LocalBench::on(device.backend, device.number, limits).map_err(Failure::usage)?;
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
    let max_memory = args.max_memory.map(|gigabytes| (gigabytes * 1e9) as u64).or_else(memory::installed);
    let caps = Caps { max_hours: args.budget, max_disk: None, max_memory };
    let progress = Progress::new(args.progress);
    let summary = loop {
        match execute(&setup, caps, &bench, &stop, &|event| progress.show(event)) {
            // As many at once as there are cores was our choice; nothing has been started.
            Err(PrepareError::TooExpensive(TooExpensive::MemoryTogether { fit, room, held, .. }))
                if args.jobs.is_none() =>
            {
                let (jobs, held, room) = (setup.jobs, bytes(held), bytes(room));
                tell!(
                    "{jobs} stages at once would hold about {held} of memory, more than the {room} that may be used: --jobs {fit}"
                );
                setup.jobs = fit;
                setup.threads = args.threads.unwrap_or((cores / fit).max(1));
            }
            Err(
                error @ PrepareError::TooExpensive(TooExpensive::Memory { .. } | TooExpensive::MemoryTogether { .. }),
            ) if args.max_memory.is_none() && memory::short_of_addresses() => {
                return Err(Failure::usage(error).hint("it is `ulimit -v` that leaves so little: raise it"));
            }
            other => break other.map_err(Failure::start)?,
        }
    };
    conclude(args, &session, &summary, &stop)
}

/// Once: finish the step, save, stop. Twice: stop now; the store is safe at any moment.
fn on_interrupt(stop: Stop) {
    interrupt::on_request(move || {
        if stop.requested() {
            tell!("\nstopped at once; run the same command again to go on from the last saved step");
            std::process::exit(130);
        }
        stop.request();
        tell!("\nstopping: finishing the current steps and saving (once more to stop at once)");
    });
}

fn conclude(args: &RunArgs, session: &Session, summary: &Summary, stop: &Stop) -> Result<(), Failure> {
    tell!(
        "{} trials finished, {} diverged, {} failed, {} left; {} stages made, {} cached; {}",
        summary.trials_finished,
        summary.trials_diverged,
        summary.trials_failed,
        summary.trials_left,
        summary.made,
        summary.hits,
        duration(summary.seconds)
    );
    summary.notes.iter().for_each(|note| tell!("note: {note}"));
    tell!("results: {}", session.results.display());
    // Whoever allowed more memory than there is means it for the next run too.
    let memory = args.max_memory.map_or(String::new(), |gigabytes| format!(" --max-memory {gigabytes:?}"));
    let all = again(&args.selection, None) + &memory;
    let failed = failures(session, summary, &all, |levels| again(&args.selection, Some(levels)) + &memory);
    if let Some(message) = &summary.not_written {
        failed.iter().for_each(|failed| super::talk::write(format_args!("{failed}"), ""));
        let failure = Failure::internal(format!("the results could not be written: {message}"));
        return Err(failure.hint(format!("what was made is in the store; once there is room: {all}")));
    }
    failed.map_or(Ok(()), Err)?;
    if summary.interrupted {
        let why = match args.max_hours.or(session.lab.max_hours) {
            Some(_) if !stop.out_of_time() => String::new(),
            Some(hours) if args.max_hours.is_some() => format!(" after the {hours:?} h of --max-hours"),
            Some(hours) => format!(" after the {hours:?} h that the lab allows a run (--max-hours sets another limit)"),
            None => String::new(),
        };
        return Err(Failure::interrupted(format!("stopped{why}; to go on: {all}")));
    }
    let report = again(&Selection { seeds: None, only: vec![], ..args.selection.clone() }, None);
    tell!("next: {}", report.replacen("ablate run", "ablate report", 1));
    Ok(())
}

/// Which stages failed, why, and how to try them again.
fn failures(
    session: &Session,
    summary: &Summary,
    all: &str,
    one: impl Fn(&[(String, String)]) -> String,
) -> Option<Failure> {
    if summary.failed.is_empty() {
        return None;
    }
    let mut text = match summary.not_run {
        0 => String::from("some stages failed; the others went on\n"),
        1 => String::from("some stages failed; one more was not run for want of its inputs; the others went on\n"),
        more => format!("some stages failed; {more} more were not run for want of their inputs; the others went on\n"),
    };
    for (stage, message) in &summary.failed {
        text.push_str(&format!("  {} of {} seed {}: {message}\n", stage.name, stage.arm, stage.seed));
        // A stage that several trials share is everybody's.
        let trial = session.trials.iter().find(|trial| trial.arm == stage.arm).filter(|_| stage.trials == 1);
        if let Some(trial) = trial.filter(|trial| !trial.levels.is_empty()) {
            text.push_str(&format!("    to try it again: {}\n", one(&trial.levels)));
        }
    }
    text.push_str(&format!("to try all that is missing: {all}"));
    Some(Failure::trial(text))
}
