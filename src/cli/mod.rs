//! The command line: one verb per file; the only place that prints.
//!
//! Data goes to standard output, talk to standard error, and everything reads without colour.

mod args;
mod compare;
mod failure;
mod methods;
mod plan;
mod progress;
mod report;
#[cfg(feature = "engine")]
mod run;
mod score;
mod session;
mod store;

use args::{Cli, Verb};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// Parses the command line, does what it says, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(verb: &Verb) -> Result<(), Failure> {
    match verb {
        #[cfg(feature = "engine")]
        Verb::Run(args) => run::run(args),
        Verb::Plan(args) => plan::plan(args),
        Verb::Explain(args) => plan::explain(args),
        Verb::Report(args) => report::report(args),
        Verb::Status(args) => store::status(args),
        Verb::Compare(args) => compare::compare(args),
        Verb::Verify(args) => store::verify(args),
        Verb::Gc(args) => store::gc(args),
        Verb::Score(args) => score::score(args),
        _ => Err(Failure::usage("not there yet")),
    }
}
