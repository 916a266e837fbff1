//! From prices to seconds, by the speeds that this store has seen.
//!
//! Seconds are work divided by the *measured* speed of the same stage kind on the same machine: where a price is off by some
//! factor, so is that speed, and the two cancel.

use super::cost::Cost;
use crate::cache::{self, Store, disk};
use crate::recipe::{Backend, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Measured speeds: machine, then stage kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calibration(BTreeMap<String, BTreeMap<String, Measured>>);

/// Work done and the time it took, summed over stages.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Measured {
    work: f64,
    seconds: f64,
    stages: u64,
}

impl Calibration {
    fn path(store: &Store) -> PathBuf {
        store.root().join("calibration.json")
    }

    /// The measured speeds of a store; none if there is no such file or it is damaged, for they are only a help.
    pub fn read(store: &Store) -> Calibration {
        let text = disk::read(&Calibration::path(store)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Adds stages that have just been made. Two runners that write at once lose one of the additions, nothing else.
    pub fn add(store: &Store, machine: &Machine, made: &[(Kind, Cost, f64)]) -> cache::store::Result<()> {
        let mut calibration = Calibration::read(store);
        for (kind, cost, seconds) in made {
            let work = work(*kind, cost);
            if work > 0.0 && *seconds > 0.0 {
                let kinds = calibration.0.entry(machine.name(machine.threads)).or_default();
                let measured = kinds.entry(kind.name().to_string()).or_default();
                *measured = Measured {
                    work: measured.work + work,
                    seconds: measured.seconds + seconds,
                    stages: measured.stages + 1,
                };
            }
        }
        let text = serde_json::to_vec_pretty(&calibration).expect("plain data");
        Ok(disk::write_atomic(&Calibration::path(store), &text)?)
    }

    /// How long a stage takes on a machine: as measured there with as many threads, or in proportion with another number of
    /// them, or a guess until one of its kind has been made there.
    pub fn seconds(&self, machine: &Machine, kind: Kind, cost: &Cost) -> f64 {
        let of = |threads: usize| {
            let measured = self.0.get(&machine.name(threads))?.get(kind.name())?;
            // Beside a GPU, threads of the host hardly matter.
            let more = if machine.backend == Backend::Cpu { machine.threads as f64 / threads as f64 } else { 1.0 };
            Some(more * measured.work / measured.seconds)
        };
        let others = self.0.keys().filter_map(|name| name.strip_prefix(&machine.prefix())?.parse::<usize>().ok());
        let mut others: Vec<usize> = others.filter(|threads| *threads > 0).collect();
        others.sort_by_key(|threads| threads.abs_diff(machine.threads));
        let rate = others.into_iter().find_map(of).unwrap_or_else(|| default_rate(kind, machine.backend));
        work(kind, cost) / rate
    }
}

/// Speeds hold for one machine, backend and number of threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub host: String,
    pub backend: Backend,
    pub threads: usize,
}

impl Machine {
    /// The one that this process runs on.
    pub fn here(backend: Backend, threads: usize) -> Machine {
        Machine { host: disk::host(), backend, threads }
    }

    fn prefix(&self) -> String {
        format!("{} {} ", self.host, format!("{:?}", self.backend).to_lowercase())
    }

    /// Under which its speeds are kept.
    fn name(&self, threads: usize) -> String {
        format!("{}{threads}", self.prefix())
    }
}

/// What a kind's time grows with: tokens for corpora, bytes for checkpoints, FLOPs for the rest.
fn work(kind: Kind, cost: &Cost) -> f64 {
    match kind {
        Kind::Corpus | Kind::Contamination => cost.tokens as f64,
        Kind::Checkpoint => cost.disk as f64,
        Kind::Pretrain | Kind::Midtrain | Kind::Rl | Kind::Eval => cost.flops,
    }
}

/// Work per second of one core (proxy models on a server with AVX-512, beside other work, gave 1e10 to 6e10 in training and
/// 2e10 to 1.1e11 in RL), or of one data-centre GPU at a modest share of its peak.
fn default_rate(kind: Kind, backend: Backend) -> f64 {
    let gpu = backend != Backend::Cpu;
    match kind {
        Kind::Corpus | Kind::Contamination => 1e6,
        Kind::Checkpoint => 5e8,
        Kind::Pretrain | Kind::Midtrain if gpu => 1e14,
        Kind::Rl | Kind::Eval if gpu => 1e13,
        Kind::Pretrain | Kind::Midtrain => 4e10,
        Kind::Rl | Kind::Eval => 5e10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_speeds_replace_the_guess_on_that_machine_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(dir.path()).unwrap();
        let cost = Cost { flops: 1e9, tokens: 1, disk: 1, known: true, ..Cost::default() };
        let on = |host: &str, backend, threads| Machine { host: host.into(), backend, threads };
        let (here, there) = (on("here", Backend::Cpu, 2), on("there", Backend::Cpu, 2));
        let guess = Calibration::read(&store).seconds(&here, Kind::Rl, &cost);
        Calibration::add(&store, &here, &[(Kind::Rl, cost, 3.0), (Kind::Rl, cost, 5.0)]).unwrap();
        let seconds = |machine: &Machine| Calibration::read(&store).seconds(machine, Kind::Rl, &cost);
        assert_eq!((seconds(&here), seconds(&there)), (4.0, guess));
        // Of one thread nothing is known but what two have shown; once it is, that counts.
        let alone = Machine { threads: 1, ..here.clone() };
        assert_eq!(seconds(&alone), 8.0);
        Calibration::add(&store, &alone, &[(Kind::Rl, cost, 6.0)]).unwrap();
        assert_eq!((seconds(&alone), seconds(&here)), (6.0, 4.0));
        let gpu = |threads| on("here", Backend::Cuda, threads);
        Calibration::add(&store, &gpu(16), &[(Kind::Rl, cost, 1.0)]).unwrap();
        assert_eq!(seconds(&gpu(1)), 1.0);
        std::fs::write(Calibration::path(&store), "{").unwrap();
        assert_eq!(Calibration::read(&store), Calibration::default(), "a damaged calibration is none");
    }
}
