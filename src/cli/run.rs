//! `ablate run`.

use super::args::RunArgs;
use super::failure::Failure;
use super::progress::{Progress, duration};
use super::session::Session;
use crate::cache::Store;
use crate::exec::{Stop, Summary, run as execute};
use crate::plan::Caps;
use crate::stages::LocalBench;
use std::time::Duration;

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    for (flag, value) in [("--jobs", args.jobs), ("--threads", args.threads)] {
        if value == Some(0) {
            return Err(Failure::usage(format!("{flag} must be at least 1")));
        }
    }
    for (flag, hours) in [("--max-hours", args.max_hours), ("--budget", args.budget)] {
        if hours.is_some_and(|hours| !hours.is_finite() || hours <= 0.0) {
            return Err(Failure::usage(format!("{flag} must be a positive number of hours")));
        }
    }
    let mut session = Session::open(&args.selection)?;
    if !session.absent.is_empty() {
        return Err(Failure::usage(&session.absent));
    }
    session.store = Store::create(&args.selection.results.join(".store"))?;
    session.digests.write(&session.store)?;
    // More jobs than trials would find nothing to do; the threads they leave make each stage faster.
    let jobs = args.jobs.unwrap_or(cores.min(session.selected.len()).max(1));
    let mut setup = session.setup();
    setup.jobs = jobs;
    setup.threads = args.threads.unwrap_or((cores / jobs).max(1));

    let stop = match args.max_hours {
        Some(hours) => Stop::after(Duration::from_secs_f64(hours * 3600.0)),
        None => Stop::default(),
    };
    on_interrupt(stop.clone());
    let caps = Caps { max_hours: args.budget, max_disk: None };
    let progress = Progress::new(args.progress);
    let summary = execute(&setup, caps, &LocalBench, &stop, &|event| progress.show(event)).map_err(Failure::usage)?;
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
    let experiment = args.selection.experiment.display();
    let lab = if args.selection.lab == "proxy" { String::new() } else { format!(" --lab {}", args.selection.lab) };
    let results = if args.selection.results.as_os_str() == "results" {
        String::new()
    } else {
        format!(" --results {}", args.selection.results.display())
    };
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
    eprintln!("results: {}", session.results.display());
    if !summary.failed.is_empty() {
        let mut text = String::from("some stages failed; the others went on\n");
        for (stage, message) in &summary.failed {
            text.push_str(&format!("  {} of {} seed {}: {message}\n", stage.name, stage.arm, stage.seed));
        }
        text.push_str(&format!("to try them again: ablate run {experiment}{lab}{results}"));
        return Err(Failure::trial(text));
    }
    if summary.interrupted {
        return Err(Failure::interrupted(format!("stopped; to go on: ablate run {experiment}{lab}{results}")));
    }
    eprintln!("next: ablate report {experiment}{lab}{results}");
    Ok(())
}
