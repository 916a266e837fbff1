//! What we stand on: every crate's licence is one of `deny.toml`, two versions of a crate are a decision that is written
//! there, and no dependency is there for nothing. `unsafe` stays in the modules that are named here.
//!
//! `cargo deny check` says the same and more; this needs nothing but cargo, and no network.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Features that need a vendor's compiler, of which nothing is ever built here.
const NEVER_BUILT: [&str; 2] = ["cuda", "metal"];

/// What cargo knows about the crates of a default build, and about those of a build with all features that can be built.
/// What it can't say without a network (`cargo fetch --locked` beforehand) is left out, with the reason.
fn metadata() -> Vec<Value> {
    let Some(default) = metadata_with(&[]) else { return vec![] };
    let own = default["packages"].as_array().unwrap().iter().find(|package| package["name"] == "ablate").unwrap();
    let features = own["features"].as_object().unwrap().keys().map(String::as_str);
    let features: Vec<&str> = features.filter(|name| !NEVER_BUILT.contains(name)).collect();
    let all = metadata_with(&["--features", &features.join(",")]);
    [Some(default), all].into_iter().flatten().collect()
}

fn metadata_with(flags: &[&str]) -> Option<Value> {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
    let version = Command::new(&cargo).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut command = Command::new(&cargo);
    command.current_dir(root()).args(["metadata", "--offline", "--locked", "--format-version", "1"]);
    let output = command.args(["--filter-platform", host]).args(flags).output().unwrap();
    if !output.status.success() {
        println!("skipped {flags:?}: cargo metadata says {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Packages that are really built, not just named in the lock file.
fn built(metadata: &Value) -> Vec<&Value> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let ids: BTreeSet<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    metadata["packages"].as_array().unwrap().iter().filter(|p| ids.contains(p["id"].as_str().unwrap())).collect()
}

/// Quoted words of a list in `deny.toml`.
fn listed(list: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let text = text.split_once(&format!("\n{list} = [\n")).unwrap().1.split_once("\n]").unwrap().0.to_string();
    text.lines().filter_map(|line| Some(line.split('"').nth(1)?.to_string())).collect()
}

/// Whether a licence expression can be satisfied with these licences. `/` is an old way to write `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "~");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let fine = either(&mut rest, allowed);
    fine && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fine = both(rest, allowed);
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        fine |= both(rest, allowed);
    }
    fine
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fine = one(rest, allowed);
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        fine &= one(rest, allowed);
    }
    fine
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let Some((first, after)) = rest.split_first() else { return false };
    *rest = after;
    if *first == "(" {
        let fine = either(rest, allowed);
        *rest = rest.get(1..).unwrap_or_default();
        return fine;
    }
    allowed.contains(&first.replace('~', " WITH "))
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allowed = BTreeSet::from(["MIT".to_string(), "Zlib".to_string(), "Apache-2.0 WITH LLVM-exception".to_string()]);
    for fine in ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND Zlib", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(satisfied(fine, &allowed), "{fine}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "Apache-2.0", ""] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let allowed = listed("allow");
    let metadata = metadata();
    let packages: Vec<&Value> = metadata.iter().flat_map(built).collect();
    assert!(metadata.is_empty() || packages.len() > 50);
    let wrong: BTreeSet<String> = packages
        .iter()
        .filter(|package| !satisfied(package["license"].as_str().unwrap_or(""), &allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "licences that deny.toml does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn two_versions_of_a_crate_are_a_decision() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.iter().flat_map(built) {
        versions.entry(package["name"].as_str().unwrap()).or_default().insert(package["version"].as_str().unwrap());
    }
    let known = listed("skip");
    let new: Vec<_> = versions.iter().filter(|(name, v)| v.len() > 1 && !known.contains(**name)).collect();
    assert!(new.is_empty(), "in several versions, and not in deny.toml: {new:?}");
}

/// All Rust code under some folders of the repository, without comments.
fn code(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in walkdir::WalkDir::new(root().join(folder)).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.push((name, lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    found
}

#[test]
fn no_dependency_is_there_for_nothing() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let all: String = code(&["src", "tests", "benches"]).into_iter().map(|(_, text)| text + "\n").collect();
    let ours: String = code(&["src"]).into_iter().map(|(_, text)| text + "\n").collect();
    let mut section = "";
    let mut unused = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies")
            && let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['#', ' ']))
        {
            let name = name.trim().replace('-', "_");
            let text = if section.contains("dev") { &all } else { &ours };
            let used = [format!("{name}::"), format!("use {name}"), format!("{name}!")];
            if !used.iter().any(|word| text.contains(word.as_str())) {
                unused.push(name);
            }
        }
    }
    assert!(unused.is_empty(), "dependencies that no code names: {unused:?}");
}

#[test]
fn unsafe_code_stays_where_it_is_named() {
    // Calls of functions compiled for processor features just found present, and read-only memory maps.
    const NAMED: [&str; 4] =
        ["src/model/kernel/mod.rs", "src/model/weights.rs", "src/train/snapshot.rs", "src/data/shards.rs"];
    for (file, text) in code(&["src", "tests", "benches"]) {
        let word = ["un", "safe"].concat();
        let has = text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
        assert!(!has || NAMED.contains(&file.as_str()), "{file} has {word} code and is not among {NAMED:?}");
    }
    for file in NAMED {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let reasons = text.matches("// SAFETY: ").count();
        let word = ["un", "safe {"].concat();
        assert_eq!(text.matches(&word).count(), reasons, "{file}: every block says why it is sound");
    }
}
