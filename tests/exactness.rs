//! The same experiment gives the same bytes: on one thread or two, one job or two, in one go or killed and run again.

#![cfg(feature = "engine")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LAB: &str = "
lab: tiny
extends: smoke
about: Enough to train, evaluate and reinforce within seconds.
seeds: 1
scale:
  tokens: { paper: 20B tokens, here: 40k tokens }
  rl_steps: { paper: 200, here: 4 }
families:
  llama: { pretrain: { budget: 60k tokens } }
  qwen: { pretrain: { budget: 60k tokens } }
corpus_size: 120k tokens
corpora: { megamath-web-pro-max: { size: 120k tokens } }
benchmarks: { gsm8k: { count: 6 }, math500: { count: 6 } }
rl: { prompts_per_step: 4, eval_every: 2 }
eval: { max_new_tokens: 32 tokens }
";

const EXPERIMENT: &str = "
question: Do bytes depend on anything but the file?
base:
  family: llama
  midtrain: { web: { mixture: { megamath-web-pro: 80%, megamath-qa: 20% }, budget: 20B tokens, schedule: cosine } }
  rl: { prompts: math8k, template: simple, max_response: 2048 tokens, steps: 200 }
  benchmarks: [gsm8k, math500]
axes:
  family:
    llama: { family: llama, baseline: true }
    qwen: { family: qwen }
";

fn ablate(place: &Path, results: &str, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
    command.current_dir(place).args(["run", "bytes.yaml", "--lab", "./tiny.yaml", "--results", results]);
    command.args(["--progress", "none"]).args(extra).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("tiny.yaml"), LAB).unwrap();
    fs::write(place.path().join("bytes.yaml"), EXPERIMENT).unwrap();
    place
}

/// Both results files.
fn results(place: &Path, name: &str) -> (String, String) {
    let folder = place.join(name).join("bytes/tiny");
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    (read("trials.jsonl"), read("curves.csv"))
}

#[test]
fn bytes_depend_on_neither_threads_nor_jobs_nor_a_kill_at_any_moment() {
    let place = place();
    assert!(ablate(place.path(), "one", &["--jobs", "1", "--threads", "1"]).status().unwrap().success());
    let expected = results(place.path(), "one");
    assert!(expected.1.lines().count() > 100, "{}", expected.1);

    // Where the time of each rollout step went is told beside the results.
    let phases = fs::read_to_string(place.path().join("one/bytes/tiny/phases.jsonl")).unwrap();
    for line in phases.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(["sample", "verify", "update"].iter().all(|phase| line[phase].as_f64().unwrap() >= 0.0), "{line}");
    }
    assert!(phases.contains("\"step\":1,"), "{phases}");

    assert!(ablate(place.path(), "two", &["--jobs", "2", "--threads", "2"]).status().unwrap().success());
    assert!(results(place.path(), "two") == expected, "two jobs of two threads gave other bytes");

    // Killed, without a chance to clean up, after ever longer times, until it gets through.
    let mut kills = 0;
    let mut patience = Duration::from_millis(80);
    loop {
        let mut child = ablate(place.path(), "killed", &["--jobs", "1", "--threads", "2"]).spawn().unwrap();
        std::thread::sleep(patience);
        patience = patience.mul_f64(1.3);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills > 2, "the run was too fast to be killed in its middle");
    assert!(results(place.path(), "killed") == expected, "{kills} kills gave other bytes");

    // Nothing is left to do, and the store is whole.
    let before = fs::metadata(place.path().join("one/bytes/tiny/curves.csv")).unwrap().len();
    assert!(ablate(place.path(), "one", &["--max-hours", "1"]).status().unwrap().success());
    assert_eq!(fs::metadata(place.path().join("one/bytes/tiny/curves.csv")).unwrap().len(), before);
    let verify = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
        command.current_dir(place.path()).args(["verify", "--results", "killed"]).args(extra);
        command.output().unwrap()
    };
    let again = verify(&["--recompute", "4"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));

    // A flipped bit is found, told, and mended by the next run.
    let object = walkdir::WalkDir::new(place.path().join("killed/.store/objects")).sort_by_file_name().into_iter();
    let weights =
        object.map(|entry| entry.unwrap().into_path()).find(|path| path.ends_with("model.safetensors")).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let found = verify(&[]);
    assert_eq!(found.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&found.stdout).contains("model.safetensors"));
    assert!(ablate(place.path(), "killed", &[]).status().unwrap().success());
    assert!(verify(&[]).status.success());
    assert!(results(place.path(), "killed") == expected, "mending gave other bytes");
}

#[test]
fn a_run_of_fewer_seeds_takes_nothing_away() {
    let place = place();
    assert!(ablate(place.path(), "out", &["--seeds", "2"]).status().unwrap().success());
    let both = results(place.path(), "out");
    assert!(ablate(place.path(), "out", &[]).status().unwrap().success());
    assert!(results(place.path(), "out") == both, "the lab asks for one seed; the other's rows still hold");

    // As in a clone of a repository that holds results and no store.
    fs::remove_dir_all(place.path().join("out/.store")).unwrap();
    assert!(ablate(place.path(), "out", &[]).status().unwrap().success());
    assert!(results(place.path(), "out") == both, "rows of a seed that was not asked for need no store");

    // Rows of another recipe go, whatever their seed.
    fs::write(place.path().join("tiny.yaml"), LAB.replace("budget: 60k tokens", "budget: 50k tokens")).unwrap();
    assert!(ablate(place.path(), "out", &[]).status().unwrap().success());
    let seeds = |trials: &str| trials.lines().map(|line| line.contains("\"seed\":1,")).collect::<Vec<_>>();
    assert_eq!(
        (seeds(&both.0), seeds(&results(place.path(), "out").0)),
        (vec![false, true, false, true], vec![false; 2])
    );
}

/// A run with an artifact to show for itself, so that it is under way.
fn under_way(place: &Path, results: &str, extra: &[&str]) -> Child {
    begun(place, results, ablate(place, results, extra))
}

fn begun(place: &Path, results: &str, mut command: Command) -> Child {
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let objects = place.join(results).join(".store/objects");
    let first = || fs::read_dir(&objects).is_ok_and(|mut entries| entries.next().is_some());
    for _ in 0..6000 {
        if first() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn an_interrupt_saves_and_says_how_to_go_on() {
    let place = place();
    let child = under_way(place.path(), "stopped", &["--jobs", "1"]);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("to go on: ablate run bytes.yaml --lab ./tiny.yaml --results stopped"), "{said}");
    assert!(ablate(place.path(), "stopped", &[]).status().unwrap().success());
    assert!(ablate(place.path(), "whole", &[]).status().unwrap().success());
    assert!(results(place.path(), "stopped") == results(place.path(), "whole"));
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// SIGHUP is the first bit of the mask of ignored signals.
#[cfg(target_os = "linux")]
fn hangups_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_terminal_stops_a_run_unless_it_was_started_to_outlive_it() {
    let place = place();
    let child = under_way(place.path(), "stopped", &["--jobs", "1"]);
    // These tests may run under `nohup` themselves; what is ignored is inherited, and only Ctrl-C stops a run then.
    let inherited = hangups_ignored();
    if inherited {
        println!("hang-ups are ignored here: a run that hears them is not tried");
    }
    signal(&child, if inherited { "-INT" } else { "-HUP" });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(130) && said.contains("to go on: ablate run"), "{said}");

    // As `nohup` starts it.
    let run = ablate(place.path(), "outlived", &["--jobs", "1"]);
    let mut command = Command::new("sh");
    command.current_dir(place.path()).args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(run.get_program());
    let child = begun(place.path(), "outlived", {
        command.args(run.get_args()).stdout(Stdio::null());
        command
    });
    signal(&child, "-HUP");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = results(place.path(), "outlived");

    // Whoever listened to its words has gone before it (`… 2>&1 | tee log`): it stops as cleanly.
    let mut child = under_way(place.path(), "unheard", &["--jobs", "1"]);
    drop(child.stderr.take());
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for name in ["stopped", "unheard"] {
        assert!(ablate(place.path(), name, &[]).status().unwrap().success());
        assert!(results(place.path(), name) == whole, "{name}");
    }
}

#[test]
fn two_interrupts_stop_at_once_and_a_deadline_stops_cleanly_and_neither_costs_a_byte() {
    let place = place();
    let child = under_way(place.path(), "stopped", &["--jobs", "2"]);
    for _ in 0..2 {
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped at once; run the same command again") || said.contains("to go on: "), "{said}");

    // From half a second on, each time a little longer, until it gets through.
    let (mut deadlines, mut hours) = (0, 0.00014);
    let last = loop {
        let mut command = ablate(place.path(), "stopped", &["--max-hours", &hours.to_string(), "--jobs", "1"]);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(130) => {
                assert!(said.contains("to go on: ablate run bytes.yaml --lab ./tiny.yaml --results stopped"), "{said}")
            }
            code => break (code, said),
        }
        deadlines += 1;
        hours *= 1.2;
    };
    assert_eq!(last.0, Some(0), "{}", last.1);
    assert!(deadlines > 0, "the run was too fast for a deadline");
    assert!(ablate(place.path(), "whole", &[]).status().unwrap().success());
    assert!(results(place.path(), "stopped") == results(place.path(), "whole"));
}
