//! The command line: one verb per file; the only place that prints.
//!
//! Data goes to standard output, talk to standard error, and everything reads without colour.

#[macro_use]
mod talk;

mod again;
mod args;
#[cfg(feature = "engine")]
mod card;
mod compare;
#[cfg(feature = "engine")]
mod doctor;
mod duration;
#[cfg(feature = "engine")]
mod eval;
#[cfg(feature = "engine")]
mod export;
mod failure;
mod folder;
mod import;
#[cfg(feature = "engine")]
mod interrupt;
#[cfg(feature = "engine")]
mod logits;
mod memory;
mod methods;
mod older;
#[cfg(feature = "engine")]
mod outside;
#[cfg(feature = "engine")]
mod paired;
mod plan;
mod price;
#[cfg(feature = "engine")]
mod progress;
mod report;
#[cfg(feature = "engine")]
mod run;
mod schema;
mod score;
#[cfg(feature = "engine")]
mod selftest;
mod session;
mod store;
#[cfg(all(test, feature = "engine"))]
mod tests;

use args::{Cli, ImportVerb, Verb};
use clap::Parser;
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses the command line, does what it says, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    leave_quietly_with_the_reader();
    ExitCode::from(command(std::env::args_os()))
}

/// The code of a process that wrote into a pipe whose reader has gone, as shells know it.
const READER_GONE: i32 = 141;

/// `ablate plan … | head` ends when `head` has seen enough, which is no error of anybody. The macros that print panic then;
/// whatever runs meanwhile is as resumable as after a crash. Talk that nobody hears ends nothing (`talk`). A panic that becomes
/// an error is told as that.
fn leave_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if crate::data::guard::inside() {
            return;
        }
        let words = panic.payload().downcast_ref::<String>();
        if words.is_some_and(|words| words.starts_with("failed printing to stdout")) {
            std::process::exit(READER_GONE);
        }
        usual(panic);
    }));
}

/// The same for any list of arguments, the program's name first.
fn command(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = Cli::parse_from(args);
    match dispatch(&cli.verb) {
        Ok(()) => 0,
        Err(failure) => {
            talk::write(format_args!("{failure}"), "");
            failure.code()
        }
    }
}

fn dispatch(verb: &Verb) -> Result<(), Failure> {
    crate::fault::check().map_err(Failure::usage)?;
    match verb {
        #[cfg(feature = "engine")]
        Verb::Run(args) => run::run(args),
        Verb::Plan(args) => plan::plan(args),
        Verb::Explain(args) => plan::explain(args),
        Verb::Report(args) => report::report(args),
        Verb::Status(args) => store::status(args),
        Verb::Compare(args) => match &args.other {
            #[cfg(feature = "engine")]
            Some(other) => paired::compare(&args.selection.experiment, other),
            #[cfg(not(feature = "engine"))]
            Some(_) => Err(Failure::usage("this build can't read evaluations; build with the default features")),
            None => compare::compare(args),
        },
        Verb::Verify(args) => store::verify(args),
        Verb::Gc(args) => store::gc(args),
        Verb::Score(args) => score::score(args),
        #[cfg(feature = "engine")]
        Verb::Eval(args) => eval::eval(args),
        #[cfg(feature = "engine")]
        Verb::Logits(args) => logits::logits(args),
        #[cfg(feature = "engine")]
        Verb::Export(args) => export::export(args),
        #[cfg(feature = "engine")]
        Verb::Doctor(args) => doctor::doctor(args),
        Verb::Import(ImportVerb::Wandb(args)) => import::wandb(args),
        Verb::Schema(args) => schema::schema(args),
        #[cfg(any(test, feature = "faults"))]
        Verb::Faults => {
            crate::fault::POINTS.iter().for_each(|(name, place)| println!("{name:<22} {place}"));
            Ok(())
        }
        #[cfg(not(feature = "engine"))]
        Verb::Run(_) | Verb::Eval(_) | Verb::Doctor(_) | Verb::Logits(_) | Verb::Export(_) => Err(Failure::no_engine()),
    }
}
