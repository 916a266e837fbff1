//! A model by its name on the Hub, from a loopback server, and then from the cache alone.

#![cfg(feature = "hub")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Stops the server whatever happens.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a folder; none, with the reason printed, where there is no server or no Python.
fn serve(folder: &Path) -> Option<(Server, u16)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/hub/mock.py");
    if !script.exists() {
        println!("skipped: no {}", script.display());
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut python = Command::new("python3");
    python.arg(script).arg(folder).arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(server) = python.spawn() else {
        println!("skipped: no python3");
        return None;
    };
    let server = Server(server);
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((server, port));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the server did not start");
}

fn logits(place: &Path, port: u16, offline: &str, model: &str) -> Output {
    fs::write(place.join("ids.json"), "[[1,2,3]]").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
    command.current_dir(place).args(["logits", "--model", model, "--ids", "ids.json", "--out", "out.safetensors"]);
    command.env("HF_HOME", place.join("home")).env("HF_ENDPOINT", format!("http://127.0.0.1:{port}"));
    command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN").env("HF_HUB_OFFLINE", offline).output().unwrap()
}

#[test]
fn a_model_is_fetched_once_and_found_again_without_a_network() {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/models/llama_tied");
    let Some((server, port)) = serve(&model) else { return };
    let dir = tempfile::tempdir().unwrap();
    let words = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = logits(dir.path(), port, "1", "hf://org/tiny");
    assert!(!refused.status.success() && words(&refused).contains("HF_HUB_OFFLINE"), "{}", words(&refused));
    let fetched = logits(dir.path(), port, "0", "hf://org/tiny");
    assert!(fetched.status.success(), "{}", words(&fetched));
    let bytes = fs::read(dir.path().join("out.safetensors")).unwrap();
    drop(server);
    let again = logits(dir.path(), port, "1", "hf://org/tiny");
    assert!(again.status.success(), "{}", words(&again));
    assert_eq!(fs::read(dir.path().join("out.safetensors")).unwrap(), bytes);
    let gone = logits(dir.path(), port, "0", "hf://org/other");
    assert!(!gone.status.success() && words(&gone).contains("127.0.0.1"), "{}", words(&gone));
}
