//! Writing a report: the only place in the crate that writes under `reports/`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::fault;
use crate::report::{ExperimentInput, Report, html, markdown, png, sheet};

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("failed to read {path}: {message}")]
    Summary { path: PathBuf, message: String },
    #[error("failed to name a folder after `{0}`: a name has no slash and is not `.` or `..`")]
    Name(String),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `<out>/<experiment>/<lab>`.
    pub dir: PathBuf,
    /// Relative to `dir`, in order.
    pub files: Vec<PathBuf>,
}

/// Puts a file in the place of what was there: whoever looks, and whenever this process dies, it is the old one or the new
/// one, whole. Nothing is synced; what a power cut takes is drawn again from the results.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}{DRAFT}", std::process::id()));
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let written = File::create(&draft).and_then(|mut file| {
        // Locked while it grows, so that another rendering does not take it for a dead one's.
        let _ = file.try_lock();
        file.write_all(first)?;
        fault::point("mid-report");
        file.write_all(second)?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.map_err(|source| Error::Io { path: path.to_path_buf(), source })
}

/// How the names of drafts end.
const DRAFT: &str = ".tmp";

/// Removes what renderings that died have left in a folder.
pub(super) fn remove_drafts(folder: &Path) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let dead = || File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if name.starts_with('.') && name.ends_with(DRAFT) && dead() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Writes one report to `<out>/<experiment>/<lab>/`; the pages over all reports are [`overview::write`](crate::report::overview::write)'s. Pictures and tables of an
/// earlier rendering that no longer exist are removed.
pub fn write(input: &ExperimentInput, report: &Report, out: &Path) -> Result<Written, Error> {
    for name in [&input.name, &input.lab] {
        if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
            return Err(Error::Name(name.clone()));
        }
    }
    let dir = out.join(&input.name).join(&input.lab);
    let mut files = vec![];
    let mut put = |name: String, bytes: &[u8]| -> Result<(), Error> {
        fault::point("during-report");
        let path = dir.join(&name);
        let parent = path.parent().unwrap_or(&dir);
        fs::create_dir_all(parent).map_err(|source| Error::Io { path: path.clone(), source })?;
        replace(&path, bytes)?;
        files.push(PathBuf::from(name));
        Ok(())
    };
    for figure in &report.figures {
        put(format!("figures/{}.svg", figure.id), figure.svg().as_bytes())?;
        let bytes = png::bytes(&figure.scene);
        put(format!("figures/{}.png", figure.id), &bytes)?;
        #[cfg(feature = "pdf")]
        put(format!("figures/{}.pdf", figure.id), &crate::report::pdf::bytes(&figure.scene))?;
        put(format!("tables/{}.csv", figure.id), figure.table.csv().as_bytes())?;
    }
    let pretty = |value| serde_json::to_string_pretty(value).expect("plain data") + "\n";
    for sheet in &report.sheets {
        put(format!("tables/{}.csv", sheet.id), sheet.table.csv().as_bytes())?;
    }
    put("verdicts.json".into(), pretty(&report.verdicts).as_bytes())?;
    put("summary.json".into(), pretty(&summary(input, report)).as_bytes())?;
    put("README.md".into(), markdown::page(input, report).as_bytes())?;
    put("index.html".into(), html::page(input, report).as_bytes())?;
    remove_stale(&dir, &files)?;
    Ok(Written { dir, files })
}

/// What the pages over all reports need to know about this one.
fn summary(input: &ExperimentInput, report: &Report) -> serde_json::Value {
    let mut seeds: Vec<u64> = input.results.trials.iter().map(|t| t.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    json!({
        "experiment": input.name,
        "lab": input.lab,
        "question": input.question,
        "file": input.place.file,
        "results": input.place.results,
        "paper": {"section": input.place.section, "figure": input.place.figure, "table": input.place.table},
        "arms": input.arms.len(),
        "seeds": seeds.len(),
        "trials": input.results.trials.len(),
        "flops": input.results.trials.iter().map(|t| t.cost.flops).sum::<f64>(),
        "core_seconds": sheet::core_seconds(input).map(f64::round),
        "imported": input.results.trials.iter().any(|t| t.imported),
        "figures": report.figures.iter().map(|f| json!({"id": f.id, "title": f.title})).collect::<Vec<_>>(),
    })
}

fn remove_stale(dir: &Path, files: &[PathBuf]) -> Result<(), Error> {
    remove_drafts(dir);
    for folder in ["figures", "tables"] {
        let folder = dir.join(folder);
        remove_drafts(&folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = path.extension().is_some_and(|e| ["svg", "png", "pdf", "csv"].iter().any(|ending| e == *ending));
            let kept = path.strip_prefix(dir).is_ok_and(|relative| files.iter().any(|f| f == relative));
            if ours && !kept {
                fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
            }
        }
    }
    Ok(())
}
