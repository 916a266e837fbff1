//! The pages over all reports: findings at a glance, then a gallery. Made from the reports that lie in the folder, so that
//! rendering one experiment keeps the others in view.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use maud::html;
use serde_json::Value;

use crate::report::markdown::escape;
use crate::report::metric::Unit;
use crate::report::write::Error;
use crate::report::{html as page, text};

/// One report found under the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Relative to the folder, with slashes.
    pub path: String,
    pub summary: Value,
    pub verdicts: Vec<Value>,
}

impl Entry {
    fn word<'a>(&'a self, key: &str) -> &'a str {
        self.summary.get(key).and_then(Value::as_str).unwrap_or("")
    }

    fn count(&self, key: &str) -> u64 {
        self.summary.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    fn title(&self) -> String {
        format!("{} · {}", self.word("experiment"), self.word("lab"))
    }

    fn size(&self) -> String {
        let imported = self.summary.get("imported").and_then(Value::as_bool) == Some(true);
        let size = format!("{} arms, {} seeds", self.count("arms"), self.count("seeds"));
        if imported { format!("{size}, imported") } else { size }
    }

    /// The first picture that shows the runs.
    fn picture(&self) -> Option<String> {
        let figures = self.summary.get("figures")?.as_array()?;
        let id = |f: &Value| f.get("id").and_then(Value::as_str).map(str::to_string);
        let ids: Vec<String> = figures.iter().filter_map(id).collect();
        let id = ids.iter().find(|id| *id == "curves").or(ids.first())?;
        Some(format!("{}/figures/{id}.png", self.path))
    }
}

/// Reads every `<experiment>/<lab>/` that has a summary, sorted by name.
pub fn collect(out: &Path) -> Result<Vec<Entry>, Error> {
    let mut entries = vec![];
    for experiment in folders(out)? {
        for lab in folders(&out.join(&experiment))? {
            let dir = out.join(&experiment).join(&lab);
            let Some(summary) = read(&dir.join("summary.json"))? else { continue };
            let verdicts = match read(&dir.join("verdicts.json"))? {
                Some(Value::Array(verdicts)) => verdicts,
                _ => vec![],
            };
            entries.push(Entry { path: format!("{experiment}/{lab}"), summary, verdicts });
        }
    }
    Ok(entries)
}

/// Writes `index.html` and `README.md` over the reports in `out`.
pub fn write(out: &Path) -> Result<(), Error> {
    let entries = collect(out)?;
    for (name, text) in [("README.md", readme(&entries)), ("index.html", index(&entries))] {
        let path = out.join(name);
        fs::write(&path, text).map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}

fn readme(entries: &[Entry]) -> String {
    let mut out = String::from("# Reports\n\nFindings at a glance: what the paper found, what was found here.\n\n");
    out.push_str("| Experiment | Claim | The paper | Here | Verdict |\n|---|---|---|---|---|\n");
    for entry in entries {
        for (index, v) in entry.verdicts.iter().enumerate() {
            let name = if index == 0 {
                format!("[{}]({}/README.md)", escape(&entry.title()), link(&entry.path))
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "| {name} | {} | {} | {} | **{}** |",
                escape(string(v, "statement")),
                escape(&text::paper(&v["paper"])),
                escape(&effect(v)),
                escape(&string(v, "verdict").replace('-', " ")),
            );
        }
    }
    for entry in entries {
        let _ = writeln!(out, "\n## [{}]({}/README.md)\n", escape(&entry.title()), link(&entry.path));
        let _ = writeln!(out, "{} ({})\n", escape(entry.word("question")), escape(&entry.size()));
        if let Some(picture) = entry.picture() {
            let _ =
                writeln!(out, "[![{}]({})]({}/README.md)", escape(&entry.title()), link(&picture), link(&entry.path));
        }
    }
    out
}

fn index(entries: &[Entry]) -> String {
    let body = html! {
        header { p.kicker { "ablate" } h1 { "Findings at a glance" } }
        table.findings {
            thead { tr { th { "Experiment" } th { "Claim" } th { "The paper" } th { "Here" } th { "Seeds" } th { "Verdict" } } }
            tbody {
                @for entry in entries {
                    @for (row, v) in entry.verdicts.iter().enumerate() {
                        tr {
                            td { @if row == 0 { a href={ (link(&entry.path)) "/index.html" } { (entry.title()) } } }
                            td { (string(v, "statement")) }
                            td.muted { (text::paper(&v["paper"])) }
                            td.number { (effect(v)) }
                            td.number { (v["n_seeds"].as_u64().unwrap_or(0)) }
                            td { (page::pill(string(v, "verdict"), &string(v, "verdict").replace('-', " "))) }
                        }
                    }
                }
            }
        }
        h2 { "Reports" }
        div.gallery {
            @for entry in entries {
                a.card href={ (link(&entry.path)) "/index.html" } {
                    @if let Some(picture) = entry.picture() { img src=(link(&picture)) alt="" loading="lazy"; }
                    h3 { (entry.title()) }
                    p { (entry.word("question")) }
                    p { (entry.size()) }
                }
            }
        }
    };
    page::document("Reports", body)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn effect(v: &Value) -> String {
    let number = |key: &str| v.get(key).and_then(Value::as_f64);
    let Some(mean) = number("estimate") else { return "–".into() };
    text::effect_text(Unit::of(string(v, "metric")), mean, number("low").zip(number("high")))
}

/// A path as a link: what Markdown or URLs would misread is percent-encoded.
fn link(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

fn folders(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

fn read(path: &PathBuf) -> Result<Option<Value>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::Summary { path: path.clone(), message: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.clone(), source }),
    }
}
