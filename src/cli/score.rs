//! `ablate score`: verdicts on pairs of gold answer and response.

use super::args::ScoreArgs;
use super::failure::Failure;
use crate::task::score::score_lines;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

pub fn score(args: &ScoreArgs) -> Result<(), Failure> {
    let input = File::open(&args.input)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", args.input.display())))?;
    if input.metadata().is_ok_and(|data| data.is_dir()) {
        return Err(Failure::usage(format!("failed to read {}: it is a folder", args.input.display())));
    }
    let input = BufReader::new(input);
    let tally = match &args.out {
        Some(path) => whole(path, |out| score_lines(input, out))?,
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            let tally = score_lines(input, &mut out)?;
            out.flush()?;
            tally
        }
    };
    tell!(
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

/// Writes a file that appears when it is whole, even in the place of what is read. Places that are no files (`/dev/stdout`)
/// are written as they are.
fn whole<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<T>) -> Result<T, Failure> {
    let special = path.metadata().is_ok_and(|data| !data.is_file());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft =
        if special { path.to_path_buf() } else { path.with_file_name(format!(".{name}.{}.tmp", std::process::id())) };
    let written = File::create(&draft).and_then(|file| {
        let mut out = BufWriter::new(file);
        let given = write(&mut out)?;
        out.flush()?;
        if !special {
            std::fs::rename(&draft, path)?;
        }
        Ok(given)
    });
    written.map_err(|error| {
        if !special {
            let _ = std::fs::remove_file(&draft);
        }
        Failure::usage(format!("failed to write {}: {error}", path.display()))
    })
}
