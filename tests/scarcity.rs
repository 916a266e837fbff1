//! Too little of everything: disk, handles, memory, permission to write. The program says what is short and what to do, keeps
//! what was finished, and goes on to the same bytes once there is enough.

#![cfg(all(feature = "engine", target_os = "linux"))]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const RUN: &str = "$ABLATE run bytes.yaml --lab ./tiny.yaml --results r --progress none --jobs 1";

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("bytes.yaml"), include_str!("../src/cli/selftest/experiment.yaml")).unwrap();
    fs::write(place.path().join("tiny.yaml"), include_str!("../src/cli/selftest/lab.yaml")).unwrap();
    fs::create_dir(place.path().join("r")).unwrap();
    place
}

fn shell(place: &Path, script: &str) -> Output {
    let mut command = Command::new("sh");
    command.current_dir(place).args(["-c", &format!("set -u\n{script}")]).env("ABLATE", env!("CARGO_BIN_EXE_ablate"));
    command.output().unwrap()
}

/// A shell in a mount namespace of its own with a small file system at `r`; `None`, with the reason, where that is not allowed.
fn mounted(place: &Path, options: &str, script: &str) -> Option<Output> {
    let may = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: this system lets nobody mount a file system in a namespace ({may:?})");
        return None;
    }
    let script = format!("set -u\nmount -t tmpfs -o {options} tmpfs r || exit 99\n{script}");
    let mut command = Command::new("unshare");
    command.current_dir(place).args(["-rm", "sh", "-c", &script]).env("ABLATE", env!("CARGO_BIN_EXE_ablate"));
    Some(command.output().unwrap())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The results files under a folder.
fn results(folder: &Path) -> BTreeMap<&'static str, String> {
    let read = |name| (name, fs::read_to_string(folder.join("bytes/selftest").join(name)).unwrap());
    [read("trials.jsonl"), read("curves.csv")].into()
}

/// Those of a run that lacked nothing.
fn expected(flags: &str) -> BTreeMap<&'static str, String> {
    let place = place();
    let output = shell(place.path(), &format!("{RUN} {flags}"));
    assert!(output.status.success(), "{}", said(&output));
    results(&place.path().join("r"))
}

#[test]
fn a_full_disk_stops_stages_and_not_the_truth() {
    let place = place();
    // Something else fills the disk once two stages are there.
    let script = format!(
        "{RUN} --seeds 4 2>&1 & run=$!\n\
         while [ $(ls r/.store/objects 2>/dev/null | wc -l) -lt 2 ] && kill -0 $run 2>/dev/null; do :; done\n\
         cat /dev/zero > r/filler 2>/dev/null\n\
         wait $run; echo first: $?\n\
         {RUN} --seeds 4; echo second: $?\n\
         $ABLATE verify --results r; echo verify: $?\n\
         rm r/filler\n\
         {RUN} --seeds 4; echo third: $?\n\
         $ABLATE verify --results r\n\
         mkdir out && cp -r r/bytes out"
    );
    let Some(output) = mounted(place.path(), "size=8m", &script) else { return };
    let said = said(&output);
    assert!(said.contains("verify: 0") && said.contains("third: 0"), "{said}");
    // Whichever file it is that did not fit, it is named.
    for line in said.lines().filter(|line| line.contains("No space left")) {
        assert!(line.contains("r/"), "{line}");
    }
    let full = ["failed to start: ", "No space left", "are free"];
    assert!(said.contains("second: ") && !said.contains("second: 0"), "{said}");
    assert!(said.contains("first: 1") || said.contains("first: 3"), "{said}");
    assert!(full.iter().any(|words| said.contains(words)) && said.contains("ablate gc"), "{said}");
    assert!(results(&place.path().join("out")) == expected("--seeds 4"));
}

#[test]
fn a_plan_that_does_not_fit_on_the_disk_is_refused_before_anything_is_made() {
    let place = place();
    let script = format!("{RUN}; echo code: $?; ls r/.store/objects | wc -l; ls -A r");
    let Some(output) = mounted(place.path(), "size=160k", &script) else { return };
    let said = said(&output);
    assert!(said.contains("code: 2") && said.contains("failed to start: "), "{said}");
    assert!(said.contains("are free") && said.contains("ablate gc"), "{said}");
    assert!(said.contains("\n0\n"), "something was made: {said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_can_still_be_read() {
    let place = place();
    let script = format!(
        "{RUN} --only family=llama >/dev/null 2>&1; echo first: $?\n\
         mount -o remount,ro r\n\
         {RUN}; echo second: $?\n\
         $ABLATE plan bytes.yaml --lab ./tiny.yaml --results r >/dev/null; echo plan: $?\n\
         $ABLATE status --results r; echo status: $?\n\
         $ABLATE verify --results r; echo verify: $?\n\
         $ABLATE report bytes.yaml --lab ./tiny.yaml --results r --out out/reports >/dev/null; echo report: $?\n\
         mount -o remount,rw r\n\
         {RUN}; echo third: $?\n\
         cp -r r/bytes out"
    );
    let Some(output) = mounted(place.path(), "size=64m", &script) else { return };
    let said = said(&output);
    for words in ["first: 0", "second: 1", "plan: 0", "status: 0", "verify: 0", "report: 0", "third: 0"] {
        assert!(said.contains(words), "no `{words}`: {said}");
    }
    assert!(said.contains("the file system is read-only: choose another folder with --results"), "{said}");
    assert!(results(&place.path().join("out")) == expected(""));
}

#[test]
fn too_few_file_handles_are_told_and_harm_nothing() {
    let place = place();
    let mut told = 0;
    for handles in [5, 6, 7, 8, 10] {
        let output = shell(place.path(), &format!("ulimit -n {handles}\n{RUN} --threads 2"));
        let said = said(&output);
        match output.status.code() {
            Some(0) => break,
            Some(1..=3) => told += usize::from(said.contains("raise `ulimit -n` or lower --jobs")),
            // The loader itself may not find a handle.
            code => assert!(handles < 6, "{handles} handles, {code:?}: {said}"),
        }
    }
    assert!(told > 0, "no run was short of handles");
    let output = shell(place.path(), RUN);
    assert!(output.status.success(), "{}", said(&output));
    assert!(results(&place.path().join("r")) == expected(""));
}

#[test]
fn a_run_that_needs_more_addresses_than_it_may_have_is_refused_before_anything_is_made() {
    let place = place();
    // What is generated together grows with the threads.
    let output = shell(place.path(), &format!("ulimit -v 100000\n{RUN} --threads 64"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("would hold about 129 MB") && said.contains("`ulimit -v` that leaves so little"), "{said}");
    assert!(!place.path().join("r/bytes").exists(), "{said}");
}

#[test]
fn too_little_memory_ends_a_run_and_the_next_one_goes_on() {
    let place = place();
    let mut short = 0;
    for megabytes in [16, 24, 32, 48, 64, 96] {
        let output = shell(place.path(), &format!("ulimit -c 0; ulimit -v {}\n{RUN} --threads 2", megabytes * 1024));
        if output.status.success() {
            break;
        }
        short += 1;
        // With the least of it the program does not even start.
        if !place.path().join("r/.store").exists() {
            continue;
        }
        let verified = shell(place.path(), "$ABLATE verify --results r");
        assert!(verified.status.success(), "after {megabytes} MB: {}", said(&verified));
    }
    assert!(short > 0, "no run was short of memory");
    let output = shell(place.path(), RUN);
    assert!(output.status.success(), "{}", said(&output));
    assert!(results(&place.path().join("r")) == expected(""));
}

/// A shell that may do only what permissions allow, whoever runs the tests; `None`, with the reason, where there is none.
fn permitted(place: &Path, script: &str) -> Option<Output> {
    let closed = place.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    // To root, permissions mean something once these are given up.
    let root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    for with in [&[][..], &root] {
        let run = |script: &str| {
            let line = [with, &["sh", "-c", script]].concat();
            let mut command = Command::new(line[0]);
            command.current_dir(place).args(&line[1..]).env("ABLATE", env!("CARGO_BIN_EXE_ablate")).output()
        };
        if run("mkdir closed/inner 2>/dev/null || echo held").is_ok_and(|output| output.stdout == b"held\n") {
            return Some(run(&format!("set -u\n{script}")).unwrap());
        }
        fs::remove_dir(closed.join("inner")).ok();
    }
    println!("skipped: to whoever runs this, permissions mean nothing, and `setpriv` can't change it");
    None
}

#[test]
fn what_may_not_be_read_or_written_is_named_and_never_taken_for_damage() {
    let place = place();
    let script = format!(
        "try() {{ echo \"$1\"; shift; \"$@\" 2>&1; echo \"code: $?\"; }}\n\
         chmod 555 r; try closed-results {RUN}; chmod 755 r\n\
         chmod 0 bytes.yaml; try closed-file {RUN}; chmod 644 bytes.yaml\n\
         {RUN} --only family=llama >/dev/null 2>&1\n\
         made=$(echo r/.store/objects/midtrain-*)\n\
         chmod 0 $made/record.json; try closed-record {RUN}; try verify $ABLATE verify --results r; chmod 644 $made/record.json\n\
         chmod 0 $made/model/*; try closed-weights {RUN}; chmod 644 $made/model/*\n\
         trials=r/bytes/selftest/trials.jsonl\n\
         chmod 0 $trials; try closed-trials {RUN}; try plan $ABLATE plan bytes.yaml --lab ./tiny.yaml --results r\n\
         try report $ABLATE report bytes.yaml --lab ./tiny.yaml --results r --out reports; chmod 644 $trials\n\
         test -e r/.store/quarantine && echo something is in quarantine\n\
         try open {RUN}\n\
         mkdir out && cp -r r/bytes out"
    );
    let Some(output) = permitted(place.path(), &script) else { return };
    let said = said(&output);
    let told = |what: &str| {
        let (_, after) = said.split_once(&format!("{what}\n")).unwrap_or_else(|| panic!("no `{what}`: {said}"));
        after.split_once("code: ").map(|(words, code)| (words, &code[..1])).unwrap()
    };
    for (what, code, file, mend) in [
        ("closed-results", "1", "r/.store/objects", "change its permissions, or choose another folder with --results"),
        ("closed-file", "2", "bytes.yaml", "let whoever runs this read it"),
        ("closed-record", "1", "record.json", "change its permissions"),
        ("verify", "1", "record.json", "change its permissions"),
        ("closed-weights", "1", "/model/", "change its permissions"),
        ("closed-trials", "1", "trials.jsonl", "change its permissions"),
        ("plan", "1", "trials.jsonl", "change its permissions"),
        ("report", "1", "trials.jsonl", "change its permissions"),
    ] {
        let (words, found) = told(what);
        assert!(found == code && words.contains(file) && words.contains(mend), "{what}: {said}");
        assert!(words.contains("Permission denied"), "{what}: {said}");
    }
    assert!(!said.contains("is in quarantine"), "{said}");
    let (words, code) = told("open");
    assert!(code == "0" && words.contains("7 cached"), "{said}");
    assert!(results(&place.path().join("out")) == expected(""));
}
