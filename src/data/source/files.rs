//! From a place to its files, and from files to a digest.

use super::SourceError;
use crate::recipe::Key;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Endings of files that hold records.
const ENDINGS: [&str; 4] = [".jsonl", ".ndjson", ".json", ".parquet"];
/// Endings that may follow.
const COMPRESSED: [&str; 3] = [".gz", ".zst", ".zstd"];

/// The files at a place, sorted by name, each once.
pub(super) fn find(place: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let no_files =
        |reason: &str| SourceError::NoFiles { place: place.display().to_string(), reason: reason.to_string() };
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    if place.is_dir() {
        let files = in_folder(place)?;
        return if files.is_empty() {
            Err(no_files("no file in the folder ends as a corpus file does"))
        } else {
            Ok(files)
        };
    }
    let pattern = place.to_str().filter(|text| text.contains(['*', '?', '[']));
    let pattern = pattern.ok_or_else(|| no_files("there is no such file or folder"))?;
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, ..Default::default() };
    let rule = glob::Pattern::new(pattern).map_err(|error| no_files(&error.to_string()))?;
    let matches = if pattern.contains("**") { walked(&rule, options)? } else { matched(&rule, options)? };
    let mut files = Vec::new();
    for path in matches {
        if path.is_dir() {
            files.extend(in_folder(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() { Err(no_files("no file matches the pattern")) } else { Ok(files) }
}

fn matched(rule: &glob::Pattern, options: glob::MatchOptions) -> Result<Vec<PathBuf>, SourceError> {
    let matches = glob::glob_with(rule.as_str(), options).expect("it has been a pattern before");
    let failed = |error: glob::GlobError| {
        let path = error.path().to_path_buf();
        SourceError::Io { doing: "list", path, source: error.into() }
    };
    matches.map(|path| path.map_err(failed)).collect()
}

/// What a pattern with `**` matches. The crate's own search follows a link to a folder above it as far as the system lets
/// it, and a corpus would be forty times itself.
fn walked(rule: &glob::Pattern, options: glob::MatchOptions) -> Result<Vec<PathBuf>, SourceError> {
    let wild = |part: &Component| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let fixed: PathBuf = Path::new(rule.as_str()).components().take_while(|part| !wild(part)).collect();
    let (root, here) = if fixed.as_os_str().is_empty() { (Path::new("."), true) } else { (fixed.as_path(), false) };
    let named =
        |path: &Path| if here { path.strip_prefix(".").unwrap_or(path).to_path_buf() } else { path.to_path_buf() };
    let matches = |path: &Path| rule.matches_path_with(&named(path), options);
    let mut found = Vec::new();
    if !root.exists() {
        return Ok(found);
    }
    // Wild parts of a pattern match no hidden name, so what lies below one is looked at only where it is spelt out.
    let mut wild = Path::new(rule.as_str()).components().skip(fixed.components().count());
    let spelt = wild.any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
    let seen = |entry: &walkdir::DirEntry| spelt || !hidden(entry);
    for entry in walkdir::WalkDir::new(root).follow_links(true).into_iter().filter_entry(seen) {
        match entry {
            Ok(entry) if matches(entry.path()) => found.push(named(entry.path())),
            Ok(_) => {}
            // A link to nothing too, whatever its name: it may have led to a folder of a disk that is not there.
            Err(error) => return Err(unlisted(root, error)),
        }
    }
    Ok(found)
}

fn hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

fn unlisted(folder: &Path, error: walkdir::Error) -> SourceError {
    let path = error.path().unwrap_or(folder).to_path_buf();
    let circle = || io::Error::other("it is a link to a folder above it");
    SourceError::Io { doing: "list", path, source: error.into_io_error().unwrap_or_else(circle) }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).into_iter().filter_entry(|entry| !hidden(entry)) {
        let entry = entry.map_err(|error| unlisted(folder, error))?;
        if entry.file_type().is_file() && holds_records(entry.path()) {
            files.push(entry.into_path());
        }
    }
    files.sort();
    Ok(files)
}

fn holds_records(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// SHA-256 over the SHA-256 of each file, in order, in bounded memory.
pub fn digest(files: &[PathBuf]) -> Result<Key, SourceError> {
    let mut all = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let failed = |source| SourceError::Io { doing: "read", path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut one = Sha256::new();
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => one.update(&buffer[..count]),
            }
        }
        all.update(one.finalize());
    }
    Ok(Key::from_digest(all.finalize().into()))
}
