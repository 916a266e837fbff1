//! The pages over all reports: the paper's findings at a glance, the way from its figures to our verdicts, every claim, a
//! gallery. Made from the reports that lie in the folder, so that rendering one experiment keeps the others in view.
//!
//! Where an experiment was run in several labs, the one with the most computation speaks in the findings and figures, with
//! the verdicts of the others beside it, so that nobody can pick; all of them are listed below.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::report::glance::{self, Glance};
use crate::report::guide::Guide;
use crate::report::markdown::escape;
use crate::report::write::{self, Error};
use crate::report::{index, png, scene, text};

/// One report found under the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Relative to the folder, with slashes; empty where an experiment was not run yet.
    pub path: String,
    pub summary: Value,
    pub verdicts: Vec<Value>,
}

impl Entry {
    pub fn word<'a>(&'a self, key: &str) -> &'a str {
        self.summary.get(key).and_then(Value::as_str).unwrap_or("")
    }

    fn number(&self, key: &str) -> f64 {
        self.summary.get(key).and_then(Value::as_f64).unwrap_or(0.0)
    }

    /// `section`, `figure` or `table` of the paper, as the experiment file writes it.
    pub fn paper(&self, key: &str) -> &str {
        self.summary["paper"][key].as_str().unwrap_or("")
    }

    pub fn title(&self) -> String {
        format!("{} · {}", self.word("experiment"), self.word("lab"))
    }

    pub fn imported(&self) -> bool {
        self.summary["imported"] == true
    }

    pub fn size(&self) -> String {
        let mut size = format!("{} arms, {} seeds", self.number("arms"), self.number("seeds"));
        if let Some(seconds) = self.summary["core_seconds"].as_f64() {
            size += &format!(", {} of core time", crate::report::sheet::duration(seconds));
        }
        if self.imported() { format!("{} arms, imported", self.number("arms")) } else { size }
    }

    /// The first picture that shows the runs.
    pub fn picture(&self) -> Option<String> {
        let figures = self.summary.get("figures")?.as_array()?;
        let id = |f: &Value| f.get("id").and_then(Value::as_str).map(str::to_string);
        let ids: Vec<String> = figures.iter().filter_map(id).collect();
        let id = ids.iter().find(|id| *id == "curves").or(ids.first())?;
        Some(format!("{}/figures/{id}.png", self.path))
    }
}

/// Everything the pages show.
pub struct Overview<'a> {
    pub guide: &'a Guide,
    pub entries: &'a [Entry],
    /// One report an experiment.
    pub leading: Vec<&'a Entry>,
    pub findings: Vec<Glance<'a>>,
}

impl<'a> Overview<'a> {
    /// `planned` are experiments as their files have them; those without a report are listed as not run.
    pub fn new(guide: &'a Guide, entries: &'a [Entry], planned: &'a [Entry]) -> Overview<'a> {
        let mut leading: Vec<&Entry> = vec![];
        for entry in entries.iter().filter(|entry| !entry.imported()).chain(planned) {
            match leading.iter_mut().find(|known| known.word("experiment") == entry.word("experiment")) {
                Some(known) if !entry.path.is_empty() && entry.number("flops") > known.number("flops") => {
                    *known = entry
                }
                Some(_) => {}
                None => leading.push(entry),
            }
        }
        let findings = guide.findings.iter().map(|finding| Glance {
            title: finding.finding.clone(),
            paper: finding.paper.clone(),
            claims: finding.claims.iter().map(|name| (name.clone(), find(&leading, name))).collect(),
        });
        let findings = findings.collect();
        Overview { guide, entries, leading, findings }
    }

    /// How many claims there are and how they fared, and what protects a reader from their number.
    pub fn tally(&self) -> Vec<String> {
        let all: Vec<&Value> = self.leading.iter().flat_map(|entry| &entry.verdicts).collect();
        let count = |name: &str| all.iter().filter(|v| glance::word(v) == name).count();
        let mut parts = vec![];
        for (name, word) in [
            ("supported", "supported"),
            ("refuted", "refuted"),
            ("inconclusive", "inconclusive"),
            ("not-run", "not run"),
        ] {
            if count(name) > 0 {
                parts.push(format!("{} {word}", count(name)));
            }
        }
        if parts.is_empty() {
            return vec![];
        }
        let experiments = self.leading.iter().filter(|entry| !entry.verdicts.is_empty()).count();
        let mut out = vec![format!(
            "{} claims in {experiments} experiments, fixed before the runs: {}. A claim needs an effect that is large enough to \
             matter and an interval, paired over seeds, that excludes zero.",
            all.len(),
            parts.join(", ")
        )];
        let mut p: Vec<f64> = all.iter().filter_map(|v| v["p"].as_f64()).collect();
        p.sort_by(f64::total_cmp);
        if self.entries.iter().filter(|entry| !entry.imported()).count() > experiments {
            out.push(
                "Where an experiment ran in several labs, the lab with the most computation is counted; what the others say \
                 stands beside it."
                    .to_string(),
            );
        }
        if p.len() > 1 && count("supported") > 0 {
            let tested = p.len();
            let limit = false_discovery_limit(&p, 0.05);
            let remain = all.iter().filter(|v| glance::word(v) == "supported");
            let remain =
                remain.filter(|v| v["p"].as_f64().is_some_and(|p| limit.is_some_and(|limit| p <= limit))).count();
            out.push(format!(
                "Many claims make some luck likely: of the {} supported, {remain} remain if at most one discovery in twenty may be \
                 false over all {tested} tested claims together (Benjamini and Hochberg).",
                count("supported")
            ));
        }
        out
    }

    /// What other labs say of a claim that the report at `path` judges: `in study refuted, −2.3 tokens [−9.5, +4.9]`.
    pub fn elsewhere(&self, path: &str, claim: &Value) -> Vec<(&'a str, String)> {
        let experiment = path.split('/').next().unwrap_or("");
        let others = self.entries.iter().filter(|entry| entry.path != path && !entry.imported());
        let others = others.filter(|entry| entry.word("experiment") == experiment);
        let said = others.filter_map(|entry| {
            let verdict = entry.verdicts.iter().find(|v| v["claim"] == claim["claim"])?;
            let (lab, word) = (entry.word("lab"), glance::word(verdict).replace('-', " "));
            Some((entry.path.as_str(), format!("in {lab} {word}, {}", glance::effect(verdict))))
        });
        said.collect()
    }
}

/// The largest p-value that counts as a discovery at the rate (Benjamini and Hochberg 1995); `p` is sorted.
pub fn false_discovery_limit(p: &[f64], rate: f64) -> Option<f64> {
    let m = p.len() as f64;
    p.iter().enumerate().filter(|(i, p)| **p <= (*i as f64 + 1.0) / m * rate).map(|(_, p)| *p).next_back()
}

fn find<'a>(leading: &[&'a Entry], name: &str) -> Option<(&'a str, &'a Value)> {
    let (experiment, claim) = name.split_once('/')?;
    let entry = leading.iter().find(|entry| entry.word("experiment") == experiment)?;
    let verdict = entry.verdicts.iter().find(|v| v["claim"] == claim)?;
    Some((&entry.path, verdict))
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

/// Writes `index.html`, `README.md` and the picture of the findings over the reports in `out`.
pub fn write(out: &Path, guide: &Guide, planned: &[Entry]) -> Result<(), Error> {
    let entries = collect(out)?;
    let view = Overview::new(guide, &entries, planned);
    let picture = glance::picture(&view.findings);
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("README.md", readme(&view, out.join("LOG.md").exists()).into_bytes()),
        ("index.html", index::page(&view).into_bytes()),
    ];
    if let Some(picture) = &picture {
        files.push(("findings.svg", scene::svg(picture, "Findings at a glance").into_bytes()));
        files.push(("findings.png", png::bytes(picture)));
    }
    for (name, bytes) in files {
        write::replace(&out.join(name), &bytes)?;
    }
    write::remove_drafts(out);
    Ok(())
}

fn readme(view: &Overview, log: bool) -> String {
    let mut out = String::from("# Findings at a glance\n\n");
    if !view.guide.title.is_empty() {
        let _ = writeln!(
            out,
            "What the paper found ({}; {}), tested here.\n",
            escape(&view.guide.title),
            escape(&view.guide.source)
        );
    }
    for paragraph in view.tally() {
        let _ = writeln!(out, "{}\n", escape(&paragraph));
    }
    if !view.findings.is_empty() {
        out.push_str("![Findings, each claim with its effect, interval and verdict](findings.png)\n\n");
        out.push_str("[`index.html`](index.html) is this page with links and pictures that open offline.");
        out.push_str(if log { " [LOG.md](LOG.md) tells what was tried, with numbers.\n\n" } else { "\n\n" });
    }
    for (number, finding) in view.findings.iter().enumerate() {
        let _ = writeln!(out, "## {}. {}\n", number + 1, escape(&finding.title));
        let _ = writeln!(out, "**The paper:** {} **Here:** {}.\n", escape(&finding.paper), finding.tally());
        out.push_str("| Claim | The paper | Here | Verdict |\n|---|---|---|---|\n");
        for (name, found) in &finding.claims {
            match found {
                Some((path, v)) => {
                    let others = view.elsewhere(path, v);
                    let others = others.iter().map(|(path, words)| format!("<br>{}", linked(words, path)));
                    let _ = writeln!(
                        out,
                        "| {} | {} | {}{} | **{}** |",
                        linked(v["statement"].as_str().unwrap_or(name), path),
                        escape(&text::paper(&v["paper"])),
                        escape(&glance::effect(v)),
                        others.collect::<String>(),
                        glance::word(v).replace('-', " "),
                    );
                }
                None => {
                    let _ = writeln!(out, "| {} | | – | **not run** |", escape(name));
                }
            }
        }
        out.push('\n');
    }
    let answered = view.guide.answered(&view.leading);
    if !answered.is_empty() {
        out.push_str("## From the paper to here\n\n");
        out.push_str("| The paper | shows | Experiment | Report | Results | Verdicts |\n|---|---|---|---|---|---|\n");
        for row in &answered {
            let (name, shows) = (escape(&row.exhibit.exhibit), escape(&row.exhibit.shows));
            if row.by.is_empty() {
                let note = if row.exhibit.note.is_empty() { "not run yet" } else { &row.exhibit.note };
                let _ = writeln!(out, "| {name} | {shows} | {} | | | |", escape(note));
            }
            for (entry, verdicts) in &row.by {
                let experiment = match entry.summary["file"].as_str() {
                    Some(file) => format!("[{}]({})", escape(entry.word("experiment")), link(file)),
                    None => escape(entry.word("experiment")),
                };
                let results = entry.summary["results"].as_str();
                let report = if entry.path.is_empty() { String::new() } else { linked(&entry.title(), &entry.path) };
                let _ = writeln!(
                    out,
                    "| {name} | {shows} | {experiment} | {report} | {} | {} |",
                    results.map_or(String::new(), |to| format!("[trials]({}/trials.jsonl)", link(to))),
                    tally_of(verdicts),
                );
            }
        }
    }
    out.push_str("\n## Every report\n\n");
    for entry in view.entries {
        let _ = writeln!(out, "### [{}]({}/README.md)\n", escape(&entry.title()), link(&entry.path));
        let verdicts: Vec<&Value> = entry.verdicts.iter().collect();
        let tally = if verdicts.is_empty() { String::new() } else { format!(" {}.", tally_of(&verdicts)) };
        let _ = writeln!(out, "{} ({}).{tally}\n", escape(entry.word("question")), escape(&entry.size()));
        if let Some(picture) = entry.picture() {
            let _ =
                writeln!(out, "[![{}]({})]({}/README.md)\n", escape(&entry.title()), link(&picture), link(&entry.path));
        }
    }
    out
}

/// Words that lead to a report; words alone where there is none.
fn linked(words: &str, path: &str) -> String {
    if path.is_empty() { escape(words) } else { format!("[{}]({}/README.md)", escape(words), link(path)) }
}

/// `2 supported, 1 inconclusive`.
pub fn tally_of(verdicts: &[&Value]) -> String {
    let count = |name: &str| verdicts.iter().filter(|v| glance::word(v) == name).count();
    let parts = ["supported", "refuted", "inconclusive", "not-run"].map(|name| (count(name), name.replace('-', " ")));
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
}

/// A path as a link: what Markdown or URLs would misread is percent-encoded.
pub fn link(path: &str) -> String {
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

fn read(path: &Path) -> Result<Option<Value>, Error> {
    match crate::text::read(path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::Summary { path: path.into(), message: error.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_false_discovery_limit_is_that_of_the_textbook() {
        // The example of Benjamini and Hochberg's paper: of fifteen, the first four count at 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
            0.7590, 1.0,
        ];
        assert_eq!(false_discovery_limit(&p, 0.05), Some(0.0095));
        assert_eq!(false_discovery_limit(&[0.9], 0.05), None);
    }

    #[test]
    fn the_report_with_the_most_computation_speaks() {
        let entry = |lab: &str, flops: f64, verdict: &str| Entry {
            path: format!("corpus/{lab}"),
            summary: serde_json::json!({"experiment": "corpus", "lab": lab, "flops": flops}),
            verdicts: vec![serde_json::json!({"claim": "c", "verdict": verdict})],
        };
        let entries = [entry("proxy", 1.0, "refuted"), entry("study", 2.0, "supported")];
        let guide = Guide::parse(
            "title: t\nsource: s\nexhibits: []\nfindings:\n  - { finding: f, paper: p, claims: [corpus/c, corpus/gone] }\n",
        )
        .unwrap();
        let planned = [Entry { path: String::new(), ..entry("proxy", 0.0, "not-run") }, {
            let mut other = entry("", 0.0, "not-run");
            (other.path, other.summary["experiment"]) = (String::new(), "qa".into());
            other
        }];
        let view = Overview::new(&guide, &entries, &planned);
        assert_eq!(view.leading.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["corpus/study", ""]);
        assert!(view.tally()[0].starts_with("2 claims in 2 experiments"));
        assert_eq!(view.findings[0].claims[0].1.unwrap().0, "corpus/study");
        assert_eq!(view.findings[0].tally(), "1 of 2 claims supported, 1 not run");
        let beside = view.elsewhere("corpus/study", &entries[1].verdicts[0]);
        assert_eq!(beside, [("corpus/proxy", "in proxy refuted, –".to_string())]);
        assert!(readme(&view, false).contains("[in proxy refuted, –](corpus/proxy/README.md)"));
    }
}
