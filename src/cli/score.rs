//! `ablate score`: verdicts on pairs of gold answer and response.

use super::args::ScoreArgs;
use super::failure::Failure;
use crate::task::score::score_lines;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

pub fn score(args: &ScoreArgs) -> Result<(), Failure> {
    let input = File::open(&args.input)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", args.input.display())))?;
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(
            File::create(path)
                .map_err(|error| Failure::usage(format!("failed to write {}: {error}", path.display())))?,
        ),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut writer = BufWriter::new(&mut out);
    let tally = score_lines(BufReader::new(input), &mut writer)?;
    writer.flush()?;
    eprintln!(
        "{} pairs: {} correct, {} wrong, {} without an answer, {} given up; {} lines that are no pair",
        tally.lines() - tally.errors,
        tally.correct,
        tally.wrong,
        tally.no_answer,
        tally.gave_up,
        tally.errors
    );
    Ok(())
}
