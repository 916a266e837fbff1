//! Does this machine reproduce our bytes? A run of every kind of stage, small enough for seconds, and the digests that it
//! gave where it was written.
//!
//! The numbers of this program are products and sums of f32 in an order of its own, which no processor may change, plus a few
//! calls of the system's `exp`, `ln`, `sin`, `cos` and `pow` (the angles of rotary positions, schedules, the draws of initial
//! weights, the ratio of an update). Those calls are the only place where two systems may differ, so they have digests too.

use crate::cache::{Store, disk};
use crate::cli::failure::Failure;
use crate::exec::{Setup, Stop, run as execute};
use crate::model::kernel::WIDEST;
use crate::plan::{Caps, lower};
use crate::recipe::{Backend, Key};
use crate::spec::experiment::Experiment;
use crate::spec::lab::Lab;
use crate::spec::mistake::Source;
use crate::stages::LocalBench;
use std::sync::atomic::Ordering;

/// What the self-test gave where it was written: an x86-64 with AVX2 and FMA, glibc. A change of numerics moves them together
/// with a stage's `VERSION`; the test below says the new ones.
const REFERENCE: [(&str, &str); 5] = [
    ("corpus", "2a535de99308"),
    ("pretrain", "585e725ba132"),
    ("midtrain", "eda73629d136"),
    ("rl", "41bade524d34"),
    ("eval", "1639d9fa6834"),
];

/// The same for the system's functions over a grid of arguments.
const FUNCTIONS: [(&str, &str); 5] = [
    ("exp", "f78c3c2fffe1"),
    ("ln", "871c3ac082e4"),
    ("sin", "dfc88442aed7"),
    ("cos", "3d2449da9b32"),
    ("pow", "4f1f53e38dd2"),
];

/// What a self-test gave: a digest of all files of all stages of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests(pub Vec<(&'static str, String)>);

impl Digests {
    /// One digest of all.
    pub fn all(&self) -> String {
        let text: Vec<String> = self.0.iter().map(|(kind, digest)| format!("{kind} {digest}")).collect();
        Key::of(text.join("\n").as_bytes()).short()
    }

    /// Kinds whose bytes are others than the reference's, in the order in which stages follow one another.
    pub fn differing(&self) -> Vec<&'static str> {
        let same = |(kind, digest): &&(&'static str, String)| REFERENCE.contains(&(kind, digest.as_str()));
        self.0.iter().filter(|entry| !same(entry)).map(|(kind, _)| *kind).collect()
    }
}

/// Runs the self-test in a temporary folder.
pub fn run(threads: usize) -> Result<Digests, Failure> {
    run_in_lab(include_str!("lab.yaml"), threads, Backend::Cpu, &LocalBench::default())
}

/// Whether the kernels give the same bytes in every form that this processor can run (AVX-512, AVX2, and what every processor
/// of the family has). Without the instruction a fused multiply-add is a call, a hundred times slower; so the amounts are
/// smaller.
pub fn portable_kernels_agree(threads: usize) -> Result<bool, Failure> {
    let run = || run_in_lab(&small(), threads, Backend::Cpu, &LocalBench::default());
    let widest = run()?;
    let narrower = [1, 0].map(|form| {
        WIDEST.store(form, Ordering::Relaxed);
        run()
    });
    WIDEST.store(2, Ordering::Relaxed);
    for digests in narrower {
        if digests? != widest {
            return Ok(false);
        }
    }
    Ok(true)
}

fn small() -> String {
    include_str!("lab.yaml").replace("4k tokens", "512 tokens").replace("here: 6 }", "here: 1 }")
}

fn run_in_lab(lab: &str, threads: usize, backend: Backend, bench: &LocalBench) -> Result<Digests, Failure> {
    let experiment = Experiment::parse(&Source::new("selftest.yaml", include_str!("experiment.yaml")))?;
    let lab = Lab::parse(&Source::new("lab.yaml", lab))?;
    let seeds = lower::seeds(&experiment, &lab, None);
    let trials = lower(&experiment, &lab, &seeds, backend).map_err(Failure::internal)?;
    let folder = tempfile::tempdir()?;
    let (store, results) = (Store::create(&folder.path().join("store"))?, folder.path().join("results"));
    let mut setup = Setup::new(&trials, &store, &results);
    (setup.threads, setup.backend) = (threads, backend);
    let summary = execute(&setup, Caps::default(), bench, &Stop::default(), &|_| {})?;
    if let Some((stage, message)) = summary.failed.first() {
        return Err(Failure::internal(format!("the self-test failed in `{}`: {message}", stage.name)));
    }
    let mut digests = vec![];
    for (kind, _) in REFERENCE {
        let mut text = String::new();
        for record in store.records()?.iter().filter(|record| record.kind == kind) {
            let dir = store.open(&record.key)?.dir;
            for name in disk::files(&dir)?.iter().filter(|name| *name != "record.json") {
                text += &format!("{name} {}\n", disk::digest(&dir.join(name))?.0);
            }
        }
        digests.push((kind, Key::of(text.as_bytes()).short()));
    }
    Ok(Digests(digests))
}

/// Functions of this system's mathematical library that round other than the reference's.
pub fn differing_functions() -> Vec<&'static str> {
    let given = functions();
    given.iter().filter(|(name, digest)| !FUNCTIONS.contains(&(name, digest.as_str()))).map(|(name, _)| *name).collect()
}

fn functions() -> Vec<(&'static str, String)> {
    let digest = |f: &dyn Fn(f64) -> f64| {
        let bytes: Vec<u8> = (1..=4096).flat_map(|i| f(i as f64 * 0.013_7).to_bits().to_le_bytes()).collect();
        Key::of(&bytes).short()
    };
    vec![
        ("exp", digest(&|x| (x - 28.0).exp())),
        ("ln", digest(&f64::ln)),
        ("sin", digest(&f64::sin)),
        ("cos", digest(&f64::cos)),
        ("pow", digest(&|x| 10_000f64.powf(-x / 56.0))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole way of `ablate run --device cuda`, with candle's CPU device in the place of a GPU.
    #[test]
    fn every_kind_of_stage_is_made_on_a_device_under_keys_of_its_own() {
        let bench = LocalBench::with(candle_core::Device::Cpu);
        let (host, device) = (LocalBench::default(), run_in_lab(&small(), 2, Backend::Cuda, &bench).unwrap());
        let host = run_in_lab(&small(), 2, Backend::Cpu, &host).unwrap();
        // Text is the same everywhere; weights are others in their last bits.
        assert_eq!(device.0[0], host.0[0]);
        for kind in [1, 2, 3] {
            assert_ne!(device.0[kind], host.0[kind]);
        }
        let nothing = Key::of(b"").short();
        assert!(device.0.iter().all(|(_, digest)| *digest != nothing), "{device:?}");
    }

    #[test]
    fn this_machine_gives_the_bytes_of_the_reference_on_any_number_of_threads_and_on_portable_kernels() {
        let (one, two) = (run(1).unwrap(), run(2).unwrap());
        assert_eq!(one, two);
        assert!(portable_kernels_agree(2).unwrap(), "AVX2 and portable kernels give other bytes");
        if !differing_functions().is_empty() {
            println!("skipped: this system's mathematical library is not the reference's: {:?}", functions());
            return;
        }
        let moved = one.differing();
        assert!(moved.is_empty(), "if numerics were meant to move, REFERENCE is now {:?}", one.0);
    }
}
