//! `ablate doctor`: is this machine fit for a run, and does it give our bytes?

use super::args::DoctorArgs;
use super::duration::duration;
use super::failure::Failure;
use super::folder;
use super::memory as machine;
use super::selftest;
use crate::cache::probe::probe;
use crate::plan::cost::bytes;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a line says about its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Runs, but something should be known.
    Note,
    Bad,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    subject: &'static str,
    state: State,
    words: String,
}

fn finding(subject: &'static str, state: State, words: impl Into<String>) -> Finding {
    Finding { subject, state, words: words.into() }
}

/// Available memory below which even the proxy lab is cramped.
const LITTLE_MEMORY: u64 = 1 << 30;
/// Free disk below which a run of several arms may end early.
const LITTLE_DISK: u64 = 2 << 30;
/// A sync that returns sooner has reached no disk that keeps what it was told.
const TOO_FAST: Duration = Duration::from_micros(20);

pub fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    folder::usable(&args.results, "--results")?;
    let mut bad = 0;
    let mut say = |finding: Finding| {
        let word = match finding.state {
            State::Good => "ok",
            State::Note => "note",
            State::Bad => "BAD",
        };
        println!("{:<10} {word:<5} {}", finding.subject, finding.words);
        bad += usize::from(finding.state == State::Bad);
    };
    say(processor());
    say(memory(machine::available()));
    disk(&args.results).into_iter().for_each(&mut say);
    say(gpu());
    if !args.no_self_test {
        say(self_test()?);
    }
    match bad {
        0 => Ok(()),
        _ => Err(Failure::internal(format!("{bad} of these need attention"))),
    }
}

fn processor() -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    #[cfg(target_arch = "x86_64")]
    let wide = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let wide = true;
    match wide {
        true => finding("threads", State::Good, format!("{threads}")),
        false => finding(
            "threads",
            State::Note,
            format!("{threads}; without AVX2 and FMA: the same bytes, many times slower"),
        ),
    }
}

fn memory(available: Option<u64>) -> Finding {
    match available {
        None => finding("memory", State::Note, "this system does not say how much is available"),
        Some(count) if count < LITTLE_MEMORY => {
            finding("memory", State::Note, format!("{} available: run one stage at a time with --jobs 1", bytes(count)))
        }
        Some(count) => finding("memory", State::Good, format!("{} available", bytes(count))),
    }
}

/// Space, locks and syncs where results will lie. Nothing is left there.
fn disk(results: &Path) -> Vec<Finding> {
    let folder = existing(results);
    let seen = probe(&folder);
    let kind = seen.kind.map_or(String::new(), |kind| format!(" ({kind})"));
    let space = match seen.free {
        None => finding(
            "disk",
            State::Note,
            format!("{}{kind}: this system does not say how much is free", folder.display()),
        ),
        Some(free) => {
            let state = if free < LITTLE_DISK { State::Note } else { State::Good };
            finding("disk", state, format!("{} free in {}{kind}", bytes(free), folder.display()))
        }
    };
    let locks = match seen.locks {
        Ok(()) => match seen.caveat {
            Some(caveat) => finding("locks", State::Note, format!("they work here; {caveat}")),
            None => finding("locks", State::Good, "a second lock on a locked file is refused"),
        },
        Err(error) => finding("locks", State::Bad, error.to_string()),
    };
    let sync = match seen.sync {
        Ok(time) if time < TOO_FAST => finding(
            "sync",
            State::Note,
            format!("{} µs: too fast for a disk; a power cut may lose finished stages", time.as_micros()),
        ),
        Ok(time) => finding(
            "sync",
            State::Good,
            format!("{:.1} ms to make a file and its name durable", 1e3 * time.as_secs_f64()),
        ),
        Err(error) => finding("sync", State::Bad, error.to_string()),
    };
    vec![space, locks, sync]
}

/// The folder itself, or the nearest above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|part| part.is_dir());
    above.filter(|part| !part.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

fn gpu() -> Finding {
    if !cfg!(any(feature = "cuda", feature = "metal")) {
        return finding("gpu", State::Good, "not needed: this build computes on the CPU");
    }
    #[cfg(feature = "cuda")]
    let device = candle_core::Device::new_cuda(0);
    #[cfg(all(feature = "metal", not(feature = "cuda")))]
    let device = candle_core::Device::new_metal(0);
    #[cfg(any(feature = "cuda", feature = "metal"))]
    if let Err(error) = device {
        return finding("gpu", State::Bad, format!("this build is for a GPU, and there is none to be had: {error}"));
    }
    finding("gpu", State::Good, "found")
}

fn self_test() -> Result<Finding, Failure> {
    let begun = Instant::now();
    let (ours, agree) = (selftest::run(2)?, selftest::portable_kernels_agree(2)?);
    let took = duration(begun.elapsed().as_secs_f64());
    if !agree {
        let words =
            "this processor's wide instructions give other bytes than its plain ones; please report it".to_string();
        return Ok(finding("self-test", State::Bad, words));
    }
    let differing = ours.differing();
    let Some(first) = differing.first() else {
        return Ok(finding("self-test", State::Good, format!("{}: the bytes of the reference, in {took}", ours.all())));
    };
    let functions = selftest::differing_functions();
    let cause = match functions.is_empty() {
        true => "the system's mathematical functions agree, so this should not be; please report it".to_string(),
        false => format!("because the system's {} round otherwise", functions.join(", ")),
    };
    let words = format!(
        "{}: from `{first}` on the bytes differ from the reference, {cause}. Runs here agree with one another; \
         don't share a store with machines that give another hash",
        ours.all()
    );
    Ok(finding("self-test", State::Note, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_what_is_above_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("a/b")), dir.path());
        assert_eq!(existing(Path::new("not-there")), Path::new("."));
        assert!(disk(&dir.path().join("a/b")).iter().all(|finding| finding.state != State::Bad));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn little_memory_is_told_with_what_to_do() {
        assert_eq!(memory(Some(8 << 30)).state, State::Good);
        assert!(memory(Some(1 << 20)).words.contains("--jobs 1"));
        assert_eq!(memory(None).state, State::Note);
    }
}
