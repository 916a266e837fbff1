//! Death at every named point, then life again: the same bytes as if nothing had happened.
//!
//! The tests start this very test binary again as a child, which runs the experiment and dies where it is told.

use super::*;
use crate::cache;
use std::collections::BTreeSet;
use std::process::Command;

const CHILD: &str = "ABLATE_TEST_CHILD";

/// `work` in a child process.
pub fn child_command(dir: &Path, work: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "exec::tests::crash::child", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, format!("{work}:{}", dir.display())).env_remove("ABLATE_FAULT");
    command
}

/// Runs `work` in a child process that dies at a fault point. Returns whether it died.
fn dies(dir: &Path, work: &str, fault: &str) -> bool {
    !child_command(dir, work).env("ABLATE_FAULT", fault).output().unwrap().status.success()
}

/// Not a law: what the children do.
#[test]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (work, dir) = order.split_once(':').unwrap();
    match work {
        "run" => {
            run_in(Path::new(dir), &experiment(), &StubBench::default(), |_| {});
        }
        #[cfg(target_os = "linux")]
        "soak" => soak::soak(Path::new(dir)),
        "slowly" => {
            let mut bench = StubBench::default();
            bench.pause = std::time::Duration::from_millis(10);
            let summary = run_in(Path::new(dir), &experiment(), &bench, |_| {});
            let note = Path::new(dir).join(format!("made-{}", std::process::id()));
            std::fs::write(note, summary.made.to_string()).unwrap();
        }
        _ => {
            let store = Store::create(&Path::new(dir).join(".store")).unwrap();
            let needed = experiment()[0].stages.iter().map(|stage| stage.key).collect();
            cache::collect(&store, &needed).unwrap();
        }
    }
}

#[test]
fn killed_at_any_point_and_run_again_all_bytes_are_those_of_an_undisturbed_run() {
    let whole = Place::new();
    whole.run(&experiment(), &StubBench::default());
    let (results, artifacts) = (whole.result_bytes(), whole.artifact_bytes());
    let mut deaths = 0;
    for point in [
        "mid-train-step",
        "mid-rl-step",
        "mid-eval",
        "after-temp-write",
        "before-rename",
        "after-rename",
        "before-record",
        "after-record",
    ] {
        for passage in [1, 2, 5, 8] {
            let place = Place::new();
            let died = dies(place.path(), "run", &format!("{point}:{passage}"));
            assert!(died, "{point}:{passage} was not passed");
            deaths += 1;
            let bench = StubBench::default();
            let summary = place.run(&experiment(), &bench);
            assert_eq!((summary.trials_finished, summary.failed.len()), (4, 0), "{point}:{passage}");
            assert_eq!(results, place.result_bytes(), "{point}:{passage}");
            assert_eq!(artifacts, place.artifact_bytes(), "{point}:{passage}");
            assert!(cache::verify(&place.store()).unwrap().findings.is_empty());
            if point.starts_with("mid-") {
                let all = 3 * STAGES as u64;
                assert!(bench.steps_done() < all, "{point}:{passage}: saved steps are not done again");
            }
        }
    }
    assert_eq!(deaths, 8 * 4);
}

#[test]
fn killed_again_and_again_a_run_still_arrives() {
    let (whole, place) = (Place::new(), Place::new());
    whole.run(&experiment(), &StubBench::default());
    let mut deaths = 0;
    while dies(
        place.path(),
        "run",
        ["before-record:2", "mid-train-step:2", "after-rename:1", "mid-rl-step:2"][deaths % 4],
    ) {
        deaths += 1;
        assert!(deaths < 100, "each life gets a stage further");
    }
    assert!(deaths > 4);
    place.run(&experiment(), &StubBench::default());
    assert_eq!(whole.result_bytes(), place.result_bytes());
    assert_eq!(whole.artifact_bytes(), place.artifact_bytes());
}

#[test]
fn a_killed_gc_harms_nothing() {
    let place = Place::new();
    let trials = experiment();
    place.run(&trials, &StubBench::default());
    assert!(dies(place.path(), "gc", "during-gc:3"));
    assert!(cache::verify(&place.store()).unwrap().findings.is_empty());
    assert_eq!(place.run(&trials[..1], &StubBench::default()).made, 0, "what was needed is still there");
    let needed: BTreeSet<_> = trials[0].stages.iter().map(|stage| stage.key).collect();
    cache::collect(&place.store(), &needed).unwrap();
    assert!(cache::garbage(&place.store(), &needed).unwrap().is_empty());
}
