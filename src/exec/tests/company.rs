//! Several processes on one store: each stage is made once, whoever sleeps or dies meanwhile.

#![cfg(unix)]

use super::crash::child_command;
use super::*;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A runner in a process of its own, which takes its time.
fn runner(place: &Place) -> Child {
    child_command(place.path(), "slowly").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// How many stages all runners together have made, as they noted on leaving.
fn made(place: &Place) -> usize {
    let names = crate::cache::disk::names(place.path()).unwrap();
    let notes = names.iter().filter(|name| name.starts_with("made-"));
    notes.map(|name| std::fs::read_to_string(place.path().join(name)).unwrap().parse::<usize>().unwrap()).sum()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn finished(place: &Place) -> usize {
    place.store().records().unwrap().len()
}

/// A runner stopped in the middle of the first stage that it makes.
fn stopped_runner(place: &Place) -> Child {
    let child = runner(place);
    let holds = || {
        place.store().leases().unwrap().iter().any(|(_, holder)| holder.as_ref().is_some_and(|h| h.pid == child.id()))
    };
    wait_until("a lease", holds);
    signal(&child, "-STOP");
    child
}

fn same_as_undisturbed(place: &Place) {
    let whole = Place::new();
    whole.run(&experiment(), &StubBench::default());
    assert_eq!(whole.result_bytes(), place.result_bytes());
    assert_eq!(whole.artifact_bytes(), place.artifact_bytes());
    assert!(crate::cache::verify(&place.store()).unwrap().findings.is_empty());
}

#[test]
fn ten_processes_make_each_stage_once() {
    let place = Place::new();
    let runners: Vec<Child> = (0..10).map(|_| runner(&place)).collect();
    for mut child in runners {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(made(&place), STAGES);
    same_as_undisturbed(&place);
}

#[test]
fn a_runner_that_is_stopped_keeps_its_stage_and_finishes_it_when_woken() {
    let place = Place::new();
    let mut sleeper = stopped_runner(&place);
    let held: Vec<_> = place.store().leases().unwrap().into_iter().map(|(key, _)| key).collect();
    let mut other = runner(&place);
    // Long past anything that could be called a sign of life, the other has done what it can and waits.
    std::thread::sleep(Duration::from_millis(600));
    let before = finished(&place);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(before, finished(&place), "nothing more can be done without the sleeper's stage");
    assert!(other.try_wait().unwrap().is_none(), "the other waits");
    assert!(held.iter().any(|key| place.store().open(key).is_err()), "the sleeper's stage is not made by the other");
    signal(&sleeper, "-CONT");
    assert!(sleeper.wait().unwrap().success() && other.wait().unwrap().success());
    assert_eq!(made(&place), STAGES, "nothing was made twice");
    same_as_undisturbed(&place);
}

#[test]
fn a_runner_that_dies_in_its_sleep_leaves_no_lock_behind() {
    let place = Place::new();
    let mut sleeper = stopped_runner(&place);
    let mut other = runner(&place);
    std::thread::sleep(Duration::from_millis(100));
    signal(&sleeper, "-KILL");
    sleeper.wait().unwrap();
    assert!(other.wait().unwrap().success(), "the other takes over by itself");
    same_as_undisturbed(&place);
}
