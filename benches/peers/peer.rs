//! Python, and a peer that runs in it.

use crate::Result;
use crate::ours::Done;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// An interpreter with the peers installed.
pub struct Python {
    program: PathBuf,
    script: PathBuf,
}

impl Python {
    /// The one that `ABLATE_PEERS_PYTHON` names, or a new environment below `target`.
    pub fn find(benches: &Path) -> Result<Python> {
        let script = benches.join("peers/peer.py");
        if let Some(program) = std::env::var_os("ABLATE_PEERS_PYTHON") {
            return Ok(Python { program: program.into(), script });
        }
        let venv = benches.with_file_name("target").join("peers-venv");
        let program = venv.join("bin/python");
        if !venv.join("complete").exists() {
            println!("installing the peers into {} (once; some gigabytes)", venv.display());
            check(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            let requirements = benches.join("peers/requirements.txt");
            check(Command::new(&program).args(["-m", "pip", "install", "-q", "-r"]).arg(requirements))?;
            std::fs::write(venv.join("complete"), "")?;
        }
        Ok(Python { program, script })
    }
}

fn check(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// A process that does one repetition for each line it is sent.
pub struct Peer {
    pub side: &'static str,
    /// What it said once it was warm.
    pub ready: Value,
    process: Child,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts and warms a peer.
    pub fn start(python: &Python, side: &'static str, job: Value) -> Result<Peer> {
        let threads = job["threads"].as_u64().unwrap_or(1).to_string();
        let mut process = Command::new(&python.program)
            .arg(&python.script)
            .arg(job.to_string())
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let replies = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut peer = Peer { side, ready: Value::Null, process, replies };
        peer.ready = peer.reply()?;
        Ok(peer)
    }

    /// One repetition.
    pub fn run(&mut self) -> Result<Done> {
        if self.ready["peak"].is_number() {
            let field = |name: &str| self.ready[name].as_f64().unwrap_or(f64::NAN);
            return Ok(Done { units: field("peak"), cpu: 1.0, wall: 1.0, check: field("above") });
        }
        writeln!(self.process.stdin.as_mut().ok_or("no input")?, "go")?;
        let reply = self.reply()?;
        let field = |name: &str| reply[name].as_f64().unwrap_or(f64::NAN);
        let rate = self.side.contains("matrix product");
        let seconds = |name: &str| if rate { 1.0 } else { field(name) };
        Ok(Done { units: field("units"), cpu: seconds("cpu"), wall: seconds("wall"), check: field("check") })
    }

    /// The next line that is JSON; libraries print what they like.
    fn reply(&mut self) -> Result<Value> {
        let mut line = String::new();
        while self.replies.read_line(&mut line)? > 0 {
            if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line) {
                return Ok(value);
            }
            line.clear();
        }
        Err(format!("{} ended early; run peer.py by hand to see why", self.side).into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
