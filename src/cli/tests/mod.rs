//! Whole commands, as a user types them.
//!
//! [`Place::ablate`] starts this very test binary again as the program, because fault points exist in test builds alone.

mod hostile;
mod kill_matrix;
mod messages;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const CHILD: &str = "ABLATE_TEST_COMMAND";

/// Not a law: the program.
#[test]
fn program() {
    let Ok(command) = std::env::var(CHILD) else { return };
    let words = ["ablate"].into_iter().chain(command.split('\n')).map(OsString::from);
    std::process::exit(super::command(words).into());
}

/// A folder to work in, with the self-test's experiment and lab in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        // In memory where the system offers that: hundreds of syncs take no time there.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let place = Place(dir.unwrap());
        place.write("bytes.yaml", include_str!("../selftest/experiment.yaml"));
        place.write("tiny.yaml", include_str!("../selftest/lab.yaml"));
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// `ablate WORDS…` in this folder, dying where `fault` says.
    fn ablate(&self, words: &str, fault: Option<&str>) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.current_dir(self.path()).args(["--exact", "cli::tests::program", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, words.replace(' ', "\n")).env_remove("ABLATE_FAULT");
        if let Some(fault) = fault {
            command.env("ABLATE_FAULT", fault);
        }
        command.output().unwrap()
    }

    /// Every file under a folder, but for those that tell times.
    fn bytes(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path().join(folder);
        let files = walkdir::WalkDir::new(&root).into_iter().filter_map(Result::ok);
        let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path());
        let clocks = ["record.json", "timing.jsonl", "phases.jsonl"];
        let files = files.filter(|path| !clocks.iter().any(|name| path.ends_with(name)));
        let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
    }
}

/// What a command said, for the message of a failed assertion.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
