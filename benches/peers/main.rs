//! The engine beside PyTorch, transformers and TRL: `cargo bench --bench peers [-- ROW...] [--repetitions N] [--quick]`.
//!
//! Makes a Python environment from `requirements.txt` (or takes the interpreter that `ABLATE_PEERS_PYTHON` names), does the
//! same work on both sides in turn, and writes every repetition to `benches/results.csv` and the table to
//! `benches/results.md`. ROW keeps rows whose name contains it; the other rows keep what the file says of them.
//!
//! One core unless a row says otherwise. Rows on one core count processor seconds, so that other work on the machine
//! matters little; rows on two cores count wall-clock seconds and want a quiet machine.

mod model;
mod ours;
mod peer;
mod rows;
mod scaling;
mod table;

use peer::{Peer, Python};
use rows::{Row, rows};
use std::path::Path;
use table::{Measurement, Measurements};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let (mut wanted, mut repetitions, mut python) = (vec![], 5, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => repetitions = 1,
            "--repetitions" => repetitions = arguments.next().and_then(|n| n.parse().ok()).ok_or("--repetitions N")?,
            // This program again, as a process whose memory is its own.
            "--peak" => return ours::peak(Path::new(&arguments.next().ok_or("--peak DIR")?)),
            _ => wanted.push(argument),
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let mut measurements = Measurements::read(&folder.join("results.csv"))?;
    let work = tempfile::tempdir()?;
    // After every row, so that a run that is stopped keeps what it has measured.
    let write = |measurements: &Measurements| -> Result<()> {
        measurements.write(&folder.join("results.csv"))?;
        Ok(std::fs::write(folder.join("results.md"), table::render(&rows(), measurements))?)
    };
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    for row in rows().iter().filter(|row| asked(row.name)) {
        if python.is_none() {
            measurements.notes = table::machine(python.insert(Python::find(&folder)?))?;
        }
        let measured = run(row, python.as_ref().ok_or("no interpreter")?, work.path(), repetitions)?;
        measurements.replace(row.name, measured);
        write(&measurements)?;
    }
    if asked("scaling") {
        measurements.replace("scaling", scaling::run());
        write(&measurements)?;
    }
    println!("{}", folder.join("results.md").display());
    Ok(())
}

/// All sides of a row in turn, so many times over.
fn run(row: &Row, python: &Python, work: &Path, repetitions: usize) -> Result<Vec<Measurement>> {
    let place = work.join(row.name.replace(' ', "-"));
    let mut ours = ours::prepare(&row.work, row.threads, &place)?;
    let mut peers: Vec<Peer> = vec![];
    for (side, _) in row.peers {
        peers.push(Peer::start(python, side, ours::job(&row.work, side, &place))?);
    }
    let mut measured = vec![];
    for repetition in 0..repetitions {
        for (side, run) in &mut ours {
            measured.push(Measurement::new(row, side, repetition, run()));
        }
        for peer in &mut peers {
            measured.push(Measurement::new(row, peer.side, repetition, peer.run()?));
        }
        for m in &measured[measured.len() - ours.len() - peers.len()..] {
            println!("{:<24} {:<28} {:>12.1} {}   ({})", row.name, m.side, m.rate(), row.unit, m.done.check);
        }
    }
    Ok(measured)
}
