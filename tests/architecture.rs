//! Who never imports whom. The table is the design; a new edge is a decision, made here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every module with the modules of ours that it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fault", &[]),
    ("text", &[]),
    ("recipe", &[]),
    ("spec", &["recipe"]),
    ("plan", &["recipe", "spec", "cache"]),
    ("cache", &["recipe"]),
    ("exec", &["recipe", "plan", "cache"]),
    ("verdict", &["recipe", "spec", "exec"]),
    ("report", &["recipe", "spec", "exec", "verdict"]),
    ("data", &["recipe"]),
    ("model", &["recipe"]),
    ("train", &["recipe", "model", "data"]),
    ("task", &["recipe"]),
    ("rl", &["recipe", "train", "model", "task", "data"]),
    ("eval", &["recipe", "model", "task", "data"]),
    ("stages", &["recipe", "exec", "cache", "data", "model", "train", "rl", "eval", "task"]),
];

fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().to_string_lossy();
        // Tests may import and print what they like.
        if name.ends_with(".rs") && !name.ends_with("tests.rs") && !name.contains("/tests/") {
            let text = fs::read_to_string(entry.path()).unwrap();
            found.push((entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned(), text));
        }
    }
    found
}

fn module_of(file: &str) -> &str {
    file.split(['/', '\\']).next().unwrap()
}

/// Names that follow `crate::` in code (comments and doc links may name anything).
fn imports(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let group = &group[..group.find("};").unwrap_or(group.len())];
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars().chain([',']) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(c),
                    _ => {}
                }
            }
        } else {
            found.push(rest.to_string());
        }
    }
    let head = |name: String| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    found.into_iter().map(head).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_what_the_design_allows() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut broken = Vec::new();
    for (file, text) in sources(Path::new("src")) {
        let module = module_of(&file);
        let Some(allowed) = allowed.get(module) else { continue };
        for import in imports(&text) {
            // A fault point may stand anywhere: in ordinary builds it is nothing. Anyone may read a text.
            if import != module && !["fault", "text"].contains(&import.as_str()) && !allowed.contains(&import.as_str())
            {
                broken.push(format!("src/{file} imports `{import}`, which `{module}` may not"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn nobody_but_the_command_line_prints() {
    let printing = ["println!", "eprintln!", "print!(", "dbg!("];
    let mut broken = Vec::new();
    for (file, text) in sources(Path::new("src")) {
        if module_of(&file) == "cli" || file == "main.rs" {
            continue;
        }
        for line in text.lines().take_while(|line| !line.contains("#[cfg(test)]")) {
            let code = line.split("//").next().unwrap();
            if printing.iter().any(|word| code.contains(word)) {
                broken.push(format!("src/{file}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "only `cli` prints:\n{}", broken.join("\n"));
}

#[test]
fn unseeded_randomness_stays_out_and_fused_ops_where_a_graph_is_recorded() {
    // candle's CPU randomness can't be seeded; its fused ops return tensors without a backward pass, silently, so they may
    // only be used where gradients are written out, and there nothing may record a graph.
    let random = ["Tensor::randn", "Tensor::rand(", "thread_rng", "from_os_rng"];
    let fused = ["softmax_last_dim", "candle_nn::ops::{", "ops::rms_norm", "rotary_emb::rope", "rope_thd("];
    let graph = ["Var::", "backward()"];
    let mut broken = Vec::new();
    for (file, text) in sources(Path::new("src")) {
        let banned = if file.starts_with("model/device/") { &graph[..] } else { &fused[..] };
        for line in text.lines() {
            let code = line.split("//").next().unwrap();
            if random.iter().chain(banned).any(|word| code.contains(word)) {
                broken.push(format!("src/{file}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_ledger_knows_no_tensors() {
    for (file, text) in sources(Path::new("src")) {
        if ["spec", "plan", "cache", "exec", "verdict", "report", "recipe"].contains(&module_of(&file)) {
            assert!(!text.contains("candle"), "src/{file} names candle");
        }
    }
}
