//! Bytes made by others: the kept fuzzing corpus and thousands of small corruptions of it go through everything that reads
//! files, without a panic and in bounded memory. The fuzz targets in `tests/fuzz` look for more, for as long as one lets them.

#![cfg(feature = "engine")]

#[path = "fuzz/entries.rs"]
mod entries;

use std::path::Path;

/// Numbers without pattern, the same in every run (an LCG; Knuth's constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides.max(1)
    }
}

/// Some bytes changed, cut out, repeated, or replaced by what numbers are made of at their limits.
fn corrupted(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + dice.roll(4) {
        let at = dice.roll(bytes.len());
        let end = (at + 1 + dice.roll(8)).min(bytes.len());
        match dice.roll(6) {
            _ if bytes.is_empty() => bytes.push(b'{'),
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => bytes[at..end].fill(0xff),
            4 => bytes.splice(at..at, bytes[at..end].repeat(1 + dice.roll(50))).for_each(drop),
            _ => {
                let words: [&[u8]; 6] = [b"-1", b"1e999", b"null", b"[", b"\"\\ud800\"", b"99999999999999999999"];
                bytes.splice(at..end, words[dice.roll(words.len())].iter().copied()).for_each(drop);
            }
        }
    }
    bytes
}

#[test]
fn whatever_the_bytes_every_reader_returns() {
    // For an afternoon of it: ABLATE_HOSTILE_ROUNDS=100000.
    let rounds = std::env::var("ABLATE_HOSTILE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, entry) in entries::ENTRIES {
        let mut seeds = 0;
        for seed in walkdir::WalkDir::new(folder.join(name)).sort_by_file_name() {
            let seed = seed.unwrap();
            if seed.file_type().is_file() {
                let bytes = std::fs::read(seed.path()).unwrap();
                entry(&bytes);
                let mut dice = Dice(bytes.len() as u64 + rounds);
                (0..rounds).for_each(|_| entry(&corrupted(&bytes, &mut dice)));
                seeds += 1;
            }
        }
        assert!(seeds > 0, "no corpus for `{name}`");
    }
    // The peak of this process, in kB, where the system tells.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 1_000_000, "{peak} kB");
    }
}
