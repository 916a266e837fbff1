//! The command line: one verb per file; the only place that prints.
//!
//! Data goes to standard output, talk to standard error, and everything reads without colour.

mod args;
mod failure;
mod progress;
#[cfg(feature = "engine")]
mod run;
mod session;

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
        _ => Err(Failure::usage("not there yet")),
    }
}
