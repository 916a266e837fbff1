//! Thousands of tiny stages in one process: memory, handles and time per stage stay flat.

#![cfg(target_os = "linux")]

use super::crash::child_command;
use super::*;
use std::fs;

/// Trials of three own stages each.
const TRIALS: u64 = 800;
/// Measurements over the whole run.
const QUARTERS: usize = 4;

/// Resident kilobytes, open handles, and CPU ticks of this process.
fn measure() -> [u64; 3] {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let words: Vec<u64> = stat.rsplit(')').next().unwrap().split_whitespace().filter_map(|w| w.parse().ok()).collect();
    // Without the state's letter, user time is the 11th and system time the 12th number.
    let ticks = words[10] + words[11];
    [
        resident.trim().trim_end_matches(" kB").parse().unwrap(),
        fs::read_dir("/proc/self/fd").unwrap().count() as u64,
        ticks,
    ]
}

/// What the child does: writes one line of measurements after each quarter of the stages.
pub fn soak(dir: &Path) {
    let trials: Vec<TrialPlan> = (0..TRIALS).map(|seed| sample::trial("a", 1, seed)).collect();
    let (store, results) = (Store::create(&dir.join(".store")).unwrap(), dir.join("results").join("lab"));
    let mut bench = StubBench::default();
    bench.steps = 1;
    let (stages, seen) = (4 + 3 * TRIALS as usize, Mutex::new((0, String::new())));
    let setup = Setup::new(&trials, &store, &results);
    let summary = run(&setup, Caps::default(), &bench, &Stop::default(), &|event| {
        if matches!(event, Event::StageFinished { .. }) {
            let mut seen = seen.lock().unwrap();
            seen.0 += 1;
            if seen.0 % (stages / QUARTERS) == 0 {
                let [resident, handles, ticks] = measure();
                seen.1 += &format!("{resident} {handles} {ticks}\n");
            }
        }
    });
    assert_eq!(summary.unwrap().made, stages);
    fs::write(dir.join("measured"), &seen.lock().unwrap().1).unwrap();
}

#[test]
fn thousands_of_stages_leave_memory_handles_and_time_flat() {
    let place = Place::new();
    assert!(child_command(place.path(), "soak").output().unwrap().status.success());
    let text = fs::read_to_string(place.path().join("measured")).unwrap();
    let rows: Vec<Vec<u64>> =
        text.lines().map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), QUARTERS, "{text}");
    println!("kB, handles, CPU ticks after each quarter of {} stages:\n{text}", 4 + 3 * TRIALS);
    let (second, last) = (&rows[1], &rows[QUARTERS - 1]);
    assert!(last[0] < second[0] + 16_384, "memory grows: {text}");
    assert!(last[1] <= second[1], "handles leak: {text}");
    let (early, late) = (rows[1][2] - rows[0][2], rows[QUARTERS - 1][2] - rows[QUARTERS - 2][2]);
    assert!(late < 3 * early + 20, "a stage costs more the later it comes: {text}");
}
